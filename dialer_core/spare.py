"""A process started ahead of need: its program is imported, nothing is begun, and it waits at its standard input for the word to begin.

Importing is most of a start (over a second of an engine's, on a busy machine several), and whoever is talking or waiting when a process dies waits
for it. It owns the waiting. When a spare is made and when it gets the word is the supervisor's.
"""

from __future__ import annotations

import os
import select
import sys
from typing import Final

from dialer_core.liveness import BEAT_INTERVAL_S, Heart

OPTION: Final = "--spare"
"""What makes a program wait for the word."""
WORD: Final = b"\n"


def wait_for_the_word(heart: Heart) -> bool:
    """Block until the word comes, beating; False where it never will: whoever would have given it is gone, or does not need us any more."""
    while not select.select([sys.stdin], [], [], BEAT_INTERVAL_S)[0]:
        heart.beat()
    word = os.read(sys.stdin.fileno(), 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.close(nothing)
    return bool(word)
