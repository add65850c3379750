"""The gate agrees with a slow, obvious one on whether and from when, over random packs, people, histories and daylight changes (I11)."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialer_core.compliance.calendar import WEEKDAYS
from dialer_core.compliance.facts import ContactRequest, Facts
from dialer_core.compliance.gate import Refused, decide
from dialer_core.store.contacts import Entry
from dialer_core.store.restrictions import Active
from dialer_core.vocabulary import (
    AccountId,
    CampaignId,
    Channel,
    PersonId,
    PhoneId,
    RestrictionKind,
    RestrictionScope,
)
from tests.compliance.packs_for_tests import pack_of, weekly
from tests.compliance.reference_gate import Asked, Ban, PastContact, allowed, first_allowed

pytestmark = pytest.mark.unit

QUARTER = dt.timedelta(minutes=15)
TRIED = 10 * dt.timedelta(days=1)
CHANNELS = ("voice", "sms")
ZONES = (
    "America/Mexico_City",
    "America/Tijuana",
    "America/Cancun",
    "America/New_York",
    "America/Santiago",
    "Europe/Madrid",
)

spans = st.lists(st.integers(0, 96), min_size=2, max_size=4, unique=True).map(
    lambda quarters: [
        f"{a // 4:02d}:{a % 4 * 15:02d}-{b // 4:02d}:{b % 4 * 15:02d}"
        for a, b in zip(sorted(quarters)[::2], sorted(quarters)[1::2], strict=False)
    ]
)
# two weeks in three leave most of the time open, so that caps and quiet periods decide, and not the window alone
weeks = st.one_of(
    st.just({day: ["00:00-24:00"] for day in WEEKDAYS}),
    st.just({day: ["01:00-23:30"] for day in WEEKDAYS[:6]}),
    st.fixed_dictionaries({day: st.one_of(st.just([]), spans, spans) for day in WEEKDAYS}).filter(
        lambda week: any(week.values())
    ),
)
channel_sets = st.lists(st.sampled_from(CHANNELS), unique=True, max_size=2)
scopes = st.sampled_from(["person", "account", "address"])
caps = st.lists(
    st.one_of(
        st.fixed_dictionaries({"per": scopes, "limit": st.integers(1, 3), "rolling_days": st.sampled_from([0.5, 1, 2, 7]), "channels": channel_sets}),
        st.fixed_dictionaries({"per": scopes, "limit": st.integers(1, 3), "local_days": st.integers(1, 7), "channels": channel_sets}),
    ),
    min_size=1,
    max_size=3,
)  # fmt: skip
outcomes = st.lists(st.sampled_from(["machine", "no_answer"]), max_size=1)
quiets = st.lists(
    st.one_of(
        st.fixed_dictionaries({"per": scopes, "local_days": st.integers(1, 7), "channels": channel_sets, "after": outcomes}),
        st.fixed_dictionaries({"per": scopes, "hours": st.sampled_from([6, 24, 60]), "channels": channel_sets, "after": outcomes}),
    ),
    max_size=2,
)  # fmt: skip
singles = st.lists(st.fixed_dictionaries({"per": scopes, "local_days": st.integers(1, 5)}), max_size=1)
consent_rules = st.lists(
    st.fixed_dictionaries({"channels": st.just(["voice"]), "phone_kinds": st.sampled_from([[], ["mobile"]])}),
    max_size=1,
)
# an inner pack for part of the jurisdiction: nobody's, the number's or the region's
inner_places = st.sampled_from([None, {"prefixes": ["+1"]}, {"prefixes": ["+2"]}, {"regions": ["XX-A"]}])
# moments near a daylight change of one of the zones, and any others; everything happens at quarter hours, which is what the reference tries
moments = st.tuples(
    st.sampled_from(["2025-03-09T07:00", "2025-11-02T06:00", "2022-10-30T07:00", "2024-09-08T04:00", "2024-04-07T03:00", "2025-06-11T12:00"]),
    st.integers(-4 * 96, 4 * 96),
).map(lambda pair: dt.datetime.fromisoformat(pair[0]).replace(tzinfo=dt.UTC) + pair[1] * QUARTER)  # fmt: skip
histories = st.lists(
    st.tuples(
        st.sampled_from(["p", "p", "other"]),
        st.sampled_from(["a", "a", "b"]),
        st.sampled_from(["+1", "+1", "+2"]),
        st.sampled_from(CHANNELS),
        st.integers(1, 9 * 96),
        st.booleans(),
        st.sampled_from(["machine", "no_answer", "busy"]),
    ),
    min_size=1,
    max_size=12,
)
bans = st.just([]) | st.lists(
    st.tuples(
        st.sampled_from([("person", "p"), ("person", "other"), ("account", "a"), ("number", "+1"), ("number", "+2"), ("phone", "f")]),
        st.sampled_from([None, *CHANNELS]),
        st.one_of(st.none(), st.integers(-40, 5 * 96)),
        st.sampled_from([None, None, "sun 00:00-24:00", "tue 09:00-17:15", "wed 00:30-02:30"]),
    ),
    max_size=2,
)  # fmt: skip
people = st.tuples(
    st.sampled_from([None, "XX-A"]),
    st.sampled_from(["mobile", "work"]),
    st.sampled_from([None, None, None, True, False]),
    st.sampled_from([None, None, True, False]),
    st.sampled_from(["", "", "", "", "", "paid", "withdrawn", "promise"]),
    st.sampled_from(["collection", "promise_reminder"]),
)
"""Region, kind of number, what is known of the number's and of the person's consent; the account's standing, and what for."""


def _named(kind: str, rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [rule | {"id": f"{kind}{number}", "cite": ["test"]} for number, rule in enumerate(rules)]


@given(
    weeks,
    caps,
    quiets,
    st.tuples(singles, consent_rules, inner_places, weeks, caps),
    moments,
    histories,
    bans,
    st.lists(st.sampled_from(ZONES), min_size=1, max_size=2, unique=True),
    st.sampled_from(CHANNELS),
    st.sampled_from([False, False, True]),
    people,
)
@settings(max_examples=300, deadline=None)
def test_the_gate_agrees_with_the_slow_one(
    week: dict[str, list[str]],
    cap_rules: list[dict[str, Any]],
    quiet_rules: list[dict[str, Any]],
    more: tuple[list[Any], list[Any], dict[str, Any] | None, dict[str, list[str]], list[dict[str, Any]]],
    now: dt.datetime,
    history: list[tuple[str, str, str, str, int, bool, str]],
    banned: list[tuple[tuple[str, str], str | None, int | None, str | None]],
    zones: list[str],
    channel: str,
    holiday: bool,  # noqa: FBT001
    person: tuple[str | None, str, bool | None, bool | None, str, str],
) -> None:
    """Allowed or refused alike, and `allowed_from` is the first quarter hour that the slow gate allows, or later than it looked."""
    single_rules, consent_needed, place, inner_week, inner_caps = more
    pack = pack_of(
        windows=weekly(week),
        caps=_named("cap", cap_rules),
        quiet_periods=_named("quiet", quiet_rules),
        single_channels=_named("single", single_rules),
        consents=_named("consent", consent_needed),
        local=[{"pack": "inner", "cite": ["test"], **place}] if place else [],
        holidays={"days": [{"date": now.date().isoformat(), "name": "x", "cite": ["test"]}]}
        if holiday
        else {},
    )
    pack.link({"inner": pack_of(name="inner", windows=weekly(inner_week), caps=_named("inner", inner_caps))})
    region, kind, number_consent, person_consent, standing, purpose = person
    past = [
        PastContact(who, account, address, by, now - ago * QUARTER, talked, outcome)
        for who, account, address, by, ago, talked, outcome in history
    ]
    restrictions = [
        Ban(scope, value, by, None if quarters is None else now + quarters * QUARTER, hours)
        for (scope, value), by, quarters, hours in banned
    ]
    asked = Asked(
        "p",
        "a",
        "+1",
        "f",
        channel,
        tuple(sorted(zones)),
        region,
        kind,
        (number_consent, person_consent),
        standing,
        purpose,
    )
    found = decide(
        ContactRequest(
            PersonId("p"), AccountId("a"), Channel(channel), "+1", PhoneId("f"), asked.zones, purpose, CampaignId("c"), now,
            region, kind, number_consent,
        ),
        pack,
        Facts(
            [Entry(PersonId(one.person), AccountId(one.account), one.address, Channel(one.channel), one.at, one.talked, one.outcome) for one in past],
            [
                Active(
                    RestrictionKind.DO_NOT_CALL, RestrictionScope(ban.scope), ban.value,
                    Channel(ban.channel) if ban.channel else None, ban.until, ban.hours,
                )
                for ban in restrictions
                if ban.until is None or ban.until > now
            ],
            {Channel(channel): {} if person_consent is None else {(PersonId("p"), None): person_consent}},
            {AccountId("a"): standing} if standing else {},
        ),
    )  # fmt: skip
    assert isinstance(found, Refused) != allowed(asked, pack, past, restrictions, now)
    if not isinstance(found, Refused):
        assert all(count < limit for count, limit in found["counts"].values())
        return
    assert found.rule != "gate_error"
    expected = first_allowed(asked, pack, past, restrictions, now, now + TRIED, QUARTER)
    if expected is not None:
        assert found.allowed_from == expected
    elif found.allowed_from is not None:
        assert found.allowed_from >= now + TRIED
