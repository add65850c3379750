"""The edge, live: Kamailio as `dialer init --edge` writes it, between a running dialer, softphones that register, and trunks."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from dialer_core.commands.doctor_edge import check_edge
from dialer_core.edge import configuration
from dialer_core.sim.audio_check import tone_levels_dbfs
from tests.e2e.carrier import Carrier
from tests.e2e.live import Dialer, number
from tests.e2e.ports import Ports
from tests.e2e.scenario import Answer, AwaitBye, Ring, Stay
from tests.e2e.softphone import Softphone
from tests.e2e.sounds import AGENT_HZ, CUSTOMER_HZ, Sounds
from tests.edge.far_ends import Kamailio, Peer, Registrar, certificate
from tests.polling import wait_until
from tests.skips import requires_program

pytestmark = [
    pytest.mark.sip,
    *map(requires_program, ("kamailio", "sipp", "baresip")),
    requires_program("openssl"),
]

BASE = 26000
EDGE, CARRIER, PROVIDER, STRANGER, WRONG = "127.0.0.9", "127.0.0.2", "127.0.0.3", "127.0.0.66", "127.0.0.67"
SIP, TLS, INNER, INBOUND = 26400, 26401, 26402, 26410
DOMAIN, OUR_NUMBER = "dialer.test", "+525500000000"
PASSWORD, TRUNK_PASSWORD = "softphone-secret", "trunk: secret"
INBOUND_HZ = CUSTOMER_HZ[1]


@dataclass(frozen=True, slots=True)
class Site:
    """Everything that runs."""

    dialer: Dialer
    kamailio: Kamailio
    carrier: Carrier
    registrar: Registrar
    phones: dict[str, Softphone]
    main_file: Path


def _account(name: str, *, transport: str = "udp", password: str = PASSWORD) -> str:
    proxy = f"sip:{EDGE}:{TLS if transport == 'tls' else SIP};transport={transport}"
    return f'<sip:{name}@{DOMAIN};transport={transport}>;auth_user={name};auth_pass={password};outbound="{proxy}";regint=60'


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Start the dialer with its configuration for the edge, Kamailio from what `dialer init --edge` writes, and the far ends."""
    folder = tmp_path_factory.mktemp("edge")
    sounds, ports = Sounds(folder), Ports(BASE)
    cert, key = certificate(folder, DOMAIN)
    control = Path(tempfile.mkdtemp(prefix="me-")) / "edge.sock"
    (folder / "agent.secret").write_text(PASSWORD)
    (folder / "trunk.secret").write_text(TRUNK_PASSWORD)
    secret = {"password_file": str(folder / "agent.secret"), "auto_ready": False}
    with contextlib.ExitStack() as far_ends:
        person = (Ring(100), Answer(sounds.speaking(CUSTOMER_HZ[0])), AwaitBye(20000))
        leaves = (Ring(100), Answer(sounds.speaking(CUSTOMER_HZ[0])), Stay(1500))
        carrier = Carrier(folder, ports, {1: person, 2: leaves}, host=CARRIER, challenge=True)
        far_ends.callback(carrier.close)
        registrar = Registrar(folder, PROVIDER, BASE + 2, TRUNK_PASSWORD)
        far_ends.callback(registrar.close)
        dialer = Dialer(
            folder,
            ports,
            trunks={
                "carrier": {"host": CARRIER, "port": ports.carrier(0), "user": "acc", "password_file": str(folder / "trunk.secret"),
                            "options_interval_s": 2, "lines": 4},
                "provider": {"host": PROVIDER, "port": BASE + 2, "user": "account-7", "registers": True, "srtp": "optional",
                             "password_file": str(folder / "trunk.secret"), "lines": 2},
            },
            agents={name: {"sip": f"sip:{name}@{DOMAIN}", **secret} for name in ("a0", "a1", "ghost")},
            campaign={"detection": "off", "trunks": ["carrier"]},
            sections={
                "edge": {"enabled": True, "bind": EDGE, "port": SIP, "tls_port": TLS, "inner_port": INNER, "domain": DOMAIN,
                         "inbound_workers": 1, "inbound_first_port": INBOUND, "tls_certificate": str(cert),
                         "tls_private_key": str(key), "control_socket": str(control)},
            },
        )  # fmt: skip
        try:
            written = subprocess.run(
                [sys.executable, "-c", "from cli import main; main()", "init", "--edge", dialer.config],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert written.returncode == 0, written.stderr
            main_file = configuration.edge_folder(dialer.settings) / configuration.MAIN_FILE
            kamailio = Kamailio(folder, main_file, control)
            far_ends.callback(kamailio.close)
            phones = {}
            for index, (name, account) in enumerate(
                {"a0": _account("a0"), "a1": _account("a1", transport="tls")}.items()
            ):
                phones[name] = Softphone(
                    folder, ports, index, name=name, speaks=sounds.agent(AGENT_HZ[index]), account=account
                )
                far_ends.callback(phones[name].stop)
            dialer.start()
            yield Site(dialer, kamailio, carrier, registrar, phones, main_file)
        finally:
            dialer.close()


def _tone_s(heard: np.ndarray, hz: int) -> float:
    """Return the seconds in which a tone stands out from the others of these tests."""
    if len(heard) < 1600:
        return 0.0
    others = [other for other in (*AGENT_HZ[:3], *CUSTOMER_HZ[:3]) if other != hz]
    levels = tone_levels_dbfs(heard, [hz, *others])
    step_s = len(heard) / 8000 / len(levels)
    return float(np.sum(levels[:, 0] - levels[:, 1:].max(axis=1) >= 20.0) * step_s)


def _ready(site: Site, name: str) -> None:
    site.dialer.post(f"/agents/{name}/login")
    site.dialer.post(f"/agents/{name}/ready")
    site.dialer.wait_agent(name, "ready")


def _talking(site: Site, name: str) -> None:
    site.dialer.until(lambda: site.dialer.agent(name)["state"] == "talking", 10.0, f"{name} to talk")


def test_softphones_register_with_their_password_alone(site: Site, tmp_path: Path) -> None:
    """By UDP and by TLS; a wrong password gets no registration, and no secret is in Kamailio's log."""
    registered = {f"{name}" for name in site.phones}
    wait_until(lambda: site.kamailio.registered() >= registered, 10.0, "the softphones to register")
    wrong = Softphone(
        tmp_path, Ports(BASE), 2, name="ghost", speaks=Path("/dev/null"), account=_account("ghost", password="guess")
    )  # fmt: skip
    try:
        wait_until(lambda: "registration refused" in site.kamailio.log(), 15.0, "a refusal")
    finally:
        wrong.stop()
    assert site.kamailio.registered() == registered
    assert not [text for text in (PASSWORD, TRUNK_PASSWORD, "guess") if text in site.kamailio.log()]


def test_a_trunk_that_wants_registration_sees_it_once(site: Site) -> None:
    """One Call-ID, 401 answered with the right digest, the Contact is the edge's; no worker registers."""
    wait_until(lambda: "SIP/2.0 200" in site.registrar.messages(), 12.0, "the registration")
    text = site.registrar.messages()
    assert len(set(re.findall(r"^Call-ID: (\S+)", text, re.MULTILINE))) == 1
    assert "SIP/2.0 403" not in text
    assert set(re.findall(r"^Contact: <sip:provider@([^>;]+)", text, re.MULTILINE)) == {f"{EDGE}:{SIP}"}


@pytest.mark.parametrize("name", ["a0", "a1"])
def test_an_attempt_goes_through_the_edge_to_a_registered_agent(site: Site, name: str) -> None:
    """Nailed-up leg by UDP or TLS, a challenged INVITE answered by the worker, sound, and the BYE by the route set."""
    _ready(site, name)
    to = number(1, 0 if name == "a0" else 1)
    site.dialer.import_numbers([to])
    _talking(site, name)
    (attempt,) = site.dialer.attempts(to)
    assert site.dialer.trunk("carrier")["state"] == "up"
    site.dialer.post(f"/calls/{attempt.id}/hangup")
    (attempt,) = site.dialer.ended(to)
    assert attempt.outcome == "connected"
    messages = next(iter(site.carrier.calls_to(to).values()))
    starts = [message.start for message in messages]
    assert starts[:2] == ["INVITE", "407"]
    assert starts[-2:] == ["BYE", "200"]
    invite = next(m for m in messages if m.start == "INVITE")
    assert f"<sip:{EDGE}:{SIP};" in invite.header("Record-Route")
    bye = next(m for m in messages if m.start == "BYE")
    assert bye.header("Route") == ""  # every hop of the route set was the edge itself
    assert len(re.findall(r"^Via:", bye.text, re.MULTILINE)) == 2
    site.dialer.post(f"/agents/{name}/logout")
    site.dialer.wait_agent(name, "logged_out")


def test_a_caller_reaches_an_idle_agent_and_both_hear(site: Site) -> None:
    """An INVITE from a trunk to the campaign's number is answered and bridged; the caller's BYE ends it, and the agent wraps up."""
    _ready(site, "a0")
    caller = Peer(CARRIER, (EDGE, SIP), hz=INBOUND_HZ)
    try:
        caller.invite(OUR_NUMBER.removeprefix("+"), "inbound-1")
        answer = caller.final()
        assert answer.startswith("SIP/2.0 200"), answer
        caller.within("ACK", answer, "inbound-1", 1)
        _talking(site, "a0")
        wait_until(lambda: _tone_s(caller.heard(), AGENT_HZ[0]) >= 1.0, 10.0, "the caller to hear the agent")
        caller.within("BYE", answer, "inbound-1", 2)
        assert caller.final().startswith("SIP/2.0 200")
    finally:
        caller.close()
    site.dialer.wait_agent("a0", "ready")
    site.dialer.post("/agents/a0/logout")
    site.dialer.wait_agent("a0", "logged_out")
    names = [event.name for event in site.dialer.events("call.arrived", "call.bridged", "call.ended")]
    assert names == ["call.arrived", "call.bridged", "call.ended"]
    assert OUR_NUMBER.removeprefix("+") not in site.dialer.log()
    heard = wait_until(site.phones["a0"].heard, 5.0, "a recording")[-1]
    assert _tone_s(heard, INBOUND_HZ) >= 1.0


def test_a_caller_with_nobody_free_hears_the_message(site: Site) -> None:
    """With nobody logged in the call is answered, told the packaged message, and ended by us."""
    caller = Peer(CARRIER, (EDGE, SIP))
    try:
        caller.invite(OUR_NUMBER, "inbound-2")
        answer = caller.final()
        caller.within("ACK", answer, "inbound-2", 1)
        wait_until(
            lambda: float(np.sqrt(np.mean(caller.heard()[-8000:] ** 2))) > 0.01 if len(caller.heard()) > 8000 else False,
            8.0, "the message",
        )  # fmt: skip
        call = site.dialer.events("call.arrived")[-1]
        site.dialer.post(f"/calls/{call.data['leg_id']}/hangup")
        assert caller.receive().startswith("BYE ")
    finally:
        caller.close()
    wait_until(lambda: len(site.dialer.events("call.ended")) == 2, 5.0, "the end to be stored")


def test_a_number_of_nobody_is_refused(site: Site) -> None:
    """404, and no event."""
    caller = Peer(CARRIER, (EDGE, SIP))
    try:
        caller.invite("+525599999999", "inbound-3")
        assert caller.final().startswith("SIP/2.0 404")
    finally:
        caller.close()
    assert len(site.dialer.events("call.arrived")) == 2


def test_strangers_and_floods_are_not_heard_while_calls_go_on(site: Site) -> None:
    """A stranger's INVITE gets no answer; a flood bans its source, OPTIONS and all; an agent's leg through the edge comes up meanwhile."""
    stranger = Peer(STRANGER, (EDGE, SIP))
    try:
        stranger.request("OPTIONS", f"sip:{EDGE}:{SIP}", "options-1")
        assert stranger.receive().startswith("SIP/2.0 200")
        stranger.invite(OUR_NUMBER, "stranger-1")
        assert stranger.receive(0.3) == ""
        for index in range(400):
            stranger.request("REGISTER", f"sip:{DOMAIN}", f"flood-{index}")
        _ready(site, "a1")
        wait_until(lambda: "sends too much" in site.kamailio.log(), 5.0, "the flood to be noticed")
        while stranger.receive(0.2):
            pass
        stranger.request("OPTIONS", f"sip:{EDGE}:{SIP}", "options-2")
        assert stranger.receive(0.5) == ""
    finally:
        stranger.close()
    caller = Peer(CARRIER, (EDGE, SIP))
    try:
        caller.invite("+525599999998", "inbound-4")
        assert caller.final().startswith("SIP/2.0 404")
    finally:
        caller.close()
    site.dialer.post("/agents/a1/logout")
    site.dialer.wait_agent("a1", "logged_out")
    assert len(site.dialer.events("call.arrived")) == 2


def test_two_packets_do_not_end_a_worker(site: Site) -> None:
    """All slots taken, a 486, and an ACK to it without To-tag and with a new branch: pjsip would abort; the edge keeps it away."""
    caller = Peer(CARRIER, (EDGE, SIP))
    try:
        for index in range(5):
            caller.invite(OUR_NUMBER, f"full-{index}")
        answers = [caller.final() for _ in range(5)]
        codes = [answer.split()[1] for answer in answers]
        assert set(codes) == {"200", "486"}
        full = next(answer for answer in answers if " 486 " in answer.partition("\n")[0])
        call_id = re.search(r"Call-ID: (\S+)", full, re.IGNORECASE)
        assert call_id
        caller.request("ACK", f"sip:{OUR_NUMBER}@{EDGE}", call_id[1])
        for answer in answers:
            if " 200 " in answer.partition("\n")[0]:
                its = re.search(r"Call-ID: (\S+)", answer, re.IGNORECASE)
                assert its
                caller.within("ACK", answer, its[1], 1)
                caller.within("BYE", answer, its[1], 2)
        taken = 2 + codes.count("200")
        wait_until(lambda: len(site.dialer.events("call.ended")) == taken, 8.0, "the calls to end")
    finally:
        caller.close()
    assert not site.dialer.logged("worker_died")


def test_a_caller_and_an_agent_talk_on_when_engine_and_media_plane_die(site: Site) -> None:
    """The next engine has them as talking, the next media plane lets them hear each other; their end is told once, and the agent is free again."""
    before = len(site.dialer.events("call.ended"))
    _ready(site, "a0")
    caller = Peer(CARRIER, (EDGE, SIP), hz=INBOUND_HZ)

    def hears_more(seconds: float) -> None:
        so_far = len(caller.heard())
        wait_until(
            lambda: _tone_s(caller.heard()[so_far:], AGENT_HZ[0]) >= seconds, 15.0, "the caller to hear more"
        )

    try:
        caller.invite(OUR_NUMBER, "inbound-5")
        answer = caller.final()
        caller.within("ACK", answer, "inbound-5", 1)
        _talking(site, "a0")
        hears_more(0.5)
        os.kill(site.dialer.pid("engine"), signal.SIGKILL)
        hears_more(1.0)
        site.dialer.until(lambda: site.dialer.logged("inbound_adopted"), 15.0, "the next engine")
        site.dialer.until(site.dialer.is_up, 15.0, "the API to hear it")
        _talking(site, "a0")
        os.kill(site.dialer.pid("media"), signal.SIGKILL)
        site.dialer.until(lambda: site.dialer.logged("media_restored"), 15.0, "the next media plane")
        hears_more(1.0)
        caller.within("BYE", answer, "inbound-5", 2)
        assert caller.final().startswith("SIP/2.0 200")
    finally:
        caller.close()
    site.dialer.wait_agent("a0", "ready")
    arrived = site.dialer.events("call.arrived")[-1]
    told = [
        (event.name, event.data.get("talked"))
        for event in site.dialer.events("call.arrived", "call.bridged", "call.ended")
        if event.data["leg_id"] == arrived.data["leg_id"]
    ]
    assert told == [("call.arrived", None), ("call.bridged", None), ("call.ended", True)]
    assert len(site.dialer.events("call.ended")) == before + 1
    site.dialer.post("/agents/a0/logout")
    site.dialer.wait_agent("a0", "logged_out")


def test_a_caller_with_encrypted_sound_reaches_an_agent(site: Site, tmp_path: Path) -> None:
    """A caller who takes SRTP alone (baresip, at a trunk's address) and an agent in the clear hear each other, through the edge."""
    _ready(site, "a0")
    ports, sounds = Ports(BASE), Sounds(tmp_path)
    caller = Softphone(
        tmp_path, ports, 2, name="caller", speaks=sounds.agent(AGENT_HZ[2]), encryption="srtp-mand", host=CARRIER
    )  # fmt: skip
    try:
        caller.dial(f"sip:{OUR_NUMBER}@{EDGE}:{SIP}")
        _talking(site, "a0")
        talked = site.dialer.events("call.bridged")[-1]
        site.dialer.until(lambda: time.monotonic_ns() - talked.at_mono_ns > 2e9, 10.0, "a talk")
        caller.hang_up()
        site.dialer.wait_agent("a0", "ready")
        wait_until(caller.heard, 5.0, "the caller's recording")
    finally:
        caller.stop()
    (measured,) = [
        event for event in site.dialer.events("leg.measured") if event.data["leg_id"] == talked.data["leg_id"]
    ]
    assert measured.data["rx_packets"] > 50
    assert not measured.data["one_way"]
    assert _tone_s(caller.heard()[-1], AGENT_HZ[0]) >= 1.0
    site.dialer.post("/agents/a0/logout")
    site.dialer.wait_agent("a0", "logged_out")
    assert _tone_s(wait_until(site.phones["a0"].heard, 5.0, "a recording")[-1], AGENT_HZ[2]) >= 1.0


def test_the_doctor_finds_edge_registrations_and_stale_files(site: Site) -> None:
    """All is well; after a changed trunk the files are stale, and the doctor says so."""
    findings = {finding.check: finding for finding in check_edge(site.dialer.settings)}
    assert {name: finding.grade for name, finding in findings.items()} == {
        "edge files": "ok", "edge": "ok", "registration at provider": "ok",
    }, findings  # fmt: skip
    listed = configuration.edge_folder(site.dialer.settings) / "dispatcher.list"
    text = listed.read_text()
    listed.write_text(text + "2 sip:127.0.0.4:5060 0 0 trunk=other\n")
    stale = [finding for finding in check_edge(site.dialer.settings) if finding.grade == "fail"]
    listed.write_text(text)
    assert [finding.found for finding in stale] == ["dispatcher.list differs"]


def test_no_error_in_kamailios_log(site: Site) -> None:
    """Nothing of all this was an error to it."""
    lines = [line for line in site.kamailio.log().splitlines() if "ERROR" in line or "CRITICAL" in line]
    late = "jsonrpc_dgram_send_data"  # an answer to a question of ours that gave up while it started
    assert [line for line in lines if late not in line] == []
