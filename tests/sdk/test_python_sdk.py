"""Conformance: sequences of calls with the official, unmodified `cloudinary` package."""

from __future__ import annotations

import base64
import hashlib
import io
from pathlib import Path
from typing import Any

import cloudinary.api
import cloudinary.exceptions
import cloudinary.uploader
import pytest
import requests
from cloudinary.utils import cloudinary_url
from PIL import Image


def fetch(url: str) -> requests.Response:
    return requests.get(url, timeout=60)


def opened(url: str) -> Image.Image:
    answer = fetch(url)
    assert answer.status_code == 200, answer.headers.get("x-cld-error")
    return Image.open(io.BytesIO(answer.content))


def test_every_sample_picture_goes_up_and_comes_back(sdk: Any, samples: Path) -> None:
    for path in sorted(samples.iterdir()):
        if path.suffix not in (".jpg", ".png"):
            continue
        answer = cloudinary.uploader.upload(path, **sdk.options)
        with Image.open(path) as image:
            assert (answer["width"], answer["height"]) == image.size
        assert answer["format"] == path.suffix[1:]
        assert answer["original_filename"] == path.stem
        assert fetch(answer["secure_url"]).content == path.read_bytes()
        thumbnail, _ = cloudinary_url(
            answer["public_id"], width=80, height=60, crop="fill", gravity="auto",
            quality="auto", fetch_format="auto", **sdk.options,
        )  # fmt: skip
        assert opened(thumbnail).size == (80, 60)


def test_the_answer_carries_request_id_and_a_genuine_signature(sdk: Any, samples: Path) -> None:
    answer = cloudinary.uploader.upload(samples / "rocket.jpg", **sdk.options)
    assert answer["request_id"]
    signed = f"public_id={answer['public_id']}&version={answer['version']}sdk-secret"
    assert answer["signature"] == hashlib.sha1(signed.encode()).hexdigest()


@pytest.mark.parametrize(
    "options",
    [
        {"signature_algorithm": "sha1", "signature_version": 1},
        {"signature_algorithm": "sha256", "signature_version": 2},
    ],
)
def test_all_ways_to_sign_work(sdk: Any, samples: Path, options: dict[str, Any]) -> None:
    answer = cloudinary.uploader.upload(
        str(samples / "rocket.jpg"),
        tags=["a & b", "c"],
        context={"caption": "salt & pepper = good | better"},
        overwrite=False,
        use_filename=True,
        **options,
        **sdk.options,
    )
    assert answer["tags"] == ["a & b", "c"]
    assert answer["context"]["custom"] == {"caption": "salt & pepper = good | better"}
    assert answer["public_id"].startswith("rocket_")


def test_bytes_streams_data_uris_and_urls_are_sources(sdk: Any, samples: Path) -> None:
    data = (samples / "brick.png").read_bytes()
    uri = "data:image/png;base64," + base64.encodebytes(data).decode()
    first = cloudinary.uploader.upload(data, **sdk.options)
    for source in (io.BytesIO(data), uri, first["url"], ("wall.png", data)):
        answer = cloudinary.uploader.upload(source, **sdk.options)
        assert answer["etag"] == first["etag"]
    assert answer["original_filename"] == "wall"


def test_upload_large_in_one_chunk_works_for_raw_and_image(sdk: Any, samples: Path) -> None:
    path = str(samples / "rocket.jpg")
    raw = cloudinary.uploader.upload_large(path, **dict(sdk.options))
    assert (raw["resource_type"], raw["public_id"][-4:]) == ("raw", ".jpg")
    image = cloudinary.uploader.upload_large(path, resource_type="image", **sdk.options)
    assert image["width"] == 640


def test_eager_urls_are_the_ones_that_the_sdk_builds(sdk: Any, samples: Path) -> None:
    answer = cloudinary.uploader.upload(
        str(samples / "coffee.png"),
        public_id="cups/coffee cream",
        eager=[
            {"width": 120, "height": 90, "crop": "fill", "gravity": "north"},
            {"width": 100, "crop": "scale", "format": "webp"},
        ],
        **sdk.options,
    )
    first, second = answer["eager"]
    built, _ = cloudinary_url(
        answer["public_id"], version=answer["version"], format="png",
        width=120, height=90, crop="fill", gravity="north", **sdk.options,
    )  # fmt: skip
    assert first["url"] == built
    assert opened(first["url"]).size == (first["width"], first["height"]) == (120, 90)
    assert opened(second["url"]).format == "WEBP"


def test_a_sequence_of_admin_calls(sdk: Any, samples: Path) -> None:
    assert cloudinary.api.ping(**sdk.options)["status"] == "ok"
    stored = [
        cloudinary.uploader.upload(
            str(samples / "rocket.jpg"),
            public_id=f"space/rocket {number}",
            tags=["space"],
            context={"n": str(number)},
            **sdk.options,
        )
        for number in range(5)
    ]
    page = cloudinary.api.resources(
        type="upload", prefix="space/", max_results=3, tags=True, context=True, **sdk.options
    )
    assert page.rate_limit_remaining < page.rate_limit_allowed
    rest = cloudinary.api.resources(
        type="upload", prefix="space/", next_cursor=page["next_cursor"], **sdk.options
    )
    assert len(page["resources"]) == 3
    assert len(rest["resources"]) == 2
    assert page["resources"][0]["context"]["custom"] == {"n": "4"}
    one = cloudinary.api.resource("space/rocket 3", **sdk.options)
    assert one["asset_id"] == stored[3]["asset_id"]
    assert cloudinary.api.resource_by_asset_id(one["asset_id"], **sdk.options)["url"] == one["url"]
    by_tag = cloudinary.api.resources_by_tag("space", max_results=50, **sdk.options)
    assert len(by_tag["resources"]) == 5
    by_ids = cloudinary.api.resources_by_ids(["space/rocket 1", "none"], **sdk.options)
    assert [item["public_id"] for item in by_ids["resources"]] == ["space/rocket 1"]
    by_context = cloudinary.api.resources_by_context("n", "2", **sdk.options)
    assert [item["public_id"] for item in by_context["resources"]] == ["space/rocket 2"]
    deleted = cloudinary.api.delete_resources(["space/rocket 0", "none"], **sdk.options)
    assert deleted["deleted"] == {"space/rocket 0": "deleted", "none": "not_found"}
    by_id = cloudinary.api.delete_resources_by_asset_ids([one["asset_id"]], **sdk.options)
    assert by_id["deleted"] == {one["asset_id"]: "deleted"}
    prefix = cloudinary.api.delete_resources_by_prefix("space/", **sdk.options)
    assert len(prefix["deleted"]) == 3
    assert cloudinary.api.usage(**sdk.options)["resources"] == 0


def test_a_sequence_of_changes(sdk: Any, samples: Path) -> None:
    upload, options = cloudinary.uploader, sdk.options
    stored = upload.upload(str(samples / "horse.png"), public_id="horse", **options)
    assert upload.add_tag("animal", ["horse", "none"], **options)["public_ids"] == ["horse"]
    assert upload.add_tag(["big", "brown"], "horse", **options)["public_ids"] == ["horse"]
    upload.remove_tag("big", ["horse"], **options)
    upload.add_context({"alt": "A horse = animal"}, ["horse"], **options)
    details = cloudinary.api.resource("horse", **options)
    assert details["context"]["custom"] == {"alt": "A horse = animal"}
    assert "animal" in details["tags"]
    assert "big" not in details["tags"]
    renamed = upload.rename("horse", "animals/horse", **options)
    assert renamed["asset_id"] == stored["asset_id"]
    explicit = upload.explicit(
        "animals/horse", type="upload", eager=[{"width": 30, "crop": "scale"}], **options
    )
    assert opened(explicit["eager"][0]["secure_url"]).width == 30
    with pytest.raises(cloudinary.exceptions.NotFound, match="Resource not found - horse"):
        upload.explicit("horse", type="upload", **options)
    assert upload.destroy("animals/horse", invalidate=True, **options)["result"] == "ok"
    assert upload.destroy("animals/horse", **options)["result"] == "not found"


def test_authenticated_assets_open_only_with_signed_urls(sdk: Any, samples: Path) -> None:
    stored = cloudinary.uploader.upload(
        str(samples / "brick.png"), type="authenticated", **sdk.options
    )
    name = stored["public_id"]
    assert opened(stored["secure_url"]).width == stored["width"]
    options = {"type": "authenticated", "width": 40, "crop": "limit", "format": "jpg"}
    bare, _ = cloudinary_url(name, **options, **sdk.options)
    assert fetch(bare).status_code == 401
    for extra in ({}, {"long_url_signature": True}, {"signature_algorithm": "sha256"}):
        signed, _ = cloudinary_url(name, sign_url=True, **options, **extra, **sdk.options)
        assert opened(signed).width == 40


def test_refusals_become_the_sdks_own_exceptions(sdk: Any, samples: Path) -> None:
    path = str(samples / "brick.png")

    def upload(**changed: Any) -> Any:
        return cloudinary.uploader.upload(path, **{**sdk.options, **changed})

    with pytest.raises(cloudinary.exceptions.AuthorizationRequired, match="Invalid Signature"):
        upload(api_secret="wrong")
    with pytest.raises(cloudinary.exceptions.AuthorizationRequired, match="Unknown API key"):
        upload(api_key="1")
    with pytest.raises(cloudinary.exceptions.AuthorizationRequired, match="Invalid cloud_name"):
        upload(cloud_name="elsewhere")
    with pytest.raises(cloudinary.exceptions.BadRequest, match="detection"):
        upload(detection="adv_face")
    with pytest.raises(cloudinary.exceptions.BadRequest, match="preset"):
        cloudinary.uploader.unsigned_upload(path, "mine", **sdk.options)
    with pytest.raises(cloudinary.exceptions.BadRequest, match="Invalid image file"):
        cloudinary.uploader.upload(str(samples / "SOURCES.md"), **sdk.options)
    with pytest.raises(cloudinary.exceptions.NotFound, match="Resource not found - none"):
        cloudinary.api.resource("none", **sdk.options)
    with pytest.raises(cloudinary.exceptions.AuthorizationRequired, match="api_secret mismatch"):
        cloudinary.api.ping(**{**sdk.options, "api_secret": "wrong"})
    assert cloudinary.api.resources(**sdk.options)["resources"] == []
