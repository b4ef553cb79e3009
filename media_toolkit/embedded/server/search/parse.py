"""Search expressions as trees; nothing here knows which fields there are.

Rules: https://cloudinary.com/documentation/search_expressions
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_LENGTH = 10_000
MAX_TERMS = 200
MAX_DEPTH = 40

_OPERATORS = (">=", "<=", ">", "<", "=", ":")
_RESERVED = frozenset('(){}[]:=><"!^~?&')
_FIELD = re.compile(r"[A-Za-z_][\w.\-]*")
_TO = re.compile(r"\s+TO\s+")


class ExpressionError(Exception):
    """An expression that cannot be read; the text says where."""


@dataclass(frozen=True)
class Value:
    """One value; `prefix` when it ended in a wildcard, which `text` is without."""

    text: str
    prefix: bool = False


@dataclass(frozen=True)
class Range:
    """From `low` to `high`, each None when open, each included or not."""

    low: str | None
    high: str | None
    with_low: bool
    with_high: bool


@dataclass(frozen=True)
class Term:
    """A value in a field, or anywhere when `field` is empty (then `operator` is `:`)."""

    field: str
    operator: str
    value: Value | Range


@dataclass(frozen=True)
class Not:
    """What does not match `inner`."""

    inner: Node


@dataclass(frozen=True)
class Both:
    """What matches every part."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Either:
    """What matches any part."""

    parts: tuple[Node, ...]


Node = Term | Not | Both | Either


def parse(text: str) -> Node | None:
    """The tree of an expression; None when it is empty or `*`, which match everything.

    Raises ExpressionError.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"it is longer than {MAX_LENGTH} characters")
    if text.strip() in ("", "*"):
        return None
    return _Parser(text).whole()


class _Parser:
    """Recursive descent over the text; OR binds weakest, then AND (or nothing), then NOT."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._terms = 0
        self._depth = 0

    def whole(self) -> Node:
        node = self._either("", ":")
        if self._at < len(self._text):
            raise self._error()
        return node

    def _either(self, field: str, operator: str) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError("it is nested too deeply")
        parts = [self._both(field, operator)]
        while self._word("OR"):
            parts.append(self._both(field, operator))
        self._depth -= 1
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _both(self, field: str, operator: str) -> Node:
        parts = [self._negatable(field, operator)]
        while True:
            if self._word("AND"):
                parts.append(self._negatable(field, operator))
                continue
            self._skip()
            if self._at >= len(self._text) or self._text[self._at] == ")" or self._sees("OR"):
                return parts[0] if len(parts) == 1 else Both(tuple(parts))
            parts.append(self._negatable(field, operator))

    def _negatable(self, field: str, operator: str) -> Node:
        negated = False
        while True:
            self._skip()
            if self._word("NOT"):
                negated = not negated
            elif self._peek() in ("-", "!") and not self._peek(1).isspace():
                self._at += 1
                negated = not negated
            else:
                break
        node = self._primary(field, operator)
        return Not(node) if negated else node

    def _primary(self, field: str, operator: str) -> Node:
        if self._peek() == "(":
            return self._group(field, operator)
        if not field and (found := self._field()):
            name, operator = found
            if self._peek() == "(":
                return self._group(name, operator)
            return self._term(name, operator)
        return self._term(field, operator)

    def _group(self, field: str, operator: str) -> Node:
        self._at += 1
        node = self._either(field, operator)
        if self._peek() != ")":
            raise self._error()
        self._at += 1
        return node

    def _field(self) -> tuple[str, str] | None:
        """A field's name and its operator, if these come next."""
        match = _FIELD.match(self._text, self._at)
        if match is None:
            return None
        end = match.end()
        bare = end
        while bare < len(self._text) and self._text[bare].isspace():
            bare += 1
        operator = next((one for one in _OPERATORS if self._text.startswith(one, bare)), None)
        if operator is None or (operator == ":" and bare > end):
            return None
        self._at = bare + len(operator)
        if operator != ":":
            self._skip()
        return match.group(), operator

    def _term(self, field: str, operator: str) -> Term:
        self._terms += 1
        if self._terms > MAX_TERMS:
            raise ExpressionError(f"it has more than {MAX_TERMS} terms")
        if self._peek() in ("[", "{"):
            if not field or operator not in (":", "="):
                raise self._error()
            return Term(field, operator, self._range())
        return Term(field, operator, self._value())

    def _value(self) -> Value:
        if self._peek() == '"':
            return self._quoted()
        text: list[str] = []
        prefix = False
        while self._at < len(self._text):
            character = self._text[self._at]
            if character.isspace() or character == ")":
                break
            if prefix or character in _RESERVED:
                raise self._error()
            if character == "*":
                prefix = True
            elif character == "\\":
                self._at += 1
                character = self._peek()
                if not character:
                    raise self._error()
                text.append(character)
            else:
                text.append(character)
            self._at += 1
        if not text and not prefix:
            raise self._error()
        whole = "".join(text)
        if whole in ("AND", "OR", "NOT"):
            self._at -= len(whole)
            raise self._error()
        return Value(whole, prefix)

    def _quoted(self) -> Value:
        self._at += 1
        text: list[str] = []
        prefix = False
        while True:
            character = self._peek()
            if not character or (prefix and character != '"'):
                raise self._error()
            self._at += 1
            if character == '"':
                return Value("".join(text), prefix)
            if character == "*":
                prefix = True
            elif character == "\\" and self._peek():
                text.append(self._peek())
                self._at += 1
            else:
                text.append(character)

    def _range(self) -> Range:
        opening = self._at
        end = min((at for at in map(self._find, "]}") if at >= 0), default=-1)
        if end < 0:
            raise self._error()
        bounds = _TO.split(self._text[opening + 1 : end].strip())
        if len(bounds) != 2 or not all(bounds):
            raise self._error()
        self._at = end + 1
        low, high = (None if bound == "*" else bound.strip('"') for bound in bounds)
        return Range(low, high, self._text[opening] == "[", self._text[end] == "]")

    def _find(self, character: str) -> int:
        return self._text.find(character, self._at)

    def _word(self, word: str) -> bool:
        """Pass over an operator word if it comes next."""
        self._skip()
        if not self._sees(word):
            return False
        self._at += len(word)
        self._skip()
        return True

    def _sees(self, word: str) -> bool:
        if not self._text.startswith(word, self._at):
            return False
        after = self._text[self._at + len(word) : self._at + len(word) + 1]
        return not after or after.isspace() or after == "("

    def _skip(self) -> None:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1

    def _peek(self, ahead: int = 0) -> str:
        return self._text[self._at + ahead : self._at + ahead + 1]

    def _error(self) -> ExpressionError:
        rest = self._text[self._at : self._at + 30]
        return ExpressionError(f"unexpected '{rest}'" if rest else "it ends too early")
