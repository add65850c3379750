"""How many people a campaign's detection loses, and how many machines it passes: estimates from what agents heard, with intervals.

It owns the estimate. What agents heard comes from dispositions: `machine` is a machine, `other` says nothing, every other word is a
person's. Of machine verdicts agents hear only those that were drawn and connected (`calls/machines.py`), or all of them in mode
`monitor`; each counts with the inverse of the probability with which it was connected, so that the estimate is that of all.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable
from typing import Final

import msgspec

from dialer_core.compliance.rules import Abandonment
from dialer_core.events import DetectionEstimated
from dialer_core.store import detection_samples
from dialer_core.store.detection_samples import Tally
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import LIVE_VERDICTS, SPEAKING_MACHINES, CampaignId, Disposition

BEGINNING: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
Z_EACH: Final = 2.2414
"""Normal quantile of 97.5 % two-sided: two shares are combined, and together they hold at 95 %."""
ENOUGH_HEARD: Final = 50
"""With fewer machine verdicts heard by agents, a campaign's own evidence does not lower what the profile assumes."""


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """A share in [0, 1] with its 95 % interval; `estimate` is missing where there is nothing to estimate from."""

    estimate: float | None
    low: float
    high: float


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """What detection does in one campaign since an instant."""

    campaign: str
    since_utc: dt.datetime | None
    people_lost: Share
    """Of the people who were connected or taken for machines, the share taken for machines; who was abandoned is in neither."""
    machines_passed: Share
    """Of all machines that answered, the share connected to an agent."""
    lost_calls: float | None
    """Estimated number of people hung up on."""
    machine_verdicts: int
    """Calls taken for machines."""
    sampled: int
    """Of them, connected to an agent all the same: drawn, or in mode `monitor`."""
    sampled_heard: int
    """Of those, the agent has said what it was."""
    sampled_people: int
    """And it was a person."""
    passed: int
    """Calls taken for people and bridged."""
    passed_heard: int
    passed_machines: int

    def event(self, campaign_id: CampaignId) -> DetectionEstimated:
        """Return the event that tells of these estimates."""
        lost = self.people_lost
        return DetectionEstimated(
            campaign_id=campaign_id,
            people_lost=lost.estimate,
            people_lost_low=lost.low,
            people_lost_high=lost.high,
            machines_passed=self.machines_passed.estimate,
            machine_verdicts=self.machine_verdicts,
            sampled_heard=self.sampled_heard,
            passed_heard=self.passed_heard,
        )

    def words(self) -> str:
        """Return the estimate of lost people in words."""
        if self.people_lost.estimate is None:
            return f"people lost: unknown ({self.sampled_heard} of {self.machine_verdicts} machine verdicts heard by agents)"
        one = self.people_lost
        return f"people lost: {one.estimate:.2%} ({one.low:.2%} to {one.high:.2%})"


class _Weighed:
    """A share estimated from weighed yes and no."""

    def __init__(self) -> None:
        self.yes = self.all = self.squares = 0.0

    def add(self, weight: float, count: int, *, yes: bool) -> None:
        self.yes += weight * count * yes
        self.all += weight * count
        self.squares += weight * weight * count

    def estimate(self) -> float | None:
        return self.yes / self.all if self.all else None

    def interval(self) -> tuple[float, float]:
        # effective number of observations: (sum of weights)^2 / sum of squared weights
        return wilson(self.estimate() or 0.0, self.all**2 / self.squares) if self.all else (0.0, 1.0)


def wilson(share: float, n: float, z: float = Z_EACH) -> tuple[float, float]:
    """Return Wilson's score interval of a share seen in n observations (Wilson, 1927); n need not be whole."""
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def heard_as_person(disposition: str | None) -> bool | None:
    """Return what an agent's word says of who was there; None: nothing."""
    if disposition is None or disposition == Disposition.OTHER:
        return None
    return disposition != Disposition.MACHINE


def quality(tx: Tx, campaign_id: CampaignId, since_utc: dt.datetime = BEGINNING) -> Quality:
    """Return the estimates of a campaign from its calls committed since an instant."""
    since = since_utc if since_utc > BEGINNING else None
    return estimate(campaign_id, since, detection_samples.tallies(tx, campaign_id, since_utc))


def estimate(campaign: str, since_utc: dt.datetime | None, tallies: Iterable[Tally]) -> Quality:
    """Return the estimates from calls counted by kind."""
    lost, machine = _Weighed(), _Weighed()
    counts = dict.fromkeys(
        (
            "machine_verdicts",
            "sampled",
            "sampled_heard",
            "sampled_people",
            "passed",
            "passed_heard",
            "passed_machines",
        ),
        0,
    )
    released = 0
    for tally in tallies:
        person = heard_as_person(tally.disposition)
        if tally.first in LIVE_VERDICTS and tally.bridged:
            counts["passed"] += tally.calls
            if person is not None:
                counts["passed_heard"] += tally.calls
                counts["passed_machines"] += tally.calls * (not person)
                machine.add(1.0, tally.calls, yes=not person)
        elif tally.last in SPEAKING_MACHINES:
            counts["machine_verdicts"] += tally.calls
            if not tally.bridged:
                released += tally.calls
                continue
            counts["sampled"] += tally.calls
            if person is not None:
                counts["sampled_heard"] += tally.calls
                counts["sampled_people"] += tally.calls * person
                lost.add(
                    1.0 / tally.share if tally.connected and tally.share else 1.0, tally.calls, yes=person
                )
    p, q, taken, passed = lost.estimate(), machine.estimate(), counts["machine_verdicts"], counts["passed"]
    # of no calls no share is unknown
    p, q = (p if taken else 0.0), (q if passed else 0.0)
    (p_low, p_high), (q_low, q_high) = lost.interval(), machine.interval() if passed else (0.0, 0.0)
    return Quality(
        campaign=campaign,
        since_utc=since_utc,
        people_lost=_of_people(taken, passed, (p, p_low, p_high), (q, q_low, q_high)),
        machines_passed=_of_people(passed, taken, (q, q_low, q_high), (p, p_low, p_high)),
        lost_calls=released * p if p is not None else None,
        **counts,
    )


def _of_people(
    wrong: int,
    right: int,
    among_wrong: tuple[float | None, float, float],
    among_right: tuple[float | None, float, float],
) -> Share:
    """Return the share of a kind (people) on the wrong side: among `wrong` calls it is found with one share, `right` holds another kind too.

    It grows with both shares, so that their upper ends together give its upper end, and their lower ends its lower.
    """

    def of(p: float, q: float) -> float:
        on_wrong, on_right = wrong * p, right * (1.0 - q)
        return on_wrong / (on_wrong + on_right) if on_wrong + on_right else 0.0

    (p, p_low, p_high), (q, q_low, q_high) = among_wrong, among_right
    if not wrong + right:
        return Share(estimate=None, low=0.0, high=1.0)
    return Share(
        estimate=of(p, q) if p is not None and q is not None else None,
        low=of(p_low, q_low),
        high=of(p_high, q_high),
    )


def lost_in(tx: Tx, campaign_id: CampaignId, profile: Abandonment, since_utc: dt.datetime) -> int:
    """Return how many people detection is taken to have lost since an instant, rounded up: what a profile with `count_lost` adds.

    The share of machine verdicts that were people is the campaign's own over its whole life, and not under the profile's
    `lost_assumed` before `ENOUGH_HEARD` of them were heard; the machine verdicts are those of the window.
    """
    share = profile.lost_assumed
    own = _Weighed()
    heard = 0
    for tally in detection_samples.tallies(tx, campaign_id, BEGINNING):
        person = heard_as_person(tally.disposition)
        if (
            tally.first not in LIVE_VERDICTS
            and tally.last in SPEAKING_MACHINES
            and tally.bridged
            and person is not None
        ):
            heard += tally.calls
            own.add(1.0 / tally.share if tally.connected and tally.share else 1.0, tally.calls, yes=person)
    found = own.estimate()
    if found is not None:
        share = found if heard >= ENOUGH_HEARD else max(found, share)
    released = sum(
        tally.calls
        for tally in detection_samples.tallies(tx, campaign_id, since_utc)
        if tally.last in SPEAKING_MACHINES and not tally.bridged
    )
    return math.ceil(released * share - 1e-9)
