"""Connections that nobody uses are given up before Neon, which sleeps, ends them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.util.queue import Empty

# So soon a thread sees that it was let go.
_LOOKS_EACH_S = 1.0


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

    It asks Postgres nothing: a query, however small, would keep Neon awake. A thread runs only
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
        self._over: threading.Event | None = None
        sa.event.listen(source, "checkin", self._on_checkin)

    def stop(self) -> None:
        """End the thread; the next use of the pool starts one again."""
        with self._guard:
            if self._over is not None:
                self._over.set()
            self._over = None

    def let_go(self) -> None:
        """Have the thread end by itself. No lock: one may be held where memory is freed."""
        self._over = None

    def forget(self) -> None:
        """In a forked process: its parent's thread and lock are not there."""
        self._guard, self._over = threading.Lock(), None

    def _on_checkin(self, *_: Any) -> None:
        with self._guard:
            self._last_used = time.monotonic()
            if self._over is None:
                self._over = threading.Event()
                threading.Thread(
                    target=self._watch, args=[self._over], name="media-toolkit-idle", daemon=True
                ).start()

    def _watch(self, over: threading.Event) -> None:
        while not over.wait(min(_LOOKS_EACH_S, self._max_idle_s)):
            with self._guard:
                if self._over is not over:
                    return
                if time.monotonic() < self._last_used + self._max_idle_s:
                    continue
                self._over = None
                # Whoever uses one keeps Neon awake, and comes back to `_on_checkin`.
                if self._pool().checkedout() <= 0:  # type: ignore[attr-defined]
                    self._close()
                return
