"""How many: counts that say whether they are exact, and facets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import sqlalchemy as sa

from media_toolkit.errors import FilterError
from media_toolkit.identity import Identity
from media_toolkit.store.database import Database
from media_toolkit.store.filters import AssetFilter
from media_toolkit.store.schema import files

CAP = 10_000
FACETS = ("user_id", "resource_type", "delivery_type", "format", "tags")


class Count(int):
    """A number of assets, an `int` in all respects.

    Attributes:
        is_exact: False where it is Postgres' estimate, which only numbers over 10,000 are.
    """

    is_exact: bool

    def __new__(cls, number: int, is_exact: bool = True) -> Count:
        count = super().__new__(cls, number)
        count.is_exact = is_exact
        return count

    @property
    def label(self) -> str:
        """ "1,234", or "about 56,000" for an estimate."""
        return f"{int(self):,}" if self.is_exact else f"about {_rounded(self):,}"


class Facets(dict[str, list[tuple[str, int]]]):
    """Name → its values with the number of assets of each, most first.

    Attributes:
        is_exact: whether every matching asset was counted.
        counted: how many were: where not all, it is the newest 10,000.
    """

    def __init__(self, counted: int, is_exact: bool) -> None:
        super().__init__()
        self.counted, self.is_exact = counted, is_exact


def count(
    database: Database, identity: Identity, wanted: AssetFilter, is_exact: bool = False
) -> Count:
    """How many assets match: exact to 10,000, estimated by the planner beyond.

    Without a filter it is exact, from the kept counts; `is_exact` counts however many there are.

    Raises:
        FilterError: for a value that cannot be read.
    """
    conditions = wanted.conditions()

    def read(connection: sa.Connection) -> Count:
        if is_exact:
            return Count(
                connection.scalar(sa.select(sa.func.count()).select_from(files).where(*conditions))
                or 0
            )
        if _is_everything(wanted) and _has_counts(connection):
            known = "SELECT sum(assets) FROM cloudinary_files_counts WHERE tag IS NULL"
            return Count(int(connection.scalar(sa.text(known)) or 0))
        some = sa.select(sa.literal(1)).select_from(files).where(*conditions).limit(CAP + 1)
        found = int(connection.scalar(sa.select(sa.func.count()).select_from(some.subquery())) or 0)
        if found <= CAP:
            return Count(found)
        return Count(max(found, _estimate(connection, conditions)), is_exact=False)

    return database.run(identity, read)


def facets(
    database: Database, identity: Identity, names: tuple[str, ...], wanted: AssetFilter
) -> Facets:
    """Each name's values with their counts; of the newest 10,000 where a filter matches more.

    Raises:
        FilterError: for a name that has no facet, or a value that cannot be read.
    """
    unknown = [name for name in names if name not in FACETS]
    if unknown or not names:
        raise FilterError(
            f"no facets of {', '.join(unknown) or 'nothing'}",
            hint=f"known: {', '.join(FACETS)}",
            ids=tuple(unknown),
        )
    conditions = wanted.conditions()

    def read(connection: sa.Connection) -> Facets:
        if _is_everything(wanted) and _has_counts(connection):
            return _kept(connection, names)
        c = files.c
        query = sa.select(*(c[name] for name in names)).where(*conditions)
        query = query.order_by(c.upload_timestamp.desc(), c.id.desc()).limit(CAP + 1)
        return _counted(connection.execute(query).all(), names)

    return database.run(identity, read)


def _counted(rows: Sequence[sa.Row[Any]], names: tuple[str, ...]) -> Facets:
    found = Facets(min(len(rows), CAP), len(rows) <= CAP)
    for position, name in enumerate(names):
        counter: Counter[str] = Counter()
        for row in rows[:CAP]:
            value = row[position]
            if name == "tags":
                counter.update(value)
            elif value is not None:
                counter[value] += 1
        found[name] = sorted(counter.items(), key=lambda pair: (-pair[1], pair[0]))
    return found


def _kept(connection: sa.Connection, names: tuple[str, ...]) -> Facets:
    total = "SELECT sum(assets) FROM cloudinary_files_counts WHERE tag IS NULL"
    found = Facets(int(connection.scalar(sa.text(total)) or 0), True)
    for name in names:
        column, kept = ("tag", "IS NOT NULL") if name == "tags" else (name, "IS NULL")
        query = f"""
            SELECT {column} AS value, sum(assets) AS n FROM cloudinary_files_counts
            WHERE tag {kept} AND {column} IS NOT NULL
            GROUP BY 1 HAVING sum(assets) > 0 ORDER BY n DESC, value
        """
        rows = connection.execute(sa.text(query))
        found[name] = [(row.value, int(row.n)) for row in rows]
    return found


def _is_everything(wanted: AssetFilter) -> bool:
    # "" and {} ask for nothing either; an empty list asks for none.
    return all(getattr(wanted, f.name) in (None, "", {}) for f in fields(wanted))


def _has_counts(connection: sa.Connection) -> bool:
    """A login outside the app's role may have been given the assets alone."""
    query = "SELECT has_table_privilege('cloudinary_files_counts', 'SELECT')"
    return bool(connection.scalar(sa.text(query)))


def _estimate(connection: sa.Connection, conditions: list[sa.ColumnElement[bool]]) -> int:
    query = sa.select(sa.literal(1)).select_from(files).where(*conditions)
    compiled = query.compile(connection.engine, compile_kwargs={"render_postcompile": True})
    plan = connection.exec_driver_sql(
        f"EXPLAIN (FORMAT JSON) {compiled}", compiled.construct_params()
    ).scalar_one()
    return int(plan[0]["Plan"]["Plan Rows"])


def _rounded(number: int) -> int:
    """To two digits: an estimate is no better."""
    unit = 10 ** max(0, len(str(int(number))) - 2)
    return round(int(number) / unit) * unit
