"""Settings of what happens on the line: named extensions that agents transfer to and supervisors listen from, and recordings.

It owns these sections of `dialer.toml` and of a campaign's file; how the files are read is `settings.py`'s.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from dialer_core.setting_types import Section
from dialer_core.vocabulary import RecordPolicy, SrtpUse


class ExtensionSettings(Section):
    """`[extensions.NAME]`: a phone of the contact centre that is no agent's softphone; agents transfer to it, supervisors listen from it."""

    sip: str = Field(pattern=r"^sip:[^@\s]+@[^\s]+$")
    """Its address: `sip:legal@192.0.2.20:5060`, or a queue of the PBX."""
    supervises: bool = False
    """A supervisor's phone: it may listen, whisper and barge. Agents transfer to the others."""
    srtp: SrtpUse = SrtpUse.OFF
    """Encrypted sound: off, optional, required."""
    customer_number: bool = False
    """The INVITE carries the customer's number as P-Asserted-Identity: for a PBX that shows it, or routes by it."""
    user_to_user: bool = False
    """It carries the account's id as User-to-User (RFC 7433), in hexadecimal: for a screen that opens the account."""
    account_header: str = Field(default="", pattern=r"^(X-[A-Za-z0-9-]{1,40})?$")
    """Or in a header of this name, which begins with `X-`; empty: none."""
    ring_limit_s: float = Field(default=30.0, ge=2, le=45)
    """It is rung for so long at most."""
    acknowledged_by: Literal["answer", "told", "update"] = "answer"
    """A queue of agents (`queue` in `agents.toml`): what says that one of them is there. `answer`: its 200. `told`: the agents' source, or
    `POST /calls/ID/connected`. `update`: a re-INVITE or UPDATE with P-Asserted-Identity after the 200 (connected line)."""
    hand_over: Literal["bridge", "refer"] = "bridge"
    """`bridge`: sound goes through us for as long as they talk. `refer`: the trunk takes the call by REFER, with Replaces, and our legs leave."""


class SpeechSettings(Section):
    """`[speech]`: what flows say, by voices of plugins."""

    voice: str = ""
    """Name of the voice; empty: the first one of the enabled plugins that speaks the language."""
    level_dbfs: Annotated[float, Field(ge=-40, le=-10)] = -20.0
    """How loud speech is made."""
    cache_mb: Annotated[float, Field(ge=8, le=100_000)] = 256.0
    """Rendered speech that is kept at most, for a day at the longest."""


class RecordingSettings(Section):
    """`[recordings]`: recorded conversations, kept sealed; which ones says each campaign."""

    key_env: str = ""
    """Environment variable that holds the master key, which wraps each recording's own: 32 bytes in base64 (`openssl rand -base64 32`)."""
    key_file: Path | None = None
    """Or a file that holds it."""
    retention_days: Annotated[float, Field(gt=0, le=36_600)] = 180.0
    """Recordings are deleted after so many days."""
    container: Literal["opus", "flac"] = "opus"
    """What they are turned into after the call: opus (small), flac (nothing lost)."""


class RecordSettings(Section):
    """What a campaign records."""

    policy: RecordPolicy = RecordPolicy.NEVER
    """never, on_demand (the agent, a supervisor or the API says so) or always; needs a key in `[recordings]` of `dialer.toml`."""
    refuse_key: Annotated[str, Field(pattern=r"^[0-9*#]?$")] = ""
    """Key by which the customer refuses to be recorded, as the announcement tells them; the recording is deleted, the call goes on. Empty: none."""
    agree_key: Annotated[str, Field(pattern=r"^[0-9*#]$")] = "1"
    """Key by which they agree, where the rule pack wants that before anything is recorded; the agent may also be told so, and switch it on."""
    announcement: str = ""
    """Prompt that tells the customer so at the bridge, before they hear the agent; empty: where the rule pack asks for one, a packaged one in their
    language (`recording-es`, `recording-consent-es`, with the keys 9 and 1), else none."""
