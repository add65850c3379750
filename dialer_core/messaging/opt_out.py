"""Words by which people ask to be left alone, in Spanish and English.

It owns the words and how an answer is compared with them. What an opt-out does is `inbound.py`'s.
"""

from __future__ import annotations

import re
import unicodedata

WORDS = frozenset(
    [
        "baja",
        "alto",
        "stop",
        "stopall",
        "unsubscribe",
        "cancelar",
        "cancel",
        "end",
        "quit",
        "salir",
        "parar",
        "detener",
        "remover",
    ]
)
"""One of these alone is an opt-out."""
PHRASES = (
    "no me escriban", "no escriban", "no me manden", "no molestar", "no molesten", "dar de baja", "dame de baja", "denme de baja",
    "darme de baja", "quitenme", "no mas mensajes", "opt out", "remove me", "stop texting", "do not text", "dont text",
    "do not contact", "no more messages",
)  # fmt: skip
"""One of these anywhere in a short answer is an opt-out."""
LONGEST_ANSWER = 60
"""Characters: somebody who writes more is heard by a person, who may restrict the channel with two keys."""
_POLITE = frozenset(["por", "favor", "please", "gracias", "thanks", "thank", "you"])


def normalised(text: str) -> str:
    """Return a text as it is compared: small letters without accents, words separated by one space."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    return re.sub(r"[^a-z0-9]+", " ", plain.replace("'", "").replace("\u2019", "")).strip()


def is_opt_out(text: str) -> bool:
    """Say whether an answer asks for no more messages.

    An answer that is one of the words, with or without courtesy, or a short one with a phrase. In doubt it is none: a person reads it.
    """
    plain = normalised(text)
    if not plain or len(plain) > LONGEST_ANSWER:
        return False
    return _is_word(plain) or any(f" {phrase} " in f" {plain} " for phrase in PHRASES)


def asked_in(subject: str, text: str) -> bool:
    """Say whether a text asks for no more, or the subject of an e-mail does.

    One of the words alone on the first line is enough, whatever follows: a signature, or what a mail program puts below it.
    """
    first = text.strip().partition("\n")[0]
    return is_opt_out(text) or is_opt_out(subject) or _is_word(normalised(first[: 2 * LONGEST_ANSWER]))


def _is_word(plain: str) -> bool:
    words = [word for word in plain.split() if word not in _POLITE]
    return len(words) == 1 and words[0] in WORDS


def offers(text: str) -> bool:
    """Say whether a message tells how to opt out: it holds one of the words (`BAJA`, `STOP`) in capitals, as something to be answered."""
    return any(word.casefold() in WORDS for word in re.findall(r"\b[A-Z]{3,}\b", text))
