"""Faults of what happens on the line, to plant in the clean store of `world.py`: next numbers, callers' flows, recordings."""

from typing import Any

from dialer_core.store.tx import Tx
from tests.verify.plantings import Plant, add_event
from tests.verify.world import World, id_at

_LEG = id_at(40)


def next_number(name: str, after: str) -> Plant:
    """Return a planting that says an agent asked for this attempt after another."""

    def plant(tx: Tx, world: World) -> None:
        told = {"lead_id": world.leads["Eloy"], "agent_id": "ana", "after": world.attempts[after]}
        add_event("lead.next_number_dialed", 70, name, **told)(tx, world)

    return plant


def of_caller(*events: tuple[str, float, dict[str, Any]]) -> Plant:
    """Return a planting that writes the story of a call that came in, with these events in it."""
    story = (
        ("call.arrived", 40.0, {"trunk": "t"}),
        *events,
        ("call.ended", 60.0, {"talked": False, "by_us": True, "seconds": 20.0}),
    )

    def plant(tx: Tx, world: World) -> None:
        for name, at_s, data in story:
            add_event(name, at_s, None, leg_id=_LEG, **data)(tx, world)

    return plant


_BEGUN = ("flow.started", 41.0, {"flow": "f", "language": "es"})
_ENDED = (
    "flow.ended",
    59.0,
    {"flow": "f", "step": "x", "result": "finished", "steps": 2, "seconds": 18.0, "identified": False},
)

# as in `plantings.PLANTINGS`
VOICE_PLANTINGS: dict[str, tuple[Plant, str, str, str | None]] = {
    "a next number that is the same": (
        next_number("late", "busy"), "I3", "was dialed as the next number, and is the same", "late"),
    "a next number of somebody else": (
        next_number("late", "talk"), "I3", "was dialed as the next number of another person", "late"),
    "recorded without a word": (
        add_event("recording.changed", 5, "talk", recording_id="r", agent_id="ana", switch="on", basis=""),
        "I11", "was recorded without what mx asks for first", "talk"),
    "a caller's flow without an end": (of_caller(_BEGUN), "I4", "heard 1 flows begin and 0 end", None),
    "a debt told to an unknown caller": (
        of_caller(_BEGUN, ("flow.step_entered", 45.0, {"flow": "f", "step": "balance", "sensitive": True}), _ENDED),
        "I19", "a caller heard step balance before they were identified", None),
    "a caller who opted out for nothing": (
        of_caller(_BEGUN, ("optout.received", 45.0, {"channel": "voice", "message_id": None, "flow": "f"}), _ENDED),
        "I12", "a caller opted out, and no restriction came of it", None),
}  # fmt: skip
