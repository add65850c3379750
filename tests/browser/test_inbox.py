"""The inbox on the agent's desk in a real browser: real texts by a signed webhook, answered by keyboard, handed over from a flow and back to it."""

from __future__ import annotations

import urllib.parse
from typing import Any

import pytest

from dialer_core.demo.world import World
from dialer_core.store import people
from dialer_core.store.database import open_database
from tests.browser.conftest import SCREENS, VISITS, Open, Provider, accessible, rows_of
from tests.polling import wait_until
from tests.skips import requires_program

pytestmark = [
    pytest.mark.browser,
    pytest.mark.own_ports,
    pytest.mark.timeout(180),
    requires_program("chromium"),
]

WRITES, ASKS = "+525500000503", "+525500000505"


def texts(provider: Provider) -> list[str]:
    """Return what people were sent."""
    return [dict(urllib.parse.parse_qsl(one.decode()))["Body"] for one in provider.sent]


def says(page: Any, text: str) -> None:
    """Wait until the open chat says it."""
    page.wait_for_function("text => document.getElementById('written')?.textContent.includes(text)", arg=text)


def test_an_agent_answers_by_keyboard_and_loses_no_word(
    made: World, log_in: Open, texts_provider: Provider
) -> None:
    """A text comes by itself, is taken, answered, its person made sure of; what is typed outlives a reload, what is sent a blink of the network."""
    page = log_in("elena")
    keys = page.keyboard
    page.wait_for_selector("#now[data-state]:not([data-state=''])")
    texts_provider.hear(WRITES, "Hola, ¿quién es? <img src=x onerror=alert(1)>")
    page.wait_for_selector("#inbox-count:not([hidden])")
    keys.press("Alt+i")
    page.wait_for_selector("#chats-waiting .chat-item")
    assert "quién es" not in page.inner_text("#inbox")  # who waits is shown to nobody
    keys.press("Enter")
    says(page, "quién es")
    assert page.locator("#written img").count() == 0
    assert "$" not in page.inner_text("#chat")
    page.wait_for_function("() => document.activeElement.id === 'chat-text'")
    keys.type("Buen día, ¿hablo con usted?")
    keys.press("Enter")
    wait_until(lambda: "Buen día, ¿hablo con usted?" in texts(texts_provider), 15, "the answer to be sent")
    texts_provider.hear(WRITES, "Sí, soy yo.")
    says(page, "Sí, soy yo.")
    keys.press("Alt+v")
    page.wait_for_function("() => document.getElementById('chat').textContent.includes('$2,500')")
    keys.type("Le propongo")
    page.wait_for_function("() => localStorage.getItem('marcador:desk:elena')")
    page.reload()
    page.wait_for_selector("#inbox-count:not([hidden])")
    keys.press("Alt+i")
    page.wait_for_selector("#chats-own .chat-item")
    keys.press("Enter")
    page.wait_for_function("() => document.getElementById('chat-text')?.value === 'Le propongo'")
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=SCREENS / f"desk-inbox{'-dark' if scheme == 'dark' else ''}.png")
        assert accessible(page) == [], scheme
    page.context.set_offline(True)
    keys.press("End")
    keys.type(" dos pagos")
    keys.press("Enter")
    page.wait_for_selector("#waiting:not([hidden])")
    assert "Le propongo dos pagos" in page.inner_text("#written")
    page.context.set_offline(False)
    wait_until(lambda: "Le propongo dos pagos" in texts(texts_provider), 15, "what waited to be sent")
    assert texts(texts_provider).count("Le propongo dos pagos") == 1
    keys.press("Alt+l")
    page.wait_for_function("() => !document.querySelector('#chats-own .chat-item')")
    assert {row["state"] for row in rows_of(made, "chat") if row["address"] == WRITES} == {"closed"}


def test_a_chat_goes_from_the_flow_to_an_agent_and_back(
    made: World, log_in: Open, texts_provider: Provider
) -> None:
    """Who asks a flow for somebody waits for one; given back, the flow answers again; who only writes is paused as such, and a call comes first."""
    supervisor = log_in("maria")
    database = open_database(made.settings.store_url)
    try:
        with database.read() as tx:
            [account] = people.accounts_by_external_id(tx, "default", ["VIS-005"]).values()
    finally:
        database.dispose()
    asked = {"campaign": str(VISITS), "account": account["id"], "template": "opciones"}
    told = supervisor.evaluate("body => window.Marcador.send('POST', '/api/v1/messages', body)", asked)
    assert told["ok"], told
    wait_until(lambda: any("2 asesor" in one for one in texts(texts_provider)), 15, "the text to be sent")
    page = log_in("elena")
    page.wait_for_selector("#now[data-state]:not([data-state=''])")
    texts_provider.hear(ASKS, "2")
    page.wait_for_selector("#inbox-count:not([hidden])")
    page.keyboard.press("Alt+i")
    page.wait_for_selector(f"#chats-waiting .chat-item:has-text('{VISITS}')")
    page.click(f"#chats-waiting .chat-item:has-text('{VISITS}')")
    says(page, "2 asesor")
    page.keyboard.press("Alt+b")
    page.wait_for_function("() => !document.querySelector('#chats-own .chat-item')")
    before = len(texts_provider.sent)
    texts_provider.hear(ASKS, "1")
    wait_until(lambda: len(texts_provider.sent) > before, 15, "the flow to answer")
    [chat] = [row for row in rows_of(made, "chat") if row["address"] == ASKS]
    assert (chat["state"], chat["agent_id"]) == ("bot", None)
    if page.locator("#login").is_visible():
        page.click("#login")
        page.wait_for_selector("#phone.ok")
    page.click("#inbox-only")
    page.wait_for_function(
        "() => window.Desk.now.me.state === 'paused' && window.Desk.now.me.reason === 'chats'"
    )
    assert "no le llegan llamadas" in page.inner_text("#inbox-pacing")
    supervisor.wait_for_selector("#agents :text('escribe mensajes')")
    page.click("#inbox-only")  # back into the queue: whom they are to call is shown, and the inbox gives way
    page.wait_for_selector("#person-name", timeout=30_000)
    assert page.locator("#inbox").is_hidden()
    page.keyboard.press("Alt+s")
