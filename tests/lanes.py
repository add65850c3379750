"""Lanes for the whole suite (`make test`), side by side: real time on fixed ports, real time on ports found free, databases, and what only computes.

Owns which test runs in which lane, and what becomes of a failure. A suite of real SIP and RTP mostly waits, a unit test
mostly computes: side by side they fill two cores. What failed is run once more, alone: a test that passes then is named as
one that does not hold beside others, and the run passes; what fails twice fails it.

pytest-xdist's groups would do the first half, but its 3.8 does not see pytest 9.2's node ids, and all groups run everywhere.
"""

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import click

_REAL_TIME = "(sip or browser or bench)"
LANES = {
    "line": f"{_REAL_TIME} and not own_ports and not soak",
    "worlds": "own_ports and not soak",
    "db": f"db and not {_REAL_TIME} and not soak",
    "rest": f"not db and not {_REAL_TIME} and not soak",
}
"""Kinds by lane. Those of `line` share the machine's fixed ports, and therefore never run beside each other."""
TRACKS = (("line",), ("worlds", "db"), ("rest",))
"""What runs side by side, and within each what comes after what. The demonstration finds its own ports too, but is of the first: its sound is
judged to the packet, and beside the load tests of that lane the simulator's own ran late on two cores."""
GIVES_WAY = {"db": 10, "rest": 10}
"""Niceness of lanes that only compute, beside those in which packets are due."""
TESTS_FAILED = 1
"""pytest's exit code when it ran to its end and a test failed."""


def pytest_run(lane: str, kinds: str, *more: str) -> list[str]:
    """Return the command that runs the tests of some kinds, with a memory of its own of what failed."""
    return [
        sys.executable,
        "-m",
        "pytest",
        "-m",
        kinds,
        "-o",
        f"cache_dir=.pytest_cache/{lane}",
        "--durations=15",
        *more,
    ]


def side_by_side(arguments: Sequence[str]) -> dict[str, int]:
    """Run every lane, the first one's words at once and the others' when all have ended; return each lane's exit code."""
    began = time.monotonic()
    shown = TRACKS[0][0]
    with contextlib.ExitStack() as held:
        reports = {lane: held.enter_context(tempfile.TemporaryFile()) for lane in LANES if lane != shown}

        def follow(track: Sequence[str]) -> dict[str, int]:
            return {lane: _run(lane, arguments, reports.get(lane)) for lane in track}

        with ThreadPoolExecutor(len(TRACKS)) as pool:
            codes = {lane: code for done in pool.map(follow, TRACKS) for lane, code in done.items()}
        for lane, report in reports.items():
            report.seek(0)
            click.echo(f"\nThe lane {lane!r} ({LANES[lane]}):")
            click.echo(report.read().decode(errors="replace"))
    click.echo(f"all lanes: {time.monotonic() - began:.0f} s")
    return codes


def _run(lane: str, arguments: Sequence[str], report: IO[bytes] | None) -> int:
    """Run one lane, its words to a report or to the screen. A Ctrl-C reaches it by itself: it is of our process group."""
    command = ["nice", "-n", str(GIVES_WAY.get(lane, 0)), *pytest_run(lane, LANES[lane], *arguments)]
    return subprocess.run(command, check=False, stdout=report, stderr=report and subprocess.STDOUT).returncode


def again(lane: str, arguments: Sequence[str]) -> int:
    """Run what failed in a lane once more, alone; return the exit code."""
    click.echo(
        f"\nOnce more, alone, what failed in the lane {lane!r}. What passes now does not hold beside others:",
    )
    command = pytest_run(
        lane, LANES[lane], "-v", "--last-failed", "--last-failed-no-failures=none", *arguments
    )
    return subprocess.run(command, check=False).returncode


def main(arguments: Sequence[str]) -> int:
    """Run the suite; return 0 if every test passed in its lane or alone."""
    if not Path("pyproject.toml").exists():
        raise SystemExit("run it at the root of the checkout")
    codes = side_by_side(arguments)
    for lane, code in codes.items():
        if code == TESTS_FAILED:
            codes[lane] = again(lane, arguments)
    return max(codes.values(), key=abs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
