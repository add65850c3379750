"""The whole judgement of one demonstration: comparison, sound, invariants, and what was promised.

It owns the object that `dialer demo --json` prints last. It owns none of the judgements (`report.py`,
`sound.py`, `broadcast.py`, `dialer_core.verify`).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dialer_core.compliance.packs import load_packs
from dialer_core.demo import broadcast, report, sound
from dialer_core.demo.world import EXTENSION, World
from dialer_core.sim.log_reader import load_log, pair_calls
from dialer_core.store import events as event_rows
from dialer_core.store import scan
from dialer_core.store.database import open_database
from dialer_core.verify import verify_store


class DemoReport(msgspec.Struct, frozen=True, kw_only=True):
    """The object that `--json` prints last."""

    attempts: int
    answered: int
    live_answers: int
    bridged: int
    abandoned: int
    machine: int
    verdict_errors: int
    outcome_mismatches: int
    audio_ok: bool
    verdict_to_bridge_ms: report.Spread
    hello_to_agent_ms: report.Spread
    seconds: float
    """From the first INVITE to the last end of a call."""
    people_lost: int
    outcomes: dict[str, int]
    verdicts: dict[str, dict[str, int]]
    mismatches: list[str]
    audio: sound.SoundReport
    violations: list[str]
    promises: list[report.Promise]
    ok: bool


def judge(made: World, exit_status: int, exported: Sequence[broadcast.Exported]) -> DemoReport:
    """Compare the store with the simulator's log and recordings.

    Parameters
    ----------
    made
        A world in which everything has ended.
    exit_status
        Of `dialer run`.
    exported
        Every recording, as the API gave it while the dialer still ran.
    """
    settings = made.settings
    log = load_log(made.sim_log)
    ports = {str(name): int(agent.sip.rpartition(":")[2]) for name, agent in settings.agents.items()}
    ports[EXTENSION] = made.ports.legal
    database = open_database(settings.store_url, node=settings.dialer.node.name)
    try:
        with database.read() as tx:
            rows = list(scan.rows(tx, "attempt"))
            stored = event_rows.tail(tx, {}, (*report.BRIDGE_EVENTS, *broadcast.EVENTS), 100_000)
        verified = verify_store(
            database,
            packs=load_packs(settings.directory / "compliance"),
            trunks={str(name): trunk for name, trunk in settings.trunks.items()},
            carrier_log=made.sim_log,
            logs=(made.dialer_log,),
        )
    finally:
        database.dispose()
    bridges = report.bridges_of(stored)
    in_flows = {event.attempt_id for event in stored if event.name == "flow.started" and event.attempt_id}
    compared = report.compare(rows, bridges, log, ports, pair_calls(log), in_flows)
    heard = sound.judge_sound(rows, bridges, log, ports)
    promised = [
        *report.promises(
            compared,
            audio_ok=heard.ok,
            audio_seen=heard.seen(),
            violations=len(verified.violations),
            exit_status=exit_status,
        ),
        broadcast.digits(rows, stored, log),
        broadcast.transfer(stored, bridges, EXTENSION, heard),
        broadcast.recordings(exported, bridges, rows, log, ports),
    ]
    sent = [row.sent_mono_ns for row in rows if row.sent_mono_ns is not None]
    ended = [row.ended_mono_ns for row in rows if row.ended_mono_ns is not None]
    return DemoReport(
        **{name: getattr(compared, name) for name in report.Comparison.__struct_fields__},
        audio_ok=heard.ok,
        audio=heard,
        seconds=round((max(ended) - min(sent)) / 1e9, 1) if sent and ended else 0.0,
        violations=[str(violation) for violation in verified.violations],
        promises=promised,
        ok=all(promise.kept for promise in promised),
    )
