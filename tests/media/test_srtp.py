"""Encrypted sound: round trips against a libsrtp of the far end's own, replays, roll-overs, and a leg that relays to one in the clear."""

from __future__ import annotations

import struct

import pytest
from pylibsrtp import Error, Policy, Session

from dialer_core.ipc.messages import SrtpKeys
from dialer_core.media.srtp import WRAPS_MAX, Srtp, is_usable
from dialer_core.vocabulary import LegKind
from tests.media.harness import HEADER, PCMU, Plane, PlaneProcess, Received, tagged
from tests.polling import wait_until

OURS, THEIRS = bytes(range(30)), bytes(range(100, 130))
LONG, SHORT = "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"
KEYS = SrtpKeys(suite=LONG, send=OURS, receive=THEIRS)
PROFILE = {LONG: Policy.SRTP_PROFILE_AES128_CM_SHA1_80, SHORT: Policy.SRTP_PROFILE_AES128_CM_SHA1_32}
REPORT = struct.pack("!BBHII", 0x80, 201, 1, 7, 0)[:8]


def far(key: bytes, *, sends: bool, suite: str = LONG) -> Session:
    """Return one direction of the far end."""
    kind = Policy.SSRC_ANY_OUTBOUND if sends else Policy.SSRC_ANY_INBOUND
    return Session(Policy(key=key, ssrc_type=kind, srtp_profile=PROFILE[suite]))


def packet(index: int, *, ssrc: int = 7) -> bytes:
    """Return the packet of an index of 48 bits."""
    return HEADER.pack(0x80, 0, index & 0xFFFF, index * 160 & 0xFFFF_FFFF, ssrc) + tagged(index)


@pytest.mark.unit
@pytest.mark.parametrize(("suite", "tag"), [(LONG, 10), (SHORT, 4)])
def test_round_trip(suite: str, tag: int) -> None:
    """What one side protects the other reads, with the suite's tag behind it; nothing of the sound is on the wire."""
    ours = Srtp(SrtpKeys(suite=suite, send=OURS, receive=THEIRS))
    sent = ours.protect(packet(1))
    assert sent is not None
    assert len(sent) == len(packet(1)) + tag
    assert sent[12:172] != packet(1)[12:]
    assert far(OURS, sends=False, suite=suite).unprotect(sent) == packet(1)
    assert ours.unprotect(far(THEIRS, sends=True, suite=suite).protect(packet(5)), 0) == packet(5)
    report = ours.protect_rtcp(REPORT)
    assert report is not None
    assert far(OURS, sends=False, suite=suite).unprotect_rtcp(report) == REPORT
    assert ours.unprotect_rtcp(far(THEIRS, sends=True, suite=suite).protect_rtcp(REPORT)) == REPORT


@pytest.mark.unit
def test_what_is_not_the_far_ends_is_refused() -> None:
    """A replay, sound in the clear, another key, a changed bit, nonsense of any length."""
    ours, theirs = Srtp(KEYS), far(THEIRS, sends=True)
    first = theirs.protect(packet(1))
    assert ours.unprotect(first, 0) == packet(1)
    assert ours.unprotect(first, 0) is None
    assert ours.unprotect(packet(2), 0) is None
    assert ours.unprotect(far(OURS, sends=True).protect(packet(3)), 0) is None
    second = bytearray(theirs.protect(packet(4)))
    second[20] ^= 1
    assert ours.unprotect(bytes(second), 0) is None
    for length in (0, 1, 11, 12, 13, 21, 22, 1500, 1501, 2048):
        assert ours.unprotect(b"\x80" * length, length * 2_000_000_000) is None
        assert ours.unprotect_rtcp(b"\x80" * length) is None
    assert ours.unprotect(theirs.protect(packet(5)), 0) == packet(5)
    report = theirs.protect_rtcp(REPORT)
    assert ours.unprotect_rtcp(report) == REPORT
    assert ours.unprotect_rtcp(report) is None


@pytest.mark.unit
def test_no_number_is_used_twice_under_one_key() -> None:
    """A packet's number encrypts once: the second would give both away."""
    ours = Srtp(KEYS)
    assert ours.protect(packet(1)) is not None
    assert ours.protect(packet(1)) is None


@pytest.mark.unit
def test_a_key_that_stays_keeps_its_counters() -> None:
    """After a re-INVITE with the same keys a sequence that has wrapped is read and written as before; a new key begins anew."""
    ours, theirs, ear = Srtp(KEYS), far(THEIRS, sends=True), far(OURS, sends=False)
    for index in range(65_000, 140_000, 20_000):
        assert ours.unprotect(theirs.protect(packet(index)), 0) == packet(index)
        ear.unprotect(ours.protect(packet(index)) or b"")
    ours.change(SrtpKeys(suite=LONG, send=OURS, receive=THEIRS))
    assert ours.unprotect(theirs.protect(packet(140_000)), 0) == packet(140_000)
    assert ear.unprotect(ours.protect(packet(140_000)) or b"") == packet(140_000)
    ours.change(SrtpKeys(suite=LONG, send=OURS, receive=bytes(30)))
    assert ear.unprotect(ours.protect(packet(140_001)) or b"") == packet(140_001)
    assert ours.unprotect(theirs.protect(packet(140_001)), 0) is None
    assert ours.unprotect(far(bytes(30), sends=True).protect(packet(140_002)), 2_000_000_000) is not None


@pytest.mark.unit
@pytest.mark.parametrize(
    "index", [65_535 + 1, 65_536 + 8191, 65_536 + 8192, 3 * 65_536 - 1, 20 * 65_536 + 40_000]
)
def test_a_late_comer_finds_the_roll_over_counter(index: int) -> None:
    """A media plane that replaces a dead one reads a far end whose sequence has wrapped, from the first packet, and refuses its replay."""
    theirs = far(THEIRS, sends=True)
    for at in range(index % 20_000, index, 20_000):
        theirs.protect(packet(at))
    ours = Srtp(KEYS)
    data = theirs.protect(packet(index))
    assert ours.unprotect(data, 0) == packet(index)
    assert ours.unprotect(data, 0) is None
    for following in range(index + 1, index + 70_000, 10_000):
        assert ours.unprotect(theirs.protect(packet(following)), 0) == packet(following)


@pytest.mark.unit
def test_a_search_that_finds_nothing_is_not_repeated_at_once() -> None:
    """Forged packets cost one search a second, and none once the far end is known; the real one is found in the next search."""
    ours, theirs = Srtp(KEYS), far(THEIRS, sends=True)
    for at in range(0, 70_000, 20_000):
        theirs.protect(packet(at))
    forged = far(OURS, sends=True).protect(packet(1))
    assert ours.unprotect(forged, 5) is None
    assert ours.unprotect(theirs.protect(packet(70_001)), 6) is None
    assert ours.unprotect(theirs.protect(packet(70_002)), 5 + 10**9) == packet(70_002)
    assert WRAPS_MAX * 65_536 / 50 / 3600 > 8


@pytest.mark.unit
def test_unusable_keys_are_not_taken() -> None:
    """A suite of another kind, a key of another length."""
    assert is_usable(KEYS)
    assert not is_usable(SrtpKeys(suite="AEAD_AES_128_GCM", send=OURS, receive=THEIRS))
    assert not is_usable(SrtpKeys(suite=LONG, send=OURS[:-1], receive=THEIRS))


@pytest.mark.sip
def test_a_leg_in_the_clear_and_an_encrypted_one_are_bridged() -> None:
    """Each hears the other in its own way, SRTCP included; what comes to the encrypted leg in the clear goes nowhere."""
    with PlaneProcess() as process, Plane(process) as plane:
        clear = plane.leg(LegKind.CUSTOMER, whose=1)
        secret = plane.leg(LegKind.AGENT, whose=2, srtp=KEYS)
        plane.bridge(clear, secret)
        voice, ear = far(THEIRS, sends=True), far(OURS, sends=False)
        clear.far.speak()

        def speak(n: int) -> None:
            secret.far.send(n, tagged(n, 9))  # in the clear, and forged
            whole = HEADER.pack(0x80, PCMU, n & 0xFFFF, n * 160, 77) + tagged(n, 2)
            secret.far.send_raw(voice.protect(whole))

        secret.far.perform([lambda n=n: speak(n) for n in range(50)])  # type: ignore[misc]
        clear.far.hush()
        wait_until(lambda: secret.far.reports, 10, "a report")
        heard = [p.payload for p in clear.far.packets]
        assert [p for p in heard if p[0] == 9] == []
        assert len({p for p in heard if p[0] == 2}) >= 48
        raw = list(secret.far.packets)
        assert [p for p in raw if p.payload[:1] == b"\1" and p.payload[:160] in heard] == []
        opened = [ear.unprotect(p.data)[12:] for p in raw]
        assert len({p for p in opened if p[0] == 1}) >= 48
        (_, report), *_ = secret.far.reports
        assert ear.unprotect_rtcp(report)[1] in (200, 201)
        with pytest.raises(Error):
            ear.unprotect_rtcp(report)
        closed = plane.close(secret).statistics
        assert (closed.rx_unusable, closed.rx_packets) == (50, 50)
        assert closed.tx_failed == 0
        assert isinstance(raw[0], Received)
