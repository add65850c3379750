"""Packets of all legs together, those that are closed included. It counts nothing itself: each leg does."""

from __future__ import annotations

from collections.abc import Iterable

from dialer_core.ipc.messages import LegStatistics
from dialer_core.media.leg import Leg

_SUMMED = ("rx_packets", "rx_lost", "rx_overrun", "tx_packets", "tx_failed")


class Traffic:
    """Running totals."""

    def __init__(self) -> None:
        self._closed = dict.fromkeys(_SUMMED, 0)

    def add(self, totals: LegStatistics) -> None:
        """Keep the totals of a leg that closes."""
        for name in _SUMMED:
            self._closed[name] += getattr(totals, name)

    def with_legs(self, legs: Iterable[Leg]) -> dict[str, int]:
        """Return the totals by name, `legs` (the open ones) included."""
        totals = dict(self._closed)
        for leg in legs:
            heard = leg.statistics
            totals["rx_packets"] += heard.received
            totals["rx_lost"] += heard.lost
            totals["rx_overrun"] += leg.sockets.overrun()
            totals["tx_packets"] += leg.stream.packets - leg.send_failed
            totals["tx_failed"] += leg.send_failed
        return totals
