"""What agents say, from `scripts/NAME.toml`: chosen by the account's segment and campaign, checked when loaded, with the account's own figures in it.

    segments = ["early"]            # of segments.toml; none: for whoever has no script of their own
    campaigns = ["spring"]          # none: every campaign

    [greeting]                      # before it is known who is on the line: nothing that reveals a debt
    es = "Buen d\u00eda, habla {{ agent }}. \u00bfHablo con {{ name }}?"

    [third_party]                   # to whoever is not the person
    es = "\u00bfA qu\u00e9 hora puedo encontrar a {{ first_name }}? Es un asunto personal."

    [[phrases]]                     # once the person is known
    title = { es = "Abrir" }
    text = { es = "Le llamo por su cuenta con {{ creditor }}: el saldo es de {{ balance }}." }

It owns their shape, their check and the choice. Which fields there are is `wording.py`'s.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated

import msgspec
from pydantic import Field, ValidationError

from dialer_core.errors import ConfigError
from dialer_core.list_settings import SegmentSettings
from dialer_core.messaging import fields
from dialer_core.messaging.wording import FIELDS, LONGEST, compiled, fields_of
from dialer_core.segment_language import parse
from dialer_core.setting_types import Section
from dialer_core.store import people, segments
from dialer_core.store.tx import Tx
from dialer_core.toml_files import explain, read_toml
from dialer_core.vocabulary import AccountId, CampaignId

Words = Annotated[dict[str, Annotated[str, Field(min_length=1, max_length=LONGEST)]], Field(min_length=1)]
AGENT = "agent"
"""The one field that is not the account's: who speaks."""


class _Phrase(Section):
    title: Words
    text: Words


class _File(Section):
    segments: tuple[str, ...] = ()
    campaigns: tuple[str, ...] = ()
    greeting: Words
    third_party: Words
    phrases: tuple[_Phrase, ...] = ()


class Phrase(msgspec.Struct, frozen=True, kw_only=True):
    """Something to say, under a short title."""

    title: str
    text: str


class ScriptView(msgspec.Struct, frozen=True, kw_only=True):
    """A script as it is said of one account, in one language."""

    name: str
    greeting: str
    third_party: str
    phrases: tuple[Phrase, ...]
    """Empty before the person is known. One that needs what is not known of this account is left out."""


class Script:
    """One checked script.

    Parameters
    ----------
    name
        The file's name without `.toml`.
    file
        Where it stands, for messages.
    its
        What it says.
    known
        The segments there are.

    Raises
    ------
    ConfigError
        It names a segment or a field that does not exist, or reveals a debt before the person is known.
    """

    def __init__(self, name: str, file: Path, its: _File, known: Mapping[str, SegmentSettings]) -> None:
        if missing := [one for one in its.segments if one not in known]:
            raise ConfigError(
                f"{file}: segments: {missing[0]!r} is not in segments.toml; known are: {', '.join(sorted(known)) or 'none'}"
            )
        self.name = name
        self.campaigns = frozenset(its.campaigns)
        self.segments = tuple((one, parse(known[one].where)) for one in its.segments)
        self._greeting = _said(file, "greeting", its.greeting, public=True)
        self._third_party = _said(file, "third_party", its.third_party, public=True)
        self._phrases = [
            (
                _said(file, f"phrases.{number}.title", one.title, public=True),
                _said(file, f"phrases.{number}.text", one.text),
            )
            for number, one in enumerate(its.phrases)
        ]

    def render(self, known: Mapping[str, str | None], language: str, *, identified: bool) -> ScriptView:
        """Return what is said of an account of which this is known; without its phrases where the person is not `identified`."""
        said = [
            Phrase(title=title.of(known, language) or "", text=text)
            for title, words in (self._phrases if identified else ())
            if (text := words.of(known, language)) is not None
        ]
        return ScriptView(
            name=self.name,
            greeting=self._greeting.of(known, language) or "",
            third_party=self._third_party.of(known, language) or "",
            phrases=tuple(said),
        )


class _said:  # noqa: N801 - reads as what it makes
    """One text in each language that it is written in."""

    def __init__(self, file: Path, key: str, words: Mapping[str, str], *, public: bool = False) -> None:
        self._texts = {one: compiled(file, f"{key}.{one}", text) for one, text in words.items()}
        self._fields = frozenset[str]().union(
            *(fields_of(file, f"{key}.{one}", text, {AGENT: "plain"}) for one, text in words.items())
        )
        revealing = sorted(name for name in self._fields if FIELDS.get(name))
        if revealing and public:
            raise ConfigError(
                f"{file}: {key}: {revealing[0]!r} reveals a debt, and this is said before it is known who is on the line: put it in a phrase"
            )

    def of(self, known: Mapping[str, str | None], language: str) -> str | None:
        """Return it with its fields put in; None where one of them is not known."""
        if any(not known.get(name) for name in self._fields):
            return None
        spoken = language if language in self._texts else next(iter(self._texts))
        return self._texts[spoken].render({name: known[name] for name in self._fields}).strip()


def load_scripts(folder: Path, known: Mapping[str, SegmentSettings]) -> dict[str, Script]:
    """Read and check every script of a folder; there need be none.

    Raises
    ------
    ConfigError
        One is wrong; the message says which, where and what would be right.
    """
    return (
        {file.stem: _load(file, known) for file in sorted(folder.glob("*.toml"))} if folder.is_dir() else {}
    )


def _load(file: Path, known: Mapping[str, SegmentSettings]) -> Script:
    try:
        its = _File.model_validate(read_toml(file))
    except ValidationError as error:
        raise ConfigError(explain(file, error)) from None
    return Script(file.stem, file, its, known)


def script_of(
    tx: Tx,
    scripts: Collection[Script],
    account_id: AccountId,
    campaign_id: CampaignId,
    now: dt.datetime,
    *,
    language: str,
    agent: str,
    callback_number: str,
    creditor: str,
    identified: bool,
) -> ScriptView | None:
    """Return what is said about an account: by the first script, in the order of their names, one of whose segments it is in, else by one for all.

    Scripts of the campaign come before those of every campaign. None: there is none.
    """
    account = people.account(tx, account_id)
    fitting = [one for one in scripts if not one.campaigns or campaign_id in one.campaigns]
    if account is None or not fitting:
        return None
    fitting.sort(key=lambda one: (not one.segments, not one.campaigns))
    chosen = next(
        (
            one
            for one in fitting
            if not one.segments or segments.holding(tx, account_id, campaign_id, one.segments, now)
        ),
        None,
    )
    if chosen is None:
        return None
    person = people.persons(tx, [account["person_id"]])[account["person_id"]]
    known = fields.of_account(
        tx, account_id, person, campaign_id=campaign_id, callback_number=callback_number, language=language
    )
    # as on the rest of the screen: who names no creditor has the campaign's
    known["creditor"] = known["creditor"] or creditor or None
    return chosen.render(known | {AGENT: agent}, language, identified=identified)
