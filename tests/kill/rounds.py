"""The killing: wait until an attempt is in the wanted state, kill right then, see the node recover, and note what was hit.

Owns the order of cells, the moment of each kill and what is measured right after it. What a whole run comes to is judged by `oracle.py`.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import select

from dialer_core.compliance.packs import load_packs
from dialer_core.verify import verify_store
from tests.kill.cells import A, Cell, Doing, G, InFlight, Victim, in_flight, waiting_for
from tests.kill.node import TALK, TALKERS, Node
from tests.polling import WaitedTooLongError

RECOVER_LIMIT_S = 30.0
"""Nothing dialed for so long after a kill: the run is given up."""
CALM_S = 1.2
"""Between recovery and the next kill, so that there is something to kill."""
STEADY_S = 31.0
"""One process is not killed again before it has lived so long: a process that dies over and over is slowed down on purpose."""
RESTED = frozenset({Victim.MEDIA, Victim.ENGINE, Victim.HOST})
"""Those of whom there is one, so that this matters."""
FIND_LIMIT_S = 20.0
HOLD_S = 0.4
"""Workers are held still for so long at a time: whoever waits for one of them hardly notices, and nobody takes them for hanging."""
TRIES = 6
"""A cell that got away so often is given up, and told."""
DATABASE_AWAY_S = (0.5, 2.5)
SETTLE_S = 0.4
WRITTEN_S = 2.0
"""What was kept while the database was away is written in this time, also on a busy machine."""
STARVE_S = 6.0
LOOK_S = 0.2
ALONE = frozenset({Doing.WAITING, Doing.MESSAGE})
"""What happens only to those for whom there is no agent."""
WITH_AGENT = frozenset({Doing.BRIDGED, Doing.WRAP_UP})
"""Here the worker that dies may be the agent's."""


@dataclass(slots=True)
class Kill:
    """One kill, and what came of it."""

    number: int
    wanted: Cell
    at_ns: int
    back_ns: int
    """When the database took connections again; `at_ns` where another process died."""
    process: str
    """`engine`, `media`, `host`, `database`, or a worker's name."""
    target: str
    """The attempt it was meant for."""
    found_s: float = 0.0
    """How long it took to meet the wanted state."""
    resume_s: float = 0.0
    """From it, or from the database's return, to the first INVITE of an attempt committed since (by the carrier's log)."""
    orphan_bye_s: list[float] = field(default_factory=list)
    """Of each answered call that died with its worker: to its BYE."""
    hit: Counter[Doing] = field(default_factory=Counter)
    """Attempts in the dead process's hands, by what they were doing."""
    flying: list[InFlight] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


class Rounds:
    """Kills on one node.

    Parameters
    ----------
    node
        Up and dialing.
    seed
        Chooses the order of cells, and of what is killed where there is a choice.
    """

    def __init__(self, node: Node, seed: int, first_number: int = 1) -> None:
        self.node = node
        self.random = random.Random(seed)
        self.kills: list[Kill] = []
        self.number = first_number
        self._last: dict[str, float] = {}
        self.covered: Counter[Cell] = Counter()
        self._tries: Counter[Cell] = Counter()
        self._packs = load_packs(node.config / "compliance")
        self._known: set[str] = set()
        """Violations told already: a row that breaks an invariant goes on doing so."""

    def run(self, count: int, cells: Sequence[Cell], tell: Callable[[str], None]) -> None:
        """Kill `count` times or more: each cell until it is hit, then any; no process dies twice within `STEADY_S`, workers apart."""
        whole = count >= len(cells)

        def left() -> list[Cell]:
            return [cell for cell in cells if not self.covered[cell] and self._tries[cell] < TRIES]

        while len(self.kills) < count or (whole and left()):
            only = left() if len(self.kills) >= count else list(cells)
            victim = self._whose_turn({cell.victim for cell in only}, {cell.victim for cell in left()})
            its = [cell for cell in only if cell.victim is victim]
            wanted = [cell for cell in left() if cell.victim is victim]
            cell = self.random.choice(sorted(wanted or its, key=str))
            self._tries[cell] += 1
            tell(self._line(self._one(cell)))

    def _whose_turn(self, victims: set[Victim], wanted: set[Victim]) -> Victim:
        """Return who dies next: of those that have lived long enough, and better with a cell to be hit, the one that has lived longest."""

        def rested_s(victim: Victim) -> float:
            due_s = self._last.get(victim, -STEADY_S) + STEADY_S if victim in RESTED else 0.0
            return max(0.0, due_s - time.monotonic())

        turn = min(
            self.random.sample(sorted(victims), len(victims)),
            key=lambda victim: (rested_s(victim) > 0, victim not in wanted, self._last.get(victim, 0.0)),
        )
        time.sleep(rested_s(turn))
        return turn

    def _one(self, cell: Cell) -> Kill:
        time.sleep(CALM_S)
        kill = self._strike(cell)
        if cell.victim is Victim.DATABASE:
            self._bring_database_back()
            kill.back_ns = time.monotonic_ns()
        self._recover(kill)
        if cell.doing in ALONE:
            self._call_agents_back()
        self._look_back(kill)
        self.kills.append(kill)
        self.number += 1
        return kill

    # --- the moment ----------------------------------------------------------------------------------------------------

    def _strike(self, cell: Cell) -> Kill:
        node = self.node
        began_s = time.monotonic()
        holding = cell.doing is Doing.COMMITTED and self._tries[cell] > 1
        at_ns, struck = 0, False
        while not struck:
            with _first_in_line(), self._held_still(holding=holding):
                target = self._find(cell, HOLD_S if holding else FIND_LIMIT_S, held=holding)
                if target is None and holding and time.monotonic() - began_s < FIND_LIMIT_S:
                    continue  # everybody waits for those that are held: they go on for a moment
                # where there is no such attempt, whatever is there is hit
                process, pid = self._victim(cell, target)
                at_ns, struck = time.monotonic_ns(), True
                if cell.victim is Victim.DATABASE:
                    assert node.server is not None
                    node.server.kill()
                else:
                    os.kill(pid, signal.SIGKILL)
        self._last[cell.victim] = time.monotonic()
        return Kill(
            self.number, cell, at_ns, at_ns, process, target or "", found_s=self._last[cell.victim] - began_s
        )

    def _find(self, cell: Cell, limit_s: float, *, held: bool) -> str | None:
        """Wait until an attempt is in the wanted state; None where none is in time."""
        node = self.node
        started_ns = time.monotonic_ns()
        deadline = time.monotonic() + limit_s
        starved_s = looked_s = 0.0
        while time.monotonic() < deadline:
            if (
                time.monotonic() - looked_s > LOOK_S
            ):  # nothing is read between seeing the attempt and the kill
                node.poll()
                looked_s = time.monotonic()
            if cell.doing in ALONE and time.monotonic() - starved_s > STARVE_S:
                self._starve(first=not starved_s)
                starved_s = time.monotonic()
            target = waiting_for(cell.doing, node.database, node.wire, TALK, started_ns, held=held)
            if target is not None:
                return target
            time.sleep(0.0002 if cell.doing in (Doing.COMMITTED, Doing.ENDING) else 0.004)
        return None

    @contextlib.contextmanager
    def _held_still(self, *, holding: bool) -> Iterator[None]:
        """Stop the customers' workers for a moment where a committed attempt is wanted once more.

        An INVITE leaves a few milliseconds after its attempt is committed. A worker that is held up makes this as long as it takes to strike, as a
        busy machine does; it goes on afterwards, or is what dies.
        """
        pids = [pid for name, pid in self.node.pids.items() if holding and name.startswith("customers")]
        try:
            for pid in pids:
                _signal(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in pids:
                _signal(pid, signal.SIGCONT)
        if holding:
            time.sleep(self.random.uniform(0.1, 0.3))

    def _victim(self, cell: Cell, target: str | None) -> tuple[str, int]:
        node = self.node
        worker: str | None = None
        match cell.victim:
            case Victim.DATABASE:
                assert node.server is not None
                assert node.server.process is not None
                return "database", node.server.process.pid
            case Victim.WORKER:
                if target and (cell.doing is not Doing.COMMITTED or self._tries[cell] > 1):
                    # a committed one is in no worker yet, and will not wait: unless workers are held
                    worker = self._worker_of(
                        target, agents=cell.doing in WITH_AGENT and self.random.random() < 0.4
                    )
                if worker is None or worker not in node.pids:
                    worker = self.random.choice(sorted(n for n in node.pids if n.startswith("customers")))
                return worker, node.pids[worker]
            case _:
                return cell.victim.value, node.pids[cell.victim.value]

    def _worker_of(self, attempt_id: str, *, agents: bool) -> str | None:
        """Return the worker of an attempt's customer, or of its agent."""
        with self.node.database.read() as tx:
            row = tx.execute(select(A.c.worker, A.c.agent_id).where(A.c.id == attempt_id)).first()
            if row is None or not (agents and row.agent_id):
                return row.worker if row is not None else None
            return tx.execute(
                select(G.c.worker).where(G.c.kind == "agent", G.c.live, G.c.agent_id == row.agent_id)
            ).scalar()

    def _bring_database_back(self) -> None:
        assert self.node.server is not None
        time.sleep(self.random.uniform(*DATABASE_AWAY_S))
        self.node.server.start()

    def _starve(self, *, first: bool) -> None:
        """Pause the talkers when calls are on their way: whoever is answered now finds nobody."""
        node = self.node
        if not first:
            self._call_agents_back()

        def on_their_way() -> bool:
            node.poll()
            now_ns = time.monotonic_ns()
            return (
                sum(
                    not call.answered_ns and not call.over_by(now_ns) and not call.number.startswith("+5233")
                    for call in node.wire.customers[-40:]
                )
                > 1
            )

        with contextlib.suppress(WaitedTooLongError):
            node.until(on_their_way, STARVE_S, "calls on their way")
        for index in range(TALKERS):
            self.node.ask("POST", f"/agents/a{index}/pause", reason="test")

    def _call_agents_back(self) -> None:
        deadline = time.monotonic() + 10.0
        left = set(range(TALKERS))
        while left and time.monotonic() < deadline:
            left -= {index for index in left if self.node.ask("POST", f"/agents/a{index}/ready")}
            time.sleep(0.1)

    # --- afterwards ----------------------------------------------------------------------------------------------------

    def _recover(self, kill: Kill) -> None:
        node = self.node

        def dials_again() -> int:
            node.poll()
            fresh = [call for call in node.wire.customers if call.invited_ns > kill.back_ns]
            for call in fresh:
                if call.attempt and _made_at_ms(call.attempt) > self._utc_ms(kill.back_ns):
                    return call.invited_ns
            return 0

        try:
            resumed_ns = node.until(dials_again, RECOVER_LIMIT_S, f"an INVITE after kill {kill.number}")
        except WaitedTooLongError:
            kill.faults.append(f"nothing was dialed within {RECOVER_LIMIT_S:g} s")
            kill.resume_s = RECOVER_LIMIT_S
            raise
        kill.resume_s = (resumed_ns - kill.back_ns) / 1e9
        time.sleep(SETTLE_S)
        node.poll()

    @staticmethod
    def _utc_ms(mono_ns: int) -> float:
        return time.time() * 1e3 - (time.monotonic_ns() - mono_ns) / 1e6

    def _look_back(self, kill: Kill) -> None:
        """Note what the dead process had in its hands."""
        node = self.node
        kill.flying = in_flight(node.database, node.wire, kill.at_ns)
        worker = kill.wanted.victim is Victim.WORKER
        for flying in kill.flying:
            # before it has a worker (and after the end) it is in nobody's hands but the engine's; a worker's death meets it all the same
            mine = (
                not worker or kill.process in (flying.worker, flying.agent_worker) or flying.id == kill.target
            )
            if flying.doing is not None and mine:
                kill.hit[flying.doing] += 1
        self.covered.update(Cell(doing, kill.wanted.victim) for doing in kill.hit)
        # the wire is compared when everything is over: between a log and a store that both go on there is always something under way
        broken = self._broken()
        if broken - self._known:
            # After a database that was away for long, what waited may still be on its way: a row that breaks an invariant goes on doing so.
            time.sleep(WRITTEN_S)
            broken = self._broken()
        kill.faults += [f"verify: {text}" for text in sorted(broken - self._known)]
        self._known |= broken

    def _broken(self) -> set[str]:
        """Return what of the store breaks an invariant now."""
        trunks = {str(name): trunk for name, trunk in self.node.settings.trunks.items()}
        report = verify_store(self.node.database, packs=self._packs, trunks=trunks)
        return {str(violation) for violation in report.violations}

    @staticmethod
    def _line(kill: Kill) -> str:
        hit = ", ".join(f"{doing} {count}" for doing, count in sorted(kill.hit.items()))
        mark = "hit" if kill.wanted.doing in kill.hit else "MISSED"
        return (
            f"kill {kill.number:4d}  {kill.wanted!s:24} {kill.process:13} {mark:6} "
            f"met after {kill.found_s:4.1f} s, dialed again after {kill.resume_s:4.2f} s; in flight: {hit}"
        )


def _made_at_ms(attempt_id: str) -> int:
    """Return when an attempt was made, from its id (UUIDv7: 48 bits of Unix milliseconds)."""
    return int(attempt_id.replace("-", "")[:12], 16)


def _signal(pid: int, number: signal.Signals) -> None:
    """Send a signal to what may be gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


@contextlib.contextmanager
def _first_in_line() -> Iterator[None]:
    """Run before everything else, where we may: what was seen is to be so still when the signal arrives."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -15)
    try:
        yield
    finally:
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, 0)
