"""`dialer amd`: recordings of every kind are judged, or refused in one line, and drawn."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from amd import DetectorConfig
from dialer_core.commands.amd_recordings import Judgement, Unheard, judged
from dialer_core.commands.cli import main
from dialer_core.media.clips import Clip, write_clip
from dialer_core.settings import load_settings
from dialer_core.store import scan
from dialer_core.store.database import open_database
from dialer_core.vocabulary import new_id
from tests.amd import sounds
from tests.campaigns.lists import CAMPAIGN, NOON, put_lead, put_list_campaign
from tests.compliance.test_detection_quality import put_calls

pytestmark = [pytest.mark.db]

KEYS = ["file", "label", "reason", "confidence", "decision_s", "greeting_end_s", "beep_s", "revisions"]


def invoke(*arguments: str | Path) -> Result:
    """Run a command line in this process."""
    return CliRunner().invoke(main, ["amd", *(str(argument) for argument in arguments)])


def classify(*paths: str | Path) -> tuple[list[dict[str, object]], int]:
    """Return the objects of `dialer amd classify --json` and its exit status."""
    result = invoke("classify", *paths, "--json")
    return [json.loads(line) for line in result.stdout.splitlines()], result.exit_code


def noisy(*parts: sounds.Sound, noise_dbfs: float = -60.0) -> sounds.Sound:
    """Return parts one after another over a line's noise."""
    sound = np.concatenate(parts)
    return sound + np.random.default_rng(1).standard_normal(sound.size) * 10 ** (noise_dbfs / 20)


def hello() -> sounds.Sound:
    """A person: a short greeting and a quiet line."""
    return noisy(sounds.silence(0.6), sounds.speech(0.6, np.random.default_rng(7)), sounds.silence(1.5))


def greeting() -> sounds.Sound:
    """A machine: a long greeting and a beep."""
    return noisy(
        sounds.silence(0.3),
        sounds.speech(7.0, np.random.default_rng(8)),
        sounds.silence(0.5),
        sounds.tone(1000.0, 0.4),
        sounds.silence(0.3),
    )


def write(path: Path, sound: NDArray[np.float64], rate_hz: int = 8000, **options: str) -> Path:
    """Write a sound file and return its path."""
    soundfile.write(path, sound, rate_hz, **options)
    return path


def at_rate(sound: sounds.Sound, rate_hz: int) -> NDArray[np.float64]:
    """Return 8 kHz sound at another rate, by its spectrum: exact for what is below 4 kHz."""
    from scipy.signal import resample

    resampled: NDArray[np.float64] = resample(sound, round(sound.size * rate_hz / 8000))
    return resampled


def test_a_line_for_each_file_in_order(tmp_path: Path) -> None:
    """Files as given, folders with all below them in order; exactly the documented fields, times in seconds from the answer."""
    folder = tmp_path / "calls"
    (folder / "b").mkdir(parents=True)
    first = write(folder / "a.wav", hello())
    second = write(folder / "b" / "c.FLAC", greeting(), format="FLAC")
    (folder / "notes.txt").write_text("not sound")
    found, status = classify(second, folder)
    assert status == 0
    assert [one["file"] for one in found] == [str(second), str(first), str(second)]
    assert all(list(one) == KEYS for one in found)
    machine, human, again = found
    assert {**machine, "file": ""} == {**again, "file": ""}
    assert (machine["label"], human["label"]) == ("machine", "human")
    assert human["greeting_end_s"] == pytest.approx(1.2, abs=0.1)
    assert human["decision_s"] > human["greeting_end_s"]  # type: ignore[operator]
    assert machine["beep_s"] == pytest.approx(8.2, abs=0.06)
    assert human["beep_s"] is None


@pytest.mark.parametrize(("rate_hz", "channels"), [(8000, 2), (11025, 1), (16000, 6), (44100, 1), (48000, 2)])
def test_rate_and_channels_change_nothing(tmp_path: Path, rate_hz: int, channels: int) -> None:
    """The same call at any rate, on any number of channels, gets the same label within two ticks."""
    (plain,), _ = classify(write(tmp_path / "plain.wav", greeting()))
    sound = np.repeat(at_rate(greeting(), rate_hz)[:, None], channels, axis=1)
    (found,), status = classify(write(tmp_path / "other.flac", sound, rate_hz))
    assert status == 0
    assert found["label"] == plain["label"]
    # the classifier looks every 100 ms, and resampling may move odds at the bar to one of the two looks after
    assert found["decision_s"] == pytest.approx(plain["decision_s"], abs=0.24)
    assert found["beep_s"] == pytest.approx(plain["beep_s"], abs=0.04)


def test_one_channel_of_several(tmp_path: Path) -> None:
    """`--channel` hears one side of a recording of both."""
    person, machine = hello(), greeting()
    sides = np.zeros((machine.size, 2))
    sides[: person.size, 0], sides[:, 1] = person, machine
    file = write(tmp_path / "both.wav", sides)
    labels = [
        json.loads(invoke("classify", file, "--json", "--channel", number).stdout)["label"] for number in "12"
    ]
    assert labels == ["human", "machine"]
    refused = invoke("classify", file, "--channel", "3")
    assert refused.exit_code == 1
    assert "has 2 channel(s)" in refused.stderr


def test_nothing_looks_ahead(tmp_path: Path) -> None:
    """What comes after a verdict cannot have changed it: the recording cut there, or going on otherwise, gets it too."""
    sound = at_rate(greeting(), 44100)
    (whole,), _ = classify(write(tmp_path / "whole.wav", sound, 44100))
    cut = round(whole["decision_s"] * 44100)  # type: ignore[operator]
    changed = sound.copy()
    changed[cut:] = np.random.default_rng(2).uniform(-0.9, 0.9, changed.size - cut)
    for name, other in (("cut", sound[:cut]), ("changed", changed)):
        (found,), _ = classify(write(tmp_path / f"{name}.wav", other, 44100))
        assert [found[key] for key in KEYS[1:6]] == [whole[key] for key in KEYS[1:6]], name


def test_a_recording_that_ends_early_goes_on_as_a_quiet_line(tmp_path: Path) -> None:
    """A greeting cut off at its last sound is still judged: who is silent after it waits for an answer."""
    (found,), status = classify(write(tmp_path / "short.wav", hello()[: round(1.2 * 8000)]))
    assert (found["label"], status) == ("human", 0)


@pytest.mark.parametrize(
    ("sound", "label"),
    [
        (np.zeros(8000), "silence"),
        (np.full(16000, 0.3), "silence"),
        (np.zeros(1), "silence"),
        (np.clip(hello() * 100, -1, 1), "human"),
        (sounds.cadenced("us_busy", 4.0), "busy"),
        (sounds.cadenced("mx_ringback", 9.0), "ringback"),
    ],
    ids=["silence", "a constant", "one sample", "clipped", "busy tone", "ringing tone"],
)
def test_odd_sound_has_a_documented_verdict(tmp_path: Path, sound: sounds.Sound, label: str) -> None:
    """Silence and a constant are `silence`; clipped speech is speech; what rings and is answered by nobody is `ringback`."""
    (found,), status = classify(write(tmp_path / "odd.wav", sound))
    assert (found["label"], status) == (label, 0)


def bad_files(folder: Path) -> dict[str, Path]:
    """Every kind of file that cannot be judged, by what its line must say."""
    empty = folder / "empty.wav"
    empty.touch()
    text = folder / "text.flac"
    text.write_text("this is no sound")
    nan = np.zeros(800)
    nan[400] = np.nan
    whole = write(folder / "whole.flac", hello()).read_bytes()
    cut = folder / "cut.flac"
    cut.write_bytes(whole[:60])
    rate = bytearray(write(folder / "rate.wav", hello()).read_bytes())
    rate[24:28] = struct.pack("<I", 2_000_000_000)
    (folder / "rate.wav").write_bytes(rate)
    (folder / "none").mkdir()
    return {
        "is empty: 0 bytes": empty,
        "is not a readable WAV or FLAC file": text,
        "no numbers (NaN or infinite), the first at 0.050 s": write(folder / "nan.wav", nan, subtype="FLOAT"),
        "its length is 0": write(folder / "nothing.wav", np.zeros(0)),
        "unknown error in flac decoder": cut,
        "its header says 2000000000 Hz": folder / "rate.wav",
        "there is no such file": folder / "missing.wav",
        "no WAV or FLAC file is in this folder": folder / "none",
    }


def test_a_bad_file_is_one_line_and_the_others_are_judged(tmp_path: Path) -> None:
    """Each file that cannot be judged gets an object with its error in its place, the others their verdict, and the status is 1."""
    good = write(tmp_path / "good.wav", hello())
    bad = bad_files(tmp_path)
    found, status = classify(*bad.values(), good)
    assert status == 1
    assert found[-1]["label"] == "human"
    for (text, path), one in zip(bad.items(), found, strict=False):
        assert list(one) == ["file", "error"]
        assert one["file"] == str(path)
        assert text in str(one["error"]), one
    told = invoke("classify", *bad.values(), good)
    assert told.exit_code == 1
    assert len(told.stderr.splitlines()) == len(bad)
    assert len(told.stdout.splitlines()) == 1


def test_a_truncated_recording_is_judged_as_far_as_it_goes(tmp_path: Path) -> None:
    """A WAV file whose end is missing has the sound that is there."""
    file = write(tmp_path / "cut.wav", greeting())
    file.write_bytes(file.read_bytes()[: 44 + 2 * 8 * 6001 + 1])
    (found,), status = classify(file)
    assert (found["label"], status) == ("machine", 0)


def test_explain_draws(tmp_path: Path) -> None:
    """`explain` writes a PNG of some size and says the same as `classify`."""
    file = write(tmp_path / "vm.wav", greeting())
    result = invoke("explain", file, "--out", tmp_path / "vm.png", "--json")
    assert result.exit_code == 0, result.output
    (judged,), _ = classify(file)
    assert json.loads(result.stdout)["judgement"] == judged
    picture = (tmp_path / "vm.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", picture[16:24])
    assert (width, height) == (1320, 792)


def test_explain_refuses_in_one_line(tmp_path: Path) -> None:
    """No such recording, no such folder for the picture, and a picture that would not be a PNG, are told without a trace."""
    missing = invoke("explain", tmp_path / "missing.wav")
    assert missing.exit_code == 1
    assert missing.stderr.count("\n") == 1
    assert "there is no such file" in missing.stderr
    unwritable = invoke("explain", write(tmp_path / "a.wav", hello()), "--out", tmp_path / "none" / "a.png")
    assert unwritable.exit_code == 1
    assert "cannot be written" in unwritable.stderr
    misnamed = invoke("explain", tmp_path / "a.wav", "--out", tmp_path / "call.jpg")
    assert misnamed.exit_code == 2
    assert "pictures are PNG" in misnamed.stderr
    assert not (tmp_path / "call.jpg").exists()


def test_quality_is_shown_for_each_campaign_and_for_one(tmp_path: Path) -> None:
    """`quality` reads the store: a campaign nobody has heard anything of is unknown, and an unknown campaign is refused."""
    config = tmp_path / "config"
    assert CliRunner().invoke(main, ["init", str(config)]).exit_code == 0
    configured = load_settings(config)
    configured.state_dir.mkdir()
    database = open_database(configured.store_url, node="node1")
    database.migrate()
    with database.write() as tx:
        put_list_campaign(tx)
        listed = put_lead(tx, ["+525512345678"])
        talked = {"outcome": "connected", "live_answer": True, "bridged_mono_ns": 5, "verdict": "machine"}
        put_calls(tx, listed, 95, NOON, sample=(0.05, False))
        put_calls(tx, listed, 4, NOON, sample=(0.05, True), disposition="machine", **talked)
        put_calls(tx, listed, 1, NOON, sample=(0.05, True), disposition="promise", **talked)
    database.dispose()
    found = invoke("quality", "--config", config, "--json")
    assert found.exit_code == 0, found.output
    by_name = {one["campaign"]: one for one in json.loads(found.stdout)}
    assert by_name["cobranza"]["people_lost"] == {"estimate": None, "low": 0.0, "high": 1.0}
    one = by_name[CAMPAIGN]
    assert (one["machine_verdicts"], one["sampled_heard"], one["sampled_people"]) == (100, 5, 1)
    assert one["lost_calls"] == pytest.approx(19.0)
    shown = invoke("quality", CAMPAIGN, "--config", config)
    assert "100.00%" in shown.stdout  # nobody was passed: all people there were, were lost
    refused = invoke("quality", "nobody", "--config", config)
    assert refused.exit_code == 1
    assert "known are: cobranza" in refused.stderr


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=400), kind=st.sampled_from(["raw", "wav", "flac", "nan"]))
def test_any_file_gets_a_line(tmp_path: Path, content: bytes, kind: str) -> None:
    """Random bytes as a file, as the samples of one, and as what follows a header: a judgement or an error, never an exception."""
    file = tmp_path / f"any.{'flac' if kind == 'flac' else 'wav'}"
    if kind in {"raw", "flac"}:
        file.write_bytes((b"fLaC" if kind == "flac" else b"") + content)
    elif kind == "wav":
        soundfile.write(file, np.frombuffer(content[: len(content) // 2 * 2], np.int16), 8000)
    else:
        soundfile.write(
            file, np.frombuffer(content[: len(content) // 4 * 4], np.float32), 8000, subtype="FLOAT"
        )
    (found,) = judged([file], DetectorConfig(limit_s=1.5))
    assert isinstance(found, Judgement | Unheard)
    assert found.file == str(file)


def test_a_learned_announcement_is_recognised(tmp_path: Path) -> None:
    """`learn-announcement` keeps landmarks and label; `classify` with that index knows a recording later, softer and in noise, and others not."""
    config = tmp_path / "config"
    assert CliRunner().invoke(main, ["init", str(config)]).exit_code == 0
    recording = sounds.speech(4.0, np.random.default_rng(21))
    learned = invoke(
        "learn-announcement", "gone", write(tmp_path / "gone.wav", recording), "--config", config, "--json"
    )
    assert learned.exit_code == 0, learned.output
    index = json.loads(learned.stdout)["file"]
    call = write(tmp_path / "call.wav", noisy(sounds.silence(0.7), 0.3 * recording))
    other = write(
        tmp_path / "other.wav", noisy(sounds.silence(0.7), sounds.speech(4.0, np.random.default_rng(22)))
    )
    result = invoke("classify", call, other, "--announcements", index, "--json")
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one["reason"] == "fingerprint" for one in found] == [True, False]
    assert found[0]["label"] == "announcement"
    question = sounds.speech(4.0, np.random.default_rng(23))
    asked = write(tmp_path / "question.wav", question)
    learned = invoke(
        "learn-announcement", "assistant", asked, "--label", "screening", "--config", config, "--json"
    )
    assert json.loads(learned.stdout)["labels"] == ["announcement", "screening"]
    call = write(tmp_path / "asked.wav", noisy(sounds.silence(0.4), 0.5 * question))
    told = json.loads(invoke("classify", call, "--announcements", index, "--json").stdout)
    assert (told["label"], told["reason"]) == ("screening", "fingerprint")
    short = invoke(
        "learn-announcement", "short", write(tmp_path / "short.wav", np.zeros(8000)), "--config", config
    )
    assert short.exit_code == 1
    assert "pairs of landmarks" in short.stderr
    Path(index).write_bytes(b"something else")
    broken = invoke("classify", call, "--announcements", index)
    assert broken.exit_code == 1
    assert "is no index of announcements" in broken.stderr
    assert "pickle" not in broken.stderr


def test_clips_are_exported_with_what_was_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`export` decrypts the clips of calls it knows, labels them by the agent's word or else the verdict, notes it, and purges when told."""
    config, key = tmp_path / "config", bytes(range(32))
    assert CliRunner().invoke(main, ["init", str(config)]).exit_code == 0
    out = tmp_path / "out"
    assert "clips.key_env: is missing" in invoke("export", "--out", out, "--config", config).stderr
    assert invoke("export", "--config", config).exit_code == 2
    monkeypatch.setenv("MARCADOR_CLIPS__KEY_ENV", "TEST_CLIP_KEY")
    monkeypatch.setenv("TEST_CLIP_KEY", key.hex())
    configured = load_settings(config)
    configured.clips_dir.mkdir(parents=True)
    database = open_database(configured.store_url, node="node1")
    database.migrate()
    with database.write() as tx:
        put_list_campaign(tx)
        listed = put_lead(tx, ["+525512345678"])
        put_calls(tx, listed, 1, NOON, verdict="machine", disposition="promise")
        put_calls(tx, listed, 1, NOON, verdict="machine")
    with database.read() as tx:
        ids = [row.id for row in scan.rows(tx, "attempt", "id")]
    octets = bytes(range(256)) * 20
    for law, one in zip(("PCMU", "PCMA"), ids, strict=True):
        write_clip(configured.clips_dir, key, Clip(clip_id=one, law=law, octets=octets))
    write_clip(configured.clips_dir, key, Clip(clip_id=new_id(), law="PCMU", octets=octets))
    assert "no campaign 'nobody'" in invoke("export", "nobody", "--out", out, "--config", config).stderr
    result = invoke("export", "--out", out, "--config", config, "--json")
    assert result.exit_code == 0, result.output
    found = {one["file"]: (one["label"], one["heard"]) for one in json.loads(result.stdout)["exported"]}
    assert found == {f"{ids[0]}.wav": ("human", True), f"{ids[1]}.wav": ("machine", False)}
    assert soundfile.info(out / f"{ids[0]}.wav").frames == len(octets)
    assert len((out / "manifest.csv").read_text().splitlines()) == 3
    with database.read() as tx:
        assert [row.data for row in scan.rows(tx, "event", "seq", "data", order_by=("seq",))] == [
            {"clips": 2}
        ]
    heard = json.loads(
        invoke("export", "--out", tmp_path / "heard", "--heard", "--config", config, "--json").stdout
    )
    assert [one["file"] for one in heard["exported"]] == [f"{ids[0]}.wav"]
    monkeypatch.setenv("TEST_CLIP_KEY", key[::-1].hex())
    wrong = invoke("export", "--out", out, "--config", config)
    assert wrong.exit_code == 1
    assert wrong.stderr.count("another key") == 2
    purged = json.loads(invoke("export", "--purge", "--config", config, "--json").stdout)
    assert purged["deleted"] == 3
    database.dispose()
