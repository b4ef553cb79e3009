"""Delivery of originals: bytes, caching, ranges, signed types."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Any

import pytest
from cloudinary.utils import cloudinary_url
from PIL import Image

Draw = Callable[..., bytes]


def sdk_url(server: Any, public_id: str, **options: Any) -> str:
    url: str = cloudinary_url(
        public_id,
        cloud_name=server.config.cloud_name,
        api_secret=server.config.api_secret,
        cname=server.url.removeprefix("http://"),
        secure=False,
        **options,
    )[0]
    return url


@pytest.mark.parametrize(
    "path",
    ["p.png", "p", "v1/p.png", "v1795486813/p.png", "v99/p"],
)
def test_an_original_is_served_byte_for_byte(server: Any, draw: Draw, path: str) -> None:
    data = draw()
    server.upload(data, public_id="p")
    answer = server.get(f"image/upload/{path}")
    assert answer.content == data
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["etag"] == f'"{hashlib.md5(data).hexdigest()}"'
    assert "max-age=2592000" in answer.headers["cache-control"]
    assert answer.headers["access-control-allow-origin"] == "*"


def test_an_original_keeps_its_exif_bytes(server: Any, draw: Draw) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = draw(40, 30, "JPEG", exif=exif)
    answer = server.upload(data, "a.jpg")
    assert (answer["width"], answer["height"]) == (40, 30)
    assert server.session.get(answer["url"]).content == data


def test_a_known_etag_is_answered_by_304(server: Any, draw: Draw) -> None:
    server.upload(draw(), public_id="p")
    for path in ("image/upload/p.png", "image/upload/w_10/p.png"):
        first = server.get(path)
        again = server.get(path, If_None_Match=first.headers["etag"])
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        since = server.get(path, If_Modified_Since=first.headers["last-modified"])
        assert since.status_code == 304
        assert server.get(path, If_None_Match='"other"').status_code == 200


@pytest.mark.parametrize("size", [1000, 3_000_000])
def test_ranges_are_served(server: Any, size: int) -> None:
    data = os.urandom(size)
    server.upload(data, "d.bin", "raw", public_id="d.bin")
    last = size - 1
    for header, part in (
        ("bytes=0-9", data[:10]),
        ("bytes=100-", data[100:]),
        ("bytes=-5", data[-5:]),
        (f"bytes=10-{size * 2}", data[10:]),
        (f"bytes={last}-{last}", data[-1:]),
    ):
        answer = server.get("raw/upload/d.bin", Range=header)
        assert answer.status_code == 206
        assert answer.content == part
        assert answer.headers["content-range"].endswith(f"/{size}")
    beyond = server.get("raw/upload/d.bin", Range=f"bytes={size}-")
    assert beyond.status_code == 416
    assert beyond.headers["content-range"] == f"bytes */{size}"
    assert server.get("raw/upload/d.bin", Range="lines=1-2").content == data
    etag = server.get("raw/upload/d.bin").headers["etag"]
    assert server.get("raw/upload/d.bin", Range="bytes=0-9", If_Range=etag).status_code == 206
    assert server.get("raw/upload/d.bin", Range="bytes=0-9", If_Range='"x"').status_code == 200


def test_a_range_of_the_version_of_a_date_is_served(server: Any) -> None:
    data = os.urandom(100)
    server.upload(data, "d.bin", "raw", public_id="d.bin")
    date = server.get("raw/upload/d.bin").headers["last-modified"]
    same = server.get("raw/upload/d.bin", Range="bytes=0-9", If_Range=date)
    assert (same.status_code, same.content) == (206, data[:10])
    earlier = "Mon, 01 Jan 2001 00:00:00 GMT"
    other = server.get("raw/upload/d.bin", Range="bytes=0-9", If_Range=earlier)
    assert (other.status_code, other.content) == (200, data)


def test_numbers_beyond_all_bounds_in_headers_are_no_failure(server: Any) -> None:
    data = os.urandom(100)
    server.upload(data, "d.bin", "raw", public_id="d.bin")
    digits = "9" * 6000
    assert server.get("raw/upload/d.bin", Range=f"bytes={digits}-").status_code == 416
    assert server.get("raw/upload/d.bin", Range="bytes=-0").status_code == 416
    suffix = server.get("raw/upload/d.bin", Range=f"bytes=-{digits}")
    assert (suffix.status_code, suffix.content) == (206, data)
    to_the_end = server.get("raw/upload/d.bin", Range=f"bytes={'0' * 6000}1-{digits}")
    assert (to_the_end.status_code, to_the_end.content) == (206, data[1:])
    since = f"Mon, 01 Jan {'9' * 20} 00:00:00 GMT"
    assert server.get("raw/upload/d.bin", If_Modified_Since=since).content == data


def test_head_answers_the_headers_alone(server: Any, draw: Draw) -> None:
    stored = server.upload(draw(), public_id="p")
    answer = server.session.head(stored["url"])
    assert answer.content == b""
    assert int(answer.headers["content-length"]) == stored["bytes"]


def test_a_missing_asset_is_told_in_a_header(server: Any) -> None:
    for path, name in (
        ("image/upload/none.jpg", "none"),
        ("image/upload/w_10/a/none", "a/none"),
        ("raw/upload/none.csv", "none"),
        ("video/upload/none.mp4", "none"),
    ):
        answer = server.get(path)
        assert answer.status_code == 404
        assert answer.headers["x-cld-error"] == f"Resource not found - {name}"
    assert server.session.get(f"{server.url}/elsewhere/image/upload/p.jpg").status_code == 404


def test_a_destroyed_asset_is_gone_with_all_its_files(server: Any, draw: Draw) -> None:
    stored = server.upload(draw(), public_id="p")
    server.get("image/upload/w_10/p.png")
    assert len(server.files()) == 2
    destroy = f"{server.api}/image/destroy"
    assert server.session.post(destroy, data=server.signed(public_id="p")).json() == {
        "result": "ok"
    }
    assert server.files() == []
    assert server.session.get(stored["url"]).status_code == 404
    assert server.get("image/upload/w_10/p.png").status_code == 404
    assert server.session.post(destroy, data=server.signed(public_id="p")).json() == {
        "result": "not found"
    }


@pytest.mark.parametrize("kind", ["private", "authenticated"])
@pytest.mark.parametrize(
    "options", [{}, {"long_url_signature": True}, {"width": 20, "crop": "fit"}]
)
def test_signed_types_need_a_valid_signature(
    server: Any, draw: Draw, kind: str, options: dict[str, Any]
) -> None:
    stored = server.upload(draw(), public_id="a b/tulip 🌷", type=kind)
    common = {"type": kind, "version": stored["version"], "format": "png", **options}
    assert server.session.get(sdk_url(server, "a b/tulip 🌷", **common)).status_code == 401
    signed = sdk_url(server, "a b/tulip 🌷", sign_url=True, **common)
    answer = server.session.get(signed)
    assert answer.status_code == 200
    assert "private" in answer.headers["cache-control"]
    start = signed.index("s--") + 3
    flipped = "B" if signed[start] == "A" else "A"
    forged = server.session.get(signed[:start] + flipped + signed[start + 1 :])
    assert forged.status_code == 401
    assert forged.headers["x-cld-error"]


def test_a_signature_of_one_transformation_does_not_open_another(server: Any, draw: Draw) -> None:
    server.upload(draw(), public_id="p", type="authenticated")
    signed = sdk_url(server, "p", type="authenticated", sign_url=True, width=20, format="png")
    assert server.session.get(signed).status_code == 200
    assert server.session.get(signed.replace("w_20", "w_21")).status_code == 401


def test_a_public_url_may_be_signed_but_not_wrongly(server: Any, draw: Draw) -> None:
    server.upload(draw(), public_id="p")
    assert server.session.get(sdk_url(server, "p", sign_url=True, width=9)).status_code == 200
    assert server.get("image/upload/s--AAAAAAAA--/p.png").status_code == 401


def test_fl_attachment_names_the_download(server: Any, draw: Draw) -> None:
    data = draw()
    server.upload(data, "My Tulip.png", public_id="p")
    server.upload(b"a,b", "rows.csv", "raw", public_id="r.csv")
    plain = server.get("image/upload/fl_attachment/p.png")
    assert plain.content == data
    assert plain.headers["content-disposition"] == "attachment; filename*=UTF-8''My%20Tulip.png"
    named = server.get("image/upload/fl_attachment:tulip,w_10,f_webp/p.png")
    assert named.headers["content-disposition"] == "attachment; filename*=UTF-8''tulip.webp"
    raw = server.get("raw/upload/fl_attachment/r.csv")
    assert raw.headers["content-disposition"] == "attachment; filename*=UTF-8''rows.csv"


def test_videos_and_raw_files_are_served_as_they_are(server: Any, film: Callable) -> None:
    movie = film()
    server.upload(movie, "m.mp4", "video", public_id="m")
    server.upload(b"words", "w.txt", "raw", public_id="w.txt")
    answer = server.get("video/upload/m.mp4")
    assert (answer.content, answer.headers["content-type"]) == (movie, "video/mp4")
    for path in ("video/upload/m.avi", "video/upload/e_reverse/m.mp4", "raw/upload/w_10/w.txt"):
        refused = server.get(path)
        assert refused.status_code == 400
        assert refused.headers["x-cld-error"]


def test_names_with_dots_are_told_from_extensions(server: Any, draw: Draw) -> None:
    first, second = draw(30, 30), draw(40, 40)
    server.upload(first, public_id="photo")
    server.upload(second, public_id="photo.png")
    assert server.get("image/upload/photo.png").content == first
    assert server.get("image/upload/photo.png.png").content == second
    server.upload(second, public_id="v2.1 final")
    assert server.get("image/upload/v2.1%20final").content == second


def test_a_folder_that_looks_like_a_component_is_found(server: Any, draw: Draw) -> None:
    data = draw()
    server.upload(data, public_id="zz_top/p")
    assert server.get("image/upload/zz_top/p.png").content == data
    server.upload(data, public_id="w_team/p")
    assert server.get("image/upload/v1/w_team/p.png").content == data
    assert server.get("image/upload/w_team/p.png").status_code == 400
    assert server.get("image/upload/zz_none/p.png").status_code == 400


def test_overwriting_changes_what_is_derived(server: Any, draw: Draw) -> None:
    server.upload(draw(400, 300), public_id="p")
    before = server.get("image/upload/w_0.5/p.png")
    server.upload(draw(200, 100), public_id="p")
    after = server.picture("image/upload/w_0.5/p.png")
    assert after.size == (100, 50)
    assert before.headers["etag"] != server.get("image/upload/w_0.5/p.png").headers["etag"]
    assert len(server.files()) == 2


@pytest.mark.parametrize(
    "path", ["image%2Fupload%2Fp.png", "image/upload/a%00b.jpg", "image/upload/%F0%9F%8C%B7.jpg",
             "image/upload/%FF%FE.jpg", "image/upload/v1/", "image/upload/a%0D%0AX-Bad:1.jpg"]
)  # fmt: skip
def test_odd_paths_are_not_found(server: Any, path: str) -> None:
    answer = server.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["message"]
    assert "x-bad" not in answer.headers


def test_short_root_and_suffixed_urls_of_the_sdk(server: Any, draw: Draw) -> None:
    data = draw()
    server.upload(data, public_id="spring/tulip")
    server.upload(b"a,b", "rows.csv", "raw", public_id="rows.csv")
    for options in (
        {"shorten": True},
        {"use_root_path": True},
        {"url_suffix": "a-red-tulip"},
        {"url_suffix": "a-red-tulip", "use_root_path": True},
    ):
        for more in ({}, {"sign_url": True}, {"sign_url": True, "long_url_signature": True}):
            url = sdk_url(server, "spring/tulip", format="png", **options, **more)
            assert server.session.get(url).content == data, url
            small = sdk_url(server, "spring/tulip", format="png", width=7, **options, **more)
            assert server.session.get(small).status_code == 200, small
    suffixed = sdk_url(server, "rows.csv", resource_type="raw", url_suffix="table")
    assert server.session.get(suffixed).content == b"a,b"
    assert server.get("images/spring/tulip/words.jpg").headers["content-type"] == "image/jpeg"
    assert server.get("private_images/spring/tulip/words.png").status_code == 401
    assert server.get("files/spring/tulip/words.png").status_code == 404
    assert server.get("").status_code == 404


def test_named_transformations_are_written_out(server: Any, draw: Draw) -> None:
    server.upload(draw(400, 300), public_id="p")
    for name, text in (("small", "c_scale,w_40/e_grayscale"), ("nested", "t_small/a_90")):
        server.session.post(
            f"{server.api}/transformations/{name}",
            data={"transformation": text},
            auth=server.auth,
        ).raise_for_status()
    assert server.picture("image/upload/t_small/p.png").size == (40, 30)
    assert server.picture("image/upload/t_nested/p.png").size == (30, 40)
    assert server.picture("image/upload/t_small,f_webp/p.png").format == "WEBP"
    assert server.picture("image/upload/w_200/t_small/p.png").size == (40, 30)
    server.session.put(
        f"{server.api}/transformations/small",
        data={"unsafe_update": "c_scale,w_20"},
        auth=server.auth,
    ).raise_for_status()
    assert server.picture("image/upload/t_small/p.png").size == (20, 15)


def test_stored_coordinates_say_what_is_kept(server: Any, draw: Draw) -> None:
    server.upload(draw(400, 300), public_id="p", custom_coordinates="210,160,100,50")
    kept = server.picture("image/upload/c_crop,g_custom/p.png")
    assert (kept.size, kept.getpixel((5, 5))) == ((100, 50), (220, 200, 30))
    fields = server.signed(public_id="p", type="upload", custom_coordinates="10,10,60,70")
    server.session.post(f"{server.api}/image/explicit", data=fields).raise_for_status()
    moved = server.picture("image/upload/c_crop,g_custom/p.png")
    assert (moved.size, moved.getpixel((5, 5))) == ((60, 70), (200, 30, 30))
