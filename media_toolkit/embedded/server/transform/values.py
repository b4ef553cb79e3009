"""The values of transformation parameters: what each key takes, and how it is read.

`PARAMETERS` is the table of what is implemented. To add a parameter, write a reader that returns
its value or raises ValueError, enter it here, and enter a painter in `paint.PAINTERS`.

https://cloudinary.com/documentation/transformation_reference
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from PIL import ImageColor

from ..formats import normal_format

CROP_MODES = frozenset(
    {"scale", "fit", "limit", "mfit", "fill", "lfill", "pad", "lpad", "mpad"}
    | {"crop", "thumb", "auto"}
)
COMPASS = {
    "north_west": (0.0, 0.0),
    "north": (0.5, 0.0),
    "north_east": (1.0, 0.0),
    "west": (0.0, 0.5),
    "center": (0.5, 0.5),
    "east": (1.0, 0.5),
    "south_west": (0.0, 1.0),
    "south": (0.5, 1.0),
    "south_east": (1.0, 1.0),
}


@dataclass(frozen=True)
class Quality:
    """`number` 1-100; `auto` names the level of an automatic one, `chroma` 420 or 444."""

    number: int
    auto: str | None = None
    chroma: str | None = None


@dataclass(frozen=True)
class Gravity:
    """Where to look: a point as fractions of the free space, or `auto` for the busiest part."""

    x: float = 0.5
    y: float = 0.5
    auto: bool = False


@dataclass(frozen=True)
class Rotation:
    """`steps` in their order: clockwise degrees, `hflip` or `vflip`.

    `ignore` leaves the EXIF orientation unapplied; `auto` is `auto_right` or `auto_left`.
    """

    steps: tuple[float | str, ...] = ()
    ignore: bool = False
    auto: str | None = None


@dataclass(frozen=True)
class Length:
    """Pixels, or a `fraction` of a side of the picture at hand (or of the original)."""

    value: float
    fraction: bool = False
    of_original: str | None = None


@dataclass(frozen=True)
class Effect:
    """An effect's name and what follows its colon."""

    name: str
    argument: str = ""


# There are no stored coordinates yet and faces are not detected: each of these is what
# Cloudinary documents for a picture without them, which is `north` for a bare `face`.
SPECIAL_GRAVITIES = {
    "auto": Gravity(auto=True),
    "auto:subject": Gravity(auto=True),
    "auto:classic": Gravity(auto=True),
    "auto:face": Gravity(auto=True),
    "auto:faces": Gravity(auto=True),
    "face": Gravity(0.5, 0.0),
    "face:auto": Gravity(auto=True),
    "face:center": Gravity(),
    "faces": Gravity(0.5, 0.0),
    "faces:auto": Gravity(auto=True),
    "faces:center": Gravity(),
    "custom": Gravity(),
    "custom:face": Gravity(0.5, 0.0),
    "custom:faces": Gravity(0.5, 0.0),
}


def _length(text: str) -> Length:
    if text in ("iw", "ih"):
        return Length(1.0, True, text)
    if re.fullmatch(r"\d+", text) and 0 < int(text) <= 1_000_000:
        return Length(float(text))
    if re.fullmatch(r"\d*\.\d+", text) and 0 < float(text) <= 1000:
        return Length(float(text), fraction=True)
    raise ValueError


def _coordinate(text: str) -> Length:
    if re.fullmatch(r"-?\d{1,7}", text):
        return Length(float(text))
    if re.fullmatch(r"-?\d{0,4}\.\d+", text):
        return Length(float(text), fraction=True)
    raise ValueError


def _positive(limit: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        if re.fullmatch(r"\d{1,5}(\.\d+)?|\.\d+", text) and 0 < float(text) <= limit:
            return float(text)
        raise ValueError

    return read


def _aspect_ratio(text: str) -> float:
    first, colon, second = text.partition(":")
    number = _positive(10_000)
    return number(first) / number(second) if colon else number(text)


def _choice(choices: frozenset[str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text in choices:
            return text
        raise ValueError

    return read


def _gravity(text: str) -> Gravity:
    if text in COMPASS:
        return Gravity(*COMPASS[text])
    if text in SPECIAL_GRAVITIES:
        return SPECIAL_GRAVITIES[text]
    raise ValueError


_AUTO_QUALITY = {"best": 90, "good": 80, "eco": 65, "low": 50}


def _quality(text: str) -> Quality:
    if match := re.fullmatch(r"auto(?::(best|good|eco|low))?(:sensitive)?", text):
        level = match.group(1) or "good"
        return Quality(_AUTO_QUALITY[level] + (5 if match.group(2) else 0), auto=level)
    match = re.fullmatch(r"(\d{1,3})(?:\.0)?(?::(420|444))?", text)
    if match is None or not 1 <= int(match.group(1)) <= 100:
        raise ValueError
    return Quality(int(match.group(1)), chroma=match.group(2))


ENCODABLE = frozenset({"jpg", "png", "webp", "avif", "gif", "bmp", "tiff", "ico", "jp2"})


def _format(text: str) -> str:
    if text in ("auto", "auto:image", "auto:animated"):
        return "auto"
    return _choice(ENCODABLE)(normal_format(text))


def _rotation(text: str) -> Rotation:
    steps: list[float | str] = []
    ignore, auto = False, None
    for part in text.split("."):
        if re.fullmatch(r"-?\d{1,5}", part):
            steps.append(float(part) % 360)
        elif part in ("hflip", "vflip"):
            steps.append(part)
        elif part == "ignore":
            ignore = True
        elif part in ("auto_right", "auto_left"):
            auto = part
        elif part != "exif":
            raise ValueError
    return Rotation(tuple(steps), ignore, auto)


def _radius(text: str) -> tuple[float, ...]:
    """Corners from the top left, clockwise; a single infinity for `max`."""
    if text == "max":
        return (float("inf"),)
    corners = tuple(float("inf") if c == "max" else float(int(c)) for c in text.split(":"))
    if not 1 <= len(corners) <= 4 or min(corners) < 0:
        raise ValueError
    return corners


def _color(text: str) -> tuple[int, int, int, int]:
    """A colour name, or `rgb:` and 3, 4, 6 or 8 hex digits, as RGBA bytes."""
    if text in ("transparent", "none"):
        return (255, 255, 255, 0)
    if text.startswith("rgb:"):
        digits = text[4:]
        if not re.fullmatch(r"[0-9a-fA-F]{3,4}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8}", digits):
            raise ValueError
        text = f"#{digits}"
    elif not re.fullmatch(r"[a-z]+", text):
        raise ValueError
    rgba = ImageColor.getcolor(text, "RGBA")
    assert isinstance(rgba, tuple)
    return rgba  # type: ignore[return-value]


def _effect(text: str) -> Effect:
    name, colon, argument = text.partition(":")
    pattern = EFFECTS.get(name)
    if pattern is None or not re.fullmatch(pattern, argument) or (colon and not argument):
        raise ValueError
    return Effect(name, argument)


def _opacity(text: str) -> float:
    if re.fullmatch(r"\d{1,3}", text) and int(text) <= 100:
        return int(text) / 100
    raise ValueError


def _dpr(text: str) -> float:
    return 1.0 if text == "auto" else _positive(10)(text)


FLAGS = frozenset(
    {"animated", "attachment", "awebp", "immutable_cache", "lossy", "preserve_transparency"}
    | {"progressive", "strip_profile"}
)
# What may follow an effect's colon, as a pattern: nothing for most.
EFFECTS = {"grayscale": ""}


_FLAG_ARGUMENTS = {
    "attachment": r"[A-Za-z0-9_\-! ]{1,200}",
    "progressive": "semi|steep|none",
}


def _flags(text: str) -> tuple[str, ...]:
    flags = tuple(text.split("."))
    for flag in flags:
        name, colon, argument = flag.partition(":")
        allowed = _FLAG_ARGUMENTS.get(name, "") if colon else ""
        if name not in FLAGS or not re.fullmatch(allowed, argument):
            raise ValueError
    return flags


@dataclass(frozen=True)
class Parameter:
    """How a key is called in messages and how its value is read (ValueError: it cannot be)."""

    name: str
    read: Callable[[str], Any] = field(repr=False)


PARAMETERS: dict[str, Parameter] = {
    "a": Parameter("angle", _rotation),
    "ar": Parameter("aspect ratio", _aspect_ratio),
    "b": Parameter("background", _color),
    "c": Parameter("crop mode", _choice(CROP_MODES)),
    "dpr": Parameter("dpr", _dpr),
    "e": Parameter("effect", _effect),
    "f": Parameter("format", _format),
    "fl": Parameter("flag", _flags),
    "g": Parameter("gravity", _gravity),
    "h": Parameter("height", _length),
    "o": Parameter("opacity", _opacity),
    "q": Parameter("quality", _quality),
    "r": Parameter("radius", _radius),
    "w": Parameter("width", _length),
    "x": Parameter("x", _coordinate),
    "y": Parameter("y", _coordinate),
    "z": Parameter("zoom", _positive(100)),
}
