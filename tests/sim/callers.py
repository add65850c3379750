"""Independent callers for the tests of the simulator: SIPp for the signalling, plain sockets for the sound.

Nothing of the simulator's SIP or RTP is used here; RTP headers are read with `struct` alone.
"""

import contextlib
import json
import os
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tests.skips import ROOT

HOST = "127.0.0.1"
_HEAD = struct.Struct(">BBHII")
_sip_ports = count(21100, 2)

INVITE = """<send retrans="500"><![CDATA[
INVITE sip:{number}@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:{caller}@[local_ip]:[local_port]>;tag=t[call_number]
To: <sip:{number}@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: <sip:{caller}@[local_ip]:[local_port]>
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: [len]

v=0
o=sipp 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [local_ip]
t=0 0
m=audio {rtp_port} RTP/AVP 0 8 120
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:120 telephone-event/8000
a=fmtp:120 0-15
a=ptime:20
]]></send>
"""
CANCEL = """<send retrans="500"><![CDATA[
CANCEL sip:{number}@[remote_ip]:[remote_port] SIP/2.0
[last_Via:]
From: <sip:{caller}@[local_ip]:[local_port]>;tag=t[call_number]
To: <sip:{number}@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 CANCEL
Max-Forwards: 70
Content-Length: 0

]]></send>
<recv response="200"/>
"""
ACK_REFUSAL = """<send><![CDATA[
ACK sip:{number}@[remote_ip]:[remote_port] SIP/2.0
[last_Via:]
[last_From:]
[last_To:]
Call-ID: [call_id]
CSeq: 1 ACK
Max-Forwards: 70
Content-Length: 0

]]></send>
"""
IN_DIALOG = """<send{retrans}><![CDATA[
{method} [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
[last_From:]
[last_To:]
Call-ID: [call_id]
CSeq: {cseq} {method}
Contact: <sip:{caller}@[local_ip]:[local_port]>
Max-Forwards: 70
Content-Length: 0

]]></send>
"""
ACK = IN_DIALOG.replace("{method}", "ACK").replace("{cseq}", "1").replace("{retrans}", "")
BYE = IN_DIALOG.replace("{method}", "BYE").replace("{cseq}", "2").replace("{retrans}", ' retrans="500"')
AWAIT_BYE = """<recv request="BYE"/>
<send><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send>
"""


def response(code: int, *, optional: bool = False, check: str = "") -> str:
    """Awaits a response; `check` is a regular expression that its body must match."""
    more = ' optional="true"' if optional else ""
    rrs = ' rrs="true"' if code == 200 else ""
    if not check:
        return f'<recv response="{code}"{more}{rrs}/>\n'
    action = f'<ereg regexp="{check}" search_in="body" check_it="true" assign_to="1"/>'
    return (
        f'<recv response="{code}"{more}{rrs}><action>{action}</action></recv>\n<Reference variables="1"/>\n'
    )


def pause(milliseconds: int) -> str:
    """Lets time pass in the scenario."""
    return f'<pause milliseconds="{milliseconds}"/>\n'


PROVISIONAL = response(100, optional=True) + response(180, optional=True)


@dataclass
class SippCall:
    """One call that SIPp makes, running."""

    process: subprocess.Popen[bytes]
    call_id: str
    errors: Path

    def result(self, timeout_s: float = 40) -> int:
        """SIPp's exit status: 0 when the whole scenario went as written."""
        return self.process.wait(timeout_s)

    def complaint(self) -> str:
        """What SIPp did not like."""
        return self.errors.read_text() if self.errors.exists() else ""


def sipp_call(
    folder: Path, steps: str, *, to_port: int, number: str, rtp_port: int, caller: str = "+525550000000"
) -> SippCall:
    """Starts SIPp on a scenario of one call."""
    port = next(_sip_ports)
    call_id = f"sipp-{number}-{port}@{HOST}"
    body = steps.replace("{number}", number).replace("{caller}", caller).replace("{rtp_port}", str(rtp_port))
    scenario, errors = folder / f"{port}.xml", folder / f"{port}.err"
    scenario.write_text(
        f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="call">\n{body}</scenario>\n'
    )
    command = ["sipp", "-sf", str(scenario), "-m", "1", "-i", HOST, "-p", str(port), "-cid_str", call_id]
    command += ["-nostdin", "-trace_err", "-error_file", str(errors), "-timeout", "45", "-timeout_error"]
    process = subprocess.Popen(
        [*command, f"{HOST}:{to_port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder
    )
    return SippCall(process, call_id, errors)


@contextmanager
def simulator(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A simulator process that is ready; it writes sim.jsonl and heard/ into the folder."""
    command = [
        sys.executable,
        "-m",
        "dialer_core.sim",
        "--log",
        "sim.jsonl",
        "--recordings",
        "heard",
        *arguments,
    ]
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "sim_ready"
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()


@dataclass(frozen=True)
class Packet:
    """A received RTP packet."""

    at_s: float
    marker: bool
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


class SoundEnd:
    """A socket pair's RTP end of a call: keeps what comes, and may answer each packet with one of its own.

    Answering packet by packet keeps the far end's pace without a clock here.
    """

    def __init__(self, port: int, reply: Callable[[Packet], bytes | None] = lambda _: None) -> None:
        self.port, self._reply = port, reply
        self.packets: list[Packet] = []
        self.far: tuple[str, int] | None = None
        self._sent = 0
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.bind((HOST, port))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            if not select.select([self._socket], [], [], 0.1)[0]:
                continue
            data, self.far = self._socket.recvfrom(2048)
            _, second, sequence, timestamp, ssrc = _HEAD.unpack_from(data)
            packet = Packet(
                time.monotonic(), bool(second & 0x80), second & 0x7F, sequence, timestamp, ssrc, data[12:]
            )
            self.packets.append(packet)
            payload = self._reply(packet)
            if payload is not None:
                self.send(payload, packet.payload_type)

    def send(self, payload: bytes, payload_type: int) -> None:
        """The next packet of this end's own stream."""
        if self.far is not None:
            head = _HEAD.pack(0x80, payload_type, self._sent & 0xFFFF, self._sent * 160, 1234)
            self._socket.sendto(head + payload, self.far)
            self._sent += 1

    def close(self) -> None:
        """Ends the thread and the socket."""
        self._stop.set()
        self._thread.join()
        self._socket.close()


@contextmanager
def ended(calls: Mapping[str, SippCall], ends: Mapping[str, SoundEnd]) -> Iterator[None]:
    """Ends what a test started, however it ends."""
    try:
        yield
    finally:
        for call in calls.values():
            if call.process.poll() is None:
                call.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                call.process.wait(5)
        for end in ends.values():
            end.close()
