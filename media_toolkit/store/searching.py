"""Searching: which word of a text, if any, Postgres should look up in the index of words.

It gathers every row of every word that it looks up, and takes that for cheaper than it is: "red
tulip" is found sooner by reading the tulips and passing over those that are not red.
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


def searched(connection: sa.Connection, wanted: AssetFilter) -> tuple[sa.ColumnElement[bool], ...]:
    """The conditions for `wanted.text`, none of which or one uses the index.

    Raises:
        FilterError: for a value that cannot be read.
    """
    terms = filters.terms(wanted.text or "")
    if not terms:
        return ()
    connection.execute(_ENOUGH_MEMORY)
    rest = replace(wanted, text=None).conditions()
    if len(terms) == 1 and len(rest) == 1:
        return (filters.has_words(terms[0]),)
    sizes = {term: estimate(connection, _ids(filters.has_words(term))) for term in terms}
    rarest = min(terms, key=sizes.__getitem__)
    is_indexed = len(rest) == 1 or (sizes[rarest] < _ROW_COST * estimate(connection, _ids(*rest)))
    return tuple(
        filters.has_words(term, is_indexed=is_indexed and term == rarest) for term in terms
    )


def estimate(connection: sa.Connection, query: sa.Select[Any]) -> int:
    """How many rows the planner expects of a query."""
    compiled = query.compile(connection.engine, compile_kwargs={"render_postcompile": True})
    plan = connection.exec_driver_sql(
        f"EXPLAIN (FORMAT JSON) {compiled}", compiled.construct_params()
    ).scalar_one()
    return int(plan[0]["Plan"]["Plan Rows"])


def _ids(*conditions: sa.ColumnElement[bool]) -> sa.Select[Any]:
    return sa.select(files.c.id).where(*conditions)
