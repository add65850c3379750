"""A PostgreSQL server of a benchmark's own, durable, in a folder of its own: no port, no system cluster."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any


class Server:
    """A PostgreSQL server in a folder."""

    def __init__(self, binaries: Path, home: Path, prefix: Sequence[str]) -> None:
        self.home = home
        """Of its data and its socket."""
        self._binaries, self._prefix = binaries, prefix
        self._quietly: dict[str, Any] = {
            "cwd": home,
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.DEVNULL,
        }
        self.url = f"postgresql+psycopg://postgres@/postgres?host={home}"
        subprocess.run(
            [*prefix, binaries / "initdb", "-D", home / "data", "-U", "postgres", "--auth=trust", "--locale=C.UTF-8", "-E", "UTF8"],
            check=True, **self._quietly,
        )  # fmt: skip

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.home),
            "shared_buffers": "256MB",
            "max_wal_size": "2GB",
        }
        flags = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        command = [*self._prefix, self._binaries / "postgres", "-D", self.home / "data", *flags]
        self._process = subprocess.Popen(command, **self._quietly)
        ready = [self._binaries / "pg_isready", "-h", self.home]
        while subprocess.run(ready, check=False, **self._quietly).returncode:
            time.sleep(0.1)

    def stop(self) -> None:
        """End it, once what it has is on disk."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait()


def binaries() -> Path | None:
    """Return where PostgreSQL's programs are, those of the newest where there are several; None where there are none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda one: int(one.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


@contextlib.contextmanager
def own_postgresql(folder: Path) -> Iterator[Server | None]:
    """Run a server of our own in a folder; None where there is no PostgreSQL."""
    programs = binaries()
    if programs is None:
        yield None
        return
    home = folder / "pg"
    home.mkdir()
    prefix: list[str] = []
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(home, user.pw_uid, user.pw_gid)
        prefix = [
            "setpriv",
            "--pdeathsig",
            "INT",
            f"--reuid={user.pw_uid}",
            f"--regid={user.pw_gid}",
            "--clear-groups",
        ]
    server = Server(programs, home, prefix)
    server.start()
    try:
        yield server
    finally:
        server.stop()
