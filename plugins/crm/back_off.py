"""How long to wait for a CRM that is away: longer each time, never in step with others, and as it asks itself. It owns no clock."""

from __future__ import annotations

import random
from typing import Final

from plugins.crm.connector import CrmError

_FIRST_S: Final = 0.5


class BackOff:
    """Waits of one connection.

    Parameters
    ----------
    most_s
        The longest wait, also where a CRM asks for a longer one.
    """

    def __init__(self, most_s: float) -> None:
        self._most_s = most_s
        self.tries = 0

    def next_s(self, error: CrmError | None = None) -> float:
        """Return how long to wait now."""
        grown = min(self._most_s, _FIRST_S * 2.0 ** min(self.tries, 20))
        self.tries += 1
        asked = getattr(error, "retry_after_s", None)
        return min(self._most_s, asked) if asked is not None else grown * random.uniform(0.5, 1.0)

    def over(self) -> None:
        """Begin anew: it is there."""
        self.tries = 0
