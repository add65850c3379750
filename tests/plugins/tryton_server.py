"""A real Tryton server (party, account, dunning) on SQLite, prepared once and started on a port of its own, as a process apart.

    with tryton_server(tmp_path) as tryton:
        tryton.add([Debt("Ana Díaz", "+525512345678", "1500.50", days=40)])
        tryton.find("ir.note", [], ["message", "resource"])

It owns the prepared database, kept for all runs with these versions of these modules, and the server's life. What is done inside is proteus's
(`tryton_script.py`).
"""

from __future__ import annotations

import datetime as dt
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx2

from tests.host.running import free_port
from tests.polling import wait_until

USER = "admin"
PASSWORD = "the-password-of-tests"
DATABASE = "tryton"
MODULES = ("trytond", "trytond_party", "trytond_account", "trytond_account_dunning", "proteus")
_SCRIPT = Path(__file__).with_name("tryton_script.py")
_PREPARE_LIMIT_S = 100.0
_START_LIMIT_S = 30.0


@dataclass(frozen=True)
class Debt:
    """A party with a mobile number (empty: none) and one receivable, so many days overdue."""

    name: str
    phone: str
    amount: str
    days: int = 40


class TrytonServer:
    """A running server.

    Parameters
    ----------
    folder
        With its configuration and database.
    port
        On 127.0.0.1.
    """

    user = USER
    password = PASSWORD

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.url = f"http://127.0.0.1:{port}/{DATABASE}/"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        assert self._process is None
        log = (self.folder / "trytond.log").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "trytond.cli", "-c", "trytond.conf", "-d", DATABASE],
            cwd=self.folder, stdout=log, stderr=log, env=_environment(self.folder),
        )  # fmt: skip
        log.close()
        wait_until(self._answers, _START_LIMIT_S, "Tryton to answer")

    def stop(self) -> None:
        """End it at once, as a crash would; `start` brings it back with what was committed."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def add(self, debts: Sequence[Debt]) -> list[int]:
        """Write parties with their debts, and have Tryton make the dunnings; return the parties' ids."""
        return list(self._ask("debts", [asdict(one) for one in debts]))

    def find(self, model: str, domain: Sequence[Any], fields: Sequence[str]) -> list[dict[str, Any]]:
        """Return what it holds of a model, by proteus."""
        return list(self._ask("find", {"model": model, "domain": list(domain), "fields": ["id", *fields]}))

    def call(self, model: str, method: str, *args: Any) -> Any:
        """Call a model's method as a client would: `delete`, `write`."""
        return self._ask("call", {"model": model, "method": method, "args": list(args)})

    def _ask(self, what: str, given: Any) -> Any:
        done = subprocess.run(
            [sys.executable, str(_SCRIPT), what, self.url + "rpc/"],
            input=json.dumps(given), capture_output=True, text=True, check=False,
            env={**os.environ, "TRYTON_USER": USER, "TRYTON_PASSWORD": PASSWORD},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "trytond.log").read_text()
        body = {"id": 0, "method": "common.server.version", "params": []}
        try:
            return httpx2.post(f"http://127.0.0.1:{self.port}/rpc/", json=body, trust_env=False).is_success
        except httpx2.TransportError:
            return False


@contextmanager
def tryton_server(
    folder: Path, port: int | None = None, *, debts: Sequence[Debt] = ()
) -> Iterator[TrytonServer]:
    """Yield a running server on a copy of the prepared database; it ends with the block.

    `debts` are in it from the beginning, and kept with the prepared database: a thousand are made once (half a minute), not in each run.
    """
    number = port or free_port()
    shutil.copy(prepared(debts), folder / f"{DATABASE}.sqlite")
    _configure(folder, number)
    server = TrytonServer(folder, number)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def prepared(debts: Sequence[Debt] = ()) -> Path:
    """Return the prepared database for these versions and debts, made where it is missing (some ten seconds)."""
    # how overdue a debt is counts from the day of its making: tomorrow it is made anew
    today = dt.datetime.now(dt.UTC).date().isoformat() if debts else ""
    about = (
        " ".join(f"{name}={version(name)}" for name in MODULES)
        + _SCRIPT.read_text(encoding="utf-8")
        + repr([*debts])
        + today
    )
    name = f"marcador-tests-{os.getuid()}-tryton-{hashlib.sha256(about.encode()).hexdigest()[:16]}"
    folder = Path(tempfile.gettempdir()) / name
    folder.mkdir(mode=0o700, exist_ok=True)
    done = folder / "prepared.sqlite"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            with tempfile.TemporaryDirectory(dir=folder) as place:
                if debts:
                    with tryton_server(Path(place)) as server:
                        server.add(debts)
                else:
                    _prepare(Path(place))
                (Path(place) / f"{DATABASE}.sqlite").rename(done)
    return done


def _prepare(folder: Path) -> None:
    (folder / f"{DATABASE}.sqlite").touch()
    _configure(folder, 0)
    (folder / "password").write_text(PASSWORD)
    python = sys.executable
    for command in (
        [python, "-c", "from trytond.cli.admin import main; main()", "-c", "trytond.conf", "-d", DATABASE,
         "-u", "account_dunning", "--activate-dependencies", "--email", "admin@example.org"],
        [python, str(_SCRIPT), "prepare", "trytond.conf"],
    ):  # fmt: skip
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
            timeout=_PREPARE_LIMIT_S, env=_environment(folder) | {"TRYTONPASSFILE": str(folder / "password")},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


def _configure(folder: Path, port: int) -> None:
    (folder / "trytond.conf").write_text(
        f"[database]\nuri = sqlite://\npath = {folder}\n[web]\nlisten = 127.0.0.1:{port}\n"
        "[password]\nlength = 4\n[session]\nmax_attempt = 1000000\nmax_attempt_ip_network = 1000000\n"
    )


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRYTOND_")}
    return kept | {"TRYTOND_CONFIG": str(folder / "trytond.conf")}
