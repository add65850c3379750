"""How a text becomes short messages: the GSM alphabet or UCS-2, and the parts of one that is too long for one.

It owns the tables of 3GPP TS 23.038 and the lengths of TS 23.040: 160 septets or 70 UTF-16 units in one message, 153 or 67 in each part of
a concatenated one. It owns no protocol.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Final, NamedTuple

_BASIC: Final = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
"""The default alphabet, by septet."""
ESCAPE: Final = 0x1B
"""The septet that says: the next one is of the extension table."""
_EXTENSION: Final = {
    0x0A: "\f", 0x14: "^", 0x28: "{", 0x29: "}", 0x2F: "\\", 0x3C: "[", 0x3D: "~", 0x3E: "]", 0x40: "|", 0x65: "€",
}  # fmt: skip
_SEPTETS: Final = {
    **{char: bytes([number]) for number, char in enumerate(_BASIC) if number != ESCAPE},
    **{char: bytes([ESCAPE, number]) for number, char in _EXTENSION.items()},
}
GSM7: Final = 0x00
"""`data_coding` of the provider's default alphabet."""
UCS2: Final = 0x08
"""`data_coding` of UTF-16, the most significant octet first."""
LONGEST_PARTS: Final = 255
"""More parts than this the header cannot count."""
_UNITS: Final = {GSM7: (160, 153), UCS2: (140, 134)}
"""Octets on our side of the wire that one message holds, and each part of several: septets stand in an octet each."""
_JOINS_ON: Final = frozenset("\u200d\ufe0f\ufe0e")
"""A zero-width joiner and variation selectors: what stands before one is not parted from it."""


class Encoded(NamedTuple):
    """A text as it goes to a provider."""

    data_coding: int
    parts: tuple[bytes, ...]
    """One octet string for each short message, without headers."""


def is_gsm7(text: str) -> bool:
    """Say whether the GSM alphabet has every character of a text."""
    return all(char in _SEPTETS for char in text)


def encode(text: str) -> Encoded:
    """Return a text as the fewest short messages that hold it, no character torn apart between two.

    Raises
    ------
    ValueError
        It needs more parts than a header can count.
    """
    coding = GSM7 if is_gsm7(text) else UCS2
    pieces = [
        b"".join(_SEPTETS[char] for char in cluster)
        if coding == GSM7
        else cluster.encode("utf-16-be", "surrogatepass")
        for cluster in _clusters(text)
    ]
    alone, each = _UNITS[coding]
    if sum(map(len, pieces)) <= alone:
        return Encoded(coding, (b"".join(pieces),))
    parts: list[bytes] = []
    part = b""
    for piece in _fitting(pieces, each):
        if len(part) + len(piece) > each:
            parts.append(part)
            part = b""
        part += piece
    parts.append(part)
    if len(parts) > LONGEST_PARTS:
        raise ValueError(f"the text comes to {len(parts)} short messages; a header counts {LONGEST_PARTS}")
    return Encoded(coding, tuple(parts))


def decode(data_coding: int, octets: bytes) -> str:
    """Return the text of a short message; what nobody can read becomes U+FFFD."""
    group = data_coding & 0x0C if data_coding & 0xC0 == 0 and data_coding >= 0x10 else data_coding
    match group:
        case 0x08:
            return octets.decode("utf-16-be", "replace")
        case 0x03:
            return octets.decode("latin-1")
        case 0x01:
            return octets.decode("ascii", "replace")
        case _:
            return "".join(_from_septets(octets))


def _clusters(text: str) -> Iterator[str]:
    """Yield the characters of a text, each with the marks and joined characters that belong to it."""
    cluster = ""
    for char in text:
        belongs = unicodedata.combining(char) or char in _JOINS_ON or "\U0001f3fb" <= char <= "\U0001f3ff"
        if cluster and not belongs and not cluster.endswith("\u200d"):
            yield cluster
            cluster = ""
        cluster += char
    if cluster:
        yield cluster


def _fitting(pieces: list[bytes], each: int) -> Iterator[bytes]:
    """Yield the pieces; one that no part holds (a hundred marks on one letter) between its units, pairs of surrogates kept."""
    for piece in pieces:
        if len(piece) <= each:
            yield piece
            continue
        for char in piece.decode("utf-16-be", "surrogatepass"):
            yield char.encode("utf-16-be", "surrogatepass")


def _from_septets(octets: bytes) -> Iterator[str]:
    escaped = False
    for octet in octets:
        if escaped:
            yield _EXTENSION.get(octet, _BASIC[octet] if octet < len(_BASIC) else "\ufffd")
            escaped = False
        elif octet == ESCAPE:
            escaped = True
        else:
            yield _BASIC[octet] if octet < len(_BASIC) else "\ufffd"


__all__ = ["GSM7", "UCS2", "Encoded", "decode", "encode", "is_gsm7"]
