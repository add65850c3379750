"""E-mail: out by SMTP, bounces and replies in by IMAP.

It owns the hooks and the settings, `plugins/email.toml`. The protocols are `smtp.py`'s and `mailbox.py`'s; outbox, gate, letters and opt-outs are the
core's.
"""

from __future__ import annotations

from dialer_core.plugin_api import EngineHandle, MessageChannel, hookimpl
from plugins.email.channel import EmailChannel
from plugins.email.settings import EmailSettings

_running: list[EmailChannel] = []


@hookimpl
async def dialer_register_channel(engine: EngineHandle) -> MessageChannel:
    """Send and receive e-mail."""
    settings = engine.settings(EmailSettings)
    where = "plugins/email.toml"
    smtp, imap = settings.smtp, settings.imap
    channel = EmailChannel(
        settings,
        smtp_password=engine.secret(f"{where}: smtp.password", smtp.password_env, smtp.password_file),
        imap_password=engine.secret(f"{where}: imap.password", imap.password_env, imap.password_file)
        if imap
        else "",
    )
    _running[:] = [channel]
    return channel


@hookimpl
async def dialer_shutdown() -> None:
    """Close the connections."""
    for channel in _running:
        await channel.close()
    _running.clear()
