"""Attempts as they are committed: rows, contacts and events of what the gate has allowed, in the claim's transaction.

It owns that writing, for every way to claim (`hopper.py`, `next_number.py`). Who is claimed, and what becomes of the lead, is theirs.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from dialer_core.campaign_settings import CampaignSettings
from dialer_core.campaigns import propensity
from dialer_core.campaigns.caller_ids import choose
from dialer_core.compliance import gate
from dialer_core.compliance.facts import ContactRequest
from dialer_core.compliance.rules import RulePack
from dialer_core.events import AttemptCommitted
from dialer_core.list_settings import CallerIdPool
from dialer_core.store import attempts, promises
from dialer_core.store.attempts import NewAttempt
from dialer_core.store.callbacks import Asked
from dialer_core.store.errors import AlreadyLiveError
from dialer_core.store.leads import ReadyLead
from dialer_core.store.people import PhoneRow
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AccountId,
    AgentId,
    AttemptId,
    CampaignId,
    LeadId,
    PersonId,
    PhoneId,
    TrunkId,
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ClaimedAttempt:
    """An attempt that is committed when the claim's transaction is."""

    attempt_id: AttemptId
    campaign_id: CampaignId
    lead_id: LeadId
    account_id: AccountId
    person_id: PersonId
    phone_id: PhoneId
    number: str
    trunk: TrunkId
    retry_of: AttemptId | None
    language: str
    region: str | None = None
    """Of the person, ISO 3166-2, where it is known."""
    for_agent: AgentId | None = None
    """The agent they were promised: by a call-back, theirs to take until `open_from_utc`, or by the promise they made with; None: anybody's."""
    open_from_utc: dt.datetime | None = None
    caller_id: str | None = None
    """The number to show, where it comes from a pool."""
    previewed: bool = False
    """`for_agent` was shown the lead and waits for this call."""
    propensity: float | None = None
    """Probability in [0, 1] that it is answered live, where somebody scores the list."""


@dataclass(frozen=True)
class Place:
    """By whom and under what an attempt is made."""

    campaign_id: CampaignId
    settings: CampaignSettings
    pack: RulePack
    node: str
    boot_id: str
    now: dt.datetime
    caller_ids: CallerIdPool | None = None


@dataclass(frozen=True)
class Permit:
    """A lead that the gate allows to be dialed at one number, and its evidence."""

    attempt_id: AttemptId
    lead: ReadyLead
    phone: PhoneRow
    request: ContactRequest
    evidence: dict[str, Any]
    asked: Asked | None = None


def commit(
    tx: Tx,
    place: Place,
    permits: Sequence[Permit],
    trunks: Sequence[TrunkId],
    retry_of: AttemptId | None = None,
) -> list[ClaimedAttempt]:
    """Write attempts, contacts and events of what was allowed, and return what was written.

    Another node may have begun an attempt at a person or number since we looked: then the store refuses the whole, and each is tried by
    itself, so that only that one is lost.
    """
    if not permits:
        return []
    try:
        with tx.savepoint():
            return _write(tx, place, permits, trunks, retry_of)
    except AlreadyLiveError as error:
        if len(permits) == 1:
            lost = permits[0].lead
            log.info("claim_lost", lead_id=lost.id, campaign_id=place.campaign_id, what=error.what)
            return []
    claimed: list[ClaimedAttempt] = []
    for permit in permits:
        claimed += commit(tx, place, [permit], trunks[len(claimed) :], retry_of)
    return claimed


def _write(
    tx: Tx, place: Place, permits: Sequence[Permit], trunks: Sequence[TrunkId], retry_of: AttemptId | None
) -> list[ClaimedAttempt]:
    promised = promises.last_agents(tx, {permit.lead.account_id for permit in permits})
    shown: dict[PersonId, str] = {}
    if place.caller_ids is not None:
        callees = {permit.lead.person_id: permit.phone.e164 for permit in permits}
        shown = choose(tx, place.settings.caller_ids, place.caller_ids, callees, place.now)
    claimed = [
        ClaimedAttempt(
            attempt_id=permit.attempt_id,
            campaign_id=place.campaign_id,
            lead_id=permit.lead.id,
            account_id=permit.lead.account_id,
            person_id=permit.lead.person_id,
            phone_id=permit.phone.id,
            number=permit.phone.e164,
            trunk=trunk,
            retry_of=retry_of,
            language=permit.lead.language,
            region=permit.lead.region,
            for_agent=permit.asked.agent_id if permit.asked else promised.get(permit.lead.account_id),
            open_from_utc=permit.asked.open_from_utc if permit.asked else None,
            caller_id=shown.get(permit.lead.person_id),
            propensity=propensity.of(
                permit.lead, permit.phone.zones, place.settings.schedule.zone, place.now
            ),
        )
        for permit, trunk in zip(permits, trunks, strict=False)
    ]
    attempts.insert(
        tx,
        *(
            NewAttempt(
                id=one.attempt_id,
                node=place.node,
                boot_id=place.boot_id,
                campaign_id=one.campaign_id,
                lead_id=one.lead_id,
                account_id=one.account_id,
                person_id=one.person_id,
                phone_id=one.phone_id,
                number=one.number,
                trunk=one.trunk,
                committed_at_utc=place.now,
                evidence=permit.evidence,
                retry_of=retry_of,
                segment=permit.lead.segment,
                caller_id=one.caller_id,
            )
            for one, permit in zip(claimed, permits, strict=True)
        ),
    )
    gate.reserve(tx, [(permit.request, permit.attempt_id) for permit in permits])
    tx.emit(
        *(
            AttemptCommitted(
                campaign_id=one.campaign_id,
                account_id=one.account_id,
                attempt_id=one.attempt_id,
                trunk=one.trunk,
                retry_of=retry_of,
            )
            for one in claimed
        )
    )
    return claimed
