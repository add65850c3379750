"""The SIP port of a far end, against messages written by hand: repeats, strangers, holds, refusals, commands."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from dialer_core.errors import StartError
from dialer_core.sim.behaviours import BEHAVIOURS, Behaviour
from dialer_core.sim.log_reader import SimLogError, load_log
from dialer_core.sim.simulation import Simulation, SimulationSettings
from tests.polling import wait_until_async

pytestmark = pytest.mark.sip

HOST, CARRIER, PHONE, ME, MY_RTP = "127.0.0.1", 21040, 21041, 21050, 21060
ROWS = {row.name: row for row in BEHAVIOURS}
OFFER = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    f"m=audio {MY_RTP} RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"
)


class Peer(asyncio.DatagramProtocol):
    """A caller that sends what it is told and keeps what comes."""

    def __init__(self) -> None:
        self.got: list[str] = []
        self.sender: asyncio.DatagramTransport | None = None
        self._branch = 0
        self.to_tag = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self.sender = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:  # noqa: ARG002
        """Keeps a message."""
        self.got.append(data.decode())

    def raw(self, text: str, port: int) -> None:
        """Sends text."""
        assert self.sender is not None
        self.sender.sendto(text.encode(), (HOST, port))

    def request(
        self,
        method: str,
        port: int,
        *,
        cseq: int = 1,
        body: str = "",
        branch: str = "",
        more: str = "",
        to: str = "x00",
    ) -> str:
        """Sends a request of call `c1`, within its dialog once it has a tag, and returns its text."""
        self._branch += 1
        tag = f";tag={self.to_tag}" if self.to_tag else ""
        kind = "Content-Type: application/sdp\r\n" if body else ""
        text = (
            f"{method} sip:{to}@{HOST}:{port} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {HOST}:{ME};branch=z9hG4bK{branch or self._branch}\r\n"
            f"Record-Route: <sip:{HOST}:{ME};lr>\r\nMax-Forwards: 70\r\nFrom: <sip:me@{HOST}>;tag=far\r\n"
            f"To: <sip:{to}@{HOST}>{tag}\r\nCall-ID: c1\r\nCSeq: {cseq} {method}\r\n"
            f"Contact: <sip:me@{HOST}:{ME}>\r\n{more}{kind}Content-Length: {len(body)}\r\n\r\n{body}"
        )
        self.raw(text, port)
        return text

    def codes(self, method: str) -> list[int]:
        """Codes of the responses to a method, in order."""
        return [
            int(text.split()[1])
            for text in self.got
            if text.startswith("SIP/2.0") and re.search(rf"^CSeq: \d+ {method}\r$", text, re.MULTILINE)
        ]

    async def code(self, method: str, code: int, count: int = 1) -> str:
        """Waits for the count-th response of this code to a method."""

        def found() -> str | None:
            hits = [t for t in self.got if t.startswith(f"SIP/2.0 {code} ") and f" {method}\r\n" in t]
            return hits[count - 1] if len(hits) >= count else None

        text = await wait_until_async(found, 5, f"{code} to {method}; came: {self.got}")
        assert text is not None
        tag = re.search(r"^To: .*;tag=(\S+)\r$", text, re.MULTILINE)
        if tag and 100 < code < 300:
            self.to_tag = tag.group(1)
        return text

    async def answered(self, port: int, to: str = "x00") -> str:
        """Makes a call and acknowledges its 200, which is returned."""
        self.request("INVITE", port, body=OFFER, to=to)
        text = await self.code("INVITE", 200)
        self.request("ACK", port, to=to)
        return text


@asynccontextmanager
async def _world(folder: Path, row: str = "silent", **more: object) -> AsyncIterator[tuple[Simulation, Peer]]:
    def behaviour_of(_: str) -> Behaviour:
        return replace(ROWS[row], ring_s=(0.05, 0.05))

    settings = SimulationSettings(
        log=folder / "sim.jsonl",
        recordings=folder / "heard",
        carrier_ports=(CARRIER,),
        softphone_ports=(PHONE,),
        rtp_ports=(21700, 21799),
        behaviour_of=behaviour_of,
        **more,  # type: ignore[arg-type]
    )
    async with Simulation(settings) as simulation:
        transport, peer = await asyncio.get_running_loop().create_datagram_endpoint(Peer, (HOST, ME))
        try:
            yield simulation, peer
        finally:
            transport.close()


async def test_a_repeated_invite_is_one_call(tmp_path: Path) -> None:
    """The same INVITE three times is one call: the last response is sent again, with the same tag."""
    async with _world(tmp_path, "rings_out") as (simulation, peer):
        text = peer.request("INVITE", CARRIER, body=OFFER, branch="one")
        await peer.code("INVITE", 180)
        peer.raw(text, CARRIER)
        peer.raw(text, CARRIER)
        await peer.code("INVITE", 180, count=3)
        tags = {re.search(r"To: .*;tag=(\S+)", t).group(1) for t in peer.got if "180 " in t}  # type: ignore[union-attr]
        assert len(tags) == 1
        assert len(simulation.carriers[0].calls) == 1
        peer.to_tag = ""
        peer.request("CANCEL", CARRIER, branch="one")
        await peer.code("CANCEL", 200)
        await peer.code("INVITE", 487)


async def test_finals_are_repeated_until_the_ack(tmp_path: Path) -> None:
    """A 200 and a 486 come again while no ACK does, and no more once it came."""
    for row, code in (("silent", 200), ("busy", 486)):
        async with _world(tmp_path / row, row) as (_, peer):
            peer.request("INVITE", CARRIER, body=OFFER, branch="one")
            await peer.code("INVITE", code, count=2)
            count = peer.codes("INVITE").count(code)
            peer.request("ACK", CARRIER, branch="one" if code == 486 else "two")
            await peer.code("INVITE", code, count=count)
            peer.request("OPTIONS", CARRIER)
            await peer.code("OPTIONS", 200)
            assert peer.codes("INVITE").count(code) == count


async def test_the_answer_is_what_rfc_3264_asks(tmp_path: Path) -> None:
    """One codec, the preferred one of the number; the offered telephone-event number; the routes copied."""
    async with _world(tmp_path) as (_, peer):
        text = await peer.answered(CARRIER)
        assert re.search(r"^m=audio 217\d\d RTP/AVP 0 101\r$", text, re.MULTILINE)
        assert f"Record-Route: <sip:{HOST}:{ME};lr>" in text
        assert f"Contact: <sip:{HOST}:{CARRIER}>" in text


async def test_hold_and_resume_are_followed(tmp_path: Path) -> None:
    """A re-INVITE with sendonly stops our sound, one with sendrecv starts it; the answer keeps our port."""
    async with _world(tmp_path) as (simulation, peer):
        first = await peer.answered(CARRIER)
        (call,) = simulation.carriers[0].calls.values()
        await wait_until_async(lambda: call.leg is not None and call.leg.counts.sent > 3, 5, "sound")
        peer.request("INVITE", CARRIER, cseq=2, body=OFFER.replace("sendrecv", "sendonly"))
        held = await peer.code("INVITE", 200, count=2)
        assert "a=recvonly" in held
        port = re.search(r"m=audio (\d+)", first)
        assert port
        assert f"m=audio {port.group(1)} " in held
        leg = call.leg
        assert leg is not None
        sent = leg.counts.sent
        ticks = simulation.pacer.ticks
        await wait_until_async(lambda: simulation.pacer.ticks > ticks + 5, 5, "five ticks on hold")
        assert leg.counts.sent <= sent + 1
        peer.request("INVITE", CARRIER, cseq=3, body=OFFER)
        await peer.code("INVITE", 200, count=3)
        await wait_until_async(lambda: leg.counts.sent > sent + 5, 5, "sound again")


async def test_an_invite_without_an_offer_gets_ours(tmp_path: Path) -> None:
    """An INVITE without SDP is answered with an offer, and the sound goes where the ACK's answer says."""
    async with _world(tmp_path) as (simulation, peer):
        peer.request("INVITE", CARRIER)
        text = await peer.code("INVITE", 200)
        assert "m=audio" in text
        peer.request("ACK", CARRIER, body=OFFER.replace("8 0 101", "0"))
        (call,) = simulation.carriers[0].calls.values()
        await wait_until_async(
            lambda: call.leg is not None and call.leg.remote == (HOST, MY_RTP), 5, "the address"
        )


@pytest.mark.parametrize(
    "body",
    [
        OFFER.replace("8 0 101", "18"),
        OFFER.replace("RTP/AVP", "RTP/SAVP"),
        OFFER.replace(f"audio {MY_RTP}", "audio 0"),
        OFFER.replace(f"audio {MY_RTP}", "audio x"),
        "v=0\r\ngarbage",
    ],
)
async def test_unusable_sdp_gets_488(tmp_path: Path, body: str) -> None:
    """No codec of ours, SRTP, a refused stream and nonsense are refused with 488."""
    async with _world(tmp_path) as (_, peer):
        peer.request("INVITE", CARRIER, body=body)
        await peer.code("INVITE", 488)


async def test_strangers_and_extensions(tmp_path: Path) -> None:
    """BYE and CANCEL of no call get 481, an unknown method 405, a required extension 420; nonsense is logged."""
    async with _world(tmp_path) as (_, peer):
        peer.request("CANCEL", CARRIER)
        await peer.code("CANCEL", 481)
        peer.request("REGISTER", CARRIER)
        await peer.code("REGISTER", 405)
        peer.request("INVITE", CARRIER, body=OFFER, more="Require: 100rel\r\n")
        assert "Unsupported: 100rel" in await peer.code("INVITE", 420)
        peer.to_tag = "nobody"
        peer.request("BYE", CARRIER, cseq=2)
        await peer.code("BYE", 481)
        peer.raw("no sip at all", CARRIER)
        peer.raw("INVITE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP x\r\n\r\n", CARRIER)
        peer.raw("\r\n\r\n", CARRIER)
        peer.to_tag = ""
        peer.request("OPTIONS", CARRIER)
        await peer.code("OPTIONS", 200)
    log = load_log(tmp_path / "sim.jsonl")
    assert [event["kind"] for event in log.others].count("sip.malformed") == 2


async def test_a_repeated_and_a_late_bye(tmp_path: Path) -> None:
    """A BYE sent twice gets 200 twice; a second, new one gets 481."""
    async with _world(tmp_path) as (_, peer):
        await peer.answered(CARRIER)
        text = peer.request("BYE", CARRIER, cseq=2)
        await peer.code("BYE", 200)
        peer.raw(text, CARRIER)
        await peer.code("BYE", 200, count=2)
        peer.request("BYE", CARRIER, cseq=3)
        await peer.code("BYE", 481)


async def test_our_bye_is_repeated_until_it_is_answered(tmp_path: Path) -> None:
    """A BYE of the far end comes again while nobody answers it, along the recorded route."""
    async with _world(tmp_path, "hangs_up") as (_, peer):
        await peer.answered(CARRIER)

        def byes() -> list[str]:
            return [text for text in peer.got if text.startswith("BYE")]

        await wait_until_async(lambda: len(byes()) >= 2, 5, "the BYE and its repetition")
        assert byes()[0] == byes()[1]
        assert f"Route: <sip:{HOST}:{ME};lr>" in byes()[0]


async def test_a_softphone_obeys_commands(tmp_path: Path) -> None:
    """It refuses while told to, rings as long as told, takes one call at a time, and hangs up on command."""
    async with _world(tmp_path) as (simulation, peer):
        (phone,) = simulation.softphones
        phone.refuse_with = 480
        peer.request("INVITE", PHONE, body=OFFER, branch="first")
        await peer.code("INVITE", 480)
        peer.request("ACK", PHONE, branch="first")
        phone.refuse_with, phone.ring_s = None, 0.3
        assert not phone.hang_up()
        await peer.answered(PHONE)
        assert peer.codes("INVITE")[-2:] == [180, 200]
        await wait_until_async(
            lambda: phone.call is not None and phone.call.dialog.acked.is_set(), 5, "the ACK"
        )
        tag, peer.to_tag = peer.to_tag, ""
        peer.request("INVITE", PHONE, cseq=9, body=OFFER, branch="second")
        await peer.code("INVITE", 486)
        peer.to_tag = tag
        assert phone.hang_up()
        await wait_until_async(lambda: any(text.startswith("BYE") for text in peer.got), 5, "the BYE")
        assert not phone.hang_up()


async def test_a_softphone_that_vanishes_says_nothing(tmp_path: Path) -> None:
    """A phone that lost its network answers no BYE and sends no sound; started again it takes calls."""
    async with _world(tmp_path) as (simulation, peer):
        (phone,) = simulation.softphones
        await peer.answered(PHONE)
        await phone.vanish()
        peer.request("BYE", PHONE, cseq=2)
        await phone.start()
        peer.request("BYE", PHONE, cseq=3)
        await wait_until_async(lambda: peer.codes("BYE"), 5, "an answer of the phone that is back")
        assert peer.codes("BYE") == [481]
        peer.to_tag = ""
        peer.request("INVITE", PHONE, cseq=4, body=OFFER)
        await peer.code("INVITE", 200, count=2)
    calls = load_log(tmp_path / "sim.jsonl").agents
    # both calls have the peer's one Call-ID, and either may write its closing line first
    assert sorted(ended["ended_by"] for ended in calls[0].all("call.ended")) == ["shutdown", "vanished"]


async def test_stopping_ends_every_call(tmp_path: Path) -> None:
    """At the end each live call gets BYE or 503, its recording is saved and its closing line written."""
    async with _world(tmp_path, "silent") as (_, peer):
        await peer.answered(CARRIER)
        await wait_until_async(lambda: "ack.received" in (tmp_path / "sim.jsonl").read_text(), 5, "the ACK")
    log = load_log(tmp_path / "sim.jsonl")
    (call,) = log.calls.values()
    assert call.field("call.ended", "ended_by") == "shutdown"
    assert call.field("bye.sent", "reason") == "shutdown"
    assert len(log.recording_of(call.call_id)) == 0
    assert log.footer is not None


async def test_a_taken_port_is_told_in_one_line(tmp_path: Path) -> None:
    """Starting on a port in use raises StartError with address and reason, and leaves nothing open."""
    async with _world(tmp_path):
        settings = SimulationSettings(
            log=tmp_path / "b.jsonl",
            recordings=tmp_path,
            carrier_ports=(21042, CARRIER),
            rtp_ports=(21700, 21799),
        )
        with pytest.raises(
            StartError, match=rf"carrier cannot listen on {HOST}:{CARRIER}/udp: Address already in use"
        ):
            await Simulation(settings).start()
        settings = SimulationSettings(log=tmp_path / "b.jsonl", recordings=tmp_path, carrier_ports=(21042,))
        async with Simulation(settings):
            pass


async def test_a_range_without_a_free_rtp_pair_is_told(tmp_path: Path) -> None:
    """An RTP range that is taken is noticed at the start."""
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind((HOST, 21798))
        settings = SimulationSettings(log=tmp_path / "b.jsonl", recordings=tmp_path, rtp_ports=(21798, 21799))
        with pytest.raises(StartError, match=r"no free RTP port pair .* in 21798-21799"):
            await Simulation(settings).start()


def test_a_file_that_is_no_log_is_refused(tmp_path: Path) -> None:
    """Reading another file names it, its line, and what is wrong."""
    for text in ("", '{"kind": "call.ended"}\n', "no json\n"):
        (tmp_path / "x").write_text(text)
        with pytest.raises(SimLogError, match="x"):
            load_log(tmp_path / "x")
