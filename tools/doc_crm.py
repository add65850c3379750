"""`docs/crm-settings.md`: every setting of `plugins/crm.toml`. It owns the page's order; every description is the code's own."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from plugins.crm import connection_settings, fact_names, settings
from tools.doc_settings import fields_table
from tools.doc_source import doc, literals, page, prose, table

_TABLES: Mapping[str, type[BaseModel]] = {
    "At the top": settings.CrmSettings,
    "[accounts.NAME]": settings.AccountsSettings,
    "A field that is more than a path": settings.FieldSettings,
    "[out.NAME]": settings.OutSettings,
    "rest": connection_settings.RestSettings,
    "rest: [connections.NAME.auth]": connection_settings.AuthSettings,
    "rest: [connections.NAME.paging]": connection_settings.PagingSettings,
    "salesforce": connection_settings.SalesforceSettings,
    "sql": connection_settings.SqlSettings,
    "files": connection_settings.FilesSettings,
    "sftp": connection_settings.SftpSettings,
    "tryton": connection_settings.TrytonSettings,
}


def crm_page() -> str:
    """Return `crm-settings.md`."""
    said = literals(settings) | literals(connection_settings)
    sections = []
    for title, model in _TABLES.items():
        of_bases = {
            f"{model.__name__}.{name}": said[f"{base.__name__}.{name}"]
            for base in reversed(model.__mro__)
            for name in model.model_fields
            if f"{base.__name__}.{name}" in said
        }
        sections.append(f"## {title}\n\n{prose(doc(model))}\n\n{fields_table(model, of_bases)}")
    return page(
        "Settings of the plugin crm",
        "`plugins/crm.toml`. What they are for, with examples: [crm.md](crm.md).",
        *sections,
        "## Places\n\nWhat `{places}` of an `[out]` table may stand for. An amount is a number, a day a day.\n\n"
        + table(
            ("what", "places"),
            [(what, " ".join(f"`{one}`" for one in names)) for what, names in fact_names.FACTS.items()],
        ),
    )
