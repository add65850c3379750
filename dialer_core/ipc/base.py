"""What all messages between our processes share. See `messages.py`, from which everybody imports them."""

from __future__ import annotations

import msgspec


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="t"):
    """Base of all messages."""


class SourcedEvent(Message, frozen=True, kw_only=True):
    """An event stamped where it happened."""

    at_ns: int
    seq: int = 0


class SrtpKeys(msgspec.Struct, frozen=True, kw_only=True):
    """Keys of one leg's encrypted sound, as its two descriptions agreed on them (RFC 4568).

    They live in memory and in these messages alone: never in a log, an event or the store.
    """

    suite: str
    """`AES_CM_128_HMAC_SHA1_80` or `AES_CM_128_HMAC_SHA1_32`."""
    send: bytes
    """Master key and salt of what we send: 30 octets."""
    receive: bytes
    """Master key and salt of what the far end sends."""

    def __repr__(self) -> str:
        """Hide the keys."""
        return f"SrtpKeys(suite={self.suite!r})"


class DumpState(Message, frozen=True, kw_only=True, tag="dump_state"):
    """Engine → worker or media plane: say everything you hold; answered by a `WorkerState` or `MediaState`."""


class Drain(Message, frozen=True, kw_only=True, tag="drain"):
    """Engine or supervisor → worker: place nothing more; exit when the last leg has ended."""
