"""What an e-mail looks like: headers, text, the same as HTML, and letters.

It owns the form. What it says is the template's; who gets it is the core's.
"""

from __future__ import annotations

import datetime as dt
import html
import re
from email.headerregistry import Address as HeaderAddress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final

from dialer_core.plugin_api import OutboundMessage
from plugins.email.settings import EmailSettings

_LINK: Final = re.compile(r"https?://[^\s<>\"]+[^\s<>\".,;:!?)]")
STOP: Final = {"es": "BAJA", "en": "STOP"}
"""The subject by which a mail program's own button says: no more."""


def message_id(idempotency_key: str, sender: str) -> str:
    """Return the Message-ID of a message: the same for each try of it."""
    return f"<{idempotency_key}@{sender.partition('@')[2]}>"


def mail_of(message: OutboundMessage, its: EmailSettings, now: dt.datetime) -> EmailMessage:
    """Return a message as an e-mail.

    Raises
    ------
    ValueError
        An address is none.
    """
    mail = EmailMessage(policy=SMTP)
    name, domain = its.sender.split("@")
    mail["From"] = HeaderAddress(its.sender_name, name, domain)
    mail["To"] = message.to
    mail["Subject"] = message.subject or its.sender_name or its.sender
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = message_id(message.idempotency_key, its.sender)
    answers_to = its.reply_to or its.sender
    if its.reply_to:
        mail["Reply-To"] = its.reply_to
    mail["List-Unsubscribe"] = f"<mailto:{answers_to}?subject={STOP.get(message.language, 'BAJA')}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.text + "\n", cte="quoted-printable")
    mail.add_alternative(as_html(message.text, message.language), subtype="html", cte="quoted-printable")
    for one in message.attachments:
        main, _, sub = one.media_type.partition("/")
        mail.add_attachment(one.content, maintype=main, subtype=sub, filename=one.name)
    return mail


def as_html(text: str, language: str) -> str:
    """Return a text as a page: paragraphs, its links to be clicked, nothing of it read as HTML."""
    said = html.escape(text)
    linked = _LINK.sub(lambda found: f'<a href="{found[0]}">{found[0]}</a>', said)
    paragraphs = "".join(f"<p>{one.replace(chr(10), '<br>')}</p>\n" for one in linked.split("\n\n") if one.strip())  # fmt: skip
    return (
        f'<!doctype html>\n<html lang="{html.escape(language or "es")}"><head><meta charset="utf-8"></head>\n'
        f'<body style="font-family:sans-serif;font-size:15px;line-height:1.5;max-width:40em">\n{paragraphs}</body></html>\n'
    )
