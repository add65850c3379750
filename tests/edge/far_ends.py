"""The edge's far ends that SIPp and baresip do not play: Kamailio itself, a trunk that wants registration, a caller with ears, a stranger.

Owns those. The scenario of the trunk is SIPp's, the rest are plain sockets.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dialer_core.sim import g711
from tests.polling import wait_until

SILENCE = b"\xff" * 160


class Kamailio:
    """Kamailio in the foreground with a written configuration; ended with all its children."""

    def __init__(self, folder: Path, main_file: Path, control: Path) -> None:
        self._log = folder / "kamailio.log"
        self._control = control
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                ["kamailio", "-f", main_file, "-DD", "-E", "-m", "64", "-M", "8", "-Y", folder],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            wait_until(lambda: self.process.poll() is not None or self.answers(), 90.0, "Kamailio to answer")
            assert self.process.poll() is None
        except AssertionError:
            self.close()
            raise AssertionError(self.log()) from None

    def log(self) -> str:
        """What it has written."""
        return self._log.read_text(errors="replace")

    def answers(self) -> bool:
        """Say whether its control socket answers."""
        try:
            self.ask("core.version")
        except OSError:
            return False
        return True

    def ask(self, method: str, *arguments: object) -> Any:
        """Ask by JSON-RPC, and return the result."""
        own = self._control.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asking:
            asking.bind(str(own))
            try:
                asking.settimeout(10.0)
                asking.connect(str(self._control))
                request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(arguments)}
                asking.send(json.dumps(request).encode())
                answer = json.loads(asking.recv(1_000_000))
            finally:
                own.unlink()
        return answer.get("result", answer)

    def registered(self) -> set[str]:
        """Addresses of record that have a contact now."""
        text = json.dumps(self.ask("ul.dump"))
        return set(re.findall(r'"AoR": "([^"]+)"', text))

    def close(self) -> None:
        """End it."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)  # its own end by SIGTERM can take a minute
        self.process.wait()


REGISTRAR = """\
<?xml version="1.0" encoding="ISO-8859-1"?>
<scenario name="registrar">
<recv request="REGISTER"/>
<send><![CDATA[
SIP/2.0 401 Unauthorized
[last_Via:]
[last_From:]
[last_To:];tag=[call_number]
[last_Call-ID:]
[last_CSeq:]
WWW-Authenticate: Digest realm="provider.test", nonce="47364c23432d2e131a5fb210812c", algorithm=MD5, qop="auth"
Content-Length: 0

]]></send>
<recv request="REGISTER"><action>
<verifyauth assign_to="valid" username="account-7" password="PASSWORD"/>
<ereg regexp="sip:[^>]*" search_in="hdr" header="Contact:" assign_to="contact"/>
</action></recv>
<nop hide="true" test="valid" next="welcome"/>
<send next="end"><![CDATA[
SIP/2.0 403 Forbidden
[last_Via:]
[last_From:]
[last_To:];tag=[call_number]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send>
<label id="welcome"/>
<send><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:];tag=[call_number]
[last_Call-ID:]
[last_CSeq:]
Contact: <[$contact]>;expires=300
Content-Length: 0

]]></send>
<label id="end"/>
</scenario>
"""


class Registrar:
    """SIPp as a trunk that wants registration: 401, then 200 for the right password."""

    def __init__(self, folder: Path, host: str, port: int, password: str) -> None:
        self._messages = folder / "registrar.messages"
        scenario = folder / "registrar.xml"
        scenario.write_text(REGISTRAR.replace("PASSWORD", password), encoding="ascii")
        self._output = (folder / "registrar.out").open("wb")
        self.process = subprocess.Popen(
            [
                "sipp", "-sf", scenario, "-i", host, "-p", str(port), "-nostdin", "-trace_msg",
                "-message_file", self._messages, "-message_overwrite", "false", "-watchdog_interval", "0",
            ],
            stdout=self._output, stderr=self._output,
        )  # fmt: skip

    def messages(self) -> str:
        """Everything it has sent and received."""
        return self._messages.read_text(errors="replace") if self._messages.exists() else ""

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        self._output.close()


class Peer:
    """A SIP peer by a plain socket, and an RTP socket that speaks a tone to whoever speaks to it, and listens."""

    def __init__(self, host: str, edge: tuple[str, int], *, hz: int = 0) -> None:
        self.sip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sip.bind((host, 0))
        self.sip.settimeout(5.0)
        self.host, self.port = self.sip.getsockname()
        self.edge = edge
        self._rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._rtp.bind((host, 0))
        self._rtp.settimeout(0.2)
        samples = np.arange(8000)
        pcm = np.asarray(8000 * np.sin(2 * np.pi * hz * samples / 8000), dtype=np.int16) if hz else None
        self._frames = g711.frames(pcm, g711.Law.PCMU) if pcm is not None else (SILENCE,)
        self._heard: list[bytes] = []
        self._closing = threading.Event()
        self._ear = threading.Thread(target=self._listen, daemon=True)
        self._ear.start()

    def _listen(self) -> None:
        sent = 0
        while not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                packet, source = self._rtp.recvfrom(2048)
                if packet[1] & 0x7F != 0:
                    continue
                self._heard.append(packet[12:])
                header = (
                    bytes((0x80, 0)) + sent.to_bytes(2, "big") + (sent * 160).to_bytes(4, "big") + b"peer"
                )
                self._rtp.sendto(header + self._frames[sent % len(self._frames)], source)
                sent += 1

    def heard(self) -> NDArray[np.float32]:
        """Everything it has heard: samples at 8 kHz."""
        return g711.decode(b"".join(self._heard), g711.Law.PCMU)

    def invite(self, number: str, call_id: str, *, host: str = "") -> None:
        """Send an INVITE to the edge; its messages come by `receive`."""
        sdp = (
            f"v=0\r\no=- 1 1 IN IP4 {self.host}\r\ns=-\r\nc=IN IP4 {self.host}\r\nt=0 0\r\n"
            f"m=audio {self._rtp.getsockname()[1]} RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"
        )
        self.request("INVITE", f"sip:{number}@{host or self.edge[0]}", call_id, body=sdp)

    def request(
        self, method: str, uri: str, call_id: str, *, cseq: int = 1, to_tag: str = "", more: str = "", body: str = "",
        branch: str = "",
    ) -> None:  # fmt: skip
        """Send a request."""
        tag = f";tag={to_tag}" if to_tag else ""
        kind = "Content-Type: application/sdp\r\n" if body else ""
        text = (
            f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {self.host}:{self.port};rport;branch=z9hG4bK{branch or os.urandom(6).hex()}\r\n"
            f"From: <sip:caller@{self.host}>;tag=a{call_id}\r\nTo: <{uri}>{tag}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n"
            f"Contact: <sip:caller@{self.host}:{self.port}>\r\nMax-Forwards: 70\r\n{more}{kind}Content-Length: {len(body)}\r\n\r\n{body}"
        )
        self.sip.sendto(text.encode(), self.edge)

    def receive(self, timeout_s: float = 5.0) -> str:
        """Return the next message, or an empty text where none comes in time."""
        self.sip.settimeout(timeout_s)
        with contextlib.suppress(TimeoutError):
            return self.sip.recv(65_535).decode()
        return ""

    def final(self, timeout_s: float = 5.0) -> str:
        """Return the next final answer."""
        for message in iter(lambda: self.receive(timeout_s), ""):
            if re.match(r"SIP/2\.0 [2-6]", message):
                return message
        return ""

    def within(self, method: str, answer: str, call_id: str, cseq: int) -> None:
        """Send a request within the dialog that an answer has made: by its route set, to its Contact."""
        routes = re.findall(r"^Record-Route:\s*(.*?)\r?$", answer, re.MULTILINE | re.IGNORECASE)
        route = "".join(f"Route: {value}\r\n" for value in reversed(", ".join(routes).split(", ")))
        target = re.search(r"^Contact:\s*<([^>]+)>", answer, re.MULTILINE | re.IGNORECASE)
        tag = re.search(r"^To:.*;tag=([^;\r\n]+)", answer, re.MULTILINE | re.IGNORECASE)
        assert target is not None, answer
        assert tag is not None, answer
        self.request(method, target[1], call_id, cseq=cseq, to_tag=tag[1], more=route)

    def close(self) -> None:
        """End it."""
        self._closing.set()
        self._ear.join()
        self.sip.close()
        self._rtp.close()


def certificate(folder: Path, name: str) -> Iterator[Path]:
    """Make a self-signed certificate for an address; yields the certificate, then its key."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
            "-keyout", key, "-out", cert, "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    yield from (cert, key)
