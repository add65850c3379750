"""How a pool's attempts are split among its campaigns: by weight, and fairly over time.

It owns the split and what is owed. It decides no number of attempts (`pacing`) and claims nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from dialer_core.vocabulary import CampaignId


class Allocation:
    """Credits of one pool: each campaign earns its share of what is placed and pays with what it got, so remainders are made good."""

    def __init__(self) -> None:
        self._credit: dict[CampaignId, float] = {}

    def split(
        self,
        place: int,
        weights: Mapping[CampaignId, float],
        room: Mapping[CampaignId, int],
        priorities: Mapping[CampaignId, int] = MappingProxyType({}),
    ) -> dict[CampaignId, int]:
        """Return how many of `place` each campaign gets: at most its `room`, by weight, the most owed first.

        Parameters
        ----------
        place
            Attempts to split.
        weights
            Positive weight per campaign.
        room
            Attempts each could place now (lines, rates, its own limit); campaigns without room get and are owed nothing.
        priorities
            Those of the highest that have room come first; what they cannot place goes to the next.
        """
        open_for = {name: weight for name, weight in weights.items() if room.get(name, 0) > 0}
        self._credit = {name: self._credit.get(name, 0.0) for name in open_for}
        given = dict.fromkeys(open_for, 0)
        for _ in range(place):
            takers = {name: weight for name, weight in open_for.items() if given[name] < room[name]}
            if not takers:
                break
            top = max(priorities.get(name, 0) for name in takers)
            takers = {name: weight for name, weight in takers.items() if priorities.get(name, 0) == top}
            total = sum(takers.values())
            for name, weight in takers.items():
                self._credit[name] += weight / total
            best = max(takers, key=lambda name: self._credit[name])
            self._credit[best] -= 1.0
            given[best] += 1
        return {name: count for name, count in given.items() if count}
