"""Rounded corners and the border that follows them."""

from __future__ import annotations

import math

from PIL import Image, ImageChops, ImageDraw, ImageOps

from .colors import CLEAR, Color
from .geometry import Size
from .pixels import has_alpha

Radii = tuple[float, ...]


def round_corners(image: Image.Image, radii: Radii, dpr: float = 1.0) -> Image.Image:
    """The picture with clear corners."""
    rounded = image.convert("RGBA")
    alpha = ImageChops.multiply(rounded.getchannel("A"), corner_mask(image.size, radii, dpr))
    rounded.putalpha(alpha)
    rounded.info.update(image.info)
    return rounded


def bordered(
    image: Image.Image, width: int, color: Color, radii: Radii | None, dpr: float = 1.0
) -> Image.Image:
    """The picture, its corners rounded, with a border around it that makes it larger."""
    width = round(width * dpr)
    size = (image.width + 2 * width, image.height + 2 * width)
    if radii is None:
        outer, inner = Image.new("L", size, 255), Image.new("L", image.size, 255)
    else:
        outer = corner_mask(size, tuple(r + width / dpr if r else 0.0 for r in radii), dpr)
        inner = corner_mask(image.size, radii, dpr)
    ring = outer.copy()
    ring.paste(
        ImageChops.subtract(outer.crop((width, width, *_end(image.size, width))), inner),
        (width, width),
    )
    below = Image.new("RGBA", size, CLEAR)
    below.paste(Image.new("RGBA", size, color), (0, 0), ring)
    inside = image if radii is None else round_corners(image, radii, dpr)
    below.alpha_composite(inside.convert("RGBA"), (width, width))
    below.info.update(image.info)
    if radii is None and color[3] == 255 and not has_alpha(image):
        return below.convert("RGB")
    return below


def _end(size: Size, width: int) -> Size:
    return size[0] + width, size[1] + width


def corner_mask(size: Size, radii: Radii, dpr: float = 1.0) -> Image.Image:
    """A mask, 255 inside, with rounded corners: one radius, or 2 to 4 as in CSS."""
    corners = {
        1: lambda r: (r[0], r[0], r[0], r[0]),
        2: lambda r: (r[0], r[1], r[0], r[1]),
        3: lambda r: (r[0], r[1], r[2], r[1]),
        4: lambda r: r,
    }[len(radii)](radii)
    width, height = size
    mask = Image.new("L", size, 255)
    for index, corner in enumerate(corners):
        across = min(corner * dpr, width / 2)
        down = min(corner * dpr, height / 2)
        if corner != math.inf:
            across = down = min(across, down)
        box = (math.ceil(across), math.ceil(down))
        if min(box) < 1:
            continue
        quarter = Image.new("L", (box[0] * 4, box[1] * 4), 0)
        ImageDraw.Draw(quarter).ellipse((0, 0, across * 8 - 1, down * 8 - 1), fill=255)
        quarter = quarter.resize(box, Image.Resampling.BOX)
        if index in (1, 2):
            quarter = ImageOps.mirror(quarter)
        if index in (2, 3):
            quarter = ImageOps.flip(quarter)
        left = width - box[0] if index in (1, 2) else 0
        top = height - box[1] if index in (2, 3) else 0
        mask.paste(
            ImageChops.darker(quarter, mask.crop((left, top, left + box[0], top + box[1]))),
            (left, top),
        )
    return mask
