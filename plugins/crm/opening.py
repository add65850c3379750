"""The kinds of CRM by name: opens the connection that a `[connections]` table describes, with its secret. It owns no protocol."""

from __future__ import annotations

from pathlib import Path

from dialer_core.plugin_api import ConfigError, EngineHandle
from plugins.crm.connection_settings import (
    Connection,
    FilesSettings,
    RestSettings,
    SalesforceSettings,
    SftpSettings,
    SqlSettings,
    TrytonSettings,
)
from plugins.crm.connector import Connector
from plugins.crm.drop import DropConnector, LocalPlace
from plugins.crm.rest import RestConnector
from plugins.crm.salesforce import SalesforceConnector
from plugins.crm.settings import PLUGIN
from plugins.crm.sql import SqlConnector
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
        case SalesforceSettings(flow="jwt"):
            return SalesforceConnector(its, secret("private_key", "", its.private_key_file))
        case SalesforceSettings():
            return SalesforceConnector(
                its, secret("client_secret", its.client_secret_env, its.client_secret_file)
            )
        case SqlSettings():
            return SqlConnector(its, secret("url", its.url_env, its.url_file))
        case FilesSettings():
            return DropConnector(its, LocalPlace(engine.config_directory))
        case SftpSettings():
            try:
                from plugins.crm.sftp import SftpPlace  # noqa: PLC0415 - an extra
            except ImportError:
                raise ConfigError("kind = 'sftp' needs asyncssh: pip install 'marcador[sftp]'") from None
            password = secret("password", its.password_env, its.password_file)
            return DropConnector(its, SftpPlace(its, engine.config_directory, password))
        case TrytonSettings():
            return TrytonConnector(its, secret("password", its.password_env, its.password_file))
