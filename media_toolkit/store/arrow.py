"""ADBC connections that are used again: a new one has all of a large table to map anew."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import sqlalchemy as sa

from media_toolkit.connection_string import with_defaults
from media_toolkit.store.idle import IdlePool, IdleWatch

if TYPE_CHECKING:
    from adbc_driver_postgresql.dbapi import Connection as ArrowConnection

_KEPT = 2
# More read no faster, and every one is a connection that other processes have not.
_AT_ONCE = 8
# A read of millions of rows takes its time; who asks for one has some.
_WAIT_S = 30.0


class ArrowPool:
    """Gives out eight connections at once, one more beside them, and keeps two that lie idle.

    Who asks for more waits for 30 s, then `sqlalchemy.exc.TimeoutError` says that all are busy.

    SQLAlchemy's pool takes any DBAPI connection, and ADBC's own recipe for pooling is this one:
    https://arrow.apache.org/adbc/current/python/recipe/postgresql.html

    Args:
        url: the connection string.
        max_idle_s: after so long unused they are closed.
    """

    def __init__(self, url: str, max_idle_s: float) -> None:
        self._url = url
        self._free = threading.BoundedSemaphore(_AT_ONCE)
        self._beside = threading.Lock()
        # ADBC opens the next transaction with each rollback; a pooler would hold a connection
        # of the server for it as long as ours lies here.
        self._pool = IdlePool(
            lambda: connect_arrow(url, autocommit=True),
            pool_size=_KEPT,
            max_overflow=-1,
            recycle=int(max_idle_s),
            reset_on_return=None,
        )
        self._idle = IdleWatch(lambda: self._pool, self.close_idle, self._pool, max_idle_s)

    @contextmanager
    def lend(self) -> Iterator[ArrowConnection]:
        """One connection in a transaction, which ends with the block.

        After an error no connection is used again: what ended one has likely ended the others.
        """
        with self._slot(), self._lent() as connection:
            yield connection

    @contextmanager
    def lend_beside(self) -> Iterator[ArrowConnection | None]:
        """A second one for who has one already, as `lend`; None at once while it is lent.

        One only: of several reads each has Postgres' other processes busy itself.
        """
        beside = self._beside
        if not beside.acquire(blocking=False):
            yield None
            return
        try:
            with self._lent() as connection:
                yield connection
        finally:
            beside.release()

    @contextmanager
    def fresh(self) -> Iterator[ArrowConnection]:
        """A new connection in a transaction; it is closed with the block."""
        with self._slot(), connect_arrow(self._url) as connection:
            yield connection

    @contextmanager
    def _lent(self) -> Iterator[ArrowConnection]:
        held = self._pool.connect()
        try:
            connection = cast("ArrowConnection", held.driver_connection)
            connection.adbc_connection.set_autocommit(False)
            yield connection
            connection.adbc_connection.set_autocommit(True)
        except BaseException:
            held.invalidate()
            self.close_idle()
            raise
        held.close()

    @contextmanager
    def _slot(self) -> Iterator[None]:
        free = self._free
        if not free.acquire(timeout=_WAIT_S):
            raise sa.exc.TimeoutError(f"{_AT_ONCE} reads are under way")
        try:
            yield
        finally:
            free.release()

    def close_idle(self) -> None:
        """Close what lies idle now."""
        self._pool.close_idle()

    def forget(self) -> None:
        """In a forked process: what was lent then stays the parent's, and is never closed here."""
        self._pool = cast("IdlePool", self._pool.recreate())
        self._free = threading.BoundedSemaphore(_AT_ONCE)
        self._beside = threading.Lock()
        self._idle.forget()

    def close(self) -> None:
        """Close what lies idle; the object can be used again."""
        self._idle.stop()
        self._pool.dispose()

    def dispose(self) -> None:
        """Close what lies idle; for where memory is freed."""
        self._idle.let_go()
        self._pool.dispose()


def connect_arrow(url: str, autocommit: bool = False) -> ArrowConnection:
    """A new connection."""
    # 0.6 s to import, so only where Arrow is asked for.
    from adbc_driver_postgresql import dbapi

    return dbapi.connect(with_defaults(url), autocommit=autocommit)


def execute(connection: ArrowConnection, statement: str, *values: str) -> None:
    """One statement, whose answer nobody wants."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        cursor.fetchall()
