"""How soon after the bridge an agent has the person on the screen: the demonstration on real SIP and RTP, and a real browser at Ana's desk.

`python -m benchmarks.desk --json` plays so many conversations: each is wrapped up by keyboard, and the next one comes. Nobody but Ana takes any, and
after `--limit-s` it is measured what there was.

talks          conversations that were shown
person_ms_p50  from the bridge in the engine to the person drawn in the browser, middle
person_ms_p95  and the slowest but one in twenty (goal: 200)
person_ms_max  and the slowest
page_kb        all that the page loads, uncompressed

Needs Debian's `chromium` and playwright.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Error, sync_playwright
from playwright.sync_api import TimeoutError as WaitedTooLong

from dialer_core.demo.world import CAMPAIGN, World, world
from dialer_core.store.database import open_database
from dialer_core.store.models import Base

MARKS = "() => performance.getEntriesByName('person').filter(one => one.detail).map(one => [one.detail, performance.timeOrigin + one.startTime])"
NEW = "known => performance.getEntriesByName('person').some(one => one.detail && !known.includes(one.detail))"
LOADED = (
    "() => [...performance.getEntriesByType('resource'), ...performance.getEntriesByType('navigation')]"
    ".reduce((sum, one) => sum + one.decodedBodySize, 0)"
)


def play(made: World, page: Any, talks: int, limit_s: float) -> tuple[dict[str, float], float]:
    """Take conversations; return when each was first drawn, in milliseconds of the wall clock by attempt, and the page's kilobytes."""
    base = f"http://127.0.0.1:{made.ports.http}"
    page.goto(f"{base}/login")
    page.fill("#user", "ana")
    page.fill("#password", made.password)
    page.keyboard.press("Enter")
    page.wait_for_url("**/desk")
    page.wait_for_selector("#now[data-state]:not([data-state=''])")
    loaded_kb = page.evaluate(LOADED) / 1000
    page.click("#login")
    page.wait_for_selector("#phone.ok")
    page.keyboard.press("Alt+r")
    drawn: dict[str, float] = {}
    until_s = time.monotonic() + limit_s
    while len(drawn) < talks and (left_s := until_s - time.monotonic()) > 0:
        try:
            page.wait_for_function(NEW, arg=list(drawn), timeout=1000 * left_s)
        except WaitedTooLong:
            break
        for attempt, at_ms in page.evaluate(MARKS):
            drawn.setdefault(attempt, at_ms)
        page.select_option("#disposition", "other")
        if page.locator("#now[data-state=talking]").count():
            page.keyboard.press("Alt+k")
        page.wait_for_selector("#now[data-state=wrap_up]")
        page.keyboard.press("Alt+t")
        page.wait_for_function("shown => !shown.includes(window.Desk.now.attempt)", arg=list(drawn))
    return drawn, loaded_kb


def bridged_ms(made: World) -> dict[str, float]:
    """Return when each attempt was first bridged, in milliseconds of the wall clock."""
    offset_ns = time.time_ns() - time.monotonic_ns()
    table = Base.metadata.tables["event"]
    database = open_database(made.settings.store_url)
    try:
        with database.read() as tx:
            found = [row for row in tx.execute(table.select()).mappings() if row["name"] == "attempt.bridged"]
    finally:
        database.dispose()
    return {row["attempt_id"]: (row["at_mono_ns"] + offset_ns) / 1e6 for row in reversed(found)}


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.desk", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object and nothing else")
    parser.add_argument("--talks", type=int, default=20)
    parser.add_argument(
        "--limit-s", type=float, default=60.0, help="of playing; starting and ending come to it"
    )
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        world(Path(folder), web=True) as made,
        sync_playwright() as playwright,
    ):
        made.prepare()
        leave_ana_alone(made.config)
        made.start_simulator()
        made.start_dialer()
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": 1366, "height": 768}, locale="es-MX").new_page()
        while not _up(page, f"http://127.0.0.1:{made.ports.http}/login"):
            time.sleep(0.2)
        drawn, page_kb = play(made, page, given.talks, given.limit_s)
        browser.close()
        bridged = bridged_ms(made)
    if not drawn:
        print(f"nobody was on Ana's screen within {given.limit_s:g} s", file=sys.stderr)
        return 1
    took = sorted(at_ms - bridged[attempt] for attempt, at_ms in drawn.items() if attempt in bridged)
    line = {
        "talks": len(took),
        "person_ms_p50": round(took[len(took) // 2], 1),
        "person_ms_p95": round(took[min(len(took) - 1, int(0.95 * len(took)))], 1),
        "person_ms_max": round(took[-1], 1),
        "page_kb": round(page_kb, 1),
    }
    print(json.dumps(line) if given.json else "\n".join(f"{key:14} {value}" for key, value in line.items()))
    return 0


def leave_ana_alone(config: Path) -> None:
    """Let nobody else begin to work, and dial four for her: the people of a short list come to her one after another, whoever is kept waiting."""
    agents, demo = config / "agents.toml", config / "campaigns" / f"{CAMPAIGN}.toml"
    agents.write_text(agents.read_text(encoding="utf-8").replace("auto_ready = true\n", ""), encoding="utf-8")
    by_ratio = demo.read_text(encoding="utf-8").replace(
        'pacing = "predictive"', 'pacing = "ratio"\nratio = 4'
    )
    demo.write_text(by_ratio, encoding="utf-8")


def _up(page: Any, url: str) -> bool:
    try:
        return bool(page.goto(url).ok)
    except Error:
        return False


if __name__ == "__main__":
    sys.exit(main())
