"""Rewriting and reading session descriptions (RFC 8866) as text. Pure.

It owns two things: putting the media plane's socket into a description pjsua2 wrote, and reading the audio of one the far end wrote where
pjsua2 cannot be asked. Offers and answers are pjsip's business.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

STATIC_CODECS = {0: "PCMU", 8: "PCMA"}
DIRECTIONS = {"inactive": 0, "sendonly": 1, "recvonly": 2, "sendrecv": 3}
"""As pjmedia counts them: bit 0 sends, bit 1 receives."""
_OURS_ONLY = ("a=rtcp:", "a=ssrc:", "a=X-nat:")
"""Lines of pjsua2's own stream, which does not exist: the media plane's is another."""


@dataclass(frozen=True, slots=True)
class AudioDescription:
    """The first audio section of a description, from its writer's point of view."""

    host: str
    port: int
    codecs: tuple[str, ...]
    dtmf_pt: int
    """Payload type of telephone-event at 8000 Hz; -1 for none."""
    ptime_ms: int
    direction: int
    """0 inactive, 1 sends only, 2 receives only, 3 both."""
    rtcp_host: str
    rtcp_port: int


def rewrite(text: str, *, host: str, port: int, codecs: Sequence[str] = ()) -> str:
    """Return the description with its first live audio section at `host`:`port`, RTCP one port above.

    Parameters
    ----------
    text
        A description as pjsua2 wrote it.
    host, port
        The media plane's socket. Every `c=` and the `o=` address become `host`.
    codecs
        Names to keep, in the wanted order of preference; empty, or none of them in the section: its formats stay as they are.

    Returns
    -------
    str
        Lines ended by CRLF. A refused section (port 0) stays refused.
    """
    family = "IP6" if ":" in host else "IP4"
    lines = [line for line in text.replace("\r\n", "\n").split("\n") if line]
    out: list[str] = []
    section = ""
    done = False
    dropped: set[str] = set()
    for at, line in enumerate(lines):
        if line.startswith("m="):
            section = "other"
            dropped = set()
            fields = line.split(" ")
            if fields[0] == "m=audio" and not done and len(fields) > 3 and fields[1] != "0":
                section, done = "audio", True
                formats = _ordered(fields[3:], _names(lines, at), codecs)
                dropped = set(fields[3:]) - set(formats)
                line = " ".join([fields[0], str(port), fields[2], *formats])  # noqa: PLW2901
                out.append(line)
                continue
        elif line.startswith("c="):
            line = f"c=IN {family} {host}"  # noqa: PLW2901
        elif line.startswith("o="):
            line = " ".join([*line.split(" ")[:3], "IN", family, host])  # noqa: PLW2901
        elif line.startswith(_OURS_ONLY):
            if line.startswith("a=rtcp:") and section == "audio":
                out.append(f"a=rtcp:{port + 1} IN {family} {host}")
            continue
        elif (
            dropped
            and line.startswith(("a=rtpmap:", "a=fmtp:"))
            and line.split(":", 1)[1].split(" ", 1)[0] in dropped
        ):
            continue
        out.append(line)
    return "\r\n".join(out) + "\r\n"


def read_audio(text: str) -> AudioDescription | None:
    """Return the first audio section of a description, or None when there is none that could be used.

    Nothing in `text` is trusted: no address, a name instead of one, a port out of range or no format known to us give None.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    at = next((index for index, line in enumerate(lines) if line.startswith("m=audio ")), -1)
    if at < 0:
        return None
    fields = lines[at].split()
    port = _port(fields[1].split("/")[0]) if len(fields) > 3 else None
    end = next((index for index in range(at + 1, len(lines)) if lines[index].startswith("m=")), len(lines))
    first_section = next(index for index, line in enumerate(lines) if line.startswith("m="))
    section, session = lines[at + 1 : end], lines[:first_section]
    host = _connection(section) or _connection(session)
    if port is None or host is None:
        return None
    names = _names(lines, at)
    codecs = tuple(
        name for name in (names.get(pt, "") for pt in fields[3:]) if name in STATIC_CODECS.values()
    )
    if not codecs:
        return None
    dtmf_pt = next((int(pt) for pt in fields[3:] if names.get(pt) == "TELEPHONE-EVENT" and pt.isdigit()), -1)
    rtcp_host, rtcp_port = host, port + 1 if 0 < port < 65535 else 0
    direction = next((DIRECTIONS[line[2:].strip()] for line in session if line[2:].strip() in DIRECTIONS), 3)
    ptime_ms = 20
    for line in section:
        name, _, value = line[2:].partition(":") if line.startswith("a=") else ("", "", "")
        if name.strip() in DIRECTIONS:
            direction = DIRECTIONS[name.strip()]
        elif name == "ptime" and (found := _port(value.strip())) and found <= 200:
            ptime_ms = found
        elif name == "rtcp" and value.split():
            rtcp_port = _port(value.split()[0]) or rtcp_port
            rtcp_host = _connection([f"c={' '.join(value.split()[1:])}"]) or rtcp_host
    return AudioDescription(
        host=host,
        port=port,
        codecs=codecs,
        dtmf_pt=dtmf_pt,
        ptime_ms=ptime_ms,
        direction=direction,
        rtcp_host=rtcp_host,
        rtcp_port=rtcp_port,
    )


def _names(lines: Sequence[str], at: int) -> dict[str, str]:
    """Return payload type → upper-case codec name of the section that begins at `at`; only names at 8000 Hz, one channel."""
    names = {str(pt): name for pt, name in STATIC_CODECS.items()}
    for line in lines[at + 1 :]:
        if line.startswith("m="):
            break
        if line.startswith("a=rtpmap:"):
            parts = line.removeprefix("a=rtpmap:").split()
            encoding = parts[1].upper().split("/") if len(parts) > 1 else []
            if len(encoding) >= 2 and encoding[1] == "8000" and encoding[2:] in ([], ["1"]):
                names[parts[0]] = encoding[0]
    return names


def _ordered(formats: Sequence[str], names: dict[str, str], codecs: Sequence[str]) -> list[str]:
    wanted = [pt for codec in codecs for pt in formats if names.get(pt) == codec.upper()]
    if not wanted:
        return list(formats)
    return wanted + [pt for pt in formats if names.get(pt) == "TELEPHONE-EVENT"]


def _port(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535 else None


def _connection(lines: Sequence[str]) -> str | None:
    for line in lines:
        parts = line[2:].split() if line.startswith("c=") else []
        if len(parts) >= 3 and parts[0] == "IN" and parts[1] in {"IP4", "IP6"}:
            try:
                return str(ipaddress.ip_address(parts[2].split("/")[0]))
            except ValueError:
                return None
    return None
