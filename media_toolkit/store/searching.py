"""Searching: what looking words up would cost, and so whether and which of them to look up.

The index of words gathers every asset of every word that begins as was typed, and Postgres takes
that for cheaper than it is: a rare user's tulips are found sooner by reading that user's assets,
and of two words the common one is often better compared than looked up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from media_toolkit.store import filters
from media_toolkit.store.filters import AssetFilter
from media_toolkit.store.schema import files

# Beyond its memory Postgres notes whole pages, and then reads and compares every row of them.
_ENOUGH_MEMORY = sa.text("SELECT set_config('work_mem', '32MB', true)")
# In microseconds, at 10 million rows on one core, the table in the system's cache: to gather an
# asset from the index of words, to note one from another index, to read one somewhere in the
# table, to read one beside the last, to compare one of a user's, some of which stand together.
GATHER, NOTE, READ, READ_ON, COMPARE = 0.5, 0.1, 8.0, 0.7, 2.0


@dataclass(frozen=True)
class Lookup:
    """One way of asking the index of words.

    Attributes:
        conditions: what was typed; some of it is looked up, the rest compared.
        gathered: how many assets the index is expected to gather, each word's counted.
        found: how many it is expected to leave.
    """

    conditions: list[sa.ColumnElement[bool]]
    gathered: int
    found: int


@dataclass(frozen=True)
class Search:
    """A text beside other filters, and how many assets the planner expects.

    Attributes:
        typed: the text.
        lookups: the text as conditions that the index of words is used for.
        dates: the conditions that are no more than dates.
        matching: expected of the whole filter. others: of all but the text.
        dated: of nothing but the dates. total: of all assets.
    """

    typed: str
    lookups: list[Lookup]
    dates: list[sa.ColumnElement[bool]]
    matching: int
    others: int
    dated: int
    total: int

    def lookup(self, share: int = 1) -> Lookup:
        """The one that finds all matching assets soonest, in an index of one asset in `share`."""
        return min(self.lookups, key=lambda lookup: self._cost(lookup) / share)

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """The text, looked up unless the other filters are narrower."""
        if self.others < self.total and COMPARE * self.others < self._cost(self.lookup()):
            return [filters.has_words(self.typed, is_indexed=False)]
        return self.lookup().conditions

    def _cost(self, lookup: Lookup) -> float:
        read = READ * lookup.found
        if self.others < self.total:
            both = lookup.found * self.others / self.total
            read = min(read, NOTE * self.others + READ * both)
        return GATHER * lookup.gathered + read


def searched(connection: sa.Connection, wanted: AssetFilter) -> Search | None:
    """How to find what `wanted.text` asks for; None where it asks for nothing.

    Raises:
        FilterError: for a value that cannot be read.
    """
    every, others = wanted.conditions(), replace(wanted, text=None).conditions()
    # A text without a word in it is still a condition; one of spaces is none.
    if len(every) == len(others):
        return None
    connection.execute(_ENOUGH_MEMORY)
    typed = str(wanted.text).strip()
    dates = AssetFilter(
        uploaded_after=wanted.uploaded_after, uploaded_before=wanted.uploaded_before
    ).conditions()
    words = _words(typed)
    asked = [[filters.has_words(text)] for text in (typed, *words)]
    kinds = [every, others, dates, AssetFilter().conditions(), *asked]
    expected = estimates(connection, [sa.select(files.c.id).where(*kind) for kind in kinds])
    of_all, (found, *of_words) = expected[:4], expected[4:]
    lookups = [Lookup(asked[0], sum(of_words) if words else found, found)]
    if words:
        size, rarest = min(zip(of_words, asked[1:], strict=True), key=lambda pair: pair[0])
        compared = filters.has_words(typed, is_indexed=False)
        lookups.append(Lookup([*rarest, compared], size, size))
    return Search(typed, lookups, dates, *of_all)


def estimates(connection: sa.Connection, queries: Sequence[sa.Select[Any]]) -> list[int]:
    """How many rows the planner expects of each query, which have one column; asked at once."""
    query = sa.select(*(sa.func.array(query.scalar_subquery()) for query in queries))
    compiled = query.compile(connection.engine, compile_kwargs={"render_postcompile": True})
    plan = connection.exec_driver_sql(
        f"EXPLAIN (FORMAT JSON) {compiled}", compiled.construct_params()
    ).scalar_one()
    parts = [p for p in plan[0]["Plan"]["Plans"] if p["Parent Relationship"] == "InitPlan"]
    return [int(part["Plan Rows"]) for part in parts]


def _words(typed: str) -> list[str]:
    """The words, if there are several and Postgres is sure to see the same ones."""
    words = re.findall("[a-z0-9]+", typed.lower()) if typed.isascii() else []
    return words if len(words) > 1 else []
