"""Prompts: read once at the start, encoded for both codecs, handed out as 20 ms frames. It sends nothing and paces nothing.

A prompt's id is its file's stem. The packaged ones (see `prompts/SOURCES.md`) can be replaced by files of the same name in the folder
given at the start.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from amd import g711
from dialer_core.errors import SoundFileError, StartError
from dialer_core.media.rtp import PCMA, PCMU, SAMPLES_PER_FRAME
from dialer_core.sound_files import RATE_HZ, SUFFIXES, read_sound

if TYPE_CHECKING:
    from numpy.typing import NDArray

LONGEST_S: Final = 120
SILENCE: Final = {PCMU: b"\xff" * SAMPLES_PER_FRAME, PCMA: b"\xd5" * SAMPLES_PER_FRAME}
"""One frame of silence by payload type."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt's frames by payload type: `frames[PCMU]` and `frames[PCMA]`, 160 octets each."""

    prompt_id: str
    frames: dict[int, tuple[bytes, ...]]

    @property
    def seconds(self) -> float:
        """How long it plays."""
        return len(self.frames[PCMU]) * SAMPLES_PER_FRAME / RATE_HZ

    @classmethod
    def encode(cls, prompt_id: str, pcm: NDArray[np.int16]) -> Prompt:
        """Encode 8 kHz sound of shape (n_samples,); the last frame is filled with silence."""
        short = -len(pcm) % SAMPLES_PER_FRAME
        whole = np.concatenate([pcm, np.zeros(short, np.int16)])
        return cls(
            prompt_id, {PCMU: _frames(g711.encode_pcmu(whole)), PCMA: _frames(g711.encode_pcma(whole))}
        )


class Player:
    """Prompts being played to one leg, one after another. `play_id` None: nobody wants to hear of its end.

    With `repeat` it has no end: music on hold.
    """

    __slots__ = ("_at", "_frames", "_repeat", "play_id")

    def __init__(self, prompts: tuple[Prompt, ...], play_id: str | None, *, repeat: bool = False) -> None:
        self.play_id = play_id
        self._repeat = repeat
        self._frames = (
            prompts[0].frames  # shared: a long message to hundreds of legs is one
            if len(prompts) == 1
            else {
                payload_type: tuple(frame for prompt in prompts for frame in prompt.frames[payload_type])
                for payload_type in (PCMU, PCMA)
            }
        )
        self._at = 0

    @property
    def exhausted(self) -> bool:
        """Whether the last frame has been handed out."""
        return not self._repeat and self._at >= len(self._frames[PCMU])

    def next_frame(self, payload_type: int) -> bytes | None:
        """Return the next frame, or None when everything has been played."""
        if self.exhausted:
            return None
        if self._repeat:
            self._at %= len(self._frames[payload_type])
        self._at += 1
        return self._frames[payload_type][self._at - 1]


def prompt_ids(folder: Path | None = None) -> frozenset[str]:
    """Return the ids of the packaged prompts, and of those in `folder`, without reading them; raises as `load_prompts` for the folder."""
    with resources.as_file(resources.files("dialer_core.media") / "prompts") as path:
        return frozenset(file.stem for source in _sources(path, folder) for file in _files(source))


def load_prompts(folder: Path | None = None) -> dict[str, Prompt]:
    """Return the packaged prompts, and those of `folder` (WAV or FLAC, any rate, channels mixed) which replace them by name.

    Raises
    ------
    StartError
        The folder cannot be read, or a file in it is not usable sound; the message names the file.
    """
    loaded: dict[str, Prompt] = {}
    packaged = resources.files("dialer_core.media") / "prompts"
    with resources.as_file(packaged) as path:
        for source in _sources(path, folder):
            for file in _files(source):
                loaded[file.stem] = Prompt.encode(file.stem, _read(file))
    return loaded


def _sources(packaged: Path, folder: Path | None) -> list[Path]:
    return [packaged] if folder is None else [packaged, folder]


def _files(source: Path) -> list[Path]:
    try:
        return sorted(file for file in source.iterdir() if file.suffix.lower() in SUFFIXES)
    except OSError as error:
        raise StartError(f"prompt folder {source} cannot be read: {error.strerror}") from error


def _read(file: Path) -> NDArray[np.int16]:
    try:
        pcm = read_sound(file, first_s=LONGEST_S + 1.0)
    except SoundFileError as error:
        raise StartError(f"prompt {error}") from error
    if not np.any(pcm):
        raise StartError(f"prompt {file}: holds only silence")
    if len(pcm) > LONGEST_S * RATE_HZ:
        raise StartError(f"prompt {file}: is longer than {LONGEST_S} s")
    return pcm


def _frames(octets: NDArray[np.uint8]) -> tuple[bytes, ...]:
    coded = octets.tobytes()
    return tuple(coded[at : at + SAMPLES_PER_FRAME] for at in range(0, len(coded), SAMPLES_PER_FRAME))
