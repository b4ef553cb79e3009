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

from ..facts.formats import normal_format
from .colors import Color, read_color
from .layers import read_layer

CROP_MODES = frozenset(
    {"scale", "fit", "limit", "mfit", "fill", "lfill", "pad", "lpad", "mpad"}
    | {"fill_pad", "crop", "thumb", "auto"}
)
CUTTING_MODES = frozenset({"crop", "thumb", "fill", "lfill", "fill_pad", "auto"})
PAD_MODES = frozenset({"pad", "lpad", "mpad", "fill_pad"})
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
    """Where to look: a point as fractions of the free space, or `auto` for the busiest part.

    `regions` names stored coordinates that come first where a picture has them; `at_xy` makes
    `x` and `y` of the component the middle.
    """

    x: float = 0.5
    y: float = 0.5
    auto: bool = False
    regions: tuple[str, ...] = ()
    at_xy: bool = False


@dataclass(frozen=True)
class Rotation:
    """`steps` in their order: clockwise degrees, `hflip` or `vflip`.

    `ignore` leaves the EXIF orientation unapplied; `auto` is `auto_right` or `auto_left`.
    """

    steps: tuple[float | str, ...] = ()
    ignore: bool = False
    auto: str | None = None

    def turns(self, present: tuple[int, int], wanted: tuple[int, int]) -> bool:
        """Whether `auto` turns a picture: its shape is the other one, upright or lying."""
        upright = wanted[0] < wanted[1] and present[0] > present[1]
        return upright or (wanted[0] > wanted[1] and present[0] < present[1])


@dataclass(frozen=True)
class Length:
    """Pixels, or a `fraction` of a side of the picture at hand (or of the original)."""

    value: float
    fraction: bool = False
    of_original: str | None = None


@dataclass(frozen=True)
class Effect:
    """An effect's name, its `level`, and for those that take one, a colour or a mode."""

    name: str
    level: float | None = None
    option: Any = None


@dataclass(frozen=True)
class Border:
    """A solid border around a picture."""

    width: int
    color: Color


@dataclass(frozen=True)
class Background:
    """What is behind a picture: a colour, or None for the one that its own edges suggest."""

    color: Color | None


@dataclass(frozen=True)
class Level:
    """A number that an effect takes, and the one that stands for none; None: depends."""

    low: int
    high: int
    default: int | None


@dataclass(frozen=True)
class Offset:
    """A moment in a video: seconds, or a `share` of its length."""

    value: float
    share: bool = False

    def seconds(self, length: float) -> float:
        """The moment in a video that lasts `length` seconds."""
        return self.value * length if self.share else self.value


# Faces are not detected: without stored coordinates each of these is what Cloudinary documents
# for a picture in which none were found, which is `north` for a bare `face`.
_NORTH_FACE = Gravity(0.5, 0.0, regions=("face",))
_NORTH_FACES = Gravity(0.5, 0.0, regions=("faces",))
SPECIAL_GRAVITIES = {
    # Custom coordinates override automatic gravity.
    # https://cloudinary.com/documentation/custom_focus_areas
    "auto": Gravity(auto=True, regions=("custom",)),
    "auto:subject": Gravity(auto=True, regions=("custom",)),
    "auto:classic": Gravity(auto=True, regions=("custom",)),
    "auto:custom_no_override": Gravity(auto=True),
    "auto:face": Gravity(auto=True, regions=("custom", "face")),
    "auto:faces": Gravity(auto=True, regions=("custom", "faces")),
    "face": _NORTH_FACE,
    "face:auto": Gravity(auto=True, regions=("face",)),
    "face:center": Gravity(regions=("face",)),
    "faces": _NORTH_FACES,
    "faces:auto": Gravity(auto=True, regions=("faces",)),
    "faces:center": Gravity(regions=("faces",)),
    "custom": Gravity(regions=("custom",)),
    "custom:face": Gravity(0.5, 0.0, regions=("custom", "face")),
    "custom:faces": Gravity(0.5, 0.0, regions=("custom", "faces")),
    "xy_center": Gravity(at_xy=True),
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


VIDEO_ENCODABLE = frozenset({"mp4", "mov", "webm"})
ENCODABLE = frozenset({"jpg", "png", "webp", "avif", "gif", "bmp", "tiff", "ico", "jp2"})


def _format(text: str) -> str:
    if text in ("auto", "auto:image", "auto:animated", "auto:video"):
        return "auto"
    return _choice(ENCODABLE | VIDEO_ENCODABLE)(normal_format(text))


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


def _background(text: str) -> Background:
    """A colour, or `auto` and `auto:border`: the colour that most of the edge has."""
    if text in ("auto", "auto:border"):
        return Background(None)
    return Background(read_color(text))


def _border(text: str) -> Border:
    match = re.fullmatch(r"(\d{1,4})(?:px)?_solid_(.+)", text)
    if match is None:
        raise ValueError
    return Border(int(match.group(1)), read_color(match.group(2)))


def _effect(text: str) -> Effect:
    """`<name>` or `<name>:<argument>`; what an argument may be is told by `EFFECTS`."""
    name, colon, argument = text.partition(":")
    if name not in EFFECTS or (colon and not argument):
        raise ValueError
    read = EFFECTS[name]
    if isinstance(read, Level):
        if not argument:
            return Effect(name, read.default)
        if not re.fullmatch(r"-?\d{1,4}", argument) or not read.low <= int(argument) <= read.high:
            raise ValueError
        return Effect(name, int(argument))
    if read is None:
        if argument:
            raise ValueError
        return Effect(name)
    return read(argument)


def _trim(argument: str) -> Effect:
    """`<tolerance>[:<colour of the edge>]`."""
    tolerance, colon, color = argument.partition(":")
    if tolerance and not (tolerance.isdigit() and int(tolerance) <= 100):
        raise ValueError
    return Effect("trim", int(tolerance or 10), read_color(color) if colon else None)


def _improve(argument: str) -> Effect:
    """`[outdoor|indoor:]<blend>`."""
    *modes, last = argument.split(":")
    if last in ("indoor", "outdoor"):
        modes, last = [*modes, last], ""
    if len(modes) > 1 or any(mode not in ("indoor", "outdoor") for mode in modes):
        raise ValueError
    if last and not (last.isdigit() and int(last) <= 100):
        raise ValueError
    return Effect("improve", int(last or 100), modes[0] if modes else "outdoor")


def _opacity(text: str) -> float:
    if re.fullmatch(r"\d{1,3}", text) and int(text) <= 100:
        return int(text) / 100
    raise ValueError


def _dpr(text: str) -> float:
    return 1.0 if text == "auto" else _positive(10)(text)


def _offset(text: str) -> Offset:
    if re.fullmatch(r"\d{1,6}(\.\d{1,6})?", text):
        return Offset(float(text))
    match = re.fullmatch(r"(\d{1,3}(?:\.\d{1,6})?)[p%]", text)
    if match is None or float(match.group(1)) > 100:
        raise ValueError
    return Offset(float(match.group(1)) / 100, share=True)


def _page(text: str) -> int:
    if re.fullmatch(r"\d{1,5}", text) and int(text) > 0:
        return int(text)
    raise ValueError


FLAGS = frozenset(
    {"animated", "attachment", "awebp", "cutter", "force_strip", "ignore_aspect_ratio"}
    | {"immutable_cache", "layer_apply", "lossy", "no_overflow", "png8", "png24", "png32"}
    | {"preserve_transparency", "progressive", "relative", "strip_profile", "tiled"}
)
BLENDS = frozenset({"multiply", "overlay", "screen"})
_PERCENT = Level(0, 100, 100)
_STRENGTH = Level(1, 2000, 100)
# What an effect's argument may be: a level, nothing (None), or what a reader makes of it.
# Ranges and defaults: https://cloudinary.com/documentation/transformation_reference#e_effect
EFFECTS: dict[str, Level | Callable[[str], Effect] | None] = {
    "auto_brightness": _PERCENT,
    "auto_color": _PERCENT,
    "auto_contrast": _PERCENT,
    "blackwhite": Level(0, 100, 50),
    "blur": _STRENGTH,
    "blur_faces": _STRENGTH,
    "blur_region": _STRENGTH,
    "brightness": Level(-99, 100, 80),
    "colorize": _PERCENT,
    "contrast": Level(-100, 100, 0),
    "gamma": Level(-50, 150, 0),
    "grayscale": None,
    "hue": Level(-100, 100, 80),
    "improve": _improve,
    "multiply": None,
    "negate": None,
    "opacity_threshold": Level(1, 100, 50),
    "overlay": None,
    "pixelate": Level(1, 200, None),
    "pixelate_faces": Level(1, 200, None),
    "pixelate_region": Level(1, 200, None),
    "saturation": Level(-100, 100, 80),
    "screen": None,
    "sepia": Level(1, 100, 80),
    "sharpen": _STRENGTH,
    "trim": _trim,
    "unsharp_mask": _STRENGTH,
}
# These take x, y, w and h as their own: the picture is not resized.
REGION_EFFECTS = frozenset({"blur_region", "pixelate_region"})


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


# These are about time and sound, so only a video can have them.
VIDEO_KEYS = frozenset({"ac", "du", "eo", "so", "vc"})
PARAMETERS: dict[str, Parameter] = {
    "a": Parameter("angle", _rotation),
    "ac": Parameter("audio codec", _choice(frozenset({"none"}))),
    "ar": Parameter("aspect ratio", _aspect_ratio),
    "b": Parameter("background", _background),
    "bo": Parameter("border", _border),
    "c": Parameter("crop mode", _choice(CROP_MODES)),
    "co": Parameter("color", read_color),
    "dpr": Parameter("dpr", _dpr),
    "du": Parameter("duration", _offset),
    "e": Parameter("effect", _effect),
    "eo": Parameter("end offset", _offset),
    "f": Parameter("format", _format),
    "fl": Parameter("flag", _flags),
    "g": Parameter("gravity", _gravity),
    "h": Parameter("height", _length),
    "l": Parameter("overlay", read_layer),
    "o": Parameter("opacity", _opacity),
    "pg": Parameter("page", _page),
    "q": Parameter("quality", _quality),
    "r": Parameter("radius", _radius),
    "so": Parameter("start offset", _offset),
    "u": Parameter("underlay", read_layer),
    "vc": Parameter("video codec", _choice(frozenset({"auto"}))),
    "w": Parameter("width", _length),
    "x": Parameter("x", _coordinate),
    "y": Parameter("y", _coordinate),
    "z": Parameter("zoom", _positive(100)),
}
