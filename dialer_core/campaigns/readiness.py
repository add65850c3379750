"""What must be settled before the first call: the checks that `dialer run` does not pass over.

It owns the checks between configuration and rule packs. It owns neither's shape (`settings.py`,
`compliance/rules.py`), and nothing that needs a network: that is `dialer doctor`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping

from dialer_core.campaign_settings import CampaignSettings
from dialer_core.compliance.rules import RulePack
from dialer_core.errors import ConfigError
from dialer_core.settings import Settings, TrunkSettings
from dialer_core.vocabulary import CampaignId, PacingMode, TrunkId


def is_loopback(host: str) -> bool:
    """Say whether a trunk's host is this machine. A name other than `localhost` is not: it may change."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _beyond(trunk: TrunkSettings) -> bool:
    """Calls of this trunk may leave the machine, by its own address or by its proxy's."""
    return not is_loopback(trunk.host) or bool(trunk.proxy and not is_loopback(trunk.proxy.partition(":")[0]))


def check(settings: Settings, packs: Mapping[str, RulePack]) -> list[str]:
    """Return everything that keeps these settings from being dialed, a line each; empty: ready.

    Parameters
    ----------
    settings
        The configuration, checked in itself.
    packs
        Rule packs by name.
    """
    lines = [
        line
        for name, campaign in settings.campaigns.items()
        for line in _campaign(settings, packs, name, campaign)
    ]
    if settings.keeps_clips:
        try:
            settings.clip_key()
        except ConfigError as error:
            lines.append(str(error))
    return lines


def _campaign(
    settings: Settings, packs: Mapping[str, RulePack], name: CampaignId, campaign: CampaignSettings
) -> Iterator[str]:
    file = settings.directory / "campaigns" / f"{name}.toml"
    known = ", ".join(sorted(packs)) or "none"
    trunks = {trunk: settings.trunks[TrunkId(trunk)] for trunk in campaign.trunks}
    beyond = [trunk for trunk, its in trunks.items() if _beyond(its)]
    pack = packs.get(campaign.rule_pack)
    if not campaign.rule_pack:
        yield f"{file}: rule_pack: is missing; name a rule pack of compliance/: {known}"
    elif pack is None:
        yield f"{file}: rule_pack: {campaign.rule_pack!r} is not in compliance/; known are: {known}"
    elif pack.loopback_only and beyond:
        yield (
            f"{file}: rule_pack: {pack.name!r} is for trunks on this machine only, and {beyond[0]!r} is not one;"
            f" name another of: {known}"
        )
    if campaign.pacing is PacingMode.AGENTLESS and not campaign.flow:
        yield f"{file}: pacing: agentless needs a flow, which speaks to whoever answers; set flow, or another pacing"
    if campaign.machines.message and pack is not None and not (pack.voicemail and pack.voicemail.message):
        yield (
            f"{file}: machines.message: rule pack {pack.name!r} does not allow a message with a machine;"
            " remove the setting, or name a pack whose [voicemail] has message = true"
        )
    if pack is not None and not pack.loopback_only and beyond and campaign.ring_limit_s < pack.ring_min_s:
        yield (
            f"{file}: ring_limit_s: is {campaign.ring_limit_s:g}, and rule pack {pack.name!r} wants an unanswered call"
            f" to ring {pack.ring_min_s:g} s at least"
        )
    if not campaign.creditor and (beyond or (pack is not None and pack.creditor_required)):
        yield f"{file}: creditor: is missing; people must be told for whom you call"
    without = [
        trunk
        for trunk, its in trunks.items()
        if not (campaign.caller_ids or campaign.caller_id or its.caller_id)
    ]
    if without and any(trunk in beyond for trunk in without):
        yield (
            f"{file}: caller_id: is missing, and trunk {without[0]!r} has none either;"
            " set a number of yours that reaches you when called back"
        )
