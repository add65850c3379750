"""The real dialer for a test: its configuration, `dialer run` with every process it starts, its API, its store, its end.

Owns the dialer's processes and the judgement that every test ends with: exit status 0, nothing left running, no invariant violated. Far
ends are `carrier.py`'s and `softphone.py`'s.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from sqlalchemy import select

from dialer_core.campaigns.leads_import import import_leads
from dialer_core.clock import SystemClock
from dialer_core.compliance.packs import load_packs
from dialer_core.errors import DialerError
from dialer_core.http.tokens import read_token
from dialer_core.settings import Settings, load_settings
from dialer_core.store import campaigns, models
from dialer_core.store.database import Database, open_database
from dialer_core.verify import verify_store
from dialer_core.vocabulary import CampaignId
from tests.e2e.ports import Ports
from tests.polling import wait_until

ROOT = Path(__file__).resolve().parents[2]
CAMPAIGN = "cobranza"
START_LIMIT_S = 25.0
STOP_LIMIT_S = 25.0
MARK = "E2E_FLOOR"
"""Environment variable by which every process of a dialer is known, whoever its parent is by then."""
DIALER = (sys.executable, "-c", "from cli import main; main()")
T = TypeVar("T")


def number(suffix: int, index: int = 0) -> str:
    """Return a fictional number in Mexico City whose last two digits choose the carrier's behaviour."""
    return f"+5255{500000 + index:06}{suffix:02}"


def toml(table: Mapping[str, Any]) -> str:
    """Return key = value lines; JSON's texts, numbers, booleans and lists are TOML's, tables are written inline."""

    def text(value: object) -> str:
        if isinstance(value, Mapping):
            return "{ " + ", ".join(f"{key} = {text(inner)}" for key, inner in value.items()) + " }"
        return json.dumps(value)

    return "".join(f"{key} = {text(value)}\n" for key, value in table.items())


def marked_processes(mark: str) -> dict[int, str]:
    """Return every living process that was started with this mark in its environment: its command line by process id."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):  # gone meanwhile, or somebody else's
            if f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                if state != "Z":
                    found[int(entry.name)] = b" ".join(words).decode(errors="replace")
    return found


class Dialer:
    """One configuration, and the dialer that runs with it.

    Parameters
    ----------
    folder
        For configuration, state and logs.
    trunks, agents
        Settings by name, over the defaults of these tests.
    campaign
        Settings over the defaults of these tests.
    sections
        More sections of `dialer.toml`, or others instead.
    store_url
        SQLite in the folder where empty.
    """

    def __init__(
        self,
        folder: Path,
        ports: Ports,
        *,
        trunks: Mapping[str, Mapping[str, Any]],
        agents: Mapping[str, Mapping[str, Any]],
        campaign: Mapping[str, Any] | None = None,
        store_url: str = "",
        environment: Mapping[str, str] | None = None,
        sections: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.ports = ports
        self.folder = folder
        self.config = folder / "config"
        self.run_dir = Path(tempfile.mkdtemp(prefix="me-"))  # short: a socket's path may have some 100 bytes
        self._write(trunks, agents, campaign or {}, store_url, sections or {})
        self.settings: Settings = load_settings(self.config)
        self.database: Database = open_database(self.settings.store_url, node="test")
        self.database.migrate()
        self._mark = uuid.uuid4().hex
        self._environment = {**os.environ, MARK: self._mark, **(environment or {})}
        self._log_file = folder / "dialer.log"
        self._client: httpx2.Client | None = None
        self._rows = 0
        self.process: subprocess.Popen[bytes] | None = None

    def _write(
        self,
        trunks: Mapping[str, Mapping[str, Any]],
        agents: Mapping[str, Mapping[str, Any]],
        campaign: Mapping[str, Any],
        store_url: str,
        more: Mapping[str, Mapping[str, Any]],
    ) -> None:
        (self.config / "campaigns").mkdir(parents=True)
        (self.config / "compliance").mkdir()
        pack = files("dialer_core") / "config_defaults" / "compliance" / "demo.toml"
        (self.config / "compliance" / "demo.toml").write_bytes(pack.read_bytes())
        first, last = self.ports.rtp
        sections: dict[str, dict[str, Any]] = {
            "node": {"run_dir": str(self.run_dir), "state_dir": str(self.folder / "state")},
            "store": {"url": store_url} if store_url else {},
            "sip": {"first_port": self.ports.workers},
            "media": {"rtp_ports": f"{first}-{last}"},
            "http": {"port": self.ports.http},
            "plugins": {"enabled": []},
            **more,
        }
        (self.config / "dialer.toml").write_text(
            "".join(f"[{name}]\n{toml(its)}" for name, its in sections.items()), encoding="utf-8"
        )
        base_trunk = {"host": "127.0.0.1", "lines": 8, "calls_per_second": 10, "options_interval_s": 0}
        (self.config / "trunks.toml").write_text(
            "".join(f"[trunks.{name}]\n{toml(base_trunk | dict(its))}" for name, its in trunks.items()),
            encoding="utf-8",
        )
        (self.config / "agents.toml").write_text(
            "".join(f"[agents.{name}]\n{toml({'auto_ready': True, **its})}" for name, its in agents.items()),
            encoding="utf-8",
        )
        base_campaign: dict[str, Any] = {
            "creditor": "Banco de Prueba", "rule_pack": "demo", "caller_id": "+525500000000", "trunks": list(trunks),
            "pacing": "progressive", "detection": "fast", "ring_limit_s": 6, "wrap_up_s": 0.3,
        }  # fmt: skip
        (self.config / "campaigns" / f"{CAMPAIGN}.toml").write_text(
            toml(base_campaign | dict(campaign)), encoding="utf-8"
        )

    # --- life --------------------------------------------------------------------------------------------------------

    def import_numbers(self, numbers: Sequence[str]) -> None:
        """Put a lead for each number on the campaign's list, through the import."""
        file = self.folder / f"leads-{self._rows}.csv"
        rows = [
            f"C{self._rows + index},Persona {self._rows + index},{text}" for index, text in enumerate(numbers)
        ]
        self._rows += len(rows)
        file.write_text("\n".join(["cuenta,nombre,telefono", *rows, ""]), encoding="utf-8")
        with self.database.write() as tx:
            campaigns.sync(
                tx, {name: its.model_dump(mode="json") for name, its in self.settings.campaigns.items()}
            )
        report = import_leads(
            self.database, file, CampaignId(CAMPAIGN), clock=SystemClock(), reject_dir=self.folder / "rejects"
        )
        assert (report.accepted, report.rejected) == (len(rows), 0), report

    def start(self, limit_s: float = START_LIMIT_S) -> None:
        """Run `dialer run`, until the API says that media plane and workers are there."""
        with self._log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [*DIALER, "run", "--config", str(self.config)],
                cwd=ROOT, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.until(self.is_up, limit_s, "the dialer to be up")

    def is_up(self) -> bool:
        """Say whether the API answers and the engine has workers and media plane."""
        if self._client is None:
            with suppress(DialerError):  # there is none yet
                token = read_token(self.settings.token_file)
                self._client = httpx2.Client(
                    base_url=f"http://127.0.0.1:{self.ports.http}/api/v1",
                    headers={"Authorization": f"Bearer {token}"}, timeout=15.0, trust_env=False,
                )  # fmt: skip
        with suppress(httpx2.TransportError, AssertionError):
            status = self.status()
            kinds = {worker["id"].partition("-")[0] for worker in status["workers"] if worker["attached"]}
            return bool(status["media_attached"]) and kinds >= {"customers", "agents"}
        return False

    def until(self, predicate: Callable[[], T], timeout_s: float, what: str) -> T:
        """Wait for something while the dialer lives."""

        def still() -> T:
            assert self.process is not None
            assert self.process.poll() is None, (
                f"the dialer ended with {self.process.returncode}: {self.log()[-3000:]}"
            )
            return predicate()

        return wait_until(still, timeout_s, what)

    def terminate(self) -> None:
        """Ask it to drain and stop."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)

    def wait_end(self, timeout_s: float = STOP_LIMIT_S) -> int:
        """Wait for its end and return its exit status."""
        assert self.process is not None
        return self.process.wait(timeout_s)

    def processes(self) -> dict[int, str]:
        """Return every living process of this dialer: its command line by process id."""
        return marked_processes(self._mark)

    def pid(self, name: str) -> int:
        """Return the id of the process that is `media`, `engine` or `host` now; a spare that waits is none of them."""
        return int([line["pid"] for line in self.logged("process_started") if line["process"] == name][-1])

    def close(self) -> None:
        """Stop it if it runs, end what is left of it, and fail if anything was."""
        try:
            if self.process is not None and self.process.poll() is None:
                for patience_s in (
                    10.0,
                    STOP_LIMIT_S,
                ):  # asked twice, it ends the talks of a test that failed
                    self.terminate()
                    with suppress(subprocess.TimeoutExpired):
                        self.wait_end(patience_s)
                        break
            left = self.processes()
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if self.process is not None:
                self.process.wait()
        finally:
            sys.stderr.write(self.log())  # shown by pytest where a test fails
            if self._client is not None:
                self._client.close()
            sockets = sorted(path.name for path in self.run_dir.glob("*"))
            shutil.rmtree(self.run_dir, ignore_errors=True)
        try:
            if self.process is not None:
                assert not left, f"still running after SIGTERM: {left}"
                assert self.process.returncode == 0
                assert not sockets, f"sockets left behind: {sockets}"
                self.verify()
        finally:
            self.database.dispose()

    # --- what it says --------------------------------------------------------------------------------------------------

    def log(self) -> str:
        """Everything its processes have written."""
        return self._log_file.read_text(errors="replace") if self._log_file.exists() else ""

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The log lines of an event."""
        lines = (json.loads(line) for line in self.log().splitlines() if line.startswith("{"))
        return [line for line in lines if line.get("event") == event]

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx2.Response:
        """Ask the API, and return what it answers, whatever that is."""
        assert self._client is not None
        return self._client.request(method, path, json=body)

    def get(self, path: str) -> Any:
        """GET of the API; AssertionError where it does not say 200."""
        answer = self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, **body: Any) -> Any:
        """POST of the API; AssertionError where it does not say 200."""
        answer = self.ask("POST", path, body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def status(self) -> Any:
        """The engine's status."""
        return self.get("/status")

    def campaign(self) -> Any:
        """The campaign now."""
        return self.get(f"/campaigns/{CAMPAIGN}")

    def agent(self, name: str) -> Any:
        """An agent now."""
        return self.get(f"/agents/{name}")

    def trunk(self, name: str) -> Any:
        """A trunk now."""
        return next(trunk for trunk in self.status()["trunks"] if trunk["id"] == name)

    def login(self, *names: str) -> None:
        """Log agents in, until they are ready; whoever is `auto_ready` has been since the start."""
        for name in names:
            if self.agent(name)["state"] == "logged_out":
                self.post(f"/agents/{name}/login")
        for name in names:
            self.wait_agent(name, "ready")

    def wait_agent(self, name: str, *states: str, timeout_s: float = 15.0) -> Any:
        """Wait until an agent is in one of these states."""

        def there() -> Any:
            agent = self.agent(name)
            return agent if agent["state"] in states else None

        return self.until(there, timeout_s, f"agent {name} to be {' or '.join(states)}")

    def wait_outcomes(self, count: int, timeout_s: float = 40.0) -> None:
        """Wait until so many attempts have ended since the engine started."""
        self.until(
            lambda: sum(self.campaign()["outcomes"].values()) >= count, timeout_s, f"{count} attempts to end"
        )

    def ended(self, to: str, count: int = 1, timeout_s: float = 20.0) -> list[Any]:
        """Wait until so many attempts at a number are stored as ended, and return all of them."""

        def all_ended() -> list[Any] | None:
            attempts = self.attempts(to)
            return attempts if len(attempts) >= count and all(a.outcome for a in attempts) else None

        return self.until(all_ended, timeout_s, f"{count} attempts at a number to end")

    def in_state(self, to: str, state: str) -> Any:
        """Wait until the last attempt at a number is stored to be in a state, and return it."""

        def stored() -> Any:
            attempts = self.attempts(to)
            return attempts[-1] if attempts and attempts[-1].state == state else None

        return self.until(stored, 10.0, f"an attempt to be {state}")

    # --- what it stored ------------------------------------------------------------------------------------------------

    def attempts(self, to: str = "") -> list[Any]:
        """Every attempt's row, or those at one number; the oldest first."""
        table = models.Attempt.__table__
        query = select(table).order_by(table.c.id)
        with self.database.read() as tx:
            return list(tx.execute(query.where(table.c.number == to) if to else query))

    def events(self, *names: str, attempt: str = "") -> list[Any]:
        """The rows of the event log with these names, or all, in order."""
        table = models.EventRow.__table__
        query = select(table).order_by(table.c.at_mono_ns, table.c.seq)
        if names:
            query = query.where(table.c.name.in_(names))
        if attempt:
            query = query.where(table.c.attempt_id == attempt)
        with self.database.read() as tx:
            return list(tx.execute(query))

    def leads(self) -> list[Any]:
        """Every lead's row."""
        with self.database.read() as tx:
            return list(tx.execute(select(models.Lead.__table__)))

    def legs(self, kind: str) -> list[Any]:
        """Every leg's row of a kind, the oldest first."""
        table = models.Leg.__table__
        with self.database.read() as tx:
            return list(tx.execute(select(table).where(table.c.kind == kind).order_by(table.c.id)))

    def intervals(self, agent: str) -> list[tuple[str, str]]:
        """States and reasons that an agent went through."""
        table = models.AgentInterval.__table__
        query = select(table).where(table.c.agent_id == agent).order_by(table.c.from_mono_ns, table.c.id)
        with self.database.read() as tx:
            return [(row.state, row.reason) for row in tx.execute(query)]

    def verify(self) -> None:
        """Fail with every violated invariant of the store and the logs."""
        report = verify_store(
            self.database,
            packs=load_packs(self.config / "compliance"),
            trunks=self.settings.trunks,
            logs=[self._log_file],
        )
        assert not report.violations, "\n".join(str(violation) for violation in report.violations)
