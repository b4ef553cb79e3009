"""Pixels: each component of a chain applied to a picture with Pillow.

`PAINTERS` lists what happens inside one component, in that order, each painter with the
parameters that call for it; `EFFECTS` lists what `e_` can do. To add an effect, write a function
from picture to picture, enter it in `EFFECTS` and put its name in `values.EFFECTS`.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageCms, ImageDraw, ImageOps

from .geometry import Box, Plan, Size, plan_resize
from .parse import Component, Transformation
from .values import Effect, Rotation

WHITE = (255, 255, 255, 255)
CLEAR = (255, 255, 255, 0)
_PAD_MODES = frozenset({"pad", "lpad", "mpad"})
_MAX_ROTATED_SIDE = 3000
_ORIENTATION_TAG = 0x0112


@dataclass
class Canvas:
    """A picture while it is being painted.

    `size` is the size that coordinates refer to. It differs from `image.size` only until the
    first resize, when a JPEG was decoded at a reduced size.
    """

    image: Image.Image
    size: Size
    original: Size
    dpr: float = 1.0

    def replace(self, image: Image.Image) -> None:
        """Go on with another picture."""
        self.image = image
        self.size = image.size


Painter = Callable[[Canvas, Component], None]


def paint(image: Image.Image, transformation: Transformation) -> Image.Image:
    """Apply the whole chain to an opened image; only to its current frame.

    Returns a picture in mode L, LA, RGB or RGBA. TransformationError when a size is too large.
    """
    turned = orientation(image) if not _ignores_orientation(transformation) else 1
    size = image.size if turned < 5 else (image.height, image.width)
    canvas = Canvas(image, size, size, transformation.dpr)
    _decode_reduced(canvas, transformation, swapped=turned >= 5)
    canvas.image.load()
    if turned > 1:
        canvas.image = ImageOps.exif_transpose(canvas.image) or canvas.image
    canvas.image = plain(canvas.image)
    if "strip_profile" in transformation.flags:
        canvas.image = to_srgb(canvas.image)
    for component in transformation.components:
        for keys, painter in PAINTERS:
            if any(key in component.values for key in keys):
                painter(canvas, component)
    return canvas.image


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 when there is none or it is wrong."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except (OSError, ValueError, SyntaxError):
        return 1
    return value if value in range(1, 9) else 1


def plain(image: Image.Image) -> Image.Image:
    """The picture in mode L, LA, RGB or RGBA; it keeps its `info`."""
    if image.mode in ("L", "LA", "RGB", "RGBA"):
        return image
    if image.mode == "CMYK":
        return to_srgb(image)
    transparent = "transparency" in image.info or image.mode in ("PA", "La", "RGBa")
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bit(image)
    if image.mode == "1":
        return image.convert("L")
    return image.convert("RGBA" if transparent else "RGB")


def to_srgb(image: Image.Image) -> Image.Image:
    """The picture in sRGB without its ICC profile, which is applied where there is one."""
    profile = image.info.pop("icc_profile", None)
    target = "RGBA" if has_alpha(image) else "RGB"
    if profile and image.mode in ("CMYK", "RGB", "L"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(
                image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            if converted is not None:
                converted.info.pop("icc_profile", None)
                return converted
        except (ImageCms.PyCMSError, OSError):
            # A broken or unsuitable profile: the plain conversion below is what is left.
            pass
    return image.convert(target)


def _eight_bit(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.float64)
    is_deep = image.mode.startswith("I;16") or values.max(initial=0) > 255
    top = 65535.0 if is_deep else 255.0
    return Image.fromarray((values.clip(0, top) * (255.0 / top) + 0.5).astype(np.uint8))


def has_alpha(image: Image.Image) -> bool:
    """Whether the picture has a channel for transparency."""
    return image.mode in ("RGBA", "LA")


def _ignores_orientation(transformation: Transformation) -> bool:
    rotations = (component.get("a") for component in transformation.components)
    return any(rotation is not None and rotation.ignore for rotation in rotations)


def _decode_reduced(canvas: Canvas, transformation: Transformation, *, swapped: bool) -> None:
    """Let the JPEG decoder do the first halvings when the first component makes it small."""
    if canvas.image.format not in ("JPEG", "MPO") or not transformation.components:
        return
    first = transformation.components[0]
    rotation: Rotation | None = first.get("a")
    if rotation is not None and rotation.auto is not None:
        return
    plan = plan_resize(first, canvas.size, canvas.original, canvas.dpr)
    if plan is None:
        return
    across = plan.size[0] / (plan.box[2] - plan.box[0])
    down = plan.size[1] / (plan.box[3] - plan.box[1])
    wanted = (
        math.ceil(canvas.size[0] * across * 2),
        math.ceil(canvas.size[1] * down * 2),
    )
    canvas.image.draft(None, (wanted[1], wanted[0]) if swapped else wanted)


def _turn_to_fit(canvas: Canvas, component: Component) -> None:
    """`a_auto_right` and `a_auto_left`: a quarter turn when the wanted shape is the other one."""
    rotation: Rotation = component.get("a")
    if rotation.auto is None:
        return
    plan = plan_resize(component, canvas.size, canvas.original, canvas.dpr)
    if plan is None:
        return
    wanted, present = plan.canvas, canvas.size
    if (wanted[0] > wanted[1] and present[0] < present[1]) or (
        wanted[0] < wanted[1] and present[0] > present[1]
    ):
        turn = Image.Transpose.ROTATE_270
        if rotation.auto == "auto_left":
            turn = Image.Transpose.ROTATE_90
        canvas.replace(canvas.image.transpose(turn))


def _resize(canvas: Canvas, component: Component) -> None:
    plan = plan_resize(
        component,
        canvas.size,
        canvas.original,
        canvas.dpr,
        lambda width, height: busiest_window(canvas, width, height),
    )
    if plan is None:
        return
    resized = _cut_and_scale(canvas, plan)
    if component.get("c") in _PAD_MODES:
        resized = _padded(resized, plan, component.get("b"))
    canvas.replace(resized)


def _cut_and_scale(canvas: Canvas, plan: Plan) -> Image.Image:
    image = canvas.image
    across = image.width / canvas.size[0]
    down = image.height / canvas.size[1]
    left, top, right, bottom = plan.box
    box: Box = (left * across, top * down, right * across, bottom * down)
    whole = tuple(round(side) for side in box)
    if box == whole and (whole[2] - whole[0], whole[3] - whole[1]) == plan.size:
        if whole == (0, 0, *image.size):
            return image
        return image.crop((whole[0], whole[1], whole[2], whole[3]))
    shrinks = plan.size[0] * 2 < box[2] - box[0] and plan.size[1] * 2 < box[3] - box[1]
    return image.resize(
        plan.size,
        Image.Resampling.LANCZOS,
        box=(box[0], box[1], min(box[2], image.width), min(box[3], image.height)),
        reducing_gap=2.0 if shrinks else None,
    )


def _padded(
    image: Image.Image, plan: Plan, background: tuple[int, int, int, int] | None
) -> Image.Image:
    color = background if background is not None else (CLEAR if has_alpha(image) else WHITE)
    mode = "RGBA" if has_alpha(image) or color[3] < 255 else "RGB"
    if not plan.pads and not has_alpha(image):
        return image
    below = Image.new(mode, plan.canvas, color if mode == "RGBA" else color[:3])
    if has_alpha(image):
        below.alpha_composite(image.convert("RGBA"), plan.offset)
    else:
        below.paste(image.convert(mode), plan.offset)
    below.info.update(image.info)
    return below


def _effect(canvas: Canvas, component: Component) -> None:
    effect: Effect = component.get("e")
    canvas.replace(EFFECTS[effect.name](canvas.image, effect.argument))


def _grayscale(image: Image.Image, argument: str) -> Image.Image:
    return image.convert("LA" if has_alpha(image) else "L")


def _round_corners(canvas: Canvas, component: Component) -> None:
    image = canvas.image.convert("RGBA")
    rounded = ImageChops.multiply(
        image.getchannel("A"), corner_mask(image.size, component.get("r"), canvas.dpr)
    )
    image.putalpha(rounded)
    canvas.replace(image)


def corner_mask(size: Size, radii: tuple[float, ...], dpr: float = 1.0) -> Image.Image:
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


def _opacity(canvas: Canvas, component: Component) -> None:
    image = canvas.image.convert("RGBA")
    share = component.get("o")
    image.putalpha(image.getchannel("A").point([int(value * share + 0.5) for value in range(256)]))
    canvas.replace(image)


def _background(canvas: Canvas, component: Component) -> None:
    if component.get("c") in _PAD_MODES and {"w", "h", "ar"} & component.values.keys():
        return
    color = component.get("b")
    if has_alpha(canvas.image) and color[3] > 0:
        canvas.replace(flattened(canvas.image, color))


def flattened(image: Image.Image, color: tuple[int, int, int, int] = WHITE) -> Image.Image:
    """The picture on a background; opaque when the background is."""
    below = Image.new("RGBA", image.size, color)
    below.alpha_composite(image.convert("RGBA"))
    below.info.update(image.info)
    return below if color[3] < 255 else below.convert("RGB")


def _rotate(canvas: Canvas, component: Component) -> None:
    """Turn and flip, in the order written; other than quarter turns leave clear corners."""
    rotation: Rotation = component.get("a")
    image = canvas.image
    for step in rotation.steps:
        if step == "hflip":
            image = ImageOps.mirror(image)
        elif step == "vflip":
            image = ImageOps.flip(image)
        elif isinstance(step, float) and step:
            image = _turned(image, step)
    if rotation.steps:
        canvas.replace(image)


def _turned(image: Image.Image, degrees: float) -> Image.Image:
    if max(image.size) > _MAX_ROTATED_SIDE:
        image = ImageOps.contain(
            image, (_MAX_ROTATED_SIDE, _MAX_ROTATED_SIDE), Image.Resampling.LANCZOS
        )
    quarter = {
        90.0: Image.Transpose.ROTATE_270,
        180.0: Image.Transpose.ROTATE_180,
        270.0: Image.Transpose.ROTATE_90,
    }.get(degrees)
    if quarter is not None:
        return image.transpose(quarter)
    return image.convert("RGBA").rotate(
        -degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=CLEAR
    )


def busiest_window(canvas: Canvas, width: float, height: float) -> tuple[float, float]:
    """Where a window of that size holds the most detail: edges, preferring the middle a little.

    Works on a copy of at most 96 pixels a side. Returns (left, top) in `canvas.size` units.
    """
    small = canvas.image.convert("L")
    small.thumbnail((96, 96), Image.Resampling.BOX)
    values = np.asarray(small, dtype=np.float64)
    detail = np.zeros_like(values)
    detail[:, 1:] += np.abs(np.diff(values, axis=1))
    detail[1:, :] += np.abs(np.diff(values, axis=0))
    rows, columns = values.shape
    fall_off = np.hanning(columns + 2)[1:-1][None, :] + np.hanning(rows + 2)[1:-1][:, None]
    detail = (detail + 1e-3) * (1.0 + 0.25 * fall_off)
    left = _best_start(detail.sum(axis=0), width / canvas.size[0])
    top = _best_start(detail.sum(axis=1), height / canvas.size[1])
    return left * canvas.size[0], top * canvas.size[1]


def _best_start(weights: np.ndarray, share: float) -> float:
    """Where a window of `share` of the length starts, as a share, to weigh the most."""
    length = len(weights)
    window = max(1, min(length, round(share * length)))
    sums = np.convolve(weights, np.ones(window), mode="valid")
    best = np.flatnonzero(sums >= sums.max() * (1 - 1e-9))
    start = best[len(best) // 2] / length
    return float(min(max(start, 0.0), 1.0 - share)) if share < 1 else 0.0


EFFECTS: dict[str, Callable[[Image.Image, str], Image.Image]] = {
    "grayscale": _grayscale,
}

PAINTERS: tuple[tuple[tuple[str, ...], Painter], ...] = (
    (("a",), _turn_to_fit),
    (("w", "h", "ar", "c"), _resize),
    (("e",), _effect),
    (("r",), _round_corners),
    (("o",), _opacity),
    (("a",), _rotate),
    (("b",), _background),
)
