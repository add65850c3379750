"""Proteus's side of `tryton_server.py`: run as a process of its own, so that Tryton stays a program apart.

    python tryton_script.py prepare trytond.conf           company, chart of accounts, fiscal year, dunning procedure
    python tryton_script.py debts URL < debts.json         parties with an overdue receivable and its dunning
    python tryton_script.py find URL < question.json       {"model", "domain", "fields"}: what Tryton holds
    python tryton_script.py call URL < call.json           {"model", "method", "args"}

It prints one line of JSON. It owns no process and no port.
"""

import datetime as dt
import json
import os
import sys
from decimal import Decimal
from typing import Any

from proteus import Model, Wizard, config

DATABASE = "tryton"
LEVELS = (5, 30, 60)
"""Days overdue of the dunning's levels."""


def _today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()


def prepare(conf: str) -> None:
    """Fill a database in which the modules have been activated."""
    from trytond.modules.account.tests.tools import create_chart, create_fiscalyear
    from trytond.modules.company.tests.tools import create_company

    os.environ["DB_NAME"] = DATABASE
    config.set_trytond(f"sqlite:///{DATABASE}", config_file=conf)
    create_company()
    create_chart()
    today = _today()
    year = create_fiscalyear(today=(today - dt.timedelta(days=200), today + dt.timedelta(days=60)))
    year.save()
    year.click("create_period")
    procedure = Model.get("account.dunning.procedure")(name="Cobranza")
    for place, days in enumerate(LEVELS):
        level = procedure.levels.new()
        level.sequence, level.overdue = place, dt.timedelta(days)
    procedure.save()


def debts(rows: list[dict[str, Any]]) -> list[int]:
    """Write parties (name, phone), each with a receivable (amount, days overdue), and let Tryton make and process the dunnings."""
    its = config.get_config()
    (procedure,) = Model.get("account.dunning.procedure").find([])
    from trytond.modules.account.tests.tools import get_accounts

    accounts = get_accounts()
    (journal,) = Model.get("account.journal").find([("code", "=", "REV")])
    day = _today() - dt.timedelta(days=1)
    (period,) = Model.get("account.period").find([("start_date", "<=", day), ("end_date", ">=", day)])
    context = its.context
    parties = its.get_proxy("party.party").create(
        [
            {
                "name": one["name"],
                "dunning_procedure": procedure.id,
                "contact_mechanisms": [("create", [{"type": "mobile", "value": one["phone"]}])]
                if one["phone"]
                else [],
            }
            for one in rows
        ],
        context,
    )
    lines = []
    for party, one in zip(parties, rows, strict=True):
        amount = Decimal(str(one["amount"]))
        due = _today() - dt.timedelta(days=one["days"])
        lines.append({"account": accounts["receivable"].id, "party": party, "debit": amount, "credit": Decimal(0), "maturity_date": due})  # fmt: skip
    total = sum((one["debit"] for one in lines), Decimal(0))
    lines.append({"account": accounts["revenue"].id, "debit": Decimal(0), "credit": total})
    its.get_proxy("account.move").create(
        [{"period": period.id, "journal": journal.id, "date": day, "lines": [("create", lines)]}], context
    )
    make = Wizard("account.dunning.create")
    make.form.date = _today()
    make.execute("create_")
    Wizard("account.dunning.process", Model.get("account.dunning").find([("state", "=", "draft")])).execute("process")  # fmt: skip
    return list(parties)


def find(model: str, domain: list[Any], fields: list[str]) -> list[dict[str, Any]]:
    """Return what Tryton holds, by proteus's own objects; a reference comes as its id or `model,id`."""
    found = []
    for one in Model.get(model).find(_domain(domain)):
        row = {}
        for name in fields:
            value: Any = one
            for part in name.split("."):
                value = getattr(value, part)
            if isinstance(value, Model):
                value = f"{type(value).__name__},{value.id}"
            row[name] = value
        found.append(row)
    return found


def _domain(clauses: list[Any]) -> list[Any]:
    return [tuple(one) if isinstance(one, list) and len(one) == 3 else one for one in clauses]


def _call(model: str, method: str, args: list[Any]) -> Any:
    its = config.get_config()
    return getattr(its.get_proxy(model), method)(*args, its.context)


def main() -> None:
    """Do what is asked and print the answer."""
    what, where = sys.argv[1:3]
    answer: Any = None
    if what == "prepare":
        prepare(where)
    else:
        given = json.load(sys.stdin)
        user, password = os.environ["TRYTON_USER"], os.environ["TRYTON_PASSWORD"]
        with config.set_xmlrpc_session(where, user, password):
            answer = {"debts": lambda: debts(given), "find": lambda: find(**given), "call": lambda: _call(**given)}[what]()  # fmt: skip
    sys.stdout.write(json.dumps(answer, default=str) + "\n")


if __name__ == "__main__":
    main()
