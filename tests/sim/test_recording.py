"""What a leg keeps: the file reads back as it was written, and the stream's faults are counted."""

from pathlib import Path

import numpy as np
import pytest

from dialer_core.sim.recording import Recorder, load_recording, recording_name, stream_stats
from tests.sim.sound import Stream, sine

pytestmark = pytest.mark.unit


def _recorder(packets: list[tuple[int, int, int]]) -> Recorder:
    """Packets of (sequence, timestamp, arrival in ms)."""
    recorder = Recorder()
    for sequence, timestamp, arrival_ms in packets:
        recorder.add((arrival_ms * 1_000_000, sequence, timestamp, 9, False, 0, 5000), bytes(160))
    return recorder


def test_a_file_reads_back_as_it_was(tmp_path: Path) -> None:
    """Every array, and each packet's payload, survive the file; an event's short payload too."""
    recorder = Recorder()
    recorder.add((1, 65535, 4_294_967_295, 4_000_000_000, True, 0, 65535), b"\xff" * 160)
    recorder.add((2, 0, 159, 4_000_000_000, False, 101, 65535), b"\x01\x0a\x00\xa0")
    recording = recorder.finish()
    recording.save(tmp_path / recording_name("call/1"))
    again = load_recording(tmp_path / recording_name("call/1"))
    assert len(again) == 2
    assert again.payload_of(0).tobytes() == b"\xff" * 160
    assert again.payload_of(1).tobytes() == b"\x01\x0a\x00\xa0"
    for name in ("arrival_ns", "sequence", "timestamp", "ssrc", "marker", "payload_type", "source_port"):
        assert np.array_equal(getattr(recording, name), getattr(again, name)), name


def test_nothing_received_is_a_recording_too(tmp_path: Path) -> None:
    """An empty leg saves, loads, and counts nothing."""
    Recorder().finish().save(tmp_path / "empty.npz")
    assert stream_stats(load_recording(tmp_path / "empty.npz")).packets == 0


def test_a_clean_stream_has_no_faults() -> None:
    """A continuous stream that wraps sequence and timestamp counts one SSRC and nothing else."""
    stats = stream_stats(Stream(20.0).play(sine(700), 0, 20).recording())
    assert stats.packets == 1000
    assert (stats.ssrcs, stats.lost, stats.duplicates, stats.reordered, stats.timestamp_jumps) == (
        1,
        0,
        0,
        0,
        0,
    )
    assert 20 <= stats.max_interarrival_ms < 21


def test_each_fault_is_counted() -> None:
    """Loss, duplicates, reordering and jumps of the timestamp are each seen."""
    packets = [(n, 160 * n, 20 * n) for n in (1, 2, 3, 6, 5, 6, 8)]
    stats = stream_stats(_recorder(packets).finish())
    assert (stats.lost, stats.duplicates, stats.reordered, stats.timestamp_jumps) == (2, 1, 1, 0)
    jumped = _recorder([(1, 0, 0), (2, 160, 20), (3, 9999, 40), (4, 10159, 60)])
    assert stream_stats(jumped.finish()).timestamp_jumps == 1
