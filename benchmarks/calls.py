"""Hundreds of calls through the whole dialer: what they cost, what is lost, how late anything is.

    python -m benchmarks.calls [--json] [--mode MODE] [--calls N] [--seconds S]

Every process of `dialer run`, SIPp at the far end of every leg, sound both ways at 50 packets a second. A line per mode:

    receive      answered calls, each heard (not by the detector) and spoken to
    analysis     the same with the detector on every call all the time
    pairs        one call is a customer bridged to an agent, both of them SIPp
    attempts20   20 answered attempts a second, the detector on each from its answer to its end
    attempts50   50 of them

In the first two a call is held by the abandonment message: two minutes of speech, so that what is sent is paced from memory as any prompt.
The goals, how each figure is taken, and what came of them: `README.md` beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks.capture import Capture, Packets
from benchmarks.floor import MEDIA_PORTS, PROMPT_S, Datagrams, FullSize, Usage, long_speech
from tests.e2e.scenario import Answer, Ring, Stay

MODES = ("receive", "analysis", "pairs", "attempts20", "attempts50")
RAMP_PER_S = 40.0
AGENTS_PER_CALL = 10
"""Pacing in mode ratio places so many calls for an idle agent: that many fewer agents are needed to begin the calls."""
CALLS_PER_SIPP = 200
SETTLE_S = 4.0
CAPTURE_LAG_S = 1.5
"""dumpcap writes in blocks: what it has is whole so long after."""
HELD_SHARE = 0.98
"""At least so many of the calls must be up until the end: what is measured is divided by their number."""
SAMPLED = 16
"""One in so many legs is captured on the wire."""
ATTEMPT_RING_MS, ATTEMPT_TALK_MS = 200, 600
FOREVER_MS = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One line. A figure that a mode does not have is null."""

    mode: str
    calls_held: int
    seconds: float
    rtp_lost: int
    """At both ends: gaps in what we received, packets the far ends' sockets threw away, gaps on the wire in a sample."""
    kernel_drops: int
    tx_pps_per_call: float | None
    """From the dialer, to one far end."""
    rx_pps_per_call: float | None
    verdicts: int
    cpu_s_per_call_minute: float | None
    cpu_ms_per_attempt: float | None
    command_to_wire_ms_p95: float | None
    loop_lag_ms_p99: float
    rss_mb: float


def write_sound(folder: Path, name: str, seconds: float) -> Path:
    """Write speech as SIPp streams it: bare mu-law."""
    path = folder / f"{name}.pcmu"
    soundfile.write(path, long_speech(seconds), 8000, format="RAW", subtype="ULAW")
    return path


def hold(mode: str, calls: int, seconds: float, folder: Path) -> Result:
    """Hold calls and look at them for so long."""
    pairs = mode == "pairs"
    ramp_s = calls / RAMP_PER_S
    if not pairs and seconds > (longest_s := PROMPT_S - 2 * ramp_s - 2 * SETTLE_S):
        raise SystemExit(
            f"--seconds {seconds:g}: the message that holds {calls} calls is over after {longest_s:g} s"
        )
    # Where nobody else listens to what a call hears, its own message comes back: a packet lost on either way is missed.
    speech = write_sound(folder, "speech", ramp_s * 2 + seconds + 60)
    answer = Answer(echo=True) if mode == "receive" else Answer(speech)
    agents = calls if pairs else -(-calls // AGENTS_PER_CALL)
    # Without agents the calls ring until the last of them has been placed: an answer must find nobody.
    ring_ms = 500 if pairs else int(1000 * (3 * ramp_s + 15))
    with FullSize(
        customers=(Ring(ring_ms), answer, Stay(FOREVER_MS)),
        agents=agents,
        softphones=(answer, Stay(FOREVER_MS)),
        lines=calls,
        calls_per_second=RAMP_PER_S,
        carriers=-(-calls // CALLS_PER_SIPP),
        campaign={
            "detection": "monitor" if mode == "analysis" else "off",
            "pacing": "progressive" if pairs else "ratio",
            "ratio": AGENTS_PER_CALL,
            "ring_limit_s": max(20, ring_ms // 1000 + 30),
        },
    ) as floor:
        floor.import_leads(calls + calls // 5 + 1)  # some may fail on a busy machine; others take their place
        floor.start()
        floor.wait(lambda campaign: in_flight(campaign) >= calls, 2 * ramp_s + 30, "every call placed")
        if not pairs:
            floor.log_out()
        state = "talking" if pairs else "waiting"
        floor.wait(lambda campaign: not campaign["dialing"], ring_ms / 1000 + ramp_s + 30, "every call up")
        time.sleep(min(SETTLE_S, seconds))
        found = observe(floor, seconds, lambda: floor.dialer.campaign()[state])
        held = min(found.held_first, found.held)
        if held < HELD_SHARE * found.held_first:
            raise SystemExit(
                f"not what was to be measured: {found.held_first} calls at the beginning, {found.held} at the end"
            )
        minutes = (found.after.at_ns - found.before.at_ns) / 60e9
        figures = found.common()
        found.end()
        return Result(
            mode=mode,
            calls_held=held,
            verdicts=len(floor.dialer.events("attempt.verdict_given")),
            cpu_s_per_call_minute=round(found.cpu_s() / minutes / held, 4) if held else None,
            cpu_ms_per_attempt=None,
            command_to_wire_ms_p95=command_to_wire_p95(floor),
            **figures,
        )


def in_flight(campaign: Mapping[str, Any]) -> int:
    """Attempts that are alive."""
    return sum(campaign[state] for state in ("dialing", "listening", "waiting", "talking"))


def attempt(mode: str, rate_hz: int, seconds: float, folder: Path) -> Result:
    """Place answered attempts at a rate and look at them for so long."""
    sound = write_sound(folder, "speech", 900.0)
    settle_s = min(SETTLE_S, seconds)
    leads = int(rate_hz * (settle_s + seconds + settle_s))
    with FullSize(
        customers=(Ring(ATTEMPT_RING_MS), Answer(sound), Stay(ATTEMPT_TALK_MS)),
        agents=1 + int(rate_hz * (ATTEMPT_RING_MS + ATTEMPT_TALK_MS) / 1000 / AGENTS_PER_CALL * 1.3),
        softphones=(Answer(echo=True), Stay(FOREVER_MS)),
        lines=max(20, 3 * rate_hz),
        calls_per_second=rate_hz,
        campaign={"detection": "fast", "pacing": "ratio", "ratio": AGENTS_PER_CALL},
    ) as floor:
        floor.import_leads(leads)
        floor.start()
        floor.wait(lambda campaign: campaign["attempts"] > 0, 30, "the first attempt")
        time.sleep(settle_s)
        found = observe(floor, seconds, lambda: sum(floor.dialer.campaign()["outcomes"].values()))
        attempts = found.held - found.held_first
        floor.wait(lambda campaign: sum(campaign["outcomes"].values()) >= leads, 60, "the list's end")
        figures = found.common()
        found.end()
        outcomes = Counter(row.outcome for row in floor.dialer.attempts())
        if outcomes["caller_hung_up"] < 0.99 * leads:
            raise SystemExit(f"not what was to be measured: {dict(outcomes)}")
        return Result(
            mode=mode,
            calls_held=attempts,
            verdicts=len(floor.dialer.events("attempt.verdict_given")),
            cpu_s_per_call_minute=None,
            cpu_ms_per_attempt=round(1000 * found.cpu_s() / attempts, 2) if attempts else None,
            command_to_wire_ms_p95=command_to_wire_p95(floor),
            **{**figures, "tx_pps_per_call": None, "rx_pps_per_call": None},
        )


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen in the steady stretch, and, of loss, until the end of the calls."""

    floor: FullSize
    held_first: int
    held: int
    before: Usage
    after: Usage
    packets: Packets
    lag_ms: float
    media: tuple[Mapping[str, int], Mapping[str, int]]

    def cpu_s(self) -> float:
        """CPU seconds of all processes together."""
        return sum(self.after.since(self.before).values()) / 1e9

    def pps(self, *, ours: bool) -> float | None:
        """Packets a second that a sampled leg got from us, or we from it."""
        rows = self.packets.rows
        port = rows["source" if ours else "target"]
        inside = (port >= MEDIA_PORTS[0]) & (port <= MEDIA_PORTS[1])
        legs = len(np.unique(port[inside]))
        seconds = (self.after.at_ns - self.before.at_ns) / 1e9
        return round(float(inside.sum()) / legs / seconds, 2) if legs else None

    def losses(self) -> dict[str, int]:
        """Return what was lost: over all legs as the media plane counts, and on the wire of a sample."""
        return {
            "rtp_lost": self.media[1]["rx_lost"] - self.media[0]["rx_lost"] + self.packets.lost(),
            "kernel_drops": self.media[1]["rx_overrun"] - self.media[0]["rx_overrun"],
        }

    def end(self) -> None:
        """End every call and stop the dialer; tell of the legs' whole lives."""
        self.floor.end_calls()
        self.floor.close_dialer()
        legs = self.floor.dialer.legs("customer") + self.floor.dialer.legs("agent")
        totals = [leg.statistics for leg in legs if leg.statistics]
        worst_ms = max((one["jitter_ms"] for one in totals), default=0)
        missing = sum(one["rx_lost"] for one in totals)
        say(
            f"  {len(totals)} of {len(legs)} legs told their statistics; {missing} packets missing from begin to end, worst jitter {worst_ms:.1f} ms"
        )

    def common(self) -> dict[str, Any]:
        """The figures that every mode takes alike."""
        return {
            "seconds": round((self.after.at_ns - self.before.at_ns) / 1e9, 1),
            **self.losses(),
            "tx_pps_per_call": self.pps(ours=True),
            "rx_pps_per_call": self.pps(ours=False),
            "loop_lag_ms_p99": self.lag_ms,
            "rss_mb": round(self.after.pss_mb, 1),
        }


def observe(floor: FullSize, seconds: float, held: Callable[[], int]) -> Observation:
    """Look at a running dialer for so long, then stop it and read what it knows of its legs."""
    with Capture(floor.folder / "wire.pcap", MEDIA_PORTS, one_in=SAMPLED) as capture:
        before, first = floor.usage(), Datagrams.read()
        deadline = time.monotonic() + seconds
        begun_with = held()
        media_before = media = floor.dialer.status()["media"]
        lag_ms = 0.0
        while (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, 5.0))
            status = floor.dialer.status()
            media = status["media"]
            say(
                f"  {media['legs']} legs, {media['listening']} listened to, {media['bridged_pairs']} pairs; "
                f"worst tick {media['tick_lag_ms']:.1f} ms late; {media['rx_lost']} packets missing, {media['rx_overrun']} overrun, "
                f"{media['tx_failed']} not sent"
            )
            lag_ms = max(lag_ms, status["loop_lag_ms_p99"])
        after, last = floor.usage(), Datagrams.read()
        count = held()
        time.sleep(CAPTURE_LAG_S)
        packets = capture.read().between(before.at_ns, after.at_ns)
    used = after.since(before)
    span_s = (after.at_ns - before.at_ns) / 1e9
    say(
        f"  {after.processes} processes; of a core: "
        + ", ".join(f"{kind} {ns / span_s / 1e9:.3f}" for kind, ns in used.most_common())
    )
    say("  MB: " + ", ".join(f"{kind} {kb / 1000:.0f}" for kind, kb in after.pss_kb.most_common()))
    say(
        f"  UDP a second: {(last.sent - first.sent) / span_s:.0f} sent, {(last.received - first.received) / span_s:.0f} received"
    )
    say(
        f"  load average {os.getloadavg()[0]:.1f}; far ends' drops {last.far_drops - first.far_drops}, ours {last.our_drops - first.our_drops}"
    )
    return Observation(floor, begun_with, count, before, after, packets, lag_ms, (media_before, media))


def command_to_wire_p95(floor: FullSize) -> float | None:
    """From the engine's command to the INVITE on the wire, over every attempt."""
    told = [event.data.get("command_to_wire_ms") for event in floor.dialer.events("attempt.sent")]
    known = [value for value in told if value is not None]
    return round(float(np.percentile(known, 95)), 2) if known else None


def say(line: str) -> None:
    """Tell what is no figure of the result."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def measure(mode: str, calls: int, seconds: float) -> Result:
    """Run one mode."""
    import tempfile  # noqa: PLC0415 - one use

    with tempfile.TemporaryDirectory(prefix="mb-") as folder:
        if mode.startswith("attempts"):
            return attempt(mode, int(mode.removeprefix("attempts")), seconds, Path(folder))
        return hold(mode, calls or (300 if mode == "pairs" else 600), seconds, Path(folder))


def main() -> None:
    """Print a line for each mode."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument(
        "--mode", choices=MODES, action="append", help="may be given more than once; default: all"
    )
    parser.add_argument(
        "--calls",
        type=int,
        default=0,
        help="default: 600 held, 300 pairs, as many attempts as the time needs",
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="of the steady stretch that is measured")
    options = parser.parse_args()
    for mode in options.mode or MODES:
        say(f"{mode}:")
        result: Mapping[str, Any] = asdict(measure(mode, options.calls, options.seconds))
        if options.json:
            print(json.dumps(result), flush=True)
        else:
            print("  ".join(f"{key} {value}" for key, value in result.items()), flush=True)


if __name__ == "__main__":
    main()
