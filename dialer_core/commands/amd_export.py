"""`dialer amd export`: the clips that campaigns kept, decrypted and labelled with what was said of their calls, for retraining.

It owns the export's shape: WAV files and a manifest. Keeping and purging is `media/clips.py`'s.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import click
import msgspec
import numpy as np
import soundfile

from amd import g711
from dialer_core.commands.amd_quality import asked_for
from dialer_core.commands.invocation import Invocation, example, invocation
from dialer_core.compliance.detection_quality import heard_as_person
from dialer_core.errors import DialerError, SoundFileError
from dialer_core.events import DetectionExported
from dialer_core.media.clips import SUFFIX, Clip, purge, read_clip
from dialer_core.media.sealing import parse_key
from dialer_core.sound_files import RATE_HZ
from dialer_core.store import attempts
from dialer_core.store.database import Database, open_database
from dialer_core.store.models import Attempt
from dialer_core.vocabulary import LIVE_VERDICTS, AttemptId, CampaignId, Verdict

MANIFEST = "manifest.csv"
_DECODE = {"PCMU": g711.decode_pcmu, "PCMA": g711.decode_pcma}


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the manifest."""

    file: str
    label: str
    """`human` or `machine` as an agent heard it; otherwise the detector's own verdict."""
    heard: bool
    """An agent heard it: the label is evidence, not the detector's opinion."""
    verdict: str
    reason: str
    disposition: str
    campaign: str


@click.command(epilog=example("dialer amd export --out clips/ --heard", "dialer amd export --purge"))
@click.argument("campaign", required=False)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where WAV files and manifest.csv go.",
)
@click.option(
    "--heard", "only_heard", is_flag=True, help="Only calls of which an agent has said what they were."
)
@click.option("--purge", "delete", is_flag=True, help="Delete every kept clip now, after any export.")
@invocation
def export(
    call: Invocation, campaign: str | None, out: Path | None, *, only_heard: bool, delete: bool
) -> int:
    """Decrypt the clips that campaigns kept, each labelled with what it was.

    Clips are kept only by campaigns that opted in ([machines] keep_clips), encrypted, for as long as [clips] retention_days
    says. The files written here are recordings of people, and no longer encrypted: they are yours to guard and delete. What was
    exported, by which campaign and how much, is noted in the event log.
    """
    if out is None and not delete:
        raise click.UsageError("give --out DIR, --purge, or both")
    settings = call.settings
    exported: list[Exported] = []
    failed: list[str] = []
    if out is not None:
        key = parse_key(settings.clip_key(), "clips")
        database = open_database(settings.store_url, node=settings.dialer.node.name)
        try:
            database.require_current()
            with database.read() as tx:
                asked_for(tx, campaign, settings.campaigns)
            for found in _labelled(database, settings.clips_dir, key, campaign, only_heard=only_heard):
                if isinstance(found, str):
                    failed.append(found)
                else:
                    exported.append(_write(out, *found))
            if exported:
                _note(database, out, exported)
        finally:
            database.dispose()
    gone = purge(settings.clips_dir, 0.0, math.inf) if delete else 0
    for problem in failed:
        click.echo(f"error: {problem}", err=True)
    call.give({"exported": exported, "failed": failed, "deleted": gone})
    call.say(f"{len(exported)} clips exported, {len(failed)} not readable, {gone} deleted")
    return int(bool(failed))


def _labelled(
    database: Database, folder: Path, key: bytes, campaign: str | None, *, only_heard: bool
) -> Iterator[tuple[Clip, Attempt] | str]:
    """Yield each clip with its attempt; for one that cannot be read, why."""
    for file in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            UUID(file.stem)
        except ValueError:
            yield f"{file}: is not named by an attempt"
            continue
        with database.read() as tx:
            attempt = attempts.get(tx, AttemptId(file.stem))
        if attempt is None or (campaign is not None and attempt.campaign_id != campaign):
            continue
        if only_heard and heard_as_person(attempt.disposition) is None:
            continue
        try:
            yield read_clip(file, key), attempt
        except SoundFileError as error:
            yield str(error)


def _write(out: Path, clip: Clip, attempt: Attempt) -> Exported:
    person = heard_as_person(attempt.disposition)
    verdict = attempt.verdict or Verdict.UNKNOWN.value
    heard = (
        {True: Verdict.HUMAN.value, False: Verdict.MACHINE.value}.get(person) if person is not None else None
    )
    name = f"{clip.clip_id}.wav"
    pcm = _DECODE[clip.law](np.frombuffer(clip.octets, np.uint8))
    try:
        out.mkdir(parents=True, exist_ok=True, mode=0o700)
        soundfile.write(out / name, pcm, RATE_HZ, subtype="PCM_16")
    except (OSError, RuntimeError) as error:
        raise DialerError(f"{out / name}: cannot be written: {error}") from error
    return Exported(
        file=name,
        label=heard or (Verdict.HUMAN.value if verdict in LIVE_VERDICTS else verdict),
        heard=heard is not None,
        verdict=verdict,
        reason=attempt.verdict_reason or "",
        disposition=attempt.disposition or "",
        campaign=attempt.campaign_id,
    )


def _note(database: Database, out: Path, exported: list[Exported]) -> None:
    with (out / MANIFEST).open("w", encoding="utf-8", newline="") as file:
        rows: list[dict[str, Any]] = [msgspec.to_builtins(one) for one in exported]
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    with database.write() as tx:
        for campaign in sorted({one.campaign for one in exported}):
            count = sum(one.campaign == campaign for one in exported)
            tx.emit(DetectionExported(campaign_id=CampaignId(campaign), clips=count))
