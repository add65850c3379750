"""`python -m tests.kill`: kill the parts of a dialer at work, so many times, and say what came of it.

Owns the run as a program: shifts (a fresh node each, over PostgreSQL and SQLite in turn), the printed protocol, the table of coverage, and how to do
the same again. Ends with status 1 if a cell was not hit or anything was found wrong.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.kill.cells import Cell, Doing, Victim, every_cell
from tests.kill.node import Node
from tests.kill.oracle import Judgement, Kind, judge
from tests.kill.rounds import Kill, Rounds
from tests.kill.server import PostgresServer

SHIFT_KILLS = 50
"""One node lives through so many; then a fresh one, so that its logs and recordings stay small."""
LEADS_PER_KILL = 14


def say(text: str) -> None:
    """Print a line of the protocol."""
    print(text, flush=True)  # noqa: T201 - a program's output


def shift(
    folder: Path,
    *,
    seed: int,
    kills: int,
    cells: Sequence[Cell],
    server: bool,
    first: int,
    slack: float,
    tell: Callable[[str], None],
) -> tuple[Rounds, Judgement]:
    """Run one node through so many kills, drain it, and judge."""
    postgres = PostgresServer() if server else None
    node = Node(folder, seed=seed, server=postgres, leads=max(300, LEADS_PER_KILL * kills))
    rounds = Rounds(node, seed, first)
    try:
        node.start()
        try:
            rounds.run(kills, cells, tell)
        finally:
            code = node.drain()
            node.stop_far_ends()
        found = judge(node, rounds.kills, slack=slack)
        if code != 0:
            found.faults.append(f"`dialer run` ended with {code} when it was told to stop")
    finally:
        node.close()
        if postgres is not None:
            postgres.close()
    return rounds, found


def table(covered: Counter[Cell], cells: Sequence[Cell]) -> str:
    """Return the table of coverage: how many attempts each cell has hit."""
    wanted = set(cells)
    lines = [f"{'':12}" + "".join(f"{victim.value:>10}" for victim in Victim)]
    for doing in Doing:
        counts = [
            f"{covered[Cell(doing, victim)] if Cell(doing, victim) in wanted else '-':>10}"
            for victim in Victim
        ]
        lines.append(f"{doing.value:12}" + "".join(counts))
    return "\n".join(lines)


@dataclass(slots=True)
class Run:
    """Every shift together."""

    kinds: dict[Victim, Kind] = field(
        default_factory=lambda: {victim: Kind(victim.value) for victim in Victim}
    )
    covered: Counter[Cell] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)

    def take(self, rounds: Rounds, found: Judgement) -> None:
        """Add a shift."""
        for victim, its in found.kinds.items():
            kind = self.kinds[victim]
            for name in ("kills", "talks", "survived", "lost", "repeated", "unjudged"):
                setattr(kind, name, getattr(kind, name) + getattr(its, name))
            for name in ("gaps_s", "orphan_bye_s", "resume_s"):
                getattr(kind, name).extend(getattr(its, name))
        self.covered.update(rounds.covered)
        self.faults += found.faults
        self.kills += rounds.kills


def run(
    *,
    kills: int,
    seed: int,
    cells: Sequence[Cell],
    stores: Sequence[str],
    folder: Path | None,
    slack: float,
    quiet: bool = False,
) -> Run:
    """Run shift after shift until there are `kills` kills."""
    all_of_it = Run()
    tell: Callable[[str], None] = (lambda _text: None) if quiet else say
    done = all_of_it.kills
    number = 0
    planned = 0  # a shift kills more often where a cell got away
    while planned < kills:
        store = stores[number % len(stores)]
        its = [cell for cell in cells if cell.victim is not Victim.DATABASE or store == "postgresql"]
        count = min(SHIFT_KILLS if store == "postgresql" else SHIFT_KILLS // 5, kills - planned)
        planned += count
        own = Path(tempfile.mkdtemp(prefix="marcador-kill-", dir=folder))
        tell(f"shift {number}: {store}, {count} kills, seed {seed + number}, in {own}")
        rounds, found = shift(
            own, seed=seed + number, kills=count, cells=its, server=store == "postgresql", first=len(done) + 1, slack=slack, tell=tell,
        )  # fmt: skip
        all_of_it.take(rounds, found)
        for fault in found.faults:
            tell(f"  fault: {fault}")
        if found.faults:
            again = (
                f"python -m tests.kill --kills {len(rounds.kills)} --seed {seed + number} --stores {store}"
            )
            tell(f"  again: {again} (kept: {own})")
        else:
            shutil.rmtree(own)
        number += 1
    return all_of_it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.kill", description=__doc__)
    parser.add_argument("--kills", type=int, default=60, help="or more, until each cell was hit")
    parser.add_argument("--seed", type=int, default=None, help="by default one of its own, printed")
    parser.add_argument("--stores", default="postgresql,sqlite", help="stores of the shifts, in turn")
    parser.add_argument("--cells", default="", help="state:process,… instead of every cell")
    parser.add_argument("--folder", type=Path, default=None, help="where shifts keep their files")
    parser.add_argument("--slack", type=float, default=1.0, help="stretches the limits in seconds")
    given = parser.parse_args(arguments)
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1, 1_000_000)
    stores = given.stores.split(",")
    cells = (
        [Cell.parse(text) for text in given.cells.split(",")]
        if given.cells
        else every_cell(database="postgresql" in stores)
    )
    if given.folder is not None:
        given.folder.mkdir(parents=True, exist_ok=True)
    say(f"seed {seed}")
    began = time.monotonic()
    done = run(
        kills=given.kills, seed=seed, cells=cells, stores=stores, folder=given.folder, slack=given.slack
    )
    took_s = time.monotonic() - began
    say(f"\nattempts hit by {len(done.kills)} kills in {took_s:.0f} s:\n{table(done.covered, cells)}\n")
    for kind in done.kinds.values():
        if kind.kills:
            say(json.dumps(kind.line()))
    unjudged = sum(kind.unjudged for kind in done.kinds.values())
    if unjudged:
        say(f"{unjudged} silences not judged: the far ends themselves stood still")
    missed = [str(cell) for cell in cells if not done.covered[cell]]
    if missed and given.kills >= len(cells):
        done.faults.append(f"cells never hit: {', '.join(missed)}")
    say(f"{len(done.faults)} faults" + (f"; the last: {done.faults[-1]}" if done.faults else ""))
    return 1 if done.faults else 0


if __name__ == "__main__":
    sys.exit(main())
