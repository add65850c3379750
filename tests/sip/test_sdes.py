"""Keys in session descriptions: what is read, what is agreed on, what is refused."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialer_core.ipc.messages import SrtpKeys
from dialer_core.sip.sdes import Crypto, agreed, read_crypto
from dialer_core.sip.sdp import rewrite

pytestmark = pytest.mark.unit

A, B = bytes(range(30)), bytes(range(30, 60))
LONG, SHORT = "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"


def inline(key: bytes) -> str:
    """Return a key as a description has it."""
    return "inline:" + base64.b64encode(key).decode()


def described(*lines: str, profile: str = "RTP/SAVP") -> str:
    """Return a description with these `a=crypto` lines."""
    head = ("v=0", "o=- 1 1 IN IP4 10.0.0.1", "s=-", "c=IN IP4 10.0.0.1", "t=0 0")
    audio = (f"m=audio 4000 {profile} 0", *(f"a=crypto:{line}" for line in lines))
    video = ("m=video 6000 RTP/SAVP 31", f"a=crypto:9 {LONG} {inline(B)}", "")
    return "\r\n".join([*head, *audio, *video])


def test_lines_are_read_in_order() -> None:
    """Tag, suite and key of the audio section alone; a lifetime changes nothing."""
    text = described(f"1 {LONG} {inline(A)}|2^31", f"2 {SHORT} {inline(B)}")
    assert read_crypto(text) == (Crypto("1", LONG, A), Crypto("2", SHORT, B))
    assert read_crypto(described()) == ()


def test_our_address_goes_in_and_the_keys_stay() -> None:
    """The rewriting of a description keeps its profile and its keys."""
    text = rewrite(described(f"1 {LONG} {inline(A)}"), host="192.0.2.7", port=40000)
    assert "m=audio 40000 RTP/SAVP 0" in text
    assert read_crypto(text) == (Crypto("1", LONG, A),)


@pytest.mark.parametrize(
    "line",
    [
        f"1 {LONG} {inline(A)}|2^20|1:4",
        f"1 {LONG} {inline(A)}|1:4",
        f"1 {LONG} {inline(A)};{inline(B)}",
        f"1 {LONG} {inline(A)} UNENCRYPTED_SRTP",
        f"1 {LONG} {inline(A[:29])}",
        f"1 {LONG} inline:%%%",
        f"1 {LONG} other:{base64.b64encode(A).decode()}",
        f"1 AES_256_CM_HMAC_SHA1_80 {inline(A)}",
    ],
)
def test_what_we_do_not_do_has_no_key(line: str) -> None:
    """MKI, several keys, session parameters, other suites, nonsense: the line is there, its key is not, and no sound can be agreed on by it."""
    (read,) = read_crypto(described(line))
    assert read.key == b""
    with pytest.raises(ValueError, match="not among those offered"):
        agreed(ours=(Crypto("1", read.suite, B),), theirs=(read,), we_answered=False)


def test_an_answer_picks_one() -> None:
    """The line with the answer's tag and suite counts, whoever answers; each side sends by its own key."""
    offer = (Crypto("1", LONG, bytes(30)), Crypto("2", SHORT, A))
    answer = (Crypto("2", SHORT, B),)
    assert agreed(ours=offer, theirs=answer, we_answered=False) == SrtpKeys(suite=SHORT, send=A, receive=B)
    assert agreed(ours=answer, theirs=offer, we_answered=True) == SrtpKeys(suite=SHORT, send=B, receive=A)


def test_an_answer_without_a_key_means_sound_in_the_clear() -> None:
    """Nothing is encrypted by a key that only one side named."""
    one = (Crypto("1", LONG, A),)
    assert agreed(ours=one, theirs=(), we_answered=False) is None
    assert agreed(ours=(), theirs=one, we_answered=True) is None


@pytest.mark.parametrize(
    "answer", [(Crypto("3", LONG, B),), (Crypto("1", SHORT, B),), (Crypto("1", LONG, B),) * 2]
)
def test_an_answer_that_was_not_offered_is_refused(answer: tuple[Crypto, ...]) -> None:
    """Another tag, another suite, two lines."""
    with pytest.raises(ValueError, match="not among those offered"):
        agreed(ours=(Crypto("1", LONG, A),), theirs=answer, we_answered=False)


def test_keys_are_not_shown() -> None:
    """Neither in a representation nor, so, in a log line or a traceback."""
    shown = repr((Crypto("1", LONG, A), SrtpKeys(suite=LONG, send=A, receive=B)))
    assert repr(A) not in shown
    assert repr(B) not in shown


@given(st.text(st.sampled_from("m=audiocrypt: 01\r\n|;AES_/+RTPV"), max_size=200))
def test_nonsense_raises_nothing(text: str) -> None:
    """Whatever a far end writes."""
    read_crypto("m=audio 1 RTP/SAVP 0\r\na=crypto:" + text)
