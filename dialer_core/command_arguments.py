"""The arguments of commands: taking them out, and what is wrong with them.

It owns how a mistake in a command is told. What commands do is `control.py`'s and `voice_control.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from dialer_core.call_loop import CallLoop
from dialer_core.vocabulary import AgentId

Args = dict[str, Any]
Command = Callable[[Args], Any]
ACTOR: Final = "actor"
"""Key under which every command finds who gave it."""


class UnknownError(Exception):
    """The thing named in a command does not exist."""


class InvalidError(Exception):
    """An argument is missing or not allowed."""


def text_of(args: Args, key: str, default: str | None = None) -> str:
    """Return a text among the arguments, cut at 200 characters.

    Raises
    ------
    InvalidError
        It is missing, and there is no default; or it is no text.
    """
    value = args.get(key, default)
    if not isinstance(value, str) or (default is None and not value):
        raise InvalidError(f"{key} is missing; it must be a text")
    return value[:200]


def seconds_of(args: Args, key: str) -> float:
    """Return a number of seconds above 0; raises as `text_of`."""
    value = args.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 86_400:
        raise InvalidError(f"{key} is missing; it must be a number of seconds above 0")
    return float(value)


def agent_of(engine: CallLoop, args: Args) -> AgentId:
    """Return the agent named; raises `UnknownError` naming the known ones."""
    name = AgentId(text_of(args, "agent"))
    if name not in engine.roster.agents:
        known = ", ".join(sorted(engine.roster.agents)) or "none"
        raise UnknownError(f"no agent {name!r}; known are: {known}")
    return name
