"""A year of calls in four jurisdictions, with every daylight change: none forbidden, nobody starved, every refusal explained."""

import datetime as dt
import random

import pytest

from dialer_core.compliance.facts import ContactRequest, Facts
from dialer_core.compliance.gate import Refused, decide
from dialer_core.compliance.rules import RulePack
from dialer_core.store.contacts import Entry
from dialer_core.verify import slow_gate
from dialer_core.vocabulary import AccountId, Channel, PersonId, PhoneId
from tests.compliance.packs_for_tests import packaged
from tests.compliance.reference_gate import Asked, PastContact, allowed

pytestmark = pytest.mark.unit

BEGIN = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
END = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
REMEMBERED = dt.timedelta(days=12)
"""Longer than any rule of these packs looks back."""
LONGEST_GAP = dt.timedelta(days=15)
"""Of the longest rule, seven days, with Easter or the turn of the year and a weekend at its end."""
QUARTER = dt.timedelta(minutes=15)
CALLEES = [
    ("mx", ("America/Tijuana",), "+526641234567"),
    ("mx", ("America/Ciudad_Juarez", "America/Mexico_City"), "+526561234567"),
    ("us-federal", ("America/New_York", "America/Los_Angeles"), "+12125550100"),
    ("us-federal", ("America/New_York",), "+13055550100"),
    ("uk", ("Europe/London",), "+442071234567"),
    ("cl", ("America/Santiago",), "+56221234567"),
]
CHANGES = {
    "America/Tijuana": ("2025-03-09T10:00", "2025-11-02T09:00"),
    "America/Ciudad_Juarez": ("2025-03-09T09:00", "2025-11-02T08:00"),
    "America/New_York": ("2025-03-09T07:00", "2025-11-02T06:00"),
    "America/Los_Angeles": ("2025-03-09T10:00", "2025-11-02T09:00"),
    "Europe/London": ("2025-03-30T01:00", "2025-10-26T01:00"),
    "America/Santiago": ("2025-04-06T03:00", "2025-09-07T04:00"),
}


def request(zones: tuple[str, ...], number: str, at: dt.datetime) -> ContactRequest:
    """Return a call to a home number, at which no consent is needed."""
    return ContactRequest(
        PersonId("p"),
        AccountId("a"),
        Channel.VOICE,
        number,
        PhoneId("f"),
        zones,
        "collection",
        None,
        at,
        None,
        "home",
    )


def may(
    pack: RulePack, zones: tuple[str, ...], number: str, past: list[PastContact], at: dt.datetime
) -> bool:
    """Say what two slow gates, each written apart, say together: one knows caps and hours, the other holidays by rule."""
    asked = Asked("p", "a", number, "f", "voice", zones, None, "home")
    return allowed(asked, pack, past, [], at) and slow_gate.why_closed(pack, zones, at) is None


@pytest.mark.parametrize(("name", "zones", "number"), CALLEES, ids=lambda value: str(value)[:40])
def test_a_year(name: str, zones: tuple[str, ...], number: str) -> None:
    """Dialed again and again for a year, a person is never called when forbidden, at every promised instant, and never forgotten."""
    pack, chance = packaged(name), random.Random(f"{name}{zones}")
    past: list[PastContact] = []
    at, last, dialed = BEGIN, BEGIN, 0
    while at < END:
        past = [one for one in past if one.at > at - REMEMBERED]
        entries = [
            Entry(PersonId("p"), AccountId("a"), number, Channel.VOICE, one.at, one.talked, one.outcome)
            for one in past
        ]
        answer = decide(request(zones, number, at), pack, Facts(entries, []))
        assert isinstance(answer, Refused) != may(pack, zones, number, past, at), (at, answer)
        if isinstance(answer, Refused):
            assert answer.rule != "gate_error"
            assert answer.reason
            assert answer.allowed_from is not None
            assert answer.allowed_from > at
            assert may(pack, zones, number, past, answer.allowed_from)  # what is promised is kept
            assert not may(pack, zones, number, past, answer.allowed_from - dt.timedelta(minutes=1))
            at = answer.allowed_from
            continue
        assert at - last < LONGEST_GAP, (last, at)
        last, dialed = at, dialed + 1
        outcome = chance.choice(["no_answer", "machine", "connected", "busy"])
        talked = outcome == "connected" and chance.random() < 0.3
        past.append(PastContact("p", "a", number, "voice", at, talked, outcome))
        at += dt.timedelta(minutes=chance.randint(30, 20 * 60))
    assert END - last < LONGEST_GAP
    assert dialed >= 48  # once a week at the least, holidays left out


@pytest.mark.parametrize(("name", "zones", "number"), CALLEES, ids=lambda value: str(value)[:40])
def test_about_every_daylight_change(name: str, zones: tuple[str, ...], number: str) -> None:
    """In the day before and after each change, every quarter hour is allowed or refused as the slow gates say."""
    pack, nothing = packaged(name), Facts([], [])
    for change in {one for zone in zones for one in CHANGES.get(zone, ())}:
        middle = dt.datetime.fromisoformat(change).replace(tzinfo=dt.UTC)
        for step in range(-96, 97):
            at = middle + step * QUARTER
            refused = isinstance(decide(request(zones, number, at), pack, nothing), Refused)
            assert refused != may(pack, zones, number, [], at), at
