"""What an upload answers and stores."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from cloudinary.utils import cloudinary_url
from PIL import Image

Draw = Callable[..., bytes]


def test_an_upload_answers_every_documented_field(server: Any, draw: Draw) -> None:
    data = draw(40, 30)
    answer = server.upload(
        data, "my photo.png", public_id="spring/photo", tags="a,b", context="k=v"
    )
    assert re.fullmatch("[0-9a-f]{32}", answer["asset_id"])
    assert re.fullmatch("[0-9a-f]{32}", answer["version_id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", answer["created_at"])
    assert answer["public_id"] == "spring/photo"
    assert isinstance(answer["version"], int)
    assert (answer["width"], answer["height"], answer["format"]) == (40, 30, "png")
    assert (answer["resource_type"], answer["type"]) == ("image", "upload")
    assert answer["bytes"] == len(data)
    assert answer["etag"] == hashlib.md5(data).hexdigest()
    assert answer["tags"] == ["a", "b"]
    assert answer["context"] == {"custom": {"k": "v"}}
    assert answer["folder"] == "spring"
    assert answer["original_filename"] == "my photo"
    assert answer["placeholder"] is False
    assert answer["access_mode"] == "public"
    assert answer["api_key"] == server.config.api_key
    assert answer["url"] == answer["secure_url"]
    assert server.session.get(answer["url"]).content == data


def test_the_signature_of_an_answer_is_sha1_of_public_id_and_version(
    server: Any, draw: Draw
) -> None:
    answer = server.upload(draw(), public_id="a b")
    signed = f"public_id=a b&version={answer['version']}{server.config.api_secret}"
    assert answer["signature"] == hashlib.sha1(signed.encode()).hexdigest()


@pytest.mark.parametrize(
    "public_id", ["plain", "a/b/c", "with space", "quote ' and \"", "tulip 🌷", "x.y", "a,b;c=d"]
)
def test_the_url_is_the_one_that_the_sdk_builds(server: Any, draw: Draw, public_id: str) -> None:
    answer = server.upload(draw(), public_id=public_id)
    built, _ = cloudinary_url(
        public_id,
        format="png",
        version=answer["version"],
        cloud_name=server.config.cloud_name,
        cname=server.url.removeprefix("http://"),
        secure=False,
    )
    assert answer["url"] == built
    assert server.session.get(built).status_code == 200


def test_the_same_name_again_replaces_the_file_and_keeps_the_asset(server: Any, draw: Draw) -> None:
    first = server.upload(draw(40, 30), public_id="p", tags="old", context="k=v")
    second = server.upload(draw(50, 20), public_id="p")
    assert second["overwritten"] is True
    assert second["asset_id"] == first["asset_id"]
    assert second["version"] > first["version"]
    assert second["version_id"] != first["version_id"]
    assert (second["tags"], "context" in second) == ([], False)
    assert server.session.get(first["url"]).content == draw(50, 20)
    assert len(server.files()) == 1


def test_overwrite_false_answers_the_stored_asset(server: Any, draw: Draw) -> None:
    first = server.upload(draw(40, 30), public_id="p")
    again = server.upload(draw(50, 20), public_id="p", overwrite="false")
    assert again["existing"] is True
    assert {k: v for k, v in again.items() if k != "existing"} == first
    assert len(server.files()) == 1


@pytest.mark.parametrize("yes", ["1", "true"])
def test_use_filename_and_folder_make_the_public_id(server: Any, draw: Draw, yes: str) -> None:
    answer = server.upload(
        draw(), "My Photo.png", use_filename=yes, unique_filename="0", folder="2026/spring"
    )
    assert answer["public_id"] == "2026/spring/My_Photo"
    assert (answer["folder"], answer["asset_folder"]) == ("2026/spring", "2026/spring")


def test_asset_folder_and_display_name_do_not_touch_the_public_id(server: Any, draw: Draw) -> None:
    answer = server.upload(draw(), public_id="p", asset_folder="shop", display_name="A tulip")
    assert (answer["public_id"], answer["asset_folder"]) == ("p", "shop")
    assert answer["display_name"] == "A tulip"


def test_context_keeps_escaped_signs(server: Any, draw: Draw) -> None:
    answer = server.upload(draw(), context=r"caption=a\=b\|c|alt=x=y")
    assert answer["context"]["custom"] == {"caption": "a=b|c", "alt": "x=y"}


def test_filename_override_names_the_original(server: Any, draw: Draw) -> None:
    answer = server.upload(draw(), "blob", filename_override="tulip.png", use_filename="1")
    assert answer["original_filename"] == "tulip"
    assert answer["public_id"].startswith("tulip_")


@pytest.mark.parametrize("broken_lines", [False, True])
@pytest.mark.parametrize("as_form", [False, True])
def test_a_data_uri_is_stored_as_its_bytes(
    server: Any, draw: Draw, broken_lines: bool, as_form: bool
) -> None:
    data = draw(300, 200)
    encode = base64.encodebytes if broken_lines else base64.b64encode
    fields = server.signed() | {"file": "data:image/png;base64," + encode(data).decode()}
    url = f"{server.api}/image/upload"
    if as_form:
        answer = server.session.post(url, data=fields)
    else:
        answer = server.session.post(url, files={k: (None, v) for k, v in fields.items()})
    assert answer.status_code == 200, answer.text
    assert answer.json()["etag"] == hashlib.md5(data).hexdigest()


def test_a_large_data_uri_is_stored_as_its_bytes(server: Any) -> None:
    out = io.BytesIO()
    Image.effect_noise((1800, 1600), 90).save(out, "PNG")
    data = out.getvalue()
    assert len(data) > 2_000_000
    uri = "data:image/png;base64," + base64.b64encode(data).decode()
    fields = {k: (None, v) for k, v in (server.signed() | {"file": uri}).items()}
    answer = server.session.post(f"{server.api}/image/upload", files=fields)
    assert answer.json()["bytes"] == len(data)


def test_raw_keeps_its_extension_and_its_bytes(server: Any) -> None:
    data = b"id,name\n1,tulip\n"
    answer = server.upload(data, "rows.csv", "raw")
    assert re.fullmatch(r"[a-z0-9]{20}\.csv", answer["public_id"])
    assert answer["resource_type"] == "raw"
    assert "width" not in answer
    assert "format" not in answer
    served = server.session.get(answer["url"])
    assert served.content == data
    assert served.headers["content-type"].startswith("text/csv")


@pytest.mark.parametrize("kind", ["mp4", "mov", "webm"])
def test_auto_decides_by_the_bytes(server: Any, film: Any, kind: str) -> None:
    for data, resource, name in ((film(kind), "video", kind), (b"just words", "raw", None)):
        answer = server.upload(data, "misleading.jpg", "auto")
        assert answer["resource_type"] == resource
        assert answer.get("format") == name
        assert server.session.get(answer["url"]).content == data


@pytest.mark.parametrize(
    ("kind", "name"),
    [("JPEG", "jpg"), ("PNG", "png"), ("GIF", "gif"), ("WEBP", "webp"), ("AVIF", "avif"),
     ("BMP", "bmp"), ("TIFF", "tiff"), ("ICO", "ico")],
)  # fmt: skip
def test_auto_knows_every_image_format(server: Any, draw: Draw, kind: str, name: str) -> None:
    data = draw(64, 48, kind, **({"sizes": [(64, 48)]} if kind == "ICO" else {}))
    answer = server.upload(data, "noextension", "auto")
    assert (answer["resource_type"], answer["format"]) == ("image", name)
    assert answer["width"] == 64
    assert server.session.get(answer["url"]).content == data


def test_format_converts_before_storing(server: Any, draw: Draw) -> None:
    answer = server.upload(draw(40, 30, "PNG"), format="jpg")
    stored = server.session.get(answer["url"]).content
    assert answer["format"] == "jpg"
    assert (answer["bytes"], answer["etag"]) == (len(stored), hashlib.md5(stored).hexdigest())
    assert Image.open(io.BytesIO(stored)).format == "JPEG"


def test_eager_images_are_made_at_once_and_served_under_their_urls(server: Any, draw: Draw) -> None:
    answer = server.upload(
        draw(400, 300, "JPEG"), "a.jpg", eager="c_fill,h_80,w_60|w_50/png|w_0.5/"
    )
    shapes = [(one["width"], one["height"], one["format"]) for one in answer["eager"]]
    assert shapes == [(60, 80, "jpg"), (50, 38, "png"), (200, 150, "jpg")]
    for one in answer["eager"]:
        served = server.session.get(one["url"])
        assert served.status_code == 200
        assert len(served.content) == one["bytes"]
    assert len(server.files()) == 4


def test_private_and_authenticated_urls_are_signed(server: Any, draw: Draw) -> None:
    for kind in ("private", "authenticated"):
        answer = server.upload(draw(), type=kind)
        assert answer["type"] == kind
        assert f"/image/{kind}/s--" in answer["url"]
        assert server.session.get(answer["url"]).status_code == 200


def test_one_name_may_be_used_once_a_resource_type_and_type(server: Any, draw: Draw) -> None:
    ids = {
        server.upload(draw(), public_id="same")["asset_id"],
        server.upload(draw(), public_id="same", type="private")["asset_id"],
        server.upload(b"words", "w.txt", "raw", public_id="same")["asset_id"],
    }
    assert len(ids) == 3


def test_the_whole_file_in_one_chunk_is_an_upload(server: Any, draw: Draw) -> None:
    data = draw()
    answer = server.session.post(
        f"{server.api}/image/upload",
        data=server.signed(),
        files={"file": ("a.png", data)},
        headers={
            "Content-Range": f"bytes 0-{len(data) - 1}/{len(data)}",
            "X-Unique-Upload-Id": "abc",
        },
    )
    assert answer.status_code == 200


def test_uploads_of_one_name_at_the_same_time_leave_one_file(server: Any, draw: Draw) -> None:
    versions: list[int] = []

    def upload(width: int) -> None:
        versions.append(server.upload(draw(width, 30), public_id="p")["version"])

    threads = [threading.Thread(target=upload, args=(20 + n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(versions)) == 8
    assert server.admin("resources/image/upload/p").json()["version"] == max(versions)
    assert len(server.files()) == 1


@pytest.mark.parametrize(
    "stem", ["my tulip", 'with "quotes"', "o'neil", "tulip 🌷", "日本", "50% off & more", "a;b=c"]
)
def test_the_original_filename_comes_back_as_it_was(server: Any, draw: Draw, stem: str) -> None:
    assert server.upload(draw(), f"{stem}.png")["original_filename"] == stem
    named = server.upload(draw(), f"{stem}.png", use_filename="1", unique_filename="0")
    assert server.session.get(named["url"]).content == draw()
