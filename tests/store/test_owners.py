"""The owner modules of attempts, legs, agents and campaigns."""

import datetime as dt
import itertools

import pytest
from sqlalchemy import select

from dialer_core.errors import StoreError
from dialer_core.events import CampaignStarted
from dialer_core.settings import AgentSettings
from dialer_core.store import agents, attempts, campaigns, events, legs
from dialer_core.store.database import Database
from dialer_core.store.errors import AlreadyEndedError, AlreadyLiveError
from dialer_core.store.tx import Stamp
from dialer_core.vocabulary import (
    AgentId,
    AgentState,
    AttemptId,
    CampaignId,
    CampaignState,
    LegId,
    LegKind,
    Outcome,
    Verdict,
    new_id,
)
from tests.store.rows import CAMPAIGN, NOON, TABLES, new_attempt, put, put_campaign, put_debtor

pytestmark = pytest.mark.db

SECOND = dt.timedelta(seconds=1)


# --- attempts ---------------------------------------------------------------------------------------------


def test_attempt_from_commit_to_outcome(database: Database) -> None:
    """An attempt is live from its insert to its end, and what is set on the way is found again."""
    with database.write() as tx:
        put_campaign(tx)
        new = new_attempt(put_debtor(tx, "+525511110000"), evidence={"pack": "mx", "counts": {"day": 1}})
        attempts.insert(tx, new)
        attempts.update(tx, new.id, state="dialing", call_id="abc@host", sent_mono_ns=7)
    with database.read() as tx:
        (found,) = attempts.live(tx, "node1")
        assert attempts.live(tx, "node2") == []
    assert (found.id, found.state, found.call_id, found.sent_mono_ns) == (new.id, "dialing", "abc@host", 7)
    assert found.evidence == {"pack": "mx", "counts": {"day": 1}}
    assert found.committed_at_utc == NOON
    with database.write() as tx:
        attempts.end(
            tx,
            new.id,
            outcome=Outcome.MACHINE,
            at_utc=NOON + SECOND,
            at_mono_ns=9,
            sip_code=200,
            verdict=Verdict.MACHINE,
        )
        attempts.update(tx, new.id, disposition="machine")
    with database.read() as tx:
        assert attempts.live(tx) == []
        ended = attempts.get(tx, new.id)
        assert attempts.get(tx, AttemptId(new_id())) is None
    assert ended is not None
    assert (ended.live, ended.state, ended.outcome, ended.ended_mono_ns) == (False, "ended", "machine", 9)
    assert (ended.disposition, ended.verdict, ended.ended_at_utc) == ("machine", "machine", NOON + SECOND)


def test_attempt_ends_once(database: Database) -> None:
    """A second end raises and changes nothing; a state is not given to an ended attempt (I2)."""
    with database.write() as tx:
        put_campaign(tx)
        new = new_attempt(put_debtor(tx, "+525511110000"))
        attempts.insert(tx, new)
        attempts.end(tx, new.id, outcome=Outcome.BUSY, at_utc=NOON, at_mono_ns=1)
        with pytest.raises(AlreadyEndedError):
            attempts.end(tx, new.id, outcome=Outcome.CONNECTED, at_utc=NOON, at_mono_ns=2)
        with pytest.raises(AlreadyEndedError):
            attempts.update(tx, new.id, state="ringing")
    with database.read() as tx:
        found = attempts.get(tx, new.id)
    assert found is not None
    assert found.outcome == "busy"


def test_attempt_columns_are_checked(database: Database) -> None:
    """Columns that do not exist, belong to the end, or an attempt that does not exist, are refused."""
    with database.write() as tx:
        for columns, told in (({"nonsense": 1}, "no column nonsense"), ({"outcome": "busy"}, "call end")):
            with pytest.raises(StoreError, match=told):
                attempts.update(tx, AttemptId(new_id()), **columns)
        with pytest.raises(StoreError, match="there is no attempt"):
            attempts.update(tx, AttemptId(new_id()), call_id="x")


@pytest.mark.parametrize("what", ["person", "number"])
def test_one_live_attempt(database: Database, what: str) -> None:
    """A person's second number and a number's second person are both refused while one is live, and free after (I3)."""
    with database.write() as tx:
        put_campaign(tx)
        first = put_debtor(tx, "+525511110000")
        second = put_debtor(tx, "+525511110001")
        live = new_attempt(first)
        attempts.insert(tx, live)
        changes = {"number": "+525511119999"} if what == "person" else {"number": first.number}
        again = new_attempt(first if what == "person" else second, **changes)
        with pytest.raises(AlreadyLiveError) as caught, tx.savepoint():
            attempts.insert(tx, again)
        assert caught.value.what == what
        attempts.end(tx, live.id, outcome=Outcome.BUSY, at_utc=NOON, at_mono_ns=1)
        attempts.insert(tx, again)


def test_interrupt(database: Database) -> None:
    """Every attempt given ends as `interrupted` with its event, and no monotonic time crosses a boot."""
    with database.write() as tx:
        put_campaign(tx)
        mine = new_attempt(put_debtor(tx, "+525511110000"))
        old = new_attempt(put_debtor(tx, "+525511110001"), boot_id="boot-0")
        others = new_attempt(put_debtor(tx, "+525511110002"), node="node2")
        for new in (mine, old, others):
            attempts.insert(tx, new)
    with database.transaction(Stamp("node1", "engine", "boot-1", database.clock)) as tx:
        found = attempts.live(tx, "node1")
        attempts.interrupt(tx, found, at_utc=NOON + SECOND, at_mono_ns=99, boot_id="boot-1")
    assert {(one.id, one.outcome, one.live, one.ended_mono_ns) for one in found} == {
        (mine.id, "interrupted", False, 99),
        (old.id, "interrupted", False, None),
    }
    with database.read() as tx:
        assert [one.id for one in attempts.live(tx)] == [others.id]
        ended = events.tail(tx, {}, names=["attempt.ended"])
    assert {(one.attempt_id, one.data["outcome"]) for one in ended} == {
        (mine.id, "interrupted"),
        (old.id, "interrupted"),
    }


def test_counts(database: Database) -> None:
    """Outcomes are counted per campaign, live answers and abandoned ones since an instant."""
    with database.write() as tx:
        put_campaign(tx)
        put_campaign(tx, "autumn")
        for number, (outcome, live_answer, abandoned, hours) in enumerate(
            [
                (Outcome.CONNECTED, True, False, 0),
                (Outcome.ABANDONED, True, True, 1),
                (Outcome.ABANDONED, True, True, 3),
                (Outcome.BUSY, False, False, 3),
            ]
        ):
            new = new_attempt(
                put_debtor(tx, f"+52551111000{number}"), committed_at_utc=NOON + dt.timedelta(hours=hours)
            )
            attempts.insert(tx, new)
            attempts.update(tx, new.id, live_answer=live_answer, abandoned=abandoned)
            attempts.end(tx, new.id, outcome=outcome, at_utc=NOON, at_mono_ns=1)
        attempts.insert(tx, new_attempt(put_debtor(tx, "+525511119999")))
    with database.read() as tx:
        assert attempts.count_by_outcome(tx, CAMPAIGN) == {
            Outcome.CONNECTED: 1,
            Outcome.ABANDONED: 2,
            Outcome.BUSY: 1,
        }
        assert attempts.count_by_outcome(tx, CampaignId("autumn")) == {}
        assert attempts.abandonment_counts(tx, CAMPAIGN, [NOON, NOON + dt.timedelta(hours=2)]) == [
            (3, 2),
            (1, 1),
        ]
        assert attempts.abandonment_counts(tx, CampaignId("autumn"), [NOON]) == [(0, 0)]


# --- legs -------------------------------------------------------------------------------------------------


def test_legs(database: Database) -> None:
    """A leg is live to its end, ends once, and keeps the dialog from which an orphan can be ended."""
    dialog = {"call_id": "x@y", "local_tag": "a", "remote_tag": "b", "cseq": 2, "route_set": []}
    with database.write() as tx:
        put_campaign(tx)
        new = new_attempt(put_debtor(tx, "+525511110000"))
        attempts.insert(tx, new)
        customer, agent = LegId(new_id()), LegId(new_id())
        legs.insert(
            tx,
            legs.NewLeg(
                id=customer, kind=LegKind.CUSTOMER, node="node1", worker="customers-0", opened_at_utc=NOON,
                attempt_id=new.id, media_port=20000,
            ),
        )  # fmt: skip
        legs.insert(
            tx,
            legs.NewLeg(
                id=agent, kind=LegKind.AGENT, node="node1", worker="agents-0", opened_at_utc=NOON,
                agent_id=AgentId("ana"),
            ),
        )  # fmt: skip
        legs.update(tx, customer, call_id="x@y", dialog=dialog)
    with database.read() as tx:
        assert [one.id for one in legs.live(tx, "node1")] == [customer, agent]
        assert [one.id for one in legs.live(tx, kind=LegKind.AGENT)] == [agent]
        (found,) = legs.of_attempt(tx, new.id)
    assert (found.dialog, found.media_port, found.kind) == (dialog, 20000, "customer")
    with database.write() as tx:
        legs.end(tx, customer, at_utc=NOON + SECOND, sip_code=200, statistics={"lost": 0})
        with pytest.raises(AlreadyEndedError):
            legs.end(tx, customer, at_utc=NOON + SECOND)
        with pytest.raises(StoreError, match="call end"):
            legs.update(tx, agent, live=False)
        with pytest.raises(StoreError, match="there is no leg"):
            legs.update(tx, LegId(new_id()), codec="PCMU")
        assert [one.id for one in legs.live(tx, "node1")] == [agent]


# --- agents -----------------------------------------------------------------------------------------------


def test_agents_sync(database: Database) -> None:
    """The table follows the configuration; an agent who left is inactive, and back again active."""
    ana = AgentSettings(sip="sip:ana@127.0.0.1:6000", name="Ana")
    luis = AgentSettings(sip="sip:luis@127.0.0.1:6001")
    with database.write() as tx:
        agents.sync(tx, {AgentId("ana"): ana, AgentId("luis"): luis})
        agents.sync(tx, {AgentId("ana"): AgentSettings(sip="sip:ana@127.0.0.1:7000")})
        (found,) = agents.active(tx)
        assert (found.id, found.sip_uri, found.name) == ("ana", "sip:ana@127.0.0.1:7000", "")
        agents.sync(tx, {AgentId("ana"): ana, AgentId("luis"): luis})
        assert [one.id for one in agents.active(tx)] == ["ana", "luis"]


def test_intervals_tile(database: Database) -> None:
    """Each interval begins at the very instant at which the one before ended, over clocks that step back, to the log-out (I8)."""
    ana, session = AgentId("ana"), new_id()
    steps = [
        (AgentState.PAUSED, "login", 0.0, 10),
        (AgentState.READY, "", 5.0, 20),
        (AgentState.RESERVED, "", 3.0, 30),  # the wall clock was set back
        (AgentState.TALKING, "", 9.0, 25),  # a time stamped elsewhere came late
    ]
    with database.write() as tx:
        put(tx, "agent", id=ana, name="", sip_uri="sip:ana@x", active=True)
        for state, reason, seconds, mono_ns in steps:
            agents.change_state(
                tx,
                ana,
                session,
                state,
                reason,
                None,
                NOON + seconds * SECOND,
                mono_ns,
                "boot-1",
                agents.Intent(),
            )
        assert [one.state for one in agents.open_intervals(tx, "node1")] == ["talking"]
        agents.close_session(tx, ana, at_utc=NOON + 12 * SECOND, at_mono_ns=40, boot_id="boot-1")
        agents.close_session(tx, ana, at_utc=NOON + 13 * SECOND, at_mono_ns=41, boot_id="boot-1")
        assert agents.open_intervals(tx, "node1") == []
    with database.read() as tx:
        found = agents.intervals(tx, ana, NOON)
    assert [one.state for one in found] == ["paused", "ready", "reserved", "talking"]
    for before, after in itertools.pairwise(found):
        assert (before.to_utc, before.to_mono_ns) == (after.from_utc, after.from_mono_ns)
    assert all(one.to_utc is not None and one.from_utc <= one.to_utc for one in found)
    assert all(one.to_mono_ns is not None and one.from_mono_ns <= one.to_mono_ns for one in found)
    assert (found[-1].to_utc, found[-1].to_mono_ns) == (NOON + 12 * SECOND, 40)


def test_what_was_left_open_uses_the_last_time_known(database: Database) -> None:
    """After a crash, intervals end when the engine last wrote, never before they began, and the log says so."""
    with database.write() as tx:
        for agent, from_s in (("ana", 0), ("luis", 100)):
            put(tx, "agent", id=agent, name="", sip_uri="sip:x@x", active=True)
            agents.change_state(
                tx,
                AgentId(agent),
                new_id(),
                AgentState.READY,
                "",
                None,
                NOON + from_s * SECOND,
                from_s,
                "boot-1",
                agents.Intent(),
            )
        put(
            tx, "event", node="node1", source="engine", seq=1, id=new_id(), boot_id="boot-1", at_utc=NOON + 50
            * SECOND, at_mono_ns=50, name="campaign.started", data={},
        )  # fmt: skip
    with database.transaction(Stamp("node1", "engine", "boot-1", database.clock)) as tx:
        agents.close_left_open(tx, {AgentId("ana"), AgentId("luis")}, events.last(tx, "node1", "engine"))
    with database.read() as tx:
        ended = {
            row.agent_id: (row.to_utc, row.to_mono_ns) for row in tx.execute(select(TABLES["agent_interval"]))
        }
        last = events.tail(tx, {}, names=["agent.state_changed"])
    assert ended == {"ana": (NOON + 50 * SECOND, 50), "luis": (NOON + 100 * SECOND, 100)}
    assert [(one.data["agent_id"], one.data["state"]) for one in last] == [
        ("ana", "logged_out"),
        ("luis", "logged_out"),
    ]


# --- campaigns --------------------------------------------------------------------------------------------


def test_campaigns_sync(database: Database) -> None:
    """New campaigns are stopped, known ones keep their state with new settings, and one without a file is stopped."""
    spring, autumn = CampaignId("spring"), CampaignId("autumn")
    with database.write() as tx:
        campaigns.sync(tx, {spring: {"ratio": 1.5}, autumn: {}})
        assert campaigns.states(tx) == {spring: CampaignState.STOPPED, autumn: CampaignState.STOPPED}
        campaigns.set_state(tx, spring, CampaignState.RUNNING)
        campaigns.set_state(tx, autumn, CampaignState.RUNNING)
        campaigns.sync(tx, {spring: {"ratio": 2.0}})
        assert campaigns.states(tx) == {spring: CampaignState.RUNNING, autumn: CampaignState.STOPPED}
        assert campaigns.settings_of(tx, spring) == {"ratio": 2.0}
        assert campaigns.settings_of(tx, CampaignId("none")) is None
        with pytest.raises(StoreError, match="no campaign none"):
            campaigns.set_state(tx, CampaignId("none"), CampaignState.RUNNING)


# --- the log ----------------------------------------------------------------------------------------------


def write_events(database: Database, source: str, count: int, attempt_id: AttemptId | None = None) -> None:
    """Write events of a source."""
    with database.transaction(Stamp("node1", source, "boot-1", database.clock)) as tx:
        for _ in range(count):
            tx.emit(CampaignStarted(campaign_id=CAMPAIGN, attempt_id=attempt_id))


def test_tail_goes_on_where_it_was(database: Database) -> None:
    """Reading in pages of any size gives every event once, in order within each writer."""
    for turn in range(4):
        write_events(database, "engine", 5 + turn)
        write_events(database, "host", 3)
    for limit in (1, 4, 1000):
        seen, cursor = [], ""
        while True:
            with database.read() as tx:
                page = events.page(tx, cursor, limit=limit)
            if not page.events:
                break
            seen += page.events
            cursor = page.cursor
        assert [one.seq for one in seen if one.source == "engine"] == list(range(1, 27))
        assert [one.seq for one in seen if one.source == "host"] == list(range(1, 13))
        assert cursor == "node1:engine:26,node1:host:12"


def test_filters_move_the_cursor(database: Database) -> None:
    """A filter finds its events alone, and the cursor moves over the others, so they are not read again."""
    one = AttemptId(new_id())
    write_events(database, "engine", 10)
    write_events(database, "engine", 2, one)
    write_events(database, "engine", 10)
    with database.read() as tx:
        page = events.page(tx, attempt_id=one)
        assert [event.seq for event in page.events] == [11, 12]
        assert page.cursor == "node1:engine:22"
        assert events.page(tx, names=["attempt.ended"]).cursor == "node1:engine:22"
        first = events.page(tx, attempt_id=one, limit=1)
        assert first.cursor == "node1:engine:11"
        assert [event.seq for event in events.page(tx, first.cursor, attempt_id=one).events] == [12]
        assert events.page(tx, campaign_id="autumn").events == []
        assert len(events.tail(tx, {("node1", "engine"): 20}, names=["campaign.started"])) == 2
        last = events.last(tx, "node1", "engine")
        assert last is not None
        assert last.seq == 22
        assert events.last(tx, "node1", "host") is None


@pytest.mark.parametrize(
    "cursor", ["nonsense", "node1:engine", "node1:engine:x", "node1:engine:-1", ":engine:3"]
)
def test_bad_cursors(database: Database, cursor: str) -> None:
    """What is not a cursor is refused in a line."""
    with database.read() as tx, pytest.raises(StoreError, match="not a cursor"):
        events.page(tx, cursor)
