"""A PostgreSQL of the kill test's own, durable as in production, that can be killed with everything it forked and started again.

Owns that server's life. The binaries and the user it runs as are found by `tests/postgresql.py`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from tests.polling import wait_until
from tests.postgresql import accepts_connections, find_binaries, new_database, server_user

START_LIMIT_S = 30.0


class PostgresServer:
    """One server; `kill` leaves its files as a crash does, `start` brings it back."""

    def __init__(self) -> None:
        binaries = find_binaries()
        if binaries is None:
            raise RuntimeError("PostgreSQL is not installed: apt-get install postgresql")
        user = server_user()
        self._prefix = ["setpriv", "--pdeathsig", "INT"]
        if user is not None:
            self._prefix += [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        self.home = Path(tempfile.mkdtemp(prefix="marcador-pg-"))
        if user is not None:
            os.chown(self.home, user.pw_uid, user.pw_gid)
        self._binaries = binaries
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(self.home), "LC_ALL": "C.UTF-8"}
        subprocess.run(
            [*self._prefix, binaries / "initdb", "-D", self.home / "data", "-U", "postgres", "--auth=trust",
             "--locale=C.UTF-8", "--encoding=UTF8"],
            cwd=self.home, env=self._environment, capture_output=True, timeout=START_LIMIT_S, check=True,
        )  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None
        self.start()
        self.url = new_database(self.home)

    def start(self) -> None:
        """Start it, and wait until it takes connections; what a killed one left in memory may need a moment to go."""
        settings = {
            "listen_addresses": "", "unix_socket_directories": str(self.home), "shared_buffers": "32MB", "max_connections": "60",
        }  # fmt: skip
        arguments = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]

        def up() -> bool:
            if self.process is None or self.process.poll() is not None:
                with (self.home / "log").open("ab") as out:
                    self.process = subprocess.Popen(
                        [*self._prefix, self._binaries / "postgres", "-D", self.home / "data", *arguments],
                        cwd=self.home, env=self._environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                    )  # fmt: skip
            return accepts_connections(self.home)

        wait_until(up, START_LIMIT_S, "PostgreSQL to take connections")

    def kill(self) -> None:
        """Kill the server and every process of it, at once."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        os.kill(self.process.pid, signal.SIGKILL)
        for pid in map(int, children):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        """End it and remove its files."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(20.0)
        shutil.rmtree(self.home, ignore_errors=True)
