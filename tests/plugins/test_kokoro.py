"""The plugin `kokoro`: refused with the reason where something is missing; its numbers are the model's; and it speaks, where a model is there."""

from __future__ import annotations

import importlib
import json
import os
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import plugins.kokoro as plugin
from dialer_core.plugin_api import ConfigError
from plugins.kokoro import Kokoro, KokoroSettings, phonemes_of, tokens_of
from tests.skips import requires_program

pytestmark = pytest.mark.unit

VOCABULARY: dict[str, int] = json.loads(
    (files("plugins.kokoro") / "vocabulary.json").read_text(encoding="ascii")
)
MODEL = Path(os.environ.get("MARCADOR_KOKORO", ""))
"""A folder with `kokoro-v1.0.int8.onnx` and `ef_dora.bin`."""


class Runtime:
    """Stands in for onnxruntime: says a tenth of a second a token."""

    SessionOptions = SimpleNamespace

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def InferenceSession(self, _file: str, **_options: Any) -> Any:  # noqa: N802 - its name
        """Return a session."""
        return SimpleNamespace(run=self._run)

    def _run(self, _: None, given: dict[str, Any]) -> list[Any]:
        self.asked.append(given)
        return [np.full((1, 2400 * (given["tokens"].shape[1] - 2)), 2.0, np.float32)]


def folder(tmp_path: Path) -> Path:
    """Return a folder with a model's and a style's file."""
    (tmp_path / "m.onnx").write_bytes(b"x")
    np.arange(510 * 256, dtype=np.float32).tofile(tmp_path / "s.bin")
    return tmp_path


def settings(**more: Any) -> KokoroSettings:
    """Return the plugin's settings."""
    return KokoroSettings.model_validate({"model_file": "m.onnx", "styles": {"es": "s.bin"}} | more)


@requires_program("espeak-ng")
async def test_a_sentence_reaches_the_model_as_its_phonemes(tmp_path: Path) -> None:
    """A zero at each end, the style of that length, sound in [-1, 1] at 24 kHz."""
    runtime = Runtime()
    voice = Kokoro(settings(), folder(tmp_path), runtime)
    sound, rate_hz = await voice.speak("Ocho muchachos.", "es")
    (given,) = runtime.asked
    tokens = given["tokens"][0]
    assert (tokens[0], tokens[-1], tokens[-2]) == (0, 0, VOCABULARY["."])
    assert list(tokens).count(VOCABULARY["ʧ"]) == 3
    assert given["style"][0, 0] == (len(tokens) - 3) * 256
    assert (rate_hz, len(sound), float(sound.max())) == (24_000, 2400 * (len(tokens) - 2), 1.0)


@requires_program("espeak-ng")
async def test_spanish_has_only_phonemes_that_the_model_knows() -> None:
    """No sign of what espeak-ng writes is lost but its ties."""
    said = await phonemes_of(
        "Señor Núñez, ¿paga mañana quinientos pesos o jueves? ¡Gracias, llámenos!", "es-419"
    )
    for tied in plugin._TIES:
        said = said.replace(tied, "")
    assert {sign for sign in said if sign not in VOCABULARY} <= {"^", "¿", "¡"}


def test_what_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra, the model, the style, a language: each in one line that says what would be right."""
    where = folder(tmp_path)
    with pytest.raises(ConfigError, match=r"m2\.onnx is not there"):
        Kokoro(settings(model_file="m2.onnx"), where, Runtime())
    (where / "short.bin").write_bytes(bytes(100))
    with pytest.raises(ConfigError, match="no style of 256 numbers"):
        Kokoro(settings(styles={"es": "short.bin"}), where, Runtime())
    with pytest.raises(ConfigError, match="'fr' is not spoken"):
        Kokoro(settings(styles={"fr": "s.bin"}), where, Runtime())
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"pip install 'marcador\[kokoro\]'"):
        plugin.dialer_register_voices(SimpleNamespace())  # type: ignore[arg-type]


def test_what_the_model_does_not_know_is_left_out() -> None:
    """And nothing else."""
    assert tokens_of("t^ʃa☃", VOCABULARY) == [VOCABULARY["ʧ"], VOCABULARY["a"]]


@pytest.mark.not_packaged
@pytest.mark.skipif(
    not (MODEL / "kokoro-v1.0.int8.onnx").is_file(),
    reason="no Kokoro model is here, so nothing was heard of a real one: put it and ef_dora.bin into a folder, name that in MARCADOR_KOKORO, and"
    " pip install onnxruntime",
)
async def test_a_real_model_speaks_spanish() -> None:
    """Some seconds of sound that is speech: neither silence nor a tone."""
    onnxruntime = importlib.import_module("onnxruntime")

    its = settings(model_file="kokoro-v1.0.int8.onnx", styles={"es": "ef_dora.bin"})
    sound, rate_hz = await Kokoro(its, MODEL, onnxruntime).speak(
        "Buenos días. Le llamamos del Banco de Prueba.", "es"
    )
    assert 2.0 < len(sound) / rate_hz < 8.0
    frames = sound[: len(sound) // 480 * 480].reshape(-1, 480)
    level_db = 20 * np.log10(np.sqrt((frames**2).mean(axis=1)) + 1e-6)
    assert np.percentile(level_db, 90) - np.percentile(level_db, 10) > 15
