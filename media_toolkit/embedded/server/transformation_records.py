"""Transformations that have a name, and those that are known because something was made by them.

https://cloudinary.com/documentation/admin_api#transformations
"""

from __future__ import annotations

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
"""


@dataclass(frozen=True)
class NamedTransformation:
    """`name` has no `t_`; `transformation` is the text that it stands for."""

    name: str
    transformation: str
    allowed_for_strict: bool = True


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
