"""`dialer agent`: what agents are doing, log-in and log-out, pauses, dispositions."""

from __future__ import annotations

import datetime as dt
from typing import Any

import click

from dialer_core.commands.api_client import api
from dialer_core.commands.invocation import Invocation, example, invocation
from dialer_core.commands.status_view import agent_rows


@click.group(epilog=example("dialer agent list", "dialer agent login ana", "dialer agent ready ana"))
def agent() -> None:
    """List agents, log them in and out, pause them, note what a call was."""


@agent.command("list", epilog=example("dialer agent list"))
@invocation
def list_agents(call: Invocation) -> None:
    """List agents with what they are doing now."""
    with api(call.settings) as client:
        found = client.get("/agents")
    call.give(found)
    call.table(*agent_rows(found))


def _command(call: Invocation, name: str, verb: str, done: str, body: dict[str, Any] | None = None) -> None:
    with api(call.settings) as client:
        result: Any = client.post(f"/agents/{name}/{verb}", body)
    call.give(result)
    call.say(f"{name}: {done}")


@agent.command("login", epilog=example("dialer agent login ana"))
@click.argument("name")
@invocation
def login(call: Invocation, name: str) -> None:
    """Call the agent's softphone; once it answers they are paused until `ready` (or `auto_ready`)."""
    _command(call, name, "login", "the softphone is being called")


@agent.command("ready", epilog=example("dialer agent ready ana"))
@click.argument("name")
@invocation
def ready(call: Invocation, name: str) -> None:
    """Offer people to the agent; ends a pause or the wrap-up."""
    _command(call, name, "ready", "ready")


@agent.command("pause", epilog=example("dialer agent pause ana --reason lunch"))
@click.argument("name")
@click.option("--reason", required=True, help="Why; kept with the interval.")
@invocation
def pause(call: Invocation, name: str, reason: str) -> None:
    """Offer nobody to the agent; the conversation they have goes on."""
    _command(call, name, "pause", f"paused ({reason})", {"reason": reason})


@agent.command(
    "move", epilog=example("dialer agent move ana --campaign cobranza", "dialer agent move ana --as-written")
)
@click.argument("name")
@click.option(
    "--campaign",
    "campaigns",
    multiple=True,
    metavar="NAME",
    help="Whose people they take; repeat for several.",
)
@click.option("--as-written", is_flag=True, help="As agents.toml says again.")
@invocation
def move(call: Invocation, name: str, campaigns: tuple[str, ...], *, as_written: bool) -> None:
    """Let an agent work for other campaigns from the next person on, over restarts."""
    if bool(campaigns) == as_written:
        raise click.UsageError("name the campaigns (--campaign NAME), or --as-written")
    with api(call.settings) as client:
        now: Any = client.post(f"/agents/{name}/campaigns", {"campaigns": list(campaigns)})
    call.give(now)
    call.say(f"{name}: works for {', '.join(now['campaigns'])}")


@agent.command("finishing", epilog=example("dialer agent finishing ana"))
@click.argument("name")
@invocation
def finishing(call: Invocation, name: str) -> None:
    """Say that the agent is about to be done: pacing then knows better when they are free."""
    _command(call, name, "finishing", "finishing")


@agent.command("preview", epilog=example("dialer agent preview ana"))
@click.argument("name")
@invocation
def preview(call: Invocation, name: str) -> None:
    """Show the lead that the agent may dial or skip, in a campaign of mode preview."""
    with api(call.settings) as client:
        found: Any = client.get(f"/agents/{name}/preview")
    call.give(found)
    call.say("\n".join(f"{key}: {value}" for key, value in found.items()) or f"{name}: nobody is shown")


@agent.command("accept", epilog=example("dialer agent accept ana"))
@click.argument("name")
@invocation
def accept(call: Invocation, name: str) -> None:
    """Dial the lead that the agent is shown."""
    _command(call, name, "preview/accept", "being dialed")


@agent.command("skip", epilog=example("dialer agent skip ana --reason 'paid yesterday'"))
@click.argument("name")
@click.option("--reason", default="", help="Why; kept with the event.")
@invocation
def skip(call: Invocation, name: str, reason: str) -> None:
    """Do not dial the lead that the agent is shown; the next one comes."""
    _command(call, name, "preview/skip", "skipped", {"reason": reason})


@agent.command(
    "next-number",
    epilog=example("dialer agent next-number ana", "dialer agent next-number ana --said wrong_number"),
)
@click.argument("name")
@click.option("--said", default=None, metavar="WORD", help="What the call before was: a disposition.")
@invocation
def next_number(call: Invocation, name: str, *, said: str | None) -> None:
    """Dial the next number of the person that the agent talks to, or has just talked to, for that agent alone."""
    body = {"disposition": said} if said else {}
    _command(call, name, "next_number", "the next number is being dialed", body)


@agent.command("logout", epilog=example("dialer agent logout ana"))
@click.argument("name")
@invocation
def logout(call: Invocation, name: str) -> None:
    """End the agent's softphone leg and log-in."""
    _command(call, name, "logout", "logged out")


@agent.command(
    "dispose",
    epilog=example(
        "dialer agent dispose ana promise", "dialer agent dispose ana callback --at 2026-03-02T17:30-06:00"
    ),
)
@click.argument("name")
@click.argument("disposition")
@click.option(
    "--reason",
    default=None,
    metavar="WORD",
    help="Why they do not pay; the campaign's words (dialer campaign dispositions).",
)
@click.option(
    "--at",
    default=None,
    metavar="TIME",
    help="When they asked to be called, for callback: YYYY-MM-DDTHH:MM, in this machine's zone unless it has an offset.",
)
@invocation
def dispose(call: Invocation, name: str, disposition: str, *, reason: str | None, at: str | None) -> None:
    """Note what the agent's present or last conversation was, in the campaign's words (`dialer campaign dispositions`); ends their wrap-up."""
    body = {"disposition": disposition} | ({"reason": reason} if reason else {})
    if at is not None:
        try:
            body["callback_at"] = dt.datetime.fromisoformat(at).astimezone().isoformat()
        except ValueError:
            raise click.BadParameter(f"{at!r}: write YYYY-MM-DDTHH:MM", param_hint="--at") from None
    _command(call, name, "disposition", f"noted {disposition}", body)
