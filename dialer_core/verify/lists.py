"""How lists are worked: quotas hold over all nodes, a person sees one number of a pool, and a strategy that has stopped does nothing more.

It owns these checks. They go by what each campaign's file said when it was last loaded, and judge nothing from before.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import zoneinfo
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from dialer_core.store import scan
from dialer_core.verify.report import Check, Invariant, Violation
from dialer_core.verify.subject import Row, Subject

_DAY = dt.timedelta(days=1)
_CLOCKS_APART = dt.timedelta(seconds=2)
"""A step that was begun before the word that stopped its strategy may be told after it."""
_MAIN_ZONE = "America/Mexico_City"


def quotas(subject: Subject) -> Iterator[Violation]:
    """Lists: on no day of a campaign were more leads of a segment dialed than its quota; calls that people asked for are not counted."""
    asked: dict[str, list[dt.datetime]] = defaultdict(list)
    for row in scan.rows(subject.tx, "callback", "id", "lead_id", "due_at_utc"):
        asked[row.lead_id].append(row.due_at_utc)
    for campaign in _campaigns(subject):
        settings = campaign.settings
        mix = settings.get("hopper", {}).get("mix", ())
        limits = {part["segment"]: part["most_per_day"] for part in mix if part.get("most_per_day")}
        if not limits or settings.get("pacing") == "preview":  # an agent chooses there
            continue
        zone = zoneinfo.ZoneInfo(settings.get("schedule", {}).get("zone", _MAIN_ZONE))
        dialed: Counter[tuple[dt.date, str]] = Counter()
        for attempt in subject.attempts:
            if attempt.campaign_id != campaign.id or attempt.retry_of or attempt.segment not in limits:
                continue
            if any(due <= attempt.committed_at_utc for due in asked.get(attempt.lead_id, ())):
                continue
            dialed[attempt.committed_at_utc.astimezone(zone).date(), attempt.segment] += 1
        told_on = campaign.changed_at_utc.astimezone(zone).date()
        for (day, segment), count in sorted(dialed.items()):
            if day > told_on and count > limits[segment]:
                text = (
                    f"{count} of segment {segment!r} were dialed on {day}, and its quota is {limits[segment]}"
                )
                yield Violation(Invariant.LISTS, "campaign", campaign.id, text)


def kept_numbers(subject: Subject) -> Iterator[Violation]:
    """Lists: since a number was chosen for a person, every call to them out of that pool has shown it."""
    pools = {one.id: one.settings.get("caller_ids") for one in _campaigns(subject)}
    kept = {
        (row.pool, row.person_id): row
        for row in scan.rows(subject.tx, "kept_caller_id", order_by=("pool", "person_id"))
    }
    for attempt in subject.attempts if kept else ():
        its = kept.get((pools.get(attempt.campaign_id) or "", attempt.person_id))
        if its is None or attempt.committed_at_utc < its.since_utc or attempt.caller_id is None:
            continue
        if attempt.caller_id != its.number:
            text = f"shows another number than the one kept for its person in the pool {its.pool!r} since {its.since_utc:%Y-%m-%d}"
            yield Violation(Invariant.LISTS, "attempt", attempt.id, text)


def owned_numbers(subject: Subject) -> Iterator[Violation]:
    """Lists: a call out of a pool shows a number that was in it when the call was committed, as its engine told when it began."""
    told: dict[tuple[str, str], list[tuple[int, frozenset[str]]]] = defaultdict(list)
    for event in _in_order(subject, "campaign.caller_ids"):
        told[event.node, event.campaign_id].append((event.seq, frozenset(event.data["digests"])))
    for event in _in_order(subject, "attempt.committed") if told else ():
        attempt = subject.attempts_by_id.get(event.attempt_id)
        if attempt is None or attempt.caller_id is None:
            continue
        before = [its for seq, its in told[event.node, event.campaign_id] if seq < event.seq]
        shown = hashlib.blake2b(attempt.caller_id.encode(), digest_size=8).hexdigest()
        if before and shown not in before[-1]:
            text = "shows a number that was not in its campaign's pool when it was committed"
            yield Violation(Invariant.LISTS, "attempt", attempt.id, text)


def strategies(subject: Subject) -> Iterator[Violation]:
    """Lists: a strategy's steps are done in order, none after it has stopped, and none runs on after a payment or a promise."""
    done: dict[str, list[Any]] = defaultdict(list)
    for event in _told(subject, "strategy.step_done"):
        done[event.data["run_id"]].append(event)
    stopped = {event.data["run_id"]: event for event in _told(subject, "strategy.stopped")}
    ended: dict[str, list[tuple[dt.datetime, str]]] = defaultdict(list)
    for row in scan.rows(subject.tx, "payment", "id", "account_id", "received_at_utc", "amount_minor"):
        if row.amount_minor > 0:
            ended[row.account_id].append((row.received_at_utc, "a payment"))
    for row in scan.rows(subject.tx, "promise", "id", "account_id", "made_at_utc"):
        ended[row.account_id].append((row.made_at_utc, "a promise"))
    for run in scan.rows(subject.tx, "strategy_run"):
        steps = [event.data["position"] for event in done.get(run.id, ())]
        if steps != sorted(set(steps)) or steps != list(range(len(steps))):
            yield _of_run(run, f"has done its steps as {steps}")
        if run.state == "done" and run.position != len(run.steps):
            yield _of_run(run, f"is done after {run.position} of {len(run.steps)} steps")
        if run.state == "running":
            for at, what in ended.get(run.account_id, ()):
                if at > run.started_at_utc:
                    yield _of_run(run, f"runs on after {what} of its account")
        stop = stopped.get(run.id)
        if (run.state == "stopped") != (stop is not None):
            yield _of_run(run, f"is {run.state}, and the log tells {'its' if stop else 'no'} stop")
        late = [one for one in done.get(run.id, ()) if stop and one.at_utc > stop.at_utc + _CLOCKS_APART]
        if late:
            yield _of_run(run, f"has done step {late[0].data['position']} after it had stopped")


def _campaigns(subject: Subject) -> list[Row]:
    return list(scan.rows(subject.tx, "campaign"))


def _told(subject: Subject, name: str) -> Iterator[Row]:
    return scan.rows(subject.tx, "event", "at_utc", "data", "seq", order_by=("id",), only=("name", name))


def _in_order(subject: Subject, name: str) -> Iterator[Row]:
    """Return the engines' events of a name, as each has written them."""
    columns = ("node", "source", "seq", "campaign_id", "attempt_id", "data")
    for event in scan.rows(
        subject.tx, "event", *columns, order_by=("node", "source", "seq"), only=("name", name)
    ):
        if event.source == "engine":
            yield event


def _of_run(run: Any, text: str) -> Violation:
    return Violation(Invariant.LISTS, "strategy_run", run.id, f"strategy {run.strategy!r} {text}")


CHECKS = (
    Check(Invariant.LISTS, "quotas of segments hold on every day of their campaign", whole=quotas),
    Check(Invariant.LISTS, "a person is called from the number kept for them", whole=kept_numbers),
    Check(
        Invariant.LISTS, "a call shows a number of its campaign's pool of that moment", whole=owned_numbers
    ),
    Check(Invariant.LISTS, "strategies do their steps in order, and none after their stop", whole=strategies),
)
