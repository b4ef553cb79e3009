"""Text as a picture, for text layers.

Every family is drawn with the font that Pillow carries: sizes hold, shapes do not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from .colors import BLACK, CLEAR, Color
from .layers import TextLayer
from .parse import TransformationError

MAX_TEXT_PIXELS = 25_000_000
_SLANT = 0.2


@dataclass(frozen=True)
class Lettering:
    """How text is drawn: colours, an outline of `stroke` pixels, a `width` to break lines at."""

    color: Color = BLACK
    background: Color | None = None
    stroke: int = 0
    stroke_color: Color = BLACK
    width: int | None = None
    height: int | None = None
    dpr: float = 1.0


def draw_text(layer: TextLayer, lettering: Lettering) -> Image.Image:
    """The text cut to its ink, on clear ground; TransformationError when it is too large."""
    size = layer.size * lettering.dpr
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    ascent, descent = font.getmetrics()
    spacing = layer.letter_spacing * lettering.dpr
    lines = _lines(layer.text, font, spacing, lettering.width)
    step = ascent + descent + layer.line_spacing * lettering.dpr
    lines = _within_height(lines, step, lettering.height)
    weight = max(1, round(size / 24)) if layer.bold else 0
    stroke = round(lettering.stroke * lettering.dpr)
    margin = weight + stroke + math.ceil(size / 2)
    lengths = [_length(line, font, spacing) for line in lines]
    width = math.ceil(max(lengths)) + 2 * margin
    height = math.ceil(step * len(lines)) + 2 * margin
    if width * height > MAX_TEXT_PIXELS:
        raise TransformationError(f"Text layer is too large: {width}x{height}")
    picture = Image.new("RGBA", (width, height), (*lettering.color[:3], 0))
    pen = ImageDraw.Draw(picture)
    for number, (line, length) in enumerate(zip(lines, lengths, strict=True)):
        free = max(lengths) - length
        left = margin + {"left": 0.0, "center": free / 2, "right": free}[layer.align]
        top = margin + number * step
        for start, piece in _pieces(line, font, spacing):
            if stroke:
                pen.text(
                    (left + start, top), piece, lettering.stroke_color, font,
                    stroke_width=stroke + weight, stroke_fill=lettering.stroke_color,
                )  # fmt: skip
            pen.text(
                (left + start, top), piece, lettering.color, font,
                stroke_width=weight, stroke_fill=lettering.color,
            )  # fmt: skip
        _lines_along(pen, layer, (left, top, left + length), ascent, size, lettering.color)
    if layer.italic:
        picture = _slanted(picture)
    box = picture.getchannel("A").getbbox()
    picture = picture.crop(box) if box else picture.crop((0, 0, 1, 1))
    if lettering.background is not None and lettering.background != CLEAR:
        below = Image.new("RGBA", picture.size, lettering.background)
        below.alpha_composite(picture)
        return below
    return picture


def _lines_along(
    pen: ImageDraw.ImageDraw,
    layer: TextLayer,
    line: tuple[float, float, float],
    ascent: float,
    size: float,
    color: Color,
) -> None:
    left, top, right = line
    thick = max(1, round(size / 16))
    if layer.underline:
        y = top + ascent + thick
        pen.rectangle((left, y, right, y + thick - 1), fill=color)
    if layer.strikethrough:
        y = top + ascent * 0.7
        pen.rectangle((left, y, right, y + thick - 1), fill=color)


def _slanted(picture: Image.Image) -> Image.Image:
    shift = _SLANT * picture.height
    return picture.transform(
        (picture.width + math.ceil(shift), picture.height),
        Image.Transform.AFFINE,
        (1, _SLANT, -shift, 0, 1, 0),
        Image.Resampling.BICUBIC,
    )


def _pieces(line: str, font: ImageFont.FreeTypeFont, spacing: float) -> list[tuple[float, str]]:
    """What is drawn at once: the line, or each letter where letters are spaced."""
    if not spacing:
        return [(0.0, line)] if line else []
    return [
        (font.getlength(line[:index]) + spacing * index, letter)
        for index, letter in enumerate(line)
    ]


def _length(line: str, font: ImageFont.FreeTypeFont, spacing: float) -> float:
    return font.getlength(line) + spacing * max(0, len(line) - 1)


def _lines(text: str, font: ImageFont.FreeTypeFont, spacing: float, width: int | None) -> list[str]:
    """The text's own lines, broken between words where they are wider than `width`."""
    own = text.split("\n")
    if width is None:
        return own
    lines: list[str] = []
    for paragraph in own:
        current = ""
        for word in paragraph.split(" "):
            longer = f"{current} {word}" if current else word
            if current and _length(longer, font, spacing) > width:
                lines.append(current)
                current = word
            else:
                current = longer
        lines.append(current)
    return lines


def _within_height(lines: list[str], step: float, height: int | None) -> list[str]:
    """The lines that fit, the last of them ended by dots when more would follow."""
    if height is None:
        return lines
    count = max(1, int(height / step))
    return lines if len(lines) <= count else [*lines[: count - 1], lines[count - 1] + "..."]
