"""Eight processes claim from one PostgreSQL and are killed at random: nobody is called twice, and nothing is lost."""

import multiprocessing
import random
from multiprocessing.synchronize import Event

import pytest

from dialer_core.campaigns import hopper
from dialer_core.store.database import open_database
from dialer_core.vocabulary import LeadState
from tests.campaigns.lists import CAMPAIGN, NOON, TRUNK, put_lead, put_list_campaign, rows, settings_of
from tests.compliance.packs_for_tests import pack_of
from tests.polling import wait_until

pytestmark = pytest.mark.db

LEADS = 1200
KILLS = 6


def claim_on(url: str, node: str, stop: Event) -> None:
    """Claim seven at a time until told to stop."""
    database = open_database(url, node=node, boot_id="boot-1")
    settings, pack = settings_of(), pack_of()
    while not stop.is_set():
        with database.write("engine") as tx:
            hopper.claim(
                tx, campaign_id=CAMPAIGN, settings=settings, pack=pack, trunks=[TRUNK] * 7, node=node, boot_id="boot-1", now=NOON
            )  # fmt: skip
    database.dispose()


def test_eight_claimers_are_killed(postgresql_database: str) -> None:
    """Whatever was being claimed when a process died is not claimed, and everything else once: every lead has one live attempt and one contact in
    the end, and no number or person two.
    """  # noqa: D205 - one claim
    database = open_database(postgresql_database, node="watch", boot_id="boot-1")
    database.migrate()
    with database.write() as tx:
        put_list_campaign(tx)
        for index in range(LEADS):
            put_lead(tx, [f"+52551111{index:04d}"])
    context, draw, made = multiprocessing.get_context("spawn"), random.Random(8), 0
    stop = context.Event()

    def another() -> multiprocessing.process.BaseProcess:
        nonlocal made
        made += 1
        process = context.Process(target=claim_on, args=(postgresql_database, f"node{made}", stop))
        process.start()
        return process

    def claimed() -> int:
        with database.read() as tx:
            return len(rows(tx, "attempt"))

    claimers = [another() for _ in range(8)]
    try:
        for kill in range(1, KILLS + 1):
            goal = min(LEADS - 1, claimed() + 60)
            wait_until(lambda goal=goal: claimed() >= goal, 60, f"claims before kill {kill}")  # type: ignore[misc]
            place = draw.randrange(8)
            claimers[place].kill()
            claimers[place].join()
            claimers[place] = another()
        wait_until(lambda: claimed() == LEADS, 60, "every lead to be claimed")
    finally:
        stop.set()
        for process in claimers:
            process.join()
    with database.read() as tx:
        attempts, contacts, leads = rows(tx, "attempt"), rows(tx, "contact"), rows(tx, "lead")
    assert len({row["lead_id"] for row in attempts}) == len(attempts) == LEADS
    assert len({row["number"] for row in attempts}) == len({row["person_id"] for row in attempts}) == LEADS
    assert {row["attempt_id"] for row in contacts} == {row["id"] for row in attempts}
    assert {row["state"] for row in leads} == {LeadState.IN_ATTEMPT}
    database.dispose()
