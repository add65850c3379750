"""The supervisor's page in a real browser, over a demonstration that runs: what they see, press and hear of it.

Screenshots stay in `build/screens/`.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from dialer_core.demo.world import World
from tests.browser.conftest import SCREENS, SMALL_LAPTOP, Open, accessible, url_of
from tests.polling import wait_until
from tests.skips import requires_program

pytestmark = [
    pytest.mark.browser,
    pytest.mark.own_ports,
    pytest.mark.timeout(180),
    requires_program("chromium"),
]

ALLOWED_BYTES = 200_000


def _number(page: Any, key: str) -> int:
    text = page.inner_text(f'[aria-label=demo] [data-key="{key}"] dd')
    return int(text.replace(",", ""))


def _demo(page: Any) -> Any:
    return page.get_by_role("article", name="demo")


def _invites(made: World) -> int:
    lines = made.sim_log.read_text(encoding="utf-8").splitlines()
    told = [json.loads(line) for line in lines if "invite.received" in line]
    return sum(one["side"] == "carrier" for one in told)


def test_a_supervisor_sees_numbers_move_and_stops_the_dialing(made: World, log_in: Open) -> None:
    """The totals rise by themselves; a pause from the page stops the carrier's calls, a resume brings them back."""
    page = log_in("maria")
    page.wait_for_selector(".campaign .figure")
    before = _number(page, "attempts")
    page.wait_for_function(
        "n => Number(document.querySelector('[aria-label=demo] [data-key=attempts] dd').textContent.replace(',', '')) > n",
        arg=before,
    )
    page.wait_for_selector("#alerts .alert:has-text('visitas'):has-text('Va atrás')")
    page.screenshot(path=SCREENS / "status.png")
    _demo(page).get_by_role("button", name="Pausar").click()
    page.wait_for_selector('[aria-label=demo] .badge:has-text("En pausa")')
    stopped = _invites(made)
    _agent_is_free(page)  # for whom a campaign that dials would have called
    assert _invites(made) <= stopped + 1  # one may have been on its way
    _demo(page).get_by_role("button", name="Reanudar").click()
    wait_until(lambda: _invites(made) > stopped + 1, 30, "the carrier to be called again")
    assert accessible(page) == []


def _agent_is_free(page: Any) -> None:
    """Wait until an agent who works for the demonstration's list has been ready for three seconds; Fernanda does not."""
    page.wait_for_function(
        "() => [...document.querySelectorAll('#agents tr')].some(row => !row.textContent.includes('Fernanda')"
        " && row.children[1].textContent.includes('Listo')"
        " && Number(row.children[2].textContent.split(':')[1]) >= 3)",
        timeout=60_000,
    )


def test_a_supervisor_changes_the_pace_and_whom_agents_work_for(made: World, log_in: Open) -> None:
    """Mode and boldness by a question answered, an agent's day and campaigns, a threshold, a day on paper, an error: all accessible."""
    page = log_in("maria")
    page.wait_for_selector(".campaign .figure")
    _demo(page).get_by_role("button", name="Ritmo…").click()
    page.select_option("#dial-mode", "progressive")
    page.fill("#dial-share", "50")
    assert accessible(page) == []
    page.click("#dial-apply")
    page.get_by_role("button", name="Sí", exact=True).click()
    page.wait_for_selector("[aria-label=demo] :text('Progresivo')")
    page.wait_for_selector("[aria-label=demo] :text('50 % del tope')")
    _demo(page).get_by_role("button", name="Ritmo…").click()
    page.click("#dial-written")
    page.wait_for_selector("[aria-label=demo] :text('Predictivo')")
    page.click("#limits-open")
    page.fill("#limit-behind", "35")
    page.click("#limits-apply")
    page.wait_for_selector("#limits", state="hidden")
    page.click(".agents .who >> nth=0")
    page.wait_for_selector("#agent-works input:checked")
    page.screenshot(path=SCREENS / "status-agent.png")
    assert accessible(page) == []
    page.get_by_role("button", name="Mover").click()
    page.get_by_role("button", name="Sí", exact=True).click()
    page.wait_for_selector(".toast >> nth=-1")
    page.keyboard.press("Escape")
    page.reload()
    page.wait_for_selector(".campaign .figure")
    page.click("#limits-open")
    assert page.input_value("#limit-behind") == "35"
    page.goto(f"{url_of(made)}/status/report")
    page.wait_for_selector("#by_campaign td")
    page.screenshot(path=SCREENS / "report.png", full_page=True)
    page.wait_for_selector("#by_agent td")
    for paper in ("A4", "Letter"):  # nothing of a sheet is wider than the paper between its margins
        width_px = {"A4": 8.27, "Letter": 8.5}[paper] * 96 - 2 * 12 / 25.4 * 96
        page.emulate_media(media="print")
        page.set_viewport_size({"width": int(width_px), "height": 1000})
        wide = page.evaluate(
            "() => [...document.querySelectorAll('.report table')]"
            ".filter(one => one.scrollWidth > document.body.clientWidth).map(one => one.closest('section').id)"
        )
        assert wide == [], paper
        page.pdf(path=SCREENS / f"report-{paper}.pdf", format=paper, print_background=True)
    page.emulate_media(media="screen")
    page.set_viewport_size(SMALL_LAPTOP)
    assert accessible(page) == []
    page.goto(f"{url_of(made)}/nothing")
    page.wait_for_selector("h1:text('Esta página no existe')")
    page.screenshot(path=SCREENS / "error.png")


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
    assert accessible(page) == []
    page.get_by_role("button", name="English").click()
    page.wait_for_selector('h2:has-text("Agents")')
    page.goto(f"{url_of(made)}/status/wall")
    page.wait_for_selector(".wall-campaigns .card")
    page.screenshot(path=SCREENS / "wall-dark.png")
    assert accessible(page) == []
