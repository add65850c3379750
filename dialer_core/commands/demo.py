"""`dialer demo`: the whole dialer against a simulated carrier, live, then compared with what happened.

It owns the screen and the order of things. The world is `demo/world.py`'s, the judgement `demo/report.py`'s
and `demo/sound.py`'s.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from dialer_core.commands.api_client import ApiClient
from dialer_core.commands.invocation import Invocation, example, make_table, printing
from dialer_core.commands.status_view import agent_rows
from dialer_core.compliance.packs import load_packs
from dialer_core.demo import report, sound
from dialer_core.demo.world import READY_LIMIT_S, World, world
from dialer_core.errors import CommandRefusedError, NotRunningError, StartError
from dialer_core.log_setup import configure_logging
from dialer_core.sim.log_reader import load_log, pair_calls
from dialer_core.store import events as event_rows
from dialer_core.store import scan
from dialer_core.store.database import open_database
from dialer_core.verify import verify_store
from dialer_core.vocabulary import LIVE_VERDICTS, AgentState

LOOK_EVERY_S = 0.25
SAY_EVERY_S = 5.0
"""Where the output is no terminal, a line this often."""
AGENT_NOTICES_S = 1.0
"""An agent who hears a machine needs so long to hang up."""
NOBODY_THERE_S = 7.0
"""Longer than any person of the demonstration talks: the agent has a machine, and hangs up."""
QUIET_S = 1.5
"""The campaign is over when its list is finished and nothing has been alive for so long."""
LONGEST_LISTED = 10


class DemoReport(msgspec.Struct, frozen=True, kw_only=True):
    """The object that `--json` prints last."""

    attempts: int
    answered: int
    live_answers: int
    bridged: int
    abandoned: int
    machine: int
    verdict_errors: int
    outcome_mismatches: int
    audio_ok: bool
    verdict_to_bridge_ms: report.Spread
    hello_to_agent_ms: report.Spread
    seconds: float
    """From the first INVITE to the last end of a call."""
    people_lost: int
    outcomes: dict[str, int]
    verdicts: dict[str, dict[str, int]]
    mismatches: list[str]
    audio: sound.SoundReport
    violations: list[str]
    promises: list[report.Promise]
    ok: bool


@click.command(epilog=example("dialer demo", "dialer demo --json --keep /tmp/demo"))
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    metavar="DIR",
    help="Write everything here and leave it: configuration, store, logs, recordings. The folder must be empty.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(5, 3600),
    default=240.0,
    show_default=True,
    help="Stop dialing after so long at most.",
)
@printing
def demo(call: Invocation, *, keep: Path | None, seconds: float) -> int:
    """Dial 200 packaged leads against a simulated carrier and five softphones, and prove what happened.

    Real SIP and RTP on this machine; nobody is called. A live table for about a minute, then a summary that
    compares every verdict and outcome with what the carrier really did. Ends with status 1 if anything
    promised did not happen.
    """
    configure_logging(level="error", log_format="console", process="demo")
    with _folder(keep) as folder, world(folder) as made:
        screen = _Screen(call)
        screen.say(f"Preparing in {folder}: configuration, store, 200 leads")
        made.prepare()
        made.start_simulator()
        made.start_dialer()
        try:
            with contextlib.closing(_client(made)) as client:
                _watch(made, client, screen, seconds)
        except KeyboardInterrupt:
            screen.say("Stopping: calls are ended, then everything is")
            made.close()
            raise
        screen.say("Draining, then comparing with the carrier's log and recordings")
        status = made.drain()
        made.stop_simulator()
        result = _judge(made, status)
        _show(call, result, made.folder if keep else None)
        call.give(result)
        return 0 if result.ok else 1


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Give a folder: the one named, or one that is gone afterwards."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="marcador-demo-") as temporary:
            yield Path(temporary)
        return
    keep.mkdir(parents=True, exist_ok=True)
    if any(keep.iterdir()):
        raise StartError(f"--keep: {keep} is not empty; name another folder")
    yield keep.resolve()


def _client(made: World) -> ApiClient:
    """Return a client once the dialer answers.

    Raises
    ------
    StartError
        It ended, or did not answer in time.
    """
    deadline = time.monotonic() + READY_LIMIT_S
    error: Exception | None = None
    while time.monotonic() < deadline and not made.dialer_ended():
        try:
            client = ApiClient(made.settings)
            client.get("/status")
        except NotRunningError as away:
            error = away
            time.sleep(0.1)
        else:
            return client
    tail = made.dialer_log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] or [
        str(error)
    ]
    raise StartError(f"the dialer did not start: {tail[0]}")


class _Screen:
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
            yield lambda status, elapsed_s: live.update(_picture(status, elapsed_s), refresh=True)

    def _line(self, status: Mapping[str, Any], elapsed_s: float) -> None:
        if elapsed_s - self._said_at < SAY_EVERY_S:
            return
        self._said_at = elapsed_s
        c = status["campaigns"][0]
        self.say(
            f"{elapsed_s:5.0f} s  attempts {c['attempts']}  ringing {c['dialing']}  under analysis {c['listening']}"
            f"  waiting {c['waiting']}  talking {c['talking']}  abandoned {c['abandoned']}"
        )


def _picture(status: Mapping[str, Any], elapsed_s: float) -> RenderableType:
    c = status["campaigns"][0]
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
        Text(f"{elapsed_s:.0f} s   {c['last_decision']}", style="dim"),
        counts,
        make_table(*agent_rows(status["agents"])),
        Text(outcomes, style="dim"),
    )


class _Agents:
    """What the softphones cannot do: people at them who hang up when they have been given a machine."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._cursor = ""
        self._hang_up_at: dict[str, float] = {}

    def look(self, status: Mapping[str, Any]) -> None:
        """Hang up on machines: those the detector has found out by now, and those that nobody talks at."""
        page = self._client.get("/events", cursor=self._cursor, names="attempt.verdict_revised", limit=1000)
        self._cursor = page["cursor"]
        now = time.monotonic()
        for event in page["events"]:
            if event["data"]["label"] not in LIVE_VERDICTS:
                self._hang_up_at[event["attempt_id"]] = now + AGENT_NOTICES_S
        for agent in status["agents"]:
            if agent["state"] == AgentState.TALKING and agent["seconds_in_state"] > NOBODY_THERE_S:
                self._hang_up_at[agent["attempt_id"]] = now
        for attempt in [attempt for attempt, at in self._hang_up_at.items() if at <= now]:
            del self._hang_up_at[attempt]
            with contextlib.suppress(CommandRefusedError):  # over meanwhile
                self._client.post(f"/calls/{attempt}/hangup")


def _watch(made: World, client: ApiClient, screen: _Screen, limit_s: float) -> None:
    """Show the campaign until its list is finished, or the time is over."""
    started = time.monotonic()
    quiet_since: float | None = None
    agents = _Agents(client)
    with screen.live() as show:
        while (elapsed_s := time.monotonic() - started) < limit_s:
            if made.dialer_ended():
                raise StartError(f"the dialer ended in mid-campaign; see {made.dialer_log}")
            try:
                status = client.get("/status")
            except NotRunningError:  # restarting: the supervisor sees to it
                time.sleep(LOOK_EVERY_S)
                continue
            show(status, elapsed_s)
            agents.look(status)
            c = status["campaigns"][0]
            alive = c["dialing"] + c["listening"] + c["waiting"] + c["talking"]
            if c["state"] == "finished" and not alive:
                quiet_since = quiet_since or time.monotonic()
                if time.monotonic() - quiet_since >= QUIET_S:
                    return
            else:
                quiet_since = None
            time.sleep(LOOK_EVERY_S)
    screen.say(f"Time is over after {limit_s:g} s, before the list was")


def _judge(made: World, exit_status: int) -> DemoReport:
    """Compare the store with the simulator's log and recordings."""
    settings = made.settings
    log = load_log(made.sim_log)
    ports = {str(name): int(agent.sip.rpartition(":")[2]) for name, agent in settings.agents.items()}
    database = open_database(settings.store_url, node=settings.dialer.node.name)
    try:
        with database.read() as tx:
            rows = list(scan.rows(tx, "attempt"))
            stored = event_rows.tail(
                tx, {}, ("attempt.bridged", "attempt.unbridged", "attempt.ended"), 100_000
            )
        verified = verify_store(
            database,
            packs=load_packs(settings.directory / "compliance"),
            trunks={str(name): trunk for name, trunk in settings.trunks.items()},
            carrier_log=made.sim_log,
            logs=(made.dialer_log,),
        )
    finally:
        database.dispose()
    bridges = report.bridges_of(stored)
    compared = report.compare(rows, bridges, log, ports, pair_calls(log))
    heard = sound.judge_sound(rows, bridges, log, ports)
    promised = report.promises(
        compared,
        audio_ok=heard.ok,
        audio_seen=heard.seen(),
        violations=len(verified.violations),
        exit_status=exit_status,
    )
    sent = [row.sent_mono_ns for row in rows if row.sent_mono_ns is not None]
    ended = [row.ended_mono_ns for row in rows if row.ended_mono_ns is not None]
    return DemoReport(
        **{name: getattr(compared, name) for name in report.Comparison.__struct_fields__},
        audio_ok=heard.ok,
        audio=heard,
        seconds=round((max(ended) - min(sent)) / 1e9, 1) if sent and ended else 0.0,
        violations=[str(violation) for violation in verified.violations],
        promises=promised,
        ok=all(promise.kept for promise in promised),
    )


def _span(value: report.Spread) -> str:
    return (
        "-"
        if value.p50 is None
        else f"{value.p50:g} ms in the median, {value.p95:g} ms at the 95th percentile"
    )


def _show(call: Invocation, result: DemoReport, kept: Path | None) -> None:
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
        call.say(
            f"Everything is in {kept}: try 'dialer status --config {kept / 'config'}' after 'dialer run', or 'dialer verify'."
        )
