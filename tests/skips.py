"""No skip goes unnoticed: each says how to get what it lacks, the run ends by listing them, CI allows none.

Owns the ways a test may skip (`requires_program`, the `needs_shared` marker with the `shared_data` fixture)
and the account at the end. With `CI` or `MARCADOR_NO_SKIPS` true in the environment a skip fails the run,
except that of a test marked `needs_shared` where ../shared is absent, or `not_packaged` (`may_need_program`).
"""

import os
import shutil
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"

PACKAGES = {
    "baresip": "baresip-core",
    "bearerbox": "kannel",
    "chromium": "chromium",
    "dovecot": "dovecot-imapd",
    "espeak-ng": "espeak-ng",
    "kamailio": "kamailio",
    "npm": "npm",
    "openssl": "openssl",
    "secsipidx": "secsipidx",
    "sipp": "sip-tester",
    "tshark": "tshark",
}
"""Debian package of each program that tests talk to; `.ci/run` installs those that a test requires."""


def requires_program(name: str) -> pytest.MarkDecorator:
    """Mark a test as needing a Debian program; without it the test skips and says what to install.

    Usable as a decorator or in `pytestmark`. KeyError if PACKAGES does not know the program.
    """
    reason = f"{name} is not installed: apt-get install {PACKAGES[name]}"
    return pytest.mark.skipif(shutil.which(name) is None, reason=reason)


NOT_PACKAGED = {
    "asterisk": "no package of Debian 12 has it; build it from its source, with chan_pjsip and app_queue, and put it on the PATH",
}
"""Programs that a test may be without, in CI too, and how to get each: the run still names what was not checked."""


def may_need_program(name: str) -> list[pytest.MarkDecorator]:
    """Mark a test as needing a program that the registries do not have; without it the test skips, and that fails no run."""
    reason = f"{name} is not installed, so nothing was checked against a real one: {NOT_PACKAGED[name]}"
    return [pytest.mark.not_packaged, pytest.mark.skipif(shutil.which(name) is None, reason=reason)]


@pytest.fixture
def shared_data(request: pytest.FixtureRequest) -> Path:
    """Return ../shared/data, read-only; only tests marked `needs_shared` may ask, as they skip without it."""
    if request.node.get_closest_marker("needs_shared") is None:
        pytest.fail("a test that uses shared_data carries the marker needs_shared")
    return SHARED_DATA


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked `needs_shared` before it starts anything, where ../shared is absent."""
    if item.get_closest_marker("needs_shared") and not SHARED_DATA.is_dir():
        pytest.skip("../shared is absent: its data sets are kept beside the checkout, not in it")


class SkipAccount:
    """What was skipped in this run, by reason, and whether that fails it."""

    def __init__(self, *, strict: bool) -> None:
        self.by_reason: dict[str, list[str]] = defaultdict(list)
        self.forbidden: list[str] = []
        self._strict = strict

    def note(self, nodeid: str, longrepr: object, *, excused: bool) -> None:
        """Enter one skip; `longrepr` is a report's own (path, line, reason)."""
        reason = str(longrepr[2] if isinstance(longrepr, tuple) else longrepr).removeprefix("Skipped: ")
        self.by_reason[reason].append(nodeid)
        if self._strict and not excused:
            self.forbidden.append(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Enter a test that skipped, in its set-up or in its body."""
        if report.skipped and not hasattr(report, "wasxfail"):
            excused = "not_packaged" in report.keywords or (
                "needs_shared" in report.keywords and not SHARED_DATA.is_dir()
            )
            self.note(report.nodeid, report.longrepr, excused=excused)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Enter a module that skipped as a whole."""
        if report.skipped:
            self.note(report.nodeid, report.longrepr, excused=False)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail an otherwise good run in which something was skipped that may not be."""
        if self.forbidden and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print each reason with the number of tests behind it."""
        if not self.by_reason:
            return
        terminalreporter.section("skipped, and how to get it")
        for reason, nodeids in sorted(self.by_reason.items()):
            terminalreporter.write_line(f"{len(nodeids):4d}  {reason}")
        if self.forbidden:
            terminalreporter.section("this run allows no skip", red=True)
            for nodeid in self.forbidden:
                terminalreporter.write_line(nodeid, red=True)


def pytest_configure(config: pytest.Config) -> None:
    """Open the account."""
    strict = any(
        os.environ.get(name, "").lower() in {"1", "true", "yes"} for name in ("CI", "MARCADOR_NO_SKIPS")
    )
    config.pluginmanager.register(SkipAccount(strict=strict), "skip-account")
