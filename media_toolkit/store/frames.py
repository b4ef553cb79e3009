"""Query → DataFrame, batches or Parquet through Arrow (ADBC), as fast as a binary COPY allows."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import date, datetime
from itertools import chain, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from media_toolkit.errors import FilterError, Unavailable
from media_toolkit.identity import Identity
from media_toolkit.store import filters, history
from media_toolkit.store.columns import ahead, frame_of, to_pandas
from media_toolkit.store.database import Database
from media_toolkit.store.filters import AssetFilter
from media_toolkit.store.matching import walk_setting, with_rare_words
from media_toolkit.store.ownership import narrowed
from media_toolkit.store.parts import ALONG_THE_INDEX, divided, read_together
from media_toolkit.store.schema import ASSET_COLUMNS, files

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from adbc_driver_postgresql.dbapi import Connection as ArrowConnection
    from adbc_driver_postgresql.dbapi import Cursor as ArrowCursor

_DIALECT = postgresql.dialect(paramstyle="numeric_dollar")
_BATCH_BYTES = 4 << 20
_LONG = 1_000
_PARQUET_ROWS = 100_000
# A row that a parallel worker hands on costs more than Postgres' 0.1 says: where the rows lie in
# the order that is asked for, one walk along the index is a third faster than workers that sort.
_PLANNING = {"parallel_tuple_cost": "0.2"}
# `deleted_at` is the last column: to look at it, Postgres goes through all of each row, which is a
# sixth of the time. Where no row is deleted nothing is lost without.
_FREEZE = """
SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_export_snapshot() END,
       EXISTS (SELECT FROM cloudinary_files WHERE deleted_at IS NOT NULL)
"""
# Neither a save nor an edit changes these, so that a read can go on after any row of them.
_KEEPS_PLACE = ("upload_timestamp", "id")


def assets_frame(
    database: Database,
    identity: Identity,
    wanted: AssetFilter,
    order_by: str = "-upload_timestamp",
    limit: int | None = None,
    columns: Iterable[str] | None = None,
    as_of: datetime | date | str | None = None,
) -> pd.DataFrame:
    """The matching assets, one row each; as they stood at the moment `as_of` where given.

    Returns:
        Columns as `ASSET_COLUMNS`, or those asked for. Integers are Int64 or Int32 (nullable),
        duration is Float64, text is str, times are datetime64[us, UTC]; tags are
        lists of str and context is a dict, both in object columns.

    Raises:
        FilterError: for a word, column or value that cannot be read. Unavailable: no Postgres.
    """
    if as_of is None:
        wanted = _looked_up(database, identity, wanted)
    query = _select(wanted, order_by, limit, columns)
    known = filters.known(order_by) if as_of is None and limit is not None else None
    if known is not None:
        first = query.where(known).order_by(None).order_by(*filters.ordering(order_by, True))
        frame = _frame_of(database, identity, first, walk_setting(wanted))
        if len(frame) == limit:
            return frame
    # Where Python makes an object for each row, it is what takes the time, and not Postgres.
    objects = any(isinstance(c.type, sa.ARRAY | sa.JSON) for c in query.selected_columns)
    if limit is None and as_of is None and not objects:
        parts = divided(database, identity, query, order_by, _PLANNING)
        if len(parts) > 1:
            whole = _select(wanted, order_by, None, columns, is_any_deleted=False)
            return _frame_of_parts(database, identity, (query, whole), parts)
    setting = None
    if as_of is not None:
        query = history.as_of(query, as_of)
    elif limit is not None:
        setting = walk_setting(wanted)
    return _frame_of(database, identity, query, setting)


def _frame_of(
    database: Database,
    identity: Identity,
    query: sa.Select[Any],
    setting: sa.ColumnElement[str] | None,
) -> pd.DataFrame:
    statement, values = _through_settings(query)

    def fetch(connection: ArrowConnection) -> pd.DataFrame:
        with _executed(connection, statement, values, setting) as cursor:
            reader = _reader(cursor)
            # Closed before the cursor is: ended under a thread that reads, ADBC crashes Python.
            with closing(ahead(reader)) as batches:
                return frame_of(batches, reader.schema)

    return database.run_arrow(identity, fetch, is_reused=True)


def _frame_of_parts(
    database: Database,
    identity: Identity,
    queries: tuple[sa.Select[Any], sa.Select[Any]],
    parts: Sequence[Sequence[sa.ColumnElement[bool]]],
) -> pd.DataFrame:
    """By two connections at once.

    Args:
        queries: of what is not deleted; the same where nothing is.
    """

    def fetch(connection: ArrowConnection) -> pd.DataFrame:
        with connection.cursor() as cursor:
            cursor.execute(_FREEZE)
            snapshot, is_any_deleted = cursor.fetchone() or (None, True)
        query = queries[0] if is_any_deleted else queries[1]

        def read(
            connection: ArrowConnection, number: int, is_over: Callable[[], bool]
        ) -> tuple[pa.Schema, list[pa.RecordBatch]]:
            statement, values = _through_settings(query.where(*parts[number]))
            with _executed(connection, statement, {**ALONG_THE_INDEX, **values}) as cursor:
                reader = _reader(cursor)
                return reader.schema, list(takewhile(lambda _: not is_over(), reader))

        reading = read_together(database, identity, connection, snapshot, read, len(parts))
        with closing(reading) as coming:
            schema, first = next(coming)
            rest = chain.from_iterable(batches for _, batches in coming)
            return frame_of(chain(first, rest), schema)

    return database.run_arrow(identity, fetch, is_reused=True, is_frozen=True)


def iterate(
    database: Database,
    identity: Identity,
    wanted: AssetFilter,
    order_by: str = "-upload_timestamp",
    limit: int | None = None,
    columns: Iterable[str] | None = None,
    batch_size: int = 50_000,
) -> Iterator[pd.DataFrame]:
    """The same as frames of at most `batch_size` rows, in the memory of one or two of them.

    Raises:
        FilterError: also for a batch_size below one. Unavailable, StoreError: as `assets_frame`.
    """
    for batch in _batches(database, identity, wanted, order_by, limit, columns, batch_size):
        yield to_pandas(batch)


def write_parquet(
    database: Database,
    identity: Identity,
    path: Path,
    wanted: AssetFilter,
    order_by: str = "-upload_timestamp",
    limit: int | None = None,
    columns: Iterable[str] | None = None,
) -> int:
    """Write the matching assets to one Parquet file; returns how many rows.

    Context is JSON text in it. The file is there when it is whole: until then it goes by
    another name beside it, and an error leaves nothing.

    Raises:
        FilterError, Unavailable, StoreError: as `assets_frame`. OSError: it cannot be written.
    """
    import pyarrow.parquet as pq

    # A link stays one: what it leads to is replaced.
    path, count = path.resolve(), 0
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name the file to write in it")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent} is no folder: make it first")
    if path.exists() and not path.is_file():
        raise FileExistsError(f"{path} is no file, and is not replaced by one")
    with tempfile.TemporaryDirectory(prefix=".parquet.", dir=path.parent) as folder:
        unfinished = Path(folder) / path.name
        writer = None
        for batch in _batches(
            database, identity, wanted, order_by, limit, columns, _PARQUET_ROWS, True
        ):
            plain = _plain(batch)
            writer = writer or pq.ParquetWriter(unfinished, plain.schema, compression="zstd")
            writer.write_table(plain)
            count += plain.num_rows
        if writer is not None:
            writer.close()
        unfinished.replace(path)
    return count


def _plain(table: pa.Table) -> pa.Table:
    import pyarrow as pa

    for number, name in enumerate(table.column_names):
        if isinstance(table.schema.field(number).type, pa.BaseExtensionType):
            table = table.set_column(number, name, table.column(number).cast(pa.string()))
    return table


def _columns(names: Iterable[str] | None) -> list[sa.Column[Any]]:
    if names is None:
        return list(ASSET_COLUMNS)
    known = {c.name: c for c in ASSET_COLUMNS}
    if not isinstance(names, Iterable):
        raise FilterError(f"columns is no list of names: {names!r}", ids=("columns",))
    wanted = [names] if isinstance(names, str) else list(names)
    unknown = [name for name in wanted if not isinstance(name, str) or name not in known]
    if unknown or not wanted:
        raise FilterError(
            f"unknown column {', '.join(map(str, unknown)) or '(none asked for)'}",
            hint=f"known: {', '.join(known)}",
            ids=tuple(map(str, unknown)),
        )
    return [known[name] for name in dict.fromkeys(wanted)]


def _looked_up(database: Database, identity: Identity, wanted: AssetFilter) -> AssetFilter:
    wanted.conditions()  # what cannot be read is said before Postgres is asked
    wanted = narrowed(database, identity, wanted)
    if not wanted.words_of_context:
        return wanted

    def read(connection: sa.Connection) -> AssetFilter:
        return with_rare_words(connection, wanted, database.reads_kept(connection))

    return database.run(identity, read)


def _select(
    wanted: AssetFilter,
    order_by: str,
    limit: int | None,
    columns: Iterable[str] | None,
    is_any_deleted: bool = True,
) -> sa.Select[Any]:
    query = sa.select(*_columns(columns)).where(*wanted.conditions(is_any_deleted=is_any_deleted))
    query = query.order_by(*filters.ordering(order_by))
    return query if limit is None else query.limit(filters.read_limit(limit))


def _batches(
    database: Database,
    identity: Identity,
    wanted: AssetFilter,
    order_by: str,
    limit: int | None,
    columns: Iterable[str] | None,
    batch_size: int,
    is_empty_wanted: bool = False,
) -> Iterator[pa.Table]:
    """Tables of `batch_size` rows; with `is_empty_wanted` one of no rows when none match."""
    import pyarrow as pa

    batch_size = filters.read_size("batch_size", batch_size)
    wanted = _looked_up(database, identity, wanted)
    reading = _Reading(wanted, order_by, limit, columns)
    kept: list[pa.RecordBatch] = []
    rows, any_yet = 0, False
    for batch in database.iterate_arrow(identity, reading.rest):
        kept.append(batch)
        rows += batch.num_rows
        while rows >= batch_size:
            table = pa.Table.from_batches(kept)
            yield table.slice(0, batch_size)
            any_yet = True
            kept = table.slice(batch_size).to_batches()
            rows -= batch_size
    if rows or (is_empty_wanted and not any_yet):
        yield pa.Table.from_batches(kept, reading.schema)


class _Reading:
    """One read in parts, which goes on after the last row that came.

    Only where no row can have changed its place since, and none of the order is null.
    """

    def __init__(
        self,
        wanted: AssetFilter,
        order_by: str,
        limit: int | None,
        columns: Iterable[str] | None,
    ) -> None:
        self.schema: pa.Schema | None = None
        self._names = [c.name for c in _columns(columns)]
        filters.ordering(order_by)
        self._order = order_by.removeprefix("-")
        self._is_descending = order_by.startswith("-")
        self._key = (self._order, "id") if self._order in _KEEPS_PLACE else ()
        everything = dict.fromkeys([*self._names, *self._key])
        self._query = _select(wanted, order_by, None, everything)
        self._setting = None if limit is None else walk_setting(wanted)
        self._left = None if limit is None else filters.read_limit(limit)
        self._last: tuple[Any, ...] | None = None

    def rest(self, connection: ArrowConnection) -> Generator[pa.RecordBatch]:
        """The rows that have not come yet."""
        statement, values = _through_settings(self._remaining())
        with _executed(connection, statement, values, self._setting) as cursor:
            reader = _reader(cursor)
            for batch in reader:
                if batch.num_rows:
                    # Before it is given: whoever asks again has had it.
                    self._last = tuple(batch.column(name)[-1].as_py() for name in self._key)
                    if self._left is not None:
                        self._left -= batch.num_rows
                chosen = batch.select(self._names)
                self.schema = chosen.schema
                yield chosen
            if self.schema is None:
                self.schema = reader.schema.empty_table().select(self._names).schema

    def _remaining(self) -> sa.Select[Any]:
        query = self._query
        if self._last is not None:
            if not self._key:
                raise Unavailable(
                    f"Postgres went away in the middle of a read by {self._order}",
                    hint="read it again once Postgres is back; a read by upload_timestamp or id "
                    "goes on by itself",
                )
            key = sa.tuple_(*(files.c[name] for name in self._key))
            last = sa.tuple_(*self._last)
            query = query.where(key < last if self._is_descending else key > last)
        return query if self._left is None else query.limit(self._left)


def _reader(cursor: ArrowCursor) -> pa.RecordBatchReader:
    """The answer, batch by batch; iterated over, it raises the driver's errors.

    What `fetch_record_batch` gives is the reader inside it, whose errors are OSErrors without a
    SQLSTATE: https://github.com/apache/arrow-adbc/issues/1523.
    """
    assert cursor._results is not None, "nothing was executed"
    return cursor._results.reader


def _through_settings(query: sa.Select[Any]) -> tuple[str, dict[str, str]]:
    """SQL without parameters, and the settings of the transaction that it reads its values from.

    ADBC streams by COPY, which takes no parameters; with them it would hold the whole answer
    in the server's row format first. So each value is bound once, to a `set_config`. Postgres
    still estimates with them: `current_setting` is stable.
    """
    compiled = query.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    found, values = compiled.construct_params(), {}
    kinds = []
    for number, name in enumerate(compiled.positiontup or (), 1):
        values[f"media_toolkit.p{number}"] = _as_text(found[name])
        kinds.append(_kind(found[name]))

    def read(match: re.Match[str]) -> str:
        number = int(match[1])
        name, kind = f"media_toolkit.p{number}", kinds[number - 1]
        # A long one is read once, at the price of Postgres' estimate, not for each row.
        once = "SELECT " if len(values[name]) > _LONG else ""
        return f"({once}current_setting('{name}')::{kind})"

    return re.sub(r"\$(\d+)", read, str(compiled)), values


def _kind(value: Any) -> str:
    if isinstance(value, int):
        return "bigint"
    if isinstance(value, datetime):
        return "timestamptz"
    return "text[]" if isinstance(value, list | tuple) else "text"


def _as_text(value: Any) -> str:
    if isinstance(value, list | tuple):
        escaped = (str(v).replace("\\", "\\\\").replace('"', '\\"') for v in value)
        return "{" + ",".join(f'"{v}"' for v in escaped) + "}"
    return value.isoformat() if isinstance(value, datetime) else str(value)


@contextmanager
def _executed(
    connection: ArrowConnection,
    statement: str,
    values: Mapping[str, str],
    setting: sa.ColumnElement[str] | None = None,
) -> Iterator[ArrowCursor]:
    values = {**_PLANNING, **values}
    with connection.cursor() as cursor:
        calls = [f"set_config('{name}', ${n}, true)" for n, name in enumerate(values, 1)]
        cursor.execute(f"SELECT {', '.join(calls)}", tuple(values.values()))
        cursor.fetchall()
        if setting is not None:
            asked = sa.select(setting).compile(
                dialect=_DIALECT, compile_kwargs={"render_postcompile": True}
            )
            found = asked.construct_params()
            cursor.execute(str(asked), tuple(found[name] for name in asked.positiontup or ()))
            cursor.fetchall()
        cursor.adbc_statement.set_options(
            **{"adbc.postgresql.batch_size_hint_bytes": str(_BATCH_BYTES)}
        )
        cursor.execute(statement)
        yield cursor
