"""The node that is to be killed: far ends, store, configuration and `dialer run`, all real processes, and the way to each process's id.

Owns their life and the configuration. What is killed and when is `rounds.py`'s, what is judged `oracle.py`'s.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx2

from dialer_core.campaigns.leads_import import import_leads
from dialer_core.children import end_with_parent
from dialer_core.clock import SystemClock
from dialer_core.demo.world import free_block
from dialer_core.errors import DialerError
from dialer_core.http.tokens import read_token
from dialer_core.settings import Settings, load_settings
from dialer_core.store import campaigns
from dialer_core.store.database import Database, open_database
from dialer_core.vocabulary import CampaignId
from tests.e2e.live import marked_processes, toml
from tests.kill.carrier_watch import CarrierWatch
from tests.kill.far_ends import PULSE_AREA, TALK_AREA
from tests.kill.server import PostgresServer
from tests.polling import wait_until

ROOT = Path(__file__).resolve().parents[2]
TALK, PULSE = "talk", "pulse"
TALKERS, PULSERS = 6, 2
LINES = 24
SOCKETS = 40
"""Ports for line workers."""
MARK = "E2E_FLOOR"
START_LIMIT_S = 40.0
END_LIMIT_S = 60.0
_AGAIN = {"after_minutes": 0.01, "max_attempts": 100}


class Node:
    """One node at work on two campaigns: `talk`, whose people talk, and `pulse`, whose numbers are busy at once, so that INVITEs never cease.

    Parameters
    ----------
    folder
        Everything it writes.
    seed
        Of the far ends' behaviour.
    server
        The PostgreSQL it stores in; SQLite in the folder where None.
    environment
        Over this process's own.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seed: int,
        server: PostgresServer | None = None,
        leads: int = 1500,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self.seed, self.server = folder, seed, server
        folder.mkdir(parents=True, exist_ok=True)
        taken: set[int] = set()
        self.carrier_port = free_block(2, taken)
        self.softphones = free_block(2 * (TALKERS + PULSERS), taken)
        self.sip, self.http_port = free_block(SOCKETS, taken), free_block(2, taken)
        self.media, self.sim_rtp = free_block(200, taken), free_block(400, taken)
        self._run_dir = Path(tempfile.mkdtemp(prefix="mk-"))
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.mark = f"kill-{os.getpid()}-{self.http_port}"
        self._environment = {**os.environ, MARK: self.mark, **(environment or {})}
        self.config = folder / "config"
        self._configure()
        self.settings: Settings = load_settings(self.config)
        self.database: Database = open_database(self.settings.store_url, node="kill-test")
        self.database.migrate()
        self._import(leads)
        self.wire = CarrierWatch(folder / "sim" / "log.jsonl")
        self._client: httpx2.Client | None = None
        self._log_offset = 0
        self._log_rest = b""
        self.pids: dict[str, int] = {}
        """Process ids by name: media, engine, host, and each worker's."""
        self.notes: list[dict[str, Any]] = []
        """Log lines of errors, as they came."""

    # --- before it runs ------------------------------------------------------------------------------------------------

    def _configure(self) -> None:
        (self.config / "campaigns").mkdir(parents=True)
        (self.config / "compliance").mkdir()
        pack = (files("dialer_core") / "config_defaults" / "compliance" / "demo.toml").read_text(
            encoding="utf-8"
        )
        pack = re.sub(r"(?m)^limit = \d+$", "limit = 100000", pack)  # the pulse dials the same few for hours
        (self.config / "compliance" / "demo.toml").write_text(pack, encoding="utf-8")
        sections: dict[str, dict[str, Any]] = {
            "node": {"name": "kill", "run_dir": str(self._run_dir), "state_dir": str(self.folder / "state")},
            "store": {"url": self.server.url} if self.server else {},
            "sip": {"first_port": self.sip},
            "media": {"rtp_ports": f"{self.media}-{self.media + 199}"},
            "http": {"port": self.http_port},
            "plugins": {"enabled": []},
        }
        self._write("dialer.toml", "".join(f"[{name}]\n{toml(its)}" for name, its in sections.items()))
        trunk = {
            "host": "127.0.0.1", "port": self.carrier_port, "lines": LINES, "calls_per_second": 12, "options_interval_s": 0,
        }  # fmt: skip
        self._write("trunks.toml", f"[trunks.carrier]\n{toml(trunk)}")
        agents = ""
        for index in range(TALKERS + PULSERS):
            campaign = TALK if index < TALKERS else PULSE
            uri = f"sip:a{index}@127.0.0.1:{self.softphones + index}"
            agents += f"[agents.a{index}]\n{toml({'sip': uri, 'auto_ready': True, 'campaigns': [campaign]})}"
        self._write("agents.toml", agents)
        finished = (
            "connected",
            "abandoned",
            "machine",
            "invalid_number",
            "announcement",
            "sit",
            "caller_hung_up",
            "no_answer",
        )
        recycle: dict[str, dict[str, Any]] = {name: {"finish": True} for name in finished}
        recycle |= dict.fromkeys(("busy", "interrupted", "cancelled", "media_failed", "internal"), _AGAIN)
        common = {
            "creditor": "Banco de Prueba", "rule_pack": "demo", "caller_id": "+525500000000", "trunks": ["carrier"],
            "pacing": "progressive", "detection": "fast", "ring_limit_s": 5, "wrap_up_s": 0.8, "failover": False,
        }  # fmt: skip
        for name in (TALK, PULSE):
            tables = "".join(f"[recycle.{outcome}]\n{toml(rule)}" for outcome, rule in recycle.items())
            self._write(f"campaigns/{name}.toml", toml(common) + tables)

    def _write(self, name: str, text: str) -> None:
        (self.config / name).write_text(text, encoding="utf-8")

    def _import(self, leads: int) -> None:
        with self.database.write() as tx:
            campaigns.sync(
                tx, {name: its.model_dump(mode="json") for name, its in self.settings.campaigns.items()}
            )
        for name, area, count in ((TALK, TALK_AREA, leads), (PULSE, PULSE_AREA, 300)):
            # suffixes are spread, so that every behaviour comes early
            rows = [
                f"{name}{index},Persona {index},+{area}{500000 + index // 100:06}{index * 37 % 100:02}"
                for index in range(count)
            ]
            file = self.folder / f"{name}.csv"
            file.write_text("\n".join(["cuenta,nombre,telefono", *rows, ""]), encoding="utf-8")
            report = import_leads(
                self.database, file, CampaignId(name), clock=SystemClock(), reject_dir=self.folder / "rejects"
            )
            if report.accepted != count:
                raise RuntimeError(f"of {count} leads {report.accepted} were imported: {report}")

    # --- life ----------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start far ends and dialer, and wait until it dials."""
        sim = [
            "-m", "tests.kill.far_ends", "--folder", str(self.folder / "sim"), "--carrier-port", str(self.carrier_port),
            "--softphone-ports", f"{self.softphones}-{self.softphones + TALKERS + PULSERS - 1}",
            "--rtp-ports", f"{self.sim_rtp}-{self.sim_rtp + 399}", "--seed", str(self.seed),
        ]  # fmt: skip
        process = self._spawn("sim", sim, output=subprocess.PIPE)
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], START_LIMIT_S)
        if not ready or b"sim_ready" not in process.stdout.readline():
            raise RuntimeError(f"the far ends did not start: {(self.folder / 'sim.err').read_text()[-2000:]}")
        self._spawn("dialer", ["-m", "dialer_core.commands.cli", "run", "--config", str(self.config)])

        def dials() -> bool:
            self.poll()
            return bool(self.wire.customers)

        self.until(dials, START_LIMIT_S, "the first INVITE")

    def _spawn(
        self, name: str, arguments: list[str], *, output: int | None = None
    ) -> subprocess.Popen[bytes]:
        with (self.folder / ("dialer.log" if name == "dialer" else f"{name}.err")).open("ab") as stream:
            process = subprocess.Popen(
                [sys.executable, *arguments], cwd=ROOT, env=self._environment, stdin=subprocess.DEVNULL,
                stdout=stream if output is None else output, stderr=stream, start_new_session=True, preexec_fn=end_with_parent,  # noqa: PLW1509 - no other thread yet
            )  # fmt: skip
        self._processes[name] = process
        return process

    def poll(self) -> None:
        """Read on in the far ends' log and in the dialer's."""
        self.wire.poll()
        with (self.folder / "dialer.log").open("rb") as file:
            file.seek(self._log_offset)
            data = self._log_rest + file.read()
            self._log_offset = file.tell()
        *whole, self._log_rest = data.split(b"\n")
        for text in whole:
            if not text.startswith(b"{"):
                if text.strip():
                    self.notes.append({"event": "not_json", "text": text.decode(errors="replace")})
                continue
            line = json.loads(text)
            match line.get("event"):
                case "process_started":
                    self.pids[line["process"]] = line["pid"]
                case "worker_attached":
                    self.pids[line["worker"]] = line["pid"]
                case _:
                    if line.get("level") in ("error", "critical"):
                        self.notes.append(line)

    def until(self, predicate: Any, timeout_s: float, what: str) -> Any:
        """Wait for something while far ends and dialer live."""

        def still() -> Any:
            for name, process in self._processes.items():
                if process.poll() is not None:
                    raise RuntimeError(f"{name} ended with {process.returncode} while we waited for {what}")
            return predicate()

        return wait_until(still, timeout_s, what)

    def turn_mood(self, number: signal.Signals) -> None:
        """Turn one of the far ends' moods on or off (`far_ends.Mood`)."""
        self._processes["sim"].send_signal(number)

    def ask(self, method: str, path: str, **body: Any) -> bool:
        """Ask the API; False where it is away or refuses."""
        try:
            if self._client is None:
                token = read_token(self.settings.token_file)
                self._client = httpx2.Client(
                    base_url=f"http://127.0.0.1:{self.http_port}/api/v1", headers={"Authorization": f"Bearer {token}"},
                    timeout=2.0, trust_env=False,
                )  # fmt: skip
            return bool(self._client.request(method, path, json=body).status_code == 200)
        except (httpx2.TransportError, DialerError):
            return False

    def processes(self) -> dict[int, str]:
        """Return every living process of this node: its command line by process id."""
        return marked_processes(self.mark)

    # --- its end -------------------------------------------------------------------------------------------------------

    def drain(self) -> int:
        """End the dialer as its operator would, once conversations are over; returns its exit status."""
        return self._end("dialer", END_LIMIT_S)

    def stop_far_ends(self) -> None:
        """End the far ends: their log and recordings are whole then."""
        self._end("sim", END_LIMIT_S)
        self.poll()

    def _end(self, name: str, limit_s: float) -> int:
        process = self._processes.pop(name)
        for number, wait_s in ((signal.SIGTERM, limit_s), (signal.SIGTERM, 15.0), (signal.SIGKILL, 5.0)):
            if process.poll() is None:
                process.send_signal(number)
                try:
                    process.wait(wait_s)
                except subprocess.TimeoutExpired:
                    continue
        if process.stdout is not None:
            process.stdout.close()
        return process.wait()

    def close(self) -> None:
        """End whatever still runs, and let go of store and folder of sockets."""
        for name in ("dialer", "sim"):
            if name in self._processes:
                self._end(name, 2.0)
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if self._client is not None:
            self._client.close()
        self.database.dispose()
        for path in self._run_dir.glob("*"):
            path.unlink(missing_ok=True)
        self._run_dir.rmdir()
