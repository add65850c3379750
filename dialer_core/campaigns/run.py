"""One campaign while the engine runs: its settings, its rule pack, its state and its running totals.

It owns the campaign's state table and the totals; `dialing.py` decides what is placed, `calls/` what becomes of it.
"""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from dialer_core.campaign_settings import CampaignSettings
from dialer_core.campaigns.mix import Mix
from dialer_core.compliance.detection_quality import Quality
from dialer_core.compliance.rules import RecordingRule, RulePack
from dialer_core.list_events import CampaignArchived, CampaignReleased, CampaignReopened
from dialer_core.list_settings import CallerIdPool
from dialer_core.vocabulary import CampaignId, CampaignState, PacingMode, RecordPolicy


class CampaignCue(enum.StrEnum):
    """What can happen to a campaign."""

    START = "start"
    PAUSE = "pause"
    STOP = "stop"
    RELEASE = "release"
    """A draft is ready."""
    ARCHIVE = "archive"
    """It is over."""
    REOPEN = "reopen"
    """It was not."""
    LIST_DONE = "list_done"
    """Every lead is finished and no attempt is alive."""
    LEADS_CAME = "leads_came"
    """A finished list has dialable leads again."""


PACKAGED_REFUSE_KEY: Final = "9"
"""What the packaged announcement of a recording says."""
MESSAGE_LEAD_S: Final = 0.2
"""From the deadline to the first audible sound of the abandonment message: 0.15 s were seen on the wire (a tick, the way there, and the
silence before the first word)."""
S = CampaignState
_CUES: Final = tuple(CampaignCue)
_ROWS: Final[dict[CampaignState, tuple[CampaignState | None, ...]]] = {
    # state      start      pause     stop       release    archive     reopen     list done   leads came
    S.DRAFT:    (None,      None,     None,      S.STOPPED, S.ARCHIVED, None,      None,       None),
    S.STOPPED:  (S.RUNNING, None,     None,      None,      S.ARCHIVED, None,      None,       None),
    S.RUNNING:  (None,      S.PAUSED, S.STOPPED, None,      None,       None,      S.FINISHED, None),
    S.PAUSED:   (S.RUNNING, None,     S.STOPPED, None,      None,       None,      None,       None),
    S.FINISHED: (S.RUNNING, None,     S.STOPPED, None,      S.ARCHIVED, None,      None,       S.RUNNING),
    S.ARCHIVED: (None,      None,     None,      None,      None,       S.STOPPED, None,       None),
}  # fmt: skip
TABLE: Final[dict[tuple[CampaignState, CampaignCue], CampaignState | None]] = {
    (state, cue): cell for state, row in _ROWS.items() for cue, cell in zip(_CUES, row, strict=True)
}
"""None: the cue makes no sense there (a command is refused, an observation ignored). Rendered into the documentation."""
SHELF: Final[dict[CampaignCue, type[CampaignReleased | CampaignArchived | CampaignReopened]]] = {
    CampaignCue.RELEASE: CampaignReleased,
    CampaignCue.ARCHIVE: CampaignArchived,
    CampaignCue.REOPEN: CampaignReopened,
}
"""Commands by which a campaign comes off the shelf and goes back, and the event that tells of each."""


def possible(state: CampaignState) -> str:
    """Return in words what somebody may ask of a campaign in this state."""
    commands = [
        cue
        for cue in _CUES
        if TABLE[state, cue] and cue not in {CampaignCue.LIST_DONE, CampaignCue.LEADS_CAME}
    ]
    return " or ".join(commands)


@dataclass(slots=True)
class CampaignRun:
    """One campaign now."""

    id: CampaignId
    settings: CampaignSettings
    pack: RulePack
    state: CampaignState = CampaignState.STOPPED
    reason: str = ""
    """Why it is not dialing, for people."""
    draining: bool = False
    held: str = ""
    """Why nothing is begun for now, for people: what a call would need is not there."""
    empty_until_ns: int = 0
    """Nothing was dialable: the hopper is not asked again before."""
    empty_said: str = ""
    """The last report of an empty hopper, so that the same one is not told again."""
    caller_ids: CallerIdPool | None = None
    """The pool of its caller IDs, where it has one."""
    mix: Mix | None = None
    """The shares in which its list is dialed; None: it is one list in one order."""
    claiming: int = 0
    """Leads being claimed now."""
    coming: list[float | None] = field(default_factory=list)
    """Propensities of the leads that come next, those being claimed among them; empty where nobody scores the list."""
    looking: bool = False
    """The store is being asked for them."""
    look_again_ns: int = 0
    attempts: int = 0
    live_answers: int = 0
    abandoned: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    ledger_live: int = 0
    """Live answers in the profile's tightest window."""
    ledger_abandoned: int = 0
    last_decision: str = ""
    quality: Quality | None = None
    """What detection does, as last estimated."""
    quality_due_ns: int = 0
    """It is estimated anew from then on."""
    refreshing: bool = False
    """The store is being asked for ledger and detection."""

    def __post_init__(self) -> None:
        """Keep shares where the campaign has any."""
        if self.settings.hopper.in_shares:
            self.mix = Mix(self.settings.hopper, self.settings.schedule.zone)

    @property
    def dialing(self) -> bool:
        """New attempts may be placed."""
        return self.state is CampaignState.RUNNING and not self.draining

    @property
    def agentless(self) -> bool:
        """It is placed by lines and calls per second: a flow speaks to its people."""
        return self.settings.pacing is PacingMode.AGENTLESS

    @property
    def placing(self) -> bool:
        """New attempts are begun now."""
        return self.dialing and not self.held

    @property
    def agent_wait_s(self) -> float:
        """Seconds from the end of a greeting within which a live answer must have an agent.

        The profile's limit less `MESSAGE_LEAD_S`: by the limit the message must be heard, not merely ordered.
        """
        return max(0.0, self.pack.abandonment.limit_s - MESSAGE_LEAD_S)

    @property
    def ceiling(self) -> float:
        """Share of live answers that may be abandoned: the campaign's or the rule pack's, whichever is stricter."""
        return min(self.settings.abandonment_ceiling, self.pack.abandonment.ceiling)

    @property
    def paced_ceiling(self) -> float:
        """As much of the ceiling as pacing may use."""
        return self.ceiling * self.settings.ceiling_share

    @property
    def message(self) -> str:
        """Prompt to leave with a machine; empty where the campaign has none or the rule pack does not allow it."""
        voicemail = self.pack.voicemail
        return self.settings.machines.message if voicemail is not None and voicemail.message else ""

    def recording_rule(self, number: str, region: str | None = None) -> RecordingRule:
        """Return what must come before somebody is recorded; where neither number nor region says more, the pack's own word."""
        return self.pack.recording_for(number, region)

    def announcement(self, number: str, language: str, region: str | None = None) -> str:
        """Return the prompt that comes before a conversation which is recorded by itself; empty: none."""
        record = self.settings.record
        if record.policy is not RecordPolicy.ALWAYS:
            return ""
        rule = self.recording_rule(number, region)
        if record.announcement or rule is RecordingRule.NONE:
            return record.announcement
        stem = "recording-consent" if rule is RecordingRule.CONSENT else "recording"
        return f"{stem}-{'en' if language == 'en' else 'es'}"

    def refuse_key(self, number: str, region: str | None = None) -> str:
        """Return the key that refuses to be recorded: the campaign's, or that of the packaged announcement."""
        record = self.settings.record
        packaged = bool(self.announcement(number, "es", region)) and not record.announcement
        return record.refuse_key or (PACKAGED_REFUSE_KEY if packaged else "")

    @property
    def prompts(self) -> tuple[str, ...]:
        """Every prompt that may be played to its customers."""
        settings = self.settings
        announcement, inbound = settings.record.announcement, settings.inbound
        return (
            settings.abandonment_prompt, settings.machines.screening_answer, self.message, announcement,
            settings.inbound_prompt, inbound.callback_offer, inbound.callback_taken,
        )  # fmt: skip

    def apply(self, cue: CampaignCue) -> bool:
        """Feed a cue; returns whether the state changed."""
        state = TABLE[self.state, cue]
        if state is None:
            return False
        self.state = state
        return True


def render_table() -> str:
    """Return the table of transitions in Markdown."""
    lines = ["| state | " + " | ".join(_CUES) + " |", "|---" * (len(_CUES) + 1) + "|"]
    lines += [
        f"| **{state}** | " + " | ".join(cell.value if cell else "-" for cell in row) + " |"
        for state, row in _ROWS.items()
    ]
    return "\n".join(lines)
