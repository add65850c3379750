"""Which conversations are recorded: always, on demand or never; pauses, refusals, and the row of each.

It owns the decision and the row until the recording has ended. The sound is the media plane's (`media/recording.py`), the finished file the
archive's (`archive.py`).
"""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Mapping

import structlog

from dialer_core.calls.conversation import Talk
from dialer_core.campaigns.run import CampaignRun
from dialer_core.compliance.rules import RecordingRule
from dialer_core.errors import CommandRefusedError
from dialer_core.ipc.messages import Record, RecordingEnded
from dialer_core.lines import MediaPort
from dialer_core.runtime import Runtime
from dialer_core.store import recordings as recording_rows
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import CampaignId, LegId, RecordPolicy, RecordSwitch, new_id
from dialer_core.voice_events import RecordingChanged

log = structlog.get_logger(__name__)

_REFUSALS_KEPT = 1000
"""More legs than live at once: whoever refused is not recorded with the next agent either."""


class CallRecordings:
    """The recordings of live conversations, by the customer's leg.

    Parameters
    ----------
    possible
        There are a folder and a key for them.
    """

    def __init__(
        self,
        runtime: Runtime,
        campaigns: Mapping[CampaignId, CampaignRun],
        media: MediaPort,
        *,
        possible: bool,
    ) -> None:
        self._runtime = runtime
        self._campaigns = campaigns
        self._media = media
        self._possible = possible
        self._of: dict[LegId, tuple[str, RecordSwitch]] = {}
        self._refused: deque[LegId] = deque(maxlen=_REFUSALS_KEPT)
        self._former: dict[LegId, list[str]] = {}
        self._card_fields: set[LegId] = set()
        """Whose recording was paused because the agent's cursor is in a field for a card's number."""

    def begun(self, talk: Talk) -> None:
        """Agent and customer have been bridged: record them where the campaign always does."""
        if self._policy(talk) is not RecordPolicy.ALWAYS or talk.customer in {*self._of, *self._refused}:
            return
        rule = self._rule(talk)
        if rule is not RecordingRule.CONSENT:  # else they, or their agent, say so first
            announced = rule is RecordingRule.ANNOUNCE or self._run(talk).settings.record.announcement
            self._start(talk, "announced" if announced else "")

    def take_over(self, talk: Talk, recording_id: str, *, paused: bool) -> None:
        """A former engine had begun it: it goes on as it is, or stays paused."""
        if recording_id:
            self._of[talk.customer] = recording_id, RecordSwitch.PAUSE if paused else RecordSwitch.ON

    def of(self, talk: Talk) -> str:
        """Return how a conversation is recorded: on, pause, or not."""
        held = self._of.get(talk.customer)
        return held[1] if held is not None else ""

    def switch(self, talk: Talk, to: RecordSwitch, actor: str) -> None:
        """Begin, pause, go on, end or discard; raises `CommandRefusedError` where that makes no sense."""
        held = self._of.get(talk.customer)
        if to is RecordSwitch.DISCARD:
            self._refused.append(talk.customer)  # they said no: nobody switches it on again
        elif talk.customer in self._refused:
            raise CommandRefusedError("this person does not want to be recorded")
        if held is None and to is RecordSwitch.ON:
            if self._policy(talk) is RecordPolicy.NEVER:
                raise CommandRefusedError(
                    f"campaign {talk.campaign_id} records nothing: record.policy is never"
                )
            if not self._possible:
                raise CommandRefusedError(
                    "there is no key for recordings: set recordings.key_env in dialer.toml"
                )
            self._start(talk, "agent")
            self._audit_consent(talk, actor)
            return
        if held is None:
            if to is not RecordSwitch.DISCARD:
                raise CommandRefusedError("this conversation is not recorded")
            self._refuse_former(talk, actor)
            return
        recording_id, _ = held
        self._media.send(Record(leg_id=talk.customer, recording_id=recording_id, switch=to))
        if to in (RecordSwitch.ON, RecordSwitch.PAUSE):
            self._of[talk.customer] = recording_id, to
        else:
            del self._of[talk.customer]
        if to is RecordSwitch.DISCARD:
            self._refuse_former(talk, actor, but=recording_id)
        paused = {"paused": True} if to is RecordSwitch.PAUSE else {}

        def write(tx: Tx) -> None:
            if paused:
                recording_rows.change(tx, recording_id, **paused)
            if to in (RecordSwitch.OFF, RecordSwitch.DISCARD):
                tx.audit(f"recording.{to}", f"recording {recording_id}", actor=actor)

        self._runtime.store(write, self._told(talk, recording_id, to))

    def card_field(self, talk: Talk, actor: str, *, focused: bool) -> None:
        """The agent's cursor is in a field for a card's number, or has left it: pause, and go on. What was paused by hand stays so."""
        if focused and self.of(talk) == RecordSwitch.ON:
            self._card_fields.add(talk.customer)
            self.switch(talk, RecordSwitch.PAUSE, actor)
        elif not focused and talk.customer in self._card_fields:
            self._card_fields.discard(talk.customer)
            if self.of(talk) == RecordSwitch.PAUSE:
                self.switch(talk, RecordSwitch.ON, actor)

    def pressed(self, talk: Talk, key: str) -> None:
        """The customer has pressed a key: the one that refuses the recording deletes it, the one that agrees begins it."""
        run = self._run(talk)
        if key == run.refuse_key(talk.number, talk.region) and self.of(talk):
            log.info("recording_refused", leg_id=talk.customer)
            self.switch(talk, RecordSwitch.DISCARD, "customer")
        elif (
            key == run.settings.record.agree_key
            and self._policy(talk) is RecordPolicy.ALWAYS
            and self._rule(talk) is RecordingRule.CONSENT
            and talk.customer not in {*self._of, *self._refused}
        ):
            log.info("recording_agreed", leg_id=talk.customer)
            self._start(talk, "consent")
            self._audit_consent(talk, "customer")

    def _audit_consent(self, talk: Talk, actor: str) -> None:
        """Write down who said that this person may be recorded, where that is asked for."""
        held = self._of.get(talk.customer)
        if held is None or self._rule(talk) is not RecordingRule.CONSENT:
            return
        recording_id = held[0]
        self._runtime.store(
            lambda tx: tx.audit("recording.consented", f"recording {recording_id}", actor=actor)
        )

    def _run(self, talk: Talk) -> CampaignRun:
        return self._campaigns[talk.campaign_id]

    def _rule(self, talk: Talk) -> RecordingRule:
        return self._run(talk).recording_rule(talk.number, talk.region)

    def _remember(self, leg_id: LegId, recording_id: str) -> None:
        self._former.setdefault(leg_id, []).append(recording_id)
        while len(self._former) > _REFUSALS_KEPT:
            del self._former[next(iter(self._former))]

    def _refuse_former(self, talk: Talk, actor: str, *, but: str = "") -> None:
        """What was recorded of this call before, and switched off since, they do not want either."""
        attempt_id, former = talk.attempt.id if talk.attempt else None, self._former.pop(talk.customer, [])

        def write(tx: Tx) -> None:
            for recording_id in recording_rows.refuse(tx, attempt_id, former, but=but):
                tx.audit("recording.discard", f"recording {recording_id}", actor=actor)

        self._runtime.store(write)

    def ended(self, event: RecordingEnded) -> None:
        """No more of one will come."""
        recording_id = event.recording_id
        self._of = {leg: held for leg, held in self._of.items() if held[0] != recording_id}
        kept = bool(event.began_ns) and not event.discarded
        state = (
            recording_rows.SPOOLED
            if kept
            else recording_rows.REFUSED
            if event.discarded
            else recording_rows.LOST
        )
        columns: dict[str, object] = {
            "state": state,
            "seconds": round(event.seconds, 3),
            "lost_pieces": event.lost_pieces,
        }
        if event.began_ns:
            clock = self._runtime.clock
            ago_us = max(0, clock.mono_ns() - event.began_ns) // 1000
            columns["began_at_utc"] = clock.utc() - dt.timedelta(microseconds=ago_us)
        if event.lost_pieces:
            log.error("recording_has_gaps", recording_id=recording_id, lost_pieces=event.lost_pieces)

        def write(tx: Tx) -> None:
            known = recording_rows.get(tx, recording_id)
            if (
                known is not None and known.state == recording_rows.RECORDING
            ):  # the archive may have been faster
                recording_rows.change(tx, recording_id, **columns)

        self._runtime.store(write)

    def bring_in_line(self) -> None:
        """There is a new media plane: what was recorded goes on, in another part."""
        for leg_id, (recording_id, switch) in self._of.items():
            self._media.send(Record(leg_id=leg_id, recording_id=recording_id, switch=RecordSwitch.ON))
            if switch is RecordSwitch.PAUSE:
                self._media.send(Record(leg_id=leg_id, recording_id=recording_id, switch=switch))

    def _policy(self, talk: Talk) -> RecordPolicy:
        return self._campaigns[talk.campaign_id].settings.record.policy

    def _start(self, talk: Talk, basis: str) -> None:
        if not self._possible:
            return  # said when the configuration was read
        recording_id = new_id()
        self._of[talk.customer] = recording_id, RecordSwitch.ON
        self._media.send(Record(leg_id=talk.customer, recording_id=recording_id, switch=RecordSwitch.ON))
        attempt_id, at_utc = talk.attempt.id if talk.attempt else None, self._runtime.clock.utc()

        def write(tx: Tx) -> None:
            recording_rows.begin(
                tx, recording_id, attempt_id=attempt_id, campaign_id=talk.campaign_id, agent_id=talk.agent.id,
                node=self._runtime.node, at_utc=at_utc,
            )  # fmt: skip

        self._runtime.store(write, self._told(talk, recording_id, RecordSwitch.ON, basis))

    def _told(
        self, talk: Talk, recording_id: str, switch: RecordSwitch, basis: str | None = None
    ) -> RecordingChanged:
        return RecordingChanged(
            recording_id=recording_id, switch=switch, basis=basis, agent_id=talk.agent.id, campaign_id=talk.campaign_id,
            attempt_id=talk.attempt.id if talk.attempt else None, at_mono_ns=self._runtime.clock.mono_ns(),
        )  # fmt: skip
