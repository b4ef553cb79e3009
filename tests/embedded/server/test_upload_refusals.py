"""Files and parameters that are refused: clearly, quickly, and with nothing stored."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

Draw = Callable[..., bytes]


def refused(server: Any, answer: Any, *, status: int = 400) -> str:
    """The message of a refusal that stored nothing."""
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert answer.headers["x-request-id"]
    assert server.files() == []
    assert server.admin("resources/image").json()["resources"] == []
    message: str = answer.json()["error"]["message"]
    return message


def png_header(width: int, height: int) -> bytes:
    """The start of a PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    body = zlib.compress(b"\0" * 100_000)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def test_what_is_no_image_is_refused_on_the_image_endpoint(server: Any) -> None:
    for data in (
        b"not an image at all",
        b"\x00" * 2000,
        b"GIF89a",
        b"\xff\xd8\xff\xe0",
        b"%!nothing",
    ):
        assert refused(server, server.post_upload(data, "a.jpg")) == "Invalid image file"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF"])
@pytest.mark.parametrize("endpoint", ["image", "auto"])
def test_a_truncated_image_is_refused(server: Any, draw: Draw, kind: str, endpoint: str) -> None:
    data = draw(600, 400, kind)
    answer = server.post_upload(data[: len(data) // 2], "a.jpg", endpoint)
    assert refused(server, answer) == "Invalid image file"


@pytest.mark.parametrize("endpoint", ["image", "video", "raw", "auto"])
def test_an_empty_file_is_refused(server: Any, endpoint: str) -> None:
    assert refused(server, server.post_upload(b"", "a.jpg", endpoint)) == "Empty file"


@pytest.mark.parametrize(
    "size", [(30_000, 30_000), (20_000, 20_000), (10_000, 8_000), (70_000, 10)]
)
def test_a_decompression_bomb_is_refused(server: Any, size: tuple[int, int]) -> None:
    message = refused(server, server.post_upload(png_header(*size)))
    assert "50 Megapixels" in message or "Maximum image size" in message


def test_a_moving_bomb_is_refused(server: Any) -> None:
    out = io.BytesIO()
    Image.new("P", (5000, 5000)).save(out, "GIF")
    data = out.getvalue()
    picture = data.index(b",")
    header, frame = data[:picture], data[picture:-1]
    bomb = header + frame * 20 + b";"
    assert len(bomb) < 2_000_000
    assert "200 Megapixels" in refused(server, server.post_upload(bomb, "a.gif"))


def test_images_that_this_server_cannot_read_are_named(server: Any) -> None:
    for data, name in ((b"%!PS-Adobe-3.0 EPSF-3.0\n", "eps"),):
        for endpoint in ("image", "auto"):
            message = refused(server, server.post_upload(data, "a", endpoint))
            assert message == f"Unsupported image format on this server - {name}"


def test_what_is_no_video_is_refused_on_the_video_endpoint(server: Any, draw: Draw) -> None:
    message = refused(server, server.post_upload(draw(), "a.mp4", "video"))
    assert message == "Unsupported video format or file"


@pytest.mark.parametrize("public_id", ["..", "a/../b", "a//b", "a" * 300, "a?b", "a#b", "<x>"])
def test_a_forbidden_public_id_is_refused(server: Any, draw: Draw, public_id: str) -> None:
    assert "public_id" in refused(server, server.post_upload(draw(), public_id=public_id))


def test_a_filename_of_300_characters_is_refused_only_as_a_public_id(
    server: Any, draw: Draw
) -> None:
    name = "n" * 300 + ".png"
    refused(server, server.post_upload(draw(), name, use_filename="1"))
    assert server.upload(draw(), name)["original_filename"] == "n" * 300


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("responsive_breakpoints", '[{"create_derived":true}]'),
        ("quality_analysis", "1"),
        ("accessibility_analysis", "true"),
        ("cinemagraph_analysis", "1"),
        ("categorization", "google_tagging"),
        ("auto_tagging", "0.6"),
        ("detection", "adv_face"),
        ("ocr", "adv_ocr"),
        ("raw_convert", "aspose"),
        ("background_removal", "cloudinary_ai"),
        ("visual_search", "true"),
        ("metadata", "field=value"),
        ("access_control", '[{"access_type":"nobody"}]'),
        ("access_control", '[{"access_type":"token","start":"soon"}]'),
        ("access_control", "token"),
        ("regions", "{}"),
        ("eval", "x"),
        ("on_success", "x"),
        ("quality_override", "80"),
        ("moderation", "webpurify"),
        ("no_such_parameter", "x"),
    ],
)
def test_a_parameter_that_is_not_implemented_is_named(
    server: Any, draw: Draw, name: str, value: str
) -> None:
    assert name in refused(server, server.post_upload(draw(), **{name: value}))


def test_a_switch_that_is_off_asks_for_nothing(server: Any, draw: Draw) -> None:
    server.upload(draw(), phash="0", colors="false", **{"async": "false"}, invalidate="1")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"overwrite": "maybe"}, "Invalid value for parameter overwrite: maybe"),
        ({"type": "fetch"}, "Invalid value for parameter type: fetch"),
        ({"eager": "w_foo"}, "Invalid width in transformation: foo (w_foo)"),
        ({"eager": "zz_1"}, "Invalid transformation component - zz_1"),
        ({"eager": "w_90000"}, "Requested image is too large"),
        ({"eager": "f_auto"}, "f_auto"),
        ({"context": "novalue"}, "Invalid context: novalue"),
        ({"folder": "v1"}, "folder (v1) is invalid"),
        ({"format": "exe"}, "Unsupported value for parameter format: exe"),
        ({"allowed_formats": "jpg,webp"}, "Image file format png not allowed"),
        ({"face_coordinates": "1,2,3"}, "Invalid value for parameter face_coordinates: 1,2,3"),
        ({"custom_coordinates": "a,b,c,d"}, "Invalid value for parameter custom_coordinates"),
        ({"access_mode": "secret"}, "Invalid value for parameter access_mode: secret"),
        ({"headers": "X-Evil: 1"}, "Invalid value for parameter headers: X-Evil: 1"),
        ({"notification_url": "ftp://a/b"}, "Invalid notification_url: ftp://a/b"),
        ({"transformation": "zz_1"}, "Invalid transformation component - zz_1"),
        ({"transformation": "f_auto"}, "f_auto"),
        ({"upload_preset": "mine"}, "Upload preset not found"),
    ],
)
def test_a_wrong_value_is_refused_by_name(
    server: Any, draw: Draw, fields: dict[str, str], message: str
) -> None:
    assert message in refused(server, server.post_upload(draw(), **fields))


def test_no_file_is_a_missing_parameter(server: Any) -> None:
    answer = server.session.post(f"{server.api}/image/upload", data=server.signed())
    assert refused(server, answer) == "Missing required parameter - file"


@pytest.mark.parametrize(
    "uri", ["data:image/png;base64,!!!!", "data:image/png;base64,AAAA", "data:image/png,plain"]
)
def test_a_broken_data_uri_is_refused(server: Any, uri: str) -> None:
    answer = server.session.post(f"{server.api}/image/upload", data=server.signed() | {"file": uri})
    refused(server, answer)


def test_a_body_that_is_no_form_is_refused(server: Any) -> None:
    url = f"{server.api}/image/upload"
    for headers, body in (
        ({"Content-Type": "multipart/form-data; boundary=x"}, b"garbage"),
        ({"Content-Type": "multipart/form-data"}, b"garbage"),
        ({"Content-Type": "application/json"}, b"{"),
        ({"Content-Type": "multipart/form-data; boundary=x"}, b"--x\r\nContent-Disp"),
    ):
        refused(server, server.session.post(url, data=body, headers=headers))


def test_unknown_routes_and_methods_answer_in_cloudinarys_error_shape(server: Any) -> None:
    for method, path, status in (
        ("GET", f"{server.api}/nothing/here/at/all", 404),
        ("PUT", f"{server.api}/image/upload", 405),
        ("POST", f"{server.api}/image/generate_sprite", 404),
        ("GET", f"{server.url}/favicon.ico", 404),
        ("POST", f"{server.api}/document/upload", 400),
    ):
        answer = server.session.request(method, path)
        assert answer.status_code == status, path
        assert answer.json()["error"]["message"]
        assert answer.headers["x-request-id"]
