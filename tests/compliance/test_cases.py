"""Hand-worked cases of the packaged rule packs: the table beside this file, each with what it stands on and the answer."""

import datetime as dt
import re
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from dialer_core.compliance.facts import ContactRequest, Facts
from dialer_core.compliance.gate import Refused, decide
from dialer_core.store.contacts import Entry
from dialer_core.store.restrictions import Active
from dialer_core.vocabulary import AccountId, Channel, PersonId, PhoneId, RestrictionKind, RestrictionScope
from tests.compliance.packs_for_tests import packaged

pytestmark = pytest.mark.unit

TABLE = Path(__file__).parent / "cases.csv"
CASES = [
    line.split("|")
    for line in TABLE.read_text(encoding="utf-8").splitlines()
    if line.strip() and not line.startswith("#")
]
VALUES = {"person": "p", "account": "a", "number": "+1", "phone": "f"}
MINUTE = dt.timedelta(minutes=1)


def instant(text: str, zone: str) -> dt.datetime:
    """Read `Tue 2025-03-04 07:00` in a zone, and check that it was a Tuesday."""
    weekday, wall = text.strip().split(" ", 1)
    found = dt.datetime.fromisoformat(wall).replace(tzinfo=ZoneInfo(zone))
    assert found.strftime("%a") == weekday, f"{wall} is a {found:%A}"
    return found.astimezone(dt.UTC)


def history(text: str, zone: str, number: str) -> tuple[list[Entry], list[Active]]:
    """Read what came before: contacts, newest first where there are several, and restrictions."""
    contacts: list[Entry] = []
    restrictions: list[Active] = []
    for part in filter(None, text.split(",")):
        if match := re.fullmatch(r"(\w+)@(\w{3} [\d-]+ [\d:]+)(!?)(?:=(\w+))?(?: x(\d+))?", part):
            channel, when, talked, outcome, times = match.groups()
            at = instant(when, zone)
            contacts += [
                Entry(
                    PersonId("p"),
                    AccountId("a"),
                    number,
                    Channel(channel),
                    at - back * MINUTE,
                    bool(talked),
                    outcome,
                )
                for back in range(int(times or 1))
            ]
        else:
            match = re.fullmatch(r"(\w+):(\w+)(?::(\w+))?(?:@(.+))?", part)
            assert match is not None, part
            kind, scope, channel, until = match.groups()
            end = instant(until, zone) if until else None
            value = number if scope == "number" else VALUES[scope]
            if end is None or end > dt.datetime.min.replace(tzinfo=dt.UTC):
                restrictions.append(
                    Active(
                        RestrictionKind(kind),
                        RestrictionScope(scope),
                        value,
                        Channel(channel) if channel else None,
                        end,
                    )
                )
    return contacts, restrictions


def test_there_are_enough_of_them() -> None:
    """Every packaged pack of a country has cases, and there are more than eighty of them."""
    assert len(CASES) >= 80
    assert {case[0] for case in CASES} == {
        "mx",
        "us-federal",
        "us-fl",
        "uk",
        "uk-strict",
        "co",
        "es",
        "cl",
        "pe",
        "ar",
        "br",
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} {case[2]} {case[5]}"[:90])
def test_case(case: list[str]) -> None:
    """The gate answers as was worked out by hand: yes, or which rule and until when."""
    name, callee, when, before, expected, _ = case
    words = callee.split()
    zones = tuple(word for word in words if "/" in word)
    options = dict(word.split("=") for word in words if "=" in word)
    number = next((word for word in words if word.startswith("+")), "+1")
    home = zones[0] if zones else "UTC"
    channel = Channel(options.get("channel", "voice"))
    contacts, restrictions = history(before, home, number)
    request = ContactRequest(
        PersonId("p"), AccountId("a"), channel, number, PhoneId("f"), zones, "collection", None, instant(when, home),
        options.get("region"), options.get("kind", "unknown"), {"yes": True, "no": False}.get(options.get("consent", "")),
    )  # fmt: skip
    answer = decide(request, packaged(name), Facts(contacts, restrictions))
    if not isinstance(answer, Refused):
        assert expected == "yes"
        return
    rule, _, until = expected.partition(" ")
    assert (answer.rule, answer.reason != "") == (rule, True), answer
    wanted = None if until == "for good" else instant(until.removeprefix("until "), home)
    assert answer.allowed_from == wanted, answer
