"""Trunks: lines in use, calls per second, up or down, and which one takes the next attempt.

It owns the run-time state of trunks. It sends nothing: `call_flow.py` places, `engine.py` probes. A line is taken from the reservation until
the attempt has ended. A token is taken at the reservation and stays taken until a second after the worker's stamp of the INVITE's departure, so
that an INVITE may leave at any moment after it, however long a busy machine keeps it back: of the INVITEs of any second, when the token of the
last was given, each other was still under way or had left in that second, and was counted (I7).
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from dialer_core.settings import TrunkSettings
from dialer_core.vocabulary import TrunkId, TrunkState

SECOND_NS = 1_000_000_000
WINDOW_NS = 1_050_000_000
"""The rate is kept in any window a little longer than a second, so that jitter on the way to the trunk cannot break a second's limit."""
FAILURES_TO_DOWN = 3
"""Successive attempts without any SIP answer after which a trunk is down, without waiting for its next OPTIONS."""
PROBE_BACKOFF_MAX_S = 30.0
REFUSALS_TO_HOLD = 5
"""Successive attempts that the trunk itself refused (500-599, whoever was dialed) after which it is held: one attempt at a time tries it again."""
HOLD_FIRST_S = 2.0
HOLD_MAX_S = 60.0
TRIAL_S = 10.0
"""How long the one attempt that tries a held trunk is waited for before the next."""


@dataclass(slots=True)
class Trunk:
    """One trunk now."""

    id: TrunkId
    settings: TrunkSettings
    state: TrunkState = TrunkState.UNKNOWN
    reason: str = "not probed yet"
    lines_used: int = 0
    silent_failures: int = 0
    refusals: int = 0
    """Attempts in a row that it refused by itself."""
    held_until_ns: int = 0
    """Nothing is placed before; from then on one attempt at a time, until one is not refused."""
    next_probe_ns: int = 0
    probe_backoff_s: float = 1.0
    _unsent: int = 0
    """INVITEs that may leave at any moment: reserved, and not known to have left."""
    _sent_ns: deque[int] = field(default_factory=deque)
    """When the INVITEs of the last window left, in order."""

    lines_given: int | None = None
    """This node's share of its lines; None: all."""
    rate_given: float | None = None
    """This node's share of its calls per second."""

    @property
    def lines(self) -> int:
        """Lines that this node may use."""
        return self.settings.lines if self.lines_given is None else self.lines_given

    @property
    def calls_per_second(self) -> float:
        """INVITEs a second that this node may send."""
        return self.settings.calls_per_second if self.rate_given is None else self.rate_given

    @property
    def lines_free(self) -> int:
        """Lines that a new attempt may take."""
        return max(0, self.lines - self.lines_used)

    @property
    def of_whole(self) -> str:
        """What is said of a share: empty where this node has all."""
        if (self.lines, self.calls_per_second) == (self.settings.lines, self.settings.calls_per_second):
            return ""
        return f" (this node's share of {self.settings.lines} and {self.settings.calls_per_second:g})"

    def share(self, lines: int, calls_per_second: float) -> None:
        """Use so much of it from now on: nodes that share it have the rest."""
        self.lines_given, self.rate_given = lines, calls_per_second

    @property
    def _window_ns(self) -> int:
        """The stretch that a token stays taken after its INVITE has left: a second, or longer for a rate below one."""
        return int(WINDOW_NS / min(1.0, self.calls_per_second))

    @property
    def _rate(self) -> int:
        """INVITEs within one such stretch."""
        return max(1, int(self.calls_per_second))

    def tokens_free(self, now_ns: int) -> int:
        """INVITEs that may leave now without breaking the limit in any second."""
        if not self.calls_per_second:
            return 0
        while self._sent_ns and self._sent_ns[0] <= now_ns - self._window_ns:
            self._sent_ns.popleft()
        return max(0, self._rate - len(self._sent_ns) - self._unsent)

    def take(self, now_ns: int) -> None:
        """Take a line and a token."""
        self.lines_used += 1
        if self.held:
            self.held_until_ns = now_ns + int(TRIAL_S * SECOND_NS)
        self._unsent += 1

    def take_over(self, *, unsent: bool) -> None:
        """Take the line of a former engine's attempt, with a token where its INVITE is not known to have left."""
        self.lines_used += 1
        self._unsent += unsent

    def resume(self, sent_ns: int) -> None:
        """Count an INVITE that a former engine sent."""
        bisect.insort(self._sent_ns, sent_ns)

    def sent(self, at_ns: int) -> None:
        """Count an INVITE that has left: a second from then on its token is free again."""
        self._unsent -= 1
        bisect.insort(self._sent_ns, at_ns)

    def give_back(self, *, unsent: bool = False) -> None:
        """Return a line, and with it the token of an INVITE that has not left and will not."""
        self.lines_used -= 1
        self._unsent -= unsent

    @property
    def held(self) -> bool:
        """It has refused so many in a row that only one at a time tries it."""
        return self.refusals >= REFUSALS_TO_HOLD


class Trunks:
    """All trunks, and the choice among them."""

    def __init__(self, settings: dict[TrunkId, TrunkSettings]) -> None:
        self._trunks = {name: Trunk(id=name, settings=trunk) for name, trunk in settings.items()}
        for trunk in self._trunks.values():
            if trunk.settings.options_interval_s == 0:
                trunk.state, trunk.reason = TrunkState.UP, "not probed (options_interval_s = 0)"

    def __getitem__(self, name: TrunkId) -> Trunk:
        return self._trunks[name]

    def all(self) -> list[Trunk]:
        """Every trunk, in the order of the file."""
        return list(self._trunks.values())

    def available(self, names: Sequence[str], now_ns: int) -> int:
        """Attempts that could be placed now over these trunks."""
        return sum(self._room(self._trunks[TrunkId(name)], now_ns) for name in names)

    def reserve(self, names: Sequence[str], count: int, now_ns: int) -> list[TrunkId]:
        """Take up to `count` lines with their tokens, the first trunks first; give each back with `give_back` of its trunk."""
        taken: list[TrunkId] = []
        for name in names:
            trunk = self._trunks[TrunkId(name)]
            for _ in range(min(count - len(taken), self._room(trunk, now_ns))):
                trunk.take(now_ns)
                taken.append(trunk.id)
        return taken

    def next_after(self, failed: TrunkId, names: Sequence[str], now_ns: int) -> TrunkId | None:
        """Return the next trunk after a failed one that can take an attempt now, with its line and token taken."""
        order = list(names)
        for name in order[order.index(failed) + 1 :] if failed in order else []:
            trunk = self._trunks[TrunkId(name)]
            if self._room(trunk, now_ns):
                trunk.take(now_ns)
                return trunk.id
        return None

    def blocked_reason(self, names: Sequence[str], now_ns: int) -> str:
        """Say why nothing can be placed over these trunks now; empty where something can."""
        reasons = []
        for name in names:
            trunk = self._trunks[TrunkId(name)]
            if self._room(trunk, now_ns):
                return ""
            if trunk.state is not TrunkState.UP:
                reasons.append(f"trunk {name} is {trunk.state}: {trunk.reason}")
            elif trunk.held:
                wait_s = max(0.0, (trunk.held_until_ns - now_ns) / 1e9)
                reasons.append(f"trunk {name} refuses every call: tried again in {wait_s:.0f} s")
            elif not trunk.lines_free:
                reasons.append(f"trunk {name}: all {trunk.lines} lines in use{trunk.of_whole}")
            else:
                reasons.append(
                    f"trunk {name}: {trunk.calls_per_second:g} calls per second reached{trunk.of_whole}"
                )
        return "; ".join(reasons)

    def _room(self, trunk: Trunk, now_ns: int) -> int:
        if trunk.state is not TrunkState.UP:
            return 0
        if trunk.held:
            return min(1, trunk.lines_free, trunk.tokens_free(now_ns)) if now_ns >= trunk.held_until_ns else 0
        return min(trunk.lines_free, trunk.tokens_free(now_ns))

    def note_alive(self, name: TrunkId) -> bool:
        """Any SIP answer came; returns True where that changed the state to up."""
        trunk = self._trunks[name]
        trunk.silent_failures = 0
        trunk.probe_backoff_s = 1.0
        changed = trunk.state is not TrunkState.UP
        trunk.state = TrunkState.UP
        if not trunk.held:
            trunk.reason = ""
        return changed

    def note_refused(self, name: TrunkId, now_ns: int, retry_after_s: float = 0.0) -> bool:
        """The trunk refused a call by itself, as it would any other; returns True where that put it on hold.

        Parameters
        ----------
        retry_after_s
            What it asked for; kept within `HOLD_MAX_S`.
        """
        trunk = self._trunks[name]
        trunk.refusals += 1
        if not trunk.held:
            return False
        beyond = trunk.refusals - REFUSALS_TO_HOLD
        hold_s = min(HOLD_MAX_S, max(retry_after_s, HOLD_FIRST_S * 2 ** min(beyond, 10)))
        trunk.held_until_ns = now_ns + int(hold_s * SECOND_NS)
        trunk.reason = f"refuses every call ({trunk.refusals} in a row)"
        return trunk.refusals == REFUSALS_TO_HOLD

    def note_accepted(self, name: TrunkId) -> bool:
        """The trunk took a call on: it rang, was answered, or the number's own network said no; returns True where that ended a hold."""
        trunk = self._trunks[name]
        was_held, trunk.refusals, trunk.held_until_ns = trunk.held, 0, 0
        if was_held:
            trunk.reason = ""
        return was_held

    def note_silent(self, name: TrunkId, *, probe: bool, why: str = "") -> bool:
        """No SIP answer came to a probe or an INVITE, or (`why`) one that says as much; returns True where that changed the state to down."""
        trunk = self._trunks[name]
        trunk.silent_failures += 1
        if not probe and trunk.silent_failures < FAILURES_TO_DOWN:
            return False
        if probe:
            trunk.probe_backoff_s = min(PROBE_BACKOFF_MAX_S, trunk.probe_backoff_s * 2)
        if trunk.settings.options_interval_s == 0:
            return False  # nothing would ever bring it up again
        changed = trunk.state is not TrunkState.DOWN
        trunk.state = TrunkState.DOWN
        trunk.reason = why or ("does not answer OPTIONS" if probe else "does not answer INVITE")
        return changed
