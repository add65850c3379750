"""Reading SIP messages as text: headers, URIs, tags, causes (RFC 3261 section 7.3, RFC 3326). Pure.

It owns what a leg's events need from a raw message. It checks nothing of the protocol: pjsip has done that before a message comes here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

from dialer_core.ipc.messages import Dialog

_COMPACT = {
    "i": "call-id",
    "m": "contact",
    "e": "content-encoding",
    "l": "content-length",
    "c": "content-type",
    "f": "from",
    "s": "subject",
    "k": "supported",
    "t": "to",
    "v": "via",
}
_TAG = re.compile(r";\s*tag\s*=\s*([^\s;,>]+)", re.IGNORECASE)
_Q850 = re.compile(r"^\s*Q\.850\s*(;.*)?$", re.IGNORECASE | re.DOTALL)
_CAUSE = re.compile(r";\s*cause\s*=\s*(\d{1,3})(?!\d)", re.IGNORECASE)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!%*_+`'~.-]+")


@dataclass(frozen=True, slots=True)
class SipText:
    """One message, read. Header names are lower case and in their long form; values are unfolded and stripped."""

    start_line: str
    headers: tuple[tuple[str, str], ...]
    body: str

    @classmethod
    def parse(cls, raw: str) -> SipText:
        """Read a message; lines without a colon are left out."""
        head, _, body = raw.replace("\r\n", "\n").partition("\n\n")
        lines = head.split("\n")
        headers: list[tuple[str, str]] = []
        for line in lines[1:]:
            if line[:1] in {" ", "\t"} and headers:
                name, value = headers[-1]
                headers[-1] = (name, f"{value} {line.strip()}")
                continue
            name, colon, value = line.partition(":")
            if colon:
                name = name.strip().lower()
                headers.append((_COMPACT.get(name, name), value.strip()))
        return cls(start_line=lines[0].strip(), headers=tuple(headers), body=body)

    def values(self, name: str) -> list[str]:
        """Return the value of every header `name` (lower case, long form), in order."""
        return [value for header, value in self.headers if header == name]

    def first(self, name: str) -> str:
        """Return the first value of a header, or an empty text."""
        return next((value for header, value in self.headers if header == name), "")

    @property
    def status(self) -> int:
        """Status code of a response; 0 for a request or nonsense."""
        parts = self.start_line.split(" ", 2)
        if (
            len(parts) < 2
            or not parts[0].upper().startswith("SIP/")
            or not parts[1].isascii()
            or not parts[1].isdigit()
        ):
            return 0
        return int(parts[1])

    @property
    def phrase(self) -> str:
        """Reason phrase of a response."""
        return self.start_line.split(" ", 2)[2] if self.start_line.count(" ") >= 2 else ""

    @property
    def cseq(self) -> tuple[int, str]:
        """Number and method of the CSeq header; (0, "") when unreadable."""
        parts = self.first("cseq").split()
        if len(parts) != 2 or not parts[0].isascii() or not parts[0].isdigit():
            return 0, ""
        return int(parts[0]), parts[1].upper()

    @property
    def has_sdp(self) -> bool:
        """Whether the body describes a session."""
        return "m=audio" in self.body and "application/sdp" in (
            self.first("content-type").lower() + self.body.lower()
        )


def split_list(value: str) -> Iterator[str]:
    """Yield the parts of a comma-separated header value; commas inside quotes or angle brackets do not separate."""
    start = depth = 0
    quoted = escaped = False
    for at, char in enumerate(value):
        if escaped:
            escaped = False
        elif quoted:
            escaped = char == "\\"
            quoted = char != '"'
        elif char == '"':
            quoted = True
        elif char == "<":
            depth += 1
        elif char == ">":
            depth = max(0, depth - 1)
        elif char == "," and depth == 0:
            yield value[start:at].strip()
            start = at + 1
    yield value[start:].strip()


def uri_of(value: str) -> str:
    """Return the URI of a From, To, Contact or Route value: between the brackets, or up to the first parameter without them."""
    opening = _outside_quotes(value, "<")
    if opening >= 0:
        return value[opening + 1 :].partition(">")[0].strip()
    return value.partition(";")[0].strip()


def user_of(uri: str) -> str:
    """Return the user part of a SIP URI without its parameters, or an empty text.

    Examples
    --------
    >>> user_of("sip:+525512345678;phone-context=x@127.0.0.1:5060;transport=udp")
    '+525512345678'
    """
    user, at, _ = uri.partition(":")[2].rpartition("@")
    return user.partition(";")[0].partition(":")[0] if at else ""


def host_of(uri: str) -> str:
    """Return the host of a SIP URI without its port and parameters, or an empty text.

    Examples
    --------
    >>> host_of("sip:+525512345678@trunk.example:5060;transport=udp"), host_of("sip:trunk.example")
    ('trunk.example', 'trunk.example')
    """
    return uri.partition(":")[2].rpartition("@")[2].partition(";")[0].partition("?")[0].partition(":")[0]


def tag_of(value: str) -> str:
    """Return the tag parameter of a From or To value, or an empty text."""
    opening = _outside_quotes(value, "<")
    after = value[opening:].partition(">")[2] if opening >= 0 else value
    found = _TAG.search(after)
    return found.group(1) if found else ""


def refer_target(to_uri: str, replaces: Dialog | None = None) -> str:
    """Return the value of a Refer-To: an address, and the dialog of ours that the call to it is to replace (RFC 3891).

    The tags are as whoever gets that call sees them: theirs is the to-tag.

    Examples
    --------
    >>> refer_target("sip:600@192.0.2.5")
    '<sip:600@192.0.2.5>'
    """
    if replaces is None:
        return f"<{to_uri}>"
    dialog = f"{replaces.call_id};to-tag={replaces.remote_tag};from-tag={replaces.local_tag}"
    return f"<{(replaces.remote_target or to_uri).partition('?')[0]}?Replaces={quote(dialog, safe='')}>"


def q850_cause(message: SipText) -> int:
    """Return the Q.850 cause of the Reason headers (RFC 3326), 0 when there is none in 1..127."""
    for value in message.values("reason"):
        for part in split_list(value):
            found = _CAUSE.search(part) if _Q850.match(part) else None
            if found and 1 <= int(found.group(1)) <= 127:
                return int(found.group(1))
    return 0


def retry_after_s(message: SipText) -> int:
    """Return the seconds of a Retry-After header, 0 without one; at most a day."""
    digits = re.match(r"\d{1,9}", message.first("retry-after"))
    return min(int(digits.group()), 86_400) if digits else 0


def is_header(name: str, value: str) -> bool:
    """Tell whether name and value may go into a message as they are: a token, and one line of text."""
    return bool(_HEADER_NAME.fullmatch(name)) and not any(
        ord(char) < 32 or ord(char) == 127 for char in value
    )


def _outside_quotes(value: str, wanted: str) -> int:
    quoted = escaped = False
    for at, char in enumerate(value):
        if escaped:
            escaped = False
        elif quoted:
            escaped = char == "\\"
            quoted = char != '"'
        elif char == '"':
            quoted = True
        elif char == wanted:
            return at
    return -1
