"""A report as a mail: the file that `dialer report` writes, and a few figures to read at once, in Spanish or English.

It owns making the mail. When it goes out is `schedule.py`'s, that it goes out once `rounds.py`'s. The figures come out of `dialer report`, in a
process of its own: reports over millions of calls take their time, and the host has none to lend.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import html
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from email.headerregistry import Address as HeaderAddress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Final

from dialer_core.plugin_api import DialerError, written_day, written_money
from plugins.email.schedule import span
from plugins.email.settings import EmailSettings, ScheduledReport

MOST_OCTETS: Final = 15_000_000
"""Of a file that goes along: most servers take no larger mail. What is larger is told of and left out."""
MAKING_LIMIT_S: Final = 300.0
"""For each of the two questions."""
_NICE: Final = 19
_TYPES: Final = {"csv": ("text", "csv"), "json": ("application", "json"), "parquet": ("application", "vnd.apache.parquet")}  # fmt: skip
_FIGURES: Final = {
    "attempts": ("count", "Llamadas", "Calls"),
    "contacts": ("count", "Contactos", "Contacts"),
    "contact_rate": ("rate", "Contactabilidad", "Contact rate"),
    "right_party": ("count", "Contactos con el titular", "Right-party contacts"),
    "abandonment_rate": ("rate", "Abandono", "Abandonment"),
    "promises": ("count", "Promesas", "Promises"),
    "promised": ("money", "Prometido", "Promised"),
    "kept_rate": ("rate", "Promesas cumplidas", "Promises kept"),
    "payments": ("count", "Pagos", "Payments"),
    "recovered": ("money", "Recuperado", "Recovered"),
}
"""What is to be read at once: unit, and its name in Spanish and in English."""
_WORDS: Final = {
    "es": {
        "to": "a",
        "attached": "El informe completo va en el archivo adjunto {file}.",
        "large": "El archivo {file} pesa {size:.0f} MB y no cabe en un correo: pídalo con «dialer report».",
    },
    "en": {
        "to": "to",
        "attached": "The whole report is in the attached file {file}.",
        "large": "The file {file} has {size:.0f} MB, too much for a mail: ask for it with 'dialer report'.",
    },
}
_TITLES: Final = {
    "summary": ("Resumen", "Summary"),
    "outcomes": ("Resultados de las llamadas", "Outcomes of calls"),
    "dispositions": ("Tipificaciones", "Dispositions"),
    "reasons": ("Motivos de no pago", "Reasons for not paying"),
    "hours": ("Mejores horas", "Best hours"),
    "phones": ("Calidad de los teléfonos", "Quality of phone numbers"),
    "targets": ("Metas", "Targets"),
    "cdr": ("Detalle de llamadas", "Call detail records"),
}


class ReportError(DialerError):
    """A report could not be made; the message is what `dialer report` said."""


@dataclass(frozen=True)
class Made:
    """A report as a file, and its figures of all."""

    file: str
    content: bytes
    """Empty where the file is too large for a mail: it is not taken into memory then."""
    figures: dict[str, Any]
    octets: int
    """Of the file."""


async def make(report: ScheduledReport, on: dt.date, config: Path) -> Made:
    """Ask `dialer report` for what goes out on a day.

    Raises
    ------
    ReportError
        It failed, or took longer than `MAKING_LIMIT_S`; or this machine has no room for its file, or for another process.
    """
    try:
        return await _made(report, on, config)
    except OSError as error:
        raise ReportError(
            f"'dialer report' cannot be run: {error.strerror or type(error).__name__}"
        ) from error
    except ValueError:
        raise ReportError("'dialer report' gave no figures that can be read") from None


async def _made(report: ScheduledReport, on: dt.date, config: Path) -> Made:
    first, last = span(report.days, on)
    asked = ["--since", first.isoformat(), "--until", last.isoformat(), "--config", str(config)]
    asked += [word for name in report.campaigns for word in ("--campaign", name)]
    asked += ["--currency", report.currency] if report.currency else []
    days = first.isoformat() if first == last else f"{first.isoformat()}_{last.isoformat()}"
    name = f"{report.name}-{days}.{report.format}"
    with tempfile.TemporaryDirectory(prefix="report-") as folder:
        file = Path(folder) / name
        divided = [word for one in report.by for word in ("--by", one)]
        await _dialer(["report", report.report, *divided, *asked, "--output", str(file)])
        octets = file.stat().st_size
        content = await asyncio.to_thread(file.read_bytes) if octets <= MOST_OCTETS else b""
    figures = json.loads(await _dialer(["report", "summary", *asked, "--json"]))
    return Made(name, content, figures[0] if figures else {}, octets)


async def _dialer(arguments: Sequence[str]) -> bytes:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dialer_core.commands.cli", *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        preexec_fn=lambda: os.nice(_NICE) and None,
    )  # fmt: skip
    try:
        out, said = await asyncio.wait_for(process.communicate(), MAKING_LIMIT_S)
    except TimeoutError:
        raise ReportError(f"'dialer report' took longer than {MAKING_LIMIT_S:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        lines = said.decode(errors="replace").strip().splitlines()
        raise ReportError(lines[-1] if lines else f"'dialer report' ended with {process.returncode}")
    return out


def mail_of(
    report: ScheduledReport, made: Made, on: dt.date, to: str, its: EmailSettings, sent_as: str, now: dt.datetime
) -> EmailMessage:  # fmt: skip
    """Return a report as a mail to one address."""
    second = report.language == "en"
    words = _WORDS[report.language]
    first, last = (written_day(day.isoformat(), report.language) for day in span(report.days, on))
    days = str(first) if first == last else f"{first} {words['to']} {last}"
    title = f"{_TITLES[report.report][second]}: {days}"
    rows = [
        (label[second], _written(made.figures[name], unit, report.currency))
        for name, (unit, *label) in _FIGURES.items()
        if made.figures.get(name) is not None
    ]
    fits = made.octets <= MOST_OCTETS
    where = words["attached" if fits else "large"].format(file=made.file, size=made.octets / 1e6)
    mail = EmailMessage(policy=SMTP)
    name, domain = its.sender.split("@")
    mail["From"] = HeaderAddress(its.sender_name, name, domain)
    mail["To"] = to
    mail["Subject"] = title
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = sent_as
    mail["Auto-Submitted"] = "auto-generated"
    text = "\n".join([title, "", *(f"{label}: {value}" for label, value in rows), "", where])
    mail.set_content(text + "\n", cte="quoted-printable")
    mail.add_alternative(_page(title, rows, where, report.language), subtype="html", cte="quoted-printable")
    if fits:
        main, sub = _TYPES[report.format]
        mail.add_attachment(made.content, maintype=main, subtype=sub, filename=made.file)
    return mail


def _written(value: Any, unit: str, currency: str) -> str:
    if unit == "rate":
        return f"{100 * value:.1f} %"
    if unit == "money":
        return written_money(value, currency) if currency else f"{value / 100:,.2f}"  # type: ignore[return-value]
    return f"{value:,}"


def _page(title: str, rows: Sequence[tuple[str, str]], where: str, language: str) -> str:
    cells = "".join(
        f'<tr><td style="padding:4px 24px 4px 0">{html.escape(label)}</td>'
        f'<td style="padding:4px 0;text-align:right"><b>{html.escape(value)}</b></td></tr>\n'
        for label, value in rows
    )
    return (
        f'<!doctype html>\n<html lang="{language}"><head><meta charset="utf-8"></head>\n'
        f'<body style="font-family:sans-serif;font-size:15px;line-height:1.4">\n<h1 style="font-size:18px">{html.escape(title)}</h1>\n'
        f"<table>\n{cells}</table>\n<p>{html.escape(where)}</p></body></html>\n"
    )
