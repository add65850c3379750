"""What attempts came to, why people do not pay, and at which hours they are reached: attempts counted by one of their words or by time.

It owns these counts. They come from what has been counted up by the hour (`store/rollups.py`).
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Literal

from dialer_core.reports.asked import FILTERS, Asked
from dialer_core.reports.figures import NO_CONTACT, RIGHT_PARTY, Words
from dialer_core.reports.sheet import Column, Sheet
from dialer_core.store import campaigns, rollups
from dialer_core.store.tx import Tx

Of = Literal["outcome", "disposition", "reason"]
_Z = 1.96
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def breakdown(tx: Tx, asked: Asked, of: Of) -> Sheet:
    """Return how many attempts had each outcome, disposition or reason, the most frequent first; those without one are left out.

    The keys of `asked.by` that are not times come before it, each with shares of its own.
    """
    keys = dict.fromkeys([*asked.plain_keys(), of])
    found = rollups.totals(
        tx, tuple(keys), since=asked.since_utc, until=asked.until_utc, only=asked.columns, raw=asked.raw  # type: ignore[arg-type]
    )  # fmt: skip
    counted: Counter[tuple[str, ...]] = Counter()
    wholes: Counter[tuple[str, ...]] = Counter()
    for one in found:
        if word := getattr(one, of):
            key = tuple(getattr(one, name) or "" for name in asked.plain_keys())
            counted[*key, word] += one.attempts
            wholes[key] += one.attempts
    rows = [
        (*key, count, round(count / wholes[key[:-1]], 6))
        for key, count in sorted(counted.items(), key=lambda item: (item[0][:-1], -item[1], item[0][-1]))
    ]
    named = [Column(name, "key") for name in asked.by if name in FILTERS]
    return Sheet(
        columns=(*named, Column(of, "key"), Column("attempts", "count"), Column("share", "rate", "Of the attempts that have one.")),
        rows=rows,
    )  # fmt: skip


def best_hours(tx: Tx, asked: Asked) -> Sheet:
    """Return contacts by weekday and hour, the best first.

    In the order of the lower end of what the share of contacts may be (Wilson, 95 %), so that three lucky calls are not the best hour.
    Weekdays and hours are those of the report's zone.

    Notes
    -----
    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", J. Am. Stat. Assoc. 22 (1927).
    """
    words = Words(campaigns.settings_of_all(tx))
    attempts: Counter[tuple[int, int]] = Counter()
    contacts: Counter[tuple[int, int]] = Counter()
    right: Counter[tuple[int, int]] = Counter()
    places: dict[int, tuple[int, int]] = {}
    found = rollups.totals(
        tx, ("hour", "campaign_id", "disposition"), since=asked.since_utc, until=asked.until_utc, only=asked.columns, raw=asked.raw,  # type: ignore[arg-type]
    )  # fmt: skip
    for one in found:
        hour = one.hour or 0
        if hour not in places:
            here = rollups.hour_start(hour).astimezone(asked.zone)
            places[hour] = here.weekday(), here.hour
        place, root = places[hour], words.root(one.campaign_id or "", one.disposition or "")
        attempts[place] += one.attempts
        contacts[place] += 0 if root in NO_CONTACT else one.talks
        right[place] += one.talks if root in RIGHT_PARTY else 0
    ranked = sorted(attempts, key=lambda place: (-_at_least(contacts[place], attempts[place]), place))
    return Sheet(
        columns=(
            Column("weekday", "key"), Column("hour", "key"), Column("attempts", "count"), Column("contacts", "count"),
            Column("contact_rate", "rate"), Column("at_least", "rate", "Lower end of the rate's 95 % interval; rows are in its order."),
            Column("right_party", "count"),
        ),
        rows=[
            (_DAYS[place[0]], f"{place[1]:02d}", attempts[place], contacts[place], round(contacts[place] / attempts[place], 6),
             round(_at_least(contacts[place], attempts[place]), 6), right[place])
            for place in ranked
        ],
        notes=(f"weekdays and hours of {asked.settings.zone}",),
    )  # fmt: skip


def _at_least(part: int, whole: int) -> float:
    share, z2 = part / whole, _Z * _Z
    middle = share + z2 / (2 * whole)
    spread = _Z * math.sqrt(share * (1 - share) / whole + z2 / (4 * whole * whole))
    return max(0.0, (middle - spread) / (1 + z2 / whole))
