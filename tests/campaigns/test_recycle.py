"""What follows from every outcome: the contact settled once, the number's health, the lead's next time, and an agent's own word."""

import datetime as dt
from typing import Any

import pytest

from dialer_core.campaign_settings import CampaignSettings
from dialer_core.campaigns import dispositions, hopper, recycle
from dialer_core.campaigns.hopper import ClaimedAttempt
from dialer_core.errors import CommandRefusedError, StoreError
from dialer_core.store import attempts, events
from dialer_core.store.database import Database
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AgentId, AttemptId, Disposition, LeadState, Outcome, new_id
from tests.campaigns.lists import (
    CAMPAIGN,
    NOON,
    TABLES,
    TRUNK,
    Listed,
    put_lead,
    put_list_campaign,
    row_of,
    rows,
    settings_of,
)
from tests.compliance.packs_for_tests import pack_of, packaged

pytestmark = pytest.mark.db

MX = packaged("mx")
OPEN = pack_of()
SETTINGS = settings_of()
MINUTE = dt.timedelta(minutes=1)
HOUR = 60 * MINUTE
DAY = 24 * HOUR
ANA = AgentId("ana")


def dial(tx: Tx, at: dt.datetime = NOON) -> ClaimedAttempt:
    """Claim the one lead that there is."""
    [one] = hopper.claim(
        tx, campaign_id=CAMPAIGN, settings=SETTINGS, pack=OPEN, trunks=[TRUNK], node="node1", boot_id="b", now=at
    ).attempts  # fmt: skip
    return one


def end(
    tx: Tx, attempt_id: AttemptId, outcome: Outcome, at: dt.datetime = NOON, *, settings: CampaignSettings = SETTINGS, **facts: Any
) -> LeadState | None:  # fmt: skip
    """End and settle an attempt."""
    said = {"live_answer": False, "abandoned": False, "talked": False, "pack": OPEN} | facts
    columns: dict[str, Any] = {"agent_id": "ana"} if said["talked"] else {}
    columns |= {"live_answer": said["live_answer"], "abandoned": said["abandoned"]}
    attempts.end(tx, attempt_id, outcome=outcome, at_utc=at, at_mono_ns=1, **columns)
    return recycle.settle(tx, attempt_id=attempt_id, outcome=outcome, settings=settings, now=at, **said)


@pytest.fixture
def listed(database: Database) -> Listed:
    """Return a lead with two numbers."""
    with database.write() as tx:
        put_list_campaign(tx)
        return put_lead(tx, ["+525500000001", "+525500000002"])


@pytest.mark.unit
def test_every_outcome_has_a_rule() -> None:
    """No outcome leaves a lead without an answer to what comes next (I18)."""
    assert recycle.RULES.keys() == set(Outcome)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_leaves_the_lead_in_a_named_state(
    database: Database, listed: Listed, outcome: Outcome
) -> None:
    """After any outcome the lead is dialable at a known, later time, or finished with a reason that is told (I18)."""
    with database.write() as tx:
        one = dial(tx)
        state = end(tx, one.attempt_id, outcome)
        lead = row_of(tx, "lead", listed.lead)
        told = events.tail(tx, {}, ["lead.finished"])
    assert lead["state"] == state
    assert lead["last_outcome"] == outcome
    if state is LeadState.DIALABLE:
        assert lead["next_at_utc"] > NOON
        assert told == []
    else:
        assert state is LeadState.FINISHED
        assert [event.data for event in told] == [{"lead_id": listed.lead, "reason": lead["finished_reason"]}]


@pytest.mark.parametrize(
    ("outcome", "settlement"),
    [
        (Outcome.NO_ANSWER, "counted"),
        (Outcome.MACHINE, "counted"),
        (Outcome.BUSY, "counted"),
        (Outcome.INTERRUPTED, "counted"),
        (Outcome.INTERNAL, "counted"),
        (Outcome.CANCELLED, "counted"),
        (Outcome.TRUNK_FAILED, "void"),
        (Outcome.CONGESTION, "void"),
        (Outcome.INVALID_NUMBER, "void"),
    ],
)
def test_contacts_are_counted_or_void(
    database: Database, listed: Listed, outcome: Outcome, settlement: str
) -> None:
    """What never reached the number is void; everything else counts, what was cut off included (I2)."""
    del listed
    with database.write() as tx:
        one = dial(tx)
        attempts.update(tx, one.attempt_id, sent_mono_ns=1)
        end(tx, one.attempt_id, outcome)
        [contact] = rows(tx, "contact")
    assert (contact["settlement"], contact["outcome"], contact["conversation"]) == (
        settlement,
        outcome,
        False,
    )


@pytest.mark.parametrize(
    ("outcome", "settlement"), [(Outcome.CANCELLED, "void"), (Outcome.INTERRUPTED, "counted")]
)
def test_what_never_left_does_not_count(
    database: Database, listed: Listed, outcome: Outcome, settlement: str
) -> None:
    """Cancelled before its INVITE left, an attempt reached nobody; one that was cut off may have left unrecorded, and counts (I2)."""
    del listed
    with database.write() as tx:
        end(tx, dial(tx).attempt_id, outcome)
        assert rows(tx, "contact")[0]["settlement"] == settlement


def test_what_a_person_answered_is_never_void(database: Database, listed: Listed) -> None:
    """An outcome that voids counts all the same where a person had answered."""
    del listed
    with database.write() as tx:
        end(tx, dial(tx).attempt_id, Outcome.TRUNK_FAILED, live_answer=True)
        assert rows(tx, "contact")[0]["settlement"] == "counted"


def test_settled_once(database: Database, listed: Listed) -> None:
    """A second settling changes neither contact nor lead."""
    with database.write() as tx:
        one = dial(tx)
        end(tx, one.attempt_id, Outcome.NO_ANSWER)
        before = (row_of(tx, "lead", listed.lead), rows(tx, "contact"), rows(tx, "phone"))
        again = recycle.settle(
            tx, attempt_id=one.attempt_id, outcome=Outcome.INVALID_NUMBER, live_answer=False, abandoned=False, talked=True,
            settings=SETTINGS, pack=OPEN, now=NOON + DAY,
        )  # fmt: skip
        assert again is None
        assert before == (row_of(tx, "lead", listed.lead), rows(tx, "contact"), rows(tx, "phone"))


def test_an_unknown_attempt_is_an_error(database: Database) -> None:
    """Settling what does not exist is told, not passed over."""
    with pytest.raises(StoreError), database.write() as tx:
        recycle.settle(
            tx, attempt_id=AttemptId(new_id()), outcome=Outcome.BUSY, live_answer=False, abandoned=False, talked=False,
            settings=SETTINGS, pack=OPEN, now=NOON,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("outcome", "later"),
    [
        (Outcome.NO_ANSWER, 180 * MINUTE),
        (Outcome.BUSY, 15 * MINUTE),
        (Outcome.MACHINE, 240 * MINUTE),
        (Outcome.DECLINED, DAY),
        (Outcome.INVALID_NUMBER, 5 * MINUTE),
        (Outcome.TRUNK_FAILED, MINUTE),
    ],
)
def test_pauses(database: Database, listed: Listed, outcome: Outcome, later: dt.timedelta) -> None:
    """The lead rests as long as the table says."""
    with database.write() as tx:
        end(tx, dial(tx).attempt_id, outcome)
        assert row_of(tx, "lead", listed.lead)["next_at_utc"] == NOON + later


def test_a_campaigns_rule_replaces_the_built_in_one(database: Database, listed: Listed) -> None:
    """`[recycle.busy]` of a campaign says another pause and another end."""
    own = settings_of(recycle={"busy": {"after_minutes": 1, "max_attempts": 2}})
    with database.write() as tx:
        end(tx, dial(tx).attempt_id, Outcome.BUSY, settings=own)
        assert row_of(tx, "lead", listed.lead)["next_at_utc"] == NOON + MINUTE
        assert (
            end(tx, dial(tx, NOON + MINUTE).attempt_id, Outcome.BUSY, NOON + MINUTE, settings=own)
            is LeadState.FINISHED
        )
        assert row_of(tx, "lead", listed.lead)["finished_reason"] == "max_busy"


def test_attempts_with_one_outcome_run_out(database: Database, listed: Listed) -> None:
    """After six unanswered calls in all the lead is finished as `max_no_answer`; busy calls between do not count towards it."""
    at = NOON
    states = []
    with database.write() as tx:
        for outcome in [Outcome.NO_ANSWER] * 3 + [Outcome.BUSY] + [Outcome.NO_ANSWER] * 3:
            states.append(end(tx, dial(tx, at).attempt_id, outcome, at))
            at += 6 * HOUR
        assert states == [LeadState.DIALABLE] * 6 + [LeadState.FINISHED]
        assert row_of(tx, "lead", listed.lead)["finished_reason"] == "max_no_answer"


def test_a_trunk_that_is_down_never_finishes_a_lead(database: Database, listed: Listed) -> None:
    """120 trunk faults leave the lead dialable; the pause doubles up to an hour."""
    at, pauses = NOON, []
    with database.write() as tx:
        for _ in range(120):
            assert end(tx, dial(tx, at).attempt_id, Outcome.TRUNK_FAILED, at) is LeadState.DIALABLE
            due = row_of(tx, "lead", listed.lead)["next_at_utc"]
            pauses.append((due - at) // MINUTE)
            at = due
    assert pauses[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert set(pauses[8:]) == {60}


def test_a_faulty_number_gives_way_and_dies(database: Database, listed: Listed) -> None:
    """404 twice in a row kills a number; the other is tried meanwhile; with both dead the lead is finished."""
    at, dialed = NOON, []
    with database.write() as tx:
        state: LeadState | None = LeadState.DIALABLE
        while state is LeadState.DIALABLE:
            one = dial(tx, at)
            dialed.append(int(one.number[-1]))
            state = end(tx, one.attempt_id, Outcome.INVALID_NUMBER, at)
            at = max(at, row_of(tx, "lead", listed.lead)["next_at_utc"])
        assert dialed == [1, 2, 1, 2]
        assert row_of(tx, "lead", listed.lead)["finished_reason"] == "no_usable_number"


def test_a_single_faulty_number_rests_a_day(database: Database) -> None:
    """With no other number to turn to, a 404 is tried once more, a day later."""
    with database.write() as tx:
        put_list_campaign(tx)
        alone = put_lead(tx, ["+525500000001"])
        end(tx, dial(tx).attempt_id, Outcome.SIT)
        assert row_of(tx, "lead", alone.lead)["next_at_utc"] == NOON + DAY


def test_health_is_of_successive_faults(database: Database, listed: Listed) -> None:
    """A number that rings again is healthy again; an outcome of the trunk's says nothing of the number."""
    with database.write() as tx:

        def failures(outcome: Outcome, at: dt.datetime) -> int:
            one = dial(tx, at)
            end(tx, one.attempt_id, outcome, at)
            found: int = row_of(tx, "phone", one.phone_id)["failures"]
            return found

        assert failures(Outcome.INVALID_NUMBER, NOON) == 1  # number 1
        assert failures(Outcome.NO_ANSWER, NOON + DAY) == 0  # number 2
        assert failures(Outcome.TRUNK_FAILED, NOON + 2 * DAY) == 1  # number 1
        assert failures(Outcome.BUSY, NOON + 3 * DAY) == 0
    assert listed.phones


def test_an_abandoned_person_is_locked(database: Database, listed: Listed) -> None:
    """After an abandoned call the person is locked for the profile's hours, in every campaign, and the lead waits as long (I12)."""
    with database.write() as tx:
        one = dial(tx)
        end(tx, one.attempt_id, Outcome.ABANDONED, live_answer=True, abandoned=True, pack=MX)
        [lock] = rows(tx, "restriction")
        lead = row_of(tx, "lead", listed.lead)
    assert (lock["kind"], lock["scope"], lock["scope_value"]) == ("abandonment_lock", "person", listed.person)
    assert lock["until_utc"] == NOON + 72 * HOUR
    assert lead["next_at_utc"] == NOON + 72 * HOUR


def test_a_lead_finished_meanwhile_stays_finished(database: Database, listed: Listed) -> None:
    """A payment or restriction that finished the lead during the call is not undone by the call's end."""
    with database.write() as tx:
        one = dial(tx)
        lead = TABLES["lead"]
        tx.execute(lead.update().values(state="finished", finished_reason="paid"))
        assert end(tx, one.attempt_id, Outcome.NO_ANSWER) is LeadState.FINISHED
        row = row_of(tx, "lead", listed.lead)
    assert (row["state"], row["finished_reason"], row["last_outcome"]) == ("finished", "paid", "no_answer")


def talk(tx: Tx) -> ClaimedAttempt:
    """Dial the lead and let an agent speak with them."""
    one = dial(tx)
    attempts.update(tx, one.attempt_id, agent_id="ana")
    return one


def say(tx: Tx, one: ClaimedAttempt, disposition: str, **more: Any) -> LeadState:
    """Give a conversation its disposition."""
    return dispositions.apply(
        tx, attempt_id=one.attempt_id, disposition=disposition, agent_id=ANA, now=NOON + HOUR, **more
    )


def test_a_conversation_counts_as_one(database: Database, listed: Listed) -> None:
    """Talked: the contact is marked as a conversation, and the lead is finished until an agent says otherwise."""
    with database.write() as tx:
        end(tx, talk(tx).attempt_id, Outcome.CONNECTED, live_answer=True, talked=True)
        assert rows(tx, "contact")[0]["conversation"]
        assert row_of(tx, "lead", listed.lead)["finished_reason"] == "connected"


@pytest.mark.parametrize("during", [True, False])
@pytest.mark.parametrize(
    ("disposition", "state", "reason", "restriction"),
    [
        (Disposition.PROMISE, "finished", "promise", None),
        (Disposition.RIGHT_PARTY, "finished", "right_party", None),
        (Disposition.THIRD_PARTY, "dialable", None, None),
        (Disposition.WRONG_NUMBER, "dialable", None, ("wrong_number", "phone", None)),
        (Disposition.DISPUTES, "finished", "disputes", ("dispute", "account", None)),
        (Disposition.DECEASED, "finished", "deceased", ("deceased", "person", None)),
        (Disposition.DO_NOT_CALL, "finished", "do_not_call", ("do_not_call", "person", "voice")),
    ],
)
def test_dispositions(
    database: Database,
    listed: Listed,
    disposition: str,
    state: str,
    reason: str | None,
    restriction: tuple[str, str, str | None] | None,
    during: bool,  # noqa: FBT001
) -> None:
    """An agent's word, said during the call or after it, places the lead and restricts; the restriction is in force at once (I12)."""
    with database.write() as tx:
        one = talk(tx)
        if during:
            say(tx, one, disposition)
            found = rows(tx, "restriction")
            end(tx, one.attempt_id, Outcome.CONNECTED, live_answer=True, talked=True)
        else:
            end(tx, one.attempt_id, Outcome.CONNECTED, live_answer=True, talked=True)
            say(tx, one, disposition)
            found = rows(tx, "restriction")
        lead = row_of(tx, "lead", listed.lead)
        [event] = events.tail(tx, {}, ["attempt.dispositioned"])
    assert (lead["state"], lead["finished_reason"]) == (state, reason)
    assert event.data == {"agent_id": "ana", "disposition": disposition, "reason": None}
    if restriction is None:
        assert found == []
    else:
        [row] = found
        assert (row["kind"], row["scope"], row["channel"]) == restriction
        values = {"phone": listed.phones[0], "account": listed.account, "person": listed.person}
        assert row["scope_value"] == values[row["scope"]]


@pytest.mark.parametrize("during", [True, False])
def test_a_callback_at_the_hour_they_asked_for(database: Database, listed: Listed, *, during: bool) -> None:
    """A callback's time is kept, whether it was taken during the call or after."""
    wanted = NOON + 26 * HOUR
    with database.write() as tx:
        one = talk(tx)
        if during:
            say(tx, one, "callback", callback_at=wanted)
        end(tx, one.attempt_id, Outcome.CONNECTED, live_answer=True, talked=True)
        if not during:
            say(tx, one, "callback", callback_at=wanted)
        lead = row_of(tx, "lead", listed.lead)
    assert (lead["state"], lead["next_at_utc"], lead["finished_reason"]) == (
        "dialable",
        wanted + dispositions.PERSONAL_FOR,
        None,
    )


def test_a_wrong_number_that_was_the_only_one(database: Database) -> None:
    """With no other number the lead is finished; nobody is called there again about that person."""
    with database.write() as tx:
        put_list_campaign(tx)
        alone = put_lead(tx, ["+525500000001"])
        one = talk(tx)
        end(tx, one.attempt_id, Outcome.CONNECTED, live_answer=True, talked=True)
        say(tx, one, "wrong_number")
        assert row_of(tx, "lead", alone.lead)["finished_reason"] == "no_usable_number"


def test_a_word_about_a_call_without_a_conversation_is_refused(database: Database, listed: Listed) -> None:
    """No agent, no conversation: the command says so, and an unknown attempt is told as unknown."""
    del listed
    with database.write() as tx:
        one = dial(tx)
        with pytest.raises(CommandRefusedError, match="not bridged"):
            say(tx, one, "promise")
        with pytest.raises(CommandRefusedError) as caught:
            dispositions.apply(
                tx, attempt_id=AttemptId(new_id()), disposition="promise", agent_id=ANA, now=NOON
            )
    assert caught.value.kind == "unknown"


def test_a_word_during_a_failover_call_keeps_its_own_pause(database: Database, listed: Listed) -> None:
    """The pause after the first trunk's fault is not taken for a callback: a third party is left alone for a day."""
    with database.write() as tx:
        one = dial(tx)
        end(tx, one.attempt_id, Outcome.TRUNK_FAILED)
        again = hopper.reclaim(
            tx, ended_attempt_id=one.attempt_id, trunk=TRUNK, settings=SETTINGS, pack=OPEN, node="n", boot_id="b", now=NOON
        )  # fmt: skip
        assert isinstance(again, ClaimedAttempt)
        attempts.update(tx, again.attempt_id, agent_id="ana")
        say(tx, again, Disposition.THIRD_PARTY)
        end(tx, again.attempt_id, Outcome.CONNECTED, live_answer=True, talked=True)
        assert row_of(tx, "lead", listed.lead)["next_at_utc"] == NOON + DAY
