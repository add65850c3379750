"""PDUs are those of SMPP 3.4, as an independent implementation writes and reads them."""

from __future__ import annotations

import struct

import pytest
import smpp34
from hypothesis import given
from hypothesis import strategies as st

from plugins.sms import pdus
from plugins.sms.pdus import Pdu, PduError, ShortMessage
from plugins.sms.receipts import Incoming, is_receipt, part_of, receipt_of
from tests.plugins.message_centre import receipt_text

pytestmark = pytest.mark.unit
DIGITS = st.text("0123456789", min_size=1, max_size=20)


@given(source=DIGITS, to=DIGITS, octets=st.binary(max_size=600), coding=st.sampled_from([0, 3, 8]))
def test_another_implementation_reads_what_we_write(source: str, to: str, octets: bytes, coding: int) -> None:
    """Every field arrives; a text longer than the field goes as payload."""
    short = ShortMessage(
        source, to, octets, pdus.UDHI, coding, 5, 0, registered_delivery=1, validity="000001000000000R"
    )
    read = smpp34.decode(pdus.encode(Pdu(pdus.SUBMIT_SM, 0, 7, pdus.message_body(short))))
    assert isinstance(read, smpp34.SubmitSm)
    assert (read.sequence_number, read.source_addr, read.destination_addr) == (7, source, to)
    assert (read.source_addr_ton, read.dest_addr_ton, read.data_coding, read.esm_class) == (
        5,
        1,
        coding,
        pdus.UDHI,
    )
    assert (read.registered_delivery, read.validity_period) == (1, "000001000000000R")
    payload = [one.value for one in read.tlvs if one.tag == smpp34.TLV_MESSAGE_PAYLOAD]
    assert (read.short_message or b"".join(payload)) == octets


@given(source=DIGITS, octets=st.binary(max_size=254), message_id=st.text("abc123", min_size=1, max_size=60))
def test_we_read_what_another_implementation_writes(source: str, octets: bytes, message_id: str) -> None:
    """Every field and optional parameter arrives, whatever pieces the connection cuts it into."""
    tlvs = [
        smpp34.Tlv(smpp34.TLV_RECEIPTED_MESSAGE_ID, message_id.encode() + b"\0"),
        smpp34.Tlv(0x1400, b"own"),
    ]
    wire = smpp34.DeliverSm(
        source, "55000", octets, esm_class=4, data_coding=8, tlvs=tlvs, sequence_number=9
    ).encode()
    buffer = bytearray(wire[:10])
    assert pdus.take(buffer) is None
    buffer += wire[10:] + wire
    for left in (len(wire), 0):
        pdu = pdus.take(buffer)
        assert pdu is not None
        assert (pdu.command, pdu.sequence, len(buffer)) == (pdus.DELIVER_SM, 9, left)
    read = pdus.read_message(pdu.body)
    assert (read.source, read.destination, read.octets, read.esm_class) == (source, "55000", octets, 4)
    assert pdus.first_text(read.options[pdus.RECEIPTED_MESSAGE_ID]) == message_id


@given(st.binary(max_size=100))
def test_garbage_is_told_from_a_pdu(garbage: bytes) -> None:
    """Whatever arrives: it is read, waited for, or refused, and no more."""
    try:
        pdu = pdus.take(bytearray(garbage))
        if pdu is not None:
            pdus.read_message(pdu.body)
    except PduError:
        pass
    with pytest.raises(PduError):
        pdus.take(bytearray(struct.pack(">IIII", 15, 4, 0, 1)))
    with pytest.raises(PduError):
        pdus.take(bytearray(b"HTTP/1.1 400 Bad"))


@pytest.mark.parametrize("text", ["x" * 30, "with\0nul"])
def test_an_address_that_no_field_holds_is_refused(text: str) -> None:
    """Too long, or with an end inside."""
    with pytest.raises(PduError):
        pdus.message_body(ShortMessage("55000", text, b""))


@pytest.mark.parametrize(
    ("stat", "delivered"),
    [("DELIVRD", True), ("UNDELIV", False), ("EXPIRED", False), ("REJECTD", False), ("ENROUTE", None), ("ACCEPTD", None), ("UNKNOWN", None)],
)  # fmt: skip
def test_receipts_in_words(stat: str, delivered: bool | None) -> None:  # noqa: FBT001 - as parametrised
    """Arrived, not, or still on its way, with the centre's error; also where the mark of a receipt is missing."""
    for esm_class in (4, 0):
        message = ShortMessage("1", "2", receipt_text("A1", stat, "045"), esm_class)
        assert is_receipt(message)
        told = receipt_of(message)
        assert (told and (told.provider_id, told.delivered, told.code)) == (
            None if delivered is None else ("A1", delivered, "045")
        )


def test_receipts_in_parameters_and_bases() -> None:
    """The optional parameters are believed before the words; ids may be told in another base; what says nothing is nothing."""
    options = {pdus.RECEIPTED_MESSAGE_ID: b"ff\0", pdus.MESSAGE_STATE: b"\x02"}
    told = receipt_of(ShortMessage("1", "2", receipt_text("99", "UNDELIV"), 4, options=options))
    assert (told and (told.provider_id, told.delivered)) == ("ff", True)
    for ids, given_id, wanted in (
        ("hex_to_decimal", "ff", "255"),
        ("decimal_to_hex", "255", "ff"),
        ("hex_to_decimal", "x-1", "x-1"),
    ):
        told = receipt_of(ShortMessage("1", "2", receipt_text(given_id), 4), ids)  # type: ignore[arg-type]
        assert told
        assert told.provider_id == wanted
    assert receipt_of(ShortMessage("1", "2", b"garbage", 4)) is None
    assert not is_receipt(ShortMessage("1", "2", b"id: 5 no me llamen"))


def test_texts_in_parts() -> None:
    """Put together in whatever order, by either kind of header; a header that lies hides no text; late ones are told as far as they came."""
    now_s = 0.0
    incoming = Incoming(lambda: now_s)
    header = bytes([5, 0, 3, 42, 2])
    second = ShortMessage("525512345678", "5", header + b"\x02" + b"mundo", pdus.UDHI, source_ton=1)
    assert incoming.take(second, "b") is None
    whole = incoming.take(second._replace(octets=header + b"\x01" + b"hola "), "a")
    assert whole
    assert whole == ("+525512345678", "hola mundo", ("a", "b"), False)
    sar = {pdus.SAR_REFERENCE: b"\0\x07", pdus.SAR_TOTAL: b"\x02", pdus.SAR_NUMBER: b"\x01"}
    assert part_of(ShortMessage("1", "2", b"x", options=sar)) == (7, 2, 1, b"x")
    assert part_of(ShortMessage("1", "2", bytes([6, 8, 4, 1, 2, 3, 3]) + b"x", pdus.UDHI)) == (
        258,
        3,
        3,
        b"x",
    )
    for lie in (
        bytes([5, 0, 3, 1, 0, 0]),
        bytes([5, 0, 3, 1, 2, 3]),
        bytes([200, 1]),
        bytes([2, 0]),
        b"",
    ):
        part_of(ShortMessage("1", "2", lie, pdus.UDHI))
    short_code = incoming.take(ShortMessage("72345", "2", b"BAJA"), "c")
    assert short_code
    assert short_code.sender == "72345"
    assert incoming.take(second, "b") is None
    assert incoming.overdue() == []
    now_s = 301.0
    [late] = incoming.overdue()
    assert late == ("+525512345678", "[…]mundo", ("b",), True)
    assert incoming.overdue() == []
