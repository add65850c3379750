"""The kinds of CRM by name: opens the connection that a `[connections]` table describes, with its secret. It owns no protocol."""

from __future__ import annotations

from pathlib import Path

from dialer_core.plugin_api import EngineHandle
from plugins.crm.connection_settings import Connection, RestSettings, TrytonSettings
from plugins.crm.connector import Connector
from plugins.crm.rest import RestConnector
from plugins.crm.settings import PLUGIN
from plugins.crm.tryton import TrytonConnector


def open_connection(engine: EngineHandle, name: str, its: Connection) -> Connector:
    """Return a connection, which logs in when it is first used.

    Raises
    ------
    ConfigError
        Its secret is not there, or its library is not installed.
    """

    def secret(what: str, variable: str, file: Path | None) -> str:
        return engine.secret(f"plugins/{PLUGIN}.toml: connections.{name}.{what}", variable, file)

    match its:
        case RestSettings():
            return RestConnector(its, secret("auth.secret", its.auth.secret_env, its.auth.secret_file))
        case TrytonSettings():
            return TrytonConnector(its, secret("password", its.password_env, its.password_file))
