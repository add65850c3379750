"""Logs: their shape, and that no telephone number or secret ever comes out (I17)."""

from __future__ import annotations

import io
import json
import logging
import re

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from dialer_core.log_setup import MASKED, configure_logging, mask_text, mask_value
from dialer_core.vocabulary import new_id

pytestmark = pytest.mark.unit

DIGITS = st.text("0123456789", min_size=8, max_size=15)
SEPARATORS = st.sampled_from(["", " ", "-", ".", ") ", " - ", "/", "\N{EN DASH}"])


@st.composite
def written_numbers(draw: st.DrawFn) -> tuple[str, str]:
    """A telephone number as people write it, and its digits."""
    digits = draw(DIGITS)
    groups, rest = [], digits
    while rest:
        size = draw(st.integers(2, 5))
        groups.append(rest[:size])
        rest = rest[size:]
    separator = draw(SEPARATORS)
    return draw(st.sampled_from(["", "+", "("])) + separator.join(groups), digits


def _looks_like_date_or_address(text: str) -> bool:
    return bool(re.search(r"\d{4}-\d{2}-\d{2}|(\d{1,3}\.){3}|\d\.\d", text))


@given(
    written_numbers(),
    st.sampled_from(["{}", "INVITE sip:{}@192.0.2.1 failed", "row 7: {}, bad", "tel:{};x=1", "a{}b"]),
)
def test_planted_numbers_never_come_out(number: tuple[str, str], template: str) -> None:
    """However a number is written and wherever it stands in a text, its digits are not in what is logged."""
    written, digits = number
    if _looks_like_date_or_address(written):
        return  # indistinguishable from what must stay readable; covered by the keys
    shown = "".join(c for c in mask_text(template.format(written)) if c.isdigit())
    assert digits not in shown
    assert digits[:-2] not in shown


def _configured(log_format: str = "json", level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    configure_logging(level=level, log_format=log_format, process="test", stream=stream)
    return stream


@pytest.fixture(autouse=True)
def _restore_logging() -> object:
    root = logging.getLogger()
    before = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:] = before[0]
    root.setLevel(before[1])


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_every_way_into_the_log_is_masked(log_format: str) -> None:
    """Fields, texts, tracebacks and the standard library's loggers: the planted number never comes out."""
    stream = _configured(log_format)
    log = structlog.get_logger("t").bind(bound="+52 55 1234 5678")
    log.info(
        "call_failed",
        detail="to 5512345678",
        deep={"list": ["(55) 1234-5678"], "number": 1},
        whole=525512345678,
    )
    logging.getLogger("some.library").warning("cannot reach %s", "sip:5512345678@192.0.2.9")
    try:
        int("bad number +525512345678")
    except ValueError:
        log.exception("import_failed")
    out = stream.getvalue()
    assert "call_failed" in out
    assert "import_failed" in out
    assert "ValueError" in out
    assert "192.0.2.9" in out
    assert "1234" not in re.sub(r"\W", "", out.replace("\x1b", ""))


def test_known_keys_are_masked_whatever_they_hold() -> None:
    """A key that is personal or secret shows that something was there, not what."""
    for key in ("password", "token", "name", "balance_minor", "number", "Authorization"):
        assert mask_value(key, "abc") == MASKED
        assert mask_value(key, 12) == MASKED
    assert mask_value("token", "") == ""


def test_what_engineers_need_stays_readable() -> None:
    """Ids, times, addresses, hashes, small numbers and monotonic nanoseconds are written as they are."""
    attempt = new_id()
    kept = (
        f"{attempt} 2026-03-01T10:22:33.123456Z 192.168.100.200:15060 3fd01ae2b95c4c3c9a31"
        " loop_lag=12.25 0x7f00deadbeef"
    )
    assert mask_text(kept) == kept
    assert mask_value("at_mono_ns", 123_456_789_012) == 123_456_789_012
    assert mask_value("attempts", 200_000) == 200_000
    assert mask_value("ratio", 1.2345678901) == 1.2345678901


def test_json_lines_carry_level_time_and_process() -> None:
    """One object a line, with the fields a collector needs; below the level nothing is written."""
    stream = _configured(level="warning")
    log = structlog.get_logger("t")
    log.info("quiet")
    log.warning("loud", attempt_id="a1")
    (line,) = stream.getvalue().splitlines()
    record = json.loads(line)
    assert record["event"] == "loud"
    assert record["level"] == "warning"
    assert record["process"] == "test"
    assert record["attempt_id"] == "a1"
    assert record["timestamp"].endswith("Z")
