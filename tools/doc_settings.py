"""`docs/settings.md` and `docs/commands.md`: everything that is typed by a person who runs the dialer.

It owns their layout and how a type is said in words. Every description is the code's own.
"""

from __future__ import annotations

import ast
import enum
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import annotated_types
import click
from pydantic import AfterValidator, BaseModel
from pydantic.fields import FieldInfo

from dialer_core import (
    campaign_settings,
    disposition_settings,
    edge_settings,
    list_settings,
    routing_settings,
    settings,
    voice_settings,
    web_settings,
)
from dialer_core.commands import cli
from dialer_core.compliance import calendar, rules
from dialer_core.toml_files import ENVIRONMENT_PREFIX
from tools.doc_source import doc, literals, page, prose, table

ROOT = Path(__file__).resolve().parent.parent
HELP_COLUMNS = 100
_WORDS: dict[type, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "`true` or `false`",
    Path: "path",
}
_BOUNDS = (
    (annotated_types.Ge, "ge", "at least"),
    (annotated_types.Gt, "gt", "over"),
    (annotated_types.Le, "le", "at most"),
    (annotated_types.Lt, "lt", "under"),
)
_PACK_PARTS: dict[str, type[BaseModel]] = {
    "[sources.KEY]": rules.Source,
    "[windows]": calendar.Windows,
    "[[holidays.rules]]": calendar.HolidayRule,
    "[[holidays.days]]": calendar.HolidayDay,
    "[[caps]]": rules.Cap,
    "[[quiet_periods]]": rules.QuietPeriod,
    "[[single_channels]]": rules.SingleChannel,
    "[[consents]]": rules.ConsentNeeded,
    "[[local]]": rules.LocalRules,
    "[abandonment]": rules.Abandonment,
    "abandonment.windows": rules.LedgerWindow,
    "[voicemail]": rules.Voicemail,
    "[recording]": rules.Recording,
}


def allowed(kind: Any, limits: Sequence[Any] = ()) -> str:
    """Say in words what a setting takes."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        inner = [
            limit
            for one in arguments[1:]
            for limit in (one.metadata if isinstance(one, FieldInfo) else [one])
        ]
        return allowed(arguments[0], [*inner, *limits])
    if origin in {typing.Union, types.UnionType}:
        return " or ".join(allowed(one, limits) for one in arguments if one is not types.NoneType)
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in {tuple, frozenset}:
        least = next((limit.min_length for limit in limits if isinstance(limit, annotated_types.MinLen)), 0)
        return f"list of: {allowed(arguments[0])}" + (f" (at least {least})" if least else "")
    if kind is calendar.Span:
        return "`HH:MM-HH:MM`"
    if inspect.isclass(kind) and issubclass(kind, enum.Enum):
        return ", ".join(f"`{member.value}`" for member in kind)
    if origin is dict or (inspect.isclass(kind) and issubclass(kind, BaseModel)):
        return "table"
    return " ".join([_WORDS.get(kind, getattr(kind, "__name__", str(kind))), *_limits(limits)])


def _limits(limits: Sequence[Any]) -> Iterator[str]:
    bounds = {
        word: f"{getattr(limit, name):g}"
        for limit in limits
        for bound, name, word in _BOUNDS
        if isinstance(limit, bound)
    }
    if {"at least", "at most"} <= bounds.keys():
        yield f"from {bounds['at least']} to {bounds['at most']}"
    elif bounds:
        yield ", ".join(f"{word} {value}" for word, value in bounds.items())
    for limit in limits:
        if pattern := getattr(limit, "pattern", None):
            yield f"like `{pattern}`"
        if isinstance(limit, AfterValidator) and (said := _complaint(limit.func)):
            yield f"({said})"


def _complaint(check: Callable[..., Any]) -> str:
    """Return what a validator says of a wrong value: it tells the right ones."""
    for node in ast.walk(ast.parse(inspect.getsource(check))):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            return str(node.value.value).removeprefix("must be ").removeprefix("names are ")
    return ""


def default(field: FieldInfo) -> str:
    """Return a default as TOML has it."""
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True, validated_data={})
    match value:
        case None:
            return ""
        case bool():
            return f"`{str(value).lower()}`"
        case int() | float():
            return f"`{value:g}`"
        case tuple():
            return "`[" + ", ".join(f'"{one}"' for one in value) + "]`"
        case dict() | BaseModel():
            return ""
        case _:
            return f'`"{value}"`'


def fields_table(model: type[BaseModel], texts: Mapping[str, str]) -> str:
    """Return a model's settings as a table; they have no environment variables."""
    rows = [
        (
            f"`{name}`",
            allowed(field.annotation, field.metadata),
            default(field),
            texts.get(f"{model.__name__}.{name}", ""),
        )
        for name, field in model.model_fields.items()
    ]
    return table(("key", "allowed", "default", "what it is"), rows)


def _fields(model: type[BaseModel], texts: Mapping[str, str], section: str = "") -> str:
    rows = []
    for name, field in model.model_fields.items():
        variable = f"`{ENVIRONMENT_PREFIX}{section}__{name}`".upper() if section else ""
        said = texts.get(f"{model.__name__}.{name}", "")
        rows.append((f"`{name}`", allowed(field.annotation, field.metadata), default(field), said, variable))
    return table(("key", "allowed", "default", "what it is", "environment"), rows)


def _section(name: str, kind: Any) -> tuple[str, type[BaseModel]]:
    """Return a section's heading and its model: one of many of a kind is `[section.NAME]`, which the environment does not give."""
    inner = typing.get_args(kind)
    return (f"{name}.NAME", inner[1]) if inner else (name, kind)


def _about(model: type[BaseModel]) -> str:
    """Return a model's docstring without the name of its table, which is the heading."""
    text = prose(doc(model))
    head, colon, rest = text.partition(": ")
    return rest[:1].upper() + rest[1:] if colon and head.startswith("`") else text


def _example(file: str) -> str:
    text = (ROOT / "config" / file).read_text(encoding="utf-8").strip()
    return f"As `dialer init` writes it:\n\n```toml\n{text}\n```"


def settings_page() -> str:
    """Return `settings.md`."""
    texts, pack_texts = (
        literals(settings)
        | literals(campaign_settings)
        | literals(disposition_settings)
        | literals(list_settings)
        | literals(edge_settings)
        | literals(voice_settings)
        | literals(web_settings)
        | literals(routing_settings),
        literals(rules) | literals(calendar),
    )
    dialer = settings.DialerSettings.model_fields.items()
    return page(
        "Settings",
        "`dialer init` writes a commented configuration folder, `dialer doctor` checks one, and `dialer run` refuses one that is wrong with a"
        " line for each mistake: file, key, what is wrong and what would be right. An unknown key is a mistake. The folder is `config/`, or"
        " what `--config` or `MARCADOR_CONFIG` names.",
        "| file | holds |\n| --- | --- |\n"
        "| [dialer.toml](#dialertoml) | this node |\n"
        "| [trunks.toml](#trunkstoml) | the SIP peers that carry calls |\n"
        "| [agents.toml](#agentstoml) | who takes the people |\n"
        "| [segments.toml](#segmentstoml) | parts of lists, by name |\n"
        "| [caller_ids.toml](#caller_idstoml) | the numbers that are shown |\n"
        "| [campaigns/NAME.toml](#campaignsnametoml) | one campaign each |\n"
        "| [compliance/PACK.toml](#compliancepacktoml) | one rule pack each |",
        "## dialer.toml",
        f"Each of its keys can be given by the environment too, as `{ENVIRONMENT_PREFIX}SECTION__KEY`; the environment wins over the"
        f" file. A list is written with commas: `{ENVIRONMENT_PREFIX}PLUGINS__ENABLED=metrics,other`.",
        *(
            f"### [{name}]\n\n{_about(model)}\n\n{_fields(model, texts, '' if '.' in name else name)}"
            for name, model in (_section(name, field.annotation) for name, field in dialer)
        ),
        f"### [http.oidc]\n\n{_about(web_settings.OidcSettings)} See [screens](screens.md#another-log-in).\n\n"
        f"{_fields(web_settings.OidcSettings, texts)}",
        _example("dialer.toml"),
        f"## trunks.toml\n\nOne table `[trunks.NAME]` for each SIP peer that carries calls.\n\n{_fields(settings.TrunkSettings, texts)}",
        f"### [trunks.NAME.stir]\n\n{prose(doc(settings.StirSettings))} See [plug into a PBX](plug-into-a-pbx.md).\n\n"
        f"{_fields(settings.StirSettings, texts)}",
        _example("trunks.toml"),
        "## agents.toml\n\nOne table `[agents.ID]` for each agent; an agent is a SIP address. The file may be absent.\n\n"
        + _fields(settings.AgentSettings, texts),
        _example("agents.toml"),
        "## segments.toml\n\nOne table `[segments.NAME]` for each segment. The file may be absent. See [campaigns](campaigns.md).\n\n"
        + _fields(list_settings.SegmentSettings, texts),
        "## caller_ids.toml\n\nOne table `[pools.NAME]` for each pool of caller IDs. The file may be absent. See [campaigns](campaigns.md).\n\n"
        + _fields(list_settings.CallerIdPool, texts),
        f"## campaigns/NAME.toml\n\nThe file's name is the campaign's id.\n\n{_fields(campaign_settings.CampaignSettings, texts)}",
        f"### [routing]\n\n{prose(doc(routing_settings.RoutingSettings))} See [inbound calls and routing](inbound.md).\n\n"
        f"{_fields(routing_settings.RoutingSettings, texts)}",
        f"### [inbound]\n\n{prose(doc(routing_settings.InboundSettings))} See [inbound calls and routing](inbound.md).\n\n"
        f"{_fields(routing_settings.InboundSettings, texts)}",
        f"### [record]\n\n{prose(doc(voice_settings.RecordSettings))}\n\n"
        f"{_fields(voice_settings.RecordSettings, texts)}",
        f"### [machines]\n\n{prose(doc(campaign_settings.DetectionSettings))} See [detection](amd.md).\n\n"
        + _fields(campaign_settings.DetectionSettings, texts),
        "### [recycle.OUTCOME]\n\nWhat becomes of a lead after an [outcome](vocabulary.md#outcome), over the built-in rules.\n\n"
        + _fields(campaign_settings.RecycleRule, texts),
        *(
            f"### [{name}]\n\n{prose(doc(model))} See [campaigns](campaigns.md).\n\n{_fields(model, texts)}"
            for name, model in (
                ("attempts", list_settings.AttemptLimits),
                ("hopper", list_settings.HopperSettings),
                ("[hopper.mix]", list_settings.MixPart),
                ("preview", list_settings.PreviewSettings),
                ("schedule", list_settings.ScheduleSettings),
            )
        ),
        f"### [dispositions.WORD]\n\n{prose(doc(disposition_settings.DispositionSettings))} See [leads](leads.md).\n\n"
        + _fields(disposition_settings.DispositionSettings, texts),
        _example("campaigns/cobranza.toml"),
        "## compliance/PACK.toml\n\nThe file's name is the pack's `name`. "
        + prose(doc(rules.RulePack))
        + " The packs that `dialer init` writes are [mx](../config/compliance/mx.toml) and"
        " [demo](../config/compliance/demo.toml); they are the examples.\n\n"
        + _fields(rules.RulePack, pack_texts),
        *(
            f"### {name}\n\n{prose(doc(model))}\n\n{_fields(model, pack_texts)}"
            for name, model in _PACK_PARTS.items()
        ),
    )


def _commands(command: click.Command, parent: click.Context | None = None) -> Iterator[tuple[str, str]]:
    """Yield every command's name with its `--help`, as a terminal of so many columns shows it."""
    name = "dialer" if parent is None else command.name
    context = click.Context(
        command, parent, info_name=name, terminal_width=HELP_COLUMNS, color=False, **command.context_settings
    )
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            if (inner := command.get_command(context, name)) is not None:
                yield from _commands(inner, context)


def commands_page() -> str:
    """Return `commands.md`."""
    statuses = prose(doc(cli)).rpartition("statuses: ")[2].rstrip(".")
    return page(
        "Commands",
        f"Exit statuses: {statuses}. 1 is also what `doctor`, `verify` and `demo` end with when something is not as it should be,"
        " and an import that `--strict` refused.",
        "A failure is one line on the standard error that says what is wrong, where, and what would be right; `dialer --debug COMMAND` shows the"
        " Python trace too. Commands that look at or change the running dialer speak to its API (`[http]` in [settings](settings.md#http)) and"
        " end with 1 where none is running.",
        *(f"## {path}\n\n```text\n{text}\n```" for path, text in _commands(cli.main)),
    )
