"""SMS through a provider's HTTP interface shaped like Twilio's: sending, delivery receipts, answers.

It owns the hooks and the settings, `plugins/sms.toml`. The provider's protocol is `twilio.py`'s; outbox, gate and opt-outs are the core's.
"""

from __future__ import annotations

from dialer_core.plugin_api import EngineHandle, MessageChannel, hookimpl
from plugins.sms.settings import SmsSettings
from plugins.sms.twilio import TwilioChannel

_running: list[TwilioChannel] = []


@hookimpl
async def dialer_register_channel(engine: EngineHandle) -> MessageChannel:
    """Send and receive SMS."""
    settings = engine.settings(SmsSettings)
    token = engine.secret("plugins/sms.toml: auth_token", settings.auth_token_env, settings.auth_token_file)
    channel = TwilioChannel(settings, token)
    _running[:] = [channel]
    return channel


@hookimpl
async def dialer_shutdown() -> None:
    """Close the connections to the provider."""
    for channel in _running:
        await channel.close()
    _running.clear()
