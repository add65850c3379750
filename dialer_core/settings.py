"""The configuration directory as checked, frozen objects: `dialer.toml`, `trunks.toml`, `agents.toml`, `campaigns/NAME.toml`.

It owns the shape of what is in none of the modules it puts together (the edge, voice, campaigns), the checks across files, and how a mistake
is told (file, key, allowed values). It does not own rule packs
(`compliance/packs.py`) nor any state: that lives in the store.

Every setting of `dialer.toml` can be overridden by an environment variable `MARCADOR_SECTION__KEY`; secrets are named, never written, in the files.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from dialer_core.agent_settings import AgentSettings, pbx_problems
from dialer_core.campaign_settings import CampaignSettings
from dialer_core.edge_settings import INNER_HOST, EdgeSettings
from dialer_core.errors import ConfigError
from dialer_core.flows.language import Flow
from dialer_core.flows.reading import flow_files, read_flow
from dialer_core.list_settings import CallerIdPool, SegmentSettings
from dialer_core.report_settings import ReportSettings
from dialer_core.setting_types import E164, Codec, Name, Port, PortRange, Seconds, Section, check_secret
from dialer_core.toml_files import explain, read_secret, read_toml, section_table, with_environment
from dialer_core.vocabulary import AgentId, CampaignId, SrtpUse, TrunkId
from dialer_core.voice_settings import ExtensionSettings, RecordingSettings, SpeechSettings
from dialer_core.web_settings import HttpSettings, LinkSettings, PushSettings, WebhookSettings


class NodeSettings(Section):
    """`[node]`: this machine among others."""

    name: Name = "node1"
    """Name of this node in ids, events and leases."""
    state_dir: Path = Path("state")
    """Database, tokens and reject files; relative to the configuration's parent folder."""
    run_dir: Path | None = None
    """Sockets of the running processes; by default a short folder under the user's runtime directory."""


class StoreSettings(Section):
    """`[store]`: where state lives."""

    url: str = "sqlite:///marcador.db"
    """SQLAlchemy URL: `sqlite:///FILE` (relative to `state_dir`) or `postgresql+psycopg://…`."""


class SipSettings(Section):
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


class MediaSettings(Section):
    """`[media]`: the media plane."""

    bind: str = "127.0.0.1"
    """Address the RTP sockets bind to."""
    public_address: str = ""
    """Address written into SDP where it differs from `bind`."""
    rtp_ports: PortRange = "20000-29999"
    """Port range of RTP (even) and RTCP (odd)."""
    prompts_dir: Path | None = None
    """Folder of own prompts (WAV or FLAC); a prompt's id is its file name without the ending."""


class LogSettings(Section):
    """`[log]`: structured logs."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level that is written."""
    format: Literal["json", "console"] = "json"
    """One JSON object a line, or coloured text."""


class PluginSettings(Section):
    """`[plugins]`: which plugins run."""

    enabled: tuple[str, ...] = ("metrics", "espeak", "voice_broadcast")
    """Names of entry points of group `dialer.plugins`."""
    hook_limit_s: Seconds = 5.0
    """Longest a plugin's hook may take before it is cut off and reported."""


class ClipSettings(Section):
    """`[clips]`: first seconds of calls, kept encrypted for campaigns that opt in (`[machines]` `keep_clips`)."""

    key_env: str = ""
    """Environment variable that holds the key: 32 bytes in base64 (`openssl rand -base64 32`)."""
    key_file: Path | None = None
    """Or a file that holds it."""
    retention_days: Annotated[float, Field(gt=0, le=3660)] = 30.0
    """Clips are deleted after so many days."""
    seconds: Annotated[float, Field(ge=1, le=30)] = 8.0
    """How much of each call is kept at most."""


class DialerSettings(Section):
    """All of `dialer.toml`."""

    node: NodeSettings = NodeSettings()
    store: StoreSettings = StoreSettings()
    sip: SipSettings = SipSettings()
    edge: EdgeSettings = EdgeSettings()
    media: MediaSettings = MediaSettings()
    http: HttpSettings = HttpSettings()
    webhooks: WebhookSettings = WebhookSettings()
    links: LinkSettings = LinkSettings()
    log: LogSettings = LogSettings()
    plugins: PluginSettings = PluginSettings()
    clips: ClipSettings = ClipSettings()
    recordings: RecordingSettings = RecordingSettings()
    reports: ReportSettings = ReportSettings()
    speech: SpeechSettings = SpeechSettings()
    extensions: dict[str, ExtensionSettings] = Field(default_factory=dict)
    push: dict[Name, PushSettings] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _links_are_served(self) -> DialerSettings:
        if self.links.keys and not self.webhooks.enabled:
            msg = "links: need webhooks.enabled = true: they open on that listener"
            raise ValueError(msg)
        return self


class StirSettings(Section):
    """`[trunks.NAME.stir]`: calls are signed (STIR/SHAKEN) before they leave."""

    key_file: Path
    """Private key of the certificate: PEM, on the curve P-256, without a password."""
    certificate_url: str = Field(pattern=r"^https://[^\s<>\"]+$")
    """Where whoever checks finds the certificate."""
    attestation: Literal["A", "B", "C"] = "A"
    """A: the number is ours to use. B: we know who calls, and not the right to the number. C: neither."""


class TrunkSettings(Section):
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
    headers: dict[str, str] = Field(default_factory=dict)
    """Extra headers of every INVITE."""
    stir: StirSettings | None = None
    """How its calls are signed; left out: they are not, or the carrier does it."""

    @model_validator(mode="after")
    def _one_secret(self) -> TrunkSettings:
        check_secret(self.password_env, self.password_file)
        if self.user and not (self.password_env or self.password_file):
            msg = "a user needs a secret: set password_env (a variable's name) or password_file"
            raise ValueError(msg)
        if self.registers and not self.user:
            msg = "registers = true needs the user to register: set user, and password_env or password_file"
            raise ValueError(msg)
        return self


class Settings:
    """Everything in one configuration directory, checked against each other."""

    def __init__(
        self,
        directory: Path,
        dialer: DialerSettings,
        trunks: dict[TrunkId, TrunkSettings],
        agents: dict[AgentId, AgentSettings],
        campaigns: dict[CampaignId, CampaignSettings],
        segments: dict[str, SegmentSettings] | None = None,
        caller_ids: dict[str, CallerIdPool] | None = None,
        flows: dict[str, Flow] | None = None,
    ) -> None:
        self.directory = directory
        self.dialer = dialer
        self.trunks = trunks
        self.agents = agents
        self.campaigns = campaigns
        self.segments = segments or {}
        self.caller_ids = caller_ids or {}
        self.flows = flows or {}
        """Those that campaigns name, checked."""

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
    def speech_dir(self) -> Path:
        """Absolute folder of what is rendered for calls: beside the sockets, and gone with them."""
        return self.run_dir / "speech"

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

    def stir_key_file(self, name: TrunkId) -> Path | None:
        """Return the absolute path of a trunk's signing key, where it signs."""
        stir = self.trunks[name].stir
        return self.directory / stir.key_file if stir is not None else None

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


def _flows(
    directory: Path, campaigns: dict[CampaignId, CampaignSettings | None], problems: list[str]
) -> dict[str, Flow]:
    """Return the flows that campaigns name; what is wrong with them is added to the problems."""
    files = flow_files(directory / "flows")
    found: dict[str, Flow] = {}
    named = [
        (campaign_name, name)
        for campaign_name, campaign in campaigns.items()
        if campaign is not None
        for name in (campaign.flow, campaign.inbound.flow)
    ]
    for campaign_name, name in named:
        if name and name not in files:
            known = ", ".join(files) or "none"
            problems.append(
                f"{directory / 'campaigns' / f'{campaign_name}.toml'}: flow: {name!r} is not in {directory / 'flows'}; known are: {known}"
            )
        elif name and name not in found:
            flow, wrong = read_flow(files[name])
            problems += map(str, wrong)
            if flow is not None:
                found[name] = flow
    return found


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

    def named(file_name: str, section: str, model: type[BaseModel]) -> dict[str, Any]:
        file = directory / file_name
        tables = section_table(file, read_toml(file), section) if file.exists() else {}
        return {name: parse(model, file, raw, f"{section}.{name}") for name, raw in tables.items()}

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
    segments = named("segments.toml", "segments", SegmentSettings)
    caller_ids = named("caller_ids.toml", "pools", CallerIdPool)
    for campaign_id, campaign in campaigns.items():
        file = directory / "campaigns" / f"{campaign_id}.toml"
        for part in campaign.hopper.mix if campaign else ():
            if part.segment not in segments:
                known = ", ".join(sorted(segments)) or "none"
                problems.append(
                    f"{file}: hopper.mix: {part.segment!r} is not in {directory / 'segments.toml'}; known are: {known}"
                )
        if campaign and campaign.caller_ids and campaign.caller_ids not in caller_ids:
            known = ", ".join(sorted(caller_ids)) or "none"
            problems.append(
                f"{file}: caller_ids: {campaign.caller_ids!r} is not in {directory / 'caller_ids.toml'}; known are: {known}"
            )
    flows = _flows(directory, campaigns, problems)
    if dialer:
        problems += _edge_problems(dialer, dialer_file, trunks, trunks_file)
        problems += pbx_problems(agents_file, agents, dialer_file, dialer.extensions, dialer.plugins.enabled)
    if problems:
        raise ConfigError("\n".join(problems))
    return Settings(directory, dialer, trunks, agents, campaigns, segments, caller_ids, flows)
