"""What `dialer doctor` looks at for recordings, flows and messages: key, space, retention; voices and recorded prompts; templates.

It owns these checks; their shape and grades are `doctor_checks.py`'s.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from dialer_core import recording_place
from dialer_core.commands.doctor_checks import Finding, fail, ok, warn
from dialer_core.errors import ConfigError, SoundFileError, StartError
from dialer_core.flows.language import clips_in
from dialer_core.media.prompts import prompt_ids
from dialer_core.media.sealing import parse_key
from dialer_core.messaging.templates import load_templates
from dialer_core.settings import Settings
from dialer_core.vocabulary import RecordPolicy

BYTES_PER_HOUR = {"opus": 18_000_000, "flac": 50_000_000}
"""Of one recorded conversation, both channels, with what is spooled meanwhile counted once."""
DAYS_OF_SPACE = 7
BUSY_HOURS_A_DAY = 8


def check_recordings(settings: Settings) -> Iterator[Finding]:
    """There is a key, room for a week of conversations, and everybody recorded is told so."""
    recording = {
        name: campaign.record
        for name, campaign in settings.campaigns.items()
        if campaign.record.policy is not RecordPolicy.NEVER
    }
    if not recording:
        return
    its = settings.dialer.recordings
    try:
        parse_key(recording_place.key(settings), "recordings")
    except (ConfigError, SoundFileError) as error:
        yield fail("recordings", str(error), "nothing is recorded without it; keep it where backups are kept")
        return
    yield ok("recordings", f"a master key, {its.container}, kept for {its.retention_days:g} days")
    folder = recording_place.folder(settings)
    there = next(one for one in (folder, *folder.parents) if one.exists())
    free = shutil.disk_usage(there).free
    agents = max(1, len(settings.agents))
    wanted = agents * BUSY_HOURS_A_DAY * DAYS_OF_SPACE * BYTES_PER_HOUR[its.container]
    told = f"{free / 1e9:.1f} GB free in {there}; {agents} agents fill some {wanted / 1e9:.1f} GB a week"
    if free < wanted:
        yield warn(
            "recordings",
            told,
            "a full disk loses recordings, never calls; free space, or shorten recordings.retention_days",
        )
    else:
        yield ok("recordings", told)
    for name, record in recording.items():
        if record.policy is RecordPolicy.ALWAYS and not record.announcement:
            yield warn(
                "recordings",
                f"campaign {name} records everybody, with no announcement of its own",
                "a packaged one is played where its rule pack asks for it; set record.announcement to say who records",
            )
        elif record.refuse_key and not record.announcement:
            yield warn(
                "recordings",
                f"campaign {name} has a key that refuses, and nobody is told of it",
                "set record.announcement",
            )


def check_flows(settings: Settings) -> Iterator[Finding]:
    """Every flow in use has its recorded prompts, and a voice."""
    if not settings.flows:
        return
    folder = settings.dialer.media.prompts_dir
    try:
        known = prompt_ids(settings.directory.parent / folder if folder is not None else None)
    except StartError as error:
        yield fail("flows", str(error), "set media.prompts_dir")
        return
    for name, flow in settings.flows.items():
        texts = [text for step in flow.steps.values() for text in step.text.values()] + list(
            flow.wrong.values()
        )
        missing = sorted({clip for text in texts for clip in clips_in(text)} - known)
        if missing:
            where = Path(folder or "media.prompts_dir")
            yield fail(
                "flows", f"{name}: there is no prompt {missing[0]!r}", f"put {missing[0]}.wav into {where}"
            )
        else:
            yield ok("flows", f"{name}: {len(flow.steps)} steps, {' and '.join(flow.languages)}")
    if "espeak" in settings.dialer.plugins.enabled and shutil.which("espeak-ng") is None:
        yield fail(
            "flows",
            "espeak-ng is not installed: nobody can say what flows say",
            "apt-get install espeak-ng, or enable another voice",
        )


def check_templates(settings: Settings) -> Iterator[Finding]:
    """Every template of messages can be read; 'dialer run' refuses one that cannot."""
    folder = settings.directory / "templates"
    try:
        found = load_templates(folder)
    except ConfigError as error:
        yield fail("templates", str(error), "'dialer run' refuses until this is settled")
        return
    if found:
        yield ok("templates", ", ".join(sorted(found)))
