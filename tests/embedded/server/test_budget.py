"""What is foretold of a chain's cost is never more than painting it costs."""

from __future__ import annotations

import pytest
from PIL import Image

from media_toolkit.embedded.server.transform.budget import Budget, least_work
from media_toolkit.embedded.server.transform.paint import paint
from media_toolkit.embedded.server.transform.parse import TransformationError, parse_transformation


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
        ("l_text:Arial_20:Hi,w_50,h_20,c_scale/fl_layer_apply", 1000),
        ("c_limit,w_30,h_20/e_blur", 0),
        ("w_0.5,h_0.5/e_blur", 0),
        ("e_trim/e_blur", 0),
    ],
)
def test_what_is_foretold_is_spent(text: str, least: int) -> None:
    transformation, budget = parse_transformation(text), Budget()
    image = Image.effect_noise((100, 60), 50).convert("RGB")
    told = least_work(transformation.components, transformation.dpr, image.size)
    paint(image, transformation, budget=budget)
    assert least <= told <= Budget().pixels - budget.pixels


def test_nothing_is_painted_of_what_costs_too_much() -> None:
    budget = Budget()
    chain = parse_transformation("/".join(["w_7000,h_7000"] * 9))
    with pytest.raises(TransformationError, match="too complex"):
        paint(Image.new("RGB", (9, 9)), chain, budget=budget)
    assert budget.pixels == Budget().pixels
