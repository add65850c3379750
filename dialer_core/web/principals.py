"""Who asks, and what they may do: roles of people, scopes of routes.

It owns the words and the mapping from role to scopes. Who somebody is, `http/access.py` finds out. It imports nothing of the
web framework: the command line uses it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dialer_core.vocabulary import Role, Scope

SCOPES: Mapping[Role, frozenset[Scope]] = {
    Role.ADMIN: frozenset(Scope),
    Role.SUPERVISOR: frozenset({Scope.READ, Scope.CONTROL, Scope.RECORDS}),
    Role.AGENT: frozenset({Scope.DESK}),
    Role.VISITOR: frozenset({Scope.VISITS}),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks."""

    name: str
    scopes: frozenset[Scope]
    role: Role | None = None
    """Of somebody who has logged in; None: a program with a token."""
    agent: str = ""
    """The agent of `agents.toml` that somebody at a desk is."""
    extension: str = ""
    """The extension of `[extensions]` at which a supervisor listens."""
    language: str = ""
    """In which they want their screens: `es` or `en`; empty: as their browser says."""
    csrf: str = ""
    """What their pages must send with each change, so that another site cannot make it; a token needs none."""

    drafts_key: str = ""
    """Of a user: with it their pages lock what waits in the browser, so that who sits there next cannot read it."""

    @property
    def actor(self) -> str:
        """Who acts, as commands and the audit name it."""
        return f"user:{self.name}" if self.role else f"api:{self.name}"


__all__ = ["SCOPES", "Principal", "Role", "Scope"]
