"""Who calls: the person behind a number, asked of the store while the call is answered; their call-back, and the rest their leads are given.

It owns what is known of a caller and what their call does to their leads. Who they get is `inbound_queue.py`'s, the call itself `inbound.py`'s.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import phonenumbers
import structlog

from dialer_core.calls.inbound_call import InboundCall
from dialer_core.campaigns.run import CampaignRun
from dialer_core.compliance.phone_numbers import NumberError, normalise
from dialer_core.events import CallbackTaken, CallIdentified
from dialer_core.line_names import same_line
from dialer_core.runtime import Runtime
from dialer_core.settings import TrunkSettings
from dialer_core.store import callbacks, callers
from dialer_core.store.callers import Caller
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import CampaignId, TrunkId

log = structlog.get_logger(__name__)

REST_WHILE: Final = dt.timedelta(hours=1)
"""Nobody dials a person who is on the line with us."""
REST_AFTER_TALK: Final = dt.timedelta(days=1)
"""Nor, once an agent has talked with them, before the next day."""


def digits_of(number: str | None) -> str:
    """Return a number without what trunks write differently: `+`, spaces, hyphens."""
    return "".join(char for char in number or "" if char.isdigit())


def campaigns_by_number(
    campaigns: Mapping[CampaignId, CampaignRun], trunks: Mapping[TrunkId, TrunkSettings]
) -> dict[str, CampaignId]:
    """Return whose each number is that can be called back, as digits. A campaign's own number goes before that of its trunk."""
    found = {
        digits_of(number): name
        for name, run in reversed(list(campaigns.items()))
        for number in {
            run.settings.caller_id,
            *(run.caller_ids.numbers if run.caller_ids else ()),
            *(trunks[TrunkId(t)].caller_id for t in run.settings.trunks),
        }
        if number is not None
    }
    own = {
        digits_of(run.settings.caller_id): name for name, run in campaigns.items() if run.settings.caller_id
    }
    return found | own


def numbers_of(caller: str, called: str) -> set[str]:
    """Return what a caller's number can be in E.164 form: as it stands, and as one of the country of the number they called.

    Examples
    --------
    >>> sorted(numbers_of("5512345678", "+525500000000"))
    ['+525512345678']
    """
    digits = caller.strip()
    found: set[str] = set()
    try:
        country = phonenumbers.region_code_for_number(phonenumbers.parse(f"+{called.lstrip('+')}"))
    except phonenumbers.NumberParseException:
        country = None
    for text in {digits, f"+{digits.lstrip('+')}"}:
        try:
            found.update(same_line(normalise(text, country or "MX")))
        except NumberError:
            continue
    return found


class Callers:
    """What is known of those who call.

    Parameters
    ----------
    on_known
        Called with a call whose caller's number has been looked up, found or not.
    """

    def __init__(
        self,
        runtime: Runtime,
        campaigns: Mapping[CampaignId, CampaignRun],
        *,
        on_known: Callable[[InboundCall], None],
    ) -> None:
        self._runtime = runtime
        self._campaigns = campaigns
        self._on_known = on_known

    def identify(self, call: InboundCall, caller: str, called: str) -> None:
        """Look a caller up; `call.known` says when that is done."""
        numbers = numbers_of(caller, called)
        call.number = min(numbers, default="")
        if not numbers:
            call.known = True
            return
        campaign_id = call.campaign_id
        self._runtime.reader.ask(lambda tx: callers.find(tx, campaign_id, numbers)).add_done_callback(
            partial(self._found, call)
        )

    def _found(self, call: InboundCall, done: asyncio.Future[Caller | None]) -> None:
        call.known = True
        failed = done.cancelled() or done.exception() is not None
        caller = None if failed else done.result()
        if failed:
            log.warning("caller_not_looked_up", leg_id=call.leg_id)  # they are served like anybody
        if caller is not None:
            call.caller = caller
            until = self._runtime.clock.utc() + REST_WHILE
            person = caller.person_id
            told = CallIdentified(
                campaign_id=call.campaign_id, account_id=caller.account_id, leg_id=call.leg_id, lead_id=caller.lead_id,
                promised_agent=caller.agent_id, at_mono_ns=self._runtime.clock.mono_ns(),
            )  # fmt: skip
            self._runtime.store(lambda tx: callers.rest(tx, person, until), told)
        self._on_known(call)

    def take_callback(self, call: InboundCall, then: Callable[[bool], None]) -> None:
        """Write that a known caller wants to be called back, in their turn by the rules; then say whether it is written.

        It is not where their lead waits for something (a promise, say) or is finished: nobody would be called.
        """
        caller = call.caller
        if caller is None or caller.lead_id is None:
            then(False)
            return
        after = self._campaigns[call.campaign_id].settings.inbound.callback_after_minutes
        due = self._runtime.clock.utc() + dt.timedelta(minutes=after)
        at_ns = self._runtime.clock.mono_ns()
        lead_id, leg_id, campaign_id = caller.lead_id, call.leg_id, call.campaign_id

        def write(tx: Tx) -> bool:
            callback_id = callers.take_callback(tx, caller, campaign_id, due)
            if callback_id is None:
                return False
            tx.emit(
                CallbackTaken(
                    campaign_id=campaign_id, account_id=caller.account_id, lead_id=lead_id, leg_id=leg_id, callback_id=callback_id,
                    due_utc=due.isoformat(), at_mono_ns=at_ns,
                )
            )  # fmt: skip
            return True

        def written(done: asyncio.Future[object]) -> None:
            then(not done.cancelled() and done.exception() is None and done.result() is True)

        self._runtime.store(write).add_done_callback(written)

    def talked(self, call: InboundCall) -> None:
        """An agent has talked with them: a call-back is made with that, and their leads rest, but for the hour they have just asked for."""
        caller = call.caller
        if caller is None:
            return
        clock = self._runtime.clock
        until = clock.utc() + REST_AFTER_TALK
        called_at = clock.utc() - dt.timedelta(microseconds=(clock.mono_ns() - call.arrived_ns) / 1000)

        def write(tx: Tx) -> None:
            if caller.lead_id is not None:
                callbacks.made(tx, caller.lead_id, called_at)
            callers.rest(tx, caller.person_id, until, unless_called_back=True)

        self._runtime.store(write)
