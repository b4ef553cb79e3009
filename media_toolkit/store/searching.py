"""Searching: whether Postgres should look a text up in the index of words, or only compare.

It gathers every row of every word that it looks up, and takes that for cheaper than it is: a rare
user's tulips are found sooner by reading that user's assets.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from media_toolkit.store import filters
from media_toolkit.store.filters import AssetFilter
from media_toolkit.store.schema import files

# Beyond its memory Postgres notes whole pages, and then reads and compares every row of them.
_ENOUGH_MEMORY = sa.text("SELECT set_config('work_mem', '32MB', true)")
# Reading a row takes about so many times as long as noting it.
_ROW_COST = 8


def searched(connection: sa.Connection, wanted: AssetFilter) -> list[sa.ColumnElement[bool]]:
    """The condition for `wanted.text`, if there is any.

    Raises:
        FilterError: for a value that cannot be read.
    """
    rest = replace(wanted, text=None).conditions()
    # A text without a word in it is still a condition; one of spaces is none.
    if len(wanted.conditions()) == len(rest):
        return []
    connection.execute(_ENOUGH_MEMORY)
    typed = str(wanted.text).strip()
    indexed = filters.has_words(typed)
    if len(rest) == 1:
        return [indexed]
    found, others = (estimate(connection, _ids(*part)) for part in ([indexed], rest))
    return [filters.has_words(typed, is_indexed=found < _ROW_COST * others)]


def estimate(connection: sa.Connection, query: sa.Select[Any]) -> int:
    """How many rows the planner expects of a query."""
    compiled = query.compile(connection.engine, compile_kwargs={"render_postcompile": True})
    plan = connection.exec_driver_sql(
        f"EXPLAIN (FORMAT JSON) {compiled}", compiled.construct_params()
    ).scalar_one()
    return int(plan[0]["Plan"]["Plan Rows"])


def _ids(*conditions: sa.ColumnElement[bool]) -> sa.Select[Any]:
    return sa.select(files.c.id).where(*conditions)
