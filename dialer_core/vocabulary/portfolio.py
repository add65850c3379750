"""Words of the portfolio and the law: leads, accounts, promises, contacts over all channels, restrictions."""

from __future__ import annotations

import enum


class LeadState(enum.StrEnum):
    """The states that partition a list (I18)."""

    DIALABLE = "dialable"
    """May be dialed when its `next_at_utc` has passed (the gate still decides)."""
    IN_ATTEMPT = "in_attempt"
    """It has a live attempt."""
    WAITING = "waiting"
    """Waits for something named in `waiting_for` (wrap-up, a disposition, a callback)."""
    FINISHED = "finished"
    """Done, with a reason."""


class Channel(enum.StrEnum):
    """By what a person is contacted."""

    VOICE = "voice"
    """A telephone call."""
    SMS = "sms"
    """A text message."""
    WHATSAPP = "whatsapp"
    """A WhatsApp message."""
    EMAIL = "email"
    """An e-mail."""
    VISIT = "visit"
    """A visit in person."""


class ContactSettlement(enum.StrEnum):
    """What became of a contact the gate reserved in the ledger. Settled once."""

    RESERVED = "reserved"
    """Allowed by the gate; the attempt is under way."""
    COUNTED = "counted"
    """It reached the number: it counts for the caps."""
    VOID = "void"
    """It never reached the number; which outcomes void is in the rule pack."""


class RestrictionKind(enum.StrEnum):
    """Why somebody may not be contacted."""

    DO_NOT_CALL = "do_not_call"
    """On a do-not-call list, or asked not to be called."""
    DISPUTE = "dispute"
    """The debt is disputed, until it is validated."""
    ATTORNEY = "attorney"
    """Represented: only the attorney may be contacted."""
    BANKRUPTCY = "bankruptcy"
    """In bankruptcy proceedings."""
    DECEASED = "deceased"
    """Has died."""
    CEASE_CONTACT = "cease_contact"
    """Asked for no more contact at all."""
    HARDSHIP = "hardship"
    """In hardship or vulnerable."""
    WORKPLACE = "workplace"
    """A number at work that may not be called."""
    REFUSED_CHANNEL = "refused_channel"
    """Does not want to be contacted by this channel."""
    INCONVENIENT_HOURS = "inconvenient_hours"
    """Does not want to be contacted at these hours."""
    WRONG_NUMBER = "wrong_number"
    """This number is not theirs."""
    ABANDONMENT_LOCK = "abandonment_lock"
    """An abandoned call: not dialed again for as long as the profile says."""


class RestrictionScope(enum.StrEnum):
    """What a restriction covers; its `scope_value` names which."""

    PERSON = "person"
    """The person, by whatever number or channel."""
    ACCOUNT = "account"
    """One debt."""
    NUMBER = "number"
    """The E.164 number, whoever it belongs to: how do-not-call lists come."""
    PHONE = "phone"
    """One phone of one person (a wrong number, a workplace)."""


class AccountStatus(enum.StrEnum):
    """Whether a debt is still to be collected."""

    OPEN = "open"
    """It is owed."""
    PAID = "paid"
    """Paid, or settled by a promise that was kept."""
    WITHDRAWN = "withdrawn"
    """The creditor has taken it back."""


class PromiseKind(enum.StrEnum):
    """What was agreed."""

    AGREEMENT = "agreement"
    """To pay some or all of what is owed by a day."""
    SETTLEMENT = "settlement"
    """To pay less than is owed, which settles the rest."""
    RESTRUCTURING = "restructuring"
    """To pay what is owed by another plan."""


class PromiseState(enum.StrEnum):
    """What has become of a promise."""

    OPEN = "open"
    """Not due, or due and within its grace."""
    KEPT = "kept"
    """Every instalment was paid."""
    BROKEN = "broken"
    """An instalment was not paid by its day and grace."""
    REPLACED = "replaced"
    """Another was made of the same account."""
    CANCELLED = "cancelled"
    """Taken back, by whoever made it."""


class CallbackState(enum.StrEnum):
    """What has become of a call-back."""

    OPEN = "open"
    """To be made."""
    MADE = "made"
    """Somebody was called because of it."""
    CANCELLED = "cancelled"
    """Replaced by another, or the lead is finished."""


class StrategyState(enum.StrEnum):
    """Where a strategy that was begun for an account is."""

    RUNNING = "running"
    """Its next step has a time."""
    DONE = "done"
    """Its last step was done."""
    STOPPED = "stopped"
    """A payment, a promise, a restriction, a conversation or a fault has ended it."""


class StepAction(enum.StrEnum):
    """What is best done next about an account."""

    ASK_ALL = "ask_all"
    """Ask for the whole amount."""
    OFFER_PLAN = "offer_plan"
    """Offer to pay in parts."""
    LISTEN = "listen"
    """Hear how they stand, and look for an agreement they can keep."""
    REMIND = "remind"
    """Remind them of what they promised."""
    RENEGOTIATE = "renegotiate"
    """A promise was broken: agree on less, sooner."""
    THANK = "thank"
    """They paid: thank them, and confirm the rest."""
    WRITE = "write"
    """Write to them by the channel named."""
    CALL = "call"
    """Call them at the hour named."""
    SEND_DOCUMENT = "send_document"
    """Send what was agreed in writing."""
    LEAVE = "leave"
    """Contact them no more."""
