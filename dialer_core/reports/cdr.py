"""Call detail records: one row for each attempt, with its times, what ended it in SIP's own words, and who spoke.

It owns the columns and the names of SIP's answers. Rows come by the thousand from `store/call_records.py`, so that a file of millions needs no
memory.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any, Final

from dialer_core.reports.asked import Asked
from dialer_core.reports.sheet import Column
from dialer_core.store import call_records
from dialer_core.store.call_records import CallRecord
from dialer_core.store.tx import Tx

SIP_REASONS: Final[dict[int, str]] = {
    200: "OK", 300: "Multiple Choices", 301: "Moved Permanently", 302: "Moved Temporarily", 305: "Use Proxy", 380: "Alternative Service",
    400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    406: "Not Acceptable", 407: "Proxy Authentication Required", 408: "Request Timeout", 410: "Gone", 413: "Request Entity Too Large",
    414: "Request-URI Too Long", 415: "Unsupported Media Type", 416: "Unsupported URI Scheme", 420: "Bad Extension",
    421: "Extension Required", 423: "Interval Too Brief", 428: "Use Identity Header", 436: "Bad Identity Info",
    437: "Unsupported Credential", 438: "Invalid Identity Header", 480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist", 482: "Loop Detected", 483: "Too Many Hops", 484: "Address Incomplete", 485: "Ambiguous",
    486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here", 491: "Request Pending", 493: "Undecipherable",
    500: "Server Internal Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Server Time-out",
    505: "Version Not Supported", 513: "Message Too Large", 580: "Precondition Failure", 600: "Busy Everywhere", 603: "Decline",
    604: "Does Not Exist Anywhere", 606: "Not Acceptable", 607: "Unwanted", 608: "Rejected",
}  # fmt: skip
"""RFC 3261, section 21; 428 to 438: RFC 8224; 580: RFC 3312; 607: RFC 8197; 608: RFC 8688."""

_TEXT: Final = "text"
COLUMNS: tuple[Column, ...] = (
    Column("attempt_id", "key", "Ours, and the SIP Call-ID's beginning."),
    Column("call_id", _TEXT, "SIP's."),
    Column("retry_of", _TEXT, "The attempt that this one followed on another trunk."),
    Column("node", _TEXT), Column("trunk", _TEXT), Column("campaign", _TEXT),
    Column("account_id", _TEXT), Column("person_id", _TEXT),
    Column("to", _TEXT, "The number called, in E.164."),
    Column("started_at", "time", "When it was committed, just before the INVITE."),
    Column("ringing_at", "time"), Column("answered_at", "time"), Column("bridged_at", "time", "When an agent was there."), Column("ended_at", "time"),
    Column("ring_s", "seconds", "From the INVITE to the answer or the end."),
    Column("billed_s", "seconds", "From the answer to the end."),
    Column("wait_s", "seconds", "From the answer to the agent."),
    Column("talk_s", "seconds", "From the agent to the end."),
    Column("outcome", _TEXT), Column("ended_by", _TEXT, "far, us, limit, worker."),
    Column("sip_code", "count", "The final answer's."), Column("sip_reason", _TEXT, "In SIP's words."),
    Column("q850", "count", "Cause by ITU-T Q.850, where the far end told one."),
    Column("verdict", _TEXT, "What answered, as detection heard it."),
    Column("live_answer", "count"), Column("abandoned", "count"),
    Column("agent", _TEXT), Column("disposition", _TEXT), Column("reason", _TEXT, "Why they do not pay."),
)  # fmt: skip


def cdr(tx: Tx, asked: Asked) -> Iterator[tuple[Any, ...]]:
    """Yield the records of what is asked for, in the order of their beginning, as rows of `COLUMNS`. Times are UTC."""
    for record in call_records.between(tx, asked.since_utc, asked.until_utc, asked.columns):
        yield _row(record)


def _row(one: CallRecord) -> tuple[Any, ...]:
    return (
        one.id, one.call_id, one.retry_of, one.node, one.trunk, one.campaign_id, one.account_id, one.person_id, one.number,
        _iso(one.started_at_utc), _iso(one.ringing_at_utc), _iso(one.answered_at_utc), _iso(one.bridged_at_utc), _iso(one.ended_at_utc),
        one.ring_s, one.billed_s, one.wait_s, one.talk_s, one.outcome, one.ended_by, one.sip_code,
        SIP_REASONS.get(one.sip_code or 0), one.q850, one.verdict, int(one.live_answer), int(one.abandoned), one.agent_id, one.disposition,
        one.reason,
    )  # fmt: skip


def _iso(at: dt.datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="milliseconds")
