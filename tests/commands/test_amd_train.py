"""`dialer amd train` and `evaluate`: a model and a report of a small run, the report on calls made from a manifest's parts, the refusals."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from amd.model import load, packaged, save
from amd.training import channel, espeak, probe
from dialer_core.commands.cli import main
from tests.amd.sounds import speech

pytestmark = [pytest.mark.unit]

CALLS = 24
LENGTHS = {
    "human_short_utterance": (0.5,),
    "human_business": (2.2,),
    "machine_greeting": (2.4, 2.8),
}


def evaluate(*arguments: str | Path) -> Result:
    """Run `dialer amd evaluate` in this process."""
    return CliRunner().invoke(main, ["amd", "evaluate", *(str(argument) for argument in arguments)])


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a manifest of three made speakers, each with a word, a business's greeting and a recording."""
    folder = tmp_path_factory.mktemp("parts")
    rng = np.random.default_rng(3)
    rows = []
    for speaker in range(3):
        for label, lengths in LENGTHS.items():
            for phrase, length in enumerate(lengths):
                name = f"{speaker}-{label}-{phrase}.wav"
                soundfile.write(folder / name, speech(length, rng), 8000)
                rows.append(
                    {
                        "file": name, "kind": "made", "label": label, "speaker": f"speaker {speaker}", "language": "es",
                        "source": "made", "notes": f"{label}:0:{phrase}",
                    }
                )  # fmt: skip
    path = folder / "manifest.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_the_report_counts_every_call_and_is_repeated_by_its_seed(manifest: Path, tmp_path: Path) -> None:
    """People, machines and pausing greetings add up to the calls asked for; the packaged model given as a file reports the same."""
    first = evaluate(manifest, "--calls", str(CALLS), "--seed", "4", "--json")
    assert first.exit_code == 0, first.output
    report = json.loads(first.stdout)
    counted = report["people"]["calls"] + report["machines"]["calls"] + report["pausing"]["calls"]
    assert counted == CALLS
    assert (
        0.0
        <= report["people"]["wilson"][0]
        <= report["people"]["share"]
        <= report["people"]["wilson"][1]
        <= 1.0
    )
    model = tmp_path / "model.npz"
    with model.open("wb") as file:
        save(packaged(), file)
    again = evaluate(manifest, "--calls", str(CALLS), "--seed", "4", "--model", model, "--json")
    assert json.loads(again.stdout) == report


def test_a_manifest_of_other_labels_is_refused_in_one_line(tmp_path: Path) -> None:
    """No row that calls are made from: which labels would be right, and no traceback."""
    path = tmp_path / "manifest.csv"
    path.write_text(
        "file,kind,label,speaker,language,source,notes\na.wav,other,dog,Rex,es,made,\n", encoding="utf-8"
    )
    result = evaluate(path)
    assert result.exit_code != 0
    assert "human_short_utterance" in result.output
    assert "Traceback" not in result.output


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_a_small_run_trains_and_measures(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """400 calls of made speakers of all three splits: a model that tells them apart, and a report on held-out speakers."""
    # without other programs, and with a probe of few calls: what they add takes minutes
    monkeypatch.setattr(espeak, "available", lambda: False)
    monkeypatch.setattr(channel, "available_codecs", tuple)
    monkeypatch.setattr(probe, "CALLS", 60)
    shared = tmp_path / "shared"
    (shared / "amd").mkdir(parents=True)
    for file in manifest.parent.iterdir():
        (shared / "amd" / file.name).write_bytes(file.read_bytes())
    table = shared / "amd" / "manifest.csv"
    renamed = table.read_text(encoding="utf-8")
    for number, speaker in enumerate(("fsdd-george", "fsdd-jackson", "fsdd-lucas")):  # train, dev and test
        renamed = renamed.replace(f"speaker {number}", speaker)
    table.write_text(renamed, encoding="utf-8")
    out = tmp_path / "model.npz"
    arguments = ["--out", str(out), "--seed", "3", "--calls", "400", "--shared", str(shared), "--json"]
    done = CliRunner().invoke(main, ["amd", "train", *arguments])
    assert done.exit_code == 0, done.output
    assert "espeak-ng is not installed" in done.stderr
    given = json.loads(done.stdout)
    assert given["report"]["people"]["calls"] + given["report"]["machines"]["calls"] > 90
    assert given["report"]["people"]["at_first"] >= 0.9 * given["report"]["people"]["calls"]
    assert 0.0 <= given["report"]["channel_probe"]["area"] <= 1.0
    with out.open("rb") as file:
        load(file)
    assert given["sources"]["calls"] == 400


def test_nothing_to_learn_from_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither parts nor espeak-ng: what would be right, and no file."""
    monkeypatch.setattr(espeak, "available", lambda: False)
    out = tmp_path / "model.npz"
    result = CliRunner().invoke(main, ["amd", "train", "--out", str(out), "--shared", str(tmp_path)])
    assert result.exit_code == 1
    assert "install espeak-ng" in result.output
    assert not out.exists()
