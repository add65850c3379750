"""The language in which segments are written: `days_past_due >= 30 and balance > 500 and not product in ("auto", "home")`.

It owns the fields, the grammar and the tree that comes out; every mistake is told with its column and what would be right. Nothing is ever
evaluated as Python. `store/segments.py` makes SQL of the tree.

    expression := and_part ("or" and_part)*          comparison := FIELD ("==" | "!=" | "<" | "<=" | ">" | ">=") VALUE
    and_part   := part ("and" part)*                              | FIELD ["not"] "in" "(" VALUE ("," VALUE)* ")"
    part       := "not" part | "(" expression ")" | comparison    | FIELD "is" ["not"] "none"

A comparison with something that is not known is false, and so `not` of it is true; `is none` asks for that itself.
"""

from __future__ import annotations

import datetime as dt
import difflib
import enum
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

LONGEST: Final = 2000
DEEPEST: Final = 40


class SegmentError(ValueError):
    """An expression that is none: where, why, and what would be right."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(f"column {column}: {message}")
        self.column = column


class Kind(enum.Enum):
    """What a field holds, and so what it may be compared with."""

    NUMBER = "a number"
    MONEY = "an amount, such as 1500 or 99.50"
    TEXT = "a text in quotes"
    DATE = 'a day in quotes, such as "2025-03-04"'
    DAYS_SINCE_DAY = "a whole number of days"
    DAYS_SINCE_TIME = "a whole number of days since"


FIELDS: Final[dict[str, tuple[Kind, str]]] = {
    "days_past_due": (Kind.NUMBER, "days past due, as last imported"),
    "balance": (Kind.MONEY, "what is owed, in the account's currency"),
    "currency": (Kind.TEXT, "currency of the account"),
    "product": (Kind.TEXT, "product"),
    "portfolio": (Kind.TEXT, "portfolio"),
    "creditor": (Kind.TEXT, "creditor"),
    "due_date": (Kind.DATE, "day on which it was due"),
    "language": (Kind.TEXT, "the person's language"),
    "region": (Kind.TEXT, "where the person lives, such as MX-BCN"),
    "priority": (Kind.NUMBER, "the lead's priority or score"),
    "attempts": (Kind.NUMBER, "attempts at the lead"),
    "last_outcome": (Kind.TEXT, "outcome of its last attempt"),
    "contacts": (Kind.NUMBER, "contacts with the person that count, by any channel"),
    "conversations": (Kind.NUMBER, "contacts in which an agent and the person spoke"),
    "days_since_contact": (Kind.DAYS_SINCE_TIME, "whole days since the last contact"),
    "payments": (Kind.NUMBER, "payments of the account"),
    "days_since_payment": (Kind.DAYS_SINCE_DAY, "days since the last payment"),
    "promises_kept": (Kind.NUMBER, "promises of the account that were kept"),
    "promises_broken": (Kind.NUMBER, "promises that were broken"),
}
"""Every field: what it holds, and what it means. `attribute.NAME` is a free attribute of the account, a text."""

Value = Decimal | str


class Op(enum.StrEnum):
    """How a field is compared."""

    EQ = "=="
    NE = "!="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="


@dataclass(frozen=True)
class Compare:
    """A field against a value."""

    field: str
    op: Op
    value: Value


@dataclass(frozen=True)
class OneOf:
    """A field against several values."""

    field: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Unknown:
    """A field of which nothing is known."""

    field: str


@dataclass(frozen=True)
class Not:
    """The opposite."""

    part: Node


@dataclass(frozen=True)
class All:
    """Every part holds."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Any:
    """Some part holds."""

    parts: tuple[Node, ...]


Node = Compare | OneOf | Unknown | Not | All | Any


def kind_of(field: str) -> Kind:
    """Return what a known field holds."""
    return Kind.TEXT if field.startswith("attribute.") else FIELDS[field][0]


def parse(text: str) -> Node:
    """Read an expression.

    Raises
    ------
    SegmentError
        It is none: column, what is wrong, what would be right.
    """
    return _Parser(text).whole()


_TOKEN = re.compile(
    r"""(?P<space>\s+)|(?P<number>-?\d+(\.\d+)?(?![\w.]))|(?P<text>"[^"\n]*"|'[^'\n]*')
    |(?P<op>==|!=|<=|>=|<|>)|(?P<mark>[(),])|(?P<word>[^\W\d]\w*(\.\w+)?)""",
    re.VERBOSE,
)
_HINTS = {
    "=": "; compare with ==",
    '"': "; the quote is not closed",
    "'": "; the quote is not closed",
    "&": "; write: and",
    "|": "; write: or",
    "!": "; write: not",
}
_KEYWORDS = frozenset({"and", "or", "not", "in", "is", "none"})


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    column: int

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else repr(self.text)


def _tokens(text: str) -> list[_Token]:
    if len(text) > LONGEST:
        raise SegmentError(f"longer than {LONGEST} characters", LONGEST + 1)
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise SegmentError(f"{text[at]!r} is not understood{_HINTS.get(text[at], '')}", at + 1)
        if match.lastgroup != "space" and match["space"] is None:
            kind = next(name for name in ("number", "text", "op", "mark", "word") if match[name] is not None)
            word = match[0].lower()
            found.append(
                _Token("keyword", word, at + 1)
                if kind == "word" and word in _KEYWORDS
                else _Token(kind, match[0], at + 1)
            )
        at = match.end()
    return [*found, _Token("end", "", len(text) + 1)]


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self._depth = 0

    def whole(self) -> Node:
        if self._next.kind == "end":
            raise SegmentError("nothing is written; begin with a field, such as days_past_due >= 30", 1)
        node = self._any()
        if self._next.kind != "end":
            raise SegmentError(f"expected 'and', 'or' or the end, and found {self._next}", self._next.column)
        return node

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        self._at += 1
        return self._tokens[self._at - 1]

    def _is(self, text: str) -> bool:
        if self._next.kind in {"keyword", "mark"} and self._next.text == text:
            self._at += 1
            return True
        return False

    def _any(self) -> Node:
        parts = [self._all()]
        while self._is("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Any(tuple(parts))

    def _all(self) -> Node:
        parts = [self._part()]
        while self._is("and"):
            parts.append(self._part())
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _part(self) -> Node:
        self._depth += 1
        if self._depth > DEEPEST:
            raise SegmentError(f"more than {DEEPEST} parts within one another", self._next.column)
        try:
            if self._is("not"):
                return Not(self._part())
            if self._is("("):
                node = self._any()
                self._expect(")")
                return node
            return self._comparison()
        finally:
            self._depth -= 1

    def _expect(self, mark: str) -> None:
        if not self._is(mark):
            raise SegmentError(f"expected {mark!r}, and found {self._next}", self._next.column)

    def _comparison(self) -> Node:
        field = self._field()
        if self._is("is"):
            negated = self._is("not")
            self._expect("none")
            return Not(Unknown(field)) if negated else Unknown(field)
        if self._is("not"):
            self._expect("in")
            return Not(self._one_of(field))
        if self._is("in"):
            return self._one_of(field)
        token = self._next
        if token.kind != "op":
            raise SegmentError(
                f"expected one of {', '.join(Op)}, in, is after {field}, and found {token}", token.column
            )
        op = Op(self._take().text)
        if kind_of(field) is Kind.TEXT and op not in {Op.EQ, Op.NE}:
            raise SegmentError(
                f"{field} is a text: compare it with ==, != or in, not with {op}", token.column
            )
        return Compare(field, op, self._value(field))

    def _one_of(self, field: str) -> OneOf:
        self._expect("(")
        values = [self._value(field)]
        while self._is(","):
            values.append(self._value(field))
        self._expect(")")
        return OneOf(field, tuple(values))

    def _field(self) -> str:
        token = self._take()
        if token.kind != "word":
            raise SegmentError(f"expected a field, and found {token}", token.column)
        if token.text.startswith("attribute."):
            return token.text
        if token.text not in FIELDS:
            near = difflib.get_close_matches(token.text, FIELDS, 1)
            hint = f"did you mean {near[0]}?" if near else f"fields are {', '.join(FIELDS)}, attribute.NAME"
            raise SegmentError(f"{token.text!r} is no field; {hint}", token.column)
        return token.text

    def _value(self, field: str) -> Value:
        token, kind = self._take(), kind_of(field)
        wrong = SegmentError(f"{field} is compared with {kind.value}, not with {token}", token.column)
        if kind in {Kind.TEXT, Kind.DATE}:
            if token.kind != "text":
                raise wrong
            if kind is Kind.DATE:
                try:
                    return dt.date.fromisoformat(token.text[1:-1]).isoformat()
                except ValueError:
                    raise wrong from None
            return token.text[1:-1]
        if token.kind != "number":
            raise wrong
        value = Decimal(token.text)
        whole = value == value.to_integral_value()
        days = kind in {Kind.DAYS_SINCE_DAY, Kind.DAYS_SINCE_TIME}
        if (days and not (whole and abs(value) < 100_000)) or abs(value) >= 10**12:
            raise wrong
        if kind is Kind.MONEY and value != value.quantize(Decimal("0.01")):
            raise wrong
        return value
