"""Four hundred people in a flow at a time: what speaking to them costs the media plane and the conversations, real processes and UDP.

    python -m benchmarks.voice --what broadcast [--calls 400] [--json]

Each call has a walk of its own through the packaged flow (`flows/interpreter.py`): every sentence of it is a file of the call's own, rendered
by espeak-ng beforehand, as names and amounts are; each far end sends sound all the time and presses a key after each question. CPU is the media
plane's and, of this process, the conversations' and their messages'. Lost is what did not reach the plane, left it not, or did not arrive;
the delay is how late a packet comes at its far end against the schedule of its stream: what the far end's jitter buffer has to hold.
"""

from __future__ import annotations

import multiprocessing
import os
import select
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from benchmarks.media_relay import Engine, cpu_s
from dialer_core.flows.interpreter import (
    Action,
    Conversation,
    Cue,
    DoWork,
    Finish,
    HandOver,
    Listen,
    Quiet,
    Speak,
)
from dialer_core.flows.language import Flow
from dialer_core.flows.reading import load_flow
from dialer_core.ipc.messages import ConnectLeg, LegDigit, LegOpened, OpenLeg, Play, PromptFinished
from dialer_core.speech.loudness import for_the_line
from dialer_core.vocabulary import LegId, LegKind

FLOW = Path(__file__).parents[1] / "dialer_core" / "config_defaults" / "flows" / "recordatorio.toml"
FRAME_NS = 20_000_000
KEYS = "1123"
"""Pressed by turns, one a few seconds after the other: identity, balance, and on."""
_RTP = struct.Struct("!BBHII")
_EVENT = struct.Struct("!BBH")


def far_ends(ports: list[int], pipe: Connection) -> None:
    """Talk to `ports` until told to stop, press keys, and report (packets missing, delays in ms)."""
    sockets = [socket.socket(type=socket.SOCK_DGRAM) for _ in ports]
    poll, by_fd = select.epoll(), {}
    for index, one in enumerate(sockets):
        one.bind(("127.0.0.1", 0))
        one.setblocking(False)
        poll.register(one, select.EPOLLIN)
        by_fd[one.fileno()] = index
    pipe.send([one.getsockname()[1] for one in sockets])
    pipe.recv()
    count, sent, begin_ns = len(ports), 0, time.monotonic_ns() + FRAME_NS
    offsets: dict[int, list[int]] = defaultdict(list)
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    received: dict[int, int] = defaultdict(int)
    measure_from_ns = begin_ns + 2_000_000_000
    while not pipe.poll():
        due = (time.monotonic_ns() - begin_ns) * count // FRAME_NS
        while sent < due:
            index, turn = sent % count, sent // count
            press, step = divmod(turn + index, 200)  # a key every four seconds
            if step < 9 and turn >= 100:
                ended = step >= 6
                payload = _EVENT.pack(
                    int(KEYS[press % len(KEYS)]), (0x80 if ended else 0) | 10, 160 * (min(step, 5) + 1)
                )
                stamp = (turn - step) * 160 & 0xFFFFFFFF
                head = _RTP.pack(0x80, (0x80 if not step else 0) | 101, turn & 0xFFFF, stamp, index)
            else:
                payload, head = bytes([0xFF]) * 160, _RTP.pack(0x80, 0, turn & 0xFFFF, turn * 160, index)
            sockets[index].sendto(head + payload, ("127.0.0.1", ports[index]))
            sent += 1
        for fd, _ in poll.poll(0.001):
            data, index = sockets[by_fd[fd]].recv(2048), by_fd[fd]
            now_ns = time.monotonic_ns()
            if now_ns < measure_from_ns or data[1] & 0x7F != 0:
                continue
            _, _, sequence, timestamp, _ = _RTP.unpack_from(data)
            first.setdefault(index, sequence)
            last[index] = sequence
            received[index] += 1
            offsets[index].append(now_ns - timestamp * 125_000)
    missing = sum(((last[i] - first[i]) & 0xFFFF) + 1 - received[i] for i in first)
    delays = [(offset - min(its)) / 1e6 for its in offsets.values() for offset in its]
    pipe.send((missing, delays))


class Walk:
    """One call's conversation, over and over."""

    def __init__(
        self, engine: Engine, flow: Flow, leg_id: LegId, prompts: dict[str, tuple[str, ...]]
    ) -> None:
        self._engine, self._leg_id, self._prompts = engine, leg_id, prompts
        self._flow = flow
        self.walks = 0
        self.begin()

    def begin(self) -> None:
        """Begin another conversation."""
        self.walks += 1
        self._conversation = Conversation(self._flow, "es", {"account.balance": 120050})
        self._speaking = 0
        self._do(self._conversation.apply(Cue.BEGIN))

    def heard(self, event: PromptFinished | LegDigit) -> None:
        """Take what the media plane says of this leg."""
        if isinstance(event, LegDigit):
            self._do(self._conversation.apply(Cue.KEY, event.digit))
        elif not event.cut and event.play_id == f"flow:{self.walks}:{self._speaking}":
            self._do(self._conversation.apply(Cue.SPOKEN))

    def _do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Speak(turn=turn, step=step):
                    self._speaking = turn
                    play = Play(
                        leg_id=self._leg_id,
                        prompts=self._prompts[step],
                        play_id=f"flow:{self.walks}:{turn}",
                        ends_wait=True,
                    )
                    self._engine.send(play)
                case Quiet():
                    self._engine.send(Play(leg_id=self._leg_id, prompts=()))
                case DoWork():
                    self._do(self._conversation.apply(Cue.DONE))
                case Finish() | HandOver():
                    self.begin()
                case Listen() | _:
                    pass


def render(folder: Path, calls: int) -> list[dict[str, tuple[str, ...]]]:
    """Write each call's own speech; return the prompts of each step by call."""
    folder.mkdir()
    flow = load_flow(FLOW)
    sounds = {}
    for name, step in flow.steps.items():
        said = step.text.get("es")
        if isinstance(said, str):
            words = said.replace("{", "").replace("}", "")
            wav = subprocess.run(
                ["espeak-ng", "-v", "es-419", "-s", "150", "--stdout", words], capture_output=True, check=True
            ).stdout
            pcm = np.frombuffer(wav[44:], "<i2").astype(np.float32) / 32768
            sounds[name] = for_the_line(pcm, 22050, -20.0)
    prompts = []
    for call in range(calls):
        its = {}
        for number, (name, sound) in enumerate(sounds.items()):
            file = f"{call:08x}{number:08x}"
            (folder / f"{file}.ulaw").write_bytes(sound)
            its[name] = (f"speech:{file}",)
        prompts.append(its)
    return prompts


def run(calls: int, seconds: float) -> tuple[float, int, float]:
    """Return (CPU seconds a call minute, packets lost, delay p95 in ms)."""
    with tempfile.TemporaryDirectory(prefix="mb") as name:
        folder = Path(name)
        prompts = render(folder / "speech", calls)
        command = [
            sys.executable,
            "-m",
            "dialer_core.media.plane",
            "--socket",
            f"{name}/m",
            "--ports",
            "23000-25999",
        ]
        command += ["--speech", f"{name}/speech", "--log-level", "error"]
        plane = subprocess.Popen(command)
        try:
            engine = Engine(folder / "m")
            legs = [LegId(f"b{n}") for n in range(calls)]
            for leg in legs:
                engine.send(OpenLeg(leg_id=leg, kind=LegKind.CUSTOMER))
            ports = {event.leg_id: event.port for event in engine.wait(LegOpened, calls)}
            ours, theirs = multiprocessing.Pipe()
            talkers = multiprocessing.get_context("spawn").Process(
                target=far_ends, args=([ports[leg] for leg in legs], theirs)
            )
            talkers.start()
            for leg, port in zip(legs, ours.recv(), strict=True):
                engine.send(ConnectLeg(leg_id=leg, host="127.0.0.1", port=port, codec="PCMU", dtmf_pt=101))
            ours.send("talk")
            flow = load_flow(FLOW)
            walks = {leg: Walk(engine, flow, leg, its) for leg, its in zip(legs, prompts, strict=True)}
            _turn(engine, walks, time.monotonic() + 2.0)
            health = _health(engine, walks)
            plane_s, mine_s, begin = cpu_s(plane.pid), _own_cpu_s(), time.monotonic()
            _turn(engine, walks, begin + seconds)
            spent_s = cpu_s(plane.pid) - plane_s + _own_cpu_s() - mine_s
            lasted_s = time.monotonic() - begin
            lost = _health(engine, walks) - health
            ours.send("stop")
            missing, delays = ours.recv()
            talkers.join()
        finally:
            plane.terminate()
            plane.wait(10)
    return spent_s / calls / lasted_s * 60, lost + missing, statistics.quantiles(delays, n=20)[18]


def _own_cpu_s() -> float:
    its = os.times()
    return its.user + its.system


def _turn(engine: Engine, walks: dict[LegId, Walk], until_s: float) -> None:
    while time.monotonic() < until_s:
        _hear(engine, walks)
        engine.events.clear()


def _health(engine: Engine, walks: dict[LegId, Walk]) -> int:
    deadline = time.monotonic() + 5
    while not (reports := engine.health()):
        if time.monotonic() > deadline:
            raise SystemExit("the media plane says nothing of its health")
        _hear(engine, walks)
    last = reports[-1]
    engine.events.clear()
    return last.rx_lost + last.rx_overrun + last.tx_failed


def _hear(engine: Engine, walks: dict[LegId, Walk]) -> None:
    """Take what has come, every few milliseconds."""
    time.sleep(0.005)
    engine.health()
    events, engine.events[:] = list(engine.events), []
    for event in events:
        if isinstance(event, PromptFinished | LegDigit):
            walks[event.leg_id].heard(event)
        else:
            engine.events.append(event)
