"""In which shares a campaign's list is dialed: segments against each other, and leads never tried against those tried before.

It owns the shares: each stratum with somebody to dial earns its share of every lead that is claimed, and the one that was dialed pays. A
stratum without anybody earns nothing, so what it would have had goes to the others and nobody waits for an empty one. Quotas of a day are
counted here too. It keeps no rows (`store/leads.py`) and allows nobody (`compliance/gate.py`).
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence

from dialer_core.list_settings import HopperSettings
from dialer_core.store import leads
from dialer_core.store.leads import ReadyLead
from dialer_core.store.segments import REST
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import CampaignId, LeadId

SEGMENT_QUOTA, NO_SHARE = "segment_quota", "segment_without_share"

_MOST_OWED = 10.0
"""Leads that a stratum can be owed: one that was refused for long does not take the next hour for itself."""
_OLD = dt.timedelta(minutes=1)
"""Attempts of so long ago are counted for a quota once: every node's are committed by then."""

Stratum = tuple[str | None, bool | None]
"""Segment and whether its leads were tried before; None: either."""


class Mix:
    """The shares of one campaign on one engine, and what each is owed."""

    def __init__(self, settings: HopperSettings, zone: str = "UTC") -> None:
        self._settings = settings
        self._zone = zoneinfo.ZoneInfo(zone)
        """Whose days quotas are counted in: the campaign's."""
        segments: dict[str | None, float] = {part.segment: part.share for part in settings.mix}
        if settings.mix and settings.rest_share > 0:
            segments[REST] = settings.rest_share
        self._quotas = {part.segment: part.most_per_day for part in settings.mix if part.most_per_day}
        fresh = settings.new_share
        self.weights: dict[Stratum, float] = {}
        for segment, weight in (segments or {None: 1.0}).items():
            if fresh is None:
                self.weights[segment, None] = weight
            else:
                self.weights[segment, False] = weight * fresh
                self.weights[segment, True] = weight * (1 - fresh)
        self._credit: defaultdict[Stratum, float] = defaultdict(float)
        self._day: dt.date | None = None
        self._old: Counter[str] = Counter()
        self._old_until: dt.datetime | None = None
        """Attempts of the day before this moment are in `_old`."""
        self._dialed: Counter[str] = Counter()
        self._offered: set[Stratum] = set()

    def take(self, tx: Tx, campaign_id: CampaignId, limit: int, now: dt.datetime) -> list[ReadyLead]:
        """Return up to so many ready leads, the one most owed first; what becomes of them is told by `claimed`."""
        self._count_quotas(tx, campaign_id, now)
        found = {
            stratum: leads.take_ready_of(tx, campaign_id, limit, segment=stratum[0], again=stratum[1])
            for stratum in self.weights
            if not self._full(stratum[0])
        }
        if self._settings.mix and self._settings.rest_share > 0 and not any(found.values()):
            # imported a moment ago and not yet looked at: nobody waits for that
            found[REST, None] = leads.take_ready_of(
                tx, campaign_id, limit, segment=None, again=None, unseen=True
            )
        return self._in_turn(found, limit)

    @property
    def held(self) -> str:
        """What keeps a ready lead from being dialed although nobody else's turn has come: a quota that is used up, or no share at all."""
        if any(self._full(segment) for segment in self._quotas):
            return SEGMENT_QUOTA
        return NO_SHARE if self._settings.mix and not self._settings.rest_share else ""

    def _in_turn(self, found: dict[Stratum, list[ReadyLead]], limit: int) -> list[ReadyLead]:
        left = {stratum: list(some) for stratum, some in found.items() if some}
        self._offered = set(left)
        credit = {stratum: self._credit[stratum] for stratum in left}
        dialed = Counter(self._dialed)
        ordered: list[ReadyLead] = []
        while left and len(ordered) < limit:
            self._earn(credit, set(left))
            best = max(left, key=lambda stratum: (credit[stratum], self.weights.get(stratum, 0.0)))
            credit[best] -= 1.0
            ordered.append(left[best].pop(0))
            dialed[best[0] or REST] += 1
            for stratum in [one for one in left if not left[one] or self._full(one[0], dialed)]:
                del left[stratum]
        return ordered

    def claimed(self, offered: Sequence[ReadyLead], taken: Collection[LeadId]) -> None:
        """Say which of the leads offered last were claimed: their strata pay for them, and everyone who could have been dialed earns."""
        for lead in offered:
            if lead.id not in taken:
                continue
            self._earn(self._credit, self._offered)
            for stratum in self._offered:
                if stratum[0] in {None, lead.segment or REST} and stratum[1] in {None, lead.again}:
                    self._credit[stratum] -= 1.0
                    break
            self._dialed[lead.segment or REST] += 1

    def _earn(self, credit: dict[Stratum, float], among: set[Stratum]) -> None:
        total = sum(self.weights.get(stratum, 1.0) for stratum in among)
        for stratum in among:
            share = self.weights.get(stratum, 1.0) / total if total else 1.0 / len(among)
            credit[stratum] = min(_MOST_OWED, credit[stratum] + share)

    def _full(self, segment: str | None, dialed: Counter[str] | None = None) -> bool:
        quota = self._quotas.get(segment or REST)
        return quota is not None and (self._dialed if dialed is None else dialed)[segment or REST] >= quota

    def _count_quotas(self, tx: Tx, campaign_id: CampaignId, now: dt.datetime) -> None:
        """Count what was dialed in the day from the attempts: a claim may be undone and made again, and other nodes dial, too.

        From here on to its end no other claim of the campaign counts, or two nodes would both dial the last one.
        """
        if not self._quotas:
            return
        leads.count_alone(tx, campaign_id)
        set_back = self._old_until is not None and now < self._old_until
        today = now.astimezone(self._zone).date()
        if self._old_until is None or self._day != today or set_back:
            self._day, self._old = today, Counter()
            self._old_until = dt.datetime.combine(today, dt.time(), tzinfo=self._zone).astimezone(dt.UTC)
        if now - self._old_until > 2 * _OLD:
            self._old.update(leads.dialed(tx, campaign_id, self._old_until, now - _OLD))
            self._old_until = now - _OLD
        self._dialed = self._old + Counter(leads.dialed(tx, campaign_id, self._old_until))
