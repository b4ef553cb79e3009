"""The derived images that are known: what was made of which original, by which transformation."""

from __future__ import annotations

from dataclasses import dataclass

from .connections import Connections

DERIVED_SCHEMA = """
create table if not exists derived (
    id text primary key,
    blob text not null references assets (blob) on delete cascade on update cascade,
    transformation text not null,
    format text not null,
    bytes integer not null,
    key text not null,
    unique (blob, transformation, format)
);
"""


@dataclass(frozen=True)
class Derived:
    """One derived image of an asset; `format` is empty when none was asked for."""

    id: str
    blob: str
    transformation: str
    format: str
    bytes: int
    key: str


class DerivedRecords(Connections):
    """The part of the records that knows derived images; they go with their original's blob."""

    def add_derived(self, new: Derived) -> None:
        """Note a derived image; one whose original is gone meanwhile is not noted."""
        with self._writing() as connection:
            connection.execute(
                "insert or replace into derived (id, blob, transformation, format, bytes, key)"
                " select ?, ?, ?, ?, ?, ? where exists (select 1 from assets where blob = ?)",
                (new.id, new.blob, new.transformation, new.format, new.bytes, new.key, new.blob),
            )

    def derived_by_id(self, id: str) -> Derived | None:
        """One derived image."""
        with self._reading() as connection:
            row = connection.execute("select * from derived where id = ?", (id,)).fetchone()
        return None if row is None else Derived(**dict(row))

    def derived_by(self, transformation: str, after: int, limit: int) -> list[tuple[Derived, int]]:
        """What was derived by a transformation, past `after`, each with its place."""
        query = (
            "select *, rowid as place from derived where transformation = ? and rowid > ?"
            " order by rowid limit ?"
        )
        with self._reading() as connection:
            rows = [dict(row) for row in connection.execute(query, (transformation, after, limit))]
        return [(Derived(**row), place) for row in rows if (place := row.pop("place"))]

    def delete_derived(self, id: str) -> bool:
        """Forget one derived image; False when it was gone already."""
        with self._writing() as connection:
            return connection.execute("delete from derived where id = ?", (id,)).rowcount > 0

    def derived(self, blob: str) -> list[Derived]:
        """The derived images of a blob, oldest first."""
        query = "select * from derived where blob = ? order by rowid"
        with self._reading() as connection:
            return [Derived(**dict(row)) for row in connection.execute(query, (blob,))]
