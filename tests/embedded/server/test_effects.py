"""What effects, borders and backgrounds do to pixels, by Cloudinary's description of each."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from media_toolkit.embedded.server.transform.geometry import Regions
from media_toolkit.embedded.server.transform.parse import parse_transformation
from media_toolkit.embedded.server.transform.render import Surroundings, render

Colour = tuple[int, ...]


@pytest.fixture
def painted(tmp_path: Path) -> Callable[..., Image.Image]:
    """Paints a picture with a transformation, as PNG."""

    def paint(image: Image.Image, text: str, regions: Regions | None = None) -> Image.Image:
        image.save(tmp_path / "p.png")
        around = Surroundings(regions or Regions())
        result = render(tmp_path / "p.png", "png", parse_transformation(text), None, "", around)
        return Image.open(io.BytesIO(result.data))

    return paint


def plain(colour: Colour, size: tuple[int, int] = (40, 40)) -> Image.Image:
    return Image.new("RGBA" if len(colour) == 4 else "RGB", size, colour)


@pytest.mark.parametrize(
    ("effect", "before", "after"),
    [
        ("e_negate", (200, 30, 100), (55, 225, 155)),
        ("e_blackwhite", (200, 200, 200), (255, 255, 255)),
        ("e_blackwhite", (100, 100, 100), (0, 0, 0)),
        ("e_blackwhite:20", (100, 100, 100), (255, 255, 255)),
        ("e_saturation:-100", (200, 100, 0), (119, 119, 119)),
        ("e_saturation:0", (200, 100, 0), (200, 100, 0)),
        ("e_brightness:0", (200, 100, 0), (200, 100, 0)),
        ("e_contrast:-100", (200, 100, 0), (128, 128, 128)),
        ("e_contrast", (200, 100, 0), (200, 100, 0)),
        ("e_gamma:0", (200, 100, 0), (200, 100, 0)),
        ("e_hue:100", (255, 0, 0), (0, 255, 255)),
        ("e_hue:-100", (255, 0, 0), (0, 255, 255)),
        ("e_colorize,co_red", (0, 0, 0), (255, 0, 0)),
        ("e_colorize:50,co_rgb:ff0000", (0, 0, 0), (128, 0, 0)),
        ("e_colorize:100", (200, 10, 10), (0, 0, 0)),
        ("e_improve:0", (200, 100, 0), (200, 100, 0)),
        ("e_auto_contrast:0", (200, 100, 0), (200, 100, 0)),
        ("o_50", (200, 100, 0), (200, 100, 0, 128)),
        ("b_auto,c_pad,w_80,h_40", (200, 100, 0), (200, 100, 0)),
    ],
)
def test_a_colour_becomes_this(
    painted: Callable, effect: str, before: Colour, after: Colour
) -> None:
    pixel = painted(plain(before), effect).getpixel((3, 3))
    assert len(pixel) == len(after)
    assert all(abs(a - b) <= 3 for a, b in zip(pixel, after, strict=True)), pixel


def test_sepia_is_brown_and_a_lower_level_less_so(painted: Callable) -> None:
    red, green, blue = painted(plain((120, 120, 120)), "e_sepia").getpixel((3, 3))
    assert red > green > blue
    weak_red, _, weak_blue = painted(plain((120, 120, 120)), "e_sepia:20").getpixel((3, 3))
    assert red - blue > weak_red - weak_blue > 0


def test_brightness_and_gamma_light_and_darken(painted: Callable) -> None:
    grey = plain((100, 100, 100))
    assert painted(grey, "e_brightness:50").getpixel((3, 3))[0] > 100
    assert painted(grey, "e_brightness:-50").getpixel((3, 3))[0] < 100
    assert painted(grey, "e_gamma:50").getpixel((3, 3))[0] > 100
    assert painted(grey, "e_gamma:-50").getpixel((3, 3))[0] < 100


def halves(size: tuple[int, int] = (80, 40)) -> Image.Image:
    image = plain((0, 0, 0), size)
    image.paste((255, 255, 255), (size[0] // 2, 0, size[0], size[1]))
    return image


def test_a_blur_softens_an_edge_and_a_stronger_one_more(painted: Callable) -> None:
    def at_edge(text: str) -> int:
        return int(painted(halves(), text).getpixel((38, 20))[0])

    assert at_edge("w_80") == 0
    assert 0 < at_edge("e_blur:50") < at_edge("e_blur:1000")


def test_pixelate_makes_squares_of_that_side(painted: Callable) -> None:
    image = Image.linear_gradient("L").convert("RGB").resize((80, 80))
    result = painted(image, "e_pixelate:20")
    assert result.size == (80, 80)
    assert len(result.convert("L").getcolors()) == 4
    assert result.getpixel((0, 0)) == result.getpixel((0, 19)) != result.getpixel((0, 20))


def test_a_region_effect_changes_that_part_and_no_size(painted: Callable) -> None:
    result = painted(halves(), "e_pixelate_region:40,x_30,y_0,w_20,h_20")
    assert result.size == (80, 40)
    assert result.getpixel((30, 5)) not in ((0, 0, 0), (255, 255, 255))
    assert result.getpixel((39, 30)) == (0, 0, 0)
    assert result.getpixel((10, 5)) == (0, 0, 0)


def test_faces_are_hidden_where_they_are_stored(painted: Callable) -> None:
    faces = Regions(faces=((30.0, 0.0, 50.0, 20.0),))
    assert painted(halves(), "e_pixelate_faces:40", faces).getpixel((30, 5)) != (0, 0, 0)
    assert painted(halves(), "e_pixelate_faces:40").getpixel((30, 5)) == (0, 0, 0)
    moved = painted(halves(), "c_scale,w_160/e_blur_faces:2000", faces)
    assert moved.getpixel((78, 10)) != (0, 0, 0)
    assert moved.getpixel((50, 10)) == (0, 0, 0)


def test_sharpening_raises_the_contrast_at_an_edge(painted: Callable) -> None:
    soft = plain((100, 100, 100), (80, 40))
    soft.paste((150, 150, 150), (40, 0, 80, 40))
    for effect in ("e_sharpen", "e_unsharp_mask:500"):
        assert painted(soft, effect).getpixel((39, 20))[0] < 100


@pytest.mark.parametrize("edge", [(255, 255, 255), (10, 20, 30), (9, 9, 9, 0)])
def test_trim_cuts_the_edges_away(painted: Callable, edge: Colour) -> None:
    image = plain(edge, (100, 80))
    image.paste((200, 0, 0), (20, 10, 70, 50))
    trimmed = painted(image, "e_trim")
    assert trimmed.size == (50, 40)
    assert painted(image, "e_trim,w_25").size == (25, 20)


def test_trim_by_colour_and_tolerance(painted: Callable) -> None:
    image = plain((255, 255, 255), (100, 80))
    image.paste((240, 240, 240), (10, 10, 90, 70))
    image.paste((200, 0, 0), (20, 20, 70, 60))
    assert painted(image, "e_trim:2").size == (80, 60)
    assert painted(image, "e_trim:20").size == (50, 40)
    assert painted(image, "e_trim:5:red").size == (100, 80)


def test_a_border_goes_around_the_picture(painted: Callable) -> None:
    result = painted(plain((0, 200, 0), (40, 20)), "bo_5px_solid_rgb:ff0000")
    assert result.size == (50, 30)
    assert result.getpixel((2, 15)) == result.getpixel((47, 28)) == (255, 0, 0)
    assert result.getpixel((5, 5)) == (0, 200, 0)


def test_a_border_follows_rounded_corners(painted: Callable) -> None:
    result = painted(plain((0, 200, 0), (60, 60)), "r_max,bo_4px_solid_black")
    assert result.size == (68, 68)
    assert result.getpixel((1, 1))[3] == 0
    assert result.getpixel((34, 1)) == (0, 0, 0, 255)
    assert result.getpixel((34, 34)) == (0, 200, 0, 255)


def test_a_dpr_multiplies_borders_too(painted: Callable) -> None:
    assert painted(plain((0, 200, 0)), "w_20,bo_3px_solid_red,dpr_2.0").size == (52, 52)


def test_png_depths(painted: Callable) -> None:
    image = plain((0, 200, 0, 100))
    assert painted(image, "fl_png8,w_20").mode == "P"
    assert painted(image, "fl_png24,w_20").mode == "RGB"
    assert painted(plain((0, 200, 0)), "fl_png32,w_20").mode == "RGBA"


def test_transparency_is_preserved_where_that_is_asked_for(tmp_path: Path) -> None:
    plain((0, 200, 0, 100)).save(tmp_path / "p.png")
    chain = parse_transformation("fl_preserve_transparency,f_jpg")
    assert render(tmp_path / "p.png", "png", chain, None, "").format == "png"


def test_a_page_of_a_file_with_several(tmp_path: Path) -> None:
    frames = [plain(colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    path = tmp_path / "p.tiff"
    frames[0].save(path, "TIFF", save_all=True, append_images=frames[1:])
    chain = parse_transformation("pg_2/f_png")
    result = Image.open(io.BytesIO(render(path, "tiff", chain, None, "").data))
    assert result.getpixel((5, 5)) == (0, 255, 0)
