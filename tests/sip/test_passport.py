"""The signed statement of who calls: against Debian's own tool, and against its own words."""

from __future__ import annotations

import base64
import datetime as dt
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from dialer_core.errors import ConfigError
from dialer_core.sip.headers import is_header
from dialer_core.sip.passport import IDENTITY_HEADER, Signer
from dialer_core.vocabulary import new_id
from tests.skips import requires_program

URL = "https://certificates.example/marcador.pem"
CALLER, CALLED = "+525500000000", "+525512345678"


def key_file(folder: Path, key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> Path:
    """Write a private key."""
    path = folder / "stir.key"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


@pytest.mark.unit
def test_what_it_says(tmp_path: Path) -> None:
    """Caller and called without their plus, attestation, time and origin; the header names the certificate and fits one line."""
    signer = Signer(key_file(tmp_path, ec.generate_private_key(ec.SECP256R1())), URL, "A")
    at, origin = dt.datetime(2026, 11, 22, 18, 0, tzinfo=dt.UTC), new_id()
    value = signer.identity(CALLER, CALLED, origid=origin, at=at)
    token, *parameters = value.split(";")
    header, payload, signature = (
        base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in token.split(".")
    )
    assert json.loads(header) == {"alg": "ES256", "ppt": "shaken", "typ": "passport", "x5u": URL}
    assert json.loads(payload) == {
        "attest": "A", "dest": {"tn": ["525512345678"]}, "iat": int(at.timestamp()), "orig": {"tn": "525500000000"}, "origid": origin,
    }  # fmt: skip
    assert len(signature) == 64
    assert parameters == [f"info=<{URL}>", "alg=ES256", "ppt=shaken"]
    assert is_header(IDENTITY_HEADER, value)


@pytest.mark.sip
@requires_program("secsipidx")
def test_debians_tool_finds_it_true_and_a_changed_one_false(tmp_path: Path) -> None:
    """Secsipidx checks the signature with the public key; with another number in it, it does not."""
    tool = str(shutil.which("secsipidx"))
    key = ec.generate_private_key(ec.SECP256R1())
    public = tmp_path / "public.pem"
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    signer = Signer(key_file(tmp_path, key), URL, "B")
    value = signer.identity(CALLER, CALLED, origid=new_id(), at=dt.datetime.now(dt.UTC))
    other = signer.identity("+525599999999", CALLED, origid=new_id(), at=dt.datetime.now(dt.UTC))
    forged = ".".join([*other.split(".")[:2], *value.split(".")[2:]])

    def checked(identity: str) -> int:
        written = tmp_path / "identity"
        written.write_text(identity)
        command = [tool, "-check", "-fidentity", str(written), "-fpubkey", str(public), "-expire", "60"]
        return subprocess.run(command, capture_output=True, check=False).returncode

    assert (checked(value), checked(forged) != 0) == (0, True)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "cannot be read"), (b"no key", "is no private key"), ("ed25519", "P-256"), ("p384", "P-256")],
)
def test_a_wrong_key_is_told_in_one_line(tmp_path: Path, content: bytes | str | None, says: str) -> None:
    """Missing, no key, or of another kind: where, what is wrong, and what would be right."""
    path = tmp_path / "stir.key"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "ed25519":
        key_file(tmp_path, ed25519.Ed25519PrivateKey.generate())
    elif content == "p384":
        key_file(tmp_path, ec.generate_private_key(ec.SECP384R1()))
    with pytest.raises(ConfigError, match=says) as told:
        Signer(path, URL, "A")
    assert str(path) in str(told.value)
    assert "\n" not in str(told.value)
