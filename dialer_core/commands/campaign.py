"""`dialer campaign`: what campaigns are doing, and what becomes of them: release, start, pause, stop, archive, reopen."""

from __future__ import annotations

from typing import Any

import click

from dialer_core.campaigns.dispositions import words_view
from dialer_core.commands.api_client import api
from dialer_core.commands.invocation import Invocation, example, invocation
from dialer_core.commands.status_view import campaign_rows
from dialer_core.commands.store_access import campaign_of
from dialer_core.vocabulary import CampaignState, PacingMode


@click.group(epilog=example("dialer campaign list", "dialer campaign pause cobranza --reason 'lunch'"))
def campaign() -> None:
    """List, release, start, pause, stop and archive campaigns."""


@campaign.command("list", epilog=example("dialer campaign list", "dialer campaign list --all"))
@click.option("--all", "everything", is_flag=True, help="Archived ones too.")
@invocation
def list_campaigns(call: Invocation, *, everything: bool) -> None:
    """List campaigns with what they are doing now."""
    with api(call.settings) as client:
        found: Any = client.get("/campaigns")
    if not everything:
        found = [one for one in found if one["state"] != CampaignState.ARCHIVED]
    call.give(found)
    call.table(*campaign_rows(found))


def _command(call: Invocation, name: str, verb: str, done: str, reason: str = "") -> None:
    with api(call.settings) as client:
        result: Any = client.post(f"/campaigns/{name}/{verb}", {"reason": reason})
    call.give(result)
    call.say(f"{name}: {done}")


@campaign.command("start", epilog=example("dialer campaign start cobranza"))
@click.argument("name")
@invocation
def start_campaign(call: Invocation, name: str) -> None:
    """Let a campaign dial."""
    _command(call, name, "start", "started")


@campaign.command("pause", epilog=example("dialer campaign pause cobranza --reason 'trunk work'"))
@click.argument("name")
@click.option("--reason", default="", help="Kept with the pause and shown in the status.")
@invocation
def pause_campaign(call: Invocation, name: str, reason: str) -> None:
    """Place nothing new; calls alive go on."""
    _command(call, name, "pause", "paused", reason)


@campaign.command("stop", epilog=example("dialer campaign stop cobranza"))
@click.argument("name")
@click.option("--reason", default="", help="Kept with the stop and shown in the status.")
@invocation
def stop_campaign(call: Invocation, name: str, reason: str) -> None:
    """Place nothing new, and cancel what has not been answered."""
    _command(call, name, "stop", "stopped", reason)


@campaign.command("release", epilog=example("dialer campaign release cobranza"))
@click.argument("name")
@click.option("--reason", default="", help="Kept with the event.")
@invocation
def release_campaign(call: Invocation, name: str, reason: str) -> None:
    """Let a draft be started from now on."""
    _command(call, name, "release", "released; 'dialer campaign start' lets it dial", reason)


@campaign.command("archive", epilog=example("dialer campaign archive cobranza --reason 'sold'"))
@click.argument("name")
@click.option("--reason", default="", help="Kept with the event, and shown in the status.")
@invocation
def archive_campaign(call: Invocation, name: str, reason: str) -> None:
    """Put away what is stopped, finished or a draft: it takes no leads and is not started; reports keep it."""
    _command(call, name, "archive", "archived", reason)


@campaign.command("reopen", epilog=example("dialer campaign reopen cobranza"))
@click.argument("name")
@click.option("--reason", default="", help="Kept with the event.")
@invocation
def reopen_campaign(call: Invocation, name: str, reason: str) -> None:
    """Take an archived campaign out again; it is stopped."""
    _command(call, name, "reopen", "reopened, and stopped", reason)


@campaign.command(
    "pace",
    epilog=example(
        "dialer campaign pace cobranza --mode predictive --ceiling-share 0.5",
        "dialer campaign pace cobranza --as-written",
    ),
)
@click.argument("name")
@click.option(
    "--mode",
    type=click.Choice([mode for mode in PacingMode if mode is not PacingMode.AGENTLESS]),
    default=None,
    help="How many are placed.",
)
@click.option("--ratio", type=float, default=None, help="Calls per idle agent, in mode ratio.")
@click.option(
    "--ceiling-share",
    type=float,
    default=None,
    help="How much of the abandonment ceiling pacing may use: 0.1 to 1.",
)
@click.option("--as-written", is_flag=True, help="All as the campaign's file says again.")
@invocation
def pace_campaign(
    call: Invocation, name: str, mode: str | None, ratio: float | None, ceiling_share: float | None, *, as_written: bool
) -> None:  # fmt: skip
    """Change how a campaign dials, from now on and over restarts; the ceiling itself stays."""
    given = {"pacing": mode, "ratio": ratio, "ceiling_share": ceiling_share}
    wanted = {key: value for key, value in given.items() if value is not None}
    if bool(wanted) == as_written:
        raise click.UsageError("say what to change (--mode, --ratio, --ceiling-share), or --as-written")
    with api(call.settings) as client:
        now: Any = client.post(f"/campaigns/{name}/pacing", wanted)
    call.give(now)
    call.say(f"{name}: {now['pacing']}, ratio {now['ratio']:g}, {now['ceiling_share']:.0%} of the ceiling")


@campaign.command("dispositions", epilog=example("dialer campaign dispositions cobranza"))
@click.argument("name")
@invocation
def list_dispositions(call: Invocation, name: str) -> None:
    """List the words by which agents say what a conversation was, and the reasons for non-payment."""
    settings = call.settings
    view = words_view(settings.campaigns[campaign_of(settings, name)])
    call.give(view)
    call.table(
        ("disposition", "is a kind of", "label", "the lead", "restriction", "needs a reason"),
        [
            (
                one.name,
                one.under or "",
                one.label,
                f"again after {one.again_after_minutes:g} min" if one.again_after_minutes else "finished",
                one.restriction or "",
                "yes" if one.needs_reason else "",
            )
            for one in view.dispositions
        ],
    )
    call.table(("reason", "label"), list(view.reasons.items()))
