"""The process itself: how it starts, what it refuses to start with, RTCP over its life, and how it ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from dialer_core.ipc.channel import listen_unix
from dialer_core.ipc.messages import LegClosed, Play, PromptFinished
from dialer_core.vocabulary import LegKind
from tests.media.harness import PCMU, PLANE_PORTS, ROOT, SILENCE, Plane, PlaneProcess
from tests.polling import wait_until

pytestmark = pytest.mark.sip


def start(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the media plane with arguments it should refuse."""
    command = [sys.executable, "-m", "dialer_core.media.plane", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)


def test_prompts_of_ones_own(tmp_path: Path) -> None:
    """WAV and FLAC files of any rate in --prompts are played by their names, and replace packaged ones of the same name."""
    t = np.arange(44_100) / 44_100
    stereo = np.stack([0.5 * np.sin(2 * np.pi * 440 * t), np.zeros(44_100)], axis=1)
    soundfile.write(tmp_path / "sorry.flac", stereo, 44_100)
    soundfile.write(tmp_path / "connect.wav", 0.5 * np.sin(2 * np.pi * 440 * t)[:3200], 16_000)
    (tmp_path / "notes.txt").write_text("not a prompt")
    with PlaneProcess("--prompts", str(tmp_path)) as process, Plane(process) as plane:
        assert {
            "abandonment-en",
            "abandonment-es",
            "connect",
            "sorry",
            "screening-es",
            "voicemail-es",
        } <= set(plane.engine.hello.prompts)
        customer = plane.leg(LegKind.CUSTOMER)
        plane.engine.send(Play(leg_id=customer.leg_id, prompts=("connect", "sorry"), play_id="1"))
        plane.engine.wait(PromptFinished, play_id="1", cut=False)
        customer.far.wait_for(3)
        sound = [p.payload for p in customer.far.packets if p.payload != SILENCE[PCMU]]
        assert len(sound) == 10 + 50


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("broken.wav", b"RIFF....WAVEnothing", "broken.wav: is not a readable"),
        ("empty.wav", None, "empty.wav: holds no sound"),
    ],
)
def test_a_bad_prompt_is_named_at_the_start(
    tmp_path: Path, name: str, content: bytes | None, says: str
) -> None:
    """A prompt that cannot be used stops the start with one line that names the file."""
    if content is None:
        soundfile.write(tmp_path / name, np.zeros(0), 8000)
    else:
        (tmp_path / name).write_bytes(content)
    ended = start("--socket", str(tmp_path / "m"), "--prompts", str(tmp_path))
    assert ended.returncode == 1
    assert says in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--prompts", "/no/such/folder"), "/no/such/folder cannot be read"),
        (("--ports", "23001-23001"), "holds no even/odd pair"),
        (("--ports", "many"), "write FIRST-LAST"),
        (("--bind", "localhost"), "is no IPv4 address"),
        (("--bind", "192.0.2.7"), "192.0.2.7 is no address of this machine"),
    ],
)
def test_what_is_wrong_with_the_arguments_is_said(
    tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    """Each mistake ends the start with what would be right, and no traceback."""
    ended = start("--socket", str(tmp_path / "m"), *arguments)
    assert ended.returncode in (1, 2)
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_socket_in_use_is_named(tmp_path: Path) -> None:
    """A second media plane on the same socket refuses to start, and the first is not disturbed."""
    with listen_unix(tmp_path / "m"):
        ended = start("--socket", str(tmp_path / "m"))
        assert ended.returncode == 1
        assert "another process listens" in ended.stderr
        assert (tmp_path / "m").exists()


def test_sigterm_closes_every_leg() -> None:
    """On SIGTERM each far end gets an RTCP BYE, the engine each leg's end, and the socket's path is gone."""
    with PlaneProcess() as process, Plane(process) as plane:
        legs = plane.pair()
        for leg in legs:
            leg.far.wait_for(3)
        plane.process.send_signal(signal.SIGTERM)
        for leg in legs:
            assert plane.engine.wait(LegClosed, leg_id=leg.leg_id).statistics.tx_packets >= 3
            wait_until(lambda far=leg.far: far.reports, 5, "RTCP")  # type: ignore[misc]
            assert leg.far.reports[-1][1][-8:-4] == b"\x81\xcb\x00\x01"
        assert plane.process.wait(5) == 0
        assert not plane.socket_path.exists()


def test_rtcp_comes_from_the_odd_port_and_tells_the_truth(plane: Plane) -> None:
    """Reports come from the port after RTP's, of the stream's own SSRC, count what was sent, and echo the far end's report."""
    customer = plane.leg(LegKind.CUSTOMER)
    far = customer.far
    far.speak()
    far.wait_for(2)
    far.rtcp.sendto(
        bytes.fromhex("80c80006")
        + far.ssrc.to_bytes(4, "big")
        + bytes.fromhex("aaaabbbbccccdddd")
        + bytes(12),
        ("127.0.0.1", customer.port + 1),
    )
    wait_until(lambda: far.reports, 9, "a sender report")
    report = far.reports[0][1]
    assert report[:2] == b"\x81\xc8"
    ssrc, packets = report[4:8], int.from_bytes(report[20:24], "big")
    assert ssrc == far.packets[0].ssrc.to_bytes(4, "big")
    assert abs(packets - len(far.packets)) <= 2
    assert int.from_bytes(report[24:28], "big") == packets * 160
    assert report[28:32] == far.ssrc.to_bytes(4, "big"), "the block is about the far end's stream"
    assert report[44:48] == bytes.fromhex("bbbbcccc"), "the middle of its NTP time comes back"
    delay_s = int.from_bytes(report[48:52], "big") / 65536
    assert 1.0 < delay_s < 5.0, "the first is due after a quarter to three quarters of five seconds"


def test_what_the_far_end_reports_is_in_the_totals(plane: Plane) -> None:
    """A receiver report on our stream, answering our sender report: its loss and jitter, and the round trip without the time it kept it."""
    customer = plane.leg(LegKind.CUSTOMER)
    far = customer.far
    far.speak()
    wait_until(lambda: far.reports, 9, "a sender report")
    ours = far.reports[0][1]

    def block(ssrc: bytes, delay_s: float) -> bytes:
        held = int(delay_s * 65536).to_bytes(4, "big")
        return ssrc + bytes.fromhex("40000007 00000100 00000028") + ours[10:14] + held

    waited_s = (time.monotonic_ns() - far.reports[0][0]) / 1e9
    blocks = block(b"none", 0.0) + block(ours[4:8], waited_s)
    report = bytes.fromhex("82c9000d") + far.ssrc.to_bytes(4, "big") + blocks
    far.rtcp.sendto(report, ("127.0.0.1", customer.port + 1))
    plane.engine.dump()  # what came before has been read when this is answered
    plane.engine.dump()
    totals = plane.close(customer).statistics
    assert (totals.far_reports, totals.far_lost, totals.far_jitter_ms) == (1, 7, 5.0)
    assert totals.round_trip_ms is not None
    assert totals.round_trip_ms < 500.0


def test_no_leg_is_heard_on_a_port_it_does_not_have(plane: Plane) -> None:
    """After closing, both ports are free for anybody."""
    customer = plane.leg(LegKind.CUSTOMER)
    plane.close(customer)
    for port in (customer.port, customer.port + 1):
        with socket.socket(type=socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", port))


def test_the_range_of_ports_can_run_out() -> None:
    """When every pair is taken the engine is told, and a closed leg's pair is handed out again."""
    first = int(PLANE_PORTS.partition("-")[0])
    with PlaneProcess(ports=f"{first}-{first + 3}") as process, Plane(process) as plane:
        legs = plane.pair()
        with pytest.raises(AssertionError, match="no port pair is free"):
            plane.leg(LegKind.CUSTOMER)
        plane.close(legs[0])
        assert plane.leg(LegKind.CUSTOMER).port == legs[0].port
