"""Phone numbers as people write them, to E.164. Mexico's old prefixes first: libphonenumber's metadata no longer strips them.

It owns normalising and the reasons of a refusal. Reasons never quote the number, so they may be logged (I17). Zones are
`zones.py`'s.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import phonenumbers

from dialer_core.compliance.zones import has_area_code

MEXICO = "MX"

NORTH_AMERICA = "+1"
DECIDING = 9
"""Characters, `+1` among them, that decide about a number of North America: no rule of the library looks at its last three digits."""

_SEPARATORS = re.compile(r"[\s().\-/_\u2010-\u2015'`\u00b4]+")
_PUNCTUATION = str.maketrans("", "", " ()-")
_EXTENSION = re.compile(r"(ext|extension|int|x|#)\.?\s*\d{1,6}\s*$", re.IGNORECASE)
_SCIENTIFIC = re.compile(r"^\d(\.\d+)?e\+?\d+$", re.IGNORECASE)
_NOT_A_DEBTORS = frozenset(
    {
        phonenumbers.PhoneNumberType.TOLL_FREE,
        phonenumbers.PhoneNumberType.PREMIUM_RATE,
        phonenumbers.PhoneNumberType.SHARED_COST,
        phonenumbers.PhoneNumberType.VOICEMAIL,
        phonenumbers.PhoneNumberType.UAN,
    }
)

# (digits in all, prefix) of ten Mexican digits written as they were until 2019 or 2020, with and without the country's 52.
_MEXICAN_PREFIXES = (
    (12, "52"),
    (13, "521"),
    (12, "01"),
    (13, "044"),
    (13, "045"),
    (14, "5201"),
    (15, "52044"),
    (15, "52045"),
)


ARGENTINA = "54"
_ARGENTINE_MOBILE = re.compile(r"54(9?)0?(\d{2,4}?)15(\d{6,8})").fullmatch
"""A mobile of Argentina with the `15` that is dialed within the country: the `9` in front says the same."""


class NumberError(ValueError):
    """A text is not a number that can be dialed; the message says why and does not quote it."""


def normalise(text: str, country: str = MEXICO) -> str:
    """Return a number in E.164 form.

    Parameters
    ----------
    text
        As written: `55 1234 5678`, `044 55 1234 5678`, `+52 1 55 1234 5678`, `+1 212 555 1234`.
    country
        ISO code of the country of numbers without `+` or `00`.

    Raises
    ------
    NumberError
        It is not a number, not possible, or not one a debtor can have.
    """
    if country == MEXICO and (plain := text.translate(_PUNCTUATION)).isdecimal() and plain.isascii():
        # most of a Mexican file: ten digits, or those with an old prefix, with the usual punctuation
        if len(plain) == 10 and plain[0] not in "01" and plain.count(plain[0]) != 10 and has_area_code(plain):
            return f"+52{plain}"
        cleaned = f"+{plain[2:]}" if plain.startswith("00") else plain
    else:
        cleaned = _clean(text)
    international = cleaned.startswith("+")
    digits = cleaned.removeprefix("+")
    if not digits.isascii() or not digits.isdigit():
        raise NumberError(
            "holds something that is not a digit" if any(c.isdigit() for c in digits) else "is not a number"
        )
    if len(set(digits)) == 1:
        raise NumberError("one digit repeated: a placeholder")
    if len(digits) < 7:
        raise NumberError(f"too short: {len(digits)} digits")
    if len(digits) > 15:
        raise NumberError(f"too long: {len(digits)} digits")
    if international and digits.startswith(ARGENTINA) and len(digits) > 13:
        digits = _argentine(digits)
    if (international and digits.startswith("52")) or (not international and country == MEXICO):
        return _mexican(digits, international=international)
    return _foreign(f"+{digits}" if international else digits, None if international else country)


def _argentine(digits: str) -> str:
    found = _ARGENTINE_MOBILE(digits)
    if found is None or len(found[2]) + len(found[3]) != 10:
        return digits
    return f"549{found[2]}{found[3]}"


def _clean(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text).strip().lower().removeprefix("tel:")
    plain = plain.removesuffix(".0")  # a spreadsheet took it for a number
    if _SCIENTIFIC.match(plain.replace(",", ".")):
        raise NumberError(
            "written in scientific notation: its last digits are lost; export the column as text"
        )
    if _EXTENSION.search(plain):
        raise NumberError("has an extension, which cannot be dialed")
    plain = _SEPARATORS.sub("", plain)
    plain = "+" + plain[2:] if plain.startswith("00") else plain
    return plain.replace("+(", "+")


def _mexican(digits: str, *, international: bool) -> str:
    national = digits
    for length, prefix in _MEXICAN_PREFIXES:
        if len(digits) == length and digits.startswith(prefix):
            national = digits[len(prefix) :]
            break
    else:
        if len(digits) != 10 or international:
            count = len(digits) - 2 if international else len(digits)
            hint = "; write +1 or +52 before it" if len(digits) == 11 and digits[0] == "1" else ""
            raise NumberError(f"{count} digits; a Mexican number has 10{hint}")
    if len(set(national)) == 1:
        raise NumberError("one digit repeated: a placeholder")
    if national[0] not in "01" and has_area_code(national):
        return f"+52{national}"
    return _foreign(f"+52{national}", None)  # a code newer than our table, or none at all


def _foreign(text: str, country: str | None) -> str:
    if len(text) == 12 and text.startswith(NORTH_AMERICA):
        _north_american(text[:DECIDING])
        return text
    return _asked(text, country)


@lru_cache(maxsize=50_000)
def _north_american(beginning: str) -> None:
    """Ask the library about a number of North America by its deciding digits; raises as it does. A refusal is not kept."""
    _asked(f"{beginning}012", None)


def _asked(text: str, country: str | None) -> str:
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException as error:
        raise NumberError("is not a possible number of any country") from error
    if not phonenumbers.is_valid_number(number):
        raise NumberError("no such number: its country has no such prefix or length")
    if phonenumbers.number_type(number) in _NOT_A_DEBTORS:
        raise NumberError("a toll-free, premium or service number")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
