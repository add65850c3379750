"""SMS: by a message centre (SMPP 3.4), or by a provider's HTTP interface; delivery receipts and answers.

It owns the hooks and the choice between the kinds of provider, `plugins/sms.toml`. The protocols are `smpp.py`'s and `twilio.py`'s; outbox, gate and
opt-outs are the core's.
"""

from __future__ import annotations

from dialer_core.plugin_api import EngineHandle, MessageChannel, hookimpl
from plugins.sms.settings import SmppSettings, SmsSettings
from plugins.sms.smpp import SmppChannel
from plugins.sms.twilio import TwilioChannel

_running: list[TwilioChannel | SmppChannel] = []


@hookimpl
async def dialer_register_channel(engine: EngineHandle) -> MessageChannel:
    """Send and receive SMS."""
    settings = engine.settings(SmsSettings).root
    where = "plugins/sms.toml"
    channel: TwilioChannel | SmppChannel
    if isinstance(settings, SmppSettings):
        password = engine.secret(f"{where}: password", settings.password_env, settings.password_file)
        channel = SmppChannel(settings, password)
        channel.start()
    else:
        token = engine.secret(f"{where}: auth_token", settings.auth_token_env, settings.auth_token_file)
        channel = TwilioChannel(settings, token)
    _running[:] = [channel]
    return channel


@hookimpl
async def dialer_shutdown() -> None:
    """Close the connections to the provider."""
    for channel in _running:
        await channel.close()
    _running.clear()
