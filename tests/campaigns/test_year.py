"""A list worked for a year in four jurisdictions, with shares, quotas, limits and back-off: none forbidden, none starved, each refusal explained.

Time jumps to whatever is due next. Held against the second, slow reading of the rules (`dialer verify`). The two weeks about the spring's daylight
change run every time; the year with `make soak`.
"""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from dialer_core.campaigns import hopper
from dialer_core.campaigns.mix import Mix
from dialer_core.clock import VirtualClock
from dialer_core.store import events
from dialer_core.store.database import open_database
from dialer_core.store.leads import READY_AGAIN_UTC
from dialer_core.verify import verify_store
from dialer_core.vocabulary import Outcome
from tests.campaigns.lists import CAMPAIGN, TABLES, TRUNK, put_lead, put_list_campaign, rows, settings_of
from tests.campaigns.test_recycle import end
from tests.compliance.packs_for_tests import packaged

pytestmark = pytest.mark.unit

CHANGES = {
    "mx": dt.datetime(2025, 3, 9, tzinfo=dt.UTC), "us-federal": dt.datetime(2025, 3, 9, tzinfo=dt.UTC),
    "uk": dt.datetime(2025, 3, 30, tzinfo=dt.UTC), "cl": dt.datetime(2025, 4, 6, tzinfo=dt.UTC),
}  # fmt: skip
QUOTA = 4
LONGEST_GAP = dt.timedelta(days=16)
"""The longest rule and a week of holidays behind it."""
OUTCOMES = (
    *(Outcome.NO_ANSWER,) * 5, *(Outcome.BUSY,) * 4, *(Outcome.MACHINE,) * 3, Outcome.CONNECTED, Outcome.ABANDONED, Outcome.CONGESTION,
    Outcome.UNAVAILABLE, Outcome.CALLER_HUNG_UP,
)  # fmt: skip
ENDLESS = {
    outcome.value: {"after_minutes": 30, "growth": 2, "longest_minutes": 2880, "max_attempts": 100}
    for outcome in OUTCOMES
}
PLACES = [
    ("mx", [("+526641234567", "America/Tijuana"), ("+526561234567", "America/Ciudad_Juarez America/Mexico_City")]),
    ("us-federal", [("+12125550100", "America/New_York America/Los_Angeles"), ("+13055550100", "America/New_York")]),
    ("uk", [("+442071234567", "Europe/London"), ("+442071234568", "Europe/London")]),
    ("cl", [("+56221234567", "America/Santiago"), ("+56221234568", "America/Santiago")]),
]  # fmt: skip


def work(path: Path, name: str, numbers: list[tuple[str, str]], begin: dt.datetime, days: int) -> None:
    """Work a list of five leads for so many days and hold what came of it against the rules."""
    pack, chance = packaged(name), random.Random(name)
    zone = numbers[0][1].partition(" ")[0]
    clock = VirtualClock(begin)
    database = open_database(f"sqlite:///{path / 'year.db'}", clock=clock)
    database.migrate()
    settings = settings_of(
        rule_pack=name,
        attempts={"per_day_part": 2, "per_day": 4},
        recycle=ENDLESS,
        schedule={"zone": zone},
        hopper={"new_share": 0.5, "mix": [{"segment": "a", "share": 2, "most_per_day": QUOTA}]},
    )
    dialed: defaultdict[str, list[dt.datetime]] = defaultdict(list)
    done: dict[str, dt.datetime] = {}
    with database.write() as tx:
        put_list_campaign(tx)
        stored = {
            "settings": settings.model_dump(mode="json"),
            "changed_at_utc": begin - dt.timedelta(days=1),
        }
        tx.execute(TABLES["campaign"].update().values(**stored))
        for index in range(5):
            number, zones = numbers[index % len(numbers)]
            put_lead(tx, [f"{number[:-1]}{index}"], zones=zones, segment="a" if index % 2 else "")
        tx.execute(TABLES["phone"].update().values(kind="home"))
    mix, at, over = Mix(settings.hopper, zone), begin, begin + dt.timedelta(days=days)
    while at < over:
        clock.set_elapsed_s((at - begin).total_seconds())
        with database.write() as tx:
            claim = hopper.claim(
                tx, campaign_id=CAMPAIGN, settings=settings, pack=pack, trunks=[TRUNK] * 2, node="n", boot_id="b", now=at, mix=mix,
            )  # fmt: skip
            for one in claim.attempts:
                dialed[one.lead_id].append(at)
                outcome = chance.choice(OUTCOMES)
                person = outcome in {Outcome.CONNECTED, Outcome.ABANDONED}
                end(
                    tx, one.attempt_id, outcome, at, settings=settings, pack=pack, live_answer=person,
                    abandoned=outcome is Outcome.ABANDONED, talked=outcome is Outcome.CONNECTED,
                )  # fmt: skip
            listed = rows(tx, "lead")
        times = [row["next_at_utc"] for row in listed if row["state"] == "dialable"]
        assert len(times) == 5, Counter(
            (row["state"], row["waiting_for"], row["finished_reason"]) for row in listed
        )
        ahead = [one for one in times if one > READY_AGAIN_UTC]
        ready = len(ahead) < len(times)
        step = dt.timedelta(minutes=5) if claim.attempts else dt.timedelta(hours=1)
        at = at + step if ready else max(min(ahead), at + dt.timedelta(seconds=1))
    with database.read() as tx:
        for told in events.tail(tx, {}, ["lead.blocked"]):
            assert told.data["rule"]
            assert told.data["reason"]
            assert told.data["allowed_from_utc"]
    found = verify_store(database, packs={name: pack}).violations
    broken = [str(one) for one in found if one.invariant in {"I3", "I11", "I12", "I18", "lists"}]
    assert [one for one in broken if "says conversation" not in one] == []  # nobody's legs are bridged here
    for lead, when in dialed.items():
        gaps = [
            later - earlier
            for earlier, later in zip([begin, *when], [*when, done.get(lead, over)], strict=True)
        ]
        assert max(gaps) < LONGEST_GAP
    assert len(dialed) == 5
    database.dispose()


@pytest.mark.parametrize(("name", "numbers"), PLACES, ids=[name for name, _ in PLACES])
def test_the_change_of_clocks(tmp_path: Path, name: str, numbers: list[tuple[str, str]]) -> None:
    """Two weeks about the spring of 2025: the 9th and the 30th of March in the north, the 6th of April in Chile."""
    work(tmp_path, name, numbers, CHANGES[name] - dt.timedelta(days=6), 14)


@pytest.mark.soak
@pytest.mark.parametrize(("name", "numbers"), PLACES, ids=[name for name, _ in PLACES])
def test_a_year(tmp_path: Path, name: str, numbers: list[tuple[str, str]]) -> None:
    """Every daylight change of a year."""
    work(tmp_path, name, numbers, dt.datetime(2025, 1, 1, tzinfo=dt.UTC), 366)
