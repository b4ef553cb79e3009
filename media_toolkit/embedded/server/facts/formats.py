"""What a file is, decided by its bytes and never by its name."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from ..errors import ApiError
from .documents import Document, sniff_document
from .video import examine_video

MAX_PIXELS = 50_000_000
MAX_TOTAL_PIXELS = 200_000_000
MAX_CHECKED_FRAMES = 1000
MAX_SIDE = 65_500
_HEAD_BYTES = 4096
_TGA_END = b"TRUEVISION-XFILE.\0"

PILLOW_FORMATS = {
    "JPEG": "jpg",
    "MPO": "jpg",
    "PNG": "png",
    "GIF": "gif",
    "WEBP": "webp",
    "AVIF": "avif",
    "BMP": "bmp",
    "TIFF": "tiff",
    "ICO": "ico",
    "JPEG2000": "jp2",
    "PSD": "psd",
    "TGA": "tga",
    "HEIC": "heic",
    "PDF": "pdf",
    "SVG": "svg",
}
ALIASES = {"heif": "heic", "jpeg": "jpg", "jpe": "jpg", "tif": "tiff", "j2k": "jp2", "jpg2": "jp2"}
MEDIA_TYPES = {
    "jpg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "webp": "image/webp",
    "avif": "image/avif",
    "bmp": "image/bmp",
    "tiff": "image/tiff",
    "ico": "image/x-icon",
    "jp2": "image/jp2",
    "psd": "image/vnd.adobe.photoshop",
    "tga": "image/x-tga",
    "heic": "image/heic",
    "pdf": "application/pdf",
    "svg": "image/svg+xml",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "m4v": "video/x-m4v",
    "webm": "video/webm",
    "mkv": "video/x-matroska",
    "avi": "video/x-msvideo",
    "flv": "video/x-flv",
    "mpeg": "video/mpeg",
    "ts": "video/mp2t",
    "ogv": "video/ogg",
    "3gp": "video/3gpp",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "m4a": "audio/mp4",
    "aac": "audio/aac",
    "aiff": "audio/aiff",
}
DECODE_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    IndexError,
    TypeError,
    KeyError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


@dataclass(frozen=True)
class FileFacts:
    """What a file was found to be; width and height in stored pixels, `media` what else is told of
    a video."""

    resource_type: str
    format: str | None
    width: int | None = None
    height: int | None = None
    pages: int | None = None
    media: dict[str, Any] | None = None


def normal_format(name: str) -> str:
    """A format or extension in Cloudinary's spelling: lower case, `jpeg` as `jpg`."""
    lowered = name.strip().lower().lstrip(".")
    return ALIASES.get(lowered, lowered)


def open_image(path: Path) -> Image.Image:
    """The image, header read and not decoded; ApiError 400 when it is none or is too large.

    Raises FileNotFoundError when the file is gone.
    """
    try:
        document = sniff_document(_head(path))
        if document is not None:
            image: Image.Image = Document(path, document)
        else:
            image = Image.open(path, formats=_pillow_formats(path))
    except FileNotFoundError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ApiError(400, "Image is too large: 50 Megapixels at most") from error
    except (UnidentifiedImageError, *DECODE_ERRORS) as error:
        raise ApiError(400, "Invalid image file") from error
    try:
        check_size(*image.size)
    except ApiError:
        image.close()
        raise
    return image


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)


def _pillow_formats(path: Path) -> list[str]:
    """What Pillow may read the file as. A TGA says so only at its end, where new ones do."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(_TGA_END)))
        is_tga = file.read() == _TGA_END
    left_out = {"MPO", "HEIC", "PDF", "SVG"} | (set() if is_tga else {"TGA"})
    return [name for name in PILLOW_FORMATS if name not in left_out]


def check_size(width: int, height: int) -> None:
    """ApiError 400 when an image of that size would not be taken."""
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise ApiError(
            400,
            f"Maximum image size is {MAX_PIXELS // 1_000_000} Megapixels. "
            f"Requested {width * height / 1_000_000:.2f} Megapixels",
        )


def examine_image(path: Path) -> FileFacts:
    """Decode the whole file once, so that a damaged one is refused; ApiError 400."""
    with open_image(path) as image:
        width, height = image.size
        kind = PILLOW_FORMATS[image.format or ""]
        try:
            pages = getattr(image, "n_frames", 1) if kind != "jpg" else 1
            # Of a document one page is painted, the others are only counted.
            pages_read = 1 if kind == "pdf" else min(pages, MAX_CHECKED_FRAMES)
            if kind != "pdf" and pages * width * height > MAX_TOTAL_PIXELS:
                raise ApiError(
                    400,
                    f"Image is too large: {MAX_TOTAL_PIXELS // 1_000_000} Megapixels in all "
                    "frames at most",
                )
            if kind == "jpg":
                image.draft("RGB", (max(1, width // 8), max(1, height // 8)))
            for page in range(pages_read):
                if page:
                    image.seek(page)
                    check_size(*image.size)
                image.load()
        except DECODE_ERRORS as error:
            raise ApiError(400, "Invalid image file") from error
    return FileFacts("image", kind, width, height, pages)


def examine(path: Path, wanted: str) -> FileFacts:
    """What the file is, for an upload to `wanted`: image, video, raw or auto.

    Raises ApiError 400: an empty file, a damaged image or video where one is needed, or a kind
    of image that this server cannot read.
    """
    head = _head(path)
    if not head:
        raise ApiError(400, "Empty file")
    if wanted == "raw":
        return FileFacts("raw", None)
    video = sniff_video(head)
    if wanted == "video":
        if video is None:
            raise ApiError(400, "Unsupported video format or file")
        return _video(path, video)
    unread = sniff_unread_image(head)
    if unread is not None:
        raise ApiError(400, f"Unsupported image format on this server - {unread}")
    if wanted == "image" or sniff_image(head) or looks_like_image(path):
        return examine_image(path)
    return _video(path, video) if video else FileFacts("raw", None)


def _video(path: Path, kind: str) -> FileFacts:
    media = examine_video(path, kind)
    width, height = media.pop("width", None), media.pop("height", None)
    return FileFacts("video", kind, width, height, 0, media)


def looks_like_image(path: Path) -> bool:
    """Whether the file's header is that of an image that this server reads."""
    try:
        with open_image(path):
            return True
    except ApiError as error:
        return error.message != "Invalid image file"


def sniff_image(head: bytes) -> bool:
    """Whether the first bytes can only be meant as an image, also if the rest is damaged."""
    return (
        head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a"))
        or (head.startswith(b"RIFF") and head[8:12] == b"WEBP")
        or (head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis", b"mif1"))
        or head.startswith((b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  ", b"8BPS"))
        or sniff_document(head) is not None
    )


def sniff_unread_image(head: bytes) -> str | None:
    """The format of a file that is an image to Cloudinary but not to this server."""
    if head.startswith((b"%!PS", b"\xc5\xd0\xd3\xc6")):
        return "eps"
    return None


def sniff_video(head: bytes) -> str | None:
    """The format of a video or audio file by its first bytes, or None."""
    if head[4:8] == b"ftyp":
        return _sniff_mp4(head[8:12])
    if head[4:8] in (b"moov", b"mdat", b"wide", b"free"):
        return "mov"
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "webm" if b"webm" in head[:64] else "mkv"
    if head.startswith(b"RIFF"):
        return {b"AVI ": "avi", b"WAVE": "wav"}.get(head[8:12])
    if head.startswith(b"OggS"):
        return "ogv" if b"theora" in head[:64] else "ogg"
    for magic, name in (
        (b"ID3", "mp3"),
        (b"fLaC", "flac"),
        (b"FLV\x01", "flv"),
        (b"\x00\x00\x01\xba", "mpeg"),
        (b"\x00\x00\x01\xb3", "mpeg"),
    ):
        if head.startswith(magic):
            return name
    if head.startswith(b"FORM") and head[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    if len(head) > 376 and head[0] == head[188] == head[376] == 0x47:
        return "ts"
    if len(head) > 2 and head[0] == 0xFF:
        return {0xF1: "aac", 0xF9: "aac", 0xFB: "mp3", 0xF3: "mp3", 0xFA: "mp3"}.get(head[1])
    return None


def _sniff_mp4(brand: bytes) -> str | None:
    if brand in (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1", b"jp2 ", b"jpx "):
        return None
    if brand == b"qt  ":
        return "mov"
    if brand in (b"M4A ", b"M4B "):
        return "m4a"
    if brand.startswith(b"3g"):
        return "3gp"
    return "m4v" if brand == b"M4V " else "mp4"
