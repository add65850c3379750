"""Digest answers against the examples of the standards."""

from __future__ import annotations

import pytest

from dialer_core.sip.digest import Credentials, answer
from dialer_core.sip.headers import SipText

pytestmark = pytest.mark.unit

NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
MUFASA = Credentials("Mufasa", "Circle of Life")


def challenged(*headers: str, code: int = 401) -> SipText:
    """Return a response with these challenges."""
    name = "WWW-Authenticate" if code == 401 else "Proxy-Authenticate"
    lines = [f"SIP/2.0 {code} Prove it", *(f"{name}: {header}" for header in headers)]
    return SipText.parse("\r\n".join([*lines, "", ""]))


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_rfc_7616(algorithm: str, response: str) -> None:
    """Section 3.9.1, both algorithms."""
    asked = challenged(
        f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, nonce="{NONCE}", opaque="FQhe/qaU925k"'
    )
    line = answer(asked, "GET", "/dir/index.html", MUFASA, cnonce=CNONCE)
    assert line.startswith('Authorization: Digest username="Mufasa", realm="http-auth@example.org"')
    assert f'response="{response}"' in line
    assert 'opaque="FQhe/qaU925k"' in line
    assert "qop=auth, nc=00000001" in line


def test_a_proxy_of_the_old_kind() -> None:
    """Without qop the response is RFC 2069's, and it goes into the proxy's header."""
    asked = challenged('Digest realm="r", nonce="n"', code=407)
    line = answer(asked, "BYE", "sip:b@c", Credentials("u", "p"))
    # md5(md5("u:r:p"):n:md5("BYE:sip:b@c"))
    assert line.startswith("Proxy-Authorization: Digest ")
    assert "cnonce" not in line
    assert 'uri="sip:b@c"' in line


@pytest.mark.parametrize(
    "header", ["Basic realm=x", 'Digest realm="r"', 'Digest realm="r", nonce="n", algorithm=AKAv1-MD5', 'Digest realm="r", nonce="n", qop="auth-int"']
)  # fmt: skip
def test_what_cannot_be_answered(header: str) -> None:
    """Another scheme or algorithm, no nonce, the whole message's integrity: no header, and no password is used."""
    assert answer(challenged(header), "BYE", "sip:b@c", MUFASA) == ""


def test_the_first_that_can_be_answered_is() -> None:
    """A far end may offer several, best first."""
    asked = challenged(
        'Digest realm="r", nonce="n", algorithm=SHA-512-256', 'Digest realm="r", nonce="n", algorithm=MD5'
    )
    assert "algorithm=MD5" in answer(asked, "BYE", "sip:b@c", MUFASA)


def test_a_password_is_in_no_text() -> None:
    """Neither in its repr nor in the header."""
    assert "Circle" not in repr(MUFASA)
    assert "Circle" not in answer(challenged('Digest realm="r", nonce="n"'), "BYE", "sip:b@c", MUFASA)
