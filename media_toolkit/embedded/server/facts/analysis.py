"""Facts read from a picture's pixels and its metadata: perceptual hash, colours, EXIF."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from ..errors import ApiError
from ..records.extras import Extras
from .formats import DECODE_ERRORS, open_image

_COLORS = 32
_SAMPLE_SIDE = 160
_HASH_SIDE = 8
_GOOGLE = {
    "red": (230, 30, 30),
    "orange": (245, 130, 20),
    "yellow": (250, 220, 30),
    "green": (50, 150, 40),
    "teal": (0, 150, 150),
    "blue": (30, 60, 220),
    "purple": (130, 40, 160),
    "pink": (245, 130, 180),
    "white": (250, 250, 250),
    "gray": (128, 128, 128),
    "black": (10, 10, 10),
    "brown": (120, 70, 30),
}
_CLOUDINARY = {
    "red": (255, 0, 0),
    "orange": (255, 165, 0),
    "yellow": (255, 255, 0),
    "green": (0, 128, 0),
    "cyan": (0, 255, 255),
    "blue": (0, 0, 255),
    "purple": (128, 0, 128),
    "pink": (255, 192, 203),
    "white": (255, 255, 255),
    "gray": (128, 128, 128),
    "black": (0, 0, 0),
    "brown": (165, 42, 42),
    "lightblue": (173, 216, 230),
    "lime": (0, 255, 0),
    "olive": (128, 128, 0),
}


def analysed(path: Path, extras: Extras, *, phash: bool, colors: bool, metadata: bool) -> Extras:
    """The extras with what was asked for, read from the image at `path`; blocks.

    Raises ApiError 400 when the image cannot be decoded.
    """
    if not (phash or colors or metadata):
        return extras
    facts: dict[str, Any] = {}
    try:
        with open_image(path) as image:
            if metadata:
                facts["image_metadata"] = image_metadata(image)
            if phash:
                facts["phash"] = perceptual_hash(image)
        if colors or metadata:
            small = _small(path)
            facts["grayscale"], facts["semi_transparent"] = _gray_and_clear(small)
        if colors:
            facts["colors"], facts["predominant"] = color_histogram(small)
    except DECODE_ERRORS as error:
        raise ApiError(400, "Invalid image file") from error
    if not metadata:
        facts = {name: facts[name] for name in facts if name in ("phash", "colors", "predominant")}
    return replace(extras, **facts)


def perceptual_hash(image: Image.Image) -> str:
    """64 bits as 16 hex digits: the signs of the lowest frequencies against their median.

    The pHash of the `imagehash` library, so that both can be compared bit by bit.
    """
    side = 4 * _HASH_SIDE
    gray = image.convert("L").resize((side, side), Image.Resampling.LANCZOS).tobytes()
    rows = [gray[start : start + side] for start in range(0, side * side, side)]
    waves = _waves(side)
    across = [
        [sum(pixel * wave for pixel, wave in zip(row, waves[k], strict=True)) for row in rows]
        for k in range(_HASH_SIDE)
    ]
    low = [
        sum(value * wave for value, wave in zip(across[k], waves[j], strict=True))
        for j in range(_HASH_SIDE)
        for k in range(_HASH_SIDE)
    ]
    ordered = sorted(low)
    half = len(ordered) // 2
    median = (ordered[half - 1] + ordered[half]) / 2
    bits = "".join("1" if value > median else "0" for value in low)
    return f"{int(bits, 2):016x}"


@cache
def _waves(side: int) -> list[list[float]]:
    return [
        [math.cos(math.pi * k * (2 * n + 1) / (2 * side)) for n in range(side)]
        for k in range(_HASH_SIDE)
    ]


def color_histogram(image: Image.Image) -> tuple[list[list[Any]], dict[str, list[list[Any]]]]:
    """Up to 32 colours with their share in percent, and the predominant ones by palette."""
    flat = image.convert("RGB")
    reduced = flat.quantize(_COLORS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    palette = reduced.getpalette() or []
    total = reduced.width * reduced.height
    found: list[tuple[tuple[int, int, int], float]] = []
    for count, index in sorted(reduced.getcolors() or [], reverse=True):
        assert isinstance(index, int)
        red, green, blue = palette[3 * index : 3 * index + 3]
        found.append(((red, green, blue), 100 * count / total))
    colors = [["#{:02X}{:02X}{:02X}".format(*color), round(share, 1)] for color, share in found]
    return colors, {
        name: list(_named(found, palette_colors))
        for name, palette_colors in (("google", _GOOGLE), ("cloudinary", _CLOUDINARY))
    }


def _named(
    found: list[tuple[tuple[int, int, int], float]], palette: dict[str, tuple[int, int, int]]
) -> Iterator[list[Any]]:
    shares: dict[str, float] = {}
    for color, share in found:
        nearest = min(palette, key=lambda name: math.dist(palette[name], color))
        shares[nearest] = shares.get(nearest, 0) + share
    for name, share in sorted(shares.items(), key=lambda item: -item[1]):
        if round(share, 1) > 0:
            yield [name, round(share, 1)]


def image_metadata(image: Image.Image) -> dict[str, str]:
    """EXIF, resolution and colour mode, all as text."""
    facts: dict[str, str] = {}
    exif = image.getexif()
    for tags, values in (
        (ExifTags.TAGS, exif),
        (ExifTags.TAGS, exif.get_ifd(ExifTags.IFD.Exif)),
        (ExifTags.GPSTAGS, exif.get_ifd(ExifTags.IFD.GPSInfo)),
    ):
        for number, value in values.items():
            name = tags.get(number)
            text = _text(value)
            if name is not None and text is not None and name not in ("ExifOffset", "GPSInfo"):
                facts[name] = text
    if "jfif_version" in image.info:
        facts["JFIFVersion"] = "{}.{:02d}".format(*image.info["jfif_version"])
    if "dpi" in image.info:
        facts["DPI"] = str(round(float(image.info["dpi"][0])))
    facts["Colorspace"] = {"L": "Gray", "1": "Gray", "CMYK": "CMYK"}.get(image.mode, "RGB")
    return facts


def _text(value: Any) -> str | None:
    """One EXIF value as text; bytes that are none are left out, long ones too."""
    if isinstance(value, bytes):
        try:
            value = value.rstrip(b"\0").decode("ascii")
        except UnicodeDecodeError:
            return None
        if not value.isprintable():
            return None
    if isinstance(value, tuple):
        value = " ".join(filter(None, (_text(one) for one in value)))
    if isinstance(value, float) or type(value).__name__ == "IFDRational":
        number = float(value)
        value = f"{number:.10g}" if math.isfinite(number) else None
    text = None if value is None or isinstance(value, dict) else str(value).replace("\0", "")
    return text.strip() if text is not None and len(text) <= 1000 else None


def _small(path: Path) -> Image.Image:
    """A small copy for statistics; JPEG is decoded at reduced size."""
    with open_image(path) as image:
        image.draft(None, (_SAMPLE_SIDE, _SAMPLE_SIDE))
        image.load()
        clear = "A" in image.getbands() or "transparency" in image.info
        small = image.convert("RGBA" if clear else "RGB")
    small.thumbnail((_SAMPLE_SIDE, _SAMPLE_SIDE), Image.Resampling.BOX)
    return small


def _gray_and_clear(small: Image.Image) -> tuple[bool, bool]:
    """Whether it has no colour, and whether some pixel is neither solid nor fully clear."""
    red, green, blue = (band.tobytes() for band in small.convert("RGB").split())
    gray = all(
        max(abs(one - other) for one, other in zip(red, band, strict=True)) <= 2
        for band in (green, blue)
    )
    alpha = small.getchannel("A").tobytes() if "A" in small.getbands() else b""
    return gray, any(0 < value < 255 for value in alpha)
