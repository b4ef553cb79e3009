"""The Search API's expressions, counts and refusals over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from PIL import ExifTags, Image

Draw = Callable[..., bytes]


@pytest.fixture
def stocked(server: Any, draw: Draw, film: Callable[..., bytes]) -> Any:
    """A server with two pictures, a text and a film of two seconds."""
    server.upload(
        draw(400, 300), public_id="zoo/cat one", tags="cat,red fox", context="alt=Big cat"
    )
    server.upload(draw(100, 200, "JPEG"), public_id="dog", tags="dog", asset_folder="pets/dogs")
    server.upload(b"x" * 3000, "a.txt", "raw", public_id="note.txt")
    server.upload(film(), "film.mp4", "video", public_id="film")
    return server


def found(server: Any, expression: str, **body: Any) -> set[str]:
    body = {"expression": expression, **body}
    answer = server.session.post(f"{server.api}/resources/search", json=body, auth=server.auth)
    assert answer.status_code == 200, answer.text
    names = {one["public_id"] for one in answer.json()["resources"]}
    assert answer.json()["total_count"] == len(names)
    return names


def test_expressions_find_what_they_say(stocked: Any) -> None:
    everything = {"zoo/cat one", "dog", "note.txt", "film"}
    for expression, names in {
        "": everything,
        "*": everything,
        "resource_type:image": {"zoo/cat one", "dog"},
        "resource_type:(raw OR video)": {"note.txt", "film"},
        "resource_type:image AND NOT tags=dog": {"zoo/cat one"},
        "resource_type:image AND -tags=dog": {"zoo/cat one"},
        "(tags=cat OR tags=dog) AND width<=100": {"dog"},
        'tags="red fox"': {"zoo/cat one"},
        "tags:fox": {"zoo/cat one"},
        "public_id:zoo*": {"zoo/cat one"},
        'public_id="zoo/cat one"': {"zoo/cat one"},
        "folder:zoo/*": {"zoo/cat one"},
        "asset_folder=pets/*": {"dog"},
        "context.alt:cat": {"zoo/cat one"},
        "bytes>=3kb AND resource_type:raw": set(),
        "bytes>2kb AND resource_type:raw": {"note.txt"},
        "width:[100 TO 160}": {"dog"},
        "height:{200 TO *]": {"zoo/cat one"},
        "uploaded_at>1h": everything,
        "created_at<1d": set(),
        "duration>=1.5": {"film"},
        "duration:[3 TO 10]": set(),
        "no_such_field:1": set(),
    }.items():
        assert found(stocked, expression) == names, expression


@pytest.mark.parametrize(
    "expression", ["(a", "a)", "tags:", "AND", "width:[1 TO", '"open', "bytes>many", "width:x"]
)
def test_what_cannot_be_read_is_refused(server: Any, expression: str) -> None:
    answer = server.session.post(
        f"{server.api}/resources/search", json={"expression": expression}, auth=server.auth
    )
    assert answer.status_code == 400, expression
    assert "search expression" in answer.json()["error"]["message"]


def test_facts_read_from_pictures_and_videos_can_be_searched(
    server: Any, draw: Draw, film: Callable[..., bytes]
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Software] = "Darkroom 3"
    exif[ExifTags.Base.DateTime] = "2019:07:01 12:00:00"
    server.upload(
        draw(40, 30, "JPEG", exif=exif), public_id="old", media_metadata="1", colors="1",
        eager="w_20|w_10",
    )  # fmt: skip
    server.upload(draw(4, 3), public_id="plain")
    server.upload(film(), "film.mp4", "video", public_id="loud")
    server.upload(film(sound=False), "film.mp4", "video", public_id="silent")
    for expression, names in {
        "colors:red": {"old"},
        "colors=(pink OR blue)": {"old"},
        "colors=pink": set(),
        "-colors:* AND resource_type:image": {"plain"},
        "taken_at:[2019-01-01 TO 2019-12-31]": {"old"},
        "taken_at<1y": {"old"},
        "image_metadata.Software:darkroom": {"old"},
        'image_metadata.Software="Darkroom 3"': {"old"},
        "image_metadata.Software=darkroom": set(),
        "transformations>=2": {"old"},
        "transformations=0 AND format:png": {"plain"},
        "transparent=false": {"old"},
        "has_audio=true": {"loud"},
        "has_audio=false": {"silent"},
        "bit_rate>1 AND frame_rate:[9 TO 11]": {"loud", "silent"},
        "image_pixels<100": {"plain"},
        "video_pixels>100": {"loud", "silent"},
        "duration<1m AND duration>1s": {"loud", "silent"},
    }.items():
        assert found(server, expression) == names, expression


def test_a_video_tells_how_long_it_lasts(stocked: Any) -> None:
    body = {"expression": "public_id=film", "with_field": ["tags", "public_id"]}
    answer = stocked.session.post(f"{stocked.api}/resources/search", json=body, auth=stocked.auth)
    (shown,) = answer.json()["resources"]
    assert shown["duration"] == pytest.approx(2.0, abs=0.2)
    assert shown["frame_rate"] == pytest.approx(10.0, abs=0.5)
    assert shown["bit_rate"] > 0


def test_counts_by_categories(stocked: Any) -> None:
    body = {"aggregate": ["bytes", "pixels", "video_pixels", "duration"]}
    answer = stocked.session.post(f"{stocked.api}/resources/search", json=body, auth=stocked.auth)
    counts = answer.json()["aggregations"]
    assert set(counts) == {"bytes", "pixels", "video_pixels", "duration"}
    assert counts["pixels"] == {
        "*-100000": 1, "100000-1000000": 1, "1000000-4000000": 0, "4000000-12000000": 0,
        "12000000-*": 0,
    }  # fmt: skip
    assert sum(counts["bytes"].values()) == 4
    assert counts["video_pixels"]["*-100000"] == counts["duration"]["*-10"] == 1
