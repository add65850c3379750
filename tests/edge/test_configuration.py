"""What `dialer init --edge` writes: Kamailio takes it, secrets stay in their files, and a change is noticed."""

from __future__ import annotations

import hashlib
import json
import stat
import subprocess
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dialer_core.commands.cli import main
from dialer_core.edge import configuration
from dialer_core.errors import ConfigError
from dialer_core.settings import load_settings
from tests.skips import requires_program

pytestmark = pytest.mark.unit

SECRET = "no-one: may\\read"  # with what db_text takes for its own


def _write(
    folder: Path, edge: Mapping[str, Any], trunk: Mapping[str, Any], agent: Mapping[str, Any], **sections: Any
) -> Path:
    config = folder / "config"
    config.mkdir()
    (config / "a.secret").write_text(SECRET)

    def toml(table: Mapping[str, Any]) -> str:
        return "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())

    everything = {"edge": {"enabled": True, "control_socket": str(folder / "edge.sock"), **edge}, **sections}
    (config / "dialer.toml").write_text(
        "".join(f"[{name}]\n{toml(table)}" for name, table in everything.items())
    )
    (config / "trunks.toml").write_text(f"[trunks.t]\n{toml({'host': '127.0.0.2', **trunk})}")
    (config / "agents.toml").write_text(f"[agents.ana]\n{toml({'sip': 'sip:ana@127.0.0.9', **agent})}")
    return config


def _init(config: Path, *more: str) -> Result:
    return CliRunner().invoke(main, ["init", "--edge", *more, str(config)])


@requires_program("kamailio")
@pytest.mark.parametrize("with_tls", [False, True])
def test_kamailio_takes_what_is_written(tmp_path: Path, with_tls: bool) -> None:  # noqa: FBT001
    """`kamailio -c` accepts the files, with registrations, softphones and TLS, and behind NAT."""
    tls = {"tls_certificate": "cert.pem", "tls_private_key": "key.pem"} if with_tls else {}
    config = _write(
        tmp_path,
        {"bind": "127.0.0.9", **tls},
        {"user": "acc", "password_file": "a.secret", "registers": True, "proxy": "127.0.0.3:5070"},
        {"password_file": "a.secret", "sip": "sip:ana@198.51.100.7"},
        sip={"public_address": "198.51.100.7"},
    )
    assert _init(config).exit_code == 0
    main_file = config / "edge" / "kamailio.cfg"
    run = subprocess.run(["kamailio", "-c", "-f", main_file], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "advertise" not in run.stderr or "error" not in run.stderr.lower()
    assert ("enable_tls=yes" in main_file.read_text()) is with_tls


def test_secrets_stay_in_their_files(tmp_path: Path) -> None:
    """The softphone's password is nowhere, its HA1 and the trunk's password only in files that others cannot read."""
    config = _write(
        tmp_path,
        {"bind": "127.0.0.9"},
        {"user": "acc", "password_file": "a.secret", "registers": True},
        {"password_file": "a.secret"},
    )
    assert _init(config).exit_code == 0
    ha1 = hashlib.md5(f"ana:127.0.0.9:{SECRET}".encode(), usedforsecurity=False).hexdigest()
    escaped = SECRET.replace("\\", "\\\\").replace(":", "\\:")
    written = {str(f.relative_to(config / "edge")): f for f in (config / "edge").rglob("*") if f.is_file()}
    holding = {
        name: [text for text in (SECRET, escaped, ha1) if text in file.read_text()]
        for name, file in written.items()
    }
    assert {name: its for name, its in holding.items() if its} == {
        "db/subscriber": [ha1],
        "db/uacreg": [escaped],
    }
    assert all(stat.S_IMODE(written[name].stat().st_mode) == 0o640 for name in configuration.SECRET_FILES)


def test_a_change_is_stale_until_it_is_written(tmp_path: Path) -> None:
    """Every file is missing at first, none differs after writing, and a changed setting is told by the file it changes."""
    config = _write(tmp_path, {}, {}, {})
    assert set(configuration.stale_files(load_settings(config)).values()) == {"missing"}
    assert _init(config).exit_code == 0
    assert configuration.stale_files(load_settings(config)) == {}
    (config / "trunks.toml").write_text('[trunks.t]\nhost = "127.0.0.4"\n')
    assert configuration.stale_files(load_settings(config)) == {"dispatcher.list": "differs"}
    assert _init(config).exit_code == 0
    assert configuration.stale_files(load_settings(config)) == {}


def test_somebody_elses_configuration_is_left_alone(tmp_path: Path) -> None:
    """A kamailio.cfg that was not written by us is overwritten by `--force` alone."""
    config = _write(tmp_path, {}, {}, {})
    own = config / "edge" / "kamailio.cfg"
    own.parent.mkdir()
    own.write_text("request_route { exit; }")
    result = _init(config)
    assert result.exit_code == 2
    assert "--force" in result.output
    assert own.read_text() == "request_route { exit; }"
    assert _init(config, "--force").exit_code == 0
    assert configuration.HEADER in own.read_text()


@pytest.mark.parametrize(
    ("edge", "trunk", "agent", "sections", "told"),
    [
        ({"enabled": False}, {"transport": "tls"}, {}, {}, "trunks.t.transport: needs the edge"),
        (
            {"enabled": False},
            {"user": "a", "password_env": "HOME", "registers": True},
            {},
            {},
            "trunks.t.registers: needs the edge",
        ),
        ({}, {"registers": True}, {}, {}, "registers = true needs the user"),
        ({"tls_certificate": "x.pem"}, {}, {}, {}, "set both or neither"),
        ({}, {}, {}, {"sip": {"bind": "192.0.2.1"}}, "sip.bind: with an edge, leave it at 127.0.0.1"),
        ({}, {}, {"password_file": "a.secret"}, {}, "registers at the edge: sip:ana@127.0.0.1"),
        ({"domain": 'a"b'}, {}, {}, {}, "cannot stand in the edge's configuration"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path,
    edge: dict[str, Any],
    trunk: dict[str, Any],
    agent: dict[str, Any],
    sections: dict[str, Any],
    told: str,
) -> None:
    """A setting that needs the edge, or does not fit it, is told with its file and key before anything is written."""
    config = _write(tmp_path, edge, trunk, agent, **sections)
    with pytest.raises(ConfigError) as error:
        configuration.edge_files(load_settings(config))
    assert told in str(error.value)


def test_flag_2_is_set_and_explained() -> None:
    """The dispatcher keeps the other workers of a set for failover, and the file says what that is for."""
    text = (files("dialer_core.edge") / "routing.cfg").read_text()
    assert 'modparam("dispatcher", "flags", 2)' in text
    assert "without it a call is lost" in text
