"""Transformation strings as components, without any picture."""

from __future__ import annotations

import pytest

from media_toolkit.embedded.server.transform.parse import (
    MAX_COMPONENTS,
    TransformationError,
    is_component,
    looks_like_component,
    parse_transformation,
)
from media_toolkit.embedded.server.transform.values import Gravity, Length, Quality


def test_a_chain_is_read_component_by_component() -> None:
    chain = parse_transformation("c_fill,g_north,h_100,w_0.5/e_grayscale/f_auto,q_auto:eco")
    first, second, third = chain.components
    assert first.get("c") == "fill"
    assert first.get("g") == Gravity(0.5, 0.0)
    assert first.get("h") == Length(100)
    assert first.get("w") == Length(0.5, fraction=True)
    assert second.get("e").name == "grayscale"
    assert third.get("f") == "auto"
    assert third.get("q") == Quality(65, auto="eco")


def test_the_last_format_and_quality_of_a_chain_count() -> None:
    chain = parse_transformation("q_10,f_png/q_90:444")
    assert chain.last("q") == Quality(90, chroma="444")
    assert chain.last("f") == "png"


def test_one_point_zero_is_a_fraction_and_one_is_a_pixel() -> None:
    chain = parse_transformation("w_1.0,h_1")
    assert chain.components[0].get("w") == Length(1.0, fraction=True)
    assert chain.components[0].get("h") == Length(1.0)


def test_angles_keep_their_order() -> None:
    rotation = parse_transformation("a_vflip.-20.hflip").components[0].get("a")
    assert rotation.steps == ("vflip", 340.0, "hflip")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("zz_1", "zz_1"),
        ("w_100,foo", "foo"),
        ("t_named", "t_named"),
        ("if_w_gt_100", "if_w_gt_100"),
        ("$size_100", "$size_100"),
        ("br_500k", "br_500k"),
    ],
)
def test_an_unknown_key_is_an_invalid_component(text: str, named: str) -> None:
    with pytest.raises(TransformationError, match="Invalid transformation component - ") as caught:
        parse_transformation(text)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "w_0", "w_-5", "w_abc", "w_", "h_1.2.3", "c_foo", "c_", "g_nowhere", "q_0", "q_101",
        "q_auto:superb", "f_exe", "f_", "a_1.5.x", "r_-1", "r_1:2:3:4:5", "r_x", "b_rgb:12",
        "b_nocolour", "o_101", "e_art:zorro", "e_sepia:0", "e_sepia:101", "e_blur:2001",
        "e_hue:-101", "e_trim:101", "e_trim:10:nocolour", "e_improve:sunny", "e_brightness:-100",
        "bo_5px_dashed_red", "bo_solid_red", "pg_0", "pg_1-3", "l_fetch:aHR0cA==", "l_text:hi",
        "l_text:Arial:hi", "l_text:Arial_20:", "l_text:Arial_20_wavy:hi", "l_video:dog",
        "b_gen_fill", "c_imagga_scale", "c_auto_pad", "g_body", "w_auto", "fl_region_relative",
        "fl_clip", "e_grayscale:x", "ar_0", "ar_16:0", "ar_1:2:3", "dpr_0", "dpr_11",
        "fl_layer_apply", "fl_lossy:1", "x_1.2.3", "z_0", "w_1e3",
        "w_" + "9" * 400,
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_read_is_refused_by_name(text: str) -> None:
    with pytest.raises(TransformationError) as caught:
        parse_transformation(text)
    assert text in str(caught.value)


def test_too_many_components_are_refused() -> None:
    parse_transformation("/".join(["w_10"] * MAX_COMPONENTS))
    with pytest.raises(TransformationError, match="Too many"):
        parse_transformation("/".join(["w_10"] * (MAX_COMPONENTS + 1)))


def test_a_segment_belongs_to_the_transformation_if_one_of_its_keys_is_cloudinarys() -> None:
    assert is_component("w_100")
    assert is_component("w_100,zz_1")
    assert is_component("t_named")
    assert is_component("$x_1")
    assert not is_component("spring")
    assert not is_component("zz_top")
    assert not is_component("my_folder")
    assert looks_like_component("zz_top")
    assert not looks_like_component("my-folder")
    assert not looks_like_component("holiday_2026")
