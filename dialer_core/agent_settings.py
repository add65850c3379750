"""Settings of agents: `agents.toml`, and what in it must fit the extensions and plugins of `dialer.toml`.

It owns the shape of an agent's table; how the file is read is `settings.py`'s.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from dialer_core.routing_settings import Level
from dialer_core.setting_types import Name, Section, check_secret
from dialer_core.vocabulary import AgentId, AgentLeg, SrtpUse
from dialer_core.voice_settings import ExtensionSettings


class AgentSettings(Section):
    """`[agents.ID]` of `agents.toml`: an agent is a SIP address."""

    sip: str = Field(default="", pattern=r"^(sip:[^@\s]+@[^\s]+)?$")
    """The softphone: `sip:ana@192.0.2.10:5060`; one that registers at the edge is `sip:ana@` and the edge's domain."""
    queue: str = ""
    """Or an agent of a PBX: the extension of `dialer.toml`, a queue of it, to which their people are delivered."""
    member: str = ""
    """What the PBX calls them: `1001`, `PJSIP/1001`; by default their own id."""
    state_from: str = ""
    """The plugin that tells whether they are free: `agent_state_http`, `asterisk_queue`; empty: they log in here."""
    password_env: str = ""
    """Environment variable that holds the password by which the softphone registers at the edge."""
    password_file: Path | None = None
    """Or a file that holds it."""
    srtp: SrtpUse = SrtpUse.OFF
    """Encrypted sound to the softphone: off, optional, required."""
    name: str = ""
    """Shown on screens."""
    campaigns: tuple[str, ...] = ()
    """Campaigns whose people they take; empty: all."""
    skills: dict[Name, Level] = Field(default_factory=dict)
    """What they can do, and how well from 1 to 10: `{ legal = 5, english = 3 }`. Campaigns ask for it in `[routing]`."""
    chats: Annotated[int, Field(ge=0, le=50)] = 3
    """Chats (SMS, WhatsApp, e-mail) that they have at a time, at most."""
    auto_ready: bool = False
    """Logged in when `dialer run` starts, and ready as soon as the softphone answers, without an own `login` and `ready`."""
    wrap_up_s: Annotated[float, Field(ge=0, le=3600)] | None = None
    """After-call work; by default the campaign's."""
    leg: AgentLeg | None = None
    """`nailed_up`: the softphone is called at log-in and stays up; `per_conversation`: for each conversation. By default what their campaigns say."""

    @model_validator(mode="after")
    def _one_way(self) -> AgentSettings:
        check_secret(self.password_env, self.password_file)
        if bool(self.sip) == bool(self.queue):
            msg = "give either sip (a softphone that we call) or queue (an agent of a PBX)"
            raise ValueError(msg)
        return self


def pbx_problems(
    file: Path,
    agents: Mapping[AgentId, AgentSettings | None],
    dialer_file: Path,
    extensions: Mapping[str, ExtensionSettings],
    plugins: Collection[str],
) -> list[str]:
    """Return what does not fit of agents who are a PBX's: their queue, and who tells their states."""
    problems = []
    queues = sorted(name for name, its in extensions.items() if not its.supervises)
    for name, agent in agents.items():
        if agent is None:
            continue
        where = f"{file}: agents.{name}"
        if agent.queue and agent.queue not in queues:
            known = ", ".join(queues) or "none"
            problems.append(
                f"{where}.queue: {agent.queue!r} is no extension in {dialer_file} to which people are delivered; known are: {known}"
            )
        elif agent.queue and extensions[agent.queue].hand_over == "refer" and not agent.state_from:
            problems.append(
                f'{where}.state_from: extensions.{agent.queue} takes calls over (hand_over = "refer"): only a source of states knows when'
                " they are free again; name its plugin"
            )
        if agent.state_from and agent.state_from not in plugins:
            known = ", ".join(plugins) or "none"
            problems.append(
                f"{where}.state_from: {agent.state_from!r} is not among plugins.enabled of {dialer_file}: {known}"
            )
    return problems
