"""Encrypted sound by baresip's own SRTP: both hear each other, also after the media plane has been replaced; who refuses it is not spoken to."""

from __future__ import annotations

import base64
import os
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dialer_core.sim.audio_check import tone_levels_dbfs
from dialer_core.sim.g711 import Law, decode
from tests.e2e.desk import PATIENT_MS, PERSON_HZ
from tests.e2e.floor import Floor
from tests.e2e.live import number
from tests.e2e.scenario import Answer, Ring, Stay
from tests.e2e.softphone import Softphone
from tests.e2e.sounds import AGENT_HZ, Sounds
from tests.e2e.wire import Capture, requires_capture
from tests.skips import requires_program

pytestmark = [
    *(pytest.mark.sip, requires_program("sipp"), requires_program("baresip"), requires_program("tshark")),
    requires_capture,
]
TALK_S = 1.0
CLEAR_DBFS = -40.0
STEP_S = 0.05


def _has_passed(at_ns: int, seconds: float) -> bool:
    return time.monotonic_ns() - at_ns > seconds * 1e9


def _heard_s(samples: NDArray[np.float32], hz: int) -> float:
    """For how long a tone is in a recording."""
    return float((tone_levels_dbfs(samples, [hz]) > CLEAR_DBFS).sum()) * STEP_S


def test_an_encrypted_agent_and_a_customer_in_the_clear(tmp_path: Path, sounds: Sounds) -> None:
    """SIPp is spoken to in the clear and baresip encrypted; each hears the other, before and after a new media plane; no key is written."""
    with Floor(tmp_path, sounds) as floor:
        floor.carrier({1: (Ring(100), Answer(sounds.speaking(PERSON_HZ)), Stay(PATIENT_MS))})
        phone = floor.softphone(encryption="srtp-mand")
        dialer = floor.dialer(
            trunks={"carrier0": {"srtp": "optional"}},
            agents={"a0": {"srtp": "required"}},
            campaign={"detection": "off", "wrap_up_s": 0.2},
        )
        capture = Capture(tmp_path, floor.ports)
        to = number(1, 0)
        try:
            dialer.start()
            dialer.login("a0")
            dialer.import_numbers([to])
            row = dialer.in_state(to, "bridged")
            dialer.until(lambda: _has_passed(row.bridged_mono_ns, TALK_S), 10.0, "a second of talk")
            killed_ns = time.monotonic_ns()
            os.kill(dialer.pid("media"), signal.SIGKILL)
            (restored,) = dialer.until(lambda: dialer.events("media.restored"), 15.0, "the sound")
            assert restored.data["reopened"] == 2
            restored_ns = time.monotonic_ns()
            dialer.until(lambda: _has_passed(restored_ns, TALK_S), 10.0, "another second")
            dialer.post(f"/calls/{row.id}/hangup")
            (ended,) = dialer.ended(to)
            assert (ended.outcome, ended.ended_by) == ("connected", "us")
        finally:
            capture.close()
        ports = {kind: dialer.legs(kind)[0].media_port for kind in ("customer", "agent")}
        dialer.post("/agents/a0/logout")
        dialer.until(lambda: not dialer.agent("a0")["leg_up"], 10.0, "the agent to be logged out")
    wire = capture.read()
    to_agent = [p for p in wire.rtp if p.source == ports["agent"]]
    to_customer = [p for p in wire.rtp if p.source == ports["customer"]]
    assert len(to_agent) > 100
    assert {p.payload for p in to_agent} == {b""}, "tshark, to which SRTP is no payload, can read it"
    assert {len(p.payload) for p in to_customer} == {160}
    assert len({p.ssrc for p in to_agent}) == 2, "each media plane has a stream of its own"
    for ssrc in {p.ssrc for p in to_customer}:
        sound = decode(b"".join(p.payload for p in to_customer if p.ssrc == ssrc), Law.PCMU)
        assert _heard_s(sound, AGENT_HZ[0]) >= TALK_S / 2
    before_s = (killed_ns - row.bridged_mono_ns) / 1e9
    (heard,) = phone.heard()
    assert _heard_s(heard, PERSON_HZ) > before_s + TALK_S / 2, "baresip heard nothing of the new media plane"
    _no_key_is_written(tmp_path, capture.file.read_bytes())


def _no_key_is_written(folder: Path, wire: bytes) -> None:
    """No key that went over the wire is in any file of the dialer: logs, database."""
    keys = set(re.findall(rb"inline:([A-Za-z0-9+/]{40})", wire))
    assert len(keys) >= 2
    files = [file for file in folder.rglob("*") if file.is_file() and not _is_a_far_ends(file, folder)]
    assert {"dialer.log"} <= {file.name for file in files}
    for file in files:
        data = file.read_bytes()
        for key in keys:
            assert key not in data, file
            assert base64.b64decode(key) not in data, file


def _is_a_far_ends(file: Path, folder: Path) -> bool:
    return file.relative_to(folder).parts[0].startswith(("softphone-", "carrier", "wire.", "dumpcap"))


def test_a_trunk_that_refuses_encryption_is_not_spoken_to(tmp_path: Path, sounds: Sounds) -> None:
    """`required`, and SIPp answers in the clear: no packet of sound leaves for it, and the attempt ends as media_failed."""
    with Floor(tmp_path, sounds) as floor:
        floor.carrier({1: (Ring(100), Answer(sounds.speaking(PERSON_HZ)), Stay(PATIENT_MS))})
        floor.softphone()
        dialer = floor.dialer(
            trunks={"carrier0": {"srtp": "required"}}, campaign={"detection": "off", "wrap_up_s": 0.2}
        )
        dialer.start()
        capture = Capture(tmp_path, floor.ports)
        try:
            dialer.login("a0")
            dialer.import_numbers([number(1, 0)])
            ended = dialer.ended(number(1, 0))[0]
            (leg,) = (leg for leg in dialer.legs("customer") if leg.attempt_id == ended.id)
        finally:
            capture.close()
    assert (ended.outcome, ended.sip_code) == ("media_failed", 488)
    assert [p for p in capture.read().rtp if p.source == leg.media_port] == []


def test_a_trunk_that_encrypts(tmp_path: Path, sounds: Sounds) -> None:
    """A trunk whose far end is baresip, and another as the agent's softphone, both with SRTP alone: each hears the other, and nothing can be read."""
    with Floor(tmp_path, sounds) as floor:
        agent = floor.softphone(encryption="srtp-mand")
        to = number(1, 0)
        person = Softphone(
            tmp_path, floor.ports, 1, name=to, speaks=sounds.agent(AGENT_HZ[1]), encryption="srtp-mand"
        )
        try:
            dialer = floor.dialer(
                trunks={"carrier0": {"port": person.port, "srtp": "required", "options_interval_s": 0}},
                agents={"a0": {"srtp": "required"}},
                campaign={"detection": "off", "wrap_up_s": 0.2},
            )
            dialer.start()
            capture = Capture(tmp_path, floor.ports)
            try:
                dialer.login("a0")
                dialer.import_numbers([to])
                row = dialer.in_state(to, "bridged")
                dialer.until(lambda: _has_passed(row.bridged_mono_ns, 2 * TALK_S), 10.0, "a talk")
                dialer.post(f"/calls/{row.id}/hangup")
                (ended,) = dialer.ended(to)
            finally:
                capture.close()
            assert ended.outcome == "connected"
            ports = [leg.media_port for kind in ("customer", "agent") for leg in dialer.legs(kind)]
            dialer.post("/agents/a0/logout")
            dialer.until(lambda: not dialer.agent("a0")["leg_up"], 10.0, "the agent to be logged out")
        finally:
            person.stop()
    sent = [p for p in capture.read().rtp if p.source in ports]
    assert len(sent) > 50
    assert {p.payload for p in sent} == {b""}, "tshark, to which SRTP is no payload, can read it"
    (person_heard,), (agent_heard,) = person.heard(), agent.heard()
    assert _heard_s(person_heard, AGENT_HZ[0]) >= TALK_S
    assert _heard_s(agent_heard, AGENT_HZ[1]) >= TALK_S
    _no_key_is_written(tmp_path, capture.file.read_bytes())
