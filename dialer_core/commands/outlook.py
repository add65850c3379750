"""`dialer leads why` and `dialer leads forecast`: when a lead can be dialed, and how many can in each hour of today.

It owns words only; the answers are `campaigns/why.py`'s and `campaigns/forecast.py`'s.
"""

from __future__ import annotations

import click

from dialer_core.campaigns.forecast import forecast
from dialer_core.campaigns.why import local, why
from dialer_core.clock import SystemClock
from dialer_core.commands.invocation import Invocation, example, invocation
from dialer_core.commands.store_access import campaign_of, open_store, pack_of
from dialer_core.compliance import windows
from dialer_core.errors import CommandRefusedError
from dialer_core.store import leads as lead_rows
from dialer_core.store import people
from dialer_core.vocabulary import AccountId, LeadId


@click.command("why", epilog=example("dialer leads why A-1 --campaign cobranza"))
@click.argument("account")
@click.option("--campaign", metavar="NAME", help="On whose list; not needed where it is on one only.")
@click.option("--portfolio", default="default", show_default=True, help="The account's portfolio.")
@invocation
def why_not_dialed(call: Invocation, account: str, *, campaign: str | None, portfolio: str) -> None:
    """Say why an account's lead is not dialed now, and from when it can be.

    ACCOUNT is its number in your file.
    """
    settings = call.settings
    wanted = campaign_of(settings, campaign) if campaign else None
    with open_store(settings) as database, database.read() as tx:
        found = people.accounts_by_external_id(tx, portfolio, [account]).get(account)
        of_it = lead_rows.of_account(tx, AccountId(found["id"])) if found else []
        on = [lead for lead in of_it if wanted in {None, lead.campaign_id}]
        if not on:
            raise CommandRefusedError(
                f"account {account} (portfolio {portfolio}) has no lead in {campaign or 'any campaign'}",
                "unknown",
            )
        if len(on) > 1:
            names = ", ".join(lead.campaign_id for lead in on)
            raise CommandRefusedError(
                f"account {account} is on the lists of {names}: say --campaign", "invalid"
            )
        name = campaign_of(settings, on[0].campaign_id)
        pack, its = pack_of(settings, name), settings.campaigns[name]
        said = why(tx, LeadId(on[0].id), settings=its, pack=pack, now=SystemClock().utc())
    call.give(said)
    call.say(f"{account}: {said.words()}")
    call.table(
        ("number", "may be dialed", "rule", "why"),
        [
            (
                one.rank,
                local(one.allowed_from, one.zone) if one.allowed_from else "-",
                one.rule or "-",
                one.reason,
            )
            for one in said.numbers
        ],
    )


@click.command("forecast", epilog=example("dialer leads forecast cobranza"))
@click.argument("campaign")
@invocation
def forecast_leads(call: Invocation, campaign: str) -> None:
    """Say how many leads of CAMPAIGN can be dialed in each hour of today, and what holds the others now.

    As the gate would decide: hours, holidays, caps, restrictions and rests. Of a long list a sample by chance is asked.
    """
    settings = call.settings
    name = campaign_of(settings, campaign)
    with open_store(settings) as database, database.read() as tx:
        found = forecast(
            tx, name, settings=settings.campaigns[name], pack=pack_of(settings, name), now=SystemClock().utc()
        )
    call.give(found)
    about = "about " if found.asked < found.leads else ""
    zone = windows.zone_info(found.zone)
    call.say(
        f"{campaign}: {found.leads} leads may still be dialed ({found.asked} asked); hours of {found.zone}"
    )
    call.table(
        ("from", "can be dialed"),
        [(f"{hour.at.astimezone(zone):%H:%M}", f"{about}{hour.dialable}") for hour in found.hours],
    )
    if found.held_now:
        held = ", ".join(f"{about}{count} {rule}" for rule, count in found.held_now.items())
        call.say(f"Not now: {held}")
