"""SMS: by a message centre (SMPP 3.4), or by a provider's HTTP interface, Twilio's or any other by a mapping; receipts and answers.

It owns the hooks and the choice between the kinds of provider, `plugins/sms.toml`. The protocols are `smpp.py`'s, `twilio.py`'s and
`http_mapping.py`'s; outbox, gate and opt-outs are the core's.
"""

from __future__ import annotations

from dialer_core.plugin_api import EngineHandle, MessageChannel, hookimpl
from plugins.sms.http_mapping import MappedChannel
from plugins.sms.kept import Store
from plugins.sms.mapping_settings import MappedSettings
from plugins.sms.settings import SmppSettings, SmsSettings
from plugins.sms.smpp import SmppChannel
from plugins.sms.twilio import TwilioChannel

_running: list[TwilioChannel | SmppChannel | MappedChannel] = []


def channel_of(
    engine: EngineHandle, store: Store | None = None
) -> TwilioChannel | SmppChannel | MappedChannel:
    """Return the channel of the settings, whichever kind they name; one that keeps something does so in `store`. Raises `ConfigError`."""
    settings = engine.settings(SmsSettings).root
    where = "plugins/sms.toml"
    if isinstance(settings, SmppSettings):
        password = engine.secret(f"{where}: password", settings.password_env, settings.password_file)
        return SmppChannel(settings, password, store)
    if isinstance(settings, MappedSettings):
        asks, signs = settings.request, settings.signature
        secret = engine.secret(f"{where}: request.secret", asks.secret_env, asks.secret_file)
        signing = (
            engine.secret(f"{where}: signature.secret", signs.secret_env, signs.secret_file) if signs else ""
        )
        return MappedChannel(settings, secret=secret, signing=signing)
    token = engine.secret(f"{where}: auth_token", settings.auth_token_env, settings.auth_token_file)
    return TwilioChannel(settings, token)


@hookimpl
async def dialer_check_settings(engine: EngineHandle) -> None:
    """Look at settings and secrets."""
    await channel_of(engine).close()


@hookimpl
async def dialer_register_channel(engine: EngineHandle) -> MessageChannel:
    """Send and receive SMS."""
    channel = channel_of(engine, engine.store)
    if isinstance(channel, SmppChannel):
        channel.start()
    _running[:] = [channel]
    return channel


@hookimpl
async def dialer_shutdown() -> None:
    """Close the connections to the provider."""
    for channel in _running:
        await channel.close()
    _running.clear()
