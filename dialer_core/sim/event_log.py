"""The simulator's own record of what happened: one JSON object a line, written as it happens.

Owns the writing and the list of kinds. It is what a carrier would know, so it holds called numbers (made-up
ones); it is no log of the dialer. `log_reader.py` reads it back.

Every line has `at_mono_ns` (`time.monotonic_ns()`), `at_utc`, `kind`; lines of a call also `call_id`, `side`
("carrier" or "softphone") and `port` (the SIP port that took the call). Times within a line end in `_ns` and are
monotonic too.

kind                what it says, and its own fields
sim.started         first line: seed, host, carrier_ports, softphones [{port, hz, uri}], agent_tones_hz,
                    customer_tones_hz, recordings, log
sim.stopped         last line: ticks, late_ticks, worst_late_ms (how well the 20 ms pace was kept)
sim.error           a fault of the simulator or of this machine (no RTP port left): error
sip.malformed       a datagram that is no SIP: source, reason
options.received    OPTIONS outside a call: source
invite.received     called_number, from_user, source, codecs; carrier: behaviour, true_class, expected_outcome,
                    attempt (the dialer's id for it, from its header; null where there is none); softphone: hz
reinvite.received   source, method, remote_rtp, direction
response.sent       code, method (first transmission only)
ack.received        the ACK of a 2xx
cancel.received     source
bye.received        source
bye.sent            reason: talked, patience, played_out, hangs_up, command, shutdown, no_ack, unusable_sdp
bye.answered        code of the answer to our BYE, 408 when none came
rtp.opened          rtp_port, remote_rtp, codec, phase ("early" or "answered")
rtp.first_received  first_ns, source, ssrc
rtp.stopped         last_ns: nothing for 500 ms, or the leg's end
rtp.resumed         first_ns
sound.started       name, at_ns: a clip or tone sequence that is no hello (machines, fax, announcements)
sound.ended         name, at_ns: the end of its last sample
hello.started       at_ns
hello.ended         at_ns: the end of the last sample of the greeting; clips
hello.shortened     a later phrase was not said because the agent was already heard
key.pressed         key, payload_type (of the telephone-events): a person begins to press it
agent.heard         hz, first_audible_ns (the first audible sample of that tone at the customer); once an agent
message.heard       first_audible_ns: at least 300 ms of loud sound that is no agent's tone
speaking.started    hz, at_ns (first sample sent), shared (every tone was lent: this one is another's too)
call.ended          ended_ns, ended_by (far, near, cancel, rejected, no_ack, shutdown, vanished), final_code,
                    answered, sip_retransmissions, recording (file name; None: no sound), codec, sent_packets,
                    send_errors, packets, ssrcs, lost, duplicates, reordered, timestamp_jumps,
                    max_interarrival_ms, sources, rtcp_received, rtcp_sources; carrier: called_number, behaviour,
                    true_class, expected_outcome, message_heard_ms; softphone: hz
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from pathlib import Path


class EventLog:
    """Appends lines to a file; each is on disk for a reader as soon as it is written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO = path.open("w", encoding="utf-8", buffering=1)

    def write(self, kind: str, **fields: Any) -> None:
        """One line, stamped now."""
        head = {"at_mono_ns": time.monotonic_ns(), "at_utc": datetime.now(UTC).isoformat(), "kind": kind}
        self._file.write(json.dumps(head | fields, ensure_ascii=False) + "\n")

    def close(self) -> None:
        """Ends the file."""
        self._file.close()
