"""A visitor's telephone in a real browser: handed over by a supervisor, answered without a network, told when there is one."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from dialer_core.demo.world import World
from tests.browser.conftest import SCREENS, Open, accessible, rows_of, url_of
from tests.skips import requires_program

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180), requires_program("chromium")]

TELEPHONE = {
    "viewport": {"width": 375, "height": 667},
    "geolocation": {"latitude": 19.411, "longitude": -99.13, "accuracy": 12},
    "permissions": ["geolocation"],
}


def test_a_visit_without_a_network(made: World, log_in: Open, tmp_path: Path) -> None:
    """Handed over on the plan, begun and ended offline with answers, a promise and a photo, kept over a restart, sent once, in the history."""
    plan = log_in("maria")
    plan.goto(f"{url_of(made)}/visits/plan")
    for number in ("VIS-011", "VIS-010"):
        plan.fill("#account", number)
        plan.select_option("#visitor", "vera")
        with plan.expect_navigation():
            plan.get_by_role("button", name="Encargar").click()
    assert accessible(plan) == []
    page = log_in("vera", **TELEPHONE)
    page.wait_for_selector("html[data-kept=yes]")
    stops = page.locator("#stops .strong")
    assert stops.all_inner_texts() == ["Persona de visita 010", "Persona de visita 011"]  # the nearest first
    page.screenshot(path=SCREENS / "visits.png")
    assert accessible(page) == []

    page.context.set_offline(True)
    page.reload()
    page.wait_for_selector("#stops li")
    page.get_by_role("button", name="Persona de visita 011").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Empezar la visita").click()
    page.check("text=Hablé con la persona")
    page.get_by_label("¿Reconoce el adeudo?").select_option("yes")
    page.get_by_label("Importe").fill("500")
    page.get_by_label("Fecha").fill(
        page.evaluate("new Date(Date.now() + 4 * 864e5).toISOString().slice(0, 10)")
    )
    page.set_input_files(
        "#photo", files=[{"name": "door.png", "mimeType": "image/png", "buffer": _picture()}]
    )
    page.wait_for_selector("#photos canvas")
    page.reload()  # whatever is typed is kept
    page.get_by_role("button", name="Persona de visita 011").click()
    page.wait_for_function("() => document.querySelector('#amount').value === '500'")
    page.screenshot(path=SCREENS / "visit.png", full_page=True)
    assert accessible(page) == []
    page.get_by_role("button", name="Terminar la visita").click()
    page.wait_for_selector("#link:has-text('3 por enviar')")
    page.screenshot(path=SCREENS / "visits-offline.png")
    assert [row for row in rows_of(made, "contact") if row["channel"] == "visit"] == []

    page.context.clear_cookies()  # the session has ended meanwhile
    page.context.set_offline(False)
    page.wait_for_selector("#login:not([hidden])")
    page.click("#login a")
    page.fill("#user", "vera")
    page.fill("#password", made.password)
    page.keyboard.press("Enter")
    page.wait_for_selector("#link.ok:has-text('Con conexión')")
    page.wait_for_selector("#stops .badge.ok:has-text('Hecha')")
    assert "Hecha sin conexión" in page.inner_text("#stops li:has-text('011')")
    page.screenshot(path=SCREENS / "visits-sent.png")
    _in_the_history(made)

    plan.reload()
    plan.wait_for_selector("tr:has-text('VIS-011') .badge.ok")
    plan.screenshot(path=SCREENS / "visits-plan.png")


def _in_the_history(made: World) -> None:
    [contact] = [row for row in rows_of(made, "contact") if row["channel"] == "visit"]
    assert (contact["settlement"], contact["outcome"], contact["conversation"]) == ("counted", "spoke", True)
    account = contact["account_id"]
    [promise] = [row for row in rows_of(made, "promise") if row["account_id"] == account]
    assert promise["state"] == "open"
    [note] = [row for row in rows_of(made, "account_note") if row["account_id"] == account]
    assert note["author"] == "user:vera"
    assert "¿Reconoce el adeudo? sí" in note["note"]
    assert "Distancia al domicilio: 0 m" in note["note"]
    [photo] = [row for row in rows_of(made, "account_document") if row["kind"] == "visit_photo"]
    kept = (made.settings.state_dir / photo["location"]).read_bytes()
    image = Image.open(io.BytesIO(kept))
    assert (image.format, image.size) == ("JPEG", (1600, 1200))


def _picture() -> bytes:
    into = io.BytesIO()
    Image.linear_gradient("L").resize((2000, 1500)).save(into, "PNG")
    return into.getvalue()
