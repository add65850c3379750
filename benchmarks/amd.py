"""What listening costs: the detector over many calls at once, beside webrtcvad alone and the restated app_amd on the same sound.

The load: every call is G.711 that is decoded each tick, 60 % of its frames are speech, and one in a hundred calls leaves each tick and
another joins, at least one. CPU time of this process, the median of several runs; `core_share` is that of one core at 50 ticks a second.

    python -m benchmarks.amd
    python -m benchmarks.amd --json
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: as the media process runs

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from amd import Detector
from amd.g711 import decode_pcmu, encode_pcmu
from amd.training.app_amd import app_amd

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it asks for pkg_resources, which says it is going
    import webrtcvad

SIZES = (1, 10, 100, 500, 1000, 2000)
TICKS, WARM_TICKS, RUNS = 100, 50, 5
TICK_S = 0.02
SPEECH_SHARE = 0.6
TURNOVER = 0.01
CLIPS = Path(str(resources.files("dialer_core.sim") / "clips"))


def material(seconds: float = 60.0, seed: int = 1) -> NDArray[np.uint8]:
    """Return frames of µ-law, shape (n, 160): clips of voices and pauses over a line's noise, 60 % of the time speech."""
    rng = np.random.default_rng(seed)
    clips = [soundfile.read(path, dtype="float64")[0] for path in sorted(CLIPS.glob("*.flac"))]
    pieces: list[NDArray[np.float64]] = []
    while sum(piece.size for piece in pieces) < seconds * 8000:
        clip = clips[rng.integers(len(clips))]
        pieces += [clip, np.zeros(int(clip.size * (1 / SPEECH_SHARE - 1)))]
    sound = np.concatenate(pieces)[: int(seconds * 8000)]
    sound += rng.standard_normal(sound.size) * 10 ** (-62 / 20)
    pcm = np.clip(np.rint(sound * 32768), -32768, 32767).astype(np.int16)
    return encode_pcmu(pcm).reshape(-1, 160)


def load(n_calls: int, frames: NDArray[np.uint8], seed: int) -> Iterator[NDArray[np.uint8]]:
    """Yield the octets of each tick, shape (n_calls, 160), every call somewhere else in the material."""
    at = np.random.default_rng(seed).integers(0, len(frames), n_calls)
    for tick in range(WARM_TICKS + TICKS):
        yield frames[(at + tick) % len(frames)]


def detector_s(n_calls: int, frames: NDArray[np.uint8], seed: int) -> tuple[float, int]:
    """Return CPU seconds of a tick, and bytes of a call."""
    detector = Detector(n_calls)
    rows = [detector.join() for _ in range(n_calls)]
    rng = np.random.default_rng(seed)
    spent = 0.0
    for tick, octets in enumerate(load(n_calls, frames, seed)):
        begun = time.process_time()
        for _ in range(max(1, round(TURNOVER * n_calls))):
            gone = int(rng.integers(n_calls))
            detector.leave(rows[gone])
            rows[gone] = detector.join()
        detector.step(decode_pcmu(octets), np.array(rows, np.intp))
        if tick >= WARM_TICKS:
            spent += time.process_time() - begun
    return spent / TICKS, detector.row_bytes


def webrtcvad_s(n_calls: int, frames: NDArray[np.uint8], seed: int) -> float:
    """Return CPU seconds of a tick of webrtcvad alone, one instance a call, G.711 decoding included."""
    vads = [webrtcvad.Vad(2) for _ in range(n_calls)]
    spent = 0.0
    for tick, octets in enumerate(load(n_calls, frames, seed)):
        begun = time.process_time()
        for vad, frame in zip(vads, decode_pcmu(octets), strict=True):
            vad.is_speech(frame.tobytes(), 8000)
        if tick >= WARM_TICKS:
            spent += time.process_time() - begun
    return spent / TICKS


def app_amd_s(n_calls: int, frames: NDArray[np.uint8], seed: int) -> float:
    """Return CPU seconds of a tick of the restated app_amd, G.711 decoding included."""
    octets = np.stack(list(load(n_calls, frames, seed))[:TICKS], axis=1)
    begun = time.process_time()
    app_amd(decode_pcmu(octets))
    return (time.process_time() - begun) / TICKS


def measure(n_calls: int, frames: NDArray[np.uint8]) -> dict[str, float | int]:
    """Return the figures of one size."""
    runs = [detector_s(n_calls, frames, seed) for seed in range(RUNS)]
    tick_s = statistics.median(spent for spent, _ in runs)
    return {
        "calls": n_calls,
        "us_per_tick": round(1e6 * tick_s, 1),
        "core_share": round(tick_s / TICK_S, 4),
        "bytes_per_call": runs[0][1],
        "webrtcvad_core_share": round(webrtcvad_s(n_calls, frames, 0) / TICK_S, 4),
        "app_amd_core_share": round(app_amd_s(n_calls, frames, 0) / TICK_S, 4),
    }


def main() -> None:
    """Print a line for each size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    options = parser.parse_args()
    frames = material()
    for size in options.sizes:
        figures = measure(size, frames)
        if options.json:
            print(json.dumps(figures), flush=True)
        else:
            print("  ".join(f"{name} {value}" for name, value in figures.items()), flush=True)


if __name__ == "__main__":
    main()
