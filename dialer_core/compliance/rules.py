"""The shape of a rule pack: one TOML file of contact rules for one jurisdiction, as checked, frozen objects.

It owns what a rule may say and how its parts are checked. Windows and holidays are `calendar.py`'s. It does not read files
(`packs.py`) and decides nothing (`windows.py`, `caps.py`, `gate.py`).
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import Field, PrivateAttr, model_validator

from dialer_core.compliance.calendar import CitedRule, Holidays, Rule, Windows
from dialer_core.vocabulary import Channel, Outcome, RestrictionKind

WEEKLY_CEILING = "weekly_ceiling"
DEFAULT_WEEKLY_CEILING = 14
HOUSE_CEILING = "house-weekly-ceiling"
"""The source of the ceiling that a pack without its own is given."""


class Source(Rule):
    """Where a rule comes from."""

    text: str = Field(min_length=1)
    """The law or the publication, so that it can be found."""
    read: bool = False
    """The primary text was read and says what the rules that cite it say."""
    url: str = ""


class CapScope(enum.StrEnum):
    """Whose contacts a cap counts."""

    PERSON = "person"
    ACCOUNT = "account"
    ADDRESS = "address"
    """The number or address contacted, whoever's it is."""


class NamedRule(CitedRule):
    """A rule with a name of its own."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")
    """The rule's name in refusals and evidence."""


class CountingRule(NamedRule):
    """A rule that looks at the contacts of one person, account or address."""

    per: CapScope


class Cap(CountingRule):
    """At most `limit` contacts with one person, account or address in a stretch of time."""

    limit: Annotated[int, Field(ge=1)]
    rolling_days: Annotated[float, Field(gt=0, le=366)] | None = None
    """The last so many times 24 hours."""
    local_days: Annotated[int, Field(ge=1, le=366)] | None = None
    """The callee's calendar days up to and with today; 1 is today."""
    channels: tuple[Channel, ...] = ()
    """Channels that count and are limited; empty: all."""

    @model_validator(mode="after")
    def _one_window(self) -> Self:
        if (self.rolling_days is None) == (self.local_days is None):
            msg = "give rolling_days or local_days, one of them"
            raise ValueError(msg)
        return self


class QuietPeriod(CountingRule):
    """After a conversation, or after other outcomes, nobody is contacted for a while."""

    after: tuple[Outcome, ...] = ()
    """Outcomes that begin it; empty: a conversation."""
    local_days: Annotated[int, Field(ge=1, le=366)] | None = None
    """The callee's calendar days, that of the conversation being day 1."""
    hours: Annotated[float, Field(gt=0, le=366 * 24)] | None = None
    """Or so many hours. One of the two."""
    channels: tuple[Channel, ...] = ()
    """Channels of the conversation and of the contact refused; empty: all."""

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.local_days is None) == (self.hours is None):
            msg = "give local_days or hours, one of them"
            raise ValueError(msg)
        return self

    @property
    def cause(self) -> str:
        """What begins it, in words."""
        return " or ".join(self.after) if self.after else "a conversation"

    @property
    def length(self) -> str:
        """How long it is, in words."""
        if self.hours is not None:
            return f"{self.hours:g} hours"
        return "the day" if self.local_days == 1 else f"{self.local_days} days"


class SingleChannel(CountingRule):
    """Who was contacted by one channel is not contacted by another for some of the callee's calendar days."""

    local_days: Annotated[int, Field(ge=1, le=366)]
    """The day of the contact is day 1."""


class ConsentNeeded(NamedRule):
    """Nobody is contacted by these channels without having said that they may be."""

    channels: Annotated[tuple[Channel, ...], Field(min_length=1)]
    phone_kinds: tuple[str, ...] = ()
    """Kinds of number that need it, as `mobile`, `unknown`; empty: every address."""


class LocalRules(CitedRule):
    """Part of the jurisdiction with rules of its own: another pack, whose rules hold beside these for whoever is there."""

    pack: str = Field(min_length=1)
    """Name of that pack. Its windows, holidays, caps, quiet periods, channels and consents hold; its abandonment profile does not."""
    regions: tuple[str, ...] = ()
    """Where the person lives (ISO 3166-2: `US-FL`),"""
    prefixes: tuple[Annotated[str, Field(pattern=r"^\+[1-9]\d*$")], ...] = ()
    """or how the number begins. Either makes them hold."""

    def concern(self, address: str, region: str | None) -> bool:
        """Say whether somebody at this address, of this region, is there."""
        return address.startswith(self.prefixes or ("-",)) or (region is not None and region in self.regions)

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if not (self.regions or self.prefixes):
            msg = "give regions or prefixes: rules for nobody are a mistake"
            raise ValueError(msg)
        return self


class LedgerWindow(Rule):
    """A stretch of time over which abandoned calls are counted against live answers."""

    name: str = Field(min_length=1)
    days: Annotated[float, Field(gt=0, le=366)] | None = None
    """The last so many times 24 hours; missing: the campaign's whole life."""


class Abandonment(CitedRule):
    """The pack's profile of abandoned calls."""

    ceiling: Annotated[float, Field(gt=0, lt=0.2)]
    """Share of live answers that may be abandoned, in every window."""
    limit_s: Annotated[float, Field(gt=0, le=10)] = 2.0
    """Seconds from the end of the person's greeting to an agent; later is abandoned."""
    message_required: bool = True
    lock_hours: Annotated[float, Field(ge=0, le=720)] = 0.0
    """After an abandoned call, the person is not dialed again for so long."""
    count_lost: bool = False
    """The estimate of people lost to detection counts as abandoned."""
    lost_assumed: Annotated[float, Field(ge=0, le=1)] = 0.005
    """Share of machine verdicts taken for lost people while a campaign has little evidence of its own."""
    windows: Annotated[tuple[LedgerWindow, ...], Field(min_length=1)]


class Voicemail(CitedRule):
    """Whether a message may be left with a machine."""

    message: bool
    """An automatic message after the beep is allowed: a neutral one, that says nothing of a debt."""


class RecordingRule(enum.StrEnum):
    """What must come before a conversation is recorded, the least first."""

    NONE = "none"
    """Nothing."""
    ANNOUNCE = "announce"
    """The person is told; who goes on talking is recorded, who refuses is not."""
    CONSENT = "consent"
    """The person has agreed, on this call: until then nothing is recorded."""


class Recording(CitedRule):
    """What must come before a conversation is recorded."""

    rule: RecordingRule


class RulePack(Rule):
    """Everything one file says. `version` names the content, so evidence says exactly by which rules it was decided."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    title: str
    version: str
    """As the file says, with a digest of the file's content behind `+`."""
    jurisdiction: str
    verified: bool
    """Every rule's primary text has been read."""
    loopback_only: bool = False
    """For demonstrations and tests: only trunks on loopback addresses may be dialed by it."""
    ring_min_s: Annotated[float, Field(ge=0, le=60)] = 0.0
    """Shortest ring before an unanswered call may be released."""
    caller_id_required: bool = True
    creditor_required: bool = True
    sources: dict[str, Source]
    windows: Windows
    holidays: Holidays = Holidays()
    caps: tuple[Cap, ...]
    quiet_periods: tuple[QuietPeriod, ...] = ()
    single_channels: tuple[SingleChannel, ...] = ()
    consents: tuple[ConsentNeeded, ...] = ()
    local: tuple[LocalRules, ...] = ()
    void_outcomes: frozenset[Outcome]
    """Outcomes that never reached the number: their contacts do not count."""
    abandonment: Abandonment
    voicemail: Voicemail | None = None
    """Missing: no message is left."""
    recording: Recording | None = None
    """Missing: the person is told before they are recorded."""

    _linked: dict[str, RulePack] = PrivateAttr(default_factory=dict)

    def link(self, packs: Mapping[str, RulePack]) -> str | None:
        """Find the packs that `local` names; return the first name that is not there, or leads on to local rules of its own."""
        for one in self.local:
            found = packs.get(one.pack)
            if found is None or found is self or found.local:
                return one.pack
            self._linked[one.pack] = found
        return None

    def every(self) -> tuple[RulePack, ...]:
        """Return this pack and those for parts of its jurisdiction.

        Raises
        ------
        LookupError
            The pack was not linked: whoever asks must not go on without its local rules.
        """
        return (self, *(self._linked[one.pack] for one in self.local))

    def for_callee(self, address: str, region: str | None) -> tuple[RulePack, ...]:
        """Return the packs that hold for somebody, this one first; raises as `every`."""
        return (self, *(self._linked[one.pack] for one in self.local if one.concern(address, region)))

    def recording_for(self, address: str, region: str | None) -> RecordingRule:
        """Return what must come before somebody is recorded: the strictest word of the packs that hold for them; raises as `every`."""
        said = {
            one.recording.rule if one.recording else RecordingRule.ANNOUNCE
            for one in self.for_callee(address, region)
        }
        return max(said, key=list(RecordingRule).index)

    def unread(self, rule: CitedRule) -> list[str]:
        """Return the sources of a rule that nobody has read; a rule with none is verified."""
        return [name for name in rule.cite if not self.sources[name].read]

    @model_validator(mode="before")
    @classmethod
    def _ceiling_over_all_channels(cls, raw: Any) -> Any:
        """Give a pack that limits contacts with a person over all channels and a week nowhere the house's ceiling."""
        if not isinstance(raw, dict) or not isinstance(raw.get("caps"), list | tuple):
            return raw
        if any(_is_weekly_ceiling(cap) for cap in raw["caps"]):
            return raw
        ceiling = {
            "id": WEEKLY_CEILING, "per": "person", "limit": DEFAULT_WEEKLY_CEILING, "rolling_days": 7, "cite": [HOUSE_CEILING],
        }  # fmt: skip
        source = {
            "text": "House practice: a weekly ceiling over all channels also where no law names one",
            "read": True,
        }
        sources = raw.get("sources")
        if isinstance(sources, dict):
            raw = raw | {"sources": sources | {HOUSE_CEILING: source}}
        return raw | {"caps": [*raw["caps"], ceiling]}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        ids = [rule.id for rule in self.named()]
        if twice := next((one for one in ids if ids.count(one) > 1), None):
            msg = f"two rules have the id {twice!r}"
            raise ValueError(msg)
        if clash := next((one for one in ids if one in RESERVED_RULES), None):
            msg = f"the id {clash!r} is the gate's own"
            raise ValueError(msg)
        cited = {source for _, rule in self.rules() for source in rule.cite}
        if unknown := sorted(cited - self.sources.keys()):
            msg = f"a rule cites {unknown[0]!r}, which is not among the sources: {', '.join(sorted(self.sources))}"
            raise ValueError(msg)
        if self.verified and (unread := sorted(name for name in cited if not self.sources[name].read)):
            msg = f"verified = true, but the source {unread[0]!r} is not marked as read"
            raise ValueError(msg)
        return self

    def named(self) -> tuple[NamedRule, ...]:
        """Return the rules with names of their own."""
        return (*self.consents, *self.counting())

    def counting(self) -> tuple[CountingRule, ...]:
        """Return the rules that look at contacts."""
        return (*self.quiet_periods, *self.single_channels, *self.caps)

    def rules(self) -> Iterator[tuple[str, CitedRule]]:
        """Yield every rule with a name for people."""
        yield "windows", self.windows
        for day in self.holidays.rules:
            yield f"holiday: {day.name}", day
        for listed in self.holidays.days:
            yield f"holiday: {listed.name}", listed
        for rule in self.named():
            yield rule.id, rule
        for local in self.local:
            yield f"local rules: {local.pack}", local
        yield "abandonment", self.abandonment
        if self.voicemail is not None:
            yield "voicemail", self.voicemail
        if self.recording is not None:
            yield "recording", self.recording


def _is_weekly_ceiling(cap: Any) -> bool:
    if not isinstance(cap, dict) or cap.get("per") != "person" or cap.get("channels"):
        return False
    days = cap.get("rolling_days") or cap.get("local_days")
    return isinstance(days, int | float) and 1 <= days <= 7


RESERVED_RULES = frozenset(
    {
        "window",
        "weekday",
        "holiday",
        "zone_unknown",
        "rule_pack",
        "gate_error",
        "consent_refused",
        "live_attempt",
    }
) | {kind.value for kind in RestrictionKind}
"""Names of the gate's own refusals; a restriction refuses under its kind's name."""
