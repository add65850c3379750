"""`dialer flows check` and `show`: what is wrong with flow files, and what is in them.

They own words only; the checks are `flows/checks.py`'s.
"""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from dialer_core.commands.invocation import Invocation, example, printing
from dialer_core.flows import picture
from dialer_core.flows.reading import Problem, flow_files, load_flow, read_flow
from dialer_core.media.prompts import prompt_ids

PROMPTS = click.option(
    "--prompts",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="Folder of recorded prompts (`media.prompts_dir`); without it those in the package are known.",
)


@click.command(
    epilog=example(
        "dialer flows check config/flows", "dialer flows check recordatorio.toml --prompts prompts"
    )
)
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True), metavar="PATH..."
)
@PROMPTS
@printing
def check(call: Invocation, paths: tuple[Path, ...], prompts: Path | None) -> int:
    """Say what is wrong with flow files, or with all of a folder.

    A line for each mistake: file, line, step and reason. Nobody ever hears a flow that has one: loops without
    an exit, steps nobody reaches, clips that are missing, fields that do not exist, and whatever would tell of
    a debt before the person is identified. The exit status is 1 where something is wrong.
    """
    known = prompt_ids(prompts)
    files = [file for path in paths for file in (flow_files(path).values() if path.is_dir() else [path])]
    problems: list[Problem] = []
    for file in files:
        flow, found = read_flow(file, known)
        problems += found
        if flow is not None and not found:
            call.say(f"{file}: {len(flow.steps)} steps, {' and '.join(flow.languages)}: nothing wrong")
    call.give([msgspec.to_builtins(one) for one in problems])
    for problem in problems:
        call.say(str(problem))
    return int(bool(problems))


@click.command(
    epilog=example("dialer flows show recordatorio.toml", "dialer flows show recordatorio.toml --mermaid")
)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--mermaid", is_flag=True, help="Print a drawing for Mermaid instead.")
@printing
def show(call: Invocation, file: Path, *, mermaid: bool) -> None:
    """List the steps of a flow: what each does, where it leads, what it says."""
    flow = load_flow(file)
    if mermaid:
        drawing = picture.drawing(flow)
        call.give({"mermaid": drawing})
        call.say(drawing)
        return
    found = picture.rows(flow)
    columns = ("step", "does", "leads to", "says")
    call.give([dict(zip(columns, row, strict=True)) for row in found])
    call.table(columns, found)
