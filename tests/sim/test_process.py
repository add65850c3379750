"""`python -m dialer_core.sim` as a program: its one line when it cannot start, its help."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.callers import HOST, simulator
from tests.skips import ROOT

pytestmark = pytest.mark.sip


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dialer_core.sim", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_port_in_use_is_one_line_and_status_1(tmp_path: Path) -> None:
    """A taken SIP port ends the program with one line that names it, nothing on stdout, and status 1."""
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind((HOST, 21070))
        done = _run(tmp_path, "--carrier-port", "21070", "--log", "l", "--recordings", "r")
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr
        == f"sim: the simulated carrier cannot listen on {HOST}:21070/udp: Address already in use\n"
    )


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("--carrier-port", "x", "give ports as 21010"),
        ("--softphone-ports", "21071,21071", "different numbers"),
        ("--rtp-ports", "30-20", "the first number is the smaller"),
        ("--talk-s", "long", "give two numbers"),
    ],
)
def test_a_wrong_option_says_what_would_be_right(
    tmp_path: Path, option: str, value: str, complaint: str
) -> None:
    """A value that cannot be read is refused with what it should look like, and status 2."""
    done = _run(tmp_path, "--log", "l", "--recordings", "r", "--carrier-port", "21072", option, value)
    assert done.returncode == 2
    assert complaint in done.stderr


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """A recordings folder that is a file is told in one line."""
    (tmp_path / "file").write_text("")
    done = _run(tmp_path, "--log", "l", "--recordings", "file/below", "--carrier-port", "21072")
    assert done.returncode == 1
    assert done.stderr.startswith("sim: the simulator cannot write file")


def test_more_softphones_than_tones_are_refused(tmp_path: Path) -> None:
    """Thirteen softphones are one more than there are tones."""
    ports = ",".join(str(21080 + n) for n in range(13))
    done = _run(
        tmp_path, "--log", "l", "--recordings", "r", "--carrier-port", "21072", "--softphone-ports", ports
    )
    assert done.returncode == 1
    assert "at most 12 softphones" in done.stderr


def test_it_is_ready_and_ends(tmp_path: Path) -> None:
    """It prints its line of readiness and ends on SIGTERM with status 0."""
    with simulator(tmp_path, "--carrier-port", "21073") as process:
        process.terminate()
        assert process.wait(10) == 0
