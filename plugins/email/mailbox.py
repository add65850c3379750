"""The mailbox of replies and bounces: what is new in it, read and, once it is stored, marked as seen.

It owns the protocol (IMAP) and what a mail says: a bounce (RFC 3464), a reply without what it quotes, or a machine's answer, which is nobody's word.
"""

from __future__ import annotations

import email
import hashlib
import html
import imaplib
import re
import ssl
from collections.abc import Sequence
from email.message import EmailMessage, Message
from email.policy import default
from email.utils import parseaddr
from typing import Final

from dialer_core.plugin_api import Inbound, Receipt
from plugins.email.composing import STOP
from plugins.email.settings import ImapSettings

LIMIT_S: Final = 20.0
TOGETHER: Final = 50
LARGEST: Final = 10 << 20
"""A mail larger than this is marked as seen and told by its headers alone."""
LONGEST: Final = 4096
_BEFORE_QUOTED: Final = re.compile(
    r"^[ \t]*(?:El|On|Em|Le)\b[^\n]{0,200}(?:\n(?!\s*\n)[^\n]{0,200}){0,2}?\b(?:escribi[óo]|wrote|escreveu|a écrit)[ \t]*:[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
"""The line over what is quoted; mail programs break it where it is long."""
_ENDS: Final = (
    re.compile(r"^--\s?$"),
    re.compile(
        r"^\s*(?:Enviado (?:desde|con) |Sent (?:from|via) |Obtener Outlook para |Get Outlook for )",
        re.IGNORECASE,
    ),
    re.compile(r"^\s*-{2,}\s*(?:Mensaje original|Original Message|Forwarded message)", re.IGNORECASE),
    re.compile(r"^_{10,}$"),
    re.compile(r"^\s*(?:De|From)\s*:\s.*@", re.IGNORECASE),
)
"""Where their words end: a signature, their telephone's own line, or what they answer to."""
_TAG: Final = re.compile(r"<(?:style|script)\b.*?</(?:style|script)>|<[^>]*>", re.IGNORECASE | re.DOTALL)
_BREAK: Final = re.compile(r"<(?:br|/p|/div|/tr)\b[^>]*>", re.IGNORECASE)


class Mailbox:
    """One folder of a mailbox. Every method blocks.

    Parameters
    ----------
    its
        Where it is.
    password
        Of its user.
    """

    def __init__(self, its: ImapSettings, password: str) -> None:
        self._its = its
        self._password = password
        self._imap: imaplib.IMAP4 | None = None

    def unseen(self) -> list[tuple[str, bytes]]:
        """Return new mails, some at most, each with its number in the folder.

        Raises
        ------
        OSError, imaplib.IMAP4.error
            The server is away, or does not take us.
        """
        imap = self._connected()
        imap.noop()
        _, [found] = imap.uid("SEARCH", None, "UNSEEN")  # type: ignore[arg-type]
        told: list[tuple[str, bytes]] = []
        for number in (found or b"").split()[:TOGETHER]:
            uid = number.decode()
            raw = self._fetch(imap, uid)
            if raw is not None:
                told.append((uid, raw))
        return told

    def mark_seen(self, uids: Sequence[str]) -> None:
        """Say that these need not be told again."""
        if uids:
            self._connected().uid("STORE", ",".join(uids), "+FLAGS.SILENT", r"(\Seen)")

    def close(self) -> None:
        """Close the connection."""
        imap, self._imap = self._imap, None
        if imap is not None:
            try:
                imap.logout()
            except (OSError, imaplib.IMAP4.error):
                imap.shutdown()

    def _connected(self) -> imaplib.IMAP4:
        if self._imap is not None:
            return self._imap
        its = self._its
        context = ssl.create_default_context(cafile=its.ca_file)
        imap: imaplib.IMAP4
        if its.security == "tls":
            imap = imaplib.IMAP4_SSL(its.host, its.port, ssl_context=context, timeout=LIMIT_S)
        else:
            imap = imaplib.IMAP4(its.host, its.port, timeout=LIMIT_S)
            if its.security == "starttls":
                imap.starttls(context)
        if its.user:
            imap.login(its.user, self._password)
        status, _ = imap.select(its.folder)
        if status != "OK":
            raise imaplib.IMAP4.error("there is no such folder")
        self._imap = imap
        return imap

    @staticmethod
    def _fetch(imap: imaplib.IMAP4, uid: str) -> bytes | None:
        _, sizes = imap.uid("FETCH", uid, "(RFC822.SIZE)")
        size = re.search(rb"RFC822\.SIZE (\d+)", sizes[0] if sizes and isinstance(sizes[0], bytes) else b"")
        part = "(BODY.PEEK[HEADER])" if size and int(size[1]) > LARGEST else "(BODY.PEEK[])"
        _, found = imap.uid("FETCH", uid, part)
        return next((one[1] for one in found if isinstance(one, tuple)), None)


def read(raw: bytes) -> list[Receipt | Inbound]:
    """Return what a mail tells."""
    mail = email.message_from_bytes(raw, policy=default)
    if bounced := _bounce(mail):
        return bounced
    subject = str(mail.get("Subject", ""))[:998]
    if _is_automatic(mail) and subject.strip().upper() not in STOP.values():
        return []  # but for the button of a mail program, which says what its owner wants
    sender = parseaddr(str(mail.get("From", "")))[1]
    if "@" not in sender:
        return []
    ids = re.findall(r"<[^<>\s]{3,250}>", f"{mail.get('In-Reply-To', '')} {mail.get('References', '')}")
    own = str(mail.get("Message-ID", "")).strip() or hashlib.sha256(raw).hexdigest()
    return [
        Inbound(
            provider_id=_fitting(own), sender=sender, subject=subject, text=_said(mail)[:LONGEST],
            in_reply_to=tuple(dict.fromkeys(_fitting(one) for one in reversed(ids))),
        )
    ]  # fmt: skip


def _fitting(own: str) -> str:
    return own if len(own) <= 128 else hashlib.sha256(own.encode()).hexdigest()


def _bounce(mail: Message) -> list[Receipt | Inbound]:
    """Return the receipts of a delivery status notification; a delay is none."""
    if mail.get_content_type() != "multipart/report" or not mail.is_multipart():
        return []
    action = status = original = ""
    for part in mail.walk():
        kind = part.get_content_type()
        if kind == "message/delivery-status":
            fields = [one for one in part.get_payload() if isinstance(one, Message)]
            for field in fields:
                action = str(field.get("Action", action)).strip().lower()
                status = str(field.get("Status", status)).strip()
        elif kind in ("message/rfc822", "text/rfc822-headers"):
            inner = (
                part.get_payload(0)
                if part.is_multipart()
                else email.message_from_string(str(part.get_payload()))
            )
            if isinstance(inner, Message):
                original = str(inner.get("Message-ID", original)).strip()
    if not original or action not in ("failed", "delivered"):
        return []
    return [
        Receipt(provider_id=_fitting(original), delivered=action == "delivered", code=status[:64] or action)
    ]


def _is_automatic(mail: Message) -> bool:
    """Say whether a machine wrote it: an answer to it would be answered again."""
    auto = str(mail.get("Auto-Submitted", "no")).lower()
    precedence = str(mail.get("Precedence", "")).lower()
    return (
        auto not in ("", "no")
        or precedence in ("bulk", "junk", "list", "auto_reply")
        or mail.get_content_type() == "multipart/report"
    )


def _said(mail: Message) -> str:
    """Return what they wrote, without what it quotes; of files, their names."""
    text, files = "", []
    if isinstance(mail, EmailMessage):
        body = mail.get_body(("plain", "html"))
        if body is not None:
            try:
                text = str(body.get_content())
            except (LookupError, ValueError):  # an alphabet that nobody knows
                text = bytes(body.get_payload(decode=True) or b"").decode("utf-8", "replace")
            if body.get_content_subtype() == "html":
                text = html.unescape(_TAG.sub("", _BREAK.sub("\n", text)))
        files = [one.get_filename() or one.get_content_type() for one in mail.iter_attachments()]
    lines: list[str] = []
    for line in _BEFORE_QUOTED.split(text.replace("\r", ""), 1)[0].split("\n"):
        if any(mark.search(line) for mark in _ENDS):
            break
        if not line.lstrip().startswith(">"):
            lines.append(line.rstrip())
    said = "\n".join(lines).strip()
    return "\n".join([*([said] if said else []), *(f"[file] {name}" for name in files)])
