"""A file of 5 GB: its import takes the memory that a small one's takes. The short form of it, and the whole by `make soak`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dialer_core.store.bulk import CACHE_KIB

DIALER = (sys.executable, "-c", "import sys; from cli import main; sys.exit(main())")
WIDE = 40
ROW_BYTES = 10_000
SLACK_BYTES = 24 << 20
"""What more may be taken: buffers, the allocator's mood."""
SEEN_BYTES = 72
"""An account in the table of those seen (`seen_rows.py`): 46 at most, and half of it again for the smaller table that it grew out of."""
MAPPING = '[file]\ndelimiter = ";"\n[columns]\n' + "".join(f'"nota {n}" = "-"\n' for n in range(WIDE))


def write_file(path: Path, size_bytes: int) -> int:
    """Write rows of 10 kB, line breaks in some of their cells, up to a size; return how many."""
    filler = f'"{"gestión sin contacto, " * 5}\n{"promesa de pago; " * 7}"'
    notes = ";".join(filler for _ in range(WIDE))
    rows = size_bytes // (len(notes.encode()) + 30)
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("cuenta;telefono;" + ";".join(f"nota {n}" for n in range(WIDE)) + "\n")
        for number in range(rows):
            file.write(f"{rows}-{number};55{10_000_000 + number};{notes}\n")
    return rows


def import_file(folder: Path, size_bytes: int) -> tuple[int, str]:
    """Import a file by the command line; return the largest memory of its processes, in bytes, and what it says."""
    file = folder / f"{size_bytes}.csv"
    rows = write_file(file, size_bytes)
    (folder / "m.toml").write_text(MAPPING, encoding="utf-8")
    importing = subprocess.Popen(
        [*DIALER, "leads", "import", file, "--campaign", "cobranza", "--mapping", folder / "m.toml"],
        cwd=folder, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert importing.stdout is not None
    with importing.stdout as out:
        said = out.read()
    _, status, used = os.wait4(importing.pid, 0)  # of it and of the process that reads, the larger one
    importing.returncode = os.waitstatus_to_exitcode(status)
    file.unlink()
    assert importing.returncode == 0, said
    assert f"{rows} rows: {rows} new, 0 updated, 0 unchanged, 0 rejected" in said
    return used.ru_maxrss << 10, said


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder with a configuration."""
    subprocess.run(
        [*DIALER, "init"], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    return tmp_path


@pytest.mark.db
def test_memory_does_not_grow_with_the_file(place: Path) -> None:
    """Four times the file, the same memory; every row of 10 kB with line breaks in its cells goes in."""
    small, _ = import_file(place, 10 << 20)
    large, _ = import_file(place, 40 << 20)
    assert large < small + SLACK_BYTES


@pytest.mark.soak
def test_a_file_of_5_gb(place: Path) -> None:
    """Half a million rows of 10 kB."""
    small, _ = import_file(place, 10 << 20)
    size_bytes = 5 << 30
    whole, said = import_file(place, size_bytes)
    print(said, f"{small / 1e6:.0f} MB for 10 MB, {whole / 1e6:.0f} MB for 5 GB")  # noqa: T201 - the figure to keep
    assert whole < small + (CACHE_KIB << 10) + SEEN_BYTES * (size_bytes // ROW_BYTES) + SLACK_BYTES
