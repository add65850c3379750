"""Real voices over real RTP: verdicts, when the greeting ended, and what follows from a verdict without the engine."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import soundfile

from amd import MarkKind, detect
from amd.g711 import encode_pcma, encode_pcmu
from dialer_core.ipc.messages import (
    FallbackStarted,
    LegBeep,
    LegVerdict,
    Listen,
    MediaHealth,
    PromptFinished,
    VerdictRevised,
)
from dialer_core.vocabulary import LIVE_VERDICTS, DetectionMode, LegKind, Verdict
from tests.media.harness import PCMA, PCMU, SILENCE, Leg, Plane
from tests.polling import wait_until

pytestmark = pytest.mark.sip

CLIPS = Path(str(resources.files("dialer_core.sim") / "clips"))
LEAD_S = 0.4


def clip(name: str) -> np.ndarray:
    """One of the simulated carrier's clips: real and synthesised voices, 8 kHz."""
    pcm: np.ndarray
    pcm, rate = soundfile.read(CLIPS / f"{name}.flac", dtype="int16")
    assert rate == 8000
    return pcm


def quiet(seconds: float) -> np.ndarray:
    """A line's noise at about -66 dBFS."""
    return np.random.default_rng(3).normal(0, 16, int(seconds * 8000)).astype(np.int16)


def speak(leg: Leg, *parts: np.ndarray, lost: frozenset[int] = frozenset()) -> None:
    """Let the far end say the parts after LEAD_S of quiet, and be quiet after them. Frames in `lost` never come."""
    pcm = np.concatenate([quiet(LEAD_S), *parts, quiet(12)])
    coded = (encode_pcma if leg.far.codec == PCMA else encode_pcmu)(pcm).tobytes()
    begin = leg.far.frames_sent
    leg.far.speak(lambda n: None if n - begin in lost else coded[(n - begin) * 160 :][:160] or None)


def listen(plane: Plane, leg: Leg, mode: DetectionMode = DetectionMode.FAST, **fields: object) -> None:
    """Start the detector."""
    plane.engine.send(Listen(leg_id=leg.leg_id, mode=mode, **fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(("codec", "lost"), [(PCMU, frozenset()), (PCMA, frozenset(range(0, 600, 29)))])
def test_people_and_machines_are_told_apart(plane: Plane, codec: int, lost: frozenset[int]) -> None:
    """At once over µ-law, A-law and 3 % loss: hellos are people, with the greeting's end within 250 ms of the truth; voicemail is a machine."""
    names = {
        "hello_bueno_1": True,
        "hello_person_2": True,
        "business_ferreteria_1": True,
        "voicemail_allison_es": False,
    }
    legs = {name: plane.leg(LegKind.CUSTOMER, codec=codec) for name in names}
    for name, leg in legs.items():
        listen(plane, leg, agent_wait_s=20)
        speak(leg, clip(name), lost=lost)
    for name, is_person in names.items():
        leg = legs[name]
        verdict = plane.engine.wait(LegVerdict, leg_id=leg.leg_id, timeout_s=15)
        assert verdict.label is (Verdict.HUMAN if is_person else Verdict.MACHINE), name
        # of a business's greeting the odds say little: it is a person's because nothing followed
        assert (0.1 if name.startswith("business") else 0.5) < verdict.confidence <= 1.0
        assert not verdict.early
        if is_person:
            loud = np.flatnonzero(np.abs(clip(name).astype(int)) > 500)
            truth_ns = leg.far.begun_ns + int((LEAD_S + loud[-1] / 8000) * 1e9)
            assert abs(verdict.greeting_end_ns - truth_ns) < 250_000_000, name
            assert verdict.at_ns > verdict.greeting_end_ns


def test_the_message_comes_without_an_engine(plane: Plane) -> None:
    """After a live verdict nobody bridges: the message begins `agent_wait_s` after the greeting's end, engine or no engine (I4)."""
    leg = plane.leg(LegKind.CUSTOMER)
    listen(plane, leg, agent_wait_s=1.5, fallback_prompt="connect")
    speak(leg, clip("hello_bueno_2"))
    verdict = plane.engine.wait(LegVerdict, timeout_s=10)
    started = plane.engine.wait(FallbackStarted, timeout_s=10)
    due_ns = max(verdict.greeting_end_ns + 1_500_000_000, verdict.at_ns)
    assert 0 <= started.at_ns - due_ns < 200_000_000
    plane.engine.wait(PromptFinished, play_id="fallback", cut=False)
    assert sum(p.payload != SILENCE[PCMU] for p in leg.far.packets) == 5


def test_silence_and_no_sound_at_all_end_as_silence(plane: Plane) -> None:
    """An answered leg with silence, and one without any RTP, get their live verdict at the limit and the message after the wait."""
    legs = [plane.leg(LegKind.CUSTOMER) for _ in range(2)]
    speak(legs[0])
    for leg in legs:
        listen(plane, leg, limit_s=1.0, agent_wait_s=0.2, fallback_prompt="connect")
    for leg in legs:
        verdict = plane.engine.wait(LegVerdict, leg_id=leg.leg_id)
        assert verdict.label is Verdict.SILENCE
        assert not verdict.provisional
        assert verdict.greeting_end_ns == 0
        assert plane.engine.wait(FallbackStarted, leg_id=leg.leg_id).at_ns > verdict.at_ns


def test_monitor_reports_and_starts_no_deadline(plane: Plane) -> None:
    """In mode `monitor` the verdict is told and the engine alone says who waits; in mode `off` nothing is listened to."""
    watched, off = plane.leg(LegKind.CUSTOMER), plane.leg(LegKind.CUSTOMER)
    listen(plane, watched, DetectionMode.MONITOR, limit_s=0.8, agent_wait_s=0.05, fallback_prompt="connect")
    listen(plane, off, DetectionMode.OFF, agent_wait_s=0.05, fallback_prompt="connect")
    assert plane.engine.wait(LegVerdict, leg_id=watched.leg_id).label in LIVE_VERDICTS
    watched.far.wait_for(25)
    assert not plane.engine.all(FallbackStarted)
    assert [e.leg_id for e in plane.engine.all(LegVerdict)] == [watched.leg_id]


def test_early_media_is_judged_and_forgotten_at_the_answer(plane: Plane) -> None:
    """A busy tone before the answer is an early verdict; the answer begins anew, so that the person behind it is heard."""
    leg = plane.leg(LegKind.CUSTOMER)
    t = np.arange(2000) / 8000
    burst = np.concatenate([6000 * np.sin(2 * np.pi * 425 * t), np.zeros(2000)]).astype(np.int16)
    listen(plane, leg, early=True)
    speak(leg, np.tile(burst, 6))
    early = plane.engine.wait(LegVerdict, timeout_s=10)
    assert (early.label, early.early) == (Verdict.BUSY, True)
    assert not plane.engine.all(FallbackStarted)
    leg.far.hush()
    listen(plane, leg, agent_wait_s=20)
    speak(leg, clip("hello_bueno_1"))
    wait_until(lambda: len(plane.engine.all(LegVerdict)) == 2, 10, "the verdict after the answer")
    late = plane.engine.all(LegVerdict)[-1]
    assert (late.label, late.early) == (Verdict.HUMAN, False)


def test_a_verdict_is_revised_while_bridged(plane: Plane) -> None:
    """A greeting that pauses is passed as a person; when it goes on, the talk already bridged is told to be with a machine."""
    customer, agent = plane.pair()
    listen(plane, customer, agent_wait_s=20)
    speak(customer, clip("voicemail_first_casa"), quiet(1.4), clip("voicemail_rest_casa"))
    verdict = plane.engine.wait(LegVerdict, timeout_s=10)
    assert (verdict.label, verdict.provisional) == (Verdict.HUMAN, True)
    plane.bridge(customer, agent)
    revised = plane.engine.wait(VerdictRevised, timeout_s=10)
    assert revised.label is Verdict.MACHINE
    assert sum(p.payload != SILENCE[PCMU] for p in agent.far.packets) > 10
    assert plane.engine.dump()[customer.leg_id].bridged_to == agent.leg_id


def test_who_answers_an_agent_stays_a_person(plane: Plane) -> None:
    """The same greeting, then a question once the agent has spoken to them: the verdict stands, where silence from us would not have let it."""
    customer, agent = plane.pair()
    parts = clip("voicemail_first_casa"), quiet(2.0), clip("who_con_quien"), quiet(3.0)
    alone = detect(np.concatenate([quiet(LEAD_S), *parts]))
    assert [mark.kind for mark in alone] == [MarkKind.VERDICT, MarkKind.REVISED]
    listen(plane, customer, agent_wait_s=20)
    speak(customer, *parts)
    plane.engine.wait(LegVerdict, timeout_s=10)
    asked = encode_pcmu(clip("hello_person_1")).tobytes()[: 60 * 160]
    agent.far.speak(lambda n: asked[n * 160 :][:160] or None)
    plane.bridge(customer, agent)
    plane.engine.wait(MediaHealth, listening=0, timeout_s=10)  # the time for a revision is over
    assert not plane.engine.all(VerdictRevised)


def test_a_beep_is_told_and_listening_ends_with_the_leg(plane: Plane) -> None:
    """After a machine's verdict the beep is still told, with the time of its end; closing the leg frees its row."""
    leg = plane.leg(LegKind.CUSTOMER)
    listen(plane, leg)
    n = np.arange(3200)
    edges = np.minimum(1, np.minimum(n, 3199 - n) / 80)
    beep = (8000 * edges * np.sin(2 * np.pi * 1000 * n / 8000)).astype(np.int16) + quiet(0.4)
    speak(leg, clip("voicemail_allison_es"), quiet(0.4), beep)
    heard = plane.engine.wait(LegBeep, timeout_s=20)
    seconds = LEAD_S + clip("voicemail_allison_es").size / 8000 + 0.4 + 0.4
    assert abs(heard.end_ns - leg.far.begun_ns - seconds * 1e9) < 250_000_000
    assert plane.engine.all(LegVerdict)[0].label is Verdict.MACHINE
    plane.engine.wait(MediaHealth, listening=1)
    plane.close(leg)
    plane.engine.wait(MediaHealth, listening=0, legs=0)
