"""What may be told of each thing that goes out: the places of a mapping's texts. How they are filled is `facts.py`'s."""

from __future__ import annotations

import re
from typing import Final, Literal

What = Literal["interaction", "disposition", "promise"]
PLACE: Final = re.compile(r"\{([a-z_]+)\}")
_ALL: Final = ("id", "key", "at", "account", "portfolio", "campaign", "agent")
"""Our id of the thing, the key of what is told (an event's id), when it happened, the CRM's own id of the account, …"""
FACTS: Final[dict[What, tuple[str, ...]]] = {
    "interaction": (*_ALL, "channel", "direction", "outcome", "verdict", "disposition", "reason", "seconds", "template"),
    "disposition": (*_ALL, "direction", "disposition", "reason"),
    "promise": (*_ALL, "kind", "state", "amount", "currency", "paid", "first_due", "last_due", "instalments", "made_at", "settled_at"),
}  # fmt: skip
