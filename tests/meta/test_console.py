"""The runner of documents, tried on small documents of its own."""

import os
from pathlib import Path

import pytest

from tests.meta.console import DocumentError, MismatchError, matches, parse, run

pytestmark = pytest.mark.meta


def _run(folder: Path, markdown: str) -> None:
    place = folder / "place"
    place.mkdir()
    run(parse(markdown), place, os.environ["PATH"])


def _block(body: str, note: str = "run") -> str:
    return f"Text.\n\n<!-- {note} -->\n```console\n{body}\n```\n"


def test_a_true_document_passes(tmp_path: Path) -> None:
    """Commands run in order in one shell: directory, variables and files stay from block to block."""
    _run(
        tmp_path,
        "<!-- file in/leads.csv -->\n```csv\nphone\n5512345678\n```\n\n```python\nnot run\n```\n"
        + _block("$ cd in && export NAME=Ana\n$ wc -l < leads.csv\n2")
        + _block("$ echo $NAME in $(basename \\\n> $PWD)\nAna in in"),
    )


@pytest.mark.parametrize(
    ("body", "note", "complaint"),
    [
        ("$ echo two", "run exit=3", "ended with 0, not 3"),
        ("$ false", "run", "ended with 1, not 0"),
        ("$ echo two\none", "run", "where the document shows:\none"),
        ("$ sleep 60", "run timeout=0.3", "did not end"),
        ("$ exit 0\n$ true", "run", "did not end"),
    ],
)
def test_an_untrue_document_fails(tmp_path: Path, body: str, note: str, complaint: str) -> None:
    """Another status, another output and no end are each named with the command."""
    with pytest.raises(MismatchError, match=r"line 5: \$") as caught:
        _run(tmp_path, _block(body, note))
    assert complaint in str(caught.value)


def test_the_status_named_is_the_last_commands(tmp_path: Path) -> None:
    """`exit=` belongs to the last command of its block; standard error is output."""
    _run(
        tmp_path,
        _block("$ true\n$ ls /nowhere\nls: cannot access …: No such file or directory", "run exit=2"),
    )


def test_what_runs_in_the_background_ends_with_the_document(tmp_path: Path) -> None:
    """A job may serve the commands that follow it, and does not outlive the last one."""
    _run(tmp_path, _block("$ sleep 300 & echo $! > pid\n$ kill -0 $(cat pid)"))
    assert not Path("/proc", (tmp_path / "place" / "pid").read_text().strip()).exists()


def test_every_console_block_says_whether_it_runs() -> None:
    """A console block without a note, or with an unknown one, is refused with its line."""
    assert parse(_block("$ make demo", "not run: a minute; the end-to-end tests run it")) == []
    with pytest.raises(DocumentError, match="line 4: a console block needs"):
        parse("Text.\n\n```console\n$ make demo\n```\n")
    for note in ("not run:", "runs", "run when=never"):
        with pytest.raises(DocumentError, match="line 5"):
            parse(_block("$ make demo", note))


def test_longer_fences_hold_shorter_ones() -> None:
    """A block inside a longer fence is an example of Markdown, not a block to run."""
    assert parse("````markdown\n<!-- run -->\n```console\n$ false\n```\n````\n") == []


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        (["a b"], "a   b\n", True),
        (["a"], "a\nb\n", False),
        (["a", "b"], "a\n\nb\n", True),
        (["200 leads in … s"], "200 leads in 0.31 s\n", True),
        (["200 leads in … s"], "200 leads in 0.31 ms\n", False),
        (["…", "end"], "one\ntwo\nend\n", True),
        (["start", "…"], "start\n", True),
        (["…", "end"], "one\nend\ntwo\n", False),
        (["a.c"], "abc\n", False),
        (["red"], "\x1b[31mred\x1b[0m\n", True),
    ],
)
def test_output_is_compared_loosely(expected: list[str], printed: str, same: bool) -> None:  # noqa: FBT001
    """`…` stands for anything in its line, alone for any lines; blanks and colours do not count."""
    assert matches(expected, printed) is same
