"""Legs kept ready for the next calls that come in: opened in the media plane, and named to the workers that take calls.

It owns them until a call takes one. Calls are `inbound.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable

from dialer_core.ipc.messages import CloseLeg, Expect, ExpectedLeg, LegOpened, OpenLeg
from dialer_core.lines import INBOUND_WORKER_PREFIX, MediaPort, WorkerPool
from dialer_core.vocabulary import LegId, LegKind, SrtpUse, WorkerId, new_id


class ReadyLegs:
    """The legs for the next calls.

    Parameters
    ----------
    srtp
        Of every one: by which trunk a call comes is known only when it is there.
    free
        Whether calls are taken at all: not while the node drains, or its media plane is away.
    """

    def __init__(
        self, workers: WorkerPool, media: MediaPort, *, srtp: SrtpUse, free: Callable[[], bool]
    ) -> None:
        self._workers = workers
        self._media = media
        self._srtp = srtp
        self._free = free
        self._expected: dict[LegId, tuple[WorkerId, ExpectedLeg | None]] = {}
        """By leg, the worker it is meant for; no leg yet while the media plane makes room."""

    def __contains__(self, leg_id: LegId) -> bool:
        return leg_id in self._expected

    def take(self, leg_id: LegId) -> ExpectedLeg | None:
        """Let a call have its leg; None where it is not there any more."""
        return self._expected.pop(leg_id, (None, None))[1]

    def prepare(self) -> None:
        """Keep a leg ready for each free slot of the workers that take calls; none while calls are not taken."""
        if not self._free():
            self.forget()
            return
        for worker in self._workers.workers.values():
            if not worker.id.startswith(INBOUND_WORKER_PREFIX) or not worker.ready:
                continue
            ready = sum(name == worker.id for name, _ in self._expected.values())
            for _ in range(worker.free - ready):
                leg_id = LegId(new_id())
                self._expected[leg_id] = (worker.id, None)
                self._media.send(OpenLeg(leg_id=leg_id, kind=LegKind.CUSTOMER))

    def opened(self, opened: LegOpened) -> None:
        """Tell the worker of a leg that the media plane has opened."""
        worker, _ = self._expected.get(opened.leg_id, (None, None))
        if worker is None or not opened.port:
            self._expected.pop(opened.leg_id, None)
            return
        leg = ExpectedLeg(
            leg_id=opened.leg_id, media_host=opened.host, media_port=opened.port, srtp=self._srtp
        )
        self._expected[leg.leg_id] = (worker, leg)
        self._tell(worker)

    def _tell(self, worker: WorkerId) -> None:
        legs = tuple(leg for name, leg in self._expected.values() if name == worker and leg is not None)
        self._workers.send(worker, Expect(legs=legs))

    def forget(self, legs: set[LegId] | None = None) -> None:
        """Close these, or (None) all."""
        legs = set(self._expected) if legs is None else legs
        workers = {self._expected.pop(leg_id)[0] for leg_id in legs}
        for leg_id in legs:
            self._media.send(CloseLeg(leg_id=leg_id))
        for worker in workers:
            self._tell(worker)

    def worker_lost(self, worker: WorkerId) -> None:
        """Close those of a worker that is gone."""
        self.forget({leg_id for leg_id, (name, _) in self._expected.items() if name == worker})
