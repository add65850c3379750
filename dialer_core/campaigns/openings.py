"""By which channels an account's person may be contacted now, and from when by the others: what the gate says, for screens and plugins.

It owns the asking, for the best of the person's addresses of each channel. It reserves nothing and decides nothing (`gate.decide`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

from dialer_core.campaigns import candidates
from dialer_core.compliance import gate
from dialer_core.compliance.facts import REMINDER, ContactRequest, Facts
from dialer_core.compliance.gate import Refused
from dialer_core.compliance.rules import RulePack
from dialer_core.messaging import composing
from dialer_core.portfolio.account_view import AccountView
from dialer_core.portfolio.next_step import Opening
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import CampaignId, Channel

_NEVER = dt.datetime.max.replace(tzinfo=dt.UTC)


def openings(
    tx: Tx,
    found: AccountView,
    *,
    campaign_id: CampaignId,
    pack: RulePack | None,
    now: dt.datetime,
    channels: Collection[Channel],
) -> tuple[Opening, ...]:
    """Return what the gate says of each channel by which this account's person has an address, in the order of `channels`.

    Parameters
    ----------
    tx
        A transaction; a read is enough.
    found
        The account, its person and their numbers.
    campaign_id, pack
        Whose rules hold, and these; without a pack nothing is allowed.
    now
        The instant asked about.
    channels
        Those that there are here; e-mail has no address of its own and is left out.
    """
    # what is written to somebody who has promised is a reminder of it; everything else would be asking for money that is agreed (I12)
    reminds = REMINDER if found.promise is not None else candidates.PURPOSE
    asked: dict[Channel, list[ContactRequest]] = {}
    for channel in channels:
        phones = found.phones
        if channel in composing.BY_PHONE:
            phones = tuple(one for one in phones if composing.takes_messages(one))
        elif channel is not Channel.VOICE:
            continue
        if phones:
            asked[channel] = [
                candidates.request_to(
                    one,
                    found.account.id,
                    found.person.region,
                    campaign_id,
                    now,
                    channel,
                    reminds if channel in composing.BY_PHONE else candidates.PURPOSE,
                )
                for one in phones
            ]
    every = [request for requests in asked.values() for request in requests]
    facts = Facts.read(tx, every, pack) if pack is not None else None
    return tuple(_best(channel, requests, pack, facts) for channel, requests in asked.items())


def _best(
    channel: Channel, requests: list[ContactRequest], pack: RulePack | None, facts: Facts | None
) -> Opening:
    told = []
    for request in requests:
        decision = gate.decide(request, pack, facts)
        zone = request.zones[0] if request.zones else ""
        if not isinstance(decision, Refused):
            return Opening(
                channel=channel, allowed=True, from_utc=request.at, zone=zone, counts=decision["counts"]
            )
        told.append(
            Opening(
                channel=channel, allowed=False, from_utc=decision.allowed_from, rule=decision.rule,
                reason=decision.reason, zone=zone,
            )
        )  # fmt: skip
    return min(told, key=lambda one: one.from_utc or _NEVER)
