"""The web_user, web_session and api_token tables: who may log in, who is logged in, which programs have a token.

It owns the rows and what ends with what: a changed password, a user disabled end their sessions. Neither passwords nor the secrets of
sessions and tokens come here, only what is kept of them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Table, delete, insert, select, true, update

from dialer_core.store.access_models import ApiToken, WebSession, WebUser
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import new_id

_USER: Table = WebUser.__table__  # type: ignore[assignment]
_SESSION: Table = WebSession.__table__  # type: ignore[assignment]
_TOKEN: Table = ApiToken.__table__  # type: ignore[assignment]


class UserView(msgspec.Struct, frozen=True, kw_only=True):
    """A user as screens and programs see one."""

    id: str
    role: str
    agent: str = ""
    extension: str = ""
    language: str = ""
    active: bool = True
    created_at_utc: str = ""


class TokenView(msgspec.Struct, frozen=True, kw_only=True):
    """A token as screens and programs see one: never the token."""

    name: str
    scopes: tuple[str, ...]
    active: bool
    created_at_utc: str


def add_user(tx: Tx, user: UserView, password_hash: str, at_utc: dt.datetime, *, actor: str = "") -> bool:
    """Write a user; False where there is one of this name."""
    if find_user(tx, user.id) is not None:
        return False
    tx.execute(
        insert(_USER),
        {
            "id": user.id, "role": user.role, "password_hash": password_hash, "agent_id": user.agent or None,
            "extension": user.extension or None, "language": user.language, "active": True, "created_at_utc": at_utc,
            "password_at_utc": at_utc,
        },
    )  # fmt: skip
    tx.audit("user.added", f"user {user.id}", actor=actor, role=user.role)
    return True


def find_user(tx: Tx, user_id: str) -> UserView | None:
    """Return a user, or None."""
    row = tx.execute(select(_USER).where(_USER.c.id == user_id)).first()
    return None if row is None else _user(row)


def users(tx: Tx) -> list[UserView]:
    """Return every user, by name."""
    return [_user(row) for row in tx.execute(select(_USER).order_by(_USER.c.id))]


def password_hash(tx: Tx, user_id: str) -> str | None:
    """Return what is kept of the password of a user who may log in, or None."""
    found: str | None = tx.scalar(
        select(_USER.c.password_hash).where(_USER.c.id == user_id, _USER.c.active == true())
    )
    return found


def set_password(tx: Tx, user_id: str, kept: str, at_utc: dt.datetime, *, actor: str = "") -> bool:
    """Change a password and end the user's sessions; False where there is no such user."""
    values = {"password_hash": kept, "password_at_utc": at_utc}
    return _change_user(tx, user_id, values, "user.password_changed", actor)


def set_role(tx: Tx, user: UserView, *, actor: str = "") -> bool:
    """Say anew what a user is here for, which agent and extension are theirs; it ends their sessions. False where there is no such user."""
    values = {"role": user.role, "agent_id": user.agent or None, "extension": user.extension or None}
    return _change_user(tx, user.id, values, "user.role_changed", actor)


def set_active(tx: Tx, user_id: str, *, active: bool, actor: str = "") -> bool:
    """Let a user log in, or not any more, which ends their sessions; False where there is no such user."""
    return _change_user(tx, user_id, {"active": active}, "user.enabled" if active else "user.disabled", actor)


def _change_user(tx: Tx, user_id: str, values: dict[str, Any], action: str, actor: str) -> bool:
    if not tx.execute(update(_USER).where(_USER.c.id == user_id).values(**values)).rowcount:
        return False
    tx.execute(delete(_SESSION).where(_SESSION.c.user_id == user_id))
    tx.audit(action, f"user {user_id}", actor=actor)
    return True


def begin_session(tx: Tx, digest: str, user_id: str, at_utc: dt.datetime, until_utc: dt.datetime) -> None:
    """Write a log-in, and forget those that are over."""
    tx.execute(delete(_SESSION).where(_SESSION.c.until_utc < at_utc))
    tx.execute(
        insert(_SESSION),
        {
            "digest": digest,
            "user_id": user_id,
            "began_at_utc": at_utc,
            "seen_at_utc": at_utc,
            "until_utc": until_utc,
        },
    )
    tx.audit("session.began", f"user {user_id}", actor=f"user:{user_id}")


def session_user(tx: Tx, digest: str, now_utc: dt.datetime, idle_since_utc: dt.datetime) -> UserView | None:
    """Return whose session this is, where it has not ended, was seen since then, and its user may log in."""
    query = (
        select(_USER)
        .join(_SESSION, _SESSION.c.user_id == _USER.c.id)
        .where(
            _SESSION.c.digest == digest, _SESSION.c.until_utc > now_utc, _SESSION.c.seen_at_utc > idle_since_utc,
            _USER.c.active == true(),
        )
    )  # fmt: skip
    row = tx.execute(query).first()
    return None if row is None else _user(row)


def session_seen(tx: Tx, digest: str, at_utc: dt.datetime) -> None:
    """Note that a session is in use."""
    tx.execute(update(_SESSION).where(_SESSION.c.digest == digest).values(seen_at_utc=at_utc))


def end_session(tx: Tx, digest: str) -> None:
    """End a log-in. Harmless where it has ended."""
    tx.execute(delete(_SESSION).where(_SESSION.c.digest == digest))


def add_token(
    tx: Tx, name: str, digest: str, scopes: Sequence[str], at_utc: dt.datetime, *, actor: str = ""
) -> bool:
    """Write a token; False where there is one of this name, in use or revoked."""
    if tx.scalar(select(_TOKEN.c.id).where(_TOKEN.c.name == name)) is not None:
        return False
    row = {"id": new_id(), "name": name, "digest": digest, "scopes": " ".join(scopes), "active": True}
    tx.execute(insert(_TOKEN), row | {"created_at_utc": at_utc})
    tx.audit("token.added", f"token {name}", actor=actor, scopes=list(scopes))
    return True


def find_token(tx: Tx, digest: str) -> TokenView | None:
    """Return the token in use that has this digest, or None."""
    row = tx.execute(select(_TOKEN).where(_TOKEN.c.digest == digest, _TOKEN.c.active == true())).first()
    return None if row is None else _token(row)


def tokens(tx: Tx) -> list[TokenView]:
    """Return every token, by name."""
    return [_token(row) for row in tx.execute(select(_TOKEN).order_by(_TOKEN.c.name))]


def revoke_token(tx: Tx, name: str, *, actor: str = "") -> bool:
    """Let nobody in with a token any more; False where none in use has this name."""
    statement = update(_TOKEN).where(_TOKEN.c.name == name, _TOKEN.c.active == true()).values(active=False)
    if not tx.execute(statement).rowcount:
        return False
    tx.audit("token.revoked", f"token {name}", actor=actor)
    return True


def _user(row: Any) -> UserView:
    return UserView(
        id=row.id, role=row.role, agent=row.agent_id or "", extension=row.extension or "", language=row.language,
        active=row.active, created_at_utc=row.created_at_utc.isoformat(),
    )  # fmt: skip


def _token(row: Any) -> TokenView:
    return TokenView(
        name=row.name,
        scopes=tuple(row.scopes.split()),
        active=row.active,
        created_at_utc=row.created_at_utc.isoformat(),
    )
