"""One demonstration with both screens for every test in a browser: dialing, with a campaign in mode preview and a provider of texts beside it."""

from __future__ import annotations

import datetime as dt
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dialer_core.campaigns.leads_import import import_leads
from dialer_core.clock import SystemClock
from dialer_core.demo.world import BROADCAST, CAMPAIGN, World, free_block, world
from dialer_core.portfolio import proof
from dialer_core.reports import targets
from dialer_core.store import access, attempts, leads, people
from dialer_core.store import campaigns as campaign_rows
from dialer_core.store.access import UserView
from dialer_core.store.database import open_database
from dialer_core.store.models import Base
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountId, CampaignId, LeadId, Outcome
from dialer_core.web import passwords
from plugins.sms.twilio import signature
from tests.polling import wait_until
from tests.skips import ROOT
from tests.store.rows import Debtor, new_attempt

SCREENS = ROOT / "build" / "screens"
SMALL_LAPTOP = {"width": 1366, "height": 768}
HOOK = "https://dialer.example/hooks/sms"
VISITS = CampaignId("visitas")
TALKERS = tuple(f"5255000005{number:02d}=talk:90s" for number in range(12))
"""Of the people of visits: they stay on the line until somebody hangs up."""
OPTIONS = """channel = "sms"
flow = "respuestas"
[text]
es = "{{ first_name }}: 1 fecha, 2 asesor, 3 resuelto. Responda BAJA para salir."
"""
_LEAD = "VIS-{0:03d},Persona de visita {0:03d},55 0000 05{0:02d},{1}.00,{2},MXN,Calle {0} núm. 12,19.4{0:02d},-99.13"
_FIELD_VISITS = f"""
campaign = "{VISITS}"
zone = "UTC"
[visitors.vera]
name = "Vera Solís"
start = [19.4, -99.13]
[[questions]]
id = "knows"
kind = "yes_no"
label = {{ es = "¿Reconoce el adeudo?", en = "Do they know of the debt?" }}
required = true
when = ["spoke"]
[[questions]]
id = "house"
kind = "choice"
label = {{ es = "¿Cómo es la vivienda?", en = "What is the home like?" }}
choices = [{{ id = "own", es = "Propia", en = "Owned" }}, {{ id = "rented", es = "Rentada", en = "Rented" }}]
"""


@dataclass(slots=True)
class Provider:
    """A provider of texts on loopback: takes whatever it is sent."""

    sent: list[bytes] = field(default_factory=list)
    port: int = 0
    hooks: int = 0
    """The dialer's port for what is told of people's answers."""
    told: int = 0

    def hear(self, sender: str, text: str) -> None:
        """Tell the dialer, signed, what somebody wrote."""
        import httpx2

        self.told += 1
        fields = {"MessageSid": f"IN{self.told}", "SmsStatus": "received", "From": sender, "Body": text}
        headers = {"x-twilio-signature": signature("secret", HOOK, list(fields.items()))}
        answer = httpx2.post(
            f"http://127.0.0.1:{self.hooks}/hooks/sms", data=fields, headers=headers, trust_env=False
        )
        assert answer.status_code == 200, answer.text


@pytest.fixture(scope="package")
def texts_provider() -> Iterator[Provider]:
    """Run it."""
    provider = Provider()

    class Takes(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            provider.sent.append(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps({"sid": f"SM{len(provider.sent)}", "status": "queued"}).encode()
            self.send_response(201)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Takes) as server:
        provider.port = server.server_address[1]
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield provider
        server.shutdown()
        serving.join()


@pytest.fixture(scope="package")
def made(tmp_path_factory: pytest.TempPathFactory, texts_provider: Provider) -> Iterator[World]:
    """A demonstration with screens, dialing. Elena works by preview; everybody else the demonstration's own list."""
    SCREENS.mkdir(parents=True, exist_ok=True)
    with world(tmp_path_factory.mktemp("demo"), web=True) as running:
        running.prepare()
        furnish(running, texts_provider)
        running.start_simulator(*TALKERS)
        running.start_dialer()
        import httpx2

        def up() -> bool:
            try:
                return httpx2.get(f"{url_of(running)}/login", trust_env=False).status_code == 200
            except httpx2.TransportError:
                return False

        wait_until(up, 60, "the screens to be served")
        yield running


def furnish(running: World, provider: Provider) -> None:
    """Add what the demonstration has not: a campaign in mode preview with its agent, templates, a channel, a document, a target."""
    config = running.config
    agents = config / "agents.toml"
    text = agents.read_text(encoding="utf-8")
    for name in ("ana", "bruno", "carla", "diego"):
        text = text.replace(f"[agents.{name}]\n", f'[agents.{name}]\ncampaigns = ["{CAMPAIGN}"]\n')
    head, _, elena = text.partition("[agents.elena]\n")
    elena = elena.replace("auto_ready = true", "", 1)
    agents.write_text(f'{head}[agents.elena]\ncampaigns = ["{VISITS}"]\n{elena}', encoding="utf-8")
    demo = config / "campaigns" / f"{CAMPAIGN}.toml"
    visits = demo.read_text(encoding="utf-8").replace('pacing = "predictive"', 'pacing = "preview"')
    visits = visits.replace('detection = "fast"', 'detection = "off"').replace(
        "wrap_up_s = 0.3", "wrap_up_s = 60"
    )
    policy = "\n[promises]\nmost_instalments = 3\nfirst_within_days = 20\nleast_minor = 20000\nmost_discount = 0.3\n"
    (config / "campaigns" / f"{VISITS}.toml").write_text(visits + policy, encoding="utf-8")
    broadcast = config / "campaigns" / f"{BROADCAST}.toml"  # its calls would be counted with the list's
    broadcast.write_text("start = false\n" + broadcast.read_text(encoding="utf-8"), encoding="utf-8")
    (config / "templates").mkdir(exist_ok=True)
    for name in ("llamanos", "recordatorio_promesa"):
        packaged = ROOT / "dialer_core" / "config_defaults" / "templates" / f"{name}.toml"
        (config / "templates" / f"{name}.toml").write_bytes(packaged.read_bytes())
    (config / "templates" / "opciones.toml").write_text(OPTIONS, encoding="utf-8")
    answers = "flows/respuestas.toml"
    (config / answers).write_bytes((ROOT / "dialer_core" / "config_defaults" / answers).read_bytes())
    for name in (CAMPAIGN, VISITS):
        file = config / "campaigns" / f"{name}.toml"
        file.write_text('caller_id = "+525500000000"\n' + file.read_text(encoding="utf-8"), encoding="utf-8")
    (config / "plugins").mkdir(exist_ok=True)
    (config / "plugins" / "token").write_text("secret", encoding="utf-8")
    (config / "plugins" / "token").chmod(0o600)
    (config / "plugins" / "sms.toml").write_text(
        f'provider = "twilio"\nbase_url = "http://127.0.0.1:{provider.port}"\naccount_sid = "AC1"\n'
        f'auth_token_file = "plugins/token"\nsender = "+525500000000"\npublic_url = "{HOOK}"\n',
        encoding="utf-8",
    )
    dialer = config / "dialer.toml"
    text = dialer.read_text(encoding="utf-8").replace('"agent_desk"]', '"agent_desk", "sms", "field_visits"]')
    provider.hooks = free_block(1, set())
    dialer.write_text(f"{text}\n[webhooks]\nenabled = true\nport = {provider.hooks}\n", encoding="utf-8")
    (config / "plugins" / "field_visits.toml").write_text(_FIELD_VISITS, encoding="utf-8")
    _stock(running)


def _stock(running: World) -> None:
    settings = running.settings
    database = open_database(settings.store_url, node=settings.dialer.node.name)
    leads = running.folder / "visits.csv"
    rows = [_LEAD.format(number, 1000 + 500 * number, 10 * number) for number in range(12)]
    leads.write_text(
        "\n".join(["cuenta,nombre,telefono,saldo,dias_mora,moneda,domicilio,latitud,longitud", *rows]) + "\n",
        encoding="utf-8",
    )
    letter = running.folder / "carta.txt"
    letter.write_text("Carta convenio\n", encoding="utf-8")
    try:
        with database.write() as tx:
            campaign_rows.sync(tx, {VISITS: settings.campaigns[VISITS].model_dump(mode="json")})
        report = import_leads(
            database, leads, VISITS, clock=SystemClock(), strict=True, reject_dir=running.folder / "rejects"
        )
        assert report.accepted == 12
        with database.write() as tx:
            elena = UserView(id="elena", role="agent", agent="elena")
            vera = UserView(id="vera", role="visitor")
            for user in (elena, vera):
                assert access.add_user(tx, user, passwords.hashed(running.password), tx.utc(), actor="test")
            location, digest = proof.keep(settings.state_dir, letter)
            for number in range(12):
                [row] = people.accounts_by_external_id(tx, "default", [f"VIS-{number:03d}"]).values()
                proof.add(
                    tx, account_id=AccountId(row["id"]), kind="agreement", title="Carta convenio", location=location,
                    sha256=digest, actor="test", now=tx.utc(),
                )  # fmt: skip
            _last_week(tx)
            targets.put(tx, VISITS, dt.datetime.now(dt.UTC).date(), "promises", 4, actor="test")
    finally:
        database.dispose()


def _last_week(tx: Tx) -> None:
    """Let a week ago at this time of the day many people have answered: today lags behind."""
    [account] = people.accounts_by_external_id(tx, "default", ["VIS-011"]).values()
    [lead] = leads.of_account(tx, AccountId(account["id"]))
    [phone] = people.phones_of(tx, [account["person_id"]])[account["person_id"]]
    debtor = Debtor(phone.e164, account["person_id"], phone.id, AccountId(account["id"]), LeadId(lead.id))
    week_ago = tx.utc() - dt.timedelta(days=7)
    for minutes in (1, 61):
        at = week_ago - dt.timedelta(minutes=minutes)
        for _ in range(250):
            new = new_attempt(debtor, committed_at_utc=at, campaign_id=VISITS)
            attempts.insert(tx, new)
            attempts.end(
                tx, new.id, outcome=Outcome.CONNECTED, at_utc=at, at_mono_ns=3, sip_code=200, sent_mono_ns=1,
                answered_mono_ns=2, live_answer=True,
            )  # fmt: skip


@pytest.fixture(scope="package")
def chromium() -> Iterator[Any]:
    """Debian's browser, without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser
        browser.close()


Open = Callable[..., Any]


@pytest.fixture
def log_in(made: World, chromium: Any) -> Iterator[Open]:
    """Log a user in, in a browser of its own; at the end nothing may have been refused or gone wrong in any page."""
    wrong: list[str] = []
    contexts = []

    def go(user: str, **options: Any) -> Any:
        context = chromium.new_context(**({"viewport": SMALL_LAPTOP, "locale": "es-MX"} | options))
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "console",
            lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None,
        )
        enter(made, page, user)
        return page

    yield go
    for context in contexts:
        context.close()
    assert wrong == []


def enter(made: World, page: Any, user: str) -> None:
    """Log in by keyboard."""
    page.goto(f"{url_of(made)}/login")
    page.focus("#user")
    page.keyboard.type(user)
    page.keyboard.press("Tab")
    page.keyboard.type(made.password)
    page.keyboard.press("Enter")
    page.wait_for_url({"maria": "**/status", "vera": "**/visits"}.get(user, "**/desk"))


def url_of(made: World) -> str:
    """Return where the screens are."""
    return f"http://127.0.0.1:{made.ports.http}"


def accessible(page: Any) -> list[str]:
    """Return what axe finds against WCAG 2.2 AA."""
    from axe_playwright_python.sync_playwright import Axe

    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": tags}})
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found.response["violations"]]


def rows_of(made: World, table: str) -> list[dict[str, Any]]:
    """Return every row of a table."""
    database = open_database(made.settings.store_url)
    try:
        with database.read() as tx:
            return [dict(row) for row in tx.execute(Base.metadata.tables[table].select()).mappings()]
    finally:
        database.dispose()


__all__ = ["SCREENS", "Open", "Path", "Provider", "accessible", "enter", "rows_of", "url_of"]
