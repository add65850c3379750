"""The examples of `docs/crm.md` are mappings that the plugin takes."""

from __future__ import annotations

import re
import tomllib

import pytest

from plugins.crm.settings import CrmSettings
from tests.skips import ROOT

pytestmark = pytest.mark.meta

BLOCKS = [
    block
    for block in re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "crm.md").read_text(), re.DOTALL)
    if "[connections" in block
]


@pytest.mark.parametrize("block", BLOCKS, ids=[block.partition("\n")[0] for block in BLOCKS])
def test_an_example_is_a_mapping(block: str) -> None:
    """Each kind's example is read without a mistake, and maps both directions."""
    its = CrmSettings.model_validate(tomllib.loads(block))
    assert its.accounts
    assert its.out


def test_every_kind_has_one() -> None:
    """No kind is without an example, but for SFTP, which is files elsewhere."""
    kinds = {
        one.kind
        for block in BLOCKS
        for one in CrmSettings.model_validate(tomllib.loads(block)).connections.values()
    }
    assert kinds == {"files", "rest", "salesforce", "sql", "tryton"}
