"""What `dialer amd` commands share about recordings: how a file becomes what a call would have heard, and what was said of it.

It owns the shape of a judgement. Decoding is `sound_files.py`'s, hearing `amd`'s.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click
import msgspec
import numpy as np
from numpy.typing import NDArray

from amd import DetectorConfig, FingerprintIndex, Label, Mark, MarkKind, Preset, detect_all, g711
from amd.config import HEARD_OUT_S
from amd.frames import TICK_S
from amd.marks import BEEP_WAIT_TICKS
from dialer_core.errors import SoundFileError
from dialer_core.sound_files import read_sound, sound_files

CHANNEL = click.option(
    "--channel",
    type=click.IntRange(min=1),
    help="Hear only this channel, counted from 1; by default all channels mixed.",
)
MODE = click.option(
    "--mode",
    type=click.Choice([preset.value for preset in Preset]),
    default=Preset.FAST.value,
    show_default=True,
    help="Decide as a campaign in this mode does.",
)


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a provisional verdict."""

    before: str = msgspec.field(name="from")
    after: str = msgspec.field(name="to")
    decision_s: float
    """When the former was given."""
    revised_s: float


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What was said of one recording; times in seconds from its first sample."""

    file: str
    label: str
    """The final verdict's, as are reason, confidence and decision_s."""
    reason: str
    confidence: float
    decision_s: float
    greeting_end_s: float | None
    """End of the speech heard before the verdict; null where there was none."""
    beep_s: float | None
    """End of the first recording beep; null where none was heard."""
    revisions: list[Revision]


class Unheard(msgspec.Struct, frozen=True, kw_only=True):
    """A file that could not be judged."""

    file: str
    error: str


def as_heard(file: Path, config: DetectorConfig, channel: int | None = None) -> NDArray[np.int16]:
    """Return as much of a file as a call would be listened to, after G.711 as on the wire.

    Raises
    ------
    SoundFileError
        The file holds no sound that can be used.
    """
    longest_s = config.limit_s + HEARD_OUT_S + config.revise_s + (BEEP_WAIT_TICKS + 50) * TICK_S
    return g711.decode_pcmu(g711.encode_pcmu(read_sound(file, channel=channel, first_s=longest_s)))


def judged(
    paths: Iterable[Path],
    config: DetectorConfig,
    channel: int | None = None,
    known: FingerprintIndex | None = None,
) -> Iterator[Judgement | Unheard]:
    """Yield what is said of each file of these paths (folders with what is in them), in their order, as soon as it is known."""
    listed: list[Path | Unheard] = []
    for path in paths:
        try:
            listed += sound_files(path)
        except SoundFileError as error:
            listed.append(Unheard(file=str(path), error=str(error)))
    done: dict[int, Judgement | Unheard] = {}
    given: list[int] = []
    """Which of the listed each recording handed to the detector is."""

    def readable() -> Iterator[NDArray[np.int16]]:
        for number, file in enumerate(listed):
            if isinstance(file, Unheard):
                done[number] = file
                continue
            try:
                pcm = as_heard(file, config, channel)
            except SoundFileError as error:
                done[number] = Unheard(file=str(file), error=str(error))
                continue
            given.append(number)
            yield pcm

    told = 0
    for index, marks in detect_all(readable(), config, known=known):
        number = given[index]
        done[number] = judgement(str(listed[number]), marks)
        while told in done:
            yield done.pop(told)
            told += 1
    for number in range(told, len(listed)):
        yield done[number]


def judgement(file: str, marks: Sequence[Mark]) -> Judgement:
    """Return what the marks of one recording say of it."""
    verdicts = [
        mark
        for mark in marks
        if mark.kind in (MarkKind.VERDICT, MarkKind.REVISED) and mark.label is not Label.RINGBACK
    ]
    last = verdicts[-1]
    if last.label is Label.SILENCE:  # nobody spoke, but it rang: that is what is at the other end
        last = next((mark for mark in marks if mark.label is Label.RINGBACK), last)
    beep = next((mark.beep_end_tick for mark in marks if mark.kind is MarkKind.BEEP), None)
    return Judgement(
        file=file,
        label=last.label.word,
        reason=last.reason.word,
        confidence=round(last.confidence, 4),
        decision_s=seconds_after(last.tick),
        greeting_end_s=seconds_after(last.greeting_end_tick) if last.greeting_end_tick >= 0 else None,
        beep_s=seconds_after(beep) if beep is not None else None,
        revisions=[
            Revision(
                before=former.label.word,
                after=later.label.word,
                decision_s=seconds_after(former.tick),
                revised_s=seconds_after(later.tick),
            )
            for former, later in itertools.pairwise(verdicts)
        ],
    )


def seconds_after(tick: int) -> float:
    """Return the time at which a tick is over, in seconds from the answer."""
    return round((tick + 1) * TICK_S, 3)


def sentence(found: Judgement) -> str:
    """Return a judgement in words."""
    said = (
        f"{found.file}: {found.label} ({found.reason}, {found.confidence:.2f}) after {found.decision_s:.2f} s"
    )
    for revision in found.revisions:
        said += f", {revision.before} until then from {revision.decision_s:.2f} s on"
    return said + (f", beep at {found.beep_s:.2f} s" if found.beep_s is not None else "")
