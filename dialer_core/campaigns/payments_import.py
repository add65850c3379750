"""Importing payments as the bank tells them: each counts once, and stops the calls about what it paid.

It owns the columns of such a file. What a payment does is `portfolio/payments.py`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dialer_core.campaigns import cell_values
from dialer_core.campaigns.lead_columns import HEADERS
from dialer_core.campaigns.leads_import import Progress
from dialer_core.campaigns.mapping_file import MappingFile
from dialer_core.campaigns.table_import import AMOUNT, Field, Reject, Row, TableReport, import_table
from dialer_core.money import USUAL
from dialer_core.portfolio import payments
from dialer_core.portfolio.payments import NewPayment
from dialer_core.store import people
from dialer_core.store.database import Database
from dialer_core.store.tx import Tx

FIELDS = {
    "account": Field(HEADERS["external_id"], needed=True),
    "portfolio": Field(HEADERS["portfolio"]),
    "amount": Field(
        ("importe", "monto", "monto_pago", "monto_pagado", "pago", "abono", "amount", "amount_paid", "paid"),
        AMOUNT,
        needed=True,
    ),
    "paid_on": Field(
        ("fecha", "fecha_pago", "fecha_de_pago", "date", "paid_on", "payment_date"),
        cell_values.date,
        needed=True,
    ),
    "currency": Field(HEADERS["currency"], cell_values.currency),
    "payment": Field(
        (
            "id_pago",
            "folio_pago",
            "num_pago",
            "payment",
            "payment_id",
        )  # no `referencia`: a bank's is the same for every payment of a customer, and all but the first would be known already
    ),
}
"""A negative amount is a payment taken back."""


def import_payments(
    database: Database,
    file: Path,
    *,
    reject_dir: Path,
    mapping: MappingFile | None = None,
    dry_run: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> TableReport:
    """Import a file of payments; parameters and errors are `import_table`'s."""
    equals: Counter[tuple[Any, ...]] = Counter()

    def write(tx: Tx, rows: Sequence[Row], reject: Reject) -> int:
        accounts = accounts_of(tx, rows)
        found: list[NewPayment] = []
        for row in rows:
            values = row.values
            account = accounts.get((values.get("portfolio", "default"), values["account"]))
            if account is None:
                reject(row, "account", "no such account")
                continue
            currency = values.get("currency") or account["currency"] or USUAL
            if account["currency"] not in {None, currency}:
                reject(row, "currency", "not the account's currency")
                continue
            number = values.get("payment")
            if (
                number is None
            ):  # one without a number is known by its day, its amount and its place among equals
                key = (account["id"], values["paid_on"], values["amount"])
                equals[key] += 1
                number = f"{values['paid_on']}/{values['amount']}/{equals[key]}"
            found.append(
                NewPayment(account["id"], number[:128], values["amount"], currency, values["paid_on"])
            )
        return payments.receive(tx, found, source=file.name, now=database.clock.utc())

    return import_table(
        database, file, "payments", FIELDS, write, reject_dir=reject_dir, mapping=mapping, dry_run=dry_run, progress=progress
    )  # fmt: skip


def accounts_of(tx: Tx, rows: Sequence[Row]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the accounts that rows are about, by portfolio and the customer's own id."""
    by_portfolio: dict[str, list[str]] = {}
    for row in rows:
        by_portfolio.setdefault(row.values.get("portfolio", "default"), []).append(row.values["account"])
    return {
        (portfolio, external_id): account
        for portfolio, external_ids in by_portfolio.items()
        for external_id, account in people.accounts_by_external_id(tx, portfolio, external_ids).items()
    }
