"""The Admin API's budget: how many calls there are, and when there will be more.

Uploads are not limited; Admin calls (listing, search, details) are: 500 an hour on a free plan,
2,000 on a paid one, and each page counts. https://cloudinary.com/documentation/admin_api#usage_limits
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from media_toolkit.errors import BudgetSpent, RateLimited

# Of an hour's calls that the account has, this part is left to everybody else.
RESERVE = 0.05
_TRY_AGAIN = re.compile(r"Try again on (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC")


class AdminBudget:
    """A stated number of Admin calls, which stops before the account's own limit is met.

    Threads may share it.

    Args:
        calls: at most this many; retries count as well.
        wait_s: how long to wait at most, at each 420 or 429, for the limit to be reset;
            0 stops instead.

    Attributes:
        spent: calls made so far.
        limit, remaining, resets_at: the account's, as Cloudinary last told; None before that.
    """

    def __init__(self, calls: int, wait_s: float = 0) -> None:
        self.calls = calls
        self.wait_s = wait_s
        self.spent = 0
        self.limit: int | None = None
        self.remaining: int | None = None
        self.resets_at: datetime | None = None
        self._guard = threading.Lock()

    @property
    def left(self) -> int:
        """How many calls may still be made."""
        own = max(0, self.calls - self.spent)
        if self.remaining is None or self.limit is None or self._was_reset():
            return own
        return min(own, max(0, self.remaining - int(self.limit * RESERVE)))

    def take(self) -> None:
        """Count one call that is about to be made.

        Raises:
            BudgetSpent: instead of a call too many; `retry_after_s` where waiting helps.
        """
        with self._guard:
            if self.left > 0:
                self.spent += 1
                return
            if self.spent >= self.calls:
                raise BudgetSpent(
                    f"the budget of {calls_in_words(self.calls)} is spent",
                    hint="run it again to go on, or state a larger budget"
                    if self.calls
                    else "0 only estimates: state a budget to go on",
                )
            raise BudgetSpent(
                f"{self.remaining} of the account's {self.limit} Admin calls are left, which "
                "are kept for others",
                hint=f"the limit is reset at {self.resets_at:%Y-%m-%d %H:%M:%S} UTC"
                if self.resets_at
                else "wait an hour",
                retry_after_s=seconds_until(self.resets_at),
            )

    def note(self, headers: Mapping[str, str]) -> None:
        """Read what an answer's X-FeatureRateLimit headers tell of the account."""
        with self._guard:
            self.limit = _number(headers.get("X-FeatureRateLimit-Limit"), self.limit)
            self.remaining = _number(headers.get("X-FeatureRateLimit-Remaining"), self.remaining)
            self.resets_at = reset_time(headers) or self.resets_at

    def wait(self, error: RateLimited) -> None:
        """Wait until the limit that was met is reset, where that is soon enough.

        Raises:
            RateLimited: the same error, when it is not.
        """
        pause = error.retry_after_s
        if pause is None or pause > self.wait_s:
            raise error
        time.sleep(pause)

    def __str__(self) -> str:
        text = f"{self.spent:,} of {self.calls:,} Admin calls"
        if self.remaining is not None and self.limit is not None:
            text += f"; the account has {self.remaining:,} of {self.limit:,} left this hour"
        return text

    def _was_reset(self) -> bool:
        return self.resets_at is not None and self.resets_at <= datetime.now(UTC)


def reset_time(headers: Mapping[str, str], message: str = "") -> datetime | None:
    """When the limit is reset: of the header, else of the error's words; None when unsaid."""
    try:
        return parsedate_to_datetime(headers.get("X-FeatureRateLimit-Reset", "")).astimezone(UTC)
    except ValueError:
        pass
    if found := _TRY_AGAIN.search(message):
        return datetime.fromisoformat(found.group(1)).replace(tzinfo=UTC)
    return None


def seconds_until(moment: datetime | None) -> float | None:
    """Seconds from now, never below 1; None for None."""
    if moment is None:
        return None
    return max(1.0, (moment - datetime.now(UTC)).total_seconds())


def calls_in_words(number: int) -> str:
    """1 → "1 Admin call", 1200 → "1,200 Admin calls"."""
    return f"{number:,} Admin call{'' if number == 1 else 's'}"


def _number(text: str | None, otherwise: int | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else otherwise
