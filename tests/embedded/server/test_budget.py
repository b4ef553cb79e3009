"""What is foretold of a chain: its size, and a cost that is never more than painting it costs."""

from __future__ import annotations

import random
import time
from contextlib import nullcontext

import pytest
from PIL import Image

from media_toolkit.embedded.server.transform.budget import Budget
from media_toolkit.embedded.server.transform.forecast import Forecast
from media_toolkit.embedded.server.transform.geometry import Regions
from media_toolkit.embedded.server.transform.layers import ImageLayer
from media_toolkit.embedded.server.transform.paint import paint
from media_toolkit.embedded.server.transform.parse import TransformationError, parse_transformation

STICKER = Image.new("RGBA", (40, 20), "red")
REGIONS = Regions(faces=((10.0, 10.0, 40.0, 30.0),), custom=((50.0, 20.0, 90.0, 50.0),))
STEPS = [
    "w_30,h_20", "c_fill,w_0.7,h_0.9,g_auto", "c_limit,w_60", "w_0.9", "w_1.3,h_1.1", "e_blur",
    "c_pad,ar_1:1,b_red", "c_mpad,w_150,h_20", "c_crop,g_custom", "c_thumb,g_face,w_33,h_44",
    "c_fit,w_77", "bo_5px_solid_red", "r_max,o_50", "a_90", "a_hflip.180", "c_lfill,w_500,h_44",
    "l_s", "l_s,w_0.5,fl_relative", "l_s,x_-70", "l_s,x_90,fl_no_overflow", "u_s", "u_s,y_40",
    "l_s/a_90/w_50/fl_layer_apply,g_south_east", "e_screen,l_s", "l_s,fl_tiled",
    "a_auto_right,w_20,h_50", "e_sepia,w_50", "c_crop,x_10,y_5,w_50,h_90",
]  # fmt: skip


def forecast(text: str, size: tuple[int, int], regions: Regions | None = None) -> Forecast:
    transformation = parse_transformation(text)

    def measure(layer: ImageLayer) -> tuple[int, int]:
        return STICKER.size

    ahead = Forecast(size, size, transformation.dpr, measure, regions or Regions())
    ahead.follow(transformation.components)
    return ahead


@pytest.mark.parametrize(
    ("text", "least"),
    [
        ("w_30,h_20", 600),
        ("dpr_2.0,w_30,h_20", 2400),
        ("w_30,h_20,e_blur,o_50/e_sepia", 2400),
        ("c_fill,w_30,h_20/c_pad,w_50,h_50", 3100),
        ("e_blur/e_sepia", 12_000),
        ("a_45/a_30", 30_000),
        ("a_90/a_45/a_hflip", 25_000),
        ("w_30,h_20/bo_5px_solid_red/a_45", 600),
        ("c_limit,w_30,h_20/e_blur", 1000),
        ("w_0.5,h_0.5/e_blur", 3000),
    ],
)
def test_what_is_foretold_is_spent(text: str, least: int) -> None:
    transformation, budget = parse_transformation(text), Budget()
    image = Image.effect_noise((100, 60), 50).convert("RGB")
    told = forecast(text, image.size).work
    paint(image, transformation, budget=budget)
    assert least <= told <= Budget().pixels - budget.pixels


def test_the_sizes_of_any_chain_are_those_that_are_painted() -> None:
    dice = random.Random(7)
    image = Image.effect_noise((120, 90), 50).convert("RGB")
    for _ in range(300):
        text = "/".join(dice.sample(STEPS, dice.randrange(1, 6)))
        if dice.random() < 0.3:
            text += "/dpr_1.5"
        budget = Budget()
        painted = paint(
            image, parse_transformation(text), REGIONS, lambda _: nullcontext(STICKER), budget
        )
        ahead = forecast(text, image.size, REGIONS)
        assert ahead.size == painted.size, text
        assert ahead.work <= Budget().pixels - budget.pixels, text


@pytest.mark.parametrize(
    "text", ["e_blur/e_sepia", "l_s/l_s,x_90/u_s", "r_max/o_50/a_hflip", "bo_5px_solid_red/b_blue"]
)
def test_what_is_not_resized_is_foretold_exactly(text: str) -> None:
    budget, image = Budget(), Image.new("RGB", (100, 60))
    paint(
        image, parse_transformation(text), open_layer=lambda _: nullcontext(STICKER), budget=budget
    )
    assert forecast(text, image.size).work == Budget().pixels - budget.pixels


@pytest.mark.parametrize(
    "text",
    [
        "/".join(["w_7000,h_7000"] * 9),
        "/".join(["w_0.999"] * 50),
        "/".join(["c_limit,w_3999/e_blur:2000"] * 20),
        "/".join(["e_trim"] * 50),
        "/".join(["e_trim/a_10"] * 20),
        "/".join(["c_limit,w_3999/a_37"] * 20),
        "/".join(["l_s,w_3900/fl_layer_apply"] * 25),
    ],
)
def test_nothing_is_painted_of_what_costs_too_much(text: str) -> None:
    budget = Budget()
    with pytest.raises(TransformationError, match="too complex"):
        paint(
            Image.new("RGB", (4000, 3000)),
            parse_transformation(text),
            open_layer=lambda _: nullcontext(STICKER),
            budget=budget,
        )
    assert budget.pixels == Budget().pixels


def test_what_trimming_leaves_decides_and_not_what_it_might_leave() -> None:
    image = Image.new("RGB", (6000, 4000), "white")
    image.paste("red", (100, 100, 200, 150))
    assert paint(image, parse_transformation("e_trim/w_9.0")).size == (900, 450)


def test_a_chain_is_counted_for_every_frame() -> None:
    budget = Budget(frames=100)
    with pytest.raises(TransformationError, match="too complex"):
        paint(Image.new("RGB", (2000, 2500)), parse_transformation("w_0.99"), budget=budget)
    assert budget.pixels == Budget().pixels


def test_time_is_bounded_where_sizes_are_not_known() -> None:
    budget = Budget(deadline=time.monotonic())
    with pytest.raises(TransformationError, match="too complex"):
        paint(Image.new("RGB", (9, 9)), parse_transformation("w_5/e_blur"), budget=budget)
