"""What a chain may cost: compared with what is foreseen, and counted while it is painted."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from .geometry import MAX_PIXELS, MAX_SIDE, Size
from .parse import TransformationError

MAX_WORK_PIXELS = 400_000_000
MAX_SECONDS = 60.0
MAX_TURNED_SIDE = 3000
# Pictures that a turn by other than a quarter costs.
TURN_COST = 2

_TOO_COMPLEX = "Transformation is too complex: it takes too long"


@dataclass
class Budget:
    """What a chain may still cost: pixels painted, and time. TransformationError past it."""

    pixels: int = MAX_WORK_PIXELS
    frames: int = 1
    deadline: float = field(default_factory=lambda: time.monotonic() + MAX_SECONDS)

    def spend(self, size: Size) -> None:
        """Count one more picture of that size."""
        check_size(size)
        self.pixels -= size[0] * size[1]
        if self.pixels < 0 or time.monotonic() > self.deadline:
            raise TransformationError(_TOO_COMPLEX)

    def foresee(self, work: int) -> None:
        """Refuse a chain that is going to cost more than is left, before any of it is painted.

        `work` is that of the next of `frames` pictures to which the same chain is applied.
        """
        if work * self.frames > self.pixels:
            raise TransformationError(_TOO_COMPLEX)
        self.frames = max(1, self.frames - 1)


def check_size(size: Size) -> None:
    """TransformationError for a picture that is too large, also in between."""
    if max(size) > MAX_SIDE or size[0] * size[1] > MAX_PIXELS:
        raise TransformationError(f"Requested image is too large: {size[0]}x{size[1]}")
