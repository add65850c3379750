"""`dialer amd explain`: one recording drawn, with what the detector made of it at each moment.

It owns what is drawn. How it is drawn is `amd_picture.py`'s, which alone needs matplotlib.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from numpy.typing import NDArray

from amd import Detector, DetectorConfig, Mark, detect_all
from amd.tonebank import FRAME
from dialer_core.commands.amd_recordings import CHANNEL, MODE, as_heard, judgement, sentence
from dialer_core.commands.invocation import Invocation, PictureFile, example, printing

AFTER_TICKS, SOUND_AFTER_TICKS = 50, 150
"""Drawn beyond the last mark, and beyond it as long as there is sound: 1 s and 3 s."""


class Course(NamedTuple):
    """A recording and what the detector held of it; one element per tick in every array but the sound."""

    sound: NDArray[np.float32]
    """Full scale 1, cut to the ticks."""
    marks: list[Mark]
    level_dbfs: NDArray[np.float32]
    floor_dbfs: NDArray[np.float32]
    voice: NDArray[np.bool_]
    machine_probability: NDArray[np.float32]


@click.command(epilog=example("dialer amd explain greeting.wav --out greeting.png"))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--out",
    type=PictureFile(),
    metavar="PNG",
    help="The picture; by default in the working folder, named after the recording.",
)
@MODE
@CHANNEL
@printing
def explain(call: Invocation, file: Path, out: Path | None, mode: str, channel: int | None) -> None:
    """Draw a recording and why it was judged as it was.

    From top to bottom: the sound with the marks (verdict, revision, end of the greeting, beep); its level over
    the line's noise, and where that is voice; the odds of a recording against a person, with the threshold
    that the costs of the mode ask for.
    """
    from dialer_core.commands.amd_picture import draw  # noqa: PLC0415 - matplotlib takes half a second

    config = DetectorConfig.preset(mode)
    course = follow(as_heard(file, config, channel), config)
    found = judgement(str(file), course.marks)
    out = out or Path(f"{file.stem}.png")
    draw(out, course, found, config)
    call.say(sentence(found))
    call.say(f"drawn: {out}")
    call.give({"picture": str(out), "judgement": found})


def follow(pcm: NDArray[np.int16], config: DetectorConfig) -> Course:
    """Return what the detector says of a recording, and what it held after every tick until a moment after all was said."""
    ((_, marks),) = detect_all([pcm], config)
    last = max(mark.tick for mark in marks)
    n_ticks = max(last + AFTER_TICKS, min(-(-pcm.size // FRAME), last + SOUND_AFTER_TICKS))
    frames = np.zeros((n_ticks, 1, FRAME), np.int16)
    heard = pcm[: n_ticks * FRAME]
    frames.reshape(-1)[: heard.size] = heard
    detector = Detector(1, config)
    rows = np.array([detector.join()])
    held = []
    for frame in frames:
        detector.step(frame, rows)
        held.append(detector.evidence(rows))
    level, floor, voice, probability = (np.concatenate(part) for part in zip(*held, strict=True))
    sound = frames.reshape(-1).astype(np.float32) / np.float32(32768.0)
    return Course(sound, marks, level, floor, voice, probability)
