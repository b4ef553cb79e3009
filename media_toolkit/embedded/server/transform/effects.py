"""What `e_` does to pixels: one function an effect, from picture to picture.

To add an effect: write a function here, enter it in `EFFECTS`, and enter in `values.EFFECTS` what
its argument may be. Strengths are Cloudinary's ranges; the formulas are this server's own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageChops, ImageEnhance, ImageFilter, ImageOps

from .colors import BLACK, Color
from .pixels import has_alpha
from .values import Effect

# A picture, the effect, and the colour of `co_`; the answer may be of another size only for trim.
Filter = Callable[[Image.Image, Effect, Color], Image.Image]


def _level(effect: Effect) -> float:
    assert effect.level is not None
    return effect.level


def _opaque(change: Callable[[Image.Image, Effect], Image.Image]) -> Filter:
    """A change of colours alone: the transparency stays as it is."""

    def apply(image: Image.Image, effect: Effect, color: Color) -> Image.Image:
        changed = change(image.convert("RGB"), effect).convert("RGB")
        if has_alpha(image):
            changed.putalpha(image.getchannel("A"))
        changed.info.update(image.info)
        return changed

    return apply


def _grayscale(image: Image.Image, effect: Effect, color: Color) -> Image.Image:
    return image.convert("LA" if has_alpha(image) else "L")


def _black_and_white(image: Image.Image, effect: Effect) -> Image.Image:
    limit = 255 * _level(effect) / 100
    return image.convert("L").point([255 if value >= limit else 0 for value in range(256)])


def _sepia(image: Image.Image, effect: Effect) -> Image.Image:
    toned = image.convert(
        "RGB",
        (0.393, 0.769, 0.189, 0, 0.349, 0.686, 0.168, 0, 0.272, 0.534, 0.131, 0),
    )
    return Image.blend(image, toned, _level(effect) / 100)


def _blur(image: Image.Image, effect: Effect, color: Color = BLACK) -> Image.Image:
    # Colours of clear pixels must not bleed in: blur them weighed by their opacity.
    radius = _level(effect) / 50
    if not has_alpha(image):
        return image.filter(ImageFilter.GaussianBlur(radius))
    weighed = image.convert("RGBA").convert("RGBa").filter(ImageFilter.GaussianBlur(radius))
    return weighed.convert("RGBA")


def _pixelate(image: Image.Image, effect: Effect, color: Color = BLACK) -> Image.Image:
    side = int(effect.level or max(1, min(image.size) // 20))
    small = image.resize(
        (-(-image.width // side), -(-image.height // side)),
        Image.Resampling.BOX,
        box=(0, 0, image.width, image.height),
    )
    large = small.resize((small.width * side, small.height * side), Image.Resampling.NEAREST)
    return large.crop((0, 0, image.width, image.height))


def _brightness(image: Image.Image, effect: Effect) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(1 + _level(effect) / 100)


def _contrast(image: Image.Image, effect: Effect) -> Image.Image:
    share = 1 + _level(effect) / 100
    return image.point([round(min(max(128 + (v - 128) * share, 0), 255)) for v in range(256)] * 3)


def _saturation(image: Image.Image, effect: Effect) -> Image.Image:
    return ImageEnhance.Color(image).enhance(1 + _level(effect) / 100)


def _gamma(image: Image.Image, effect: Effect) -> Image.Image:
    exponent = 100 / (100 + _level(effect))
    return image.point([round(255 * (v / 255) ** exponent) for v in range(256)] * 3)


def _hue(image: Image.Image, effect: Effect) -> Image.Image:
    """100 is half a turn of the colour wheel."""
    hue, saturation, value = image.convert("HSV").split()
    turn = round(_level(effect) / 100 * 128)
    hue = hue.point([(number + turn) % 256 for number in range(256)])
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")


def _negate(image: Image.Image, effect: Effect) -> Image.Image:
    return ImageOps.invert(image)


def _sharpen(image: Image.Image, effect: Effect) -> Image.Image:
    return image.filter(ImageFilter.UnsharpMask(1.0, round(_level(effect)), 0))


def _unsharp_mask(image: Image.Image, effect: Effect) -> Image.Image:
    return image.filter(ImageFilter.UnsharpMask(2.0, round(_level(effect)), 3))


def _auto_contrast(image: Image.Image, effect: Effect) -> Image.Image:
    stretched = ImageOps.autocontrast(image, cutoff=0.5, preserve_tone=True)
    return Image.blend(image, stretched, _level(effect) / 100)


def _auto_color(image: Image.Image, effect: Effect) -> Image.Image:
    stretched = ImageOps.autocontrast(image, cutoff=0.5)
    return Image.blend(image, stretched, _level(effect) / 100)


def _auto_brightness(image: Image.Image, effect: Effect) -> Image.Image:
    """Towards a middle grey, by a gamma that keeps black and white."""
    mean = float(np.asarray(image.convert("L")).mean()) / 255
    exponent = min(max(np.log(0.5) / np.log(min(max(mean, 0.02), 0.98)), 0.5), 2.0)
    lit = image.point([round(255 * (v / 255) ** exponent) for v in range(256)] * 3)
    return Image.blend(image, lit, _level(effect) / 100)


def _improve(image: Image.Image, effect: Effect) -> Image.Image:
    """Colours, contrast and brightness; `indoor` takes less from the light."""
    whole = Effect(effect.name, 100)
    better = _auto_contrast(_auto_color(image, whole), whole)
    better = _auto_brightness(better, Effect(effect.name, 25 if effect.option == "indoor" else 40))
    return Image.blend(image, better, _level(effect) / 100)


def _colorize(image: Image.Image, effect: Effect, color: Color) -> Image.Image:
    tinted = Image.blend(
        image.convert("RGB"), Image.new("RGB", image.size, color[:3]), _level(effect) / 100
    )
    if has_alpha(image):
        tinted.putalpha(image.getchannel("A"))
    return tinted


def _opacity_threshold(image: Image.Image, effect: Effect, color: Color) -> Image.Image:
    if not has_alpha(image):
        return image
    limit = 255 * _level(effect) / 100
    image = image.copy()
    alpha = image.getchannel("A")
    image.putalpha(alpha.point([255 if value > limit else 0 for value in range(256)]))
    return image


def trim_box(image: Image.Image, effect: Effect) -> tuple[int, int, int, int] | None:
    """What is left when edges in one colour, or clear ones, are cut away; None: nothing is."""
    limit = round(255 * _level(effect) / 100)
    rgba = image.convert("RGBA")
    edge = effect.option
    if edge is None:
        corner = rgba.getpixel((0, 0))
        assert isinstance(corner, tuple)
        edge = corner
    if edge[3] == 0:
        return rgba.getchannel("A").point([255 if v > limit else 0 for v in range(256)]).getbbox()
    difference = ImageChops.difference(rgba, Image.new("RGBA", image.size, edge))
    channels = difference.split()
    largest = channels[0]
    for channel in channels[1:]:
        largest = ImageChops.lighter(largest, channel)
    return largest.point([255 if v > limit else 0 for v in range(256)]).getbbox()


EFFECTS: dict[str, Filter] = {
    "auto_brightness": _opaque(_auto_brightness),
    "auto_color": _opaque(_auto_color),
    "auto_contrast": _opaque(_auto_contrast),
    "blackwhite": _opaque(_black_and_white),
    "blur": _blur,
    "blur_faces": _blur,
    "blur_region": _blur,
    "brightness": _opaque(_brightness),
    "colorize": _colorize,
    "contrast": _opaque(_contrast),
    "gamma": _opaque(_gamma),
    "grayscale": _grayscale,
    "hue": _opaque(_hue),
    "improve": _opaque(_improve),
    "negate": _opaque(_negate),
    "opacity_threshold": _opacity_threshold,
    "pixelate": _pixelate,
    "pixelate_faces": _pixelate,
    "pixelate_region": _pixelate,
    "saturation": _opaque(_saturation),
    "sepia": _opaque(_sepia),
    "sharpen": _opaque(_sharpen),
    "unsharp_mask": _opaque(_unsharp_mask),
}
