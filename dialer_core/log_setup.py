"""Structured logs for every process: where they go, how they look, and what they must never hold (I17).

It owns the configuration of structlog (and of the standard library's loggers, which libraries use) and the
masking of personal data. It owns no log file: lines go to the standard error, where the supervisor's parent
(systemd, a container, a terminal) collects them.

Masking is the last net, not the rule: code logs ids and numbers only. A value that looks like a telephone
number becomes `[number …78]`, and the value of a key that is known to be personal or secret becomes
`[masked]`.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Mapping
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

MASKED = "[masked]"

SENSITIVE_KEYS = frozenset(
    {
        *("number", "e164", "phone", "msisdn", "caller_id", "callee", "called", "dialed", "address"),
        *("to", "from", "to_uri", "from_uri", "sip_uri", "contact", "identity"),
        *("name", "display_name", "person_name", "external_id", "email", "rfc", "curp"),
        *("balance", "balance_minor", "amount", "amount_minor", "total_minor", "paid_minor"),
        *("text", "body", "message", "note", "notes", "row", "sdp", "headers"),
        *("password", "secret", "token", "authorization", "credential", "credentials"),
    }
)
"""Keys whose value is masked whatever it is. `name` is a person's: name things by their id."""

_MACHINE_NUMBER_SUFFIXES = ("_ns", "_us", "_ms", "_s", "_hz", "_bytes", "_mb", "seq", "ssrc", "pid", "inode")
"""Whole numbers under keys with these endings are times, sizes and counters, however many digits they
have."""

_NUMBER_DIGITS = range(7, 18)
"""Digits of what is taken for a telephone number: local numbers have 7, E.164 has 15, with an access code
17."""

_SCAN = re.compile(
    r"""
    (?P<keep>
        \b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b       # UUID
      | \b\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?)?(?!\d) # date, or date and time
      | \b(?:\d{1,3}\.){3}\d{1,3}\b(?!\.\d)                                     # IPv4
      | \b(?=[0-9a-f]*[a-f])(?=[0-9a-f]*\d)[0-9a-f]{16,}\b                      # hash
      | \b0x[0-9a-f]+\b
      | (?<![\d.])\d{1,7}\.\d+(?![\d.])                                         # a decimal fraction
    )
    | (?P<number>(?<!\d)\+?\(?\d(?:[\s().\-\u2010-\u2015/]{0,3}\d){6,}(?!\d))
    """,
    re.VERBOSE | re.IGNORECASE,
)


def _mask_match(match: re.Match[str]) -> str:
    if match["number"] is None:
        return match[0]
    digits = [c for c in match[0] if c.isdigit()]
    return f"[number …{digits[-2]}{digits[-1]}]" if len(digits) in _NUMBER_DIGITS else MASKED


def mask_text(text: str) -> str:
    """Return the text with everything that looks like a telephone number masked down to its last two digits.

    Ids (UUID), dates, IPv4 addresses, hashes and decimal fractions are left alone. In doubt it masks.
    """
    return _SCAN.sub(_mask_match, text)


def _mask_integer(key: str, value: int) -> int | str:
    digits = len(str(abs(value)))
    if digits not in _NUMBER_DIGITS or key.endswith(_MACHINE_NUMBER_SUFFIXES):
        return value
    return f"[number …{abs(value) % 100:02d}]"


def mask_value(key: str, value: Any) -> Any:
    """Return what may be written for `key`: scalars masked, containers walked, anything else as text."""
    if key.lower() in SENSITIVE_KEYS and value not in (None, ""):
        return MASKED
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return _mask_integer(key, value)
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, Mapping):
        return {mask_text(str(name)): mask_value(str(name), item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [mask_value(key, item) for item in value]
    if isinstance(value, bytes):
        return mask_text(value.decode("utf-8", "replace"))
    return mask_text(str(value))


def place_of(error: BaseException) -> str:
    """Say what was raised and where, without its text, which may hold anything: `KeyError at routing.py:31`."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"


def trace_of(error: BaseException) -> str:
    """Return the whole trace of an error of foreign code, without its text."""
    return "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__


def mask_personal_data(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """Mask every field; a processor that runs after tracebacks are text and before the renderer."""
    return {key: mask_value(key, value) for key, value in event_dict.items()}


def _shared_processors() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def configure_logging(*, level: str, log_format: str, process: str, stream: TextIO | None = None) -> None:
    """Set up logging for this process. Call once, first thing.

    Parameters
    ----------
    level
        `debug`, `info`, `warning`, `error` or `critical`: the least severe level written.
    log_format
        `json` (an object a line) or `console` (text for people, coloured on a terminal).
    process
        Name of this process in every line: `engine`, `host`, `worker`, `media`, `supervisor`, `cli`.
    stream
        Where lines go; the standard error by default.
    """
    stream = stream if stream is not None else sys.stderr
    renderer: Processor
    if log_format == "json":
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False)
    else:
        # exceptions arrive as text already (format_exc_info), so that they pass the mask
        renderer = structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=24
        )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared_processors(),
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            mask_personal_data,
            renderer,
        ],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for library in (
        "uvicorn",
        "uvicorn.error",
        "uvicorn.access",
        "alembic",
        "sqlalchemy.engine",
        "asyncio",
        "httpx2",
        "httpcore2",
    ):
        logging.getLogger(library).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared_processors(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(process=process)
