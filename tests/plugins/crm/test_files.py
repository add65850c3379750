"""CSV files in folders, of this machine and of a real SFTP server: read whole, in order, once; ours complete once they have their name."""

from __future__ import annotations

import csv
import os
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
import pytest

from dialer_core.store.database import Database
from plugins.crm.connector import LoginError, MappingError
from tests.plugins.crm.floor import Floor, toml

pytestmark = [pytest.mark.db, pytest.mark.timeout(60)]

MAPPING = """
begin = "start"

[connections.crm]
<reached>
in_folder = "<in>"
out_folder = "<out>"
settle_s = 5
page_rows = 2

[accounts.cartera]
connection = "crm"
campaign = "spring"
source = "cartera*.csv"
key = "cuenta"

[accounts.cartera.fields]
external_id = "cuenta"
name = "nombre"
phone = "tel"
balance = "saldo"

[out.promesas]
connection = "crm"
what = "promise"
target = "promesas"
key = "id"
fields.cuenta = "{account}"
fields.monto = "{amount}"
fields.nota = "=cmd {state}"
"""


@pytest.fixture
async def reached(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """How the folders are reached: here, or by a server that lets in one user with a password."""
    if request.param == "files":
        yield 'kind = "files"'
        return
    monkeypatch.setenv("SFTP_PASSWORD", "right")
    key = asyncssh.generate_private_key("ssh-ed25519")

    class Door(asyncssh.SSHServer):
        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return (username, password) == ("dialer", "right")

        def begin_auth(self, username: str) -> bool:
            return bool(username)

    server = await asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[key], server_factory=Door, sftp_factory=True
    )
    port = server.sockets[0].getsockname()[1]
    (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{port} {key.export_public_key().decode()}")
    yield f'kind = "sftp"\nhost = "127.0.0.1"\nport = {port}\nuser = "dialer"\npassword_env = "SFTP_PASSWORD"\nknown_hosts = "known_hosts"'
    server.close()
    await server.wait_closed()


@pytest.fixture
def floor(database: Database, tmp_path: Path, reached: str) -> Floor:
    """The plugin over two empty folders."""
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    return Floor(
        database, tmp_path, toml(MAPPING, reached=reached, **{"in": tmp_path / "in", "out": tmp_path / "out"})
    )


def lay(floor: Floor, name: str, rows: int, first: int = 0, *, old_s: float = 60) -> Path:
    """Lay a file of accounts that was written a while ago."""
    file = floor.engine.config_directory / "in" / name
    lines = [f"A{first + n},Ana {n},551234{first + n:04d},100.00" for n in range(rows)]
    file.write_text("\n".join(["cuenta,nombre,tel,saldo", *lines]) + "\n")
    at = file.stat().st_mtime - old_s
    os.utime(file, (at, at))
    return file


BOTH = pytest.mark.parametrize("reached", ["files", "sftp"], indirect=True)


@BOTH
async def test_files_are_read_once_and_moved_aside(floor: Floor) -> None:
    """In the order of their names, page by page; one that is still written to, and one of another name, stay."""
    lay(floor, "cartera-2.csv", 2, first=3)
    lay(floor, "cartera-1.csv", 5)
    lay(floor, "cartera-3.csv", 1, first=9, old_s=0)
    lay(floor, "otra.csv", 1, first=8)
    found = await floor.pull()
    assert (found.read, found.new) == (7, 5)
    folder = floor.engine.config_directory / "in"
    assert sorted(one.name for one in folder.iterdir()) == ["cartera-3.csv", "done", "otra.csv"]
    assert sorted(one.name for one in (folder / "done").iterdir()) == ["cartera-1.csv", "cartera-2.csv"]
    assert (await floor.pull()).read == 0


@BOTH
async def test_promises_are_laid_as_files(floor: Floor) -> None:
    """One file of what has happened, with our ids; told again it is the same file; no cell of it is a formula."""
    lay(floor, "cartera.csv", 2)
    await floor.pull()
    ids = [floor.promise(await floor.account(f"A{n}"), 5_000) for n in range(2)]
    await floor.push()
    await floor.engine.store.put("out/crm", "")
    await floor.push()
    (file,) = (floor.engine.config_directory / "out").iterdir()
    with file.open(newline="") as source:
        rows = list(csv.DictReader(source))
    assert [row["id"] for row in rows] == ids
    assert rows[0] == {"id": ids[0], "cuenta": "A0", "monto": "50.00", "nota": "'=cmd open"}


@pytest.mark.parametrize("reached", ["files"], indirect=True)
async def test_a_reading_that_was_cut_goes_on(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped within a file, the next reading goes on at its row; a file that is gone by then is left, and the others are read."""
    lay(floor, "cartera-1.csv", 5)
    lay(floor, "cartera-2.csv", 1, first=7)
    upsert, calls = floor.engine.accounts.upsert_many, 0

    async def dies(*args: object, **how: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise MappingError("it dies")
        return await upsert(*args, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(
        type(floor.engine.accounts), "upsert_many", lambda _, *args, **how: dies(*args, **how)
    )
    with pytest.raises(MappingError, match="it dies"):
        await floor.pull()
    monkeypatch.undo()
    assert (await floor.pull()).read == 4
    lay(floor, "cartera-3.csv", 3, first=20)
    lay(floor, "cartera-4.csv", 1, first=30)
    await floor.engine.store.put(
        "in/cartera",
        {"cursor": None, "since": None, "high": None, "resume": '{"file": "cartera-0.csv", "row": 2}'},
    )
    assert (await floor.pull()).read == 4


@pytest.mark.parametrize("reached", ["files"], indirect=True)
async def test_half_rows_and_other_encodings(floor: Floor) -> None:
    """A row that breaks off is rejected with its place; a file that is not of the encoding stops the reading and stays where it is."""
    file = lay(floor, "cartera-1.csv", 2)
    file.write_text(file.read_text() + "A9,Ro")
    os.utime(file, (1, 1))
    found = await floor.pull()
    assert (found.new, found.rejected) == (2, 1)
    (reject,) = (await floor.kept("reject/")).values()
    assert reject["record"]["_row"] == "cartera-1.csv:4"
    latin = lay(floor, "cartera-2.csv", 1)
    latin.write_bytes("cuenta,nombre,tel,saldo\nA1,Núñez,5512345678,1\n".encode("latin-1"))
    os.utime(latin, (1, 1))
    with pytest.raises(MappingError, match="set encoding"):
        await floor.pull()
    assert latin.exists()


@pytest.mark.parametrize("reached", ["sftp"], indirect=True)
async def test_nobody_else_is_spoken_with(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong password, and a server whose key is not the one we know, end in a word about it."""
    async with floor.connection() as connector:
        await connector.check()
    monkeypatch.setenv("SFTP_PASSWORD", "wrong")
    async with floor.connection() as connector:
        with pytest.raises(LoginError, match="does not let 'dialer' in"):
            await connector.check()
    known = floor.engine.config_directory / "known_hosts"
    known.write_text(
        known.read_text().partition(" ")[0]
        + " "
        + asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    )
    async with floor.connection() as connector:
        with pytest.raises(LoginError, match="known_hosts"):
            await connector.check()
    known.unlink()
    async with floor.connection() as connector:
        with pytest.raises(LoginError, match="ssh-keyscan"):
            await connector.check()
