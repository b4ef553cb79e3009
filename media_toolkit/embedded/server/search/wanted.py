"""A search in SQL: which rows of which table, in what order, and what to count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .compile import Bound, Condition


@dataclass(frozen=True)
class Order:
    """One thing to sort by: SQL that is never null, and its direction."""

    sql: str
    descending: bool


@dataclass(frozen=True)
class Bucket:
    """Rows to count together: a label, and the SQL that says which rows."""

    label: str
    sql: str
    values: Sequence[Bound] = ()


@dataclass(frozen=True)
class Wanted:
    """A page of the rows of `table` that match, after the row whose sort values are `after`."""

    table: str
    condition: Condition
    order: Sequence[Order]
    limit: int
    after: Sequence[Bound] = ()
    groups: Sequence[str] = ()
    buckets: Sequence[Bucket] = ()
