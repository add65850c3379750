"""Every way a call can go, with SIPp as the carrier: what the dialer made of it, and what SIPp saw of it."""

from __future__ import annotations

import hashlib
import re

import pytest

from tests.e2e.campaign_run import PASSWORD, USER, CampaignRun
from tests.skips import requires_program

pytestmark = [pytest.mark.sip, requires_program("sipp"), requires_program("baresip")]

CHALLENGED = ["> INVITE", "< 407", "> ACK", "> INVITE", "< 100"]
"""How each call on the first trunk begins: it asks for credentials."""
ANSWERED = ["< 180", "< 200", "> ACK"]
THEIR_BYE = ["< BYE", "> 200"]
OUR_BYE = ["> BYE", "< 200"]


@pytest.mark.parametrize(
    ("suffix", "outcome", "code", "ended_by", "verdict", "rest"),
    [
        (1, "connected", 200, "far", "human", [*ANSWERED, *THEIR_BYE]),
        (2, "connected", 200, "far", "human", [*ANSWERED, *THEIR_BYE]),
        (3, "connected", 200, "far", "silence", [*ANSWERED, *THEIR_BYE]),
        (4, "connected", 200, "far", "silence", [*ANSWERED, *THEIR_BYE]),
        (5, "connected", 200, "far", "human", [*ANSWERED, "< INVITE", "> 200", "< ACK", *THEIR_BYE]),
        (11, "machine", 200, "us", "machine", [*ANSWERED, *OUR_BYE]),
        (12, "fax", 200, "us", "fax", [*ANSWERED, *OUR_BYE]),
        (13, "sit", 200, "us", "sit", [*ANSWERED, *OUR_BYE]),
        (14, "network_tone", 200, "us", "busy", [*ANSWERED, *OUR_BYE]),
        (21, "invalid_number", 404, "far", None, ["< 183", "< 404", "> ACK"]),
        (22, "sit", 480, "far", None, ["< 183", "< 480", "> ACK"]),
        (31, "busy", 486, "far", None, ["< 180", "< 486", "> ACK"]),
        (32, "no_answer", 480, "far", None, ["< 180", "< 480", "> ACK"]),
        (33, "unavailable", 480, "far", None, ["< 480", "> ACK"]),
        (34, "declined", 603, "far", None, ["< 180", "< 603", "> ACK"]),
        (36, "no_answer", 487, "limit", None, ["< 180", "> CANCEL", "< 200", "< 487", "> ACK"]),
        (37, "caller_hung_up", 200, "far", None, [*ANSWERED, *THEIR_BYE]),
        (38, "media_failed", 488, "far", None, ["< 488", "> ACK"]),
        (40, "invalid_number", 404, "far", None, ["< 404", "> ACK"]),
        (41, "redirected", 302, "far", None, ["< 302", "> ACK"]),
    ],
    ids=[
        "a short hello", "a short hello in A-law", "packets of silence", "not one packet", "a session refresh", "voicemail", "fax", "an answered SIT",
        "an answered busy tone", "early SIT, 404", "early SIT, 480", "486", "rings, 480", "480 at once", "603", "rings out",
        "answers and hangs up at once", "488", "404", "302",
    ],
)  # fmt: skip
def test_a_call_ends_in_one_attempt_with_its_outcome(
    campaign_run: CampaignRun,
    suffix: int,
    outcome: str,
    code: int,
    ended_by: str,
    verdict: str | None,
    rest: list[str],
) -> None:
    """One attempt, one Call-ID, the right outcome, code and verdict; SIPp saw exactly these messages."""
    number = campaign_run.numbers[suffix]
    (attempt,) = campaign_run.dialer.attempts(number)
    assert (attempt.outcome, attempt.sip_code, attempt.ended_by, attempt.verdict) == (
        outcome,
        code,
        ended_by,
        verdict,
    )
    assert campaign_run.trunk.story(number) == CHALLENGED + rest


def test_an_unreadable_answer_is_hung_up(campaign_run: CampaignRun) -> None:
    """A 200 whose description nobody can read is acknowledged and ended as `media_failed`; no agent is troubled."""
    number = campaign_run.numbers[39]
    (attempt,) = campaign_run.dialer.attempts(number)
    assert (attempt.outcome, attempt.sip_code, attempt.agent_id) == ("media_failed", 488, None)
    story = campaign_run.trunk.story(number)
    assert story[:7] == [*CHALLENGED, "< 180", "< 200"]
    assert {"> ACK", "> BYE"} <= set(story[7:])


def test_what_plays_before_the_answer_is_listened_to(campaign_run: CampaignRun) -> None:
    """A special information tone before the answer is heard as one, and told as early."""
    for suffix in (21, 22):
        (attempt,) = campaign_run.dialer.attempts(campaign_run.numbers[suffix])
        (told,) = campaign_run.dialer.events("attempt.verdict_given", attempt=attempt.id)
        assert (told.data["label"], told.data["decision_ms"]) == ("sit", -1)


def test_a_failed_trunk_is_followed_by_the_next(campaign_run: CampaignRun) -> None:
    """503 on the first trunk: a new attempt with `retry_of` and a Call-ID of its own reaches the person over the second."""
    number = campaign_run.numbers[35]
    failed, retry = campaign_run.dialer.attempts(number)
    assert (failed.trunk, failed.outcome, failed.sip_code, failed.retry_of) == (
        "first",
        "congestion",
        503,
        None,
    )
    assert (retry.trunk, retry.outcome, retry.retry_of) == ("second", "connected", failed.id)
    assert campaign_run.trunk.story(number) == [*CHALLENGED, "< 503", "> ACK"]
    assert campaign_run.second_trunk.story(number) == ["> INVITE", "< 100", *ANSWERED, *THEIR_BYE]
    (first,), (second,) = (
        trunk.calls_to(number) for trunk in (campaign_run.trunk, campaign_run.second_trunk)
    )
    assert {first, second} == {failed.call_id, retry.call_id}


def test_every_call_to_a_digest_trunk_authenticates(campaign_run: CampaignRun) -> None:
    """Each INVITE comes again under its Call-ID with the response that RFC 2617 gives for user, password and nonce."""
    for number in campaign_run.numbers.values():
        (messages,) = campaign_run.trunk.calls_to(number).values()
        first, second = (m for m in messages if m.start == "INVITE" and not m.sent)
        assert not first.header("Proxy-Authorization")
        given = dict(re.findall(r'(\w+)="?([^",]*)"?', second.header("Proxy-Authorization")))
        assert given["username"] == USER
        secret = _md5(f"{USER}:{given['realm']}:{PASSWORD}")
        request = _md5(f"INVITE:{given['uri']}")
        whole = (secret, given["nonce"], given["nc"], given["cnonce"], given["qop"], request)
        assert given["response"] == _md5(":".join(whole))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def test_the_password_is_nowhere(campaign_run: CampaignRun) -> None:
    """Neither the log of any process nor the configuration holds the trunk's password."""
    places = [campaign_run.dialer.log(), *(f.read_text() for f in campaign_run.dialer.config.rglob("*.toml"))]
    assert not [place for place in places if PASSWORD in place]


def test_an_invite_can_be_joined_to_its_attempt(campaign_run: CampaignRun) -> None:
    """Call-ID and X-Marcador-Attempt of what SIPp received are the stored attempt's; the caller ID is the campaign's."""
    for number in campaign_run.numbers.values():
        attempt = campaign_run.dialer.attempts(number)[0]
        ((call_id, messages),) = campaign_run.trunk.calls_to(number).items()
        assert call_id == attempt.call_id
        assert messages[0].header("X-Marcador-Attempt") == attempt.id
        assert "+525500000000@" in messages[0].header("From")


def test_the_list_is_told_apart(campaign_run: CampaignRun) -> None:
    """Whoever was spoken with is finished; every other lead is dialable later (invariant I18)."""
    spoken = {a.lead_id for a in campaign_run.dialer.attempts() if a.outcome == "connected"}
    for lead in campaign_run.dialer.leads():
        assert (lead.state == "finished") is (lead.id in spoken), lead.last_outcome
        assert lead.state in ("finished", "dialable")


def test_only_people_reach_agents(campaign_run: CampaignRun) -> None:
    """Agents talked to those routed as people and to nobody else, and each conversation went through wrap-up to ready."""
    talked = [a.agent_id for a in campaign_run.dialer.attempts() if a.outcome == "connected"]
    assert len(talked) == 6
    for agent in campaign_run.softphones:
        states = [state for state, _ in campaign_run.dialer.intervals(agent)]
        one = ["reserved", "talking", "wrap_up", "ready"]
        assert states == ["paused", "ready", *one * talked.count(agent)]
