"""Together: calls of several threads, done by one of them for all that came meanwhile.

A commit waits for the disk, and a request for its turn: what many callers want at the same moment
costs little more than what one wants. A caller alone waits for nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from media_toolkit import forks
from media_toolkit.errors import StoreError, Unavailable

T = TypeVar("T")
R = TypeVar("R")


@dataclass(slots=True)
class _Ticket(Generic[T, R]):
    item: T
    result: R | None = None
    failure: Unavailable | None = None
    is_done: bool = field(default=False)


class Together(Generic[T, R]):
    """Does `work` for many items at once, `most` at a time.

    Args:
        work: items → as many results, none of them None.
    """

    def __init__(self, work: Callable[[Sequence[T]], Sequence[R]], most: int) -> None:
        self._work = work
        self._most = most
        self.forget()
        forks.watch(self)

    def close(self) -> None:
        """Nothing lies idle here."""

    def forget(self) -> None:
        """In a forked process: whoever holds a lock or waits is in the parent."""
        self._waiting: list[_Ticket[T, R]] = []
        self._guard = threading.Lock()
        self._turn = threading.Lock()

    def do(self, item: T) -> R:
        """The result of `work` for this item.

        Raises:
            StoreError: another thread's turn, this item in it, ended in an error.
            whatever `work` raises, in the thread whose turn it is.
        """
        ticket: _Ticket[T, R] = _Ticket(item)
        with self._guard:
            self._waiting.append(ticket)
        with self._turn:
            while not ticket.is_done:
                with self._guard:
                    batch = self._waiting[: self._most]
                    del self._waiting[: self._most]
                self._finish(batch)
        if ticket.failure is not None:
            said = ticket.failure
            raise Unavailable(said.message, hint=said.hint, retry_after_s=said.retry_after_s)
        if ticket.result is None:
            raise StoreError("a call that others waited for failed", hint="try it again")
        return ticket.result

    def _finish(self, batch: Sequence[_Ticket[T, R]]) -> None:
        try:
            results = self._work([one.item for one in batch])
            for one, result in zip(batch, results, strict=True):
                one.result = result
        except Unavailable as error:
            # Postgres was waited for: who waited along need not wait as long again.
            with self._guard:
                waited, self._waiting = self._waiting, []
            for one in (*batch, *waited):
                one.failure, one.is_done = error, True
            raise
        finally:
            for one in batch:
                one.is_done = True
