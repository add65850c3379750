"""What `dialer demo` shows: the live table while it runs, and the summary at the end.

It owns words and columns. It asks nobody anything.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from dialer_core.commands.invocation import Invocation, make_table
from dialer_core.commands.status_view import agent_rows
from dialer_core.demo import report
from dialer_core.demo.judgement import DemoReport
from dialer_core.demo.world import CAMPAIGN

SAY_EVERY_S = 5.0
"""Where the output is no terminal, a line this often."""
LONGEST_LISTED = 10


class Screen:
    """What people see while it runs.

    A live table on a terminal, a line now and then elsewhere; on the standard error with `--json`.
    """

    def __init__(self, call: Invocation) -> None:
        stream = sys.stderr if call.as_json else sys.stdout
        self.console = Console(file=stream, highlight=False, width=None if stream.isatty() else 120)
        self._said_at = 0.0

    def say(self, sentence: str) -> None:
        """Print a sentence."""
        self.console.print(sentence)

    @contextlib.contextmanager
    def live(self) -> Iterator[Callable[[Mapping[str, Any], float], None]]:
        """Give a function that shows the status now."""
        if not self.console.is_terminal:
            yield self._line
            return
        with Live(console=self.console, auto_refresh=False, transient=True) as live:
            yield lambda status, elapsed_s: live.update(picture(status, elapsed_s), refresh=True)

    def _line(self, status: Mapping[str, Any], elapsed_s: float) -> None:
        if elapsed_s - self._said_at < SAY_EVERY_S:
            return
        self._said_at = elapsed_s
        c = totals(status)
        self.say(
            f"{elapsed_s:5.0f} s  attempts {c['attempts']}  ringing {c['dialing']}  under analysis {c['listening']}"
            f"  waiting {c['waiting']}  talking {c['talking']}  abandoned {c['abandoned']}"
        )


def totals(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return the counts of all campaigns together."""
    counted: dict[str, Any] = {
        name: sum(c[name] for c in status["campaigns"])
        for name in ("attempts", "dialing", "listening", "waiting", "talking", "live_answers", "abandoned")
    }
    outcomes: Counter[str] = Counter()
    for c in status["campaigns"]:
        outcomes.update(c["outcomes"])
    return counted | {"outcomes": outcomes}


def _decision(status: Mapping[str, Any]) -> str:
    """Return what was last decided of the campaign that agents dial."""
    return next((str(c["last_decision"]) for c in status["campaigns"] if c["id"] == CAMPAIGN), "")


def picture(status: Mapping[str, Any], elapsed_s: float) -> RenderableType:
    """Return the live table: totals, agents, outcomes so far."""
    c = totals(status)
    counts = make_table(
        ("attempts", "ringing", "under analysis", "waiting", "talking", "live answers", "abandoned"),
        [
            [
                c["attempts"],
                c["dialing"],
                c["listening"],
                c["waiting"],
                c["talking"],
                c["live_answers"],
                c["abandoned"],
            ]
        ],
    )
    outcomes = ", ".join(
        f"{name} {count}" for name, count in sorted(c["outcomes"].items(), key=lambda item: -item[1])
    )
    return Group(
        Text(f"{elapsed_s:.0f} s   {_decision(status)}", style="dim"),
        counts,
        make_table(*agent_rows(status["agents"])),
        Text(outcomes, style="dim"),
    )


def _span(value: report.Spread) -> str:
    return (
        "-"
        if value.p50 is None
        else f"{value.p50:g} ms in the median, {value.p95:g} ms at the 95th percentile"
    )


def show_summary(call: Invocation, result: DemoReport, kept: Path | None) -> None:
    """Print the summary for people."""
    call.say(
        f"{result.attempts} attempts in {result.seconds:g} s: {result.answered} answered, {result.live_answers} taken for people,"
    )
    call.say(
        f"{result.bridged} bridged to an agent, {result.abandoned} abandoned, {result.machine} machines."
    )
    call.say("")
    call.table(("outcome", "attempts"), list(result.outcomes.items()))
    call.say("What was there, and what the detector said of it:")
    heard = sorted({label for counted in result.verdicts.values() for label in counted})
    call.table(
        ("really", *heard),
        [[true, *(counted.get(label, 0) for label in heard)] for true, counted in result.verdicts.items()],
    )
    call.say(
        f"Verdict errors: {result.verdict_errors} ({result.people_lost} people taken for something else)"
    )
    call.say(f"From the verdict to the bridge: {_span(result.verdict_to_bridge_ms)}")
    call.say(f"From the end of the hello to the agent's voice: {_span(result.hello_to_agent_ms)}")
    call.say("")
    for promise in result.promises:
        call.say(f"{'kept  ' if promise.kept else 'BROKEN'}  {promise.text} ({promise.seen})")
    for what in (*result.mismatches, *result.audio.failures, *result.violations)[:LONGEST_LISTED]:
        call.say(f"        {what}")
    if kept is not None:
        config = kept / "config"
        call.say(
            f"Everything is in {kept}; look with 'dialer events --config {config}' or 'dialer verify --config {config}'."
        )
