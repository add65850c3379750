"""All that a plugin's own commands import, beside `dialer_core.plugin_api`.

A plugin has commands by an entry point in the group `dialer.commands`, whose name is the command (`dialer score`) and whose object is a click
group or command. They run in a process of their own, beside a running dialer or without one: the handle they get reads and writes the store,
and refuses what only a running engine can do.

It owns opening that handle. How commands are found is `commands/cli.py`'s.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from dialer_core.campaign_settings import CampaignSettings
from dialer_core.clock import SystemClock
from dialer_core.commands.invocation import Invocation, PictureFile, example, invocation, printing
from dialer_core.commands.plugins_apart import NoEngine
from dialer_core.commands.store_access import campaign_of, open_store
from dialer_core.event_tail import EventTail
from dialer_core.plugin_api import EngineHandle
from dialer_core.plugin_records import Records
from dialer_core.portfolio.strategies import Strategies


@contextlib.contextmanager
def open_handle(call: Invocation, plugin: str) -> Iterator[EngineHandle]:
    """Open the store of a call's configuration as one plugin may use it.

    Raises
    ------
    ConfigError
        The configuration is wrong.
    StoreError
        The store cannot be opened.
    """
    with open_store(call.settings) as database:
        clock, actor = SystemClock(), f"plugin:{plugin}"
        yield EngineHandle(
            port=NoEngine(),
            tail=EventTail(database),
            clock=clock,
            actor=actor,
            directory=call.settings.directory,
            records=Records(database, clock=clock, actor=actor),
            state_dir=call.settings.state_dir,
            zone=call.settings.dialer.reports.zone,
            strategies=Strategies(database, clock=clock, node=call.settings.dialer.node.name),
        )


def campaign_settings(call: Invocation, name: str) -> CampaignSettings:
    """Return a campaign's settings; ConfigError with the known ones where there is none."""
    return call.settings.campaigns[campaign_of(call.settings, name)]


__all__ = [
    "Invocation",
    "PictureFile",
    "campaign_settings",
    "example",
    "invocation",
    "open_handle",
    "printing",
]
