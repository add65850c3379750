"""baresip as an agent's softphone: answers by itself, speaks a tone, records what it hears.

Owns the process, its configuration and the reading of its recordings.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from tests.e2e.ports import Ports
from tests.polling import wait_until

_MODULES = Path("/usr/lib/baresip/modules")
_CONFIG = """\
sip_listen {host}:{sip}
net_interface 127.0.0.1
call_max_calls 4
audio_source aufile,{speaks}
audio_srate 8000-8000
audio_channels 1-1
ausrc_srate 8000
ausrc_channels 1
audio_buffer 20-160
rtp_ports {rtp[0]}-{rtp[1]}
rtcp_mux no
jitter_buffer_delay 1-5
snd_path {folder}
ctrl_tcp_listen 127.0.0.1:{control}
module_path {modules}
module g711.so
module aufile.so
module sndfile.so
module srtp.so
module_tmp uuid.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
"""


class Softphone:
    """A running baresip, at `sip:NAME@127.0.0.1:PORT`."""

    def __init__(
        self,
        folder: Path,
        ports: Ports,
        index: int,
        *,
        name: str,
        speaks: Path,
        account: str = "",
        encryption: str = "",
        host: str = "127.0.0.1",
    ) -> None:
        self.name = name
        self.port = ports.softphone(index)
        self._control = ports.softphone_control(index)
        self._folder = folder / f"softphone-{name}"
        self._folder.mkdir()
        config = _CONFIG.format(
            host=host, sip=self.port, speaks=speaks, rtp=ports.softphone_rtp(index), folder=self._folder, control=self._control, modules=_MODULES
        )  # fmt: skip
        (self._folder / "config").write_text(config, encoding="ascii")
        account = account or f"<sip:{name}@{host}:{self.port}>;regint=0"
        account += ";answermode=auto;audio_codecs=PCMU/8000/1,PCMA/8000/1"
        account += f";mediaenc={encryption}\n" if encryption else "\n"
        (self._folder / "accounts").write_text(account, encoding="ascii")
        (self._folder / "contacts").touch()
        self._log = self._folder / "log"
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("wb") as log:
            process = subprocess.Popen(
                ["baresip", "-f", str(self._folder)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until(
            lambda: process.poll() is not None or "baresip is ready" in self.log(),
            10.0,
            "baresip to be ready",
        )
        assert process.poll() is None, self.log()
        return process

    def log(self) -> str:
        """What it has written."""
        return self._log.read_text(errors="replace")

    def kill(self) -> None:
        """End it as a crash does: no BYE."""
        self.process.kill()
        self.process.wait()

    def start_again(self) -> None:
        """Start it anew after `kill`."""
        self.process = self._start()

    def hang_up(self) -> None:
        """Have it end its call with a BYE."""
        self._command("hangup")

    def dial(self, uri: str) -> None:
        """Have it call somebody."""
        self._command("dial", uri)

    def _command(self, command: str, parameters: str = "") -> None:
        text = json.dumps({"command": command, "params": parameters}).encode()
        with socket.create_connection(("127.0.0.1", self._control), 5.0) as control:
            control.sendall(b"%d:%s," % (len(text), text))
            control.settimeout(5.0)
            control.recv(4096)

    @property
    def calls(self) -> int:
        """Calls it has answered since its last start."""
        return len(re.findall(r"Call established", self.log()))

    def stop(self) -> None:
        """End it."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5.0)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()

    def heard(self) -> list[NDArray[np.float32]]:
        """What it has heard: samples at 8 kHz of each call it had, in order. Whole once the call has ended."""
        files = sorted(self._folder.glob("dump-*-dec.wav"))
        return [soundfile.read(file, dtype="float32")[0] for file in files]
