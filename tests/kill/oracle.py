"""What a run of kills comes to: the far ends' log against the store, when both are whole.

Owns the judgement. The log is the oracle: what it shows was on the wire; the store is what has to agree with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from dialer_core.compliance.packs import load_packs
from dialer_core.store import models
from dialer_core.verify import verify_store
from tests.kill.carrier_watch import CarrierWatch, WireCall
from tests.kill.cells import A, E, Victim
from tests.kill.ledger import Fault, faults_of
from tests.kill.node import Node
from tests.kill.rounds import Kill
from tests.kill.sound_gap import AFTER_NS, BEFORE_NS, gap_s

L = models.Lead.__table__

ORPHAN_LIMIT_S = 2.0
RESUME_LIMIT_S = 5.0
MEDIA_GAP_LIMIT_S = 1.0
OTHER_GAP_LIMIT_S = 0.25
"""A talk whose sound no dead process carried is not disturbed: less than a quarter of a second, whatever the machine does beside."""
AGENT_PARTED_NS = 3_000_000_000
TALKING_NS = 700_000_000
"""A talk counts as one when its bridge stood so long before the kill."""


@dataclass(slots=True)
class Kind:
    """What all kills of one process came to: a line of the benchmark."""

    kind: str
    kills: int = 0
    talks: int = 0
    """Talks that stood when it died, and whose sound or signalling it may not end."""
    survived: int = 0
    gaps_s: list[float] = field(default_factory=list)
    orphan_bye_s: list[float] = field(default_factory=list)
    resume_s: list[float] = field(default_factory=list)
    lost: int = 0
    repeated: int = 0
    unjudged: int = 0
    """Silences in which the far ends themselves stood still."""

    def line(self) -> dict[str, Any]:
        """Return the keys of `benchmarks.recovery`."""
        return {
            "kind": self.kind,
            "kills": self.kills,
            "talk_survived": round(self.survived / self.talks, 4) if self.talks else None,
            "gap_s_max": round(max(self.gaps_s), 3) if self.gaps_s else None,
            "orphan_bye_s_max": round(max(self.orphan_bye_s), 3) if self.orphan_bye_s else None,
            "resume_s_max": round(max(self.resume_s), 3) if self.resume_s else None,
            "lost": self.lost,
            "repeated": self.repeated,
        }


@dataclass(slots=True)
class Judgement:
    """Everything found wrong, and the figures by kind of kill."""

    kinds: dict[Victim, Kind]
    faults: list[str]


def judge(node: Node, kills: Sequence[Kill], *, slack: float = 1.0) -> Judgement:
    """Judge a run whose dialer has drained and whose far ends have stopped.

    Parameters
    ----------
    node
        Closed or not, its processes are over.
    kills
        In order.
    slack
        By how much the limits in seconds are stretched, on a machine that does other things too.
    """
    found = Judgement({victim: Kind(victim.value) for victim in Victim}, [])
    for index, kill in enumerate(kills):
        kind = found.kinds[kill.wanted.victim]
        # what a later kill does is not this one's fault
        until_ns = kills[index + 1].at_ns if index + 1 < len(kills) else 1 << 62
        kind.kills += 1
        kind.resume_s.append(kill.resume_s)
        found.faults += [f"kill {kill.number} ({kill.wanted}): {fault}" for fault in kill.faults]
        if kill.resume_s > RESUME_LIMIT_S * slack:
            found.faults.append(
                f"kill {kill.number} ({kill.wanted}): dialed again after {kill.resume_s:.2f} s"
            )
        _talks(node, kill, until_ns, kind, found.faults, slack)
        if kill.wanted.victim is Victim.WORKER:
            _orphans(node.wire, kill, kind, found.faults, slack)
    for fault in _ledger(node):
        found.faults.append(fault.text)
        before = [kill for kill in kills if kill.at_ns <= fault.at_ns]
        if before:
            blamed = found.kinds[before[-1].wanted.victim]
            blamed.lost += not fault.repeated
            blamed.repeated += fault.repeated
    report = verify_store(
        node.database,
        packs=load_packs(node.config / "compliance"),
        trunks={str(name): trunk for name, trunk in node.settings.trunks.items()},
        carrier_log=node.wire.path,
        logs=[node.folder / "dialer.log"],
    )
    found.faults += [f"verify: {violation}" for violation in report.violations]
    found.faults += [f"far ends: {error}" for error in node.wire.errors]
    return found


def _ledger(node: Node) -> list[Fault]:
    with node.database.read() as tx:
        return faults_of(
            node.wire.customers,
            rows=list(tx.execute(select(A))),
            ends=Counter(tx.execute(select(E.c.attempt_id).where(E.c.name == "attempt.ended")).scalars()),
            leads=list(tx.execute(select(L))),
        )


# --- talks ---------------------------------------------------------------------------------------------------------------


def _talks(node: Node, kill: Kill, until_ns: int, kind: Kind, faults: list[str], slack: float) -> None:
    """Which conversations stood, which went on to the end that the customer gave them, and what both ears missed."""
    recordings = node.folder / "sim" / "recordings"
    for flying in kill.flying:
        call = node.wire.calls.get(flying.call.call_id) if flying.call is not None else None
        bridge = _bridge_at(flying.events, kill.at_ns)
        if call is None or bridge is None or not call.up_at(kill.at_ns):
            continue
        bridged_ns, agent_id = bridge
        if bridged_ns > kill.at_ns - TALKING_NS:
            continue
        agent = _agent_leg(node, agent_id, kill.at_ns)
        if kill.process in (flying.worker, flying.agent_worker) or _agent_died(kill, agent):
            continue  # what it carried ends; that it ends in time is `_orphans`' business
        kind.talks += 1
        where = f"kill {kill.number} ({kill.wanted}): the talk of attempt {flying.id}"
        if call.bye_ns < until_ns and (call.bye_received or call.bye_reason in {"patience", "no_ack"}):
            after_s = (call.bye_ns - kill.at_ns) / 1e9
            faults.append(f"{where} was cut after {after_s:.2f} s ({call.bye_reason or 'by our BYE'})")
            continue
        kind.survived += 1
        limit_s = (MEDIA_GAP_LIMIT_S if kill.wanted.victim is Victim.MEDIA else OTHER_GAP_LIMIT_S) * slack
        gaps: list[tuple[str, float]] = []
        if agent is not None:
            heard = gap_s(
                recordings,
                call.call_id,
                agent.hz,
                kill.at_ns,
                bridged_ns + 200_000_000,
                min(call.bye_ns, until_ns),
            )
            gaps += [("customer", heard)] if heard is not None else []
            if call.spoke_ns:
                begin_ns = max(bridged_ns, call.spoke_ns) + 200_000_000
                heard = gap_s(
                    recordings, agent.call_id, call.tone_hz, kill.at_ns, begin_ns, min(call.bye_ns, until_ns)
                )
                gaps += [("agent", heard)] if heard is not None else []
        still = node.wire.stood_still(kill.at_ns - BEFORE_NS, kill.at_ns + AFTER_NS)
        for ear, missing_s in gaps:
            if still and missing_s > limit_s:
                kind.unjudged += 1  # the far ends were not there to speak or to hear
                continue
            kind.gaps_s.append(missing_s)
            if missing_s > limit_s:
                faults.append(f"{where}: the {ear} heard nothing for {missing_s:.2f} s")


def _agent_died(kill: Kill, agent: WireCall | None) -> bool:
    """Say whether the agent's own leg died with the agents' worker: their caller waits, and is bridged again."""
    return (
        agent is not None
        and kill.process.startswith("agents")
        and agent.over_by(kill.at_ns + AGENT_PARTED_NS)
    )


def _bridge_at(events: Sequence[Any], at_ns: int) -> tuple[int, str] | None:
    standing: tuple[int, str] | None = None
    for event in events:
        if event.at_mono_ns > at_ns:
            continue
        if event.name == "attempt.bridged":
            standing = (event.at_mono_ns, event.data["agent_id"])
        elif event.name == "attempt.unbridged":
            standing = None
    return standing


def _agent_leg(node: Node, agent_id: str, at_ns: int) -> WireCall | None:
    port = node.softphones + int(agent_id.removeprefix("a"))
    return next((call for call in node.wire.agents if call.port == port and call.up_at(at_ns)), None)


# --- calls of dead workers -------------------------------------------------------------------------------------------------


def _orphans(wire: CarrierWatch, kill: Kill, kind: Kind, faults: list[str], slack: float) -> None:
    """Every answered call that died with its worker got a BYE in time."""
    for flying in kill.flying:
        call = wire.calls.get(flying.call.call_id) if flying.call is not None else None
        if call is None or flying.worker != kill.process or call.over_by(kill.at_ns):
            continue
        where = f"kill {kill.number} ({kill.wanted}): the call of attempt {flying.id}"
        if call.up_at(kill.at_ns):
            ended_ns = call.bye_ns or call.over_ns
            after_s = (ended_ns - kill.at_ns) / 1e9 if ended_ns else 3600.0
            kind.orphan_bye_s.append(after_s)
            if after_s > ORPHAN_LIMIT_S * slack:
                faults.append(f"{where} died with its worker and was ended after {after_s:.2f} s")
        elif call.closing.get("ended_by") == "no_ack":
            faults.append(f"{where} rang when its worker died, was answered, and nobody was there")
