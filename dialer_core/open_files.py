"""Open files: how many the largest of our processes needs, and getting them allowed before anything starts.

It owns the sum and the limit. What happens when descriptors run out all the same is everybody's own matter: a socket that cannot be had is a call
that is not placed, never an end.
"""

from __future__ import annotations

import resource
from typing import Final

from dialer_core.errors import StartError
from dialer_core.settings import Settings

PER_LEG: Final = 2
"""RTP and RTCP: the media plane holds most; one worker's link or pidfd for some four legs is less, in the engine and in the supervisor."""
BESIDE: Final = 320
"""The API's connections (256 at most), database, log, loop."""


def files_needed(settings: Settings) -> int:
    """Return how many open files the hungriest of our processes may come to hold."""
    legs = (
        sum(trunk.lines for trunk in settings.trunks.values())
        + len(settings.agents)
        + len(settings.dialer.extensions)
    )
    return PER_LEG * legs + BESIDE


def files_allowed() -> tuple[int, int]:
    """Return how many are allowed now, and to how many we may raise that ourselves."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = 1 << 30
    return (
        unlimited if soft == resource.RLIM_INFINITY else soft,
        unlimited if hard == resource.RLIM_INFINITY else hard,
    )


def allow_files(settings: Settings) -> None:
    """Raise this process' limit, and with it that of all it will start, to what is needed.

    Raises
    ------
    StartError
        The system allows fewer; says how many are needed and where to set it.
    """
    needed = files_needed(settings)
    soft, hard = files_allowed()
    if soft >= needed:
        return
    if hard < needed:
        raise StartError(
            f"{needed} open files are needed for these lines and agents, the system allows {hard}: "
            f"set LimitNOFILE={needed} in the service, or raise 'ulimit -Hn' before the start"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
