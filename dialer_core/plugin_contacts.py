"""Contacts that plugins make by means of their own, such as visits: asked of the gate, counted in the ledger, with what came of them in the history.

It owns the ways in, each a short transaction of this process under the acting name. The rules are the gate's, the ledger's and those of the modules
that people's commands go through too.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from dialer_core.campaign_settings import CampaignSettings
from dialer_core.clock import Clock
from dialer_core.compliance import gate, zones
from dialer_core.compliance.facts import ContactRequest, Facts
from dialer_core.compliance.rules import RulePack
from dialer_core.errors import CommandRefusedError
from dialer_core.list_settings import PromiseSettings
from dialer_core.portfolio import proof
from dialer_core.store import account_notes, contacts, off_loop, people
from dialer_core.store.contacts import PriorContact
from dialer_core.store.database import Database
from dialer_core.store.documents import DocumentRow
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountId, CampaignId, Channel, ContactSettlement, PersonId

COLLECTION = "collection"


class ContactWord(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate says of a contact at an instant."""

    allowed: bool
    rule: str = ""
    reason: str = ""
    allowed_from: dt.datetime | None = None


_YES = ContactWord(allowed=True)


class ContactRecords:
    """Contacts, notes and documents as one plugin may write them.

    Parameters
    ----------
    database, clock, actor, on_written
        As everywhere.
    campaigns, packs
        By name: whose rules hold.
    state_dir
        Where documents are kept.
    """

    def __init__(
        self, database: Database, *, clock: Clock, actor: str, campaigns: Mapping[CampaignId, CampaignSettings], packs: Mapping[str, RulePack],
        state_dir: Path, on_written: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._database, self._clock, self._actor, self._on_written = database, clock, actor, on_written
        self._campaigns, self._packs, self._state_dir = campaigns, packs, state_dir

    def acting_as(self, actor: str) -> ContactRecords:
        """Return the same in somebody else's name."""
        return ContactRecords(
            self._database, clock=self._clock, actor=actor, campaigns=self._campaigns, packs=self._packs, state_dir=self._state_dir,
            on_written=self._on_written,
        )  # fmt: skip

    def promise_policy(self, campaign: CampaignId) -> PromiseSettings:
        """Return what may be agreed to in a campaign by those who speak for it; CommandRefusedError where there is none of this name."""
        return self._campaign(campaign).promises

    async def words(
        self, campaign: CampaignId, account: AccountId, channel: Channel, instants: Sequence[dt.datetime]
    ) -> list[ContactWord]:
        """Return what the gate would say of a contact at some instants, as far as is known now. Nothing is reserved.

        Raises
        ------
        CommandRefusedError
            There is no such account or campaign.
        """
        pack = self._pack(campaign)

        def ask(tx: Tx) -> list[ContactWord]:
            asked = [_request(tx, account, campaign, channel, "", at) for at in instants]
            facts = Facts.read(tx, asked, pack) if pack and asked else None
            return [_word(gate.decide(one, pack, facts)) for one in asked]

        return await off_loop.read(self._database, ask)

    async def begin(
        self,
        campaign: CampaignId,
        account: AccountId,
        channel: Channel,
        key: str,
        *,
        address: str = "",
        happened_at: dt.datetime | None = None,
    ) -> ContactWord:
        """Ask the gate for a contact, and reserve it in the ledger where it may be made.

        Parameters
        ----------
        campaign, account, channel, address
            By whose rules, about what, by what means and where.
        key
            The plugin's own name of it, by which it is settled; asked for twice, it is one contact.
        happened_at
            It has been made already, then, where nobody could be asked: it is in the ledger whatever the gate says of that instant.

        Raises
        ------
        CommandRefusedError
            There is no such account or campaign.
        """
        pack, name = self._pack(campaign), self._key(key)
        at = happened_at or self._clock.utc()

        def write(tx: Tx) -> ContactWord:
            if contacts.is_known(tx, name):
                return _YES
            request = _request(tx, account, campaign, channel, address, at)
            people.lock(tx, [request.person_id])
            decision = gate.decide(request, pack, Facts.read(tx, [request], pack) if pack else None)
            word = _word(decision)
            if word.allowed:
                gate.reserve(tx, [(request, None)], external_id=name)
            elif happened_at is not None:
                made = PriorContact(
                    external_id=name, person_id=request.person_id, account_id=account, channel=channel, address=address, at_utc=at, outcome=None,
                    conversation=False,
                )  # fmt: skip
                contacts.add_prior(tx, [made])
                tx.audit("contact.told_late", f"account {account}", actor=self._actor, rule=word.rule)
            return word

        return await off_loop.write(self._database, write, self._on_written)

    async def settle(self, key: str, *, outcome: str, conversation: bool, reached: bool = True) -> None:
        """Say what came of a contact that was begun: in one word, whether they spoke, and whether it reached them at all. The first word counts."""
        settlement = ContactSettlement.COUNTED if reached else ContactSettlement.VOID

        def write(tx: Tx) -> None:
            contacts.settle_named(tx, self._key(key), settlement, outcome=outcome, conversation=conversation)

        await off_loop.write(self._database, write, self._on_written)

    async def note(self, account: AccountId, text: str, key: str) -> None:
        """Write a note about an account. `key`, a UUID: written twice, it is there once."""
        now = self._clock.utc()

        def write(tx: Tx) -> None:
            _account(tx, account)
            account_notes.add(
                tx, account, author=self._actor, note=text[: account_notes.MOST_CHARACTERS], at_utc=now, note_id=key
            )  # fmt: skip

        await off_loop.write(self._database, write, self._on_written)

    async def keep_document(self, account: AccountId, *, kind: str, title: str, content: bytes, suffix: str) -> DocumentRow:  # fmt: skip
        """Keep a file as a document of an account, under its checksum; what it already has of the same content and kind is not kept twice.

        Raises
        ------
        CommandRefusedError
            There is no such account, or it is no document.
        """

        def write(tx: Tx) -> DocumentRow:
            location, digest = proof.keep_content(self._state_dir, content, suffix)
            return proof.add_once(
                tx, account_id=account, kind=kind, title=title, location=location, sha256=digest, actor=self._actor, now=self._clock.utc()
            )  # fmt: skip

        return await off_loop.write(self._database, write, self._on_written)

    def _key(self, key: str) -> str:
        if not 0 < len(key) <= 100:
            raise CommandRefusedError("key: 1 to 100 characters", "invalid")
        return f"made/{key}"

    def _campaign(self, name: CampaignId) -> CampaignSettings:
        found = self._campaigns.get(name)
        if found is None:
            known = ", ".join(sorted(self._campaigns)) or "none"
            raise CommandRefusedError(f"there is no campaign {name!r}; known are: {known}", "unknown")
        return found

    def _pack(self, campaign: CampaignId) -> RulePack | None:
        return self._packs.get(self._campaign(campaign).rule_pack)


def _account(tx: Tx, account: AccountId) -> PersonId:
    row = people.account(tx, account)
    if row is None:
        raise CommandRefusedError("there is no such account", "unknown")
    return PersonId(row["person_id"])


def _request(
    tx: Tx, account: AccountId, campaign: CampaignId, channel: Channel, address: str, at: dt.datetime
) -> ContactRequest:
    person_id = _account(tx, account)
    person = people.persons(tx, [person_id])[person_id]
    region = zones.zones_of_region(person.region) if person.region else ()
    where = [phone.zones for phone in people.phones_of(tx, [person_id])[person_id]]
    return ContactRequest(
        person_id=person_id, account_id=account, channel=channel, address=address, phone_id=None, zones=zones.combine(*where, region),
        purpose=COLLECTION, campaign_id=campaign, at=at, region=person.region,
    )  # fmt: skip


def _word(decision: object) -> ContactWord:
    if isinstance(decision, gate.Refused):
        return ContactWord(
            allowed=False, rule=decision.rule, reason=decision.reason, allowed_from=decision.allowed_from
        )
    return _YES
