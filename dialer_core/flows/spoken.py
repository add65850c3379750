"""How values are said: amounts, dates and numbers in words, in Spanish and English.

Pure. Which fields there are is `fields.py`'s; turning words into sound is `speech/`'s; how a message writes them is `messaging/fields.py`'s.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Final, NamedTuple

from num2words import num2words

from dialer_core.flows.fields import Kind, field_of
from dialer_core.flows.language import FIELD, Clip, Language, Text, parts_of
from dialer_core.money import USUAL

MONTHS: Final[dict[str, tuple[str, ...]]] = {
    "es": (
        "enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre", "octubre", "noviembre", "diciembre",
    ),
    "en": (
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
    ),
}  # fmt: skip


class _Names(NamedTuple):
    """A currency's names: one, several, one hundredth, several; None: it has no hundredths in use."""

    one: str
    many: str
    cent: str | None
    cents: str | None
    feminine: bool = False


_CURRENCIES: Final[dict[str, dict[str, _Names]]] = {
    "es": {
        "MXN": _Names("peso", "pesos", "centavo", "centavos"),
        "COP": _Names("peso", "pesos", "centavo", "centavos"),
        "ARS": _Names("peso", "pesos", "centavo", "centavos"),
        "CLP": _Names("peso", "pesos", None, None),
        "USD": _Names("dólar", "dólares", "centavo", "centavos"),
        "EUR": _Names("euro", "euros", "céntimo", "céntimos"),
        "PEN": _Names("sol", "soles", "céntimo", "céntimos"),
        "BRL": _Names("real", "reales", "centavo", "centavos"),
        "GBP": _Names("libra", "libras", "penique", "peniques", feminine=True),
    },
    "en": {
        "MXN": _Names("peso", "pesos", "cent", "cents"),
        "COP": _Names("peso", "pesos", "cent", "cents"),
        "ARS": _Names("peso", "pesos", "cent", "cents"),
        "CLP": _Names("peso", "pesos", None, None),
        "USD": _Names("dollar", "dollars", "cent", "cents"),
        "EUR": _Names("euro", "euros", "cent", "cents"),
        "PEN": _Names("sol", "soles", "cent", "cents"),
        "BRL": _Names("real", "reais", "cent", "cents"),
        "GBP": _Names("pound", "pounds", "penny", "pence"),
    },
}


def cardinal(number: int, language: Language) -> str:
    """Return a whole number in words."""
    return (
        str(num2words(number, lang=language)).replace(" and ", " ")
        if language == "en"
        else str(num2words(number, lang=language))
    )


def counted(number: int, language: Language, *, feminine: bool = False) -> str:
    """Return a number as it stands before what it counts: `veintiún`, `treinta y un`, `mil un`; feminine `veintiuna`."""
    words = cardinal(number, language)
    if language == "en" or not words.endswith("uno"):
        return words
    if feminine:
        return words[:-1] + "a"
    return words.removesuffix("veintiuno") + "veintiún" if words.endswith("veintiuno") else words[:-1]


def money(minor: int, currency: str, language: Language) -> str:
    """Return an amount in words: `mil doscientos pesos con cincuenta centavos`.

    Parameters
    ----------
    minor
        In hundredths of the currency, also where it has no such coins; negative: said with `menos` or `minus`.
    currency
        ISO 4217; of one that has no names here the code is said.
    language
        In which.
    """
    names = _CURRENCIES[language].get(currency) or _Names(currency, currency, None, None)
    whole, rest = divmod(abs(minor), 100)
    said = f"{counted(whole, language, feminine=names.feminine)} {names.one if whole == 1 else names.many}"
    if language == "es" and whole and not whole % 1_000_000:  # un millón de pesos
        said = f"{counted(whole, language)} de {names.many}"
    if rest and names.cent and names.cents:
        joint = "con" if language == "es" else "and"
        cents = f"{counted(rest, language)} {names.cent if rest == 1 else names.cents}"
        said = f"{said} {joint} {cents}" if whole else cents
    minus = {"es": "menos", "en": "minus"}[language]
    return f"{minus} {said}" if minor < 0 else said


def date(day: dt.date, language: Language) -> str:
    """Return a day in words: `veintitrés de noviembre`, `November twenty-third`."""
    month = MONTHS[language][day.month - 1]
    if language == "es":
        return f"{'primero' if day.day == 1 else cardinal(day.day, 'es')} de {month}"
    return f"{month} {num2words(day.day, lang='en', to='ordinal')}"


def digits(text: str, language: Language) -> str:
    """Return every digit of a text in words, with a pause after each group of two or three."""
    found = [cardinal(int(one), language) for one in text if one.isdecimal()]
    size = 3 if len(found) % 2 else 2
    groups = [" ".join(found[at : at + size]) for at in range(0, len(found), size)]
    return ", ".join(groups)


def said(kind: Kind, value: str | int | None, language: Language, currency: str) -> str:
    """Return a value as it is said; nothing where there is none, or it is not of its kind."""
    if value is None or value == "":
        return ""
    try:
        match kind:
            case Kind.MONEY:
                return money(int(value), currency, language)
            case Kind.DATE:
                return date(dt.date.fromisoformat(str(value)), language)
            case Kind.NUMBER:
                return cardinal(int(value), language)
            case Kind.DIGITS:
                return digits(str(value), language) or str(value)
            case _:
                return str(value)
    except ValueError:
        return ""


def rendered(
    text: Text, values: Mapping[str, str | int | None], language: Language
) -> list[str | Clip] | None:
    """Return a text's parts with every field in words; None where a field has no value.

    A part that is nothing but spaces is left out.
    """
    currency = str(values.get("account.currency") or USUAL)
    parts: list[str | Clip] = []
    for part in parts_of(text):
        if isinstance(part, Clip):
            parts.append(part)
            continue
        pieces, at = [], 0
        for match in FIELD.finditer(part):
            field = field_of(match.group(1))
            value = (
                said(field.kind, values.get(match.group(1)), language, currency) if field is not None else ""
            )
            if not value:
                return None
            pieces += [part[at : match.start()], value]
            at = match.end()
        whole = " ".join("".join([*pieces, part[at:]]).split())
        if whole:
            parts.append(whole)
    return parts


__all__ = ["MONTHS", "cardinal", "counted", "date", "digits", "money", "rendered", "said"]
