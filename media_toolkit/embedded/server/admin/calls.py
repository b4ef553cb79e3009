"""Who may call the Admin API, and how often: its credentials and its rate limit headers."""

from __future__ import annotations

import time
from email.utils import formatdate

from starlette.requests import Request

from ..config import ServerConfig
from ..protocol.authentication import check_basic

HOURLY_LIMIT = 500_000


class AdminCalls:
    """Counts the calls of an hour; the limit is high and not enforced."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._calls = 0
        self._hour = 0

    def check(self, request: Request) -> None:
        """Refuse a call without the right credentials (ApiError 401), and count it."""
        check_basic(request.headers.get("authorization"), self._config)
        hour = int(time.time()) // 3600
        self._calls = self._calls + 1 if hour == self._hour else 1
        self._hour = hour

    def headers(self) -> dict[str, str]:
        """Cloudinary's rate limit headers."""
        return {
            "X-FeatureRateLimit-Limit": str(HOURLY_LIMIT),
            "X-FeatureRateLimit-Remaining": str(max(0, HOURLY_LIMIT - self._calls)),
            "X-FeatureRateLimit-Reset": formatdate((self._hour + 1) * 3600, usegmt=True),
        }
