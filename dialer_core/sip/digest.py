"""Answering a digest challenge (RFC 3261 section 22.4, RFC 7616) for a request that pjsip does not send. Pure.

It owns the reading of a challenge and the header that answers it. Whose password is sent to whom is its caller's business; calls are
pjsip's.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass, field

from dialer_core.sip.headers import SipText

_PARAMETER = re.compile(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_HASHES = {"md5": "md5", "sha-256": "sha256"}
_HEADERS = {401: ("www-authenticate", "Authorization"), 407: ("proxy-authenticate", "Proxy-Authorization")}


@dataclass(frozen=True, slots=True)
class Credentials:
    """A digest user, and its password."""

    user: str
    password: str = field(repr=False)


def answer(challenge: SipText, method: str, uri: str, credentials: Credentials, *, cnonce: str = "") -> str:
    """Return the header line that answers a 401 or 407; an empty text where it asks for nothing that we can do.

    Parameters
    ----------
    challenge
        The response.
    method, uri
        Of the request that is to be sent again.
    cnonce
        A new one by default.
    """
    asks, answers = _HEADERS.get(challenge.status, ("", ""))
    for text in challenge.values(asks):
        scheme, _, rest = text.strip().partition(" ")
        given = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(rest)}
        algorithm = given.get("algorithm", "MD5")
        qops = [qop.strip() for qop in given.get("qop", "").split(",") if qop.strip()]
        usable = algorithm.lower() in _HASHES and (not qops or "auth" in qops)
        if scheme.lower() != "digest" or not usable or not {"realm", "nonce"} <= given.keys():
            continue
        cnonce = cnonce or secrets.token_hex(8)
        made = _response(given, algorithm, method, uri, credentials, cnonce, with_qop=bool(qops))
        parts = [
            f'username="{credentials.user}"', f'realm="{given["realm"]}"', f'nonce="{given["nonce"]}"', f'uri="{uri}"',
            f'response="{made}"', f"algorithm={algorithm}",
        ]  # fmt: skip
        if qops:
            parts += [f'cnonce="{cnonce}"', "qop=auth", "nc=00000001"]
        if "opaque" in given:
            parts.append(f'opaque="{given["opaque"]}"')
        return f"{answers}: Digest {', '.join(parts)}"
    return ""


def _response(
    given: dict[str, str], algorithm: str, method: str, uri: str, credentials: Credentials, cnonce: str, *, with_qop: bool
) -> str:  # fmt: skip
    def hashed(*parts: str) -> str:
        return hashlib.new(
            _HASHES[algorithm.lower()], ":".join(parts).encode(), usedforsecurity=False
        ).hexdigest()

    first = hashed(credentials.user, given["realm"], credentials.password)
    second = hashed(method, uri)
    if with_qop:
        return hashed(first, given["nonce"], "00000001", cnonce, "auth", second)
    return hashed(first, given["nonce"], second)
