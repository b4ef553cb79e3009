"""ADBC connections that are used again: a new one has all of a large table to map anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import sqlalchemy as sa

from media_toolkit.store.idle import IdleWatch

if TYPE_CHECKING:
    from adbc_driver_postgresql.dbapi import Connection as ArrowConnection

_KEPT = 2


class ArrowPool:
    """Keeps two connections that lie idle, and gives out as many as are asked for.

    SQLAlchemy's pool takes any DBAPI connection, and ADBC's own recipe for pooling is this one:
    https://arrow.apache.org/adbc/current/python/recipe/postgresql.html

    Args:
        connect: a new connection, in autocommit.
        max_idle_s: after so long unused they are closed.
    """

    def __init__(self, connect: Callable[[], ArrowConnection], max_idle_s: float) -> None:
        # ADBC opens the next transaction with each rollback; a pooler would hold a connection
        # of the server for it as long as ours lies here.
        self._pool = sa.QueuePool(
            connect,
            pool_size=_KEPT,
            max_overflow=-1,
            recycle=int(max_idle_s),
            reset_on_return=None,
        )
        self._idle = IdleWatch(lambda: self._pool, self.dispose, self._pool, max_idle_s)

    @contextmanager
    def lend(self) -> Iterator[ArrowConnection]:
        """One connection in a transaction, which ends with the block.

        After an error no connection is used again: what ended one has likely ended the others.
        """
        held = self._pool.connect()
        try:
            connection = cast("ArrowConnection", held.driver_connection)
            connection.adbc_connection.set_autocommit(False)
            yield connection
            connection.adbc_connection.set_autocommit(True)
        except BaseException:
            held.invalidate()
            self._pool.dispose()
            raise
        held.close()

    def forget(self) -> None:
        """In a forked process: what was lent then stays the parent's, and is never closed here."""
        self._pool = self._pool.recreate()
        self._idle.forget()

    def close(self) -> None:
        """Close what lies idle; the object can be used again."""
        self._idle.stop()
        self.dispose()

    def dispose(self) -> None:
        """Close what lies idle, and leave the timer: its lock may be held where memory is freed."""
        self._pool.dispose()
