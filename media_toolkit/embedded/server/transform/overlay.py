"""Putting one picture on another."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageChops

from .colors import CLEAR
from .geometry import Size
from .pixels import has_alpha

Point = tuple[int, int]


def laid_over(below: Image.Image, above: Image.Image, at: Point, *, grows: bool) -> Image.Image:
    """`above` on `below` at a place that may be partly outside; `grows` to hold it all."""
    if not grows:
        return _composed(below, above, at, (0, 0), below.size)
    left, top = min(0, at[0]), min(0, at[1])
    right = max(below.width, at[0] + above.width)
    bottom = max(below.height, at[1] + above.height)
    return _composed(below, above, at, (-left, -top), (right - left, bottom - top))


def grown_size(below: Size, above: Size, at: Point) -> Size:
    """How large `laid_over` makes the picture when it grows."""
    return (
        max(below[0], at[0] + above[0]) - min(0, at[0]),
        max(below[1], at[1] + above[1]) - min(0, at[1]),
    )


def _composed(
    below: Image.Image, above: Image.Image, at: Point, shift: Point, size: Size
) -> Image.Image:
    if size == below.size:
        canvas = below.convert("RGBA")
    else:
        canvas = Image.new("RGBA", size, CLEAR)
        canvas.paste(below.convert("RGBA"), shift)
    left, top = at[0] + shift[0], at[1] + shift[1]
    inside = above.convert("RGBA").crop(
        (
            max(0, -left),
            max(0, -top),
            min(above.width, size[0] - left),
            min(above.height, size[1] - top),
        )
        if left < size[0] and top < size[1] and left + above.width > 0 and top + above.height > 0
        else (0, 0, 0, 0)
    )
    if inside.width and inside.height:
        canvas.alpha_composite(inside, (max(0, left), max(0, top)))
    canvas.info.update(below.info)
    if size == below.size and not has_alpha(below):
        return canvas.convert("RGB")
    return canvas


def on_canvas(image: Image.Image, size: Size, at: Point) -> Image.Image:
    """A clear picture of that size with `image` on it."""
    return _composed(Image.new("RGBA", size, CLEAR), image, at, (0, 0), size)


def tiled(image: Image.Image, size: Size, at: Point) -> Image.Image:
    """Copies of the picture side by side over the whole size, one of them at `at`."""
    tile = np.asarray(image.convert("RGBA"))
    start_x, start_y = -at[0] % image.width, -at[1] % image.height
    across = -(-(start_x + size[0]) // image.width)
    down = -(-(start_y + size[1]) // image.height)
    return Image.fromarray(np.tile(tile, (down, across, 1))).crop(
        (start_x, start_y, start_x + size[0], start_y + size[1])
    )


def cut_out(below: Image.Image, above: Image.Image) -> Image.Image:
    """`below` where `above`, of the same size, is opaque, and clear elsewhere."""
    result = below.convert("RGBA")
    result.putalpha(
        ImageChops.multiply(result.getchannel("A"), above.convert("RGBA").getchannel("A"))
    )
    result.info.update(below.info)
    return result


def blended(below: Image.Image, above: Image.Image, mode: str) -> Image.Image:
    """`above`, of the same size, mixed into `below` where it is opaque."""
    rgb = below.convert("RGB")
    mixed = _MODES[mode](rgb, above.convert("RGB"))
    rgb.paste(mixed, (0, 0), above.convert("RGBA").getchannel("A"))
    if has_alpha(below):
        rgb.putalpha(below.getchannel("A"))
    rgb.info.update(below.info)
    return rgb


_MODES: dict[str, Callable[[Image.Image, Image.Image], Image.Image]] = {
    "multiply": ImageChops.multiply,
    "overlay": ImageChops.overlay,
    "screen": ImageChops.screen,
}
