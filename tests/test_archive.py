"""The archive: spooled sound becomes a sealed file that opens again, what is over is deleted, and what cannot be read stays."""

from __future__ import annotations

import datetime as dt
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from amd import g711
from dialer_core import archive as archive_module
from dialer_core.archive import Archive
from dialer_core.clock import VirtualClock
from dialer_core.errors import SoundFileError
from dialer_core.media.recording_files import open_recording
from dialer_core.media.spool import Spool
from dialer_core.store import recordings
from dialer_core.store.database import Database, open_database
from dialer_core.vocabulary import AgentId, CampaignId, new_id
from tests.polling import wait_until

pytestmark = pytest.mark.unit

MASTER = bytes(range(32))
START = dt.datetime(2026, 11, 22, 18, 0, tzinfo=dt.UTC)


@pytest.fixture
def clock() -> VirtualClock:
    """Return a clock of the test's own."""
    return VirtualClock(START)


@pytest.fixture
def database(tmp_path: Path, clock: VirtualClock) -> Iterator[Database]:
    """Yield a store."""
    store = open_database(f"sqlite:///{tmp_path / 'archive.db'}", clock=clock, boot_id="b")
    store.migrate()
    yield store
    store.dispose()


def _archive(database: Database, folder: Path, clock: VirtualClock, container: str = "flac") -> Archive:
    return Archive(
        database, folder, MASTER, node="node1", container=container, retention_days=10.0, clock=clock,  # type: ignore[arg-type]
        on_stored=lambda: None,
    )  # fmt: skip


def _spooled(database: Database, folder: Path, seconds: int = 3) -> str:
    recording_id = new_id()
    with database.write() as tx:
        recordings.begin(
            tx,
            recording_id,
            attempt_id=None,
            campaign_id=CampaignId("c"),
            agent_id=AgentId("ana"),
            node="node1",
            at_utc=START,
        )
    spool = Spool(folder, MASTER)
    t = np.arange(8000 * seconds) / 8000
    pcm = np.stack([6000 * np.sin(2 * np.pi * hz * t) for hz in (500, 900)], axis=1).astype(np.int16)
    octets = g711.encode_pcmu(pcm)
    for second in range(seconds):
        spool.write(recording_id, second * 8000, octets[second * 8000 : (second + 1) * 8000].tobytes())
    spool.close_file(recording_id, discard=False)
    spool.close()
    return recording_id


def _state(database: Database, recording_id: str) -> recordings.RecordingView:
    with database.read() as tx:
        found = recordings.get(tx, recording_id)
    assert found is not None
    return found


@pytest.mark.parametrize("container", ["opus", "flac"])
def test_a_spooled_recording_is_stored_and_plays(
    tmp_path: Path, database: Database, clock: VirtualClock, container: str
) -> None:
    """Two channels at their place, the spool gone, checksum and size those of the file; FLAC to the sample."""
    recording_id = _spooled(database, tmp_path)
    archive = _archive(database, tmp_path, clock, container)
    assert archive.look() == 1
    found = _state(database, recording_id)
    assert (found.state, found.seconds, found.container) == ("stored", 3.0, container)
    assert [file.suffix for file in tmp_path.glob(f"{recording_id}*")] == [".rec"]
    plain = open_recording(tmp_path, recording_id, MASTER, found.sha256 or "")
    sound, rate_hz = soundfile.read(io.BytesIO(plain))
    assert (rate_hz, sound.shape[1]) == (8000, 2)
    for channel, hz in enumerate((500, 900)):
        spectrum = np.abs(np.fft.rfft(sound[8000:16000, channel]))
        assert int(np.argmax(spectrum)) == hz
    assert archive.look() == 0


def test_a_changed_file_or_another_key_is_refused(
    tmp_path: Path, database: Database, clock: VirtualClock
) -> None:
    """The checksum tells what was changed on the disk, the seal what was not sealed here."""
    recording_id = _spooled(database, tmp_path)
    _archive(database, tmp_path, clock).look()
    sha256 = _state(database, recording_id).sha256 or ""
    with pytest.raises(SoundFileError, match="another key"):
        open_recording(tmp_path, recording_id, bytes(32), sha256)
    file = tmp_path / f"{recording_id}.rec"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(SoundFileError, match="checksum"):
        open_recording(tmp_path, recording_id, MASTER, sha256)


def test_a_recording_is_deleted_when_its_time_is_over(
    tmp_path: Path, database: Database, clock: VirtualClock
) -> None:
    """After the days of retention the file is gone and the row says so; a day before it is there."""
    recording_id = _spooled(database, tmp_path)
    archive = _archive(database, tmp_path, clock)
    archive.look()
    clock.set_elapsed_s(9 * 86_400)
    archive.look()
    assert _state(database, recording_id).state == "stored"
    clock.set_elapsed_s(11 * 86_400)
    archive.look()
    assert _state(database, recording_id).state == "expired"
    assert not list(tmp_path.glob(f"{recording_id}*"))


def test_what_a_dead_media_plane_left_is_archived_with_what_came_after(
    tmp_path: Path, database: Database, clock: VirtualClock
) -> None:
    """An open spool that nobody writes to is taken, its part first; one that cannot be read is kept and told as lost."""
    recording_id = _spooled(database, tmp_path)
    (tmp_path / f"{recording_id}.done").rename(tmp_path / f"{recording_id}.spool")
    os.utime(tmp_path / f"{recording_id}.spool", (START.timestamp() - 100, START.timestamp() - 100))
    broken = _spooled(database, tmp_path)
    (tmp_path / f"{broken}.done").write_bytes(b"nothing")
    archive = _archive(database, tmp_path, clock)
    assert archive.look() == 1
    assert (_state(database, recording_id).state, _state(database, broken).state) == ("stored", "lost")
    assert (tmp_path / f"{broken}.done").exists()


def test_no_part_is_stored_before_the_last_one_is_closed(
    tmp_path: Path, database: Database, clock: VirtualClock
) -> None:
    """The second media plane still records when the first one's part is found left: both come into one file, and a refusal deletes both."""
    for refused in (False, True):
        recording_id = _spooled(database, tmp_path)
        left = tmp_path / f"{recording_id}.spool"
        (tmp_path / f"{recording_id}.done").rename(left)
        spool = Spool(tmp_path, MASTER)
        spool.write(recording_id, 0, b"\xff" * 16000)
        wait_until((tmp_path / f"{recording_id}.2.spool").exists, 5, "the second part")
        os.utime(left, (START.timestamp() - 100, START.timestamp() - 100))
        os.utime(tmp_path / f"{recording_id}.2.spool", (START.timestamp(), START.timestamp()))
        archive = _archive(database, tmp_path, clock)
        assert archive.look() == 0
        assert not left.exists()
        spool.close_file(recording_id, discard=refused)
        spool.close()
        assert archive.look() == (not refused)
        if refused:
            assert not list(tmp_path.glob(f"{recording_id}*"))
        else:
            assert _state(database, recording_id).seconds == 4.0


def test_what_somebody_did_not_want_is_deleted(
    tmp_path: Path, database: Database, clock: VirtualClock
) -> None:
    """Switched off and stored, or still spooled, and refused after: the sound goes and the row says refused; nothing stores it again."""
    stored, spooled = _spooled(database, tmp_path), _spooled(database, tmp_path)
    archive = _archive(database, tmp_path, clock)
    (tmp_path / f"{spooled}.done").rename(tmp_path / f"{spooled}.spool")
    os.utime(tmp_path / f"{spooled}.spool", (START.timestamp(), START.timestamp()))
    assert archive.look() == 1
    with database.write() as tx:
        assert recordings.refuse(tx, None, [stored, spooled]) == sorted([stored, spooled])
    archive.look()
    assert not list(tmp_path.glob(f"{stored}*"))
    assert (_state(database, stored).state, _state(database, spooled).state) == ("refused", "unwanted")
    (tmp_path / f"{spooled}.spool").rename(tmp_path / f"{spooled}.done")
    assert archive.look() == 0
    assert not list(tmp_path.glob(f"{spooled}*"))
    assert _state(database, spooled).state == "refused"


def test_a_library_that_fails_on_one_recording_keeps_the_others(
    tmp_path: Path, database: Database, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that nobody foresaw is told once, its parts stay, and the archive works on."""
    broken, good = sorted([_spooled(database, tmp_path), _spooled(database, tmp_path)])
    real = archive_module.finish

    def failing(parts: list[Path], folder: Path, recording_id: str, *rest: Any) -> Any:
        if recording_id == broken:
            raise RuntimeError("libsndfile says no")
        return real(parts, folder, recording_id, *rest)

    monkeypatch.setattr(archive_module, "finish", failing)
    archive = _archive(database, tmp_path, clock)
    assert archive.look() == 1
    assert archive.look() == 0
    assert _state(database, good).state == "stored"
    assert (tmp_path / f"{broken}.done").exists()
