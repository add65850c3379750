"""The abandonment ledger: live answers and abandoned calls of a campaign, over every window of its rule pack's profile.

It owns which windows there are and which of them is tightest. The counts are always taken anew from the attempts (I10); what runs
between two countings is the engine's.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from dialer_core.compliance.detection_quality import lost_in
from dialer_core.compliance.rules import Abandonment, RulePack
from dialer_core.store import attempts
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import CampaignId

_BEGINNING = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class WindowTotal:
    """One window's counts."""

    name: str
    live: int
    """Calls answered by a person, the abandoned among them."""
    abandoned: int

    def share(self) -> float:
        """Return the share abandoned, 0 where nobody answered."""
        return self.abandoned / self.live if self.live else 0.0

    def balance(self, ceiling: float) -> float:
        """Return how many more calls might be abandoned now without passing the ceiling; negative: how many too many."""
        return ceiling * self.live - self.abandoned


def totals(tx: Tx, campaign_id: CampaignId, profile: Abandonment, now: dt.datetime) -> list[WindowTotal]:
    """Count every window of a profile, in its order, from the attempts committed in it.

    Where the profile counts them, the people that detection is taken to have lost are live answers that were abandoned.
    """
    begun = [
        _BEGINNING if window.days is None else now - dt.timedelta(days=window.days)
        for window in profile.windows
    ]
    counted = attempts.abandonment_counts(tx, campaign_id, begun)
    found = []
    for window, since, (live, abandoned) in zip(profile.windows, begun, counted, strict=True):
        lost = lost_in(tx, campaign_id, profile, since) if profile.count_lost else 0
        found.append(WindowTotal(window.name, live + lost, abandoned + lost))
    return found


def tightest(tx: Tx, campaign_id: CampaignId, pack: RulePack, now: dt.datetime) -> tuple[int, int]:
    """Return (live, abandoned) of the window that leaves the least room under the profile's ceiling."""
    profile = pack.abandonment
    total = min(totals(tx, campaign_id, profile, now), key=lambda one: one.balance(profile.ceiling))
    return total.live, total.abandoned
