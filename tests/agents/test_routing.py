"""Who gets a person: the pure choice against its own words, and against a slow obvious version."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialer_core.agents.routing import Asked, Candidate, choose, has
from dialer_core.vocabulary import AgentId

pytestmark = pytest.mark.unit


def one(name: str, *, idle: int = 0, expects: bool = False, **skills: int) -> Candidate:
    """Return an agent idle for so long."""
    return Candidate(AgentId(name), skills, -idle, expects)


def asked(waited_s: float = 0.0, **more: object) -> Asked:
    """Return somebody who needs legal at 3, and after 10 s at 1."""
    values = {"skills": {"legal": 3}, "overflow_skills": {"legal": 1}, "overflow_s": 10.0} | more
    return Asked(waited_s=waited_s, **values)  # type: ignore[arg-type]


NOVICE, GOOD, BEST = one("novice", idle=90, legal=1), one("good", idle=50, legal=3), one("best", legal=9)
FRESH = one("fresh", idle=10, legal=9)


@pytest.mark.parametrize(
    ("free", "who", "gets"),
    [
        ([NOVICE, GOOD, BEST], asked(), "best"),
        ([BEST, FRESH], asked(), "fresh"),
        ([NOVICE], asked(9.9), None),
        ([NOVICE], asked(10.0), "novice"),
        ([NOVICE, GOOD], asked(99.0), "good"),
        ([NOVICE], asked(99.0, overflow_s=None), None),
        ([one("nothing")], asked(99.0, overflow_skills={}), "nothing"),
        ([one("waits", idle=99, legal=9, expects=True), GOOD], asked(), "good"),
        ([one("waits", legal=9, expects=True), NOVICE], asked(), "waits"),
        ([NOVICE, BEST], asked(sticky=AgentId("novice")), "novice"),
        ([BEST], asked(sticky=AgentId("away"), sticky_s=5.0, sticky_comes=False), "best"),
        ([BEST], asked(4.9, sticky=AgentId("busy"), sticky_s=5.0, sticky_comes=True), None),
        ([BEST], asked(5.0, sticky=AgentId("busy"), sticky_s=5.0, sticky_comes=True), "best"),
        ([], asked(99.0), None),
    ],
    ids=[
        "the best level first", "of equals the longest idle", "not skilled enough", "overflow", "the skilled still first after overflow",
        "no overflow", "overflow to anybody", "one who expects their call-back goes last", "but goes before the unskilled",
        "by name, whatever their level", "the one promised is not at work", "kept for the one promised", "not for longer", "nobody is free",
    ],
)  # fmt: skip
def test_who_gets_a_person(free: list[Candidate], who: Asked, gets: str | None) -> None:
    """By name, then by skill and level, then by idle time; wider after a while; nobody where nobody will do."""
    assert choose(free, who) == gets


LEVELS = st.dictionaries(st.sampled_from(["legal", "english"]), st.integers(1, 10))


@given(
    st.lists(st.builds(Candidate, id=st.uuids().map(str), skills=LEVELS, idle_since_ns=st.integers(0, 5), expects=st.booleans())),
    LEVELS, LEVELS, st.one_of(st.none(), st.just(10.0)), st.floats(0, 20),
)  # fmt: skip
def test_nobody_better_is_passed_over(
    free: list[Candidate],
    skills: dict[str, int],
    wider: dict[str, int],
    overflow_s: float | None,
    waited_s: float,
) -> None:
    """Whoever is chosen has what was asked for at that moment, and none who has it too is better; nobody is chosen only where nobody has it."""
    chosen = choose(free, Asked(skills, wider, overflow_s, waited_s))
    able = [agent for agent in free if has(agent.skills, skills)]
    if not able and overflow_s is not None and waited_s >= overflow_s:
        able = [agent for agent in free if has(agent.skills, wider)]
    if chosen is None:
        assert not able
        return
    mine = next(agent for agent in able if agent.id == chosen)
    for other in able:
        theirs = (other.expects, -sum(other.skills.get(name, 0) for name in skills), other.idle_since_ns)
        assert (mine.expects, -sum(mine.skills.get(name, 0) for name in skills), mine.idle_since_ns) <= theirs
