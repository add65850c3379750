"""How long a partner was not heard around an instant, from what the far ends recorded.

Owns the measure. The sound of each far end is a tone of its own, so that what is missing is known.
"""

from __future__ import annotations

from pathlib import Path

from dialer_core.sim.audio_check import Limits, worst_gap_ms
from dialer_core.sim.playout import play_out
from dialer_core.sim.recording import Recording, load_recording, recording_name

BEFORE_NS = 300_000_000
AFTER_NS = 4_000_000_000
SHORTEST_NS = 500_000_000


def gap_s(recordings: Path, call_id: str, hz: int, kill_ns: int, from_ns: int, until_ns: int) -> float | None:
    """Return the longest silence of a partner's tone around a kill, in seconds; None where there is too little to judge.

    Parameters
    ----------
    recordings
        The far ends' folder of recordings.
    call_id
        Whose ear.
    hz
        The partner's tone.
    kill_ns
        When the process died, monotonic.
    from_ns, until_ns
        When the partner was to be heard.
    """
    begin_ns, end_ns = max(kill_ns - BEFORE_NS, from_ns), min(kill_ns + AFTER_NS, until_ns)
    file = recordings / recording_name(call_id)
    if end_ns - max(begin_ns, kill_ns) < SHORTEST_NS or not file.exists():
        return None
    recording: Recording = load_recording(file)
    heard = play_out(recording, (begin_ns, end_ns), Limits().jitter_buffer_ms)
    return worst_gap_ms(heard.samples, hz) / 1e3
