"""Which time zones a number or a region may lie in. Every one of them must allow a call, so a wrong guess only narrows the hours.

It owns the own table for Mexico (`mx_area_codes.csv`: libphonenumber's zones are wrong there for calling hours) and the region table
(`mx_states.csv`). Other countries come from libphonenumber. Unknown is an empty tuple, and the gate refuses it. Numbers are E.164 as
`phone_numbers.py` leaves them; nothing here logs.
"""

from __future__ import annotations

import csv
import unicodedata
import zoneinfo
from functools import lru_cache
from importlib import resources

import phonenumbers
from phonenumbers import timezone

Zones = tuple[str, ...]

MEXICO = "+52"
MAX_ZONES = 6
"""A number that libphonenumber places in more zones (toll-free, whole of North America) is taken as unknown."""

_UNKNOWN = "Etc/Unknown"


def zones_of_number(e164: str) -> Zones:
    """Return the candidate IANA zones of a number, sorted; empty where unknown."""
    if e164.startswith(MEXICO):
        return _mexican_zones(e164.removeprefix(MEXICO))
    if len(e164) == 12 and e164.startswith("+1"):
        return _zones_of_beginning(e164[:9])
    return _asked(e164)


@lru_cache(maxsize=50_000)
def _zones_of_beginning(beginning: str) -> Zones:
    """Return the zones of a number of North America, which its last three digits do not change."""
    return _asked(f"{beginning}012")


def _asked(e164: str) -> Zones:
    try:
        number = phonenumbers.parse(e164)
    except phonenumbers.NumberParseException:
        return ()
    found = tuple(sorted(zone for zone in timezone.time_zones_for_number(number) if zone != _UNKNOWN))
    return found if len(found) <= MAX_ZONES and all(is_zone(zone) for zone in found) else ()


def has_area_code(national: str) -> bool:
    """Say whether ten Mexican digits begin with an area code of the table."""
    return bool(_mexican_zones(national))


def zones_of_region(region: str) -> Zones:
    """Return the zones of a region (`MX-BCN`, a Mexican state's name, or an IANA zone itself); empty where unknown."""
    if is_zone(region):
        return (region,)
    return _states().get(_fold(region), ())


def region_code(region: str) -> str | None:
    """Return the ISO 3166-2 code of a Mexican state by its code or name, or None."""
    return _state_codes().get(_fold(region))


@lru_cache(maxsize=4096)
def combine(*groups: Zones) -> Zones:
    """Return every zone of several sources, sorted: a call must be allowed in all of them."""
    return tuple(sorted({zone for group in groups for zone in group}))


@lru_cache(maxsize=1024)
def is_zone(name: str) -> bool:
    """Say whether a name is an IANA zone that this machine knows."""
    if "/" not in name:  # `EST`, `posixrules` and other files of the database are not what a user means
        return False
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _mexican_zones(national: str) -> Zones:
    codes = _area_codes()
    for length in (4, 3, 2):
        if zones := codes.get(national[:length]):
            return zones
    return ()


def _rows(name: str) -> list[dict[str, str]]:
    text = resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


@lru_cache(maxsize=1)
def _area_codes() -> dict[str, Zones]:
    return {row["area_code"]: tuple(sorted(row["zones"].split())) for row in _rows("mx_area_codes.csv")}


@lru_cache(maxsize=1)
def _states() -> dict[str, Zones]:
    zones = {row["code"]: tuple(sorted(row["zones"].split())) for row in _rows("mx_states.csv")}
    return {name: zones[code] for name, code in _state_codes().items()}


@lru_cache(maxsize=1)
def _state_codes() -> dict[str, str]:
    names: dict[str, str] = {}
    for row in _rows("mx_states.csv"):
        for name in (row["code"], row["name"], *row["also"].split("|")):
            if name:
                names[_fold(name)] = row["code"]
    return names


def _fold(name: str) -> str:
    """Fold case, accents and spacing, so that `Querétaro` is `queretaro`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return " ".join(plain.casefold().replace(".", " ").split())
