"""Pixels of painted pictures, without a server."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from media_toolkit.embedded.server.transform.parse import parse_transformation
from media_toolkit.embedded.server.transform.render import Rendered, render

RED, GREEN, BLUE, YELLOW = (200, 30, 30), (30, 160, 30), (30, 30, 200), (220, 200, 30)
Draw = Callable[..., bytes]


@pytest.fixture
def painted(tmp_path: Path) -> Callable[..., Image.Image]:
    """Paints encoded bytes with a transformation and opens what comes out."""

    def paint(data: bytes, text: str, stored: str = "png", accept: str = "") -> Image.Image:
        path = tmp_path / "picture"
        path.write_bytes(data)
        result: Rendered = render(path, stored, parse_transformation(text), None, accept)
        image = Image.open(io.BytesIO(result.data))
        assert image.size == (result.width, result.height)
        return image

    return paint


def near(pixel: object, colour: tuple[int, ...], tolerance: int = 12) -> bool:
    assert isinstance(pixel, tuple)
    return all(abs(a - b) <= tolerance for a, b in zip(pixel[:3], colour, strict=True))


def test_a_fill_with_gravity_keeps_that_corner(painted: Callable, draw: Draw) -> None:
    image = painted(draw(400, 300), "c_crop,w_100,h_100,g_south_east")
    assert near(image.getpixel((50, 50)), YELLOW)


def test_a_quarter_turn_is_clockwise(painted: Callable, draw: Draw) -> None:
    image = painted(draw(400, 300), "a_90")
    assert image.size == (300, 400)
    assert near(image.getpixel((10, 10)), BLUE)
    assert near(image.getpixel((290, 10)), RED)


def test_flips_mirror_the_picture(painted: Callable, draw: Draw) -> None:
    assert near(painted(draw(), "a_hflip").getpixel((10, 10)), GREEN)
    assert near(painted(draw(), "a_vflip").getpixel((10, 10)), BLUE)


def test_another_angle_grows_the_box_and_leaves_clear_corners(
    painted: Callable, draw: Draw
) -> None:
    image = painted(draw(100, 100), "a_45")
    assert image.mode == "RGBA"
    assert 141 <= image.width <= 143
    assert image.getpixel((0, 0))[3] == 0
    assert image.getpixel((image.width // 2, image.height // 2))[3] == 255


def test_a_large_picture_is_reduced_to_3000_before_it_is_turned(
    painted: Callable, draw: Draw
) -> None:
    assert painted(draw(4000, 1000), "a_90").size == (750, 3000)


def test_auto_right_turns_only_when_the_wanted_shape_is_the_other_one(
    painted: Callable, draw: Draw
) -> None:
    turned = painted(draw(400, 300), "a_auto_right,c_fill,w_60,h_80")
    assert turned.size == (60, 80)
    assert near(turned.getpixel((2, 2)), BLUE)
    straight = painted(draw(400, 300), "a_auto_right,c_fill,w_80,h_60")
    assert near(straight.getpixel((2, 2)), RED)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_the_exif_orientation_is_applied_unless_ignored(
    painted: Callable, draw: Draw, kind: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = "jpg" if kind == "JPEG" else "png"
    data = draw(400, 300, kind, exif=exif)
    upright = painted(data, "w_150", stored)
    assert upright.size == (150, 200)
    assert near(upright.getpixel((140, 5)), RED, 25)
    assert upright.getexif().get(0x0112, 1) == 1
    assert painted(data, "a_ignore,w_150", stored).size == (150, 113)


def test_grayscale_has_no_colour_left(painted: Callable, draw: Draw) -> None:
    image = painted(draw(), "e_grayscale").convert("RGB")
    red, green, blue = image.getpixel((10, 10))
    assert red == green == blue


def test_rounded_corners_are_clear_and_the_middle_is_not(painted: Callable, draw: Draw) -> None:
    image = painted(draw(100, 80), "r_20")
    assert image.getpixel((0, 0))[3] == image.getpixel((99, 79))[3] == 0
    assert image.getpixel((50, 0))[3] == image.getpixel((50, 40))[3] == 255
    one = painted(draw(100, 80), "r_0:0:30:0")
    assert one.getpixel((0, 0))[3] == 255
    assert one.getpixel((99, 79))[3] == 0


def test_r_max_makes_an_ellipse(painted: Callable, draw: Draw) -> None:
    image = painted(draw(200, 100), "r_max")
    assert image.getpixel((25, 8))[3] == 0
    assert image.getpixel((100, 1))[3] == 255
    assert image.getpixel((1, 50))[3] == 255


def test_padding_is_white_unless_a_background_is_given(painted: Callable, draw: Draw) -> None:
    assert painted(draw(400, 200), "c_pad,w_100,h_100").getpixel((50, 5)) == (255, 255, 255)
    blue = painted(draw(400, 200), "b_blue,c_pad,w_100,h_100")
    assert blue.getpixel((50, 5)) == (0, 0, 255)
    coded = painted(draw(400, 200), "b_rgb:0f08,c_pad,w_100,h_100")
    assert coded.getpixel((50, 5)) == (0, 255, 0, 136)


def test_transparency_becomes_white_where_the_format_has_none(painted: Callable) -> None:
    out = io.BytesIO()
    Image.new("RGBA", (40, 40), (200, 0, 0, 0)).save(out, "PNG")
    assert near(painted(out.getvalue(), "f_jpg").getpixel((20, 20)), (255, 255, 255))
    assert near(painted(out.getvalue(), "b_green,f_jpg").getpixel((20, 20)), (0, 128, 0))
    assert painted(out.getvalue(), "w_20,f_webp").convert("RGBA").getpixel((5, 5))[3] == 0


def test_a_palette_with_transparency_keeps_it(painted: Callable) -> None:
    out = io.BytesIO()
    image = Image.new("P", (20, 20), 0)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.save(out, "GIF", transparency=0)
    assert painted(out.getvalue(), "w_10,f_png", "gif").getpixel((5, 5))[3] == 0


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_mode_of_png_can_be_painted(painted: Callable, mode: str) -> None:
    out = io.BytesIO()
    Image.new(mode, (60, 40)).save(out, "PNG")
    for target in ("jpg", "png", "webp", "avif", "gif", "bmp", "tiff", "ico", "jp2"):
        assert painted(out.getvalue(), f"c_fill,w_30,h_30/f_{target}").size == (30, 30)


def test_a_cmyk_jpeg_becomes_rgb(painted: Callable) -> None:
    out = io.BytesIO()
    Image.new("CMYK", (40, 40), (0, 255, 255, 0)).save(out, "JPEG")
    assert near(painted(out.getvalue(), "w_20,f_png", "jpg").getpixel((5, 5)), (255, 0, 0), 30)


def test_an_icc_profile_is_kept_and_stripped_on_request(painted: Callable, draw: Draw) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = draw(80, 60, "JPEG", icc_profile=profile)
    assert painted(data, "w_40", "jpg").info["icc_profile"] == profile
    assert "icc_profile" not in painted(data, "w_40,fl_strip_profile", "jpg").info


def test_quality_changes_the_number_of_bytes(painted: Callable, tmp_path: Path) -> None:
    noise = Image.effect_noise((200, 200), 80).convert("RGB")
    noise.save(tmp_path / "noise.png")
    sizes = [
        len(render(tmp_path / "noise.png", "png", parse_transformation(text), "jpg", "").data)
        for text in ("q_10", "q_auto:low", "q_auto:best", "q_100")
    ]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 4


def test_automatic_gravity_finds_the_part_with_detail(painted: Callable) -> None:
    image = Image.new("RGB", (600, 200), (240, 240, 240))
    image.paste(Image.effect_noise((120, 120), 90).convert("RGB"), (460, 40))
    out = io.BytesIO()
    image.save(out, "PNG")
    cut = painted(out.getvalue(), "c_fill,w_200,h_200,g_auto").convert("L")
    low, high = cut.getextrema()
    assert high - low > 100


@pytest.mark.parametrize("size", [(20, 4000), (4000, 20), (1, 4000), (4000, 1), (1, 1)])
def test_automatic_gravity_takes_a_picture_of_any_shape(
    painted: Callable, size: tuple[int, int]
) -> None:
    out = io.BytesIO()
    Image.new("RGB", size, RED).save(out, "PNG")
    for crop in ("fill", "thumb", "auto", "lfill", "crop"):
        cut = painted(out.getvalue(), f"c_{crop},g_auto,w_60,h_60")
        assert near(cut.convert("RGB").getpixel((cut.width // 2, cut.height // 2)), RED)
    assert painted(out.getvalue(), "c_fill_pad,g_auto,w_60,h_60").size == (60, 60)


def test_automatic_gravity_keeps_a_face(painted: Callable, sample_media: Path) -> None:
    data = (sample_media / "astronaut.png").read_bytes()
    whole = np.asarray(Image.open(io.BytesIO(data)).convert("L"), dtype=float)
    for height in (384, 288, 240):
        cut = np.asarray(painted(data, f"c_fill,w_512,h_{height},g_auto").convert("L"))
        unlike = [abs(whole[top : top + height] - cut).mean() for top in range(513 - height)]
        # Her forehead begins there.
        assert np.argmin(unlike) < 55


def test_f_auto_follows_what_the_client_reads(painted: Callable, draw: Draw) -> None:
    photo = draw(kind="JPEG")
    assert painted(photo, "f_auto", "jpg", "image/avif,image/webp,*/*").format == "AVIF"
    assert painted(photo, "f_auto", "jpg", "image/webp,*/*").format == "WEBP"
    assert painted(photo, "f_auto", "jpg", "*/*").format == "JPEG"
    out = io.BytesIO()
    Image.new("RGBA", (10, 10), (1, 2, 3, 4)).save(out, "PNG")
    assert painted(out.getvalue(), "f_auto", "png", "*/*").format == "PNG"


def moving_gif(frames: int = 3) -> bytes:
    out = io.BytesIO()
    pictures = [Image.new("RGB", (60, 40), (80 * number, 20, 20)) for number in range(frames)]
    pictures[0].save(out, "GIF", save_all=True, append_images=pictures[1:], duration=120, loop=0)
    return out.getvalue()


def test_a_moving_gif_stays_moving(painted: Callable) -> None:
    image = painted(moving_gif(), "c_fill,w_20,h_20", "gif")
    assert (image.format, image.n_frames, image.info["duration"]) == ("GIF", 3, 120)
    image.seek(2)
    assert near(image.convert("RGB").getpixel((5, 5)), (160, 20, 20))


def test_a_moving_gif_becomes_a_moving_webp_only_when_that_is_asked_for(
    painted: Callable,
) -> None:
    assert painted(moving_gif(), "w_20,f_webp", "gif").n_frames == 1
    assert painted(moving_gif(), "w_20,f_webp,fl_awebp", "gif").n_frames == 3
    assert painted(moving_gif(), "w_20,f_auto", "gif", "image/webp").n_frames == 3
    assert painted(moving_gif(), "w_20,f_jpg", "gif").format == "JPEG"


def test_a_reduced_jpeg_has_the_same_size_and_colours_as_a_full_one(
    painted: Callable, draw: Draw
) -> None:
    data = draw(4000, 3000, "JPEG", quality=95)
    image = painted(data, "c_fill,g_south_east,w_100,h_100/f_png", "jpg")
    assert image.size == (100, 100)
    assert near(image.getpixel((95, 95)), YELLOW)
    assert near(image.getpixel((5, 5)), RED)
    assert near(image.getpixel((95, 5)), GREEN)
    assert near(image.getpixel((30, 95)), BLUE)
