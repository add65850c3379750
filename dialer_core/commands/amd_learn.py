"""`dialer amd learn-announcement`: recordings of carriers' announcements into the index that the media plane recognises them by."""

from __future__ import annotations

from pathlib import Path

import click

from amd import AmdInputError, FingerprintIndex, g711
from dialer_core.commands.amd_recordings import CHANNEL
from dialer_core.commands.invocation import Invocation, example, invocation
from dialer_core.errors import SoundFileError
from dialer_core.media.announcements import load_announcements, save_announcements
from dialer_core.sound_files import read_sound

LONGEST_S = 30.0


@click.command(
    "learn-announcement", epilog=example("dialer amd learn-announcement not-in-service recording.wav")
)
@click.argument("name")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE..."
)
@CHANNEL
@invocation
def learn_announcement(call: Invocation, name: str, files: tuple[Path, ...], channel: int | None) -> None:
    """Learn a carrier's announcement from recordings of it.

    NAME is what it is called, FILE a recording that holds it and nothing else, of a second at least; the first 30 s are
    learned. From its next start on the dialer recognises it, in early media or after the answer, mostly within a second and a
    half of its first sound, and the call ends as an announcement.
    """
    file = call.settings.announcements_file
    known = load_announcements(file)
    sounds = [read_sound(path, channel=channel, first_s=LONGEST_S) for path in files]
    try:
        new = FingerprintIndex.of([(name, g711.decode_pcmu(g711.encode_pcmu(sound))) for sound in sounds])
    except AmdInputError as error:
        raise SoundFileError(f"cannot be learned: {error}") from error
    known = known.with_recordings(new)
    save_announcements(file, known)
    call.give({"file": str(file), "announcements": list(known.names)})
    call.say(
        f"learned {name} from {len(files)} recording(s); recordings known now: {len(known)}. A running dialer knows it after its next start"
    )
