"""`dialer amd classify`: recordings through the detector of the call loop, and what it says of each."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from amd import DetectorConfig
from dialer_core.commands.amd_recordings import CHANNEL, MODE, Unheard, judged, sentence
from dialer_core.commands.invocation import Invocation, example, printing
from dialer_core.media.announcements import load_announcements


@click.command(epilog=example("dialer amd classify greeting.wav recordings/ --json"))
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@MODE
@CHANNEL
@click.option(
    "--announcements",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="Recognise the announcements of this index too (`announcements.npz` in the folder of the state).",
)
@printing
def classify(
    call: Invocation, paths: tuple[Path, ...], mode: str, channel: int | None, announcements: Path | None
) -> int:
    """Say of recordings what is at the other end, as in a call.

    WAV or FLAC files, or folders of them; any rate, any number of channels. The first sample is the moment of
    the answer. The sound passes through G.711 and the detector in steps of 20 ms, and nothing looks ahead;
    where a recording ends, the line stays quiet.

    A line for each file, with --json an object. Label, reason, confidence and decision_s are the final
    verdict's, revisions tells what it was taken for before; times are seconds from the answer. A file that
    cannot be judged gets an error instead, the others are judged, and the exit status is 1.
    """
    failed = False
    known = load_announcements(announcements) if announcements else None
    for result in judged(paths, DetectorConfig.preset(mode), channel, known):
        failed |= isinstance(result, Unheard)
        if call.as_json:
            click.echo(msgspec.json.encode(result).decode())
        elif isinstance(result, Unheard):
            click.echo(f"error: {result.error}", err=True)
        else:
            click.echo(sentence(result))
    return int(failed)
