"""Which of a lead's numbers are tried in which order, and what the gate is asked about each.

It owns that order and that request, for the claim (`hopper.py`) and for the answer to "why not?" (`why.py`) alike. It decides nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from dialer_core.campaign_settings import CampaignSettings
from dialer_core.campaigns import number_health, recycle
from dialer_core.compliance import zones
from dialer_core.compliance.facts import ContactRequest
from dialer_core.store.claims import LastTry
from dialer_core.store.leads import ReadyLead
from dialer_core.store.people import PhoneRow
from dialer_core.vocabulary import AccountId, CampaignId, Channel, PhoneId

PURPOSE = "collection"


def numbers_to_try(
    settings: CampaignSettings,
    phones: Sequence[PhoneRow],
    last: LastTry | None,
    now: dt.datetime,
    named: PhoneId | None = None,
) -> list[PhoneRow]:
    """Return a lead's usable numbers, the first to try first: where the last outcome says so, the one after that tried last.

    Parameters
    ----------
    settings
        Of the campaign, whose recycle rules say whether to move on.
    phones
        The person's numbers by rank.
    last
        The lead's last attempt, if any.
    now
        By whose local hour the best number is chosen.
    named
        The number they asked to be called at, if any: it comes first.
    """
    if named is not None:
        return sorted(number_health.in_order(phones, None, move_on=False), key=lambda one: one.id != named)
    if last is None or last.outcome is None:
        return number_health.answering_first(number_health.in_order(phones, None, move_on=False), now)
    move_on = recycle.rule_of(settings, last.outcome).next_number
    ordered = number_health.in_order(phones, last.phone_id, move_on=move_on)
    if not move_on:
        return ordered
    others = [phone for phone in ordered if phone.id != last.phone_id]
    tried = [phone for phone in ordered if phone.id == last.phone_id]
    return number_health.answering_first(others, now) + tried


def request_of(lead: ReadyLead, phone: PhoneRow, campaign_id: CampaignId, now: dt.datetime) -> ContactRequest:
    """Return what the gate is asked about a call to one number of a lead."""
    return request_to(phone, lead.account_id, lead.region, campaign_id, now)


def request_to(
    phone: PhoneRow,
    account_id: AccountId,
    region: str | None,
    campaign_id: CampaignId,
    now: dt.datetime,
    channel: Channel = Channel.VOICE,
    purpose: str = PURPOSE,
) -> ContactRequest:
    """Return what the gate is asked about a contact at one number of a person, who is known to live in `region`.

    The hours are those of the number's zones and of where its person is known to live, together.
    """
    return ContactRequest(
        person_id=phone.person_id,
        account_id=account_id,
        channel=channel,
        address=phone.e164,
        phone_id=phone.id,
        zones=zones.combine(phone.zones, zones.zones_of_region(region) if region else ()),
        purpose=purpose,
        campaign_id=campaign_id,
        at=now,
        region=region,
        phone_kind=phone.kind,
        consent=phone.consent if channel is Channel.VOICE else None,
    )
