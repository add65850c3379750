"""The agent's desk in a real browser, over a demonstration that runs: whole calls by keyboard, preview, and a network that blinks.

Screenshots of each state stay in `build/screens/`. axe looks at every state; what an agent needs is on a small laptop's screen without scrolling.
"""

from __future__ import annotations

from typing import Any

import pytest

from dialer_core.demo.world import World
from tests.browser.conftest import SCREENS, SMALL_LAPTOP, Open, Provider, accessible, enter, rows_of, url_of
from tests.polling import wait_until
from tests.skips import requires_program

pytestmark = [
    pytest.mark.browser,
    pytest.mark.own_ports,
    pytest.mark.timeout(180),
    requires_program("chromium"),
]

IN_WRAP_UP = "#now[data-state=wrap_up]"


def look(page: Any, name: str, *needed: str) -> None:
    """Keep a picture of a state, in light and dark; nothing may fail in axe, and what is needed must be on the screen as it is."""
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=SCREENS / f"desk-{name}{'-dark' if scheme == 'dark' else ''}.png")
        assert accessible(page) == [], (name, scheme)
    hidden = [
        one
        for one in needed
        if (box := page.locator(one).bounding_box()) is None
        or box["y"] < 0
        or box["y"] + box["height"] > SMALL_LAPTOP["height"]
        or box["x"] + box["width"] > SMALL_LAPTOP["width"]
    ]
    assert hidden == [], name


def begin(page: Any) -> None:
    """Connect the phone and be ready, by keyboard."""
    page.wait_for_selector("#now[data-state]:not([data-state=''])")
    if page.locator("#login").is_visible():
        page.focus("#login")
        page.keyboard.press("Enter")
    page.wait_for_selector("#phone.ok")
    page.keyboard.press("Alt+r")


def saved(page: Any, text: str) -> None:
    """Wait until the history says it."""
    page.wait_for_function(
        "text => document.querySelector('.timeline')?.textContent.includes(text)", arg=text
    )


def test_an_agent_takes_a_call_and_a_promise_by_keyboard(made: World, log_in: Open) -> None:
    """Ready, the person on the screen, the debt only after the identity, a promise, a note, hang up, the outcome: no key but the keyboard's."""
    page = log_in("ana")
    keys = page.keyboard
    page.wait_for_selector("#now[data-state]:not([data-state=''])")
    look(page, "away", "#login")
    begin(page)
    page.wait_for_selector("#verify", timeout=90_000)
    shown = page.inner_text("#person")
    assert "Persona de prueba" in shown
    assert "habla Ana" in shown  # the script's greeting
    assert "$" not in shown
    keys.press("Alt+v")
    page.wait_for_selector("#next strong")
    assert "$" in page.inner_text("#person")
    page.wait_for_function("() => document.activeElement.id === 'amount'")
    keys.type("1500.50")
    keys.press("Enter")
    saved(page, "Prometió")
    keys.press("Alt+n")
    keys.type("<img src=x onerror=alert(1)> paga el viernes")
    if page.locator("#now[data-state=talking]").count():
        keys.press("Alt+k")
    page.wait_for_selector(IN_WRAP_UP)
    keys.press("Alt+t")
    wait_until(lambda: len(rows_of(made, "account_note")) == 1, 15, "the note")
    wait_until(
        lambda: any(row["disposition"] == "promise" for row in rows_of(made, "attempt")), 15, "the outcome"
    )
    (promise,), (note,) = rows_of(made, "promise"), rows_of(made, "account_note")
    assert promise["total_minor"] == 150_050
    assert promise["agent_id"] == "ana"
    assert note["note"].startswith("<img")
    assert page.locator("#person img").count() == 0


def test_a_person_is_shown_before_they_are_dialed(
    made: World, log_in: Open, texts_provider: Provider
) -> None:
    """Skipped with a reason, then dialed by a key; in the talk a script, a text, a letter, the policy, a pause for afterwards; more wrap-up."""
    page = log_in("elena")
    _skip_one_and_dial(page)
    _talk(page, texts_provider)
    _wrap_up(page)
    (skipped,) = [row for row in rows_of(made, "event") if row["name"] == "lead.skipped"]
    assert skipped["data"]["reason"] == "not_now"
    promise = next(row for row in rows_of(made, "promise") if row["agent_id"] == "elena")
    assert promise["total_minor"] == 90_000
    assert page.text_content("#goal") == "25 %"


def _skip_one_and_dial(page: Any) -> None:
    keys = page.keyboard
    begin(page)
    page.wait_for_selector("#gate:not(:empty)", timeout=30_000)
    page.wait_for_selector("#next strong")
    look(page, "preview", "#dial", "#skip", "#preview-left", "#next")
    first = page.inner_text("#person-name")
    keys.press("Alt+s")
    page.wait_for_function(
        "name => ![name, undefined].includes(document.getElementById('person-name')?.textContent)", arg=first
    )
    page.wait_for_selector("#dial")
    assert "$" in page.inner_text("#person")
    keys.press("Alt+d")


def _talk(page: Any, texts_provider: Provider) -> None:
    keys = page.keyboard
    page.wait_for_selector("#verify", timeout=60_000)
    assert "$" not in page.inner_text("#person")
    look(page, "identity", "#verify", "#is-third", "#hang-up", "#finish")
    keys.press("Alt+o")
    assert "asunto personal" in page.inner_text("#third")
    assert page.input_value("#disposition") == "third_party"
    keys.press("Alt+v")
    page.wait_for_selector("#next strong")
    assert page.input_value("#disposition") == ""
    page.wait_for_selector("#phrase")
    assert "Financiera Ejemplo" in page.inner_text("#phrase")
    keys.press("Alt+e")
    page.wait_for_selector("#send-message:not([disabled])")
    assert "Responda BAJA" in page.inner_text("#message-text")
    page.focus("#send-message")
    keys.press("Enter")
    saved(page, "Mensaje")
    wait_until(lambda: len(texts_provider.sent) == 1, 15, "the text to be sent")
    with page.context.expect_page() as opened:
        page.get_by_role("button", name="Carta convenio").click()
    assert "Carta convenio" in opened.value.inner_text("body")
    opened.value.close()
    keys.press("Alt+p")
    keys.type("900")
    page.fill("#many", "5")
    keys.press("Enter")
    assert "3 pagos como máximo" in page.inner_text("#promise-said")
    page.fill("#many", "2")
    keys.press("Enter")
    saved(page, "Prometió")
    page.focus("#pause")
    keys.press("Enter")
    page.wait_for_selector("#after:not([hidden])")
    look(page, "talking", "#next", "#phrase", "#hang-up", "#finish", "#after")


def _wrap_up(page: Any) -> None:
    keys = page.keyboard
    if page.locator("#now[data-state=talking]").count():
        keys.press("Alt+k")
    page.wait_for_selector(IN_WRAP_UP)
    look(page, "wrap-up", "#wrap", "#more-time", "#finish", "#ready")
    before = page.evaluate("() => window.Desk.now.me.wrap_up_s")
    page.click("#more-time")
    page.wait_for_function("before => window.Desk.now.me.wrap_up_s > before", arg=before)
    keys.press("Alt+q")
    keys.press("Alt+t")
    page.wait_for_selector("#now[data-state=paused]")


def test_what_was_typed_outlives_a_blink_of_the_network(made: World, log_in: Open) -> None:
    """Without a network a note waits in the browser, locked with its user's key, also past a log-out; with it, it arrives by itself."""
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
    page.wait_for_function("() => Object.keys(localStorage).some(key => key === 'marcador:desk:ana')")
    page.reload()
    page.wait_for_function("() => document.getElementById('note').value === 'a medias'")
    page.context.set_offline(True)
    page.fill("#note", "escrita sin red")
    page.get_by_role("button", name="Guardar nota").click()
    page.wait_for_selector("#waiting:not([hidden])")
    page.click("#waiting")
    assert "escrita sin red" in page.inner_text("#kept-list")
    look(page, "waiting", "#kept")
    page.keyboard.press("Escape")
    page.evaluate("() => window.Desk.keepDraft(null)")
    lies = page.evaluate("() => JSON.stringify(Object.values(localStorage))")
    assert "sin red" not in lies  # whoever looks into the browser reads nothing
    # the session ends meanwhile; somebody else logs in at this browser, then she again
    page.context.clear_cookies()
    page.context.set_offline(False)
    page.wait_for_url("**/login**")
    enter(made, page, "elena")
    page.wait_for_selector("#now[data-state]:not([data-state=''])")
    assert page.locator("#waiting").is_hidden()
    assert "escrita sin red" not in [row["note"] for row in rows_of(made, "account_note")]
    page.context.clear_cookies()
    page.goto(f"{url_of(made)}/login")
    enter(made, page, "ana")
    wait_until(
        lambda: "escrita sin red" in [row["note"] for row in rows_of(made, "account_note")], 20, "the note"
    )
