"""Asking a running Kamailio: JSON-RPC over the datagram socket that its configuration opens.

It owns the question and its limits. It changes nothing there.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import tempfile
from pathlib import Path
from typing import Any

ANSWER_LIMIT_S = 3.0
_ANSWER_BYTES = 1_000_000
REGISTERED, DISABLED = 4, 1
"""Flags of a registration in `uac.reg_dump`: it stands (bit 2), it has been given up (bit 0)."""


def ask(control_socket: Path, method: str) -> Any:
    """Return the result of a command.

    Raises
    ------
    OSError
        Nobody listens there, we may not ask, or no answer came in time.
    ValueError
        What came back is no answer.
    """
    own = Path(tempfile.gettempdir()) / f"marcador-{os.getpid()}-{secrets.token_hex(4)}.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asking:
        asking.bind(str(own))
        try:
            own.chmod(0o666)  # Kamailio runs as a user of its own, and answers to this
            asking.settimeout(ANSWER_LIMIT_S)
            asking.connect(str(control_socket))
            asking.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method}).encode())
            answer = json.loads(asking.recv(_ANSWER_BYTES))
        finally:
            own.unlink()
    if "result" not in answer:
        raise ValueError(f"the edge does not know {method}")
    return answer["result"]
