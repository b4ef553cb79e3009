"""Sizes and rectangles of every crop mode, in whole pixels; no pixel is touched here.

Crop modes: https://cloudinary.com/documentation/image_resize_modes, image_crop_modes and
image_padding_modes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .parse import Component, TransformationError
from .values import Gravity, Length

MAX_SIDE = 25_000
MAX_PIXELS = 50_000_000

Size = tuple[int, int]
Box = tuple[float, float, float, float]
# Given the size of a window, finds the best place for it as (left, top) in source pixels.
Finder = Callable[[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Plan:
    """Cut `box` out of the source, resize it to `size`, put it at `offset` on a `canvas`."""

    box: Box
    size: Size
    canvas: Size
    offset: tuple[int, int] = (0, 0)

    @property
    def pads(self) -> bool:
        """Whether the canvas is larger than the picture on it."""
        return self.canvas != self.size


def plan_resize(
    component: Component,
    source: Size,
    original: Size,
    dpr: float = 1.0,
    find: Finder | None = None,
) -> Plan | None:
    """What a component does to a picture of size `source` (width, height), None for nothing.

    `original` is the size that `iw` and `ih` stand for; `dpr` multiplies lengths in pixels;
    `find` places a window for automatic gravity. Raises TransformationError when the result
    would be too large.
    """
    component = _scaled(component, dpr)
    mode = component.get("c")
    width, height = _wanted(component, source, original)
    if width is None and height is None:
        return None
    _check(width or 1, height or 1)
    plan = _MODES[mode or "scale"](component, source, width, height, find)
    _check(*plan.canvas)
    return plan


def _scaled(component: Component, dpr: float) -> Component:
    if dpr == 1.0:
        return component
    values = dict(component.values)
    for key in ("w", "h", "x", "y"):
        length = values.get(key)
        if length is not None and not length.fraction:
            values[key] = Length(length.value * dpr)
    return Component(values)


def _check(width: int, height: int) -> None:
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise TransformationError(
            f"Requested image is too large: {width}x{height}, at most {MAX_SIDE} pixels a side "
            f"and {MAX_PIXELS // 1_000_000} Megapixels"
        )


def rounded(value: float) -> int:
    """To whole pixels, halves up, at least one."""
    return max(1, int(value + 0.5))


def _wanted(component: Component, source: Size, original: Size) -> tuple[int | None, int | None]:
    width = _pixels(component.get("w"), source[0], original)
    height = _pixels(component.get("h"), source[1], original)
    ratio = component.get("ar")
    if ratio is None or (width is not None and height is not None):
        return (
            None if width is None else rounded(width),
            None if height is None else rounded(height),
        )
    if width is not None:
        return rounded(width), rounded(width / ratio)
    if height is not None:
        return rounded(height * ratio), rounded(height)
    if source[0] / source[1] > ratio:
        return rounded(source[1] * ratio), source[1]
    return source[0], rounded(source[0] / ratio)


def _pixels(length: Length | None, side: int, original: Size) -> float | None:
    if length is None:
        return None
    if length.of_original is not None:
        return original[0 if length.of_original == "iw" else 1]
    return side * length.value if length.fraction else length.value


def _full(source: Size) -> Box:
    return (0.0, 0.0, float(source[0]), float(source[1]))


def _scale(
    component: Component, source: Size, width: int | None, height: int | None, find: Finder | None
) -> Plan:
    size = _complete(source, width, height)
    return Plan(_full(source), size, size)


def _complete(source: Size, width: int | None, height: int | None) -> Size:
    """Both sides, a missing one by the source's aspect ratio."""
    if width is None:
        assert height is not None
        return rounded(height * source[0] / source[1]), height
    return width, rounded(width * source[1] / source[0]) if height is None else height


def _fitted(source: Size, width: int | None, height: int | None) -> Size:
    """The largest size of the source's shape that fits in."""
    factors = [
        wanted / side
        for wanted, side in zip((width, height), source, strict=True)
        if wanted is not None
    ]
    factor = min(factors)
    return rounded(source[0] * factor), rounded(source[1] * factor)


def _is_within(source: Size, width: int | None, height: int | None) -> bool:
    return (width is None or source[0] <= width) and (height is None or source[1] <= height)


def _fit(
    component: Component, source: Size, width: int | None, height: int | None, find: Finder | None
) -> Plan:
    size = _fitted(source, width, height)
    if component.get("c") in ("limit", "lpad") and _is_within(source, width, height):
        size = source
    if component.get("c") == "mfit" and not _is_within(source, width, height):
        size = source
    if component.get("c") == "mpad":
        size = source
    return Plan(_full(source), size, size)


def _pad(
    component: Component, source: Size, width: int | None, height: int | None, find: Finder | None
) -> Plan:
    fitted = _fit(component, source, width, height, find)
    canvas = _complete(source, width, height)
    if component.get("c") == "mpad":
        canvas = (max(canvas[0], fitted.size[0]), max(canvas[1], fitted.size[1]))
    left, top = _place(component, canvas, fitted.size)
    return Plan(fitted.box, fitted.size, canvas, (int(left), int(top)))


def _place(component: Component, outer: Size, inner: Size) -> tuple[float, float]:
    """Where `inner` lies in `outer` by gravity, moved by x and y towards the middle."""
    gravity = component.get("g") or Gravity()
    x, y = _offsets(component, outer)
    left = (outer[0] - inner[0]) * gravity.x + (-x if gravity.x == 1.0 else x)
    top = (outer[1] - inner[1]) * gravity.y + (-y if gravity.y == 1.0 else y)
    return left, top


def _offsets(component: Component, frame: Size) -> tuple[float, float]:
    x: Length = component.get("x") or Length(0.0)
    y: Length = component.get("y") or Length(0.0)
    return (
        x.value * (frame[0] if x.fraction else 1.0),
        y.value * (frame[1] if y.fraction else 1.0),
    )


def _fill(
    component: Component, source: Size, width: int | None, height: int | None, find: Finder | None
) -> Plan:
    size = _complete(source, width, height)
    if component.get("c") == "lfill":
        size = _limit_fill(source, size)
    factor = max(size[0] / source[0], size[1] / source[1])
    zoom = component.get("z", 1.0) if component.get("c") in ("thumb", "auto") else 1.0
    window = (
        min(source[0], size[0] / factor / max(zoom, 1.0)),
        min(source[1], size[1] / factor / max(zoom, 1.0)),
    )
    return Plan(_window(component, source, window, factor, find), size, size)


def _limit_fill(source: Size, size: Size) -> Size:
    """The size of a fill that never enlarges: what is missing is cut from the result."""
    return min(size[0], source[0]), min(size[1], source[1])


def _window(
    component: Component,
    source: Size,
    window: tuple[float, float],
    factor: float,
    find: Finder | None,
) -> Box:
    """A window of that size placed in the source by gravity, kept inside it."""
    gravity: Gravity = component.get("g") or Gravity(auto=component.get("c") == "auto")
    if gravity.auto and find is not None:
        left, top = find(*window)
    else:
        x, y = _offsets(component, source)
        left = (source[0] - window[0]) * gravity.x + (-x if gravity.x == 1.0 else x) / factor
        top = (source[1] - window[1]) * gravity.y + (-y if gravity.y == 1.0 else y) / factor
    left = min(max(left, 0.0), source[0] - window[0])
    top = min(max(top, 0.0), source[1] - window[1])
    return (left, top, left + window[0], top + window[1])


def _crop(
    component: Component, source: Size, width: int | None, height: int | None, find: Finder | None
) -> Plan:
    wanted = _complete(source, width, height)
    size = (min(wanted[0], source[0]), min(wanted[1], source[1]))
    gravity = component.get("g")
    if gravity is None and ("x" in component.values or "y" in component.values):
        gravity = Gravity(0.0, 0.0)
    placed = Component({**component.values, "g": gravity})
    if gravity is not None and gravity.auto and find is not None:
        left, top = find(*size)
    else:
        left, top = _place(placed, source, size)
    left = min(max(int(left), 0), source[0] - 1)
    top = min(max(int(top), 0), source[1] - 1)
    size = (min(size[0], source[0] - left), min(size[1], source[1] - top))
    return Plan((left, top, left + size[0], top + size[1]), size, size)


_MODES: dict[str, Callable[[Component, Size, int | None, int | None, Finder | None], Plan]] = {
    "scale": _scale,
    "fit": _fit,
    "limit": _fit,
    "mfit": _fit,
    "fill": _fill,
    "lfill": _fill,
    "thumb": _fill,
    "auto": _fill,
    "pad": _pad,
    "lpad": _pad,
    "mpad": _pad,
    "crop": _crop,
}
