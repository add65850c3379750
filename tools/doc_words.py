"""`docs/vocabulary.md`, `docs/states.md` and `docs/simulator.md`: what the words, states and behaviours mean.

It owns their layout, the glossary of the words that are no enum, and the sentences between tables.
"""

from __future__ import annotations

import enum
import inspect
import sys
from pathlib import Path

import click

from dialer_core import vocabulary
from dialer_core.agents import state as agent_state
from dialer_core.calls import attempt, conversation, inbound_call
from dialer_core.campaigns import run
from dialer_core.flows import interpreter
from dialer_core.sim import __main__ as simulator
from dialer_core.sim import behaviours, event_log
from dialer_core.sip import leg
from dialer_core.verify import CHECKS, report
from dialer_core.verify.report import Invariant
from dialer_core.vocabulary import access, calls, floor, ids, messages, portfolio
from tools.doc_source import doc, literals, members, page, paragraphs, prose, table

HELP_COLUMNS = 100
VOCABULARY = (calls, floor, portfolio, messages, access, ids)
GLOSSARY = {
    "lead": "One account on a campaign's list, with the numbers of its person.",
    "list": "All leads of a campaign.",
    "campaign": "A list, how it is dialed, by which rules and for which creditor: one file of `campaigns/`.",
    "person": "Who is called. A person may have several accounts and several phones.",
    "account": "One debt.",
    "hopper": "What claims the next dialable leads, runs the gate on each, and commits their attempts.",
    "gate": "The one question that stands before every contact: may this person be contacted now, and by which rule not.",
    "rule pack": "One TOML file of contact rules of a jurisdiction.",
    "profile": "A rule pack's part on abandoned calls: ceiling, windows, limit, what counts.",
    "cap": "At most so many contacts with a person, account or address in a stretch of time.",
    "restriction": "Why somebody may not be contacted: a do-not-call list is one kind.",
    "attempt": "One try at one number: one INVITE, one Call-ID, one outcome. The next trunk is a new attempt with `retry_of`.",
    "leg": "One SIP call with its sound: the customer's, or an agent's.",
    "trunk": "A SIP peer that carries calls.",
    "verdict": "What the detector heard after the answer.",
    "answered": "The call got a 200: by a person or by anything else.",
    "live answer": "An answered call routed as a person.",
    "bridge": "Customer and agent hear each other.",
    "abandoned": "A live answer without an agent within the profile's limit; the abandonment message is played.",
    "pool": "The agents with the same eligible campaigns. One pacer decides for a pool.",
    "wrap-up": "An agent's work after the call, ended by time or by command.",
    "disposition": "What an agent says a conversation was.",
    "recycle": "What becomes of a lead after an outcome: when, by which number, or never again.",
}
"""Words that are no enum; a test holds that the code uses each."""

_SIMULATOR_RUN = """\
<!-- run -->
```console
$ python -m dialer_core.sim --carrier-port 27100 --softphone-ports 27110,27111 --log sim.jsonl --recordings heard >sim.out &
$ until grep -q sim_ready sim.out; do sleep 0.1; done
$ kill %1; wait %1
$ head -1 sim.jsonl
…"kind": "sim.started"…
```"""


def invariants_page() -> str:
    """Return `invariants.md`."""
    texts = literals(report)
    rows = [
        (
            f"**{one.value}**",
            texts[f"Invariant.{one.name}"],
            "; ".join(check.title.partition(" ")[2] for check in CHECKS if check.invariant is one),
        )
        for one in Invariant
    ]
    return page(
        "What must always be true",
        "`dialer verify` reads a store in one snapshot, beside a running dialer, and names every row that breaks one of these. The checks are"
        " written against the rows and the design, not against the code that makes the rows: the gate's decisions are made again by a second,"
        " slow reading of the rule packs. With `--carrier-log` and `--log` it holds the wire and the logs against the store, too. It ends with"
        " status 1 if anything is broken, and says what it could not check for want of something.",
        table(("invariant", "what it says", "what is looked at"), rows),
        "I13 and I14 are heard, by the demo and the end-to-end tests; I16 speaks of what is synced to a CRM.",
        "What breaks each is planted, one fault after another, into a store in which nothing is wrong (`tests/verify`), and every end-to-end,"
        " kill and soak test ends with this.",
    )


def vocabulary_page() -> str:
    """Return `vocabulary.md`."""
    texts = {name: text for part in VOCABULARY for name, text in literals(part).items()}
    parts = []
    for name, kind in ((name, kind) for part in VOCABULARY for name, kind in vars(part).items()):
        if inspect.isclass(kind) and issubclass(kind, enum.Enum):
            rows = table(("word", "what it means"), members(kind, texts))
            parts.append(f"## {name}\n\n{prose(doc(kind))}\n\n{rows}")
    ids = [name for name, kind in vars(vocabulary).items() if hasattr(kind, "__supertype__")]
    live = ", ".join(f"`{one.value}`" for one in vocabulary.Verdict if one in vocabulary.LIVE_VERDICTS)
    return page(
        "Vocabulary",
        "One word for one idea, in code, events, settings, tables and screens. First the words that are no enum, then each enum of"
        " `dialer_core/vocabulary/` with its members as they are stored and shown.",
        "## Glossary",
        table(("word", "what it means"), [(f"**{word}**", meaning) for word, meaning in GLOSSARY.items()]),
        *parts,
        f"## Live verdicts\n\n{texts['LIVE_VERDICTS']} They are {live}.",
        "## Ids",
        table(("id", "what it is"), [(f"`{name}`", texts.get(name, "a UUIDv7")) for name in ids]),
        "A UUIDv7 here is " + prose(doc(vocabulary.new_id)).partition(": ")[2],
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _cues(kind: type[enum.StrEnum]) -> str:
    texts = literals(sys.modules[kind.__module__])
    return table(("what happens", "what it is"), [row for row in members(kind, texts) if row[1]])


def _attempt_limits() -> str:
    rows = [(f"`{state}`", f"{limit_s:g}") for state, limit_s in attempt.STATE_LIMIT_S.items()]
    ringing = [
        state
        for state in vocabulary.AttemptState
        if state in attempt.RINGING_STATES - attempt.STATE_LIMIT_S.keys()
    ]
    rows.append(
        (
            ", ".join(f"`{state}`" for state in ringing),
            f"the campaign's `ring_limit_s` + {attempt.RING_MARGIN_S:g}",
        )
    )
    rows.append(
        (f"`{vocabulary.AttemptState.WAITING}`", f"the profile's `limit_s` + {attempt.WAIT_MARGIN_S:g}")
    )
    return table(("state", "longest stay (s)"), rows)


def states_page() -> str:
    """Return `states.md`."""
    said = paragraphs(doc(attempt))
    races = said.index("The races it decides, by cell:")
    leg_texts = literals(leg)
    leg_limits = [
        (f"`{name}`", f"{getattr(leg, name):g}", leg_texts[name])
        for name in ("RELEASE_LIMIT_S", "MEDIA_LIMIT_S")
    ]
    cells = [row for row in members(agent_state.AgentCell, literals(agent_state)) if row[1]]
    return page(
        "State machines",
        "Each machine is a table at the top of its module, and these are those tables: a row is a state, a column something that happens, a cell what"
        " comes of it. What happens is told by different processes over different sockets, so every order comes up, and every cell is decided."
        " `late` is a legitimate race: ignored, and an attempt's are counted. `bug` cannot happen: should it, an attempt ends as `internal` and"
        " `attempt.faulted` is written, an agent's state stays, the error is logged, and the loop goes on."
        " What the states mean is in the [vocabulary](vocabulary.md#attemptstate).",
        "## Attempt",
        "In the engine, `dialer_core/calls/attempt.py`.",
        attempt.render_table(),
        _cues(attempt.Cue),
        *said[races : races + 2],
        f"No state lasts for ever: past its limit comes `{attempt.Cue.OVERDUE}`. "
        + _one_line(literals(attempt)["STATE_LIMIT_S"]),
        _attempt_limits(),
        "## Agent",
        "In the engine, `dialer_core/agents/state.py`. Every change closes one interval and opens the next at the same"
        " instant, so that intervals tile.",
        agent_state.render_table(),
        table(("cell", "what it means"), cells),
        _cues(agent_state.AgentCue),
        _one_line(literals(agent_state)["TABLE"])
        .removeprefix("Every state and cue. ")
        .removesuffix(" Rendered into the documentation."),
        "## Conversation",
        "In the engine, `dialer_core/calls/conversation.py`, from the bridge to its end. "
        + _one_line(literals(conversation)["TABLE"]).removesuffix(" Rendered into the documentation."),
        conversation.render_table(),
        table(
            ("cell", "what it means"),
            [r for r in members(conversation.TalkCell, literals(conversation)) if r[1]],
        ),
        _cues(conversation.TalkCue),
        "## Conversation in a flow",
        "In the engine, `dialer_core/flows/interpreter.py`: what is done about each cue. "
        + _one_line(literals(interpreter)["TABLE"]).removesuffix(" Rendered into the documentation."),
        interpreter.render_table(),
        table(
            ("cell", "what it means"),
            [r for r in members(interpreter.Cell, literals(interpreter)) if r[1]],
        ),
        "## Campaign",
        "In the engine, `dialer_core/campaigns/run.py`. `-`: it makes no sense there; a command is refused, an observation ignored.",
        run.render_table(),
        _cues(run.CampaignCue),
        "## Call that came in",
        "In the engine, `dialer_core/calls/inbound_call.py`: it is nobody's attempt. "
        + _one_line(literals(inbound_call)["TABLE"]),
        inbound_call.render_table(),
        table(
            ("state", "what it means"),
            [row for row in members(inbound_call.CallState, literals(inbound_call)) if row[1]],
        ),
        _cues(inbound_call.CallCue),
        "## Leg of a line worker",
        "In each worker, `dialer_core/sip/leg.py`. " + leg_texts["TABLE"],
        leg.render_table(),
        table(("phase", "what it means"), [row for row in members(leg.Phase, leg_texts) if row[1]]),
        _cues(leg.Signal),
        "The worker decides the races of signalling itself: a 200 that crosses our CANCEL is acknowledged and ended by it, and each leg's end is told"
        " to the engine exactly once. Ring, progress and unattended limits come with the order to place; the worker's own are:",
        table(("limit", "s", "what it is"), leg_limits),
    )


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
        "A run may want more of single people: `--person 525500000301=press:1@3s,press:2@2s,talk:8s` presses 1 three seconds after the greeting"
        " and 2 two seconds later, as RFC 4733 telephone-events, and talks for eight seconds with the agent; the row says everything else.",
        "## Run it",
        " ".join(paragraphs(doc(simulator))[1:]),
        _SIMULATOR_RUN,
        f"```text\n{simulator.main.get_help(context)}\n```",
        "## Its log",
        paragraphs(doc(event_log))[2],
        _log_kinds(),
        "`dialer verify --carrier-log sim.jsonl` compares the store with it.",
    )


def read_code(root: Path) -> str:
    """Return the text of the engine's code in lower case: where the glossary's words must be found."""
    files = sorted((root / "dialer_core").rglob("*.py"))
    return "\n".join(path.read_text(encoding="utf-8").lower() for path in files)
