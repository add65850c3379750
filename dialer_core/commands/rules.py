"""`dialer rules`: the rule packs of a configuration, and what each rule stands on.

It owns words only. Reading and checking is `compliance/packs.py`'s.
"""

from __future__ import annotations

import click

from dialer_core.commands.invocation import Invocation, example, invocation
from dialer_core.compliance.packs import load_packs
from dialer_core.compliance.rules import RulePack
from dialer_core.errors import CommandRefusedError


@click.command(epilog=example("dialer rules", "dialer rules mx"))
@click.argument("pack", required=False)
@invocation
def rules(call: Invocation, pack: str | None) -> None:
    """List the rule packs, or the rules of PACK with their sources.

    A rule is verified where somebody has read every primary text that it cites. Have counsel read the rest.
    """
    packs = load_packs(call.settings.directory / "compliance")
    if pack is None:
        rows = [_summary(one) for one in packs.values()]
        call.give(
            [dict(zip(("pack", "version", "rules", "verified", "title"), row, strict=True)) for row in rows]
        )
        call.table(("pack", "version", "rules", "verified", "title"), rows)
        return
    if pack not in packs:
        known = ", ".join(sorted(packs))
        raise CommandRefusedError(f"there is no rule pack {pack!r}; known are: {known}", "unknown")
    its = packs[pack]
    found = [
        (name, "unverified" if its.unread(rule) else "verified", rule.cite) for name, rule in its.rules()
    ]
    call.give(
        {
            "pack": its.name,
            "version": its.version,
            "verified": its.verified,
            "rules": [{"rule": name, "mark": mark, "cite": list(cite)} for name, mark, cite in found],
            "sources": {
                key: {"text": source.text, "read": source.read} for key, source in its.sources.items()
            },
        }
    )
    call.say(f"{its.title} ({its.version})")
    call.table(("rule", "mark", "cites"), [(name, mark, ", ".join(cite)) for name, mark, cite in found])
    call.table(
        ("source", "read", "text"),
        [(key, "yes" if one.read else "no", one.text) for key, one in its.sources.items()],
    )


def _summary(pack: RulePack) -> tuple[str, str, int, str, str]:
    found = [rule for _, rule in pack.rules()]
    verified = sum(not pack.unread(rule) for rule in found)
    return pack.name, pack.version, len(found), f"{verified} of {len(found)}", pack.title
