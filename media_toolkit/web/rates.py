"""How often one caller may ask: a token bucket for each user and kind of call, in memory."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from media_toolkit.errors import TooManyRequests

_MAX_KEPT = 10_000


@dataclass(slots=True)
class _Bucket:
    left: float
    filled_at: float


class RateLimit:
    """So many calls a minute, of which all may come at once. Threads may share it."""

    def __init__(self, per_minute: int) -> None:
        self._size = float(per_minute)
        self._per_second = per_minute / 60
        self._buckets: dict[str, _Bucket] = {}
        self._guard = threading.Lock()

    def take(self, key: str) -> None:
        """Count one call.

        Raises:
            TooManyRequests: with the seconds until the next one is allowed.
        """
        with self._guard:
            now = time.monotonic()
            bucket = self._buckets.get(key)
            if bucket is None:
                self._make_room(now)
                bucket = self._buckets[key] = _Bucket(self._size, now)
            bucket.left = min(self._size, bucket.left + (now - bucket.filled_at) * self._per_second)
            bucket.filled_at = now
            if bucket.left >= 1:
                bucket.left -= 1
                return
            wait = (1 - bucket.left) / self._per_second
        raise TooManyRequests(
            f"more than {self._size:.0f} calls in a minute",
            hint="wait as long as Retry-After says; MEDIA_TOOLKIT_RATE_LIMIT sets the limit",
            retry_after_s=wait,
        )

    def _make_room(self, now: float) -> None:
        """Forget buckets that are full again, so that many callers do not fill the memory."""
        if len(self._buckets) < _MAX_KEPT:
            return
        full_after = self._size / self._per_second
        self._buckets = {
            key: bucket
            for key, bucket in self._buckets.items()
            if now - bucket.filled_at < full_after
        }
