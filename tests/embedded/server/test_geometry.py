"""Sizes and rectangles of the crop modes, computed by hand from Cloudinary's descriptions."""

from __future__ import annotations

import pytest

from media_toolkit.embedded.server.transform.geometry import (
    Plan,
    Regions,
    Size,
    plan_resize,
)
from media_toolkit.embedded.server.transform.parse import (
    TransformationError,
    parse_component,
)

CAMERA = (640, 427)
TALL = (300, 600)
SMALL = (100, 67)


def plan(text: str, source: Size, dpr: float = 1.0) -> Plan:
    found = plan_resize(parse_component(text), source, source, dpr)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "source", "size"),
    [
        # scale: exact; one side alone keeps the shape; no mode means scale
        ("w_150", CAMERA, (150, 100)),
        ("c_scale,w_150", CAMERA, (150, 100)),
        ("c_scale,h_150", CAMERA, (225, 150)),
        ("c_scale,w_150,h_150", CAMERA, (150, 150)),
        ("c_scale,w_0.25", CAMERA, (160, 107)),
        ("c_scale,w_1.0,h_0.5", CAMERA, (640, 214)),
        ("c_scale,w_1.5", SMALL, (150, 101)),
        ("c_scale,ar_1:2,w_100", CAMERA, (100, 200)),
        ("c_scale,w_iw,h_ih", CAMERA, CAMERA),
        ("c_scale,w_1", (10_000, 100), (1, 1)),
        # fit: the largest that fits, up or down
        ("c_fit,w_150,h_150", CAMERA, (150, 100)),
        ("c_fit,w_150,h_150", TALL, (75, 150)),
        ("c_fit,w_1280,h_1280", CAMERA, (1280, 854)),
        ("c_fit,h_50", CAMERA, (75, 50)),
        # limit: as fit, but never enlarges
        ("c_limit,w_150,h_150", CAMERA, (150, 100)),
        ("c_limit,w_1280,h_1280", CAMERA, CAMERA),
        ("c_limit,w_640,h_427", CAMERA, CAMERA),
        ("c_limit,w_2000", CAMERA, CAMERA),
        ("c_limit,w_2000,h_100", CAMERA, (150, 100)),
        # mfit: as fit, but never reduces
        ("c_mfit,w_20,h_20", CAMERA, CAMERA),
        ("c_mfit,w_200,h_200", SMALL, (200, 134)),
        # fill and thumb: exactly that, whatever the shape
        ("c_fill,w_150,h_150", CAMERA, (150, 150)),
        ("c_fill,w_1000,h_10", TALL, (1000, 10)),
        ("c_fill,w_150", CAMERA, (150, 100)),
        ("c_fill,ar_1:1", CAMERA, (427, 427)),
        ("c_fill,ar_16:9", CAMERA, (640, 360)),
        ("c_fill,ar_0.5,h_100", CAMERA, (50, 100)),
        ("c_thumb,g_face,w_150,h_150", TALL, (150, 150)),
        ("c_auto,g_auto,w_160,h_90", CAMERA, (160, 90)),
        # lfill: as fill, but never enlarges
        ("c_lfill,w_150,h_150", CAMERA, (150, 150)),
        ("c_lfill,w_1000,h_1000", CAMERA, CAMERA),
        ("c_lfill,w_1000,h_100", CAMERA, (640, 100)),
        # pad: exactly that; lpad does not enlarge, mpad does not scale at all
        ("c_pad,w_150,h_150", CAMERA, (150, 150)),
        ("c_pad,w_1000,h_1000", SMALL, (1000, 1000)),
        ("c_lpad,w_400,h_150", CAMERA, (400, 150)),
        ("c_lpad,w_400,h_400", SMALL, (400, 400)),
        ("c_lpad,w_1.1,ar_1.0", CAMERA, (704, 704)),
        ("c_mpad,w_20,h_20", CAMERA, CAMERA),
        ("c_mpad,w_150,h_150", SMALL, (150, 150)),
        ("c_mpad,w_150,h_20", SMALL, (150, 67)),
        # crop: that part, never more than there is; one side alone keeps the shape
        ("c_crop,w_200,h_150", CAMERA, (200, 150)),
        ("c_crop,w_200", (400, 600), (200, 300)),
        ("c_crop,w_1000,h_100", CAMERA, (640, 100)),
        ("c_crop,ar_1.5", CAMERA, (640, 427)),
        ("c_crop,w_0.5,h_0.5", CAMERA, (320, 214)),
        ("c_crop,x_600,y_400,w_100,h_100", CAMERA, (40, 27)),
    ],
)
def test_the_result_has_the_size_that_cloudinary_documents(
    text: str, source: Size, size: Size
) -> None:
    assert plan(text, source).canvas == size


def test_pad_keeps_the_whole_picture_in_the_middle_of_the_canvas() -> None:
    padded = plan("c_pad,w_150,h_150", CAMERA)
    assert padded.size == (150, 100)
    assert padded.offset == (0, 25)
    assert padded.box == (0, 0, 640, 427)
    assert padded.pads


def test_lpad_puts_a_small_picture_unscaled_on_the_canvas() -> None:
    padded = plan("c_lpad,w_400,h_400,g_north_west", SMALL)
    assert padded.size == SMALL
    assert padded.offset == (0, 0)


@pytest.mark.parametrize(
    ("gravity", "box"),
    [
        ("", (100, 0, 500, 400)),
        (",g_west", (0, 0, 400, 400)),
        (",g_east", (200, 0, 600, 400)),
        (",g_north_east", (200, 0, 600, 400)),
        (",g_south", (100, 0, 500, 400)),
    ],
)
def test_gravity_says_which_part_a_fill_keeps(gravity: str, box: tuple[int, ...]) -> None:
    assert plan(f"c_fill,w_200,h_200{gravity}", (600, 400)).box == box


@pytest.mark.parametrize(
    ("parameters", "corner"),
    [
        ("", (200, 150)),
        (",g_north_west", (0, 0)),
        (",g_south_east", (400, 300)),
        (",x_10,y_20", (10, 20)),
        (",g_north_west,x_10,y_20", (10, 20)),
        (",g_south_east,x_10,y_20", (390, 280)),
        (",g_north_east,x_10,y_20", (390, 20)),
        (",g_south_west,x_10,y_20", (10, 280)),
        (",g_center,x_10,y_20", (210, 170)),
        (",g_center,x_-10,y_-20", (190, 130)),
        (",x_0.5,y_0.5", (300, 225)),
        (",g_face", (200, 0)),
        (",g_face:center", (200, 150)),
    ],
)
def test_gravity_and_coordinates_place_a_crop(parameters: str, corner: tuple[int, int]) -> None:
    found = plan(f"c_crop,w_200,h_150{parameters}", (600, 450))
    assert found.box[:2] == corner
    assert found.size == (200, 150)


def test_zoom_in_a_thumb_shows_less_of_the_picture() -> None:
    assert plan("c_thumb,g_center,w_100,h_100,z_2.0", (400, 400)).box == (100, 100, 300, 300)


def test_dpr_multiplies_lengths_in_pixels_and_not_fractions() -> None:
    assert plan("c_scale,h_150", (300, 300), dpr=2.0).canvas == (300, 300)
    assert plan("c_scale,w_0.5", (300, 300), dpr=2.0).canvas == (150, 150)
    assert plan("c_crop,w_50,h_50,x_10,y_10", (300, 300), dpr=2.0).box == (20, 20, 120, 120)


def test_a_component_without_a_size_does_not_resize() -> None:
    assert plan_resize(parse_component("c_fill,g_north"), CAMERA, CAMERA) is None


@pytest.mark.parametrize("text", ["w_25001,h_1", "w_8000,h_8000", "w_1000.0", "w_10,ar_1:9999"])
def test_a_result_out_of_bounds_is_refused(text: str) -> None:
    with pytest.raises(TransformationError, match="too large"):
        plan(text, (3000, 10_000))


FACE = Regions(faces=((300.0, 100.0, 400.0, 250.0), (10.0, 10.0, 40.0, 40.0)))
CUSTOM = Regions(custom=((200.0, 100.0, 300.0, 150.0),))


def around(text: str, regions: Regions, source: Size = CAMERA) -> Plan | None:
    return plan_resize(parse_component(text), source, source, regions=regions)


@pytest.mark.parametrize(
    ("text", "regions", "box"),
    [
        # no size: the region itself, or more or less of it by zoom
        ("c_crop,g_face", FACE, (300, 100, 400, 250)),
        ("c_crop,g_custom", CUSTOM, (200, 100, 300, 150)),
        ("c_crop,g_custom,z_0.5", CUSTOM, (150, 75, 350, 175)),
        ("c_crop,g_faces", FACE, (10, 10, 400, 250)),
        # a size: that size around the middle of the region; x and y do not move it
        ("c_crop,g_face,w_100,h_100", FACE, (300, 125, 400, 225)),
        ("c_crop,g_face,w_100,h_100,x_50,y_50", FACE, (300, 125, 400, 225)),
        ("c_crop,g_custom:face,w_100,h_100", FACE, (300, 125, 400, 225)),
        ("c_crop,g_auto,w_100,h_50", CUSTOM, (200, 100, 300, 150)),
        # the region lies at the edge: the window stays inside
        ("c_crop,g_custom,w_600,h_400", CUSTOM, (0, 0, 600, 400)),
        # thumb: as close as the whole region can be shown
        ("c_thumb,g_custom,w_50,h_50", CUSTOM, (200, 75, 300, 175)),
        ("c_thumb,g_custom,w_50,h_50,z_0.5", CUSTOM, (150, 25, 350, 225)),
        # fill: as large a part as has the shape
        ("c_fill,g_face,w_100,h_100", FACE, (136.5, 0, 563.5, 427)),
        # xy_center: the coordinates are the middle
        ("c_crop,g_xy_center,w_100,h_60,x_320,y_200", FACE, (270, 170, 370, 230)),
    ],
)
def test_stored_coordinates_say_where_to_cut(
    text: str, regions: Regions, box: tuple[float, ...]
) -> None:
    found = around(text, regions)
    assert found is not None
    assert found.box == pytest.approx(box, abs=0.5)


def test_a_crop_to_coordinates_that_are_not_stored_keeps_the_picture() -> None:
    assert around("c_crop,g_custom", Regions()) is None
    assert around("c_crop,g_face", CUSTOM) is None


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("c_pad,ar_1.0", (640, 640)),
        ("c_fill_pad,g_auto,w_100,h_400", (100, 400)),
        ("c_fill_pad,g_auto,w_150,h_150", (150, 150)),
        ("c_scale,w_100,fl_ignore_aspect_ratio", (100, 427)),
    ],
)
def test_further_sizes(text: str, size: Size) -> None:
    assert plan(text, CAMERA).canvas == size


def test_fill_pad_shows_more_than_a_fill_would() -> None:
    padded = plan("c_fill_pad,g_auto,w_100,h_400", CAMERA)
    assert padded.box[2] - padded.box[0] == pytest.approx(640 * 2 / 3)
    assert padded.pads
    assert not plan("c_fill_pad,g_auto,w_150,h_150", CAMERA).pads
