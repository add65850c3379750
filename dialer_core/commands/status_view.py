"""How the engine's status looks to people: tables from the JSON of the API.

It owns columns and words. It asks nobody anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from dialer_core.commands.invocation import make_table

Rows = tuple[Sequence[str], list[list[object]]]
_STYLE_OF_STATE = {
    "running": "green",
    "ready": "green",
    "up": "green",
    "talking": "cyan",
    "reserved": "cyan",
    "wrap_up": "yellow",
    "paused": "yellow",
    "down": "red",
}


def _state(state: str) -> Text:
    return Text(state, style=_STYLE_OF_STATE.get(state, ""))


def campaign_rows(campaigns: Sequence[Mapping[str, Any]]) -> Rows:
    """Return columns and rows of campaigns."""
    columns = (
        "campaign",
        "state",
        "mode",
        "attempts",
        "dialing",
        "listening",
        "waiting",
        "talking",
        "live",
        "abandoned",
        "people lost",
        "why",
    )
    return columns, [
        [
            c["id"], _state(c["state"]), c["pacing"], c["attempts"], c["dialing"], c["listening"], c["waiting"], c["talking"],
            c["live_answers"], _abandoned(c), _lost(c), c["reason"],
        ]
        for c in campaigns
    ]  # fmt: skip


def _abandoned(campaign: Mapping[str, Any]) -> str:
    live, abandoned = campaign["ledger_live"], campaign["ledger_abandoned"]
    share = f" ({abandoned / live:.1%} of {campaign['abandonment_ceiling']:.1%})" if live else ""
    return f"{campaign['abandoned']}{share}"


def _lost(campaign: Mapping[str, Any]) -> str:
    if campaign["people_lost"] is None:
        return "-"
    return f"{campaign['people_lost']:.1%} ({campaign['people_lost_low']:.1%} to {campaign['people_lost_high']:.1%})"


def agent_rows(agents: Sequence[Mapping[str, Any]]) -> Rows:
    """Return columns and rows of agents."""
    columns = ("agent", "name", "state", "for", "softphone", "conversations", "why")
    return columns, [
        [
            a["id"], a["name"], _state(a["state"]), _span(a["seconds_in_state"]), "up" if a["leg_up"] else "-",
            a["conversations"], a["reason"],
        ]
        for a in agents
    ]  # fmt: skip


def trunk_rows(trunks: Sequence[Mapping[str, Any]]) -> Rows:
    """Return columns and rows of trunks."""
    columns = ("trunk", "state", "lines", "calls/s", "why")
    return columns, [
        [t["id"], _state(t["state"]), f"{t['lines_used']}/{t['lines']}", t["calls_per_second"], t["reason"]]
        for t in trunks
    ]


def _span(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def headline(status: Mapping[str, Any]) -> Text:
    """Return one line about the node as a whole."""
    attached = sum(worker["attached"] for worker in status["workers"])
    text = Text(
        f"{status['node']}: up {_span(status['uptime_s'])}, {attached} of {len(status['workers'])} line workers"
    )
    text.append(f", loop lag p99 {status['loop_lag_ms_p99']:.0f} ms")
    if status["draining"]:
        text.append(", draining", style="yellow")
    if not status["media_attached"]:
        text.append(", media plane away", style="red")
    if not status["store_healthy"]:
        text.append(
            f", database away: nothing new is dialed, {status['store_backlog']} writes wait", style="red"
        )
    elif status["held"]:
        text.append(f", nothing new is dialed: {status['held']}", style="red")
    if status["brake"]:
        text.append(f", brake on: {status['brake']}", style="yellow")
    return text


def render(status: Mapping[str, Any]) -> RenderableType:
    """Return the whole status for a terminal."""
    parts: list[RenderableType] = [headline(status), Text()]
    for make, key in ((campaign_rows, "campaigns"), (agent_rows, "agents"), (trunk_rows, "trunks")):
        if status[key]:
            parts.append(make_table(*make(status[key])))
    return Group(*parts)
