"""The table of message parts: a long text goes to its provider in several, and each has an id and a receipt of its own.

It owns the rows. What a receipt does to a message is `messaging/outbox.py`'s.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Table, bindparam, delete, insert, select, update

from dialer_core.store.message_models import Message, MessagePart
from dialer_core.store.prepared import Prepared
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import Channel, MessageId

_TABLE: Table = MessagePart.__table__  # type: ignore[assignment]
_MESSAGE: Table = Message.__table__  # type: ignore[assignment]
_INSERT = Prepared(insert(_TABLE))
_OF = Prepared(
    select(_TABLE.c.provider_id, _TABLE.c.message_id, _MESSAGE.c.provider_id.label("whole"))
    .join(_MESSAGE, _MESSAGE.c.id == _TABLE.c.message_id)
    .where(
        _TABLE.c.channel == bindparam("by"), _TABLE.c.provider_id.in_(bindparam("numbers", expanding=True))
    )
)


def add(tx: Tx, channel: Channel, message_id: MessageId, provider_ids: Sequence[str]) -> None:
    """Write the parts that a message went out in."""
    tx.execute(
        _INSERT,
        [
            {"channel": channel.value, "provider_id": one, "message_id": message_id, "delivered": False}
            for one in dict.fromkeys(provider_ids)
        ],
    )


def of(tx: Tx, channel: Channel, provider_ids: Collection[str]) -> dict[str, tuple[MessageId, str]]:
    """Return, of these ids, those that are of parts: the message, and the provider's id that it goes by as a whole."""
    if not provider_ids:
        return {}
    found = tx.execute(_OF, {"by": channel.value, "numbers": list(provider_ids)})
    return {one.provider_id: (MessageId(one.message_id), one.whole) for one in found}


def arrived(tx: Tx, channel: Channel, message_id: MessageId, provider_id: str) -> bool:
    """Note that a part arrived; return whether all of its message have now: they are forgotten then."""
    tx.execute(
        update(_TABLE)
        .where(_TABLE.c.channel == channel.value, _TABLE.c.provider_id == provider_id)
        .values(delivered=True)
    )
    left = select(_TABLE.c.provider_id).where(
        _TABLE.c.message_id == message_id, _TABLE.c.delivered.is_(False)
    )
    if tx.scalar(left.limit(1)) is not None:
        return False
    tx.execute(delete(_TABLE).where(_TABLE.c.message_id == message_id))
    return True
