"""Photos as evidence of a visit: what a photo may be, and that it is kept once, under its checksum, with the account's documents.

It owns that check. The files are the core's (`engine.contacts.keep_document`).
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Final

from dialer_core.plugin_api import AccountId, CommandRefusedError, EngineHandle
from plugins.field_visits.settings import FieldVisitSettings
from plugins.field_visits.visits import Book

MOST_BYTES: Final = 1_000_000
"""The page makes them smaller than this, and without what a camera writes into them."""
KINDS: Final = {b"\xff\xd8\xff": ".jpg", b"\x89PNG\r\n\x1a\n": ".png"}
"""How a file of each kind begins."""
DOCUMENT: Final = "visit_photo"


async def keep(
    engine: EngineHandle, its: FieldVisitSettings, visitor: str, visit_id: str, photo_id: str, content: bytes, sha256: str, title: str
) -> dict[str, Any]:  # fmt: skip
    """Keep a photo of a visit; told again, it is known.

    Raises
    ------
    CommandRefusedError
        It is no photo, not the one that was taken, one too many, or the visit is somebody else's.
    """
    suffix = next((kind for begin, kind in KINDS.items() if content.startswith(begin)), "")
    if not suffix:
        raise CommandRefusedError("this is no photo: JPEG and PNG are", "invalid")
    if len(content) > MOST_BYTES:
        raise CommandRefusedError(f"a photo has {MOST_BYTES} bytes at most", "invalid")
    if not hmac.compare_digest(hashlib.sha256(content).hexdigest().encode(), sha256.lower().encode()):
        raise CommandRefusedError(
            "the photo is not the one that was sent: its checksum is another", "invalid"
        )
    book = Book(engine, its)
    visit = await book.get(visit_id)
    if visitor not in (visit.visitor, *visit.had):
        raise CommandRefusedError("you have no such visit", "unknown")
    known = await engine.store.get(f"photo/{photo_id}")
    if known is not None:
        if (known["visit"], known["sha256"]) != (visit_id, sha256.lower()):
            raise CommandRefusedError("there is another photo under this id")
        return {"id": photo_id, "status": "known", "document": known["document"]}
    if len(visit.photos) >= its.most_photos:
        raise CommandRefusedError(f"a visit has {its.most_photos} photos at most", "invalid")
    made = await engine.acting_as(f"user:{visitor}").contacts.keep_document(
        AccountId(visit.account), kind=DOCUMENT, title=title, content=content, suffix=suffix
    )
    if made.id not in visit.photos:
        visit.photos.append(made.id)
        await book.put(visit)
    await engine.store.put(
        f"photo/{photo_id}", {"visit": visit_id, "document": made.id, "sha256": sha256.lower()}
    )
    return {"id": photo_id, "status": "taken", "document": made.id}
