"""What `dialer doctor` looks at for who we say we are: signing keys, and numbers that reach us when called back.

It owns these checks; their shape and grades are `doctor_checks.py`'s. Nobody is called, and no certificate is fetched.
"""

from __future__ import annotations

from collections.abc import Iterator

from dialer_core.campaigns.caller_id_health import look
from dialer_core.commands.doctor_checks import Finding, fail, ok, warn
from dialer_core.errors import ConfigError, StoreError
from dialer_core.settings import Settings
from dialer_core.sip.passport import Signer
from dialer_core.store.database import open_database


def check_signing(settings: Settings) -> Iterator[Finding]:
    """Each trunk that signs: its key is one for SHAKEN, private, and its certificate is said to be somewhere in the open."""
    for name, trunk in settings.trunks.items():
        key_file = settings.stir_key_file(name)
        if trunk.stir is None or key_file is None:
            continue
        check, url = f"signing {name}", trunk.stir.certificate_url
        try:
            Signer(key_file, url, trunk.stir.attestation)
        except ConfigError as error:
            yield fail(check, str(error), "'dialer run' refuses without it")
            continue
        if key_file.stat().st_mode & 0o077:
            yield warn(
                check,
                f"{key_file} can be read by others: whoever has it signs as you",
                f"chmod 600 {key_file}",
            )
        host = url.removeprefix("https://").partition("/")[0].partition(":")[0]
        if (
            "." not in host
            or host.endswith((".example", ".invalid", ".local", ".internal"))
            or "example." in host
        ):
            yield warn(
                check, f"nobody outside can fetch a certificate from {url}",
                "certificate_url must name what your certificate repository serves to everybody",
            )  # fmt: skip
        else:
            yield ok(check, f"ES256, attestation {trunk.stir.attestation}, certificate at {url}")


def check_caller_ids(settings: Settings) -> Iterator[Finding]:
    """Every number that is shown reaches us when it is called back, and nothing speaks against it."""
    shown = {number for pool in settings.caller_ids.values() for number in pool.numbers}
    shown |= {one.caller_id for one in settings.campaigns.values() if one.caller_id}
    shown |= {one.caller_id for one in settings.trunks.values() if one.caller_id}
    if not shown:
        return
    used = {campaign.caller_ids for campaign in settings.campaigns.values()}
    for name in sorted(settings.caller_ids.keys() - used):
        yield warn(
            "caller IDs", f"pool {name} belongs to no campaign: who calls its numbers back reaches nobody",
            "name it in a campaign (caller_ids), or take it out",
        )  # fmt: skip
    if not settings.dialer.edge.enabled:
        yield warn(
            "caller IDs",
            f"{len(shown)} numbers are shown, and calls to them do not come here: without the edge nothing is taken in",
            "set edge.enabled = true, or have the carrier send them to where somebody answers",
        )
    else:
        yield ok(
            "caller IDs", f"{len(shown)} numbers are shown, and who calls them back reaches their campaign"
        )
    try:
        yield from _health(settings)
    except StoreError:
        return  # the database's own check says so


def _health(settings: Settings) -> Iterator[Finding]:
    if not settings.caller_ids:
        return
    database = open_database(settings.store_url, node=settings.dialer.node.name)
    try:
        with database.read() as tx:
            found = [
                one
                for name, pool in settings.caller_ids.items()
                for one in look(tx, name, pool, database.clock.utc())
            ]
    finally:
        database.dispose()
    for one in found:
        if one.signs and not one.resting:
            yield warn(
                "caller IDs",
                f"{one.number} of pool {one.pool}: {', '.join(one.signs)} ({one.blocked} refused, {one.answered} answered of {one.attempts})",
                "look into it with the carrier, and let it rest (resting in caller_ids.toml): see 'dialer caller-ids'",
            )
