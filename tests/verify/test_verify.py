"""`verify` passes a store in which nothing is wrong, and names the row and the invariant of every fault planted in it."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from dialer_core.errors import ImportFileError
from dialer_core.store.database import Database
from dialer_core.verify import CHECKS, Violation, verify_store
from tests.verify.conftest import verify
from tests.verify.plantings import PLANTINGS, attempt, both, contact, evidence, restriction
from tests.verify.voice_plantings import VOICE_PLANTINGS
from tests.verify.world import NOW_S, World, mono, utc

pytestmark = pytest.mark.db

ALL = PLANTINGS | VOICE_PLANTINGS


def test_clean_store(database: Database, world: World, wire: Path, tmp_path: Path) -> None:
    """A store in which nothing is wrong has no violation, and every check was made."""
    del world
    log = tmp_path / "dialer.log"
    log.write_text('{"event": "attempt_ended", "talk_ms": 5510000000}\n')
    report = verify(database, wire, log)
    assert [str(one) for one in report.violations] == []
    assert report.not_checked == []
    assert report.checked == [check.title for check in CHECKS]
    assert report.ok


@pytest.mark.parametrize("name", ALL)
def test_planted(database: Database, world: World, wire: Path, name: str) -> None:
    """The fault is named: its invariant, its words, and its row where it has one."""
    plant, invariant, words, row = ALL[name]
    with database.write() as tx:
        plant(tx, World.again(world, tx))
    found = verify(database, wire).violations
    assert [one for one in found if one.invariant == invariant and words in one.text], [
        str(one) for one in found
    ]
    if row is not None:
        named = {one.row_id for one in found if one.invariant == invariant and words in one.text}
        assert world.attempts[row] in named
    for one in found:
        assert_tells_nobody(one, world)


def assert_tells_nobody(violation: Violation, world: World) -> None:
    """A violation itself names no number and no person."""
    told = str(violation)
    for name, person in world.people.items():
        assert person["number"] not in told
        assert f"{name} P" not in told


def test_every_check_has_a_planting() -> None:
    """No check is without a fault that it finds: every check of every module is named by a planting or its own test."""
    planted = {invariant for _, invariant, _, _ in ALL.values()} | {"I10", "I15", "lists"}
    assert {check.invariant.value for check in CHECKS} == planted


def test_wire_faster_than_the_trunk(database: Database, world: World, wire: Path) -> None:
    """INVITEs that left the workers in time but came to the carrier too fast are named (I7)."""
    lines = [json.loads(line) for line in wire.read_text().splitlines()]
    for line in lines:
        if line["kind"] == "invite.received" and line["call_id"].partition("@")[0] in {
            "talk",
            "lost",
            "gone",
        }:
            line["at_mono_ns"] = mono(2.2)
    wire.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = verify(database, wire).violations
    assert [(one.invariant, one.row_id) for one in found] == [
        ("I7", world.attempts["gone"]),
        ("I7", world.attempts["tape"]),
    ]


def test_ledger_that_disagrees(
    database: Database, world: World, wire: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger that counts otherwise than the attempts is named with both counts (I10)."""
    del world
    from dialer_core.compliance import abandonment

    honest = abandonment.totals

    def forgetful(*arguments: Any) -> list[abandonment.WindowTotal]:
        return [abandonment.WindowTotal(one.name, one.live, 0) for one in honest(*arguments)]

    monkeypatch.setattr(abandonment, "totals", forgetful)
    found = verify(database, wire).violations
    assert {one.invariant for one in found} == {"I10"}
    assert "says 0 of 4 abandoned, and the attempts say 1 of 4" in found[0].text


def test_without_configuration_it_says_what_was_left_out(database: Database, world: World) -> None:
    """Given a store alone, the checks that need more are named with what they need; the others are made."""
    del world
    report = verify_store(database, now=utc(NOW_S))
    assert report.ok
    assert any("needs the rule packs" in line for line in report.not_checked)
    assert any("needs the carrier's log" in line for line in report.not_checked)
    assert len(report.checked) + len(report.not_checked) == len(CHECKS)


def test_pack_of_another_version_is_no_judge(database: Database, world: World, wire: Path) -> None:
    """Attempts allowed by another version of a pack are not judged by this one, and the report says how many."""
    with database.write() as tx:
        at = utc(-6 * 3600)
        again = World.again(world, tx)
        both(attempt("busy", committed_at_utc=at), contact("busy", at_utc=at), evidence("busy", version="0"))(
            tx, again
        )
    report = verify(database, wire)
    assert [one for one in report.violations if "was allowed at" in one.text] == []
    assert (
        "I11 of 1 attempts: they were allowed by a rule pack or version that was not given"
        in report.not_checked
    )


@pytest.mark.parametrize(
    ("columns", "made_s"),
    [
        ({"until_utc": utc(9)}, None),
        ({"channel": "sms"}, None),
        ({}, 30.0),
        ({"from_utc": utc(50)}, None),
    ],
    ids=["over", "another channel", "dated back, written later", "not yet"],
)
def test_restrictions_that_do_not_speak_of_the_call(
    database: Database, world: World, wire: Path, columns: dict[str, Any], made_s: float | None
) -> None:
    """A restriction that is over, of another channel, written after the call, or not yet in force, breaks nothing."""
    with database.write() as tx:
        plant = restriction("Eloy", "number", "number", from_s=5, made_s=made_s, **columns)
        plant(tx, World.again(world, tx))
    found = [one for one in verify(database, wire).violations if one.row_id == world.attempts["busy"]]
    assert found == []


def test_log_files(database: Database, world: World, wire: Path, tmp_path: Path) -> None:
    """A line that holds a number or a name is named by file and line, however it is written; ids and times are not taken for numbers."""
    del world
    log = tmp_path / "dialer.log"
    lines = [
        json.dumps(
            {
                "event": "attempt_ended",
                "attempt_id": "01955510-0000-7000-8000-525510000000",
                "at_ns": 5510000000123,
            }
        ),
        json.dumps({"event": "call", "to": "sip:+525510000001@carrier"}),
        json.dumps({"event": "call", "person": "Beto Pérez López"}, ensure_ascii=True),
        "2026-03-02 12:00:00 [error] 55 1000 0002 is busy",
        "2026-03-02T18:00:00.000000+00:00 at 5510000000.5 s",
    ]
    log.write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = verify(database, wire, log).violations
    assert [(one.invariant, one.row_id.rpartition(":")[2], one.text) for one in found] == [
        ("I17", "2", "the line holds a phone number"),
        ("I17", "3", "the line holds a name"),
        ("I17", "4", "the line holds a phone number"),
    ]


def test_bad_logs(database: Database, world: World, wire: Path, tmp_path: Path) -> None:
    """A carrier's log or log file that cannot be read is refused in a line; one still being written is read as far as it goes."""
    del world
    with pytest.raises(ImportFileError, match="cannot be read"):
        verify(database, tmp_path / "absent.jsonl")
    with pytest.raises(ImportFileError, match="cannot be read"):
        verify(database, wire, tmp_path / "absent.log")
    whole = wire.read_text()
    wire.write_text(whole + '{"at_mono_ns": 1, "kind": "inv')
    assert verify(database, wire).ok
    wire.write_text(whole + "not json\n")
    with pytest.raises(ImportFileError, match=r"carrier.jsonl:\d+: is not a line of a carrier's log"):
        verify(database, wire)


def test_running_engine_does_not_disturb(database: Database, world: World, wire: Path) -> None:
    """What is committed while a store is being verified is not seen: everything is of one snapshot."""
    from dialer_core.verify import calls

    def writes_meanwhile(*_: Any) -> list[Violation]:
        with database.write() as tx:
            attempt("busy", live=True, number="+525519999999")(tx, world)
        return []

    checks = (calls.Check(calls.Invariant.I1, "meanwhile", whole=writes_meanwhile), *CHECKS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dialer_core.verify.CHECKS", checks)
        assert verify(database, wire).ok
    assert not verify(database, wire).ok


def test_delta_of_clock_is_no_overlap(database: Database, world: World, wire: Path) -> None:
    """A wall clock that was set back between two attempts is no overlap where the monotonic clock says so (I3)."""
    with database.write() as tx:
        attempt("busy", ended_at_utc=utc(70) + dt.timedelta(seconds=5))(tx, world)
    assert [one for one in verify(database, wire).violations if one.invariant == "I3"] == []
