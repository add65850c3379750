"""`dialer score` as its users call it, and any CSV judged."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pytest

from dialer_core.settings import load_settings
from dialer_core.store import lead_ranks, scan
from dialer_core.store.database import open_database
from tests.commands.test_cli import config, invoke  # noqa: F401 - the fixture
from tests.plugins.prioritization.portfolio import write

pytestmark = [pytest.mark.db, pytest.mark.timeout(120)]


def test_a_list_is_learned_from_and_put_in_order(config: Path, tmp_path: Path) -> None:  # noqa: F811  # fmt: skip
    """Train, run, explain, evaluate: the list is in order afterwards, the picture is one, and a second run changes little."""
    settings = load_settings(config)
    database = open_database(settings.store_url, node="n")
    database.migrate()
    write(database, 400, tries=12, now=dt.datetime.now(dt.UTC))
    options = ["--config", str(config)]
    trained = invoke("score", "train", "cobranza", *options)
    assert trained.exit_code == 0, trained.output
    assert "learned from" in trained.output
    done = json.loads(invoke("score", "run", "cobranza", "--json", *options).output)
    assert done["accounts"] == 400
    assert done["changed"] > 390
    with database.read() as tx:
        assert len({row.priority for row in scan.rows(tx, "lead", "priority")}) > 300
        told = [row.propensity for row in scan.rows(tx, "lead", "propensity")]
    assert all(lead_ranks.at_hour(one, 19) is not None and lead_ranks.at_hour(one, 3) is None for one in told)
    shown = invoke("score", "explain", "cobranza", "A7", *options)
    assert shown.exit_code == 0, shown.output
    assert "(sube)" in shown.output or "(baja)" in shown.output
    assert "expected value" in shown.output
    picture = tmp_path / "lift.png"
    judged = invoke("score", "evaluate", "--campaign", "cobranza", "--what", "contact", "--picture", str(picture), *options)  # fmt: skip
    assert judged.exit_code == 0, judged.output
    assert "AUC" in judged.output
    assert picture.read_bytes().startswith(b"\x89PNG")
    database.dispose()


def test_too_little_and_wrong_names(config: Path) -> None:  # noqa: F811
    """An empty list is said to be ordered by the rule score, and unknown campaigns and accounts are refused in a line."""
    options = ["--config", str(config)]
    assert "0 tries, 2000 are needed" in invoke("score", "train", "cobranza", *options).output
    assert "0 accounts in order" in invoke("score", "run", "cobranza", *options).output
    for arguments, said in (
        (("train", "none"), "known are: cobranza"),
        (("explain", "cobranza", "none"), "there is no account 'none'"),
        (("evaluate",), "give one of --campaign and --csv"),
        (("evaluate", "--campaign", "cobranza"), "too little to judge by"),
    ):
        done = invoke("score", *arguments, *options)
        assert done.exit_code in {1, 2}, done.output
        assert said in done.output


@pytest.fixture(scope="module")
def loans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of loans in which one word and one number say much."""
    rng = np.random.default_rng(5)
    n = 4000
    job, amount = rng.choice(["a", "b", "c"], n), rng.lognormal(8, 1, n)
    odds = -1.2 + 1.4 * (job == "b") - 0.8 * (np.log(amount) - 8)
    paid = rng.random(n) < 1 / (1 + np.exp(-odds))
    file = tmp_path_factory.mktemp("csv") / "loans.csv"
    said = np.where(paid, "yes", "no")
    cells = [
        (job[i], f"{amount[i]:.2f}", "" if i % 9 == 0 else i % 7, f"2024-{1 + i // 400:02}-01", said[i])
        for i in range(n)
    ]
    rows = [";".join(map(str, row)) for row in cells]
    file.write_text("\n".join(["job;amount;noise;day;paid", *rows]) + "\n", encoding="utf-8-sig")
    return file


@pytest.mark.parametrize("time", [[], ["--time", "day"]], ids=["drawn", "in time"])
def test_any_table_is_judged(loans: Path, time: list[str], config: Path) -> None:  # noqa: F811
    """A CSV of others is learned from and judged on held-out rows: close to what its truth allows, and calibrated."""
    done = invoke("score", "evaluate", "--csv", str(loans), "--target", "paid", *time, "--json", "--config", str(config))  # fmt: skip
    assert done.exit_code == 0, done.output
    held = json.loads(done.output)["held_out"]
    assert held["rows"] == 1200
    assert 0.72 < held["auc"] < 0.85
    assert held["calibration_error"] < 0.04


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--target", "none"], "there is no column 'none'; there are: job, amount"),
        (["--target", "job"], "job has 3 values"),
        (["--target", "paid", "--positive", "maybe"], "paid is never 'maybe'"),
        (["--target", "paid", "--time", "job"], "is no time"),
        (["--target", "paid", "--ignore", "job", "--ignore", "amount", "--ignore", "noise", "--ignore", "day"], "no column is left"),
        ([], "needs --target"),
    ],
)  # fmt: skip
def test_a_wrong_table_is_a_line(loans: Path, options: list[str], said: str) -> None:
    """What cannot be used is said with what would be right."""
    done = invoke("score", "evaluate", "--csv", str(loans), *options)
    assert done.exit_code in {1, 2}
    assert said in done.output


def test_a_ragged_table_is_a_line(tmp_path: Path) -> None:
    """A row of another length is named by its number; a handful of rows is too few."""
    file = tmp_path / "t.csv"
    file.write_text("a,b\n" + "1,0\n" * 60 + "1\n")
    assert "row 62: 1 cells where the header has 2" in invoke("score", "evaluate", "--csv", str(file), "--target", "b").output  # fmt: skip
    file.write_text("a,b\n1,0\n")
    assert "1 rows are too few" in invoke("score", "evaluate", "--csv", str(file), "--target", "b").output
