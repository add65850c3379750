"""One leg: its sockets, the far end it may hear and speak to, its outgoing stream, and what goes into that stream.

What goes out is, in this order: a prompt while one plays, else what the bridged partner sends, else silence. It decides nothing about
calls: commands, deadlines and reports are `exchange.py`'s, the wait for an agent `waiting.py`'s.
"""

from __future__ import annotations

import secrets
from typing import Final

from amd.g711 import PCMA_TO_PCMU, PCMU_TO_PCMA
from dialer_core.ipc.messages import ConnectLeg, LegStatistics, LegVerdict
from dialer_core.media import dtmf, rtp
from dialer_core.media.far_end import PAYLOAD_TYPES
from dialer_core.media.listener import Ear
from dialer_core.media.mixer import Rings, Tap
from dialer_core.media.prompts import SILENCE, Player
from dialer_core.media.relay import Relay
from dialer_core.media.reports import Reports
from dialer_core.media.sockets import PortPair, release
from dialer_core.media.srtp import Srtp
from dialer_core.media.waiting import Waiting
from dialer_core.vocabulary import LegId, LegKind

_TRANSLATION: Final = {(rtp.PCMU, rtp.PCMA): PCMU_TO_PCMA, (rtp.PCMA, rtp.PCMU): PCMA_TO_PCMU}
_HELD_HOSTS: Final = ("", "0.0.0.0")
_WE_SEND: Final = (1, 3)
_THEY_SEND: Final = (2, 3)
FLOOD_PACKETS: Final = 50
"""Strangers' packets between two looks (100 ms) from which on the kernel is told to keep them out: they fill the far end's buffer."""
_RTCP_TYPES: Final = range(192, 224)
"""Second bytes that mean RTCP on an RTP port (RFC 5761)."""
_RTCP_SECOND_BYTES: Final = frozenset(bytes([kind]) for kind in _RTCP_TYPES)

Address = tuple[str, int]


class Leg:
    """One leg of a call, from `OpenLeg` to `CloseLeg`."""

    __slots__ = (
        "_cipher",
        "_digits",
        "_event_pt",
        "_far",
        "_far_rtcp",
        "_guarded",
        "_latching",
        "_refused",
        "_refused_before",
        "_reports",
        "_rtp",
        "_sending",
        "_srtp",
        "_unusable",
        "bridged_ns",
        "codec",
        "connected",
        "digit_limit",
        "ear",
        "expected_since_ns",
        "kind",
        "last_heard_ns",
        "leg_id",
        "mixed",
        "next_report_ns",
        "partner",
        "play_id",
        "player",
        "presses",
        "relay",
        "rtp_lost",
        "send_failed",
        "sockets",
        "statistics",
        "stream",
        "tap",
        "verdict",
        "waiting",
    )

    def __init__(self, leg_id: LegId, kind: LegKind, sockets: PortPair, now_ns: int) -> None:
        self.leg_id = leg_id
        self.kind = kind
        self.sockets = sockets
        self.connected: ConnectLeg | None = None
        self.codec = rtp.PCMU
        self.stream = rtp.OutgoingStream(
            secrets.randbits(32), secrets.randbits(15), secrets.randbits(31), now_ns
        )
        self.statistics = rtp.ReceiveStatistics()
        self.waiting = Waiting()
        self.player: Player | None = None
        self.partner: Leg | None = None
        self.bridged_ns = 0
        self.play_id = ""
        """Of the last prompt that has one."""
        self.relay: Relay | None = None
        """Numbers the partner's packets into our stream; set exactly while it hears its bridge, and nothing else (`hearing.py`)."""
        self.tap: Tap | None = None
        """Where sound goes that is mixed for others, or recorded."""
        self.mixed: bytes | None = None
        """This tick's frame of those it hears, where that is more than a bridge."""
        self.presses: dtmf.DigitSender | None = None
        """Digits that go out now, instead of everything else."""
        self.ear: Ear | None = None
        """Where sound goes that the detector hears."""
        self.verdict: LegVerdict | None = None
        self.last_heard_ns = 0
        self.expected_since_ns: int | None = None
        """Since when the far end ought to send; None: it need not."""
        self.rtp_lost = False
        self.next_report_ns = 0
        self._rtp = sockets.rtp
        self._far: Address | None = None
        self._far_rtcp: Address | None = None
        self._sending = False
        self._srtp: Srtp | None = None
        """Set: nothing goes out in the clear, nothing in the clear is taken."""
        self._cipher: Srtp | None = None
        """The same, kept while sound goes in the clear: no number may be used twice under one key."""
        self._latching = False
        self._event_pt = -1
        self._digits = dtmf.DigitReceiver()
        self.digit_limit = dtmf.DigitLimit()
        self._reports = Reports()
        self._refused = 0
        self._refused_before = 0
        self._guarded = False
        """The kernel lets nobody but the far end through."""
        self._unusable = 0
        self.send_failed = 0
        """Packets that the kernel would not take."""

    # --- where the far end is ------------------------------------------------------------------------------------------

    def connect(self, command: ConnectLeg, now_ns: int) -> None:
        """Aim at the far end as now negotiated. On hold nothing is sent and everything else is kept."""
        before = self.connected
        self.connected = command
        self.codec = PAYLOAD_TYPES[command.codec]
        self._event_pt = command.dtmf_pt
        self._take_keys(command)
        held = command.host in _HELD_HOSTS or command.port == 0
        if not held and (before is None or (before.host, before.port) != (command.host, command.port)):
            self._far = (command.host, command.port)
            self._latching = command.latch
            self._shut_out(guard=self._guarded and not command.latch)
        if not held:
            self._far_rtcp = (command.rtcp_host or command.host, command.rtcp_port or command.port + 1)
        self._sending = not held and command.direction in _WE_SEND
        expected = not held and command.direction in _THEY_SEND
        if not expected:
            self.expected_since_ns = None
        elif self.expected_since_ns is None:
            self.expected_since_ns = now_ns

    def _take_keys(self, command: ConnectLeg) -> None:
        if command.srtp is None:
            self._srtp = None
        elif self._cipher is None:
            self._srtp = self._cipher = Srtp(command.srtp)
        else:
            self._cipher.change(command.srtp)
            self._srtp = self._cipher

    def _latch(self, source: Address) -> None:
        """Take the first valid source as the far end, for both directions (the negotiated address is behind a NAT)."""
        self._latching = False
        self._far = source
        if self.connected is not None and not self.connected.rtcp_port:
            self._far_rtcp = (source[0], source[1] + 1)

    def shut_out_strangers(self) -> bool:
        """Look at what strangers have sent since the last look; return True when the kernel has just been told to keep them out.

        Until then they are counted, one by one: a far end that sends from another port than it named is found by that count.
        """
        come, self._refused_before = self._refused - self._refused_before, self._refused
        if come < FLOOD_PACKETS or self._guarded or self._latching or self._far is None:
            return False
        self._shut_out(guard=True)
        return self._guarded

    def _shut_out(self, *, guard: bool) -> None:
        """Take packets of the far end alone, by a connected socket, or of anybody."""
        if not guard and not self._guarded:
            return
        try:
            if guard and self._far is not None:
                self._rtp.connect(self._far)
            else:
                release(self._rtp)
        except OSError:
            return  # no route just now: what is sent will tell
        self._guarded = guard

    # --- what comes in -------------------------------------------------------------------------------------------------

    def receive(self, data: bytes, source: Address, now_ns: int) -> str | None:
        """Take one datagram from the RTP socket: to the partner, to the ear. Return the digit a press begins with, if it does."""
        if source != self._far and not self._latching:
            self._refused += 1
            return None
        packet = rtp.parse(data) if self._srtp is None else self._parse_encrypted(data, now_ns)
        if packet is None:
            self._unusable += 1
            return None
        second, sequence, timestamp, ssrc, payload = packet
        payload_type = second & 0x7F
        sound = payload_type in SILENCE
        event = payload_type in (rtp.OUR_EVENT_PT, self._event_pt)
        if not sound and not event:
            if second in _RTCP_TYPES:
                self.receive_report(data, source, now_ns)
                return None
            self._unusable += payload_type != rtp.COMFORT_NOISE
        elif self._latching:
            self._latch(source)
        if self._latching:
            return None
        arrival = self.statistics.update(sequence, timestamp, ssrc, now_ns)
        if arrival in (rtp.DUPLICATE, rtp.WILD):
            return None
        self.last_heard_ns = now_ns
        partner = self.partner
        if sound:
            if partner is not None:
                partner.relay_sound(arrival, second, sequence, timestamp, payload, now_ns)
            if self.ear is not None or self.tap is not None:
                self._overhear(arrival, payload_type, timestamp, payload, now_ns)
            return None
        if not event:
            # Comfort noise, or what nobody negotiated: part of the stream, not for anybody. Silence fills in for it.
            if partner is not None:
                partner.withhold(arrival, sequence)
            return None
        if partner is not None:
            partner.relay_event(arrival, second, sequence, timestamp, payload, now_ns)
        if arrival == rtp.RESTARTED:
            self._digits.restart()
        return self._digits.receive(timestamp, payload)

    def _overhear(self, arrival: int, payload_type: int, timestamp: int, payload: bytes, now_ns: int) -> None:
        """Hand sound to the detector and to the mixer."""
        if self.ear is not None:
            self.ear.push(arrival, payload_type, timestamp, payload, now_ns)
        if self.tap is not None:
            self.tap.push(arrival, payload_type, timestamp, payload, now_ns)

    def _parse_encrypted(self, data: bytes, now_ns: int) -> tuple[int, int, int, int, bytes] | None:
        """As `rtp.parse`, of what authenticates. RTCP is let through as it is: `receive_report` decrypts it its own way."""
        if self._srtp is None or data[1:2] in _RTCP_SECOND_BYTES:
            return rtp.parse(data)
        plain = self._srtp.unprotect(data, now_ns)
        return rtp.parse(plain) if plain is not None else None

    def receive_report(self, data: bytes, source: Address, now_ns: int) -> None:
        """Take one RTCP datagram; only the far end's own reports are looked at."""
        if self._far_rtcp is None or source[0] != self._far_rtcp[0]:
            self._refused += 1
            return
        if self._srtp is not None:
            plain = self._srtp.unprotect_rtcp(data)
            if plain is None:
                self._unusable += 1
                return
            data = plain
        self._reports.receive(data, self.stream.ssrc, now_ns)

    # --- what goes out -------------------------------------------------------------------------------------------------

    def relay_sound(
        self, arrival: int, second: int, sequence: int, timestamp: int, payload: bytes, now_ns: int
    ) -> None:
        """Send the partner's sound on, in our codec and our numbering."""
        relay = self.relay
        if relay is None or not self._sending or self._speaks_itself:
            return
        place = relay.audio(arrival, sequence, timestamp, len(payload), now_ns)
        if place is None:
            return
        payload_type = second & 0x7F
        if payload_type != self.codec:
            payload = payload.translate(_TRANSLATION[payload_type, self.codec])
            second = second & 0x80 | self.codec
        if self.ear is not None:
            self.ear.said = payload
        self._send(self.stream.number(second, place[0], place[1], payload))

    def relay_event(
        self, arrival: int, second: int, sequence: int, timestamp: int, payload: bytes, now_ns: int
    ) -> None:
        """Send the partner's telephone-event on under our far end's payload type; a far end without one gets none."""
        if self._event_pt < 0:
            self.withhold(arrival, sequence)
            return
        relay = self.relay
        if relay is None or not self._sending or self._speaks_itself:
            return
        place = relay.event(arrival, sequence, timestamp, now_ns)
        if place is not None:
            self._send(self.stream.number(second & 0x80 | self._event_pt, place[0], place[1], payload))

    def withhold(self, arrival: int, sequence: int) -> None:
        """Leave out one of the partner's packets, without a gap in our numbering."""
        if self.relay is not None:
            self.relay.withhold(arrival, sequence)

    def tick(self, now_ns: int) -> Player | None:
        """Send this tick's frame of our own, if one is due; return the player that has now come to its end.

        A prompt's time runs on a held leg too.
        """
        if self.presses is not None:
            self._press(now_ns)
            return None
        player = self.player
        if player is not None:
            payload = player.next_frame(self.codec)
            if payload is not None:
                self._pace(payload, now_ns)
                return None
            self.player = None
        if self.relay is None or self.relay.filling(now_ns):
            self.stream.marker |= player is not None
            self._pace(self.mixed or SILENCE[self.codec], now_ns)
        return player

    @property
    def _speaks_itself(self) -> bool:
        """Digits or a prompt go out: the partner waits."""
        return self.presses is not None or (self.player is not None and not self.player.exhausted)

    def _press(self, now_ns: int) -> None:
        """Send this tick's packet of the digits that go out."""
        presses = self.presses
        assert presses is not None  # noqa: S101 - `tick` has looked
        payload = presses.next_payload()
        if self._sending and payload is not None and self._event_pt >= 0:
            self._send(self.stream.event(self._event_pt, payload, now_ns, first=presses.begins))
        elif payload is None:
            self._pace(SILENCE[self.codec], now_ns)
        if presses.done:
            self.presses = None
            if self.relay is not None:
                self.relay.resume()

    def press(self, digits: str) -> bool:
        """Send digits as telephone-events, after those that go out already; False where the far end takes none."""
        if self._event_pt < 0:
            return False
        if self.presses is None:
            self.presses = dtmf.DigitSender()
        self.presses.add(digits)
        return True

    def _pace(self, payload: bytes, now_ns: int) -> None:
        if self.ear is not None:
            self.ear.said = payload
        if self._sending:
            packet = self.stream.paced(self.codec, payload, now_ns)
            if packet is not None:
                self._send(packet)

    def _send(self, packet: bytes) -> None:
        if self._srtp is not None:
            encrypted = self._srtp.protect(packet)
            if encrypted is None:
                self.send_failed += 1
                return
            packet = encrypted
        try:
            self._rtp.sendto(packet, self._far)  # type: ignore[arg-type]
        except OSError:
            # A full buffer, an unreachable network, an ICMP answer to an earlier packet: as lost as in the network.
            self.send_failed += 1

    def play(self, player: Player | None) -> Player | None:
        """Start playing (or stop, with None); return what was cut off by it."""
        cut, self.player = self.player, player
        if player is not None:
            self.stream.marker = True
            self.play_id = player.play_id or self.play_id
        return cut

    def join(self, partner: Leg) -> None:
        """Begin to hear `partner`; the other direction is the partner's own `join`."""
        self.partner = partner
        self.relay = Relay(self.stream)

    def stop_relaying(self) -> None:
        """Take nothing of the partner as packets any more: what is heard comes from the mixer."""
        if self.relay is not None:
            self.relay = None
            self.stream.marker = True

    def relay_again(self) -> None:
        """Hear the bridge, or nobody, instead of the mixer."""
        self.mixed = None
        self.stream.marker = True
        self.relay = Relay(self.stream) if self.partner is not None else None

    def tap_into(self, rings: Rings) -> None:
        """Write sound to the rings, for one more who reads it."""
        if self.tap is None:
            self.tap = rings.open()
        self.tap.uses += 1

    def untap(self, rings: Rings) -> None:
        """One who read it does so no more."""
        if self.tap is not None:
            self.tap.uses -= 1
            if not self.tap.uses:
                rings.close(self.tap)
                self.tap = None

    @property
    def tap_row(self) -> int:
        """Its row in the rings; raises RuntimeError where it has none, which `Hearing` sees to."""
        if self.tap is None:
            raise RuntimeError(f"leg {self.leg_id} is heard and not tapped")
        return self.tap.row

    def part(self) -> None:
        """Hear the partner no more: silence from the next tick."""
        self.partner = None
        self.relay = None
        self.stream.marker = True

    # --- reports and the end -------------------------------------------------------------------------------------------

    def send_report(self, now_ns: int, unix_s: float, cname: str, *, bye: bool = False) -> None:
        """Send an SR (or an RR, when we have sent nothing), with a BYE at the end. `unix_s` is the wall clock at `now_ns`."""
        if self._far_rtcp is None:
            return
        packet: bytes | None = self._reports.build(
            self.stream, self.statistics, now_ns, unix_s, cname, bye=bye
        )
        if self._srtp is not None and packet is not None:
            packet = self._srtp.protect_rtcp(packet)
        if packet is None:
            self.send_failed += 1
            return
        try:
            self.sockets.rtcp.sendto(packet, self._far_rtcp)
        except OSError:
            self.send_failed += 1

    def totals(self) -> LegStatistics:
        """Return the leg's statistics so far."""
        heard = self.statistics
        return LegStatistics(
            rx_packets=heard.received,
            rx_lost=heard.lost,
            rx_late=heard.reordered,
            rx_duplicate=heard.duplicate,
            rx_refused=self._refused,
            rx_unusable=self._unusable + heard.wild,
            rx_overrun=self.sockets.overrun(),
            tx_packets=self.stream.packets - self.send_failed,
            tx_failed=self.send_failed,
            jitter_ms=heard.jitter / 8,
            far_reports=self._reports.far_reports,
            far_lost=self._reports.far_lost,
            far_jitter_ms=self._reports.far_jitter_ms,
            round_trip_ms=self._reports.round_trip_ms,
        )
