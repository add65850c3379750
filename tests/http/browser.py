"""A browser without a screen: logs in over HTTP, keeps its cookie, sends its page's token with each change."""

from __future__ import annotations

import re
from typing import Any, Self

import httpx2

from dialer_core.store import access as rows
from dialer_core.store.access import UserView
from dialer_core.store.database import Database
from dialer_core.web import passwords

PASSWORD = "correct horse battery staple"
KEPT = passwords.hashed(PASSWORD)


def add_user(database: Database, name: str, role: str, *, agent: str = "", extension: str = "") -> None:
    """Let somebody log in with `PASSWORD`."""
    with database.write() as tx:
        assert rows.add_user(
            tx, UserView(id=name, role=role, agent=agent, extension=extension), KEPT, tx.utc()
        )


class Browser:
    """One browser. Use it in an `async with`.

    Parameters
    ----------
    url
        The host's.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.client = httpx2.AsyncClient(base_url=self.url, trust_env=False, headers={"Accept": "text/html"})
        self.csrf = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()

    async def log_in(self, user: str, password: str = PASSWORD, **headers: str) -> httpx2.Response:
        """Send the form; afterwards `csrf` is what the pages of this session carry."""
        answer = await self.client.post(
            "/login", data={"user": user, "password": password}, headers={"Origin": self.url} | headers
        )
        if answer.status_code == 303:
            page = await self.client.get("/account")
            self.csrf = re.search(r'name="csrf" content="(\w+)"', page.text)[1]  # type: ignore[index]
        return answer

    async def get(self, path: str, **options: Any) -> httpx2.Response:
        """Ask for a page."""
        return await self.client.get(path, **options)

    async def post(self, path: str, body: object = None, **headers: str) -> httpx2.Response:
        """Change something, as a page of ours does."""
        return await self.send("post", path, body, **headers)

    async def send(self, method: str, path: str, body: object = None, **headers: str) -> httpx2.Response:
        """Change something by any method."""
        sent = {"Origin": self.url, "X-CSRF-Token": self.csrf, "Accept": "*/*"} | headers
        return await self.client.request(method.upper(), path, json=body, headers=sent)
