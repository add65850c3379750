"""The command line and the API on a real dialer: engine, workers, media plane and host against the simulated carrier."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner, Result

from dialer_core.commands.cli import main
from dialer_core.demo.world import CAMPAIGN, World, world
from dialer_core.http.tokens import read_token
from dialer_core.store.database import open_database
from dialer_core.verify import verify_store
from tests.polling import wait_until

pytestmark = [pytest.mark.sip, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The demonstration's world, dialing; drained at the end, and then verified."""
    folder = tmp_path_factory.mktemp("running")
    with world(folder) as made:
        made.prepare()
        made.start_simulator()
        made.start_dialer()
        wait_until(lambda: made.dialer_ended() or _dialing(made), 60, "the first attempts")
        assert not made.dialer_ended(), made.dialer_log.read_text()
        yield made
        assert made.drain() == 0
        assert not made.settings.run_dir.exists()  # the default one, in the folder of temporary files
        made.stop_simulator()
        database = open_database(made.settings.store_url)
        report = verify_store(database, carrier_log=made.sim_log, logs=(made.dialer_log,))
        database.dispose()
        assert [str(violation) for violation in report.violations] == []


def _dialing(made: World) -> bool:
    result = invoke(made, "status", "--json")
    return result.exit_code == 0 and _demo(json.loads(result.stdout)["campaigns"])["attempts"] > 3


def _demo(campaigns: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the campaign that agents dial, beside which is the broadcast."""
    return next(campaign for campaign in campaigns if campaign["id"] == CAMPAIGN)


def invoke(made: World, *arguments: str) -> Result:
    """Run a command line against this world."""
    return CliRunner().invoke(main, [*arguments, "--config", str(made.config)])


def answer(made: World, *arguments: str) -> Any:
    """Run a command line that must work; return its JSON."""
    result = invoke(made, *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def agent(made: World, name: str) -> dict[str, Any]:
    """Return one agent now."""
    return next(view for view in answer(made, "agent", "list") if view["id"] == name)


def test_status_shows_the_whole_node(running: World) -> None:
    """Campaigns, agents, trunks and workers are there, in JSON and as tables."""
    status = answer(running, "status")
    assert len(status["agents"]) == 6
    assert status["trunks"][0]["state"] == "up"
    assert all(worker["attached"] for worker in status["workers"])
    shown = invoke(running, "status").stdout
    for word in ("demo", "carrier", "ana", "line workers"):
        assert word in shown


def test_an_agents_day(running: World) -> None:
    """Pause, ready and log-out do what they say; what makes no sense is refused in a line with status 1."""
    wait_until(lambda: agent(running, "elena")["leg_up"], 20, "elena's softphone")
    answer(running, "agent", "pause", "elena", "--reason", "lunch")
    wait_until(lambda: agent(running, "elena")["state"] == "paused", 20, "elena's pause")
    assert agent(running, "elena")["reason"] == "lunch"
    answer(running, "agent", "ready", "elena")
    wait_until(lambda: agent(running, "elena")["state"] != "paused", 20, "elena's return")
    answer(running, "agent", "logout", "elena")
    wait_until(lambda: agent(running, "elena")["state"] == "logged_out", 20, "elena's log-out")
    refused = invoke(running, "agent", "ready", "elena")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("error: ")
    assert refused.stderr.count("\n") == 1
    unknown = invoke(running, "agent", "login", "nobody")
    assert unknown.exit_code == 1
    assert "known are: ana" in unknown.stderr
    answer(running, "agent", "login", "elena")
    wait_until(lambda: agent(running, "elena")["leg_up"], 20, "elena's softphone again")


def test_a_disposition_is_kept(running: World) -> None:
    """What an agent says of a conversation is an event of that attempt."""
    wait_until(lambda: agent(running, "ana")["conversations"] > 0, 60, "ana's first conversation")
    said = answer(running, "agent", "dispose", "ana", "promise")
    events = invoke(running, "events", "--name", "attempt.dispositioned", "--json").stdout.splitlines()
    assert json.loads(events[-1])["attempt_id"] == said["attempt"]
    assert json.loads(events[-1])["data"]["disposition"] == "promise"


def test_a_campaign_pauses_and_starts(running: World) -> None:
    """A paused campaign places nothing; started again it dials on."""
    answer(running, "campaign", "pause", "demo", "--reason", "test")
    view = _demo(answer(running, "campaign", "list"))
    assert (view["state"], view["reason"]) == ("paused", "test")
    wait_until(
        lambda: _demo(answer(running, "campaign", "list"))["dialing"] == 0, 30, "nothing ringing any more"
    )
    before = _demo(answer(running, "campaign", "list"))["attempts"]
    again = invoke(running, "campaign", "pause", "demo")
    assert again.exit_code == 1
    assert _demo(answer(running, "campaign", "list"))["attempts"] == before
    answer(running, "campaign", "start", "demo")
    wait_until(lambda: _demo(answer(running, "campaign", "list"))["attempts"] > before, 30, "new attempts")


def test_the_metrics_are_those_of_the_run(running: World) -> None:
    """The plugin counts what the event log holds, and shows the agents of the engine."""
    states = {plugin["name"]: plugin["state"] for plugin in answer(running, "plugins")}
    assert [name for name, state in states.items() if state == "running"] == ["metrics"]
    headers = {"Authorization": f"Bearer {read_token(running.settings.token_file)}"}
    with httpx2.Client(
        base_url=f"http://127.0.0.1:{running.ports.http}", headers=headers, trust_env=False
    ) as client:
        wait_until(
            lambda: 'marcador_bridged_total{campaign="demo"}' in client.get("/metrics").text, 30, "a bridge"
        )
        text = client.get("/metrics").text
    assert "marcador_engine_up 1.0" in text
    assert 'marcador_trunk_up{trunk="carrier"} 1.0' in text


def test_doctor_sees_that_it_runs(running: World) -> None:
    """On a running dialer the doctor finds nothing to settle: its own ports are no conflict."""
    result = invoke(running, "doctor", "--json")
    failed = [finding for finding in json.loads(result.stdout) if finding["grade"] == "fail"]
    assert failed == []
    assert result.exit_code == 0
