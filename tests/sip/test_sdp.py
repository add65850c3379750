"""Rewriting our own session descriptions and reading others'."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialer_core.sip.sdp import read_audio, rewrite

OURS = "\r\n".join(
    [
        *("v=0", "o=- 4004286937 4004286937 IN IP4 10.0.0.1", "s=pjmedia", "b=AS:84", "t=0 0", "a=X-nat:0"),
        *("m=audio 28000 RTP/AVP 0 8 120", "c=IN IP4 10.0.0.1", "a=rtcp:28001 IN IP4 10.0.0.1", "a=sendrecv"),
        *("a=rtpmap:0 PCMU/8000", "a=rtpmap:8 PCMA/8000", "a=rtpmap:120 telephone-event/8000"),
        *("a=fmtp:120 0-16", "a=ssrc:1487584133 cname:186d3da2533ff76f", "m=video 0 RTP/AVP 31", ""),
    ]
)
THEIRS = (
    "v=0\r\no=x 1 1 IN IP4 1.2.3.4\r\ns=-\r\nc=IN IP4 1.2.3.4\r\nt=0 0\r\nm=audio 6000 RTP/AVP 8 96\r\n"
    "a=rtpmap:96 telephone-event/8000\r\na=ptime:30\r\na=rtcp:7001 IN IP4 1.2.3.5\r\na=recvonly\r\n"
)


@pytest.mark.unit
def test_our_description_names_the_media_plane() -> None:
    """Address, port and RTCP are the plane's; the stream pjsua2 does not send is not named; the rest stays."""
    text = rewrite(OURS, host="192.0.2.7", port=40000)
    assert text.splitlines() == [
        *("v=0", "o=- 4004286937 4004286937 IN IP4 192.0.2.7", "s=pjmedia", "b=AS:84", "t=0 0"),
        *("m=audio 40000 RTP/AVP 0 8 120", "c=IN IP4 192.0.2.7", "a=rtcp:40001 IN IP4 192.0.2.7"),
        *("a=sendrecv", "a=rtpmap:0 PCMU/8000", "a=rtpmap:8 PCMA/8000", "a=rtpmap:120 telephone-event/8000"),
        *("a=fmtp:120 0-16", "m=video 0 RTP/AVP 31"),
    ]
    assert text.endswith("\r\n")
    assert rewrite(text, host="192.0.2.7", port=40000) == text


@pytest.mark.unit
@pytest.mark.parametrize(
    ("codecs", "formats"),
    [
        (("PCMA", "PCMU"), "8 0 120"),
        (("PCMA",), "8 120"),
        (("pcmu",), "0 120"),
        (("G722",), "0 8 120"),
        ((), "0 8 120"),
    ],
)
def test_codecs_are_ordered_and_left_out(codecs: tuple[str, ...], formats: str) -> None:
    """Only the wanted codecs stay, in their order, telephone-event last; an impossible wish changes nothing."""
    lines = rewrite(OURS, host="192.0.2.7", port=40000, codecs=codecs).splitlines()
    assert f"m=audio 40000 RTP/AVP {formats}" in lines
    told = {line.split(":")[1].split(" ")[0] for line in lines if line.startswith("a=rtpmap")}
    assert told == set(formats.split())


@pytest.mark.unit
def test_a_refused_section_stays_refused() -> None:
    """Port 0 is not turned into an offer."""
    assert "m=audio 0 RTP/AVP 0" in rewrite("v=0\r\nm=audio 0 RTP/AVP 0\r\n", host="192.0.2.7", port=4)


@pytest.mark.unit
def test_their_description_is_read() -> None:
    """Address, port, codecs, digit type, ptime, direction and RTCP."""
    audio = read_audio(THEIRS)
    assert audio is not None
    assert (audio.host, audio.port, audio.codecs, audio.dtmf_pt, audio.ptime_ms, audio.direction) == (
        *("1.2.3.4", 6000, ("PCMA",), 96, 30, 2),
    )
    assert (audio.rtcp_host, audio.rtcp_port) == ("1.2.3.5", 7001)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("change", "to"),
    [
        ("m=audio 6000", "m=audio 66000"),
        ("m=audio 6000", "m=audio -1"),
        ("m=audio 6000", "m=audio x"),
        ("m=audio 6000", "m=audio ٣"),
        ("m=audio 6000 RTP/AVP 8 96", "m=audio 6000"),
        ("m=audio 6000 RTP/AVP 8 96", "m=audio 6000 RTP/AVP 18"),
        ("m=audio", "m=image"),
        ("c=IN IP4 1.2.3.4", "c=IN IP4 host.example"),
        ("c=IN IP4 1.2.3.4", "c=IN IP4 1.2.3.400"),
        ("c=IN IP4 1.2.3.4\r\n", ""),
    ],
)
def test_what_cannot_be_used_is_nothing(change: str, to: str) -> None:
    """A port out of range, no codec of ours, no address: None, never an exception or a guess."""
    assert read_audio(THEIRS.replace(change, to)) is None


@pytest.mark.unit
@pytest.mark.parametrize(
    ("change", "to", "field", "value"),
    [
        ("a=ptime:30", "a=ptime:0", "ptime_ms", 20),
        ("a=ptime:30", "a=ptime:9999", "ptime_ms", 20),
        ("a=rtcp:7001 IN IP4 1.2.3.5", "a=rtcp:nonsense", "rtcp_port", 6001),
        ("m=audio 6000", "m=audio 6000/2", "port", 6000),
        ("m=audio 6000", "m=audio 0", "port", 0),
        ("c=IN IP4 1.2.3.4", "c=IN IP4 0.0.0.0", "host", "0.0.0.0"),
        ("a=recvonly\r\n", "", "direction", 3),
        ("a=rtpmap:96 telephone-event/8000", "a=rtpmap:96 telephone-event/16000", "dtmf_pt", -1),
        ("a=recvonly\r\n", "a=recvonly\r\nm=audio 1 RTP/AVP 0\r\na=inactive\r\n", "direction", 2),
    ],
)
def test_odd_lines_have_their_one_meaning(change: str, to: str, field: str, value: object) -> None:
    """Unusable attributes fall back to the default; hold by 0.0.0.0 and a refused port are told as they are."""
    assert getattr(read_audio(THEIRS.replace(change, to)), field) == value


@pytest.mark.unit
@given(
    st.text()
    | st.lists(st.sampled_from([*THEIRS.splitlines(), *OURS.splitlines(), "m=audio", "a=", "c="])).map(
        "\n".join
    )
)
def test_nothing_breaks_reader_or_rewriter(text: str) -> None:
    """Any text, and any shuffle of real lines, is read and rewritten without an exception."""
    read_audio(text)
    assert rewrite(text, host="192.0.2.7", port=40000).endswith("\r\n")


def _udp_payloads(pcap: Path) -> Iterator[bytes]:
    """Yield UDP payloads of a classic little-endian pcap, for Ethernet and raw IP; other packets are left out."""
    data = pcap.read_bytes()
    if data[:4] != b"\xd4\xc3\xb2\xa1":
        return
    at, skip = 24, {1: 14, 101: 0, 113: 16}.get(struct.unpack_from("<I", data, 20)[0], 14)
    while at + 16 <= len(data):
        (length,) = struct.unpack_from("<I", data, at + 8)
        packet = data[at + 16 + skip : at + 16 + length]
        at += 16 + length
        header = (packet[0] & 15) * 4 if packet else 0
        if len(packet) > header + 8 and packet[0] >> 4 == 4 and packet[9] == 17:
            yield packet[header + 8 :]


@pytest.mark.unit
@pytest.mark.needs_shared
def test_descriptions_of_real_calls_are_read(shared_data: Path) -> None:
    """Every audio description with G.711 in the captures gives an address, a port and a codec; none breaks the reader."""
    read = []
    for pcap in sorted((shared_data / "sip_rtp_pcaps").rglob("*.pcap")):
        for payload in _udp_payloads(pcap):
            text = payload.decode("utf-8", errors="replace")
            if "\r\n\r\nv=0" in text:
                body = text.partition("\r\n\r\n")[2]
                audio = read_audio(body)
                usable = "m=audio" in body and ("PCMU" in body or "PCMA" in body)
                assert (audio is not None) >= usable
                read.append(audio)
    found = [audio for audio in read if audio is not None]
    assert len(found) >= 5
    assert all(audio.port and audio.codecs for audio in found)
