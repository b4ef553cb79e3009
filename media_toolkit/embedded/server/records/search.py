"""Searching the records: pages in any order, counts, and an index that may lag behind.

With a lag, searches read copies: every change to an asset is noted with its time, and the copies
follow once it is old enough. They live as long as the server: a restart catches up.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..search.compile import Bound
from ..search.values import any_has_words, has_words
from ..search.wanted import Order, Wanted
from .connections import Connections


@dataclass
class Found:
    """The page's rows, each row's sort values, and counts over everything that matches."""

    rows: list[sqlite3.Row] = field(default_factory=list)
    keys: list[list[Bound]] = field(default_factory=list)
    total: int = 0
    groups: list[dict[str, int]] = field(default_factory=list)
    buckets: list[int] = field(default_factory=list)


class SearchRecords(Connections):
    """The part of the records that is searched."""

    _lag = 0.0

    def delay_search(self, seconds: float) -> None:
        """Let searches see each change to an asset only after so long. Call once, at the start."""
        if seconds <= 0:
            return
        self._lag = seconds
        with self._write_lock:
            columns = [row["name"] for row in self._writer.execute("pragma table_info(assets)")]
            self._writer.executescript(_lagging_schema(columns))

    def search(self, wanted: Wanted) -> Found:
        """The page and the counts, all of one moment."""
        with self._searching() as connection:
            return _found(connection, wanted)

    @contextmanager
    def _searching(self) -> Iterator[sqlite3.Connection]:
        if not self._lag:
            with self._reading() as connection:
                connection.execute("begin")
                try:
                    yield connection
                finally:
                    connection.execute("commit")
            return
        with self._write_lock:
            self._writer.execute("begin")
            try:
                _follow(self._writer, time.time() - self._lag)
                yield self._writer
            finally:
                self._writer.execute("commit")

    def _open(self) -> sqlite3.Connection:
        connection = super()._open()
        connection.create_function("has_words", 3, has_words, deterministic=True)
        connection.create_function("any_has_words", 3, any_has_words, deterministic=True)
        return connection

    @property
    def searched_assets(self) -> str:
        """The table to search assets in."""
        return "temp.indexed" if self._lag else "assets"


def _found(connection: sqlite3.Connection, wanted: Wanted) -> Found:
    base = f"from {wanted.table} as sought"
    if wanted.condition.sql == "1":
        base += " where 1"
        hits = base
    else:
        # What matches is looked for once, however often it is counted then.
        connection.execute("create temp table if not exists hits (id integer primary key)")
        connection.execute("delete from temp.hits")
        connection.execute(
            f"insert into temp.hits select rowid {base} where {wanted.condition.sql}",
            wanted.condition.values,
        )
        base += " where rowid in (select id from temp.hits)"
        hits = "from temp.hits"
    found = Found(total=connection.execute(f"select count(*) {hits}").fetchone()[0])
    for column in wanted.groups:
        rows = connection.execute(
            f"select {column}, count(*) {base} and {column} is not null"
            " group by 1 order by 2 desc, 1"
        )
        found.groups.append({row[0]: row[1] for row in rows})
    for bucket in wanted.buckets:
        row = connection.execute(
            f"select count(*) {base} and {bucket.sql}", bucket.values
        ).fetchone()
        found.buckets.append(row[0])
    keys = [f"{order.sql} as key_{at}" for at, order in enumerate(wanted.order)]
    past, past_values = _past(wanted.order, wanted.after)
    ordered = ", ".join(
        f"key_{at} {'desc' if order.descending else 'asc'}" for at, order in enumerate(wanted.order)
    )
    found.rows = connection.execute(
        f"select *, {', '.join(keys)} {base} and {past} order by {ordered} limit ?",
        [*past_values, wanted.limit],
    ).fetchall()
    found.keys = [[row[f"key_{at}"] for at in range(len(keys))] for row in found.rows]
    return found


def _past(order: Sequence[Order], after: Sequence[Bound]) -> tuple[str, list[Bound]]:
    """The condition for rows that come after the one with these sort values."""
    if not after:
        return "1", []
    parts: list[str] = []
    values: list[Bound] = []
    for at, (one, value) in enumerate(zip(order, after, strict=True)):
        equal = [f"{earlier.sql} = ?" for earlier in order[:at]]
        parts.append(" and ".join([*equal, f"{one.sql} {'<' if one.descending else '>'} ?"]))
        values.extend((*after[:at], value))
    return "(" + " or ".join(f"({part})" for part in parts) + ")", values


def _lagging_schema(columns: list[str]) -> str:
    names = ", ".join(columns)
    new = ", ".join(f"new.{name}" for name in columns)
    return f"""
    create temp table indexed as select * from main.assets;
    create unique index temp.indexed_by_seq on indexed (seq);
    create temp table noted as select 0.0 as at, 0 as gone, * from main.assets where 0;
    create temp trigger note_new after insert on main.assets begin
        insert into noted (at, gone, {names}) values (unixepoch('subsec'), 0, {new});
    end;
    create temp trigger note_changed after update on main.assets begin
        insert into noted (at, gone, {names}) values (unixepoch('subsec'), 0, {new});
    end;
    create temp trigger note_gone after delete on main.assets begin
        insert into noted (at, gone, seq) values (unixepoch('subsec'), 1, old.seq);
    end;
    """


def _follow(connection: sqlite3.Connection, until: float) -> None:
    """Bring the copies to the state at a moment."""
    columns = [row["name"] for row in connection.execute("pragma temp.table_info(indexed)")]
    names = ", ".join(columns)
    ripe: tuple[Any, ...] = (until,)
    connection.execute(
        "delete from temp.indexed where seq in (select seq from temp.noted where at <= ?)", ripe
    )
    connection.execute(
        f"insert into temp.indexed ({names}) select {names} from temp.noted as last"
        " where rowid = (select max(rowid) from temp.noted as any"
        " where any.seq = last.seq and any.at <= ?) and not gone",
        ripe,
    )
    connection.execute("delete from temp.noted where at <= ?", ripe)
