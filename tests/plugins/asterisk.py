"""Asterisk for tests: a real one where it is installed, and a server that says what a real one once said.

Owns the configuration of both: a queue `cobranza` whose member 1001 answers by itself, the manager interface, and extensions of the test's own.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

USER, SECRET = "marcador", "s3cret"
CHALLENGE = "123456789"
TRANSCRIPT = Path(__file__).parent / "transcripts" / "asterisk_20_queue.txt"
"""Recorded from Asterisk 20.20.1, events of queues alone: the list of members, a pause and its end, a call that member 1001 takes and ends."""

_BASE = {
    "manager.conf": """[general]
enabled=yes
port={ami}
bindaddr=127.0.0.1
channelvars=MARCADOR_ATTEMPT
[{user}]
secret={secret}
read=agent,call
write=agent,reporting,system
""",
    "queues.conf": """[general]
[cobranza]
strategy=ringall
member => Local/1001@members,0,Ana,Local/1001@members
member => PJSIP/1002
""",
    "modules.conf": """[modules]
autoload=yes
noload=res_phoneprov.so
noload=res_hep.so
noload=res_hep_pjsip.so
noload=res_hep_rtcp.so
noload=res_prometheus.so
noload=pbx_dundi.so
noload=pbx_ael.so
""",
    "logger.conf": "[general]\n[logfiles]\nmessages => notice,warning,error\n",
}


class Asterisk:
    """A real Asterisk of the test's own.

    Parameters
    ----------
    folder
        For its configuration and what it writes.
    ami
        Port of its manager interface.
    files
        More configuration, by file name.
    """

    def __init__(self, folder: Path, *, ami: int, files: Mapping[str, str]) -> None:
        etc = folder / "etc"
        etc.mkdir(parents=True)
        for name in ("lib", "spool", "run", "log"):
            (folder / name).mkdir()
        program = Path(shutil.which("asterisk") or "").resolve()
        modules = next(
            (
                one
                for one in (program.parents[1] / "lib/asterisk/modules", Path("/usr/lib/asterisk/modules"))
                if one.is_dir()
            ),
            Path("/usr/lib/asterisk/modules"),
        )
        data = modules.parents[2] / "var/lib/asterisk"
        (etc / "asterisk.conf").write_text(
            f"[directories]\nastetcdir => {etc}\nastmoddir => {modules}\nastvarlibdir => {folder}/lib\nastdbdir => {folder}/lib\n"
            f"astkeydir => {folder}/lib\nastdatadir => {data}\nastagidir => {folder}/lib\nastspooldir => {folder}/spool\n"
            f"astrundir => {folder}/run\nastlogdir => {folder}/log\n"
        )
        values = {"ami": ami, "user": USER, "secret": SECRET}
        for name, text in {**_BASE, **files}.items():
            (etc / name).write_text(text.format(**values))
        self._conf = etc / "asterisk.conf"
        self._process = subprocess.Popen(
            [str(program), "-f", "-C", str(self._conf)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._program = str(program)
        self._until_up()

    def say(self, command: str) -> str:
        """Give a command of its console; return what it answers."""
        done = subprocess.run(
            [self._program, "-C", str(self._conf), "-rx", command],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
        return done.stdout

    def _until_up(self) -> None:
        deadline = time.monotonic() + 20
        while "fully booted" not in self.say("core waitfullybooted"):
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise AssertionError("Asterisk does not start")

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Recorded:
    """A manager interface that says what a real one said: the answer to each kind of action, and then what came unasked."""

    def __init__(self, blocks: list[str]) -> None:
        self._list = [b for b in blocks if "ActionID: 2" in b and "Response" not in b]
        self._rest = [b for b in blocks if "Event" in b and b not in self._list]
        self.go_on = asyncio.Event()
        """Set by the test when the rest is to be said."""
        self.log_ins = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self.writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self.writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        writer.write(b"Asterisk Call Manager/9.0.0\r\n")
        rest: asyncio.Task[None] | None = None
        while lines := await _action(reader):
            number = lines["ActionID"]
            said = f"Response: Success\r\nActionID: {number}"
            match lines["Action"]:
                case "Challenge":
                    said += f"\r\nChallenge: {CHALLENGE}"
                case "Login":
                    key = hashlib.md5(f"{CHALLENGE}{SECRET}".encode(), usedforsecurity=False).hexdigest()
                    if (lines["Username"], lines["Key"]) != (USER, key):
                        said = f"Response: Error\r\nActionID: {number}\r\nMessage: Authentication failed"
                    self.log_ins += 1
                case "QueueStatus":
                    said = "\r\n\r\n".join(
                        [
                            said,
                            *(
                                b.replace("ActionID: 2", f"ActionID: {number}").replace("\n", "\r\n")
                                for b in self._list
                            ),
                        ]
                    )
                    rest = rest or asyncio.create_task(self._say_rest(writer))
            writer.write(f"{said}\r\n\r\n".encode())
            await writer.drain()
        if rest is not None:
            rest.cancel()
        writer.close()

    async def _say_rest(self, writer: asyncio.StreamWriter) -> None:
        await self.go_on.wait()
        for block in self._rest:
            writer.write((block.replace("\n", "\r\n") + "\r\n\r\n").encode())
            await writer.drain()


async def _action(reader: asyncio.StreamReader) -> dict[str, str]:
    found: dict[str, str] = {}
    while line := (await reader.readline()).decode().strip():
        key, _, value = line.partition(": ")
        found[key] = value
    return found


def blocks() -> list[str]:
    """Return the messages of the transcript."""
    return [block.strip() for block in TRANSCRIPT.read_text().split("\n\n") if block.strip()]
