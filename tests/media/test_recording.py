"""Recordings of the real media plane: both directions in one clock, pauses, the end, keys, and a disk that takes nothing."""

from __future__ import annotations

import base64
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from amd import g711
from dialer_core.errors import SoundFileError
from dialer_core.ipc.messages import Hear, Record, RecordingEnded
from dialer_core.media.spool import Spool, read_spooled
from dialer_core.sim.audio_check import tone_levels_dbfs
from dialer_core.vocabulary import RecordSwitch, new_id
from tests.media.harness import Leg, Plane, PlaneProcess
from tests.media.test_hearing import HZ, speech
from tests.polling import wait_until

pytestmark = pytest.mark.sip

MASTER = bytes(range(32))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where this module's recordings lie."""
    return tmp_path_factory.mktemp("recordings")


@pytest.fixture(scope="module")
def plane_process(folder: Path) -> Iterator[PlaneProcess]:
    """A media plane that may record."""
    os.environ["TEST_RECORDING_KEY"] = base64.b64encode(MASTER).decode()
    with PlaneProcess("--recordings", str(folder), "--recording-key-env", "TEST_RECORDING_KEY") as process:
        yield process


def _talk(plane: Plane) -> tuple[Leg, Leg]:
    customer, agent = plane.pair()
    customer.far.speak(speech(HZ["customer"]))
    agent.far.speak(speech(HZ["agent"]))
    plane.bridge(customer, agent)
    return customer, agent


def _until_s(plane: Plane, leg: Leg, seconds: float) -> None:
    """Wait until a far end has received so much."""
    leg.far.wait_for(int(seconds * 50), timeout_s=10.0)
    assert plane.process.poll() is None


def _archived(folder: Path, recording_id: str) -> NDArray[np.int16]:
    file = folder / f"{recording_id}.done"
    wait_until(file.exists, 5, "the recording to be written")
    return g711.decode_pcmu(np.ascontiguousarray(read_spooled(file, MASTER)))


def _levels(sound: NDArray[np.int16], channel: int) -> NDArray[np.float64]:
    """Return both tones' level in each window of a channel."""
    return tone_levels_dbfs(sound[:, channel].astype(np.float32) / 32768, [HZ["customer"], HZ["agent"]])


def test_each_side_is_on_its_channel_and_a_pause_is_silence_on_both(plane: Plane, folder: Path) -> None:
    """Left the customer, right the agent, as long as the talk; while it is paused, and on hold, nobody."""
    customer, agent = _talk(plane)
    recording = new_id()
    switch = lambda to: plane.engine.send(Record(leg_id=customer.leg_id, recording_id=recording, switch=to))  # noqa: E731
    switch(RecordSwitch.ON)
    wait_until(lambda: plane.engine.dump()[customer.leg_id].recording_id == recording, 5, "it to begin")
    _until_s(plane, customer, 1.5)
    switch(RecordSwitch.PAUSE)
    _until_s(plane, customer, 1.0)
    switch(RecordSwitch.ON)
    _until_s(plane, customer, 1.0)
    plane.engine.send(Hear(hears={agent.leg_id: ()}, music={customer.leg_id: "hold"}))
    _until_s(plane, customer, 1.0)
    plane.close(customer)
    ended = plane.engine.wait(RecordingEnded, recording_id=recording)
    sound = _archived(folder, recording)
    assert ended.lost_pieces == 0
    assert len(sound) == pytest.approx(ended.seconds * 8000, abs=1)
    assert ended.seconds == pytest.approx(4.5, abs=1.0)
    for channel, mine in ((0, 0), (1, 1)):
        levels = _levels(sound, channel)
        loud = levels[:, mine] > -30
        assert levels[:, 1 - mine].max() < -45, "the other side is on this channel"
        runs = np.flatnonzero(np.diff(np.concatenate(([False], loud, [False])).astype(np.int8)))
        assert len(runs) == 4, "talk, pause, talk, hold"
        assert (runs[2] - runs[1]) * 0.05 == pytest.approx(1.0, abs=0.5)


def test_both_channels_are_aligned(plane: Plane, folder: Path) -> None:
    """What both say at one moment is at one place of both channels, within 20 ms (I14)."""
    customer, agent = _talk(plane)
    recording = new_id()
    plane.engine.send(Record(leg_id=customer.leg_id, recording_id=recording, switch=RecordSwitch.ON))
    _until_s(plane, customer, 1.0)
    begun = {leg.far: leg.far.frames_sent + 25 for leg in (customer, agent)}
    silence = b"\xff" * 160
    for leg, hz in ((customer, HZ["customer"]), (agent, HZ["agent"])):
        tone = speech(hz)
        leg.far.speak(lambda n, far=leg.far, tone=tone: silence if n < begun[far] else tone(n))
    starts = {leg: leg.far.begun_ns for leg in (customer, agent)}
    _until_s(plane, customer, 1.5)
    plane.engine.send(Record(leg_id=customer.leg_id, recording_id=recording, switch=RecordSwitch.OFF))
    sound = _archived(folder, recording)
    onsets = []
    for channel in (0, 1):
        quiet = np.flatnonzero(np.abs(sound[:, channel]) > 500)
        gaps = np.flatnonzero(np.diff(quiet) > 2000)
        onsets.append(int(quiet[gaps[-1] + 1]))
    spoke_apart = (starts[agent] - starts[customer]) / 125_000
    assert (onsets[1] - onsets[0]) - spoke_apart == pytest.approx(0, abs=160)


def test_who_does_not_want_it_is_not_kept(plane: Plane, folder: Path) -> None:
    """Discarded: no file is left, and that is told."""
    customer, _ = _talk(plane)
    recording = new_id()
    plane.engine.send(Record(leg_id=customer.leg_id, recording_id=recording, switch=RecordSwitch.ON))
    _until_s(plane, customer, 2.2)
    assert list(folder.glob(f"{recording}*"))
    plane.engine.send(Record(leg_id=customer.leg_id, recording_id=recording, switch=RecordSwitch.DISCARD))
    assert plane.engine.wait(RecordingEnded, recording_id=recording).discarded
    wait_until(lambda: not list(folder.glob(f"{recording}*")), 5, "it to be gone")


def test_a_spooled_recording_opens_with_its_key_and_whole_alone(tmp_path: Path) -> None:
    """Another key, another name, a changed byte: refused. A half piece at the end, and a gap: what is whole is read."""
    spool = Spool(tmp_path, MASTER)
    for second in (0, 1, 3):
        spool.write("a", second * 8000, bytes([second]) * 16000)
    spool.close_file("a", discard=False)
    spool.close()
    file = tmp_path / "a.done"
    content = file.read_bytes()
    assert bytes([1]) * 100 not in content, "sound lies in the clear"
    assert file.stat().st_mode & 0o077 == 0
    sound = read_spooled(file, MASTER)
    assert [int(sound[n * 8000 + 5, 1]) for n in range(4)] == [0, 1, 0xFF, 3]
    with pytest.raises(SoundFileError, match="another key"):
        read_spooled(file, bytes(32))
    file.write_bytes(content[:-7])
    assert len(read_spooled(file, MASTER)) == 2 * 8000
    file.write_bytes(content[:200] + bytes([content[200] ^ 1]) + content[201:])
    with pytest.raises(SoundFileError):
        read_spooled(file, MASTER)
    other = tmp_path / "b.done"
    other.write_bytes(content)
    with pytest.raises(SoundFileError):
        read_spooled(other, MASTER)


def test_a_disk_that_takes_nothing_costs_sound_and_nothing_else(tmp_path: Path) -> None:
    """Pieces that cannot be written are counted; the thread lives, and takes the next recording when it can."""
    spool = Spool(tmp_path, MASTER)
    tmp_path.rmdir()
    for n in range(3):
        assert spool.write("a", n * 8000, b"\0" * 16000)
    wait_until(lambda: spool.left_out == 3, 5, "three pieces to be left out")
    tmp_path.mkdir()
    spool.write("a", 3 * 8000, b"\0" * 16000)
    spool.close_file("a", discard=False)
    spool.close()
    assert len(read_spooled(tmp_path / "a.done", MASTER)) == 4 * 8000


@pytest.mark.parametrize("room", [40, 20_000])
def test_a_disk_that_takes_a_part_of_a_piece_leaves_whole_ones_alone(
    tmp_path: Path, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Full within the head, or within the second piece: what was written halfway is taken back, and all else can be read."""
    # the limit is that of the log's file too
    monkeypatch.setattr("dialer_core.media.spool._log.error", lambda *_, **__: None, raising=False)
    spool = Spool(tmp_path, MASTER)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, unlimited[1]))
    try:
        for n in range(2):
            spool.write("a", n * 8000, bytes([n]) * 16000)
        wait_until(lambda: spool.left_out == (2 if room == 40 else 1), 5, "what does not fit to be left out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    spool.write("a", 2 * 8000, bytes([2]) * 16000)
    spool.close_file("a", discard=False)
    spool.close()
    (file,) = tmp_path.iterdir()
    sound = read_spooled(file, MASTER)
    assert [int(sound[n * 8000 + 5, 1]) for n in range(3)] == [0xFF if room == 40 else 0, 0xFF, 2]
