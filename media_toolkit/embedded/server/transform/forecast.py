"""What a chain is going to cost, told by the sizes of its pictures before any is painted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from .budget import MAX_TURNED_SIDE, TURN_COST, check_size
from .geometry import Plan, Regions, Size, layer_place, plan_resize, relative_to
from .layers import ImageLayer
from .overlay import grown_size
from .parse import Component, LayerStep, TransformationError
from .values import Border, Effect, Rotation

# How large the stored picture of a layer is; MissingLayerError when there is none.
Measure = Callable[[ImageLayer], Size]


@dataclass
class Forecast:
    """Walks through a chain and adds up the `work`: the pixels of every picture it paints.

    `size` is that of the picture at hand. What trimming leaves and how large a text is are not
    known before: the picture is then taken to be as large as it may, and `is_sure` is False.
    """

    size: Size
    original: Size
    dpr: float
    measure: Measure
    regions: Regions = field(default_factory=Regions)
    work: int = 0
    is_sure: bool = True

    def follow(self, components: tuple[Component, ...]) -> int:
        """The work of the whole chain; TransformationError when one of its sizes is too large."""
        for component in components:
            for step in _STEPS:
                step(self, component)
        return self.work

    def plan(self, component: Component) -> Plan | None:
        """What the component's sizes mean; None for nothing, or when that cannot be told yet."""
        if not component.resizes:
            return None
        try:
            return plan_resize(
                component, self.size, self.original, self.dpr, lambda *_: (0.0, 0.0), self.regions
            )
        except TransformationError:
            if self.is_sure:
                raise
            return None

    def paint(self, size: Size, times: int = 1) -> None:
        """Go on with a picture of that size; TransformationError when it is too large."""
        if self.is_sure:
            check_size(size)
        self.size = size
        self.work += size[0] * size[1] * times


def _trim(ahead: Forecast, component: Component) -> None:
    effect: Effect | None = component.get("e")
    if effect is not None and effect.name == "trim":
        ahead.is_sure = False
        ahead.paint(ahead.size, 2)


def _turn_to_fit(ahead: Forecast, component: Component) -> None:
    rotation: Rotation | None = component.get("a")
    if rotation is None or rotation.auto is None:
        return
    plan = ahead.plan(component)
    if plan is not None and rotation.turns(ahead.size, plan.canvas):
        ahead.size = ahead.size[::-1]
        ahead.regions = Regions()


def _resize(ahead: Forecast, component: Component) -> None:
    plan = ahead.plan(component)
    if plan is not None:
        ahead.paint(plan.canvas)
        ahead.regions = ahead.regions.moved(plan.moved)
        return
    # Painters count when they are called for, also where they find nothing to do. Before a
    # resize that is not told: a JPEG may have been decoded at a reduced size by then.
    effect: Effect | None = component.get("e")
    called = ("a" in component.values) + (effect is not None and effect.name != "trim")
    ahead.paint(ahead.size, called + bool({"w", "h", "ar", "c"} & component.values.keys()))


def _layer(ahead: Forecast, component: Component) -> None:
    for key in ("l", "u"):
        step: LayerStep | None = component.get(key)
        if step is not None:
            ahead.paint(_with_layer(ahead, component, step, is_under=key == "u"))


def _with_layer(ahead: Forecast, component: Component, step: LayerStep, *, is_under: bool) -> Size:
    """The size of the picture with a layer on it, whose own work is added."""
    base, flags = ahead.size, component.get("fl", ())
    if not isinstance(step.layer, ImageLayer):
        ahead.is_sure = False
        return base
    size = ahead.measure(step.layer)
    components = step.components
    if "relative" in flags:
        components = tuple(relative_to(one, base, ahead.dpr) for one in components)
    layer = replace(ahead, size=size, regions=Regions(), work=size[0] * size[1])
    ahead.work += layer.follow(components)
    ahead.is_sure = layer.is_sure
    x, y = layer_place(component, base, layer.size, ahead.dpr, ahead.regions)
    keeps = {"no_overflow"} if is_under else {"no_overflow", "tiled", "cutter"}
    result = layer.size if is_under else base
    if not keeps & set(flags) and (is_under or "blend" not in component.values):
        result = (
            grown_size(layer.size, base, (-x, -y))
            if is_under
            else grown_size(base, layer.size, (x, y))
        )
        ahead.work += result[0] * result[1]
    if result != base:
        ahead.regions = Regions()
    return result


def _effect(ahead: Forecast, component: Component) -> None:
    effect: Effect | None = component.get("e")
    if effect is not None and effect.name != "trim":
        ahead.paint(ahead.size)


def _border(ahead: Forecast, component: Component) -> None:
    border: Border | None = component.get("bo")
    if border is not None:
        around = 2 * round(border.width * ahead.dpr)
        ahead.paint((ahead.size[0] + around, ahead.size[1] + around), 2)
        ahead.regions = Regions()
    elif "r" in component.values:
        ahead.paint(ahead.size)


def _opacity(ahead: Forecast, component: Component) -> None:
    if "o" in component.values:
        ahead.paint(ahead.size)


def _turn(ahead: Forecast, component: Component) -> None:
    rotation: Rotation | None = component.get("a")
    for degrees in rotation.steps if rotation is not None else ():
        if isinstance(degrees, float) and degrees:
            ahead.paint(turned_size(ahead.size, degrees), TURN_COST if degrees % 90 else 0)
    if rotation is not None:
        ahead.paint(ahead.size)
        ahead.regions = Regions() if rotation.steps else ahead.regions


def _background(ahead: Forecast, component: Component) -> None:
    if "b" in component.values:
        ahead.paint(ahead.size)


_STEPS: tuple[Callable[[Forecast, Component], None], ...] = (
    _trim,
    _turn_to_fit,
    _resize,
    _layer,
    _effect,
    _border,
    _opacity,
    _turn,
    _background,
)


def turned_size(size: Size, degrees: float) -> Size:
    """The least size of a picture that is first reduced to `MAX_TURNED_SIDE` and then turned."""
    factor = min(1.0, MAX_TURNED_SIDE / max(size))
    angle = math.radians(degrees)
    across, down = abs(math.cos(angle)) * factor, abs(math.sin(angle)) * factor
    return (
        max(1, int(size[0] * across + size[1] * down)),
        max(1, int(size[0] * down + size[1] * across)),
    )
