"""A private PostgreSQL for the tests: started once in a run, where one is asked for, and gone with it.

Owns the server's life. It uses Debian's binaries, a temporary directory of its own and a Unix socket in it:
no port, no system cluster. Durability is off. PostgreSQL refuses root, so under root it runs as `postgres`.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.polling import wait_until

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0


def find_binaries() -> Path | None:
    """Return the folder of the newest PostgreSQL's programs, or None."""
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"),
        key=lambda initdb: int(initdb.parts[-3]),
        reverse=True,
    )
    if debian:
        return debian[0].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def server_user() -> pwd.struct_passwd | None:
    """Return whom the server must run as: None for ourselves, an unprivileged user where we are root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Path]:
    """Yield the socket directory of a running server, whose superuser `postgres` needs no password.

    Skips where PostgreSQL is not installed.
    """
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    user = server_user()
    # --pdeathsig: a test run that is killed takes its server along.
    prefix = ["setpriv", "--pdeathsig", "INT"]
    if user is not None:
        prefix += [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]

    # Not pytest's temporary directory: under root that one is closed to the server's user, and its path may
    # be too long for a socket.
    home = Path(tempfile.mkdtemp(prefix="marcador-pg-"))
    if user is not None:
        os.chown(home, user.pw_uid, user.pw_gid)
    data, log = home / "data", home / "log"
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8"}
    try:
        made = subprocess.run(
            [*prefix, binaries / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--no-sync",
             "--locale=C.UTF-8", "--encoding=UTF8"],
            cwd=home, env=environment, capture_output=True, text=True, timeout=START_TIMEOUT_S, check=False,
        )  # fmt: skip
        if made.returncode != 0:
            pytest.fail(f"initdb failed: {made.stdout}{made.stderr}")
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(home),
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "shared_buffers": "32MB",
            "max_connections": "60",
        }
        arguments = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        with log.open("wb") as out:
            server = subprocess.Popen(
                [*prefix, binaries / "postgres", "-D", data, *arguments],
                cwd=home,
                env=environment,
                stdout=out,
                stderr=out,
            )
        try:
            wait_until(
                lambda: server.poll() is not None or accepts_connections(home),
                START_TIMEOUT_S,
                "PostgreSQL to start",
            )
            if server.returncode is not None:
                pytest.fail(f"PostgreSQL did not start: {log.read_text(errors='replace')}")
            yield home
        finally:
            server.send_signal(signal.SIGINT)  # "fast shutdown": open sessions are cut off
            server.wait(STOP_TIMEOUT_S)
    finally:
        shutil.rmtree(home)


def accepts_connections(socket_directory: Path) -> bool:
    """Say whether a server answers in this folder."""
    try:
        psycopg.connect(host=str(socket_directory), user="postgres", dbname="postgres").close()
    except psycopg.OperationalError:
        return False
    return True


def new_database(socket_directory: Path) -> str:
    """Make an empty database and return its SQLAlchemy URL."""
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(
        host=str(socket_directory), user="postgres", dbname="postgres", autocommit=True
    ) as link:
        link.execute(f'CREATE DATABASE "{name}"'.encode())
    return f"postgresql+psycopg://postgres@/{name}?host={socket_directory}"


@pytest.fixture(scope="session")
def postgresql_url(postgresql_server: Path) -> str:
    """Return the SQLAlchemy URL of one database that the whole run shares."""
    return new_database(postgresql_server)


@pytest.fixture
def postgresql_database(postgresql_server: Path) -> str:
    """Return the SQLAlchemy URL of an empty database of this test's own."""
    return new_database(postgresql_server)
