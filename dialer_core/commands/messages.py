"""`dialer messages`: what waits, what nobody can say was sent, and a message by hand or by template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dialer_core.commands.api_client import api
from dialer_core.commands.invocation import Invocation, example, invocation
from dialer_core.messaging.templates import load_template, load_templates
from dialer_core.vocabulary import MessageState


@click.group(epilog=example("dialer messages channels", "dialer messages list --state held"))
def messages() -> None:
    """Messages by SMS, WhatsApp and e-mail: what waits, what is uncertain, templates."""


@messages.command("channels", epilog=example("dialer messages channels"))
@invocation
def list_channels(call: Invocation) -> None:
    """Show what waits in each channel."""
    with api(call.settings) as client:
        found = client.get("/channels")
    call.give(found)
    columns = ("channel", "plugin", "queued", "uncertain", "held", "failed")
    call.table(columns, [tuple(one[name] for name in columns) for one in found])


@messages.command("list", epilog=example("dialer messages list --state failed"))
@click.option(
    "--state",
    type=click.Choice([one.value for one in MessageState]),
    default=MessageState.HELD.value,
    show_default=True,
    help="Those in this state.",
)
@invocation
def list_messages(call: Invocation, state: str) -> None:
    """List messages, the newest first; addresses and texts only with --json."""
    with api(call.settings) as client:
        found = client.get("/messages", state=state)
    call.give(found)
    call.table(
        ("id", "channel", "campaign", "template", "tries", "created", "reason"),
        [
            (one["id"], one["channel"], one["campaign_id"] or "", one["template"] or "by hand", one["tries"],
             one["created_at_utc"], one["reason"] or "")
            for one in found
        ],
    )  # fmt: skip


@messages.command(
    "send",
    epilog=example("dialer messages send cobranza 0198c9a4-7c1e-7000-8000-000000000001 --template llamanos"),
)
@click.argument("campaign")
@click.argument("account")
@click.option("--template", required=True, help="Name of a file of templates/, without .toml.")
@click.option(
    "--given", multiple=True, metavar="FIELD=TEXT", help="What the template's [given] names; repeatable."
)
@click.option("--language", default="", help="By default the person's.")
@click.option(
    "--key", "request_key", default=None, help="Your own name of this request: given twice, it is sent once."
)
@invocation
def send(
    call: Invocation,
    campaign: str,
    account: str,
    template: str,
    given: tuple[str, ...],
    language: str,
    request_key: str | None,
) -> None:
    """Queue a message about ACCOUNT by the rules of CAMPAIGN; the gate says when it goes."""
    fields = dict(one.partition("=")[::2] for one in given)
    body: dict[str, Any] = {
        "campaign": campaign, "account": account, "template": template, "given": fields, "language": language,
    }  # fmt: skip
    if request_key is not None:
        body["request_key"] = request_key
    with api(call.settings) as client:
        made = client.post("/messages", body)
    call.give(made)
    call.say(f"queued as {made['id']}")


@messages.command("release", epilog=example("dialer messages release 0198c9a4-7c1e-7000-8000-000000000001"))
@click.argument("message")
@invocation
def release(call: Invocation, message: str) -> None:
    """Send a held message again: you have found that it was not sent, or do not mind twice."""
    with api(call.settings) as client:
        call.give(client.post(f"/messages/{message}/release"))
    call.say(f"{message}: queued again")


@messages.command("end-link", epilog=example("dialer messages end-link 0198c9a4-7c1e-7000-8000-000000000001"))
@click.argument("message")
@invocation
def end_link(call: Invocation, message: str) -> None:
    """End the link to a document that a message carried: it opens no more."""
    with api(call.settings) as client:
        call.give(client.post(f"/messages/{message}/end-link"))
    call.say(f"{message}: its link opens no more")


@messages.command("cancel", epilog=example("dialer messages cancel 0198c9a4-7c1e-7000-8000-000000000001"))
@click.argument("message")
@click.option("--reason", default="command", show_default=True, help="Kept with the message.")
@invocation
def cancel(call: Invocation, message: str, reason: str) -> None:
    """Take back a message that has not been sent."""
    with api(call.settings) as client:
        call.give(client.post(f"/messages/{message}/cancel", {"reason": reason}))
    call.say(f"{message}: cancelled")


@messages.command(
    "templates", epilog=example("dialer messages templates", "dialer messages templates aviso.toml")
)
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@invocation
def templates(call: Invocation, file: Path | None) -> None:
    """Check FILE, or every template of the configuration, and list what each needs."""
    if file is not None:
        one = load_template(file)
        found = {one.name: one}
    else:
        found = load_templates(call.settings.directory / "templates")
    rows = [
        (name, one.channel.value, ", ".join(one.languages), ", ".join(sorted(one.fields)), "yes" if one.to_confirmed else "no")
        for name, one in found.items()
    ]  # fmt: skip
    columns = ("template", "channel", "languages", "fields", "needs consent")
    call.give([dict(zip(columns, row, strict=True)) for row in rows])
    call.table(columns, rows)
