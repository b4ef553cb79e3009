"""Derived images over HTTP: formats, sizes, refusals, and that each is made once."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

Draw = Callable[..., bytes]


@pytest.fixture
def photo(server: Any, draw: Draw) -> Any:
    """A server with a JPEG of 1280 by 853 pixels named `p`."""
    server.upload(draw(1280, 853, "JPEG"), "p.jpg", public_id="p")
    return server


@pytest.mark.parametrize(
    ("path", "size", "kind"),
    [
        ("c_fill,h_250,w_250/p.jpg", (250, 250), "JPEG"),
        ("c_limit,w_5000/p.jpg", (1280, 853), "JPEG"),
        ("c_scale,w_150/p.png", (150, 100), "PNG"),
        ("c_scale,w_150/p", (150, 100), "JPEG"),
        ("c_thumb,g_face,h_80,w_80/v17/p.webp", (80, 80), "WEBP"),
        ("c_crop,h_200,w_300,x_10,y_10/c_scale,w_0.5/p.jpg", (150, 100), "JPEG"),
        ("c_scale,h_150/dpr_2.0/p.jpg", (450, 300), "JPEG"),
        ("c_fill,h_60,w_80/e_grayscale/a_90/r_max/f_png/p.jpg", (60, 80), "PNG"),
        ("f_gif,w_64/p.jpg", (64, 43), "GIF"),
        ("f_avif,q_50,w_64/p.jpg", (64, 43), "AVIF"),
        ("p.webp", (1280, 853), "WEBP"),
        ("p.jpeg", (1280, 853), "JPEG"),
        ("w_100/p.jpeg", (100, 67), "JPEG"),
        ("w_100//h_10/p.jpg", (15, 10), "JPEG"),
    ],
)
def test_a_transformation_gives_this_size_and_format(
    photo: Any, path: str, size: tuple[int, int], kind: str
) -> None:
    image = photo.picture(f"image/upload/{path}")
    assert (image.size, image.format) == (size, kind)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("foo_1/p.jpg", "Invalid transformation component - foo_1"),
        ("w_100,zz_1/p.jpg", "Invalid transformation component - zz_1"),
        ("c_foo,w_10/p.jpg", "Invalid crop mode in transformation: foo (c_foo)"),
        ("w_abc/p.jpg", "Invalid width in transformation: abc (w_abc)"),
        ("e_art:fes/p.jpg", "Invalid effect in transformation: art:fes (e_art:fes)"),
        ("fl_layer_apply/p.jpg", "fl_layer_apply without a layer"),
        ("l_p/fl_layer_apply,w_10/p.jpg", "Unsupported parameter with fl_layer_apply - w"),
        ("bo_9000px_solid_red/p.jpg", "Requested image is too large: 19280x18853"),
        ("/".join(["w_7000,h_7000"] * 40) + "/p.jpg", "Transformation is too complex"),
        ("/".join(["a_45"] * 50) + "/p.jpg", "Transformation is too complex"),
        ("e_screen/p.jpg", "e_screen without a layer"),
        ("c_fill_pad,w_10,h_10/p.jpg", "Invalid gravity in transformation: c_fill_pad"),
        ("t_named/p.jpg", "Invalid transformation component - t_named"),
        ("w_30000/p.jpg", "Requested image is too large: 30000x"),
        ("p.exe", "Invalid extension in transformation: exe"),
        ("w_10/p.pdf", "Invalid extension in transformation: pdf"),
        ("w_1000,f_ico/p.jpg", "Requested image is too large for ico"),
        ("w_6000,h_5000,f_avif/p.jpg", "Requested image is too large for avif"),
        ("c_scale,w_17000,h_9/p.webp", "Requested image is too large for webp"),
        ("/".join(["w_10"] * 1000) + "/p.jpg", "Too many transformation components"),
    ],
)
def test_what_is_not_understood_is_400_and_named(photo: Any, path: str, message: str) -> None:
    answer = photo.get(f"image/upload/{path}")
    assert answer.status_code == 400
    assert answer.headers["x-cld-error"].startswith(message)
    assert answer.json()["error"]["message"].startswith(message)
    assert answer.headers["access-control-allow-origin"] == "*"


def test_an_animation_whose_frames_would_differ_in_size_is_refused(server: Any) -> None:
    frames = [Image.new("RGB", (60, 40), "white") for _ in range(2)]
    frames[0].paste("red", (5, 5, 25, 25))
    frames[1].paste("red", (5, 5, 45, 35))
    for kind in ("GIF", "WEBP"):
        moving = io.BytesIO()
        options = {"duration": 100, "lossless": True}
        frames[0].save(moving, kind, save_all=True, append_images=frames[1:], **options)
        server.upload(moving.getvalue(), public_id="moving")
        answer = server.get(f"image/upload/e_trim/moving.{kind.lower()}")
        assert answer.status_code == 400
        assert "e_trim" in answer.headers["x-cld-error"]
        assert server.picture("image/upload/e_trim/moving.png").size == (20, 20)


def test_f_auto_varies_by_accept(photo: Any) -> None:
    seen = {}
    for accept, kind in (
        ("image/avif,image/webp,*/*", "image/avif"),
        ("image/webp,*/*", "image/webp"),
        ("*/*", "image/jpeg"),
    ):
        for _ in range(2):
            answer = photo.get("image/upload/f_auto,q_auto,w_100/p.jpg", Accept=accept)
            assert answer.headers["content-type"] == kind
            assert answer.headers["vary"] == "Accept"
        seen[answer.headers["etag"]] = kind
    assert len(seen) == 3
    assert "vary" not in photo.get("image/upload/w_100/p.jpg").headers
    refusing = photo.get("image/upload/f_auto,q_auto,w_100/p.jpg", Accept="image/webp;q=0, */*")
    assert refusing.headers["content-type"] == "image/jpeg"


def test_f_auto_falls_back_on_the_format_that_the_url_names(server: Any, draw: Draw) -> None:
    server.upload(draw(), public_id="opaque")
    clear = io.BytesIO()
    Image.new("RGBA", (9, 9), (0, 0, 0, 0)).save(clear, "PNG")
    server.upload(clear.getvalue(), public_id="clear")
    for path, kind in (
        ("f_auto/opaque.jpg", "image/jpeg"),
        ("f_auto/opaque.png", "image/png"),
        ("f_auto/opaque", "image/png"),
        ("f_auto/clear.jpg", "image/png"),
    ):
        answer = server.get(f"image/upload/{path}", Accept="*/*")
        assert answer.headers["content-type"] == kind, path


def test_requests_for_one_image_at_the_same_time_make_it_once(photo: Any) -> None:
    answers: list[bytes] = []

    def fetch() -> None:
        answers.append(photo.get("image/upload/c_fill,w_333,h_222/p.jpg").content)

    threads = [threading.Thread(target=fetch) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(answers)) == 1
    assert len(answers) == 12
    derived = photo.admin("resources/image/upload/p").json()["derived"]
    assert len(derived) == 1
    assert len(photo.files()) == 2


def test_a_cached_image_is_the_same_after_a_restart(
    start_server: Callable[..., Any], draw: Draw
) -> None:
    first = start_server()
    first.upload(draw(), public_id="p")
    made = first.get("image/upload/w_50/p.png")
    stop = [path.stat().st_mtime_ns for path in first.files()]
    first.end()
    second = start_server()
    again = second.get("image/upload/w_50/p.png")
    assert again.content == made.content
    assert [path.stat().st_mtime_ns for path in second.files()] == stop


def test_an_animated_gif_keeps_moving(server: Any) -> None:
    out = io.BytesIO()
    frames = [Image.new("RGB", (60, 40), (60 * n, 0, 0)) for n in range(4)]
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=50, loop=0)
    stored = server.upload(out.getvalue(), "a.gif", public_id="a")
    assert stored["pages"] == 4
    moving = server.picture("image/upload/c_fill,w_20,h_20/a.gif")
    assert (moving.size, moving.n_frames) == ((20, 20), 4)
    assert server.picture("image/upload/w_20/a.jpg").format == "JPEG"


def test_an_image_is_served_without_a_gap_while_it_is_replaced(server: Any, draw: Draw) -> None:
    server.upload(draw(60, 40), public_id="p")
    statuses: set[int] = set()
    is_done = threading.Event()

    def replace() -> None:
        for number in range(30):
            server.upload(draw(60 + number, 40), public_id="p", eager="w_7|w_8")
        is_done.set()

    def fetch() -> None:
        while not is_done.is_set():
            for path in ("w_9/p.png", "w_7/p.png", "p.png"):
                statuses.add(server.get(f"image/upload/{path}").status_code)

    threads = [threading.Thread(target=replace), *(threading.Thread(target=fetch) for _ in "123")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == {200}
    assert [path for path in server.files() if "incoming" in path.parts] == []
