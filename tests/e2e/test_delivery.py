"""People delivered into a queue of a PBX: baresip in its place, told by HTTP; and a real Asterisk where one is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.floor import Floor
from tests.e2e.live import number
from tests.e2e.scenario import Answer, Ring, Stay
from tests.e2e.sounds import CUSTOMER_HZ, Sounds
from tests.plugins.asterisk import SECRET, USER, Asterisk
from tests.skips import may_need_program, requires_program

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
    dialer.start()
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


class TestAsterisk:
    """Asterisk 20 as trunk and as the PBX with the queue."""

    pytestmark = may_need_program("asterisk")

    DIALPLAN = """[dialer]
exten => _[+]X.,1,Answer()
 same => n,Wait(20)
exten => 600,1,Set(MARCADOR_ATTEMPT=${{PJSIP_HEADER(read,X-Marcador-Attempt)}})
 same => n,Set(ACCOUNT=${{PJSIP_HEADER(read,X-Account)}})
 same => n,Queue(cobranza,n,,,20)
exten => 700,1,Answer()
 same => n,Wait(20)
[members]
exten => 1001,1,Answer()
 same => n,Wait(6)
 same => n,Hangup()
"""
    PJSIP = """[udp]
type=transport
protocol=udp
bind=127.0.0.1:{sip}
[dialer]
type=endpoint
context=dialer
disallow=all
allow=ulaw
trust_id_inbound=yes
[dialer]
type=identify
endpoint=dialer
match=127.0.0.1
"""

    def test_the_queue_takes_a_call_over_with_replaces(self, floor: Floor, tmp_path: Path) -> None:
        """Member free over AMI; delivered; AMI names the agent; REFER with Replaces joins both legs in Asterisk, ours leave, and they talk on there.

        The agent is busy until Asterisk says that they are free again.
        """
        base = floor.ports.base
        asterisk = Asterisk(
            tmp_path / "asterisk", ami=base + 250, sip=base + 252, rtp=base + 260,
            files={"extensions.conf": self.DIALPLAN, "pjsip.conf": self.PJSIP},
        )  # fmt: skip
        try:
            queue = {
                "sip": f"sip:600@127.0.0.1:{base + 252}", "acknowledged_by": "told", "hand_over": "refer", "account_header": "X-Account",
            }  # fmt: skip
            dialer = floor.dialer(
                trunks={"asterisk": {"port": base + 252}},
                campaign=OUTCOME,
                agents={
                    "ana": {"queue": "cola", "member": "Local/1001@members", "state_from": "asterisk_queue"}
                },
                sections={
                    "extensions.cola": queue,
                    "extensions.caja": {"sip": f"sip:700@127.0.0.1:{base + 252}", "hand_over": "refer"},
                    "plugins": {"enabled": ["asterisk_queue"]},
                },
                environment={"AMI_SECRET": SECRET},
            )
            (dialer.config / "plugins").mkdir()
            (dialer.config / "plugins" / "asterisk_queue.toml").write_text(
                f'port = {base + 250}\nuser = "{USER}"\nsecret_env = "AMI_SECRET"\n'
            )
            dialer.start()
            dialer.wait_agent("ana", "ready")
            to = number(1)
            dialer.import_numbers([to])
            (attempt,) = dialer.ended(to)
            assert (attempt.outcome, attempt.agent_id) == ("connected", "ana")
            told = dialer.logged("referred")
            assert [(one["code"], one["replaces"]) for one in told] == [(200, True)]
            dialer.wait_agent("ana", "paused")  # by Asterisk's word: they talk there
            assert asterisk.say("core show channels concise").count("PJSIP/dialer") == 1
            dialer.wait_agent("ana", "ready", timeout_s=15)
        finally:
            asterisk.close()
