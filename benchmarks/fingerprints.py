"""What it costs to recognise known announcements, beside the detector: `python -m benchmarks.fingerprints --json`.

A thousand rows hear speech in which no known recording is (the dearest case: nobody is recognised and leaves), joining and leaving each
tick so that a call is heard for six seconds. Known are forty recordings, made of the simulator's clips as they are, reversed, and faster
or slower. The time is the processor's, not the wall clock's.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import soundfile
from numpy.typing import NDArray

from amd import FingerprintIndex, g711
from amd.fingerprints import Matcher
from dialer_core.sim import clips

FRAME = 160
CALL_TICKS = 300
RECORDINGS = 40
SIZES = (100, 500, 1000)


def voices() -> list[NDArray[np.int16]]:
    """Return the simulator's clips, as they are, reversed, and at other speeds."""
    found = []
    for file in sorted(Path(clips.__file__).parent.glob("*.flac")):
        sound, _ = soundfile.read(file, dtype="int16")
        for speed in (1.0, 0.9, 1.12):
            at = np.arange(0, sound.size - 1, speed).astype(np.intp)
            found += [sound[at], sound[at][::-1].copy()]
    return [g711.decode_pcmu(g711.encode_pcmu(pcm)) for pcm in found]


def measure(index: FingerprintIndex, others: list[NDArray[np.int16]], n: int, ticks: int) -> dict[str, float]:
    """Return the cost of a tick with n rows."""
    rng = np.random.default_rng(1)
    sound = np.stack([np.resize(others[i % len(others)], CALL_TICKS * FRAME) for i in range(n)])
    start = rng.integers(0, CALL_TICKS, n)
    matcher, rows = Matcher(index, n), np.arange(n)
    for row in range(n):
        matcher.join(row)
    spent = matches = 0.0
    for tick in range(CALL_TICKS + ticks):
        place = (start + tick) % CALL_TICKS
        for row in np.flatnonzero(place == 0):
            matcher.join(int(row))
        frames = sound.reshape(n, CALL_TICKS, FRAME)[rows, place]
        before = time.process_time()
        found = matcher.step(frames, rows)
        if tick >= CALL_TICKS:  # before, the rows have not all begun anew
            spent += time.process_time() - before
            matches += len(found)
    us = spent / ticks * 1e6
    return {
        "calls": n,
        "recordings": len(index),
        "us_per_tick": round(us, 1),
        "core_share": round(us / 20_000, 4),
        "matches": matches,
    }


def main() -> None:
    """Print a line per size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    parser.add_argument("--ticks", type=int, default=300, help="ticks measured per size")
    options = parser.parse_args()
    all_voices = [pcm for pcm in voices() if pcm.size >= 12_000]
    long, rest = all_voices[:RECORDINGS], all_voices[RECORDINGS:]
    index = FingerprintIndex.of([(f"known {number}", pcm) for number, pcm in enumerate(long)])
    for n in SIZES:
        line = measure(index, rest, n, options.ticks)
        print(json.dumps(line) if options.json else line)


if __name__ == "__main__":
    main()
