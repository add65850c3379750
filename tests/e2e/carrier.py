"""SIPp as the carrier: the process, and what it says of each call afterwards.

Owns the process and the reading of its message log. What it does is `scenario.py`'s.
"""

from __future__ import annotations

import datetime as dt
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.ports import Ports
from tests.e2e.scenario import Behaviour, render
from tests.polling import wait_until

_MESSAGE = re.compile(
    r"^-{20,} (\S+ \S+)\n(?:UDP|TCP) message (sent|received) .*?:?\n\n(.*?)(?=^-{20,}|\Z)",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class SipMessage:
    """One message that SIPp sent or received."""

    at_s: float
    """When, by SIPp's clock."""
    sent: bool
    text: str

    @property
    def start(self) -> str:
        """Its start line, short: `INVITE`, `BYE`, `486`."""
        first = self.text.partition("\n")[0].strip()
        return first.split()[1] if first.startswith("SIP/2.0") else first.split()[0]

    def header(self, name: str) -> str:
        """A header's value, or an empty string."""
        found = re.search(rf"^{name}:[ \t]*(.*?)\r?$", self.text, re.MULTILINE | re.IGNORECASE)
        return found.group(1) if found else ""


class Carrier:
    """A running SIPp."""

    def __init__(
        self,
        folder: Path,
        ports: Ports,
        behaviours: Mapping[int, Behaviour],
        *,
        index: int = 0,
        challenge: bool = False,
        tcp: bool = False,
        echo: bool = False,
        host: str = "127.0.0.1",
    ) -> None:
        self.port = ports.carrier(index)
        self._sockets = Path("/proc/net/tcp" if tcp else "/proc/net/udp")
        stem = folder / f"carrier-{index}"
        self._messages, self._errors = stem.with_suffix(".messages"), stem.with_suffix(".errors")
        scenario = stem.with_suffix(".xml")
        scenario.write_text(render(behaviours, challenge=challenge), encoding="ascii")
        self._output = stem.with_suffix(".out").open("wb")
        self._arguments = [
            *("sipp", "-sf", str(scenario), "-i", host, "-mi", host, "-p", str(self.port)),
            *("-mp", str(ports.carrier_rtp(index)), "-nostdin", "-watchdog_interval", "0"),
            *("-t", "t1" if tcp else "u1"),
            *(("-rtp_echo",) if echo else ()),
            *("-trace_msg", "-message_file", str(self._messages), "-message_overwrite", "false"),
            *("-trace_err", "-error_file", str(self._errors), "-error_overwrite", "false"),
        ]
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(self._arguments, stdout=self._output, stderr=self._output)
        wait_until(lambda: process.poll() is not None or self._bound(), 5.0, "SIPp to listen")
        assert process.poll() is None, f"SIPp ended: {self.errors()}"
        return process

    def _bound(self) -> bool:
        table = self._sockets.read_text(encoding="ascii")
        return any(line.split()[1].endswith(f":{self.port:04X}") for line in table.splitlines()[1:])

    def stop(self) -> None:
        """End it as a crash would: nothing is said to anybody."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def start_again(self) -> None:
        """Start it anew after `stop`, on the same port."""
        self.process = self._start()

    def close(self) -> None:
        """End it for good."""
        self.stop()
        self._output.close()

    def errors(self) -> str:
        """What SIPp itself found wrong with what it received."""
        return self._errors.read_text(errors="replace") if self._errors.exists() else ""

    def messages(self) -> list[SipMessage]:
        """Everything sent and received so far, in order."""
        text = self._messages.read_text(errors="replace") if self._messages.exists() else ""
        return [
            SipMessage(dt.datetime.fromisoformat(found[1]).timestamp(), found[2] == "sent", found[3])
            for found in _MESSAGE.finditer(text)
        ]

    def calls_to(self, number: str) -> dict[str, list[SipMessage]]:
        """The messages of each call to a number, by Call-ID, in the order of the calls."""
        calls: dict[str, list[SipMessage]] = {}
        for message in self.messages():
            if number in message.header("To") or number in message.header("From"):
                calls.setdefault(message.header("Call-ID"), []).append(message)
        return calls

    def story(self, number: str) -> list[str]:
        """The start lines of the only call to a number: `> INVITE` received, `< 180` sent."""
        (call,) = self.calls_to(number).values()
        return [f"{'<' if message.sent else '>'} {message.start}" for message in call]
