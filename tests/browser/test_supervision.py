"""A supervisor and an agent in two real browsers over one real conversation: heard, noted, held, consulted, handed on; edits that meet."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from dialer_core.demo.world import World
from tests.browser.conftest import SCREENS, Open, accessible, rows_of
from tests.browser.test_desk import IN_WRAP_UP, begin, saved
from tests.polling import wait_until
from tests.skips import requires_program

pytestmark = [
    pytest.mark.browser,
    pytest.mark.own_ports,
    pytest.mark.timeout(180),
    requires_program("chromium"),
]


def test_a_talk_is_supervised_handed_on_and_written_about(made: World, log_in: Open) -> None:
    """Every button of the talk and of its supervisor does on the telephone what it says; two who edit one account learn of each other."""
    page, supervisor = log_in("elena"), log_in("maria")
    begin(page)
    page.wait_for_selector("#dial", timeout=30_000)
    page.wait_for_selector("#next strong")
    page.keyboard.press("Alt+d")
    page.wait_for_selector("#verify", timeout=60_000)
    page.keyboard.press("Alt+v")
    page.wait_for_selector("#phrase")
    _supervise(page, supervisor)
    _third(page)
    _two_edits(page, supervisor)
    _restrict(page, made)
    page.fill("#to", "legal")
    page.click("#transfer")  # blind, away from the conversation
    page.wait_for_selector(IN_WRAP_UP, timeout=20_000)
    page.keyboard.press("Alt+c")
    page.click("#pane-callback button")
    assert page.input_value("#disposition") == "callback"
    page.keyboard.press("Enter")  # on "finish", where it has gone
    wait_until(lambda: any(row["disposition"] == "callback" for row in rows_of(made, "attempt")), 15, "it")
    assert "elena" in [row["agent_id"] for row in rows_of(made, "callback")]
    events = [row["data"] for row in rows_of(made, "event") if row["name"] == "agent.supervision_changed"]
    assert [one["mode"] for one in events] == ["listen", "whisper", "barge", "none"]
    assert {one["actor"] for one in events} == {"user:maria"}


def _supervise(page: Any, supervisor: Any) -> None:
    """Listen, whisper, barge and leave from the status page, each seen by the agent; a note to them, read."""
    supervisor.click("#agents .who:has-text('Elena')")
    for button, word in (("Escuchar", "escucha"), ("Susurrar", "le habla"), ("Entrar", "en la llamada")):
        supervisor.locator("#agent-actions").get_by_role("button", name=button, exact=True).click()
        page.wait_for_selector(f"#supervised:has-text('{word}')", timeout=15_000)
    supervisor.screenshot(path=SCREENS / "status-supervise.png")
    assert accessible(supervisor) == []
    supervisor.locator("#agent-actions").get_by_role("button", name="Dejar", exact=False).click()
    page.wait_for_selector("#supervised", state="hidden")
    supervisor.fill("#agent-note", "Ofrécele <b>dos</b> pagos")
    supervisor.keyboard.press("Enter")
    page.wait_for_selector("#notes :text('Ofrécele <b>dos</b> pagos')")
    page.screenshot(path=SCREENS / "desk-note.png")
    page.get_by_role("button", name="Leída").click()
    page.wait_for_function("() => !document.querySelector('#notes .alert')")


def _third(page: Any) -> None:
    """Hold and back, a consultation, a conference, and the third let go."""
    page.keyboard.press("Alt+h")
    page.wait_for_selector("#talk:has-text('en espera')")
    page.keyboard.press("Alt+h")
    page.wait_for_function("() => !document.getElementById('talk').textContent")
    page.fill("#to", "legal")
    page.click("#consult")
    page.wait_for_selector("#talk:has-text('consultando')", timeout=15_000)
    page.click("#join")
    page.wait_for_selector("#talk:has-text('conferencia')")
    page.screenshot(path=SCREENS / "desk-conference.png")
    page.click("#dismiss")
    page.wait_for_function("() => window.Desk.now.me.talk === 'together' && !window.Desk.now.me.third")


def _two_edits(page: Any, supervisor: Any) -> None:
    """A supervisor's promise comes first: the agent's is not recorded over it before they have seen both, and then it is."""
    account = page.evaluate("() => window.Desk.now.account")
    day = (dt.datetime.now(dt.UTC).date() + dt.timedelta(days=3)).isoformat()
    theirs = {"instalments": [{"due_date": day, "amount_minor": 30_000}]}
    told = supervisor.evaluate(
        "([account, body]) => window.Marcador.send('POST', `/api/v1/accounts/${account}/promises`, body)",
        [account, theirs],
    )
    assert told["ok"], told
    page.keyboard.press("Alt+p")
    page.keyboard.type("700")
    page.keyboard.press("Enter")
    page.wait_for_selector("#changed")
    assert "$300.00" in page.inner_text("#changed")
    assert "$700.00" in page.inner_text("#changed")
    page.screenshot(path=SCREENS / "desk-changed.png")
    assert accessible(page) == []
    page.keyboard.press("Escape")
    assert page.input_value("#amount") == "700"  # nothing is lost, nothing is recorded
    page.wait_for_function("() => window.Desk.now.view.promise?.total_minor === 30000")
    page.keyboard.press("Alt+p")
    page.keyboard.press("Enter")
    page.wait_for_function("() => window.Desk.now.view.promise?.total_minor === 70000")


def _restrict(page: Any, made: World) -> None:
    """A restriction in two keys."""
    page.keyboard.press("Alt+x")
    page.keyboard.press("7")
    saved(page, "Restricción")
    wait_until(
        lambda: any(one["kind"] == "hardship" for one in rows_of(made, "restriction")), 15, "it to hold"
    )
    page.wait_for_selector("#person .badge.bad:has-text('Situación vulnerable')")
