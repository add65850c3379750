"""A dialer at full size with SIPp around it: `dialer run` with all its processes, and far ends of customers and softphones.

It owns who is started with which ports, and what the kernel says of them: CPU, memory, datagrams, drops. What is measured, and when, is
`calls.py`'s and `dead_air.py`'s. The dialer is the product as anyone runs it: configuration files, the import, the HTTP API.
"""

from __future__ import annotations

import io
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import soundfile

from tests.e2e.carrier import Carrier
from tests.e2e.live import CAMPAIGN, Dialer, number
from tests.e2e.ports import Ports
from tests.e2e.scenario import Answer, Behaviour
from tests.polling import WaitedTooLongError

SUFFIX = 1
"""Last digits of every called number: SIPp has one behaviour for all."""
MEDIA_PORTS = (20_000, 24_999)
FAR_SIP = 25_000
FAR_RTP = 26_000
PHONES = 9
"""The softphones' SIPp; the carriers' are those before it."""
HURRY_S = 1.0
START_LIMIT_S = 90.0
"""Two hundred line workers, and the softphones."""
PROMPT = "abandonment-es"
PROMPT_S = 119.0
"""The message that holds the line in the modes without agents; prompts may be up to 120 s long."""


@dataclass(frozen=True, slots=True)
class FullSizePorts(Ports):
    """Ports for hundreds of calls; below the kernel's ephemeral range where they must not be taken by others."""

    @property
    def http(self) -> int:
        """The API's."""
        return 18_099

    @property
    def workers(self) -> int:
        """The first of the line workers'."""
        return 15_060

    @property
    def rtp(self) -> tuple[int, int]:
        """The media plane's."""
        return MEDIA_PORTS

    def carrier(self, index: int) -> int:
        """SIP port of a SIPp."""
        return FAR_SIP + 2 * index

    def carrier_rtp(self, index: int) -> int:
        """Its RTP port."""
        return FAR_RTP + 1000 * index


class FullSize:
    """One run: folder, far ends, dialer; all ended with the `with` block.

    Parameters
    ----------
    customers
        What every called number does.
    agents, softphones
        How many agents there are, and what their softphones do.
    lines, calls_per_second
        Of all trunks together.
    carriers
        How many SIPp there are, a trunk to each: one has a single RTP socket, whose buffer does not hold a packet of 600 calls at once.
    campaign
        Settings over those of the end-to-end tests.
    plugins
        Those that are enabled.
    """

    def __init__(
        self,
        *,
        customers: Behaviour,
        agents: int,
        softphones: Behaviour,
        lines: int,
        calls_per_second: float,
        campaign: Mapping[str, Any],
        carriers: int = 1,
        plugins: Sequence[str] = ("metrics",),
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mb-"))
        self.ports = FullSizePorts(0)
        self._held = ExitStack()
        self._held.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.agents = [f"a{index}" for index in range(agents)]
        try:
            far_ends = [self._far_end({SUFFIX: customers}, index) for index in range(carriers)]
            self.phones = self._far_end({SUFFIX: softphones}, PHONES)
            prompts = self.folder / "prompts"
            prompts.mkdir()
            speech = long_speech(PROMPT_S)
            soundfile.write(prompts / f"{PROMPT}.wav", speech, 8000, subtype="PCM_16")
            self.dialer = Dialer(
                self.folder,
                self.ports,
                trunks={
                    f"far{index}": {
                        "port": carrier.port,
                        "lines": -(-lines // carriers),
                        "calls_per_second": calls_per_second / carriers,
                    }
                    for index, carrier in enumerate(far_ends)
                },
                agents={
                    name: {"sip": f"sip:{10_000 + index}{SUFFIX:02}@127.0.0.1:{self.phones.port}"}
                    for index, name in enumerate(self.agents)
                },
                campaign={**campaign, "start": False},
                environment={
                    "MARCADOR_MEDIA__PROMPTS_DIR": str(prompts),
                    "MARCADOR_PLUGINS__ENABLED": ",".join(plugins),
                },
            )
        except BaseException:
            self._held.close()
            raise

    def _far_end(self, behaviours: Mapping[int, Behaviour], index: int) -> Carrier:
        echo = any(isinstance(step, Answer) and step.echo for steps in behaviours.values() for step in steps)
        carrier = Carrier(self.folder, self.ports, behaviours, index=index, echo=echo)
        self._held.callback(carrier.close)
        return carrier

    def import_leads(self, count: int) -> None:
        """Put so many people on the list."""
        self.dialer.import_numbers([number(SUFFIX, index) for index in range(count)])

    def start(self) -> None:
        """Start the dialer, wait until its API says that every worker and every softphone is there, and let the campaign dial."""
        self.dialer.start(START_LIMIT_S)
        self.dialer.until(self._all_up, START_LIMIT_S, "every worker attached and every softphone up")
        self.dialer.post(f"/campaigns/{CAMPAIGN}/start", reason="benchmark")

    def _all_up(self) -> bool:
        status = self.dialer.status()
        return all(agent["leg_up"] for agent in status["agents"]) and all(
            worker["attached"] for worker in status["workers"]
        )

    def wait(self, condition: Callable[[Mapping[str, Any]], bool], limit_s: float, what: str) -> None:
        """Wait for something of the campaign."""
        try:
            self.dialer.until(lambda: condition(self.dialer.campaign()), limit_s, what)
        except WaitedTooLongError as error:
            status = self.dialer.status()
            raise SystemExit(
                f"{error}\n{status['campaigns']}\nbrake: {status['brake']}; held: {status['held']}"
            ) from error

    def log_out(self) -> None:
        """Log every agent out: what is answered from now on finds nobody."""
        for name in self.agents:
            self.dialer.post(f"/agents/{name}/logout")

    def usage(self) -> Usage:
        """Return what all processes of the dialer have used until now."""
        return Usage.read(self.dialer.processes())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._held:
            if error is not None:
                sys.stderr.write(self.dialer.log()[-6000:])
            self.close_dialer()
            try:
                with redirect_stderr(io.StringIO()):  # it would show the whole log
                    self.dialer.close()
            except AssertionError as problem:
                lines = str(problem).splitlines() or ["a process is left, or ended badly"]
                sys.stderr.write(
                    f"  dialer verify, and the end of the processes: {len(lines)} findings, the first: {lines[0][:200]}\n"
                )

    def end_calls(self) -> None:
        """Hang every call up and log every agent out, so that the media plane tells of every leg before the engine goes."""
        self.dialer.post(f"/campaigns/{CAMPAIGN}/pause", reason="benchmark")
        for call in self.dialer.get("/calls"):
            self.dialer.ask("POST", f"/calls/{call['attempt_id']}/hangup")
        self.dialer.until(lambda: not self.dialer.get("/calls"), 60.0, "every call to end")
        for name in self.agents:
            self.dialer.ask("POST", f"/agents/{name}/logout")
        self.dialer.until(self._all_told, 15.0, "every leg's statistics")

    def _all_told(self) -> bool:
        legs = self.dialer.legs("customer") + self.dialer.legs("agent")
        # a leg that was never answered has nothing to tell
        return all(leg.statistics for leg in legs if leg.codec)

    def close_dialer(self) -> None:
        """Stop the dialer; its store can be read until the block ends. Harmless when it is stopped."""
        process = self.dialer.process
        if process is None or process.poll() is not None:
            return
        self.dialer.terminate()
        time.sleep(HURRY_S)
        if process.poll() is None:
            self.dialer.terminate()  # the second ends what still talks
        self.dialer.wait_end(60.0)


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU time and memory of the dialer's processes at a moment."""

    at_ns: int
    cpu_ns: Counter[str] = field(default_factory=Counter)
    """By what the process is: media, engine, host, supervisor, workers."""
    pss_kb: Counter[str] = field(default_factory=Counter)
    """Proportional: what workers share with their fork server counts once."""
    processes: int = 0

    @classmethod
    def read(cls, processes: Mapping[int, str]) -> Self:
        """Read /proc of each; user and system time of every thread, as the scheduler counts it, in nanoseconds."""
        at_ns = time.monotonic_ns()
        used: Counter[str] = Counter()
        for pid, command in processes.items():
            used[_kind(command)] += cpu_ns(pid)
        memory: Counter[str] = Counter()
        for pid, command in processes.items():
            memory[_kind(command)] += _pss_kb(pid)
        return cls(at_ns, used, memory, len(processes))

    @property
    def pss_mb(self) -> float:
        """Of all together."""
        return sum(self.pss_kb.values()) / 1000

    def since(self, before: Usage) -> Counter[str]:
        """Return the CPU nanoseconds used since an earlier reading, by kind."""
        return Counter({kind: self.cpu_ns[kind] - before.cpu_ns[kind] for kind in self.cpu_ns})


def _kind(command: str) -> str:
    for part, kind in (("media.plane", "media"), ("sip.", "workers"), ("engine", "engine"), ("host", "host")):
        if f"dialer_core.{part}" in command:
            return kind
    return "supervisor"


def cpu_ns(pid: int) -> int:
    """Return the CPU time all threads of a process have used; 0 when it has gone."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)
    except OSError:
        return 0


def _pss_kb(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    found = re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)
    return int(found.group(1)) if found else 0


@dataclass(frozen=True, slots=True)
class Datagrams:
    """What the kernel counts of UDP in this network namespace."""

    sent: int
    received: int
    our_drops: int
    """Thrown away at the media plane's sockets, because they were not read in time."""
    far_drops: int
    """The same at the far ends'."""

    @classmethod
    def read(cls) -> Self:
        """Read /proc/net."""
        names, values = (
            line.split()[1:]
            for line in Path("/proc/net/snmp").read_text().splitlines()
            if line.startswith("Udp:")
        )
        totals = dict(zip(names, map(int, values), strict=True))
        drops = [0, 0]
        with Path("/proc/net/udp").open(encoding="ascii") as table:
            next(table)
            for line in table:
                fields = line.split()
                port = int(fields[1].rpartition(":")[2], 16)
                if MEDIA_PORTS[0] <= port <= MEDIA_PORTS[1]:
                    drops[0] += int(fields[12])
                elif port >= FAR_SIP:
                    drops[1] += int(fields[12])
        return cls(totals["OutDatagrams"], totals["InDatagrams"], drops[0], drops[1])


def long_speech(seconds: float) -> np.ndarray[Any, np.dtype[np.int16]]:
    """Return a voicemail greeting said again and again, without a beep: shape (n_samples,), 8 kHz."""
    from dialer_core.sim import clips  # noqa: PLC0415 - one use

    clip, rate_hz = soundfile.read(Path(clips.__file__).parent / "voicemail_allison_es.flac", dtype="int16")
    assert rate_hz == 8000  # noqa: S101 - ours
    return np.resize(clip, int(seconds * 8000))
