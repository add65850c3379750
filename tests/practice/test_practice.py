"""Practice: scripts are checked, the score says how it went, and a simulated person answers a real softphone."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import numpy as np
import pytest

from amd import g711
from dialer_core.errors import ConfigError
from dialer_core.practice.debtor import Ear, Practice, render
from dialer_core.practice.score import points
from dialer_core.practice.script import Mark, Script, read_script
from tests.sip.harness import free_port
from tests.skips import ROOT, requires_program

pytestmark = pytest.mark.unit

SCRIPTS = ROOT / "dialer_core" / "config_defaults" / "practice"


def script(**more: object) -> Script:
    """Return a script of three turns."""
    base = {
        "title": "t", "language": "es", "disposition": "promise", "promises": True, "silence": "¿Bueno?", "patience_s": 2.0,
        "turns": [{"say": "Hola"}, {"say": "Sí", "needs": "identity", "instead": "¿Quién?"}, {"say": "Adiós"}],
    }  # fmt: skip
    return Script.model_validate(base | more)


def good_of(**more: object) -> dict[str, bool]:
    """Return which points are good of a conversation that went well, but for `more`."""
    told = {
        "agent": [(2.0, 6.0), (9.0, 13.0)], "person": [(0.0, 1.5), (6.5, 8.5), (13.5, 15.5)], "seconds": 16.0,
        "marks": {Mark.IDENTITY: 6.0, Mark.DEBT: 9.0, Mark.PROMISE: 14.0}, "disposition": "promise",
    }  # fmt: skip
    return {point.name: point.good for point in points(script(), **(told | more))}  # type: ignore[arg-type]


def test_the_packaged_scripts_can_be_read() -> None:
    """Spanish and English, each with an end and a right disposition."""
    found = [read_script(file) for file in sorted(SCRIPTS.glob("*.toml"))]
    assert {one.language for one in found} == {"es", "en"}


def test_a_script_that_asks_for_a_mark_says_what_is_said_until_then(tmp_path: Path) -> None:
    """File, key, and what would be right."""
    file = tmp_path / "s.toml"
    file.write_text(
        'title="t"\nlanguage="es"\ndisposition="promise"\nsilence="a"\nturns=[{say="a"},{say="b",needs="identity"}]\n'
    )
    with pytest.raises(ConfigError, match=r"turns\.1.*needs and instead go together"):
        read_script(file)


def test_a_good_conversation_is_good_in_every_point() -> None:
    """And each fault costs its own point alone."""
    assert set(good_of().values()) == {True}
    for fault, point in (
        ({"person": [(0.0, 1.5), (4.0, 8.5), (13.5, 15.5)]}, "interruptions"),
        ({"seconds": 21.0}, "dead air"),
        ({"marks": {Mark.IDENTITY: 9.0, Mark.DEBT: 6.0, Mark.PROMISE: 14.0}}, "identity before debt"),
        ({"disposition": "refuses"}, "disposition"),
        ({"marks": {Mark.IDENTITY: 6.0, Mark.DEBT: 9.0}}, "promise written down"),
        ({"agent": [(2.0, 2.4), (5.0, 5.4), (9.0, 9.4), (11.0, 11.4)]}, "talk ratio"),
    ):
        assert [name for name, good in good_of(**fault).items() if not good] == [point], fault


def test_speech_is_told_from_noise_by_its_level() -> None:
    """Frames over the bar, with the pauses of a sentence; silence and a hiss are nothing."""
    ear, random = Ear(), np.random.default_rng(3)
    for frame in range(200):
        loud = 0.1 if 50 <= frame < 75 or 80 <= frame < 120 else 0.001
        ear.hear(frame * 0.02, (loud * random.standard_normal(160)).astype(np.float32))
    ((begin, until),) = ear.spans
    assert (round(begin, 2), round(until, 2)) == (1.0, 2.4)


@pytest.mark.sip
@requires_program("sipp")
async def test_a_person_answers_speaks_and_hangs_up_on_silence(tmp_path: Path) -> None:
    """A real caller who says nothing hears them ask three times, and then the person hangs up; a second call meanwhile is busy."""
    its, port = script(patience_s=2.0), free_port()

    async def speak(text: str) -> bytes:
        tone = 0.2 * np.sin(2 * np.pi * 440 * np.arange(2400 + 160 * len(text)) / 8000)
        return g711.encode_pcmu((tone * 32767).astype(np.int16)).tobytes()

    scenario = ROOT / "tests" / "sip" / "scenarios" / "call_person.xml"
    async with Practice(
        its, await render(its, speak), host="127.0.0.1", port=port, folder=tmp_path
    ) as running:
        caller = await asyncio.create_subprocess_exec(
            "sipp", f"127.0.0.1:{port}", "-sf", str(scenario), "-m", "1", "-i", "127.0.0.1", "-p", str(free_port()), "-nostdin",
            cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        async with asyncio.timeout(25):
            assert await caller.wait() == 0
            assert running.call is not None
            await running.call.done.wait()
    assert len(running.call.person) == 3
    assert running.call.ear.spans == []
    found = {
        p.name: p
        for p in points(
            its, agent=[], person=running.call.person, seconds=running.call.seconds, marks={}, disposition=""
        )
    }
    assert not found["dead air"].good or running.call.seconds < 8
    assert not found["time to identity"].good
