"""How an ending becomes an `Outcome`: SIP codes, Q.850 causes and verdicts, as tables.

It owns the mapping alone. Q.850 wins over the SIP code where it says more (a gateway's 503 with cause 1 is an unallocated number);
RFC 3398 and RFC 4497 are where the pairs come from.
"""

from __future__ import annotations

from typing import Final

from dialer_core.vocabulary import EndedBy, Outcome, Verdict

_BY_CAUSE: Final[dict[int, Outcome]] = {
    1: Outcome.INVALID_NUMBER,
    2: Outcome.INVALID_NUMBER,
    3: Outcome.INVALID_NUMBER,
    17: Outcome.BUSY,
    18: Outcome.NO_ANSWER,
    19: Outcome.NO_ANSWER,
    20: Outcome.UNAVAILABLE,
    21: Outcome.DECLINED,
    22: Outcome.INVALID_NUMBER,
    26: Outcome.INVALID_NUMBER,
    27: Outcome.UNAVAILABLE,
    28: Outcome.INVALID_NUMBER,
    34: Outcome.CONGESTION,
    38: Outcome.CONGESTION,
    41: Outcome.CONGESTION,
    42: Outcome.CONGESTION,
    44: Outcome.CONGESTION,
    47: Outcome.CONGESTION,
    88: Outcome.MEDIA_FAILED,
}
"""ITU-T Q.850 causes that say what became of a call. 16 and 31 (normal) say nothing."""

_BY_CODE: Final[dict[int, Outcome]] = {
    401: Outcome.TRUNK_FAILED,
    403: Outcome.DECLINED,
    404: Outcome.INVALID_NUMBER,
    405: Outcome.TRUNK_FAILED,
    407: Outcome.TRUNK_FAILED,
    410: Outcome.INVALID_NUMBER,
    415: Outcome.MEDIA_FAILED,
    480: Outcome.UNAVAILABLE,
    484: Outcome.INVALID_NUMBER,
    485: Outcome.INVALID_NUMBER,
    486: Outcome.BUSY,
    488: Outcome.MEDIA_FAILED,
    600: Outcome.BUSY,
    603: Outcome.DECLINED,
    604: Outcome.INVALID_NUMBER,
    606: Outcome.MEDIA_FAILED,
    607: Outcome.DECLINED,
    608: Outcome.DECLINED,
}

_BY_VERDICT: Final[dict[Verdict, Outcome]] = {
    Verdict.MACHINE: Outcome.MACHINE,
    Verdict.IVR: Outcome.MACHINE,
    Verdict.MUSIC: Outcome.MACHINE,
    Verdict.SCREENING: Outcome.SCREENING,
    Verdict.FAX: Outcome.FAX,
    Verdict.SIT: Outcome.SIT,
    Verdict.ANNOUNCEMENT: Outcome.ANNOUNCEMENT,
    Verdict.BUSY: Outcome.NETWORK_TONE,
    Verdict.REORDER: Outcome.NETWORK_TONE,
    Verdict.RINGBACK: Outcome.NETWORK_TONE,
}

_EARLY_REFINES: Final = frozenset(
    {Outcome.UNAVAILABLE, Outcome.CONGESTION, Outcome.REJECTED, Outcome.NO_ANSWER}
)
"""Vague outcomes that an unmistakable early SIT or announcement says more about."""

TRUNK_FAULTS: Final = frozenset({Outcome.TRUNK_FAILED, Outcome.CONGESTION})
"""Outcomes that speak of the trunk, not of the number: another trunk is worth a new attempt."""


def outcome_of_verdict(verdict: Verdict) -> Outcome:
    """Return the outcome of an answered call whose verdict is not a person's.

    Raises
    ------
    KeyError
        The verdict is routed as a person.
    """
    return _BY_VERDICT[verdict]


def outcome_of_response(
    code: int, q850: int, by: EndedBy, *, rang: bool, progressed: bool, early_verdict: Verdict | None
) -> Outcome:
    """Return the outcome of an attempt that was never answered.

    Parameters
    ----------
    code
        Final SIP code; 0 where none came.
    q850
        Cause of a Reason header; 0 where there is none.
    by
        Who ended it.
    rang
        It had been ringing.
    progressed
        Any 1xx above 100 had come: the trunk is alive.
    early_verdict
        What early media was heard to be.
    """
    if (
        by is EndedBy.WORKER
    ):  # no INVITE left: its own doing, no description made, or (502, 503) no way to the trunk
        return {0: Outcome.CANCELLED, 488: Outcome.MEDIA_FAILED}.get(code, Outcome.TRUNK_FAILED)
    if by is EndedBy.LIMIT:
        if code == 488:
            return Outcome.MEDIA_FAILED
        outcome = Outcome.NO_ANSWER if rang or progressed else Outcome.TRUNK_FAILED
    elif q850 in _BY_CAUSE:
        outcome = _BY_CAUSE[q850]
    elif code in _BY_CODE:
        outcome = _BY_CODE[code]
        if code == 480 and rang:
            outcome = Outcome.NO_ANSWER
    elif 300 <= code < 400:
        outcome = Outcome.REDIRECTED
    elif code in (408, 487):
        outcome = Outcome.NO_ANSWER if rang or progressed else Outcome.TRUNK_FAILED
    elif 500 <= code < 600:
        outcome = Outcome.CONGESTION
    elif code == 0:
        outcome = Outcome.TRUNK_FAILED
    else:
        outcome = Outcome.REJECTED
    if outcome in _EARLY_REFINES and early_verdict in (Verdict.SIT, Verdict.ANNOUNCEMENT):
        return _BY_VERDICT[early_verdict]
    return outcome
