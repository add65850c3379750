"""`dialer demo`: the whole dialer against a simulated carrier, live, then compared with what happened.

It owns the order of things, and the people at the softphones. The world is `demo/world.py`'s, the judgement
`demo/report.py`'s and `demo/sound.py`'s.
"""

from __future__ import annotations

import contextlib
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from dialer_core.commands.api_client import ApiClient
from dialer_core.commands.demo_screen import Screen, show_summary
from dialer_core.commands.invocation import Invocation, example, printing
from dialer_core.demo.broadcast import Exported
from dialer_core.demo.judgement import judge
from dialer_core.demo.world import EXTENSION, READY_LIMIT_S, World, world
from dialer_core.errors import CommandRefusedError, NotRunningError, StartError
from dialer_core.log_setup import configure_logging
from dialer_core.vocabulary import LIVE_VERDICTS, AgentState, TalkState

LOOK_EVERY_S = 0.25
AGENT_NOTICES_S = 1.0
"""An agent who hears a machine needs so long to hang up."""
NOBODY_THERE_S = 7.0
"""Longer than any person of the demonstration talks: the agent has a machine, and hangs up."""
LONGER_TALK_S = 22.0
"""With screens to look at, people talk so much longer."""
HANDS_ON = "fernanda"
SPEAKS_FIRST_S = 1.5
CONSULTS_S = 1.0
STORED_LIMIT_S = 15.0
"""A recording is sealed and in the store so long after its conversation at most."""
QUIET_S = 1.5
"""The campaign is over when its list is finished and nothing has been alive for so long."""


@click.command(epilog=example("dialer demo", "dialer demo --web", "dialer demo --json --keep /tmp/demo"))
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
    default=None,
    help="Stop dialing after so long at most: by default 240, with --web an hour.",
)
@click.option(
    "--web",
    is_flag=True,
    help="Serve the supervisor's and the agent's screens, and go on until Ctrl-C: conversations are longer, and one agent is you.",
)
@printing
def demo(call: Invocation, *, keep: Path | None, seconds: float | None, web: bool) -> int:
    """Dial 200 packaged leads against a simulated carrier and softphones, and prove what happened.

    Real SIP and RTP on this machine; nobody is called. Beside the campaign a broadcast: its people press keys, one
    is handed on, and what is recorded is played back. A live table for nearly two minutes, then a summary that
    compares every verdict and outcome with what the carrier really did. Ends with status 1 if anything
    promised did not happen.
    """
    configure_logging(level="error", log_format="console", process="demo")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what was started is ended
    with _folder(keep) as folder, world(folder, web=web) as made:
        screen = Screen(call)
        screen.say(f"Preparing in {folder}: configuration, store, 200 leads and a broadcast to four")
        made.prepare()
        made.start_simulator()
        made.start_dialer()
        try:
            with contextlib.closing(_client(made)) as client:
                if web:
                    _invite(made, screen)
                _watch(made, client, screen, seconds or (3600.0 if web else 240.0))
                exported = _export(client, folder)
        except KeyboardInterrupt:
            screen.say("Stopping: calls are ended, then everything is")
            made.close()
            raise
        if web:
            made.close()
            return 0
        screen.say("Draining, then comparing with the carrier's log and recordings")
        status = made.drain()
        made.stop_simulator()
        result = judge(made, status, exported)
        show_summary(call, result, made.folder if keep else None)
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


class _Agents:
    """What the softphones cannot do: people at them who hang up when they have been given a machine."""

    def __init__(self, client: ApiClient, nobody_there_s: float) -> None:
        self._client = client
        self._nobody_there_s = nobody_there_s
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
            if agent["state"] == AgentState.TALKING and agent["seconds_in_state"] > self._nobody_there_s:
                self._hang_up_at[agent["attempt_id"]] = now
        for attempt in [attempt for attempt, at in self._hang_up_at.items() if at <= now]:
            del self._hang_up_at[attempt]
            with contextlib.suppress(CommandRefusedError):  # over meanwhile
                self._client.post(f"/calls/{attempt}/hangup")


class _Fernanda:
    """She takes those of the broadcast who ask for somebody, and hands the first of them on, once she has asked the extension."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._consults_since: float | None = None
        self._handed_on = False

    def look(self, status: Mapping[str, Any]) -> None:
        """Do what is next."""
        her = next(agent for agent in status["agents"] if agent["id"] == HANDS_ON)
        if self._handed_on or her["state"] != AgentState.TALKING:
            self._consults_since = None
            return
        now = time.monotonic()
        with contextlib.suppress(CommandRefusedError):  # over meanwhile
            if her["talk"] == TalkState.TOGETHER and her["seconds_in_state"] >= SPEAKS_FIRST_S:
                self._client.post(f"/agents/{HANDS_ON}/consult", {"to_extension": EXTENSION})
            elif her["talk"] == TalkState.CONSULTING:
                self._consults_since = self._consults_since or now
                if now - self._consults_since >= CONSULTS_S:
                    self._client.post(f"/agents/{HANDS_ON}/transfer")
                    self._handed_on = True


def _export(client: ApiClient, folder: Path) -> list[Exported]:
    """Write every recording's sound to a file, as `dialer recordings export` does, once all of them are stored."""
    deadline = time.monotonic() + STORED_LIMIT_S
    while True:
        found = client.get("/recordings")
        if all(one["state"] != "recording" and one["state"] != "spooled" for one in found):
            break
        if time.monotonic() > deadline:
            break
        time.sleep(LOOK_EVERY_S)
    place = folder / "exported"
    place.mkdir(exist_ok=True)
    exported = []
    for one in found:
        if one["state"] == "stored":
            file = place / f"{one['id']}.{one['container']}"
            file.write_bytes(client.bytes_of(f"/recordings/{one['id']}/sound"))
            exported.append(Exported(one["attempt_id"], file))
    return exported


def _invite(made: World, screen: Screen) -> None:
    """Say where the screens are, and who may look."""
    address = f"http://127.0.0.1:{made.ports.http}"
    screen.say(f"Supervisor's status page: {address}/status   user maria, password {made.password}")
    screen.say(f"Ana's desk:               {address}/desk     user ana, password {made.password}")
    screen.say("Each in a browser of its own, or a private window. Ctrl-C ends it.")


def _watch(made: World, client: ApiClient, screen: Screen, limit_s: float) -> None:
    """Show the campaign until its list is finished, or the time is over."""
    started = time.monotonic()
    quiet_since: float | None = None
    agents = _Agents(client, NOBODY_THERE_S + (LONGER_TALK_S if made.web else 0))
    fernanda = _Fernanda(client)
    with screen.live() as show:
        while (elapsed_s := time.monotonic() - started) < limit_s:
            if made.dialer_ended():
                raise StartError(f"the dialer ended in mid-campaign; see {made.dialer_log}")
            try:
                status = client.get("/status")
                agents.look(status)
                fernanda.look(status)
            except NotRunningError:  # restarting: the supervisor sees to it
                time.sleep(LOOK_EVERY_S)
                continue
            show(status, elapsed_s)
            campaigns = status["campaigns"]
            alive = sum(c["dialing"] + c["listening"] + c["waiting"] + c["talking"] for c in campaigns)
            if all(c["state"] == "finished" for c in campaigns) and not alive and not made.web:
                quiet_since = quiet_since or time.monotonic()
                if time.monotonic() - quiet_since >= QUIET_S:
                    return
            else:
                quiet_since = None
            time.sleep(LOOK_EVERY_S)
    screen.say(f"Time is over after {limit_s:g} s, before the list was")
