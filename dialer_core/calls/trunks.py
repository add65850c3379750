"""Trunks: lines in use, calls per second, up or down, and which one takes the next attempt.

It owns the run-time state of trunks. It sends nothing: `call_flow.py` places, `engine.py` probes. A line is taken from the reservation until
the attempt has ended; a token is taken at the reservation, so that an INVITE can leave at any moment after it (I7).
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
"""The rate is kept in any window a little longer than a second, so that jitter between the token and the wire cannot break a second's limit."""
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
    _tokens: deque[int] = field(default_factory=deque)

    @property
    def lines_free(self) -> int:
        """Lines that a new attempt may take."""
        return max(0, self.settings.lines - self.lines_used)

    @property
    def _window_ns(self) -> int:
        """The stretch that a token stays taken: a second, or longer for a rate below one."""
        return int(WINDOW_NS / min(1.0, self.settings.calls_per_second))

    @property
    def _rate(self) -> int:
        """INVITEs within one such stretch."""
        return max(1, int(self.settings.calls_per_second))

    def tokens_free(self, now_ns: int) -> int:
        """INVITEs that may leave now without breaking the limit in any second."""
        while self._tokens and self._tokens[0] <= now_ns - self._window_ns:
            self._tokens.popleft()
        return max(0, self._rate - len(self._tokens))

    def take(self, now_ns: int) -> None:
        """Take a line and a token."""
        self.lines_used += 1
        if self.held:
            self.held_until_ns = now_ns + int(TRIAL_S * SECOND_NS)
        bisect.insort(self._tokens, now_ns)

    def renew(self, taken_ns: int, now_ns: int) -> int:
        """Change a token taken earlier for the first moment from now on at which one more INVITE may leave; return that moment.

        The writer may have held a claim up for seconds: its INVITE must not leave together with those of later seconds.
        """
        self.tokens_free(now_ns)
        if taken_ns in self._tokens:
            self._tokens.remove(taken_ns)
        at_ns = max(now_ns, self._tokens[-1]) if self._tokens else now_ns
        if len(self._tokens) >= self._rate:
            at_ns = max(at_ns, self._tokens[-self._rate] + self._window_ns)
        self._tokens.append(at_ns)
        return at_ns

    def resume(self, sent_ns: int) -> None:
        """Count an INVITE that a former engine sent."""
        bisect.insort(self._tokens, sent_ns)

    def give_back(self) -> None:
        """Return a line."""
        self.lines_used -= 1

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
                reasons.append(f"trunk {name}: all {trunk.settings.lines} lines in use")
            else:
                reasons.append(f"trunk {name}: {trunk.settings.calls_per_second:g} calls per second reached")
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
