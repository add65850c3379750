"""Settings of what happens on the line: named extensions that agents transfer to and supervisors listen from.

It owns these sections of `dialer.toml`; how the file is read is `settings.py`'s.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from dialer_core.vocabulary import SrtpUse


class ExtensionSettings(BaseModel):
    """`[extensions.NAME]`: a phone of the contact centre that is no agent's softphone; agents transfer to it, supervisors listen from it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sip: str = Field(pattern=r"^sip:[^@\s]+@[^\s]+$")
    """Its address: `sip:legal@192.0.2.20:5060`, or a queue of the PBX."""
    supervises: bool = False
    """A supervisor's phone: it may listen, whisper and barge. Agents transfer to the others."""
    srtp: SrtpUse = SrtpUse.OFF
    """Encrypted sound: off, optional, required."""
    ring_limit_s: float = Field(default=30.0, ge=2, le=45)
    """It is rung for so long at most."""
