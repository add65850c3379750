"""Speech for calls: equally loud, rendered once, bounded, and read by the media plane as it was written."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import numpy as np
import pytest

from amd import g711
from dialer_core.clock import SystemClock
from dialer_core.media.rtp import PCMA, PCMU
from dialer_core.media.speech import PREFIX, Speech
from dialer_core.speech.cache import KEEP_S, SUFFIX, SpeechCache, name_of
from dialer_core.speech.loudness import PEAK, for_the_line
from plugins.espeak import Espeak, parse
from tests.polling import wait_until
from tests.skips import requires_program

pytestmark = pytest.mark.unit


def voice(level: float, *, rate_hz: int = 22050, seconds: float = 1.0) -> np.ndarray:
    """Return half a second of silence, a tone of this amplitude, and half a second of silence."""
    tone = level * np.sin(2 * np.pi * 440 * np.arange(int(rate_hz * seconds)) / rate_hz)
    quiet = np.zeros(rate_hz // 2)
    return np.concatenate([quiet, tone, quiet]).astype(np.float32)


def names_in(folder: Path) -> list[str]:
    """Return the names of a folder's files."""
    return [file.name for file in folder.iterdir()]


@pytest.mark.parametrize("level", [0.01, 0.1, 0.9])
def test_every_voice_is_equally_loud_and_begins_at_once(level: float) -> None:
    """-20 dBFS within a decibel whoever spoke, and no more than 70 ms of silence around it."""
    pcm = g711.decode_pcmu(np.frombuffer(for_the_line(voice(level), 22050, -20.0), np.uint8)) / 32768.0
    middle = pcm[2000:6000]
    assert 20 * np.log10(np.sqrt(np.mean(middle**2))) == pytest.approx(-20, abs=1.0)
    assert np.abs(pcm[:560]).max() > 0.05
    assert len(pcm) / 8000 == pytest.approx(1.1, abs=0.06)
    assert np.abs(pcm).max() <= PEAK + 0.03


@pytest.mark.parametrize("sound", [np.zeros(8000), np.zeros(0), np.full(8000, np.nan)])
def test_silence_is_no_speech(sound: np.ndarray) -> None:
    """A voice that says nothing is told, and not played."""
    with pytest.raises(ValueError, match="said nothing"):
        for_the_line(sound.astype(np.float32), 8000, -20.0)


async def test_the_same_words_are_rendered_once(tmp_path: Path) -> None:
    """Ten that ask at once get one rendering; another voice or language is another file; a failure is everybody's, and tried again."""
    cache, made = SpeechCache(tmp_path / "speech", 1 << 20, SystemClock()), []

    async def render() -> bytes:
        made.append(1)
        await asyncio.sleep(0.01)
        if len(made) == 1:
            raise RuntimeError
        return b"\x01" * 160

    name = name_of("espeak", "es", "-20", "Hola.")
    first = await asyncio.gather(*(cache.get(name, render) for _ in range(10)), return_exceptions=True)
    assert all(isinstance(one, RuntimeError) for one in first)
    assert await asyncio.gather(*(cache.get(name, render) for _ in range(10))) == [name] * 10
    assert len(made) == 2
    assert name_of("espeak", "en", "-20", "Hola.") != name
    assert name_of("a", "bc") != name_of("ab", "c")
    assert (tmp_path / "speech" / f"{name}{SUFFIX}").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "speech").stat().st_mode & 0o777 == 0o700


async def test_old_speech_goes_and_much_speech_goes_oldest_first(tmp_path: Path) -> None:
    """A day unused: gone. Too much: the longest unused, but nothing of the last hour, which may be in a call."""
    cache = SpeechCache(tmp_path, 1000, SystemClock())

    async def render() -> bytes:
        return b"\x01" * 600

    ages = {"a" * 32: KEEP_S + 60, "b" * 32: 7200.0, "c" * 32: 5400.0, "d" * 32: 0.0}
    for name, age_s in ages.items():
        await cache.get(name, render)
        os.utime(tmp_path / f"{name}{SUFFIX}", (time.time() - age_s,) * 2)
    assert cache.sweep() == 3
    assert names_in(tmp_path) == [f"{'d' * 32}{SUFFIX}"]
    cache.clear()
    with pytest.raises(FileNotFoundError):
        names_in(tmp_path)


def test_the_media_plane_reads_what_was_written(tmp_path: Path) -> None:
    """Both codecs, the last frame filled with silence; names that are no names, and files that are not there, are no prompts."""
    sound = bytes(range(1, 201)) + b"\x80" * 200
    (tmp_path / f"{'ab' * 16}{SUFFIX}").write_bytes(sound)
    speech = Speech(tmp_path)
    good, gone = f"{PREFIX}{'ab' * 16}", f"{PREFIX}{'cd' * 16}"
    assert speech.ask(good)
    assert speech.ask(gone)
    assert not speech.ask(f"{PREFIX}../../etc/passwd")
    assert not Speech(None).ask(good)
    failed: list[str] = []
    wait_until(
        lambda: failed.extend(speech.arrived()) or (failed and speech.get(good)), 5.0, "the file to be read"
    )
    assert failed == [gone]
    prompt = speech.get(good)
    assert prompt is not None
    assert b"".join(prompt.frames[PCMU]) == sound + b"\xff" * 80
    assert b"".join(prompt.frames[PCMA])[:400] == sound.translate(g711.PCMU_TO_PCMA)


@requires_program("espeak-ng")
async def test_espeak_says_something_of_a_likely_length() -> None:
    """A sentence of three seconds or so, at its own rate, in Spanish and English."""
    for text, language in (
        ("Su saldo es de mil doscientos pesos.", "es"),
        ("Your balance is one thousand pesos.", "en"),
    ):
        sound, rate_hz = await Espeak().speak(text, language)
        assert rate_hz == 22050
        assert 1.0 < len(sound) / rate_hz < 6.0
        assert 0.02 < np.sqrt(np.mean(sound**2)) < 0.5


def test_no_sound_of_a_voice_is_told() -> None:
    """A program that wrote nothing, or something else, has not spoken."""
    for wav in (b"", b"RIFF", b"hello world" * 10):
        with pytest.raises(Exception, match="no sound"):
            parse(wav)
