"""What the media plane must hold for the live attempts, and making it so: after it was replaced, and after the engine was.

It owns the comparison of an attempt with what the media plane says of its leg, and the commands that follow. Agents' legs are
`agents/softphones.py`'s, and come first: a bridge needs both.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from amd import DetectorConfig
from dialer_core.agents.roster import Roster
from dialer_core.agents.softphones import connect_command
from dialer_core.calls.attempt import Attempt, Cue
from dialer_core.calls.flow_calls import FlowCalls
from dialer_core.calls.live_answers import LiveAnswers
from dialer_core.calls.machine import AttemptMachine
from dialer_core.calls.machines import SCREENING_PLAY_ID
from dialer_core.campaigns.run import CampaignRun
from dialer_core.ipc.messages import Await, Bridge, MediaLegSnapshot, OpenLeg
from dialer_core.lines import MediaPort
from dialer_core.runtime import Runtime
from dialer_core.vocabulary import AttemptState, CampaignId, DetectionMode, LegId, LegKind

log = structlog.get_logger(__name__)

SHORTEST_LISTEN_S = 1.0
"""A detector that begins anew in mid-greeting hears at least so much before it says what it thinks."""
S = AttemptState


class Sound:
    """Brings the media plane in line with the live attempts."""

    def __init__(
        self,
        runtime: Runtime,
        machine: AttemptMachine,
        campaigns: dict[CampaignId, CampaignRun],
        media: MediaPort,
        roster: Roster,
        answers: LiveAnswers,
        flows: FlowCalls,
    ) -> None:
        self._runtime = runtime
        self._machine = machine
        self._campaigns = campaigns
        self._media = media
        self._roster = roster
        self._answers = answers
        self._flows = flows

    def bring_in_line(self, held: Mapping[LegId, MediaLegSnapshot]) -> int:
        """Open again what is missing, aim it, and let it go on where it was; return how many legs had to be opened."""
        attempts = [a for a in self._machine.attempts.values() if a.media_port]
        reopened = sum(self._aim(attempt, held.get(attempt.leg_id)) for attempt in attempts)
        for attempt in attempts:
            self._go_on(attempt, held.get(attempt.leg_id))
        return reopened

    def _aim(self, attempt: Attempt, leg: MediaLegSnapshot | None) -> bool:
        if leg is None:
            # The same port: the far end was told of it, and hears a new stream from there (a new SSRC).
            self._media.send(OpenLeg(leg_id=attempt.leg_id, kind=LegKind.CUSTOMER, port=attempt.media_port))
        if attempt.negotiated is not None:
            command = connect_command(attempt.negotiated)
            if leg is None or leg.connected != command:
                self._media.send(command)
        return leg is None

    def _go_on(self, attempt: Attempt, leg: MediaLegSnapshot | None) -> None:
        """Order what this attempt's state needs and its leg does not do."""
        state = attempt.state
        if state is S.EARLY_MEDIA and (leg is None or not leg.listening):
            self._answers.listen(attempt, early=True)
        elif state is S.LISTENING and leg is not None and leg.playing and leg.play_id == SCREENING_PLAY_ID:
            pass  # the detector hears them when our answer is over
        elif state is S.LISTENING:  # harmless where it listens already
            self._answers.listen(attempt, early=False, limit_s=self._listen_s(attempt))
        elif state is S.WAITING and (leg is None or not (leg.wait_until_ns or leg.fallback_ns)):
            self._await(attempt, max(0, attempt.wait_until_ns - self._runtime.clock.mono_ns()))
        elif state is S.ABANDONING:
            if leg is None or not leg.fallback_ns:  # the message once more, from its beginning
                self._await(attempt, 0)
            elif not leg.playing:
                self._machine.feed(attempt, Cue.PROMPT_FINISHED)
        elif state is S.LEAVING_MESSAGE:
            self._answers.machines.go_on(attempt, leg)
        elif state is S.IN_FLOW:
            self._flows.go_on(attempt, leg)
        elif state in (S.BRIDGING, S.BRIDGED) and attempt.agent_id is not None:
            agent_leg = self._roster[attempt.agent_id].leg_id
            if agent_leg is not None and (leg is None or leg.bridged_to != agent_leg):
                tone = "" if state is S.BRIDGED else "connect"
                self._media.send(Bridge(leg_id=attempt.leg_id, agent_leg_id=agent_leg, connect_tone=tone))
            elif agent_leg is None and leg is None:  # on their way into a PBX's queue: the deadline runs on
                self._await(attempt, max(0, attempt.wait_until_ns - self._runtime.clock.mono_ns()))

    def _await(self, attempt: Attempt, wait_ns: int) -> None:
        prompt = self._campaigns[attempt.campaign_id].settings.abandonment_prompt
        self._media.send(Await(leg_id=attempt.leg_id, agent_wait_s=wait_ns / 1e9, fallback_prompt=prompt))

    def _listen_s(self, attempt: Attempt) -> float:
        """Return what is left of the detector's time since the answer: an undecided call is a person's by the same limit."""
        mode = self._campaigns[attempt.campaign_id].settings.detection
        limit_s = DetectorConfig.preset("strict" if mode is DetectionMode.STRICT else "fast").limit_s
        spent_s = (self._runtime.clock.mono_ns() - attempt.answered_ns) / 1e9 if attempt.answered_ns else 0.0
        return max(SHORTEST_LISTEN_S, limit_s - spent_s)
