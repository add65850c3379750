"""Who asks: the node's own token, tokens of programs, browsers that have logged in.

It owns sessions and the look-up of tokens: what a cookie holds, how long it holds, how long an answer of the store is believed. It owns
no password (`web/passwords.py`), no row (`store/access.py`) and no route (`login.py`).
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from pathlib import Path
from typing import Final

import itsdangerous

from dialer_core.http.tokens import ensure_token
from dialer_core.store import access as rows
from dialer_core.store.database import Database
from dialer_core.web.principals import SCOPES, Principal, Role, Scope

KEY_FILE: Final = "web.key"
TOKEN_PREFIX: Final = "mrc_"  # noqa: S105 - the beginning of every token, so that one that was leaked is recognised
SESSION_LASTS: Final = dt.timedelta(hours=12)
"""A long shift; then they log in again."""
IDLE_ENDS: Final = dt.timedelta(hours=1)
"""A browser that has asked for nothing and has no page open for so long."""
SEEN_EVERY: Final = dt.timedelta(minutes=5)
BELIEVED_S: Final = 2.0
"""A user who was disabled, a token that was revoked lets nobody in after so long, on every node."""
MOST_BELIEVED: Final = 4096


def digest_of(secret: str) -> str:
    """Return what the store keeps of a random secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def new_token() -> str:
    """Return a new token of a program."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


class Access:
    """Finds out who asks.

    Parameters
    ----------
    database
        Where users, sessions and tokens are.
    node_token
        The node's own token, which may do all.
    key
        Signs cookies: another one ends every session.
    secure
        Browsers reach us by TLS alone: cookies are bound to it.
    """

    def __init__(self, database: Database, node_token: str, key: str, *, secure: bool = False) -> None:
        self.database = database
        self.secure = secure
        self.cookie = "__Host-marcador" if secure else "marcador_session"
        self._node_token = node_token.encode()
        self.key = key
        self._signer = itsdangerous.Signer(key, salt="marcador session", digest_method=hashlib.sha256)
        self._csrf_key = hashlib.sha256(b"csrf " + key.encode()).digest()
        self._drafts_key = hashlib.sha256(b"drafts " + key.encode()).digest()
        self.signing_key = hashlib.sha256(b"links " + key.encode()).digest()
        """Signs links that hold for a moment."""
        self._believed: OrderedDict[str, tuple[Principal | None, float]] = OrderedDict()
        self._seen: OrderedDict[str, float] = OrderedDict()

    @classmethod
    def open(cls, database: Database, token_file: Path, key_file: Path, *, secure: bool = False) -> Access:
        """Make it from the node's files, which are made where they are missing; StartError where others may read them."""
        return cls(database, ensure_token(token_file), ensure_token(key_file), secure=secure)

    async def of_token(self, presented: str) -> Principal | None:
        """Return whose token this is, or None; the same time is taken wherever it differs."""
        if secrets.compare_digest(presented.encode(), self._node_token):
            return Principal("local", frozenset(Scope))
        if not presented.startswith(TOKEN_PREFIX):
            return None
        digest = digest_of(presented)
        known, principal = self._believe(digest)
        if not known:
            found = await asyncio.to_thread(self._find_token, digest)
            principal = Principal(found.name, frozenset(map(Scope, found.scopes))) if found else None
            self._remember(digest, principal)
        return principal

    async def of_cookie(self, cookie: str) -> Principal | None:
        """Return whose session a cookie is, or None: forged, ended, of somebody who may not log in any more."""
        secret = self._unsigned(cookie)
        if secret is None:
            return None
        digest = digest_of(secret)
        known, principal = self._believe(digest)
        if not known:
            user = await asyncio.to_thread(self._find_session, digest)
            principal = self._principal(user, digest) if user else None
            self._remember(digest, principal)
        return principal

    def begin(self, user_id: str) -> str:
        """Write a log-in into the store and return the cookie. Waits for the store: call it in a thread."""
        secret = secrets.token_urlsafe(32)
        now = self.database.clock.utc()
        with self.database.write() as tx:
            rows.begin_session(tx, digest_of(secret), user_id, now, now + SESSION_LASTS)
        return self._signer.sign(secret).decode()

    def end(self, cookie: str) -> None:
        """End a log-in. Waits for the store."""
        if (secret := self._unsigned(cookie)) is not None:
            digest = digest_of(secret)
            with self.database.write() as tx:
                rows.end_session(tx, digest)
            self._believed.pop(digest, None)

    def forget(self) -> None:
        """Believe nothing any more: users or tokens have changed here."""
        self._believed.clear()

    def _unsigned(self, cookie: str) -> str | None:
        try:
            return self._signer.unsign(cookie).decode()
        except (itsdangerous.BadSignature, UnicodeError):
            return None

    def _csrf(self, digest: str) -> str:
        return hmac.new(self._csrf_key, digest.encode(), hashlib.sha256).hexdigest()

    def _principal(self, user: rows.UserView, digest: str) -> Principal:
        role = Role(user.role)
        drafts = hmac.new(self._drafts_key, user.id.encode(), hashlib.sha256).hexdigest()
        return Principal(
            user.id,
            SCOPES[role],
            role=role,
            agent=user.agent,
            extension=user.extension,
            language=user.language,
            csrf=self._csrf(digest),
            drafts_key=drafts,
        )

    def _find_token(self, digest: str) -> rows.TokenView | None:
        with self.database.read() as tx:
            return rows.find_token(tx, digest)

    def _find_session(self, digest: str) -> rows.UserView | None:
        now = self.database.clock.utc()
        with self.database.read() as tx:
            user = rows.session_user(tx, digest, now, now - IDLE_ENDS)
        if user is not None and time.monotonic() - self._seen.get(digest, -1e9) > SEEN_EVERY.total_seconds():
            with self.database.write() as tx:
                rows.session_seen(tx, digest, now)
            self._seen[digest] = time.monotonic()
            while len(self._seen) > MOST_BELIEVED:
                self._seen.popitem(last=False)
        return user

    def _believe(self, digest: str) -> tuple[bool, Principal | None]:
        principal, until_s = self._believed.get(digest, (None, 0.0))
        return time.monotonic() < until_s, principal

    def _remember(self, digest: str, principal: Principal | None) -> None:
        self._believed[digest] = principal, time.monotonic() + BELIEVED_S
        self._believed.move_to_end(digest)
        while len(self._believed) > MOST_BELIEVED:
            self._believed.popitem(last=False)
