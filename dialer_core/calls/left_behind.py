"""What a former engine left unsaid: calls that came in and whose worker died with it, and supervisors whose phones are gone.

It owns reading these stories from the log and telling their ends. Legs and BYEs are `recovery.py`'s; calls that somebody still holds are adopted.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from dialer_core.events import CallArrived, CallBridged, CallEnded, StoredEvent
from dialer_core.runtime import Runtime
from dialer_core.store import events as event_rows
from dialer_core.store.models import Leg
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AgentId, CampaignId, LegId, LegKind
from dialer_core.voice_events import AgentSupervisionChanged

_SLACK = dt.timedelta(minutes=1)
"""A leg's row is written with its first event, or a moment before."""


@dataclass
class LeftBehind:
    """Stories without an end, by what they are of."""

    calls: dict[LegId, list[StoredEvent]] = field(default_factory=dict)
    """Live legs of calls that came in, and what was told of each."""
    supervision: dict[str, StoredEvent] = field(default_factory=dict)
    """By supervisor: the last that was told of whom they are with."""


def read(tx: Tx, legs: Mapping[LegId, Leg]) -> LeftBehind:
    """Return what the log tells of a node's live legs: few, and only after a death."""
    left = LeftBehind()
    for leg_id, leg in legs.items():
        if leg.kind == LegKind.CUSTOMER and leg.attempt_id is None:
            names = (CallArrived.name, CallBridged.name)
            left.calls[leg_id] = event_rows.of_leg(tx, leg_id, names, leg.opened_at_utc - _SLACK)
    phones = [leg.opened_at_utc for leg in legs.values() if leg.kind == LegKind.EXTENSION]
    if phones:
        for event in event_rows.latest(tx, AgentSupervisionChanged.name, min(phones) - _SLACK):
            left.supervision[event.data["supervisor"]] = event
    return left


def tell_calls(runtime: Runtime, left: LeftBehind, ended: Collection[LegId]) -> None:
    """Tell the end of the calls whose legs nobody holds, nor has taken over."""
    now_ns = runtime.clock.mono_ns()
    for leg_id in ended:
        story = left.calls.get(leg_id, [])
        if not story:
            continue
        first = story[0]
        began_ns = first.at_mono_ns if first.boot_id == runtime.boot_id else now_ns
        told = CallEnded(
            campaign_id=CampaignId(first.campaign_id or ""), leg_id=leg_id, by_us=True, at_mono_ns=now_ns,
            talked=any(event.name == CallBridged.name for event in story), seconds=round((now_ns - began_ns) / 1e9, 3),
        )  # fmt: skip
        runtime.journal.append(told)


def tell_supervision(runtime: Runtime, left: LeftBehind, taken: Collection[str]) -> None:
    """Tell that supervisors are with nobody whose phones have not been taken over: they are hung up. Written down where nobody changes it, too."""
    gone = [event for supervisor, event in left.supervision.items() if supervisor not in taken]
    for told in _none_of(gone, runtime.clock.mono_ns()):
        agent_id, supervisor = told.agent_id, told.supervisor

        def write(tx: Tx, agent_id: AgentId = agent_id, supervisor: str = supervisor) -> None:
            tx.audit(
                AgentSupervisionChanged.name,
                f"agent {agent_id}",
                actor="engine",
                supervisor=supervisor,
                mode="none",
            )

        runtime.store(write, told)


def _none_of(events: Iterable[StoredEvent], now_ns: int) -> list[AgentSupervisionChanged]:
    return [
        AgentSupervisionChanged(
            agent_id=AgentId(event.data["agent_id"]), supervisor=event.data["supervisor"], mode="none", actor="engine", at_mono_ns=now_ns
        )
        for event in events
        if event.data["mode"] != "none"
    ]  # fmt: skip
