"""What `dialer run` refuses before the first call, each in a line that says where and what would be right."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import pytest

from dialer_core.campaign_settings import CampaignSettings
from dialer_core.campaigns.readiness import check, is_loopback
from dialer_core.compliance.packs import load_packs
from dialer_core.settings import DialerSettings, Settings, TrunkSettings
from dialer_core.vocabulary import CampaignId, TrunkId

pytestmark = pytest.mark.unit

with as_file(files("dialer_core") / "config_defaults" / "compliance") as folder:
    PACKS = load_packs(folder)
READY = {"creditor": "Banco", "rule_pack": "mx", "caller_id": "+525512345678", "trunks": ["t"]}


def problems(trunk: dict[str, Any], campaign: dict[str, Any]) -> list[str]:
    """Check one campaign over one trunk."""
    settings = Settings(
        Path("config"),
        DialerSettings(),
        {TrunkId("t"): TrunkSettings.model_validate(trunk)},
        {},
        {CampaignId("c"): CampaignSettings.model_validate(READY | campaign)},
    )
    return check(settings, PACKS)


def test_a_settled_campaign_is_ready_on_any_trunk() -> None:
    """With rule pack, creditor and caller ID nothing stands in the way; the caller ID may be the trunk's."""
    assert problems({"host": "203.0.113.9"}, {}) == []
    assert problems({"host": "203.0.113.9", "caller_id": "+525512345678"}, {"caller_id": None}) == []
    assert problems({"host": "127.0.0.1"}, {"rule_pack": "demo", "creditor": "", "caller_id": None}) == []


@pytest.mark.parametrize(
    ("trunk", "campaign", "told"),
    [
        (
            {"host": "203.0.113.9"},
            {"rule_pack": ""},
            "rule_pack: is missing; name a rule pack of compliance/: ar, br, cl, co, demo, es, mx, pe",
        ),
        ({"host": "127.0.0.1"}, {"rule_pack": ""}, "rule_pack: is missing"),
        (
            {"host": "127.0.0.1"},
            {"rule_pack": "xx"},
            "'xx' is not in compliance/; known are: ar, br, cl, co, demo, es, mx, pe",
        ),
        ({"host": "203.0.113.9"}, {"rule_pack": "demo"}, "'demo' is for trunks on this machine only"),
        ({"host": "carrier.example"}, {"rule_pack": "demo"}, "'demo' is for trunks on this machine only"),
        ({"host": "127.0.0.1", "proxy": "203.0.113.9:5060"}, {"rule_pack": "demo"}, "on this machine only"),
        ({"host": "203.0.113.9"}, {"creditor": ""}, "creditor: is missing"),
        (
            {"host": "203.0.113.9"},
            {"caller_id": None},
            "caller_id: is missing, and trunk 't' has none either",
        ),
    ],
)
def test_each_open_question_is_a_line(trunk: dict[str, Any], campaign: dict[str, Any], told: str) -> None:
    """One question left open is one line, naming the campaign's file."""
    (line,) = problems(trunk, campaign)
    assert line.startswith("config/campaigns/c.toml: ")
    assert told in line


def test_what_counts_as_this_machine() -> None:
    """Loopback addresses and `localhost`; any other name might lead anywhere tomorrow."""
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.8.9.10", "::1", "[::1]", "localhost"))
    assert not any(is_loopback(host) for host in ("10.0.0.1", "0.0.0.0", "myhost", "localhost.example", "::"))
