"""How fast every channel works: messages out and their receipts back, accounts in and interactions out, scores.

    python -m benchmarks.channels --json
    python -m benchmarks.channels --what smpp_client --number 20000

A line each: `what`, `per_second`, `receipts`, `lost`, `twice`, `seconds`. Far ends run in processes of their own, on this machine.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Final

import msgspec

from benchmarks import crm_lines, message_lines, score_line
from benchmarks.message_lines import Line

LINES: Final[dict[str, tuple[Callable[[int], Line], int]]] = {
    "smpp_client": (message_lines.smpp_client, 20_000),
    "smpp_gate_outbox": (message_lines.smpp_gate_outbox, 5_000),
    "whatsapp": (message_lines.whatsapp, 3_000),
    "email": (message_lines.email, 3_000),
    "crm_in": (crm_lines.crm_in, 20_000),
    "crm_out": (crm_lines.crm_out, 5_000),
    "score": (score_line.score, 1_000_000),
    "score_postgresql": (score_line.score_postgresql, 1_000_000),
}
"""What is measured, and with how many by default."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--what", choices=tuple(LINES), action="append", help="only these")
    parser.add_argument(
        "--number", type=int, help="of messages, rows or accounts, instead of each line's own"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for name in options.what or LINES:
        measure, number = LINES[name]
        line = measure(options.number or number)
        print(json.dumps(msgspec.to_builtins(line)) if options.json else _row(line), flush=True)


def _row(line: Line) -> str:
    return f"{line.what:<18} {line.per_second:>10,.1f}/s  receipts {line.receipts:>8,}  lost {line.lost}  twice {line.twice}  {line.seconds:g} s"


if __name__ == "__main__":
    main()
