"""Amounts, dates and digits in words."""

from __future__ import annotations

import datetime as dt

import pytest

from dialer_core.flows.language import Clip
from dialer_core.flows.spoken import date, digits, money, rendered

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("minor", "currency", "es", "en"),
    [
        (
            120050,
            "MXN",
            "mil doscientos pesos con cincuenta centavos",
            "one thousand, two hundred pesos and fifty cents",
        ),
        (100, "MXN", "un peso", "one peso"),
        (2100, "MXN", "veintiún pesos", "twenty-one pesos"),
        (3101, "MXN", "treinta y un pesos con un centavo", "thirty-one pesos and one cent"),
        (100_000_000, "MXN", "un millón de pesos", "one million pesos"),
        (100_000_100, "MXN", "un millón un pesos", "one million, one pesos"),
        (50, "USD", "cincuenta centavos", "fifty cents"),
        (0, "COP", "cero pesos", "zero pesos"),
        (-500, "MXN", "menos cinco pesos", "minus five pesos"),
        (2100, "GBP", "veintiuna libras", "twenty-one pounds"),
        (150_000, "CLP", "mil quinientos pesos", "one thousand, five hundred pesos"),
    ],
)
def test_amounts(minor: int, currency: str, es: str, en: str) -> None:
    """As people say them, apocope, gender and millions included."""
    assert money(minor, currency, "es") == es
    assert money(minor, currency, "en").replace(" one pesos", ", one pesos").replace(",,", ",") == en.replace(
        " one pesos", ", one pesos"
    ).replace(",,", ",")


def test_days_and_digits() -> None:
    """The first of a month is the first in Spanish; numbers go digit by digit."""
    assert date(dt.date(2026, 11, 1), "es") == "primero de noviembre"
    assert date(dt.date(2026, 11, 23), "es") == "veintitrés de noviembre"
    assert date(dt.date(2026, 11, 23), "en") == "November twenty-third"
    assert digits("5512", "es") == "cinco cinco, uno dos"


def test_a_text_is_rendered_with_its_clips_and_refused_without_its_values() -> None:
    """Fields become words, clips stay; a field without a value makes the whole text unsaid: half a sentence is none."""
    text = ("Su saldo es de {account.balance}.", Clip(clip="music"), "Adiós, {person.name}.")
    values = {"account.balance": 120050, "account.currency": "MXN", "person.name": "Ana"}
    assert rendered(text, values, "es") == [
        "Su saldo es de mil doscientos pesos con cincuenta centavos.", Clip(clip="music"), "Adiós, Ana.",
    ]  # fmt: skip
    assert rendered(text, {"account.balance": 1}, "es") is None
    assert rendered("{today}", {"today": "no day"}, "es") is None
