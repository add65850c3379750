"""What the two kinds of far ends share: one answered call's SDP, RTP leg, recording and closing line.

Owns the session of a call from the offer to the saved recording. When the call rings, answers, speaks and
ends is decided in `carrier.py` and `softphone.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dialer_core.sim import g711, tone_plan
from dialer_core.sim import sip_messages as sip
from dialer_core.sim.pacer import Pacer
from dialer_core.sim.recording import Recording, recording_name, stream_stats
from dialer_core.sim.rtp import LegClosedError, Received, RtpLeg
from dialer_core.sim.rtp_ports import PortPairs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping
    from pathlib import Path

    from dialer_core.sim.event_log import EventLog
    from dialer_core.sim.sip_dialog import Dialog

LINGER_S = 1.0
"""How long a leg goes on recording after the call's end, to catch sound that comes too late."""


class CallOverError(Exception):
    """The call ended while something was still waited for; never leaves the simulator."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What all far ends of one simulation share."""

    host: str
    pacer: Pacer
    ports: PortPairs
    log: EventLog
    recordings: Path
    customer_tones: tone_plan.TonePool
    agent_tones_hz: tuple[int, ...]
    seed: int
    closing: asyncio.Event
    """Set when the simulation stops: nothing lingers any more."""


class CallLeg:
    """One call's session at the called side.

    Parameters
    ----------
    stage
        What is shared.
    dialog
        The call's signalling.
    preferred
        The codec taken if it is offered.
    """

    def __init__(self, stage: Stage, dialog: Dialog, preferred: g711.Law) -> None:
        self.stage, self.dialog = stage, dialog
        self.law = preferred
        self.offer, self.offer_is_usable = _read_offer(dialog)
        self.leg: RtpLeg | None = None
        self._session = str(random.getrandbits(31))
        self._version = 0
        self._sdp = ""
        dialog.user = self

    def log_invite(self, **fields: Any) -> None:
        """The call's first line in the event log."""
        dialog = self.dialog
        dialog.log(
            "invite.received", called_number=dialog.called_number, from_user=dialog.from_user,
            source=f"{dialog.source[0]}:{dialog.source[1]}", codecs=self.offer.codecs if self.offer else (),
            **fields,
        )  # fmt: skip

    # ---- the session

    def open_sound(self, phase: str) -> str:
        """Opens the RTP leg, begins to send, and returns our SDP; a second call returns the same SDP.

        Raises
        ------
        UnusableSdpError
            If the offer holds no codec of ours.
        StartError
            If no RTP port is free.
        """
        if self.leg is not None:
            return self._sdp
        if not self.offer_is_usable:
            raise sip.UnusableSdpError("the INVITE's SDP holds no audio for us")
        remote = self.offer.remote_rtp if self.offer else None
        leg = RtpLeg(
            ports=self.stage.ports, pacer=self.stage.pacer, law=self.law, remote=remote,
            on_packet=self.heard, on_flow=self._flow,
        )  # fmt: skip
        try:
            self._sdp = self._write_sdp(leg.port)
        except sip.UnusableSdpError:
            leg.close()
            raise
        leg.set_law(self.law)
        self.leg = leg
        self.dialog.log(
            "rtp.opened", rtp_port=leg.port, codec=self.law, phase=phase,
            remote_rtp=f"{remote[0]}:{remote[1]}" if remote else None,
        )  # fmt: skip
        leg.start_sending()
        return self._sdp

    def _write_sdp(self, port: int) -> str:
        host = self.stage.host
        if self.offer is None:
            return sip.own_offer(host=host, port=port, law=self.law, session=self._session)
        text, self.law = sip.answer(
            self.offer, host=host, port=port, preferred=self.law, session=self._session, version=self._version
        )
        return text

    def offered(self, offer: sip.Offer) -> str:
        """A re-INVITE's offer: the leg follows it; the answer keeps our port and raises our version if it differs."""
        if self.leg is None:
            raise sip.UnusableSdpError("no sound yet")
        before, self.offer = self._sdp, offer
        text = self._write_sdp(self.leg.port)
        if text != before:
            self._version += 1
            text = self._write_sdp(self.leg.port)
        self._sdp = text
        self._follow(offer)
        return text

    def late_answer(self, answer: sip.Offer) -> None:
        """The ACK's answer to our offer."""
        self.offer = answer
        self._follow(answer)

    def _follow(self, offer: sip.Offer) -> None:
        if self.leg is not None:
            self.leg.remote = offer.remote_rtp
            if self.leg.law is not self.law:
                self.leg.set_law(self.law)
                self.codec_changed()

    def current_sdp(self) -> str:
        """Our SDP as it stands."""
        return self._sdp

    def codec_changed(self) -> None:
        """The leg sends another codec from now on."""

    # ---- the sound

    def heard(self, packet: Received) -> None:
        """One packet of received sound."""

    def _flow(self, what: str, at_ns: int, source: str, ssrc: int) -> None:
        if what == "first":
            self.dialog.log("rtp.first_received", first_ns=at_ns, source=source, ssrc=ssrc)
        elif what == "resumed":
            self.dialog.log("rtp.resumed", first_ns=at_ns)
        else:
            self.dialog.log("rtp.stopped", last_ns=at_ns)

    # ---- time

    async def until_over(self, awaited: Awaitable[object] | None, limit_s: float | None) -> bool:
        """Waits for something, but no longer than the call lasts.

        Returns
        -------
        True if it came within the limit, False if the limit passed first.

        Raises
        ------
        CallOverError
            If the call ended first, or had already ended.
        """
        over = asyncio.ensure_future(_as_bool(self.dialog.over.wait()))
        waited: set[asyncio.Future[bool]] = {over}
        wanted = None
        if awaited is not None:
            wanted = asyncio.ensure_future(_as_bool(awaited))
            waited.add(wanted)
        try:
            await asyncio.wait(waited, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
            if wanted is not None and not wanted.done():
                wanted.cancel()
        if self.dialog.over.is_set():
            if wanted is not None and wanted.done() and not wanted.cancelled():
                wanted.exception()
            raise CallOverError
        return wanted is not None and wanted.done() and wanted.result()

    async def pause(self, length_s: float) -> None:
        """Waits; CallOverError if the call ends meanwhile."""
        await self.until_over(None, length_s)

    # ---- the end

    def shut_down(self) -> None:
        """The simulation stops: the call is ended as its state allows, and runs to its closing line."""
        dialog = self.dialog
        if dialog.over.is_set():
            return
        dialog.ended_by = "shutdown"
        if dialog.final_code:
            dialog.hang_up("shutdown")
        else:
            dialog.reject(503)

    async def finish(self, fields: Mapping[str, Any]) -> None:
        """After the call's end: goes on recording for `LINGER_S`, saves, writes `call.ended`."""
        dialog, ended_ns = self.dialog, time.monotonic_ns()
        summary: dict[str, Any] = {
            "ended_ns": ended_ns,
            "ended_by": dialog.ended_by,
            "final_code": dialog.final_code,
            "answered": dialog.acked.is_set(),
            "sip_retransmissions": dialog.retransmissions,
            "recording": None,
            **fields,
        }
        if self.leg is not None:
            leg = self.leg
            leg.stop_sending()
            with contextlib.suppress(TimeoutError):  # the usual case: nothing stops the simulation meanwhile
                await asyncio.wait_for(self.stage.closing.wait(), LINGER_S)
            leg.close()
            recording = leg.recorder.finish()
            name = recording_name(dialog.call_id)
            stats = await asyncio.to_thread(_save, recording, self.stage.recordings / name)
            summary |= {"recording": name, "codec": leg.law, "sent_packets": leg.counts.sent, **stats}
            summary |= {"sources": dict(leg.counts.sources), "rtcp_received": leg.counts.rtcp}
            summary |= {"rtcp_sources": dict(leg.counts.rtcp_sources), "send_errors": leg.counts.send_errors}
        dialog.log("call.ended", **summary)


def _read_offer(dialog: Dialog) -> tuple[sip.Offer | None, bool]:
    """The INVITE's offer (None: it has none, we make one), and whether it can be used."""
    if not dialog.invite.body:
        return None, True
    try:
        return sip.read_sdp(dialog.invite.text), True
    except sip.UnusableSdpError:
        return None, False


def _save(recording: Recording, path: Path) -> dict[str, int | float]:
    recording.save(path)
    return stream_stats(recording).as_fields()


async def _as_bool(awaited: Awaitable[object]) -> bool:
    try:
        await awaited
    except LegClosedError as error:
        raise CallOverError from error
    return True
