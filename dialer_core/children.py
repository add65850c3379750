"""A process that the supervisor keeps running: how it is made, its heart, and the spare one that waits beside it.

It owns processes' making, the pipes on which they are heard, and the word that begins a spare. Whom to start again, when, and whom to end is
`supervisor.py`'s; what a program does until the word, `spare.py`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from dialer_core.spare import OPTION as SPARE_OPTION
from dialer_core.spare import WORD

_PR_SET_PDEATHSIG: Final = 1
"""From `linux/prctl.h`."""
FRESH_S: Final = 2.0
"""A spare that has said nothing for so long is not given the word: it may hang, and whoever needs it cannot wait to see."""


@dataclass(slots=True, eq=False)
class Started:
    """A process, and our end of the pipe on which it says that it lives."""

    process: asyncio.subprocess.Process
    heart: int
    """Its descriptor; -1 once the other end is closed."""
    beats: int = 0
    value: int = 0
    """Of the last beat."""
    heard_s: float = 0.0
    """When it was heard last, by the loop's clock."""

    @property
    def alive(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.returncode is None

    def listen(self, on_beat: Callable[[int], None]) -> None:
        """Count its beats, on the running loop, until it has closed its end; hand on each look's last value."""
        loop = asyncio.get_running_loop()
        os.set_blocking(self.heart, False)

        def look() -> None:
            if self.read():
                on_beat(self.value)

        loop.add_reader(self.heart, look)

    def read(self) -> bool:
        """Take what is in the pipe; whether anything was."""
        if self.heart < 0:
            return False
        try:
            beats = os.read(self.heart, 4096)
        except BlockingIOError:
            return False
        if not beats:
            self.close()
            return False
        self.beats += len(beats)
        self.value = beats[-1]
        self.heard_s = asyncio.get_running_loop().time()
        return True

    def close(self) -> None:
        """Listen no more."""
        if self.heart >= 0:
            asyncio.get_running_loop().remove_reader(self.heart)
            os.close(self.heart)
            self.heart = -1

    def begin(self) -> bool:
        """Give a spare the word. False where it has ended or may hang: another one is needed."""
        self.read()  # we may have been held up ourselves, and it not
        word_pipe = self.process.stdin
        if not self.alive or word_pipe is None or asyncio.get_running_loop().time() - self.heard_s > FRESH_S:
            return False
        word_pipe.write(WORD)
        word_pipe.close()
        self.beats = 0
        return True

    def dismiss(self) -> None:
        """End one that holds nothing."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.close()


@dataclass(slots=True)
class Child:
    """One process that is kept running."""

    name: str
    arguments: list[str]
    """After the interpreter's path."""
    spared: bool = False
    """Another one waits, imported, to take over: what stands still while it is away is counted in seconds."""
    current: Started | None = None
    from_spare: bool = False
    """It had begun as a spare: it needs no time for its imports."""
    spare: Started | None = None
    started_s: float = 0.0
    short_lives: int = 0
    was_steady: bool = False
    stopping: bool = False
    _making_spare: bool = False
    on_beat: Callable[[int], None] = field(default=lambda _value: None)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.current is not None and self.current.alive

    async def start(self) -> Started:
        """Make it run, by its spare where that one is fit.

        Raises
        ------
        OSError
            No descriptor, process or memory is left for it.
        """
        self.started_s = asyncio.get_running_loop().time()
        spare, self.spare = self.spare, None
        self.from_spare = spare is not None and spare.begin()
        if spare is not None and not self.from_spare:
            spare.dismiss()
        before = self.current
        self.current = spare if spare is not None and self.from_spare else await self._create()
        if before is not None:
            before.close()
        self.current.listen(self.on_beat)
        return self.current

    async def make_spare(self) -> None:
        """Have another one wait. Raises `OSError` as `start` does."""
        if self.spare is not None or self._making_spare:
            return  # one is enough, however often it was asked for meanwhile
        self._making_spare = True
        try:
            self.spare = await self._create(spare=True)
            self.spare.listen(lambda _value: None)
        finally:
            self._making_spare = False

    async def _create(self, *, spare: bool = False) -> Started:
        ours, theirs = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *self.arguments,
                "--heartbeat",
                str(theirs),
                *([SPARE_OPTION] if spare else []),
                stdin=asyncio.subprocess.PIPE if spare else asyncio.subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=(theirs,),
                preexec_fn=end_with_parent,
            )  # a session of its own: a Ctrl-C in the terminal is the supervisor's to act on
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        return Started(process, ours, heard_s=asyncio.get_running_loop().time())


def end_with_parent() -> None:
    """Run in the child before its program: a parent that is killed takes its processes along, as by SIGTERM.

    They could go on without it, but nobody would start again what dies, and the next `dialer run` would find them in its way.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
