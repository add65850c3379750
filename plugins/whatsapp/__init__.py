"""WhatsApp through Meta's Cloud API: approved templates, free text within the service window, receipts, answers.

It owns the hooks and the settings, `plugins/whatsapp.toml`. The protocol is `cloud_api.py`'s; outbox, gate and opt-outs are the core's.
"""

from __future__ import annotations

from dialer_core.plugin_api import EngineHandle, MessageChannel, hookimpl
from plugins.whatsapp.cloud_api import CloudChannel
from plugins.whatsapp.settings import WhatsAppSettings

_running: list[CloudChannel] = []


def channel_of(engine: EngineHandle) -> CloudChannel:
    """Return the channel of the settings. Raises `ConfigError`."""
    settings = engine.settings(WhatsAppSettings)
    where = "plugins/whatsapp.toml"
    return CloudChannel(
        settings,
        access_token=engine.secret(
            f"{where}: access_token", settings.access_token_env, settings.access_token_file
        ),
        app_secret=engine.secret(f"{where}: app_secret", settings.app_secret_env, settings.app_secret_file),
        verify_token=engine.secret(
            f"{where}: verify_token", settings.verify_token_env, settings.verify_token_file
        ),
    )


@hookimpl
async def dialer_check_settings(engine: EngineHandle) -> None:
    """Look at settings and tokens."""
    await channel_of(engine).close()


@hookimpl
async def dialer_register_channel(engine: EngineHandle) -> MessageChannel:
    """Send and receive WhatsApp messages."""
    channel = channel_of(engine)
    _running[:] = [channel]
    return channel


@hookimpl
async def dialer_shutdown() -> None:
    """Close the connections to the provider."""
    for channel in _running:
        await channel.close()
    _running.clear()
