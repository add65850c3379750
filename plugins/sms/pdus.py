"""The PDUs of SMPP 3.4 that a client of a message centre needs, to octets and back. Pure: no socket, no clock.

It owns the layouts of the specification's chapters 4 and 5. What a PDU means for a session is `bind.py`'s; what an octet string says is
`alphabet.py`'s.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final, NamedTuple

GENERIC_NACK: Final = 0x80000000
BIND_TRANSCEIVER: Final = 0x00000009
SUBMIT_SM: Final = 0x00000004
DELIVER_SM: Final = 0x00000005
UNBIND: Final = 0x00000006
ENQUIRE_LINK: Final = 0x00000015
ALERT_NOTIFICATION: Final = 0x00000102
RESPONSE: Final = 0x80000000
"""Added to a command's number by its answer."""

OK: Final = 0
INVALID_COMMAND: Final = 0x03
SYSTEM_ERROR: Final = 0x08
QUEUE_FULL: Final = 0x14
THROTTLED: Final = 0x58
RETRY_LATER: Final = 0x64
"""Of a receiver: it cannot take the message now."""

RECEIPTED_MESSAGE_ID: Final = 0x001E
MESSAGE_STATE: Final = 0x0427
NETWORK_ERROR_CODE: Final = 0x0423
MESSAGE_PAYLOAD: Final = 0x0424
SAR_REFERENCE: Final = 0x020C
SAR_TOTAL: Final = 0x020E
SAR_NUMBER: Final = 0x020F

UDHI: Final = 0x40
"""In `esm_class`: the octets begin with a user data header."""
LARGEST: Final = 70_000
"""Octets of a PDU: one payload of 64 KiB and its fields. What says that it is longer is no SMPP."""
HEADER: Final = struct.Struct(">IIII")


class PduError(ValueError):
    """Octets that are no PDU."""


class Pdu(NamedTuple):
    """One PDU: its header and what follows."""

    command: int
    status: int
    sequence: int
    body: bytes = b""


class ShortMessage(NamedTuple):
    """The fields of a `submit_sm` or `deliver_sm` that we use."""

    source: str
    destination: str
    octets: bytes
    """`short_message`, or the payload where it stands in the optional parameter."""
    esm_class: int = 0
    data_coding: int = 0
    source_ton: int = 0
    source_npi: int = 0
    destination_ton: int = 1
    destination_npi: int = 1
    registered_delivery: int = 0
    validity: str = ""
    options: Mapping[int, bytes] = {}


def encode(pdu: Pdu) -> bytes:
    """Return a PDU's octets."""
    return HEADER.pack(HEADER.size + len(pdu.body), pdu.command, pdu.status, pdu.sequence) + pdu.body


def take(buffer: bytearray) -> Pdu | None:
    """Take one PDU off a buffer's front; None: it is not there as a whole yet.

    Raises
    ------
    PduError
        What stands there is none.
    """
    if len(buffer) < HEADER.size:
        return None
    length, command, status, sequence = HEADER.unpack_from(buffer)
    if not HEADER.size <= length <= LARGEST:
        raise PduError(f"a PDU of {length} octets")
    if len(buffer) < length:
        return None
    body = bytes(buffer[HEADER.size : length])
    del buffer[:length]
    return Pdu(command, status, sequence, body)


def bind_body(system_id: str, password: str, system_type: str, address_range: str = "") -> bytes:
    """Return the body of a `bind_transceiver`."""
    return (
        _text(system_id, 16)
        + _text(password, 9)
        + _text(system_type, 13)
        + bytes([0x34, 0, 0])
        + _text(address_range, 41)
    )


def message_body(message: ShortMessage) -> bytes:
    """Return the body of a `submit_sm`.

    Raises
    ------
    PduError
        A field is longer than the specification allows.
    """
    options = dict(message.options)
    octets = message.octets
    if len(octets) > 254:
        options[MESSAGE_PAYLOAD], octets = octets, b""
    return b"".join(
        (
            _text("", 6), bytes([message.source_ton, message.source_npi]), _text(message.source, 21),
            bytes([message.destination_ton, message.destination_npi]), _text(message.destination, 21),
            bytes([message.esm_class, 0, 0]), _text("", 17), _text(message.validity, 17),
            bytes([message.registered_delivery, 0, message.data_coding, 0, len(octets)]), octets,
            *(struct.pack(">HH", tag, len(value)) + value for tag, value in options.items()),
        )
    )  # fmt: skip


def read_message(body: bytes) -> ShortMessage:
    """Return the fields of a `submit_sm` or `deliver_sm`.

    Raises
    ------
    PduError
        It ends too early, or a field has no end.
    """
    at = 0

    def text(longest: int) -> str:
        nonlocal at
        end = body.find(b"\0", at, at + longest)
        if end < 0:
            raise PduError("a text without an end")
        found, at = body[at:end].decode("latin-1"), end + 1
        return found

    def octets(number: int) -> bytes:
        nonlocal at
        if at + number > len(body):
            raise PduError("it ends too early")
        found, at = body[at : at + number], at + number
        return found

    text(6)
    source_ton, source_npi = octets(2)
    source = text(21)
    destination_ton, destination_npi = octets(2)
    destination = text(21)
    esm_class, _, _ = octets(3)
    text(17)
    validity = text(17)
    registered, _, data_coding, _, length = octets(5)
    said = octets(length)
    options: dict[int, bytes] = {}
    while at < len(body):
        tag, size = struct.unpack(">HH", octets(4))
        options[tag] = octets(size)
    return ShortMessage(
        source, destination, said or options.get(MESSAGE_PAYLOAD, b""), esm_class, data_coding,
        source_ton, source_npi, destination_ton, destination_npi, registered, validity, options,
    )  # fmt: skip


def first_text(body: bytes) -> str:
    """Return the text that a `submit_sm_resp` or `bind_resp` begins with: the message's id, or the centre's name."""
    return body.split(b"\0", 1)[0].decode("latin-1")


def _text(text: str, longest: int) -> bytes:
    octets = text.encode("latin-1", "replace") + b"\0"
    if len(octets) > longest or b"\0" in octets[:-1]:
        raise PduError(f"a text of {len(octets) - 1} octets where {longest - 1} are allowed")
    return octets
