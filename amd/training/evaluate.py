"""What the detector's marks are worth: shares with intervals, latencies, tables by kind, language, noise and source.

Owns the figures. The calls come from `calls.py`, the marks from `observe.py`; nothing is chosen here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from amd import DetectorConfig, Label, Mark, MarkKind
from amd.model import Model
from amd.training import app_amd, observe
from amd.training.calls import Call
from amd.training.observe import LIVE

DRAWS = 2000
"""Samples of the bootstrap over speakers."""
BEEP_WITHIN_S = 0.1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one call; times in seconds from the answer, NaN where there is none."""

    label: str
    kind: str
    speaker: str
    language: str
    source: str
    noise: str
    first: Label
    last: Label
    first_s: float
    after_greeting_s: float
    revised_s: float
    resumed_s: float
    beep_after_s: float
    beep_wanted: bool
    clean_line: bool
    asterisk: str

    @property
    def kept(self) -> bool:
        """Whether it ended as a person's."""
        return self.last in LIVE

    @property
    def passed(self) -> bool:
        """Whether an agent was connected."""
        return self.first in LIVE


def outcomes(
    batches: Iterable[Sequence[Call]],
    config: DetectorConfig,
    classifier: Model | None = None,
    *,
    agents_seed: int | None = None,
) -> list[Outcome]:
    """Run calls through the detector and note what became of each; with `agents_seed`, agents speak to those who are connected."""
    found = []
    for number, calls in enumerate(batches):
        asterisk = app_amd.app_amd(np.stack([call.frames for call in calls]))
        seed = None if agents_seed is None else agents_seed + number
        said = observe.marks(calls, config, classifier, agents_seed=seed)
        for call, marks, usual in zip(calls, said, asterisk.label, strict=True):
            found.append(_outcome(call, marks, usual))
    return found


def _outcome(call: Call, marks: Sequence[Mark], asterisk: str) -> Outcome:
    scene = call.scene
    verdict = next(
        (mark for mark in marks if mark.kind is MarkKind.VERDICT and mark.label is not Label.RINGBACK), None
    )
    revised = next((mark for mark in marks if mark.kind is MarkKind.REVISED), None)
    beeps = [_at(mark) for mark in marks if mark.kind is MarkKind.BEEP]
    near = [at - scene.beep_end_s for at in beeps if abs(at - scene.beep_end_s) < 0.3]
    first = verdict.label if verdict else Label.UNKNOWN
    return Outcome(
        label=scene.label,
        kind=scene.kind,
        speaker=scene.speaker,
        language=scene.language,
        source=scene.source,
        noise=call.line.noise_band,
        first=first,
        last=revised.label if revised else first,
        first_s=_at(verdict),
        after_greeting_s=_at(verdict) - scene.greeting_end_s,
        revised_s=_at(revised),
        resumed_s=scene.resumed_s,
        beep_after_s=near[0] if near else np.nan,
        beep_wanted=bool(np.isfinite(scene.beep_end_s)),
        clean_line=call.line.clean,
        asterisk=asterisk,
    )


def _at(mark: Mark | None) -> float:
    return 0.02 * (mark.tick + 1) if mark is not None else np.nan


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Return the 95 % interval of a share.

    References
    ----------
    E. B. Wilson (1927), "Probable inference, the law of succession, and statistical inference", Journal of the American
    Statistical Association 22.
    """
    if n == 0:
        return 0.0, 1.0
    share, spread = hits / n, z * z / n
    centre = (share + spread / 2) / (1 + spread)
    half = z * np.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def bootstrap(
    found: Sequence[Outcome], what: Callable[[Outcome], bool], seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of a share, speakers being drawn again with all their calls."""
    by_speaker: dict[str, list[bool]] = defaultdict(list)
    for outcome in found:
        by_speaker[outcome.speaker].append(what(outcome))
    hits = np.array([sum(values) for values in by_speaker.values()])
    counts = np.array([len(values) for values in by_speaker.values()])
    drawn = np.random.default_rng(seed).integers(0, hits.size, (DRAWS, hits.size))
    shares = hits[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(low), float(high)


def report(found: Sequence[Outcome]) -> dict[str, object]:
    """Return every figure of an evaluation, ready for JSON."""
    people = [o for o in found if o.label == "human"]
    machines = [o for o in found if o.label == "machine" and o.kind != "pausing"]
    pausing = [o for o in found if o.kind == "pausing"]
    # passed at first, and then revised: in how many, and of those whose pause was long enough to be passed
    passed = [o for o in pausing if o.passed and o.first_s <= o.resumed_s]
    soon = [o for o in passed if not o.kept and o.revised_s - o.resumed_s <= 1.0]
    beeps = [o for o in found if o.beep_wanted]
    return {
        "people": _share(people, lambda o: o.kept)
        | {"speakers": len({o.speaker for o in people}), "bootstrap": bootstrap(people, lambda o: o.kept)}
        | {"at_first": sum(o.passed for o in people)},
        "machines": _share(machines, lambda o: not o.passed)
        | {
            "speakers": len({o.speaker for o in machines}),
            "bootstrap": bootstrap(machines, lambda o: not o.passed),
            "after_revision": sum(not o.kept for o in machines),
        },
        "person_after_greeting_s": _quantiles([o.after_greeting_s for o in people if o.first is Label.HUMAN]),
        "machine_from_answer_s": _quantiles([o.first_s for o in machines if not o.passed]),
        "pausing": {
            "calls": len(pausing),
            "caught_at_first": sum(not o.passed for o in pausing),
            "passed": len(passed),
            "revised": sum(not o.kept for o in passed),
            "revised_within_1_s": _share(passed, lambda o: o in soon) if passed else None,
        },
        "beeps": _share(beeps, _beep_heard)
        | {"clean_lines": _share([o for o in beeps if o.clean_line], _beep_heard)},
        "undecided": {
            label.word: {
                who: sum(o.first is label for o in found if o.label == who) for who in ("human", "machine")
            }
            for label in (Label.UNKNOWN, Label.SILENCE)
        },
        "app_amd": {
            "people": _share(people, lambda o: o.asterisk != "machine"),
            "machines": _share(machines, lambda o: o.asterisk == "machine"),
        },
        "missed": _missed(found),
        "people_by": {
            name: _table(people, name, lambda o: o.kept) for name in ("kind", "language", "noise", "source")
        },
        "machines_by": {
            name: _table(machines, name, lambda o: not o.passed)
            for name in ("kind", "language", "noise", "source")
        },
    }


def _missed(found: Sequence[Outcome]) -> dict[str, dict[str, dict[str, int]]]:
    """Return what was not told rightly at first, by kind of call and by what it was told to be instead, and later."""
    counts: dict[str, dict[str, dict[str, int]]] = {"people": {}, "machines": {}}
    for outcome in found:
        human = outcome.label == "human"
        if outcome.passed != human and outcome.kind != "pausing":
            told = outcome.first.word + (
                f", then {outcome.last.word}" if outcome.last is not outcome.first else ""
            )
            kinds = counts["people" if human else "machines"].setdefault(outcome.kind, {})
            kinds[told] = kinds.get(told, 0) + 1
    return counts


def _beep_heard(outcome: Outcome) -> bool:
    # what was told in a tick was heard by its end, and a beep may end with its beginning: two ticks more
    return bool(outcome.beep_after_s <= BEEP_WITHIN_S + 0.04)


def _share(found: Sequence[Outcome], what: Callable[[Outcome], bool]) -> dict[str, object]:
    hits = sum(map(what, found))
    return {
        "calls": len(found),
        "hits": hits,
        "share": hits / len(found) if found else None,
        "wilson": wilson(hits, len(found)),
    }


def _table(
    found: Sequence[Outcome], name: str, what: Callable[[Outcome], bool]
) -> dict[str, dict[str, object]]:
    values = sorted({str(getattr(o, name)) for o in found})
    return {value: _share([o for o in found if str(getattr(o, name)) == value], what) for value in values}


def _quantiles(values: Sequence[float]) -> dict[str, float] | None:
    known: NDArray[np.float64] = np.array([value for value in values if np.isfinite(value)])
    if known.size == 0:
        return None
    p50, p95 = np.quantile(known, [0.5, 0.95])
    return {"p50": round(float(p50), 3), "p95": round(float(p95), 3), "calls": int(known.size)}
