"""What is learned of a portfolio whose truth is known: the order, the hours, the file of a run and the words."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dialer_core.clock import VirtualClock
from dialer_core.plugin_api import EngineHandle
from dialer_core.plugin_records import Records
from dialer_core.store.database import Database, open_database
from dialer_core.vocabulary import CampaignId
from plugins.prioritization import due, evaluation, learning, reasons, scoring
from plugins.prioritization import history as history_module
from plugins.prioritization.features import COLUMNS, GROUPS, build
from plugins.prioritization.history import Happened, History, keys, local_times
from plugins.prioritization.learning import Model, ModelError
from plugins.prioritization.reading import read
from plugins.prioritization.runs import RunError, Scores, scores_file
from plugins.prioritization.settings import PrioritizationSettings
from tests.plugins.prioritization.portfolio import NOW, write

pytestmark = [pytest.mark.db, pytest.mark.timeout(120)]

CAMPAIGN = CampaignId("cobranza")
ITS = PrioritizationSettings()
LIST = 900


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A store with a portfolio whose truth is known."""
    opened = open_database(f"sqlite:///{tmp_path_factory.mktemp('scores') / 'store.db'}", node="n")
    opened.migrate()
    opened.truth = write(opened, LIST)  # type: ignore[attr-defined]
    yield opened
    opened.dispose()


def handle(database: Database, folder: Path) -> EngineHandle:
    """Return what the plugin gets."""
    clock = VirtualClock(NOW)
    records = Records(database, clock=clock, actor="plugin:prioritization")
    return EngineHandle(
        port=None, tail=None, clock=clock, actor="plugin:prioritization", records=records, state_dir=folder,  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.fixture(scope="module")
def history(database: Database, tmp_path_factory: pytest.TempPathFactory) -> History:
    """What the store holds of it, read as the plugin reads it."""
    import asyncio

    return asyncio.run(
        read(handle(database, tmp_path_factory.mktemp("x")), CAMPAIGN, days=180, zone=ITS.zone)
    )


@pytest.fixture(scope="module")
def models(history: History) -> dict[str, Model]:
    """Both models, learned of it."""
    return {what: scoring.train(scoring.rows_of(what, history, ITS)) for what in scoring.WHAT}


def truth(database: Any, history: History) -> tuple[np.ndarray, np.ndarray]:
    """Return who is an evening person and who pays, in the list's order."""
    known = {account.replace("-", "").encode(): said for account, said in database.truth.items()}
    both = np.array([known[one] for one in history.ids.tolist()])
    return both[:, 0], both[:, 1]


def test_everything_is_read(history: History) -> None:
    """Every account with its number, balance and calls is there, and the hours are those of the callee."""
    assert history.ids.size == LIST
    assert history.phones.tolist() == [1.0] * LIST
    assert history.balance.max() == 5000.0
    assert history.tries.account.size == LIST * 12
    assert set(history.tries.hour.tolist()) == set(range(8, 21))
    assert keys(history.ids).tolist() == sorted(keys(history.ids).tolist())


def test_nothing_ahead_is_known(history: History) -> None:
    """A row holds what was before its moment: with all that happened later taken away, it reads the same."""
    cut = NOW.timestamp() - 30 * 86_400
    span = history_module._SPAN
    used = history.tries.at_s < cut
    before = dataclasses.replace(
        history,
        **{
            name: Happened(
                *(
                    part[kept._key % span < cut]
                    for part in (kept._key // span, (kept._key % span).astype(float))
                )
            )
            for name in ("calls", "contacts", "payments", "made", "kept", "broken", "written", "answers")
            for kept in [getattr(history, name)]
        },
    )
    arguments = (history.tries.account[used], history.tries.at_s[used], history.tries.hour[used], history.tries.weekday[used])  # fmt: skip
    np.testing.assert_array_equal(build(history, *arguments), build(before, *arguments))


def test_todays_days_past_due_are_not_learned_from(history: History) -> None:
    """Who has paid since has few of them today: that would tell the past what comes."""
    for what in scoring.WHAT:
        assert np.isnan(scoring.rows_of(what, history, ITS).rows[:, COLUMNS.index("days_past_due")]).all()


def test_who_pays_comes_first(history: History, models: dict[str, Model], database: Database) -> None:
    """The first fifth of the list are payers, twice as many as in the list, and the best hour is each one's own."""
    scores = scoring.score(history, models, ITS, usable={"voice": True})
    evening, good = truth(database, history)
    order = np.argsort(-scores.value)
    assert good[order[: LIST // 5]].mean() > 2.0 * good.mean()
    at = scores.contact
    assert at[evening][:, 12:].mean() > 2 * at[evening][:, 1:5].mean()
    assert at[~evening][:, 1:5].mean() > 2 * at[~evening][:, 12:14].mean()
    late = scores.hour >= 18
    assert late[evening].mean() > 0.75
    assert late[~evening].mean() < 0.25
    assert set(scores.channel.tolist()) == {0}


def test_the_order_is_the_hours(history: History, models: dict[str, Model], database: Database) -> None:
    """At noon those who answer in the evening stand behind those of the same worth who answer in the morning; at seven it is the other way."""
    evening, good = truth(database, history)
    scores = scoring.score(history, models, ITS, usable={"voice": True})
    ranks = {}
    for hour in (10, 19):
        moved = dataclasses.replace(history, now_s=(NOW + dt.timedelta(hours=hour - 12)).timestamp())
        order = scoring.priorities(scores, moved, ITS)
        ranks[hour] = order[good & ~evening].mean() - order[good & evening].mean()
        assert 0 <= order.min() <= order.max() < 100
    assert ranks[10] > 20 > -20 > ranks[19]


def test_a_model_says_what_happens(history: History) -> None:
    """Held out in time, what is said of contacts is believed: well ranked, and off by little."""
    known = scoring.rows_of("contact", history, ITS)
    quality, *_ = evaluation.out_of_time(known.rows, known.happened, known.at_s, COLUMNS, [])
    assert quality.auc > 0.72
    assert quality.calibration_error < 0.05
    assert quality.lift_top_tenth > 1.8
    assert quality.gained[-1] == 1.0


def test_a_model_is_kept_as_data(models: dict[str, Model], history: History, tmp_path: Path) -> None:
    """A saved model says the same; a file that is none, or holds code, is refused in a sentence."""
    file = scoring.model_file(tmp_path, "cobranza", "pay")
    with pytest.raises(ModelError, match="no model yet"):
        Model.load(file)
    models["pay"].save(file)
    rows = scoring.rows_of("pay", history, ITS).rows[:200]
    np.testing.assert_allclose(Model.load(file).predict(rows), models["pay"].predict(rows))
    assert set(scoring.models(tmp_path, "cobranza")) == {"pay"}
    file.write_bytes(b"PK nonsense")
    with pytest.raises(ModelError, match="no model of ours"):
        Model.load(file)
    import skops.io

    skops.io.dump({"trees": Path("x"), "linear": None, "told": "{}"}, file)
    with pytest.raises(ModelError, match="holds"):
        Model.load(file)
    assert scoring.models(tmp_path, "cobranza") == {}


def test_without_enough_the_rule_score_stands_in(history: History) -> None:
    """Too few tries are named with how many are needed, and the rule score orders: who has paid lately before who never has."""
    known = scoring.rows_of("pay", history, ITS)
    some = scoring.Rows(known.rows[:100], known.happened[:100], known.at_s[:100])
    assert scoring.enough(some, ITS).startswith("100 tries, 2000 are needed")
    assert scoring.enough(known, ITS) == ""
    said = learning.rule("pay", known.rows, COLUMNS)
    paid = known.rows[:, COLUMNS.index("payments_90d")] > 0
    assert said[paid].mean() > 1.3 * said[~paid].mean()
    scores = scoring.score(history, {}, ITS, usable={"voice": True})
    assert np.isfinite(scores.value).all()


def test_a_run_is_found_again(history: History, models: dict[str, Model], tmp_path: Path) -> None:
    """A run's file gives every account its own row, and strangers none."""
    scores = scoring.score(history, models, ITS, usable={"voice": True})
    scores.save(scores_file(tmp_path, "cobranza"))
    again = Scores.load(scores_file(tmp_path, "cobranza"))
    for row in (0, 17, LIST - 1):
        assert again.place(scores.ids[row].decode()) == row
    assert again.place("0198c9a4-7c1e-7000-8000-000000000001") is None
    with pytest.raises(RunError, match="no list has been scored"):
        Scores.load(tmp_path / "none.npz")


def test_reasons_are_the_accounts_own(history: History, models: dict[str, Model]) -> None:
    """A payer's first reasons name the debt's age or payments, raise it, and stand in both languages."""
    known = scoring.rows_of("pay", history, ITS)
    beside = reasons.middle(known.rows)
    row = known.rows[models["pay"].predict(known.rows).argmax()]
    for language in ("es", "en"):
        why = reasons.explain(row, beside, models["pay"].predict, language)
        assert why[0].group in {"debt", "payments", "contacts"}
        assert why[0].points > 0
        assert all("{" not in one.text for one in why)
    assert {name for columns in GROUPS.values() for name in columns} == set(COLUMNS)
    assert set(reasons.WORDS["es"]) == set(reasons.WORDS["en"])


def test_nothing_protected_is_learned_from() -> None:
    """No column speaks of who somebody is."""
    assert not {"name", "language", "region", "sex", "gender", "age", "birth", "religion"} & set(COLUMNS)


def test_groups_are_compared(history: History) -> None:
    """A score that favours a group is seen: half as often in the first fifth is told as a half."""
    said = np.concatenate([np.linspace(0, 1, 1000), np.linspace(0, 0.9, 1000)])
    told = {one["group"]: one for one in evaluation.fairness(said, ["a"] * 1000 + ["b"] * 1000)}
    assert told["a"]["beside_most"] == 1.0
    assert 0.3 < told["b"]["beside_most"] < 0.8


def test_local_hours_know_the_daylight_change() -> None:
    """Tijuana is seven hours behind in summer and eight in winter; Mexico City six all year."""
    at = np.array([dt.datetime(2026, month, 15, 18, 30, tzinfo=dt.UTC).timestamp() for month in (1, 7)] * 2)
    hour, weekday = local_times(at, np.array([0, 0, 1, 1]), ("America/Tijuana", "America/Mexico_City"), "UTC")
    assert hour.tolist() == [10, 11, 12, 12]
    assert weekday.tolist() == [3, 2, 3, 2]


@pytest.mark.parametrize(
    ("local", "trained", "ordered", "expected"),
    [
        ("05:00", None, None, (True, True)),
        ("05:00", "04:31", "04:31", (False, False)),
        ("05:35", "04:31", "04:31", (False, True)),
        ("04:00", "04:31-1", "03:30", (False, False)),
        ("04:31", "04:31-1", "04:20", (True, True)),
    ],
)
def test_when_it_is_done(local: str, trained: str | None, ordered: str | None, expected: tuple[bool, bool]) -> None:  # fmt: skip
    """Once each morning models are trained and lists put in order, and the lists again every hour."""

    def at(said: str | None) -> str | None:
        if said is None:
            return None
        clock, _, back = said.partition("-")
        day = dt.date(2026, 6, 15) - dt.timedelta(days=int(back or 0))
        return dt.datetime.combine(day, dt.time.fromisoformat(clock), dt.timezone(dt.timedelta(hours=-6))).astimezone(dt.UTC).isoformat()  # fmt: skip

    now = at(local)
    assert now is not None
    assert due(dt.datetime.fromisoformat(now), at(trained), at(ordered), ITS) == expected
