"""Clips: encrypted for one key and one call, written outside the packet thread, and gone after their time."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from dialer_core.clock import SystemClock
from dialer_core.errors import ConfigError, SoundFileError
from dialer_core.ipc.messages import Listen
from dialer_core.media import clips
from dialer_core.media.clips import Clip, ClipWriter, purge, read_clip, write_clip
from dialer_core.media.listener import Listener
from dialer_core.media.rtp import FRAME_NS, NEWEST, PCMA, RESTARTED
from dialer_core.media.sealing import parse_key
from dialer_core.vocabulary import DetectionMode, LegId
from tests.media.test_listener import START_NS, FakeLeg
from tests.polling import wait_until

pytestmark = pytest.mark.unit

KEY = bytes(range(32))
CLIP = Clip(clip_id="0199aaaa-0000-7000-8000-000000000001", law="PCMA", octets=b"\xd5" * 1600)


def test_a_clip_is_read_with_its_key_and_under_its_name_alone(tmp_path: Path) -> None:
    """The sound is nowhere in the file; another key, another name, or one changed bit, and nothing is read."""
    file = write_clip(tmp_path, KEY, CLIP)
    assert read_clip(file, KEY) == CLIP
    content = file.read_bytes()
    assert CLIP.octets[:32] not in content
    assert file.stat().st_mode & 0o077 == 0
    with pytest.raises(SoundFileError, match="another key"):
        read_clip(file, KEY[::-1])
    for place in (0, len(content) // 2, len(content) - 1):
        changed = bytearray(content)
        changed[place] ^= 1
        file.write_bytes(changed)
        with pytest.raises(SoundFileError):
            read_clip(file, KEY)
    file.write_bytes(content)
    other = file.rename(tmp_path / "0199aaaa-0000-7000-8000-000000000002.clip")
    with pytest.raises(SoundFileError):
        read_clip(other, KEY)
    other.write_bytes(content[:20])
    with pytest.raises(SoundFileError):
        read_clip(other, KEY)


def test_a_key_is_32_bytes_and_never_told() -> None:
    """Base64 and hexadecimal are taken; anything else is refused without quoting it."""
    assert parse_key(base64.b64encode(KEY).decode() + "\n", "clips") == KEY
    assert parse_key(KEY.hex(), "clips") == KEY
    for wrong in ("", "secret", base64.b64encode(KEY[:31]).decode()):
        with pytest.raises(ConfigError) as told:
            parse_key(wrong, "clips")
        assert not wrong or wrong not in str(told.value)


def test_what_is_old_is_deleted(tmp_path: Path) -> None:
    """Retention counts from when a clip was written; other files are left alone."""
    file = write_clip(tmp_path, KEY, CLIP)
    (tmp_path / "notes.txt").touch()
    written_s = file.stat().st_mtime
    assert purge(tmp_path, 86_400, written_s + 86_000) == 0
    assert purge(tmp_path, 86_400, written_s + 87_000) == 1
    assert [one.name for one in tmp_path.iterdir()] == ["notes.txt"]


def test_the_writer_writes_and_purges_by_itself(tmp_path: Path) -> None:
    """What was kept is in its file when the writer has closed; at its start it deletes what is past its time."""
    old = write_clip(tmp_path, KEY, Clip(clip_id="old", law="PCMU", octets=b""))
    os.utime(old, (1, 1))
    writer = ClipWriter(tmp_path, KEY, 30.0, SystemClock())
    wait_until(lambda: not old.exists(), 5.0, "the old clip to be deleted")
    writer.keep(CLIP)
    writer.close()
    assert read_clip(tmp_path / f"{CLIP.clip_id}.clip", KEY) == CLIP
    assert writer.left_out == 0


def test_a_folder_that_cannot_be_listed_does_not_end_the_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No descriptor is left when old clips are looked for: what is kept afterwards is written all the same."""

    def no_descriptor(*_all: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(clips, "purge", no_descriptor)
    writer = ClipWriter(tmp_path, KEY, 30.0, SystemClock())
    writer.keep(CLIP)
    writer.close()
    assert read_clip(tmp_path / f"{CLIP.clip_id}.clip", KEY) == CLIP


def test_the_listener_keeps_the_first_seconds_of_whoever_asked(tmp_path: Path) -> None:
    """A leg with a clip's id is kept as it was heard, in its own law, no longer than was asked; one without is not kept."""
    kept: list[Clip] = []
    listener = Listener(on_clip=kept.append, clip_s=1.0)
    asked, other = FakeLeg("asked"), FakeLeg("other")
    mode = DetectionMode.FAST
    listener.listen(asked, Listen(leg_id=LegId("asked"), mode=mode, clip_id="A"))  # type: ignore[arg-type]
    listener.listen(other, Listen(leg_id=LegId("other"), mode=mode))  # type: ignore[arg-type]
    frames = [bytes([n % 200]) * 160 for n in range(70)]
    for n, frame in enumerate(frames):
        for leg in (asked, other):
            if leg.ear is not None:
                leg.ear.push(NEWEST if n else RESTARTED, PCMA, n * 160, frame, START_NS + n * FRAME_NS)
        listener.tick(START_NS + n * FRAME_NS)
    listener.forget(asked)  # type: ignore[arg-type]
    listener.forget(other)  # type: ignore[arg-type]
    assert kept == [Clip(clip_id="A", law="PCMA", octets=b"".join(frames[:50]))]
