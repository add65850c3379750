"""The table of what supervisors have changed while the engine runs, over what the files say.

What may be changed is `dialer_core/steering.py`'s.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from dialer_core.store.columns import Base


class Steered(Base):
    """A campaign or an agent as somebody wants it until they say otherwise."""

    __tablename__ = "steered"
    kind: Mapped[str] = mapped_column(String(8), primary_key=True)
    """`campaign` or `agent`."""
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    settings: Mapped[dict[str, Any]]
    """Only what differs from the file."""
    actor: Mapped[str] = mapped_column(String(128), default="")
    changed_at_utc: Mapped[dt.datetime]
