"""Modes, colours and transparency of pictures: what every painter relies on."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageCms

from .colors import WHITE, Color

_ORIENTATION_TAG = 0x0112


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
        return _with_transparent_color(image)
    if image.mode == "CMYK":
        return to_srgb(image)
    transparent = "transparency" in image.info or image.mode in ("PA", "La", "RGBa")
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bit(image)
    if image.mode == "1":
        return image.convert("L")
    return image.convert("RGBA" if transparent else "RGB")


def _with_transparent_color(image: Image.Image) -> Image.Image:
    """A PNG may name one colour of an opaque mode as the transparent one."""
    if image.mode in ("L", "RGB") and "transparency" in image.info:
        return image.convert("LA" if image.mode == "L" else "RGBA")
    return image


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


def flattened(image: Image.Image, color: Color = WHITE) -> Image.Image:
    """The picture on a background; opaque when the background is."""
    below = Image.new("RGBA", image.size, color)
    below.alpha_composite(image.convert("RGBA"))
    below.info.update(image.info)
    return below if color[3] < 255 else below.convert("RGB")


def edge_color(image: Image.Image) -> Color:
    """The colour that most of the outermost pixels have, for an automatic background."""
    pixels = np.asarray(image.convert("RGB"))
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    coarse = (edge >> 4).astype(np.int64)
    keys = coarse[:, 0] << 8 | coarse[:, 1] << 4 | coarse[:, 2]
    most = np.bincount(keys).argmax()
    red, green, blue = (int(part) for part in edge[keys == most].mean(axis=0).round())
    return (red, green, blue, 255)
