"""One leg's encrypted sound: SRTP and SRTCP (RFC 3711) by libsrtp. Pure but for libsrtp's own state.

It owns the two sessions of a leg and how they follow a change of keys. Where keys come from is `sip/sdes.py`'s business; nothing here is logged.

A packet's index has 48 bits, of which 16 are sent: both sides count how often the sequence has wrapped (the roll-over counter). A media plane that
replaces a dead one finds a far end that has wrapped some times already, and finds out how often by trying (`_caught_up`): libsrtp is led forward
with packets made here, by the same key, until the real one passes.
"""

from __future__ import annotations

import struct
from typing import Final

from pylibsrtp import Error, Policy, Session

from dialer_core.ipc.messages import SrtpKeys

PROFILES: Final = {
    "AES_CM_128_HMAC_SHA1_80": Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    "AES_CM_128_HMAC_SHA1_32": Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
}
KEY_OCTETS: Final = 30
WRAPS_MAX: Final = 64
"""A sequence at 50 packets a second wraps after 22 minutes: 64 times are 23 hours."""
_STEP: Final = 0x4000
"""How far libsrtp is led on at a time: it takes anything under 0x8000 for ahead."""
_SEARCH_PAUSE_NS: Final = 1_000_000_000
"""Searches are far apart: anybody who can forge the far end's address may cause one, which takes some milliseconds."""
_LONGEST: Final = 1500
_HEADER: Final = struct.Struct("!BBHII")


def is_usable(keys: SrtpKeys) -> bool:
    """Return whether the suite is one of ours and both keys have its length."""
    return keys.suite in PROFILES and len(keys.send) == KEY_OCTETS == len(keys.receive)


class Srtp:
    """Both directions of one leg. Packets in, packets out; what does not authenticate, or was there before, is None."""

    __slots__ = ("_heard", "_keys", "_receiver", "_search_ns", "_sender")

    def __init__(self, keys: SrtpKeys) -> None:
        self._keys = keys
        self._sender = _session(keys.suite, keys.send, outbound=True)
        self._receiver = _session(keys.suite, keys.receive, outbound=False)
        self._heard = False
        """A packet has authenticated by these keys: the roll-over counter is known."""
        self._search_ns: int | None = None

    def change(self, keys: SrtpKeys) -> None:
        """Take newly negotiated keys. A direction whose key stays goes on where it is: its counters are the far end's, too."""
        before, self._keys = self._keys, keys
        if (keys.suite, keys.send) != (before.suite, before.send):
            self._sender = _session(keys.suite, keys.send, outbound=True)
        if (keys.suite, keys.receive) != (before.suite, before.receive):
            self._receiver = _session(keys.suite, keys.receive, outbound=False)
            self._heard, self._search_ns = False, None

    def protect(self, packet: bytes) -> bytes | None:
        """Return the RTP packet encrypted; None where its number has been used, or is long past."""
        try:
            return self._sender.protect(packet)
        except Error:
            return None

    def protect_rtcp(self, packet: bytes) -> bytes | None:
        """Return the RTCP packet encrypted."""
        try:
            return self._sender.protect_rtcp(packet)
        except Error:
            return None

    def unprotect(self, data: bytes, now_ns: int) -> bytes | None:
        """Return the RTP packet that `data` is."""
        if len(data) > _LONGEST:
            return None
        try:
            packet = self._receiver.unprotect(data)
        except Error:
            return None if self._heard else self._search(data, now_ns)
        self._heard = True
        return packet

    def unprotect_rtcp(self, data: bytes) -> bytes | None:
        """Return the RTCP packet that `data` is; its index is sent whole."""
        if len(data) > _LONGEST:
            return None
        try:
            return self._receiver.unprotect_rtcp(data)
        except Error:
            return None

    def _search(self, data: bytes, now_ns: int) -> bytes | None:
        if len(data) < _HEADER.size or (
            self._search_ns is not None and now_ns - self._search_ns < _SEARCH_PAUSE_NS
        ):
            return None
        self._search_ns = now_ns
        found = _caught_up(self._keys, data)
        if found is None:
            return None
        self._receiver, packet = found
        self._heard = True
        return packet


def _session(suite: str, key: bytes, *, outbound: bool) -> Session:
    which = Policy.SSRC_ANY_OUTBOUND if outbound else Policy.SSRC_ANY_INBOUND
    return Session(Policy(key=key, ssrc_type=which, srtp_profile=PROFILES[suite]))


def _caught_up(keys: SrtpKeys, data: bytes) -> tuple[Session, bytes] | None:
    """Return a session that has got as far as `data`, and the packet it is; None where it is of another key, or too far.

    Leading packets stand 0x2000 before `data` and every 0x4000 before that, so one of them is near enough, and none of them has its number.
    """
    _, _, sequence, _, ssrc = _HEADER.unpack_from(data)
    feeder = _session(keys.suite, keys.receive, outbound=True)
    session = _session(keys.suite, keys.receive, outbound=False)
    first = (sequence - _STEP // 2) % _STEP
    try:
        for index in range(first, WRAPS_MAX << 16, _STEP):
            lead = _HEADER.pack(0x80, 0, index & 0xFFFF, 0, ssrc) + b"\0"
            session.unprotect(feeder.protect(lead))
            try:
                return session, session.unprotect(data)
            except Error:
                continue
    except Error:
        pass  # libsrtp will not be led: as if nothing had been found
    return None
