"""Documents as proof of an account: contracts, statements, letters, each with the checksum by which it is known to be the same one later.

It owns the files under the state folder, which hold people's data and only their owner may read, and what a document may be. The rows are
`store/documents.py`'s. A document may also lie in the customer's own archive: then its address is kept, and its checksum where they give it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import re
from pathlib import Path

from dialer_core.errors import CommandRefusedError
from dialer_core.store import documents, people
from dialer_core.store.documents import DocumentRow
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountId

FOLDER = "documents"
MOST_BYTES = 64 << 20
_NAME = re.compile(r"[a-z0-9_]{1,32}").fullmatch
_DIGEST = re.compile(r"[0-9a-f]{64}").fullmatch
_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}").fullmatch
_ADDRESS = re.compile(r"https?://[^\s/@]+(/\S*)?", re.ASCII).fullmatch
_LONGEST_TITLE = 200
_LONGEST_LOCATION = 1_000


def keep(state_dir: Path, file: Path) -> tuple[str, str]:
    """Copy a file among the documents; return (location, SHA-256). The same content again is the same file.

    Raises
    ------
    CommandRefusedError
        It cannot be read or copied, is empty, or is too large.
    """
    try:
        size = file.stat().st_size
        if not 0 < size <= MOST_BYTES:
            raise CommandRefusedError(f"{file}: a document has 1 byte to {MOST_BYTES >> 20} MiB")
        content = file.read_bytes()
    except OSError as error:
        raise CommandRefusedError(f"{file}: cannot be kept: {error.strerror}") from error
    return keep_content(state_dir, content, file.suffix.lower())


def keep_content(state_dir: Path, content: bytes, suffix: str) -> tuple[str, str]:
    """Write a document's content among the others; the rest is `keep`'s. `suffix`: `.jpg`; one that is no suffix is left out."""
    if not 0 < len(content) <= MOST_BYTES:
        raise CommandRefusedError(f"a document has 1 byte to {MOST_BYTES >> 20} MiB")
    digest = hashlib.sha256(content).hexdigest()
    suffix = suffix if _SUFFIX(suffix) else ""
    try:
        kept = state_dir / FOLDER / f"{digest}{suffix}"
        kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = kept.with_name(f"{kept.name}.{os.getpid()}")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(kept)
    except OSError as error:
        raise CommandRefusedError(f"the document cannot be kept: {error.strerror}") from error
    return f"{FOLDER}/{kept.name}", digest


def add_once(
    tx: Tx, *, account_id: AccountId, kind: str, title: str, location: str, sha256: str, actor: str, now: dt.datetime
) -> DocumentRow:  # fmt: skip
    """Link a document to an account, unless it has one of this kind with the same content: then that one is returned. Errors as `add`."""
    for one in documents.of(tx, [account_id]):
        if (one.kind, one.sha256) == (kind, sha256):
            return one
    return add(
        tx, account_id=account_id, kind=kind, title=title, location=location, sha256=sha256, actor=actor, now=now
    )  # fmt: skip


def add(
    tx: Tx,
    *,
    account_id: AccountId,
    kind: str,
    title: str,
    location: str,
    sha256: str | None,
    actor: str,
    now: dt.datetime,
) -> DocumentRow:
    """Link a document to an account.

    Raises
    ------
    CommandRefusedError
        There is no such account (`unknown`), or this is no document (`invalid`).
    """
    if people.account(tx, account_id) is None:
        raise CommandRefusedError("there is no such account", "unknown")
    problems = {
        "kind: one word in lower case, such as contract, statement or agreement": not _NAME(kind),
        f"title: 1 to {_LONGEST_TITLE} characters": not 0 < len(title) <= _LONGEST_TITLE,
        f"location: where it lies, in up to {_LONGEST_LOCATION} characters": not 0
        < len(location)
        <= _LONGEST_LOCATION,
        "location: a file kept here, or an address that begins with https:// or http://": not is_kept(
            location
        )
        and not _ADDRESS(location),
        "sha256: 64 hexadecimal digits": sha256 is not None and not _DIGEST(sha256),
    }
    if problem := next((text for text, wrong in problems.items() if wrong), ""):
        raise CommandRefusedError(problem, "invalid")
    return documents.add(
        tx, account_id, kind=kind, title=title, location=location, sha256=sha256, actor=actor, at_utc=now
    )


def is_kept(location: str) -> bool:
    """Say whether a document's file lies here."""
    folder, _, name = location.partition("/")
    return folder == FOLDER and bool(name) and "/" not in name and not name.startswith(".")


def address(row: DocumentRow) -> str | None:
    """Return where a document of the customer's own archive is opened: a web address and nothing that a browser would run; None: it lies here."""
    return row.location if _ADDRESS(row.location) else None


def content(state_dir: Path, row: DocumentRow) -> bytes:
    """Return a kept document.

    Raises
    ------
    CommandRefusedError
        It lies elsewhere, is gone, or is not the one it was.
    """
    if not is_kept(row.location):
        raise CommandRefusedError("this document lies in another archive; its location says where")
    try:
        found = (state_dir / row.location).read_bytes()
    except OSError as error:
        raise CommandRefusedError(f"this document cannot be read here: {error.strerror}") from error
    if hashlib.sha256(found).hexdigest() != row.sha256:
        raise CommandRefusedError("this document is not the one it was: its checksum is another")
    return found
