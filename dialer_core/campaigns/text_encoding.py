"""Which encoding a file of text is in, as bank and spreadsheet files come: UTF-8, UTF-16, UTF-32, Windows-1252, Mac Roman, DOS.

It owns that one guess and saying what it rests on. A byte order mark is certain; text that is UTF-8 is hardly ever anything else. Of the
encodings with one byte a letter, every byte is a letter or sign in each: they are told apart by which of them reads the bytes within words as
letters of Spanish, Portuguese and their neighbours, over the lines that are not UTF-8.
"""

from __future__ import annotations

import io
import re
from typing import Final

_BOMS: Final = (
    (b"\xff\xfe\x00\x00", "utf-32"),  # before UTF-16's, which it begins with
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_ONE_BYTE: Final = {"cp1252": "Windows-1252", "mac_roman": "Mac Roman", "cp850": "DOS, code page 850"}
"""The likeliest first. Latin-1 text is part of Windows-1252."""
_EXPECTED: Final = frozenset("áéíóúüñÁÉÍÓÚÜÑçÇãõÃÕâêôÂÊÔàÀèòìäëöß")
_IN_A_WORD: Final = re.compile(r"(?<=[A-Za-z])[^\x00-\x7f]|[^\x00-\x7f](?=[A-Za-z])")
_SAMPLE_BYTES: Final = 1 << 18
"""Of lines that are not UTF-8: more of them say nothing new."""
_CHUNK: Final = 1 << 20


def guess(file: io.BufferedReader, head: bytes) -> tuple[str, str]:
    """Return a file's encoding, and in words what was assumed, where something was; it is read to its end, in one pass.

    Parameters
    ----------
    file
        At its beginning.
    head
        Its first tens of thousands of bytes.
    """
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            return encoding, ""
    if wide := _wide(head):
        return wide, f"read as {wide.upper()}: every other byte is zero"
    good = bad = 0
    sample = bytearray()
    while line := file.readline(_CHUNK):
        if line.isascii():
            continue
        try:
            line.decode("utf-8")
            good += 1
        except UnicodeDecodeError:
            bad += 1
            if len(sample) < _SAMPLE_BYTES:
                sample += line
    if bad <= good:
        return "utf-8", f"read as UTF-8: {bad} lines are not, and {good} with accents are" if bad else ""
    encoding = _one_byte(bytes(sample))
    return (
        encoding,
        f"read as {_ONE_BYTE[encoding]}: {bad} lines are not UTF-8, and their accents fit it best",
    )


def _wide(head: bytes) -> str | None:
    """Find UTF-16 without its mark: every other byte of Latin text is zero."""
    pairs = len(head) // 2
    if pairs >= 4:
        if head[1::2].count(0) > 0.4 * pairs and head[0::2].count(0) == 0:
            return "utf-16-le"
        if head[0::2].count(0) > 0.4 * pairs and head[1::2].count(0) == 0:
            return "utf-16-be"
    return None


def _one_byte(sample: bytes) -> str:
    def score(encoding: str) -> float:
        text = sample.decode(encoding, errors="replace")
        return sum(_weight(text, found.start()) for found in _IN_A_WORD.finditer(text))

    return max(_ONE_BYTE, key=score)  # of equals the first


def _weight(text: str, at: int) -> float:
    """Say how much a sign within a word speaks for its encoding: a letter that is expected, and as large or small as its neighbours."""
    sign = text[at]
    if sign not in _EXPECTED:
        return -0.2 if sign.isalpha() else -1.0
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    odd = before.islower() if sign.isupper() else before.isupper() and after.isupper()
    return 0.5 if odd else 1.0
