"""What a line worker is told when it is started. Its own module, so that the supervisor can name it without pjsua2."""

from __future__ import annotations

import msgspec


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one worker for its whole life."""

    worker_id: str
    socket_path: str
    sip_host: str
    """Address its SIP socket is bound to."""
    sip_port: int
    media_host: str
    """The media plane's address."""
    public_host: str = ""
    """What Via and Contact name instead of `sip_host`, behind NAT."""
    user_agent: str = "Marcador"
    outbound_proxy: str = ""
    """Route put before that of every call and OPTIONS: the edge, or empty."""
    successor: bool = False
    """One of this name has died: its calls may still ring, and their answers come here."""
