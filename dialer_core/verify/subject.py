"""What is examined: one snapshot of a store, what the operator gave beside it, and each attempt's trail of events.

It owns the reading and nothing of the judging. Everything is read within one read transaction, so a running
engine does not disturb.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from dialer_core.compliance.rules import RulePack
from dialer_core.settings import TrunkSettings
from dialer_core.store import scan
from dialer_core.store.tx import Tx
from dialer_core.verify.carrier import CarrierCall

Row = Any
"""A row of the store; its columns are attributes."""

_EVENT_COLUMNS = (
    "node",
    "source",
    "seq",
    "id",
    "boot_id",
    "at_utc",
    "at_mono_ns",
    "name",
    "attempt_id",
    "data",
)


class Trail(msgspec.Struct):
    """The events of one attempt, in the order of the log."""

    events: list[Row]

    def all(self, name: str) -> list[Row]:
        """Return the events of a name."""
        return [event for event in self.events if event.name == name]

    def first(self, name: str) -> Row | None:
        """Return the first event of a name."""
        return next((event for event in self.events if event.name == name), None)


class Subject:
    """A store under examination.

    Parameters
    ----------
    tx
        A read transaction.
    packs, trunks
        Rule packs by name, trunks by name, where the configuration was given.
    carrier_calls
        The carrier's log, where given.
    logs
        Log files to look through for personal data.
    now
        The instant against which what is still under way is judged.
    """

    def __init__(
        self,
        tx: Tx,
        *,
        packs: Mapping[str, RulePack] | None,
        trunks: Mapping[str, TrunkSettings] | None,
        carrier_calls: Sequence[CarrierCall] | None,
        logs: Sequence[Path],
        now: dt.datetime,
    ) -> None:
        self.tx = tx
        self.packs = packs or {}
        self.trunks = trunks or {}
        self.carrier_calls = carrier_calls or []
        self.logs = logs
        self.now = now
        self.given = {
            name
            for name, value in (
                ("packs", packs),
                ("trunks", trunks),
                ("carrier_log", carrier_calls),
                ("logs", logs),
            )
            if value
        }
        self.committed_mono_ns: dict[str, int] = {}
        """When each attempt's commit was stamped, by its boot's clock; known once `trails` has been walked."""

    @cached_property
    def attempts(self) -> list[Row]:
        """Return every attempt, by id."""
        return list(scan.rows(self.tx, "attempt"))

    @cached_property
    def attempts_by_id(self) -> dict[str, Row]:
        """Return every attempt under its id."""
        return {attempt.id: attempt for attempt in self.attempts}

    @cached_property
    def intervals(self) -> list[Row]:
        """Return every agent interval: by agent, in order."""
        return list(scan.rows(self.tx, "agent_interval", order_by=("agent_id", "from_utc", "id")))

    @cached_property
    def talks(self) -> frozenset[tuple[str, str]]:
        """Return every (agent, attempt) of an interval of talking."""
        return frozenset((row.agent_id, row.attempt_id) for row in self.intervals if row.state == "talking")

    @cached_property
    def silences(self) -> list[tuple[str, int, int]]:
        """Return when there was no media plane: boot, from when, to when, by that boot's clock."""
        columns = ("boot_id", "at_mono_ns", "data")
        told = scan.rows(
            self.tx, "event", *columns, order_by=("node", "source", "seq"), only=("name", "media.restored")
        )
        return [
            (row.boot_id, row.at_mono_ns - int(row.data["away_ms"]) * 1_000_000, row.at_mono_ns)
            for row in told
        ]

    @cached_property
    def legs(self) -> list[Row]:
        """Return every leg, by id."""
        columns = ("id", "kind", "attempt_id", "agent_id", "live", "call_id")
        return list(scan.rows(self.tx, "leg", *columns))

    @cached_property
    def leads(self) -> list[Row]:
        """Return every lead, by id."""
        return list(scan.rows(self.tx, "lead"))

    @cached_property
    def contacts(self) -> list[Row]:
        """Return every contact, by id: in the order in which they were made."""
        return list(scan.rows(self.tx, "contact"))

    @cached_property
    def messages(self) -> list[Row]:
        """Return every message that we sent or are to send, by id, without its text."""
        columns = (
            "id", "channel", "state", "person_id", "account_id", "phone_id", "address", "contact_id", "evidence",
            "provider_id", "submitted_at_utc", "purpose",
        )  # fmt: skip
        return [row for row in scan.rows(self.tx, "message", *columns) if row.state != "received"]

    @cached_property
    def received(self) -> list[Row]:
        """Return every message that came, without its text."""
        columns = ("channel", "address", "created_at_utc")
        return list(scan.rows(self.tx, "message", *columns, only=("state", "received")))

    @cached_property
    def chat_events(self) -> list[Row]:
        """Return what flows said in chats and who was identified there, in order."""
        columns = ("name", "node", "seq", "at_utc", "data")
        found = [
            row
            for name in ("identity.verified", "chat.said")
            for row in scan.rows(self.tx, "event", *columns, only=("name", name))
            if row.data.get("chat_id")
        ]
        return sorted(found, key=lambda row: (row.node, row.at_utc, row.seq))

    @cached_property
    def contacts_of(self) -> Mapping[str, list[Row]]:
        """Return the contacts by the attempt they are of."""
        found: dict[str, list[Row]] = defaultdict(list)
        for row in self.contacts:
            if row.attempt_id is not None:
                found[row.attempt_id].append(row)
        return found

    @cached_property
    def restrictions_on(self) -> Mapping[tuple[str, str], list[Row]]:
        """Return the restrictions by (scope, value)."""
        found: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in scan.rows(self.tx, "restriction"):
            found[row.scope, row.scope_value].append(row)
        return found

    @cached_property
    def samples(self) -> dict[str, Row]:
        """Return every draw for evidence under its attempt's id."""
        return {
            row.attempt_id: row for row in scan.rows(self.tx, "detection_sample", order_by=("attempt_id",))
        }

    @cached_property
    def phones(self) -> dict[str, Row]:
        """Return every phone under its id."""
        return {row.id: row for row in scan.rows(self.tx, "phone")}

    @cached_property
    def person_regions(self) -> dict[str, str | None]:
        """Return every person's region under their id."""
        return {row.id: row.region for row in scan.rows(self.tx, "person", "id", "region")}

    @cached_property
    def campaign_settings(self) -> dict[str, dict[str, Any]]:
        """Return every campaign's settings as last loaded."""
        return {row.id: row.settings for row in scan.rows(self.tx, "campaign", "id", "settings")}

    def campaign_setting(self, attempt: Row, name: str) -> Any:
        """Return one setting of an attempt's campaign, or None."""
        return self.campaign_settings.get(attempt.campaign_id, {}).get(name)

    def pack_of(self, attempt: Row) -> RulePack | None:
        """Return the rule pack by which an attempt was allowed, if exactly that version was given."""
        pack = self.packs.get(str(attempt.evidence.get("rule_pack")))
        return pack if pack is not None and pack.version == attempt.evidence.get("version") else None

    def acts_on_verdicts(self, attempt: Row) -> bool:
        """Say whether the attempt's campaign waits for the detector's verdict before it routes."""
        return self.campaign_setting(attempt, "detection") in {"fast", "strict"}

    def trails(self) -> Iterator[tuple[Row | None, Trail]]:
        """Walk over every attempt with its events; None stands for events of an attempt that is not there."""
        events = scan.rows(
            self.tx,
            "event",
            *_EVENT_COLUMNS,
            order_by=("attempt_id", "node", "source", "seq"),
            only_with="attempt_id",
        )
        event = next(events, None)
        for attempt in self.attempts:
            strays: list[Row] = []
            while event is not None and event.attempt_id < attempt.id:
                strays.append(event)
                event = next(events, None)
            if strays:
                yield None, Trail(strays)
            own: list[Row] = []
            while event is not None and event.attempt_id == attempt.id:
                own.append(event)
                event = next(events, None)
            trail = Trail(own)
            committed = trail.first("attempt.committed")
            if committed is not None and committed.boot_id == attempt.boot_id:
                self.committed_mono_ns[attempt.id] = committed.at_mono_ns
            yield attempt, trail
        rest = [event, *events] if event is not None else []
        if rest:
            yield None, Trail(rest)
