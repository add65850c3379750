"""Who must be heard how often: a process that hangs is worse than a dead one, because nobody replaces it.

It owns the limits, the counting of silence, and the heartbeat that the supervisor's children send. It kills nobody: the engine does that to
workers and the media plane (`lines.py`), the supervisor to its children, each by SIGKILL, and from there on it is a death like any other.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from typing import Final

import structlog

log = structlog.get_logger(__name__)

SILENT_LIMIT_S: Final = 5.0
"""Workers and the media plane tell the engine something every second, children the supervisor every half: whoever says nothing for so long hangs."""
HOST_SILENT_LIMIT_S: Final = 15.0
"""The host runs plugins' coroutines, which may hold its loop by mistake: it is given longer, for nothing that is dialed waits for it."""
START_LIMIT_S: Final = 60.0
"""From a process' start to its first heartbeat: its imports, on a machine that has other things to do."""
BEGIN_LIMIT_S: Final = 20.0
"""The same from the word that lets a spare one begin: it has imported everything."""
HELLO_LIMIT_S: Final = 15.0
"""From the attachment to a worker or the media plane to its hello: it listens only when it is ready to say it."""
LOOK_INTERVAL_S: Final = 0.5
BEAT_INTERVAL_S: Final = 0.5


class Silence:
    """How long each peer has said nothing, in seconds during which we ourselves were running.

    Whoever was held up (a suspended machine, a loop that stalled) finds everybody late: a look counts for two intervals at most.

    Parameters
    ----------
    limits_s
        Per peer; `SILENT_LIMIT_S` for those not named.
    first_limit_s
        For those of whom nothing at all has been heard yet.
    """

    def __init__(
        self, limits_s: Mapping[str, float] | None = None, *, first_limit_s: float = START_LIMIT_S
    ) -> None:
        self._limits_s = dict(limits_s or {})
        self._first_limit_s = first_limit_s
        self._silent_s: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._looked_s: float | None = None

    def look(
        self, now_s: float, counts: Mapping[str, int], firsts_s: Mapping[str, float] | None = None
    ) -> list[str]:
        """Return who has been silent for too long, each once.

        Parameters
        ----------
        now_s
            Any clock that never goes back.
        counts
            Every peer there is now, and how much has been heard of it; what is no longer named is forgotten.
        firsts_s
            What takes the place of `first_limit_s`, by peer.
        """
        passed_s = 0.0 if self._looked_s is None else min(now_s - self._looked_s, 2 * LOOK_INTERVAL_S)
        self._looked_s = now_s
        before, self._counts = self._counts, dict(counts)
        silent_s, self._silent_s = self._silent_s, {}
        overdue = []
        for peer, count in counts.items():
            if before.get(peer) != count:
                self._silent_s[peer] = 0.0
                continue
            self._silent_s[peer] = silent_s.get(peer, 0.0) + passed_s
            first_s = (firsts_s or {}).get(peer, self._first_limit_s)
            limit_s = self._limits_s.get(peer, SILENT_LIMIT_S) if count else first_s
            if self._silent_s[peer] > limit_s:
                self._silent_s[peer] = 0.0
                overdue.append(peer)
        return overdue


class Heart:
    """Our end of the pipe on which the supervisor hears that we live; without one (a descriptor of None) nothing is said.

    Parameters
    ----------
    descriptor
        As the supervisor gave it; made non-blocking.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        if descriptor is not None:
            os.set_blocking(descriptor, False)

    def beat(self, value: int = 0) -> bool:
        """Say that we live, and a number from 0 to 255; False where nobody listens any more."""
        if self._descriptor is None:
            return True
        try:
            os.write(self._descriptor, bytes([min(255, max(0, value))]))
        except BlockingIOError:
            pass  # the supervisor is held up: what is in the pipe says that we live
        except BrokenPipeError:
            return False
        return True

    def close(self) -> None:
        """Say no more."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


async def beat(heart: Heart, wanted: Callable[[], int] = lambda: 0) -> None:
    """Beat every half second, until cancelled or nobody listens.

    Parameters
    ----------
    heart
        Closed at the end.
    wanted
        The beat's value: how many more line workers could be used now.
    """
    try:
        while heart.beat(wanted()):  # noqa: ASYNC110 - a heart has no event to wait for
            await asyncio.sleep(BEAT_INTERVAL_S)
        log.warning("supervisor_gone")
    finally:
        heart.close()
