"""Colours as they are written in transformations."""

from __future__ import annotations

import re

from PIL import ImageColor

Color = tuple[int, int, int, int]
WHITE: Color = (255, 255, 255, 255)
BLACK: Color = (0, 0, 0, 255)
CLEAR: Color = (255, 255, 255, 0)


def read_color(text: str) -> Color:
    """A colour name, or `rgb:` (or `#`) and 3, 4, 6 or 8 hex digits, as RGBA bytes; ValueError."""
    if text in ("transparent", "none"):
        return CLEAR
    if text.startswith(("rgb:", "#")):
        digits = text.removeprefix("rgb:").removeprefix("#")
        if not re.fullmatch(r"[0-9a-fA-F]{3,4}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8}", digits):
            raise ValueError
        text = f"#{digits}"
    elif not re.fullmatch(r"[a-z]+", text):
        raise ValueError
    rgba = ImageColor.getcolor(text, "RGBA")
    assert isinstance(rgba, tuple)
    return rgba  # type: ignore[return-value]
