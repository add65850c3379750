"""What recording, supervising and handing on cost the media plane: real processes, real UDP on loopback.

    python -m benchmarks.voice [--calls 100] [--seconds 10] [--what broadcast record supervise transfer] [--json]

`broadcast` is `benchmarks/broadcast.py`'s: people in a flow. In the others a call is a bridged pair, both sides speaking all the time.
`record`: each is recorded, sealed, to a real disk. `supervise`: each has a
supervisor who whispers, so the agent and the supervisor hear a mix of two. `transfer`: each customer is handed to another leg once a
second. CPU is the plane's own, from /proc; lost is what did not reach the plane, or left it not; the delay is that of the packets that are
relayed (a mix adds its 60 ms on purpose, see `media/mixer.py`): in `supervise` those that the customers hear.
"""

from __future__ import annotations

import argparse
import base64
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks import broadcast
from benchmarks.media_relay import Engine, cpu_s, far_ends
from dialer_core.ipc.messages import (
    Bridge,
    ConnectLeg,
    Hear,
    LegOpened,
    LegsBridged,
    OpenLeg,
    Record,
    Unbridge,
)
from dialer_core.vocabulary import LegId, LegKind, RecordSwitch, new_id

WHAT = ("broadcast", "record", "supervise", "transfer")
BROADCAST_CALLS = 400
"""Held at a time, at least."""
LEGS_A_CALL = {"record": 2, "supervise": 3, "transfer": 3}
KINDS = (LegKind.CUSTOMER, LegKind.AGENT, LegKind.EXTENSION)


@dataclass(frozen=True)
class Result:
    """One line."""

    what: str
    calls: int
    cpu_s_per_call_minute: float
    rtp_lost: int
    delay_ms_p95: float


class Calls:
    """The legs of a run, three of a call, or two."""

    def __init__(self, engine: Engine, what: str, calls: int) -> None:
        self.engine = engine
        self.what = what
        per = LEGS_A_CALL[what]
        self.legs = [[LegId(f"{what}{n}-{k}") for k in range(per)] for n in range(calls)]

    def begin(self) -> Connection:
        """Open, connect and bridge them; return the pipe to the far ends."""
        flat = [(leg, KINDS[k]) for call in self.legs for k, leg in enumerate(call)]
        for leg, kind in flat:
            self.engine.send(OpenLeg(leg_id=leg, kind=kind))
        ports = {event.leg_id: event.port for event in self.engine.wait(LegOpened, len(flat))}
        ours, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self.talkers = context.Process(target=far_ends, args=([ports[leg] for leg, _ in flat], theirs, False))
        self.talkers.start()
        for (leg, _), port in zip(flat, ours.recv(), strict=True):
            self.engine.send(ConnectLeg(leg_id=leg, host="127.0.0.1", port=port, codec="PCMU"))
        for customer, agent, *_ in self.legs:
            self.engine.send(Bridge(leg_id=customer, agent_leg_id=agent, connect_tone=""))
        self.engine.wait(LegsBridged, len(self.legs))
        for customer, agent, *others in self.legs:
            if self.what == "record":
                self.engine.send(Record(leg_id=customer, recording_id=new_id(), switch=RecordSwitch.ON))
            elif self.what == "supervise":
                self.engine.send(Hear(hears={others[0]: (customer, agent), agent: (customer, others[0])}))
        return ours

    def hand_on(self, turn: int) -> None:
        """Give each customer to the other of their two."""
        for customer, agent, other in self.legs:
            self.engine.send(Unbridge(leg_id=customer))
            to = (other, agent)[turn % 2]
            self.engine.send(Bridge(leg_id=customer, agent_leg_id=to, connect_tone=""))


def measure(what: str, calls: int, seconds: float) -> Result:
    """Run one of them."""
    if what == "broadcast":
        spent_s, lost, p95_ms = broadcast.run(max(calls, BROADCAST_CALLS), seconds)
        return Result(what, max(calls, BROADCAST_CALLS), round(spent_s, 4), lost, round(p95_ms, 3))
    with tempfile.TemporaryDirectory(prefix="mv") as folder:
        path = Path(folder) / "m"
        os.environ["VOICE_BENCHMARK_KEY"] = base64.b64encode(bytes(32)).decode()
        command = [
            sys.executable,
            "-m",
            "dialer_core.media.plane",
            "--socket",
            str(path),
            "--ports",
            "23000-25999",
        ]
        command += ["--recordings", f"{folder}/recordings", "--recording-key-env", "VOICE_BENCHMARK_KEY"]
        plane = subprocess.Popen([*command, "--log-level", "warning"])
        try:
            engine = Engine(path)
            run = Calls(engine, what, calls)
            pipe = run.begin()
            pipe.send("talk")
            time.sleep(1.5)
            before_lost = _lost(engine)
            before, begin, turn = cpu_s(plane.pid), time.monotonic(), 0
            while time.monotonic() - begin < seconds:
                time.sleep(1.0)
                if what == "transfer":
                    run.hand_on(turn)
                    turn += 1
            spent_s, lasted_s = cpu_s(plane.pid) - before, time.monotonic() - begin
            lost = _lost(engine) - before_lost
            pipe.send("stop")
            _, _, delays = pipe.recv()
            run.talkers.join()
        finally:
            plane.terminate()
            plane.wait(10)
    relayed = [delay for delay in delays if 0 < delay < 1e6]  # a mixed frame's first octets are no stamp
    p95_ms = statistics.quantiles(relayed, n=20)[18] / 1000
    return Result(what, calls, round(spent_s / calls / lasted_s * 60, 4), lost, round(p95_ms, 3))


def _lost(engine: Engine) -> int:
    deadline = time.monotonic() + 5
    engine.events.clear()
    while not (reports := engine.health()):
        if time.monotonic() > deadline:
            raise SystemExit("the media plane says nothing of its health")
        time.sleep(0.1)
    last = reports[-1]
    return last.rx_lost + last.rx_overrun + last.tx_failed


def main() -> None:
    """Run the benchmark and print its lines."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--what", nargs="+", choices=WHAT, default=list(WHAT))
    parser.add_argument("--json", action="store_true", help="a JSON object a line")
    options = parser.parse_args()
    for what in options.what:
        result = measure(what, options.calls, options.seconds)
        if options.json:
            print(json.dumps(asdict(result)), flush=True)
        else:
            print(
                f"{result.what}: {result.calls} calls, {result.cpu_s_per_call_minute} s of CPU a call minute, "
                f"{result.rtp_lost} packets lost, delay p95 {result.delay_ms_p95} ms"
            )


if __name__ == "__main__":
    main()
