"""The demonstration's world: a folder, free ports, the simulator and the dialer as processes.

It owns processes and files. It owns neither the screen (`commands/demo.py`) nor the judgement (`report.py`).
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from string import Template

from dialer_core.campaigns.leads_import import import_leads
from dialer_core.children import end_with_parent
from dialer_core.clock import SystemClock
from dialer_core.errors import StartError
from dialer_core.settings import Settings, load_settings
from dialer_core.store import access
from dialer_core.store import campaigns as campaign_rows
from dialer_core.store.access import UserView
from dialer_core.store.database import Database, open_database
from dialer_core.vocabulary import CampaignId
from dialer_core.web import passwords

CAMPAIGN = CampaignId("demo")
BROADCAST = CampaignId("aviso")
"""Its flow speaks to three people and a voicemail; who asks for an agent gets Fernanda."""
LEADS = {CAMPAIGN: "leads.csv", BROADCAST: "aviso.csv"}
PEOPLE = (
    "525500000301=press:1@4s,press:1@3s,talk:5.5s",
    "525500000302=press:1@4s,press:2@3s",
    "525500000303=press:1@4s,press:1@3s,talk:5.5s",
)
"""What the people of the broadcast do: say who they are, then ask for an agent, or for a statement."""
EXTENSION = "legal"
"""To whom Fernanda hands her first customer on."""
SOFTPHONES = 6
SIP_WORKERS = 24
"""Ports set aside for line workers; more than 24 lines and six agents need with any pjsua2."""
MEDIA_PORTS = 400
SIM_PORTS = 400
LOW_PORT, HIGH_PORT = 16_000, 20_000
"""Below the kernel's ephemeral ports, so that nobody's outgoing socket takes one of ours, and between what a dialer has by default: who runs one
beside a demonstration keeps its line workers' ports and its sound's."""
READY_LIMIT_S = 30.0
DRAIN_LIMIT_S = 30.0
STOP_LIMIT_S = 30.0
HURRY_S = 1.0
"""Not waiting for conversations: a second SIGTERM ends them."""
SEED = 1
ANA_WRAPS_UP_S = 90.0
"""Whoever sits at Ana's desk may take their time."""
USERS = (
    UserView(id="maria", role="supervisor", extension="maria"),
    UserView(id="ana", role="agent", agent="ana"),
)
"""With `--web`; they share a password made for the run."""


def _free(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_block(count: int, taken: set[int]) -> int:
    """Return the first of `count` consecutive ports that are free now, and enter them in `taken`.

    Raises
    ------
    StartError
        None was found.
    """
    for _ in range(200):
        first = random.randrange(LOW_PORT, HIGH_PORT - count) & ~1
        block = range(first, first + count)
        if (
            taken.isdisjoint(block)
            and all(_free(port, socket.SOCK_DGRAM) for port in block)
            and _free(first, socket.SOCK_STREAM)
        ):
            taken.update(block)
            return first
    raise StartError(f"no {count} consecutive free ports between {LOW_PORT} and {HIGH_PORT} on 127.0.0.1")


@dataclass(frozen=True, slots=True)
class Ports:
    """Every port of one demonstration. `legal` and `supervisor` are softphones too, of nobody who is an agent."""

    carrier: int
    softphones: tuple[int, ...]
    legal: int
    supervisor: int
    sip: int
    http: int
    media: int
    sim: int

    @classmethod
    def choose(cls) -> Ports:
        """Choose ports that are free now."""
        taken: set[int] = set()
        first = free_block(4 + SOFTPHONES, taken)
        return cls(
            carrier=first,
            softphones=tuple(range(first + 2, first + 2 + SOFTPHONES)),
            legal=first + 2 + SOFTPHONES,
            supervisor=first + 3 + SOFTPHONES,
            sip=free_block(SIP_WORKERS, taken),
            http=free_block(1, taken),
            media=free_block(MEDIA_PORTS, taken),
            sim=free_block(SIM_PORTS, taken),
        )

    def substitutes(self, *, web: bool = False) -> dict[str, str]:
        """Return what the configuration's placeholders stand for; with `web`, screens are served, and Ana is whoever sits at hers."""
        pages = ("metrics", "status_page", "agent_desk") if web else ("metrics",)
        supervisor = f'[extensions.maria]\nsip = "sip:maria@127.0.0.1:{self.supervisor}"\nsupervises = true\n'
        return {
            "plugins": ", ".join(f'"{name}"' for name in pages),
            "extensions": f"\n{supervisor}" if web else "",
            "ana": f"wrap_up_s = {ANA_WRAPS_UP_S:g}" if web else "auto_ready = true",
            "legal": str(self.legal),
            "carrier_port": str(self.carrier),
            "sip_port": str(self.sip),
            "http_port": str(self.http),
            "media_ports": f"{self.media}-{self.media + MEDIA_PORTS - 1}",
            **{f"softphone_{index}": str(port) for index, port in enumerate(self.softphones, 1)},
        }


def write_config(directory: Path, substitutes: Mapping[str, str]) -> None:
    """Write the demonstration's configuration, with the packaged rule packs."""
    packaged = files("dialer_core.demo") / "config"
    campaigns = tuple(f"campaigns/{name}.toml" for name in LEADS)
    for name in ("dialer.toml", "trunks.toml", "agents.toml", "flows/aviso.toml", *campaigns):
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        text = packaged.joinpath(*name.split("/")).read_text(encoding="utf-8")
        target.write_text(Template(text).substitute(substitutes), encoding="utf-8")
    packs = directory / "compliance"
    packs.mkdir(exist_ok=True)
    defaults = files("dialer_core") / "config_defaults"
    (packs / "demo.toml").write_bytes((defaults / "compliance" / "demo.toml").read_bytes())
    (directory / "scripts").mkdir(exist_ok=True)
    (directory / "scripts" / "general.toml").write_bytes((defaults / "scripts" / "general.toml").read_bytes())


@dataclass(slots=True)
class World:
    """One running demonstration.

    Parameters
    ----------
    folder
        Everything it writes.
    ports
        Its ports.
    """

    folder: Path
    ports: Ports
    web: bool = False
    """Screens are served, conversations last long enough to be looked at, and Ana's are somebody's at a browser."""
    password: str = field(default_factory=passwords.make)
    """Of the users of the screens."""
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        """The configuration folder."""
        return self.folder / "config"

    @property
    def sim_log(self) -> Path:
        """What the carrier and the softphones wrote down."""
        return self.folder / "sim" / "log.jsonl"

    @property
    def dialer_log(self) -> Path:
        """The dialer's own log."""
        return self.folder / "dialer.log"

    @property
    def settings(self) -> Settings:
        """The configuration as the dialer reads it."""
        return load_settings(self.config)

    def prepare(self) -> int:
        """Write the configuration and prompts, make the store, import the leads; return how many went in."""
        write_config(self.config, self.ports.substitutes(web=self.web))
        (self.config / "recordings.key").write_text(base64.b64encode(os.urandom(32)).decode())
        with as_file(files("dialer_core.demo") / "prompts") as prompts:
            shutil.copytree(prompts, self.folder / "prompts")
        settings = self.settings
        database = open_database(settings.store_url, node=settings.dialer.node.name)
        try:
            database.migrate()
            with database.write() as tx:
                campaign_rows.sync(
                    tx, {name: its.model_dump(mode="json") for name, its in settings.campaigns.items()}
                )
            accepted = sum(self._import(database, campaign) for campaign in LEADS)
            if self.web:
                self._let_in(database)
        finally:
            database.dispose()
        return accepted

    def _import(self, database: Database, campaign: CampaignId) -> int:
        with as_file(files("dialer_core.demo") / LEADS[campaign]) as leads:
            report = import_leads(
                database,
                leads,
                campaign,
                clock=SystemClock(),
                strict=True,
                reject_dir=self.folder / "rejects",
            )
        return report.accepted

    def _let_in(self, database: Database) -> None:
        """Make the demonstration's users."""
        kept = passwords.hashed(self.password)
        with database.write() as tx:
            for user in USERS:
                access.add_user(tx, user, kept, tx.utc(), actor="demo")

    def start_simulator(self, *people: str) -> None:
        """Start the simulated carrier and softphones, and wait until every port listens; `people` do something besides, as do `PEOPLE`.

        Raises
        ------
        StartError
            It did not come up.
        """
        arguments = [
            "--carrier-port", str(self.ports.carrier),
            "--softphone-ports", ",".join(map(str, (*self.ports.softphones, self.ports.legal, self.ports.supervisor))),
            "--rtp-ports", f"{self.ports.sim}-{self.ports.sim + SIM_PORTS - 1}",
            "--log", str(self.sim_log), "--recordings", str(self.folder / "sim" / "recordings"),
            "--seed", str(SEED), "--talk-s", "10-25" if self.web else "1.5-3",
            *(part for person in (*PEOPLE, *people) for part in ("--person", person)),
        ]  # fmt: skip
        process = self._spawn("sim", ["-m", "dialer_core.sim", *arguments], output=subprocess.PIPE)
        assert process.stdout is not None  # noqa: S101 - asked for a pipe
        ready, _, _ = select.select([process.stdout], [], [], READY_LIMIT_S)
        line = process.stdout.readline() if ready else b""
        if not line or json.loads(line).get("event") != "sim_ready":
            raise StartError(f"the simulator did not start; see {self.folder / 'sim.err'}")

    def start_dialer(self) -> None:
        """Start `dialer run` as anyone would."""
        self._spawn("dialer", ["-m", "dialer_core.commands.cli", "run", "--config", str(self.config)])

    def dialer_ended(self) -> bool:
        """Say whether `dialer run` has ended by itself."""
        return self._processes["dialer"].poll() is not None

    def drain(self) -> int:
        """End the dialer as its operator would, with SIGTERM; return its exit status."""
        return self._end("dialer", DRAIN_LIMIT_S)

    def stop_simulator(self) -> int:
        """End the simulator: its log and recordings are whole then."""
        return self._end("sim", STOP_LIMIT_S)

    def close(self) -> None:
        """End whatever still runs."""
        for name in ("dialer", "sim"):
            if name in self._processes:
                self._end(name, HURRY_S)
        if (self.config / "dialer.toml").exists():
            shutil.rmtree(self.settings.run_dir, ignore_errors=True)  # nobody listens there any more

    def _spawn(
        self, name: str, arguments: list[str], *, output: int | None = None
    ) -> subprocess.Popen[bytes]:
        log = self.folder / ("dialer.log" if name == "dialer" else f"{name}.err")
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MARCADOR_")}
        with log.open("wb") as stream:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=stream if output is None else output,
                stderr=stream,
                env=environment,
                start_new_session=True,  # a Ctrl-C is ours to act on
                preexec_fn=end_with_parent,  # noqa: PLW1509 - this process has no other thread yet
            )
        self._processes[name] = process
        return process

    def _end(self, name: str, limit_s: float) -> int:
        process = self._processes[name]
        for number, wait_s in ((signal.SIGTERM, limit_s), (signal.SIGTERM, 15.0), (signal.SIGKILL, 5.0)):
            if process.poll() is None:
                process.send_signal(number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(wait_s)
        if process.stdout is not None:
            process.stdout.close()
        return process.wait()


@contextlib.contextmanager
def world(folder: Path, *, web: bool = False) -> Iterator[World]:
    """Make a world in this folder; everything it started has ended when the block does."""
    made = World(folder=folder, ports=Ports.choose(), web=web)
    try:
        yield made
    finally:
        made.close()
