"""Call detail records say what happened to each attempt, when, and in SIP's words; files hold the same rows in every format."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from dialer_core.errors import CommandRefusedError
from dialer_core.reports import files
from dialer_core.reports.asked import Asked
from dialer_core.reports.cdr import COLUMNS, cdr
from dialer_core.reports.sheet import Column
from dialer_core.reports.summary import summary
from dialer_core.reports.targets import put, targets
from dialer_core.store.database import Database
from dialer_core.vocabulary import CampaignId
from tests.reports.floor import DAY, MONDAY, write

pytestmark = pytest.mark.db


def records(database: Database, **asked: Any) -> list[dict[str, Any]]:
    """Return the records, by column."""
    with database.read() as tx:
        return [dict(zip([one.name for one in COLUMNS], row, strict=True)) for row in cdr(tx, Asked(**asked))]


def test_a_record_tells_the_whole_call(database: Database) -> None:
    """Its moments are placed in time, its seconds are those between them, and the answer is SIP's own."""
    with database.write() as tx:
        write(tx)
    found = records(database)
    assert [one["started_at"] for one in found] == sorted(one["started_at"] for one in found)
    first = found[0]
    assert {name: first[name] for name in ("ring_s", "wait_s", "talk_s", "billed_s", "sip_code", "sip_reason", "outcome", "agent")} == {
        "ring_s": 10.0, "wait_s": 2.0, "talk_s": 60.0, "billed_s": 62.0, "sip_code": 200, "sip_reason": "OK", "outcome": "connected",
        "agent": "ana",
    }  # fmt: skip
    assert first["call_id"] == first["attempt_id"]
    assert first["answered_at"] == "2026-03-02T18:04:58.000+00:00"  # its end, less the 62 seconds
    busy = next(one for one in found if one["outcome"] == "busy")
    assert (busy["sip_code"], busy["sip_reason"], busy["answered_at"], busy["billed_s"]) == (
        486,
        "Busy Here",
        None,
        0.0,
    )


def test_records_are_filtered(database: Database) -> None:
    """By day, campaign, agent and product; the records and the summary count the same."""
    with database.write() as tx:
        write(tx)
    for asked in (
        {}, {"since": MONDAY.date(), "until": MONDAY.date()}, {"only": {"campaign": ("autumn",)}}, {"only": {"agent": ("ana",)}},
        {"only": {"product": ("tarjeta",)}}, {"since": (MONDAY + DAY).date(), "only": {"agent": ("ana", "")}},
    ):  # fmt: skip
        with database.read() as tx:
            [row] = summary(tx, Asked(**asked), MONDAY + 6 * DAY).records()  # type: ignore[arg-type]
        assert len(records(database, **asked)) == row["attempts"] > 0


def test_every_format_holds_the_same(tmp_path: Path) -> None:
    """CSV, JSON and Parquet: the same rows, types where the format has them, and nothing for what there is nothing to say of."""
    columns = (Column("day", "key"), Column("attempts", "count"), Column("rate", "rate"))
    rows = [("2026-03-02", 7, None), ("2026-03-03", 1, 0.5), ('"quoted", ñ', 0, 0.0)]
    text = io.StringIO()
    assert files.write_csv(text, columns, rows) == 3
    assert list(csv.reader(io.StringIO(text.getvalue())))[1:] == [
        ["2026-03-02", "7", ""],
        ["2026-03-03", "1", "0.5"],
        ['"quoted", ñ', "0", "0.0"],
    ]
    text = io.StringIO()
    assert files.write_json(text, columns, rows) == 3
    told = [dict(zip(("day", "attempts", "rate"), row, strict=True)) for row in rows]
    assert json.loads(text.getvalue()) == told
    text = io.StringIO()
    files.write_json(text, columns, [])
    assert json.loads(text.getvalue()) == []
    import pyarrow.parquet as pq

    assert files.write_parquet(tmp_path / "r.parquet", columns, rows) == 3
    table = pq.read_table(tmp_path / "r.parquet")
    assert table.to_pylist() == told
    assert [str(one.type) for one in table.schema] == ["string", "int64", "double"]


def test_parquet_without_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install."""
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(CommandRefusedError, match=r"pip install 'marcador\[parquet\]'"):
        files.write_parquet(tmp_path / "r.parquet", (), [])


def test_targets_and_what_was_reached(database: Database) -> None:
    """Each target with its day's figure; set again it is replaced, 0 takes it away, and what is no figure is refused; all of it audited."""
    from tests.campaigns.lists import rows as rows_of

    spring, tuesday = CampaignId("spring"), (MONDAY + DAY).date()
    with database.write() as tx:
        write(tx)
        put(tx, spring, tuesday, "recovered", 50_000, actor="cli")
        put(tx, spring, tuesday, "recovered", 200_000, actor="cli")
        put(tx, spring, tuesday, "kept", 1, actor="cli")
        put(tx, spring, tuesday, "attempts", 9, actor="cli")
        put(tx, spring, tuesday, "attempts", 0, actor="cli")
        put(tx, CampaignId("autumn"), MONDAY.date(), "right_party", 4, actor="cli")
        for metric, goal in (("recovery_rate", 1), ("nonsense", 1), ("kept", -1)):
            with pytest.raises(CommandRefusedError):
                put(tx, spring, tuesday, metric, goal, actor="cli")
        assert targets(tx, Asked(), MONDAY + 6 * DAY).rows == [
            ("autumn", "2026-03-02", "right_party", "count", 4, 1, 0.25),
            ("spring", "2026-03-03", "kept", "count", 1, 1, 1.0),
            ("spring", "2026-03-03", "recovered", "money", 200_000, 100_000, 0.5),
        ]
        assert targets(tx, Asked(since=tuesday, only={"campaign": ("autumn",)}), MONDAY).rows == []
    with database.read() as tx:
        assert [row["action"] for row in rows_of(tx, "audit")].count("target.set") == 6


def test_no_cell_is_a_formula() -> None:
    """What a spreadsheet would compute, out of somebody's file of accounts, is text; numbers and telephone numbers stay as they are."""
    text = io.StringIO()
    cells = ["=HYPERLINK(1)", "@x", "-1+cmd|' /C calc'!A0", "+525512345678", -3]
    files.write_csv(text, (Column("product", "key"),), [(cell,) for cell in cells])
    assert [cell for [cell] in csv.reader(io.StringIO(text.getvalue()))][1:] == [
        "'=HYPERLINK(1)",
        "'@x",
        "'-1+cmd|' /C calc'!A0",
        "+525512345678",
        "-3",
    ]
