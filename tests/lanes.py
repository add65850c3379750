"""Two lanes for the whole suite (`make test`): what uses fixed ports or the wall clock in one, what only computes in the other.

Owns which test runs in which lane, and what becomes of a failure. A suite of real SIP and RTP mostly waits, a unit test
mostly computes: side by side they fill two cores. What failed is run once more, alone: a test that passes then is named as
one that does not hold beside others, and the run passes; what fails twice fails it.

pytest-xdist's groups would do the first half, but its 3.8 does not see pytest 9.2's node ids, and all groups run everywhere.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click

LINE = "(sip or browser or bench) and not soak"
"""Kinds that share the machine's ports or its clock, and therefore never run beside each other."""
REST = f"not ({LINE}) and not soak"
REST_NICE = 10
"""The lane that only computes gives way to the one in which packets are due."""
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
    """Run both lanes, print the quieter one's report when it has ended; return each lane's exit code."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as report:
        rest = subprocess.Popen(
            ["nice", "-n", str(REST_NICE), *pytest_run("rest", REST, *arguments)],
            stdout=report,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            line_code = subprocess.run(pytest_run("line", LINE, *arguments), check=False).returncode
            rest_code = rest.wait()
        finally:
            if rest.poll() is None:
                os.killpg(rest.pid, signal.SIGINT)
                rest.wait()
        report.seek(0)
        click.echo("\nThe other lane (unit, db, sim, meta):")
        click.echo(report.read().decode(errors="replace"))
    click.echo(f"both lanes: {time.monotonic() - began:.0f} s")
    return {"line": line_code, "rest": rest_code}


def again(lane: str, arguments: Sequence[str]) -> int:
    """Run what failed in a lane once more, alone; return the exit code."""
    click.echo(
        f"\nOnce more, alone, what failed in the lane {lane!r}. What passes now does not hold beside others:",
    )
    kinds = {"line": LINE, "rest": REST}[lane]
    command = pytest_run(lane, kinds, "-v", "--last-failed", "--last-failed-no-failures=none", *arguments)
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
