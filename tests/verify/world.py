"""A store in which everything is as it should be, written row by row: what `verify` must pass, and what plantings then break.

One campaign `spring` under the packaged rule pack `mx`, two agents, and a call of each kind. Seconds count from NOON, a Monday noon in
Mexico City; ids carry the time at which their row was written, as real ones do.
"""

import datetime as dt
import itertools
import json
from pathlib import Path
from typing import Any

from sqlalchemy import update

import dialer_core
from dialer_core.compliance.packs import load_pack
from dialer_core.settings import TrunkSettings
from dialer_core.store.tx import Tx
from tests.store.rows import CAMPAIGN, NOON, TABLES, put

PACK = load_pack(Path(dialer_core.__file__).parent / "config_defaults" / "compliance" / "mx.toml")
TRUNKS = {"carrier": TrunkSettings(host="127.0.0.1", lines=4, calls_per_second=2)}
ZONE = "America/Mexico_City"

_counter = itertools.count()


def utc(seconds: float) -> dt.datetime:
    """Return the wall clock."""
    return NOON + dt.timedelta(seconds=seconds)


def mono(seconds: float) -> int:
    """Return the monotonic clock, in nanoseconds."""
    return 1_000_000_000_000 + round(seconds * 1e9)


def id_at(seconds: float) -> str:
    """Return a UUIDv7 made at that time; later calls for the same time give later ids."""
    ms = int(utc(seconds).timestamp() * 1000)
    number = next(_counter)
    text = f"{ms:012x}7{number >> 12 & 0xFFF:03x}8{number & 0xFFF:03x}{number:012x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class World:
    """Writes rows and remembers ids by the names that tests call them by."""

    def __init__(self, tx: Tx) -> None:
        self.tx = tx
        self.attempts: dict[str, str] = {}
        self.leads: dict[str, str] = {}
        self.people: dict[str, dict[str, str]] = {}
        self._seq: dict[str, int] = {}
        self._wire: list[dict[str, Any]] = []

    @classmethod
    def again(cls, made: "World", tx: Tx) -> "World":
        """Return the same world, to write on in another transaction."""
        world = cls(tx)
        world.attempts, world.leads, world.people = dict(made.attempts), made.leads, made.people
        world._seq, world._wire = dict(made._seq), list(made._wire)
        return world

    def event(
        self, name: str, at_s: float, *, attempt: str | None = None, boot: str = "boot-1", **data: Any
    ) -> None:
        """Write an event of the engine."""
        self._seq["engine"] = self._seq.get("engine", 0) + 1
        put(
            self.tx, "event", node="node1", source="engine", seq=self._seq["engine"], id=id_at(at_s), boot_id=boot,
            at_utc=utc(at_s), at_mono_ns=mono(at_s), name=name, attempt_id=attempt,
            campaign_id=CAMPAIGN if attempt else None, data=data,
        )  # fmt: skip

    def person(self, name: str, number: str, zones: str = ZONE) -> None:
        """Write a person with one number, one account and one lead."""
        ids = {what: id_at(-3600) for what in ("person", "phone", "account", "lead")}
        self.people[name] = ids | {"number": number}
        self.leads[name] = ids["lead"]
        put(
            self.tx,
            "person",
            id=ids["person"],
            name=f"{name} Pérez López",
            language="es",
            created_at_utc=utc(-3600),
        )
        put(
            self.tx, "phone", id=ids["phone"], person_id=ids["person"], e164=number, kind="mobile", rank=0, zones=zones,
            failures=0,
        )  # fmt: skip
        put(
            self.tx, "account", id=ids["account"], person_id=ids["person"], portfolio="default", external_id=ids["account"],
            creditor="Banco", attributes={}, created_at_utc=utc(-3600),
        )  # fmt: skip
        put(
            self.tx, "lead", id=ids["lead"], campaign_id=CAMPAIGN, account_id=ids["account"], person_id=ids["person"],
            state="dialable", priority=0.0, next_at_utc=utc(7200), attempts=0, created_at_utc=utc(-3600),
        )  # fmt: skip

    def lead_is(self, name: str, **columns: Any) -> None:
        """Change a lead."""
        table = TABLES["lead"]
        self.tx.execute(update(table).where(table.c.id == self.leads[name]).values(**columns))

    def call(
        self,
        name: str,
        who: str,
        at_s: float,
        *,
        sent: float | None = None,
        ringing: float | None = None,
        early_media: float | None = None,
        answered: float | None = None,
        verdict: str | None = None,
        verdict_at: float | None = None,
        greeting_end: float | None = None,
        bridged: float | None = None,
        agent: str | None = None,
        abandoned: float | None = None,
        ended: float | None = None,
        outcome: str | None = None,
        by: str = "far",
        state: str = "ended",
        before: int = 0,
        retry_of: str | None = None,
        void: bool = False,
        boot: str = "boot-1",
        ended_elsewhere: bool = False,
    ) -> None:
        """Write an attempt with its contact, leg and events. Times are seconds after the commit; `before`: contacts before it."""
        person = self.people[who]
        attempt_id = self.attempts[name] = id_at(at_s)
        call_id = f"{name}@127.0.0.1" if sent is not None else None
        at = {
            step: None if after is None else mono(at_s + after)
            for step, after in (
                ("sent", sent), ("ringing", ringing if ringing is not None else early_media), ("answered", answered),
                ("verdict", verdict_at), ("greeting_end", greeting_end), ("bridged", bridged), ("abandoned", abandoned),
            )
        }  # fmt: skip
        live = ended is None
        put(
            self.tx, "attempt", id=attempt_id, node="node1", boot_id=boot, campaign_id=CAMPAIGN, lead_id=person["lead"],
            account_id=person["account"], person_id=person["person"], phone_id=person["phone"], number=person["number"],
            trunk="carrier", retry_of=self.attempts[retry_of] if retry_of else None, live=live, state=state,
            outcome=outcome, sip_code=0, q850=0, ended_by=None if live else by, call_id=call_id, worker="customers-0",
            verdict=verdict, live_answer=bool(bridged or abandoned or outcome == "caller_hung_up"),
            abandoned=abandoned is not None, agent_id=agent, evidence=self._evidence(at_s, before),
            committed_at_utc=utc(at_s), ended_at_utc=None if ended is None else utc(at_s + ended),
            ended_mono_ns=None if ended is None or ended_elsewhere else mono(at_s + ended),
            **{f"{step}_mono_ns": value for step, value in at.items()},
        )  # fmt: skip
        put(
            self.tx, "contact", id=id_at(at_s), person_id=person["person"], account_id=person["account"],
            attempt_id=attempt_id, campaign_id=CAMPAIGN, channel="voice", address=person["number"], purpose="collection",
            at_utc=utc(at_s), settlement="reserved" if live else "void" if void else "counted", outcome=outcome,
            conversation=bridged is not None, prior=False,
        )  # fmt: skip
        if sent is not None:
            put(
                self.tx, "leg", id=id_at(at_s), kind="customer", attempt_id=attempt_id, node="node1", worker="customers-0",
                live=live, call_id=call_id, opened_at_utc=utc(at_s), ended_at_utc=None if ended is None else utc(at_s + ended),
            )  # fmt: skip
            self._wire_call(
                str(call_id), person["number"], at_s + sent + 0.001, None if ended is None else at_s + ended
            )
        for step, after, data in (
            ("committed", 0.0, {"trunk": "carrier", "retry_of": None}),
            ("sent", sent, {"call_id": call_id, "worker": "customers-0"}),
            ("ringing", ringing, {"code": 180}),
            ("early_media", early_media, {"code": 183}),
            ("answered", answered, {"ring_ms": 2000}),
            ("verdict_given", verdict_at, {
                "label": verdict, "reason": "short_greeting", "confidence": 0.9, "provisional": False, "decision_ms": 900,
                "greeting_end_mono_ns": 0,
            }),
            ("bridged", bridged, {"agent_id": agent, "verdict_to_bridge_ms": 20.0}),
            ("abandoned", abandoned, {"waited_ms": 2000}),
            ("ended", ended, {
                "outcome": outcome, "sip_code": 0, "q850": 0, "ended_by": by, "talk_ms": 0, "agent_id": agent,
            }),
        ):  # fmt: skip
            if after is not None:
                crossed = ended_elsewhere and step == "ended"
                self.event(
                    f"attempt.{step}",
                    at_s + after,
                    attempt=attempt_id,
                    boot="boot-2" if crossed else boot,
                    **data,
                )

    def _evidence(self, at_s: float, before: int) -> dict[str, Any]:
        return {
            "rule_pack": PACK.name,
            "version": PACK.version,
            "at_utc": utc(at_s).isoformat(),
            "channel": "voice",
            "zones": {ZONE: "Mon 2026-03-02 12:00:00-0600"},
            "counts": {cap.id: [before, cap.limit] for cap in PACK.caps},
        }

    def _wire_call(self, call_id: str, number: str, invited_s: float, ended_s: float | None) -> None:
        self._wire.append(
            {"at_mono_ns": mono(invited_s), "kind": "invite.received", "call_id": call_id, "side": "carrier",
             "called_number": number.removeprefix("+")}
        )  # fmt: skip
        if ended_s is not None:
            self._wire.append(
                {"at_mono_ns": mono(ended_s), "kind": "call.ended", "call_id": call_id, "side": "carrier",
                 "ended_ns": mono(ended_s), "ended_by": "near", "answered": True}
            )  # fmt: skip

    def intervals(self, agent: str, *steps: tuple[str, float, str | None], until: float | None) -> None:
        """Write one log-in of an agent: (state, from, attempt's name) each, the last until `until` or open."""
        session = id_at(steps[0][1])
        for (state, from_s, attempt), (_, to_s, _) in itertools.zip_longest(
            steps, steps[1:], fillvalue=("", until, None)
        ):
            attempt_id = self.attempts[attempt] if attempt else None
            put(
                self.tx, "agent_interval", id=id_at(from_s), agent_id=agent, session_id=session, state=state, reason="",
                attempt_id=attempt_id, boot_id="boot-1", from_utc=utc(from_s), to_utc=None if to_s is None else utc(to_s),
                from_mono_ns=mono(from_s), to_mono_ns=None if to_s is None else mono(to_s),
            )  # fmt: skip
            self.event(
                "agent.state_changed", from_s, attempt=attempt_id, agent_id=agent, state=state, reason=""
            )
        if until is not None:
            self.event("agent.state_changed", until, agent_id=agent, state="logged_out", reason="")

    def write_wire(self, path: Path) -> None:
        """Write the carrier's log."""
        lines = [
            {"at_mono_ns": mono(0), "kind": "sim.started", "seed": 1},
            *sorted(self._wire, key=lambda e: e["at_mono_ns"]),
        ]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


NOW_S = 130.0
"""Half a minute into the last call, which still rings."""


def build(tx: Tx) -> World:
    """Write a store in which nothing is wrong."""
    world = World(tx)
    put(
        tx, "campaign", id=CAMPAIGN, state="running", changed_at_utc=utc(-3600),
        settings={"detection": "fast", "rule_pack": "mx", "ring_limit_s": 28.0},
    )  # fmt: skip
    for agent in ("ana", "luis"):
        put(tx, "agent", id=agent, name="", sip_uri=f"sip:{agent}@127.0.0.1", active=True)
    names = ("alma", "beto", "cira", "dora", "eloy", "fede", "gala", "hugo", "ines")
    for number, name in enumerate(names):
        world.person(name.capitalize(), f"+5255100000{number:02d}")
    human = {"verdict": "human", "verdict_at": 4.0, "greeting_end": 3.5}
    world.call(
        "talk",
        "Alma",
        0,
        sent=0.1,
        ringing=1,
        answered=3,
        **human,
        bridged=4.02,
        agent="ana",
        ended=64,
        outcome="connected",
    )
    world.lead_is("Alma", state="finished", finished_reason="connected", attempts=1)
    world.call(
        "lost",
        "Beto",
        1,
        sent=0.1,
        ringing=1,
        answered=3,
        **human,
        abandoned=5.52,
        ended=9,
        by="us",
        outcome="abandoned",
    )
    world.call(
        "gone", "Cira", 2, sent=0.1, ringing=1, answered=3, **human, ended=4.6, outcome="caller_hung_up"
    )
    world.call(
        "tape",
        "Dora",
        3,
        sent=0.1,
        ringing=1,
        answered=3,
        verdict="machine",
        verdict_at=5,
        ended=5.2,
        by="us",
        outcome="machine",
    )
    world.call("busy", "Eloy", 10, sent=0.1, ended=0.9, outcome="busy")
    world.call("sit", "Fede", 11, sent=0.1, early_media=1, ended=4, outcome="sit")
    world.call("down", "Gala", 20, sent=0.1, ended=8, outcome="trunk_failed", by="limit", void=True)
    world.call(
        "again", "Gala", 28, sent=0.1, ringing=2, ended=30, outcome="no_answer", by="limit", retry_of="down"
    )
    world.call(
        "late",
        "Eloy",
        70,
        sent=0.1,
        ringing=1,
        answered=3,
        **human,
        bridged=4.02,
        agent="ana",
        ended=34,
        outcome="connected",
        before=1,
    )
    world.lead_is("Eloy", state="finished", finished_reason="connected", attempts=2)
    world.call(
        "cut",
        "Hugo",
        -600,
        sent=0.1,
        ringing=1,
        ended=300,
        outcome="interrupted",
        by="worker",
        ended_elsewhere=True,
        boot="boot-0",
    )
    world.call("rings", "Ines", 100, sent=0.1, ringing=1.5, state="ringing")
    world.lead_is("Ines", state="in_attempt", attempts=1)
    world.intervals(
        "ana",
        ("paused", -60, None), ("ready", -50, None), ("reserved", 4.01, "talk"), ("talking", 4.025, "talk"),
        ("wrap_up", 64.01, "talk"), ("ready", 69, None), ("reserved", 74.01, "late"), ("talking", 74.025, "late"),
        ("wrap_up", 104.01, "late"), ("ready", 110, None), until=None,
    )  # fmt: skip
    world.intervals("luis", ("paused", -60, None), ("ready", -50, None), ("paused", -40, None), until=-30)
    world.intervals("luis", ("paused", 90, None), until=None)
    return world
