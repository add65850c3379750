"""Agents with real softphones: lost legs, commands, wrap-up, and people for whom nobody is free."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import numpy as np
import pytest

from dialer_core.sim.audio_check import tone_levels_dbfs
from tests.e2e.desk import PERSON_HZ, Desk, open_desk
from tests.e2e.scenario import Answer, Ring, Stay
from tests.e2e.sounds import ALL_HZ, Sounds
from tests.e2e.wire import capture, requires_capture
from tests.skips import requires_program

pytestmark = [pytest.mark.sip, requires_program("sipp"), requires_program("baresip")]

SHORT, LEAVES = 2, 3
"""Suffixes of people who talk for a second; who wait for a few seconds and leave."""


@pytest.fixture(scope="module")
def shared_desk(tmp_path_factory: pytest.TempPathFactory, sounds: Sounds) -> Iterator[Desk]:
    """Yield the floor of this module."""
    others = {
        SHORT: (Ring(100), Answer(sounds.speaking(PERSON_HZ)), Stay(1000)),
        LEAVES: (Ring(100), Answer(sounds.speaking(PERSON_HZ)), Stay(3500)),
    }
    settings = {
        "a0": {"wrap_up_s": 60},
        "a1": {"wrap_up_s": 0.4},
        "a2": {"auto_ready": False},
        "a3": {"leg": "per_conversation"},
    }
    folder = tmp_path_factory.mktemp("agents")
    with open_desk(
        folder, sounds, agents=4, settings=settings, others=others, pacing="ratio", ratio=2.0
    ) as desk:
        yield desk


@pytest.fixture
def desk(shared_desk: Desk) -> Iterator[Desk]:
    """Yield it in order."""
    shared_desk.tidy()
    yield shared_desk
    shared_desk.tidy()


def _heard_the_person(desk: Desk, agent: str) -> bool:
    """Say whether the agent's last recording holds a second of the person's tone."""
    heard = desk.phones[agent].heard()[-1]
    tones = [PERSON_HZ, *(hz for hz in ALL_HZ if hz != PERSON_HZ)]
    levels = tone_levels_dbfs(heard, tones)
    return bool(np.sum(levels[:, 0] - levels[:, 1:].max(axis=1) >= 20.0) >= 16)


def test_a_killed_softphone_is_noticed_and_its_caller_passed_on(desk: Desk) -> None:
    """No BYE, only silence: the agent is paused as `leg_lost`, the caller is with the next agent, and back comes ready."""
    desk.dialer.login("a0", "a1")
    (to,) = desk.call()
    first = desk.talking()
    desk.phones[first].kill()
    second = desk.talking(but=first)
    assert desk.dialer.wait_agent(first, "paused")["reason"] == "leg_lost"
    (attempt,) = desk.dialer.attempts(to)
    names = [event.name for event in desk.dialer.events(attempt=attempt.id)]
    assert [n for n in names if n in ("attempt.bridged", "attempt.unbridged")] == [
        "attempt.bridged", "attempt.unbridged", "attempt.bridged",
    ]  # fmt: skip
    desk.phones[first].start_again()
    desk.dialer.wait_agent(first, "ready", timeout_s=25.0)
    desk.dialer.post(f"/calls/{attempt.id}/hangup")
    (attempt,) = desk.dialer.ended(to)
    assert (attempt.outcome, attempt.agent_id) == ("connected", second)
    desk.dialer.post(f"/agents/{second}/logout")
    desk.dialer.wait_agent(second, "logged_out")
    desk.phones[second].stop()
    assert _heard_the_person(desk, second)


def test_a_softphone_that_hangs_up_is_called_again(desk: Desk) -> None:
    """A BYE from the softphone pauses the agent as `leg_lost` at once; the dialer calls it anew and the agent is ready again."""
    desk.dialer.login("a1")
    calls = desk.phones["a1"].calls
    # the store follows what the API says by a commit
    desk.dialer.until(lambda: desk.dialer.intervals("a1")[-1][0] == "ready", 5.0, "the log-in to be stored")
    seen = len(desk.dialer.intervals("a1"))
    desk.phones["a1"].hang_up()
    desk.dialer.until(lambda: desk.phones["a1"].calls == calls + 1, 10.0, "the softphone to be called again")
    desk.dialer.wait_agent("a1", "ready")
    since = [("paused", "leg_lost"), ("ready", "")]
    desk.dialer.until(lambda: desk.dialer.intervals("a1")[seen:] == since, 5.0, "lost and back to be stored")


def test_a_caller_whose_only_agent_hangs_up_is_told(desk: Desk) -> None:
    """With nobody else free the caller hears the message and stays `connected`: they were not abandoned."""
    desk.dialer.login("a1")
    (to,) = desk.call(LEAVES)
    desk.talking()
    desk.dialer.post("/campaigns/cobranza/pause", reason="nobody new meanwhile")
    desk.phones["a1"].kill()  # and so it is not back within the limit either
    (attempt,) = desk.dialer.ended(to)
    desk.dialer.post("/campaigns/cobranza/start")
    assert (attempt.outcome, attempt.abandoned, attempt.live_answer) == ("connected", False, True)


def test_wrap_up_ends_by_time_by_ready_and_by_disposition(desk: Desk) -> None:
    """One agent's short wrap-up ends by itself; another's long one by `ready` and, the next time, by the disposition."""
    desk.dialer.login("a1")
    desk.call(SHORT)
    desk.talking()
    desk.dialer.wait_agent("a1", "ready")
    desk.dialer.post("/agents/a1/logout")

    desk.dialer.login("a0")
    desk.call(SHORT)
    desk.dialer.wait_agent("a0", "wrap_up")
    desk.dialer.post("/agents/a0/ready")
    assert desk.dialer.agent("a0")["state"] == "ready"
    (to,) = desk.call(SHORT)
    desk.dialer.wait_agent("a0", "wrap_up")
    desk.dialer.post("/agents/a0/disposition", disposition="promise")
    desk.dialer.wait_agent("a0", "ready")
    (attempt,) = desk.dialer.ended(to)
    assert attempt.disposition == "promise"


def test_commands_in_a_conversation_wait_for_its_end(desk: Desk) -> None:
    """Pause and log-out during a talk happen when it is over; until then the two go on talking."""
    desk.dialer.login("a1")
    (to,) = desk.call(SHORT)
    desk.talking()
    desk.dialer.post("/agents/a1/pause", reason="lunch")
    assert desk.dialer.agent("a1")["state"] == "talking"
    assert desk.dialer.wait_agent("a1", "paused")["reason"] == "lunch"
    (attempt,) = desk.dialer.ended(to)
    assert attempt.outcome == "connected"

    desk.dialer.post("/agents/a1/ready")
    desk.call(SHORT)
    desk.talking()
    desk.dialer.post("/agents/a1/logout")
    assert desk.dialer.agent("a1")["state"] == "talking"
    desk.dialer.wait_agent("a1", "logged_out")
    assert not desk.dialer.agent("a1")["leg_up"]


def test_a_paused_agent_is_offered_nobody(desk: Desk) -> None:
    """While the only agent is paused nothing is dialed; ready, the lead that waited is."""
    desk.dialer.login("a1")
    desk.dialer.post("/agents/a1/pause", reason="coffee")
    before = len(desk.dialer.events("pacing.decided"))
    (to,) = desk.call(SHORT)
    desk.dialer.until(
        lambda: "0 idle" in desk.dialer.campaign()["last_decision"], 5.0, "pacing to see nobody idle"
    )
    assert desk.dialer.attempts(to) == []
    desk.dialer.post("/agents/a1/ready")
    desk.talking()
    assert len(desk.dialer.attempts(to)) == 1
    first = next(event for event in desk.dialer.events("pacing.decided")[before:] if event.data["place"])
    assert first.data["idle"] == 1


def test_an_agent_without_auto_ready_waits_for_ready(desk: Desk) -> None:
    """After log-in they are paused with reason `login` until they say ready."""
    desk.dialer.post("/agents/a2/login")
    desk.dialer.until(lambda: desk.dialer.agent("a2")["leg_up"], 10.0, "the softphone to answer")
    assert desk.dialer.wait_agent("a2", "paused")["reason"] == "login"
    desk.dialer.post("/agents/a2/ready")
    assert desk.dialer.agent("a2")["state"] == "ready"


def test_a_softphone_called_for_each_conversation(desk: Desk) -> None:
    """None at log-in; it is called when a person is there, hears them, and is hung up with them; the agent ends the next talk by hanging up."""
    phone = desk.phones["a3"]
    desk.dialer.post("/agents/a3/login")
    desk.dialer.wait_agent("a3", "ready")
    assert phone.calls == 0
    (to,) = desk.call(SHORT)
    desk.talking()
    (attempt,) = desk.dialer.ended(to)
    assert (attempt.outcome, attempt.agent_id) == ("connected", "a3")
    desk.dialer.until(lambda: not desk.dialer.agent("a3")["leg_up"], 5.0, "the softphone to be hung up")
    assert _heard_the_person(desk, "a3")
    (to,) = desk.call()
    desk.talking()
    assert phone.calls == 2
    phone.hang_up()
    (attempt,) = desk.dialer.ended(to)
    assert (attempt.outcome, attempt.ended_by) == ("connected", "us")
    desk.dialer.wait_agent("a3", "ready")


@pytest.mark.parametrize(
    ("path", "body", "status", "kind"),
    [
        ("/agents/a0/ready", {}, 409, "refused"),
        ("/agents/a0/logout", {}, 409, "refused"),
        ("/agents/nobody/login", {}, 404, "unknown"),
        ("/agents/a0/disposition", {"disposition": "nonsense"}, 422, "invalid"),
        ("/agents/a0/pause", {}, 422, "invalid"),
        ("/campaigns/nothing/pause", {}, 404, "unknown"),
    ],
)
def test_a_command_that_makes_no_sense_is_refused_in_words(
    desk: Desk, path: str, body: dict[str, str], status: int, kind: str
) -> None:
    """A problem document with the right status and kind; nothing changes."""
    before = desk.dialer.get("/agents")
    answer = desk.dialer.ask("POST", path, body)
    assert isinstance(answer, httpx2.Response)
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (status, f"urn:marcador:problem:{kind}")
    assert problem["detail"]
    states = [(agent["id"], agent["state"]) for agent in desk.dialer.get("/agents")]
    assert states == [(agent["id"], agent["state"]) for agent in before]


@requires_capture
@requires_program("tshark")
def test_a_live_answer_without_an_agent_hears_the_message(desk: Desk) -> None:
    """Two people, one agent: the other hears the message within two seconds of the answer, and is locked for three days."""
    desk.dialer.login("a1")
    with capture(desk.floor.folder, desk.floor.ports) as watching:
        numbers = desk.call(LEAVES, count=2)
        ended = {attempt.outcome: attempt for to in numbers for attempt in desk.dialer.ended(to)}
        wire = watching.read()
    assert set(ended) == {"connected", "abandoned"}
    lost = ended["abandoned"]
    (leg,) = (leg for leg in desk.dialer.legs("customer") if leg.attempt_id == lost.id)
    sent = [packet for packet in wire.rtp if packet.source == leg.media_port]
    message = [packet for packet in sent if len(set(packet.payload)) > 4]
    waited_s = (message[0].at_ns - lost.answered_mono_ns) / 1e9
    # heard by the profile's limit, and a little for a loaded machine
    assert 0 < waited_s <= 2.0 + 0.1
    silent = [packet for packet in sent if packet.at_ns < message[0].at_ns]
    assert len(silent) >= 50 * (waited_s - 0.3)  # never dead air without packets before it
    (lead,) = (lead for lead in desk.dialer.leads() if lead.id == lost.lead_id)
    assert (lead.next_at_utc - lost.ended_at_utc).total_seconds() >= 72 * 3600 - 1
