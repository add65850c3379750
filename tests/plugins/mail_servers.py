"""Mail servers on loopback: aiosmtpd takes what is sent, Dovecot keeps a mailbox."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import email
import ipaddress
import os
import pwd
import shutil
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.host.running import free_port
from tests.polling import wait_until_async


def certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for this machine that signs itself; return its file and its key's."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    ours, secret = folder / "cert.pem", folder / "key.pem"
    ours.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return ours, secret


class MailServer:
    """Mails that came, and what the next steps are answered."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.mails: list[EmailMessage] = []
        self.envelopes: list[Any] = []
        self.answers: dict[str, Callable[[], str]] = {}

    async def handle_MAIL(  # noqa: N802 - as aiosmtpd calls it
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: list[str]
    ) -> str:
        """Answer who it is from."""
        envelope.mail_from = address
        return self.answers.get("MAIL", lambda: "250 OK")()

    async def handle_RCPT(  # noqa: N802 - as aiosmtpd calls it
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: list[str]
    ) -> str:
        """Answer whom it is for."""
        answer = self.answers.get("RCPT", lambda: "250 OK")()
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        """Keep a mail."""
        self.envelopes.append(envelope)
        parsed = email.message_from_bytes(envelope.content, policy=default)
        assert isinstance(parsed, EmailMessage)
        self.mails.append(parsed)
        answer = self.answers.get("DATA", lambda: "250 OK")()
        if answer == "break":
            server.transport.abort()
        return answer


@asynccontextmanager
async def mail_server(folder: Path | None = None) -> AsyncIterator[MailServer]:
    """Run a mail server; with a folder, one that demands STARTTLS with the certificate there."""
    its = MailServer(free_port())
    context = None
    if folder is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*certificate(folder))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(its, tls_context=context, require_starttls=context is not None, enable_SMTPUTF8=True),
        "127.0.0.1",
        its.port,
    )
    try:
        yield its
    finally:
        server.close()


_DOVECOT = """
protocols = imap
listen = 127.0.0.1
base_dir = {folder}/run
log_path = {folder}/dovecot.log
ssl = no
disable_plaintext_auth = no
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
mail_location = maildir:{folder}/mail
first_valid_uid = 1
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
"""


class MailboxServer:
    """A mailbox, and what is in it."""

    def __init__(self, folder: Path, port: int, ids: tuple[int, int]) -> None:
        self.folder = folder
        self.port = port
        self._ids = ids
        self._number = 0

    def put(self, raw: bytes) -> None:
        """Deliver a mail."""
        self._number += 1
        file = self.folder / "mail" / "new" / f"{self._number}.mail"
        partial = self.folder / "mail" / "tmp" / file.name
        partial.write_bytes(raw)
        os.chown(partial, *self._ids)
        partial.rename(file)

    def seen(self) -> int:
        """Return how many mails are marked as seen."""
        return sum(one.name.partition(":2,")[2].count("S") for one in (self.folder / "mail" / "cur").iterdir())  # fmt: skip


@asynccontextmanager
async def mailbox_server(folder: Path) -> AsyncIterator[MailboxServer]:
    """Run Dovecot with one mailbox, user `box`, password `secret`."""
    dovecot = shutil.which("dovecot") or "/usr/sbin/dovecot"
    user = pwd.getpwnam("dovecot" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name)
    ids = (user.pw_uid, user.pw_gid)
    its = MailboxServer(folder, free_port(), ids)
    for name in ("", "mail", "mail/new", "mail/cur", "mail/tmp", "run"):
        (folder / name).mkdir(exist_ok=True)
        os.chown(folder / name, *ids)
        (folder / name).chmod(0o755)
    config = folder / "dovecot.conf"
    import grp

    config.write_text(
        _DOVECOT.format(folder=folder, user=user.pw_name, group=grp.getgrgid(user.pw_gid).gr_name, uid=ids[0], gid=ids[1], port=its.port)
    )  # fmt: skip
    for parent in folder.parents:  # the test run's folder is its user's alone, and Dovecot is another
        if parent.stat().st_uid == os.getuid() and parent != Path("/tmp"):  # noqa: S108
            parent.chmod(parent.stat().st_mode | 0o111)
    process = await asyncio.create_subprocess_exec(dovecot, "-F", "-c", str(config))

    async def greets() -> bool:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", its.port)
            line = await reader.readline()
            writer.close()
            await writer.wait_closed()
            return line.startswith(b"* OK")
        return False

    try:
        await wait_until_async(greets, 15, "Dovecot to listen")
        yield its
    finally:
        process.terminate()
        await process.wait()
