"""What happens in a simulated call and when: who answers, what they say after which pause, beeps, what goes on behind.

Owns the distributions of people's and machines' timing, and the truth of a call. Its line is `channel.py`'s, the sound of many
calls at once `calls.py`'s.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from amd.training.parts import Part, Sound

SECONDS = 10.0
"""Length of a simulated call."""
SAMPLE_HZ = 8000
PEOPLE = {"hello": 0.67, "who": 0.08, "two phrases": 0.07, "business": 0.06, "repeated": 0.05, "late": 0.07}
"""How people answer, as shares: four in five with a short word or two, of which some late or twice. No survey is behind them."""
MACHINES = {
    "greeting": 0.55,
    "short": 0.05,
    "pausing": 0.16,
    "announcement": 0.08,
    "ivr": 0.1,
    "screening": 0.06,
}
"""What answers otherwise, as shares."""
PAUSE_S = (1.2, 2.4)
"""Pause after the first phrase of a greeting of kind `pausing`."""
SPOKEN_S = {"hello": (0.2, 1.3), "who": (0.7, 2.8), "business": (1.3, 4.5), "more": (0.4, 7.0)}
"""Lengths of utterances that count as such."""


def _nothing() -> Sound:
    return np.zeros(round(SECONDS * SAMPLE_HZ), np.float32)


@dataclass(slots=True)
class Scene:
    """The truth of one call, and its clean sound.

    Attributes
    ----------
    label : str
        `human` or `machine`.
    kind : str
        A key of `PEOPLE` or `MACHINES`.
    greeting_end_s : float
        When the greeting is over: of a person, before anything they say later; of a pausing machine, the first phrase.
    resumed_s : float
        When a pausing machine goes on; NaN otherwise.
    beep_end_s : float
        End of the beep; NaN without one.
    replied_s : float
        When a person answers what an agent said to them; NaN where they do not.
    asked_s : float
        When a person asks again because nobody has spoken to them; NaN where they do not.
    sound : numpy.ndarray of float32
        Speech, silence elsewhere.
    beep : numpy.ndarray of float32
        The beep, its level against the speech's, however loud that is; silence elsewhere.
    """

    label: str
    kind: str
    speaker: str
    language: str
    source: str
    onset_s: float = 0.0
    greeting_end_s: float = 0.0
    resumed_s: float = np.nan
    beep_end_s: float = np.nan
    replied_s: float = np.nan
    asked_s: float = np.nan
    sound: Sound = field(default_factory=_nothing)
    beep: Sound = field(default_factory=_nothing)

    def put(self, sound: Sound, at_s: float, *, beep: bool = False) -> float:
        """Mix sound in; return when it ends, in seconds."""
        first = round(at_s * SAMPLE_HZ)
        room = (self.beep if beep else self.sound)[first : first + sound.size]
        room += sound[: room.size]
        return at_s + sound.size / SAMPLE_HZ


class Cast:
    """The speakers of one split, each with what they can say.

    Speakers of whom there are only short utterances say several of them where a long one is needed, and recordings of whole
    sentences give short ones up to their first pause: whoever speaks, speaks on both sides.
    """

    def __init__(self, parts: Iterable[Part]) -> None:
        self._lines: dict[str, dict[str, list[Part]]] = defaultdict(lambda: defaultdict(list))
        for part in parts:
            self._lines[part.speaker][part.kind].append(part)
            if part.kind in {"prompt", "voicemail", "announcement"}:
                for cut in _first_phrases(part):
                    self._lines[part.speaker][cut.kind].append(cut)
        self.speakers = sorted(self._lines)
        self._weights = _weights(self._lines, self.speakers)

    def speaker(self, rng: np.random.Generator) -> str:
        """Return a speaker drawn by weight."""
        return self.speakers[rng.choice(len(self.speakers), p=self._weights)]

    def line(self, speaker: str, kinds: Sequence[str], rng: np.random.Generator) -> Part | None:
        """Return a line of one of some kinds; None if the speaker has none."""
        lines = [part for kind in kinds for part in self._lines[speaker].get(kind, ())]
        if not lines:
            return None
        return lines[rng.integers(len(lines))]

    def utterance(self, speaker: str, kind: str, rng: np.random.Generator) -> Sound | None:
        """Return something said in one breath, made of shorter ones if need be, within `SPOKEN_S`; None if there is nothing."""
        least, most = SPOKEN_S[kind]
        for kinds in ((kind,), ("hello", "who", "more")):
            for _ in range(4):
                part = self.line(speaker, kinds, rng)
                if part is None:
                    break
                sound = joined(part.phrases, rng.uniform(0.1, 0.3, 8))
                while sound.size < least * SAMPLE_HZ and (more := self.line(speaker, kinds, rng)) is not None:
                    sound = joined([sound, *more.phrases], rng.uniform(0.04, 0.25, 8))
                if least <= sound.size / SAMPLE_HZ <= most:
                    return sound
        return None


def joined(phrases: Sequence[Sound], gaps_s: NDArray[np.float64]) -> Sound:
    """Return phrases one after another with gaps between them."""
    pieces: list[Sound] = []
    for i, phrase in enumerate(phrases):
        if i:
            pieces.append(np.zeros(round(float(gaps_s[(i - 1) % len(gaps_s)]) * SAMPLE_HZ), np.float32))
        pieces.append(phrase)
    return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)


def person(cast: Cast, rng: np.random.Generator, kind: str | None = None) -> Scene | None:
    """Draw a call answered by a person; None if the drawn speaker cannot play it."""
    kind = kind or _draw(PEOPLE, rng)
    speaker = cast.speaker(rng)
    first = cast.utterance(speaker, kind if kind in {"who", "business"} else "hello", rng)
    part = cast.line(speaker, ("hello", "who", "business", "prompt", "voicemail"), rng)
    if first is None or part is None:
        return None
    scene = Scene("human", kind, speaker, part.language, part.source)
    scene.onset_s = _delay(rng, 0.7, 0.04, 3.0) if kind != "late" else rng.uniform(2.4, 4.2)
    end = scene.put(first, scene.onset_s)
    if kind == "two phrases":
        second = cast.utterance(speaker, str(rng.choice(["hello", "who"])), rng)
        if second is None:
            return None
        end = scene.put(second, end + rng.uniform(0.25, 1.0))
    scene.greeting_end_s = end
    if kind == "repeated":
        again = cast.utterance(speaker, "hello", rng)
        scene.asked_s = end + rng.uniform(1.1, 2.4)
        end = scene.put(first if again is None else again, scene.asked_s)
    if rng.random() < 0.5:
        # nobody spoke to them yet and they ask, or an agent did and they answer
        asks = rng.random() < 0.2
        more = cast.utterance(speaker, str(rng.choice(["hello", "who"] if asks else ["who", "more"])), rng)
        if more is not None:
            at = end + (rng.uniform(0.9, 2.5) if asks else rng.uniform(1.8, 4.5))
            scene.put(more, at)
            if not asks:
                scene.replied_s = at
            elif np.isnan(scene.asked_s):
                scene.asked_s = at
    return scene


def machine(cast: Cast, rng: np.random.Generator, kind: str | None = None) -> Scene | None:
    """Draw a call answered by a recording; None if the drawn speaker cannot play it."""
    kind = kind or _draw(MACHINES, rng)
    speaker = cast.speaker(rng)
    phrases = _recording(cast, speaker, kind, rng)
    part = cast.line(speaker, ("voicemail", "prompt", "hello", "who"), rng)
    if not phrases or part is None:
        return None
    scene = Scene("machine", kind, speaker, part.language, part.source)
    scene.onset_s = _delay(rng, 0.55, 0.02, 3.5)
    end = scene.put(phrases[0], scene.onset_s)
    scene.greeting_end_s = end
    for i, phrase in enumerate(phrases[1:]):
        long = kind == "pausing" and i == 0
        end += rng.uniform(*PAUSE_S) if long else rng.uniform(0.15, 0.75)
        if long:
            scene.resumed_s = end
        end = scene.put(phrase, end)
        if kind != "pausing":
            scene.greeting_end_s = end
    if kind in {"greeting", "short", "pausing"} and rng.random() < 0.8:
        length = rng.uniform(0.1, 1.2)
        at = end + rng.uniform(0.2, 1.4)
        if at + length < SECONDS - 0.2:
            scene.beep_end_s = scene.put(_beep(rng, length), at, beep=True)
    return scene


def _recording(cast: Cast, speaker: str, kind: str, rng: np.random.Generator) -> list[Sound]:
    wanted = {"ivr": ("ivr",), "screening": ("screening",), "announcement": ("announcement",)}.get(kind, ())
    part = cast.line(speaker, wanted or ("voicemail", "prompt"), rng)
    if part is None:
        if kind == "screening":
            return []
        # a person's own recording: several of their utterances in a row, one in three beginning with a short word
        kinds = ["hello"] * int(rng.random() < 1 / 3)
        kinds += [str(kind) for kind in rng.choice(["who", "business"], rng.integers(2, 6))]
        phrases = [sound for kind in kinds if (sound := cast.utterance(speaker, kind, rng)) is not None]
    else:
        phrases = list(part.phrases)
        while sum(phrase.size for phrase in phrases) < 4.0 * SAMPLE_HZ and part.kind == "prompt":
            more = cast.line(speaker, ("prompt",), rng)
            if more is None:
                break
            phrases += more.phrases
    if kind == "short":
        first = phrases[0]
        return [first] if 0.9 <= first.size / SAMPLE_HZ <= 2.6 else []
    if kind == "pausing":
        cut = _first_pause(phrases[0]) if len(phrases) < 2 or phrases[0].size > 2.2 * SAMPLE_HZ else None
        if cut is not None:
            phrases = [phrases[0][: cut[0]], phrases[0][cut[1] :], *phrases[1:]]
        long_enough = sum(phrase.size for phrase in phrases[1:]) > 1.5 * SAMPLE_HZ
        return phrases if 0.5 <= phrases[0].size / SAMPLE_HZ <= 2.3 and long_enough else []
    return phrases if sum(phrase.size for phrase in phrases) > 3.0 * SAMPLE_HZ else []


def _first_phrases(part: Part) -> list[Part]:
    phrase = part.phrases[0]
    cut = _first_pause(phrase)
    first = phrase[: cut[0]] if cut else phrase
    for kind in ("hello", "who"):
        if SPOKEN_S[kind][0] <= first.size / SAMPLE_HZ <= SPOKEN_S[kind][1]:
            return [Part(kind, part.speaker, part.language, part.source, part.split, (first,))]
    return []


def _first_pause(sound: Sound) -> tuple[int, int] | None:
    """Return begin and end of the first pause of 120 ms and more, in samples."""
    frames = sound[: sound.size // 160 * 160].reshape(-1, 160)
    power = np.square(frames).mean(axis=1)
    quiet = power < power.max() * 1e-3 if power.size else np.zeros(0, np.bool_)
    run = 0
    for i, still in enumerate(quiet):
        if still:
            run += 1
        elif run >= 6 and i - run > 12:
            return 160 * (i - run), 160 * i
        else:
            run = 0
    return None


def _beep(rng: np.random.Generator, length_s: float) -> Sound:
    t = np.arange(round(length_s * SAMPLE_HZ)) / SAMPLE_HZ
    tone = np.sqrt(2.0) * np.sin(2 * np.pi * rng.uniform(400, 1500) * t) * 10 ** (rng.uniform(-8, 3) / 20)
    ramp = min(40, t.size // 2)
    tone[:ramp] *= np.linspace(0, 1, ramp)
    tone[t.size - ramp :] *= np.linspace(1, 0, ramp)
    return np.asarray(tone, np.float32)


def _weights(lines: dict[str, dict[str, list[Part]]], speakers: list[str]) -> NDArray[np.float64]:
    # a speaker counts by the root of what there is of them: many voices of one program do not drown a real one
    weights = np.array([np.sqrt(sum(len(parts) for parts in lines[name].values())) for name in speakers])
    return np.asarray(weights / weights.sum())


def _delay(rng: np.random.Generator, median_s: float, least_s: float, most_s: float) -> float:
    return float(np.clip(median_s * np.exp(0.75 * rng.standard_normal()), least_s, most_s))


def _draw(shares: dict[str, float], rng: np.random.Generator) -> str:
    names = list(shares)
    weights = np.array([shares[name] for name in names])
    return names[rng.choice(len(names), p=weights / weights.sum())]
