"""Legs to extensions: called for one purpose, a transfer or a supervisor, and ended with it.

It owns these legs from the wish to call to their end. What they are for is told by whoever called, through two callbacks; whom they hear is not
decided here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec
import structlog

from dialer_core.agents.softphones import connect_command
from dialer_core.calls.attempt import Attempt
from dialer_core.ipc.messages import (
    Attend,
    CloseLeg,
    Dialog,
    Hangup,
    LegAnswered,
    LegClosed,
    LegConnectedLine,
    LegEnded,
    LegNegotiated,
    LegOpened,
    LegRtpLost,
    LegSent,
    LegSnapshot,
    MediaEvent,
    MediaLegSnapshot,
    OpenLeg,
    Place,
    SipIdentity,
    WorkerEvent,
)
from dialer_core.lines import MediaPort, WorkerPool
from dialer_core.runtime import Runtime
from dialer_core.store import legs as leg_rows
from dialer_core.vocabulary import LegId, LegKind, LegPurpose, WorkerId, new_id
from dialer_core.voice_settings import ExtensionSettings

log = structlog.get_logger(__name__)

SETUP_MARGIN_S = 10.0
"""Beyond its ring limit, from the wish to call it to its answer or its end (I6): the worker's own limit acts first."""


@dataclass(slots=True)
class _Line:
    """One leg to one extension."""

    name: str
    settings: ExtensionSettings
    purpose: LegPurpose
    about: str
    on_up: Callable[[], None]
    on_gone: Callable[[int], None]
    on_line: Callable[[str], None]
    media_port: int = 0
    worker: WorkerId | None = None
    dialog: Dialog | None = None
    negotiated: LegNegotiated | None = None
    setup: asyncio.TimerHandle | None = None
    headers: dict[str, str] = field(default_factory=dict)
    up: bool = False


class Extensions:
    """The legs to extensions."""

    def __init__(
        self,
        runtime: Runtime,
        settings: Mapping[str, ExtensionSettings],
        workers: WorkerPool,
        media: MediaPort,
        *,
        sip_host: str,
    ) -> None:
        self._runtime = runtime
        self.settings = settings
        self._workers = workers
        self._media = media
        self._sip_host = sip_host
        self._lines: dict[LegId, _Line] = {}
        self.on_orphan: Callable[[Dialog], None] = lambda _dialog: None
        """Called with the dialog of a leg whose worker is gone."""

    def owns(self, leg_id: LegId) -> bool:
        """Whether this leg is an extension's."""
        return leg_id in self._lines

    def call(
        self,
        name: str,
        purpose: LegPurpose,
        about: str = "",
        *,
        on_up: Callable[[], None],
        on_gone: Callable[[int], None],
        on_line: Callable[[str], None] = lambda _user: None,
        customer: Attempt | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> LegId:
        """Call an extension; return its leg.

        Parameters
        ----------
        name
            One of `settings`.
        purpose, about
            What for, and whose id: the next engine goes on with it by these.
        on_up
            Called when it has answered.
        on_gone
            Called once, with the final SIP code, when the leg is over by anything but `hang_up`.
        on_line
            Called with the user part of whom the PBX has connected it to, when it says so after the answer.
        customer
            For whom it is called: its INVITE says so in the ways its settings ask for.
        headers
            Of its INVITE, besides.
        """
        leg_id = LegId(new_id())
        line = _Line(name, self.settings[name], purpose, about, on_up, on_gone, on_line)
        self._lines[leg_id] = line
        if customer is not None:
            line.headers = told_headers(line.settings, customer, self._sip_host)
        line.headers |= headers or {}
        self._run_setup(leg_id, line)
        self._media.send(OpenLeg(leg_id=leg_id, kind=LegKind.EXTENSION))
        return leg_id

    def adopt(
        self,
        worker: WorkerId,
        leg: LegSnapshot,
        *,
        stored: bool,
        on_up: Callable[[], None],
        on_gone: Callable[[int], None],
    ) -> None:
        """Go on with a former engine's leg; what the media plane lacks of it is ordered by `bring_in_line`.

        Parameters
        ----------
        worker, leg
            Who holds it, and what it says of it: its owner is one of `settings`, its purpose is known.
        stored
            Whether it has its row.
        on_up, on_gone
            As for `call`; a leg that is up already does not say so again.
        """
        assert leg.purpose is not None  # noqa: S101 - whoever adopts it has looked
        line = self._lines[leg.leg_id] = _Line(
            leg.owner, self.settings[leg.owner], leg.purpose, leg.about, on_up, on_gone, lambda _user: None,
            media_port=leg.media_port, worker=worker, negotiated=leg.negotiated,
        )  # fmt: skip
        log.info(
            "extension_adopted",
            leg_id=leg.leg_id,
            extension=leg.owner,
            purpose=leg.purpose,
            up=bool(leg.dialog),
        )
        if not stored:
            self._store_leg(leg.leg_id, line)
        if leg.dialog is None:
            self._run_setup(leg.leg_id, line)
        else:
            self._up(leg.leg_id, line, leg.dialog)

    def _run_setup(self, leg_id: LegId, line: _Line) -> None:
        limit_s = line.settings.ring_limit_s + SETUP_MARGIN_S
        line.setup = self._runtime.later(limit_s, lambda: self._gone(leg_id, 408, hangup=True))

    def hang_up(self, leg_id: LegId) -> None:
        """End a leg; nobody is told. Harmless when it is over."""
        self._forget(leg_id, hangup=True)

    def on_media(self, event: MediaEvent) -> None:
        """Take an event of a leg that `owns` says is ours."""
        match event:
            case LegOpened():
                self._opened(event)
            case LegRtpLost(leg_id=leg_id) if self._lines[leg_id].settings.supervises:
                log.info("supervisor_silent", leg_id=leg_id)  # who only listens may well send nothing
            case LegRtpLost(leg_id=leg_id) | LegClosed(leg_id=leg_id):
                log.warning("extension_silent", leg_id=leg_id, extension=self._lines[leg_id].name)
                self._gone(leg_id, 0, hangup=True)
            case _:
                pass

    def on_worker(self, event: WorkerEvent) -> None:
        """Take an event of a leg that `owns` says is ours."""
        leg_id: LegId = event.leg_id  # type: ignore[union-attr] # `owns` has looked at it
        line = self._lines[leg_id]
        match event:
            case LegSent(call_id=call_id):
                self._runtime.store(lambda tx: leg_rows.update(tx, leg_id, call_id=call_id))
            case LegNegotiated():
                line.negotiated = event
                self._media.send(connect_command(event))
            case LegAnswered():
                self._answered(leg_id, line, event.dialog)
            case LegConnectedLine(user=user):
                line.on_line(user)
            case LegEnded(code=code):
                self._gone(leg_id, code, hangup=False)
            case _:
                pass

    def dialog_of(self, leg_id: LegId) -> Dialog | None:
        """Return the dialog of a leg that is up."""
        line = self._lines.get(leg_id)
        return line.dialog if line is not None and line.up else None

    def on_worker_lost(self, worker: WorkerId) -> int:
        """Every leg in this worker is gone; returns how many."""
        lost = [leg_id for leg_id, line in self._lines.items() if line.worker == worker]
        for leg_id in lost:
            if (dialog := self._lines[leg_id].dialog) is not None:
                self.on_orphan(dialog)
            self._gone(leg_id, 0, hangup=False)
        return len(lost)

    def bring_in_line(self, held: Mapping[LegId, MediaLegSnapshot]) -> int:
        """Open again what a new media plane does not hold, on the same ports; return how many."""
        reopened = 0
        for leg_id, line in self._lines.items():
            leg = held.get(leg_id)
            if leg is None:
                reopened += bool(line.media_port)
                self._media.send(OpenLeg(leg_id=leg_id, kind=LegKind.EXTENSION, port=line.media_port))
            if line.negotiated is not None and (
                leg is None or leg.connected != connect_command(line.negotiated)
            ):
                self._media.send(connect_command(line.negotiated))
        return reopened

    def end_all(self) -> None:
        """End every leg: the node has drained, or there has been no media plane for too long."""
        for leg_id in list(self._lines):
            self._gone(leg_id, 0, hangup=True)

    def _opened(self, opened: LegOpened) -> None:
        leg_id = opened.leg_id
        line = self._lines[leg_id]
        if line.worker is not None and opened.port:
            return  # opened again
        worker = self._workers.choose(LegKind.EXTENSION)
        if not opened.port or worker is None:
            log.warning(
                "extension_not_called", leg_id=leg_id, media_error=opened.error, worker_free=bool(worker)
            )
            self._gone(leg_id, 503, hangup=False)
            return
        line.worker, line.media_port = worker, opened.port
        self._store_leg(leg_id, line)
        limit_s = line.settings.ring_limit_s
        place = Place(
            leg_id=leg_id, kind=LegKind.EXTENSION, owner=line.name, purpose=line.purpose, about=line.about, to_uri=line.settings.sip,
            identity=SipIdentity(from_uri=f"sip:marcador@{self._sip_host}", display_name="Marcador"),
            media_host=opened.host, media_port=opened.port, srtp=line.settings.srtp, headers=line.headers,
            ring_limit_s=limit_s, unattended_limit_s=limit_s,
        )  # fmt: skip
        self._workers.send(worker, place)

    def _store_leg(self, leg_id: LegId, line: _Line) -> None:
        row = leg_rows.NewLeg(
            id=leg_id, kind=LegKind.EXTENSION, node=self._runtime.node, worker=line.worker or WorkerId(""),
            media_port=line.media_port, opened_at_utc=self._runtime.clock.utc(),
        )  # fmt: skip
        self._runtime.store(lambda tx: leg_rows.insert(tx, row))

    def _up(self, leg_id: LegId, line: _Line, dialog: Dialog) -> None:
        line.dialog, line.up = dialog, True
        if line.setup is not None:
            line.setup.cancel()
        if line.worker is not None:
            self._workers.send(line.worker, Attend(leg_id=leg_id))
        row = msgspec.to_builtins(dialog)
        self._runtime.store(lambda tx: leg_rows.update(tx, leg_id, dialog=row, call_id=dialog.call_id))

    def _answered(self, leg_id: LegId, line: _Line, dialog: Dialog) -> None:
        self._up(leg_id, line, dialog)
        log.info("extension_up", leg_id=leg_id, extension=line.name)
        line.on_up()

    def _gone(self, leg_id: LegId, code: int, *, hangup: bool) -> None:
        line = self._forget(leg_id, hangup=hangup, code=code)
        if line is not None:
            log.info("extension_gone", leg_id=leg_id, extension=line.name, code=code, was_up=line.up)
            line.on_gone(code)

    def _forget(self, leg_id: LegId, *, hangup: bool, code: int = 0) -> _Line | None:
        line = self._lines.pop(leg_id, None)
        if line is None:
            return None
        if line.setup is not None:
            line.setup.cancel()
        self._media.send(CloseLeg(leg_id=leg_id))
        if line.worker is not None:
            if hangup:
                self._workers.send(line.worker, Hangup(leg_id=leg_id))
            now = self._runtime.clock.utc()
            self._runtime.store(lambda tx: leg_rows.end(tx, leg_id, at_utc=now, sip_code=code or None))
        return line


def told_headers(settings: ExtensionSettings, about: Attempt, host: str) -> dict[str, str]:
    """Return what an extension's INVITE says of the customer it is called for: nothing unless its settings ask for it.

    P-Asserted-Identity is RFC 3325's, User-to-User is RFC 7433's, its account reference in hexadecimal as the default package wants it.
    """
    headers = {}
    if settings.customer_number:
        headers["P-Asserted-Identity"] = f"<sip:{about.number}@{host}>"
    if settings.user_to_user:
        headers["User-to-User"] = f"{about.account_id.encode().hex()};encoding=hex"
    if settings.account_header:
        headers[settings.account_header] = about.account_id
    return headers
