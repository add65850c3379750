"""What a user and a token must be, whoever makes them: the command line or the API.

It owns these checks. The rows are `store/access.py`'s, passwords `passwords.py`'s.
"""

from __future__ import annotations

from dialer_core.errors import CommandRefusedError
from dialer_core.settings import Settings
from dialer_core.store.access import UserView
from dialer_core.web.principals import Role
from dialer_core.web.texts import LANGUAGES

LONGEST_NAME = 64
_NAME = f"letters, digits, '-', '_', '.' and '@', {LONGEST_NAME} at most"


def check_name(name: str) -> None:
    """Refuse what is no name of a user or a token."""
    if not 0 < len(name) <= LONGEST_NAME or not all(c.isalnum() or c in "-_.@" for c in name):
        raise CommandRefusedError(f"{name!r} is no name: {_NAME}", "invalid")


def check_user(user: UserView, settings: Settings) -> None:
    """Refuse a user whose agent or extension is not in the configuration, or who needs one.

    Raises
    ------
    CommandRefusedError
        Says what is wrong (`invalid`).
    """
    check_name(user.id)
    if user.agent and user.agent not in settings.agents:
        known = ", ".join(sorted(settings.agents)) or "none"
        raise CommandRefusedError(
            f"agent: {user.agent!r} is not in agents.toml; known are: {known}", "invalid"
        )
    if user.role == Role.AGENT and not user.agent:
        raise CommandRefusedError(
            "agent: an agent's user needs to know which agent of agents.toml they are", "invalid"
        )
    if user.extension and user.extension not in settings.dialer.extensions:
        known = ", ".join(sorted(settings.dialer.extensions)) or "none"
        raise CommandRefusedError(
            f"extension: {user.extension!r} is not in [extensions] of dialer.toml; known are: {known}",
            "invalid",
        )
    if user.language not in ("", *LANGUAGES):
        raise CommandRefusedError(f"language: one of {', '.join(LANGUAGES)}", "invalid")
