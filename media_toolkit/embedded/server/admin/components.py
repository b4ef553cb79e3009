"""Transformation strings as the Admin API shows them: lists of parameters by their full names.

https://cloudinary.com/documentation/admin_api#get_transformation_details
"""

from __future__ import annotations

import re
from typing import Any

_NAMES = {
    "a": "angle", "ar": "aspect_ratio", "b": "background", "bo": "border", "br": "bit_rate",
    "c": "crop", "co": "color", "cs": "color_space", "d": "default_image", "dl": "delay",
    "dn": "density", "dpr": "dpr", "du": "duration", "e": "effect", "eo": "end_offset",
    "f": "fetch_format", "fl": "flags", "fps": "fps", "g": "gravity", "h": "height",
    "l": "overlay", "o": "opacity", "p": "prefix", "pg": "page", "q": "quality", "r": "radius",
    "so": "start_offset", "t": "transformation", "u": "underlay", "vc": "video_codec",
    "vs": "video_sampling", "w": "width", "x": "x", "y": "y", "z": "zoom",
}  # fmt: skip
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_KEPT_AS_TEXT = frozenset({"b", "co", "e", "f", "g", "l", "t", "u", "d", "p"})


def components(text: str) -> list[dict[str, Any]]:
    """`c_fill,w_100/e_sepia` as `[{"crop": "fill", "width": 100}, {"effect": "sepia"}]`."""
    steps = []
    for step in text.split("/"):
        shown: dict[str, Any] = {}
        raw = []
        for parameter in step.split(","):
            key, mark, value = parameter.partition("_")
            if mark and key in _NAMES:
                shown[_NAMES[key]] = value if key in _KEPT_AS_TEXT else _value(value)
            elif parameter:
                raw.append(parameter)
        if raw:
            shown["raw_transformation"] = ",".join(raw)
        steps.append(shown)
    return steps


def _value(text: str) -> str | int | float:
    if not _NUMBER.fullmatch(text):
        return text
    return float(text) if "." in text else int(text)
