"""Two hundred calls of every kind through one worker: nothing is lost, told twice, or left behind."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from dialer_core.ipc.messages import LegAnswered, LegEnded, LegProvisional, LegSent, WorkerHealth
from dialer_core.vocabulary import EndedBy, LegId
from tests.sip.harness import Worker, free_port, sipp
from tests.skips import requires_program

pytestmark = [pytest.mark.sip, requires_program("sipp"), pytest.mark.timeout(180)]

CALLS = 200
CALLS_PER_S = 15.0
EXPECTED = {
    "busy": (486, EndedBy.FAR, False),
    "congested": (503, EndedBy.FAR, False),
    "far_bye": (200, EndedBy.FAR, False),
    "our_bye": (200, EndedBy.US, False),
    "cancel": (487, EndedBy.US, False),
    "cross": (200, EndedBy.US, True),
}


def test_two_hundred_mixed_calls(tmp_path: Path) -> None:
    """At 15 calls/s each Place has its one right end, and memory, slots, sockets and bridge ports stay where they were."""
    with Worker() as worker, ExitStack() as stack:
        engine = worker.engine
        far = {
            "busy": stack.enter_context(
                sipp("refuse", tmp_path, calls=CALLS, code="486", phrase="Busy", cause="17")
            ),
            "congested": stack.enter_context(
                sipp("refuse", tmp_path, calls=CALLS, code="503", phrase="Full", cause="42")
            ),
            "far_bye": stack.enter_context(sipp("far_bye", tmp_path, calls=CALLS)),
            "our_bye": stack.enter_context(sipp("answer", tmp_path, calls=CALLS)),
            "cancel": stack.enter_context(sipp("ring", tmp_path, calls=CALLS)),
            "cross": stack.enter_context(sipp("cross", tmp_path, calls=CALLS)),
        }
        ports = {kind: running.port for kind, running in far.items()}
        ports["dead"] = free_port()
        # one dead port in 200: its slot is held for as long as pjsip waits for an answer
        kinds = itertools.chain(["dead"], itertools.cycle(EXPECTED))
        placed: dict[LegId, str] = {}
        hung_up: set[LegId] = set()
        descriptors = resident_mb = 0.0
        due = time.monotonic()
        while len(placed) < CALLS or len(engine.of(LegEnded)) < CALLS:
            engine.pump(max(0.0, min(0.05, due - time.monotonic())))
            for leg in placed.keys() - hung_up:
                ready = LegAnswered if placed[leg] == "our_bye" else LegProvisional
                if placed[leg] in {"our_bye", "cancel", "cross"} and engine.of(ready, leg):
                    engine.hang_up(leg)
                    hung_up.add(leg)
            alive = len(placed) - len(engine.of(LegEnded))
            if len(placed) < CALLS and time.monotonic() >= due and alive < 3:
                kind = next(kinds)
                placed[engine.place(ports[kind], progress_limit_s=1.0)] = kind
                due = max(due + 1 / CALLS_PER_S, time.monotonic())
            if len(placed) == CALLS // 2 and not descriptors:
                descriptors = len(list(Path(f"/proc/{worker.pid}/fd").iterdir()))
                resident_mb = engine.of(WorkerHealth)[-1].rss_mb
        engine.wait_slots(0, timeout_s=20.0)
        engine.state()
        ends = engine.of(LegEnded)
        health = engine.of(WorkerHealth)[-1]
        told = Counter((placed[end.leg_id], end.code, end.by, end.crossed) for end in ends)
        dead = (408, EndedBy.LIMIT, False)
        expected = Counter((kind, *EXPECTED.get(kind, dead)) for kind in placed.values())
        assert told == expected
        assert sorted(end.leg_id for end in ends) == sorted(placed)
        assert len(engine.of(LegSent)) == CALLS
        sequence = [event.seq for event in engine.events if event.seq]
        assert sequence == sorted(set(sequence))
        assert health.bridge_ports <= 10
        assert len(list(Path(f"/proc/{worker.pid}/fd").iterdir())) == descriptors
        # what pjsip keeps for the seconds of its transaction timers is some 30 kB a call, and no more than that
        assert health.rss_mb - resident_mb < 8.0
