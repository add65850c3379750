"""What nodes share is never given twice, and a node that is gone is found once."""

import asyncio
import contextlib
import datetime as dt
import multiprocessing
import random
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import pytest

from dialer_core.calls.trunks import Trunks
from dialer_core.campaigns import hopper
from dialer_core.clock import SystemClock, VirtualClock
from dialer_core.nodes import ExpelledError, Nodes, end_lost, end_lost_node
from dialer_core.runtime import Runtime
from dialer_core.settings import TrunkSettings
from dialer_core.store import attempts, events, leases
from dialer_core.store.database import Database, open_database
from dialer_core.store.errors import AlreadyEndedError
from dialer_core.store.journal import Journal
from dialer_core.store.leases import Share
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import LeadState, Outcome, TrunkId
from tests.campaigns.lists import CAMPAIGN, NOON, TRUNK, put_lead, put_list_campaign, rows, settings_of
from tests.compliance.packs_for_tests import pack_of
from tests.polling import wait_until

pytestmark = pytest.mark.db

WHOLE = Share(10, 5.0)
SECOND = dt.timedelta(seconds=1)
PACK = pack_of()
SETTINGS = settings_of()


def renew(
    tx: Tx, node: str, at: dt.datetime, used: int = 0, pools: tuple[str, ...] = (), *, known: bool = True
) -> leases.Granted:
    """Ask for a share of the one trunk."""
    return leases.renew(tx, node, {TRUNK: (WHOLE, used)}, pools, known=known, now=at)


def test_shares_go_down_as_calls_end(database: Database) -> None:
    """One node has all lines; one that comes gets what is not given, and both have half as soon as the first has asked again with fewer calls."""
    with database.write() as tx:
        first = renew(tx, "a", NOON, known=False)
        assert (first.alone, first.trunks[TRUNK]) == (True, WHOLE)
        second = renew(tx, "b", NOON, known=False)
        assert (second.alone, second.trunks[TRUNK]) == (False, Share(0, 0.0))
        assert renew(tx, "a", NOON + SECOND, used=8).trunks[TRUNK] == Share(8, 2.5)
        assert renew(tx, "b", NOON + SECOND).trunks[TRUNK] == Share(2, 2.5)
        assert renew(tx, "a", NOON + 2 * SECOND, used=3).trunks[TRUNK].lines == 5
        assert renew(tx, "b", NOON + 2 * SECOND).trunks[TRUNK].lines == 5


def test_never_more_than_there_is(database: Database) -> None:
    """Whoever asks in whatever order, comes, goes and lapses: what is given at any moment is never more than the trunk has."""
    draw, at = random.Random(6), NOON
    given: dict[str, tuple[Share, dt.datetime]] = {}
    for _ in range(150):
        at += draw.uniform(0, 6) * SECOND
        node = draw.choice("abcd")
        with database.write() as tx:
            if draw.random() < 0.1:
                leases.give_up(tx, node)
                given.pop(node, None)
                continue
            mine = given.get(node)
            live = mine is not None and mine[1] > at
            used = draw.randint(0, mine[0].lines) if live else 0  # a node whose lease lapsed places nothing
            given[node] = (renew(tx, node, at, used).trunks[TRUNK], at + leases.TTL)
            if live:
                assert given[node][0].lines >= used
        holding = [share for share, until in given.values() if until > at]
        assert sum(share.lines for share in holding) <= WHOLE.lines
        assert sum(share.calls_per_second for share in holding) <= WHOLE.calls_per_second + 1e-9


def test_a_node_keeps_its_share_until_it_is_buried(database: Database) -> None:
    """Where every lease seems to have lapsed at once (the clock was set forward), whoever asks first has no more than their share; of a node
    that is gone the others have all, once it is buried.
    """  # noqa: D205 - one claim
    later = NOON + dt.timedelta(hours=1)
    with database.write() as tx:
        renew(tx, "a", NOON, pools=("spring",), known=False)
        renew(tx, "b", NOON, known=False)
        renew(tx, "a", NOON)
        assert renew(tx, "b", NOON, used=5).trunks[TRUNK] == Share(5, 2.5)
        told = renew(tx, "a", later, pools=("spring",))
        assert (told.trunks[TRUNK], told.gone) == (Share(5, 2.5), ("b",))
        assert renew(tx, "b", later, used=5, pools=("spring",)).pools == frozenset()
        assert leases.bury(tx, "b", later + 2 * leases.TTL)
        assert renew(tx, "a", later + 2 * leases.TTL).trunks[TRUNK] == WHOLE


def test_one_pacer_per_pool(database: Database) -> None:
    """A pool is the first one's who asks, until it does not ask for it again or lapses; the others are told whose it is."""
    with database.write() as tx:
        assert renew(tx, "a", NOON, pools=("spring", "autumn"), known=False).pools == {"spring", "autumn"}
        other = renew(tx, "b", NOON, pools=("spring",), known=False)
        assert (other.pools, other.paced_by) == (frozenset(), {"spring": "a"})
        renew(tx, "a", NOON + SECOND, pools=("autumn",))
        assert renew(tx, "b", NOON + SECOND, pools=("spring",)).pools == {"spring"}
        late = NOON + SECOND + leases.TTL
        assert renew(tx, "c", late, pools=("spring", "autumn"), known=False).pools == frozenset()
        for gone in ("a", "b"):
            assert leases.bury(tx, gone, late)
        assert renew(tx, "c", late, pools=("spring", "autumn")).pools == {"spring", "autumn"}


def test_gone_and_expelled(database: Database) -> None:
    """A node that lapsed is named to the others, buried by one of them only, told so when it asks again, and has nothing until it begins anew."""
    with database.write() as tx:
        renew(tx, "a", NOON, known=False)
        renew(tx, "b", NOON, known=False)
        assert not leases.bury(tx, "b", NOON + SECOND)
        later = NOON + leases.TTL + SECOND
        assert renew(tx, "a", later).gone == ("b",)
        assert leases.bury(tx, "b", later)
        assert not leases.bury(tx, "b", later)
        assert renew(tx, "a", later).gone == ()
        for _ in range(2):
            told = renew(tx, "b", later)
            assert (told.expelled, told.trunks[TRUNK]) == (True, Share(0, 0.0))
        assert renew(tx, "a", later).alone
        assert not renew(tx, "b", later, known=False).expelled


def runtime_of(database: Database) -> Runtime:
    """Return what ending a node's calls needs of an engine."""
    return Runtime(
        node=database.node, boot_id="boot-1", clock=SystemClock(), journal=None, reader=None, loop=None
    )  # type: ignore[arg-type]


def claim(database: Database, count: int) -> list[hopper.ClaimedAttempt]:
    """Claim as an engine does."""
    with database.write("engine") as tx:
        return hopper.claim(
            tx, campaign_id=CAMPAIGN, settings=SETTINGS, pack=PACK, trunks=[TRUNK] * count, node=database.node, boot_id="boot-1", now=NOON
        ).attempts  # fmt: skip


def campaigns() -> dict[Any, Any]:
    """Return the campaign as an engine knows it."""
    return {CAMPAIGN: type("Run", (), {"settings": SETTINGS, "pack": PACK})()}


def test_calls_of_a_lost_node_end_once(database: Database, migrated_url: str) -> None:
    """Its live attempts end as interrupted and its leads are dialed on; whoever comes second ends nothing, and a node that lives keeps its calls."""
    lost = open_database(migrated_url, node="lost", boot_id="boot-1")
    with database.write() as tx:
        put_list_campaign(tx)
        for index in range(6):
            put_lead(tx, [f"+5255111100{index:02d}"])
    its, ours = claim(lost, 3), claim(database, 3)
    with database.write("engine") as tx:
        leases.renew(tx, "lost", {}, (), known=False, now=tx.utc() - 2 * leases.TTL)
        leases.renew(tx, database.node, {}, (), known=False)
    for expected in (3, None):
        with database.write("engine") as tx:
            assert end_lost_node(tx, runtime_of(database), campaigns(), "lost") == expected
    with database.read() as tx:
        assert {row.id for row in attempts.live(tx)} == {one.attempt_id for one in ours}
        states = {row["id"]: row["state"] for row in rows(tx, "lead")}
        assert {states[one.lead_id] for one in its} == {LeadState.DIALABLE}
        assert {states[one.lead_id] for one in ours} == {LeadState.IN_ATTEMPT}
        [told] = events.tail(tx, {}, ["node.lost"])
        assert told.data == {"lost_node": "lost", "attempts": 3, "agents": 0}
        assert len(events.tail(tx, {}, ["attempt.ended"])) == 3
    lost.dispose()


def test_a_campaign_whose_file_is_gone_leaves_no_lead_behind(database: Database) -> None:
    """An attempt that nobody goes on with, of a campaign that nobody knows any more, ends, counts as a contact, and its lead is dialable again."""
    with database.write() as tx:
        put_list_campaign(tx)
        put_lead(tx, ["+525511110000"])
    assert len(claim(database, 1)) == 1
    with database.write("engine") as tx:
        end_lost(tx, runtime_of(database), {}, attempts.live(tx), NOON)
    with database.read() as tx:
        assert attempts.live(tx) == []
        [lead] = rows(tx, "lead")
        assert (lead["state"], lead["last_outcome"], lead["attempts"]) == (
            LeadState.DIALABLE,
            "interrupted",
            1,
        )
        assert [one["settlement"] for one in rows(tx, "contact")] == ["counted"]


def test_a_clock_that_is_set_makes_nobody_gone(tmp_path: Path) -> None:
    """Where the clock that leases go by is set an hour forward, a node that is alive keeps its leases; one that is gone loses them later."""
    clock = VirtualClock(NOON)
    database = open_database(f"sqlite:///{tmp_path / 'store.db'}", node="here", boot_id="boot-1", clock=clock)
    database.migrate()

    def alive() -> set[str]:
        with database.read() as tx:
            return {row["node"] for row in rows(tx, "lease")}

    async def whole() -> None:
        journal = Journal(database, node="here", boot_id="boot-1", clock=clock, inline=True)
        loop = asyncio.get_running_loop()
        runtime = Runtime(
            node="here", boot_id="boot-1", clock=clock, journal=journal, reader=None, loop=loop  # type: ignore[arg-type]
        )  # fmt: skip
        nodes = Nodes(runtime, {}, Trunks({}), pools=list, manned=list)
        elapsed_s = 0.0

        async def pass_s(seconds: int, *, other: bool) -> None:
            nonlocal elapsed_s
            for _ in range(0, seconds, 3):
                elapsed_s += 3.0
                clock.set_elapsed_s(elapsed_s)
                await nodes._renew()
                if other:
                    with database.write() as tx:
                        leases.renew(tx, "there", {}, (), known=False)

        await nodes.begin()
        await pass_s(60, other=True)
        clock.step_wall(dt.timedelta(hours=1))
        await nodes._renew()
        assert alive() == {"here", "there"}
        await pass_s(60, other=True)
        assert alive() == {"here", "there"}
        await pass_s(21, other=False)
        assert alive() == {"here"}

    asyncio.run(whole())
    database.dispose()


class Party:
    """A node of two that share a store and want the same pool and trunk, and that sometimes does not run for a while."""

    def __init__(self, database: Database, name: str, clock: VirtualClock) -> None:
        self.name, self.paused_until_s, self.expelled = name, 0, 0
        self._database, self._clock = database, clock

    async def begin(self) -> None:
        """Begin, or begin anew."""
        journal = Journal(self._database, node=self.name, boot_id="boot-1", clock=self._clock, inline=True)
        runtime = Runtime(
            node=self.name, boot_id="boot-1", clock=self._clock, journal=journal, reader=None, loop=asyncio.get_running_loop()  # type: ignore[arg-type]
        )  # fmt: skip
        self.trunks = Trunks({TrunkId(TRUNK): TrunkSettings(host="127.0.0.1", lines=10, calls_per_second=5)})
        self.nodes = Nodes(runtime, {}, self.trunks, pools=lambda: ["spring"], manned=lambda: ["spring"])
        await self.nodes.begin()

    async def renew(self) -> None:
        """Ask again."""
        try:
            await self.nodes._renew()
        except ExpelledError:
            self.expelled += 1
            await self.begin()

    @property
    def paces(self) -> bool:
        """It would place calls for the pool now."""
        return not self.nodes.held() and self.nodes.pacer_of("spring") == self.name

    @property
    def lines(self) -> int:
        """Lines that it would use now."""
        return 0 if self.nodes.held() else self.trunks[TrunkId(TRUNK)].lines_free


@pytest.mark.parametrize("seed", range(4))
def test_a_clock_that_is_set_gives_nothing_twice(tmp_path: Path, seed: int) -> None:
    """The wall clock is stepped forward and back by seconds and by hours while two nodes ask for one pool and one trunk, and one of them does not
    run for a while: at no moment do both have the pool, nor more lines than there are; who ran all the time is never taken for gone; and who is
    gone is found within two terms of the lease, however the clock was set.
    """  # noqa: D205 - one claim
    clock, draw = VirtualClock(NOON), random.Random(seed)
    database = open_database(f"sqlite:///{tmp_path / 'store.db'}", node="here", boot_id="boot-1", clock=clock)
    database.migrate()
    steady, sleepy = (Party(database, name, clock) for name in ("here", "there"))

    async def whole() -> None:
        await steady.begin()
        await sleepy.begin()
        pause_s = step_at = 0
        for second in range(1, 600):
            clock.set_elapsed_s(float(second))
            if second % 60 == 1:
                pause_s = draw.choice((8, 14, 16, 45))
                sleepy.paused_until_s = second + pause_s
                step_at = second + draw.randint(0, 20)
            if second == step_at:
                clock.step_wall(dt.timedelta(seconds=draw.choice((-7200, -10, -2.5, 2.5, 10, 14, 3600))))
            if second % 3 == 0:
                await steady.renew()
            if second % 3 == 1 and second >= sleepy.paused_until_s:
                await sleepy.renew()
            assert not (steady.paces and sleepy.paces), second
            assert steady.lines + sleepy.lines <= 10, second
            if pause_s == 45 and second == sleepy.paused_until_s - 1:
                assert (steady.paces, steady.lines) == (True, 10), second
        assert steady.expelled == 0
        assert sleepy.expelled > 0

    asyncio.run(whole())
    database.dispose()


def test_a_small_step_of_the_clock(tmp_path: Path) -> None:
    """A step too small to be told from a slow answer lets leases lapse early: a node that does not run then has stopped by itself before others
    have what was its own.
    """  # noqa: D205 - one claim
    clock = VirtualClock(NOON)
    database = open_database(f"sqlite:///{tmp_path / 'store.db'}", node="a", boot_id="boot-1", clock=clock)
    database.migrate()
    sleepy, *others = parties = [Party(database, name, clock) for name in ("a", "b", "c")]

    async def whole() -> None:
        for party in parties:
            await party.begin()
        for second in range(1, 60):
            clock.set_elapsed_s(float(second))
            if second == 33:
                clock.step_wall(dt.timedelta(seconds=2.5))
            if second % 3 == 1 and second <= 31:
                await sleepy.renew()
            for party in others if second % 3 == 0 else ():
                await party.renew()
            assert sum(party.paces for party in parties) <= 1, second
        assert [party.paces for party in parties] == [False, False, True]

    asyncio.run(whole())
    database.dispose()


def hang_up(database: Database, one: hopper.ClaimedAttempt) -> None:
    """End a call, unless others took this node for gone and did it."""
    with contextlib.suppress(AlreadyEndedError), database.write("engine") as tx:
        attempts.end(tx, one.attempt_id, outcome=Outcome.BUSY, at_utc=tx.utc(), at_mono_ns=1)


def work(url: str, node: str, stop: Event, lines: int) -> None:
    """Be an engine with fake workers: renew leases, claim as many as the share allows, end calls at random, end who is gone."""
    leases.TTL = dt.timedelta(seconds=3)  # type: ignore[misc]
    database, draw = open_database(url, node=node, boot_id="boot-1"), random.Random(node)
    live: list[hopper.ClaimedAttempt] = []
    known, trunks = False, {TrunkId(TRUNK): Share(lines, 100.0)}
    while not stop.is_set():
        with database.write("engine") as tx:
            granted = leases.renew(
                tx, node, {name: (whole, len(live)) for name, whole in trunks.items()}, (), known=known
            )
        if granted.expelled:
            live.clear()
        known = True
        for gone in granted.gone:
            with database.write("engine") as tx:
                end_lost_node(tx, runtime_of(database), campaigns(), gone)
        live += claim(database, max(0, granted.trunks[TRUNK].lines - len(live)))
        for one in draw.sample(live, len(live) // 2):
            hang_up(database, one)
            live.remove(one)
    for one in live:
        hang_up(database, one)
    database.dispose()


def test_one_of_two_engines_is_killed(postgresql_database: str, tmp_path: Path) -> None:
    """Two processes dial one list over a trunk of six lines; one is killed in the middle: no lead, person or number is called twice at once,
    the lines are never exceeded, and what the dead one left is ended once by the other.
    """  # noqa: D205 - one claim
    database = open_database(postgresql_database, node="watch", boot_id="boot-1")
    database.migrate()
    with database.write() as tx:
        put_list_campaign(tx)
        for index in range(3000):
            put_lead(tx, [f"+52551111{index:04d}"])
    context = multiprocessing.get_context("spawn")
    stop, most = context.Event(), 0

    def live_of(node: str) -> int:
        nonlocal most
        with database.read() as tx:
            live = attempts.live(tx)
        most = max(most, len(live))
        return sum(row.node == node for row in live)

    def ended_by_others() -> bool:
        live_of("a")
        with database.read() as tx:
            return bool(events.tail(tx, {}, ["node.lost"]))

    engines = {
        node: context.Process(target=work, args=(postgresql_database, node, stop, 6)) for node in ("a", "b")
    }
    for engine in engines.values():
        engine.start()
    try:
        wait_until(lambda: live_of("a") > 0 and live_of("b") > 0, 60, "both to dial")
        wait_until(lambda: live_of("b") > 0, 60, "the second to have calls")
        engines["b"].kill()
        engines["b"].join()
        wait_until(ended_by_others, 60, "its calls to be ended")
    finally:
        stop.set()
        engines["a"].join()
        engines["b"].kill()
    assert engines["a"].exitcode == 0
    assert most <= 6
    with database.read() as tx:
        assert attempts.live(tx) == []
        dialed = [row["lead_id"] for row in rows(tx, "attempt")]
        ended = [one.attempt_id for one in events.tail(tx, {}, ["attempt.ended"], 10_000)]
        assert len(ended) == len(set(ended))
        assert len(events.tail(tx, {}, ["node.lost"])) == 1
        assert len(dialed) == len(set(dialed))
    database.dispose()
