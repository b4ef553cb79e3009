"""One derived image from one stored file: open, paint, encode."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from ..errors import ApiError
from ..facts.formats import DECODE_ERRORS, open_image
from .budget import Budget
from .canvas import Opener, no_layers
from .encode import choose_auto_format, encode, encode_animation
from .geometry import Regions
from .paint import paint
from .parse import (
    MissingLayerError,
    Transformation,
    TransformationError,
    without_automatic_gravity,
)
from .pixels import has_alpha
from .values import ENCODABLE, VIDEO_KEYS

MAX_ANIMATED_PIXELS = 100_000_000


@dataclass(frozen=True)
class Surroundings:
    """What a picture's transformation may refer to besides its file."""

    regions: Regions = field(default_factory=Regions)
    open_layer: Opener = no_layers


@dataclass(frozen=True)
class Rendered:
    """Encoded bytes, their format and their size in pixels."""

    data: bytes
    format: str
    width: int
    height: int


def render(
    path: Path,
    stored: str,
    transformation: Transformation,
    extension: str | None,
    accept: str,
    surroundings: Surroundings | None = None,
) -> Rendered:
    """Paint the file at `path`; blocks, so call it in a thread.

    `extension` is the one in the URL and gives way to `f_`. Raises ApiError 400 for a file or a
    format that cannot be done, 404 for a layer that is not stored, and TransformationError for
    sizes out of bounds.
    """
    around = surroundings or Surroundings()
    for component in transformation.components:
        if foreign := VIDEO_KEYS & component.values.keys():
            raise TransformationError(f"Invalid transformation component - {min(foreign)} (image)")
    with open_image(path) as image:
        try:
            frames, times = _painted(image, stored, transformation, extension, accept, around)
        except MissingLayerError as error:
            raise ApiError(404, f"Resource not found - {error}") from error
        except DECODE_ERRORS as error:
            raise ApiError(400, "Invalid image file") from error
        loop = image.info.get("loop", 0 if stored == "webp" else None)
    first = frames[0]
    wanted = transformation.last("f") or extension or stored
    quality, flags = transformation.last("q"), transformation.flags
    if wanted == "auto":
        wanted = choose_auto_format(
            accept,
            extension or stored,
            has_alpha(first),
            pixels=first.width * first.height,
            animated=len(frames) > 1,
        )
    elif wanted == "jpg" and "preserve_transparency" in flags and has_alpha(first):
        wanted = "png"
    if wanted not in ENCODABLE:
        raise ApiError(400, f"Invalid extension in transformation: {wanted}")
    if len(frames) > 1:
        data = encode_animation(frames, times, loop, wanted, quality)
    else:
        data = encode(first, wanted, quality, flags)
    return Rendered(data, wanted, first.width, first.height)


def _painted(
    image: Image.Image,
    stored: str,
    transformation: Transformation,
    extension: str | None,
    accept: str,
    around: Surroundings,
) -> tuple[list[Image.Image], list[int]]:
    """The painted frames and how long each shows, in milliseconds; one frame if all is still."""
    page = transformation.last("pg")
    if page is not None:
        _turn_to(image, page)
    count = getattr(image, "n_frames", 1) if stored in ("gif", "webp") and page is None else 1
    budget = Budget()
    if count == 1 or not _stays_animated(stored, transformation, extension, accept):
        painted = paint(image, transformation, around.regions, around.open_layer, budget)
        return [_with_profile(painted, image)], [0]
    still = without_automatic_gravity(transformation)
    budget.frames = count
    frames, times, pixels = [], [], 0
    for number in range(count):
        image.seek(number)
        frame = paint(image.copy(), still, around.regions, around.open_layer, budget)
        pixels += frame.width * frame.height
        if pixels > MAX_ANIMATED_PIXELS:
            raise TransformationError(
                f"Requested animation is too large: at most {MAX_ANIMATED_PIXELS // 1_000_000} "
                "Megapixels in all frames"
            )
        frames.append(frame)
        times.append(int(image.info.get("duration", 100)))
    return frames, times


def _turn_to(image: Image.Image, page: int) -> None:
    """Go to a page of a file of several, counted from 1; TransformationError past the last."""
    if page > getattr(image, "n_frames", 1):
        raise TransformationError(f"Invalid page in transformation: {page} (pg_{page})")
    if page > 1:
        image.seek(page - 1)


def _stays_animated(
    stored: str, transformation: Transformation, extension: str | None, accept: str
) -> bool:
    """Whether the delivered format can move and was asked to.

    A GIF becomes an animated WebP by `f_auto` or `fl_awebp`; a plain `.webp` is its first frame.
    """
    wanted = transformation.last("f") or extension or stored
    if wanted == "auto":
        return choose_auto_format(accept, stored, False, animated=True) in ("gif", "webp")
    if wanted == "webp":
        return stored == "webp" or bool({"awebp", "animated"} & transformation.flags)
    return wanted == "gif"


def _with_profile(painted: Image.Image, source: Image.Image) -> Image.Image:
    profile = source.info.get("icc_profile")
    if profile:
        painted.info.setdefault("icc_profile", profile)
    return painted


def dimensions(data: bytes) -> tuple[int, int]:
    """Width and height of an encoded image."""
    with Image.open(io.BytesIO(data)) as image:
        return image.size
