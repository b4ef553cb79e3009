"""The connections to a SQLite file: one that writes, under a lock, and any number that read.

WAL with `synchronous=FULL`: a commit is on disk when `writing` returns.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Connections:
    """Connections to the file `path`; `close` ends every one that was opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._write_lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._writer = self._open()
        self._writer.execute("pragma journal_mode=wal")

    def close(self) -> None:
        """Close all connections; the records stay."""
        while self._idle:
            self._idle.pop().close()
        self._writer.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._write_lock:
            self._writer.execute("begin immediate")
            try:
                yield self._writer
                self._writer.execute("commit")
            except BaseException:
                self._writer.execute("rollback")
                raise

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._open()
        try:
            yield connection
        finally:
            self._idle.append(connection)

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=30, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = sqlite3.Row
        connection.execute("pragma synchronous=full")
        connection.execute("pragma foreign_keys=on")
        # A new folder makes its parent, which makes its own.
        connection.execute("pragma recursive_triggers=on")
        return connection
