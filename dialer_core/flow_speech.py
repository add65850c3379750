"""What flows say, rendered ahead in the host: for each attempt of a campaign with a flow, its person's texts as sound, handed to the engine.

It owns the following of the log, the reading of the account, and the two stages: what anybody may hear when the attempt is committed; what
tells of the debt only when the person is identified, so that no such sound exists of anybody who never was. Voices are plugins'
(`dialer_register_voices`), the files `speech/cache.py`'s, the playing of them `calls/flow_calls.py`'s.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, Final
from zoneinfo import ZoneInfo

import structlog

from dialer_core.campaign_settings import CampaignSettings
from dialer_core.clock import Clock
from dialer_core.errors import CommandRefusedError, NotRunningError
from dialer_core.event_tail import EventTail
from dialer_core.events import AttemptCommitted, CallIdentified, StoredEvent
from dialer_core.flows.interpreter import Value
from dialer_core.flows.language import Clip, Flow, Language, Promise, Text, parts_of
from dialer_core.flows.meaning import is_sensitive
from dialer_core.flows.spoken import rendered
from dialer_core.plugin_api import CommandPort, Voice
from dialer_core.portfolio import flow_values
from dialer_core.settings import Settings
from dialer_core.speech.cache import SpeechCache, name_of
from dialer_core.speech.loudness import for_the_line
from dialer_core.store import attempts, people
from dialer_core.store.database import Database
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountId, AttemptId, CampaignId, PersonId, TrunkId
from dialer_core.voice_events import FlowLookupAsked, IdentityVerified

log = structlog.get_logger(__name__)

AT_ONCE: Final = 2
"""Pieces rendered at a time: a voice takes a core while it speaks, and calls come first."""
RENDER_LIMIT_S: Final = 10.0
PREFIX: Final = "speech:"
_BEGINS: Final = frozenset({AttemptCommitted.name, CallIdentified.name})
_NAMES: Final = _BEGINS | {IdentityVerified.name, FlowLookupAsked.name}
_SENTENCES: Final = re.compile(r"(?<=[.!?])\s+")


class FlowSpeech:
    """Prepares the calls of every campaign with a flow.

    Parameters
    ----------
    voices
        Of the plugins, in the order in which they are enabled.
    port
        The engine.
    node
        Whose attempts are prepared: each node's host has its own.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        tail: EventTail,
        port: CommandPort,
        voices: Sequence[Voice],
        clock: Clock,
        node: str,
    ) -> None:
        self._settings = settings
        self._database = database
        self._tail = tail
        self._port = port
        self._clock = clock
        self._node = node
        its = settings.dialer.speech
        self._level_dbfs = its.level_dbfs
        self._voices = [voice for voice in voices if not its.voice or voice.name == its.voice]
        self._cache = SpeechCache(settings.speech_dir, int(its.cache_mb * 2**20), clock)
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._working: set[asyncio.Task[None]] = set()
        self._ready = False
        """What is the same for everybody has been rendered."""

    async def run(self) -> None:
        """Render what is the same for everybody, then follow the log, until cancelled."""
        if not self._settings.flows:
            await asyncio.Event().wait()
        for language in sorted(_languages_to_speak(self._settings.flows.values())):
            if self._voice_of(language) is None:
                log.error("no_voice", language=language, voices=[voice.name for voice in self._voices])
        await self._follow(await self._tail.end())

    def clear(self) -> None:
        """Delete all sound; for a host that stops when no call can need it any more. What another leaves goes after a day."""
        self._cache.clear()

    async def _follow(self, cursor: str) -> None:
        await asyncio.to_thread(self._cache.sweep)
        self._start(self._render_what_is_fixed())
        async for event, _ in self._tail.follow(cursor, names=_NAMES):
            campaign = self._settings.campaigns.get(CampaignId(event.campaign_id or ""))
            if event.node != self._node or campaign is None:
                continue
            call = event.attempt_id or event.data.get("leg_id")
            flow = self._settings.flows.get(campaign.flow if event.attempt_id else campaign.inbound.flow)
            if call and flow is not None:
                self._start(self._answer(event, str(call), flow))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="flow-speech")
        self._working.add(task)
        task.add_done_callback(self._working.discard)

    def attached(self) -> None:
        """An engine is attached: it waits for our word that calls can be prepared."""
        if self._ready:
            self._start(self._say_ready())

    async def _say_ready(self) -> None:
        try:
            await self._port.command("flows.ready", {}, actor="host")
        except (NotRunningError, CommandRefusedError) as error:
            log.warning("flows_ready_not_told", error=str(error))

    async def _render_what_is_fixed(self) -> None:
        texts = [
            (step.text[language], language)
            for flow in self._settings.flows.values()
            for language in flow.languages
            for step in flow.steps.values()
            if language in step.text
        ]
        await asyncio.gather(*(self._spoken(text, {}, language) for text, language in texts))
        log.info(
            "flows_ready",
            flows=sorted(self._settings.flows),
            pieces=self._cache.rendered + self._cache.reused,
        )
        self._ready = True
        await self._say_ready()

    async def _answer(self, event: StoredEvent, call: str, flow: Flow) -> None:
        try:
            if event.attempt_id:
                facts = await asyncio.to_thread(self._facts, AttemptId(event.attempt_id))
            else:
                facts = await asyncio.to_thread(self._facts_of_caller, event)
            if facts is None:
                return
            values, language_wanted = facts
            debt = event.name not in _BEGINS
            language: Language = next(
                (one for one in flow.languages if one == language_wanted), flow.languages[0]
            )
            told = await self.prepare(flow, values, language, debt=debt)
            await self._port.command(
                "flows.prepared",
                {"call": call, "language": language, "debt": debt, **told},
                actor="host",
            )
        except (NotRunningError, CommandRefusedError) as error:
            log.warning("flow_not_handed_over", call=call, error=str(error))
        except Exception as error:  # noqa: BLE001 - one call that cannot be prepared must not keep the log from being followed
            log.error("flow_not_prepared", call=call, error=type(error).__name__)  # noqa: TRY400 - the type says it all

    async def prepare(
        self, flow: Flow, values: dict[str, Value], language: Language, *, debt: bool
    ) -> dict[str, Any]:
        """Return what the engine needs: prompts by step, values and terms; a step whose fields have no value is left out."""
        prompts: dict[str, list[str]] = {}
        terms: dict[str, dict[str, Any]] = {}
        steps = [
            (name, step)
            for name, step in flow.steps.items()
            if is_sensitive(flow, step) == debt and language in step.text
        ]
        for name, step in steps:
            known = values
            if isinstance(step, Promise):
                offered = flow_values.terms_of(step, values)
                if offered is None:
                    continue
                amount, day = offered
                terms[name] = {"amount_minor": amount, "due_date": day.isoformat()}
                known = {**values, "promise.amount": amount, "promise.date": day.isoformat()}
            said = await self._spoken(step.text[language], known, language)
            if said:
                prompts[name] = said
        wrong = (
            await self._spoken(flow.wrong[language], values, language)
            if language in flow.wrong and not debt
            else []
        )
        return {"prompts": prompts, "terms": terms, "wrong": wrong or [], "values": values}

    async def _spoken(self, text: Text, values: dict[str, Value], language: Language) -> list[str] | None:
        """Return the ids of a text's pieces, rendered; None where a field has no value or nobody can say it."""
        parts = rendered(text, values, language)
        if parts is None:
            return None
        said: list[str] = []
        for part in parts:
            if isinstance(part, Clip):
                said.append(part.clip)
                continue
            for sentence in _SENTENCES.split(part):
                name = await self._piece(sentence, language)
                if name is None:
                    return None
                said.append(f"{PREFIX}{name}")
        return said

    async def _piece(self, sentence: str, language: Language) -> str | None:
        voice = self._voice_of(language)
        if voice is None:
            return None
        name = name_of(voice.name, language, f"{self._level_dbfs:g}", sentence)

        async def render() -> bytes:
            async with self._turns:
                sound, rate_hz = await asyncio.wait_for(voice.speak(sentence, language), RENDER_LIMIT_S)
            return await asyncio.to_thread(for_the_line, sound, rate_hz, self._level_dbfs)

        try:
            return await self._cache.get(name, render)
        except Exception as error:  # noqa: BLE001 - foreign code: whatever a voice raises, this step is not said
            log.error("speech_not_rendered", voice=voice.name, language=language, error=type(error).__name__)  # noqa: TRY400 - its text may hold what was to be said
            return None

    def _voice_of(self, language: str) -> Voice | None:
        return next((voice for voice in self._voices if language in voice.languages), None)

    def _facts(self, attempt_id: AttemptId) -> tuple[dict[str, Value], str] | None:
        """Return every field's value for an attempt, as it is now, and the person's language."""
        with self._database.read() as tx:
            tried = attempts.get(tx, attempt_id)
            if tried is None or not tried.live:
                return None
            phone = people.phone(tx, tried.phone_id)
            trunk = self._settings.trunks.get(TrunkId(tried.trunk))
            campaign = self._settings.campaigns[CampaignId(tried.campaign_id)]
            shown = tried.caller_id or campaign.caller_id or (trunk.caller_id if trunk is not None else None)
            return self._values(
                tx, AccountId(tried.account_id), campaign, shown, phone.zones if phone else ()
            )

    def _facts_of_caller(self, event: StoredEvent) -> tuple[dict[str, Value], str] | None:
        """Return the same for somebody who has called."""
        if event.account_id is None:
            return None
        account_id = AccountId(event.account_id)
        campaign = self._settings.campaigns[CampaignId(event.campaign_id or "")]
        with self._database.read() as tx:
            account = people.account(tx, account_id)
            person_id = PersonId(account["person_id"]) if account is not None else PersonId("")
            phones = people.phones_of(tx, [person_id])[person_id] if account is not None else []
            zones = next((phone.zones for phone in phones if phone.zones), ())
            return self._values(tx, account_id, campaign, campaign.caller_id, zones)

    def _values(
        self,
        tx: Tx,
        account_id: AccountId,
        campaign: CampaignSettings,
        shown: str | None,
        zones: Sequence[str],
    ) -> tuple[dict[str, Value], str] | None:
        account = people.account(tx, account_id)
        if account is None:
            return None
        person_id = PersonId(account["person_id"])
        person = people.persons(tx, [person_id]).get(person_id)
        if person is None:
            return None
        today = self._clock.utc().astimezone(ZoneInfo(zones[0] if zones else "UTC")).date()
        values = flow_values.of_account(
            tx, account_id, person, creditor=campaign.creditor, caller_id=shown, today=today
        )
        if values is None:
            return None
        return values, person.language


def _languages_to_speak(flows: Iterable[Flow]) -> set[str]:
    """Return the languages in which a voice has something to say: not those that have recorded prompts for all of it."""
    return {
        language
        for flow in flows
        for texts in (flow.wrong, *(step.text for step in flow.steps.values()))
        for language, text in texts.items()
        if language in flow.languages and any(isinstance(part, str) for part in parts_of(text))
    }
