"""Sizes and rectangles of every crop mode, in whole pixels; no pixel is touched here.

Crop modes: https://cloudinary.com/documentation/image_resize_modes, image_crop_modes and
image_padding_modes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from .parse import Component, TransformationError
from .values import PAD_MODES, Gravity, Length

MAX_SIDE = 25_000
MAX_PIXELS = 50_000_000

Size = tuple[int, int]
Box = tuple[float, float, float, float]
# Given the size of a window, finds the best place for it as (left, top) in source pixels.
Finder = Callable[[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Regions:
    """Coordinates that are stored with a picture, as boxes (left, top, right, bottom)."""

    faces: tuple[Box, ...] = ()
    custom: tuple[Box, ...] = ()

    def named(self, names: tuple[str, ...]) -> Box | None:
        """The first of these regions that there is: `custom`, `face` (the largest), `faces`."""
        for name in names:
            boxes = self.custom if name == "custom" else self.faces
            if boxes and name == "face":
                return max(boxes, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))
            if boxes:
                return (
                    min(box[0] for box in boxes),
                    min(box[1] for box in boxes),
                    max(box[2] for box in boxes),
                    max(box[3] for box in boxes),
                )
        return None

    def moved(self, change: Callable[[Box], Box | None]) -> Regions:
        """The regions where `change` puts them; those that it answers by None are gone."""
        return Regions(
            tuple(box for box in map(change, self.faces) if box is not None),
            tuple(box for box in map(change, self.custom) if box is not None),
        )


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

    def moved(self, box: Box) -> Box | None:
        """Where a region of the source is on the canvas, None when it was cut away."""
        across = self.size[0] / (self.box[2] - self.box[0])
        down = self.size[1] / (self.box[3] - self.box[1])
        left = max((box[0] - self.box[0]) * across, 0.0)
        top = max((box[1] - self.box[1]) * down, 0.0)
        right = min((box[2] - self.box[0]) * across, float(self.size[0]))
        bottom = min((box[3] - self.box[1]) * down, float(self.size[1]))
        if right - left < 1 or bottom - top < 1:
            return None
        x, y = self.offset
        return (left + x, top + y, right + x, bottom + y)


@dataclass(frozen=True)
class _Wanted:
    """What a mode works from: sides in whole pixels, None where none was given."""

    component: Component
    source: Size
    width: int | None
    height: int | None
    find: Finder | None
    region: Box | None

    @property
    def mode(self) -> str:
        mode: str = self.component.get("c", "scale")
        return mode


def plan_resize(
    component: Component,
    source: Size,
    original: Size,
    dpr: float = 1.0,
    find: Finder | None = None,
    regions: Regions | None = None,
) -> Plan | None:
    """What a component does to a picture of size `source` (width, height), None for nothing.

    `original` is the size that `iw` and `ih` stand for; `dpr` multiplies lengths in pixels;
    `find` places a window for automatic gravity; `regions` are those of the picture at hand.
    Raises TransformationError when the result would be too large.
    """
    component = _scaled(component, dpr)
    width, height = _wanted(component, source, original)
    gravity: Gravity | None = component.get("g")
    region = regions.named(gravity.regions) if regions and gravity else None
    if width is None and height is None:
        if component.get("c") not in ("crop", "thumb") or region is None:
            return None
        width, height = _region_size(region, component.get("z", 1.0), source)
    _check(width or 1, height or 1)
    plan = _MODES[component.get("c") or "scale"](
        _Wanted(component, source, width, height, find, region)
    )
    _check(*plan.canvas)
    return plan


def _region_size(region: Box, zoom: float, source: Size) -> Size:
    return (
        min(source[0], rounded((region[2] - region[0]) / zoom)),
        min(source[1], rounded((region[3] - region[1]) / zoom)),
    )


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
    # Padding adds to the shorter side, all else takes from the longer one.
    if (source[0] / source[1] > ratio) != (component.get("c") in PAD_MODES):
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


def _scale(wanted: _Wanted) -> Plan:
    size = _complete(wanted)
    if "ignore_aspect_ratio" in wanted.component.get("fl", ()):
        size = (wanted.width or wanted.source[0], wanted.height or wanted.source[1])
    return Plan(_full(wanted.source), size, size)


def _complete(wanted: _Wanted) -> Size:
    """Both sides, a missing one by the source's aspect ratio."""
    width, height, source = wanted.width, wanted.height, wanted.source
    if width is None:
        assert height is not None
        return rounded(height * source[0] / source[1]), height
    return width, rounded(width * source[1] / source[0]) if height is None else height


def _fitted(wanted: _Wanted) -> Size:
    """The largest size of the source's shape that fits in."""
    sides = zip((wanted.width, wanted.height), wanted.source, strict=True)
    factor = min(given / side for given, side in sides if given is not None)
    return rounded(wanted.source[0] * factor), rounded(wanted.source[1] * factor)


def _is_within(wanted: _Wanted) -> bool:
    width, height = wanted.width, wanted.height
    return (width is None or wanted.source[0] <= width) and (
        height is None or wanted.source[1] <= height
    )


def _fit(wanted: _Wanted) -> Plan:
    size = _fitted(wanted)
    keeps = {
        "limit": _is_within(wanted),
        "lpad": _is_within(wanted),
        "mfit": not _is_within(wanted),
        "mpad": True,
    }
    if keeps.get(wanted.mode, False):
        size = wanted.source
    return Plan(_full(wanted.source), size, size)


def _pad(wanted: _Wanted) -> Plan:
    fitted = _fit(wanted)
    canvas = _complete(wanted)
    if wanted.mode == "mpad":
        canvas = (max(canvas[0], fitted.size[0]), max(canvas[1], fitted.size[1]))
    left, top = _place(wanted.component, canvas, fitted.size)
    return Plan(fitted.box, fitted.size, canvas, (int(left), int(top)))


def _fill_pad(wanted: _Wanted) -> Plan:
    """A fill that cuts at most a third of a side away, and pads for the rest.

    Cloudinary decides by what is in the picture; the size is the same.
    https://cloudinary.com/documentation/image_crop_modes#fill_pad
    """
    gravity = wanted.component.get("g")
    if gravity is None or not gravity.auto:
        raise TransformationError("Invalid gravity in transformation: c_fill_pad needs g_auto")
    canvas, source = _complete(wanted), wanted.source
    filling = max(canvas[0] / source[0], canvas[1] / source[1])
    window = (canvas[0] / filling, canvas[1] / filling)
    shown = (max(window[0], source[0] * 2 / 3), max(window[1], source[1] * 2 / 3))
    factor = min(canvas[0] / shown[0], canvas[1] / shown[1])
    size = (min(canvas[0], rounded(shown[0] * factor)), min(canvas[1], rounded(shown[1] * factor)))
    offset = ((canvas[0] - size[0]) // 2, (canvas[1] - size[1]) // 2)
    return Plan(_window(wanted, shown, factor), size, canvas, offset)


def layer_place(
    component: Component, base: Size, size: Size, dpr: float, regions: Regions
) -> tuple[int, int]:
    """Where a layer lies on a picture of size `base`; may be partly outside.

    TransformationError for a gravity that no stored coordinates of the picture answer.
    """
    values = dict(component.values)
    for key in ("x", "y"):
        length: Length | None = values.get(key)
        if length is not None and not length.fraction:
            values[key] = Length(length.value * dpr)
    gravity: Gravity | None = component.get("g")
    region = regions.named(gravity.regions) if gravity is not None else None
    if gravity is not None and (gravity.auto or gravity.regions) and region is None:
        raise TransformationError("Unsupported gravity for a layer without stored coordinates")
    if region is None:
        return _layer_corner(Component(values), base, size)
    x, y = _layer_corner(Component({**values, "g": None}), (0, 0), size)
    return (
        x + round((region[0] + region[2]) / 2),
        y + round((region[1] + region[3]) / 2),
    )


def relative_to(component: Component, base: Size, dpr: float) -> Component:
    """Fractions of a layer's sides as fractions of the picture that it is laid over."""
    values = dict(component.values)
    for key, side in (("w", base[0]), ("h", base[1])):
        length: Length | None = values.get(key)
        if length is not None and length.fraction and length.of_original is None:
            # Lengths in pixels are multiplied by the dpr, which the base has in it already.
            values[key] = replace(length, value=length.value * side / dpr, fraction=False)
    return Component(values)


def _layer_corner(component: Component, outer: Size, inner: Size) -> tuple[int, int]:
    """Where a layer of size `inner` lies on a picture, in whole pixels; may be outside."""
    gravity: Gravity = component.get("g") or Gravity()
    if gravity.at_xy:
        x, y = _offsets(component, outer)
        return math.floor(x - inner[0] / 2), math.floor(y - inner[1] / 2)
    left, top = _place(component, outer, inner)
    return math.floor(left), math.floor(top)


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


def part(component: Component, source: Size, original: Size) -> Box:
    """The rectangle that x, y, w and h of an effect are for; all that is not given is whole."""
    width, height = _wanted(component, source, original)
    left, top = _offsets(component, source)
    left, top = min(max(left, 0.0), source[0] - 1), min(max(top, 0.0), source[1] - 1)
    right = source[0] if width is None else min(source[0], left + width)
    bottom = source[1] if height is None else min(source[1], top + height)
    return (left, top, right, bottom)


def _fill(wanted: _Wanted) -> Plan:
    source, region = wanted.source, wanted.region
    size = _complete(wanted)
    if wanted.mode == "lfill":
        # Never enlarges: what is missing is cut from the result.
        size = (min(size[0], source[0]), min(size[1], source[1]))
    factor = max(size[0] / source[0], size[1] / source[1])
    zoom = wanted.component.get("z", 1.0) if wanted.mode in ("thumb", "auto") else 1.0
    scale = factor * max(zoom, 1.0)
    if wanted.mode == "thumb" and region is not None:
        closest = min(size[0] / (region[2] - region[0]), size[1] / (region[3] - region[1]))
        scale = max(factor, closest * zoom)
    window = (min(source[0], size[0] / scale), min(source[1], size[1] / scale))
    return Plan(_window(wanted, window, factor), size, size)


def _window(wanted: _Wanted, window: tuple[float, float], factor: float) -> Box:
    """A window of that size placed in the source by gravity, kept inside it."""
    component, source = wanted.component, wanted.source
    gravity: Gravity = component.get("g") or Gravity(auto=wanted.mode == "auto")
    middle = _middle(wanted, gravity)
    if middle is not None:
        left, top = middle[0] - window[0] / 2, middle[1] - window[1] / 2
    elif gravity.auto and wanted.find is not None:
        left, top = wanted.find(*window)
    else:
        x, y = _offsets(component, source)
        left = (source[0] - window[0]) * gravity.x + (-x if gravity.x == 1.0 else x) / factor
        top = (source[1] - window[1]) * gravity.y + (-y if gravity.y == 1.0 else y) / factor
    left = min(max(left, 0.0), source[0] - window[0])
    top = min(max(top, 0.0), source[1] - window[1])
    return (left, top, left + window[0], top + window[1])


def _middle(wanted: _Wanted, gravity: Gravity) -> tuple[float, float] | None:
    """The point that a window is put around, where gravity names one.

    x and y do not move a window away from stored coordinates.
    https://cloudinary.com/documentation/ts_how_to_offset_face_detection_gravity_when_cropping
    """
    if wanted.region is not None:
        left, top, right, bottom = wanted.region
        return (left + right) / 2, (top + bottom) / 2
    return _offsets(wanted.component, wanted.source) if gravity.at_xy else None


def _crop(wanted: _Wanted) -> Plan:
    source = wanted.source
    complete = _complete(wanted)
    size = (min(complete[0], source[0]), min(complete[1], source[1]))
    values = wanted.component.values
    gravity: Gravity | None = values.get("g")
    if gravity is None and ("x" in values or "y" in values):
        gravity = Gravity(0.0, 0.0)
    middle = None if gravity is None else _middle(wanted, gravity)
    if middle is not None or (gravity is not None and gravity.auto and wanted.find is not None):
        # Such a window stays inside and whole.
        left, top = _window(wanted, size, 1.0)[:2]
    else:
        left, top = _place(Component({**values, "g": gravity}), source, size)
    left = min(max(int(left), 0), source[0] - 1)
    top = min(max(int(top), 0), source[1] - 1)
    size = (min(size[0], source[0] - left), min(size[1], source[1] - top))
    return Plan((left, top, left + size[0], top + size[1]), size, size)


_MODES: dict[str, Callable[[_Wanted], Plan]] = {
    "scale": _scale,
    "fit": _fit,
    "limit": _fit,
    "mfit": _fit,
    "fill": _fill,
    "lfill": _fill,
    "fill_pad": _fill_pad,
    "thumb": _fill,
    "auto": _fill,
    "pad": _pad,
    "lpad": _pad,
    "mpad": _pad,
    "crop": _crop,
}
