"""From a painted picture to the bytes that are delivered."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from .parse import TransformationError
from .pixels import flattened, has_alpha
from .values import Quality

DEFAULT_QUALITY = 80
_PILLOW_NAMES = {
    "jpg": "JPEG",
    "png": "PNG",
    "webp": "WEBP",
    "avif": "AVIF",
    "gif": "GIF",
    "bmp": "BMP",
    "tiff": "TIFF",
    "ico": "ICO",
    "jp2": "JPEG2000",
}
_CHOSEN_BY_ACCEPT = frozenset({"image/avif", "image/webp"})
# Their encoders take some 40 bytes of memory a pixel.
_MAX_PIXELS = {"avif": 25_000_000, "jp2": 25_000_000}
_LARGE_PIXELS = 12_000_000
_MAX_AUTO_AVIF_PIXELS = 4_000_000
# What a side may have at most, in pixels, where a format has its own bound.
_MAX_SIDES = {"ico": 256, "webp": 16383}
_WITHOUT_ALPHA = frozenset({"jpg", "bmp"})
_KEEP_PROFILE = frozenset({"jpg", "png", "webp", "avif", "tiff"})


def choose_auto_format(
    accept: str, stored: str, transparent: bool, *, pixels: int = 0, animated: bool = False
) -> str:
    """What `f_auto` means for a client: AVIF or WebP if it says it reads them.

    AVIF takes seconds for large pictures, so those become WebP.
    Otherwise PNG for what is transparent, JPEG for photographs and what browsers cannot show,
    and the `stored` format, or the one that the URL names, for the rest.
    """
    accepted = accepted_formats(accept)
    if animated:
        return "webp" if "image/webp" in accepted else "gif"
    if "image/avif" in accepted and pixels <= _MAX_AUTO_AVIF_PIXELS:
        return "avif"
    if "image/webp" in accepted:
        return "webp"
    if transparent:
        return "png"
    return stored if stored in ("jpg", "png", "gif") else "jpg"


def accepted_formats(accept: str) -> frozenset[str]:
    """Which of the formats that `f_auto` may choose an Accept header names, but for `q=0`."""
    read = set()
    for part in accept.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        refused = any(re.fullmatch(r"q=0(\.0*)?", parameter) for parameter in parameters)
        if name in _CHOSEN_BY_ACCEPT and not refused:
            read.add(name)
    return frozenset(read)


def encode(
    image: Image.Image,
    name: str,
    quality: Quality | None = None,
    flags: frozenset[str] = frozenset(),
) -> bytes:
    """The picture as a file of format `name`; transparency on white where it has none.

    `quality` 1-100 is for formats with loss; PNG and the others stay without loss.
    TransformationError for a size that the format cannot hold.
    """
    _check_size(image, name)
    profile = image.info.get("icc_profile")
    if has_alpha(image) and name in _WITHOUT_ALPHA:
        image = flattened(image)
    if name == "jp2" and image.mode == "LA":
        image = image.convert("RGBA")
    if name == "ico":
        image = image.convert("RGBA")
    if name == "png":
        image = _with_depth(image, flags)
    is_large = image.width * image.height > _LARGE_PIXELS
    options = dict(_options(name, quality or Quality(DEFAULT_QUALITY), flags, is_large))
    if name == "ico":
        options["sizes"] = [image.size]
    if name in _KEEP_PROFILE and profile and _profile_suits(profile, image):
        options["icc_profile"] = profile
    out = io.BytesIO()
    image.save(out, _PILLOW_NAMES[name], **options)
    return out.getvalue()


def encode_animation(
    frames: Sequence[Image.Image],
    times: Sequence[int],
    loop: int | None,
    name: str,
    quality: Quality | None = None,
) -> bytes:
    """Frames of one size as a moving GIF or WebP; `times` in milliseconds a frame.

    `loop` is how often it plays, 0 for ever, None for once. TransformationError for frames of
    several sizes and for a size that the format cannot hold.
    """
    _check_size(frames[0], name)
    if len({frame.size for frame in frames}) > 1:
        # Only trimming makes frames of one file differ.
        raise TransformationError("Unsupported transformation of an animation - e_trim")
    options: dict[str, Any] = {"duration": list(times)}
    if name == "gif":
        options |= {"disposal": 2, "optimize": False}
        if loop is not None:
            options["loop"] = loop
        frames = [_indexed(frame) for frame in frames]
    else:
        number = (quality or Quality(DEFAULT_QUALITY)).number
        options |= {"quality": number, "method": 3, "loop": 1 if loop is None else loop}
    out = io.BytesIO()
    frames[0].save(
        out, _PILLOW_NAMES[name], save_all=True, append_images=list(frames[1:]), **options
    )
    return out.getvalue()


def _indexed(frame: Image.Image) -> Image.Image:
    """A GIF frame with its own palette; what is half transparent or more becomes clear."""
    if not has_alpha(frame):
        return frame.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT)
    rgba = frame.convert("RGBA")
    rgba.putalpha(rgba.getchannel("A").point([255 if value >= 128 else 0 for value in range(256)]))
    return rgba


def _options(
    name: str, quality: Quality, flags: frozenset[str], is_large: bool
) -> Mapping[str, Any]:
    """What Pillow is told; for large pictures less effort, which would take half a minute."""
    number = quality.number
    if name == "jpg":
        return {
            "quality": number,
            "optimize": True,
            "progressive": _is_progressive(quality, flags),
            "subsampling": "4:4:4" if quality.chroma == "444" else "4:2:0",
        }
    if name == "webp":
        return {"quality": number, "method": 1 if is_large else 4, "lossless": number == 100}
    if name == "avif":
        return {"quality": number, "speed": 10 if is_large else 8, "max_threads": 1}
    if name == "png":
        return {"optimize": False, "compress_level": 1 if is_large else 6}
    if name == "tiff":
        return {"compression": "tiff_lzw"}
    return {}


def _is_progressive(quality: Quality, flags: frozenset[str]) -> bool:
    """`fl_progressive` and its modes; automatic quality implies it unless it is `none`."""
    modes = {flag for flag in flags if flag.startswith("progressive")}
    if not modes:
        return quality.auto is not None
    return "progressive:none" not in modes


def _profile_suits(profile: bytes, image: Image.Image) -> bool:
    """Whether an ICC profile's colour space (bytes 16 to 20) is that of the picture's pixels."""
    space = b"GRAY" if image.mode in ("L", "LA") else b"RGB "
    return profile[16:20] == space


def _check_size(image: Image.Image, name: str) -> None:
    side, pixels = _MAX_SIDES.get(name), _MAX_PIXELS.get(name)
    told = f"Requested image is too large for {name}: {image.width}x{image.height}, at most"
    if side is not None and max(image.size) > side:
        raise TransformationError(f"{told} {side} pixels a side")
    if pixels is not None and image.width * image.height > pixels:
        raise TransformationError(f"{told} {pixels // 1_000_000} Megapixels")


def _with_depth(image: Image.Image, flags: frozenset[str]) -> Image.Image:
    """`fl_png8`, `fl_png24` and `fl_png32`: indexed, without and with transparency."""
    if "png8" in flags:
        return image.convert("RGBA").quantize(256, Image.Quantize.FASTOCTREE)
    if "png24" in flags:
        return flattened(image).convert("RGB")
    return image.convert("RGBA") if "png32" in flags else image
