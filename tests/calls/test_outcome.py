"""How an ending becomes an outcome."""

from __future__ import annotations

import pytest

from dialer_core.calls.outcome import outcome_of_response, outcome_of_verdict
from dialer_core.vocabulary import LIVE_VERDICTS, EndedBy, Outcome, Verdict

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("code", "q850", "by", "rang", "progressed", "outcome"),
    [
        (486, 0, EndedBy.FAR, True, True, Outcome.BUSY),
        (600, 0, EndedBy.FAR, False, False, Outcome.BUSY),
        (603, 0, EndedBy.FAR, True, True, Outcome.DECLINED),
        (404, 0, EndedBy.FAR, False, False, Outcome.INVALID_NUMBER),
        (484, 0, EndedBy.FAR, False, False, Outcome.INVALID_NUMBER),
        (480, 0, EndedBy.FAR, False, False, Outcome.UNAVAILABLE),
        (480, 0, EndedBy.FAR, True, True, Outcome.NO_ANSWER),
        (503, 0, EndedBy.FAR, False, False, Outcome.CONGESTION),
        (503, 1, EndedBy.FAR, False, False, Outcome.INVALID_NUMBER),
        (500, 17, EndedBy.FAR, False, False, Outcome.BUSY),
        (487, 0, EndedBy.LIMIT, True, True, Outcome.NO_ANSWER),
        (408, 0, EndedBy.LIMIT, False, False, Outcome.TRUNK_FAILED),
        (408, 0, EndedBy.FAR, True, True, Outcome.NO_ANSWER),
        (401, 0, EndedBy.FAR, False, False, Outcome.TRUNK_FAILED),
        (302, 0, EndedBy.FAR, False, False, Outcome.REDIRECTED),
        (488, 0, EndedBy.FAR, False, False, Outcome.MEDIA_FAILED),
        (0, 0, EndedBy.WORKER, False, False, Outcome.CANCELLED),
        (488, 0, EndedBy.WORKER, False, False, Outcome.MEDIA_FAILED),
        (502, 0, EndedBy.WORKER, False, False, Outcome.TRUNK_FAILED),
        (503, 0, EndedBy.WORKER, False, False, Outcome.TRUNK_FAILED),
        (699, 0, EndedBy.FAR, False, False, Outcome.REJECTED),
        (503, 16, EndedBy.FAR, False, False, Outcome.CONGESTION),
    ],
)
def test_a_final_response_has_its_outcome(
    code: int, q850: int, by: EndedBy, *, rang: bool, progressed: bool, outcome: Outcome
) -> None:
    """The code says it, unless a Q.850 cause says more; normal clearing says nothing."""
    assert (
        outcome_of_response(code, q850, by, rang=rang, progressed=progressed, early_verdict=None) is outcome
    )


@pytest.mark.parametrize(
    ("code", "early", "outcome"),
    [
        (480, Verdict.SIT, Outcome.SIT),
        (503, Verdict.ANNOUNCEMENT, Outcome.ANNOUNCEMENT),
        (404, Verdict.SIT, Outcome.INVALID_NUMBER),
        (486, Verdict.SIT, Outcome.BUSY),
        (480, Verdict.RINGBACK, Outcome.UNAVAILABLE),
    ],
)
def test_early_media_refines_a_vague_code_only(code: int, early: Verdict, outcome: Outcome) -> None:
    """A SIT heard before the final response tells more than a 480, and less than a 404."""
    heard = outcome_of_response(code, 0, EndedBy.FAR, rang=False, progressed=True, early_verdict=early)
    assert heard is outcome


def test_every_verdict_that_is_no_person_has_an_outcome() -> None:
    """And none that is routed as a person has one."""
    for verdict in Verdict:
        if verdict in LIVE_VERDICTS:
            with pytest.raises(KeyError):
                outcome_of_verdict(verdict)
        else:
            assert outcome_of_verdict(verdict) in Outcome
