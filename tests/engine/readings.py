"""What the virtual floor's store holds, and that it breaks no invariant."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from dialer_core.store import models
from dialer_core.verify import verify_store
from tests.engine.virtual import Floor


def attempts(floor: Floor) -> list[Any]:
    """Return every attempt's row, the oldest first."""
    with floor.database.read() as tx:
        return list(tx.execute(select(models.Attempt.__table__).order_by(models.Attempt.id)))


def event_names(floor: Floor) -> list[str]:
    """Return the names of the event log, in order."""
    with floor.database.read() as tx:
        table = models.EventRow
        return list(tx.scalars(select(table.name).where(table.source == "engine").order_by(table.seq)))


def verified(floor: Floor) -> None:
    """Fail with every violated invariant."""
    report = verify_store(floor.database, packs=floor.packs, now=floor.clock.utc())
    assert not report.violations, "\n".join(str(violation) for violation in report.violations)
