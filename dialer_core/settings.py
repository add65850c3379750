"""The configuration directory as checked, frozen objects: `dialer.toml`, `trunks.toml`, `agents.toml`, `campaigns/NAME.toml`.

It owns the shape and the checks of settings and how a mistake is told (file, key, allowed values). It does not own rule packs
(`compliance/packs.py`) nor any state: that lives in the store.

Every setting of `dialer.toml` can be overridden by an environment variable `MARCADOR_SECTION__KEY`; secrets are named, never written, in the files.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from dialer_core.edge_settings import INNER_HOST, EdgeSettings, Port
from dialer_core.errors import ConfigError
from dialer_core.toml_files import explain, read_secret, read_toml, section_table, with_environment
from dialer_core.vocabulary import AgentId, CampaignId, DetectionMode, Outcome, PacingMode, SrtpUse, TrunkId
from dialer_core.voice_settings import ExtensionSettings, RecordingSettings, RecordSettings


def _check_e164(number: str) -> str:
    if not (number.startswith("+") and number[1:].isdigit() and 7 <= len(number) - 1 <= 15):
        msg = "must be a number in E.164 form, such as +525512345678"
        raise ValueError(msg)
    return number


def _check_name(name: str) -> str:
    if not name or len(name) > 64 or not all(c.isalnum() or c in "-_." for c in name):
        msg = "names are 1 to 64 letters, digits, '-', '_' or '.'"
        raise ValueError(msg)
    return name


def _check_port_range(ports: str) -> str:
    low, _, high = ports.partition("-")
    if not (low.isdigit() and high.isdigit() and 1024 <= int(low) < int(high) <= 65535):
        msg = "must be a range of ports such as 20000-29999, within 1024-65535"
        raise ValueError(msg)
    return ports


def _check_secret(variable: str, file: Path | None) -> None:
    if variable and file:
        msg = "give password_env or password_file, not both"
        raise ValueError(msg)


E164 = Annotated[str, AfterValidator(_check_e164)]
PortRange = Annotated[str, AfterValidator(_check_port_range)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Codec = Literal["PCMU", "PCMA"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class NodeSettings(_Section):
    """`[node]`: this machine among others."""

    name: Annotated[str, AfterValidator(_check_name)] = "node1"
    """Name of this node in ids, events and leases."""
    state_dir: Path = Path("state")
    """Database, tokens and reject files; relative to the configuration's parent folder."""
    run_dir: Path | None = None
    """Sockets of the running processes; by default a short folder under the user's runtime directory."""


class StoreSettings(_Section):
    """`[store]`: where state lives."""

    url: str = "sqlite:///marcador.db"
    """SQLAlchemy URL: `sqlite:///FILE` (relative to `state_dir`) or `postgresql+psycopg://…`."""


class SipSettings(_Section):
    """`[sip]`: the line workers."""

    bind: str = "127.0.0.1"
    """Address the workers' SIP sockets bind to."""
    public_address: str = ""
    """Address written into Contact where it differs from `bind`; with an edge, the edge's address as the world sees it."""
    first_port: Port = 15060
    """Workers take this port and those after it, one each."""
    start_rate_per_s: Annotated[float, Field(gt=0, le=1000)] = 40.0
    """Workers started per second."""
    worker_memory_mb: Annotated[float, Field(ge=64, le=65_536)] = 200.0
    """Resident memory over which a line worker is renewed: another takes its place, and it leaves when its last call has ended."""


class MediaSettings(_Section):
    """`[media]`: the media plane."""

    bind: str = "127.0.0.1"
    """Address the RTP sockets bind to."""
    public_address: str = ""
    """Address written into SDP where it differs from `bind`."""
    rtp_ports: PortRange = "20000-29999"
    """Port range of RTP (even) and RTCP (odd)."""
    prompts_dir: Path | None = None
    """Folder of own prompts (WAV or FLAC); a prompt's id is its file name without the ending."""


class HttpSettings(_Section):
    """`[http]`: the API."""

    bind: str = "127.0.0.1"
    """Address of the API; keep it on loopback unless a TLS proxy stands in front."""
    port: Port = 8088
    """Port of the API."""
    token_file: Path = Path("api.token")
    """File with the API's bearer token, made at the first run; relative to `state_dir`."""


class LogSettings(_Section):
    """`[log]`: structured logs."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level that is written."""
    format: Literal["json", "console"] = "json"
    """One JSON object a line, or coloured text."""


class PluginSettings(_Section):
    """`[plugins]`: which plugins run."""

    enabled: tuple[str, ...] = ("metrics",)
    """Names of entry points of group `dialer.plugins`."""
    hook_limit_s: Seconds = 5.0
    """Longest a plugin's hook may take before it is cut off and reported."""


class ClipSettings(_Section):
    """`[clips]`: first seconds of calls, kept encrypted for campaigns that opt in (`[machines]` `keep_clips`)."""

    key_env: str = ""
    """Environment variable that holds the key: 32 bytes in base64 (`openssl rand -base64 32`)."""
    key_file: Path | None = None
    """Or a file that holds it."""
    retention_days: Annotated[float, Field(gt=0, le=3660)] = 30.0
    """Clips are deleted after so many days."""
    seconds: Annotated[float, Field(ge=1, le=30)] = 8.0
    """How much of each call is kept at most."""


class DialerSettings(_Section):
    """All of `dialer.toml`."""

    node: NodeSettings = NodeSettings()
    store: StoreSettings = StoreSettings()
    sip: SipSettings = SipSettings()
    edge: EdgeSettings = EdgeSettings()
    media: MediaSettings = MediaSettings()
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()
    plugins: PluginSettings = PluginSettings()
    clips: ClipSettings = ClipSettings()
    recordings: RecordingSettings = RecordingSettings()
    extensions: dict[str, ExtensionSettings] = {}


class TrunkSettings(_Section):
    """`[trunks.NAME]` of `trunks.toml`: one SIP peer that carries calls."""

    host: str
    """Name or address of the trunk."""
    port: Port = 5060
    """Its SIP port."""
    transport: Literal["udp", "tcp", "tls"] = "udp"
    """SIP transport; `tls` by the edge alone."""
    registers: bool = False
    """The edge registers there with `user`, so that the trunk knows where we are."""
    user: str = ""
    """Digest user, where the trunk asks for one."""
    password_env: str = ""
    """Environment variable that holds the digest password."""
    password_file: Path | None = None
    """Or a file that holds it."""
    from_domain: str = ""
    """Domain of the From URI; by default the trunk's host."""
    proxy: str = ""
    """Outbound proxy `host[:port]`, where there is one."""
    codecs: tuple[Codec, ...] = ("PCMU", "PCMA")
    """Codecs offered, the favourite first."""
    srtp: SrtpUse = SrtpUse.OFF
    """Encrypted sound: off, optional (in the clear where the trunk does not take it), required. The keys travel by SIP: use `tls`."""
    lines: Annotated[int, Field(ge=1, le=10_000)] = 30
    """Simultaneous calls at most."""
    calls_per_second: Annotated[float, Field(gt=0, le=1000)] = 5.0
    """New calls per second at most, in any second."""
    caller_id: E164 | None = None
    """Caller ID where the campaign names none."""
    options_interval_s: Annotated[float, Field(ge=0, le=3600)] = 30.0
    """OPTIONS keep-alive; a trunk that does not answer is down and waited for. 0: never asked, always taken for up."""
    number_format: Literal["e164", "plain"] = "e164"
    """How the dialed number is written: `+525512345678` or `525512345678`."""
    prefix: str = Field(default="", pattern=r"^[0-9*#]*$")
    """Digits put before the number (a tech prefix)."""
    headers: dict[str, str] = {}
    """Extra headers of every INVITE."""

    @model_validator(mode="after")
    def _one_secret(self) -> TrunkSettings:
        _check_secret(self.password_env, self.password_file)
        if self.user and not (self.password_env or self.password_file):
            msg = "a user needs a secret: set password_env (a variable's name) or password_file"
            raise ValueError(msg)
        if self.registers and not self.user:
            msg = "registers = true needs the user to register: set user, and password_env or password_file"
            raise ValueError(msg)
        return self


class AgentSettings(_Section):
    """`[agents.ID]` of `agents.toml`: an agent is a SIP address."""

    sip: str = Field(pattern=r"^sip:[^@\s]+@[^\s]+$")
    """The softphone: `sip:ana@192.0.2.10:5060`; one that registers at the edge is `sip:ana@` and the edge's domain."""
    password_env: str = ""
    """Environment variable that holds the password by which the softphone registers at the edge."""
    password_file: Path | None = None
    """Or a file that holds it."""
    srtp: SrtpUse = SrtpUse.OFF
    """Encrypted sound to the softphone: off, optional, required."""
    name: str = ""
    """Shown on screens."""
    campaigns: tuple[str, ...] = ()
    """Campaigns whose people they take; empty: all."""
    auto_ready: bool = False
    """Logged in when `dialer run` starts, and ready as soon as the softphone answers, without an own `login` and `ready`."""
    wrap_up_s: Annotated[float, Field(ge=0, le=3600)] | None = None
    """After-call work; by default the campaign's."""

    @model_validator(mode="after")
    def _one_secret(self) -> AgentSettings:
        _check_secret(self.password_env, self.password_file)
        return self


class RecycleRule(_Section):
    """What becomes of a lead after an outcome."""

    after_minutes: Annotated[float, Field(ge=0, le=100_000)] = 60.0
    """Not dialed again before."""
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 6
    """Attempts with this outcome, then the lead is finished."""
    next_number: bool = False
    """Go to the person's next number."""
    finish: bool = False
    """The lead is finished at once."""


class DetectionSettings(_Section):
    """What a campaign does with verdicts, beside its mode `detection`."""

    cost_lost_person: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """What a person taken for a machine costs, in any unit; with the next three it sets the detector's thresholds. By default the mode's own."""
    cost_passed_machine: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """What a machine connected to an agent costs, in the same unit."""
    cost_delay_s: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """What a second of silence costs that a person hears after their greeting."""
    cost_told_person: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """What it costs to call a person a machine on the agent's screen, after a first verdict that connected them."""
    sample: Annotated[float, Field(ge=0, le=0.1)] = 0.0
    """Share of machine verdicts connected anyway, while an agent is free, to learn how many people are lost; 0.01 to 0.02 is recommended."""
    screening_answer: str = "screening-es"
    """Prompt spoken to a phone's assistant that asks who is calling; empty: treated as a machine."""
    message: str = ""
    """Prompt left with a machine after its beep, where the rule pack's `[voicemail]` allows it; empty: none. Never one with details of a debt."""
    message_wait_s: Annotated[float, Field(ge=1, le=60)] = 45.0
    """Longest wait for the beep, or for the end of the greeting; then we hang up."""
    keep_clips: bool = False
    """Keep the first seconds of each answered call, encrypted, for retraining the detector; needs a key in `[clips]` of `dialer.toml`."""


class CampaignSettings(_Section):
    """`campaigns/NAME.toml`."""

    creditor: str = ""
    """For whom we call; must be named before a real trunk is dialed."""
    rule_pack: str = ""
    """Name of the rule pack in `compliance/`; there is no default: it is a decision."""
    caller_id: E164 | None = None
    """Caller ID; by default the trunk's."""
    trunks: Annotated[tuple[str, ...], Field(min_length=1)]
    """Trunks in order: the next is tried when one fails."""
    pacing: Literal[PacingMode.PROGRESSIVE, PacingMode.RATIO, PacingMode.ERLANG_C, PacingMode.PREDICTIVE] = (
        PacingMode.PROGRESSIVE
    )
    """How many are placed: progressive (1 per idle agent), ratio, erlang_c, predictive."""
    ratio: Annotated[float, Field(ge=1.0, le=10.0)] = 1.5
    """Calls per idle agent in mode ratio."""
    abandonment_ceiling: Annotated[float, Field(gt=0, lt=0.2)] = 0.03
    """Share of live answers that may be abandoned; the rule pack's, where stricter."""
    detection: DetectionMode = DetectionMode.MONITOR
    """off, monitor (listen only), fast or strict."""
    machines: DetectionSettings = DetectionSettings()
    """What is done about machines, and what mistakes cost."""
    record: RecordSettings = RecordSettings()
    """Which conversations are recorded."""
    ring_limit_s: Annotated[float, Field(ge=2, le=120)] = 28.0
    """Ring time after which an attempt is cancelled."""
    wrap_up_s: Annotated[float, Field(ge=0, le=3600)] = 20.0
    """After-call work, ended earlier by `ready` or a disposition."""
    abandonment_prompt: str = "abandonment-es"
    """Prompt played to a live answer without an agent in time."""
    inbound_prompt: str = "abandonment-es"
    """Prompt played to somebody who calls the campaign's number while nobody is free; empty: none."""
    max_lines: Annotated[int, Field(ge=1)] | None = None
    """Lines this campaign may hold at most."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """Share of a pool's attempts against other campaigns."""
    start: bool = True
    """Started when `dialer run` starts."""
    recycle: dict[Outcome, RecycleRule] = {}
    """Rules per outcome, over the built-in ones."""
    failover: bool = True
    """Try the next trunk when one fails."""


class Settings:
    """Everything in one configuration directory, checked against each other."""

    def __init__(
        self,
        directory: Path,
        dialer: DialerSettings,
        trunks: dict[TrunkId, TrunkSettings],
        agents: dict[AgentId, AgentSettings],
        campaigns: dict[CampaignId, CampaignSettings],
    ) -> None:
        self.directory = directory
        self.dialer = dialer
        self.trunks = trunks
        self.agents = agents
        self.campaigns = campaigns

    @property
    def state_dir(self) -> Path:
        """Absolute folder of the state."""
        return (self.directory.parent / self.dialer.node.state_dir).resolve()

    @property
    def run_dir(self) -> Path:
        """Absolute folder of the sockets, short enough for them."""
        if self.dialer.node.run_dir is not None:
            return (self.directory.parent / self.dialer.node.run_dir).resolve()
        import hashlib  # noqa: PLC0415 - only needed where no folder is set

        digest = hashlib.sha256(str(self.directory.resolve()).encode()).hexdigest()[:10]
        base = os.environ.get("XDG_RUNTIME_DIR") or "/tmp"  # noqa: S108 - the folder is made with mode 0700 and checked by listen_unix
        return Path(base) / f"marcador-{os.getuid()}-{digest}"

    @property
    def store_url(self) -> str:
        """The store's URL, with a relative SQLite file made absolute."""
        url = self.dialer.store.url
        prefix = "sqlite:///"
        if url.startswith(prefix) and not url.startswith("sqlite:////"):
            return f"sqlite:///{self.state_dir / url.removeprefix(prefix)}"
        return url

    @property
    def clips_dir(self) -> Path:
        """Absolute folder of the kept clips."""
        return self.state_dir / "clips"

    @property
    def keeps_clips(self) -> bool:
        """Whether any campaign keeps clips."""
        return any(campaign.machines.keep_clips for campaign in self.campaigns.values())

    def clip_key(self) -> str:
        """Return the key of the clips as it is written; raises as `trunk_password`, and where none is named."""
        its, where = self.dialer.clips, f"{self.directory / 'dialer.toml'}: clips.key"
        if key := read_secret(where, its.key_env, its.key_file, self.directory):
            return key
        msg = f"{where}_env: is missing; name a variable, or a file with key_file, that holds 'openssl rand -base64 32'"
        raise ConfigError(msg)

    @property
    def announcements_file(self) -> Path:
        """Absolute path of the known announcements."""
        return self.state_dir / "announcements.npz"

    @property
    def token_file(self) -> Path:
        """Absolute path of the API token."""
        return self.state_dir / self.dialer.http.token_file

    def trunk_password(self, name: TrunkId) -> str:
        """Return the digest password, or an empty string where the trunk wants none.

        Raises
        ------
        ConfigError
            The variable or file that should hold it is missing or empty.
        """
        its = self.trunks[name]
        where = f"{self.directory / 'trunks.toml'}: trunks.{name}.password"
        return read_secret(where, its.password_env, its.password_file, self.directory)

    def agent_password(self, name: AgentId) -> str:
        """Return the softphone's password at the edge, or an empty string where it does not register; raises as `trunk_password`."""
        its = self.agents[name]
        where = f"{self.directory / 'agents.toml'}: agents.{name}.password"
        return read_secret(where, its.password_env, its.password_file, self.directory)


def _edge_problems(
    dialer: DialerSettings, dialer_file: Path, trunks: dict[TrunkId, TrunkSettings | None], trunks_file: Path
) -> list[str]:
    """What does not fit together with an edge, or without one."""
    if dialer.edge.enabled and dialer.sip.bind != INNER_HOST:
        return [
            f"{dialer_file}: sip.bind: with an edge, leave it at {INNER_HOST} and set edge.bind (given: {dialer.sip.bind!r})"
        ]
    if dialer.edge.enabled:
        return []
    return [
        f"{trunks_file}: trunks.{name}.{key}: needs the edge; set edge.enabled = true in {dialer_file} (docs: Behind Kamailio)"
        for name, trunk in trunks.items()
        if trunk is not None
        for key, given in (("registers", trunk.registers), ("transport", trunk.transport == "tls"))
        if given
    ]


def load_settings(directory: Path) -> Settings:
    """Read and check a configuration directory.

    Parameters
    ----------
    directory
        The folder that holds `dialer.toml`.

    Raises
    ------
    ConfigError
        Anything missing, unknown, malformed or inconsistent: a line per mistake, each naming file and key.
    """
    directory = directory.resolve()
    problems: list[str] = []

    def parse(model: type[BaseModel], file: Path, raw: object, key: str = "") -> Any:
        try:
            return model.model_validate(raw)
        except ValidationError as error:
            text = explain(file, error)
            problems.append(
                "\n".join(line.replace(f"{file}: ", f"{file}: {key}.", 1) for line in text.splitlines())
                if key
                else text
            )
            return None

    dialer_file = directory / "dialer.toml"
    dialer = parse(DialerSettings, dialer_file, with_environment(read_toml(dialer_file)))

    trunks_file = directory / "trunks.toml"
    trunk_tables = section_table(trunks_file, read_toml(trunks_file), "trunks")
    trunks = {
        TrunkId(name): parse(TrunkSettings, trunks_file, raw, f"trunks.{name}")
        for name, raw in trunk_tables.items()
    }

    agents_file = directory / "agents.toml"
    staff = section_table(agents_file, read_toml(agents_file), "agents") if agents_file.exists() else {}
    agents = {
        AgentId(name): parse(AgentSettings, agents_file, raw, f"agents.{name}") for name, raw in staff.items()
    }

    campaigns: dict[CampaignId, Any] = {}
    for file in sorted((directory / "campaigns").glob("*.toml")):
        campaign = parse(CampaignSettings, file, read_toml(file))
        campaigns[CampaignId(file.stem)] = campaign
        known = ", ".join(sorted(trunks)) or "none"
        problems += [
            f"{file}: trunks: {trunk!r} is not in {trunks_file}; known are: {known}"
            for trunk in (campaign.trunks if campaign else ())
            if trunk not in trunks
        ]
    for name, agent in agents.items():
        for campaign_name in agent.campaigns if agent else ():
            if campaign_name not in campaigns:
                known = ", ".join(sorted(campaigns)) or "none"
                problems.append(
                    f"{agents_file}: agents.{name}.campaigns: {campaign_name!r} has no file in {directory / 'campaigns'}; known are: {known}"
                )
    if dialer:
        problems += _edge_problems(dialer, dialer_file, trunks, trunks_file)
    if problems:
        raise ConfigError("\n".join(problems))
    return Settings(directory, dialer, trunks, agents, campaigns)
