"""The bundled pages: nobody's texts are missing, files from elsewhere are what they are said to be, alerts hold, updates are small."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import msgspec
import pytest

from dialer_core.campaigns import attempt_limits, refusals, schedule
from dialer_core.compliance.packs import load_packs
from dialer_core.compliance.rules import RESERVED_RULES
from dialer_core.list_events import CallerIdHealthChanged
from dialer_core.snapshot import AgentView, TrunkView
from dialer_core.store.account_standing import PROMISED
from dialer_core.vocabulary import AccountStatus
from dialer_core.web.texts import LANGUAGES, Texts
from plugins.status_page.alerts import Thresholds, alerts, caller_ids
from plugins.status_page.board import Board, difference
from tests.host.scripted_engine import SNAPSHOT
from tests.skips import ROOT

pytestmark = pytest.mark.unit

CORE = ROOT / "dialer_core" / "web"
PARTS = (
    CORE,
    ROOT / "plugins" / "status_page",
    ROOT / "plugins" / "agent_desk",
    ROOT / "plugins" / "field_visits",
)
LARGEST_PAGE = 200_000
LIMITS = Thresholds()


@pytest.mark.parametrize("folder", PARTS, ids=lambda path: path.name)
def test_every_text_that_a_template_uses_is_there(folder: Path) -> None:
    """Each `t("table.key")` of a template is a text in both languages."""
    texts = Texts(CORE / "texts.toml", *([folder / "texts.toml"] if folder != CORE else []))
    templates = "".join(file.read_text() for file in (folder / "templates").glob("*.html"))
    used = set(re.findall(r"""\bt\(["']([\w.]+)["'][,)]""", templates))
    assert used
    assert sorted(key for key in used if key not in texts) == []
    for key in texts:
        for language in LANGUAGES:
            assert texts.get(language, key).strip(), (key, language)


@pytest.mark.parametrize("folder", PARTS[1:], ids=lambda path: path.name)
def test_every_text_that_a_script_uses_is_there(folder: Path) -> None:
    """Each `t("key")` of a script is a text of the table `script`, and each text is used somewhere."""
    texts = Texts(folder / "texts.toml")
    scripts = "".join(
        file.read_text() for file in (folder / "static").glob("*.js") if ".min." not in file.name
    )
    told = texts.table("es", "script")
    used = set(re.findall(r"""\bt\("([\w.]+)"[,)]""", scripts))
    assert sorted(used - told.keys()) == []
    plain = {key for key in told if "." not in key}
    assert sorted(key for key in plain if f'"{key}"' not in scripts) == []


def test_every_reason_of_the_gate_is_said_in_both_languages() -> None:
    """Each name under which the gate, a shipped rule pack or a restriction refuses has its words, so that no desk in Spanish reads English."""
    packs = load_packs(ROOT / "dialer_core" / "config_defaults" / "compliance").values()
    own = {
        schedule.RULE,
        attempt_limits.MOST,
        attempt_limits.PER_DAY,
        attempt_limits.PER_DAY_PART,
        refusals.NUMBER_RESTS,
    }
    standing = {AccountStatus.PAID.value, AccountStatus.WITHDRAWN.value, PROMISED}
    names = RESERVED_RULES | {rule.id for pack in packs for rule in pack.named()} | standing | own
    texts = Texts(CORE / "texts.toml")
    for language in LANGUAGES:
        said = texts.table(language, "script")
        assert sorted(name for name in names if not said.get(f"rule.{name}")) == []


@pytest.mark.parametrize("folder", PARTS, ids=lambda path: path.name)
def test_files_from_elsewhere_are_the_ones_named(folder: Path) -> None:
    """SOURCES.md names each with its version, licence and checksum; the licence lies beside it."""
    if not (folder / "static" / "SOURCES.md").exists():
        assert not list((folder / "static").glob("*.min.*"))
        return
    named = re.findall(
        r"\| `([\w.-]+)` \|.*\(`([\w.-]+)`\) \| `(\w{64})` \|", (folder / "static" / "SOURCES.md").read_text()
    )
    assert named
    for name, licence, digest in named:
        assert hashlib.sha256((folder / "static" / name).read_bytes()).hexdigest() == digest, name
        assert (folder / "static" / licence).exists()


@pytest.mark.parametrize("folder", PARTS[1:], ids=lambda path: path.name)
def test_a_page_is_light(folder: Path) -> None:
    """All that a page loads, uncompressed, is less than 200 kB, and nothing of it lies elsewhere."""
    own = [file for file in (folder / "static").iterdir() if file.suffix in {".js", ".css"}]
    shared = [CORE / "static" / name for name in ("marcador.css", "marcador.js", "mark.svg")]
    markup = [*(folder / "templates").glob("*.html"), CORE / "templates" / "base.html", folder / "texts.toml"]
    assert sum(file.stat().st_size for file in (*own, *shared, *markup)) < LARGEST_PAGE
    for file in (*own, *shared[:2], *markup[:-1]):
        if ".min." not in file.name:
            assert not re.search(r"""(src|href|url|import|fetch)\W{1,3}https?:""", file.read_text()), file


def test_alerts_say_what_holds_and_nothing_else() -> None:
    """A calm floor has none; each trouble has its own, the gravest first."""
    calm = msgspec.structs.replace(SNAPSHOT, agents=())
    assert alerts(calm, LIMITS) == []
    campaign = msgspec.structs.replace(SNAPSHOT.campaigns[0], ledger_live=100, ledger_abandoned=5)
    trunk = TrunkView(
        id="carrier", state="down", reason="timeout", lines=30, lines_used=0, calls_per_second=5.0
    )
    agent = AgentView(
        id="ana", name="Ana", state="paused", reason="leg_lost", seconds_in_state=901.0, leg_up=False
    )
    found = alerts(
        msgspec.structs.replace(
            calm, store_healthy=False, campaigns=(campaign,), trunks=(trunk,), agents=(agent,), brake="lag"
        ),
        LIMITS,
    )
    assert [alert.key for alert in found] == [
        "store_away", "trunk_down", "abandonment_over", "brake", "agent_long", "leg_lost",
    ]  # fmt: skip
    near = msgspec.structs.replace(campaign, ledger_live=1000, ledger_abandoned=25)
    assert [a.key for a in alerts(msgspec.structs.replace(calm, campaigns=(near,)), LIMITS)] == [
        "abandonment_near"
    ]


def test_numbers_that_alarm_are_told_until_it_is_over() -> None:
    """What was last told of each number of each pool holds; one against which nothing speaks any more is no alert."""
    board = Board()

    def told(pool: str, position: int, *signs: str) -> None:
        board.happened(
            CallerIdHealthChanged(pool=pool, position=position, signs=signs, attempts=90, answered=3, short=0, blocked=9)
        )  # fmt: skip

    told("norte", 1, "blocked", "answered_less")
    told("norte", 2, "blocked")
    told("norte", 2)
    assert caller_ids(board._caller_ids.values()) == [
        ("caller_id", "warn", "norte", {"position": 1, "signs": "blocked answered_less"})
    ]


def test_a_viewer_is_told_what_changed() -> None:
    """What is the same is not sent again; what is gone is named; a viewer who applies it knows all."""
    before = {"system": {"up": True}, "agents": {"ana": {"state": "ready"}, "eva": {"state": "paused"}}}
    after = {"system": {"up": True}, "agents": {"ana": {"state": "talking"}, "luis": {"state": "ready"}}}
    assert difference(before, after) == {
        "agents": {"ana": {"state": "talking"}, "luis": {"state": "ready"}},
        "gone": {"agents": ["eva"]},
    }
    assert difference(after, after) == {}
