"""The gate, the hopper and the recycling against `verify`: days of dialing at random leave nothing that it can find fault with."""

import datetime as dt
import random

import pytest
from sqlalchemy import func, select

from dialer_core.campaign_settings import CampaignSettings
from dialer_core.campaigns import hopper, recycle
from dialer_core.clock import VirtualClock
from dialer_core.compliance.rules import RulePack
from dialer_core.events import (
    AgentStateChanged,
    AttemptAbandoned,
    AttemptAnswered,
    AttemptBridged,
    AttemptEnded,
    AttemptSent,
    AttemptVerdictGiven,
)
from dialer_core.store import agents, attempts, events, restrictions
from dialer_core.store.database import Database
from dialer_core.store.tx import Stamp, Tx
from dialer_core.verify import verify_store
from dialer_core.vocabulary import (
    AgentId,
    AgentState,
    AttemptId,
    EndedBy,
    Outcome,
    RestrictionKind,
    RestrictionScope,
    TrunkId,
    new_id,
)
from tests.store.rows import CAMPAIGN, NOON, TABLES, put
from tests.verify.world import PACK

pytestmark = pytest.mark.db

SETTINGS = CampaignSettings(trunks=("carrier", "spare"), rule_pack="mx", detection="fast")
ANA = AgentId("ana")
START = NOON + dt.timedelta(days=9)
"""A Wednesday; the Monday after is a holiday in Mexico."""
DAYS = 9
UNANSWERED = [
    Outcome.BUSY,
    Outcome.NO_ANSWER,
    Outcome.TRUNK_FAILED,
    Outcome.INVALID_NUMBER,
    Outcome.DECLINED,
    Outcome.SIT,
]
ANSWERED = [Outcome.CONNECTED, Outcome.MACHINE, Outcome.ABANDONED, Outcome.CALLER_HUNG_UP]
ZONES = ["America/Mexico_City", "America/Tijuana", "America/Mexico_City America/Cancun", "America/Hermosillo"]


def put_people(tx: Tx, rng: random.Random) -> None:
    """Store forty people: several accounts and numbers each, some numbers shared, some living elsewhere than they are called."""
    put(
        tx,
        "campaign",
        id=CAMPAIGN,
        state="running",
        changed_at_utc=NOON,
        settings=SETTINGS.model_dump(mode="json"),
    )
    put(tx, "agent", id=ANA, name="", sip_uri="sip:ana@127.0.0.1", active=True)
    for number in range(40):
        person = new_id()
        region = rng.choice([None, None, "MX-BCN", "MX-ROO"])
        put(tx, "person", id=person, name=f"P {number}", language="es", region=region, created_at_utc=NOON)
        for rank in range(rng.choice([1, 1, 2])):
            put(
                tx, "phone", id=new_id(), person_id=person, e164=f"+5255{rng.choice([number, number // 4]):04d}{rank:04d}",
                kind="mobile", rank=rank, zones=rng.choice(ZONES), failures=0,
            )  # fmt: skip
        for _ in range(rng.choice([1, 1, 2])):
            account = new_id()
            put(
                tx, "account", id=account, person_id=person, portfolio="default", external_id=account, creditor="Banco",
                attributes={}, created_at_utc=NOON,
            )  # fmt: skip
            put(
                tx, "lead", id=new_id(), campaign_id=CAMPAIGN, account_id=account, person_id=person, state="dialable",
                priority=0.0, next_at_utc=dt.datetime(1970, 1, 1, tzinfo=dt.UTC), attempts=0, created_at_utc=NOON,
            )  # fmt: skip


class Dialing:
    """Claims leads and makes up what becomes of them, as an engine would write it."""

    def __init__(self, database: Database, pack: RulePack, rng: random.Random) -> None:
        self.clock = VirtualClock(START)
        self._database, self._pack, self._rng = database, pack, rng
        self._elapsed_s = 0.0
        self._stamp = Stamp("node1", "engine", "boot-1", self.clock)
        self._session = new_id()
        self._again: list[hopper.ClaimedAttempt] = []

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self._elapsed_s += seconds
        self.clock.set_elapsed_s(self._elapsed_s)

    def agent(self, tx: Tx, state: AgentState, attempt_id: AttemptId | None = None) -> None:
        """Change the agent's state."""
        now_ns = self.clock.mono_ns()
        agents.change_state(
            tx, ANA, self._session, state, "", attempt_id, self.clock.utc(), now_ns, "boot-1", agents.Intent()
        )
        tx.emit(AgentStateChanged(agent_id=ANA, state=state, attempt_id=attempt_id, at_mono_ns=now_ns))

    def begin(self) -> None:
        """Log the agent in."""
        with self._database.transaction(self._stamp) as tx:
            self.agent(tx, AgentState.READY)

    def step(self) -> None:
        """Claim a few leads, and play each to its end."""
        with self._database.transaction(self._stamp) as tx:
            claim = hopper.claim(
                tx, campaign_id=CAMPAIGN, settings=SETTINGS, pack=self._pack, trunks=[TrunkId("carrier")] * 3,
                node="node1", boot_id="boot-1", now=self.clock.utc(),
            )  # fmt: skip
        pending = list(claim.attempts)
        while pending:
            self._send(pending)
            for claimed in pending:
                self._play(claimed)
            pending, self._again = self._again, []
        if self._rng.random() < 0.1 and claim.attempts:
            with self._database.transaction(self._stamp) as tx:
                restrictions.add(
                    tx, RestrictionKind.DO_NOT_CALL, RestrictionScope.NUMBER, claim.attempts[0].number, source="test",
                    from_utc=self.clock.utc(), until_utc=self.clock.utc() + dt.timedelta(hours=30),
                )  # fmt: skip

    def _send(self, pending: list[hopper.ClaimedAttempt]) -> None:
        self.wait(0.2)
        with self._database.transaction(self._stamp) as tx:
            for claimed in pending:
                columns = {"call_id": claimed.attempt_id}
                self._mark(tx, claimed, AttemptSent, "sent_mono_ns", columns, worker="customers-0")

    def _play(self, claimed: hopper.ClaimedAttempt) -> None:
        outcome = self._rng.choice(ANSWERED if self._rng.random() < 0.4 else UNANSWERED)
        self.wait(self._rng.uniform(1, 4))
        with self._database.transaction(self._stamp) as tx:
            if outcome in ANSWERED:
                self._answer(tx, claimed, outcome)
            self._end(tx, claimed, outcome)

    def _mark(
        self,
        tx: Tx,
        claimed: hopper.ClaimedAttempt,
        kind: type,
        column: str,
        columns: dict[str, object],
        **data: object,
    ) -> None:
        now_ns = self.clock.mono_ns()
        told = {key: value for key, value in columns.items() if key in kind.__struct_fields__}
        tx.emit(kind(attempt_id=claimed.attempt_id, campaign_id=CAMPAIGN, at_mono_ns=now_ns, **told, **data))
        attempts.update(tx, claimed.attempt_id, **{column: now_ns}, **columns)

    def _answer(self, tx: Tx, claimed: hopper.ClaimedAttempt, outcome: Outcome) -> None:
        self._mark(tx, claimed, AttemptAnswered, "answered_mono_ns", {}, ring_ms=1)
        self.wait(1)
        verdict = "machine" if outcome is Outcome.MACHINE else "human"
        self._mark(
            tx, claimed, AttemptVerdictGiven, "verdict_mono_ns", {"verdict": verdict}, label=verdict, reason="x",
            confidence=1.0, provisional=False, decision_ms=1000,
        )  # fmt: skip
        attempts.update(tx, claimed.attempt_id, live_answer=outcome is not Outcome.MACHINE)
        if outcome is Outcome.CONNECTED:
            self.agent(tx, AgentState.TALKING, claimed.attempt_id)
            self._mark(
                tx, claimed, AttemptBridged, "bridged_mono_ns", {"agent_id": ANA}, verdict_to_bridge_ms=0.0
            )
            self.wait(12)
        elif outcome is Outcome.ABANDONED:
            self.wait(2)
            self._mark(
                tx, claimed, AttemptAbandoned, "abandoned_mono_ns", {"abandoned": True}, waited_ms=2000
            )
            self.wait(5)

    def _end(self, tx: Tx, claimed: hopper.ClaimedAttempt, outcome: Outcome) -> None:
        now_utc, now_ns, attempt_id = self.clock.utc(), self.clock.mono_ns(), claimed.attempt_id
        attempts.end(tx, attempt_id, outcome=outcome, at_utc=now_utc, at_mono_ns=now_ns, ended_by=EndedBy.FAR)
        tx.emit(
            AttemptEnded(
                attempt_id=attempt_id, at_mono_ns=now_ns, outcome=outcome, sip_code=0, q850=0, ended_by="far"
            )
        )
        if outcome is Outcome.CONNECTED:
            self.agent(tx, AgentState.READY)
        recycle.settle(
            tx, attempt_id=attempt_id, outcome=outcome, live_answer=outcome in ANSWERED and outcome is not Outcome.MACHINE,
            abandoned=outcome is Outcome.ABANDONED, talked=outcome is Outcome.CONNECTED, settings=SETTINGS, pack=self._pack,
            now=now_utc,
        )  # fmt: skip
        if outcome is not Outcome.TRUNK_FAILED or claimed.retry_of is not None:
            return
        again = hopper.reclaim(
            tx, ended_attempt_id=attempt_id, trunk=TrunkId("spare"), settings=SETTINGS, pack=self._pack, node="node1",
            boot_id="boot-1", now=now_utc,
        )  # fmt: skip
        if isinstance(again, hopper.ClaimedAttempt):
            self._again.append(again)


@pytest.mark.parametrize("seed", [1])
def test_days_of_dialing(database: Database, seed: int) -> None:
    """Nine days of claims, outcomes, failovers and restrictions at random, over nights, a weekend and a holiday, break nothing."""
    rng = random.Random(seed)
    dialing = Dialing(database, PACK, rng)
    with database.write() as tx:
        put_people(tx, rng)
    dialing.begin()
    while dialing.clock.utc() < START + dt.timedelta(days=DAYS):
        dialing.step()
        dialing.wait(rng.uniform(600, 7200))
    report = verify_store(database, packs={PACK.name: PACK}, now=dialing.clock.utc())
    assert [str(one) for one in report.violations] == []
    with database.read() as tx:
        blocked = {event.data["rule"] for event in events.tail(tx, {}, names=["lead.blocked"], limit=10_000)}
        assert tx.scalar(select(func.count()).select_from(TABLES["attempt"])) > 60
    # the gate did say no, by every kind of rule
    assert {"window", "weekday", "holiday", "account_7_in_7", "abandonment_lock", "do_not_call"} <= blocked
