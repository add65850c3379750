"""What a message centre tells: receipts of what we sent, and what people wrote, put together where it came in parts.

It owns how receipts say it (the optional parameters, else the customary text of the specification's appendix B), the headers of parts and
the parts that wait for others. Acknowledging and storing are others'.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

from dialer_core.plugin_api import Receipt
from plugins.sms import pdus
from plugins.sms.alphabet import decode
from plugins.sms.pdus import ShortMessage

Ids = Literal["as_is", "hex_to_decimal", "decimal_to_hex"]
_KIND: Final = 0x3C
_RECEIPT: Final = 0x04
_TEXT: Final = re.compile(
    r"\bid:\s*(?P<id>[^\s]{1,65})\s.*?\bstat:\s*(?P<stat>[A-Za-z]{3,7})(?:.*?\berr:\s*(?P<err>[0-9A-Za-z]{1,8}))?",
    re.DOTALL | re.IGNORECASE,
)
_BY_WORD: Final = {
    "DELIVRD": True, "EXPIRED": False, "DELETED": False, "UNDELIV": False, "REJECTD": False,
}  # fmt: skip
"""How a message ended; every other word is a state on the way."""
_BY_NUMBER: Final = {2: True, 3: False, 4: False, 5: False, 8: False}
WAITS_S: Final = 300.0
"""A text whose parts have not all come within this is told as far as it came."""
MOST_WAITING: Final = 2000
"""Texts that wait for parts; beyond, the oldest is told as it is."""


def receipt_of(message: ShortMessage, ids: Ids = "as_is") -> Receipt | None:
    """Return what a `deliver_sm` says of a message that we sent; None: it is of a state on the way, or cannot be read.

    Parameters
    ----------
    message
        One for which `is_receipt` is true.
    ids
        How its id follows from the one that the centre answered with: some answer in one base and report in the other.
    """
    told = _TEXT.search(message.octets.decode("latin-1"))
    named = pdus.first_text(message.options.get(pdus.RECEIPTED_MESSAGE_ID, b""))
    state = message.options.get(pdus.MESSAGE_STATE, b"")
    word = told["stat"].upper() if told else ""
    delivered = _BY_NUMBER.get(state[0]) if len(state) == 1 else _BY_WORD.get(word)
    if delivered is None or not (named or told):
        return None
    given = named or (told["id"] if told else "")
    code = (told["err"] if told and told["err"] else "") or word or str(state[0])
    return Receipt(provider_id=as_answered(given, ids), delivered=delivered, code=code[:64])


def is_receipt(message: ShortMessage) -> bool:
    """Say whether a `deliver_sm` is about a message of ours. Some centres leave the mark out: then its words say it."""
    if message.esm_class & _KIND == _RECEIPT:
        return True
    told = message.octets.decode("latin-1")
    return (
        message.esm_class & (_KIND | pdus.UDHI) == 0
        and told.startswith("id:")
        and " submit date:" in told
        and _TEXT.search(told) is not None
    )


def as_answered(given: str, ids: Ids) -> str:
    """Return a receipt's id as the answer to the message had it; as it is where it is no number."""
    try:
        match ids:
            case "hex_to_decimal":
                return str(int(given, 16))
            case "decimal_to_hex":
                return f"{int(given):x}"
            case _:
                return given
    except ValueError:
        return given


class Part(NamedTuple):
    """One part of a text."""

    reference: int
    total: int
    number: int
    octets: bytes


def part_of(message: ShortMessage) -> Part:
    """Return where a `deliver_sm` stands in its text: header taken off, the only part of one where it has none."""
    octets, part = message.octets, None
    if message.esm_class & pdus.UDHI and octets and len(octets) > octets[0]:
        header, octets = octets[1 : 1 + octets[0]], octets[1 + octets[0] :]
        while len(header) >= 2:
            kind, size = header[0], header[1]
            value, header = header[2 : 2 + size], header[2 + size :]
            if kind == 0x00 and len(value) == 3:
                part = Part(value[0], value[1], value[2], octets)
            elif kind == 0x08 and len(value) == 4:
                part = Part(int.from_bytes(value[:2], "big"), value[2], value[3], octets)
    else:
        found = [
            message.options.get(tag, b"") for tag in (pdus.SAR_REFERENCE, pdus.SAR_TOTAL, pdus.SAR_NUMBER)
        ]
        if all(found):
            reference, total, number = (int.from_bytes(one, "big") for one in found)
            part = Part(reference, total, number, octets)
    if part is None or not 1 <= part.number <= part.total:
        return Part(0, 1, 1, octets)
    return part


class Text(NamedTuple):
    """What somebody wrote, as far as it came."""

    sender: str
    text: str
    parts: tuple[str, ...]
    """Digests of the `deliver_sm` that it came in."""
    late: bool = False
    """Some of its parts did not come."""


class Incoming:
    """Texts that people write, put together.

    Parameters
    ----------
    clock_s
        A clock that only goes forward.
    """

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._waiting: dict[
            tuple[str, str, int, int], tuple[float, ShortMessage, dict[int, tuple[str, str]]]
        ] = {}

    def take(self, message: ShortMessage, digest: str, waits_s: float = WAITS_S) -> Text | None:
        """Return a text that is whole with this `deliver_sm`, which is known by its digest; None: more parts are to come."""
        part = part_of(message)
        text = decode(message.data_coding, part.octets)
        if part.total == 1:
            return Text(_sender(message), text, (digest,))
        key = (message.source, message.destination, part.reference, part.total)
        _, _, parts = self._waiting.setdefault(key, (self._clock_s() + waits_s, message, {}))
        parts[part.number] = (digest, text)
        if len(parts) < part.total:
            return None
        del self._waiting[key]
        return _text(message, [parts[number] for number in sorted(parts)])

    def overdue(self) -> list[Text]:
        """Return, as far as they came, texts whose other parts nobody waits for any more; a gap is written `[…]`."""
        now_s = self._clock_s()
        late = [key for key, (until_s, _, _) in self._waiting.items() if until_s <= now_s]
        late += list(self._waiting)[: max(0, len(self._waiting) - len(late) - MOST_WAITING)]
        told = []
        for key in dict.fromkeys(late):
            _, message, parts = self._waiting.pop(key)
            found = [parts.get(number, ("", "[…]")) for number in range(1, key[3] + 1)]
            told.append(_text(message, found)._replace(late=True))
        return told


def _text(message: ShortMessage, parts: Sequence[tuple[str, str]]) -> Text:
    digests = tuple(digest for digest, _ in parts if digest)
    return Text(_sender(message), "".join(text for _, text in parts), digests)


def _sender(message: ShortMessage) -> str:
    source = message.source
    international = source.isdigit() and (message.source_ton == 1 or len(source) > 10)
    return f"+{source}" if international else source
