"""The store as commands open it beside a running dialer, and what they look up in a configuration first.

It owns opening and names. What is read or written is the commands' own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from dialer_core.compliance.packs import load_packs
from dialer_core.compliance.rules import RulePack
from dialer_core.errors import ConfigError
from dialer_core.log_setup import configure_logging
from dialer_core.settings import Settings
from dialer_core.store import campaigns as campaign_rows
from dialer_core.store.database import Database, open_database
from dialer_core.vocabulary import CampaignId


@contextlib.contextmanager
def open_store(settings: Settings) -> Iterator[Database]:
    """Open the store, with the tables and campaigns of this configuration."""
    configure_logging(level="warning", log_format=settings.dialer.log.format, process="cli")
    database = open_database(settings.store_url, node=settings.dialer.node.name)
    try:
        database.migrate()
        with database.write() as tx:
            campaign_rows.sync(
                tx, {name: its.model_dump(mode="json") for name, its in settings.campaigns.items()}
            )
        yield database
    finally:
        database.dispose()


def campaign_of(settings: Settings, name: str) -> CampaignId:
    """Return the campaign's id; ConfigError with the known ones where there is none."""
    if name not in settings.campaigns:
        known = ", ".join(sorted(settings.campaigns)) or "none"
        place = settings.directory / "campaigns"
        raise ConfigError(f"campaign: {name!r} has no file in {place}; known are: {known}")
    return CampaignId(name)


def pack_of(settings: Settings, campaign: CampaignId) -> RulePack:
    """Return a campaign's rule pack; ConfigError where a pack is wrong or this one is not there."""
    packs = load_packs(settings.directory / "compliance")
    name = settings.campaigns[campaign].rule_pack
    if name not in packs:
        raise ConfigError(f"campaign {campaign}: rule_pack: {name!r} is not in compliance/")
    return packs[name]
