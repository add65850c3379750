"""What a run says is best done next, as far as the gate is open."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dialer_core.plugin_api import Channel, Opening, StepAction, StepFacts
from dialer_core.portfolio.next_step import problem_of
from plugins.prioritization.next_step import Runs, next_at
from plugins.prioritization.runs import Scores, scores_file

pytestmark = pytest.mark.unit

NOW = dt.datetime(2026, 6, 15, 18, 0, tzinfo=dt.UTC)
ACCOUNT = "0198c9a4-7c1e-7000-8000-000000000001"
MEXICO = "America/Mexico_City"


def opening(
    *, allowed: bool = True, from_utc: dt.datetime | None = None, channel: Channel = Channel.VOICE
) -> Opening:
    """Return what the gate says."""
    return Opening(channel=channel, allowed=allowed, from_utc=from_utc, zone=MEXICO)


def facts(**changes: Any) -> StepFacts:
    """Return what the hook is asked with; of the account only what it reads."""
    account = SimpleNamespace(
        restrictions=(), promise=None, account=SimpleNamespace(id=ACCOUNT, currency="MXN")
    )
    told = {
        "account": account,
        "campaign_id": "cobranza",
        "now": NOW,
        "talking": False,
        "openings": (opening(),),
    }
    return StepFacts(**told | changes)  # type: ignore[arg-type]


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    """A run in which the account is best called at seven in the evening."""
    write(tmp_path, hour=19, channel=0)
    return Runs(tmp_path)


def write(folder: Path, *, hour: int, channel: int, made: dt.datetime = NOW) -> None:
    """Write a run of one account."""
    one = np.ones(1)
    Scores(
        np.array([ACCOUNT.replace("-", "")], "S32"), np.full((1, 15), 0.2, np.float32), (one * 0.1).astype(np.float32), one * 120.5,
        np.array([hour], np.int8), np.array([channel], np.int8), (one * 0.34).astype(np.float32), 7, made.timestamp(),
    ).save(scores_file(folder, "cobranza"))  # fmt: skip


async def test_the_best_hour_is_named(runs: Runs) -> None:
    """At noon: call at seven in the evening, with the share that answers and the expected value in both languages."""
    step = await runs.step(facts())
    assert step is not None
    assert (step.action, step.channel) == (StepAction.CALL, Channel.VOICE)
    assert step.at_utc == dt.datetime(2026, 6, 16, 1, 0, tzinfo=dt.UTC)
    assert "34%" in step.why["es"]
    assert "120 MXN" in step.why["en"]
    assert problem_of(step) == ""


async def test_a_new_run_is_read(runs: Runs) -> None:
    """When the file changes, what it says counts: now by WhatsApp."""
    await runs.step(facts())
    write(runs.folder, hour=12, channel=2)
    os.utime(scores_file(runs.folder, "cobranza"), (1, 1))
    step = await runs.step(facts(openings=(opening(channel=Channel.WHATSAPP),)))
    assert step is not None
    assert (step.action, step.channel, step.at_utc) == (StepAction.WRITE, Channel.WHATSAPP, None)


@pytest.mark.parametrize("case", ["talking", "promise", "closed", "unknown", "old", "none"])
async def test_others_decide_where_it_says_nothing(runs: Runs, case: str) -> None:
    """Who talks, has promised, cannot be reached or is not in a run of the last days is left to other plugins."""
    asked = facts()
    match case:
        case "talking":
            asked = facts(talking=True)
        case "promise":
            asked.account.promise = "one"  # type: ignore[misc,assignment]
        case "closed":
            asked = facts(openings=(opening(allowed=False),))
        case "unknown":
            asked.account.account.id = "0198c9a4-7c1e-7000-8000-000000000009"  # type: ignore[misc,assignment]
        case "old":
            asked = facts(now=NOW + dt.timedelta(days=4))
        case _:
            scores_file(runs.folder, "cobranza").unlink()
    assert await runs.step(asked) is None


@pytest.mark.parametrize(
    ("hour", "from_utc", "expected"),
    [
        (12, None, None),
        (19, None, "2026-06-16T01:00"),
        (9, None, "2026-06-16T15:00"),
        (19, "2026-06-16T02:00", "2026-06-17T01:00"),
        (8, "2026-06-16T14:30", "2026-06-16T14:30"),
    ],
)
def test_the_hour_comes_after_the_gate_opens(hour: int, from_utc: str | None, expected: str | None) -> None:
    """The next time it is that hour where they are, and never before the gate opens."""
    opens = dt.datetime.fromisoformat(from_utc).replace(tzinfo=dt.UTC) if from_utc else None
    at = next_at(NOW, hour, opening(allowed=opens is None, from_utc=opens))
    assert at == (dt.datetime.fromisoformat(expected).replace(tzinfo=dt.UTC) if expected else None)
