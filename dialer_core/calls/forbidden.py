"""What rings and may not ring any more: ringing attempts are held against restrictions that came after their gate.

It owns the question and its pace. The answer is the store's, the CANCEL `call_flow.py`'s.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

import structlog

from dialer_core.calls.attempt import RINGING_STATES
from dialer_core.calls.call_flow import CallFlow
from dialer_core.calls.machine import AttemptMachine
from dialer_core.runtime import Runtime
from dialer_core.store import restrictions
from dialer_core.vocabulary import AttemptId, Outcome

log = structlog.get_logger(__name__)

INTERVAL_S: Final = 0.5
"""How often ringing attempts are held against new restrictions: effective in under a second."""


async def watch(runtime: Runtime, machine: AttemptMachine, flow: CallFlow) -> None:
    """Cancel what rings and may not ring any more, until cancelled."""

    def found(done: asyncio.Future[list[AttemptId]]) -> None:
        if done.cancelled() or done.exception() is not None:
            return  # a store that is away is told elsewhere; asked again in a moment
        for attempt_id in done.result():
            attempt = machine.attempts.get(attempt_id)
            if attempt is not None and attempt.state in RINGING_STATES:
                log.info("attempt_forbidden", attempt_id=attempt_id, campaign=attempt.campaign_id)
                flow.release(attempt, Outcome.CANCELLED)

    while True:
        await asyncio.sleep(INTERVAL_S)
        if runtime.journal.behind or not any(a.state in RINGING_STATES for a in machine.attempts.values()):
            continue  # questions must not pile up behind a store that is away
        ask = partial(restrictions.forbidden_live_attempts, at_utc=runtime.clock.utc(), node=runtime.node)
        runtime.journal.submit(ask).add_done_callback(found)
