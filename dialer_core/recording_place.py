"""Where recordings lie and by which key: what `[recordings]` of `dialer.toml` comes to on this machine.

It owns nothing but that; the shape of the section is `voice_settings.py`'s.
"""

from __future__ import annotations

from pathlib import Path

from dialer_core.errors import ConfigError
from dialer_core.settings import Settings
from dialer_core.toml_files import read_secret
from dialer_core.vocabulary import RecordPolicy


def folder(settings: Settings) -> Path:
    """Return the absolute folder of the recordings."""
    return settings.state_dir / "recordings"


def wanted(settings: Settings) -> bool:
    """Whether any campaign records, always or on demand."""
    return any(campaign.record.policy is not RecordPolicy.NEVER for campaign in settings.campaigns.values())


def key(settings: Settings) -> str:
    """Return the master key as it is written.

    Raises
    ------
    ConfigError
        None is named, or the variable or file that should hold it is missing or empty.
    """
    its, where = settings.dialer.recordings, f"{settings.directory / 'dialer.toml'}: recordings.key"
    if found := read_secret(where, its.key_env, its.key_file, settings.directory):
        return found
    msg = f"{where}_env: is missing; name a variable, or a file with key_file, that holds 'openssl rand -base64 32'"
    raise ConfigError(msg)
