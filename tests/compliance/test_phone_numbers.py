"""Phone numbers as people write them, Mexico's old prefixes first."""

import re

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import timezone

from dialer_core.compliance import phone_numbers, zones
from dialer_core.compliance.phone_numbers import NumberError, normalise

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5512345678", "+525512345678"),
        ("55 1234 5678", "+525512345678"),
        ("(55) 1234-5678", "+525512345678"),
        ("55.1234.5678", "+525512345678"),
        ("+52 55 1234 5678", "+525512345678"),
        ("525512345678", "+525512345678"),
        ("0052 55 1234 5678", "+525512345678"),
        ("+52 1 55 1234 5678", "+525512345678"),
        ("+5215512345678", "+525512345678"),
        ("5215512345678", "+525512345678"),
        ("01 55 1234 5678", "+525512345678"),
        ("044 55 1234 5678", "+525512345678"),
        ("045 664 123 4567", "+526641234567"),
        ("+52 044 55 1234 5678", "+525512345678"),
        ("+52 01 55 1234 5678", "+525512345678"),
        ("tel:+525512345678", "+525512345678"),
        ("'5512345678", "+525512345678"),
        ("5512345678.0", "+525512345678"),
        (" 55 1234\u20115678 ", "+525512345678"),
        ("\uff15\uff15\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18", "+525512345678"),
        ("+1 (212) 555-1234", "+12125551234"),
        ("001 212 555 1234", "+12125551234"),
        ("+57 300 123 4567", "+573001234567"),
        ("+34 612 34 56 78", "+34612345678"),
        ("+54 9 11 2345 6789", "+5491123456789"),
        ("+54 11 15 2345 6789", "+5491123456789"),
        ("+54 9 11 15 2345-6789", "+5491123456789"),
        ("+54 9 351 15 612 3456", "+5493516123456"),
        ("+54 11 2345 6789", "+541123456789"),
    ],
)
def test_numbers_become_e164(text: str, expected: str) -> None:
    """Every common way of writing a number gives the one E.164 form."""
    assert normalise(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not a number"),
        ("no tiene", "not a number"),
        ("55x2345678", "not a digit"),
        ("55123", "too short"),
        ("551234567", "9 digits; a Mexican number has 10"),
        ("55123456789", "11 digits"),
        ("15512345678", "write \\+1 or \\+52 before it"),
        ("+52 55 1234 567", "9 digits"),
        ("5555555555", "placeholder"),
        ("0000000000", "placeholder"),
        ("5.51235E+11", "scientific notation"),
        ("5,51235E+11", "scientific notation"),
        ("5512345678 ext 12", "extension"),
        ("5512345678 x12", "extension"),
        ("800 123 4567", "toll-free"),
        ("+1 800 555 1212", "toll-free"),
        ("0012345678901234567", "too long"),
        ("1000000000", "no such number"),
        ("+999 12345678", "possible number of any country"),
        ("+1 123 555 1234", "no such number"),
        ("\u0665\u0665\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668", "not a digit"),
    ],
)
def test_what_is_not_a_number_says_why(text: str, reason: str) -> None:
    """A refusal gives its reason and never quotes the number, so that it may be logged (I17)."""
    with pytest.raises(NumberError, match=reason) as caught:
        normalise(text)
    digits = re.sub(r"\D", "", text)
    assert len(digits) < 7 or digits not in re.sub(r"\D", "", str(caught.value))


def test_numbers_of_another_country() -> None:
    """With another country given, its national numbers are understood."""
    assert normalise("300 123 4567", "CO") == "+573001234567"
    assert normalise("(212) 555-1234", "US") == "+12125551234"


@given(st.text(max_size=30))
def test_any_text_is_a_number_or_refused(text: str) -> None:
    """No text whatever raises anything else, and what comes out is E.164 and stays as it is."""
    try:
        number = normalise(text)
    except NumberError:
        return
    assert re.fullmatch(r"\+[1-9]\d{6,14}", number)
    assert normalise(number) == number


PREFIXES = ["", "01", "044", "045", "52", "521", "+52", "+521", "+52 1 ", "0052"]
NATIONAL = st.from_regex(r"(33|55|81|656|664|998)[2-9][0-9]{6,7}", fullmatch=True).filter(
    lambda digits: len(digits) == 10
)


@given(NATIONAL, st.sampled_from(PREFIXES))
def test_prefixes_change_nothing(national: str, prefix: str) -> None:
    """A Mexican number is the same number under every prefix that it was ever written with."""
    if len(set(national)) > 1:
        assert normalise(prefix + national) == f"+52{national}"


_CODES = range(200, 1000)
_ISLANDS = [
    242,
    246,
    264,
    268,
    284,
    340,
    345,
    441,
    473,
    649,
    658,
    664,
    670,
    671,
    684,
    721,
    758,
    767,
    784,
    787,
    800,
    809,
    849,
    868,
    869,
    876,
    900,
    939,
    983,
]


@given(
    st.sampled_from(_CODES) | st.sampled_from(_ISLANDS),
    st.integers(0, 9999),
    st.sets(st.integers(0, 999), min_size=3, max_size=3),
)
def test_a_number_of_north_america_is_decided_by_its_beginning(
    area: int, middle: int, endings: set[int]
) -> None:
    """Whether there is such a number, and its zones, are what the library says of it alone, whichever neighbour was asked about before."""
    for ending in endings:
        text = f"+1{area}{middle:04d}{ending:03d}"
        number = phonenumbers.parse(text)
        good = (
            phonenumbers.is_valid_number(number)
            and phonenumbers.number_type(number) not in phone_numbers._NOT_A_DEBTORS
            and len(set(text[1:])) > 1
        )
        try:
            found = normalise(text)
        except NumberError:
            assert not good
            continue
        assert good
        assert found == text == phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        theirs = tuple(sorted(timezone.time_zones_for_number(number)))
        assert zones.zones_of_number(text) == (
            theirs if len(theirs) <= zones.MAX_ZONES and theirs != ("Etc/Unknown",) else ()
        )
