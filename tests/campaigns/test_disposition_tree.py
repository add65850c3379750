"""A campaign's own words: checked when its file is read, asked of agents, and doing what the word above does unless they say otherwise."""

import datetime as dt
from typing import Any

import pytest
from pydantic import ValidationError

from dialer_core.campaigns import dispositions
from dialer_core.disposition_settings import REASONS
from dialer_core.errors import CommandRefusedError
from dialer_core.store import events
from dialer_core.store.database import Database
from dialer_core.vocabulary import Disposition, LeadState, Outcome, RestrictionKind
from tests.campaigns.lists import (
    CAMPAIGN,
    NOON,
    TABLES,
    put_lead,
    put_list_campaign,
    row_of,
    rows,
    settings_of,
)
from tests.campaigns.test_recycle import ANA, dial, end

OWN = {
    "pays_on_payday": {"under": "right_party", "label": "Paga en quincena", "again_after_minutes": 60},
    "payday_not_sure": {"under": "pays_on_payday", "needs_reason": True},
    "has_attorney": {"under": "disputes", "restriction": "attorney", "scope": "person"},
    "later_today": {"under": "callback"},
    "refuses": {"needs_reason": True, "label": "No quiere pagar"},
    "third_party": {"again_after_minutes": 2880},
    "right_party": {"hidden": True},
}
WITH_OWN = settings_of(dispositions=OWN)


@pytest.mark.unit
def test_a_word_inherits_what_it_does_not_say() -> None:
    """Roots, pauses, restrictions and needed reasons come down the tree; built-in words stay where they are."""
    words = dispositions.words_of(WITH_OWN)
    assert [*words][: len(Disposition)] == list(Disposition)
    unsure = words["payday_not_sure"]
    assert (unsure.root, unsure.effect.again_after) == (Disposition.RIGHT_PARTY, dt.timedelta(hours=1))
    assert unsure.needs_reason
    assert words["has_attorney"].effect.restriction is RestrictionKind.ATTORNEY
    assert words["refuses"].label == "No quiere pagar"
    assert words["third_party"].effect.again_after == dt.timedelta(days=2)
    assert words["later_today"].root is Disposition.CALLBACK
    assert dispositions.words_of(None).keys() == set(Disposition)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"Mine": {"under": "other"}}, "a word is up to 32"),
        ({"mine": {}}, "needs `under`"),
        ({"mine": {"under": "nothing"}}, "under 'nothing', which is no word; built in are right_party"),
        ({"a": {"under": "b"}, "b": {"under": "a"}}, "stands under itself"),
        ({"mine": {"under": "machine"}}, "nothing stands under 'machine'"),
        ({"mine": {"under": "promise", "finish": True, "again_after_minutes": 5}}, "exclude each other"),
        ({"mine": {"under": "promise", "scope": "phone"}}, "belong to a restriction"),
        ({"deceased": {"again_after_minutes": 5}}, "built in with a restriction"),
        ({"promise": {"under": "refuses"}}, "built in; its place"),
        ({"mine": {"under": "promise", "surprise": 1}}, "Extra inputs"),
    ],
)
def test_a_wrong_tree_is_refused_when_it_is_read(words: dict[str, Any], said: str) -> None:
    """Each mistake is named with its word and what would be right."""
    with pytest.raises(ValidationError, match=said.replace("(", r"\(")):
        settings_of(dispositions=words)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("word", "reason", "said"),
    [
        ("payday", None, "'payday' is no disposition here; allowed are: promise"),
        ("right_party", None, "is no disposition here"),
        ("refuses", None, "refuses needs a reason for non-payment: unemployed"),
        ("refuses", "bored", "'bored' is no reason here; allowed are: unemployed"),
    ],
)
def test_an_agent_may_say_the_campaigns_words_only(word: str, reason: str | None, said: str) -> None:
    """Unknown and hidden words, missing and unknown reasons are refused with those that are allowed."""
    with pytest.raises(CommandRefusedError, match=said) as refused:
        dispositions.check(WITH_OWN, word, reason)
    assert refused.value.kind == "invalid"


@pytest.mark.db
@pytest.mark.parametrize("during", [True, False])
def test_words_do_what_they_say(database: Database, *, during: bool) -> None:
    """A word of the campaign's own moves the lead and restricts as its tree says, said during the talk or after; the reason is kept."""
    with database.write() as tx:
        put_list_campaign(tx)
        listed = put_lead(tx, ["+525500000001"])
        one = dial(tx)
        tx.execute(TABLES["attempt"].update().values(agent_id="ana"))

        def say(word: str, reason: str | None = None) -> None:
            dispositions.apply(
                tx, attempt_id=one.attempt_id, disposition=word, agent_id=ANA, now=NOON, reason=reason,
                campaigns={CAMPAIGN: WITH_OWN},
            )  # fmt: skip

        if during:
            say("payday_not_sure", "illness")
        state = end(tx, one.attempt_id, Outcome.CONNECTED, settings=WITH_OWN, live_answer=True, talked=True)
        if not during:
            say("payday_not_sure", "illness")
        lead = row_of(tx, "lead", listed.lead)
        assert (lead["state"], lead["next_at_utc"]) == ("dialable", NOON + dt.timedelta(hours=1))
        assert state is (LeadState.DIALABLE if during else LeadState.FINISHED)
        attempt = row_of(tx, "attempt", one.attempt_id)
        assert (attempt["disposition"], attempt["reason"]) == ("payday_not_sure", "illness")
        [told] = events.tail(tx, {}, ["attempt.dispositioned"])
        assert told.data["reason"] == "illness"
        say("has_attorney")
        [restriction] = rows(tx, "restriction")
        assert (restriction["kind"], restriction["scope"]) == ("attorney", "person")
        assert row_of(tx, "lead", listed.lead)["finished_reason"] == "has_attorney"
        assert row_of(tx, "attempt", one.attempt_id)["reason"] == "illness"  # nobody took it back


@pytest.mark.unit
def test_what_a_desk_is_shown() -> None:
    """The view holds what agents may say, without what is hidden, and the campaign's reasons."""
    view = dispositions.words_view(WITH_OWN)
    names = [one.name for one in view.dispositions]
    assert "right_party" not in names
    assert names.index("pays_on_payday") < names.index("payday_not_sure")
    assert view.reasons == REASONS
    assert dispositions.words_view(settings_of(reasons={"flood": "Inundación"})).reasons == {
        "flood": "Inundación"
    }
