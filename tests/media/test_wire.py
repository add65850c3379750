"""One call as an independent program reads it: tshark on what a far end received."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dialer_core.ipc.messages import Play, PromptFinished, Unbridge
from tests.media.captures import Datagram, write_udp
from tests.media.harness import PCMA, PCMU, Leg, Plane
from tests.polling import wait_until
from tests.skips import requires_program

pytestmark = [pytest.mark.sip, requires_program("tshark")]


def tshark(capture: Path, leg: Leg, *arguments: str) -> str:
    """Let tshark read a capture, knowing which ports carry RTP and RTCP."""
    decode = ("-d", f"udp.port=={leg.far.port},rtp", "-d", f"udp.port=={leg.far.port + 1},rtcp")
    ended = subprocess.run(
        ["tshark", "-n", "-r", str(capture), *decode, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return ended.stdout


def capture_of(leg: Leg, folder: Path) -> Path:
    """Everything a far end received, as a capture."""
    far, path = leg.far, folder / "call.pcap"
    rtp = [Datagram(p.at_ns, f"127.0.0.1:{leg.port}->127.0.0.1:{far.port}", p.data) for p in far.packets]
    rtcp = [
        Datagram(at_ns, f"127.0.0.1:{leg.port + 1}->127.0.0.1:{far.port + 1}", data)
        for at_ns, data in far.reports
    ]
    write_udp(path, sorted(rtp + rtcp))
    return path


def test_tshark_reads_one_clean_stream_and_its_rtcp(plane: Plane, tmp_path: Path) -> None:
    """Silence, prompt, bridge with an A-law partner, silence, end: one stream, no loss, no sequence error; SR, SDES and BYE of its SSRC."""
    customer, agent = plane.pair(codecs=(PCMU, PCMA), dtmf_pt=101)
    customer.far.wait_for(10)
    plane.engine.send(Play(leg_id=customer.leg_id, prompts=("connect",), play_id="x"))
    plane.engine.wait(PromptFinished, play_id="x")
    agent.far.speak()
    plane.bridge(customer, agent)
    wait_until(lambda: customer.far.reports, 8, "a report")
    plane.engine.send(Unbridge(leg_id=customer.leg_id))
    customer.far.wait_for(10)
    plane.close(customer)
    wait_until(lambda: b"\x81\xcb" in customer.far.reports[-1][1], 5, "the BYE")
    capture = capture_of(customer, tmp_path)

    streams = [
        line.split()
        for line in tshark(capture, customer, "-q", "-z", "rtp,streams").splitlines()
        if "0x" in line
    ]
    (stream,) = streams
    ssrc = f"0x{customer.far.packets[0].ssrc:08X}"
    assert ssrc in stream
    assert "g711U" in stream
    assert stream[stream.index("g711U") + 1] == str(len(customer.far.packets))
    assert stream[stream.index("g711U") + 2 :][:2] == ["0", "(0.0%)"]

    fields = ("-T", "fields", "-e", "rtp.marker", "-e", "rtp.p_type", "-Y", "rtp")
    markers = [
        line.split("\t")[0] in ("1", "True") for line in tshark(capture, customer, *fields).splitlines()
    ]
    assert markers == [p.marker for p in customer.far.packets]
    kinds = tshark(
        capture, customer, "-T", "fields", "-e", "rtcp.pt", "-e", "rtcp.senderssrc", "-Y", "rtcp"
    ).splitlines()
    assert kinds[0].split("\t")[0] == "200,202"
    assert kinds[-1].split("\t")[0] == "200,202,203"
    assert all(ssrc.lower() in kind.lower() for kind in kinds)
    assert not tshark(capture, customer, "-Y", "_ws.malformed")
