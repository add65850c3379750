"""An engine that was stopped (SIGSTOP, a machine that slept) past its leases and goes on: what it had claimed before is not dialed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from dialer_core.store import events, models
from dialer_core.store.database import Database, open_database
from dialer_core.store.leases import TTL
from dialer_core.vocabulary import AgentState, Outcome
from tests.engine import stoppable
from tests.engine.conftest import MakeFloor
from tests.engine.leads import add_leads
from tests.engine.readings import attempts
from tests.engine.test_control import A0
from tests.polling import wait_until

pytestmark = pytest.mark.unit


def test_a_claim_that_outlived_the_leases_is_not_dialed(make_floor: MakeFloor) -> None:
    """Stopped between the claim's commit and its INVITE for longer than leases last: no INVITE leaves; asked anew, it dials again."""
    floor = make_floor(
        leads=["01"], agents=1, campaign={"recycle": {"cancelled": {"after_minutes": 0.1, "max_attempts": 9}}}
    )
    placed: list[int] = []

    async def story() -> None:
        await floor.start()
        dialing, nodes = floor.engine.dialing, floor.engine.nodes
        claimed = dialing._claimed

        def after_a_long_stop(*arguments: Any) -> None:
            dialing._claimed = claimed  # type: ignore[method-assign]
            nodes._asked_ns -= int(TTL.total_seconds() * 1e9) + 1
            claimed(*arguments)
            placed.append(sum(leg.kind == "customer" for leg in floor.carrier.placed))

        dialing._claimed = after_a_long_stop  # type: ignore[method-assign]
        await floor.until(lambda: bool(attempts(floor)) and not attempts(floor)[0].live)
        placed.append(sum(leg.kind == "customer" for leg in floor.carrier.placed))
        await floor.until(lambda: floor.engine.roster[A0].state is AgentState.TALKING, 60)
        await floor.stop()

    asyncio.set_event_loop(floor.loop)
    floor.loop.run_until_complete(story())
    assert placed == [0, 0]
    first, second = attempts(floor)
    assert (first.outcome, first.sent_mono_ns) == (Outcome.CANCELLED, None)
    assert second.answered_mono_ns is not None


class Node:
    """An engine in a process of its own."""

    def __init__(self, name: str, url: str, folder: Path) -> None:
        self.name, self._out, self._said = name, folder / f"{name}.out", folder / f"{name}.err"
        with self._out.open("w") as out, self._said.open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.engine.stoppable", name, url], stdout=out, stderr=err,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            )  # fmt: skip

    def placed(self) -> list[str]:
        """Return the attempts that it has asked a worker for, as far as it has said."""
        return [line.split()[1] for line in self._out.read_text().rpartition("\n")[0].splitlines()]

    def said(self) -> str:
        """Return its log."""
        return self._said.read_text()

    def end(self) -> None:
        """Kill it, where it still lives."""
        self.process.kill()
        self.process.wait()


def told(database: Database, name: str) -> list[Any]:
    """Return the events of a name, of every node."""
    with database.read() as tx:
        return events.tail(tx, {}, [name], 10_000)


@pytest.mark.db
def test_a_process_stopped_past_its_leases(
    make_floor: MakeFloor, postgresql_database: str, tmp_path: Path
) -> None:
    """One of two engine processes is stopped in the middle of dialing: the other ends its calls and dials in its place; the one that goes on places
    nothing any more, is told that it was taken for gone, and no attempt is placed twice, no lead or person called twice at once.
    """  # noqa: D205 - one claim
    folder, floor = tmp_path, make_floor(leads=0)
    floor.database.dispose()
    database = floor.database = open_database(postgresql_database, node="watch")
    database.migrate()
    add_leads(floor, [f"{index % 100:02}" for index in range(600)])
    both = [Node(name, postgresql_database, folder) for name in ("one", "other")]
    try:
        wait_until(lambda: all("node_shares" in node.said() for node in both), 30, "both to take part")
        wait_until(lambda: any(len(node.placed()) > 4 for node in both), 30, "one to pace the pool")
        first, second = sorted(both, key=lambda node: len(node.placed()), reverse=True)
        assert second.placed() == []
        first.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: bool(told(database, "node.lost")), 30, "its calls to be ended")
        wait_until(lambda: len(second.placed()) > 4, 30, "the second to dial in its place")
        before = first.placed()
        first.process.send_signal(signal.SIGCONT)
        assert first.process.wait(20) == stoppable.TAKEN_FOR_GONE, first.said()[-2000:]
    finally:
        for node in both:
            node.end()
    assert first.placed() == before
    assert "others have ended its calls; it begins anew" in first.said()
    [lost] = told(database, "node.lost")
    assert lost.data["lost_node"] == first.name
    assert lost.data["attempts"] > 0
    twice = [one for one, count in Counter(first.placed() + second.placed()).items() if count > 1]
    assert twice == []
    with database.read() as tx:
        rows = tx.execute(select(models.Attempt.__table__)).all()
        ended = Counter(one.attempt_id for one in events.tail(tx, {}, ["attempt.ended"], 10_000))
    assert max(Counter(row.lead_id for row in rows).values()) == 1
    assert max(ended.values()) == 1
