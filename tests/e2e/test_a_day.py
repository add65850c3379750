"""A portfolio's day, whole: a thousand accounts imported, put in order, reminded by two channels, answered, the rest dialed, promises in the CRM.

Real parts throughout: the dialer as a process with its plugins, a message centre by SMPP, a provider of WhatsApp by HTTP, a Tryton server, the
simulated carrier and softphones of the demonstration by SIP and RTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from dialer_core.commands.api_client import ApiClient
from dialer_core.demo.world import World, world, write_config
from dialer_core.sim.behaviours import TrueClass, behaviour_for
from dialer_core.store import campaigns as campaign_rows
from dialer_core.store import consents
from dialer_core.store.database import Database, open_database
from dialer_core.store.models import Base
from dialer_core.vocabulary import Channel, PersonId
from tests.campaigns.lists import rows
from tests.e2e.debtors import ASKS_FOR_AN_AGENT, HAS_PAID, OPTS_OUT, PROMISES, Debtors, far_ends
from tests.host.running import free_port
from tests.plugins.tryton_server import PASSWORD, tryton_server
from tests.polling import wait_until
from tests.skips import ROOT

pytestmark = [pytest.mark.sip, pytest.mark.own_ports, pytest.mark.timeout(500)]

ACCOUNTS = 1000
TEXTED, ON_WHATSAPP = range(560), range(560, 970)
"""By place in the portfolio; the rest is called."""
GREETING = "Hola"
CAMPAIGN = "demo"
TABLES = Base.metadata.tables
CONFIG: Mapping[str, str] = {
    "plugins/sms.toml": """
provider = "smpp"
system_id = "acme"
password_file = "secret"
source = "55000"
per_second = 1000
[[binds]]
host = "127.0.0.1"
port = {centre}
""",
    "plugins/whatsapp.toml": """
base_url = "{whatsapp}"
phone_number_id = "1234"
access_token_file = "secret"
app_secret_file = "app"
per_second = 1000
""",
    "plugins/contact_strategy.toml": """
[strategies.texto]
campaign = "demo"
where = 'product in ("tarjeta")'
[[strategies.texto.steps]]
do = "message"
template = "aviso_sms"
[[strategies.texto.steps]]
do = "call"
days = 1

[strategies.mensaje]
campaign = "demo"
where = 'product in ("auto")'
[[strategies.mensaje.steps]]
do = "message"
template = "aviso_whatsapp"
[[strategies.mensaje.steps]]
do = "call"
days = 1

[strategies.llamada]
campaign = "demo"
where = 'product in ("hipoteca")'
[[strategies.llamada.steps]]
do = "call"
""",
    "plugins/crm.toml": """
[connections.erp]
kind = "tryton"
url = "{tryton}"
user = "admin"
password_file = "tryton-password"

[out.promesas]
connection = "erp"
what = "promise"
target = "ir.note"
find = '[["message", "like", "%[promise {{id}}]"]]'
fields.message = "Promesa: {{amount}} {{currency}}, {{state}} [promise {{id}}]"
fields.resource = "party.party,{{account}}"
""",
    "templates/aviso_sms.toml": """
channel = "sms"
flow = "respuestas"
[text]
es = "Hola {{{{ first_name }}}}. 1 fecha, 2 asesor, 3 resuelto. Responda BAJA para salir."
""",
    "templates/aviso_whatsapp.toml": """
channel = "whatsapp"
flow = "respuestas"
to_confirmed = true
[provider]
name = "aviso"
language = {{ es = "es_MX" }}
parameters = ["first_name", "balance"]
[text]
es = "Hola {{{{ first_name }}}}, debe {{{{ balance }}}}. 1 fecha, 2 asesor, 3 resuelto. Responda BAJA para salir."
""",
}


@dataclass
class Portfolio:
    """A thousand accounts of as many people, and what each does when written to: every fifth or so answers in one of four ways.

    `ids` are the CRM's of the debtors, which the accounts go by.
    """

    ids: Sequence[int]
    numbers: list[str] = field(default_factory=list)
    does: dict[str, str] = field(default_factory=dict)
    digits: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        draw = random.Random(7)
        people = [s for s in range(100) if behaviour_for(f"{s:02}").true_class is TrueClass.HUMAN]
        for place in range(ACCOUNTS):
            kind = draw.choices([PROMISES, ASKS_FOR_AN_AGENT, HAS_PAID, OPTS_OUT, ""], [10, 2, 3, 3, 82])[0]
            # who asks for an agent answers their telephone
            suffix = draw.choice(people) if kind == ASKS_FOR_AN_AGENT else draw.randrange(100)
            number = f"+5255{100000 + place}{suffix:02}"
            self.numbers.append(number)
            self.digits[number] = f"{self.ids[place]:04}"
            if kind and place not in range(ON_WHATSAPP.stop, ACCOUNTS):
                self.does[number] = kind

    def who(self, kind: str) -> set[str]:
        """Return the numbers of those who do something."""
        return {number for number, its in self.does.items() if its == kind}

    @property
    def called(self) -> set[str]:
        """Those who are called: by their strategy, because they asked for it, or by the list, where a No to texts has ended their strategy."""
        return {*self.numbers[ON_WHATSAPP.stop :], *self.who(ASKS_FOR_AN_AGENT), *self.who(OPTS_OUT)}

    def write(self, file: Path) -> None:
        """Write it as a bank sends it."""
        rows = ["cuenta,nombre,celular,saldo,dias_mora,producto"]
        for place, number in enumerate(self.numbers):
            product = "tarjeta" if place in TEXTED else "auto" if place in ON_WHATSAPP else "hipoteca"
            rows.append(
                f"{self.ids[place]:04},Persona {place},{number},{500 + 13 * place}.50,{place % 120},{product}"
            )
        file.write_text("\n".join([*rows, ""]), encoding="utf-8")


class Day:
    """The dialer's folder, and its commands as an engineer types them."""

    def __init__(self, made: World, hooks_port: int, **places: object) -> None:
        self.made = made
        write_config(made.config, made.ports.substitutes())
        for name, text in CONFIG.items():
            target = made.config / name
            target.parent.mkdir(exist_ok=True)
            target.write_text(text.format(**places), encoding="utf-8")
        (made.config / "secret").write_text("secret")
        (made.config / "app").write_text("app")
        (made.config / "tryton-password").write_text(PASSWORD)
        shipped = ROOT / "dialer_core" / "config_defaults" / "flows" / "respuestas.toml"
        (made.config / "flows" / "respuestas.toml").write_bytes(shipped.read_bytes())
        self._edit("dialer.toml", 'enabled = ["metrics"]', 'enabled = ["sms", "whatsapp", "contact_strategy", "prioritization", "crm"]')  # fmt: skip
        self._edit("dialer.toml", "[recordings]", f"[webhooks]\nenabled = true\nport = {hooks_port}\n\n[recordings]")  # fmt: skip
        with as_file(files("dialer_core.demo") / "prompts") as prompts:
            shutil.copytree(prompts, made.folder / "prompts")
        self._edit("dialer.toml", 'key_file = "recordings.key"\n', "")
        (made.config / "campaigns" / "aviso.toml").unlink()
        agents = made.config / "agents.toml"
        agents.write_text(agents.read_text().replace("auto_ready = true\n", "").replace('"aviso"', '"demo"'))
        self.database: Database = open_database(made.settings.store_url, node="test")
        self.database.migrate()
        with self.database.write() as tx:
            campaign_rows.sync(
                tx, {name: its.model_dump(mode="json") for name, its in made.settings.campaigns.items()}
            )

    def _edit(self, file: str, old: str, new: str) -> None:
        path = self.made.config / file
        text = path.read_text(encoding="utf-8")
        assert old in text, (file, old)
        path.write_text(text.replace(old, new), encoding="utf-8")

    def dialer(self, *arguments: str) -> Any:
        """Type a command with `--json`; return what it gives."""
        ran = subprocess.run(
            [sys.executable, "-m", "dialer_core.commands.cli", *arguments, "--config", str(self.made.config), "--json"],
            cwd=self.made.folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, f"{arguments}: {ran.returncode}: {ran.stdout[-2000:]}{ran.stderr[-2000:]}"
        return json.loads(ran.stdout.splitlines()[-1]) if ran.stdout.strip() else None

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return every row of a table."""
        with self.database.read() as tx:
            return rows(tx, table)

    def count(self, table: str, **its: object) -> int:
        """Return how many rows of a table have these values."""
        columns = TABLES[table].c
        with self.database.read() as tx:
            query = select(func.count()).where(*(columns[key] == value for key, value in its.items()))
            return int(tx.scalar(query.select_from(TABLES[table])))

    def agree_to_whatsapp(self, numbers: Sequence[str]) -> None:
        """Write down that these people agreed to be written to there."""
        wanted = set(numbers)
        with self.database.write() as tx:
            for phone in rows(tx, "phone"):
                if phone["e164"] in wanted:
                    consents.record(
                        tx, PersonId(phone["person_id"]), Channel.WHATSAPP, granted=True, source="contrato",
                        at_utc=tx.utc(), phone_id=None, actor="test",
                    )  # fmt: skip


async def test_a_thousand_accounts(tmp_path: Path) -> None:
    """Every answer is handled, nobody is written to twice, nobody called without need, and every touch counts for the caps."""
    (tmp_path / "tryton").mkdir()
    with tryton_server(tmp_path / "tryton") as tryton, world(tmp_path) as made:
        parties = [{"name": f"Persona {place}"} for place in range(ACCOUNTS)]
        portfolio = Portfolio(await asyncio.to_thread(tryton.call, "party.party", "create", parties))
        people = Debtors(portfolio.does, portfolio.digits)
        hooks = free_port()
        async with far_ends(people, GREETING, hooks) as (centre, provider, whatsapp):
            day = Day(made, hooks, centre=centre.port, whatsapp=provider.url, tryton=tryton.url)
            portfolio.write(tmp_path / "cartera.csv")
            await asyncio.to_thread(_morning, day, portfolio)
            await asyncio.to_thread(_at_work, day, portfolio)
            assert whatsapp.refused == []
            await asyncio.to_thread(_judge, day, portfolio, people)
            day.dialer("crm", "sync", "--out")
            notes = await asyncio.to_thread(tryton.find, "ir.note", [], ["resource"])
            told = Counter(f"{int(one['resource'].partition(',')[2]):04}" for one in notes)
            assert told == Counter(portfolio.digits[one] for one in portfolio.who(PROMISES))
            day.database.dispose()


def _morning(day: Day, portfolio: Portfolio) -> None:
    """Import and put in order."""
    told = day.dialer("leads", "import", "cartera.csv", "--campaign", CAMPAIGN)
    assert (told["accepted"], told["rejected"]) == (ACCOUNTS, 0)
    day.agree_to_whatsapp(portfolio.numbers)
    day.dialer("score", "train", CAMPAIGN)
    day.dialer("score", "run", CAMPAIGN)
    priorities = {lead["priority"] for lead in day.rows("lead")}
    assert len(priorities) > 100, "nothing was put in order"


def _at_work(day: Day, portfolio: Portfolio) -> None:
    """Run the dialer until everybody has been written to, their answers are handled, and those to be called were."""
    day.made.start_simulator()
    day.made.start_dialer()
    wait_until(day.made.settings.token_file.exists, 30, "the dialer to be up")
    with contextlib.closing(ApiClient(day.made.settings)) as client:

        def handled() -> Any:
            asked = len(portfolio.who(ASKS_FOR_AN_AGENT))
            seen = {
                "delivered": day.count("message", state="delivered") >= len(ON_WHATSAPP) + len(TEXTED),
                "promises": day.count("promise") == len(portfolio.who(PROMISES)),
                "noes": day.count("restriction", kind="refused_channel", scope="person")
                == len(portfolio.who(OPTS_OUT)),
                "chats": day.count("chat", state="waiting") == asked + len(portfolio.who(HAS_PAID)),
            }
            return all(seen.values()) or None

        wait_until(handled, 240, "every answer to be handled")
        agents = [f"/agents/{one['id']}" for one in client.get("/agents")]
        for agent in agents:
            client.post(f"{agent}/login")
        for agent in agents:
            wait_until(lambda agent=agent: client.get(agent)["reason"] == "login", 15, "a softphone")  # type: ignore[misc]
            client.post(f"{agent}/ready")
        wait_until(lambda: _dialed(day) >= portfolio.called, 150, "everybody to be called who is to be")
    assert day.made.drain() == 0
    day.made.stop_simulator()


def _dialed(day: Day) -> set[str]:
    """Return the numbers whose calls have ended."""
    phones = {phone["id"]: phone["e164"] for phone in day.rows("phone")}
    return {phones[one["phone_id"]] for one in day.rows("attempt") if one["outcome"]}


def _judge(day: Day, portfolio: Portfolio, people: Debtors) -> None:
    written_to = {portfolio.numbers[place] for place in (*TEXTED, *ON_WHATSAPP)}
    assert people.touched == Counter(dict.fromkeys(written_to, 1)), "somebody was missed, or reminded twice"

    phones = {phone["e164"]: phone for phone in day.rows("phone")}
    owner = {phone["person_id"]: number for number, phone in phones.items()}
    accounts = {one["id"]: owner[one["person_id"]] for one in day.rows("account")}
    promised = Counter(accounts[one["account_id"]] for one in day.rows("promise"))
    assert promised == Counter(dict.fromkeys(portfolio.who(PROMISES), 1))

    assert _dialed(day) == portfolio.called, "called without need, or not called"
    no = {
        owner[one["scope_value"]]
        for one in day.rows("restriction")
        if (one["kind"], one["scope"]) == ("refused_channel", "person")
    }
    assert no == portfolio.who(OPTS_OUT)

    touches = [one for one in day.rows("contact") if one["purpose"] != "answer"]
    ledger = Counter((owner[one["person_id"]], one["channel"]) for one in touches)
    for place, number in enumerate(portfolio.numbers):
        channel = "sms" if place in TEXTED else "whatsapp"
        assert ledger[number, channel] == (number in written_to), number
        assert bool(ledger[number, "voice"]) == (number in portfolio.called), number
    day.dialer("verify", "--log", str(day.made.dialer_log), "--carrier-log", str(day.made.sim_log))
