"""`docs/simulator.md`: what each number of the simulated carrier does, how to run it, what it writes down.

It owns the page's layout and the sentences between tables; the tables are the code's own.
"""

from __future__ import annotations

import click

from dialer_core.sim import __main__ as simulator
from dialer_core.sim import behaviours, event_log
from tools.doc_source import doc, literals, members, page, paragraphs, table

HELP_COLUMNS = 100
_SIMULATOR_RUN = """\
<!-- run -->
```console
$ python -m dialer_core.sim --carrier-port 27100 --softphone-ports 27110,27111 --log sim.jsonl --recordings heard >sim.out &
$ until grep -q sim_ready sim.out; do sleep 0.1; done
$ kill %1; wait %1
$ head -1 sim.jsonl
…"kind": "sim.started"…
```"""


def _log_kinds() -> str:
    """Return the table of the simulator's log from the docstring that defines it."""
    lines = doc(event_log).splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("kind "))
    column = lines[start].index("what it says")
    rows: list[list[str]] = []
    for line in lines[start + 1 :]:
        if line[:column].strip():
            rows.append([f"`{line[:column].strip()}`", line[column:]])
        else:
            rows[-1][1] += " " + line.strip()
    return table(("kind", "what it says, and its own fields"), rows)


def simulator_page() -> str:
    """Return `simulator.md`."""
    context = click.Context(
        simulator.main, info_name="python -m dialer_core.sim", terminal_width=HELP_COLUMNS, color=False
    )
    classes = members(behaviours.TrueClass, literals(behaviours))
    return page(
        "Simulated carrier and softphones",
        "`dialer demo` and many tests dial into it; so can anything that speaks SIP. It shares words with the engine and no code: real"
        " UDP SIP and real G.711 RTP by an implementation of its own, so that both ends are never wrong in the same way.",
        "## What a number does",
        "The last two digits of the called number choose the behaviour.",
        behaviours.behaviour_table_markdown(),
        paragraphs(doc(behaviours))[2]
        + f" True classes: {', '.join(word for word, _ in classes)}; `none` is nothing heard at all.",
        "All times of a call are drawn from the seed and the called number alone: equal seeds and numbers give equal calls. Even suffixes prefer"
        " PCMU, odd ones PCMA.",
        "## Run it",
        " ".join(paragraphs(doc(simulator))[1:]),
        _SIMULATOR_RUN,
        f"```text\n{simulator.main.get_help(context)}\n```",
        "## Its log",
        paragraphs(doc(event_log))[2],
        _log_kinds(),
        "`dialer verify --carrier-log sim.jsonl` compares the store with it.",
    )
