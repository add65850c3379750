"""Every figure of the reports: its name, its unit and what it counts. `docs/reports.md` is made from this table.

It owns the definitions, and which of an agent's words speak of a contact or of the right party. The figures are added up in `summary.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dialer_core.reports.sheet import Column
from dialer_core.vocabulary import CampaignId, Disposition

FIGURES: tuple[Column, ...] = (
    Column("attempts", "count", "Attempts committed, whatever became of them."),
    Column("live_answers", "count", "Attempts that were routed as a person."),
    Column("answer_rate", "rate", "`live_answers` of `attempts`."),
    Column("abandoned", "count", "Live answers for whom no agent came in time."),
    Column("abandonment_rate", "rate", "`abandoned` of `live_answers`. The law's own ledger, with its windows, is in `dialer status`."),
    Column("contacts", "count", "Attempts in which an agent spoke with somebody: bridged, and not called a machine by the agent."),
    Column("contact_rate", "rate", "`contacts` of `attempts`."),
    Column("right_party", "count", "Contacts whose agent's word stands under right_party, promise, refuses or disputes: the debtor themself."),
    Column("right_party_rate", "rate", "`right_party` of `contacts`."),
    Column("promises", "count", "Promises made."),
    Column("promise_rate", "rate", "`promises` of `right_party`."),
    Column("promised", "money", "What the promises made come to."),
    Column("kept", "count", "Promises that became kept."),
    Column("broken", "count", "Promises that became broken."),
    Column("kept_rate", "rate", "`kept` of `kept` and `broken`: of those whose time was over."),
    Column("payments", "count", "Payments, by the day they were paid; one taken back counts less one."),
    Column("recovered", "money", "What was paid, less what was taken back."),
    Column("recovery_rate", "rate", "`recovered` of itself and what is owed now on the row's accounts; by campaign, portfolio, product only."),
    Column("resolved", "count", "Accounts that are paid or settled, by the day of their last payment."),
    Column("days_to_resolve", "days", "Mean days from the import of a resolved account to its last payment."),
    Column("ring_s", "seconds", "Ringing, from the INVITE to the answer or the end, added up."),
    Column("line_s", "seconds", "From the answer to the end, added up: what a carrier charges for."),
    Column("talk_s", "seconds", "From the first bridge to the end, added up."),
    Column("agent_s", "seconds", "Agents' time logged in; for rows that are not agents' or days, their share by `talk_s`."),
    Column("cost", "money", "Of line minutes, attempts and agents' hours, at the prices of `[costs]` in dialer.toml; empty where there are none."),
    Column("cost_per_contact", "money", "`cost` of one of `contacts`."),
    Column("cost_per_promise", "money", "`cost` of one of `promises`."),
)  # fmt: skip
"""In the order in which they are shown."""

RIGHT_PARTY = frozenset(
    {Disposition.RIGHT_PARTY, Disposition.PROMISE, Disposition.REFUSES, Disposition.DISPUTES}
)
"""Words that are said of the debtor alone. One that asks to be called back, or not to be called, may be anybody."""
NO_CONTACT = frozenset({Disposition.MACHINE})


class Words:
    """What agents' words stand under, by campaign: the words of their files, as last loaded."""

    def __init__(self, campaigns: Mapping[CampaignId, Mapping[str, Any]]) -> None:
        self._above: dict[str, dict[str, str]] = {
            name: _above(settings) for name, settings in campaigns.items()
        }

    def root(self, campaign_id: str, disposition: str) -> str:
        """Return the built-in word that a word stands under, or is; the word itself where nobody knows it any more."""
        above = self._above.get(campaign_id, {})
        seen: set[str] = set()
        while disposition in above and disposition not in seen:
            seen.add(disposition)
            disposition = above[disposition]
        return disposition


def _above(settings: Mapping[str, Any]) -> dict[str, str]:
    words = settings.get("dispositions") or {}
    return {
        name: its["under"] for name, its in words.items() if isinstance(its, Mapping) and its.get("under")
    }
