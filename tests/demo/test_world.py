"""The demonstration's world: its configuration, leads and ports, and that it leaves nothing behind."""

from __future__ import annotations

import contextlib
import csv
import socket
from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest

from dialer_core.campaigns import readiness
from dialer_core.compliance.packs import load_packs
from dialer_core.demo.world import PEOPLE, Ports, world
from dialer_core.sim.behaviours import BEHAVIOURS, TrueClass, behaviour_for
from dialer_core.sim.people import digits_of, read_people
from dialer_core.store import scan
from dialer_core.store.database import open_database

pytestmark = [pytest.mark.db, pytest.mark.timeout(60)]


def test_the_packaged_leads_meet_every_behaviour() -> None:
    """Two hundred leads, no number twice, every row of the carrier's table among them, about one in five a person."""
    text = (files("dialer_core.demo") / "leads.csv").read_text(encoding="utf-8")
    numbers = [line["telefono"] for line in csv.DictReader(text.splitlines())]
    assert len(numbers) == len(set(numbers)) == 200
    assert all(number.startswith("55 0000 0") for number in numbers)
    met = Counter(behaviour_for(number).name for number in numbers)
    assert met.keys() == {row.name for row in BEHAVIOURS}
    people = sum(behaviour_for(number).true_class is TrueClass.HUMAN for number in numbers)
    assert 35 <= people <= 50


def test_the_world_is_ready_to_be_dialed(tmp_path: Path) -> None:
    """The written configuration loads, is allowed to dial, and the store holds every lead."""
    with world(tmp_path) as made:
        assert made.prepare() == 204
        settings = made.settings
        assert readiness.check(settings, load_packs(made.config / "compliance")) == []
        assert {settings.trunks["carrier"].port} == {made.ports.carrier}
        database = open_database(settings.store_url)
        with database.read() as tx:
            assert sum(1 for _ in scan.rows(tx, "lead")) == 204
        database.dispose()


def test_the_broadcast_meets_who_its_people_are() -> None:
    """Its four numbers are three people, whose keys lead to an agent twice and to a statement once, and a voicemail."""
    text = (files("dialer_core.demo") / "aviso.csv").read_text(encoding="utf-8")
    numbers = ["52" + digits_of(line["telefono"]) for line in csv.DictReader(text.splitlines())]
    people = read_people(PEOPLE)
    assert [number in people for number in numbers] == [True, True, True, False]
    assert sorted(row.presses[-1].key for row in people.values()) == ["1", "1", "2"]
    assert behaviour_for(numbers[-1]).name == "voicemail"


def test_ports_do_not_overlap_and_are_free() -> None:
    """Every block is free when chosen, and no two share a port."""
    ports = Ports.choose()
    blocks = [
        {ports.carrier}, set(ports.softphones), {ports.legal}, {ports.supervisor}, set(range(ports.sip, ports.sip + 24)), {ports.http},
        set(range(ports.media, ports.media + 400)), set(range(ports.sim, ports.sim + 400)),
    ]  # fmt: skip
    assert len(set().union(*blocks)) == sum(len(block) for block in blocks)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", ports.sip))


def test_the_simulator_starts_and_is_gone_afterwards(tmp_path: Path) -> None:
    """What the world starts has ended when its block does, also by an error."""
    seen = []
    with contextlib.suppress(KeyboardInterrupt), world(tmp_path) as made:
        seen.append(made)
        made.start_simulator()
        assert made._processes["sim"].poll() is None
        raise KeyboardInterrupt
    (made,) = seen
    assert made._processes["sim"].poll() == 0
    assert made.sim_log.read_text().rstrip().splitlines()[-1].count("sim.stopped") == 1
