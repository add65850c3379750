"""Whether a far end can be sent to as it was negotiated. Pure."""

from __future__ import annotations

import ipaddress
from typing import Final

from dialer_core.ipc.messages import ConnectLeg
from dialer_core.media import rtp
from dialer_core.media.srtp import is_usable

PAYLOAD_TYPES: Final = {"PCMU": rtp.PCMU, "PCMA": rtp.PCMA}


def is_reachable(command: ConnectLeg) -> bool:
    """Return whether a far end can be sent to as described (or is on hold): IPv4 addresses, real ports, a codec and keys we can use.

    A host name is refused: looking it up would stop the sound of every call.
    """
    try:
        for host in filter(None, (command.host, command.rtcp_host)):
            ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return (
        command.codec in PAYLOAD_TYPES
        and 0 <= command.port <= 65534
        and 0 <= command.rtcp_port <= 65535
        and -1 <= command.dtmf_pt <= 127
        and (command.srtp is None or is_usable(command.srtp))
    )
