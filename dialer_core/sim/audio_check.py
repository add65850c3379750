"""Judges, after a run, whether two bridged people heard each other and nobody else.

Pure functions over recordings (`recording.py`): no clock, no files. The sound of every far end is a sine of
its own (`tone_plan.py`), so what a recording holds says who was heard, when, and how loud. For each direction
of a conversation:

1. margin: in every 200 ms (Hann) from the bridge, or from when the partner began to speak if that is later,
   to the end, the partner's tone is at least `margin_db` over every other tone of the simulation;
2. gap: the partner's tone is never missing for longer than `gap_ms`, on the time line that a listener behind
   a jitter buffer of `jitter_buffer_ms` hears (what comes later than that is lost);
3. leak: outside, the partner's tone stays at least `-leak_db` below its level in the conversation.

Allowed for, and told apart in `Limits`: the relay may take `startup_ms` to begin, the time of the bridge
(which another process stamped) may be `edge_ms` late, and sound already on its way may arrive until `tail_ms`
after the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dialer_core.sim import g711
from dialer_core.sim.playout import SAMPLE_NS, Interval, play_out

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from dialer_core.sim.recording import Recording

WINDOW = 1600
"""Samples of a spectral window: 200 ms."""
HOP = 400
FLOOR_DBFS = -90.0
"""Below this a tone counts as absent; G.711 silence is here."""

_ENVELOPE = 80  # samples; 10 ms, in which twice any tone's frequency has whole periods
_PRESENT = 0.35  # of the tone's usual level
_EDGE_MS = 3.0  # what the two edges of a gap lose to the envelope's window at that threshold
_TONE_DBFS = -15.05  # what a far end sends
_ANY_DELAY_MS = 1000.0  # where a sound must not be, a late one is wrong too


@dataclass(frozen=True, slots=True)
class Limits:
    """What is right, and what is allowed for."""

    margin_db: float = 20.0
    gap_ms: float = 60.0
    leak_db: float = -20.0
    startup_ms: float = 100.0
    edge_ms: float = 40.0
    tail_ms: float = 150.0
    jitter_buffer_ms: float = 60.0


@dataclass(frozen=True, slots=True)
class HeardCheck:
    """One direction: what one side heard of its partner."""

    measured: bool
    """False when the time together was shorter than the start-up and one window: margin and gap are then not judged."""
    margin_db: float
    margin_ok: bool
    worst_gap_ms: float
    gap_ok: bool
    leak_db: float
    """Loudest moment of the partner's tone outside, over its level inside (over the level sent, if not measured)."""
    leak_ok: bool
    level_dbfs: float
    """Median level of the partner's tone inside."""
    late_packets: int
    """Packets that came too late for the jitter buffer."""

    @property
    def ok(self) -> bool:
        """Nothing that was judged is wrong."""
        return self.margin_ok and self.gap_ok and self.leak_ok


@dataclass(frozen=True, slots=True)
class ConversationCheck:
    """Both directions of a conversation."""

    at_customer: HeardCheck
    """What the customer heard of the agent."""
    at_agent: HeardCheck
    """What the agent heard of the customer."""

    @property
    def ok(self) -> bool:
        """Both directions are right."""
        return self.at_customer.ok and self.at_agent.ok


@dataclass(frozen=True, slots=True)
class Stray:
    """A tone heard where nobody was to be heard with it."""

    hz: int
    at_ns: int
    level_dbfs: float


# ---------------------------------------------------------------- levels and gaps


def tone_levels_dbfs(samples: NDArray[np.float32], tones_hz: Sequence[int]) -> NDArray[np.float64]:
    """RMS level of each tone in each 200 ms Hann window, hop 50 ms; dBFS, at least FLOOR_DBFS, (windows, tones).

    Windows lie wholly within the samples: fewer than 1600 give none.
    """
    if len(samples) < WINDOW:
        return np.zeros((0, len(tones_hz)))
    n = np.arange(WINDOW)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * n / WINDOW)
    windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    turns = (
        np.exp(-2j * np.pi * np.outer(n, np.asarray(tones_hz)) / g711.SAMPLE_RATE_HZ) * hann[:, np.newaxis]
    )
    # RMS of a sine of amplitude a: |sum| = a * sum(hann) / 2, and a / sqrt(2) is its RMS
    rms = np.abs(windows @ turns) * (np.sqrt(2) / hann.sum())
    return np.asarray(20 * np.log10(np.maximum(rms, 10 ** (FLOOR_DBFS / 20))))


def worst_gap_ms(samples: NDArray[np.float32], hz: int) -> float:
    """The longest time for which the tone is missing (below 0.35 of its median level, or of -45 dBFS)."""
    if len(samples) < _ENVELOPE:
        return 0.0
    turns = np.exp(-2j * np.pi * hz / g711.SAMPLE_RATE_HZ * np.arange(len(samples)))
    total = np.concatenate(([0], np.cumsum(samples * turns)))
    envelope = np.abs(total[_ENVELOPE:] - total[:-_ENVELOPE]) * (2 / _ENVELOPE)
    usual = max(float(np.median(envelope)), 10 ** (-45 / 20) * np.sqrt(2))
    missing = np.concatenate(([False], envelope < _PRESENT * usual, [False]))
    edges = np.flatnonzero(np.diff(missing.astype(np.int8)))
    if not len(edges):
        return 0.0
    longest = int((edges[1::2] - edges[::2]).max())
    return longest * 1e3 / g711.SAMPLE_RATE_HZ + _EDGE_MS


# ---------------------------------------------------------------- the checks


def check_heard(
    recording: Recording,
    *,
    partner_hz: int,
    tones_hz: Sequence[int],
    intervals: Sequence[Interval],
    listen: Interval,
    limits: Limits,
    bridged: Sequence[Interval] | None = None,
) -> HeardCheck:
    """Judges one direction.

    Parameters
    ----------
    recording
        What this side received.
    partner_hz
        The partner's tone.
    tones_hz
        Every tone of the simulation (the partner's may be among them).
    intervals
        When the partner was to be heard.
    listen
        Where to look for leaks: the partner's tone belongs to the partner in all of it.
    limits
        What is right.
    bridged
        When the two were bridged, where that differs from `intervals`: what lies between is not judged.
    """
    tones = [partner_hz, *(hz for hz in tones_hz if hz != partner_hz)]
    margins, levels, gaps, late = [], [], [0.0], 0
    for start_ns, end_ns in intervals:
        begin_ns = start_ns + int(limits.startup_ms * 1e6)
        heard = play_out(recording, (begin_ns, end_ns), limits.jitter_buffer_ms)
        late += heard.late_packets
        by_tone = tone_levels_dbfs(heard.samples, tones)
        if len(by_tone):
            levels.append(by_tone[:, 0])
            margins.append(float((by_tone[:, 0] - by_tone[:, 1:].max(axis=1)).min()))
            gaps.append(worst_gap_ms(heard.samples, partner_hz))
    measured = bool(margins)
    level_dbfs = float(np.median(np.concatenate(levels))) if measured else _TONE_DBFS
    margin_db, gap_ms = (min(margins), max(gaps)) if measured else (np.inf, 0.0)
    leak_db = _loudest_outside(recording, partner_hz, bridged or intervals, listen, limits) - level_dbfs
    return HeardCheck(
        measured=measured,
        margin_db=margin_db,
        margin_ok=margin_db >= limits.margin_db,
        worst_gap_ms=gap_ms,
        gap_ok=gap_ms <= limits.gap_ms,
        leak_db=leak_db,
        leak_ok=leak_db <= limits.leak_db,
        level_dbfs=level_dbfs,
        late_packets=late,
    )


def _outside(intervals: Sequence[Interval], listen: Interval, limits: Limits) -> list[Interval]:
    """The parts of `listen` that no interval covers, edges allowed for."""
    parts, begin_ns = [], listen[0]
    for start_ns, end_ns in sorted(intervals):
        parts.append((begin_ns, start_ns - int(limits.edge_ms * 1e6)))
        begin_ns = end_ns + int(limits.tail_ms * 1e6)
    parts.append((begin_ns, listen[1]))
    clipped = ((max(begin_ns, listen[0]), min(end_ns, listen[1])) for begin_ns, end_ns in parts)
    return [(begin_ns, end_ns) for begin_ns, end_ns in clipped if end_ns > begin_ns]


def _loudest_outside(
    recording: Recording, hz: int, intervals: Sequence[Interval], listen: Interval, limits: Limits
) -> float:
    loudest = FLOOR_DBFS
    for part in _outside(intervals, listen, limits):
        # half a window of silence at both ends, so that the edges lie in the middle of a window too
        samples = np.pad(play_out(recording, part, _ANY_DELAY_MS).samples, WINDOW // 2)
        by_tone = tone_levels_dbfs(samples, [hz])
        loudest = max(loudest, float(by_tone.max()))
    return loudest


def check_conversation(
    customer: Recording,
    agent: Recording,
    *,
    customer_hz: int | None,
    agent_hz: int,
    tones_hz: Sequence[int],
    intervals: Sequence[Interval],
    spoke_ns: int | None,
    limits: Limits | None = None,
) -> ConversationCheck:
    """Judges both directions of a conversation.

    Parameters
    ----------
    customer, agent
        What each side received.
    customer_hz, agent_hz
        What each side sent (`CallRecord.tone_hz`); None for a customer who never spoke.
    tones_hz
        Every tone of the simulation (`SimulationLog.tones_hz`).
    intervals
        When the two were bridged: from the bridge to the BYE or the end of the bridge, monotonic ns. More
        than one if they were parted and joined again.
    spoke_ns
        When the customer's tone began (`CallRecord.spoke_ns`).
    limits
        What is right; the defaults are those of the module's docstring.
    """
    limits = limits or Limits()
    intervals = sorted(intervals)
    whole = _span(customer)
    at_customer = check_heard(
        customer, partner_hz=agent_hz, tones_hz=tones_hz, intervals=intervals, listen=whole, limits=limits
    )
    if customer_hz is None or spoke_ns is None:
        return ConversationCheck(at_customer, _silent_partner())
    speaking = [(max(start_ns, spoke_ns), end_ns) for start_ns, end_ns in intervals if end_ns > spoke_ns]
    # a tone is lent to one customer at a time and goes to the back of the queue, so around their call it is
    # theirs
    listen = (intervals[0][0] - 2_000_000_000, intervals[-1][1] + 3_000_000_000)
    at_agent = check_heard(
        agent, partner_hz=customer_hz, tones_hz=tones_hz, intervals=speaking, listen=listen, limits=limits,
        bridged=intervals,
    )  # fmt: skip
    return ConversationCheck(at_customer, at_agent)


def _span(recording: Recording) -> Interval:
    if not len(recording):
        return (0, 0)
    return (int(recording.arrival_ns[0]), int(recording.arrival_ns[-1]) + 20_000_000)


def _silent_partner() -> HeardCheck:
    """A partner who sent nothing can be neither heard nor missed."""
    return HeardCheck(
        measured=False, margin_db=np.inf, margin_ok=True, worst_gap_ms=0.0, gap_ok=True,
        leak_db=FLOOR_DBFS - _TONE_DBFS, leak_ok=True, level_dbfs=_TONE_DBFS, late_packets=0,
    )  # fmt: skip


def strays(
    recording: Recording,
    *,
    tones_hz: Sequence[int],
    allowed: Mapping[int, Sequence[Interval]],
    limits: Limits | None = None,
) -> tuple[Stray, ...]:
    """Every tone heard outside the intervals in which it was to be heard, at its loudest (invariant I13).

    For a whole recording, mostly an agent's leg: `allowed` gives for each partner's tone when they were
    bridged. A tone counts when it is above -35 dBFS and holds most of its window's energy, so that speech is
    none.
    """
    limits = limits or Limits()
    found = []
    if not len(recording):
        return ()
    heard = play_out(recording, _span(recording), _ANY_DELAY_MS)
    by_tone = tone_levels_dbfs(heard.samples, tones_hz)
    power = np.convolve(heard.samples.astype(np.float64) ** 2, np.ones(WINDOW) / WINDOW, "valid")[::HOP]
    energy_dbfs = 10 * np.log10(np.maximum(power, 10 ** (FLOOR_DBFS / 10)))
    begins_ns = heard.start_ns + np.arange(len(by_tone)) * HOP * SAMPLE_NS
    for column, hz in enumerate(tones_hz):
        level = by_tone[:, column]
        loud = (level > _TONE_DBFS + limits.leak_db) & (level > energy_dbfs - 3.0)
        for start_ns, end_ns in allowed.get(hz, ()):
            after_ns = start_ns - int(limits.edge_ms * 1e6) - WINDOW * SAMPLE_NS
            loud &= ~((begins_ns >= after_ns) & (begins_ns <= end_ns + int(limits.tail_ms * 1e6)))
        if loud.any():
            at = int(np.flatnonzero(loud)[level[loud].argmax()])
            found.append(Stray(hz, int(begins_ns[at]), float(level[at])))
    return tuple(found)
