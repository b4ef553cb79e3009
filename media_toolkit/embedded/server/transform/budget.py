"""What a chain may cost, counted while it is painted and, where its text tells, before."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from .geometry import MAX_PIXELS, MAX_SIDE, Size, rounded
from .parse import Component, LayerStep, TransformationError
from .values import Effect, Length

MAX_WORK_PIXELS = 400_000_000
MAX_SECONDS = 60.0

_TOO_COMPLEX = "Transformation is too complex: it takes too long"
# Modes in which two sides in pixels are the size of the result, whatever is resized.
_EXACT_MODES = frozenset({None, "scale", "fill", "pad"})
# The parameters whose painters each go over the resized picture once more.
_REPAINTING = (("l", "u"), ("e",), ("r", "bo"), ("o",))


@dataclass
class Budget:
    """What a chain may still cost: pixels painted, and time. TransformationError past it."""

    pixels: int = MAX_WORK_PIXELS
    deadline: float = field(default_factory=lambda: time.monotonic() + MAX_SECONDS)

    def spend(self, size: Size) -> None:
        """Count one more picture of that size."""
        if max(size) > MAX_SIDE or size[0] * size[1] > MAX_PIXELS:
            raise TransformationError(f"Requested image is too large: {size[0]}x{size[1]}")
        self.pixels -= size[0] * size[1]
        if self.pixels < 0 or time.monotonic() > self.deadline:
            raise TransformationError(_TOO_COMPLEX)

    def foresee(self, components: tuple[Component, ...], dpr: float) -> None:
        """Refuse a chain that is sure to cost more than is left, before any of it is painted."""
        if least_work(components, dpr) > self.pixels:
            raise TransformationError(_TOO_COMPLEX)


def least_work(components: tuple[Component, ...], dpr: float) -> int:
    """The pixels that a chain paints at least, whatever the picture; never more than it does."""
    work = area = 0
    for component in components:
        values = component.values
        effect: Effect | None = component.get("e")
        if effect is not None and effect.name == "trim":
            area = 0
        if component.resizes and {"w", "h", "ar", "c"} & values.keys():
            area = _exact_area(component, dpr)
            work += area
        for key in ("l", "u"):
            step: LayerStep | None = component.get(key)
            if step is not None:
                work += least_work(step.components, dpr)
        if "u" in values:
            area = 0
        work += area * sum(any(key in values for key in keys) for keys in _REPAINTING)
        if "a" in values:
            area = 0
    return work


def _exact_area(component: Component, dpr: float) -> int:
    """The area after a resize that gives it in pixels; 0 when the picture has a say in it."""
    width: Length | None = component.get("w")
    height: Length | None = component.get("h")
    if component.get("c") not in _EXACT_MODES or width is None or height is None:
        return 0
    if any(side.fraction or side.of_original is not None for side in (width, height)):
        return 0
    sides = rounded(width.value * dpr), rounded(height.value * dpr)
    # Too large a picture is refused by its size, where it is painted.
    if max(sides) > MAX_SIDE or sides[0] * sides[1] > MAX_PIXELS:
        return 0
    return sides[0] * sides[1]
