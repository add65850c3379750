"""Attaching: it goes on for as long as the engine lives, or the engine does not."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from dialer_core import engine
from dialer_core.engine import run_attached
from dialer_core.ipc.channel import listen_unix
from dialer_core.ipc.messages import AllowSources, Dialog, WorkerHello
from dialer_core.lines import Attacher, MediaLink, WorkerPool
from dialer_core.settings import DialerSettings, Settings, TrunkSettings
from dialer_core.sip.digest import Credentials
from dialer_core.vocabulary import TrunkId, WorkerId
from tests.descriptors import no_descriptors
from tests.polling import wait_until_async

pytestmark = pytest.mark.unit


async def test_an_engine_without_descriptors_attaches_when_it_has_some_again(tmp_path: Path) -> None:
    """Workers cannot even be looked for meanwhile; afterwards one that has appeared is attached."""
    pool = WorkerPool(lambda _name, _event: None, lambda _name: None, lambda: None)
    media = MediaLink(lambda _event: None, lambda _state: None, lambda: None)
    attacher = Attacher(tmp_path, pool, media)
    looked: list[int] = []
    listener = listen_unix(tmp_path / "worker-customers-0.sock")
    find = attacher._worker_sockets

    def look() -> list[Path]:
        looked.append(1)
        return find()

    attacher._worker_sockets = look  # type: ignore[method-assign]
    with no_descriptors():
        attaching = asyncio.create_task(attacher.run())
        await wait_until_async(lambda: len(looked) > 1 or attaching.done(), 5.0, "two looks")
        assert not pool.workers
    await wait_until_async(lambda: bool(pool.workers) or attaching.done(), 5.0, "the worker to be attached")
    assert list(pool.workers) == [WorkerId("customers-0")]
    attaching.cancel()
    attacher.close()
    listener.close()


async def test_an_engine_that_attaches_to_nobody_any_more_ends() -> None:
    """What ended the attaching ends the engine, so that another is started; work that ends by itself is the engine's end in good order."""
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def fails() -> None:
        raise RuntimeError("not foreseen")

    with pytest.raises(RuntimeError, match="not foreseen"):
        await run_attached(work(), asyncio.create_task(fails()))
    assert ended.is_set()
    attaching = asyncio.create_task(work())
    await run_attached(asyncio.sleep(0), attaching)
    assert not attaching.done()
    attaching.cancel()


async def test_a_name_that_cannot_be_looked_up_shuts_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers keep whom they knew, are told more at once, and are told all when every name is found; looking up holds up no call."""
    answers = [
        AllowSources(addresses=("127.0.0.1",), complete=False),
        AllowSources(addresses=("127.0.0.1", "192.0.2.9")),
    ]
    threads: list[int] = []

    def look_up(_settings: object) -> AllowSources:
        threads.append(threading.get_ident())
        return answers[len(threads) - 1]

    monkeypatch.setattr(engine, "known_sources", look_up)
    monkeypatch.setattr(engine, "SOURCES_RETRY_S", 0.0)
    pool = WorkerPool(lambda _name, _event: None, lambda _name: None, lambda: None)
    told: list[object] = []

    class Port:
        over_mark = False

        def send(self, message: object) -> None:
            told.append(message)

        def close(self) -> None:
            pass

    name = WorkerId("customers-0")
    pool.add(name, Port())
    hello = WorkerHello(at_ns=0, worker=name, pid=1, capacity=4, boot="b", sip_host="127.0.0.1", sip_port=1)
    pool.receive(name, hello)
    told.clear()
    await engine.allow_sources(None, pool)  # type: ignore[arg-type]
    assert told == answers
    assert threading.get_ident() not in threads
    told.clear()
    pool.receive(name, hello)
    assert told[0] == answers[-1]


def test_a_password_answers_only_whom_it_belongs_to() -> None:
    """A dead worker's BYE is proved to the trunk that was called, and to nobody else who might ask."""
    trunks = {
        TrunkId("open"): TrunkSettings(host="192.0.2.1"),
        TrunkId("asks"): TrunkSettings(host="sip.example", user="acc", password_env="X"),
    }
    settings = Settings(Path(), DialerSettings(), trunks, {}, {})
    passwords = {TrunkId("open"): "", TrunkId("asks"): "secret"}

    def of(uri: str) -> Credentials | None:
        dialog = Dialog(
            call_id="c", local_uri="sip:us@sip.example", local_tag="l", remote_uri=uri, remote_tag="r",
            remote_target="sip:x@10.0.0.1", route_set=(), local_cseq=1, destination="10.0.0.1:5060",
        )  # fmt: skip
        return engine._credentials_of(dialog, settings, passwords)

    assert of("sip:+5255@sip.example:5070;user=phone") == Credentials("acc", "secret")
    assert of("sip:+5255@192.0.2.1") is None
    assert of("sip:a0@127.0.0.1:5060") is None
