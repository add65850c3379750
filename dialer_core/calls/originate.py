"""From a committed attempt to its INVITE: address, identity, headers, and the worker that sends it.

It owns what an INVITE says. It owns no state of the attempt but `worker` and `placements`.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from dialer_core.calls.attempt import Attempt
from dialer_core.calls.trunk_watch import TrunkWatch, proxy_uri, sip_place
from dialer_core.calls.trunks import Trunks
from dialer_core.campaigns.run import CampaignRun
from dialer_core.ipc.messages import Place, SipIdentity
from dialer_core.lines import MediaLink, WorkerPool
from dialer_core.runtime import Runtime
from dialer_core.settings import Settings, TrunkSettings
from dialer_core.sip.passport import IDENTITY_HEADER, Signer
from dialer_core.vocabulary import CampaignId, EndedBy, LegKind, Outcome, TrunkId

log = structlog.get_logger(__name__)

PROGRESS_LIMIT_S = 8.0
"""No 1xx at all: the trunk is not there."""
UNATTENDED_LIMIT_S = 35.0
"""Longest stretch from the answer to the beginning of the abandonment message, with something to spare; the message's own length is added.
A worker whose engine is dead ends the call then."""
ATTEMPT_HEADER = "X-Marcador-Attempt"
"""Carries the attempt's id (no personal data), so that a carrier's or SBC's trace can be joined to ours."""


class Originator:
    """Sends attempts on their way.

    Parameters
    ----------
    passwords
        Digest password per trunk, empty where none is wanted.
    signers
        What signs the calls of each trunk that signs.
    """

    def __init__(
        self,
        runtime: Runtime,
        campaigns: dict[CampaignId, CampaignRun],
        trunks: Trunks,
        workers: WorkerPool,
        passwords: dict[TrunkId, str],
        sip_host: str,
        media: MediaLink,
        watch: TrunkWatch,
        signers: Mapping[TrunkId, Signer],
    ) -> None:
        self._runtime = runtime
        self._campaigns = campaigns
        self._trunks = trunks
        self._workers = workers
        self._passwords = passwords
        self._sip_host = sip_host
        self._media = media
        self._watch = watch
        self._signers = signers
        self._media_host = ""

    def place(self, attempt: Attempt, *, media_host: str = "") -> None:
        """Ask the worker with most room to send the INVITE; `attempt.worker` stays None where no worker has room."""
        self._media_host = media_host or self._media_host
        worker = self._workers.choose(LegKind.CUSTOMER)
        attempt.worker = worker
        if worker is None:
            log.warning("no_worker_has_room", attempt_id=attempt.id)
            return
        attempt.placements += 1
        attempt.placed_ns = self._runtime.clock.mono_ns()
        trunk = self._trunks[attempt.trunk].settings
        campaign = self._campaigns[attempt.campaign_id].settings
        caller_id = attempt.caller_id or campaign.caller_id or trunk.caller_id or ""
        domain = trunk.from_domain or trunk.host
        self._workers.send(
            worker,
            Place(
                leg_id=attempt.leg_id,
                kind=LegKind.CUSTOMER,
                owner=attempt.id,
                to_uri=request_uri(trunk, attempt.number),
                identity=SipIdentity(
                    from_uri=f"sip:{_dialed(trunk, caller_id) if caller_id else 'anonymous'}@{domain}",
                    auth_user=trunk.user,
                    password=self._passwords.get(attempt.trunk, ""),
                    proxy=proxy_uri(trunk),
                ),
                media_host=self._media_host,
                media_port=attempt.media_port,
                codecs=trunk.codecs,
                srtp=trunk.srtp,
                headers={ATTEMPT_HEADER: attempt.id, **trunk.headers, **self._signed(attempt, caller_id)},
                progress_limit_s=PROGRESS_LIMIT_S,
                ring_limit_s=campaign.ring_limit_s,
                unattended_limit_s=UNATTENDED_LIMIT_S
                + self._media.prompts.get(campaign.abandonment_prompt, 0.0),
            ),
        )

    def _signed(self, attempt: Attempt, caller_id: str) -> dict[str, str]:
        """Return the Identity header, where the trunk signs and there is a number to vouch for."""
        signer = self._signers.get(attempt.trunk)
        if signer is None or not caller_id:
            return {}
        at = self._runtime.clock.utc()
        return {IDENTITY_HEADER: signer.identity(caller_id, attempt.number, origid=attempt.id, at=at)}

    def trunk_alive(self, attempt: Attempt) -> None:
        """The trunk has answered something."""
        self._watch.alive(attempt.trunk)

    def trunk_accepted(self, attempt: Attempt) -> None:
        """The trunk has taken the call on."""
        self._watch.accepted(attempt.trunk)

    def note_ending(
        self, attempt: Attempt, outcome: Outcome, by: EndedBy, code: int, retry_after_s: float = 0.0
    ) -> None:
        """Learn about the trunk from an ending.

        A final response is an answer; one of 500 to 599 to a call that had not got anywhere is the trunk's own refusal; a limit reached without
        any answer, or no way there, is silence.
        """
        if by is EndedBy.FAR:
            self.trunk_alive(attempt)
            if outcome is Outcome.CONGESTION and 500 <= code < 600 and not attempt.ringing_ns:
                self._watch.refused(attempt.trunk, retry_after_s)
            else:
                self._watch.accepted(attempt.trunk)
        elif by in (EndedBy.LIMIT, EndedBy.WORKER) and outcome is Outcome.TRUNK_FAILED:
            self._watch.silent(attempt.trunk, probe=False)


def _dialed(trunk: TrunkSettings, number: str) -> str:
    return number if trunk.number_format == "e164" else number.removeprefix("+")


def request_uri(trunk: TrunkSettings, number: str) -> str:
    """Return the Request-URI of a number on a trunk.

    Examples
    --------
    >>> request_uri(TrunkSettings(host="192.0.2.1", number_format="plain", prefix="99"), "+525512345678")
    'sip:99525512345678@192.0.2.1:5060'
    """
    return f"sip:{trunk.prefix}{_dialed(trunk, number)}@{sip_place(trunk)}"


def signers_of(settings: Settings) -> dict[TrunkId, Signer]:
    """Return what signs the calls of each trunk that signs; raises `ConfigError` where a key is none."""
    found = {}
    for name, trunk in settings.trunks.items():
        key_file = settings.stir_key_file(name)
        if trunk.stir is not None and key_file is not None:
            found[name] = Signer(key_file, trunk.stir.certificate_url, trunk.stir.attestation)
    return found
