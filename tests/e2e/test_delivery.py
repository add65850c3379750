"""People delivered into a queue of a PBX: baresip in its place, its agents told by HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.floor import Floor
from tests.e2e.live import number
from tests.e2e.scenario import Answer, Ring, Stay
from tests.e2e.sounds import CUSTOMER_HZ, Sounds
from tests.skips import requires_program

pytestmark = [pytest.mark.sip, requires_program("sipp"), requires_program("baresip")]

OUTCOME = {"detection": "off", "wrap_up_s": 0.2}


def _push(dialer: Any, sequence: int, **states: str) -> Any:
    said = [{"agent": name, "state": state, "sequence": sequence} for name, state in states.items()]
    return dialer.post("/agent-states", states=said)


def test_a_queue_of_a_pbx_takes_a_call_and_its_agent_is_told_by_http(floor: Floor, sounds: Sounds) -> None:
    """Free by push, delivered, acknowledged over HTTP, bridged, ended by the PBX; without pushes nobody of the queue is dialed for."""
    carrier = floor.carrier({1: (Ring(100), Answer(sounds.speaking(CUSTOMER_HZ[0], talk_s=30)), Stay(30000))})
    queue = {
        "sip": f"sip:cola@127.0.0.1:{floor.ports.softphone(0)}", "acknowledged_by": "told", "account_header": "X-Account", "user_to_user": True,
    }  # fmt: skip
    dialer = floor.dialer(
        campaign=OUTCOME,
        agents={"ana": {"queue": "cola", "member": "1001", "state_from": "agent_state_http"}},
        sections={"extensions.cola": queue, "plugins": {"enabled": ["agent_state_http"]}},
    )
    (dialer.config / "plugins").mkdir()
    (dialer.config / "plugins" / "agent_state_http.toml").write_text("stale_after_s = 4\n")
    phone = floor.softphone("cola")
    dialer.start(60.0)
    to = number(1)
    dialer.import_numbers([to])
    assert dialer.agent("ana")["state"] == "logged_out"
    taken = _push(dialer, 1, **{"1001": "available", "nobody": "busy"})
    assert (taken["changed"], taken["unknown"]) == (1, ["nobody"])
    (call,) = dialer.until(lambda: dialer.get("/calls"), 10.0, "a call")
    dialer.until(
        lambda: "cola" in {leg["extension"] for leg in dialer.logged("extension_up")}, 10.0, "the queue"
    )
    assert dialer.agent("ana")["state"] == "reserved"
    said = dialer.post(f"/calls/{call['attempt_id']}/connected", agent="ana")
    assert said == {"attempt": call["attempt_id"], "agent": "ana"}
    dialer.wait_agent("ana", "talking")
    _push(dialer, 2, ana="busy")
    phone.stop()
    (attempt,) = dialer.ended(to)
    assert (attempt.outcome, attempt.agent_id) == ("connected", "ana")
    dialer.until(
        lambda: dialer.agent("ana")["reason"] == "source_stale",
        10.0,
        "the source to be too old to be believed",
    )
    carrier.close()
