"""Both screens in a real browser, over a demonstration that runs: what people see, press and hear of it.

Screenshots stay in `build/screens/`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dialer_core.demo.world import World, world
from dialer_core.store.database import open_database
from dialer_core.store.models import Base
from tests.polling import wait_until
from tests.skips import ROOT, requires_program

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180), requires_program("chromium")]

SCREENS = ROOT / "build" / "screens"
SMALL_LAPTOP = {"width": 1366, "height": 768}
ALLOWED_BYTES = 200_000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A demonstration with screens, dialing."""
    with world(tmp_path_factory.mktemp("demo"), web=True) as running:
        running.prepare()
        running.start_simulator()
        running.start_dialer()
        import httpx2

        def up() -> bool:
            try:
                return httpx2.get(f"{_url(running)}/login", trust_env=False).status_code == 200
            except httpx2.TransportError:
                return False

        wait_until(up, 60, "the screens to be served")
        yield running


@pytest.fixture(scope="module")
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
        context = chromium.new_context(viewport=SMALL_LAPTOP, locale="es-MX", **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "console",
            lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None,
        )
        page.goto(f"{_url(made)}/login")
        page.focus("#user")
        page.keyboard.type(user)
        page.keyboard.press("Tab")
        page.keyboard.type(made.password)
        page.keyboard.press("Enter")
        page.wait_for_url("**/status" if user == "maria" else "**/desk")
        return page

    yield go
    for context in contexts:
        context.close()
    assert wrong == []


def _url(made: World) -> str:
    return f"http://127.0.0.1:{made.ports.http}"


def _number(page: Any, key: str) -> int:
    text = page.inner_text(f'.campaign [data-key="{key}"] dd >> nth=0')
    return int(text.replace(",", ""))


def _invites(made: World) -> int:
    lines = made.sim_log.read_text(encoding="utf-8").splitlines()
    told = [json.loads(line) for line in lines if "invite.received" in line]
    return sum(one["side"] == "carrier" for one in told)


def _accessible(page: Any) -> list[str]:
    """Return what axe finds against WCAG 2.2 AA."""
    from axe_playwright_python.sync_playwright import Axe

    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": tags}})
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found.response["violations"]]


def test_a_supervisor_sees_numbers_move_and_stops_the_dialing(made: World, log_in: Open) -> None:
    """The totals rise by themselves; a pause from the page stops the carrier's calls, a resume brings them back."""
    page = log_in("maria")
    page.wait_for_selector(".campaign .figure")
    before = _number(page, "attempts")
    page.wait_for_function(
        "n => Number(document.querySelector('.campaign [data-key=attempts] dd').textContent.replace(',', '')) > n",
        arg=before,
    )
    page.screenshot(path=SCREENS / "status.png")
    page.get_by_role("button", name="Pausar").click()
    page.wait_for_selector('.campaign .badge:has-text("En pausa")')
    stopped = _invites(made)
    time.sleep(3)  # long enough for several calls at the demonstration's pace
    assert _invites(made) <= stopped + 1  # one may have been on its way
    page.get_by_role("button", name="Reanudar").click()
    wait_until(lambda: _invites(made) > stopped + 1, 30, "the carrier to be called again")
    assert _accessible(page) == []


def test_an_agent_takes_a_call_and_a_promise_by_keyboard(made: World, log_in: Open) -> None:
    """Ready, the person on the screen, the debt only after the identity, a promise, a note, the outcome: no key but the keyboard's."""
    page = log_in("ana")
    keys = page.keyboard
    page.wait_for_selector("#now[data-state]:not([data-state=''])")
    assert _accessible(page) == []
    if page.locator("#login").is_visible():
        page.focus("#login")
        keys.press("Enter")
    page.wait_for_selector("#phone.ok")
    keys.press("Alt+r")
    page.wait_for_selector("#verify", timeout=90_000)
    shown = page.inner_text("#person")
    assert "Persona de prueba" in shown
    assert "$" not in shown
    page.screenshot(path=SCREENS / "desk-identity.png")
    keys.press("Alt+v")
    page.wait_for_selector("#next")
    assert "$" in page.inner_text("#person")
    page.wait_for_function("() => document.activeElement.id === 'amount'")
    keys.type("1500.50")
    keys.press("Enter")
    page.wait_for_function("() => document.querySelector('.timeline')?.textContent.includes('Prometió')")
    keys.press("Alt+n")
    keys.type("<img src=x onerror=alert(1)> paga el viernes")
    page.screenshot(path=SCREENS / "desk.png")
    assert _accessible(page) == []
    keys.press("Alt+t")
    page.wait_for_function(
        "() => JSON.stringify([...document.querySelectorAll('.toast')].map(t => t.textContent)).includes('Guardado')"
    )
    database = open_database(made.settings.store_url)
    try:
        wait_until(lambda: len(_rows(database, "account_note")) == 1, 15, "the note")
        (promise,), (note,) = _rows(database, "promise"), _rows(database, "account_note")
        wait_until(
            lambda: any(row["disposition"] == "promise" for row in _rows(database, "attempt")),
            15,
            "the outcome",
        )
    finally:
        database.dispose()
    assert promise["total_minor"] == 150_050
    assert promise["agent_id"] == "ana"
    assert note["note"].startswith("<img")
    assert page.locator("#person img").count() == 0


def test_what_was_typed_outlives_a_blink_of_the_network(made: World, log_in: Open) -> None:
    """Without a network a note is kept in the browser and said to be; with it, it arrives by itself. A reload keeps half-written words."""
    page = log_in("ana")
    page.wait_for_selector("#now[data-state]:not([data-state=''])")
    if page.locator("#login").is_visible():
        page.click("#login")
        page.wait_for_selector("#phone.ok")
    if page.locator("#now[data-state=paused]").count():
        page.keyboard.press("Alt+r")
    page.wait_for_selector("#fields:not([disabled])", timeout=90_000)
    page.wait_for_selector("#person-name")
    page.fill("#note", "a medias")
    page.reload()
    page.wait_for_function("() => document.getElementById('note').value === 'a medias'")
    page.context.set_offline(True)
    page.fill("#note", "escrita sin red")
    page.get_by_role("button", name="Guardar nota").click()
    page.wait_for_selector(".toast.bad")
    page.context.set_offline(False)
    database = open_database(made.settings.store_url)
    try:
        wait_until(
            lambda: "escrita sin red" in [row["note"] for row in _rows(database, "account_note")],
            20,
            "the note",
        )
    finally:
        database.dispose()


def test_pages_are_light_in_the_dark_and_in_english(made: World, log_in: Open) -> None:
    """All that a page loads is under 200 kB, uncompressed; dark mode and English hold for every page, also the wallboard."""
    page = log_in("maria", color_scheme="dark")
    page.wait_for_selector(".campaign .figure")
    loaded = page.evaluate(
        "() => [...performance.getEntriesByType('resource'), ...performance.getEntriesByType('navigation')]"
        ".reduce((sum, one) => sum + one.decodedBodySize, 0)"
    )
    assert 50_000 < loaded < ALLOWED_BYTES
    page.screenshot(path=SCREENS / "status-dark.png")
    assert _accessible(page) == []
    page.get_by_role("button", name="English").click()
    page.wait_for_selector('h2:has-text("Agents")')
    page.goto(f"{_url(made)}/status/wall")
    page.wait_for_selector(".wall-campaigns .card")
    page.screenshot(path=SCREENS / "wall-dark.png")
    assert _accessible(page) == []


def _rows(database: Any, table: str) -> list[dict[str, Any]]:
    with database.read() as tx:
        return [dict(row) for row in tx.execute(Base.metadata.tables[table].select()).mappings()]


@pytest.fixture(scope="module", autouse=True)
def _screens() -> None:
    SCREENS.mkdir(parents=True, exist_ok=True)
