"""`dialer doctor`: everything that a campaign needs, looked at before anybody is called."""

from __future__ import annotations

import click
from rich.text import Text

from dialer_core.commands.doctor_checks import CHECKS, Finding, Grade
from dialer_core.commands.doctor_edge import check_edge
from dialer_core.commands.doctor_identity import check_caller_ids, check_signing
from dialer_core.commands.doctor_voice import check_flows, check_recordings, check_templates
from dialer_core.commands.invocation import Invocation, example, invocation
from dialer_core.errors import DialerError

_STYLE = {Grade.OK: "green", Grade.WARN: "yellow", Grade.FAIL: "bold red"}


@click.command(epilog=example("dialer doctor", "dialer doctor --json", "dialer doctor --load"))
@click.option(
    "--load", is_flag=True, help="Load this machine for a minute instead, and say how many lines it carries."
)
@click.option(
    "--seconds",
    type=click.FloatRange(10, 600),
    default=50.0,
    show_default=True,
    help="How long --load takes.",
)
@invocation
def doctor(call: Invocation, *, load: bool, seconds: float) -> int:
    """Check pjsua2, ports, database, trunks, clock and the rest, and say what to do.

    Nothing is changed, and nobody is called.

    With --load it finds the lines this machine carries: a media plane and line workers of their own are loaded
    step by step with simulated far ends (which use the same machine, so the answer errs on the safe side). One
    line in four talks to an agent, the detector listens to the others. The dialer should not run meanwhile.

    Ends with status 1 if something would keep the dialer from running or dialing.
    """
    if load:
        return _load(call, seconds)
    settings = call.settings
    findings: list[Finding] = []
    for check in (
        *CHECKS,
        check_edge,
        check_signing,
        check_caller_ids,
        check_recordings,
        check_flows,
        check_templates,
    ):
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


def _load(call: Invocation, seconds: float) -> int:
    # The media plane's and the workers' modules are heavy: only who loads them pays.
    from dialer_core.commands.load_test import LoadStep, find_safe_lines  # noqa: PLC0415

    def tell(step: LoadStep) -> None:
        how = "carried" if step.carried else step.why
        call.say(
            f"{step.lines:5} lines: {how}; media plane {step.media_cpu:.0%} of a core, far ends {step.far_ends_cpu:.0%}, "
            f"sound at most {step.worst_tick_ms:.1f} ms late"
        )

    report = find_safe_lines(seconds, tell)
    call.give(report)
    call.say(
        f"A line worker takes {report.worker_mb:.1f} MB and {report.worker_calls} calls; {report.cores} cores."
    )
    call.say(f"{report.words}.")
    return 0
