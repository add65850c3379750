"""Texts become the short messages that the GSM specifications say, no more of them than needed, and none torn apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.sms.alphabet import GSM7, UCS2, decode, encode, is_gsm7

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "coding", "lengths"),
    [
        ("a" * 160, GSM7, [160]),
        ("a" * 161, GSM7, [153, 8]),
        ("€" * 80, GSM7, [160]),  # two septets each
        ("€" * 81, GSM7, [152, 10]),  # none torn between two parts: 76 and 5
        ("ñÑ¿¡éüÜ", GSM7, [7]),
        ("á" * 70, UCS2, [140]),
        ("á" * 71, UCS2, [134, 8]),
        ("😀" * 35, UCS2, [140]),
        ("😀" * 36, UCS2, [132, 12]),  # 67 units hold 33 pairs
        ("مرحبا", UCS2, [10]),
        ("a" * 306, GSM7, [153, 153]),
        ("", GSM7, [0]),
    ],
)
def test_lengths_are_the_specifications(text: str, coding: int, lengths: list[int]) -> None:
    """160 septets or 70 units alone, 153 or 67 in each of several."""
    encoded = encode(text)
    assert encoded.data_coding == coding
    assert [len(part) for part in encoded.parts] == lengths


def test_the_table_is_the_specifications() -> None:
    """Octets of characters that stand elsewhere in ASCII or Latin-1."""
    assert encode("@£$_ÑñÄöà§").parts == (bytes([0, 1, 2, 0x11, 0x5D, 0x7D, 0x5B, 0x7C, 0x7F, 0x5F]),)
    assert encode("[€]").parts == (bytes([0x1B, 0x3C, 0x1B, 0x65, 0x1B, 0x3E]),)
    assert is_gsm7("Hola, ¿cómo") is False  # it has é, ñ and ü, and no ó


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=500))
def test_what_goes_out_comes_back(text: str) -> None:
    """Whatever is written: the parts, read one after another, are the text, and each fits."""
    encoded = encode(text)
    longest = {GSM7: (160, 153), UCS2: (140, 134)}[encoded.data_coding][len(encoded.parts) > 1]
    assert all(len(part) <= longest for part in encoded.parts)
    assert "".join(decode(encoded.data_coding, part) for part in encoded.parts) == text


def test_what_belongs_together_stays_together() -> None:
    """A family of joined emoji, a skin tone and a letter with its mark are not parted; one too large for a part is, between characters."""
    for cluster in ("👨\u200d👩\u200d👧", "👍🏽", "e\u0301"):
        text = "я" * 66 + cluster + "я" * 40
        encoded = encode(text)
        assert any(cluster in decode(UCS2, part) for part in encoded.parts)
    assert "".join(decode(UCS2, one) for one in encode("e" + "\u0301" * 200).parts) == "e" + "\u0301" * 200


@pytest.mark.parametrize(
    ("coding", "octets", "text"),
    [(3, b"\xbfqu\xe9?", "¿qué?"), (1, b"SI", "SI"), (0x18, "ñ".encode("utf-16-be"), "ñ"), (0, b"\x1b\x65 5\xff", "€ 5\ufffd"), (8, b"\0", "\ufffd")],
)  # fmt: skip
def test_what_people_write_is_read(coding: int, octets: bytes, text: str) -> None:
    """Latin-1, ASCII, message classes; what cannot be read is shown as that."""
    assert decode(coding, octets) == text


def test_a_text_that_no_header_counts_is_refused() -> None:
    """255 parts are the most."""
    with pytest.raises(ValueError, match="256 short messages"):
        encode("a" * (255 * 153 + 1))
