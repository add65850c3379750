"""What agents say: checked when it is loaded, chosen by segment and campaign, with the account's figures, nothing of the debt too soon."""

from __future__ import annotations

from pathlib import Path

import pytest

from dialer_core.errors import ConfigError
from dialer_core.list_settings import SegmentSettings
from dialer_core.messaging.scripts import ScriptView, load_scripts, script_of
from dialer_core.store import people
from dialer_core.store.database import Database
from dialer_core.vocabulary import CampaignId
from tests.campaigns.lists import NOON, put_lead, put_list_campaign
from tests.skips import ROOT

LATE = {"late": SegmentSettings(where="days_past_due > 90")}
SAID = """
[greeting]
es = "Habla {{ agent }}. ¿Hablo con {{ name }}?"
[third_party]
es = "¿A qué hora encuentro a {{ first_name }}?"
[[phrases]]
title = { es = "Abrir", en = "Open" }
text = { es = "Debe {{ balance }} a {{ creditor }}.", en = "You owe {{ balance }}." }
[[phrases]]
title = { es = "Promesa" }
text = { es = "Prometió {{ promise_amount }}." }
"""


@pytest.mark.unit
@pytest.mark.parametrize(
    ("was", "now", "problem"),
    [
        ("{{ name }}?", "{{ balance }}?", "greeting: 'balance' reveals a debt"),
        ("{{ first_name }}?", "{{ creditor }}?", "third_party: 'creditor' reveals a debt"),
        ("{{ balance }}", "{{ balanc }}", "'balanc'"),
        ("{{ balance }}", "{{ name.__class__ }}", "only fields, filters and if"),
        ("{{ balance }}", "{{ range(9) }}", "only fields, filters and if"),
        ("{{ balance }}", "{{ balance", "phrases.0.text.es: line 1"),
        (
            "\n[greeting]",
            'segments = ["early"]\n[greeting]',
            "'early' is not in segments.toml; known are: late",
        ),
        ("[third_party]", "[thirdparty]", "third_party"),
    ],
)
def test_a_script_that_could_leak_or_break_is_refused(
    tmp_path: Path, was: str, now: str, problem: str
) -> None:
    """Fields that do not exist, code, and a debt before it is known who is on the line (I19): the file and the place are named."""
    (tmp_path / "s.toml").write_text(SAID.replace(was, now, 1), encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load_scripts(tmp_path, LATE)
    assert "s.toml" in str(error.value)
    assert problem in str(error.value)


@pytest.mark.unit
def test_the_packaged_script_loads() -> None:
    """`dialer init` writes one that fits every account."""
    assert list(load_scripts(ROOT / "config" / "scripts", {})) == ["general"]


@pytest.mark.db
def test_the_script_is_the_segments(database: Database, tmp_path: Path) -> None:
    """Of whom a segment with a script names, that one; of the others the general one; of another campaign none of them."""
    (tmp_path / "general.toml").write_text(SAID, encoding="utf-8")
    (tmp_path / "late.toml").write_text(
        'segments = ["late"]\n' + SAID.replace("Habla", "Le saluda"), encoding="utf-8"
    )
    (tmp_path / "other.toml").write_text('campaigns = ["winter"]\n' + SAID, encoding="utf-8")
    scripts = load_scripts(tmp_path, LATE).values()
    with database.write() as tx:
        put_list_campaign(tx)
        early, late = put_lead(tx, ["+525512345678"]).account, put_lead(tx, ["+525587654321"]).account
        people.update_account(tx, late, {"days_past_due": 120, "balance_minor": 50_000, "creditor": ""})

    def said(account: str, campaign: str = "spring", *, identified: bool = True) -> ScriptView | None:
        with database.read() as tx:
            return script_of(
                tx, scripts, account, CampaignId(campaign), NOON, language="es", agent="Ana", callback_number="",
                creditor="Banco Ejemplo", identified=identified,
            )  # type: ignore[arg-type]  # fmt: skip

    general, own, other = said(early), said(late), said(early, "winter")
    assert general is not None
    assert own is not None
    assert other is not None
    assert (general.name, own.name, other.name) == ("general", "late", "other")
    assert own.greeting.startswith("Le saluda Ana.")
    assert [(one.title, one.text) for one in own.phrases] == [("Abrir", "Debe $500.00 MXN a Banco Ejemplo.")]
    hidden = said(late, identified=False)
    assert hidden is not None
    assert hidden.phrases == ()
