"""The supervisor's page in a real browser, over a demonstration that runs: what they see, press and hear of it.

Screenshots stay in `build/screens/`.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from dialer_core.demo.world import World
from tests.browser.conftest import SCREENS, Open, accessible, url_of
from tests.polling import wait_until
from tests.skips import requires_program

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180), requires_program("chromium")]

ALLOWED_BYTES = 200_000


def _number(page: Any, key: str) -> int:
    text = page.inner_text(f'.campaign [data-key="{key}"] dd >> nth=0')
    return int(text.replace(",", ""))


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
    assert accessible(page) == []


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
