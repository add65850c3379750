"""The settings of the plugin `crm`: `plugins/crm.toml`, the mapping between a CRM's records and ours.

It owns their shapes, and telling a mistake with its line. How a connection is spoken is its own module's; what a mapping makes of a record,
`mapping.py`'s and `facts.py`'s.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dialer_core.plugin_api import AccountRecords, ConfigError, EngineHandle
from plugins.crm.connection_settings import Connection
from plugins.crm.fact_names import FACTS, PLACE, What
from plugins.crm.toml_lines import line_of

PLUGIN: Final = "crm"
Winner = Literal["crm", "ours", "newest"]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
_OUR_FIELD: Final = re.compile(rf"^({'|'.join(AccountRecords.fields)}|(phone|email)_\d{{1,2}})$")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FieldSettings(_Part):
    """What one of our fields is made of, where a path is not enough."""

    path: str = ""
    """Where the value stands in the CRM's record: `owner.name`, `phones.0.number`."""
    value: str = ""
    """Or always this."""
    values: dict[str, str] = Field(default_factory=dict)
    """What their words mean in ours; a word that is not here stays as it is."""

    @model_validator(mode="after")
    def _one(self) -> FieldSettings:
        if bool(self.path) == bool(self.value):
            msg = "give either path or value"
            raise ValueError(msg)
        return self


class AccountsSettings(_Part):
    """`[accounts.NAME]`: accounts that come in."""

    connection: Name
    """Which of `[connections]`."""
    campaign: str
    """Onto whose list."""
    source: str = Field(min_length=1)
    """What is read: a path (rest), an object (salesforce), a table (sql), a pattern of file names (files, sftp), a model (tryton)."""
    where: str = ""
    """Which of it: a condition in SOQL or SQL, a domain as JSON (tryton), a query as `a=1&b=2` (rest)."""
    key: str = "id"
    """Their field that says which record it is."""
    modified: str = ""
    """Their field that says when it was changed, or a number that grows: only what is newer is read. Empty: all of it each time."""
    also_modified: tuple[str, ...] = ()
    """More such fields (tryton: `party.write_date`): the record is read anew when one of them is newer."""
    overlap_s: Annotated[float, Field(ge=0, le=86_400)] = 60.0
    """So much is read again each time, for what was written while we read."""
    every_minutes: Annotated[float, Field(gt=0, le=10_080)] = 15.0
    """How often is looked for changes."""
    full_every_hours: Annotated[float, Field(ge=0, le=8760)] = 24.0
    """How often everything is read, whatever it was changed; 0: never."""
    fields: dict[str, str | FieldSettings]
    """Ours = theirs."""
    attributes: dict[str, str | FieldSettings] = Field(default_factory=dict)
    """Free attributes of ours = theirs."""
    wins: dict[str, Winner] = Field(default_factory=dict)
    """Of a field that both have: `crm`, `ours`, or `newest`, the one changed last. By default the CRM's."""

    @model_validator(mode="after")
    def _fits(self) -> AccountsSettings:
        for name in self.fields:
            if not _OUR_FIELD.fullmatch(name):
                msg = f"fields.{name}: is none of ours: {', '.join(AccountRecords.fields)}, phone_2, email_2 …; others go under attributes"
                raise ValueError(msg)
        if "external_id" not in self.fields:
            msg = "fields.external_id is missing: which account it is"
            raise ValueError(msg)
        for name in self.wins:
            if name not in self.fields and name not in self.attributes:
                msg = f"wins.{name}: is neither among fields nor attributes"
                raise ValueError(msg)
        return self


class OutSettings(_Part):
    """`[out.NAME]`: what is written into the CRM."""

    connection: Name
    what: What
    """`interaction`: each call and message; `disposition`: what a conversation was; `promise`: made, kept, broken, withdrawn."""
    target: str = Field(min_length=1)
    """Where: a path with `{id}` (rest), an object (salesforce), a table (sql), the beginning of a file's name (files, sftp), a model (tryton)."""
    method: Literal["PUT", "POST", "PATCH"] = "PUT"
    """Of a request (rest)."""
    key: str = ""
    """Their field that holds our id, by which they know it again: an external id (salesforce), a column (sql)."""
    find: str = ""
    """How it is found again, a domain as JSON (tryton)."""
    create: bool = True
    """Written anew where it is not found (tryton, sql); else nothing is written."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Of a request (rest); `{key}` is the same each time that the same thing is told."""
    fields: dict[str, str | int | float | bool]
    """Theirs = ours: text with `{places}`; a place alone keeps its type. `a.b` stands within `a`."""
    values: dict[str, dict[str, str | int | float | bool]] = Field(default_factory=dict)
    """By place: what our words are in theirs."""
    only: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """By place: only what has one of these words is written."""

    @model_validator(mode="after")
    def _fits(self) -> OutSettings:
        known = FACTS[self.what]
        texts = {"target": self.target, "find": self.find} | {
            f"headers.{k}": v for k, v in self.headers.items()
        }
        texts |= {f"fields.{name}": text for name, text in self.fields.items() if isinstance(text, str)}
        for where, text in texts.items():
            for place in PLACE.findall(text):
                if place not in known:
                    msg = f"{where}: {{{place}}} stands for nothing in a {self.what}; there are: {', '.join(known)}"
                    raise ValueError(msg)
        for part, table in (("values", self.values), ("only", self.only)):
            for place in table:
                if place not in known:
                    msg = f"{part}.{place}: there is no such place in a {self.what}; there are: {', '.join(known)}"
                    raise ValueError(msg)
        return self


class CrmSettings(_Part):
    """`plugins/crm.toml`."""

    connections: dict[Name, Connection] = Field(default_factory=dict)
    accounts: dict[Name, AccountsSettings] = Field(default_factory=dict)
    out: dict[Name, OutSettings] = Field(default_factory=dict)
    begin: Literal["now", "start"] = "now"
    """What goes out the first time: what happens from now on, or all that the log holds."""
    out_every_s: Annotated[float, Field(ge=0.2, le=3600)] = 5.0
    """How often what has happened is written out."""
    batch: Annotated[int, Field(ge=1, le=500)] = 100
    """Events that are read and written out at a time: no more are ever in memory."""
    most_tries: Annotated[int, Field(ge=1, le=100)] = 8
    """A record that the CRM fails at so often, while it takes others, becomes a dead letter."""
    most_wait_s: Annotated[float, Field(ge=1, le=86_400)] = 300.0
    """The longest wait between two tries of a CRM that is away."""

    @model_validator(mode="after")
    def _connected(self) -> CrmSettings:
        for part, table in (("accounts", self.accounts), ("out", self.out)):
            for name, one in table.items():
                if one.connection not in self.connections:
                    known = ", ".join(self.connections) or "none"
                    msg = f"{part}.{name}.connection: there is no connection {one.connection!r}; there are: {known}"
                    raise ValueError(msg)
                kind = self.connections[one.connection].kind
                if isinstance(one, OutSettings):
                    for needed in {"salesforce": ("key",), "sql": ("key",), "tryton": ("find",)}.get(
                        kind, ()
                    ):
                        if not getattr(one, needed):
                            msg = (
                                f"out.{name}.{needed} is missing: a {kind} connection knows our records by it"
                            )
                            raise ValueError(msg)
        return self


def settings_of(engine: EngineHandle) -> CrmSettings:
    """Return the plugin's settings; without a file nothing is synced.

    Raises
    ------
    ConfigError
        The file is wrong: one line for each mistake, with its line in the file.
    """
    if not file_of(engine).exists():
        return CrmSettings()
    raw = engine.settings(_Raw).model_dump()
    try:
        return CrmSettings.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(
            "\n".join(_told(engine, dict(one)) for one in error.errors(include_url=False))
        ) from None


def file_of(engine: EngineHandle) -> Path:
    """Return the mapping file."""
    return engine.config_directory / "plugins" / f"{PLUGIN}.toml"


def place_of(engine: EngineHandle, *path: str) -> str:
    """Return `FILE:LINE: a.b.c` of a setting, or of what stands around it."""
    file = file_of(engine)
    return f"{file}:{line_of(file.read_text(encoding='utf-8'), path)}: {'.'.join(path)}"


class _Raw(BaseModel):
    """The file as it is: read and found to be TOML, and not judged yet."""

    model_config = ConfigDict(extra="allow")


def _told(engine: EngineHandle, item: dict[str, Any]) -> str:
    path = tuple(str(part) for part in item["loc"])
    text = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        text = "unknown setting; docs/crm-settings.md has those that there are"
    elif item["type"] == "missing":
        text = "is missing"
    elif item["type"] == "union_tag_invalid":
        path = (*path, "kind")
        text = f"{item['ctx']['tag']!r} is no kind of CRM; there are: {item['ctx']['expected_tags']}"
    elif item["type"] == "string_pattern_mismatch":
        text += f" (given: {item['input']!r})"
    named = re.match(r"^([a-z_]+(?:\.[^\s:]+)+)(?::| is) ", text)
    where = (*path, *named[1].split(".")) if named else path
    return f"{place_of(engine, *where)}: {text.removeprefix(named[1] + ': ') if named else text}"
