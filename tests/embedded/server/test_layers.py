"""Layers over and under pictures, and text, over HTTP."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from cloudinary.utils import cloudinary_url
from PIL import Image

Draw = Callable[..., bytes]
RED = (255, 0, 0)


@pytest.fixture
def pictures(server: Any) -> Any:
    """A white base of 200 by 100, and a red logo of 40 by 20 in a folder."""
    for public_id, size, colour in (
        ("base", (200, 100), (255, 255, 255)),
        ("marks/logo", (40, 20), RED),
    ):
        out = io.BytesIO()
        Image.new("RGB", size, colour).save(out, "PNG")
        server.upload(out.getvalue(), public_id=public_id)
    return server


def red_box(image: Image.Image) -> tuple[int, int, int, int]:
    """Where the picture is red."""
    _, green, _, alpha = image.convert("RGBA").split()
    flat = Image.new("L", image.size, 255)
    flat.paste(green, (0, 0), alpha)
    box = flat.point([255] * 128 + [0] * 128).getbbox()
    assert box is not None
    return box


@pytest.mark.parametrize(
    ("path", "box"),
    [
        ("l_marks:logo", (80, 40, 120, 60)),
        ("l_marks:logo/fl_layer_apply", (80, 40, 120, 60)),
        ("l_marks:logo,g_north_west,x_5,y_7", (5, 7, 45, 27)),
        ("l_marks:logo/fl_layer_apply,g_south_east,x_10,y_5", (150, 75, 190, 95)),
        ("l_marks:logo,w_20", (90, 45, 110, 55)),
        ("l_marks:logo/c_scale,w_80/fl_layer_apply,g_north_west", (0, 0, 80, 40)),
        ("l_marks:logo,w_0.5,fl_relative", (50, 25, 150, 75)),
        ("w_100/l_marks:logo,g_west", (0, 15, 40, 35)),
        ("l_marks:logo/a_90/fl_layer_apply,g_west", (0, 30, 20, 70)),
        ("l_marks:logo,g_xy_center,x_50,y_50", (30, 40, 70, 60)),
        ("l_marks:logo,fl_tiled", (0, 0, 200, 100)),
        ("l_marks:logo,g_north_west,x_-10,y_-5,fl_no_overflow", (0, 0, 30, 15)),
        ("dpr_2.0,w_200/l_marks:logo,w_40,g_north_west,x_10", (20, 0, 100, 40)),
    ],
)
def test_a_layer_lies_here(pictures: Any, path: str, box: tuple[int, ...]) -> None:
    assert red_box(pictures.picture(f"image/upload/{path}/base.png")) == box


def test_layers_in_layers_are_closed_like_brackets(pictures: Any) -> None:
    path = "l_base/c_scale,w_100/l_marks:logo/c_scale,w_10/fl_layer_apply,g_west/fl_layer_apply"
    image = pictures.picture(f"image/upload/e_negate/{path},g_north_west/base.png")
    assert red_box(image.crop((0, 0, 100, 50))) == (0, 22, 10, 27)
    assert image.convert("RGB").getpixel((150, 80)) == (0, 0, 0)


def test_a_layer_beyond_the_edge_enlarges_the_picture(pictures: Any) -> None:
    image = pictures.picture("image/upload/l_marks:logo,g_north_west,x_-10,y_-5/base.png")
    assert image.size == (210, 105)
    assert image.getpixel((205, 2))[3] == 0
    same = pictures.picture("image/upload/l_marks:logo,w_400,fl_no_overflow/base.png")
    assert same.size == (200, 100)


def test_an_underlay_is_below(pictures: Any) -> None:
    image = pictures.picture("image/upload/o_0/u_marks:logo/base.png")
    assert image.size == (200, 100)
    assert red_box(image) == (80, 40, 120, 60)
    over = pictures.picture("image/upload/u_base/fl_layer_apply,g_center/marks/logo.png")
    assert over.size == (200, 100)
    assert red_box(over) == (80, 40, 120, 60)


def test_blend_modes_and_cutters(pictures: Any) -> None:
    multiplied = pictures.picture("image/upload/l_marks:logo,e_multiply/base.png")
    assert multiplied.getpixel((100, 50)) == RED
    screened = pictures.picture("image/upload/l_marks:logo/fl_layer_apply,e_screen/base.png")
    assert screened.getpixel((100, 50)) == (255, 255, 255)
    cut = pictures.picture("image/upload/l_marks:logo,fl_cutter/base.png")
    assert (cut.getpixel((100, 50))[3], cut.getpixel((10, 10))[3]) == (255, 0)


def test_a_text_layer_has_its_size_place_and_colour(pictures: Any) -> None:
    path = "l_text:Arial_40_bold:HXH,co_rgb:ff0000,g_north_west,x_10,y_20"
    left, top, _, bottom = red_box(pictures.picture(f"image/upload/{path}/base.png"))
    assert abs(left - 10) <= 1
    assert abs(top - 20) <= 1
    # Capitals are about seven tenths of a font's size.
    assert 24 <= bottom - top <= 34
    double = path.replace("_40_", "_80_")
    box = red_box(pictures.picture(f"image/upload/{double},fl_no_overflow/base.png"))
    assert 1.8 <= (box[3] - box[1]) / (bottom - top) <= 2.2


def test_text_is_decoded_twice_and_broken_at_a_width(pictures: Any) -> None:
    def height(text: str, more: str = "") -> int:
        path = f"l_text:Open%20Sans_20:{text},co_red,fl_no_overflow{more}"
        box = red_box(pictures.picture(f"image/upload/{path}/base.png"))
        return box[3] - box[1]

    comma = quote(quote("HHH, HHH/HHH", safe=""), safe="")
    one_line = height(comma)
    assert one_line < 25
    assert height(comma, ",w_60,c_fit") > one_line + 10
    assert height("HHH%250AHHH") > one_line + 10


def test_the_sdks_way_of_writing_layers(pictures: Any) -> None:
    url = cloudinary_url(
        "base",
        cloud_name=pictures.config.cloud_name,
        cname=pictures.url.removeprefix("http://"),
        secure=False,
        format="png",
        transformation=[
            {"overlay": {"public_id": "marks/logo"}, "gravity": "south_west"},
            {
                "overlay": {
                    "font_family": "Arial",
                    "font_size": 30,
                    "font_weight": "bold",
                    "letter_spacing": 4,
                    "text": "Hi, there / you?",
                },
                "color": "#0000ff",
            },
            {"flags": "layer_apply", "gravity": "north_west"},
        ],
    )[0]
    answer = pictures.session.get(url)
    assert answer.status_code == 200, answer.text
    image = Image.open(io.BytesIO(answer.content)).convert("RGB")
    colours = {colour for _, colour in image.getcolors(100_000) or []}
    assert {RED, (0, 0, 255)} <= colours


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("l_missing/base.png", 404, "Resource not found - missing"),
        ("l_private:secret/base.png", 401, ""),
        ("l_base,g_face/base.png", 400, "Unsupported gravity"),
        ("/".join(["l_base,w_5000,h_5000,fl_no_overflow"] * 40) + "/base.png", 400, "Transf"),
        ("l_text:Arial_1000:" + "W" * 900 + "/base.png", 400, "Text layer is too large"),
        ("t_nothing/base.png", 400, "Invalid transformation component - t_nothing"),
    ],
)
def test_what_cannot_be_laid_over_is_refused(
    pictures: Any, path: str, status: int, message: str
) -> None:
    answer = pictures.get(f"image/upload/{path}")
    assert answer.status_code == status
    assert answer.headers["x-cld-error"].startswith(message)


def test_a_replaced_layer_is_seen(pictures: Any, draw: Draw) -> None:
    before = pictures.get("image/upload/l_marks:logo/base.png").content
    pictures.upload(draw(40, 20), public_id="marks/logo")
    assert pictures.get("image/upload/l_marks:logo/base.png").content != before
