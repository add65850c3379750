"""`dialer amd train` and `dialer amd evaluate`: the detector's networks fitted anew, and measured on parts of others.

It owns the two commands. What is trained and measured is `amd.training`'s business, which is imported only here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from dialer_core.commands.invocation import Invocation, example, printing
from dialer_core.errors import CommandRefusedError

SHARED = Path("../shared/data")
"""Where the shared parts are, as seen from the project."""


@click.command(
    epilog=example(
        "dialer amd train --out model.npz --seed 1", "dialer amd train --out model.npz --calls 2000"
    )
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="Where to write the model."
)
@click.option(
    "--seed",
    type=int,
    default=1,
    show_default=True,
    help="Of everything drawn; the same gives the same model.",
)
@click.option(
    "--calls",
    type=click.IntRange(400),
    default=12000,
    show_default=True,
    help="Simulated calls to learn from.",
)
@click.option(
    "--shared",
    type=click.Path(path_type=Path, file_okay=False),
    default=SHARED,
    show_default=True,
    help="Folder of the shared data.",
)
@printing
def train(call: Invocation, *, out: Path, seed: int, calls: int, shared: Path) -> int:
    """Fit the detector's networks on simulated calls, and measure them on held-out speakers.

    Parts come from the shared data and from espeak-ng; what is missing here is said. Prints the report that the
    model card holds.
    """
    from amd.model import save  # noqa: PLC0415  # and its libraries load in this command alone
    from amd.training import training  # noqa: PLC0415

    found = training.gather(shared, seed, lambda sentence: click.echo(sentence, err=True))
    if not found:
        raise CommandRefusedError(
            "nothing to learn from: install espeak-ng, or give --shared a folder with parts"
        )
    result = training.train(found, calls, seed, lambda sentence: click.echo(sentence, err=True))
    with out.open("wb") as file:
        save(result.model, file)
    _give(call, {"report": result.report, "sources": result.sources})
    return 0


@click.command(epilog=example("dialer amd evaluate ../shared/data/amd/manifest.csv --calls 500 --json"))
@click.argument("manifest", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--calls", type=click.IntRange(10), default=1000, show_default=True, help="Simulated calls to measure on."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the simulated calls.")
@click.option(
    "--model",
    "model_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    default=None,
    help="A model of `train`; the one of the package when absent.",
)
@click.option(
    "--mode",
    type=click.Choice(["fast", "strict"]),
    default="fast",
    show_default=True,
    help="Costs and limits.",
)
@printing
def evaluate(
    call: Invocation, *, manifest: Path, calls: int, seed: int, model_file: Path | None, mode: str
) -> int:
    """Measure the detector on simulated calls made from a manifest's parts.

    The manifest is a table like that of the shared data: file, kind, label, speaker, language, source. All its
    speakers are taken, on lines harder than those of the training.
    """
    from amd import DetectorConfig  # noqa: PLC0415
    from amd.model import load  # noqa: PLC0415
    from amd.training import parts, training  # noqa: PLC0415

    found = [
        part for part in parts.read_manifest(manifest, split="test") if part.kind not in training.NOT_SPOKEN
    ]
    if not found:
        raise CommandRefusedError(
            f"{manifest}: no row has a label that calls are made from ({', '.join(sorted(parts.KINDS))})"
        )
    model = None
    if model_file is not None:
        with model_file.open("rb") as file:
            model = load(file)
    _give(call, training.measure(found, calls, seed, model, config=DetectorConfig.preset(mode)))
    return 0


def _give(call: Invocation, figures: dict[str, Any]) -> None:
    if call.as_json:
        call.give(figures)
    else:
        click.echo(json.dumps(figures, indent=2, default=str))
