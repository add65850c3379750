"""Simulated calls in numbers: scenes through lines, codec by codec, as the frames a detector is given.

Owns the loop over scenes and its seed. The same seed and parts give the same calls.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from amd.training import channel
from amd.training.channel import Line, active
from amd.training.scenes import SAMPLE_HZ, SECONDS, Cast, Scene, machine, person

BATCH = 250
"""Calls made at once: their sound fits into some hundred megabytes."""


@dataclass(frozen=True, slots=True)
class Call:
    """One simulated call as it is heard.

    Attributes
    ----------
    frames : numpy.ndarray of int16, shape (n_ticks, 160)
        What arrives.
    arrived : numpy.ndarray of bool, shape (n_ticks,)
        False where a frame is known to be missing.
    """

    scene: Scene
    line: Line
    frames: NDArray[np.int16]
    arrived: NDArray[np.bool_]


def simulate(
    cast: Cast,
    n_calls: int,
    seed: int,
    *,
    people: float = 0.5,
    codecs: tuple[str, ...] = (),
    hard: bool = False,
    kind: str | None = None,
) -> Iterator[list[Call]]:
    """Make calls, in batches of at most `BATCH`.

    Parameters
    ----------
    cast : Cast
        Who may speak.
    n_calls : int
        How many.
    seed : int
        Of everything drawn.
    people : float
        Share of calls answered by a person.
    codecs : tuple of str
        Codecs besides G.711, see `channel.available_codecs`.
    hard : bool
        Lines with wider limits than those trained on.
    kind : str, optional
        Only scenes of this kind.
    """
    rng = np.random.default_rng(seed)
    for first in range(0, n_calls, BATCH):
        scenes: list[Scene] = []
        while len(scenes) < min(BATCH, n_calls - first):
            scene = person(cast, rng, kind) if rng.random() < people else machine(cast, rng, kind)
            if scene is not None:
                scenes.append(scene)
        yield _heard(scenes, cast, rng, codecs, hard=hard)


def _heard(
    scenes: list[Scene], cast: Cast, rng: np.random.Generator, codecs: tuple[str, ...], *, hard: bool
) -> list[Call]:
    lines = [channel.draw_line(rng, codecs, hard=hard) for _ in scenes]
    sound = np.empty((len(scenes), round(SECONDS * SAMPLE_HZ)), np.int16)
    speaking = []
    by_codec: dict[str, list[int]] = defaultdict(list)
    for i, (scene, line) in enumerate(zip(scenes, lines, strict=True)):
        clean = active(scene.sound)
        power = np.square(clean.reshape(-1, 160)).mean(axis=1)
        speaking.append((power > 1e-3) | (np.square(scene.beep.reshape(-1, 160)).mean(axis=1) > 1e-3))
        _behind(clean, cast, rng)
        linear = channel.to_the_codec(clean, scene.beep, line, rng)
        sound[i] = np.clip(np.rint(linear * 32768.0), -32768, 32767)
        by_codec[line.codec].append(i)
        scene.sound = scene.beep = np.zeros(0, np.float32)
    for codec, rows in by_codec.items():
        if codec != "g711":
            sound[rows] = channel.through_program(codec, sound[rows].reshape(-1)).reshape(len(rows), -1)
    calls = []
    for i, (scene, line) in enumerate(zip(scenes, lines, strict=True)):
        heard, arrived = channel.after_the_codec(sound[i], line, rng, speaking[i])
        calls.append(Call(scene, line, heard.reshape(-1, 160), arrived))
    return calls


def _behind(sound: np.ndarray, cast: Cast, rng: np.random.Generator) -> None:
    """Mix in what else may be heard: talk in the room, the knock of a handset."""
    if rng.random() < 0.12:
        level = 10.0 ** (-rng.uniform(16.0, 30.0) / 20.0)
        at = 0
        while at < sound.size:
            other = cast.line(cast.speaker(rng), ("who", "hello", "prompt", "voicemail"), rng)
            if other is None:
                break
            talk = active(other.phrases[0])[: sound.size - at]
            sound[at : at + talk.size] += level * talk
            at += talk.size + int(rng.uniform(0.0, 1.5) * SAMPLE_HZ)
    if rng.random() < 0.12:
        length = int(rng.uniform(0.01, 0.08) * SAMPLE_HZ)
        at = int(rng.uniform(0.0, 0.4) * SAMPLE_HZ)
        knock = rng.standard_normal(length) * np.exp(-np.arange(length) / (0.25 * length))
        sound[at : at + length] += rng.uniform(0.2, 1.0) * knock.astype(np.float32)
