"""Passwords: how they are kept, checked and judged.

It owns the hashing (argon2id, RFC 9106's second recommendation) and what a password must be. It owns no user.
"""

from __future__ import annotations

import secrets
import unicodedata

import argon2

from dialer_core.errors import CommandRefusedError

MIN_CHARS, MAX_CHARS = 12, 128
_HASHER = argon2.PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=2)
_NOBODY = _HASHER.hash(secrets.token_hex())
"""Checked against where there is no such user, so that the answer takes as long."""
_GUESSED_FIRST = (
    "password", "contrasena", "contraseña", "qwerty", "123456", "abc123", "letmein", "iloveyou", "teamo", "mexico", "america",
    "admin", "welcome", "bienvenido", "marcador", "dialer", "cobranza", "supervisor", "agente",
)  # fmt: skip


def _same(password: str) -> str:
    """Return the password in the one form that is hashed: the same letters typed on two keyboards are the same."""
    return unicodedata.normalize("NFKC", password)


def check_new(password: str, user: str) -> None:
    """Say what is wrong with a new password.

    Raises
    ------
    CommandRefusedError
        Too short, too long, or what is guessed first.
    """
    text = _same(password)
    if not MIN_CHARS <= len(text) <= MAX_CHARS:
        raise CommandRefusedError(
            f"a password has {MIN_CHARS} to {MAX_CHARS} characters; any are allowed", "invalid"
        )
    left = text.casefold().replace(user.casefold(), "")
    for word in _GUESSED_FIRST:
        left = left.replace(word, "")
    if len(set(text)) < 5 or len(left) < MIN_CHARS // 2:
        raise CommandRefusedError(
            "this password is among those guessed first: a name or a common word with little beside it",
            "invalid",
        )


def make() -> str:
    """Return a password that nobody guesses and that can be read out: five groups of four letters and digits."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(letters) for _ in range(4)) for _ in range(5))


def hashed(password: str) -> str:
    """Return what is kept of a password. Takes some 50 ms of one core and 64 MB: never on a loop that has else to do."""
    return _HASHER.hash(_same(password))


def matches(kept: str | None, password: str) -> bool:
    """Say whether this is the password; takes the same time where there is no such user (`kept` None)."""
    try:
        right = _HASHER.verify(kept or _NOBODY, _same(password)[: MAX_CHARS + 1])
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False
    return bool(right) and kept is not None
