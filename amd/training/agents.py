"""The agent of a simulated call: when they begin to speak after a person's verdict, what of it comes back as echo.

Owns our side of a call. It is closed in a loop with the detector: nobody speaks before there was a verdict. What happens at the far
end is `scenes.py`'s.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from amd.training.channel import noise
from amd.training.scenes import Scene

CONNECT_S = (0.02, 0.2)
"""From the verdict to the agent's hearing the line."""
REACTION_S, REACTION_SPREAD = 0.5, 0.5
"""Median of the time an agent takes to begin, and the spread of its logarithm."""
TALK_S = (0.9, 3.5)
"""How long they speak where nobody answers them."""
TURN_S = (0.2, 0.25)
"""Gap between their last word and the answer, mean and standard deviation; below 0 they are answered while they speak."""
YIELDS, YIELDS_AFTER_S = 0.7, (0.4, 1.5)
"""Share of agents who stop when a recording talks over them, and after how long."""
ECHO, ECHO_DB, ECHO_TICKS = 0.3, (18.0, 40.0), (1, 12)
"""Share of lines that give back an agent's voice, how much fainter than it and how many ticks later."""
SILENT = 0.1
"""Share of agents who say nothing at all within the time looked at."""


class Agent:
    """The agent of one call; `speak` is asked once a tick.

    Parameters
    ----------
    scene : Scene
        What happens at the far end.
    rng : numpy.random.Generator
        Of everything drawn.
    """

    def __init__(self, scene: Scene, rng: np.random.Generator) -> None:
        self._scene, self._rng = scene, rng
        self._level_dbfs = float(rng.uniform(-32.0, -18.0))
        self._room_dbfs = float(rng.uniform(-75.0, -48.0))
        self._begin: int | None = None
        self._end = 0
        self._echo_db = float(rng.uniform(*ECHO_DB)) if rng.random() < ECHO else None
        self._echo_ticks = int(rng.integers(*ECHO_TICKS))

    def connect(self, tick: int) -> None:
        """A person's verdict has been given."""
        rng, scene = self._rng, self._scene
        begin = 0.02 * tick + rng.uniform(*CONNECT_S)
        begin += float(np.clip(REACTION_S * np.exp(REACTION_SPREAD * rng.standard_normal()), 0.15, 2.5))
        end = begin + rng.uniform(*TALK_S)
        if np.isfinite(scene.asked_s):
            # they ask because nobody speaks: whoever would have, begins when they have begun
            moved = max(begin, scene.asked_s + rng.uniform(0.2, 1.2))
            begin, end = moved, end + moved - begin
        if np.isfinite(scene.replied_s):
            end = scene.replied_s - rng.normal(*TURN_S)
        elif scene.label == "machine" and np.isfinite(scene.resumed_s) and rng.random() < YIELDS:
            end = min(end, max(begin, scene.resumed_s) + rng.uniform(*YIELDS_AFTER_S))
        if rng.random() >= SILENT and end - begin > 0.1:
            self._begin, self._end = round(begin * 50), round(end * 50)

    def level(self, tick: int) -> float:
        """Return the level of what is said to the far end on a tick, in dBFS."""
        if not self._speaks(tick):
            return self._room_dbfs + float(self._rng.normal(0.0, 1.0))
        # syllables: four a second
        swing = abs(np.sin(0.25 * (tick - (self._begin or 0)) + 0.4))
        return self._level_dbfs + 20.0 * float(np.log10(max(swing, 0.03)))

    def echo(self, tick: int) -> NDArray[np.float32] | None:
        """Return what of it comes back on a tick, 160 samples; None for nothing."""
        then = tick - self._echo_ticks
        if self._echo_db is None or not self._speaks(then):
            return None
        level = self.level(then) - self._echo_db
        return noise("pink", 160, self._rng) * np.float32(32768.0 * 10.0 ** (level / 20.0))

    def _speaks(self, tick: int) -> bool:
        return self._begin is not None and self._begin <= tick < self._end
