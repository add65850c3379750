"""`dialer amd learn-announcement`: recordings that are always the same into the index that the media plane recognises them by."""

from __future__ import annotations

from pathlib import Path

import click

from amd import AmdInputError, FingerprintIndex, Label, g711
from amd.fingerprints import LEARNED
from dialer_core.commands.amd_recordings import CHANNEL
from dialer_core.commands.invocation import Invocation, example, invocation
from dialer_core.errors import SoundFileError
from dialer_core.media.announcements import load_announcements, save_announcements
from dialer_core.sound_files import read_sound

LONGEST_S = 30.0


@click.command(
    "learn-announcement",
    epilog=example(
        "dialer amd learn-announcement not-in-service recording.wav",
        "dialer amd learn-announcement assistant question.wav --label screening",
    ),
)
@click.argument("name")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE..."
)
@CHANNEL
@click.option(
    "--label",
    type=click.Choice([label.word for label in LEARNED]),
    default=Label.ANNOUNCEMENT.word,
    show_default=True,
    help="What the recording is: a carrier's announcement, its mailbox's own greeting, an assistant, a menu, music.",
)
@invocation
def learn_announcement(
    call: Invocation, name: str, files: tuple[Path, ...], channel: int | None, label: str
) -> None:
    """Learn a recording that is always the same: a carrier's announcement, or another of the labels.

    NAME is what it is called, FILE a recording that holds it and nothing else, of a second at least; the first 30 s are
    learned. From its next start on the dialer recognises it, in early media or after the answer, mostly within a second and a
    half of its first sound, as what `--label` says.
    """
    file = call.settings.announcements_file
    known = load_announcements(file)
    sounds = [read_sound(path, channel=channel, first_s=LONGEST_S) for path in files]
    try:
        new = FingerprintIndex.of(
            [(name, g711.decode_pcmu(g711.encode_pcmu(sound))) for sound in sounds], Label[label.upper()]
        )
    except AmdInputError as error:
        raise SoundFileError(f"cannot be learned: {error}") from error
    known = known.with_recordings(new)
    save_announcements(file, known)
    labels = [one.word for one in known.labels]
    call.give({"file": str(file), "announcements": list(known.names), "labels": labels})
    what = name if label == Label.ANNOUNCEMENT.word else f"{name} ({label})"
    call.say(
        f"learned {what} from {len(files)} recording(s); recordings known now: {len(known)}. A running dialer knows it after its next start"
    )
