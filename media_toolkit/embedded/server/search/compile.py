"""Expression trees as SQL conditions with bound values."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from .fields import ANYWHERE, ANYWHERE_IN_FOLDERS, FIELDS, KEYED, UNSUPPORTED, Field
from .parse import Both, Either, ExpressionError, Node, Not, Range, Term, Value
from .values import PLAIN, moment, number, ratio, words

Bound = str | int | float

_NOTHING, _EVERYTHING = "0", "1"
_EMPTY = {"tags": "'[]'", "choices": "'[]'", "context": "'{}'", "text": "''"}
_RATIO_TOLERANCE = 0.005


@dataclass
class Condition:
    """A `where` and the values for its marks, in order."""

    sql: str = _EVERYTHING
    values: list[Bound] = field(default_factory=list)


def compiled(tree: Node | None, now: float, fields: dict[str, Field] = FIELDS) -> Condition:
    """The condition for a tree. Raises ExpressionError for a value that its field cannot have."""
    if tree is None:
        return Condition()
    values: list[Bound] = []
    return Condition(_Compiler(values, now, fields).node(tree), values)


class _Compiler:
    def __init__(self, values: list[Bound], now: float, fields: dict[str, Field]) -> None:
        self._values = values
        self._now = now
        self._fields = fields
        self._kinds: dict[str, Callable[[Field, Term, Value], str]] = {
            "text": self._text,
            "choice": self._choice,
            "choices": self._choices,
            "path": self._path,
            "boolean": self._boolean,
            "tags": self._tags,
            "context": self._context,
        }

    def node(self, node: Node) -> str:
        if isinstance(node, Term):
            return self._term(node)
        if isinstance(node, Not):
            return f"not coalesce({self.node(node.inner)}, 0)"
        word = " and " if isinstance(node, Both) else " or "
        assert isinstance(node, Both | Either)
        return "(" + word.join(self.node(part) for part in node.parts) + ")"

    def _term(self, term: Term) -> str:
        if not term.field:
            return self._anywhere(self._exact_value(term))
        name, _, key = term.field.partition(".")
        if key and name in KEYED and "context" in self._fields:
            return self._keyed(term, KEYED[name], key)
        known = self._fields.get(term.field)
        if known is None:
            if name in UNSUPPORTED:
                raise ExpressionError(f"field '{term.field}' is not supported on this server")
            return _NOTHING
        if isinstance(term.value, Value) and term.value == Value("", True):
            return self._present(known)
        if known.kind in ("number", "date", "ratio"):
            return self._ordered(known, term)
        return self._kinds[known.kind](known, term, self._exact_value(term))

    def _anywhere(self, value: Value) -> str:
        if value == Value("", True):
            return _EVERYTHING
        parts = []
        for name in (*ANYWHERE, *ANYWHERE_IN_FOLDERS):
            if (known := self._fields.get(name)) is not None:
                function = "any_has_words" if known.kind in ("tags", "context") else "has_words"
                parts.append(self._worded(known.sql, function, value))
        return "(" + " or ".join(parts) + ")"

    def _exact_value(self, term: Term) -> Value:
        if isinstance(term.value, Range) or term.operator not in (":", "="):
            raise ExpressionError(f"field '{term.field}' cannot be compared by order")
        return term.value

    def _present(self, known: Field) -> str:
        empty = _EMPTY.get(known.kind)
        if known.kind == "path":
            return _EVERYTHING
        return f"({known.sql} is not null" + (f" and {known.sql} <> {empty})" if empty else ")")

    def _text(self, known: Field, term: Term, value: Value) -> str:
        if term.operator == "=":
            return self._equal(known.sql, value)
        return self._worded(known.sql, "has_words", value)

    def _choice(self, known: Field, term: Term, value: Value) -> str:
        return self._equal(known.sql, Value(value.text.lower(), value.prefix))

    def _choices(self, known: Field, term: Term, value: Value) -> str:
        matches = self._equal("value", Value(value.text.lower(), value.prefix))
        return f"exists (select 1 from json_each({known.sql}) where {matches})"

    def _path(self, known: Field, term: Term, value: Value) -> str:
        """A folder: `a` is that one, `a/*` it and those below, `a*` those that start so."""
        text = value.text.lstrip("/")
        if not value.prefix:
            return self._equal(known.sql, Value(text.rstrip("/")))
        below = self._equal(known.sql, Value(text, True))
        if not text.endswith("/"):
            return below
        return f"({below} or {self._equal(known.sql, Value(text.rstrip('/')))})"

    def _boolean(self, known: Field, term: Term, value: Value) -> str:
        if value not in (Value("true"), Value("false")):
            raise ExpressionError(f"'{value.text}' is not true or false for field '{term.field}'")
        return f"{known.sql} = {int(value.text == 'true')}"

    def _tags(self, known: Field, term: Term, value: Value) -> str:
        if term.operator == "=":
            return self._item("tags", "", value)
        return self._worded("tags", "any_has_words", value)

    def _context(self, known: Field, term: Term, value: Value) -> str:
        if term.operator == "=":
            return self._item("context", "", value)
        return self._worded("context", "any_has_words", value)

    def _keyed(self, term: Term, sql: str, key: str) -> str:
        value = self._exact_value(term)
        self._values.append(key)
        if value == Value("", True):
            return f"exists (select 1 from json_each({sql}) where key = ?)"
        if term.operator == "=":
            matches = self._equal("value", value)
        else:
            matches = self._worded("value", "has_words", value)
        return f"exists (select 1 from json_each({sql}) where key = ? and {matches})"

    def _item(self, column: str, where: str, value: Value) -> str:
        # The cheap look at the JSON text spares most rows the reading of it.
        sought = json.dumps(value.text, ensure_ascii=False)
        self._values.append(sought[:-1] if value.prefix else sought)
        matches = self._equal("value", value)
        return (
            f"(instr({column}, ?) > 0 and exists"
            f" (select 1 from json_each({column}) where {where}{matches}))"
        )

    def _equal(self, sql: str, value: Value) -> str:
        if value.prefix:
            self._values.extend((len(value.text), value.text))
            return f"substr({sql}, 1, ?) = ?"
        self._values.append(value.text)
        return f"{sql} = ?"

    def _worded(self, sql: str, function: str, value: Value) -> str:
        wanted = words(value.text)
        if not wanted:
            return _NOTHING
        longest = max(wanted, key=len)
        confirm = f"{function}({sql}, ?, ?)"
        if len(wanted) == 1 and longest.isascii() and sql != "context":
            # SQL alone can tell where all is ASCII, and where the JSON of a list has no escapes.
            self._values.append(f"*[^a-z0-9]{longest}{'*' if value.prefix else '[^a-z0-9]*'}")
            quick = f"' ' || lower({sql}) || ' ' glob ? and ({sql} not glob '*[^ -~]*' or "
            confirm = f"({quick}{confirm}))"
            if function == "any_has_words":
                self._values.extend((longest, int(value.prefix)))
                confirm = f"({confirm} or (instr({sql}, '\\') > 0 and {function}({sql}, ?, ?)))"
        elif longest.isascii():
            # `like` folds the case of ASCII letters only, which is all that it is given here.
            self._values.append(f"%{longest}%")
            confirm = f"({sql} like ? and {confirm})"
        self._values.extend((" ".join(wanted), int(value.prefix)))
        return confirm

    def _ordered(self, known: Field, term: Term) -> str:
        if isinstance(term.value, Range):
            parts = []
            if term.value.low is not None:
                operator = ">=" if term.value.with_low else ">"
                parts.append(self._compared(known, term.field, operator, term.value.low))
            if term.value.high is not None:
                operator = "<=" if term.value.with_high else "<"
                parts.append(self._compared(known, term.field, operator, term.value.high))
            return "(" + (" and ".join(parts) or f"{known.sql} is not null") + ")"
        if term.value.prefix:
            raise ExpressionError(f"field '{term.field}' cannot have a wildcard")
        operator = "=" if term.operator == ":" else term.operator
        return self._compared(known, term.field, operator, term.value.text)

    def _compared(self, known: Field, name: str, operator: str, text: str) -> str:
        if known.kind == "date":
            span = moment(text, self._now)
            if span is None:
                raise ExpressionError(f"'{text}' is not a date for field '{name}'")
            if operator == "=":
                self._values.extend(span)
                return f"({known.sql} >= ? and {known.sql} < ?)"
            # A date without a time is its whole day: after it begins with the next one.
            self._values.append(span[1] if operator in (">", "<=") else span[0])
            return f"{known.sql} {'>=' if operator in ('>', '>=') else '<'} ?"
        read = ratio(text) if known.kind == "ratio" else number(text, known.units or PLAIN)
        if read is None:
            raise ExpressionError(f"'{text}' is not a number for field '{name}'")
        if known.kind == "ratio" and operator == "=":
            self._values.extend((read, _RATIO_TOLERANCE))
            return f"abs({known.sql} - ?) < ?"
        self._values.append(read)
        return f"{known.sql} {operator} ?"
