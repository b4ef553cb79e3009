"""Pixels: each component of a chain applied to a picture with Pillow.

`PAINTERS` lists what happens inside one component, in that order, each painter with the
parameters that call for it. To add a parameter: enter how it is read in `values.PARAMETERS`,
write a painter here, and enter it in `PAINTERS`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

from PIL import Image, ImageOps

from . import overlay
from .budget import MAX_TURNED_SIDE, TURN_COST, Budget
from .canvas import Canvas, Opener, no_layers
from .colors import BLACK, CLEAR, WHITE, Color
from .corners import bordered, round_corners
from .effects import EFFECTS, trim_box
from .forecast import Forecast
from .geometry import (
    Box,
    Plan,
    Regions,
    Size,
    layer_place,
    part,
    plan_resize,
    relative_to,
)
from .layers import ImageLayer, TextLayer
from .parse import Component, LayerStep, Transformation
from .pixels import edge_color, flattened, has_alpha, orientation, plain, to_srgb
from .saliency import busiest_window
from .text import Lettering, draw_text
from .values import PAD_MODES, REGION_EFFECTS, Background, Border, Effect, Rotation

# What can be decoded at another size, and how many times the wanted one.
_DRAFTED = {"JPEG": 2, "MPO": 2, "PDF": 1, "SVG": 1}

Painter = Callable[[Canvas, Component], None]


def paint(
    image: Image.Image,
    transformation: Transformation,
    regions: Regions | None = None,
    open_layer: Opener = no_layers,
    budget: Budget | None = None,
    ground: Color = WHITE,
) -> Image.Image:
    """Apply the whole chain to an opened image; only to its current frame.

    `ground` is what opaque pictures are padded with.

    Returns a picture in mode L, LA, RGB or RGBA. TransformationError when a size is too large or
    the work too much; MissingLayerError when a layer's picture is not there.
    """
    turned = orientation(image) if not _ignores_orientation(transformation) else 1
    size = image.size if turned < 5 else (image.height, image.width)
    known, cost = regions or Regions(), budget or Budget()
    canvas = Canvas(image, size, size, transformation.dpr, known, open_layer, cost, ground)
    # Some formats tell their orientation at their end only: no picture is measured twice.
    measure = functools.cache(lambda layer: _layer_size(canvas, layer))
    ahead = Forecast(size, size, canvas.dpr, measure, known)
    canvas.budget.foresee(ahead.follow(transformation.components))
    _decode_reduced(canvas, transformation, swapped=turned >= 5)
    canvas.image.load()
    if turned > 1:
        canvas.image = ImageOps.exif_transpose(canvas.image) or canvas.image
    canvas.image = plain(canvas.image)
    if {"strip_profile", "force_strip"} & transformation.flags:
        canvas.image = to_srgb(canvas.image)
    _apply(canvas, transformation.components)
    return canvas.image


def _apply(canvas: Canvas, components: tuple[Component, ...]) -> None:
    for component in components:
        for keys, painter in PAINTERS:
            if any(key in component.values for key in keys):
                painter(canvas, component)
                canvas.budget.spend(canvas.image.size)


def _ignores_orientation(transformation: Transformation) -> bool:
    rotations = (component.get("a") for component in transformation.components)
    return any(rotation is not None and rotation.ignore for rotation in rotations)


def _plan(canvas: Canvas, component: Component, *, finds: bool = True) -> Plan | None:
    """What the component's sizes mean for the picture at hand; None when they mean nothing."""
    if not component.resizes:
        return None
    return plan_resize(
        component,
        canvas.size,
        canvas.original,
        canvas.dpr,
        (lambda width, height: busiest_window(canvas.image, canvas.size, width, height))
        if finds
        else None,
        canvas.regions,
    )


def _decode_reduced(canvas: Canvas, transformation: Transformation, *, swapped: bool) -> None:
    """Let the decoder do some of the first resize: a JPEG's halvings, a document's zoom."""
    first = next((one for one in transformation.components if one.values.keys() - {"pg"}), None)
    if canvas.image.format not in _DRAFTED or first is None:
        return
    rotation: Rotation | None = first.get("a")
    if (rotation is not None and rotation.auto is not None) or _trims(first):
        return
    plan = _plan(canvas, first, finds=False)
    if plan is None:
        return
    across = plan.size[0] / (plan.box[2] - plan.box[0])
    down = plan.size[1] / (plan.box[3] - plan.box[1])
    spare = _DRAFTED[canvas.image.format]
    wanted = (
        math.ceil(canvas.size[0] * across * spare),
        math.ceil(canvas.size[1] * down * spare),
    )
    canvas.image.draft(None, (wanted[1], wanted[0]) if swapped else wanted)


def _trims(component: Component) -> bool:
    effect: Effect | None = component.get("e")
    return effect is not None and effect.name == "trim"


def _turn_to_fit(canvas: Canvas, component: Component) -> None:
    """`a_auto_right` and `a_auto_left`: a quarter turn when the wanted shape is the other one."""
    rotation: Rotation = component.get("a")
    if rotation.auto is None:
        return
    plan = _plan(canvas, component)
    if plan is None:
        return
    if rotation.turns(canvas.size, plan.canvas):
        turn = Image.Transpose.ROTATE_270
        if rotation.auto == "auto_left":
            turn = Image.Transpose.ROTATE_90
        canvas.replace(canvas.image.transpose(turn))
        canvas.regions = Regions()


def _trim(canvas: Canvas, component: Component) -> None:
    """Edges go before sizes count."""
    if not _trims(component):
        return
    box = trim_box(canvas.image, component.get("e"))
    if box is not None:
        canvas.replace(canvas.image.crop(box))
        canvas.regions = canvas.regions.moved(
            lambda one: (one[0] - box[0], one[1] - box[1], one[2] - box[0], one[3] - box[1])
        )


def _resize(canvas: Canvas, component: Component) -> None:
    plan = _plan(canvas, component)
    if plan is None:
        return
    resized = _cut_and_scale(canvas, plan)
    if component.get("c") in PAD_MODES:
        resized = _padded(resized, plan, component.get("b"), canvas)
    canvas.replace(resized)
    canvas.regions = canvas.regions.moved(plan.moved)


def _cut_and_scale(canvas: Canvas, plan: Plan) -> Image.Image:
    image = canvas.image
    across = image.width / canvas.size[0]
    down = image.height / canvas.size[1]
    left, top, right, bottom = plan.box
    box: Box = (left * across, top * down, right * across, bottom * down)
    whole = tuple(round(side) for side in box)
    if box == whole and (whole[2] - whole[0], whole[3] - whole[1]) == plan.size:
        if whole == (0, 0, *image.size):
            return image
        return image.crop((whole[0], whole[1], whole[2], whole[3]))
    shrinks = plan.size[0] * 2 < box[2] - box[0] and plan.size[1] * 2 < box[3] - box[1]
    return image.resize(
        plan.size,
        Image.Resampling.LANCZOS,
        box=(box[0], box[1], min(box[2], image.width), min(box[3], image.height)),
        reducing_gap=2.0 if shrinks else None,
    )


def _padded(
    image: Image.Image, plan: Plan, background: Background | None, canvas: Canvas
) -> Image.Image:
    color = CLEAR if has_alpha(image) else canvas.ground
    if background is not None:
        color = background.color or edge_color(canvas.image)
    mode = "RGBA" if has_alpha(image) or color[3] < 255 else "RGB"
    if not plan.pads and not has_alpha(image):
        return image
    below = Image.new(mode, plan.canvas, color if mode == "RGBA" else color[:3])
    if has_alpha(image):
        below.alpha_composite(image.convert("RGBA"), plan.offset)
    else:
        below.paste(image.convert(mode), plan.offset)
    below.info.update(image.info)
    return below


def _effect(canvas: Canvas, component: Component) -> None:
    effect: Effect = component.get("e")
    if effect.name == "trim":
        return
    color: Color = component.get("co", BLACK)
    if effect.name in REGION_EFFECTS:
        box = part(component, canvas.size, canvas.original)
        canvas.replace(_changed_in(canvas.image, [box], effect, color))
    elif effect.name.endswith("_faces"):
        faces = list(canvas.regions.faces)
        canvas.replace(_changed_in(canvas.image, faces, effect, color))
    else:
        canvas.replace(EFFECTS[effect.name](canvas.image, effect, color))


def _changed_in(image: Image.Image, boxes: list[Box], effect: Effect, color: Color) -> Image.Image:
    """The picture with an effect on some of its parts."""
    result = image.copy()
    for box in boxes:
        left, top, right, bottom = (round(side) for side in box)
        inside = result.crop((left, top, min(right, image.width), min(bottom, image.height)))
        if inside.width and inside.height:
            result.paste(EFFECTS[effect.name](inside, effect, color), (left, top))
    return result


def _round_corners(canvas: Canvas, component: Component) -> None:
    border: Border | None = component.get("bo")
    radii = component.get("r")
    if border is not None:
        around = 2 * round(border.width * canvas.dpr)
        canvas.budget.spend((canvas.image.width + around, canvas.image.height + around))
        canvas.replace(bordered(canvas.image, border.width, border.color, radii, canvas.dpr))
        canvas.regions = Regions()
    elif any(radii):
        canvas.replace(round_corners(canvas.image, radii, canvas.dpr))


def _opacity(canvas: Canvas, component: Component) -> None:
    image = canvas.image.convert("RGBA")
    share = component.get("o")
    image.putalpha(image.getchannel("A").point([int(value * share + 0.5) for value in range(256)]))
    image.info.update(canvas.image.info)
    canvas.replace(image)


def _background(canvas: Canvas, component: Component) -> None:
    if component.get("c") in PAD_MODES and {"w", "h", "ar"} & component.values.keys():
        return
    background: Background = component.get("b")
    if has_alpha(canvas.image):
        color = background.color or edge_color(canvas.image)
        if color[3] > 0:
            canvas.replace(flattened(canvas.image, color))


def _rotate(canvas: Canvas, component: Component) -> None:
    """Turn and flip, in the order written; other than quarter turns leave clear corners."""
    rotation: Rotation = component.get("a")
    image = canvas.image
    for step in rotation.steps:
        if step == "hflip":
            image = ImageOps.mirror(image)
        elif step == "vflip":
            image = ImageOps.flip(image)
        elif isinstance(step, float) and step:
            image = _turned(image, step)
            if step % 90:
                for _ in range(TURN_COST):
                    canvas.budget.spend(image.size)
    if rotation.steps:
        canvas.replace(image)
        canvas.regions = Regions()


def _turned(image: Image.Image, degrees: float) -> Image.Image:
    if max(image.size) > MAX_TURNED_SIDE:
        image = ImageOps.contain(
            image, (MAX_TURNED_SIDE, MAX_TURNED_SIDE), Image.Resampling.LANCZOS
        )
    quarter = {
        90.0: Image.Transpose.ROTATE_270,
        180.0: Image.Transpose.ROTATE_180,
        270.0: Image.Transpose.ROTATE_90,
    }.get(degrees)
    if quarter is not None:
        return image.transpose(quarter)
    return image.convert("RGBA").rotate(
        -degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=CLEAR
    )


def _layer(canvas: Canvas, component: Component) -> None:
    """Lay a picture or text over (`l`) or under (`u`) the one at hand."""
    under = "u" in component.values
    flags = component.get("fl", ())
    above = _layer_picture(canvas, component.get("u" if under else "l"), "relative" in flags)
    base = canvas.image
    at = layer_place(component, base.size, above.size, canvas.dpr, canvas.regions)
    blend: str | None = component.get("blend")
    if under:
        # The layer is what the picture is put on, and the picture stays what is placed around.
        at = (-at[0], -at[1])
        _check_grown(canvas, above.size, base.size, at, flags)
        result = overlay.laid_over(above, base, at, grows="no_overflow" not in flags)
    elif "tiled" in flags or "cutter" in flags or blend is not None:
        same = (
            overlay.tiled(above, base.size, at)
            if "tiled" in flags
            else overlay.on_canvas(above, base.size, at)
        )
        if blend is not None:
            result = overlay.blended(base, same, blend)
        elif "cutter" in flags:
            result = overlay.cut_out(base, same)
        else:
            result = overlay.laid_over(base, same, (0, 0), grows=False)
    else:
        _check_grown(canvas, base.size, above.size, at, flags)
        result = overlay.laid_over(base, above, at, grows="no_overflow" not in flags)
    if result.size != base.size:
        canvas.regions = Regions()
    canvas.replace(result)


def _check_grown(
    canvas: Canvas, below: Size, above: Size, at: overlay.Point, flags: tuple[str, ...]
) -> None:
    if "no_overflow" not in flags:
        canvas.budget.spend(overlay.grown_size(below, above, at))


def _layer_size(canvas: Canvas, layer: ImageLayer) -> Size:
    with canvas.open_layer(layer) as opened:
        return opened.size if orientation(opened) < 5 else (opened.height, opened.width)


def _layer_picture(canvas: Canvas, step: LayerStep, relative: bool) -> Image.Image:
    components = step.components
    if isinstance(step.layer, TextLayer):
        picture, components = _text_picture(canvas, step.layer, components)
    else:
        with canvas.open_layer(step.layer) as opened:
            turned = orientation(opened)
            canvas.budget.spend(opened.size)
            opened.load()
            upright = ImageOps.exif_transpose(opened) if turned > 1 else opened
            picture = plain(upright or opened).copy()
    inner = Canvas(
        picture,
        picture.size,
        canvas.original,
        canvas.dpr,
        open_layer=canvas.open_layer,
        budget=canvas.budget,
    )
    if relative:
        components = tuple(relative_to(one, canvas.image.size, canvas.dpr) for one in components)
    _apply(inner, components)
    return inner.image


def _text_picture(
    canvas: Canvas, layer: TextLayer, components: tuple[Component, ...]
) -> tuple[Image.Image, tuple[Component, ...]]:
    """The text drawn by its own component, and what is then left to be done to it."""
    first = dict(components[0].values) if components else {}
    background: Background | None = first.pop("b", None)
    color: Color = first.get("co", BLACK)
    border: Border | None = first.pop("bo", None) if layer.stroke else None
    width = height = None
    if first.get("c") == "fit":
        # Here a size is where lines break, in pixels, and not what the picture is fitted to.
        del first["c"]
        lengths = [first.pop(side, None) for side in ("w", "h")]
        width, height = (
            round(one.value * canvas.dpr) if one is not None and not one.fraction else None
            for one in lengths
        )
    picture = draw_text(
        layer,
        Lettering(
            color,
            background.color if background else None,
            border.width if border else 0,
            border.color if border else BLACK,
            width,
            height,
            canvas.dpr,
        ),
    )
    rest = components[1:]
    return picture, (Component(first), *rest) if first else rest


PAINTERS: tuple[tuple[tuple[str, ...], Painter], ...] = (
    (("e",), _trim),
    (("a",), _turn_to_fit),
    (("w", "h", "ar", "c"), _resize),
    (("l", "u"), _layer),
    (("e",), _effect),
    (("r", "bo"), _round_corners),
    (("o",), _opacity),
    (("a",), _rotate),
    (("b",), _background),
)
