"""`python -m tests.soak`: a node at work for an hour, with floods and a strange carrier in the middle, and what it holds at the end.

Owns the run as a program: the phases, the samples, the verdict, the JSON line and the picture. The node is the kill test's
(`tests/kill/node.py`), and so is the judge of its calls.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.kill.node import TALKERS, Node
from tests.kill.oracle import judge
from tests.soak.floods import Flood, rtp_noise, sip_garbage
from tests.soak.samples import ALLOWED, WHATS, Sample, bar, growth, now_s, sample, slope_per_hour

PHASES = (
    ("calm", 0.0), ("sip_flood", 0.25), ("rtp_flood", 0.40), ("answers_at_once", 0.52), ("answers_no_bye", 0.62), ("calm_again", 0.72),
)  # fmt: skip
"""What happens from which share of the time on."""
SIP_FLOOD_HZ, RTP_FLOOD_HZ = 1000.0, 2000.0
SHORTEST_JUDGED_S = 600.0
"""A shorter run says what it saw; what grows and what only fills up cannot be told apart in it."""
WAL_LIMIT_MB = 64.0


def say(text: str) -> None:
    """Print a line."""
    print(text, flush=True)  # noqa: T201 - a program's output


class Soak:
    """One run."""

    def __init__(self, node: Node, seconds: float, seed: int) -> None:
        self.node, self.seconds, self.seed = node, seconds, seed
        self.samples: dict[str, list[Sample]] = {}
        self.files: list[tuple[float, int, float, float]] = []
        """Seconds, files in the folder of sockets, size of the store and of its write-ahead log in MB."""
        self.flooded: dict[str, int] = {}
        self.deaf_ns = [0, 0]
        """From when to when the carrier heard no BYE of ours."""
        self.invites: dict[str, int] = {}
        """INVITEs by phase."""

    def run(self) -> None:
        """Go through the phases."""
        began_s, phase, flood, seen = time.monotonic(), "", None, 0
        while (at_s := now_s(began_s)) < self.seconds:
            now = [name for name, share in PHASES if at_s >= share * self.seconds][-1]
            if now != phase:
                if flood is not None:
                    self.flooded[phase] = flood.stop()
                self._leave(phase)
                phase, flood = now, self._enter(now)
                say(f"{at_s:7.0f} s  {phase}")
            self.node.poll()
            count = len(self.node.wire.customers)
            self.invites[phase] = self.invites.get(phase, 0) + count - seen
            seen = count
            self._sample(at_s)
            time.sleep(min(max(self.seconds / 180, 1.0), 15.0))

    def _enter(self, phase: str) -> Flood | None:
        node = self.node
        workers = sum(name.startswith(("customers", "agents")) for name in node.pids)
        match phase:
            case "sip_flood":  # from an address that is allowed: the kernel's filter does not help
                return Flood(
                    sip_garbage, range(node.sip, node.sip + workers), rate_hz=SIP_FLOOD_HZ, source="127.0.0.1", seed=self.seed
                )  # fmt: skip
            case "rtp_flood":
                return Flood(
                    rtp_noise,
                    range(node.media, node.media + 60),
                    rate_hz=RTP_FLOOD_HZ,
                    source="127.0.0.1",
                    seed=self.seed,
                )
            case "answers_at_once":
                node.turn_mood(signal.SIGUSR1)
            case "answers_no_bye":
                self.deaf_ns[0] = time.monotonic_ns()
                node.turn_mood(signal.SIGUSR2)
            case _:
                pass
        return None

    def _leave(self, phase: str) -> None:
        if phase == "answers_at_once":
            self.node.turn_mood(signal.SIGUSR1)
        elif phase == "answers_no_bye":
            self.node.turn_mood(signal.SIGUSR2)
            self.deaf_ns[1] = time.monotonic_ns()

    def unheard(self) -> set[str]:
        """Return the attempts that were up while the carrier was deaf: it cannot be held against us that it kept them up."""
        begin_ns, end_ns = self.deaf_ns
        return {
            call.attempt
            for call in self.node.wire.customers
            if call.invited_ns < end_ns and not call.over_by(begin_ns)
        }

    def _sample(self, at_s: float) -> None:
        for name, pid in self.node.pids.items():
            if (one := sample(pid, at_s)) is not None:
                self.samples.setdefault(name, []).append(one)
        store = self.node.settings.state_dir
        sizes = {path.suffix: path.stat().st_size / 2**20 for path in store.glob("*.db*")}
        self.files.append(
            (
                at_s,
                len(list(self.node.settings.run_dir.iterdir())),
                sizes.get(".db", 0.0),
                sizes.get(".db-wal", 0.0),
            )
        )

    def verdict(self) -> tuple[dict[str, Any], list[str]]:
        """Return the figures, and what grew."""
        calm = (0.08 * self.seconds, 0.25 * self.seconds)
        last = (0.85 * self.seconds, self.seconds)
        grown: list[str] = []
        processes: dict[str, dict[str, float]] = {}
        for name, samples in sorted(self.samples.items()):
            its = processes[name] = {
                "rss_mb": round(samples[-1].rss_mb, 1),
                "descriptors": samples[-1].descriptors,
            }
            its["rss_slope_mb_per_hour"] = round(slope_per_hour(samples, "rss_mb"), 2)
            for what in WHATS:
                its[f"{what}_growth"] = round(growth(samples, what, calm, last), 2)
                if self.seconds >= SHORTEST_JUDGED_S and its[f"{what}_growth"] > ALLOWED[what]:
                    grown.append(f"{name}: {what} grew by {its[f'{what}_growth']}")
        files = [count for at_s, count, *_ in self.files if at_s > calm[0]]
        # workers that died in a flood take their sockets along until they are back: only what stays at the end is a leak
        before, after = (
            max(count for at_s, count, *_ in self.files if low <= at_s <= high) for low, high in (calm, last)
        )
        wal_mb = max(wal for *_, wal in self.files)
        if after - before > 2:
            grown.append(
                f"the folder of sockets held {before} files before the floods and {after} at the end"
            )
        if wal_mb > WAL_LIMIT_MB:
            grown.append(f"the store's write-ahead log grew to {wal_mb:.0f} MB")
        quiet = [phase for phase, count in self.invites.items() if not count]
        if quiet:
            grown.append(f"nothing was dialed in {', '.join(quiet)}")
        figures = {
            "seconds": self.seconds, "calls": len(self.node.wire.customers), "invites": self.invites, "flooded": self.flooded,
            "run_dir_files": [min(files), max(files)], "store_mb": round(self.files[-1][2], 1), "wal_mb_max": round(wal_mb, 1),
            "workers_lost": sum(note["event"] == "worker_died" for note in self.node.notes), "processes": processes,
        }  # fmt: skip
        return figures, grown

    def draw(self, file: Path) -> None:
        """Draw memory and descriptors of every process over the time."""
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot as plt

        figure, axes = plt.subplots(2, 1, figsize=(10, 8), sharex=True)
        for axis, what in zip(axes, ("rss_mb", "descriptors"), strict=True):
            for name, samples in sorted(self.samples.items()):
                big = name in ("engine", "host", "media")
                axis.plot(
                    [one.at_s for one in samples], [getattr(one, what) for one in samples],
                    label=name if big else None, linewidth=1.6 if big else 0.5, color=None if big else "0.6",
                )  # fmt: skip
            axis.set_ylabel(what)
            for name, share in PHASES[1:]:
                axis.axvline(share * self.seconds, color="0.8", linewidth=0.8)
                axis.text(share * self.seconds, axis.get_ylim()[1], name, fontsize=7, va="top")
        axes[0].legend(loc="center right")
        axes[1].set_xlabel("s (grey: line workers)")
        figure.tight_layout()
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, dpi=110)
        plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--picture", type=Path, default=None, help="PNG to draw")
    parser.add_argument("--folder", type=Path, default=None)
    given = parser.parse_args(arguments)
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1, 1_000_000)
    own = Path(tempfile.mkdtemp(prefix="marcador-soak-", dir=given.folder))
    say(f"seed {seed}, in {own}")
    node = Node(own, seed=seed, leads=max(400, round(given.seconds * TALKERS / 3)))
    try:
        node.start()
        soak = Soak(node, given.seconds, seed)
        soak.run()
        code = node.drain()
        node.stop_far_ends()
        figures, faults = soak.verdict()
        unheard = soak.unheard()
        faults += [
            fault
            for fault in judge(node, []).faults
            if "left up" not in fault or not any(one in fault for one in unheard)
        ]
        if code:
            faults.append(f"`dialer run` ended with {code}")
    finally:
        node.close()
    if given.picture is not None:
        soak.draw(given.picture)
    for name in ("engine", "host", "media"):
        rss = [one.rss_mb for one in soak.samples.get(name, [])]
        if rss:
            say(f"{name:7} {min(rss):6.1f} MB |{bar(rss)}| {max(rss):.1f} MB")
    say(json.dumps(figures))
    for fault in faults:
        say(f"fault: {fault}")
    if not faults:
        shutil.rmtree(own)
    say(f"{len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
