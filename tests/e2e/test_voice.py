"""Hold, three-way, transfer and supervision with real phones: what each far end received, packet by packet off the wire."""

from __future__ import annotations

import base64
import io
import os
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from sqlalchemy import text

from amd import g711
from dialer_core.sim.audio_check import tone_levels_dbfs
from tests.e2e.desk import PERSON_HZ, Desk
from tests.e2e.floor import Floor
from tests.e2e.keys import write_keys
from tests.e2e.live import number
from tests.e2e.scenario import Answer, Press, Ring, Stay
from tests.e2e.sounds import AGENT_HZ, ALL_HZ, Sounds
from tests.e2e.wire import Wire, capture, requires_capture
from tests.skips import requires_program

pytestmark = [
    *(pytest.mark.sip, requires_program("sipp"), requires_program("baresip"), requires_program("tshark")),
    requires_capture,
]
AGENT, LEGAL, MARTA = "a0", "legal", "marta"
AGREES, CONSENT_AREA = 2, 400_000
"""Suffix of who presses one; and the index from which numbers belong to a part of the country that wants it."""
QUESTION = str(files("dialer_core") / "media" / "prompts" / "recording-consent-es.wav")
CONSENT_S = soundfile.info(QUESTION).duration
HZ = {"customer": PERSON_HZ, AGENT: AGENT_HZ[0], LEGAL: AGENT_HZ[1], MARTA: AGENT_HZ[2]}
SETTLE_NS = 500_000_000
"""After a command, until every far end must receive what it changed (the media plane needs 80 ms; a loaded machine more)."""


@dataclass(frozen=True)
class Moment:
    """A second of the story in which who hears whom does not change."""

    name: str
    from_ns: int
    to_ns: int


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, sounds: Sounds) -> Iterator[Desk]:
    """Yield a floor with one agent, a legal department and a supervisor's phone."""
    with Floor(tmp_path_factory.mktemp("voice"), sounds) as floor:
        agrees = Press(write_keys(floor.folder / "1.pcap", [(CONSENT_S + 1.0, "1")]))
        carrier = floor.carrier(
            {
                1: (Ring(100), Answer(sounds.speaking(PERSON_HZ, talk_s=60)), Stay(60000)),
                AGREES: (Ring(100), Answer(echo=True), agrees, Stay(60000)),
            }
        )
        agent = floor.softphone(AGENT)
        sip = [f"sip:{name}@127.0.0.1:{floor.ports.softphone(n)}" for n, name in ((1, LEGAL), (2, MARTA))]
        sections: dict[str, dict[str, Any]] = {
            f"extensions.{LEGAL}": {"sip": sip[0]},
            f"extensions.{MARTA}": {"sip": sip[1], "supervises": True},
            "recordings": {"key_env": "VOICE_TEST_KEY", "container": "flac"},
        }
        dialer = floor.dialer(
            campaign={"detection": "off", "wrap_up_s": 0.2, "record": {"policy": "always"}},
            sections=sections,
            environment={"VOICE_TEST_KEY": base64.b64encode(bytes(32)).decode()},
        )
        _want_consent(dialer.config / "compliance")
        phones = [agent, floor.softphone(LEGAL), floor.softphone(MARTA)]
        dialer.start()
        yield Desk(floor, dialer, carrier, {phone.name: phone for phone in phones})


def _want_consent(packs: Path) -> None:
    """Give the packs a part of the country where nobody is recorded who has not agreed."""
    pack = (packs / "demo.toml").read_text(encoding="utf-8")
    strict = pack.replace('name = "demo"', 'name = "strict"').replace('rule = "none"', 'rule = "consent"')
    (packs / "strict.toml").write_text(strict, encoding="utf-8")
    there = (
        f'[[local]]\ncite = ["demo"]\npack = "strict"\nprefixes = ["{number(AGREES, CONSENT_AREA)[:6]}"]\n'
    )
    (packs / "demo.toml").write_text(f"{pack}\n{there}", encoding="utf-8")


def _levels(wire: Wire, port: int, moment: Moment) -> dict[str, float]:
    """Return how loud each party's tone is in what a port received, by the median of the moment."""
    packets = [
        p for p in wire.received(port) if moment.from_ns <= p.at_ns <= moment.to_ns and len(p.payload) == 160
    ]
    octets = np.frombuffer(b"".join(p.payload for p in packets), np.uint8)
    assert len(octets) >= 0.5 * (moment.to_ns - moment.from_ns) / 125_000, f"a gap at {moment.name}"
    pcm = g711.decode_pcmu(octets).astype(np.float32) / 32768
    levels = np.median(tone_levels_dbfs(pcm, [HZ[name] for name in HZ]), axis=0)
    return dict(zip(HZ, levels, strict=True))


def _heard(wire: Wire, port: int, moment: Moment) -> set[str]:
    """Return who was heard at a port: tones within 12 dB of full, 20 dB over whoever was not."""
    levels = _levels(wire, port, moment)
    heard = {name for name, level in levels.items() if level > -35}
    quiet = [level for name, level in levels.items() if name not in heard]
    assert max(quiet, default=-99.0) < -45, (moment.name, levels)
    return heard


class _Story:
    """Commands with the moments between them."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.moments: dict[str, Moment] = {}

    def moment(self, name: str) -> None:
        """Let a second pass after things have settled; it is what is judged."""
        begin = time.monotonic_ns() + SETTLE_NS
        self.desk.dialer.until(lambda: time.monotonic_ns() > begin + 1_000_000_000, 5.0, "a second to pass")
        self.moments[name] = Moment(name, begin, begin + 1_000_000_000)

    def do(self, path: str, **body: Any) -> None:
        """Give a command."""
        self.desk.dialer.post(path, **body)

    def until_talk(self, *states: str) -> None:
        """Wait for a state of the agent's conversation."""
        self.desk.dialer.until(
            lambda: self.desk.dialer.agent(AGENT)["talk"] in states, 10.0, f"the talk to be {states}"
        )


def _replace_engine(desk: Desk) -> None:
    """Kill the engine, and wait until another one is in charge."""
    before = len(desk.dialer.events("engine.restarted"))
    os.kill(desk.dialer.pid("engine"), signal.SIGKILL)
    desk.dialer.until(
        lambda: len(desk.dialer.events("engine.restarted")) > before, 20.0, "another engine to be in charge"
    )
    desk.dialer.until(desk.dialer.is_up, 20.0, "the API to answer again")
    seen: list[tuple[int, int]] = []

    def calm() -> bool:
        """The next spare is being imported, which two cores that also play everybody's sound feel."""
        seen.append((time.monotonic_ns(), _cpu_ns(desk.dialer.processes())))
        since = [(at, used) for at, used in seen if seen[-1][0] - at > 400_000_000]
        return bool(since) and seen[-1][1] - since[-1][1] < 0.5 * (seen[-1][0] - since[-1][0])

    desk.dialer.until(calm, 20.0, "its spare to be imported")


def _cpu_ns(pids: Iterable[int]) -> int:
    """Return the time that processes have run."""
    ticks = 0
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def test_hold_three_way_and_transfer(desk: Desk) -> None:
    """One conversation through all of it, over a killed engine: each party receives exactly those it should, and the customer music on hold."""
    desk.tidy()  # who was called before the capture began is not known to it
    with capture(desk.floor.folder, desk.floor.ports) as watching:
        desk.dialer.login(AGENT)
        (to,) = desk.call()
        desk.talking()
        story = _Story(desk)
        story.moment("together")
        story.do(f"/agents/{AGENT}/hold")
        story.moment("held")
        story.do(f"/agents/{AGENT}/resume")
        story.do(f"/agents/{AGENT}/consult", to_extension=LEGAL)
        story.until_talk("consulting")
        story.moment("consulting")
        story.do(f"/agents/{AGENT}/join")
        story.moment("three_way")
        _replace_engine(desk)
        story.moment("three_way again")
        story.do(f"/agents/{AGENT}/transfer")
        desk.dialer.wait_agent(AGENT, "wrap_up", "ready")
        story.moment("transferred")
        (call,) = desk.dialer.get("/calls")
        assert call["state"] == "transferred"
        story.do(f"/calls/{call['attempt_id']}/hangup")
        (attempt,) = desk.dialer.ended(to)
        wire = watching.read()
    assert (attempt.outcome, attempt.agent_id) == ("connected", AGENT)
    (leg,) = (leg for leg in desk.dialer.legs("customer") if leg.attempt_id == attempt.id)
    (extension,) = desk.dialer.legs("extension")
    (agent,) = (leg for leg in desk.dialer.legs("agent") if leg.live)
    port = {
        name: _target(wire, its.media_port)
        for name, its in (("customer", leg), (AGENT, agent), (LEGAL, extension))
    }
    expected: dict[str, dict[str, set[str]]] = {
        "together": {"customer": {AGENT}, AGENT: {"customer"}},
        "held": {"customer": set(), AGENT: set()},
        "consulting": {"customer": set(), AGENT: {LEGAL}, LEGAL: {AGENT}},
        "three_way": {"customer": {AGENT, LEGAL}, AGENT: {"customer", LEGAL}, LEGAL: {"customer", AGENT}},
        "transferred": {"customer": {LEGAL}, LEGAL: {"customer"}, AGENT: set()},
    }
    expected["three_way again"] = expected["three_way"]
    for name, parties in expected.items():
        heard = {party: _heard(wire, port[party], story.moments[name]) for party in parties}
        assert heard == parties, (name, {p: _levels(wire, port[p], story.moments[name]) for p in parties})
    music = _sound(wire, port["customer"], story.moments["held"])
    assert -40 < 10 * np.log10(np.mean(music**2)) < -15
    assert tone_levels_dbfs(music, ALL_HZ).max() < -25, "somebody's tone, not music"
    _assert_whole(wire, (leg.media_port, agent.media_port, extension.media_port))


def test_a_supervisor_switches_and_takes_over(desk: Desk) -> None:
    """Listen, whisper, barge and take over from one phone, in one call, over a killed engine; only barging reaches the customer."""
    desk.tidy()
    with capture(desk.floor.folder, desk.floor.ports) as watching:
        desk.dialer.login(AGENT)
        story = _Story(desk)
        (to,) = desk.call()
        desk.talking()
        for mode in ("listen", "whisper", "barge"):
            story.do(f"/supervisors/{MARTA}/supervise", agent=AGENT, mode=mode)
            desk.dialer.until(
                lambda mode=mode: desk.dialer.agent(AGENT)["supervised"] == mode,
                10.0,
                f"the supervisor to {mode}",
            )
            story.moment(mode)
        _replace_engine(desk)
        story.moment("barge again")
        story.do(f"/supervisors/{MARTA}/take_over")
        story.moment("taken over")
        (call,) = desk.dialer.get("/calls")
        story.do(f"/calls/{call['attempt_id']}/hangup")
        (attempt,) = desk.dialer.ended(to)
        story.do(f"/supervisors/{MARTA}/stop")
        wire = watching.read()
    (leg,) = (leg for leg in desk.dialer.legs("customer") if leg.attempt_id == attempt.id)
    supervisor = desk.dialer.legs("extension")[-1]
    agent = desk.dialer.legs("agent")[-1]
    port = {
        name: _target(wire, its.media_port)
        for name, its in (("customer", leg), (AGENT, agent), (MARTA, supervisor))
    }
    expected: dict[str, dict[str, set[str]]] = {
        "listen": {"customer": {AGENT}, AGENT: {"customer"}, MARTA: {"customer", AGENT}},
        "whisper": {"customer": {AGENT}, AGENT: {"customer", MARTA}, MARTA: {"customer", AGENT}},
        "barge": {"customer": {AGENT, MARTA}, AGENT: {"customer", MARTA}, MARTA: {"customer", AGENT}},
        "taken over": {"customer": {MARTA}, MARTA: {"customer"}, AGENT: set()},
    }
    expected["barge again"] = expected["barge"]
    for name, parties in expected.items():
        heard = {party: _heard(wire, port[party], story.moments[name]) for party in parties}
        assert heard == parties, (name, {p: _levels(wire, port[p], story.moments[name]) for p in parties})
    _assert_whole(wire, (leg.media_port, agent.media_port, supervisor.media_port))


def test_a_conversation_is_recorded_paused_found_and_played(desk: Desk) -> None:
    """Both directions by channel, silence while paused, sealed on the disk, found by its agent, each playing audited."""
    desk.tidy()
    desk.dialer.login(AGENT)
    (to,) = desk.call()
    desk.talking()
    story = _Story(desk)
    story.moment("recorded")
    story.do(f"/agents/{AGENT}/recording", switch="pause")
    assert desk.dialer.agent(AGENT)["recording"] == "pause"
    story.moment("paused")
    story.do(f"/agents/{AGENT}/recording", switch="on")
    story.moment("again")
    (call,) = desk.dialer.get("/calls")
    story.do(f"/calls/{call['attempt_id']}/hangup")
    (attempt,) = desk.dialer.ended(to)

    def stored() -> Any:
        (found,) = desk.dialer.get(f"/recordings?attempt={attempt.id}&agent={AGENT}")
        return found if found["state"] == "stored" else None

    recording = desk.dialer.until(stored, 15.0, "the recording to be archived")
    assert (recording["paused"], recording["container"], recording["lost_pieces"]) == (True, "flac", 0)
    talk_s = (attempt.ended_mono_ns - attempt.bridged_mono_ns) / 1e9
    assert recording["seconds"] == pytest.approx(talk_s, abs=1.0)
    answer = desk.dialer.ask("GET", f"/recordings/{recording['id']}/sound")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/flac")
    sound, rate_hz = soundfile.read(io.BytesIO(answer.content), dtype="float32")
    assert (rate_hz, sound.shape[1]) == (8000, 2)
    for channel, (mine, other) in enumerate((("customer", AGENT), (AGENT, "customer"))):
        levels = tone_levels_dbfs(np.ascontiguousarray(sound[:, channel]), [HZ[mine], HZ[other]])
        loud = levels[:, 0] > -35
        assert loud.sum() * 0.05 == pytest.approx(talk_s - 1.5, abs=1.0), "talk less the pause"
        assert levels[:, 1].max() < -45, "the other side is on this channel"
        assert not loud[int(2.0 / 0.05) : int(2.6 / 0.05)].any(), "heard while paused"
    with desk.dialer.database.read() as tx:
        entries = tx.execute(
            text("SELECT action FROM audit WHERE subject = :subject"),
            {"subject": f"recording {recording['id']}"},
        )
        assert [entry.action for entry in entries] == ["recording.played"]
    files = list((desk.dialer.folder / "state" / "recordings").glob(f"{recording['id']}*"))
    assert [file.suffix for file in files] == [".rec"]
    assert answer.content[:4] == b"fLaC"
    assert b"fLaC" not in files[0].read_bytes()


def test_who_refuses_is_not_recorded(desk: Desk) -> None:
    """Discarded in the call: nothing is kept, nobody can switch it on again, and a supervisor's note reaches the agent."""
    desk.tidy()
    desk.dialer.login(AGENT)
    (to,) = desk.call()
    desk.talking()
    story = _Story(desk)
    story.moment("recorded")
    (live,) = desk.dialer.get("/calls")
    of_call = f"/recordings?attempt={live['attempt_id']}"
    story.do(f"/agents/{AGENT}/recording", switch="off")
    desk.dialer.until(lambda: desk.dialer.get(of_call)[0]["state"] == "stored", 15.0, "it to be archived")
    story.do(f"/agents/{AGENT}/recording", switch="discard")  # what was kept of it so far goes too
    assert desk.dialer.ask("POST", f"/agents/{AGENT}/recording", {"switch": "on"}).status_code == 409
    desk.dialer.post(f"/agents/{AGENT}/notes", note="ofrece un plan de pagos")
    ((note),) = desk.dialer.get(f"/agents/{AGENT}/notes")
    desk.dialer.post(f"/agents/{AGENT}/notes/{note['id']}/read")
    assert desk.dialer.get(f"/agents/{AGENT}/notes")[0]["read"]
    story.do(f"/calls/{live['attempt_id']}/hangup")
    desk.dialer.ended(to)
    desk.dialer.until(lambda: desk.dialer.get(of_call)[0]["state"] == "refused", 5.0, "it to be refused")
    (refused,) = desk.dialer.get(of_call)
    assert not list((desk.dialer.folder / "state" / "recordings").glob(f"{refused['id']}*"))
    assert desk.dialer.ask("GET", f"/recordings/{refused['id']}/sound").status_code == 409


def test_who_must_agree_hears_the_question_and_is_recorded_from_their_key_on(desk: Desk) -> None:
    """The packaged question, whole, and nothing recorded until they have pressed one, by RFC 4733: then by their consent."""
    desk.tidy()
    with capture(desk.floor.folder, desk.floor.ports) as watching:
        desk.dialer.login(AGENT)
        to = number(AGREES, CONSENT_AREA)
        desk.dialer.import_numbers([to])
        desk.talking()
        assert desk.dialer.agent(AGENT)["recording"] == ""
        desk.dialer.until(
            lambda: desk.dialer.agent(AGENT)["recording"] == "on", CONSENT_S + 6.0, "them to agree"
        )
        (call,) = desk.dialer.get("/calls")
        desk.dialer.post(f"/calls/{call['attempt_id']}/hangup")
        (attempt,) = desk.dialer.ended(to)
        wire = watching.read()
    (leg,) = (leg for leg in desk.dialer.legs("customer") if leg.attempt_id == attempt.id)
    heard = b"".join(p.payload for p in wire.rtp if p.source == leg.media_port and p.payload_type == 0)
    asked, _ = soundfile.read(QUESTION, dtype="int16")
    assert g711.encode_pcmu(asked[:-160]).tobytes() in heard
    (began,) = desk.dialer.events("recording.changed", attempt=attempt.id)[:1]
    assert (began.data["switch"], began.data["basis"]) == ("on", "consent")
    assert began.at_mono_ns > attempt.bridged_mono_ns + CONSENT_S * 1e9


def _target(wire: Wire, media_port: int) -> int:
    (target,) = {p.target for p in wire.rtp if p.source == media_port}
    return target


def _sound(wire: Wire, port: int, moment: Moment) -> Any:
    packets = [p for p in wire.received(port) if moment.from_ns <= p.at_ns <= moment.to_ns]
    octets = np.frombuffer(b"".join(p.payload for p in packets), np.uint8)
    return g711.decode_pcmu(octets).astype(np.float32) / 32768


def _assert_whole(wire: Wire, media_ports: Sequence[int]) -> None:
    """Each leg got one stream, without a gap in its numbers, whatever changed hands meanwhile."""
    for port in media_ports:
        packets = [p for p in wire.rtp if p.source == port]
        assert len({p.ssrc for p in packets}) == 1
        steps = {(b.sequence - a.sequence) & 0xFFFF for a, b in pairwise(packets)}
        assert steps == {1}
