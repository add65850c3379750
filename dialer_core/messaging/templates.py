"""Templates of messages: `templates/NAME.toml`, checked when they are loaded, rendered without leave to do anything else.

    channel = "sms"
    to_confirmed = true             # it says something of a debt: only to an address whose person agreed to this channel

    [given]                         # what whoever sends it must give, besides the fields below
    folio = "secret"                # or "plain"

    [text]
    es = "{{ first_name }}, su saldo es de {{ balance }}. Responda BAJA para no recibir más mensajes."

It owns their shape and the rendering. Which fields there are is `wording.py`'s, what is known of an account `fields.py`'s; who gets a
message is the outbox's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from dialer_core.errors import CommandRefusedError, ConfigError
from dialer_core.messaging import document_links, opt_out
from dialer_core.messaging.document_links import LinkSpec
from dialer_core.messaging.wording import FIELDS, LONGEST, compiled, fields_of
from dialer_core.setting_types import Section
from dialer_core.store.contacts import ANSWER
from dialer_core.toml_files import explain, read_toml
from dialer_core.vocabulary import Channel, UncertainPolicy

BUTTONS: Final = "buttons"
"""In a message's `provider_template`: keys with the words on their buttons, of a free text."""
Sends = Literal[Channel.SMS, Channel.WHATSAPP, Channel.EMAIL]


class ProviderTemplate(Section):
    """`[provider]`: the name under which the provider approved it (WhatsApp)."""

    name: str
    language: dict[str, str] = Field(default_factory=dict)
    """The provider's code of each language: `es = "es_MX"`."""
    parameters: tuple[str, ...] = ()
    """Fields in the order of its numbered places."""


class Letter(Section):
    """`[[letters]]`: a letter that goes with an e-mail, or as a document of WhatsApp, as PDF."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,48}$")
    """Of the file, without `.pdf`."""
    title: Annotated[dict[str, str], Field(min_length=1)]
    text: Annotated[dict[str, str], Field(min_length=1)]
    """Paragraphs, an empty line between them."""


class _File(Section):
    channel: Sends
    purpose: str = "collection"
    text: Annotated[dict[str, str], Field(min_length=1)]
    subject: dict[str, str] = Field(default_factory=dict)
    given: dict[str, Literal["plain", "secret"]] = Field(default_factory=dict)
    to_confirmed: bool = False
    opt_out_line: bool = True
    """False: it needs to tell nobody how to opt out, as an answer within a conversation."""
    when_uncertain: UncertainPolicy = UncertainPolicy.HOLD
    valid_hours: Annotated[float, Field(gt=0, le=720)] = 24.0
    """Not sent later than so long after it was queued."""
    provider: ProviderTemplate | None = None
    letters: tuple[Letter, ...] = ()
    link: LinkSpec | None = None
    """Where `{{ document_link }}` leads."""
    flow: str = Field(default="", pattern=r"^[A-Za-z0-9_-]{0,64}$")
    """The flow of `flows/` that handles what they answer; empty: people do."""


class Template:
    """One checked template.

    Parameters
    ----------
    name
        The file's name without `.toml`.
    file
        Where it stands, for messages.
    its
        What it says.

    Raises
    ------
    ConfigError
        It uses a field that does not exist, reveals a debt to anybody, tells nobody how to opt out, or is no template.
    """

    def __init__(self, name: str, file: Path, its: _File) -> None:
        self.name = name
        self.channel = Channel(its.channel)
        self.purpose = its.purpose
        self.to_confirmed = its.to_confirmed
        self.when_uncertain = its.when_uncertain
        self.valid_hours = its.valid_hours
        self.provider = its.provider
        self.flow = its.flow
        self.link = its.link
        self.languages = tuple(its.text)
        self.given = frozenset(its.given)
        self._texts = {
            language: compiled(file, f"text.{language}", text) for language, text in its.text.items()
        }
        self._subjects = {
            language: compiled(file, f"subject.{language}", text) for language, text in its.subject.items()
        }
        self._letters = [
            (
                one.name,
                {
                    at: compiled(file, f"letters.{one.name}.title.{at}", text)
                    for at, text in one.title.items()
                },
                {at: compiled(file, f"letters.{one.name}.text.{at}", text) for at, text in one.text.items()},
            )
            for one in its.letters
        ]
        told = [
            *((f"text.{language}", text) for language, text in its.text.items()),
            *((f"subject.{language}", text) for language, text in its.subject.items()),
        ]
        guarded: list[tuple[str, str]] = []  # read only by who answers the link's question
        for one in its.letters:
            into = guarded if its.link and its.link.field and its.link.letter == one.name else told
            into += [
                (f"letters.{one.name}.{at}", text)
                for said in (one.title, one.text)
                for at, text in said.items()
            ]

        def used(texts: list[tuple[str, str]], known: Mapping[str, str]) -> frozenset[str]:
            return frozenset(field for key, source in texts for field in fields_of(file, key, source, known))

        shown = used(told, its.given | _of_link(its)) | _provider_fields(file, its)
        self.fields = shown | used(guarded, its.given)
        _check(file, its, shown)

    def render(self, fields: Mapping[str, str | None], language: str) -> Rendered:
        """Return the texts in a language, or in the template's first where it does not speak it.

        Parameters
        ----------
        fields
            What is known, by name; None or an empty text is a missing field.
        language
            `es`, `es-MX`, `en`.

        Raises
        ------
        CommandRefusedError
            A field is missing, or the text is longer than a message may be.
        """
        if missing := sorted(name for name in self.fields if not fields.get(name)):
            raise CommandRefusedError(
                f"template {self.name!r} needs {', '.join(missing)}, and nothing is known of it for this account",
                "invalid",
            )
        spoken = language.partition("-")[0].lower()
        if spoken not in self._texts:
            spoken = self.languages[0]
        said = {name: fields[name] for name in self.fields}
        text = self._texts[spoken].render(said).strip()
        if not text or len(text) > LONGEST:
            raise CommandRefusedError(
                f"template {self.name!r} comes to {len(text)} characters; a message has 1 to {LONGEST}",
                "invalid",
            )
        subject = self._subjects[spoken].render(said) if spoken in self._subjects else ""
        parameters: dict[str, object] | None = (
            {
                "name": self.provider.name,
                "language": self.provider.language.get(spoken, spoken),
                "parameters": [str(fields[name]) for name in self.provider.parameters],
            }
            if self.provider
            else None
        )
        letters = [
            {"name": name, "title": titles[spoken].render(said).strip(), "text": texts[spoken].render(said).strip()}
            | ({document_links.FIELD: "yes"} if self.link and self.link.letter == name else {})
            for name, titles, texts in self._letters
        ]  # fmt: skip
        return Rendered(
            language=spoken,
            text=text,
            subject=" ".join(subject.split()),
            provider=parameters,
            letters=letters,
        )


class Rendered:
    """What a template came to for one account."""

    __slots__ = ("language", "letters", "provider", "subject", "text")

    def __init__(
        self,
        *,
        language: str,
        text: str,
        subject: str = "",
        provider: dict[str, object] | None = None,
        letters: list[dict[str, str]] | None = None,
    ) -> None:
        self.letters = letters or []
        self.language = language
        self.text = text
        self.subject = subject
        self.provider = provider


def load_templates(folder: Path) -> dict[str, Template]:
    """Read and check every template of a folder; there need be none.

    Raises
    ------
    ConfigError
        One is wrong; the message says which, where and what would be right.
    """
    return (
        {file.stem: load_template(file) for file in sorted(folder.glob("*.toml"))} if folder.is_dir() else {}
    )


def load_template(file: Path) -> Template:
    """Read and check one template.

    Raises
    ------
    ConfigError
        It is wrong; the message says where and what would be right.
    """
    raw = read_toml(file)
    try:
        its = _File.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(explain(file, error)) from None
    return Template(file.stem, file, its)


def _provider_fields(file: Path, its: _File) -> frozenset[str]:
    names = frozenset(its.provider.parameters) if its.provider else frozenset()
    if unknown := sorted(names - FIELDS.keys() - its.given.keys() - _of_link(its).keys()):
        raise ConfigError(
            f"{file}: provider.parameters: {unknown[0]!r} is no field; there are {', '.join(FIELDS)}"
        )
    return names


def _of_link(its: _File) -> dict[str, str]:
    """Return the field of a template with a link: one that asks nobody anything is as private as what it opens."""
    return {} if its.link is None else {document_links.FIELD: "plain" if its.link.field else "secret"}


def _check_link(file: Path, its: _File, link: LinkSpec, fields: frozenset[str]) -> None:
    if document_links.FIELD not in fields:
        raise ConfigError(f"{file}: link: no text says where: write {{{{ {document_links.FIELD} }}}}")
    if link.letter and link.letter not in {one.name for one in its.letters}:
        raise ConfigError(f"{file}: link.letter: there is no [[letters]] of the name {link.letter!r}")
    if link.field == document_links.NUMBER and (shown := sorted(fields & {"reference", "account"})):
        raise ConfigError(
            f"{file}: link.field: asks for the end of the account's number, and {shown[0]!r} tells it; ask for something else"
        )
    if link.question and its.text.keys() - link.question.keys():
        raise ConfigError(f"{file}: link.question: is not asked in every language of [text]")


def _check(file: Path, its: _File, fields: frozenset[str]) -> None:
    if its.purpose == ANSWER:
        raise ConfigError(
            f"{file}: purpose: {ANSWER!r} is of answers to what a person wrote; a template has another"
        )
    if twice := sorted(its.given.keys() & FIELDS.keys()):
        raise ConfigError(
            f"{file}: given.{twice[0]}: is a field of every account already; choose another name"
        )
    linked = its.link.letter if its.link else None
    if its.link is not None:
        _check_link(file, its, its.link, fields)
    for name in sorted(fields):
        if not its.to_confirmed and (FIELDS.get(name) or (its.given | _of_link(its)).get(name) == "secret"):
            raise ConfigError(
                f"{file}: {name!r} reveals a debt, or something as private: set to_confirmed = true, so that it goes only to an address whose"
                " person agreed to this channel, or leave the field out"
            )
    for one in its.letters:
        if its.channel is Channel.SMS and one.name != linked:
            raise ConfigError(f"{file}: letters: no letter goes by SMS, but by a link")
        if its.text.keys() != one.title.keys() or its.text.keys() != one.text.keys():
            raise ConfigError(f"{file}: letters.{one.name}: speaks other languages than [text]")
    if its.subject.keys() - its.text.keys():
        raise ConfigError(f"{file}: subject: speaks a language that [text] does not")
    if its.channel is Channel.EMAIL and its.text.keys() - its.subject.keys():
        raise ConfigError(f"{file}: subject: an e-mail needs one in every language of [text]")
    for language, text in its.text.items():
        if its.opt_out_line and not opt_out.offers(text):
            raise ConfigError(
                f"{file}: text.{language}: does not say how to opt out, in capitals ('Responda BAJA ...', 'Reply STOP ...');"
                " opt_out_line = false for answers within a conversation"
            )


__all__ = ["FIELDS", "ProviderTemplate", "Rendered", "Template", "load_template", "load_templates"]
