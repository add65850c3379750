"""Reading rule packs: the packaged ones load, and a wrong one is refused with file, line, key and reason."""

from pathlib import Path

import pytest

from dialer_core.compliance import calendar, rules
from dialer_core.compliance.packs import load_pack, load_packs
from dialer_core.errors import ConfigError
from tests.compliance.packs_for_tests import PACKAGED, pack_of, packaged, write_pack
from tests.skips import ROOT

pytestmark = pytest.mark.unit

MX = (PACKAGED / "mx.toml").read_text(encoding="utf-8").replace('name = "mx"', 'name = "case"')


def test_packaged_packs_load() -> None:
    """Every packaged pack loads by name; none says that it is verified, and only demo is for loopback alone."""
    packs = load_packs(PACKAGED)
    assert sorted(packs) == [
        *("ar", "br", "cl", "co", "demo", "es", "mx", "pe", "uk", "uk-strict", "us-federal", "us-fl"),
    ]
    assert not any(pack.verified for pack in packs.values())
    assert [name for name, pack in packs.items() if pack.loopback_only] == ["demo"]
    assert all(pack.ring_min_s >= 15 for pack in packs.values())
    assert packs["mx"].caller_id_required
    assert packs["mx"].creditor_required
    assert packs["mx"].ring_min_s == 15
    assert packs["demo"].loopback_only
    assert packs["demo"].abandonment.limit_s == 2.0


def test_every_rule_of_the_packaged_packs_cites_a_source() -> None:
    """No rule stands without saying where it comes from."""
    for pack in load_packs(PACKAGED).values():
        found = dict(pack.rules())
        assert {"windows", "abandonment"} <= found.keys()
        assert all(rule.cite for rule in found.values())
        assert {source for rule in found.values() for source in rule.cite} <= pack.sources.keys()


def test_a_weekly_ceiling_holds_where_no_law_names_one(tmp_path: Path) -> None:
    """Every packaged pack limits what reaches a person in a week over all channels; a pack that does not say is given 14."""
    for pack in load_packs(PACKAGED).values():
        assert any(
            cap.per == "person" and not cap.channels and (cap.rolling_days or cap.local_days or 99) <= 7
            for cap in pack.caps
        )
    silent = load_pack(
        write_pack(
            tmp_path,
            MX.replace('id = "person_weekly_all_channels"\nper = "person"', 'id = "weekly"\nper = "account"'),
        )
    )
    [given] = [cap for cap in silent.caps if cap.id == rules.WEEKLY_CEILING]
    assert (given.per, given.limit, given.rolling_days, given.channels) == ("person", 14, 7, ())


def test_local_rules_must_lead_somewhere(tmp_path: Path) -> None:
    """A pack of a part of the jurisdiction that is not there, or has parts of its own, is refused with file and line."""
    write_pack(tmp_path, MX)
    local = '\n[[local]]\npack = "{}"\nregions = ["US-XX"]\ncite = ["house"]\n'
    outer = MX.replace('name = "case"', 'name = "outer"')
    write_pack(tmp_path, outer + local.format("case"), "outer")
    assert load_packs(tmp_path)["outer"].for_callee("+1", "US-XX")[1].name == "case"
    path = write_pack(tmp_path, outer + local.format("nowhere"), "outer")
    line = path.read_text(encoding="utf-8").splitlines().index('pack = "nowhere"') + 1
    with pytest.raises(ConfigError, match=rf"outer.toml:{line}: local.0.pack: 'nowhere' is not in"):
        load_packs(tmp_path)
    write_pack(tmp_path, outer + local.format("outer"), "outer")
    with pytest.raises(ConfigError, match="has local rules of its own"):
        load_packs(tmp_path)


def test_the_version_names_the_content(tmp_path: Path) -> None:
    """Comments and spacing leave the version as it is; a changed rule changes it, whatever the file's own number says."""
    original = load_pack(write_pack(tmp_path, MX)).version
    assert load_pack(write_pack(tmp_path, "# a comment\n\n" + MX)).version == original
    changed = load_pack(write_pack(tmp_path, MX.replace("limit = 7", "limit = 8"))).version
    assert changed != original
    assert changed.split("+")[0] == original.split("+")[0] == "1"


@pytest.mark.parametrize(
    ("old", "new", "line_holds", "told"),
    [
        ('monday = ["07:00-22:00"]', 'monday = ["07:00-25:00"]', "monday =", "windows.monday"),
        ('monday = ["07:00-22:00"]', 'monday = ["22:00-07:00"]', "monday =", "over midnight is two spans"),
        ('monday = ["07:00-22:00"]', 'monday = ["7 to 22"]', "monday =", "HH:MM-HH:MM"),
        ('monday = ["07:00-22:00"]', 'monday = ["07:00-12:00", "11:00-22:00"]', "monday =", "overlap"),
        ("sunday = []\n", "", "[windows]", "windows.sunday: is missing"),
        ("limit = 7", "limt = 7", "limt", "unknown key"),
        ("limit = 7", "limit = 0", "limit = 0", "greater than or equal to 1"),
        ('per = "account"\nlimit = 7', 'per = "debt"\nlimit = 7', 'per = "debt"', "'person', 'account' or 'address'"),
        ('void_outcomes = ["trunk_failed"', 'void_outcomes = ["nonsense"', "void_outcomes", "void_outcomes"),
        ("ceiling = 0.03", 'ceiling = "three"', "ceiling", "abandonment.ceiling"),
        ("rolling_days = 7\nchannels", "channels", 'id = "account_7_in_7"', "rolling_days or local_days"),
    ],
)  # fmt: skip
def test_a_wrong_pack_is_refused_at_its_line(
    tmp_path: Path, old: str, new: str, line_holds: str, told: str
) -> None:
    """The message names the file, the line where the key stands, the key, and what would be right."""
    text = MX.replace(old, new, 1)
    assert text != MX
    path = write_pack(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_pack(path)
    messages = str(caught.value).splitlines()
    assert all(message.startswith(f"{path}:") for message in messages)
    numbers = [int(message.removeprefix(f"{path}:").split(":")[0]) for message in messages]
    near = ["\n".join(text.splitlines()[number - 1 : number + 1]) for number in numbers]
    assert any(line_holds in lines for lines in near)
    assert told in str(caught.value)


def test_broken_toml_is_told_with_its_line(tmp_path: Path) -> None:
    """A file that is not TOML is refused with the parser's line."""
    with pytest.raises(ConfigError, match=r"not valid TOML: .*line 2"):
        load_pack(write_pack(tmp_path, 'name = "case"\nverified = maybe\n'))


def test_a_citation_must_exist(tmp_path: Path) -> None:
    """A rule that cites what is not among the sources is refused."""
    with pytest.raises(ConfigError, match="cites 'somebody', which is not among the sources"):
        load_pack(write_pack(tmp_path, MX.replace('cite = ["reg-f"]', 'cite = ["somebody"]')))


def test_verified_needs_read_sources(tmp_path: Path) -> None:
    """A pack cannot call itself verified while a source that it cites is unread."""
    with pytest.raises(ConfigError, match="is not marked as read"):
        load_pack(write_pack(tmp_path, MX.replace("verified = false", "verified = true", 1)))


def test_rules_do_not_take_the_gates_names(tmp_path: Path) -> None:
    """A cap called `window`, or two caps of one name, would make refusals ambiguous."""
    with pytest.raises(ConfigError, match="the gate's own"):
        load_pack(write_pack(tmp_path, MX.replace('id = "person_per_day"', 'id = "window"')))
    with pytest.raises(ConfigError, match="two rules have the id"):
        load_pack(write_pack(tmp_path, MX.replace('id = "person_per_day"', 'id = "account_7_in_7"')))


def test_the_name_is_the_files(tmp_path: Path) -> None:
    """A pack under another file's name is refused: a campaign names the file."""
    with pytest.raises(ConfigError, match="the file's name says 'other'"):
        load_pack(write_pack(tmp_path, MX, "other"))


def test_every_wrong_pack_of_a_folder_is_told(tmp_path: Path) -> None:
    """Two mistakes in two files come in one message; a folder without packs is a mistake too."""
    with pytest.raises(ConfigError, match="holds no rule pack"):
        load_packs(tmp_path)
    write_pack(tmp_path, "x = 1", "one")
    write_pack(tmp_path, "= 2", "two")
    with pytest.raises(ConfigError) as caught:
        load_packs(tmp_path)
    assert "one.toml" in str(caught.value)
    assert "two.toml" in str(caught.value)


def test_the_reference_names_every_key() -> None:
    """`docs/rule-packs.md` speaks of every key that a pack may hold."""
    text = (ROOT / "docs" / "rule-packs.md").read_text(encoding="utf-8")
    days = "`monday` to `sunday`"
    assert days in text
    models = (
        rules.RulePack, rules.Source, calendar.HolidayRule, calendar.HolidayDay, rules.Cap, rules.SingleChannel,
            rules.ConsentNeeded, rules.LocalRules, rules.QuietPeriod, rules.LedgerWindow,
        rules.Abandonment,
    )  # fmt: skip
    for model in models:
        for key in model.model_fields:
            assert f"`{key}`" in text or f"[{key}" in text or f".{key}]" in text, (model.__name__, key)


@pytest.mark.parametrize(
    ("pack", "address", "region", "rule"),
    [
        ("mx", "+525512345678", None, "announce"),
        ("us-federal", "+12125550123", "US-NY", "announce"),
        ("us-federal", "+13055550123", "US-NY", "consent"),  # Florida's number, wherever they live
        ("us-federal", "+12125550123", "US-FL", "consent"),
        ("cl", "+56912345678", None, "consent"),
        ("demo", "+525512345678", None, "none"),
    ],
)
def test_what_comes_before_a_recording(pack: str, address: str, region: str | None, rule: str) -> None:
    """Each jurisdiction's word, and the strictest where two hold."""
    assert packaged(pack).recording_for(address, region) == rule


def test_who_says_nothing_of_recordings_has_them_announced() -> None:
    """A pack without the part is on the safe side."""
    assert pack_of().recording_for("+525512345678", None) is rules.RecordingRule.ANNOUNCE


def test_the_reference_names_every_pack() -> None:
    """Each packaged pack has its line."""
    text = (ROOT / "docs" / "rule-packs.md").read_text(encoding="utf-8")
    for name in load_packs(PACKAGED):
        assert f"| `{name}` |" in text
