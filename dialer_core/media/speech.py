"""Speech made for one call: files that the host has rendered, read in a thread of their own and kept for a while.

It owns the reading and how much is kept. An id `speech:NAME` is the file NAME of the folder: raw PCMU at 8 kHz. Rendering is the host's
(`speech/`), pacing the playing `playback.py`'s. No file is read in the packet thread.
"""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Final

import structlog

from amd import g711
from dialer_core.media.prompts import LONGEST_S, Prompt
from dialer_core.media.rtp import PCMA, PCMU, SAMPLES_PER_FRAME
from dialer_core.sound_files import RATE_HZ

_log = structlog.get_logger(__name__)

PREFIX: Final = "speech:"
SUFFIX: Final = ".ulaw"
KEPT_BYTES: Final = 96 << 20
"""Of sound in memory, both codecs counted: some 6,000 s. What a leg plays stays while it plays."""
_NAME: Final = re.compile(r"^[0-9a-f]{16,64}$")
_SILENCE: Final = b"\xff"


def is_speech(prompt_id: str) -> bool:
    """Return whether an id names a file of speech."""
    return prompt_id.startswith(PREFIX)


class Speech:
    """The speech that is in memory, and what is being read.

    Parameters
    ----------
    folder
        Where the host puts the files; None: there is no speech.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._kept: OrderedDict[str, Prompt] = OrderedDict()
        self._bytes = 0
        self._asked: set[str] = set()
        self._jobs: SimpleQueue[str] = SimpleQueue()
        self._read: deque[tuple[str, Prompt | None]] = deque()
        if folder is not None:
            Thread(target=self._run, args=(folder,), name="speech", daemon=True).start()

    def get(self, prompt_id: str) -> Prompt | None:
        """Return what is in memory of it, or None."""
        prompt = self._kept.get(prompt_id)
        if prompt is not None:
            self._kept.move_to_end(prompt_id)
        return prompt

    def ask(self, prompt_id: str) -> bool:
        """Have it read, once; False where it never can be."""
        if self._folder is None or not _NAME.match(prompt_id.removeprefix(PREFIX)):
            return False
        if prompt_id not in self._asked:
            self._asked.add(prompt_id)
            self._jobs.put(prompt_id)
        return True

    def arrived(self) -> list[str]:
        """Take in what has been read meanwhile; return the ids of what could not be."""
        failed = []
        while self._read:
            prompt_id, prompt = self._read.popleft()
            self._asked.discard(prompt_id)
            if prompt is None:
                failed.append(prompt_id)
                continue
            self._kept[prompt_id] = prompt
            self._bytes += _size(prompt)
            while self._bytes > KEPT_BYTES and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= _size(oldest)
        return failed

    def _run(self, folder: Path) -> None:
        while True:
            prompt_id = self._jobs.get()
            self._read.append((prompt_id, _load(folder, prompt_id)))


def _load(folder: Path, prompt_id: str) -> Prompt | None:
    name = prompt_id.removeprefix(PREFIX)
    try:
        with (folder / f"{name}{SUFFIX}").open("rb") as file:
            sound = file.read(LONGEST_S * RATE_HZ)
    except OSError as error:
        _log.error("speech_not_read", prompt=name, problem=error.strerror)
        return None
    if not sound:
        _log.error("speech_empty", prompt=name)
        return None
    sound += _SILENCE * (-len(sound) % SAMPLES_PER_FRAME)
    return Prompt(prompt_id, {PCMU: _frames(sound), PCMA: _frames(sound.translate(g711.PCMU_TO_PCMA))})


def _frames(sound: bytes) -> tuple[bytes, ...]:
    return tuple(sound[at : at + SAMPLES_PER_FRAME] for at in range(0, len(sound), SAMPLES_PER_FRAME))


def _size(prompt: Prompt) -> int:
    return 2 * len(prompt.frames[PCMU]) * SAMPLES_PER_FRAME
