"""Archives of many assets, kept or downloaded, and signed downloads of one."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

Draw = Callable[..., bytes]


def names(content: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return sorted(archive.namelist())


def archive(server: Any, kind: str = "image", **fields: Any) -> Any:
    lists = {
        name: fields.pop(name)
        for name in ("public_ids", "tags", "prefixes", "fully_qualified_public_ids")
        if name in fields
    }
    signed = server.signed(**fields, **lists)
    data = {f"{name}[]" if name in lists else name: value for name, value in signed.items()}
    return server.session.post(f"{server.api}/{kind}/generate_archive", data=data)


@pytest.fixture
def stored(server: Any, draw: Draw) -> Any:
    server.upload(draw(40, 40), "one.png", public_id="trips/rome", tags="t")
    server.upload(draw(41, 40, "JPEG"), "two.jpg", public_id="trips/oslo", tags="t,u")
    server.upload(draw(42, 40), "one.png", public_id="other", tags="u")
    server.upload(b"notes", "notes.txt", "raw", public_id="trips/notes.txt", tags="t")
    return server


def test_an_archive_by_ids_tags_and_prefixes_is_kept_as_a_raw_asset(stored: Any) -> None:
    answer = archive(
        stored, public_ids=["other"], prefixes=["trips/r"], target_public_id="all/mine",
        target_tags="zip",
    ).json()  # fmt: skip
    assert (answer["resource_type"], answer["public_id"]) == ("raw", "all/mine.zip")
    assert (answer["resource_count"], answer["file_count"]) == (2, 2)
    assert answer["tags"] == ["zip"]
    content = stored.session.get(answer["url"]).content
    assert len(content) == answer["bytes"]
    assert names(content) == ["other.png", "trips/rome.png"]
    by_tag = archive(stored, tags=["t", "u"]).json()
    assert by_tag["file_count"] == 3
    assert by_tag["public_id"].endswith(".zip")


def test_a_download_keeps_nothing(stored: Any, until: Callable[..., None]) -> None:
    before = sorted(stored.files())
    answer = archive(stored, "all", prefixes=["trips/"], mode="download")
    assert answer.headers["content-type"] == "application/zip"
    assert names(answer.content) == ["trips/notes.txt", "trips/oslo.jpg", "trips/rome.png"]
    until(lambda: sorted(stored.files()) == before)


def test_folders_can_be_flattened_and_equal_names_kept_apart(stored: Any) -> None:
    answer = archive(stored, tags=["t", "u"], mode="download", flatten_folders="1")
    assert names(answer.content) == ["oslo.jpg", "other.png", "rome.png"]
    answer = archive(
        stored, tags=["t", "u"], mode="download", flatten_folders="1", use_original_filename="1"
    )
    assert names(answer.content) == ["one.png", "one_1.png", "two.jpg"]


def test_transformations_multiply_the_files(stored: Any) -> None:
    answer = archive(stored, tags=["t"], transformations="w_10|w_20/jpg", mode="download")
    assert names(answer.content) == [
        "w_10/trips/oslo.jpg", "w_10/trips/rome.png", "w_20/trips/oslo.jpg", "w_20/trips/rome.jpg",
    ]  # fmt: skip
    assert archive(stored, tags=["t"], transformations="w_10|w_20").json()["file_count"] == 4


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({}, 400, "Missing required parameter"),
        ({"public_ids": ["other", "none"]}, 404, "Resource not found - none"),
        ({"tags": ["nobody"]}, 404, "No resources"),
        ({"tags": ["t"], "target_format": "tgz"}, 400, "target_format"),
        ({"tags": ["t"], "mode": "create_and_download"}, 400, "mode"),
        ({"tags": ["t"], "keep_derived": "1"}, 400, "keep_derived"),
        ({"tags": ["t"], "async": "1"}, 400, "async"),
        ({"tags": ["t"], "expires_at": "1000"}, 401, "expired"),
    ],
)
def test_an_archive_that_cannot_be_is_refused(
    stored: Any, fields: dict[str, Any], status: int, message: str
) -> None:
    answer = archive(stored, **fields)
    assert answer.status_code == status, answer.text
    assert message in answer.json()["error"]["message"]


def test_missing_assets_may_be_allowed(stored: Any) -> None:
    answer = archive(stored, public_ids=["other", "none"], allow_missing="true")
    assert answer.json()["file_count"] == 1


def test_a_signed_download_opens_private_assets_until_it_expires(server: Any, draw: Draw) -> None:
    data = draw()
    server.upload(data, public_id="a/secret", type="private")

    def download(**fields: str) -> Any:
        return server.session.get(
            f"{server.api}/image/download", params=server.signed(public_id="a/secret", **fields)
        )

    original = download(type="private", format="png")
    assert (original.content, original.headers["content-type"]) == (data, "image/png")
    attached = download(type="private", format="jpg", attachment="true")
    assert attached.content[:2] == b"\xff\xd8"
    assert attached.headers["content-type"] == "image/jpeg"
    assert attached.headers["content-disposition"] == "attachment; filename*=UTF-8''secret.jpg"
    later = str(int(time.time()) + 7200)
    for end in (later, f"{later}.042"):
        assert download(type="private", expires_at=end, timestamp="1500000000").status_code == 200
    assert download(type="private", expires_at="1500000001").status_code == 401
    assert download(type="private", timestamp="1500000000").status_code == 400
    # As the SDKs' private_download_url asks for it: without a type.
    assert download().content == data
    assert download(type="upload").status_code == 404
    unsigned = server.session.get(f"{server.api}/image/download", params={"public_id": "a/secret"})
    assert unsigned.status_code == 401


def test_an_archive_of_any_types_names_its_assets_in_full(stored: Any) -> None:
    fully = ["image/upload/other", "raw/upload/trips/notes.txt"]
    answer = archive(stored, "auto", fully_qualified_public_ids=fully, mode="download")
    assert names(answer.content) == ["other.png", "trips/notes.txt"]
    assert archive(stored, "auto", tags=["t"]).status_code == 400
