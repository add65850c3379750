"""What all messages between our processes share. See `messages.py`, from which everybody imports them."""

from __future__ import annotations

import msgspec


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="t"):
    """Base of all messages."""


class SourcedEvent(Message, frozen=True, kw_only=True):
    """An event stamped where it happened."""

    at_ns: int
    seq: int = 0


class DumpState(Message, frozen=True, kw_only=True, tag="dump_state"):
    """Engine → worker or media plane: say everything you hold; answered by a `WorkerState` or `MediaState`."""


class Drain(Message, frozen=True, kw_only=True, tag="drain"):
    """Engine or supervisor → worker: place nothing more; exit when the last leg has ended."""
