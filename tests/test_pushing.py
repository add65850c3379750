"""Telling other systems: signed, in order, again after a failure, nothing lost over a restart, and no inner address for whoever names one."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import ipaddress
import json
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from dialer_core import outside, pushing
from dialer_core.clock import SystemClock
from dialer_core.errors import ConfigError
from dialer_core.event_tail import EventTail
from dialer_core.events import CampaignPaused, CampaignStarted
from dialer_core.settings import DialerSettings, Settings
from dialer_core.store import pushes
from dialer_core.store.database import Database, open_database
from dialer_core.vocabulary import CampaignId
from tests.plugins.provider import HttpProvider, http_provider
from tests.polling import wait_until_async

pytestmark = [pytest.mark.unit, pytest.mark.timeout(60)]

SECRET = "a secret between two"


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUSH_SECRET", SECRET)
    monkeypatch.setattr(pushing, "FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(pushing, "LONGEST_PAUSE_S", 0.05)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A store whose host writes."""
    store = open_database(f"sqlite:///{tmp_path / 'push.db'}")
    store.migrate()
    yield store
    store.dispose()


@pytest.fixture
async def target() -> AsyncIterator[HttpProvider]:
    """Somebody who is told."""
    async with http_provider() as provider:
        yield provider


def settings(folder: Path, url: str, **more: Any) -> Settings:
    """Return settings with one target, `crm`."""
    told = {"url": url, "secret_env": "PUSH_SECRET", "private": True} | more
    return Settings(folder / "config", DialerSettings.model_validate({"push": {"crm": told}}), {}, {}, {})


@contextlib.asynccontextmanager
async def running(database: Database, its: Settings) -> AsyncIterator[None]:
    """Push until the block ends, as a host that is killed does."""
    pusher = pushing.Pusher(its, database, EventTail(database, poll_s=0.05, pace_s=0.01), SystemClock())
    task = asyncio.create_task(pusher.run())
    await wait_until_async(lambda: views(database), 10, "the cursor")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def views(database: Database) -> list[pushes.PushView]:
    """Return how far each target has been told."""
    with database.read() as tx:
        return pushes.views(tx)


def letters(database: Database) -> list[pushes.DeadLetter]:
    """Return what was put aside."""
    with database.read() as tx:
        return pushes.letters(tx, "crm")


def happens(database: Database, *reasons: str) -> None:
    """Write events, each pause with a reason of its own."""
    for reason in reasons:
        with database.write() as tx:
            tx.emit(CampaignPaused(campaign_id=CampaignId("demo"), reason=reason))


def told(target: HttpProvider) -> list[str]:
    """Return the reasons that a target was told, in order."""
    return [event["data"]["reason"] for _, _, raw in target.requests for event in json.loads(raw)["events"]]


async def test_events_come_signed_and_in_order(
    tmp_path: Path, database: Database, target: HttpProvider
) -> None:
    """Only those asked for, only new ones, each request signed over its time and body."""
    happens(database, "before the target was there")
    async with running(database, settings(tmp_path, target.url, events=["campaign.paused"])):
        with database.write() as tx:
            tx.emit(CampaignStarted(campaign_id=CampaignId("demo")))
        happens(database, "one", "two", "three")
        await wait_until_async(
            lambda: sum(one.told for one in views(database)) == 3, 10, "three events, written down as told"
        )
    assert told(target) == ["one", "two", "three"]
    for _, headers, raw in target.requests:
        stamp, _, given = headers["marcador-signature"].partition(",")
        signed = hmac.new(SECRET.encode(), stamp.removeprefix("t=").encode() + b"." + raw, hashlib.sha256)
        assert given == f"v1={signed.hexdigest()}"
        assert headers["marcador-delivery"]
    (view,) = views(database)
    assert (view.told, view.dead, view.trouble) == (3, 0, "")


async def test_nothing_is_lost_while_either_side_is_away(
    tmp_path: Path, database: Database, target: HttpProvider
) -> None:
    """What is not taken now comes again, what happens while we are down comes when we are back, and the order holds."""
    answers = [(503, {}, {}), (429, {}, {})]
    target.answer = lambda _raw: answers.pop(0) if answers else (200, {}, {})
    its = settings(tmp_path, target.url)
    async with running(database, its):
        happens(database, "one")
        await wait_until_async(lambda: views(database)[0].told == 1, 10, "the third try")
    happens(database, "two", "three")
    async with running(database, its):
        happens(database, "four")
        await wait_until_async(lambda: views(database)[0].told == 4, 10, "all four")
    assert list(dict.fromkeys(told(target))) == ["one", "two", "three", "four"]
    assert told(target).count("one") == 3
    assert letters(database) == []


async def test_what_is_never_taken_is_put_aside_and_sent_again_when_asked(
    tmp_path: Path, database: Database, target: HttpProvider
) -> None:
    """A refusal for good, and one try too many, cost the others nothing; a replay brings the same events."""
    target.answer = lambda raw: (400 if b"poison" in raw else 500 if b"heavy" in raw else 200, {}, {})
    its = settings(tmp_path, target.url, tries=3)
    async with running(database, its):
        for number, reason in enumerate(("poison", "heavy", "fine"), 1):
            happens(database, reason)
            await wait_until_async(
                lambda n=number: views(database)[0].told + len(letters(database)) == n, 10, "an end"
            )  # type: ignore[misc]
        assert [(one.reason, one.events) for one in letters(database)] == [("answered 400", 1), ("answered 500", 1)]  # fmt: skip
        assert (told(target).count("poison"), told(target).count("heavy")) == (1, 3)
        target.answer = lambda _raw: (204, "", {})
        with database.write() as tx:
            assert pushes.again(tx, "crm", actor="cli") == 2
        await wait_until_async(lambda: {one.state for one in letters(database)} == {"told"}, 10, "both")
    assert told(target)[-2:] == ["poison", "heavy"]
    assert views(database)[0].dead == 0


async def test_no_name_leads_us_inside(
    tmp_path: Path, database: Database, target: HttpProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A public name that resolves to an inner address is not asked, whatever it resolves to: it goes among the dead letters with the reason."""
    port = target.url.rpartition(":")[2]
    found: list[tuple[Any, ...]] = []
    loop = asyncio.get_running_loop()

    async def resolve(host: str, _port: int, **_options: Any) -> list[tuple[Any, ...]]:
        assert host == "hooks.example.com"
        return found

    monkeypatch.setattr(loop, "getaddrinfo", resolve)
    client = outside.make_client()
    for address in (
        "127.0.0.1", "10.0.0.9", "192.168.1.1", "169.254.169.254", "::1", "fd00::1", "::ffff:127.0.0.1", "0.0.0.0",
        "100.64.0.1", "2002:7f00:1::", "224.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::a00:9", "64:ff9b:1::808:808",
        "::127.0.0.1", "::808:808", "2001:0:5ef5:79fd::1",
    ):  # fmt: skip
        found[:] = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443))]
        with pytest.raises(outside.ForbiddenAddressError, match="not a public address"):
            await outside.post(client, f"https://hooks.example.com:{port}/x", b"{}", {})
    await client.aclose()
    async with running(database, settings(tmp_path, "https://hooks.example.com/x", private=False)):
        happens(database, "one")
        await wait_until_async(lambda: len(letters(database)) == 1, 10, "the dead letter")
    assert "not a public address" in letters(database)[0].reason
    assert target.requests == []


def test_what_is_public_is_asked() -> None:
    """Also an IPv4 address as a network that only speaks IPv6 tells it."""
    for address in ("8.8.8.8", "2a00:1450:4003:80a::200e", "64:ff9b::808:808", "2002:808:808::1"):
        assert outside._public(ipaddress.ip_address(address))


async def test_a_name_that_is_none_is_put_aside(tmp_path: Path, database: Database) -> None:
    """A part of it longer than names have: what it does not get is a dead letter, and the telling goes on with what comes after it."""
    its = settings(tmp_path, f"https://{'a' * 64}.example.com/x", tries=1)
    async with running(database, its):
        for number in (1, 2):
            happens(database, "one")
            await wait_until_async(lambda n=number: len(letters(database)) == n, 10, "the dead letter")  # type: ignore[misc]
    assert "no name that a machine can have" in letters(database)[0].reason


def test_putting_aside_goes_on_behind_it_at_once(database: Database) -> None:
    """Nobody who dies between the two leaves a stretch that is put aside and told again."""
    with database.write() as tx:
        pushes.advance(tx, "crm", "n", "a", 1)
        pushes.bury(tx, "crm", "n", "a", "b", 3, "answered 400")
        assert pushes.cursor(tx, "crm", "n") == "b"
    [view] = views(database)
    assert (view.told, view.dead, view.trouble) == (1, 1, "")


async def test_no_redirect_is_followed(tmp_path: Path, database: Database, target: HttpProvider) -> None:
    """Whoever answers with another address is not believed."""
    target.answer = lambda _raw: (307, {}, {"location": f"{target.url}/elsewhere"})
    async with running(database, settings(tmp_path, f"{target.url}/here")):
        happens(database, "one")
        await wait_until_async(lambda: len(letters(database)) == 1, 10, "the dead letter")
    assert {path for path, _, _ in target.requests} == {"/here"}


@pytest.mark.parametrize(
    ("told_", "says"),
    [
        ({"url": "http://hooks.example.com/x", "private": False}, "needs https://"),
        ({"url": "https://user:secret@hooks.example.com/x"}, "should match pattern"),
        ({"url": "file:///etc/passwd"}, "should match pattern"),
        ({"secret_env": ""}, "needs a secret"),
        ({"events": ["../x"]}, "is no event's name"),
    ],
)
def test_a_wrong_target_is_refused_when_read(tmp_path: Path, told_: dict[str, Any], says: str) -> None:
    """Another scheme, credentials in the address, no secret: said in words."""
    with pytest.raises(ValueError, match=says):
        settings(tmp_path, **({"url": "https://hooks.example.com/x"} | told_))


def test_a_secret_that_is_not_there_ends_the_start(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent unsigned."""
    monkeypatch.delenv("PUSH_SECRET")
    with pytest.raises(ConfigError, match="PUSH_SECRET"):
        pushing.Pusher(settings(tmp_path, "https://hooks.example.com/x"), database, EventTail(database), SystemClock())  # fmt: skip
