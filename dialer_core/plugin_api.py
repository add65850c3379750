"""All that a plugin imports. Nothing else of `dialer_core` is promised to stay.

It owns the surface for plugins: the hook marker, the event classes, and `EngineHandle`, the one object through which a plugin (and the HTTP API,
which has no other way either) reads and commands the running system. It owns no transport and no queue.

A plugin is a module or an object whose functions are marked with `hookimpl`, named in the entry-point group
`dialer.plugins`:

    from dialer_core.plugin_api import AttemptBridged, hookimpl

    @hookimpl
    def dialer_track_event(event):
        if isinstance(event, AttemptBridged):
            print(event.attempt_id, event.agent_id)

Its own settings a plugin has in `plugins/NAME.toml` of the configuration, read by `EngineHandle.settings`. Commands of its own (`dialer NAME ...`)
it has in the entry-point group `dialer.commands`; what those import is `plugin_cli.py`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncGenerator, Collection, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
import pluggy
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from dialer_core.clock import Clock
from dialer_core.engine_commands import AgentCommands, AttemptCommands, CallCommands, CampaignCommands
from dialer_core.errors import CommandRefusedError, ConfigError, DialerError, NotRunningError
from dialer_core.event_tail import EventTail, typed
from dialer_core.events import (
    EVENTS,
    AgentStateChanged,
    AttemptAbandoned,
    AttemptAnswered,
    AttemptBridged,
    AttemptCommitted,
    AttemptDispositioned,
    AttemptEarlyMedia,
    AttemptEnded,
    AttemptFaulted,
    AttemptReleased,
    AttemptRinging,
    AttemptSent,
    AttemptUnbridged,
    AttemptVerdictGiven,
    AttemptVerdictRevised,
    CampaignEmpty,
    CampaignPaused,
    CampaignStarted,
    CampaignStopped,
    EngineRestarted,
    Event,
    HostLost,
    LeadBlocked,
    LeadFinished,
    LeadsImported,
    MediaLost,
    PacingDecided,
    PluginFailed,
    PromiseMade,
    RestrictionAdded,
    StoredEvent,
    TrunkStateChanged,
    WorkerLost,
)
from dialer_core.host_commands import ChatCommands, MessageCommands, StrategyCommands
from dialer_core.list_events import CallerIdHealthChanged, StrategyStepDone, StrategyStopped
from dialer_core.message_events import ChatStateChanged, MessageReceived, OptOutReceived
from dialer_core.messaging.channel import (
    Accepted,
    Answer,
    Attachment,
    ForgedError,
    Inbound,
    MessageChannel,
    NotAccepted,
    OutboundMessage,
    Receipt,
    Unknown,
)
from dialer_core.messaging.composing import MessageRequest
from dialer_core.messaging.fields import day as written_day
from dialer_core.messaging.fields import money as written_money
from dialer_core.messaging.messenger import ChannelView, MessageOption, Messenger
from dialer_core.messaging.posting import post
from dialer_core.node_events import NodeLost
from dialer_core.plugin_contacts import ContactRecords, ContactWord
from dialer_core.plugin_records import (
    AccountRecords,
    LeadRecords,
    Matching,
    PaymentRow,
    PromiseRecords,
    Records,
    RefusedRow,
    RestrictionRecords,
    Upserted,
)
from dialer_core.plugin_store import PluginStore
from dialer_core.portfolio.account_view import AccountSummary, AccountView
from dialer_core.portfolio.next_step import NextStep, Opening, StepFacts
from dialer_core.portfolio.strategies import Strategies, StrategyAction, StrategyRequest, StrategyStep
from dialer_core.portfolio.strategy_clock import StepSkippedError
from dialer_core.snapshot import AgentView, CallView, CampaignView, MediaView, Snapshot, TrunkView, WorkerView
from dialer_core.speech.voice import Voice, VoiceError
from dialer_core.store import plugin_tables
from dialer_core.store.chats import ChatRow
from dialer_core.store.email_addresses import EmailRow
from dialer_core.store.messages import MessageRow
from dialer_core.store.promises import DueInstalment, PromiseRow
from dialer_core.store.strategy_runs import Begun, Step, StrategyView
from dialer_core.toml_files import explain, read_secret, read_toml
from dialer_core.vocabulary import (
    AccountId,
    AgentId,
    AgentState,
    AttemptId,
    CampaignId,
    Channel,
    ChatState,
    MessageId,
    MessageState,
    Outcome,
    PersonId,
    Presence,
    StepAction,
    Verdict,
)
from dialer_core.voice_commands import (
    AgentReport,
    AgentStates,
    CommandPort,
    DeskCommands,
    ReportsTaken,
    SupervisionCommands,
)
from dialer_core.voice_events import (
    AgentNoted,
    FlowEnded,
    FlowStarted,
    FlowStepEntered,
    IdentityVerified,
    StatementRequested,
)
from dialer_core.web.needs import needs, principal_of
from dialer_core.web.pages import PageLink, Pages
from dialer_core.web.principals import Principal, Role, Scope
from dialer_core.web.problems import Problem
from dialer_core.web.streams import EventStream, Seats, SharedReading, Still
from dialer_core.web.texts import Texts

PROJECT = "dialer"
"""Name of the pluggy project; every hook begins with it."""
ENTRY_POINT_GROUP = "dialer.plugins"

hookimpl = pluggy.HookimplMarker(PROJECT)
M = TypeVar("M", bound=BaseModel)


class AgentStateSource(Protocol):
    """Something that knows whether agents are free: what `dialer_register_agent_states` returns."""

    async def run(self, tell: AgentStates) -> None:
        """Tell how agents are, again and again, until cancelled. What it raises is reported, and it is run again after a while.

        Meanwhile, as whenever it is silent for the time that it has promised to speak in, its agents are given nobody.
        """


class EngineHandle:
    """The running system, as one actor sees it.

    Every command may raise `NotRunningError` (no engine is attached; nothing was done, or it cannot be known) and `CommandRefusedError` (says why).

    Parameters
    ----------
    actor
        Who acts, in the engine's audit: `plugin:metrics`, `api:local`.
    """

    def __init__(
        self,
        *,
        port: CommandPort,
        tail: EventTail,
        clock: Clock,
        actor: str,
        messenger: Messenger | None = None,
        strategies: Strategies | None = None,
        directory: Path | None = None,
        records: Records | None = None,
        state_dir: Path | None = None,
        zone: str = "UTC",
        contacts: ContactRecords | None = None,
    ) -> None:
        self.zone = zone
        """IANA zone of the company's days and hours: `reports.zone`."""
        self._contacts = contacts
        self._messenger = messenger
        self._state_dir = state_dir
        self._records = records
        self._directory = directory
        self._strategies = strategies
        self.messages = MessageCommands(messenger, actor)
        self.chats = ChatCommands(messenger, actor)
        self.strategies = StrategyCommands(strategies, actor)
        self._port = port
        self._tail = tail
        self._clock = clock
        self.actor = actor
        self.campaigns = CampaignCommands(port, actor)
        self.agents = AgentCommands(port, actor)
        self.desk = DeskCommands(port, actor)
        self.supervision = SupervisionCommands(port, actor)
        self.calls = CallCommands(port, actor)
        self.attempts = AttemptCommands(port, actor)
        self.agent_states = AgentStates(port, actor)

    def acting_as(self, actor: str) -> EngineHandle:
        """Return a handle on the same system for somebody else."""
        return EngineHandle(
            port=self._port,
            tail=self._tail,
            clock=self._clock,
            actor=actor,
            messenger=self._messenger,
            strategies=self._strategies,
            directory=self._directory,
            records=self._records.acting_as(actor) if self._records else None,
            state_dir=self._state_dir,
            zone=self.zone,
            contacts=self._contacts.acting_as(actor) if self._contacts else None,
        )

    @property
    def contacts(self) -> ContactRecords:
        """Contacts by means of the plugin's own, and what came of them.

        Raises
        ------
        CommandRefusedError
            This process does not ask the gate.
        """
        if self._contacts is None:
            raise CommandRefusedError("only a running dialer's plugins contact people")
        return self._contacts

    @property
    def accounts(self) -> AccountRecords:
        """Accounts: read, brought in, paid."""
        return self._its_records.accounts

    @property
    def leads(self) -> LeadRecords:
        """Campaigns' lists: their order."""
        return self._its_records.leads

    @property
    def promises(self) -> PromiseRecords:
        """Promises to pay."""
        return self._its_records.promises

    @property
    def restrictions(self) -> RestrictionRecords:
        """Why somebody may not be contacted."""
        return self._its_records.restrictions

    @property
    def store(self) -> PluginStore:
        """What the plugin keeps for itself."""
        return self._its_records.store

    def read_table(
        self,
        name: str,
        columns: Sequence[str],
        *,
        after: str = "",
        since: dt.datetime | None = None,
        campaign: CampaignId | None = None,
        ids: Collection[str] | None = None,
    ) -> AsyncGenerator[tuple[dict[str, NDArray[Any]], str], None]:
        """Yield a table's rows in the order of their making, tens of thousands at a time, as arrays by column, each time with the last row's id.

        Nothing in them says who somebody is; `store/plugin_tables.py` lists what there is, and how each kind of column comes. `after`: only
        rows made after that of this id; `since`: only those made from then on; `ids`: only these.
        """
        begin = after or (plugin_tables.first_id_of(since) if since is not None else "")
        return self._its_records.table(name, columns, after=begin, campaign=campaign, ids=ids)

    def folder(self) -> Path:
        """Return a folder of the plugin's own on this node, made where it is missing, for what is too large for `store`.

        Raises
        ------
        CommandRefusedError
            This process has no folder for plugins.
        """
        if self._state_dir is None:
            raise CommandRefusedError("this process has no folder for plugins")
        folder = self._state_dir / "plugins" / self.actor.removeprefix("plugin:")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    @property
    def config_directory(self) -> Path:
        """The configuration, for a process of the plugin's own that runs one of its commands."""
        return self._directory or Path()

    @property
    def _its_records(self) -> Records:
        if self._records is None:
            raise CommandRefusedError("this process has no store for plugins")
        return self._records

    def settings(self, model: type[M]) -> M:
        """Return a plugin's own settings: `plugins/NAME.toml` of the configuration, checked by its model.

        Raises
        ------
        ConfigError
            The file is missing or wrong; says where and what would be right.
        """
        file = (self._directory or Path()) / "plugins" / f"{self.actor.removeprefix('plugin:')}.toml"
        try:
            return model.model_validate(read_toml(file))
        except ValidationError as error:
            raise ConfigError(explain(file, error)) from None

    def secret(self, where: str, variable: str, file: Path | None = None) -> str:
        """Return a secret out of the environment variable or the file (relative to the configuration) that holds it; `where` is for the message.

        Raises
        ------
        ConfigError
            It is not there.
        """
        return read_secret(where, variable, file, self._directory or Path())

    def now(self) -> dt.datetime:
        """Return the time now, aware, in UTC: plugins take it from here, so that tests can set it."""
        return self._clock.utc()

    async def status(self) -> Snapshot:
        """Return the engine at this moment."""
        return msgspec.convert(await self._port.command("status", {}, actor=self.actor), Snapshot)

    def events(
        self, since: str, names: Collection[str] | None = None
    ) -> AsyncGenerator[tuple[StoredEvent, str], None]:
        """Yield events past the cursor, then new ones without end; each with the cursor behind it.

        Keep the last cursor with what you made of the event, and nothing is missed, whatever dies. The empty cursor is the log's beginning.
        """
        return self._tail.follow(since, names=names)

    async def read_events(
        self, since: str, names: Collection[str] | None = None, limit: int = 500
    ) -> tuple[Sequence[StoredEvent], str]:
        """Return what the log holds past the cursor now, and the cursor to go on with."""
        page = await self._tail.read(since, names=names, limit=limit)
        return page.events, page.cursor

    def typed(self, stored: StoredEvent) -> Event | None:
        """Return a stored event as its own class, or None where this version does not know it."""
        return typed(stored)

    async def last_cursor(self) -> str:
        """Return the cursor of the log's end now: `events(since=...)` from here yields only what is new."""
        return await self._tail.end()


__all__ = [
    "EVENTS", "Accepted", "AccountId", "AccountRecords", "AccountSummary", "AccountView", "AgentId", "AgentNoted", "AgentReport", "AgentState",
    "AgentStateChanged", "AgentStateSource", "AgentStates", "AgentView", "Answer", "Attachment", "AttemptAbandoned", "AttemptAnswered",
    "AttemptBridged", "AttemptCommitted", "AttemptDispositioned", "AttemptEarlyMedia", "AttemptEnded", "AttemptFaulted", "AttemptId",
    "AttemptReleased", "AttemptRinging", "AttemptSent", "AttemptUnbridged", "AttemptVerdictGiven", "AttemptVerdictRevised", "Begun", "CallView",
    "CallerIdHealthChanged", "CampaignEmpty", "CampaignId", "CampaignPaused", "CampaignStarted", "CampaignStopped", "CampaignView", "Channel",
    "ChannelView", "ChatRow", "ChatState", "ChatStateChanged", "CommandPort", "CommandRefusedError", "ConfigError", "ContactRecords",
    "ContactWord", "DialerError", "DueInstalment", "EmailRow", "EngineHandle", "EngineRestarted", "Event", "EventStream", "FlowEnded",
    "FlowStarted", "FlowStepEntered", "ForgedError", "HostLost", "IdentityVerified", "Inbound", "LeadBlocked", "LeadFinished", "LeadRecords",
    "LeadsImported", "Matching", "MediaLost", "MediaView", "MessageChannel", "MessageId", "MessageOption", "MessageReceived", "MessageRequest",
    "MessageRow", "MessageState", "NextStep", "NodeLost", "NotAccepted", "NotRunningError", "Opening", "OptOutReceived", "OutboundMessage",
    "Outcome", "PacingDecided", "PageLink", "Pages", "PaymentRow", "PersonId", "PluginFailed", "PluginStore", "Presence", "Principal", "Problem",
    "PromiseMade", "PromiseRecords", "PromiseRow", "Receipt", "RefusedRow", "ReportsTaken", "RestrictionAdded", "RestrictionRecords", "Role",
    "Scope", "Seats", "SharedReading", "Snapshot", "StatementRequested", "Step", "StepAction", "StepFacts", "StepSkippedError", "Still",
    "StoredEvent", "StrategyAction", "StrategyRequest", "StrategyStep", "StrategyStepDone", "StrategyStopped", "StrategyView", "Texts",
    "TrunkStateChanged", "TrunkView", "Unknown", "Upserted", "Verdict", "Voice", "VoiceError", "WorkerLost", "WorkerView", "hookimpl", "needs",
    "post", "principal_of", "written_day", "written_money",
]  # fmt: skip
