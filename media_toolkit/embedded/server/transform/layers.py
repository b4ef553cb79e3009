"""What `l_` and `u_` name: a stored picture or a line of text.

https://cloudinary.com/documentation/layers
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

MAX_FONT_SIZE = 1000
MAX_TEXT = 1000
# Kinds of layer that Cloudinary knows and this server does not implement.
_FOREIGN = frozenset({"fetch", "lut", "subtitles", "video", "audio", "auto", "facebook", "twitter"})
_TYPES = ("upload", "private", "authenticated")
_SPACING = re.compile(r"(letter|line)_spacing_(-?\d{1,3}(?:\.\d+)?)")
_FONT = re.compile(r"(?P<family>[^_]+(?:_[^_0-9]+)*?)_(?P<size>\d{1,4})(?P<style>(?:_.*)?)")
_WEIGHTS = {"normal": False, "bold": True, "light": False, "thin": False}
_ALIGNMENTS = {
    "left": "left", "start": "left", "center": "center", "right": "right", "end": "right",
}  # fmt: skip


@dataclass(frozen=True)
class ImageLayer:
    """A stored picture by its type and public_id."""

    public_id: str
    type: str = "upload"


@dataclass(frozen=True)
class TextLayer:
    """Text in a font; `size` in pixels, spacings in pixels beyond the font's own."""

    text: str
    family: str
    size: int
    bold: bool = False
    italic: bool = False
    underline: bool = False
    strikethrough: bool = False
    stroke: bool = False
    align: str = "left"
    letter_spacing: float = 0.0
    line_spacing: float = 0.0


Layer = ImageLayer | TextLayer


def read_layer(text: str) -> Layer:
    """Read what follows `l_` or `u_`; ValueError when it is wrong or not implemented."""
    kind, colon, rest = text.partition(":")
    if kind == "text" and colon:
        return _read_text(rest)
    if kind in _FOREIGN and colon:
        raise ValueError
    if kind == "image" and colon:
        return read_layer(rest)
    if kind in _TYPES and colon:
        return _picture(rest, kind)
    return _picture(text, "upload")


def _picture(name: str, kind: str) -> ImageLayer:
    public_id = unquote(name.replace(":", "/")).strip("/")
    if not public_id or len(public_id) > 255:
        raise ValueError
    return ImageLayer(public_id, kind)


def _read_text(text: str) -> TextLayer:
    """`<family>_<size>[_<style>...]:<text>`; the text is percent-encoded once more in a URL."""
    font, colon, content = text.partition(":")
    match = _FONT.fullmatch(unquote(font))
    if not colon or match is None or not 1 <= int(match["size"]) <= MAX_FONT_SIZE:
        raise ValueError
    written = unquote(content)
    if not written.strip() or len(written) > MAX_TEXT:
        raise ValueError
    values = _styles(match["style"].strip("_"))
    return TextLayer(written, match["family"], int(match["size"]), **values)  # type: ignore[arg-type]


def _styles(text: str) -> dict[str, bool | str | float]:
    values: dict[str, bool | str | float] = {}
    spacings = dict(_SPACING.findall(text))
    values |= {f"{name}_spacing": float(number) for name, number in spacings.items()}
    for word in filter(None, _SPACING.sub("", text).split("_")):
        if word in _WEIGHTS:
            values["bold"] = _WEIGHTS[word]
        elif word in ("italic", "underline", "strikethrough", "stroke"):
            values[word] = True
        elif word in _ALIGNMENTS:
            values["align"] = _ALIGNMENTS[word]
        elif word not in ("none",):
            raise ValueError
    return values
