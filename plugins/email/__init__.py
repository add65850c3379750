"""E-mail: out by SMTP, bounces and replies in by IMAP, and reports at their time.

It owns the hooks and the settings, `plugins/email.toml`. The protocols are `channel.py`'s and `mailbox.py`'s, reports `rounds.py`'s; outbox, gate,
letters and opt-outs are the core's.
"""

from __future__ import annotations

import asyncio
import traceback

import structlog

from dialer_core.plugin_api import ConfigError, DialerError, EngineHandle, MessageChannel, hookimpl
from plugins.email.channel import EmailChannel
from plugins.email.rounds import Rounds
from plugins.email.settings import EmailSettings

log = structlog.get_logger(__name__)

PLUGIN = "email"
LOOK_S = 15.0
_WHERE = "plugins/email.toml"

_running: list[EmailChannel] = []
_rounds: list[asyncio.Task[None]] = []


def settings_of(engine: EngineHandle) -> EmailSettings:
    """Return the plugin's settings. Raises `ConfigError`, also where a report names a campaign that has no file."""
    its = engine.settings(EmailSettings)
    for report in its.reports:
        for name in report.campaigns:
            if not (engine.config_directory / "campaigns" / f"{name}.toml").exists():
                raise ConfigError(
                    f"{_WHERE}: reports: {report.name}: campaigns: there is no campaign {name!r}"
                )
    return its


def channel_of(engine: EngineHandle, its: EmailSettings) -> EmailChannel:
    """Return the channel of these settings. Raises `ConfigError` where a password is not to be had."""
    smtp, imap = its.smtp, its.imap
    return EmailChannel(
        its,
        smtp_password=engine.secret(f"{_WHERE}: smtp.password", smtp.password_env, smtp.password_file),
        imap_password=engine.secret(f"{_WHERE}: imap.password", imap.password_env, imap.password_file)
        if imap
        else "",
    )


@hookimpl
async def dialer_check_settings(engine: EngineHandle) -> None:
    """Look at settings and passwords."""
    await channel_of(engine, settings_of(engine)).close()


@hookimpl
async def dialer_register_channel(engine: EngineHandle) -> MessageChannel:
    """Send and receive e-mail, and look at the clock for reports."""
    its = settings_of(engine)
    channel = channel_of(engine, its)
    _running[:] = [channel]
    if its.reports:
        _rounds[:] = [asyncio.create_task(_look(Rounds(engine, channel, its)), name="mail-reports")]
    return channel


@hookimpl
async def dialer_shutdown() -> None:
    """Stop looking, and close the connections."""
    for task in _rounds:
        task.cancel()
    await asyncio.gather(*_rounds, return_exceptions=True)
    _rounds.clear()
    for channel in _running:
        await channel.close()
    _running.clear()


async def _look(rounds: Rounds) -> None:
    while True:
        try:
            await rounds.go()
        except DialerError as error:  # the store is away, say: looked at again in a moment
            log.warning("reports_not_looked_at", error=type(error).__name__)
        except Exception as error:  # noqa: BLE001 - a report that breaks us today is no reason to send none tomorrow
            at = traceback.extract_tb(error.__traceback__)[-1]
            log.error("reports_broke", error=f"{type(error).__name__} in {at.name}:{at.lineno}")  # noqa: TRY400 - its text may name whom it was for
        await asyncio.sleep(LOOK_S)
