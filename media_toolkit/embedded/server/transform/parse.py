"""Transformation strings as chains of components; nothing here knows about pixels.

A transformation is a chain of components joined by `/`; a component is parameters joined by `,`;
a parameter is a key, `_` and a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .layers import ImageLayer, Layer
from .values import BLENDS, CUTTING_MODES, PARAMETERS, REGION_EFFECTS, Gravity

MAX_COMPONENTS = 50
MAX_LENGTH = 8000
MAX_NAMED_DEPTH = 4

_LOOKS_LIKE = re.compile(r"([a-z]{1,3})_(.*)", re.DOTALL)
# Keys that Cloudinary knows and this server does not implement: still never part of a public_id.
FOREIGN_KEYS = frozenset(
    {"af", "bl", "br", "cs", "d", "dl", "dn", "dr", "fn", "fps", "if", "ki", "p", "sp", "t", "vs"}
)
_PLACEMENT_KEYS = frozenset({"g", "x", "y", "fl"})
# The text that `t_<name>` stands for, or None.
Names = Callable[[str], str | None]


class TransformationError(Exception):
    """A transformation that is wrong or not implemented; the text names the part."""


class MissingLayerError(Exception):
    """A layer's picture is not stored; the text is its public_id."""


@dataclass(frozen=True)
class Component:
    """One step of a chain: its parameters by key, each value already read."""

    values: Mapping[str, Any]

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a parameter, or `default`."""
        return self.values.get(key, default)

    @property
    def resizes(self) -> bool:
        """Whether its sizes are for the whole picture and not for a part that an effect is for."""
        effect = self.values.get("e")
        return effect is None or effect.name not in REGION_EFFECTS


@dataclass(frozen=True)
class LayerStep:
    """A layer and the chain that is applied to it alone; stands under `l` or `u`.

    The component that it stands in places it; a blend mode stands there under `blend`.
    """

    layer: Layer
    components: tuple[Component, ...]


@dataclass(frozen=True)
class Transformation:
    """A whole chain. `text` is how it was written; `full` has named ones written out."""

    components: tuple[Component, ...] = ()
    text: str = ""
    full: str = ""

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
            set(one.values) != {"fl"} or {"strip_profile", "force_strip"} & set(one.values["fl"])
            for one in self.components
        )

    @property
    def flags(self) -> frozenset[str]:
        """All flags of all components."""
        return frozenset(flag for one in self.components for flag in one.get("fl", ()))

    @property
    def pictures(self) -> frozenset[ImageLayer]:
        """The stored pictures that are laid over or under, at any depth."""
        return frozenset(
            step.layer
            for step in _layer_steps(self.components)
            if isinstance(step.layer, ImageLayer)
        )


def _layer_steps(components: tuple[Component, ...]) -> Iterator[LayerStep]:
    for component in components:
        for key in ("l", "u"):
            if key in component.values:
                yield component.values[key]
                yield from _layer_steps(component.values[key].components)


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


def parse_transformation(text: str, names: Names | None = None) -> Transformation:
    """Read a chain of components joined by `/`; TransformationError when any is wrong.

    `names` tells what named transformations stand for; without it there are none.
    """
    text = text.strip("/")
    if not text:
        return Transformation()
    segments = _expanded(text, names, MAX_NAMED_DEPTH)
    if len(segments) > MAX_COMPONENTS or len(text) > MAX_LENGTH:
        raise TransformationError(f"Too many transformation components - at most {MAX_COMPONENTS}")
    components = [parse_component(segment) for segment in segments]
    return Transformation(_with_layers(components), text, "/".join(segments))


def _expanded(text: str, names: Names | None, depth: int) -> list[str]:
    """The segments of a chain, each named transformation replaced by its own."""
    segments: list[str] = []
    for segment in text.split("/"):
        parts = segment.split(",")
        named = [part for part in parts if part.startswith("t_")]
        if not named or names is None:
            segments.append(segment)
            continue
        for name in (name for part in named for name in part[2:].split(".")):
            found = names(name)
            if found is None or depth == 0:
                raise TransformationError(f"Invalid transformation component - t_{name}")
            segments += _expanded(found.strip("/"), names, depth - 1)
        rest = [part for part in parts if not part.startswith("t_")]
        if rest:
            segments.append(",".join(rest))
        if len(segments) > MAX_COMPONENTS:
            break
    return segments


def _with_layers(components: list[Component]) -> tuple[Component, ...]:
    """Fold each layer and what is applied to it into one component, which places it.

    A layer is closed by the `fl_layer_apply` that matches it as brackets do; one without is a
    layer, its changes and its place in one component.
    https://cloudinary.com/documentation/layers#layer_transformation_syntax
    """
    open_layers: list[int] = []
    done: list[Component] = []
    for component in components:
        if "layer_apply" in component.get("fl", ()):
            if not open_layers:
                raise TransformationError("fl_layer_apply without a layer")
            start = open_layers.pop()
            opening, inside = done[start], done[start + 1 :]
            done[start:] = [_applied(opening, inside, component)]
            continue
        if _holds_layer(component):
            open_layers.append(len(done))
        done.append(component)
    done = [_placed(one) if _is_open(one) else one for one in done]
    for component in done:
        effect = component.get("e")
        if effect is not None and effect.name in BLENDS:
            raise TransformationError(f"e_{effect.name} without a layer")
    return tuple(done)


def _holds_layer(component: Component) -> bool:
    return "l" in component.values or "u" in component.values


def _is_open(component: Component) -> bool:
    return any(
        key in component.values and not isinstance(component.values[key], LayerStep)
        for key in ("l", "u")
    )


def _layer_key(component: Component) -> str:
    if {"l", "u"} <= component.values.keys():
        raise TransformationError("Invalid transformation component - both an overlay and underlay")
    return "l" if "l" in component.values else "u"


def _applied(opening: Component, inside: list[Component], placing: Component) -> Component:
    """A closed layer: `opening`, what is done to it, and the component of `fl_layer_apply`."""
    foreign = placing.values.keys() - _PLACEMENT_KEYS - {"e"}
    effect = placing.get("e")
    if foreign or (effect is not None and effect.name not in BLENDS):
        name = min(foreign) if foreign else f"e_{effect.name}"
        raise TransformationError(f"Unsupported parameter with fl_layer_apply - {name}")
    alone = _placed(opening, cuts=opening.get("c") in CUTTING_MODES)
    inside = [_placed(one) if _is_open(one) else one for one in inside]
    key = _layer_key(opening)
    step: LayerStep = alone.values[key]
    step = replace(step, components=(*step.components, *inside))
    values = {**alone.values, **placing.values}
    values["fl"] = (*alone.get("fl", ()), *placing.get("fl", ()))
    if effect is not None:
        values["blend"] = values.pop("e").name
    return Component({**values, key: step})


def _placed(opening: Component, *, cuts: bool = False) -> Component:
    """A layer that is opened, changed and placed by one component.

    Where it `cuts` and another component places it, gravity and coordinates are the cut's.
    """
    key = _layer_key(opening)
    keys = frozenset({"fl"}) if cuts else _PLACEMENT_KEYS
    placement = {k: v for k, v in opening.values.items() if k in keys}
    changes = {k: v for k, v in opening.values.items() if k not in keys and k != key}
    if "e" in changes and changes["e"].name in BLENDS:
        placement["blend"] = changes.pop("e").name
    step = LayerStep(opening.values[key], (Component(changes),) if changes else ())
    return Component({**placement, key: step})


def without_automatic_gravity(transformation: Transformation) -> Transformation:
    """The same chain with `center` for automatic gravity, as moving pictures are cut.

    https://cloudinary.com/documentation/animated_images
    """
    components = tuple(
        Component(
            {
                key: replace(value, auto=False)
                if isinstance(value, Gravity) and value.auto
                else value
                for key, value in component.values.items()
            }
        )
        for component in transformation.components
    )
    return replace(transformation, components=components)
