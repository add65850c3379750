"""Documents that run: finds the command blocks of a Markdown file, runs them, compares what they print.

A fenced block of the language `console` follows a comment that says what to do with it:

    <!-- run -->                     every command must end with status 0
    <!-- run exit=1 timeout=90 -->   the last one with this status; the block within so many seconds (60)
    <!-- not run: it needs a trunk -->   shown only, and why

In the block, `$ ` starts a command, `> ` continues it, other lines are the output to expect, standard error
included. There `…` stands for anything within its line, and alone on a line for any number of lines; blank
lines and the width of blanks do not count. A command shown without output may print what it likes.

    <!-- file leads.csv -->   the block that follows, of any language, is written to this file

All blocks of a document run in order in one shell, in one empty directory, as a reader would run them; what
they leave in the background is ended with the document.
"""

import os
import re
import shlex
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.polling import WaitedTooLongError, wait_until

ELLIPSIS = "…"
DEFAULT_TIMEOUT_S = 60.0

_BLOCK = re.compile(
    r"(?:^<!--[ ]*(?P<note>(?:(?!-->).)*?)[ ]*-->\n\n?)?"
    r"^(?P<fence>`{3,})(?P<language>[^\n`]*)\n(?P<body>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class DocumentError(ValueError):
    """A block that cannot be understood: no note, an unknown note, or output before any command."""


class MismatchError(AssertionError):
    """A command ended otherwise, or printed something else, than its document says."""


@dataclass
class Command:
    """One command of a block, with the output its document shows."""

    line: int
    text: str
    expected: list[str] = field(default_factory=list)
    status: int = 0


@dataclass
class Block:
    """A block to run (`commands`) or to write (`file`)."""

    line: int
    commands: list[Command] = field(default_factory=list)
    timeout_s: float = DEFAULT_TIMEOUT_S
    file: str | None = None
    content: str = ""


def parse(markdown: str) -> list[Block]:
    """Return the blocks to run or write, in order. DocumentError for a console block without a note."""
    blocks = []
    for match in _BLOCK.finditer(markdown):
        note, language = match["note"] or "", match["language"]
        line = markdown.count("\n", 0, match.start("body")) + 1
        if note.startswith("file "):
            blocks.append(Block(line, file=note.removeprefix("file ").strip(), content=match["body"]))
        elif language != "console" or re.match(r"not run: \S", note):
            continue
        elif note == "run" or note.startswith("run "):
            blocks.append(_parse_commands(match["body"], line, note.split()[1:]))
        else:
            raise DocumentError(
                f"line {line}: a console block needs `<!-- run -->` or `<!-- not run: why -->`"
            )
    return blocks


def _parse_commands(body: str, line: int, options: list[str]) -> Block:
    block = Block(line)
    for number, text in enumerate(body.splitlines(), start=line):
        if text.startswith("$ "):
            block.commands.append(Command(number, text[2:]))
        elif not block.commands:
            raise DocumentError(f"line {number}: output before any command")
        elif text.startswith("> ") and not block.commands[-1].expected:
            block.commands[-1].text += "\n" + text[2:]
        else:
            block.commands[-1].expected.append(text)
    if not block.commands:
        raise DocumentError(f"line {line}: a block to run without a command")
    for option in options:
        name, _, value = option.partition("=")
        if name == "exit":
            block.commands[-1].status = int(value)
        elif name == "timeout":
            block.timeout_s = float(value)
        else:
            raise DocumentError(f"line {line}: {option!r} is no option of a block to run")
    return block


def matches(expected: list[str], printed: str) -> bool:
    """Tell whether the printed text is what the document shows, `…` standing for anything."""
    wanted = [" ".join(line.split()) for line in expected if line.strip()]
    got = [" ".join(line.split()) for line in _ANSI.sub("", printed).splitlines() if line.strip()]
    pattern = "".join(
        r"(?:.*\n)*?" if line == ELLIPSIS else ".*".join(map(re.escape, line.split(ELLIPSIS))) + r"\n"
        for line in wanted
    )
    return re.fullmatch(pattern, "".join(line + "\n" for line in got)) is not None


def run(blocks: list[Block], folder: Path, path: str) -> None:
    """Run a document's blocks in `folder`, which is empty, with `path` as PATH.

    MismatchError names the first command that ended otherwise, took too long or printed something else.
    """
    aside = folder.parent / f"{folder.name}.commands"
    aside.mkdir()
    commands: list[Command] = []
    script = ["set -u"]
    for block in blocks:
        if block.file is not None:
            kept = aside / f"file{len(script)}"
            kept.write_text(block.content, encoding="utf-8")
            script.append(f"install -D -m 644 {shlex.quote(str(kept))} {shlex.quote(block.file)}")
        for command in block.commands:
            place = aside / str(len(commands))
            place.with_suffix(".sh").write_text(command.text + "\n", encoding="utf-8")
            # Sourced, so that directory, variables and jobs stay for the commands that follow.
            script.append(f". {place}.sh >{place}.out 2>&1; echo $? >{place}.status")
            script.append(f'[ "$(cat {place}.status)" = {command.status} ] || exit 1')
            commands.append(command)
    timeout_s = sum(block.timeout_s for block in blocks)
    _run_shell("\n".join(script), folder, path, timeout_s)
    for number, command in enumerate(commands):
        _judge(command, aside / str(number), timeout_s)


def _run_shell(script: str, folder: Path, path: str, timeout_s: float) -> None:
    """Run a script to its end or the end of its time, and end whatever it leaves behind."""
    shell = subprocess.Popen(
        ["bash", "-c", script],
        cwd=folder,
        env={"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8", "COLUMNS": "100", "TERM": "dumb"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        with suppress(subprocess.TimeoutExpired):
            shell.wait(timeout_s)
    finally:  # a test that is ended by its own time limit leaves nothing behind either
        _end_group(shell)


def _end_group(shell: subprocess.Popen[bytes]) -> None:
    """End the shell's own session: what it started in the background, and nothing else."""
    for ending, patience_s in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(shell.pid, ending)
            wait_until(
                lambda: shell.poll() is not None and not _group_lives(shell.pid), patience_s, "the end"
            )
        except ProcessLookupError:
            break
        except WaitedTooLongError:
            continue
    shell.wait()


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _judge(command: Command, place: Path, timeout_s: float) -> None:
    where = f"line {command.line}: $ {command.text}"
    if not place.with_suffix(".out").exists():
        raise MismatchError(f"{where}\nwas not reached")
    printed = place.with_suffix(".out").read_text(encoding="utf-8", errors="replace")
    status = place.with_suffix(".status")
    if not status.exists() or not status.read_text():
        raise MismatchError(f"{where}\ndid not end; the document has {timeout_s:g} s. It printed:\n{printed}")
    if int(status.read_text()) != command.status:
        raise MismatchError(
            f"{where}\nended with {int(status.read_text())}, not {command.status}:\n{printed}"
        )
    if command.expected and not matches(command.expected, printed):
        shown = "\n".join(command.expected)
        raise MismatchError(f"{where}\nprinted:\n{printed}\nwhere the document shows:\n{shown}")
