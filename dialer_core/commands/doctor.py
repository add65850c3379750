"""`dialer doctor`: everything that a campaign needs, looked at before anybody is called."""

from __future__ import annotations

import click
from rich.text import Text

from dialer_core.commands.doctor_checks import CHECKS, Finding, Grade
from dialer_core.commands.invocation import Invocation, example, invocation
from dialer_core.errors import DialerError

_STYLE = {Grade.OK: "green", Grade.WARN: "yellow", Grade.FAIL: "bold red"}


@click.command(epilog=example("dialer doctor", "dialer doctor --json"))
@invocation
def doctor(call: Invocation) -> int:
    """Check pjsua2, ports, database, trunks, clock and the rest, and say what to do.

    Nothing is changed, and nobody is called.

    Ends with status 1 if something would keep the dialer from running or dialing.
    """
    settings = call.settings
    findings: list[Finding] = []
    for check in CHECKS:
        try:
            found = list(check(settings))
        except DialerError as error:
            name = check.__name__.removeprefix("check_")
            found = [Finding(check=name, grade=Grade.FAIL, found=str(error))]
        findings += found
        if not call.as_json:
            for finding in found:
                _print(call, finding)
    call.give(findings)
    failed = sum(finding.grade == Grade.FAIL for finding in findings)
    call.say(f"{failed} to settle before 'dialer run'." if failed else "Ready: dialer run")
    return 1 if failed else 0


def _print(call: Invocation, finding: Finding) -> None:
    line = Text(f"{finding.grade:<4} ", style=_STYLE[Grade(finding.grade)])
    line.append(f"{finding.check}: {finding.found}", style="none")
    call.console.print(line, soft_wrap=True)
    if finding.advice:
        call.console.print(Text(f"     → {finding.advice}", style="dim"), soft_wrap=True)
