"""Connections that nobody uses are given up before Neon, which sleeps, ends them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.util.queue import Empty


class IdlePool(sa.QueuePool):
    """A pool of which what lies idle can be closed while others are in use."""

    def close_idle(self) -> None:
        """Close what lies in it. `dispose` would forget how many are lent, and lend more."""
        while True:
            try:
                record = self._pool.get(block=False)
            except Empty:
                return
            record.close()
            self._dec_overflow()


class IdleWatch:
    """Closes a pool's connections once none of them has been used for a while.

    It asks Postgres nothing: a query, however small, would keep Neon awake. A timer runs only
    while there is something to close.

    Args:
        pool: the pool as it is now. close: closes what lies in it.
        source: whose `checkin` events tell of use, the engine or the pool.
    """

    def __init__(
        self,
        pool: Callable[[], sa.Pool],
        close: Callable[[], None],
        source: sa.Engine | sa.Pool,
        max_idle_s: float,
    ) -> None:
        self._pool, self._close = pool, close
        self._max_idle_s = max_idle_s
        self._guard = threading.Lock()
        self._last_used = time.monotonic()
        self._timer: threading.Timer | None = None
        sa.event.listen(source, "checkin", self._on_checkin)

    def stop(self) -> None:
        """End the timer; the next use of the pool starts one again."""
        with self._guard:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None

    def forget(self) -> None:
        """In a forked process: its parent's timer and lock are not there."""
        self._guard, self._timer = threading.Lock(), None

    def _on_checkin(self, *_: Any) -> None:
        with self._guard:
            self._last_used = time.monotonic()
            if self._timer is None:
                self._start(self._max_idle_s)

    def _start(self, after_s: float) -> None:
        self._timer = threading.Timer(after_s, self._look)
        self._timer.daemon = True
        self._timer.start()

    def _look(self) -> None:
        with self._guard:
            if self._timer is not threading.current_thread():
                return
            left = self._last_used + self._max_idle_s - time.monotonic()
            if left > 0:
                self._start(left)
                return
            self._timer = None
            # Whoever uses one keeps Neon awake, and comes back to `_on_checkin`.
            if self._pool().checkedout() <= 0:  # type: ignore[attr-defined]
                self._close()
