"""Parts: a large read in parts of its order, two of which are read at once.

One process of Postgres sends and one thread of ours reads: a second pair of them, on a connection
of its own that sees the same snapshot, makes a third less of the time.
"""

from __future__ import annotations

import logging
import threading
from bisect import insort
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import sqlalchemy as sa

from media_toolkit.identity import Identity
from media_toolkit.store.database import Database
from media_toolkit.store.schema import files

if TYPE_CHECKING:
    from adbc_driver_postgresql.dbapi import Connection as ArrowConnection

T = TypeVar("T")

# Below it a second connection is hardly open before the first has read everything.
_LEAST_ROWS = 200_000
_LEAST_BYTES = 64 << 20
# Of what Postgres expects of a part's rows.
_BYTES, _LEAST_PARTS, _MOST_PARTS = 10 << 20, 4, 64
_SAMPLED_PAGES = 128
# Each part is one walk along the index that the whole would be.
ALONG_THE_INDEX = dict.fromkeys(("enable_sort", "enable_seqscan", "enable_bitmapscan"), "off")
_LARGE = sa.text("SELECT pg_relation_size('cloudinary_files') >= :least")
_log = logging.getLogger(__name__)


def divided(
    database: Database,
    identity: Identity,
    query: sa.Select[Any],
    order_by: str,
    planning: dict[str, str],
) -> list[list[sa.ColumnElement[bool]]]:
    """What each part asks for beside the query; they make it one after the other.

    They are where Postgres would walk an index in the order asked for: what it would sort or
    gather, it would sort or gather for each part again. One that asks for nothing more where it
    would, and where a second connection is not worth it.

    Args:
        query: of assets, without a limit.
        planning: the settings that it will run with.
    """
    if order_by.removeprefix("-") != "upload_timestamp":
        return [[]]

    def is_large(connection: sa.Connection) -> bool:
        return bool(connection.scalar(_LARGE, {"least": _LEAST_BYTES}))

    if not database.lately("is_large", lambda: database.run(identity, is_large)):
        return [[]]
    is_descending = order_by.startswith("-")

    def look(connection: sa.Connection) -> list[list[sa.ColumnElement[bool]]]:
        settings = (sa.func.set_config(*one, True) for one in planning.items())
        connection.execute(sa.select(*settings))
        width = _width_of_a_walk(connection, query)
        rows, keys = _sample(connection, query) if width is not None else (0, [])
        if width is None or rows < _LEAST_ROWS:
            return [[]]
        count = min(_MOST_PARTS, max(_LEAST_PARTS, rows * width // _BYTES))
        chosen = dict.fromkeys(keys[len(keys) * number // count] for number in range(1, count))
        edges = [sa.tuple_(*one) for one in chosen]
        key = sa.tuple_(files.c.upload_timestamp, files.c.id)
        until = [[key >= edge if is_descending else key <= edge] for edge in edges]
        after = [[key < edge if is_descending else key > edge] for edge in edges]
        return [[*some, *more] for some, more in zip([[], *after], [*until, []], strict=True)]

    return database.run(identity, look)


def _width_of_a_walk(connection: sa.Connection, query: sa.Select[Any]) -> int | None:
    """How many bytes Postgres expects of a row; None where it would not walk an index."""
    compiled = query.compile(connection.engine, compile_kwargs={"render_postcompile": True})
    plan = connection.exec_driver_sql(
        f"EXPLAIN (FORMAT JSON) {compiled}", compiled.construct_params()
    ).scalar_one()[0]["Plan"]
    return int(plan["Plan Width"]) if plan["Node Type"].startswith("Index") else None


def _sample(
    connection: sa.Connection, query: sa.Select[Any]
) -> tuple[int, list[tuple[datetime, int]]]:
    """About how many rows there are, by those of some pages, and the keys of these in their order.

    What Postgres itself expects is wrong just after an import, which is when one looks at it.
    """
    pages = sa.cast(sa.func.pg_relation_size(files.name), sa.Double) / 8192
    share = sa.func.least(1, _SAMPLED_PAGES / sa.func.greatest(1, pages))
    sampled = sa.tablesample(files, sa.func.system(100 * share))
    # Named as the table is: inside the query the name means the rows on those pages.
    columns: list[Any] = [sa.literal_column(name) for name in (*files.c.keys(), "words")]
    rows: sa.Select[Any] = sa.select(*columns).select_from(sampled)
    keys = query.with_only_columns(files.c.upload_timestamp, files.c.id, share)
    found = connection.execute(keys.add_cte(rows.cte(files.name))).all()
    return round(len(found) / found[0][2]) if found else 0, [(row[0], row[1]) for row in found]


def read_together(
    database: Database,
    identity: Identity,
    connection: ArrowConnection,
    snapshot: str | None,
    read: Callable[[ArrowConnection, int, Callable[[], bool]], T],
    count: int,
) -> Generator[T]:
    """What `read(connection, number, is_over)` gives of each part, in their order.

    A second connection reads along where there is one; what it leaves undone, the first does.

    Args:
        connection: in a transaction that is frozen.
        snapshot: as this has exported it; None where it cannot, on a read replica.
        read: whole parts; once `is_over()` nobody waits for them any more.
    """
    desk: _Desk[T] = _Desk(count)

    def help_along() -> None:
        from adbc_driver_postgresql.dbapi import Error

        try:
            with database.arrow_beside(identity, str(snapshot)) as second:
                if second is not None:
                    desk.work(lambda number: read(second, number, desk.is_over), is_helping=True)
        except Error as error:
            _log.debug("one connection reads on alone: %s", error)

    helper = threading.Thread(target=help_along, daemon=True, name="media-toolkit-parts")
    if snapshot is not None:
        helper.start()
    with ThreadPoolExecutor(1) as pool:
        try:
            lead = pool.submit(desk.work, lambda number: read(connection, number, desk.is_over))
            yield from desk
            lead.result()
        finally:
            desk.end()
            # One that waits for its connection yet, behind a pooler for minutes, ends by itself.
            if desk.is_helped:
                helper.join()


class _Desk(Generic[T]):
    """Gives parts out to those who read them, and what they read in order to one who takes it.

    Attributes:
        is_helped: whether who helps has begun to.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._left = list(range(count))
        self._found: dict[int, T] = {}
        self._helping = self._is_over = self.is_helped = False
        self._news = threading.Condition()

    def is_over(self) -> bool:
        """Whether nothing more is wanted."""
        return self._is_over

    def end(self) -> None:
        """Want nothing more."""
        with self._news:
            self._is_over = True
            self._news.notify_all()

    def work(self, read: Callable[[int], T], is_helping: bool = False) -> None:
        """Read parts until none is left; who does not help stays until all are read."""
        while (number := self._take(is_helping)) is not None:
            is_read = False
            try:
                found = read(number)
                is_read = True
            finally:
                with self._news:
                    if is_read:
                        self._found[number] = found
                    else:
                        insort(self._left, number)
                        self._is_over |= not is_helping
                    if is_helping:
                        self._helping = False
                    self._news.notify_all()

    def _take(self, is_helping: bool) -> int | None:
        with self._news:
            while not self._is_over:
                if self._left:
                    self._helping |= is_helping
                    self.is_helped |= is_helping
                    # From opposite ends: what each of Postgres' processes has read once, the
                    # memory of which it knows, it reads again the next time.
                    return self._left.pop(-1 if is_helping else 0)
                if is_helping or not self._helping:
                    return None
                self._news.wait()
        return None

    def __iter__(self) -> Iterator[T]:
        for number in range(self._count):
            with self._news:
                while not self._is_over and number not in self._found:
                    self._news.wait()
                if number not in self._found:
                    return
                found = self._found.pop(number)
            yield found
