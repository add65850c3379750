"""`dialer crm` as its users call it, and what it says of a mapping that is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plugins.crm.toml_lines import line_of
from tests.commands.test_cli import config, invoke  # noqa: F401 - the fixture

pytestmark = [pytest.mark.db, pytest.mark.timeout(60)]

MAPPING = """\
[connections.drop]
kind = "files"
in_folder = "in"
out_folder = "out"
settle_s = 0

[accounts.cartera]
connection = "drop"
campaign = "cobranza"
source = "*.csv"
key = "cuenta"
fields = { external_id = "cuenta", phone = "tel", balance = "saldo" }

[out.promesas]
connection = "drop"
what = "promise"
target = "promesas"
key = "id"

[out.promesas.fields]
cuenta = "{account}"
monto = "{amount}"
"""


@pytest.fixture
def at(config: Path) -> list[str]:  # noqa: F811
    """Return `--config` of a configuration with a mapping, a file that came, and a promise."""
    for folder in ("plugins", "in", "out"):
        (config / folder).mkdir(exist_ok=True)
    (config / "plugins" / "crm.toml").write_text(MAPPING)
    (config / "in" / "a.csv").write_text("cuenta,tel,saldo\nA1,5512345678,900.00\nA2,12,5.00\n")
    return ["--config", str(config)]


def test_there_and_back_from_the_command_line(at: list[str], config: Path) -> None:  # noqa: F811
    """Check, a dry run, a sync, a promise, what would go out, the sync that writes it, and the status with what was rejected."""
    told = invoke("crm", "check", *at)
    assert told.exit_code == 0, told.output
    assert "accounts.cartera: *.csv, each field is there" in told.output
    dry = json.loads(invoke("crm", "sync", "--dry-run", "--json", *at).output)
    assert (dry["in"]["cartera"]["new"], dry["in"]["cartera"]["rejected"], dry["out"]["drop"]["events"]) == (
        1,
        1,
        0,
    )
    assert "2 read: 1 new, 0 updated, 0 unchanged, 1 rejected" in invoke("crm", "sync", *at).output
    assert invoke("promise", "make", "A1", "--pay", "2030-01-15=500", *at).exit_code == 0
    would = invoke("crm", "sync", "--out", "--dry-run", *at).output
    assert '{"cuenta": "A1", "monto": "500.00"}' in would
    assert "behind" in invoke("crm", "status", *at).output
    assert list((config / "out").iterdir()) == []
    assert "1 records written" in invoke("crm", "sync", *at).output
    (file,) = (config / "out").iterdir()
    assert file.read_text().splitlines()[1].endswith(",A1,500.00")
    status = invoke("crm", "status", *at).output
    assert "1 rejected" in status
    assert "A2: phone" in status
    assert "up to date; 0 dead letters" in status
    assert (
        "1 read: 0 new, 0 updated, 0 unchanged, 1 rejected"
        in invoke("crm", "replay", "--rejects", *at).output
    )
    assert "0 written" in invoke("crm", "replay", *at).output


@pytest.mark.parametrize(
    ("wrong", "right", "line", "words"),
    [
        ('what = "promise"', 'what = "promises"', 16, "out.promesas.what"),
        ('"{amount}"', '"{amuont}"', 22, "{amuont} stands for nothing in a promise"),
        (
            'connection = "drop"\nwhat',
            'connection = "crm"\nwhat',
            15,
            "there is no connection 'crm'; there are: drop",
        ),
        ("settle_s = 0", "settle = 0", 5, "unknown setting"),
        ("balance =", "balanse =", 12, "is none of ours"),
        ('key = "id"\n', 'key = "id"\nonly.stat = ["open"]\n', 19, "there is no such place"),
        ('kind = "files"', 'kind = "file"', 2, "'file' is no kind of CRM; there are: 'rest'"),
    ],
)
def test_a_mistake_is_told_with_its_line(
    at: list[str], config: Path, wrong: str, right: str, line: int, words: str  # noqa: F811
) -> None:  # fmt: skip
    """A mapping that cannot be is refused in words, with file and line, and nothing is done."""
    file = config / "plugins" / "crm.toml"
    assert wrong in MAPPING
    file.write_text(MAPPING.replace(wrong, right))
    told = invoke("crm", "check", *at)
    assert told.exit_code != 0
    assert f"{file}:{line}: " in told.output, told.output
    assert words in told.output


def test_what_the_far_end_lacks_is_told_with_its_line(at: list[str], config: Path) -> None:  # noqa: F811
    """A column that no file has, and a folder that is not there, are found by asking."""
    file = config / "plugins" / "crm.toml"
    file.write_text(MAPPING.replace('"saldo"', '"adeudo"'))
    told = invoke("crm", "check", *at)
    assert told.exit_code != 0
    assert (
        f"{file}:12: accounts.cartera.fields.balance: *.csv has no field 'adeudo'; it has: cuenta, saldo, tel"
        in told.output
    )
    file.write_text(MAPPING.replace('out_folder = "out"', 'out_folder = "aus"'))
    assert f"{file}:1: connections.drop: aus is not there" in invoke("crm", "check", *at).output
    file.write_text(MAPPING.replace('campaign = "cobranza"', 'campaign = "verano"'))
    assert "verano" in invoke("crm", "sync", *at).output
    file.unlink()
    assert "has no [accounts] and no [out]" in invoke("crm", "check", *at).output


def test_lines_are_found_by_their_path() -> None:
    """Of dotted keys, quoted ones and tables; of what is not there, the table around it."""
    text = 'a = 1\n[b]\n# c = 2\n"c.d" = 3\ne.f = 4\n[b.g]\nh = 5\n'
    assert [
        line_of(text, path) for path in (("a",), ("b", "c.d"), ("b", "e", "f"), ("b", "g", "x"), ("z",))
    ] == [1, 4, 5, 6, 1]
    assert line_of(text, ("b", "kind-of-it", "g", "h")) == 7
