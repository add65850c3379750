"""Restrictions set and lifted by people: what each kind must say, on what, and what lifting one does to the leads it had finished.

It owns those rules. The rows are `store/restrictions.py`'s; what the gate makes of them is `compliance/gate.py`'s; an agent's word that restricts is
`dispositions.py`'s.
"""

from __future__ import annotations

import datetime as dt

from dialer_core.campaigns.number_health import NO_USABLE_NUMBER
from dialer_core.compliance.inconvenient_hours import parse_hours
from dialer_core.errors import CommandRefusedError
from dialer_core.store import account_leads, claims, people, restrictions
from dialer_core.store.restrictions import RestrictionRow
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AccountId,
    AttemptId,
    Channel,
    PersonId,
    PhoneId,
    RestrictionKind,
    RestrictionScope,
)

_OF_A_PHONE = frozenset({RestrictionKind.WRONG_NUMBER, RestrictionKind.WORKPLACE})
_PHONES = (RestrictionScope.PHONE, RestrictionScope.NUMBER)
_MOST_ACCOUNTS = 1_000


def restrict(
    tx: Tx,
    *,
    account_id: AccountId,
    kind: RestrictionKind,
    scope: RestrictionScope,
    source: str,
    actor: str,
    now: dt.datetime,
    phone_id: PhoneId | None = None,
    channel: Channel | None = None,
    hours: str | None = None,
    until_utc: dt.datetime | None = None,
) -> str:
    """Restrict an account, its person, or one of their phones or numbers; return the restriction's id.

    It is in force with the transaction: for the next claim, and for what rings now (within half a second on every node).

    Parameters
    ----------
    tx
        A write transaction.
    account_id
        Whose; the scope says what of it.
    kind, scope
        Why, and what it covers.
    source, actor
        How it is known, and who sets it.
    now
        From when on.
    phone_id
        Which phone, where the scope is `phone` or `number`.
    channel
        Only this one; by default every one.
    hours
        Only at these hours of the callee: `mon-fri 09:00-17:00`.
    until_utc
        Until when; by default for good.

    Raises
    ------
    CommandRefusedError
        There is no such account or phone (`unknown`), or the restriction makes no sense (`invalid`).
    """
    account = people.account(tx, account_id)
    if account is None:
        raise CommandRefusedError("there is no such account", "unknown")
    person_id = PersonId(account["person_id"])
    if problem := _problem(kind, scope, channel, hours, until_utc, now):
        raise CommandRefusedError(problem, "invalid")
    values: dict[RestrictionScope, str] = {
        RestrictionScope.PERSON: person_id,
        RestrictionScope.ACCOUNT: account_id,
    }
    if scope in _PHONES:
        phone = next((one for one in people.phones_of(tx, [person_id])[person_id] if one.id == phone_id), None)  # fmt: skip
        if phone is None:
            raise CommandRefusedError(f"a restriction of a {scope} names one of the person's phones", "unknown")  # fmt: skip
        values |= {RestrictionScope.PHONE: phone.id, RestrictionScope.NUMBER: phone.e164}
    return restrictions.add(
        tx, kind, scope, values[scope], source=source, from_utc=now, until_utc=until_utc, channel=channel, hours=hours, actor=actor
    )  # fmt: skip


def lift(tx: Tx, restriction_id: str, now: dt.datetime, *, actor: str) -> RestrictionRow:
    """End a restriction now. Leads that it had finished are dialable again; the gate decides with what else there is.

    Raises
    ------
    CommandRefusedError
        There is no such restriction (`unknown`), or it is over.
    """
    found = restrictions.get(tx, restriction_id)
    if found is None:
        raise CommandRefusedError("there is no such restriction", "unknown")
    if found.until_utc is not None and found.until_utc <= now:
        raise CommandRefusedError("this restriction is over already")
    restrictions.end(tx, restriction_id, now, actor=actor)
    reasons = {found.kind.value} | ({NO_USABLE_NUMBER} if found.scope in _PHONES else set())
    if found.source.startswith(
        "attempt "
    ):  # an agent's word made it, and finished the lead under its own name
        tried = claims.tried(tx, AttemptId(found.source.removeprefix("attempt ")))
        if tried is not None and tried.disposition:
            reasons.add(tried.disposition)
    for account_id in _accounts(tx, found):
        for reason in sorted(reasons):
            account_leads.reopen(tx, account_id, finished_reason=reason)
    return found


def _problem(
    kind: RestrictionKind,
    scope: RestrictionScope,
    channel: Channel | None,
    hours: str | None,
    until_utc: dt.datetime | None,
    now: dt.datetime,
) -> str:
    if kind is RestrictionKind.ABANDONMENT_LOCK:
        return "an abandonment_lock follows from an abandoned call; nobody sets one"
    if kind in _OF_A_PHONE and scope not in _PHONES:
        return f"a {kind} restriction is of a phone or a number, not of a {scope}"
    if kind is RestrictionKind.REFUSED_CHANNEL and channel is None:
        return "a refused_channel restriction names the channel"
    if (kind is RestrictionKind.INCONVENIENT_HOURS) != (hours is not None):
        return "hours go with an inconvenient_hours restriction, which must have them: 'mon-fri 09:00-17:00'"
    if hours is not None:
        try:
            parse_hours(hours)
        except ValueError as error:
            return f"hours: {error}"
    if until_utc is not None and until_utc <= now:
        return "a restriction's end lies ahead"
    return ""


def _accounts(tx: Tx, found: RestrictionRow) -> list[AccountId]:
    match found.scope:
        case RestrictionScope.ACCOUNT:
            return [AccountId(found.scope_value)]
        case RestrictionScope.PERSON:
            rows = people.accounts_of_person(tx, PersonId(found.scope_value))
        case RestrictionScope.PHONE:
            phone = people.phone(tx, found.scope_value)
            rows = people.accounts_of_person(tx, phone.person_id) if phone is not None else []
        case RestrictionScope.NUMBER:
            rows = people.accounts_by_number(tx, found.scope_value, _MOST_ACCOUNTS)
    return [AccountId(row["id"]) for row in rows]
