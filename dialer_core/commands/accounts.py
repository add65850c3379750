"""`dialer account` and `dialer promise`, `dialer leads restrict`, `lift` and `consent`: what is known and written about one account.

It owns words and how an account, a phone and an instalment are named on the command line. The rules are `portfolio/`'s and
`campaigns/restricting.py`'s. No running dialer is needed; one that runs heeds what was written within a second.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from dialer_core.campaigns import amounts, restricting
from dialer_core.clock import SystemClock
from dialer_core.commands.invocation import Invocation, example, invocation
from dialer_core.commands.store_access import open_store
from dialer_core.compliance.phone_numbers import NumberError, normalise
from dialer_core.errors import CommandRefusedError
from dialer_core.money import written
from dialer_core.portfolio import account_view, promises, proof
from dialer_core.portfolio.account_view import AccountView, Moment
from dialer_core.store import account_notes, consents, people
from dialer_core.store import promises as promise_rows
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AccountId,
    Channel,
    PersonId,
    PhoneId,
    PromiseKind,
    RestrictionKind,
    RestrictionScope,
)

ACTOR = "cli"
FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
DAY = click.DateTime(formats=["%Y-%m-%d"])
MOST_MOMENTS = 30
SET_BY_PEOPLE = [one.value for one in RestrictionKind if one is not RestrictionKind.ABANDONMENT_LOCK]


def _one_account(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the account that it is about."""

    @click.argument("account")
    @click.option("--portfolio", default="default", show_default=True, help="The account's portfolio.")
    @invocation
    @functools.wraps(function)
    def wrapped(call: Invocation, account: str, *, portfolio: str, **options: Any) -> Any:
        return function(call, (portfolio, account), **options)

    return wrapped


def _account(tx: Tx, named: tuple[str, str]) -> dict[str, Any]:
    portfolio, account = named
    found = people.accounts_by_external_id(tx, portfolio, [account]).get(account)
    if found is None:
        raise CommandRefusedError(f"there is no account {account} in portfolio {portfolio}", "unknown")
    return found


def _phone(tx: Tx, person_id: PersonId, number: str | None) -> PhoneId | None:
    """Return the person's phone of a number, however it is written."""
    if number is None:
        return None
    try:
        e164 = normalise(number)
    except NumberError as error:
        raise click.BadParameter(f"{error}", param_hint="--phone") from None
    for phone in people.phones_of(tx, [person_id])[person_id]:
        if phone.e164 == e164:
            return phone.id
    raise CommandRefusedError("the account's person has no such number", "unknown")


@click.group(
    epilog=example(
        "dialer account show 4401-1", "dialer account document 4401-1 contrato.pdf --kind contract"
    )
)
def account() -> None:
    """Show an account with everything that hangs on it; add notes and documents."""


@account.command("show", epilog=example("dialer account show 4401-1", "dialer account show 4401-1 --json"))
@_one_account
def show_account(call: Invocation, named: tuple[str, str]) -> None:
    """Show ACCOUNT, by its number in your file: who, where, what was said, agreed and paid."""
    with open_store(call.settings) as database, database.read() as tx:
        seen = account_view.view(tx, AccountId(_account(tx, named)["id"]), SystemClock().utc())
    call.give(seen)
    _show(call, seen)


@account.command("note", epilog=example("dialer account note 4401-1 'Prefiere que le llamen por la tarde'"))
@_one_account
@click.argument("note")
def add_note(call: Invocation, named: tuple[str, str], *, note: str) -> None:
    """Write a NOTE about ACCOUNT. It is kept as written."""
    if not 0 < len(note) <= account_notes.MOST_CHARACTERS:
        raise click.BadParameter(f"1 to {account_notes.MOST_CHARACTERS} characters", param_hint="NOTE")
    with open_store(call.settings) as database, database.write() as tx:
        account_id = AccountId(_account(tx, named)["id"])
        row = account_notes.add(tx, account_id, author=ACTOR, note=note, at_utc=SystemClock().utc())
    call.give(row)
    call.say(f"{named[1]}: noted")


@account.command(
    "document",
    epilog=example(
        "dialer account document 4401-1 contrato.pdf --kind contract --title 'Contrato 4401'",
        "dialer account document 4401-1 --at https://archivo.example/4401 --kind statement",
    ),
)
@_one_account
@click.argument("file", type=FILE, required=False)
@click.option(
    "--at", "address", default=None, metavar="ADDRESS", help="Where it lies, instead of a file to keep here."
)
@click.option("--sha256", default=None, metavar="DIGEST", help="Its checksum, with --at.")
@click.option(
    "--kind", default="document", show_default=True, metavar="WORD", help="contract, statement, agreement …"
)
@click.option("--title", default=None, metavar="TEXT", help="By default the file's name.")
def add_document(
    call: Invocation, named: tuple[str, str], *, file: Path | None, address: str | None, sha256: str | None, kind: str, title: str | None
) -> None:  # fmt: skip
    """Keep a FILE as proof of ACCOUNT, with its checksum, or say where in your own archive it lies."""
    if (file is None) == (address is None):
        raise click.UsageError("give a file, or --at with where it lies")
    if file is not None and sha256 is not None:
        raise click.UsageError("--sha256 goes with --at; a file's is taken from it")
    settings = call.settings
    with open_store(settings) as database:
        with database.read() as tx:
            account_id = AccountId(_account(tx, named)["id"])
        location, digest = (
            proof.keep(settings.state_dir, file) if file is not None else (address or "", sha256)
        )
        with database.write() as tx:
            row = proof.add(
                tx, account_id=account_id, kind=kind, title=title or (file.name if file else location), location=location,
                sha256=digest, actor=ACTOR, now=SystemClock().utc(),
            )  # fmt: skip
    call.give(row)
    call.say(
        f"{named[1]}: {row.kind} {row.title!r}, {'sha256 ' + row.sha256[:12] + '…' if row.sha256 else 'no checksum'}"
    )


@click.group(epilog=example("dialer promise make 4401-1 --pay 2026-12-01=1500 --pay 2027-01-02=1500"))
def promise() -> None:
    """Write promises to pay down, and take them back."""


@promise.command(
    "make",
    epilog=example(
        "dialer promise make 4401-1 --pay 2026-12-01=1500.00",
        "dialer promise make 4401-1 --kind settlement --pay 2026-12-01=6000",
    ),
)
@click.option(
    "--pay",
    "pays",
    multiple=True,
    required=True,
    metavar="DAY=AMOUNT",
    help="An instalment; may be given again.",
)
@click.option(
    "--kind",
    type=click.Choice([one.value for one in PromiseKind]),
    default=PromiseKind.AGREEMENT.value,
    show_default=True,
    help="What was agreed.",
)
@click.option(
    "--grace",
    "grace_days",
    type=int,
    default=1,
    show_default=True,
    metavar="DAYS",
    help="After each day, before it is broken.",
)
@click.option(
    "--settles",
    default=None,
    metavar="AMOUNT",
    help="Of a settlement: what of the balance it settles; by default all.",
)
@_one_account
def make_promise(
    call: Invocation, named: tuple[str, str], *, pays: tuple[str, ...], kind: str, grace_days: int, settles: str | None
) -> None:  # fmt: skip
    """Write a promise of ACCOUNT, in place of the open one: nobody calls about it until it is kept or broken."""
    instalments = [_instalment(one) for one in pays]
    settles_minor = None if settles is None else _amount(settles, "--settles")
    with open_store(call.settings) as database, database.write() as tx:
        row = promises.make(
            tx, account_id=AccountId(_account(tx, named)["id"]), instalments=instalments, kind=PromiseKind(kind), now=SystemClock().utc(),
            grace_days=grace_days, settles_minor=settles_minor, actor=ACTOR,
        )  # fmt: skip
    call.give(row)
    total = f"{written(row.total_minor, row.currency)} {row.currency}"
    call.say(
        f"{named[1]}: {row.kind} of {total} in {len(row.instalments)}, until {row.instalments[-1].due_date}"
    )
    call.say(f"promise {row.id}")


@promise.command("cancel", epilog=example("dialer promise cancel 019f8a4e-7c1d-7b7e-8000-3c2f5f8f9a10"))
@click.argument("promise_id", metavar="PROMISE", type=click.UUID)
@invocation
def cancel_promise(call: Invocation, promise_id: Any) -> None:
    """Take an open PROMISE back, by its id; the account may be called again."""
    with open_store(call.settings) as database, database.write() as tx:
        found = promise_rows.get(tx, str(promise_id))
        if found is None:
            raise CommandRefusedError(f"there is no promise {promise_id}", "unknown")
        promises.cancel(tx, found, SystemClock().utc(), actor=ACTOR)
    call.give({"id": str(promise_id), "state": "cancelled"})
    call.say(f"promise {promise_id}: taken back")


@click.command(
    "restrict",
    epilog=example(
        "dialer leads restrict 4401-1 --kind attorney --source 'letter of 3 March'",
        "dialer leads restrict 4401-1 --kind wrong_number --scope phone --phone '55 1234 5678'",
        "dialer leads restrict 4401-1 --kind inconvenient_hours --hours 'mon-fri 09:00-17:00'",
    ),
)
@click.option(
    "--kind",
    required=True,
    type=click.Choice(SET_BY_PEOPLE),
    help="Why they may not be contacted.",
)
@click.option(
    "--scope",
    type=click.Choice([one.value for one in RestrictionScope]),
    default=RestrictionScope.PERSON.value,
    show_default=True,
    help="On what: the person, this account, one number or phone.",
)
@click.option(
    "--phone", default=None, metavar="NUMBER", help="Which of the person's, for the scopes phone and number."
)
@click.option(
    "--channel", type=click.Choice([one.value for one in Channel]), default=None, help="Only this one."
)
@click.option(
    "--hours", default=None, metavar="TEXT", help="Only at these hours of the callee, for inconvenient_hours."
)
@click.option(
    "--until",
    type=DAY,
    default=None,
    metavar="DAY",
    help="Up to the beginning of this day, UTC; by default for good.",
)
@click.option("--source", default=ACTOR, metavar="TEXT", help="How it is known; kept with it.")
@_one_account
def restrict(
    call: Invocation, named: tuple[str, str], *, kind: str, scope: str, phone: str | None, channel: str | None, hours: str | None,
    until: dt.datetime | None, source: str,
) -> None:  # fmt: skip
    """Restrict ACCOUNT, its person or one of their phones: for the next call, and for the one that rings now."""
    with open_store(call.settings) as database, database.write() as tx:
        found = _account(tx, named)
        made = restricting.restrict(
            tx, account_id=AccountId(found["id"]), kind=RestrictionKind(kind), scope=RestrictionScope(scope), source=source, actor=ACTOR,
            now=SystemClock().utc(), phone_id=_phone(tx, PersonId(found["person_id"]), phone), channel=Channel(channel) if channel else None,
            hours=hours, until_utc=until.replace(tzinfo=dt.UTC) if until else None,
        )  # fmt: skip
    call.give({"id": made, "kind": kind, "scope": scope})
    call.say(f"{named[1]}: {kind} on the {scope}\nrestriction {made}")


@click.command("lift", epilog=example("dialer leads lift 019f8a4e-7c1d-7b7e-8000-3c2f5f8f9a10"))
@click.argument("restriction", type=click.UUID)
@invocation
def lift(call: Invocation, restriction: Any) -> None:
    """End a RESTRICTION now, by its id (`dialer account show` has it). Leads that it had finished may be dialed again."""
    with open_store(call.settings) as database, database.write() as tx:
        found = restricting.lift(tx, str(restriction), SystemClock().utc(), actor=ACTOR)
    call.give({"id": found.id, "kind": found.kind, "scope": found.scope})
    call.say(f"{found.kind} on the {found.scope}: lifted")


@click.command(
    "consent",
    epilog=example("dialer leads consent 4401-1 --channel voice --source 'form 7' --phone '55 1234 5678'"),
)
@click.option(
    "--channel",
    required=True,
    type=click.Choice([one.value for one in Channel]),
    help="By which they agreed to be contacted.",
)
@click.option("--granted/--revoked", default=True, show_default=True, help="They agreed, or took it back.")
@click.option("--phone", default=None, metavar="NUMBER", help="Only for this number.")
@click.option("--source", required=True, metavar="TEXT", help="How it is known.")
@_one_account
def consent(
    call: Invocation, named: tuple[str, str], *, channel: str, granted: bool, phone: str | None, source: str
) -> None:
    """Write what the person of ACCOUNT said about being contacted by a channel; the latest word counts."""
    with open_store(call.settings) as database, database.write() as tx:
        person_id = PersonId(_account(tx, named)["person_id"])
        made = consents.record(
            tx, person_id, Channel(channel), granted=granted, source=source, at_utc=SystemClock().utc(),
            phone_id=_phone(tx, person_id, phone), actor=ACTOR,
        )  # fmt: skip
    call.give({"id": made, "channel": channel, "granted": granted})
    call.say(f"{named[1]}: {channel} {'granted' if granted else 'revoked'}")


def _instalment(text: str) -> tuple[dt.date, int]:
    day, _, amount = text.partition("=")
    try:
        return dt.date.fromisoformat(day), _amount(amount, "--pay")
    except ValueError:
        raise click.BadParameter(
            f"{text!r}: write DAY=AMOUNT, such as 2026-12-01=1500.00", param_hint="--pay"
        ) from None


def _amount(text: str, option: str) -> int:
    try:
        return amounts.cents(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: {error}", param_hint=option) from None


def _show(call: Invocation, seen: AccountView) -> None:
    its, person = seen.account, seen.person
    balance = (
        "-"
        if its.balance_minor is None
        else f"{written(its.balance_minor, its.currency)} {its.currency or ''}".strip()
    )
    to = f" to {its.creditor}" if its.creditor else ""
    call.say(f"{its.external_id} ({its.portfolio}): {person.name or '-'}, owes {balance}{to}, {its.status}")
    said = {None: "-", True: "yes", False: "no"}
    call.table(
        ("phone", "kind", "tries", "answers", "last", "consent"),
        [(p.e164, p.kind, p.tries, p.answers, p.last_outcome or "-", said[p.consent]) for p in seen.phones],
    )
    for address in seen.emails:
        call.say(f"e-mail: {address.address}{f' ({address.failures} came back)' if address.failures else ''}")
    for lead in seen.leads:
        why = lead.waiting_for or lead.finished_reason or lead.blocked_rule
        call.say(
            f"on the list of {lead.campaign}: {lead.state}{f' ({why})' if why else ''}, {lead.attempts} attempts"
        )
    for run in seen.strategies:
        how = run.stopped_because or (
            f"{run.next_step} from {run.due_at_utc:%Y-%m-%d %H:%M} UTC" if run.due_at_utc else ""
        )
        call.say(
            f"strategy {run.strategy}: {run.state}{f' ({how})' if how else ''}, {run.position} of {run.steps} steps behind it"
        )
    for one in seen.restrictions:
        call.say(
            f"restricted: {one.kind} on the {one.scope}, {f'until {one.until_utc:%Y-%m-%d}' if one.until_utc else 'for good'} ({one.id})"
        )
    call.table(
        ("when (UTC)", "what", "result", "by", "amount", ""),
        [_moment(one, its.currency) for one in seen.timeline[:MOST_MOMENTS]],
    )


def _moment(one: Moment, currency: str | None) -> tuple[str, ...]:
    amount = "" if one.amount_minor is None else written(one.amount_minor, currency)
    what = one.what if one.channel in {None, Channel.VOICE} else f"{one.what} ({one.channel})"
    said = one.text or (f"{one.seconds:.0f} s" if one.seconds else "")
    return (f"{one.at_utc:%Y-%m-%d %H:%M}", what, one.result or "", one.by or "", amount, said[:60])
