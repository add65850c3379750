"""A neural voice as an extra: Kokoro-82M, in Spanish and English, run by onnxruntime on one core.

It owns the voice. The model and the voices' styles are files that the operator brings (`plugins/kokoro.toml`); the extra `marcador[kokoro]` installs
what runs them. Phonemes come from espeak-ng, the program, one process for each sentence. A sentence takes about as long as it lasts: the core renders
ahead and keeps what was said. Without the extra, the files or the program it is refused with the reason, and espeak-ng speaks as ever.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import re
import shutil
import unicodedata
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from dialer_core.plugin_api import ConfigError, EngineHandle, Voice, VoiceError, hookimpl

RATE_HZ: Final = 24_000
PROGRAM: Final = "espeak-ng"
LANGUAGES: Final = {"es": "es-419", "en": "en-us"}
STYLE_FLOATS: Final = 256
MOST_TOKENS: Final = 500
"""The model takes 510, with one at each end."""
_TIES: Final = dict(
    pair.split(" ")
    for pair in (
        "t^\u0283 \u02a7", "d^\u0292 \u02a4", "d^z \u02a3", "t^s \u02a6", "e^\u026a A", "a^\u026a I", "a^\u028a W", "\u0254^\u026a Y",
    )
)  # fmt: skip
"""Two signs that espeak-ng ties and the model knows as one."""
_PAUSES: Final = re.compile(r"([.,;:!?¡¿…])")


class KokoroSettings(BaseModel):
    """`plugins/kokoro.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model_file: Path
    """The model in ONNX (`kokoro-v1.0.int8.onnx`), relative to the configuration."""
    styles: dict[str, Path] = Field(min_length=1)
    """A voice's style for each language: `{ es = "ef_dora.bin", en = "af_heart.bin" }`, 510 times 256 numbers of 32 bits."""
    speed: Annotated[float, Field(ge=0.5, le=1.5)] = 0.95
    """1 is as the voice speaks; a little slower is better understood on a telephone."""


class Kokoro:
    """The voice.

    Raises
    ------
    ConfigError
        A file is not there or not what it should be, or the model cannot be run.
    """

    name = "kokoro"

    def __init__(self, settings: KokoroSettings, folder: Path, runtime: Any) -> None:
        self.languages = tuple(sorted(settings.styles))
        if strange := set(self.languages) - LANGUAGES.keys():
            raise ConfigError(
                f"plugins/kokoro.toml: styles: {min(strange)!r} is not spoken; known are: {', '.join(LANGUAGES)}"
            )
        self._styles = {language: _style(folder / file) for language, file in settings.styles.items()}
        self._speed = settings.speed
        self._vocabulary: dict[str, int] = json.loads(
            (files(__name__) / "vocabulary.json").read_text(encoding="ascii")
        )
        self._one_at_a_time = asyncio.Lock()
        model = folder / settings.model_file
        if not model.is_file():
            raise ConfigError(f"plugins/kokoro.toml: model_file: {model} is not there")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1  # calls come first
        try:
            self._session = runtime.InferenceSession(
                str(model), sess_options=options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise ConfigError(
                f"plugins/kokoro.toml: model_file: {model} cannot be run: {type(error).__name__}"
            ) from error

    async def speak(self, text: str, language: str) -> tuple[NDArray[np.float32], int]:
        """Return a text as sound of shape (n_samples,) in [-1, 1], and its rate in Hz; `VoiceError` where it cannot be said."""
        tokens = tokens_of(await phonemes_of(text, LANGUAGES[language]), self._vocabulary)
        if not tokens:
            raise VoiceError("kokoro has nothing to say of this")
        async with self._one_at_a_time:
            sound = await asyncio.to_thread(self._sound, tokens, self._styles[language])
        return sound, RATE_HZ

    def _sound(self, tokens: Sequence[int], style: NDArray[np.float32]) -> NDArray[np.float32]:
        parts = []
        for at in range(0, len(tokens), MOST_TOKENS):
            piece = list(tokens[at : at + MOST_TOKENS])
            given = {
                "tokens": np.array([[0, *piece, 0]], np.int64),
                "style": style[min(len(piece), len(style)) - 1].reshape(1, STYLE_FLOATS),
                "speed": np.array([self._speed], np.float32),
            }
            parts.append(np.asarray(self._session.run(None, given)[0], np.float32).ravel())
        return np.clip(np.concatenate(parts), -1.0, 1.0)


def _style(file: Path) -> NDArray[np.float32]:
    try:
        found = np.fromfile(file, np.float32)
    except OSError as error:
        raise ConfigError(f"plugins/kokoro.toml: styles: {file} cannot be read: {error.strerror}") from None
    if not len(found) or len(found) % STYLE_FLOATS:
        raise ConfigError(f"plugins/kokoro.toml: styles: {file} is no style of {STYLE_FLOATS} numbers a row")
    return found.reshape(-1, STYLE_FLOATS)


async def phonemes_of(text: str, voice: str) -> str:
    """Return a text in the model's phonemes, its punctuation kept; the text goes in on standard input, so that no list of processes shows it."""
    parts = []
    for piece in _PAUSES.split(text):
        if _PAUSES.fullmatch(piece):
            parts.append(piece)
        elif piece.strip():
            parts.append(f" {await _spoken(piece, voice)}")
    return "".join(parts).strip()


async def _spoken(text: str, voice: str) -> str:
    process = await asyncio.create_subprocess_exec(
        PROGRAM, "--stdin", "-q", "--ipa", "--tie=^", "-v", voice,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        said, _ = await process.communicate(text.encode())
    finally:
        if process.returncode is None:  # cancelled, or over its limit
            process.kill()
    return " ".join(said.decode("utf-8", "replace").split())


def tokens_of(phonemes: str, vocabulary: dict[str, int]) -> list[int]:
    """Return phonemes as the model's numbers; what it does not know is left out.

    Examples
    --------
    >>> tokens_of("t^ʃa", {"ʧ": 5, "a": 43, "t": 62})
    [5, 43]
    """
    text = unicodedata.normalize("NFC", phonemes)
    for tied, one in _TIES.items():
        text = text.replace(tied, one)
    return [vocabulary[sign] for sign in text.replace("^", "") if sign in vocabulary]


@hookimpl
def dialer_check_settings(engine: EngineHandle) -> None:
    """Look at the settings."""
    engine.settings(KokoroSettings)


@hookimpl
def dialer_register_voices(engine: EngineHandle) -> Sequence[Voice]:
    """Offer the voice, where its extra, its files and espeak-ng are there."""
    try:
        runtime = importlib.import_module("onnxruntime")
    except ImportError:
        raise ConfigError("the extra is not installed: pip install 'marcador[kokoro]'") from None
    if shutil.which(PROGRAM) is None:
        raise ConfigError(
            f"{PROGRAM} is not installed, which tells it how words are spoken: apt-get install espeak-ng"
        )
    settings = engine.settings(KokoroSettings)
    return [Kokoro(settings, engine.config_directory, runtime)]
