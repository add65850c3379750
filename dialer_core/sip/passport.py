"""STIR/SHAKEN: the signed statement of who calls whom that an INVITE carries in its Identity header.

It owns the PASSporT (RFC 8225, with the claims of SHAKEN, RFC 8588) and the header's form (RFC 8224). Which trunk signs, and with which key, is the
settings'; whether a number may be attested is the operator's word.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from dialer_core.errors import ConfigError

IDENTITY_HEADER = "Identity"
_COORDINATE_BYTES = 32


class Signer:
    """Signs the calls of one trunk.

    Parameters
    ----------
    key_file
        The private key, PEM, on the curve P-256 and without a password.
    certificate_url
        Where whoever checks finds the certificate.
    attestation
        A: the caller is our customer and may use the number. B: our customer. C: it only passed us.

    Raises
    ------
    ConfigError
        The file is not there, or holds no such key.
    """

    def __init__(self, key_file: Path, certificate_url: str, attestation: str) -> None:
        try:
            key = load_pem_private_key(key_file.read_bytes(), password=None)
        except OSError as error:
            raise ConfigError(f"{key_file}: the signing key cannot be read: {error.strerror}") from error
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ConfigError(
                f"{key_file}: is no private key in PEM without a password; make one with 'openssl ecparam -name prime256v1 -genkey -noout'"
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ConfigError(
                f"{key_file}: SHAKEN signs with ES256: the key must be on the curve P-256 (prime256v1)"
            )
        self._key = key
        self._url = certificate_url
        self._attestation = attestation

    def identity(self, caller: str, called: str, *, origid: str, at: dt.datetime) -> str:
        """Return the value of an INVITE's Identity header.

        Parameters
        ----------
        caller, called
            Numbers in E.164 form; SHAKEN leaves the `+` out.
        origid
            A UUID of this call, by which its origin can be traced.
        at
            When it is sent; whoever checks takes a statement for fresh for a minute.
        """
        header = {"alg": "ES256", "ppt": "shaken", "typ": "passport", "x5u": self._url}
        payload = {
            "attest": self._attestation,
            "dest": {"tn": [called.lstrip("+")]},
            "iat": int(at.timestamp()),
            "orig": {"tn": caller.lstrip("+")},
            "origid": origid,
        }
        signed = f"{_encoded(header)}.{_encoded(payload)}"
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(_COORDINATE_BYTES, "big") + s.to_bytes(_COORDINATE_BYTES, "big")
        return f"{signed}.{_base64url(signature)};info=<{self._url}>;alg=ES256;ppt=shaken"


def _encoded(part: dict[str, Any]) -> str:
    """Return a part without spaces and with its keys in order, as RFC 8225, section 9, wants it."""
    return _base64url(json.dumps(part, separators=(",", ":"), sort_keys=True).encode())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
