"""E-mail as a channel: each message handed to an SMTP server once, replies and bounces out of a mailbox.

It owns the connections, and what each answer of the server means for the core. A connection that breaks before the text was handed over has sent
nothing; after it, nobody can say (`lookup` is absent: SMTP cannot be asked).
"""

from __future__ import annotations

import asyncio
import datetime as dt
import imaplib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from email.message import EmailMessage

import aiosmtplib
import structlog

from dialer_core.plugin_api import (
    Accepted,
    Answer,
    Channel,
    Inbound,
    NotAccepted,
    OutboundMessage,
    Receipt,
    Unknown,
)
from plugins.email.composing import mail_of, message_id
from plugins.email.mailbox import Mailbox, read
from plugins.email.settings import EmailSettings

log = structlog.get_logger(__name__)

LIMIT_S = 20.0
DATA_LIMIT_S = 120.0
"""For the text with what is attached, and the server's look at it."""


class EmailChannel:
    """E-mail from one address.

    Parameters
    ----------
    settings
        Of the plugin.
    smtp_password, imap_password
        Secrets; empty where no user is named.
    """

    channel = Channel.EMAIL

    def __init__(self, settings: EmailSettings, *, smtp_password: str = "", imap_password: str = "") -> None:
        self.per_second = settings.per_second
        self.at_once = settings.at_once
        self._its = settings
        self._password = smtp_password
        self._idle: list[aiosmtplib.SMTP] = []
        self._mailbox = Mailbox(settings.imap, imap_password) if settings.imap else None

    async def close(self) -> None:
        """Close the connections."""
        for smtp in self._idle:
            smtp.close()
        self._idle.clear()
        if self._mailbox is not None:
            await asyncio.to_thread(self._mailbox.close)

    async def send(self, message: OutboundMessage) -> Answer:
        """Hand over one message."""
        try:
            mail = mail_of(message, self._its, dt.datetime.now(dt.UTC))
        except ValueError:
            return NotAccepted(code="unsendable", permanent=True)
        return await self.hand_over(message.to, mail, message_id(message.idempotency_key, self._its.sender))

    async def hand_over(
        self, to: str, mail: EmailMessage, sent_as: str, about_to: Callable[[], Awaitable[bool]] | None = None
    ) -> Answer:
        """Hand over one mail to one address.

        `about_to` is asked when the server has taken sender and receiver and the text would go next: where it says no, nothing is sent.
        """
        try:
            smtp = await self._addressed(to)
        except aiosmtplib.SMTPResponseException as refused:
            return NotAccepted(code=str(refused.code), permanent=_is_about_it(refused))
        except (aiosmtplib.SMTPException, OSError) as error:
            log.warning("smtp_unreachable", error=type(error).__name__)
            return NotAccepted(code="unreachable", permanent=False)  # nothing has left
        if about_to is not None and not await about_to():
            smtp.close()
            return NotAccepted(code="withdrawn", permanent=True)
        try:
            await smtp.data(mail.as_bytes(), timeout=DATA_LIMIT_S)
        except aiosmtplib.SMTPDataError as refused:
            self._idle.append(smtp)
            return NotAccepted(code=str(refused.code), permanent=refused.code >= 500)
        except (aiosmtplib.SMTPException, OSError) as error:
            smtp.close()
            return Unknown(code=type(error).__name__)
        self._idle.append(smtp)
        return Accepted(provider_id=sent_as[:128])

    async def receive(self) -> AsyncIterator[Sequence[Receipt | Inbound]]:
        """Yield what is new in the mailbox; what was yielded is marked as seen when the next is asked for: it is stored then."""
        if self._mailbox is None or self._its.imap is None:
            await asyncio.Event().wait()
            return
        away = False
        while True:
            try:
                found = await asyncio.to_thread(self._mailbox.unseen)
                away = False
                if found:
                    yield [one for _, raw in found for one in _told(raw)]
                    await asyncio.to_thread(self._mailbox.mark_seen, [uid for uid, _ in found])
                    continue
            except (OSError, imaplib.IMAP4.error) as error:
                if not away:
                    log.warning("imap_away", error=type(error).__name__)
                away = True
                await asyncio.to_thread(self._mailbox.close)
            await asyncio.sleep(self._its.imap.every_s)

    async def _addressed(self, to: str) -> aiosmtplib.SMTP:
        """Return a connection to which sender and receiver have been said; one that was idle may be dead, and is tried anew once."""
        while self._idle:
            smtp = self._idle.pop()
            try:
                await self._say(smtp, to)
            except aiosmtplib.SMTPServerDisconnected:
                smtp.close()
            else:
                return smtp
        smtp = await self._connected()
        await self._say(smtp, to)
        return smtp

    async def _say(self, smtp: aiosmtplib.SMTP, to: str) -> None:
        try:
            await smtp.mail(self._its.sender)
            await smtp.rcpt(to)
        except aiosmtplib.SMTPResponseException:
            try:
                await smtp.rset()
                self._idle.append(smtp)
            except aiosmtplib.SMTPException:
                smtp.close()
            raise
        except aiosmtplib.SMTPException:
            smtp.close()
            raise

    async def _connected(self) -> aiosmtplib.SMTP:
        its = self._its.smtp
        smtp = aiosmtplib.SMTP(
            hostname=its.host, port=its.port, timeout=LIMIT_S, use_tls=its.security == "tls", start_tls=its.security == "starttls",
            tls_context=ssl.create_default_context(cafile=its.ca_file) if its.security != "none" else None,
        )  # fmt: skip
        try:
            await smtp.connect()
            if its.user:
                await smtp.login(its.user, self._password)
        except (aiosmtplib.SMTPException, OSError):
            smtp.close()
            raise
        return smtp


def _is_about_it(refused: aiosmtplib.SMTPResponseException) -> bool:
    """Say whether a refusal is about this message for good: of its receiver. What speaks of us, our sender or our log-in, may be mended."""
    return refused.code >= 500 and isinstance(refused, aiosmtplib.SMTPRecipientRefused)


def _told(raw: bytes) -> list[Receipt | Inbound]:
    try:
        return read(raw)
    except Exception as error:  # noqa: BLE001 - a mail by anybody: one that cannot be read costs nobody else theirs
        log.warning("mail_unreadable", octets=len(raw), error=type(error).__name__)
        return []
