"""Conformance of the Upload API: sequences of calls with the official, unmodified SDK."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import cloudinary.api
import cloudinary.exceptions
import cloudinary.uploader
import cloudinary.utils
import pytest
import requests


def fetch(url: str) -> requests.Response:
    return requests.get(url, timeout=60)


def test_large_files_and_streams_go_up_in_chunks(sdk: Any, tmp_path: Path) -> None:
    data = os.urandom(21_000_000)
    path = tmp_path / "measurements.bin"
    path.write_bytes(data)
    default = cloudinary.uploader.upload_large(str(path), **dict(sdk.options))
    assert default["resource_type"] == "raw"
    assert default["etag"] == hashlib.md5(data).hexdigest()
    assert fetch(default["secure_url"]).content == data
    stream = cloudinary.uploader.upload_large(
        io.BytesIO(data), chunk_size=5_500_000, filename="s.bin", folder="a",
        public_id="stream.bin", **dict(sdk.options),
    )  # fmt: skip
    assert stream["public_id"] == "a/stream.bin"
    assert stream["etag"] == default["etag"]


def test_facts_are_told_at_upload_and_by_explicit(sdk: Any, samples: Path) -> None:
    upload, path = cloudinary.uploader, str(samples / "rocket.jpg")
    answer = upload.upload(
        path, public_id="r", phash=True, colors=True, faces=True, media_metadata=True,
        face_coordinates=[[10, 20, 30, 40], [1, 2, 3, 4]], custom_coordinates=[5, 6, 7, 8],
        moderation="manual", headers=["X-Robots-Tag: noindex"], **sdk.options,
    )  # fmt: skip
    assert len(answer["phash"]) == 16
    assert answer["faces"] == [[10, 20, 30, 40], [1, 2, 3, 4]]
    assert answer["coordinates"]["custom"] == [[5, 6, 7, 8]]
    assert answer["moderation"][0]["kind"] == "manual"
    assert abs(sum(share for _, share in answer["colors"]) - 100) < 2
    assert "media_metadata" in answer
    explicit = upload.explicit(
        "r", type="upload", face_coordinates=[[122, 32, 111, 152]], faces=True, phash=True,
        tags="new", eager=[{"width": 20, "format": "png"}], eager_async=True, **sdk.options,
    )  # fmt: skip
    assert explicit["faces"] == [[122, 32, 111, 152]]
    assert explicit["phash"] == answer["phash"]
    assert explicit["tags"] == ["new"]
    assert explicit["eager"][0]["status"] == "processing"


def test_incoming_transformations_formats_and_allowed_formats(sdk: Any, samples: Path) -> None:
    path = str(samples / "coffee.png")
    answer = cloudinary.uploader.upload(
        path, transformation=[{"width": 100, "crop": "scale"}, {"width": 50, "crop": "limit"}],
        format="jpg", allowed_formats=["jpg"], **sdk.options,
    )  # fmt: skip
    assert (answer["width"], answer["format"]) == (50, "jpg")
    with pytest.raises(cloudinary.exceptions.BadRequest, match="png not allowed"):
        cloudinary.uploader.upload(path, allowed_formats=["jpg"], **sdk.options)


def test_an_exclusive_tag_leaves_all_others(sdk: Any, samples: Path) -> None:
    upload, path = cloudinary.uploader, str(samples / "rocket.jpg")
    for name in ("a", "b"):
        upload.upload(path, public_id=name, tags=["first", "z"], **sdk.options)
    assert upload.add_tag("first", "b", exclusive=True, **sdk.options)["public_ids"] == ["b"]
    assert cloudinary.api.resource("a", **sdk.options)["tags"] == ["z"]
    upload.replace_tag(["n", "m"], ["a", "b"], **sdk.options)
    upload.remove_tag("n,q", ["a"], **sdk.options)
    assert cloudinary.api.resource("a", **sdk.options)["tags"] == ["m"]


def test_unsigned_uploads_need_an_unsigned_preset(sdk: Any, samples: Path) -> None:
    upload, path = cloudinary.uploader, str(samples / "rocket.jpg")
    cloudinary.api.create_upload_preset(
        name="open", unsigned=True, folder="in", tags="guest", allowed_formats="jpg",
        transformation={"width": 60}, **sdk.options,
    )  # fmt: skip
    cloudinary.api.create_upload_preset(name="closed", folder="signed", **sdk.options)
    answer = upload.unsigned_upload(path, "open", public_id="x", **sdk.options)
    assert (answer["public_id"], answer["width"], answer["tags"]) == ("in/x", 60, ["guest"])
    assert upload.unsigned_upload(path, "open", public_id="x", **sdk.options)["existing"] is True
    with pytest.raises(cloudinary.exceptions.BadRequest, match="whitelisted for unsigned"):
        upload.unsigned_upload(path, "closed", **sdk.options)
    with pytest.raises(cloudinary.exceptions.BadRequest, match="Eager parameter is not allowed"):
        upload.unsigned_upload(path, "open", eager=[{"width": 10}], **sdk.options)
    signed = upload.upload(path, upload_preset="closed", public_id="y", **sdk.options)
    assert signed["public_id"] == "signed/y"


def test_archives_are_made_and_downloaded(sdk: Any, samples: Path) -> None:
    for name in ("rocket.jpg", "coffee.png"):
        cloudinary.uploader.upload(str(samples / name), tags=["zip"], **sdk.options)
    made = cloudinary.uploader.create_archive(tags=["zip"], target_tags=["made"], **sdk.options)
    assert (made["file_count"], made["resource_count"], made["tags"]) == (2, 2, ["made"])
    sizes = [{"width": 0.5}, {"width": 2.0}]
    more = cloudinary.uploader.create_zip(tags=["zip"], transformations=sizes, **sdk.options)
    assert more["file_count"] == 4
    url = cloudinary.utils.download_zip_url(tags=["zip"], transformations=sizes, **sdk.options)
    with zipfile.ZipFile(io.BytesIO(fetch(url).content)) as archive:
        assert len(archive.infolist()) == 4


def test_an_asynchronous_upload_is_pending(sdk: Any, samples: Path) -> None:
    answer = cloudinary.uploader.upload(
        str(samples / "rocket.jpg"), public_id="later", **{"async": True}, **sdk.options
    )
    assert answer["status"] == "pending"
    assert answer["batch_id"]


def test_a_bearer_token_is_not_accepted(sdk: Any, samples: Path) -> None:
    with pytest.raises(cloudinary.exceptions.AuthorizationRequired):
        cloudinary.uploader.upload(
            str(samples / "rocket.jpg"), oauth_token="MTQ0NjJkZmQ5OTM2NDE1ZTZjNGZmZjI4",
            **sdk.options,
        )  # fmt: skip


def test_a_version_that_was_replaced_can_be_downloaded(sdk: Any, samples: Path) -> None:
    first, second = samples / "rocket.jpg", samples / "coffee.png"
    options = {"public_id": "v", "backup": True, **sdk.options}
    old = cloudinary.uploader.upload(str(first), **options)
    new = cloudinary.uploader.upload(str(second), **options)
    assert new["asset_id"] == old["asset_id"]
    for answer, path in ((old, first), (new, second)):
        url = cloudinary.utils.download_backedup_asset(
            answer["asset_id"], answer["version_id"], **sdk.options
        )
        assert fetch(url).content == path.read_bytes()
    none = cloudinary.utils.download_backedup_asset(old["asset_id"], "0" * 32, **sdk.options)
    assert fetch(none).status_code == 404
