"""What a file is, from its bytes: picture, video or neither; whole or broken. No network."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, BinaryIO, Literal
from urllib.parse import unquote, urlsplit

from media_toolkit.errors import UnsupportedMedia, UploadError

if TYPE_CHECKING:
    from PIL.Image import Image

    Source = str | Path | bytes | BinaryIO | Image

Kind = Literal["image", "video", "other"]

# First bytes of what Cloudinary takes as video (audio counts as video there):
# https://cloudinary.com/documentation/video_manipulation_and_delivery#supported_video_formats
_VIDEO_MAGIC = (
    (0, b"\x1a\x45\xdf\xa3"),  # Matroska and WebM
    (0, b"FLV\x01"),
    (0, b"\x00\x00\x01\xba"),  # MPEG program stream
    (0, b"OggS"),
    (0, b"ID3"),
    (0, b"fLaC"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),  # ASF: wmv, wma
    (8, b"AVI "),
    (8, b"WAVE"),
)
_PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".png", ".gif", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".ico"}
    | {".heic", ".heif", ".jxl", ".jp2", ".psd", ".svg", ".pdf", ".eps", ".ai"}
)
_VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".mpg", ".mpeg", ".ogv", ".wmv", ".flv"}
    | {".3gp", ".mp3", ".wav", ".m4a", ".ogg", ".flac", ".aac", ".mts", ".ts"}
)


@dataclass(frozen=True, slots=True)
class Media:
    """One thing to upload: `data` bytes, or a remote URL as text, and its name with suffix."""

    data: bytes | str
    filename: str | None


def read_source(source: Source) -> Media:
    """Path, `Path`, http(s) URL, bytes, binary file object or PIL image → what to send.

    Raises:
        UploadError: when the file does not exist or cannot be read, naming it.
    """
    if isinstance(source, str) and urlsplit(source).scheme in ("http", "https"):
        name = PurePath(unquote(urlsplit(source).path)).name
        return Media(source, name or None)
    if isinstance(source, str | Path):
        path = Path(source)
        try:
            return Media(path.read_bytes(), path.name)
        except OSError as error:
            raise UploadError(
                f"cannot read {path.name}: {error.strerror or type(error).__name__}",
                hint="check the path and its permissions",
                ids=(str(source),),
            ) from error
    if isinstance(source, bytes | bytearray | memoryview):
        return Media(bytes(source), None)
    if hasattr(source, "read"):
        data = source.read()
        if not isinstance(data, bytes):
            raise UploadError("the file object gives text", hint="open it in binary mode: 'rb'")
        opened = getattr(source, "name", None)
        return Media(data, PurePath(opened).name if isinstance(opened, str) else None)
    if hasattr(source, "save") and hasattr(source, "getbands"):
        return _from_pillow(source)
    raise UploadError(
        f"cannot upload a {type(source).__name__}",
        hint="pass a path, an http(s) URL, bytes, a binary file object or a PIL image",
    )


def kind_of(data: bytes, filename: str | None) -> Kind:
    """Picture, video or neither, from the first bytes; the suffix counts where they are silent."""
    if data[4:8] == b"ftyp":
        return "image" if data[8:12] in (b"avif", b"avis", b"heic", b"heix", b"mif1") else "video"
    if any(data[at : at + len(magic)] == magic for at, magic in _VIDEO_MAGIC):
        return "video"
    if _opens_as_picture(data):
        return "image"
    suffix = PurePath(filename or "").suffix.lower()
    if suffix in _PICTURE_SUFFIXES:
        return "image"
    return "video" if suffix in _VIDEO_SUFFIXES else "other"


def kind_to_send(thing: Media, resource_type: str | None, options: Mapping[str, Any]) -> str:
    """The resource_type to upload as: the one asked for, else by the bytes; a URL's is `auto`.

    Raises:
        UnsupportedMedia: it is neither a picture nor a video, and was not asked for as raw.
    """
    if resource_type or not isinstance(thing.data, bytes):
        return resource_type or "auto"
    filename = options.get("filename") or thing.filename
    kind = kind_of(thing.data, filename)
    if kind == "other" and thing.data:
        label = label_of(filename, options)
        raise UnsupportedMedia(
            f"{label} is neither an image nor a video",
            hint="pass resource_type='raw' to keep it as a raw file",
            ids=(label,),
        )
    return "image" if kind == "other" else kind


def label_of(filename: str | None, options: Mapping[str, Any]) -> str:
    """What an error calls an upload: its file, else its public_id."""
    return filename or str(options.get("public_id") or "the file")


def check_whole(data: bytes, label: str) -> None:
    """Refuse what no upload can make good: no bytes at all, or a picture that breaks off.

    Formats that Pillow cannot read (heic, svg, psd …) and videos are Cloudinary's to judge.

    Raises:
        UnsupportedMedia: saying what is wrong with `label`.
    """
    from PIL import Image, UnidentifiedImageError

    if not data:
        raise UnsupportedMedia(f"{label} is empty: 0 bytes", hint="export it again", ids=(label,))
    try:
        with Image.open(io.BytesIO(data)) as picture:
            # A draft decodes JPEG at an eighth of its size, yet reads it to the end.
            picture.draft(picture.mode, (1, 1))
            picture.load()
    except UnidentifiedImageError as error:
        suffix = PurePath(label).suffix.lower()
        if suffix in (".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff"):
            raise UnsupportedMedia(
                f"{label} is not an image, in spite of its name",
                hint="open it to see what it is",
                ids=(label,),
            ) from error
    except Image.DecompressionBombError as error:
        raise UnsupportedMedia(
            f"{label} has too many pixels: {error}", hint="scale it down first", ids=(label,)
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise UnsupportedMedia(
            f"{label} is truncated or damaged: {error}",
            hint="copy or export it again",
            ids=(label,),
        ) from error


def _opens_as_picture(data: bytes) -> bool:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)):
            return True
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError):
        return False


def _from_pillow(picture: Any) -> Media:
    buffer = io.BytesIO()
    # What a picture was read from is what it is written as; drawn ones are PNG: lossless.
    file_format = picture.format if picture.format in ("JPEG", "PNG", "WEBP", "GIF") else "PNG"
    picture.save(buffer, file_format)
    suffix = {"JPEG": "jpg"}.get(file_format, file_format.lower())
    name = PurePath(getattr(picture, "filename", "") or "").stem
    return Media(buffer.getvalue(), f"{name}.{suffix}" if name else None)
