"""`dialer`: the table of commands, and how every failure becomes one line and an exit status.

It owns the table (name, module, one line of help), so that `dialer --help` imports no command; and the exit
statuses: 0 done, 1 failed or refused, 2 wrong usage or configuration.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click

from dialer_core.commands.lazy_group import LazyGroup
from dialer_core.errors import ConfigError, DialerError

TABLE: dict[str, tuple[str, str]] = {
    "demo": (
        "demo:demo",
        "A simulated carrier, softphones, a campaign of 200 leads and a broadcast, in two minutes.",
    ),
    "init": ("init:init", "Write a configuration to start from."),
    "doctor": ("doctor:doctor", "Check everything that a campaign needs, and say what to do."),
    "leads": ("imports:leads", "Bring leads into a campaign."),
    "dnc": ("imports:dnc", "Bring in do-not-call lists."),
    "payments": ("table_imports:payments", "Bring in payments: they stop the calls about what was paid."),
    "contacts": ("table_imports:contacts", "Bring in contacts made elsewhere: the caps count them."),
    "segments": (
        "segments:segments",
        "Name parts of a list by what is known of them, count and look at them.",
    ),
    "caller-ids": ("caller_ids:caller_ids", "How the numbers that we call from are received."),
    "account": (
        "accounts:account",
        "Show an account with everything that hangs on it; add notes and documents.",
    ),
    "promise": ("accounts:promise", "Write promises to pay down, and take them back."),
    "run": ("run:run", "Start dialing; drain and stop on Ctrl-C or SIGTERM."),
    "status": ("status:status", "What the running dialer is doing."),
    "campaign": ("campaign:campaign", "List, start, pause and stop campaigns."),
    "agent": ("agent:agent", "List agents, log them in and out, pause them, note what a call was."),
    "users": ("access:users", "Who logs in to the screens: add, list, disable, change a password."),
    "tokens": ("access:tokens", "Tokens for programs: add, list, revoke."),
    "messages": ("messages:messages", "Messages by SMS, WhatsApp and e-mail: what waits, what is uncertain."),
    "events": ("events:events", "Print the event log."),
    "push": ("push:push", "Other systems that are told what happens: how far, and what they did not take."),
    "plugins": ("plugins:plugins", "List installed plugins, and make a package for one of your own."),
    "amd": ("amd:amd", "Answering-machine detection: judge recordings, show why, measure how well it does."),
    "rules": ("rules:rules", "The rule packs, and what each rule stands on."),
    "recordings": ("recordings:recordings", "Recorded conversations: find them, export them."),
    "flows": ("flows:flows", "Flows: voice menus and broadcasts as files: check, show, try them."),
    "practice": (
        "practice:practice",
        "Practise on simulated people: a real call, a script, a score sheet.",
    ),
    "pacing": ("pacing:pacing", "Pacing: why the dialer places what it places, simulated shifts, staffing."),
    "report": ("report:report", "Figures of campaigns, agents and days, and call detail records."),
    "target": ("report:target", "Set what a campaign is to reach on a day."),
    "verify": ("verify:verify", "Check the invariants over the store."),
    "completion": ("completion:completion", "Print what lets a shell complete commands and options."),
}
"""Command: where it is, and what `dialer --help` says of it."""

DEBUG = "--debug"
PLUGIN_COMMANDS = "dialer.commands"
"""Entry-point group of plugins' own commands: name of the command, place of the click command."""


def plugin_commands() -> dict[str, importlib.metadata.EntryPoint]:
    """Return plugins' own commands by name; a name of ours stays ours."""
    found = importlib.metadata.entry_points(group=PLUGIN_COMMANDS)
    return {point.name: point for point in sorted(found, key=lambda one: one.name) if point.name not in TABLE}


def _load(point: importlib.metadata.EntryPoint) -> click.Command:
    """Return a plugin's command; in the place of one that is broken, one that says so when it is called: whatever lists commands goes on."""
    try:
        command = point.load()
        fault = "" if isinstance(command, click.Command) else "is no click command"
    except Exception as error:  # noqa: BLE001 - foreign code at its import
        fault = f"cannot be loaded: {type(error).__name__}: {error}"
    return _broken(point, fault) if fault else command


def _broken(point: importlib.metadata.EntryPoint, fault: str) -> click.Command:
    package = f", of {point.dist.name}" if point.dist is not None else ""

    def refuse(words: tuple[str, ...]) -> None:
        del words
        raise ConfigError(f"the plugin's command {point.name!r} ({point.value}{package}) {fault}")

    return click.Command(
        point.name,
        callback=refuse,
        params=[click.Argument(["words"], nargs=-1, type=click.UNPROCESSED)],
        context_settings={"ignore_unknown_options": True},
        add_help_option=False,
        hidden=True,
    )


class DialerGroup(LazyGroup):
    """The root: one-line errors, exit statuses, and plugins' commands behind ours."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return our commands in the table's order, then the plugins'."""
        return [*super().list_commands(ctx), *plugin_commands()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command of ours, or else a plugin's."""
        if cmd_name in TABLE or (point := plugin_commands().get(cmd_name)) is None:
            return super().get_command(ctx, cmd_name)
        return _load(point)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write our table, and where plugins' commands come from."""
        super().format_commands(ctx, formatter)
        told = [
            (name, f"{point.module}; 'dialer {name} --help' says more.")
            for name, point in plugin_commands().items()
        ]
        if told:  # not asked themselves: that would import them, and what they import
            with formatter.section("Commands of plugins"):
                formatter.write_dl(told)

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = "dialer", **extra: Any
    ) -> None:
        """Run a command line and leave with its status."""
        given = list(sys.argv[1:] if args is None else args)
        extra["standalone_mode"] = False
        try:
            status = super().main(given, prog_name, **extra)
        except Exception as error:  # noqa: BLE001 - the one place where every failure becomes a line
            if DEBUG in given and not isinstance(error, click.ClickException | click.Abort):
                traceback.print_exc()
            sys.exit(_told(error))
        sys.exit(status if isinstance(status, int) else 0)


def _told(error: Exception) -> int:
    """Say in one line what went wrong (a configuration may have several); return the exit status."""
    match error:
        case click.UsageError():
            error.show()
            return 2
        case click.ClickException():
            error.show()
            return 1
        case click.Abort():
            click.echo("stopped", err=True)
            return 1
        case BrokenPipeError():
            # the reader has gone (`dialer events | head`); nothing more may be written, at exit neither
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        case ConfigError():
            click.echo(f"error: {error}", err=True)
            return 2
        case DialerError():
            click.echo(f"error: {error}", err=True)
            return 1
        case _:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}"
            click.echo(
                f"error: a fault of ours, {type(error).__name__} at {place}; 'dialer --debug ...' shows the trace",
                err=True,
            )
            return 1


@click.group(
    cls=DialerGroup,
    table=TABLE,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\b\nExample:\n  $ dialer demo\n  $ dialer init && dialer doctor\n  $ dialer run",
)
@click.version_option(importlib.metadata.version("marcador"), prog_name="marcador")
@click.option(DEBUG, is_flag=True, help="With an error, show the Python trace too.")
def main(*, debug: bool) -> None:
    """A predictive dialer: real SIP calls out, people told from machines, live people handed to agents."""
    del debug  # looked at in DialerGroup.main, which alone sees the error


if __name__ == "__main__":
    main()
