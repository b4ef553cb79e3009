"""Transformations that have a name, and those that are known because something was made by them.

https://cloudinary.com/documentation/admin_api#transformations
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass

from .connections import Connections

TRANSFORMATION_SCHEMA = """
create table if not exists named_transformations (
    name text primary key,
    transformation text not null,
    allowed_for_strict integer not null,
    created_at integer not null
);
create table if not exists strict_transformations (
    transformation text primary key,
    allowed integer not null
);
create index if not exists derived_by_transformation on derived (transformation);
"""

# One row for each name, and one for each text that something was derived with.
_KNOWN = """
select name, transformation, allowed_for_strict as allowed, 't_' || name as used_as
from named_transformations
union all
select null, texts.transformation, coalesce(allowed, 0), texts.transformation
from (select distinct transformation from derived
      union select transformation from strict_transformations) as texts
left join strict_transformations using (transformation)
where texts.transformation not in (select 't_' || name from named_transformations)
"""


@dataclass(frozen=True)
class NamedTransformation:
    """`name` has no `t_`; `transformation` is the text that it stands for."""

    name: str
    transformation: str
    allowed_for_strict: bool = True


@dataclass(frozen=True)
class KnownTransformation:
    """A transformation by name, or without one; `used_as` is how it stands in URLs."""

    name: str | None
    transformation: str
    allowed_for_strict: bool
    used_as: str
    used: bool


class TransformationRecords(Connections):
    """The part of the records that keeps named transformations."""

    def named_transformation(self, name: str) -> NamedTransformation | None:
        """What `t_<name>` stands for."""
        with self._reading() as connection:
            row = connection.execute(
                "select name, transformation, allowed_for_strict from named_transformations"
                " where name = ?",
                (name,),
            ).fetchone()
        if row is None:
            return None
        return NamedTransformation(row[0], row[1], bool(row[2]))

    def add_named_transformation(self, new: NamedTransformation) -> bool:
        """Keep a new name; False when it is taken."""
        values = (new.name, new.transformation, new.allowed_for_strict, int(time.time()))
        with self._writing() as connection:
            cursor = connection.execute(
                "insert or ignore into named_transformations values (?, ?, ?, ?)", values
            )
            return cursor.rowcount > 0

    def change_named_transformation(self, changed: NamedTransformation) -> bool:
        """Replace what a name stands for; False when there is none such."""
        with self._writing() as connection:
            cursor = connection.execute(
                "update named_transformations set transformation = ?, allowed_for_strict = ?"
                " where name = ?",
                (changed.transformation, changed.allowed_for_strict, changed.name),
            )
            return cursor.rowcount > 0

    def delete_named_transformation(self, name: str) -> bool:
        """Forget a name; False when there is none such."""
        with self._writing() as connection:
            cursor = connection.execute("delete from named_transformations where name = ?", (name,))
            return cursor.rowcount > 0

    def known_transformations(
        self, named: bool | None, after: str, limit: int
    ) -> list[KnownTransformation]:
        """Those with a name, without one, or all (None), by how they stand in URLs."""
        wanted = {None: "1", True: "name is not null", False: "name is null"}[named]
        query = (
            f"select *, {_USED} from ({_KNOWN}) as known where used_as > ? and {wanted}"
            " order by used_as limit ?"
        )
        with self._reading() as connection:
            return [_to_known(row) for row in connection.execute(query, (after, limit))]

    def known_transformation(self, text: str) -> KnownTransformation | None:
        """The one of that name, with or without `t_`, or of that text."""
        query = (
            f"select *, {_USED} from ({_KNOWN}) as known where used_as in (?, ?)"
            " order by name is null limit 1"
        )
        with self._reading() as connection:
            row = connection.execute(query, (text, f"t_{text}")).fetchone()
        return None if row is None else _to_known(row)

    def allow_transformation(self, text: str, allowed: bool) -> None:
        """Say whether a transformation without a name is allowed in strict mode."""
        with self._writing() as connection:
            connection.execute(
                "insert or replace into strict_transformations values (?, ?)", (text, allowed)
            )


_USED = "exists (select 1 from derived where derived.transformation = used_as) as used"


def _to_known(row: sqlite3.Row) -> KnownTransformation:
    return KnownTransformation(
        name=row["name"],
        transformation=row["transformation"],
        allowed_for_strict=bool(row["allowed"]),
        used_as=row["used_as"],
        used=bool(row["used"]),
    )
