"""The command line: exit statuses, one-line errors, JSON, and what starting it costs."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

from dialer_core import plugin_host
from dialer_core.commands import cli
from dialer_core.commands.cli import TABLE, main
from dialer_core.commands.init import packaged_files
from dialer_core.settings import load_settings
from tests.host.running import free_port

pytestmark = [pytest.mark.db, pytest.mark.timeout(60)]


def invoke(*arguments: str, **environment: str) -> Result:
    """Run a command line in this process."""
    return CliRunner(env={"MARCADOR_CONFIG": None} | environment).invoke(main, list(arguments))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration as `dialer init` writes it, on a free port."""
    folder = tmp_path / "config"
    assert invoke("init", str(folder)).exit_code == 0
    file = folder / "dialer.toml"
    file.write_text(file.read_text().replace("# port = 8088", f"port = {free_port()}"))
    return folder


def leaves(
    command: click.Command = main, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            if (inner := command.get_command(context, name)) is not None:
                yield from leaves(inner, (*path, name))
    else:
        yield path, command


LEAVES = list(leaves())


def test_starting_the_command_line_imports_nothing_heavy() -> None:
    """`dialer --help` and `--version` import no pjsua2, librosa, numpy, SQLAlchemy or web framework."""
    program = (
        "import sys\n"
        "from dialer_core.commands.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'pjsua2', 'librosa', 'numpy', 'scipy', 'sqlalchemy', 'fastapi', 'pydantic', 'httpx2', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "leads" in done.stdout


def test_the_table_says_what_the_commands_say() -> None:
    """The one line in `dialer --help` is kept beside the command's own help: both begin with the same thought."""
    for name, (_, text) in TABLE.items():
        command = main.commands[name]
        assert text.endswith(".")
        assert command.name == name


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=[" ".join(path) for path, _ in LEAVES])
def test_every_command_speaks_json_and_shows_an_example(
    path: tuple[str, ...], command: click.Command
) -> None:
    """`--json` is an option of every command but `run`'s output, and `--help` shows the command in use."""
    assert "--json" in {option for parameter in command.params for option in parameter.opts}
    result = invoke(*path, "--help")
    assert result.exit_code == 0
    assert f"$ dialer {' '.join(path)}" in result.output


def test_init_writes_what_is_packaged_and_overwrites_nothing(tmp_path: Path) -> None:
    """The folder holds every packaged file and loads; a second time nothing is touched, unless forced."""
    folder = tmp_path / "new" / "config"
    result = invoke("init", str(folder), "--json")
    assert sorted(json.loads(result.stdout)["files"]) == sorted(packaged_files())
    settings = load_settings(folder)
    assert list(settings.campaigns) == ["cobranza"]
    (folder / "trunks.toml").write_text("# mine\n")
    again = invoke("init", str(folder))
    assert again.exit_code == 2
    assert "nothing was written" in again.stderr
    assert (folder / "trunks.toml").read_text() == "# mine\n"
    assert invoke("init", str(folder), "--force").exit_code == 0
    assert (folder / "trunks.toml").read_text() != "# mine\n"


def test_the_repositorys_configuration_is_the_packaged_one() -> None:
    """`config/` of the repository holds the same files, byte for byte."""
    root = Path(__file__).parents[2] / "config"
    found = {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.toml"))}
    assert found == packaged_files()


def test_the_packaged_comments_are_settings(config: Path) -> None:
    """Every commented setting of the packaged configuration, uncommented, is one that exists and is allowed."""
    for name in ("dialer.toml", "trunks.toml", "agents.toml", "campaigns/cobranza.toml"):
        file = config / name
        lines = []
        for line in file.read_text().splitlines():
            bare = line.removeprefix("# ")
            is_setting = line.startswith("# ") and (" = " in bare.split("#")[0] or bare.startswith("["))
            lines.append(bare if is_setting and bare[0] in "abcdefghijklmnopqrstuvwxyz[" else line)
        text = "\n".join(lines).replace('password_file = "carrier.secret"', "")
        file.write_text(text)
    settings = load_settings(config)
    assert settings.trunks["carrier"].user == "account-1"
    assert settings.campaigns["cobranza"].recycle["busy"].max_attempts == 6
    assert settings.agents["ana"].campaigns == ("cobranza",)


def test_a_wrong_configuration_is_status_2_and_a_line_a_mistake(config: Path) -> None:
    """Unknown keys, bad values and unknown names are told with file, key and what is allowed; no trace is shown."""
    (config / "dialer.toml").write_text('[http]\nport = "many"\ncolour = "red"\n')
    (config / "campaigns" / "cobranza.toml").write_text('trunks = ["nowhere"]\npacing = "magic"\n')
    for command in (
        ("status",),
        ("run",),
        ("doctor",),
        ("verify",),
        ("agent", "list"),
        ("leads", "import", "x.csv", "--campaign", "c"),
    ):
        result = invoke(*command, "--config", str(config))
        assert result.exit_code == 2, command
        assert "dialer.toml: http.port: " in result.stderr
        assert "dialer.toml: http.colour: unknown setting" in result.stderr
        assert "cobranza.toml: pacing: " in result.stderr
        assert "Traceback" not in result.stderr


def test_a_folder_that_is_not_there_says_what_makes_one(tmp_path: Path) -> None:
    """Without a configuration the error names the file and `dialer init`."""
    result = invoke("status", "--config", str(tmp_path / "none"))
    assert result.exit_code == 2
    assert "'dialer init' writes a configuration" in result.stderr


def test_commands_on_a_dialer_that_does_not_run_are_status_1(config: Path) -> None:
    """Before the first run, and after the dialer has ended, the line says how to start it."""
    for command in (
        ("status",),
        ("agent", "list"),
        ("agent", "ready", "ana"),
        ("campaign", "pause", "cobranza"),
    ):
        result = invoke(*command, "--config", str(config))
        assert result.exit_code == 1
        assert "dialer run" in result.stderr
        assert result.stderr.count("\n") == 1
        assert result.stdout == ""


def test_wrong_usage_is_status_2(config: Path) -> None:
    """Unknown commands and options, missing arguments and choices that do not exist."""
    for command in (
        ("nonsense",),
        ("status", "--nonsense"),
        ("agent", "pause", "ana"),
        ("messages", "list", "--state", "great"),
    ):
        assert invoke(*command).exit_code == 2


def test_a_fault_of_ours_is_one_line_and_a_trace_on_demand(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception that nobody expected names its place; `--debug` adds the trace."""
    monkeypatch.setattr("dialer_core.commands.verify.verify_store", lambda *_a, **_k: 1 / 0)
    invoke("leads", "import", os.devnull, "--campaign", "cobranza", "--config", str(config))
    short = invoke("verify", "--config", str(config))
    assert short.exit_code == 1
    assert "ZeroDivisionError at test_cli.py:" in short.stderr
    assert "Traceback" not in short.stderr
    assert "Traceback" in invoke("--debug", "verify", "--config", str(config)).stderr


def test_the_config_folder_comes_from_the_environment_too(config: Path) -> None:
    """MARCADOR_CONFIG stands for `--config`."""
    assert "8088" not in invoke("status", MARCADOR_CONFIG=str(config)).stderr
    assert invoke("plugins", "--json", MARCADOR_CONFIG=str(config)).exit_code == 0


def test_leads_and_lists_come_in_with_their_rejects(config: Path, tmp_path: Path) -> None:
    """Good rows go in, broken ones go to the reject file; `--strict` takes none; the event log says so."""
    file = tmp_path / "leads.csv"
    file.write_text("cuenta,nombre,telefono\nA1,Uno,55 0000 0101\nA2,Dos,no tiene\n")
    where = ("--config", str(config))
    strict = invoke("leads", "import", str(file), "--campaign", "cobranza", "--strict", "--json", *where)
    assert strict.exit_code == 1
    assert json.loads(strict.stdout)["refused"]
    done = invoke("leads", "import", str(file), "--campaign", "cobranza", *where)
    assert done.exit_code == 0
    assert "2 rows: 1 new, 0 updated, 0 unchanged, 1 rejected" in done.stdout
    rejects = list((config.parent / "state" / "rejects").iterdir())
    assert len(rejects) == 1
    assert str(rejects[0]) in done.stdout
    columns = json.loads(
        invoke("leads", "import", str(file), "--campaign", "cobranza", "--columns", "--json", *where).stdout
    )
    assert columns["telefono"] == "phone"
    (tmp_path / "dnc.csv").write_text("5500000101\n5500000199\n")
    listed = json.loads(
        invoke("dnc", "import", str(tmp_path / "dnc.csv"), "--source", "REUS", "--json", *where).stdout
    )
    assert listed["accepted"] == 2
    names = [json.loads(line)["name"] for line in invoke("events", "--json", *where).stdout.splitlines()]
    assert names.count("lead.imported") == 1
    assert "restriction.added" in names
    assert invoke("verify", *where).exit_code == 0


def test_why_a_lead_is_not_dialed_is_told_in_words(config: Path, tmp_path: Path) -> None:
    """A lead on the do-not-call list says so; an account that is on no list is status 1."""
    (tmp_path / "leads.csv").write_text(
        "cuenta,nombre,telefono,zona\nA1,Uno,55 0000 0101,America/Mexico_City\n"
    )
    (tmp_path / "dnc.csv").write_text("5500000101\n")
    where = ("--campaign", "cobranza", "--config", str(config))
    assert invoke("leads", "import", str(tmp_path / "leads.csv"), *where).exit_code == 0
    assert invoke("dnc", "import", str(tmp_path / "dnc.csv"), *where[2:]).exit_code == 0
    said = json.loads(invoke("leads", "why", "A1", "--json", *where).stdout)
    assert said["numbers"][0]["rule"] == "do_not_call"
    assert "A1: " in invoke("leads", "why", "A1", *where).stdout
    # on one list only: which need not be said
    assert json.loads(invoke("leads", "why", "A1", "--json", *where[2:]).stdout)["lead_id"] == said["lead_id"]
    assert "has no lead in any campaign" in invoke("leads", "why", "A2", *where[2:]).stderr
    missing = invoke("leads", "why", "A2", *where)
    assert missing.exit_code == 1
    assert "has no lead in cobranza" in missing.stderr


def test_an_unknown_campaign_or_event_is_told_with_the_known_ones(config: Path, tmp_path: Path) -> None:
    """Names that do not exist are status 2 with those that do."""
    file = tmp_path / "leads.csv"
    file.write_text("cuenta,telefono\n1,5500000101\n")
    wrong = invoke("leads", "import", str(file), "--campaign", "x", "--config", str(config))
    assert wrong.exit_code == 2
    assert "known are: cobranza" in wrong.stderr
    events = invoke("events", "--name", "attempt.teleported", "--config", str(config))
    assert events.exit_code == 2
    assert "attempt.answered" in events.stderr


def test_run_refuses_what_must_be_settled_first(config: Path) -> None:
    """A trunk beyond this machine without caller ID and with the demonstration's rules: status 2, a line each, nothing started."""
    trunks = config / "trunks.toml"
    trunks.write_text(trunks.read_text().replace('host = "127.0.0.1"', 'host = "192.0.2.1"'))
    campaign = config / "campaigns" / "cobranza.toml"
    campaign.write_text(campaign.read_text().replace('"mx"', '"demo"').replace("Financiera Ejemplo", ""))
    result = invoke("run", "--config", str(config))
    assert result.exit_code == 2
    for told in (
        "rule_pack: 'demo' is for trunks on this machine only",
        "creditor: is missing",
        "caller_id: is missing",
    ):
        assert told in result.stderr


def test_run_refuses_a_plugin_that_is_not_installed(config: Path) -> None:
    """A slip in `plugins.enabled` is told before anything is started: the host would die of it for as long as the dialer runs."""
    file = config / "dialer.toml"
    file.write_text(file.read_text().replace("[plugins]\n", '[plugins]\nenabled = ["metrisc"]\n'))
    refused = invoke("run", "--config", str(config))
    assert refused.exit_code == 2
    assert "'metrisc' is not an installed plugin; installed are: " in refused.stderr
    assert not (config.parent / "state").exists()


def test_a_plugin_that_cannot_be_loaded_is_a_row_of_the_list(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`dialer plugins --json` stays JSON beside a plugin whose import fails, and says of it why; nothing is logged between."""
    point = importlib.metadata.EntryPoint("mine", "not_there", "dialer.plugins")
    monkeypatch.setattr(plugin_host, "installed", lambda: {"mine": point})
    file = config / "dialer.toml"
    file.write_text(file.read_text().replace("[plugins]\n", '[plugins]\nenabled = ["mine"]\n'))
    listed = invoke("plugins", "list", "--json", "--config", str(config))
    (row,) = json.loads(listed.stdout)
    assert (row["name"], row["state"]) == ("mine", "disabled")
    assert "No module named 'not_there'" in row["reason"]
    assert not listed.stderr


class TestPluginCommands:
    """Commands that plugins bring by an entry point."""

    @staticmethod
    def _with(monkeypatch: pytest.MonkeyPatch, **places: str) -> None:
        points = [
            importlib.metadata.EntryPoint(name, place, cli.PLUGIN_COMMANDS) for name, place in places.items()
        ]
        monkeypatch.setattr(
            importlib.metadata,
            "entry_points",
            lambda group: points if group == cli.PLUGIN_COMMANDS else [],
        )

    def test_it_is_listed_and_runs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A plugin's command stands in the help behind ours and is called by its name."""
        self._with(monkeypatch, status2="dialer_core.commands.events:events")
        assert "Commands of plugins" in invoke("--help").output
        assert "Print the event log" in invoke("status2", "--help").output

    def test_a_broken_one_is_a_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One that cannot be loaded is named in the help and refused in a line; all others work."""
        self._with(monkeypatch, broken="not_there:group", wrong="dialer_core.clock:SystemClock")
        shown = invoke("--help")
        assert shown.exit_code == 0
        assert "broken" in shown.output
        assert invoke("completion", "--help").exit_code == 0
        for name, *more in (("broken",), ("wrong",), ("broken", "list", "--json"), ("broken", "--help")):
            refused = invoke(name, *more)
            assert refused.exit_code == 2
            assert f"the plugin's command '{name}'" in refused.output

    def test_a_broken_one_is_not_completed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A shell completes the other commands beside one that cannot be loaded."""
        self._with(monkeypatch, events2="dialer_core.commands.events:events", everywhere="not_there:group")
        completed = ShellComplete(main, {}, "dialer", "_DIALER_COMPLETE").get_completions([], "ev")
        assert [word.value for word in completed] == ["events", "events2"]

    def test_ours_stays_ours(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A plugin cannot put itself in a command's place."""
        self._with(monkeypatch, verify="not_there:group")
        assert invoke("verify", "--help").exit_code == 0
