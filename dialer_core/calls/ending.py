"""The end of an attempt: which outcome, and the one unit that stores it with everything that follows from it.

It owns that unit: the attempt's and leg's last columns, the settled contact, the lead's next state, and, where a trunk failed, the next attempt over
another trunk. The rules behind each are their owners' (`outcome.py`, `campaigns/recycle.py`, `campaigns/hopper.py`).
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable

import structlog

from dialer_core.calls.attempt import Attempt
from dialer_core.calls.outcome import TRUNK_FAULTS, outcome_of_response
from dialer_core.calls.trunks import Trunks
from dialer_core.campaigns import hopper, recycle
from dialer_core.campaigns.run import CampaignRun
from dialer_core.errors import StoreError
from dialer_core.events import AttemptEnded, AttemptReleased, Event
from dialer_core.runtime import Runtime
from dialer_core.store import attempts as attempt_rows
from dialer_core.store import legs as leg_rows
from dialer_core.store.errors import DatabaseAwayError
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import CampaignId, EndedBy, Outcome, TrunkId

log = structlog.get_logger(__name__)


def outcome_of(attempt: Attempt, code: int, q850: int, by: EndedBy) -> Outcome:
    """Return the one outcome of an attempt whose leg has ended.

    One that a process of ours took along is `interrupted`, a talk too: `talk_ms` says that there was one. An abandoned call stays one.
    """
    if attempt.abandoned:
        return Outcome.ABANDONED
    if attempt.cut_off:
        return Outcome.INTERRUPTED
    if attempt.bridged_ns:
        return Outcome.CONNECTED
    if attempt.release_outcome is not None:
        return attempt.release_outcome
    if attempt.served:
        return Outcome.SELF_SERVED
    if attempt.answered_ns:
        if code == 488:
            return Outcome.MEDIA_FAILED
        return Outcome.CALLER_HUNG_UP if by is EndedBy.FAR else Outcome.INTERRUPTED
    return outcome_of_response(
        code,
        q850,
        by,
        rang=attempt.ringing_seen,
        progressed=bool(attempt.ringing_ns),
        early_verdict=attempt.early_verdict,
    )


class Ending:
    """Stores endings.

    Parameters
    ----------
    on_retry
        Called with the new attempt where a failed trunk was followed by another, the failed one, and when the new trunk's line was taken.
    """

    def __init__(
        self,
        runtime: Runtime,
        campaigns: dict[CampaignId, CampaignRun],
        trunks: Trunks,
        *,
        on_retry: Callable[[hopper.ClaimedAttempt, Attempt], None],
    ) -> None:
        self._runtime = runtime
        self._campaigns = campaigns
        self._trunks = trunks
        self._on_retry = on_retry

    def store(self, attempt: Attempt, outcome: Outcome, code: int, q850: int, by: EndedBy) -> None:
        """Store the outcome and what follows from it in one unit. Where that cannot be stored, the outcome alone is: no attempt stays alive (I2)."""
        campaign = self._campaigns[attempt.campaign_id]
        now_ns, now_utc = self._runtime.clock.mono_ns(), self._runtime.clock.utc()
        end_ns = attempt.end_ns(now_ns)
        end_utc = now_utc - dt.timedelta(microseconds=(now_ns - end_ns) // 1000)
        talk_ms = attempt.talk_ns // 1_000_000
        events: list[Event] = [
            AttemptEnded(
                attempt_id=attempt.id, campaign_id=attempt.campaign_id, account_id=attempt.account_id, at_mono_ns=end_ns, outcome=outcome,
                sip_code=code, q850=q850, ended_by=by, talk_ms=talk_ms, agent_id=attempt.last_agent_id, crossed=attempt.crossed,
            )
        ]  # fmt: skip
        if outcome is Outcome.RELEASED:
            ring_ms = (now_ns - attempt.sent_ns) // 1_000_000 if attempt.sent_ns else 0
            events.append(
                AttemptReleased(
                    attempt_id=attempt.id,
                    campaign_id=attempt.campaign_id,
                    account_id=attempt.account_id,
                    at_mono_ns=now_ns,
                    ring_ms=ring_ms,
                )
            )
        retry_trunk: TrunkId | None = None
        if outcome in TRUNK_FAULTS and campaign.settings.failover and campaign.dialing:
            retry_trunk = self._trunks.next_after(attempt.trunk, campaign.settings.trunks, now_ns)
        snapshot = (
            attempt.id,
            attempt.live,
            attempt.abandoned,
            bool(attempt.bridged_ns) or attempt.identified,
            attempt.leg_id,
            attempt.placements > 0,
        )
        attempt_id, live, abandoned, talked, leg_id, placed = snapshot

        def end(tx: Tx) -> None:
            attempt_rows.end(
                tx, attempt_id, outcome=outcome, sip_code=code, q850=q850, ended_by=by, at_utc=end_utc, at_mono_ns=end_ns,
                live_answer=live, abandoned=abandoned,
            )  # fmt: skip
            if placed:
                leg_rows.end(tx, leg_id, at_utc=end_utc, sip_code=code)

        def write(tx: Tx) -> hopper.ClaimedAttempt | None:
            end(tx)
            recycle.settle(
                tx, attempt_id=attempt_id, outcome=outcome, live_answer=live, abandoned=abandoned, talked=talked,
                settings=campaign.settings, pack=campaign.pack, now=now_utc,
            )  # fmt: skip
            return None if retry_trunk is None else retry(tx, retry_trunk)

        def retry(tx: Tx, trunk: TrunkId) -> hopper.ClaimedAttempt | None:
            try:
                with tx.savepoint():
                    claimed = hopper.reclaim(
                        tx, ended_attempt_id=attempt_id, trunk=trunk, settings=campaign.settings, pack=campaign.pack,
                        node=self._runtime.node, boot_id=self._runtime.boot_id, now=self._runtime.clock.utc(),
                        caller_ids=campaign.caller_ids,
                    )  # fmt: skip
            except DatabaseAwayError:
                raise
            except StoreError as error:  # the end itself stands
                log.exception("failover_not_stored", attempt_id=attempt_id, error=type(error).__name__)
                return None
            return claimed if isinstance(claimed, hopper.ClaimedAttempt) else None

        def stored(done: asyncio.Future[hopper.ClaimedAttempt | None]) -> None:
            claimed = None if done.cancelled() or done.exception() else done.result()
            if not done.cancelled() and (error := done.exception()) is not None:
                log.error(
                    "ending_not_stored",
                    attempt_id=attempt_id,
                    outcome=outcome,
                    error=type(error).__name__,
                    exc_info=error,
                )
                self._runtime.store(end, *events)
            if retry_trunk is not None:
                if claimed is None:
                    self._trunks[retry_trunk].give_back(unsent=True)
                else:
                    self._on_retry(claimed, attempt)

        self._runtime.journal.submit(write, *events).add_done_callback(stored)
        log.info(
            "attempt_ended", attempt_id=attempt.id, campaign=attempt.campaign_id, trunk=attempt.trunk, worker=attempt.worker, outcome=outcome,
            sip_code=code, q850=q850, ended_by=by, crossed=attempt.crossed, verdict=attempt.verdict, agent_id=attempt.last_agent_id, talk_ms=talk_ms,
            ring_ms=(attempt.answered_ns - attempt.sent_ns) // 1_000_000 if attempt.answered_ns and attempt.sent_ns else None,
        )  # fmt: skip
