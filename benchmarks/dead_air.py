"""How long a person who says hello hears nothing: from captured RTP, through the whole dialer.

    python -m benchmarks.dead_air [--json] [--answers-per-s N] [--seconds S]

SIPp answers as people do: a moment, a hello, then silence. The detector decides, an agent (SIPp too, speaking noise all the time) is bridged.
Dead air is from the last audible sample of the hello to the first audible sample that the customer gets; a sample is spoken up to 20 ms
before its packet leaves and heard after its packet has come, and both are counted. A line for 5 and one for 50 answers a second.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from amd.g711 import decode_pcmu
from benchmarks.calls import FOREVER_MS, say
from benchmarks.capture import Capture, Packets
from benchmarks.floor import MEDIA_PORTS, FullSize
from tests.e2e.scenario import Answer, Ring, Stay
from tests.e2e.sounds import PICK_UP_S, clip

RATES_HZ = (5, 50)
RING_MS, STAY_MS = 300, 4000
HELLOS = "hello_bueno_2"
AUDIBLE = 300
"""Sample value, -41 dBFS: well over the silence we send and under any speech."""
NOISE = 3000
SAMPLE_NS = 125_000
FRAME_NS = 20_000_000
CAPTURE_LAG_S = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One line."""

    answers_per_s: float
    hello_to_agent_ms_p50: float
    hello_to_agent_ms_p95: float
    verdict_to_relay_ms_p95: float
    relay_delay_ms_p95: float


def write_sounds(folder: Path) -> tuple[Path, Path]:
    """Write a person's hello and an agent's noise, of which no two packets are alike, as bare mu-law."""
    hello = np.concatenate([np.zeros(int(PICK_UP_S * 8000)), clip(HELLOS), np.zeros(8000 * 20)])
    noise = np.random.default_rng(1).uniform(-NOISE, NOISE, 8000 * 240) / 32768
    paths = folder / "hello.pcmu", folder / "noise.pcmu"
    for path, samples in zip(paths, (hello, noise), strict=True):
        soundfile.write(path, samples, 8000, format="RAW", subtype="ULAW")
    return paths


def measure(rate_hz: int, seconds: float, folder: Path) -> Result:
    """Answer so many calls a second for so long."""
    hello, noise = write_sounds(folder)
    busy_s = (RING_MS + STAY_MS) / 1000 + 0.7
    agents = int(rate_hz * busy_s * 1.2) + 2
    with FullSize(
        customers=(Ring(RING_MS), Answer(hello), Stay(STAY_MS)),
        agents=agents,
        softphones=(Answer(noise), Stay(FOREVER_MS)),
        lines=agents + rate_hz,
        calls_per_second=rate_hz,
        campaign={"detection": "fast", "pacing": "progressive", "wrap_up_s": 0},
    ) as floor:
        floor.import_leads(int(rate_hz * (seconds + busy_s + 3)))
        floor.start()
        floor.wait(lambda campaign: campaign["talking"] >= 1, 30.0, "the first bridge")
        time.sleep(busy_s)
        with Capture(floor.folder / "wire.pcap", MEDIA_PORTS, sound=True) as capture:
            first_ns = time.monotonic_ns()
            time.sleep(seconds)
            last_ns = time.monotonic_ns()
            time.sleep(CAPTURE_LAG_S)
            packets = capture.read().between(first_ns, last_ns)
        floor.end_calls()
        floor.close_dialer()
        say(f"  outcomes: {dict(Counter(row.outcome for row in floor.dialer.attempts()))}")
        return judge(floor, packets, first_ns, last_ns)


@dataclass(slots=True)
class Stream:
    """The packets of one port in one direction."""

    at_ns: NDArray[np.int64]
    sound: NDArray[np.uint8]

    def between(self, first_ns: int, last_ns: int) -> Stream:
        """Return those of a stretch of time."""
        begin, end = np.searchsorted(self.at_ns, (first_ns, last_ns))
        return Stream(self.at_ns[begin:end], self.sound[begin:end])

    def audible_ns(self, *, last: bool) -> int | None:
        """Return when the first or last audible sample was heard, or None."""
        loud = np.flatnonzero(np.abs(decode_pcmu(self.sound).astype(np.int32)).ravel() > AUDIBLE)
        if not loud.size:
            return None
        packet, sample = divmod(int(loud[-1 if last else 0]), self.sound.shape[1])
        return int(self.at_ns[packet]) + sample * SAMPLE_NS


def split(packets: Packets, field: str) -> dict[int, Stream]:
    """Return the streams by the media plane's port."""
    ports = packets.rows[field].astype(np.int64)
    order = np.argsort(ports, kind="stable")
    ordered = ports[order]
    found = {}
    for port in np.unique(ordered):
        if MEDIA_PORTS[0] <= port <= MEDIA_PORTS[1]:
            begin, end = np.searchsorted(ordered, (port, port + 1))
            mine = order[begin:end]
            found[int(port)] = Stream(packets.at_ns[mine], packets.rows["sound"][mine])
    return found


def judge(floor: FullSize, packets: Packets, first_ns: int, last_ns: int) -> Result:
    """Find the times of each call that was answered and bridged in this stretch."""
    came, went = split(packets, "target"), split(packets, "source")
    phones = {leg.agent_id: leg.media_port for leg in floor.dialer.legs("agent")}
    ports = {leg.attempt_id: leg.media_port for leg in floor.dialer.legs("customer")}
    bridges = {event.attempt_id: event for event in floor.dialer.events("attempt.bridged")}
    dead_ms: list[float] = []
    to_relay_ms: list[float] = []
    delays_ms: list[float] = []
    answered = 0
    for attempt in floor.dialer.attempts():
        if not attempt.answered_mono_ns or not first_ns <= attempt.answered_mono_ns < last_ns:
            continue
        answered += 1
        end_ns = attempt.answered_mono_ns + STAY_MS * 1_000_000
        if attempt.id not in bridges or end_ns > last_ns:
            continue
        port = ports[attempt.id]
        spoken = came[port].between(attempt.answered_mono_ns, end_ns)
        heard = went[port].between(attempt.answered_mono_ns, end_ns)
        hello_ns, agent_ns = spoken.audible_ns(last=True), heard.audible_ns(last=False)
        if hello_ns is None or agent_ns is None:
            raise SystemExit(f"attempt {attempt.id}: no hello or no agent on the wire")
        dead_ms.append((agent_ns - hello_ns + FRAME_NS) / 1e6)
        to_relay_ms.append((agent_ns - attempt.verdict_mono_ns) / 1e6)
        delays_ms += relay_delays_ms(came[phones[bridges[attempt.id].data["agent_id"]]], heard)
    say(f"  {answered} answered, {len(dead_ms)} of them heard to an agent; {len(delays_ms)} relayed packets")
    p50, p95 = np.percentile(dead_ms, (50, 95))
    return Result(
        answers_per_s=round(answered / (last_ns - first_ns) * 1e9, 1),
        hello_to_agent_ms_p50=round(float(p50), 1),
        hello_to_agent_ms_p95=round(float(p95), 1),
        verdict_to_relay_ms_p95=round(float(np.percentile(to_relay_ms, 95)), 1),
        relay_delay_ms_p95=round(float(np.percentile(delays_ms, 95)), 2),
    )


def relay_delays_ms(agent: Stream, heard: Stream) -> list[float]:
    """Return how long each of the agent's packets was under way in us, by its sound."""
    if not len(heard.at_ns):
        return []
    said = agent.between(int(heard.at_ns[0]) - 1_000_000_000, int(heard.at_ns[-1]))
    sent_ns = {sound.tobytes(): int(at_ns) for at_ns, sound in zip(said.at_ns, said.sound, strict=True)}
    delays = []
    for at_ns, sound in zip(heard.at_ns, heard.sound, strict=True):
        came_ns = sent_ns.get(sound.tobytes())
        if came_ns is not None:
            delays.append((int(at_ns) - came_ns) / 1e6)
    return delays


def main() -> None:
    """Print a line for each rate."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument(
        "--answers-per-s", type=int, action="append", help="may be given more than once; default: 5 and 50"
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="of the stretch that is measured")
    options = parser.parse_args()
    for rate_hz in options.answers_per_s or RATES_HZ:
        say(f"{rate_hz} answers a second:")
        with tempfile.TemporaryDirectory(prefix="mb-") as folder:
            result: Mapping[str, Any] = asdict(measure(rate_hz, options.seconds, Path(folder)))
        if options.json:
            print(json.dumps(result), flush=True)
        else:
            print("  ".join(f"{key} {value}" for key, value in result.items()), flush=True)


if __name__ == "__main__":
    main()
