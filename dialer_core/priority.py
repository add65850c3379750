"""How a process of ours comes before others: its niceness, and its group's.

It owns the two ways of asking the kernel. Which process comes how far before others is said where it begins: the media plane's 20 ms before the line
workers' INVITEs, and these before everything that may wait.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def come_before_others(niceness: int) -> None:
    """Take a priority, where we may: as root, or as a service with LimitNICE.

    A process's own niceness counts within its session alone where the kernel groups by session (`sched_autogroup_enabled`): the group needs
    it too.
    """
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
    with contextlib.suppress(OSError):  # may not, or this kernel has no such groups
        Path("/proc/self/autogroup").write_text(str(niceness), encoding="ascii")
