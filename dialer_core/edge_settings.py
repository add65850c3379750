"""The settings of the edge: `[edge]` of `dialer.toml`.

It owns their shape. It does not own what is written from them (`edge/`), nor the other sections (`settings.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from dialer_core.setting_types import Port, Section

INNER_HOST = "127.0.0.1"
"""Where the workers reach the edge, and it them."""


class EdgeSettings(Section):
    """`[edge]`: the SIP proxy in front of the workers; `dialer init --edge` writes its configuration from these."""

    enabled: bool = False
    """Workers send everything through it. Needed for softphones that register, trunks that want registration, inbound calls, TLS and NAT."""
    bind: str = "127.0.0.1"
    """Address of this machine on which trunks and softphones reach it."""
    port: Port = 5060
    """Its SIP port, UDP and TCP."""
    tls_port: Port = 5061
    """Its SIP port for TLS, open where `tls_certificate` is set."""
    inner_port: Port = 5066
    """Port on 127.0.0.1 on which the workers reach it."""
    domain: str = ""
    """Domain of softphones' addresses (`sip:ana@DOMAIN`) and realm of their passwords; by default the public address."""
    inbound_workers: Annotated[int, Field(ge=1, le=200)] = 2
    """Line workers that take calls from trunks, besides those that dial; each takes as many as this pjsua2 can."""
    inbound_first_port: Port = 15020
    """Those workers take this port and those after it, twice as many as they are."""
    inbound_calls_per_second: Annotated[int, Field(ge=1, le=1000)] = 20
    """New calls per second taken from one trunk's address; more are answered with 503."""
    tls_certificate: Path | None = None
    """PEM file with the certificate and its chain, readable by Kamailio's user; relative to this file's folder."""
    tls_private_key: Path | None = None
    """PEM file with its key."""
    tls_ca: Path = Path("/etc/ssl/certs/ca-certificates.crt")
    """PEM file of the authorities by which trunks' certificates are checked."""
    control_socket: Path = Path("/run/kamailio/marcador.sock")
    """Socket on which `dialer doctor` asks the edge about registrations."""

    @model_validator(mode="after")
    def _key_of_certificate(self) -> EdgeSettings:
        if (self.tls_certificate is None) is not (self.tls_private_key is None):
            msg = "tls_certificate and tls_private_key go together: set both or neither"
            raise ValueError(msg)
        return self

    @property
    def inner(self) -> str:
        """`host:port` on which the workers reach it."""
        return f"{INNER_HOST}:{self.inner_port}"

    @property
    def inbound_ports(self) -> range:
        """SIP ports of the workers that take calls from trunks, and as many again: a worker that is renewed has another for a while."""
        return range(self.inbound_first_port, self.inbound_first_port + 2 * self.inbound_workers)

    @property
    def outbound_proxy(self) -> str:
        """The route that workers put before everything; empty without an edge."""
        return f"sip:{self.inner};lr" if self.enabled else ""
