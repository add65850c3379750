"""Data quality of phones: how many of a portfolio's numbers were tried, answered, are faulty or cannot be dialed, as they are now.

It owns the sheet; the counts are `store/phone_quality.py`'s.
"""

from __future__ import annotations

from dialer_core.campaigns import number_health
from dialer_core.reports.asked import Asked
from dialer_core.reports.sheet import Column, Sheet
from dialer_core.store import phone_quality
from dialer_core.store.tx import Tx

COLUMNS = (
    Column("portfolio", "key"),
    Column("kind", "key"),
    Column("phones", "count"),
    Column("tried", "count", "At least once, as far as the network."),
    Column("answered", "count", "By a person, at least once."),
    Column("answered_rate", "rate", "`answered` of `tried`."),
    Column("faulty", "count", "The last attempt spoke against the number: invalid, fax, special information tone."),
    Column("dead", "count", "So many faults in a row that it is not dialed any more."),
    Column("without_zone", "count", "Nobody knows their time zone: not dialed before a file says it."),
    Column("refused", "count", "Their person does not consent to calls."),
)  # fmt: skip


def phones(tx: Tx, asked: Asked) -> Sheet:
    """Return the quality of phones by portfolio and kind; a period is of no meaning here."""
    found = phone_quality.by_portfolio_and_kind(
        tx,
        portfolios=asked.only.get("portfolio"),
        campaigns=asked.only.get("campaign"),
        dead_after=number_health.FAULTS_OF_A_DEAD_NUMBER,
    )
    rows = [
        (
            one.portfolio, one.kind, one.phones, one.tried, one.answered,
            round(one.answered / one.tried, 6) if one.tried else None,
            one.faulty, one.dead, one.without_zone, one.refused,
        )
        for one in found
    ]  # fmt: skip
    return Sheet(
        columns=COLUMNS,
        rows=rows,
        notes=("a phone counts in every portfolio in which its person has an account",),
    )
