"""A node among others that share its database: what it may use of what they share, and what becomes of one that is gone.

It owns the pace of asking and what follows from the answer: the share of each trunk's lines and calls per second, the pools that this node paces, and
the end of a lost node's calls, once, by whoever finds it first. Who gets what is `store/leases.py`'s. Alone, a node has everything.

Where the database was away for everybody, or the clock that leases go by was set, nobody is gone: a node takes others for gone only after it has
itself been heard, by a clock that ran evenly, for as long as leases last. A node that could not ask for nearly so long places nothing: others may
soon take it for gone. Where they have, its engine ends and is started anew, and finds out what is left. It stops `RENEW_S` early, as a clock that
was set by less than that is taken for one that runs evenly: two nodes never have the same thing unless the clock is set again and again.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import structlog

from dialer_core.calls.trunks import Trunks
from dialer_core.campaigns import recycle
from dialer_core.campaigns.run import CampaignRun
from dialer_core.errors import StartError, StoreError
from dialer_core.node_events import NodeLost
from dialer_core.runtime import Runtime
from dialer_core.store import agents as agent_rows
from dialer_core.store import attempts as attempt_rows
from dialer_core.store import events as event_rows
from dialer_core.store import leases
from dialer_core.store import legs as leg_rows
from dialer_core.store.leases import Granted, Share
from dialer_core.store.models import Attempt as AttemptRow
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AgentId, AttemptId, CampaignId, LegId, Outcome

log = structlog.get_logger(__name__)

RENEW_S: Final = 3.0


class ExpelledError(StartError):
    """Other nodes took this one for gone and ended its calls: it begins anew."""


class Nodes:
    """What this node has.

    Parameters
    ----------
    trunks
        Told of their shares.
    pools
        Keys of the pools that this node could pace.
    manned
        Keys of those that have agents logged in here, or calls.
    """

    def __init__(
        self,
        runtime: Runtime,
        campaigns: Mapping[CampaignId, CampaignRun],
        trunks: Trunks,
        *,
        pools: Callable[[], Iterable[str]],
        manned: Callable[[], Iterable[str]],
    ) -> None:
        self._runtime = runtime
        self._campaigns = campaigns
        self._trunks = trunks
        self._pools = pools
        self._manned = manned
        self._left = False
        self._granted: Granted | None = None
        self._asked_ns = 0
        self._answered_ns = 0
        self._steady_ns = 0
        """Since when it has asked without a pause, and the clock that leases go by was not set."""

    async def begin(self) -> None:
        """Ask for the first time, before anything is placed."""
        await self._renew()

    async def run(self) -> None:
        """Ask again and again, and end what lost nodes left.

        Raises
        ------
        ExpelledError
            Others took this node for gone.
        """
        while not self._left:
            await asyncio.sleep(RENEW_S)
            try:
                await self._renew()
            except StoreError as error:  # asked again in a moment; `held` says how long that may go on
                log.warning("leases_not_renewed", error=str(error))

    def give_up(self) -> None:
        """Leave, for good: others need not wait until its leases lapse. Told again, it has left already."""
        if not self._left:
            self._left = True
            self._runtime.store(lambda tx: leases.give_up(tx, self._runtime.node))

    def held(self) -> str:
        """Say why nothing may be placed: the leases have lapsed. Empty while they have not."""
        age_ns = self._runtime.clock.mono_ns() - self._asked_ns
        if self._granted is None or age_ns <= (leases.TTL.total_seconds() - RENEW_S) * 1e9:
            return ""
        return "this node has not been able to renew its leases: others may have taken its place"

    def pacer_of(self, pool: str) -> str:
        """Return the node that paces a pool; empty where nobody does yet."""
        if self._granted is None or pool in self._granted.pools:
            return self._runtime.node
        return self._granted.paced_by.get(pool, "")

    async def _renew(self) -> None:
        asked_ns, node, before = self._runtime.clock.mono_ns(), self._runtime.node, self._granted
        alone = before is None or before.alone
        wanted = sorted(self._pools() if alone else self._manned())
        trunks = {
            trunk.id: (Share(trunk.settings.lines, trunk.settings.calls_per_second), trunk.lines_used)
            for trunk in self._trunks.all()
        }
        granted = await self._runtime.journal.submit(
            lambda tx: leases.renew(tx, node, trunks, wanted, known=before is not None)
        )
        if granted.expelled:
            msg = f"node {node} could not renew its leases, and others have ended its calls; it begins anew"
            raise ExpelledError(msg)
        if before is None or granted.alone != before.alone:
            log.info("node_shares", alone=granted.alone, pools=sorted(granted.pools))
        now_ns = self._runtime.clock.mono_ns()
        if (
            asked_ns - self._asked_ns > 2 * RENEW_S * 1e9
            or now_ns - asked_ns > RENEW_S * 1e9
            or abs(self._clock_set_s(granted, now_ns)) > RENEW_S
        ):
            self._steady_ns = now_ns
        self._granted, self._asked_ns, self._answered_ns = granted, asked_ns, now_ns
        for name, share in granted.trunks.items():
            self._trunks[name].share(share.lines, share.calls_per_second)
        if asked_ns - self._steady_ns < leases.TTL.total_seconds() * 1e9:
            return
        for gone in granted.gone:
            self._runtime.store(lambda tx, lost=gone: end_lost_node(tx, self._runtime, self._campaigns, lost))  # type: ignore[misc]

    def _clock_set_s(self, granted: Granted, now_ns: int) -> float:
        """Return by how much the leases' clock was set since the last answer: forward, every node's leases would seem to have lapsed."""
        if self._granted is None:
            return 0.0
        passed_s = (granted.at_utc - self._granted.at_utc).total_seconds()
        return passed_s - (now_ns - self._answered_ns) / 1e9


def end_lost_node(
    tx: Tx, runtime: Runtime, campaigns: Mapping[CampaignId, CampaignRun], node: str
) -> int | None:
    """End what a node left that is gone, unless another was faster; return its attempts. Its leads go on as after an interruption."""
    if not leases.bury(tx, node):
        return None
    now_utc = runtime.clock.utc()
    lost = attempt_rows.live(tx, node)
    end_lost(tx, runtime, campaigns, lost, now_utc)
    for leg in leg_rows.live(tx, node):
        leg_rows.end(tx, LegId(leg.id), at_utc=now_utc)
    agents = {AgentId(one.agent_id) for one in agent_rows.open_intervals(tx, node)}
    if agents:
        agent_rows.close_left_open(tx, agents, event_rows.last(tx, node, "engine"))
    tx.emit(NodeLost(lost_node=node, attempts=len(lost), agents=len(agents)))
    log.warning("node_lost", lost_node=node, attempts=len(lost), agents=len(agents))
    return len(lost)


def end_lost(
    tx: Tx,
    runtime: Runtime,
    campaigns: Mapping[CampaignId, CampaignRun],
    lost: list[AttemptRow],
    now_utc: dt.datetime,
) -> None:
    """End attempts that nobody can go on with as `interrupted`, and settle them."""
    attempt_rows.interrupt(
        tx, lost, at_utc=now_utc, at_mono_ns=runtime.clock.mono_ns(), boot_id=runtime.boot_id
    )
    for row in lost:
        run = campaigns.get(CampaignId(row.campaign_id))
        if run is None:
            log.warning("campaign_file_gone", attempt_id=row.id, campaign=row.campaign_id)
            talked = row.bridged_mono_ns is not None
            recycle.settle_without_rules(tx, AttemptId(row.id), Outcome.INTERRUPTED, talked=talked)
            continue
        recycle.settle(
            tx, attempt_id=AttemptId(row.id), outcome=Outcome.INTERRUPTED, live_answer=row.live_answer, abandoned=row.abandoned,
            talked=row.bridged_mono_ns is not None, settings=run.settings, pack=run.pack, now=now_utc,
        )  # fmt: skip
