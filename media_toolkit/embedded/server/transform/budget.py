"""What a chain may cost, counted while it is painted and, where its text tells, before."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from .geometry import MAX_PIXELS, MAX_SIDE, Size, rounded
from .parse import Component, LayerStep, TransformationError
from .values import Effect, Length, Rotation

MAX_WORK_PIXELS = 400_000_000
MAX_SECONDS = 60.0
MAX_TURNED_SIDE = 3000
# Pictures that a turn by other than a quarter costs.
TURN_COST = 2

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

    def foresee(self, components: tuple[Component, ...], dpr: float, size: Size) -> None:
        """Refuse a chain that is sure to cost more than is left, before any of it is painted."""
        if least_work(components, dpr, size) > self.pixels:
            raise TransformationError(_TOO_COMPLEX)


def least_work(components: tuple[Component, ...], dpr: float, size: Size | None) -> int:
    """The pixels that a chain paints at least on a picture of `size`, None when not known.

    Only what the text alone decides is counted; turns are exact to the rounding of a pixel.
    """
    work, grows = 0, False
    for component in components:
        values = component.values
        effect: Effect | None = component.get("e")
        if effect is not None and effect.name == "trim":
            size = None
        if component.resizes and {"w", "h", "ar", "c"} & values.keys():
            size, grows = _exact_size(component, dpr), False
            work += _area(size)
        for key in ("l", "u"):
            step: LayerStep | None = component.get(key)
            if step is not None:
                work += least_work(step.components, dpr, None)
        if "u" in values:
            size = None
        work += _area(size) * sum(any(key in values for key in keys) for keys in _REPAINTING)
        # A picture of another shape may be reduced more before it is turned.
        grows = grows or bool({"l", "bo"} & values.keys())
        rotation: Rotation | None = component.get("a")
        if rotation is not None and rotation.steps and grows:
            size = None
        for degrees in rotation.steps if rotation is not None else ():
            if size is not None and isinstance(degrees, float) and degrees:
                size = turned_size(size, degrees)
                work += TURN_COST * _area(size) if degrees % 90 else 0
    return work


def turned_size(size: Size, degrees: float) -> Size:
    """The least size of a picture that is first reduced to `MAX_TURNED_SIDE` and then turned."""
    factor = min(1.0, MAX_TURNED_SIDE / max(size))
    angle = math.radians(degrees)
    across, down = abs(math.cos(angle)) * factor, abs(math.sin(angle)) * factor
    return (
        max(1, int(size[0] * across + size[1] * down)),
        max(1, int(size[0] * down + size[1] * across)),
    )


def _area(size: Size | None) -> int:
    return 0 if size is None else size[0] * size[1]


def _exact_size(component: Component, dpr: float) -> Size | None:
    """The size after a resize that gives it in pixels; None when the picture has a say in it."""
    width: Length | None = component.get("w")
    height: Length | None = component.get("h")
    if component.get("c") not in _EXACT_MODES or width is None or height is None:
        return None
    if any(side.fraction or side.of_original is not None for side in (width, height)):
        return None
    sides = rounded(width.value * dpr), rounded(height.value * dpr)
    # Too large a picture is refused by its size, where it is painted.
    if max(sides) > MAX_SIDE or sides[0] * sides[1] > MAX_PIXELS:
        return None
    return sides
