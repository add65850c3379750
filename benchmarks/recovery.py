"""What a death costs: a line per kind of process killed, measured at the far ends of calls under way.

`python -m benchmarks.recovery --json` runs the kill test's own rounds (`tests/kill`): real processes, the project's simulator at the far ends, a
PostgreSQL that is killed and started again. The figures are read from the far ends' log and recordings.

kind              the process killed: worker, media, engine, host, database
kills             how many times
talk_survived     share of the conversations standing then, whose signalling it did not carry, that went on until the customer hung up
gap_s_max         longest silence at either ear of such a conversation, from 0.3 s before the kill to 4 s after
orphan_bye_s_max  worker: kill to the BYE at the far end, over the answered calls it carried
resume_s_max      kill to the first INVITE of an attempt that was committed after it
lost              attempts without exactly one outcome, INVITEs without a row, leads left in an attempt
repeated          attempts dialed more than once
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.kill.__main__ import run
from tests.kill.cells import every_cell


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recovery", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a line and nothing else")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=None)
    given = parser.parse_args()
    done = run(
        kills=given.kills, seed=given.seed, cells=every_cell(), stores=["postgresql"], folder=given.folder, slack=1.0, quiet=given.json
    )  # fmt: skip
    for kind in done.kinds.values():
        if kind.kills:
            print(json.dumps(kind.line()))
    for fault in done.faults if not given.json else ():
        print(fault, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
