"""Transformation strings as chains of components; nothing here knows about pixels.

A transformation is a chain of components joined by `/`; a component is parameters joined by `,`;
a parameter is a key, `_` and a value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .values import PARAMETERS, Gravity

MAX_COMPONENTS = 50
MAX_LENGTH = 8000

_LOOKS_LIKE = re.compile(r"([a-z]{1,3})_(.*)", re.DOTALL)
# Keys that Cloudinary knows and this server does not implement: still never part of a public_id.
FOREIGN_KEYS = frozenset(
    {"ac", "af", "bl", "bo", "br", "co", "cs", "d", "dl", "dn", "dr", "du", "eo", "fn", "fps"}
    | {"if", "ki", "l", "p", "pg", "so", "sp", "t", "u", "vc", "vs"}
)


class TransformationError(Exception):
    """A transformation that is wrong or not implemented; the text names the part."""


@dataclass(frozen=True)
class Component:
    """One step of a chain: its parameters by key, each value already read."""

    values: Mapping[str, Any]

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a parameter, or `default`."""
        return self.values.get(key, default)


@dataclass(frozen=True)
class Transformation:
    """A whole chain, and `text`, its canonical spelling as it stood in the URL."""

    components: tuple[Component, ...] = ()
    text: str = ""

    def last(self, key: str) -> Any:
        """The value of a parameter in the last component that has it, or None."""
        for component in reversed(self.components):
            if key in component.values:
                return component.values[key]
        return None

    @property
    def dpr(self) -> float:
        """What lengths in pixels are multiplied by, wherever in the chain it stands."""
        return self.last("dpr") or 1.0

    @property
    def paints(self) -> bool:
        """Whether any parameter is about the picture and not only about how it is delivered."""
        return any(
            set(one.values) != {"fl"} or "strip_profile" in one.values["fl"]
            for one in self.components
        )

    @property
    def flags(self) -> frozenset[str]:
        """All flags of all components."""
        return frozenset(flag for one in self.components for flag in one.get("fl", ()))


def looks_like_component(segment: str) -> bool:
    """Whether every part of a URL segment has the shape `key_value`."""
    return all(_LOOKS_LIKE.fullmatch(part) for part in segment.split(","))


def is_component(segment: str) -> bool:
    """Whether a URL segment belongs to the transformation: one of its keys is Cloudinary's."""
    for part in segment.split(","):
        match = _LOOKS_LIKE.fullmatch(part)
        if match and (match.group(1) in PARAMETERS or match.group(1) in FOREIGN_KEYS):
            return True
        if part.startswith("$") and "_" in part:
            return True
    return False


def parse_component(segment: str) -> Component:
    """Read one component; TransformationError names the parameter that is not understood."""
    values: dict[str, Any] = {}
    for part in segment.split(","):
        match = _LOOKS_LIKE.fullmatch(part)
        parameter = PARAMETERS.get(match.group(1)) if match else None
        if match is None or parameter is None:
            raise TransformationError(f"Invalid transformation component - {part}")
        try:
            values[match.group(1)] = parameter.read(match.group(2))
        except ValueError as error:
            raise TransformationError(
                f"Invalid {parameter.name} in transformation: {match.group(2)} ({part})"
            ) from error
    return Component(values)


def parse_transformation(text: str) -> Transformation:
    """Read a chain of components joined by `/`; TransformationError when any is wrong."""
    text = text.strip("/")
    if not text:
        return Transformation()
    segments = text.split("/")
    if len(segments) > MAX_COMPONENTS or len(text) > MAX_LENGTH:
        raise TransformationError(f"Too many transformation components - at most {MAX_COMPONENTS}")
    return Transformation(tuple(parse_component(segment) for segment in segments), text)


def without_automatic_gravity(transformation: Transformation) -> Transformation:
    """The same chain with `center` for automatic gravity, as moving pictures are cut.

    https://cloudinary.com/documentation/animated_images
    """
    components = tuple(
        Component(
            {
                key: Gravity() if isinstance(value, Gravity) and value.auto else value
                for key, value in component.values.items()
            }
        )
        for component in transformation.components
    )
    return Transformation(components, transformation.text)
