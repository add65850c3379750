"""`dialer users` and `dialer tokens`: passwords are asked for or made, tokens shown once, mistakes told in one line."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dialer_core.commands.cli import main

pytestmark = pytest.mark.db

Run = Callable[..., Result]


@pytest.fixture
def dialer(tmp_path: Path) -> Run:
    """Run a command line in a fresh configuration with one agent."""
    assert CliRunner().invoke(main, ["init", str(tmp_path / "config")]).exit_code == 0
    (tmp_path / "config" / "agents.toml").write_text('[agents.ana]\nsip = "sip:ana@127.0.0.1:5070"\n')

    def run(*arguments: str, stdin: str = "") -> Result:
        return CliRunner().invoke(main, [*arguments, "--config", str(tmp_path / "config")], input=stdin)

    return run


def test_users_come_and_go(dialer: Run) -> None:
    """Added with a made password, listed without it, disabled, enabled, given another."""
    added = dialer("users", "add", "ana", "--role", "agent", "--agent", "ana", "--generate", "--json")
    assert added.exit_code == 0, added.output
    assert len(json.loads(added.stdout)["password"]) >= 20
    assert dialer("users", "disable", "ana").exit_code == 0
    (listed,) = json.loads(dialer("users", "list", "--json").stdout)
    assert (listed["id"], listed["role"], listed["active"]) == ("ana", "agent", False)
    assert "password" not in listed
    assert dialer("users", "enable", "ana").exit_code == 0
    assert (
        dialer("users", "password", "ana", "--password-stdin", stdin="one long and good phrase\n").exit_code
        == 0
    )


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        (("users", "add", "x", "--role", "agent", "--generate"), "", "needs to know which agent"),
        (("users", "add", "x", "--role", "agent", "--agent", "eva", "--generate"), "", "known are: ana"),
        (("users", "add", "x", "--role", "supervisor", "--extension", "e", "--generate"), "", "[extensions]"),
        (("users", "add", "a b", "--role", "admin", "--generate"), "", "is no name"),
        (("users", "add", "x", "--role", "admin", "--password-stdin"), "short\n", "12 to 128 characters"),
        (("users", "add", "x", "--role", "admin", "--password-stdin"), "password1234567\n", "guessed first"),
        (("users", "disable", "nobody"), "", "there is no user 'nobody'"),
        (("users", "password", "nobody", "--generate"), "", "there is no user 'nobody'"),
        (("tokens", "revoke", "nothing"), "", "there is no token 'nothing'"),
    ],
)
def test_mistakes_are_told_in_a_line(dialer: Run, arguments: tuple[str, ...], stdin: str, said: str) -> None:
    """What is wrong, and what would be right; nothing is stored."""
    result = dialer(*arguments, stdin=stdin)
    assert result.exit_code in (1, 2)
    assert said in result.output
    assert "error:" in result.stderr.lower()


def test_a_token_is_shown_once(dialer: Run) -> None:
    """Its text is printed when it is made and nowhere later; its name is used once."""
    made = dialer("tokens", "add", "crm", "--scope", "read", "--scope", "records")
    token = made.stdout.strip()
    assert token.startswith("mrc_")
    listed = dialer("tokens", "list")
    assert "records" in listed.output
    assert token not in listed.output
    assert dialer("tokens", "revoke", "crm").exit_code == 0
    assert dialer("tokens", "add", "crm", "--scope", "read").exit_code == 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_is_the_shells(shell: str) -> None:
    """Each script names the command and the variable by which click answers; bash takes its own."""
    script = CliRunner().invoke(main, ["completion", shell]).output
    assert "_DIALER_COMPLETE" in script
    if shell == "bash":
        assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_is_answered_with_what_completes_a_word(shell: str) -> None:
    """Asked as each shell's script asks: commands, a group's commands, options."""
    for words, wanted in (
        ("cam", "campaign"),
        ("campaign pa", "pace"),
        ("campaign pace demo --ce", "--ceiling-share"),
    ):
        line = f"dialer {words}"
        asked = {
            "_DIALER_COMPLETE": f"{shell}_complete", "COMP_WORDS": line,
            "COMP_CWORD": words.rpartition(" ")[2] if shell == "fish" else str(len(words.split())),
        }  # fmt: skip
        answered = CliRunner().invoke(main, [], prog_name="dialer", env=asked)
        assert wanted in answered.output, (words, answered.output)
