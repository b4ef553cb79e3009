"""Work that goes on after its request was answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

MAX_JOBS = 1000
_log = logging.getLogger(__name__)


class Background:
    """Jobs of the event loop; all are finished before the server ends."""

    def __init__(self) -> None:
        self._jobs: set[asyncio.Task[None]] = set()

    @property
    def is_full(self) -> bool:
        """Whether no further job should be taken on."""
        return len(self._jobs) >= MAX_JOBS

    def start(self, job: Coroutine[Any, Any, None]) -> None:
        """Run a job; an error that it lets out is logged."""
        task = asyncio.get_running_loop().create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._done)

    async def finish(self) -> None:
        """Wait until no job is left."""
        while self._jobs:
            await asyncio.gather(*self._jobs, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._jobs.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a job in the background failed", exc_info=error)
