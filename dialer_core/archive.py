"""The archive of recordings, in the host: what is spooled is turned into its sealed file, stored, and deleted when its time is over.

It owns this work and its pace. The files are `media/recording_files.py`'s, the rows `store/recordings.py`'s. It takes its time: a call never
waits for it, and what could not be done now is tried again.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path

import structlog

from dialer_core.clock import Clock
from dialer_core.errors import SoundFileError, StoreError
from dialer_core.log_setup import place_of
from dialer_core.media.recording_files import SUFFIX, Container, Finished, finish
from dialer_core.media.spool import CLOSED_SUFFIX, OPEN_SUFFIX
from dialer_core.store import recordings
from dialer_core.store.database import Database
from dialer_core.voice_events import RecordingExpired, RecordingStored

log = structlog.get_logger(__name__)

LOOK_INTERVAL_S = 1.0
LEFT_AFTER_S = 60.0
"""A spooled file that nobody has written to for so long, and nobody has closed: its media plane has died."""


class Archive:
    """The recordings of one node.

    Parameters
    ----------
    folder
        Where the media plane spools and finished recordings lie.
    master
        The key that wraps theirs.
    retention_days
        They are deleted after so many.
    on_stored
        Called when the event log has grown.
    """

    def __init__(
        self,
        database: Database,
        folder: Path,
        master: bytes,
        *,
        node: str,
        container: Container,
        retention_days: float,
        clock: Clock,
        on_stored: Callable[[], None],
    ) -> None:
        self._database = database
        self._folder = folder
        self._master = master
        self._node = node
        self._container = container
        self._retention = dt.timedelta(days=retention_days)
        self._clock = clock
        self._on_stored = on_stored
        self._failed: set[str] = set()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await asyncio.sleep(LOOK_INTERVAL_S)
            if await asyncio.to_thread(self.look):
                self._on_stored()

    def look(self) -> int:
        """Store what is spooled and delete what is over; return how many were stored."""
        stored = 0
        try:
            self._delete_unwanted()
            for recording_id in self._waiting():
                stored += self._stored(recording_id)
            self._expire()
        except (OSError, StoreError) as error:  # the disk or the database is away: tried again in a moment
            log.error("archive_waits", problem=type(error).__name__)  # noqa: TRY400 - the type says it all
        return stored

    def _waiting(self) -> list[str]:
        now_s = self._clock.utc().timestamp()
        for left in self._folder.glob(f"*{OPEN_SUFFIX}"):
            if now_s - left.stat().st_mtime > LEFT_AFTER_S:
                left.rename(left.with_suffix(CLOSED_SUFFIX))
        closed, going_on = (
            {file.name.split(".")[0] for file in self._folder.glob(f"*{suffix}")}
            for suffix in (CLOSED_SUFFIX, OPEN_SUFFIX)
        )
        return sorted(closed - going_on - self._failed)  # all parts of a recording go into one file

    def _stored(self, recording_id: str) -> bool:
        """Store one; a fault of it (a library's, a file's) is told, and costs the others nothing."""
        try:
            return self._store(recording_id)
        except (OSError, StoreError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever sound makes of a library: the archive works on
            log.error("recording_not_stored", recording_id=recording_id, error=place_of(error))  # noqa: TRY400 - its text may be private
            self._failed.add(recording_id)  # its parts stay, for a version that can read them
            return False

    def _store(self, recording_id: str) -> bool:
        parts = sorted(
            self._folder.glob(f"{recording_id}*{CLOSED_SUFFIX}"), key=lambda file: (len(file.name), file.name)
        )
        with self._database.read() as tx:
            known = recordings.get(tx, recording_id)
        if known is not None and known.state in (recordings.UNWANTED, recordings.REFUSED):
            for part in parts:
                part.unlink(missing_ok=True)
            return False
        try:
            done: Finished | None = finish(parts, self._folder, recording_id, self._master, self._container)
        except SoundFileError as error:
            log.error("recording_lost", recording_id=recording_id, problem=str(error))  # noqa: TRY400 - the text says it all
            self._failed.add(recording_id)  # its parts stay, for whoever finds the key
            done = None
        with self._database.write() as tx:
            if done is None:
                recordings.change(tx, recording_id, state=recordings.LOST)
                return False
            recordings.change(
                tx, recording_id, state=recordings.STORED, seconds=done.seconds, container=self._container,
                size=done.size, sha256=done.sha256,
            )  # fmt: skip
            tx.emit(
                RecordingStored(
                    recording_id=recording_id, seconds=done.seconds, attempt_id=known.attempt_id if known else None,  # type: ignore[arg-type]
                    campaign_id=known.campaign if known else None,  # type: ignore[arg-type]
                )
            )  # fmt: skip
        for part in parts:
            part.unlink(missing_ok=True)
        return True

    def _delete_unwanted(self) -> None:
        """Delete the sound of those that somebody did not want after they had ended, what is still spooled of them too."""
        with self._database.read() as tx:
            found = recordings.unwanted(tx, self._node)
        for recording_id in found:
            if any(self._folder.glob(f"{recording_id}*{OPEN_SUFFIX}")):
                continue  # its end is still being written
            for file in self._folder.glob(f"{recording_id}*"):
                file.unlink(missing_ok=True)
            with self._database.write() as tx:
                recordings.change(tx, recording_id, state=recordings.REFUSED)

    def _expire(self) -> None:
        before = self._clock.utc() - self._retention
        with self._database.read() as tx:
            over = recordings.kept_before(tx, self._node, before)
        for recording_id in over:
            file = self._folder / f"{recording_id}{SUFFIX}"
            if file.exists():
                os.unlink(file)  # noqa: PTH108 - an error of it is the caller's
            with self._database.write() as tx:
                recordings.change(tx, recording_id, state=recordings.EXPIRED)
                tx.audit("recording.expired", f"recording {recording_id}")
                tx.emit(RecordingExpired(recording_id=recording_id))
