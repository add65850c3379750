"""Faults to plant in the clean store of `world.py`, and what `verify` must say of each."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import delete, insert, update

from dialer_core.store import audit
from dialer_core.store.tx import Tx
from tests.store.rows import TABLES
from tests.verify.world import PACK, ZONE, World, id_at, mono, utc

Plant = Callable[[Tx, World], None]


def attempt(name: str, **columns: Any) -> Plant:
    """Return a planting that changes an attempt."""

    def plant(tx: Tx, world: World) -> None:
        table = TABLES["attempt"]
        tx.execute(update(table).where(table.c.id == world.attempts[name]).values(**columns))

    return plant


def lead(name: str, **columns: Any) -> Plant:
    """Return a planting that changes a lead."""
    return lambda _tx, world: world.lead_is(name, **columns)


def contact(name: str, **columns: Any) -> Plant:
    """Return a planting that changes the contact of an attempt."""

    def plant(tx: Tx, world: World) -> None:
        table = TABLES["contact"]
        tx.execute(update(table).where(table.c.attempt_id == world.attempts[name]).values(**columns))

    return plant


def event_of(name: str, kind: str, **columns: Any) -> Plant:
    """Return a planting that changes the events of a kind of an attempt."""

    def plant(tx: Tx, world: World) -> None:
        table = TABLES["event"]
        tx.execute(
            update(table)
            .where(table.c.attempt_id == world.attempts[name], table.c.name == kind)
            .values(**columns)
        )

    return plant


def interval(agent: str, from_s: float, **columns: Any) -> Plant:
    """Return a planting that changes the interval of an agent that begins then."""

    def plant(tx: Tx, _world: World) -> None:
        table = TABLES["agent_interval"]
        changed = tx.execute(
            update(table)
            .where(table.c.agent_id == agent, table.c.from_mono_ns == mono(from_s))
            .values(**columns)
        )
        assert changed.rowcount == 1

    return plant


def evidence(name: str, **keys: Any) -> Plant:
    """Return a planting that changes keys of an attempt's evidence."""

    def plant(tx: Tx, world: World) -> None:
        now = world._evidence(0, 0)
        attempt(name, evidence={key: value for key, value in (now | keys).items() if value is not None})(
            tx, world
        )

    return plant


def drop_event(name: str, kind: str) -> Plant:
    """Return a planting that deletes an event of an attempt."""

    def plant(tx: Tx, world: World) -> None:
        table = TABLES["event"]
        tx.execute(delete(table).where(table.c.attempt_id == world.attempts[name], table.c.name == kind))

    return plant


def add_event(kind: str, at_s: float, of: str | None = None, **data: Any) -> Plant:
    """Return a planting that writes one more event."""
    return lambda _tx, world: world.event(kind, at_s, attempt=world.attempts[of] if of else None, **data)


def call(name: str, who: str, at_s: float, **story: Any) -> Plant:
    """Return a planting that writes one more attempt."""
    return lambda _tx, world: world.call(name, who, at_s, **story)


def restriction(
    who: str, scope: str, column: str, *, from_s: float, made_s: float | None = None, **columns: Any
) -> Plant:
    """Return a planting that restricts somebody."""

    def plant(tx: Tx, world: World) -> None:
        row = {
            "id": id_at(from_s if made_s is None else made_s), "kind": "do_not_call", "scope": scope,
            "scope_value": world.people[who][column], "source": "test", "from_utc": utc(from_s),
        }  # fmt: skip
        tx.execute(insert(TABLES["restriction"]), row | columns)

    return plant


def conversation_before(who: str, hours: float) -> Plant:
    """Return a planting of an earlier conversation, imported from before this system."""

    def plant(tx: Tx, world: World) -> None:
        person = world.people[who]
        tx.execute(
            insert(TABLES["contact"]),
            {"id": id_at(-5000), "person_id": person["person"], "account_id": person["account"], "channel": "voice",
             "address": person["number"], "purpose": "collection", "at_utc": utc(-3600 * hours), "settlement": "counted",
             "conversation": True, "prior": True},
        )  # fmt: skip

    return plant


def at_night(tx: Tx, world: World) -> None:
    """Plant zones, found out later, by which a call came at three in the morning."""
    table = TABLES["phone"]
    tx.execute(
        update(table).where(table.c.id == world.people["Eloy"]["phone"]).values(zones=f"{ZONE} Asia/Tokyo")
    )


def swap_numbers(tx: Tx, _world: World) -> None:
    """Plant a gap in the log: the last event is numbered one too high."""
    table = TABLES["event"]
    tx.execute(update(table).where(table.c.seq == 7).values(seq=7007))


def second_contact(tx: Tx, world: World) -> None:
    """Plant a second contact of one attempt."""
    person = world.people["Eloy"]
    tx.execute(
        insert(TABLES["contact"]),
        {"id": id_at(10.5), "person_id": person["person"], "account_id": person["account"], "address": person["number"],
         "attempt_id": world.attempts["busy"], "channel": "voice", "purpose": "collection", "at_utc": utc(10),
         "settlement": "counted", "conversation": False, "prior": False},
    )  # fmt: skip


def agent_without_end(tx: Tx, world: World) -> None:
    """Plant two agents who hold the same person."""
    interval("luis", 90, state="talking", attempt_id=world.attempts["late"])(tx, world)
    table = TABLES["agent_interval"]
    tx.execute(delete(table).where(table.c.agent_id == "ana", table.c.from_mono_ns > mono(74.025)))
    interval("ana", 74.025, to_utc=None, to_mono_ns=None)(tx, world)


def audited(change: Callable[[Tx], None]) -> Plant:
    """Return a planting of three audit entries, of which something is changed afterwards."""

    def plant(tx: Tx, _world: World) -> None:
        for number in range(3):
            tx.audit("restriction.added", f"restriction {number}", count=number)
        audit.insert_pending(tx)
        change(tx)

    return plant


def entry_changed(tx: Tx) -> None:
    """Plant another actor in an entry."""
    table = TABLES["audit"]
    tx.execute(update(table).where(table.c.seq == 2).values(actor="somebody else"))


def entry_gone(tx: Tx) -> None:
    """Plant the loss of an entry."""
    table = TABLES["audit"]
    tx.execute(delete(table).where(table.c.seq == 2))


def promised(who: str, *, paid: tuple[int, ...] = (), **columns: Any) -> Plant:
    """Return a planting of a promise of two payments of 100, with payments counted for it as the code would, and then something changed."""

    def plant(tx: Tx, world: World) -> None:
        ids = world.people[who]
        promise_id = id_at(-1000)
        row = {
            "id": promise_id, "account_id": ids["account"], "person_id": ids["person"], "kind": "agreement", "state": "open",
            "currency": "MXN", "total_minor": 200, "grace_days": 1, "made_at_utc": utc(-1000), "settled_at_utc": None,
        }  # fmt: skip
        tx.execute(insert(TABLES["promise"]), row | {k: v for k, v in columns.items() if k != "held"})
        held = columns.get("held", (min(100, sum(paid)), min(100, max(0, sum(paid) - 100))))
        for position, (day, amount) in enumerate(zip(("2026-03-05", "2026-03-06"), held, strict=True)):
            tx.execute(
                insert(TABLES["promise_instalment"]),
                {
                    "promise_id": promise_id,
                    "position": position,
                    "due_date": day,
                    "amount_minor": 100,
                    "paid_minor": amount,
                },
            )
        for number, amount in enumerate(paid):
            tx.execute(
                insert(TABLES["payment"]),
                {"id": id_at(-900 + number), "account_id": ids["account"], "external_id": f"P{number}", "amount_minor": amount,
                 "currency": "MXN", "paid_on": "2026-03-02", "promise_id": promise_id, "source": "test",
                 "received_at_utc": utc(-900 + number)},
            )  # fmt: skip

    return plant


def counted_up(**columns: Any) -> Plant:
    """Return a planting of an hour counted up in which there was nothing."""

    def plant(tx: Tx, _world: World) -> None:
        hour = int(utc(-86_400).timestamp()) // 3600
        tx.execute(insert(TABLES["rollup_mark"]), {"name": "attempt", "until_hour": hour + 1})
        row = {
            "hour": hour, "campaign_id": "spring", "portfolio": "default", "product": "", "agent_id": "", "outcome": "busy",
            "disposition": "", "reason": "", "attempts": 1, "live_answers": 0, "abandoned": 0, "talks": 0, "ring_ms": 0, "line_ms": 0,
            "talk_ms": 0,
        }  # fmt: skip
        tx.execute(insert(TABLES["attempt_rollup"]), row | columns)

    return plant


def both(*plants: Plant) -> Plant:
    """Return a planting of several."""

    def plant(tx: Tx, world: World) -> None:
        for one in plants:
            one(tx, world)

    return plant


# what is planted, the invariant that must be named, words of the violation, and the row it must name (an attempt's name, or None)
PLANTINGS: dict[str, tuple[Plant, str, str, str | None]] = {
    "a debt told to somebody unknown": (
        both(add_event("flow.started", 4, "talk", flow="f", language="es"),
             add_event("flow.step_entered", 5, "talk", flow="f", step="balance", sensitive=True)),
        "I19", "heard step balance before the person was identified", "talk"),
    "an opting out that came to nothing": (
        both(add_event("flow.started", 4, "talk", flow="f", language="es"),
             add_event("optout.received", 5, "talk", channel="voice", message_id=None, flow="f")),
        "I12", "no restriction came of it", "talk"),
    "a flow without an end": (
        add_event("flow.started", 4, "talk", flow="f", language="es"), "I4", "the log does not tell its end", "talk"),
    "served by no flow": (
        attempt("gone", outcome="self_served"), "I4", "no flow spoke to them", "gone"),
    "sent without a Call-ID": (
        attempt("busy", call_id=None), "I1", "without a Call-ID", "busy"),
    "two attempts of one Call-ID": (
        attempt("sit", call_id="busy@127.0.0.1"), "I1", "has the Call-ID of attempt", "sit"),
    "a retry before the end": (
        attempt("down", ended_at_utc=utc(28.5)), "I1", "had ended", "again"),
    "a retry of somebody else": (
        lambda tx, world: attempt("again", retry_of=world.attempts["busy"])(tx, world), "I1", "another lead or number", "again"),
    "an INVITE without an attempt": (
        attempt("busy", call_id="other@127.0.0.1"), "I1", "belongs to no attempt", None),
    "an INVITE before its commit": (
        event_of("busy", "attempt.committed", at_mono_ns=mono(10.2)), "I1", "before it was committed", "busy"),
    "another number was called": (
        attempt("sit", number="+525599999999"), "I1", "called another number", "sit"),
    "ended and live": (
        attempt("busy", live=True), "I2", "has half an end: live says live", "busy"),
    "ended without an outcome": (
        attempt("busy", outcome=None), "I2", "outcome says live", "busy"),
    "an outcome that is none": (
        attempt("busy", outcome="vanished"), "I2", "which is no outcome", "busy"),
    "an end told twice": (
        add_event("attempt.ended", 50, "busy", outcome="busy"), "I2", "the log tells the ends", "busy"),
    "an end told otherwise": (
        event_of("busy", "attempt.ended", data={"outcome": "sit"}), "I2", "the log tells the ends", "busy"),
    "a call left up": (
        attempt("rings", live=False, state="ended", outcome="no_answer", ended_at_utc=utc(110), ended_mono_ns=mono(110)),
        "I2", "left up on the wire", "rings"),
    "an interrupted attempt that does not count": (
        contact("cut", settlement="void"), "I2", "must count", "cut"),
    "two attempts of a person at once": (
        lambda tx, world: attempt("late", person_id=world.people["Ines"]["person"], ended_at_utc=utc(101))(tx, world),
        "I3", "of the same person", "rings"),
    "two attempts of a number at once": (
        attempt("again", number="+525510000000"), "I3", "of the same number", None),
    "two attempts of a lead at once": (
        attempt("busy", ended_at_utc=utc(71), ended_mono_ns=mono(71)), "I3", "of the same lead", "late"),
    "a live answer without anything": (
        attempt("gone", outcome="cancelled"), "I4", "neither agent nor message", "gone"),
    "a live answer we hung up on": (
        attempt("gone", ended_by="us"), "I4", "ended as caller_hung_up, by us", "gone"),
    "a bridge that is no live answer": (
        attempt("talk", live_answer=False), "I4", "not counted as a live answer", "talk"),
    "an abandoned call that is no live answer": (
        attempt("lost", live_answer=False), "I4", "abandoned but not as a live answer", "lost"),
    "an abandoned call not counted": (
        attempt("lost", abandoned=False), "I4", "abandoned = False", "lost"),
    "no message": (
        drop_event("lost", "attempt.abandoned"), "I4", "no abandonment message began", "lost"),
    "an agent too late": (
        attempt("talk", greeting_end_mono_ns=mono(1.9)), "I4", "for an agent, and the limit is 2 s", "talk"),
    "a message too late": (
        attempt("lost", abandoned_mono_ns=mono(1 + 5.7)), "I4", "waited 2.20 s for the message", "lost"),
    "a hang-up too late": (
        attempt("gone", ended_mono_ns=mono(2 + 6)), "I4", "waited 2.50 s for their hang-up", "gone"),
    "two agents for one person": (
        add_event("attempt.bridged", 30, "talk", agent_id="luis", verdict_to_bridge_ms=1.0), "I4", "while with agent ana", "talk"),
    "a bridge to an agent who was not talking": (
        interval("ana", 4.025, state="ready"), "I5", "no interval of talking", "talk"),
    "two people for one agent": (
        interval("ana", 64.01, state="talking", to_utc=utc(75)), "I5", "had attempt", None),
    "a conversation with nobody": (
        interval("ana", 4.025, attempt_id=None), "I5", "talking with nobody", None),
    "two agents at once": (
        agent_without_end, "I5", "is with 2 agents at once", "late"),
    "an attempt that rings for ever": (
        both(attempt("rings", committed_at_utc=utc(-900)), event_of("rings", "attempt.committed", at_utc=utc(-900)),
             event_of("rings", "attempt.sent", at_utc=utc(-900)), event_of("rings", "attempt.ringing", at_utc=utc(-899))),
        "I6", "has been ringing for 1029 s", "rings"),
    "an attempt that rang too long": (
        attempt("again", ended_mono_ns=mono(28 + 80)), "I6", "was unanswered for 80 s", "again"),
    "an answer left alone": (
        attempt("tape", ended_mono_ns=mono(60)), "I6", "without an agent, a flow, a message or its end", "tape"),
    "a leg that outlives its attempt": (
        lambda tx, world: tx.execute(
            update(TABLES["leg"]).where(TABLES["leg"].c.attempt_id == world.attempts["busy"]).values(live=True)) and None,
        "I6", "is live although attempt", None),
    "too many lines": (
        both(*(call(f"more{n}", name, 30.6 * n, sent=0.1, ended=200, outcome="no_answer", state="ended")
               for n, name in enumerate(["Alma", "Beto", "Cira", "Dora", "Fede"], 5))),
        "I7", "which has 4", None),
    "too many in a second": (
        both(attempt("busy", sent_mono_ns=mono(11.05)), call("fast", "Hugo", 11, sent=0.3, ended=1, outcome="busy")),
        "I7", "was call 3 to trunk carrier in a second, which takes 2", None),
    "a gap between intervals": (
        interval("ana", 69, from_utc=utc(69.5)), "I8", "leaves a gap of 0.500000 s", None),
    "overlapping intervals": (
        interval("ana", 64.01, to_utc=utc(70)), "I8", "begins before interval", None),
    "an interval left open": (
        both(interval("ana", 110, to_utc=utc(120)), interval("ana", 64.01, to_utc=None)), "I8", "is open although", None),
    "an interval that ends before it begins": (
        both(interval("luis", -40, to_utc=utc(-41))), "I8", "ends before it begins", None),
    "an interval of a state that is none": (
        interval("luis", 90, state="asleep"), "I8", "no state of an agent", None),
    "a seam that does not fit by the monotonic clock": (
        interval("ana", 64.01, to_mono_ns=mono(68)), "I8", "by the monotonic clock", None),
    "answered before it was sent": (
        attempt("tape", answered_mono_ns=mono(3.05)), "I9", "answered 950.000 ms before ringing", "tape"),
    "bridged before the verdict": (
        attempt("talk", verdict_mono_ns=mono(5)), "I9", "bridged 980.000 ms before its verdict", "talk"),
    "a verdict without an answer": (
        attempt("busy", verdict_mono_ns=mono(10.5)), "I9", "verdict without or before an answer", "busy"),
    "something after the end": (
        attempt("lost", abandoned_mono_ns=mono(11)), "I9", "abandoned after its end", "lost"),
    "evidence that says nothing of the pack": (
        evidence("busy", rule_pack=None), "I11", "does not say rule_pack", "busy"),
    "no evidence": (
        attempt("busy", evidence={}), "I11", "does not say", "busy"),
    "a second contact": (
        second_contact, "I11", "has 2 contacts", "busy"),
    "a contact of another number": (
        contact("busy", address="+525500000000"), "I11", "of another person, account, number or time", "busy"),
    "a contact never settled": (
        contact("busy", settlement="reserved"), "I11", "is ended, and contact", "busy"),
    "a conversation not counted": (
        contact("talk", conversation=False), "I11", "says conversation = False", "talk"),
    "a contact void that reached the number": (
        contact("busy", settlement="void"), "I11", "ended as busy, and contact", "busy"),
    "a call at night": (
        both(attempt("busy", committed_at_utc=utc(-6 * 3600)), contact("busy", at_utc=utc(-6 * 3600))),
        "I11", "was allowed at monday 06:00 in America/Mexico_City", "busy"),
    "a call at night, by a zone found out later": (
        at_night, "I11", "in Asia/Tokyo", "busy"),
    "a call on a Sunday": (
        both(attempt("busy", committed_at_utc=utc(-86400)), contact("busy", at_utc=utc(-86400))),
        "I11", "sunday 12:00", "busy"),
    "a call on a holiday": (
        both(attempt("busy", committed_at_utc=utc(14 * 86400)), contact("busy", at_utc=utc(14 * 86400))),
        "I11", "the holiday 2026-03-16", "busy"),
    "one call too many": (
        both(*(call(f"again{n}", "Dora", -500 + 60 * n, sent=0.1, ended=0.9, outcome="busy", before=n) for n in range(4)),
             evidence("tape", counts={cap.id: [4, cap.limit] for cap in PACK.caps})),
        "I11", "was allowed although person_per_day counted 3", None),
    "evidence that counts otherwise": (
        evidence("late", counts={cap.id: [0, cap.limit] for cap in PACK.caps}), "I11", "says [0, 3] for person_per_day", "late"),
    "a call too soon after a conversation": (
        conversation_before("Eloy", 2), "I11", "within account_after_conversation", "busy"),
    "a call to a restricted number": (
        restriction("Eloy", "number", "number", from_s=5), "I12", "was sent although restriction", "busy"),
    "a call to a restricted person": (
        restriction("Eloy", "person", "person", from_s=5), "I12", "was sent although restriction", "late"),
    "a call about a restricted account": (
        restriction("Eloy", "account", "account", from_s=5, channel="voice"), "I12", "was sent", "busy"),
    "a call to a restricted phone": (
        restriction("Eloy", "phone", "phone", from_s=5), "I12", "was sent", "busy"),
    "a call left ringing under a restriction": (
        both(restriction("Alma", "person", "person", from_s=-2, made_s=-1), event_of("talk", "attempt.sent", at_utc=utc(-1.5))),
        "I12", "left ringing until it was answered", "talk"),
    "a number in the log": (
        add_event("plugin.failed", 50, plugin="x", hook="y", error="no answer from +52 55 1000 0003"),
        "I17", "plugin.failed holds a phone number", None),
    "a national number in the log": (
        add_event("campaign.paused", 50, reason="55-1000-0003 complained"), "I17", "holds a phone number", None),
    "a name in the log": (
        add_event("campaign.paused", 50, reason="ALMA PEREZ  LOPEZ asked"), "I17", "holds a name", None),
    "an audit entry changed": (audited(entry_changed), "I17", "was changed", None),
    "an audit entry removed": (audited(entry_gone), "I17", "is missing", None),
    "a number in evidence": (
        evidence("busy", note=["+525510000004"]), "I17", "its evidence holds a phone number", "busy"),
    "a lead that waits for nothing named": (
        lead("Beto", state="waiting"), "I18", "for what is not said", None),
    "a lead finished without a reason": (
        lead("Beto", state="finished"), "I18", "why is not said", None),
    "a lead of no state": (
        lead("Beto", state="lost"), "I18", "no state of a lead", None),
    "a dialable lead with a reason to be finished": (
        lead("Beto", finished_reason="paid"), "I18", "of a finished lead", None),
    "a dialable lead that waits": (
        lead("Beto", waiting_for="wrap_up"), "I18", "is dialable, and waits", None),
    "a lead in an attempt that is over": (
        lead("Beto", state="in_attempt"), "I18", "none is live", None),
    "a dialable lead with a live attempt": (
        lead("Ines", state="dialable"), "I18", "its attempt", None),
    "an attempt at another account": (
        lambda tx, world: attempt("busy", account_id=world.people["Alma"]["account"])(tx, world), "I18", "is not of its lead's", "busy"),
    "a gap in the log": (
        swap_numbers, "log", "has number 8 of node1/engine where 7 was due", None),
    "an event of no kind": (
        add_event("moon.risen", 50), "log", "no event of this version", None),
    "an event with an unknown field": (
        add_event("campaign.paused", 50, reason="", phone="x"), "log", "has no field 'phone'", None),
    "a commit not told": (
        drop_event("busy", "attempt.committed"), "log", "has 0 events attempt.committed", "busy"),
    "an answer not told": (
        drop_event("tape", "attempt.answered"), "log", "the log does not tell attempt.answered", "tape"),
    "an answer told that is not in the row": (
        attempt("tape", answered_mono_ns=None), "log", "its row does not", "tape"),
    "a verdict not told": (
        drop_event("tape", "attempt.verdict_given"), "log", "has a verdict that the log does not tell", "tape"),
    "another Call-ID told": (
        event_of("busy", "attempt.sent", data={"call_id": "x", "worker": "w"}), "log", "not that of attempt.sent", "busy"),
    "something told after the end": (
        add_event("attempt.bridged", 50, "busy", agent_id="ana", verdict_to_bridge_ms=1.0), "log", "after its end", "busy"),
    "events of no attempt": (
        lambda _tx, world: world.event("attempt.sent", 50, attempt=id_at(50), call_id="x", worker="w"),
        "log", "there is no such row", None),
    "an interval not told": (
        interval("luis", 90, state="ready"), "log", "the log does not tell it", None),
    "a payment that no instalment holds": (
        promised("Alma", paid=(100, 50), held=(100, 0)), "portfolio", "instalment 1 does not hold", None),
    "a later instalment before an earlier one": (
        promised("Alma", paid=(60,), held=(0, 60)), "portfolio", "instalment 0 does not hold", None),
    "a promise kept of which half came": (
        promised("Alma", paid=(100,), state="kept", settled_at_utc=utc(10)), "portfolio", "is kept, and not all of it was paid", None),
    "a promise open of which all came": (
        promised("Alma", paid=(100, 100)), "portfolio", "is open, and all of it was paid", None),
    "a promise of another total": (
        promised("Alma", total_minor=300), "portfolio", "do not come to its total", None),
    "a promise settled and open": (
        promised("Alma", settled_at_utc=utc(10)), "portfolio", "is open, and settled at", None),
    "a promise broken before its day": (
        promised("Alma", state="broken", settled_at_utc=utc(10)), "portfolio", "nothing of it was late", None),
    "a call about an open promise": (
        lambda tx, world: promised(next(iter(world.people)))(tx, world), "I12", "was committed while promise", None),
    "a call that came in and never ended": (
        add_event("call.arrived", 50, leg_id=id_at(50), trunk="t"), "I2", "nobody has told its end", None),
    "a call that ended and never came": (
        add_event("call.ended", 50, leg_id=id_at(50), talked=False, by_us=True, seconds=1.0), "I2", "has arrived 0 times", None),
    "an hour counted up of no attempts": (
        counted_up(), "counted", "does not hold what its attempts come to", None),
    "an interval told that is not there": (
        add_event("agent.state_changed", 95, agent_id="luis", state="ready", reason=""), "log", "no interval began then", None),
}  # fmt: skip
