"""`dialer users` and `dialer tokens`: who logs in to the screens, which programs may use the API.

It owns asking for passwords and printing. The rows are `store/access.py`'s. A running dialer knows of a change within two seconds.
"""

from __future__ import annotations

import sys
from functools import partial

import click

from dialer_core.commands.invocation import Invocation, example, invocation
from dialer_core.commands.store_access import open_store
from dialer_core.errors import CommandRefusedError
from dialer_core.http.access import digest_of, new_token
from dialer_core.store import access as rows
from dialer_core.store.access import UserView
from dialer_core.web import passwords
from dialer_core.web.principals import Role, Scope
from dialer_core.web.texts import LANGUAGES
from dialer_core.web.users import check_name, check_user

ACTOR = "cli"


@click.group(epilog=example("dialer users list", "dialer users add maria --role supervisor --generate"))
def users() -> None:
    """Who logs in to the screens."""


_GENERATE = click.option(
    "--generate", is_flag=True, help="Make a password and print it once, instead of asking for one."
)
_STDIN = click.option("--password-stdin", is_flag=True, help="Read the password from the standard input.")


@users.command(
    "add",
    epilog=example(
        "dialer users add ana --role agent --agent ana --generate",
        "dialer users add maria --role supervisor --extension supervisora",
    ),
)
@click.argument("name")
@click.option(
    "--role", type=click.Choice([role.value for role in Role]), required=True, help="What they are here for."
)
@click.option("--agent", default="", help="The agent of agents.toml they are; an agent needs it.")
@click.option("--extension", default="", help="The extension of [extensions] at which a supervisor listens.")
@click.option(
    "--language",
    type=click.Choice(LANGUAGES),
    default=None,
    help="Of their screens; by default their browser's.",
)
@_GENERATE
@_STDIN
@invocation
def add_user(
    call: Invocation,
    *,
    name: str,
    role: str,
    agent: str,
    extension: str,
    language: str | None,
    generate: bool,
    password_stdin: bool,
) -> None:
    """Let somebody log in."""
    settings = call.settings
    user = UserView(id=name, role=role, agent=agent, extension=extension, language=language or "")
    check_user(user, settings)
    password = _password(name, generate=generate, from_stdin=password_stdin)
    kept = passwords.hashed(password)
    with open_store(settings) as database, database.write() as tx:
        if not rows.add_user(tx, user, kept, tx.utc(), actor=ACTOR):
            raise CommandRefusedError(
                f"there is a user {name!r} already; change them: dialer users password {name}"
            )
    call.give({"user": name, "role": role} | ({"password": password} if generate else {}))
    call.say(f"{name}: may log in as {role}" + (f", password: {password}" if generate else ""))


@users.command("list", epilog=example("dialer users list", "dialer users list --json"))
@invocation
def list_users(call: Invocation) -> None:
    """List who may log in."""
    with open_store(call.settings) as database, database.read() as tx:
        found = rows.users(tx)
    call.give(found)
    call.table(
        ("user", "role", "agent", "extension", "language", "active", "since"),
        [
            (
                u.id,
                u.role,
                u.agent,
                u.extension,
                u.language,
                "yes" if u.active else "no",
                u.created_at_utc[:10],
            )
            for u in found
        ],
    )


@users.command("disable", epilog=example("dialer users disable ana"))
@click.argument("name")
@invocation
def disable_user(call: Invocation, name: str) -> None:
    """Let somebody log in no more; their open screens end within half a minute."""
    _set_active(call, name, active=False)


@users.command("enable", epilog=example("dialer users enable ana"))
@click.argument("name")
@invocation
def enable_user(call: Invocation, name: str) -> None:
    """Let somebody log in again."""
    _set_active(call, name, active=True)


@users.command(
    "role",
    epilog=example(
        "dialer users role eva supervisor --extension supervisora", "dialer users role ana agent --agent ana"
    ),
)
@click.argument("name")
@click.argument("role", type=click.Choice([role.value for role in Role]))
@click.option("--agent", default="", help="The agent of agents.toml they are; an agent needs it.")
@click.option("--extension", default="", help="The extension of [extensions] at which a supervisor listens.")
@invocation
def change_role(call: Invocation, name: str, role: str, agent: str, extension: str) -> None:
    """Say anew what somebody is here for; they are logged out everywhere."""
    user = UserView(id=name, role=role, agent=agent, extension=extension)
    check_user(user, call.settings)
    with open_store(call.settings) as database, database.write() as tx:
        if not rows.set_role(tx, user, actor=ACTOR):
            raise _no_user(name)
    call.give({"user": name, "role": role})
    call.say(f"{name}: may log in as {role}")


@users.command("password", epilog=example("dialer users password ana --generate"))
@click.argument("name")
@_GENERATE
@_STDIN
@invocation
def change_password(call: Invocation, name: str, *, generate: bool, password_stdin: bool) -> None:
    """Change somebody's password; they are logged out everywhere."""
    password = _password(name, generate=generate, from_stdin=password_stdin)
    kept = passwords.hashed(password)
    with open_store(call.settings) as database, database.write() as tx:
        if not rows.set_password(tx, name, kept, tx.utc(), actor=ACTOR):
            raise _no_user(name)
    call.give({"user": name} | ({"password": password} if generate else {}))
    call.say(f"{name}: password changed" + (f" to: {password}" if generate else ""))


@click.group(epilog=example("dialer tokens list", "dialer tokens add crm --scope read --scope records"))
def tokens() -> None:
    """Tokens by which programs use the API."""


@tokens.command("add", epilog=example("dialer tokens add prometheus --scope read"))
@click.argument("name")
@click.option(
    "--scope", "scopes", type=click.Choice([scope.value for scope in Scope]), multiple=True, required=True,
    help="What its bearer may do; repeat for several.",
)  # fmt: skip
@invocation
def add_token(call: Invocation, name: str, scopes: tuple[str, ...]) -> None:
    """Make a token and print it, this once: only its digest is kept."""
    check_name(name)
    token = new_token()
    with open_store(call.settings) as database, database.write() as tx:
        if not rows.add_token(tx, name, digest_of(token), sorted(set(scopes)), tx.utc(), actor=ACTOR):
            raise CommandRefusedError(f"there is, or was, a token {name!r}; choose another name")
    call.give({"name": name, "token": token, "scopes": sorted(set(scopes))})
    call.say(token)


@tokens.command("list", epilog=example("dialer tokens list"))
@invocation
def list_tokens(call: Invocation) -> None:
    """List the tokens, which cannot be shown again."""
    with open_store(call.settings) as database, database.read() as tx:
        found = rows.tokens(tx)
    call.give(found)
    call.table(
        ("token", "scopes", "active", "since"),
        [(t.name, ", ".join(t.scopes), "yes" if t.active else "no", t.created_at_utc[:10]) for t in found],
    )


@tokens.command("revoke", epilog=example("dialer tokens revoke crm"))
@click.argument("name")
@invocation
def revoke_token(call: Invocation, name: str) -> None:
    """Let nobody in with a token any more."""
    with open_store(call.settings) as database, database.write() as tx:
        if not rows.revoke_token(tx, name, actor=ACTOR):
            raise CommandRefusedError(
                f"there is no token {name!r} in use; dialer tokens list names them", "unknown"
            )
    call.give({"name": name, "active": False})
    call.say(f"{name}: revoked")


def _password(name: str, *, generate: bool, from_stdin: bool) -> str:
    if generate:
        return passwords.make()
    ask = partial(click.prompt, "Password", hide_input=True, confirmation_prompt=True, err=True)
    password = sys.stdin.readline().rstrip("\n") if from_stdin else ask()
    passwords.check_new(password, name)
    return password


def _set_active(call: Invocation, name: str, *, active: bool) -> None:
    with open_store(call.settings) as database, database.write() as tx:
        if not rows.set_active(tx, name, active=active, actor=ACTOR):
            raise _no_user(name)
    call.give({"user": name, "active": active})
    call.say(f"{name}: {'may log in again' if active else 'logs in no more'}")


def _no_user(name: str) -> CommandRefusedError:
    return CommandRefusedError(f"there is no user {name!r}; dialer users list names them", "unknown")
