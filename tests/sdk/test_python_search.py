"""Conformance of the Search API with the official, unmodified Python SDK."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudinary.api
import cloudinary.uploader
import pytest
import requests
from cloudinary import Search, SearchFolders
from cloudinary.exceptions import BadRequest

Find = Callable[..., list[str]]


@pytest.fixture
def library(sdk: Any, samples: Path) -> Any:
    """Five assets that differ in name, folder, format, size, tags and context."""
    for name, public_id, folder, tags, context in (
        ("rocket.jpg", "rocket", "space/launch", ["night", "launch"], {"alt": "Lift-off at dawn"}),
        ("hubble_deep_field.jpg", "hubble", "space", ["night"], {"alt": "Galaxies"}),
        ("chelsea.png", "cat_one", "animals", ["animal", "cat"], {}),
        ("horse.png", "horse", "animals", ["animal"], {"alt": "A horse"}),
    ):
        cloudinary.uploader.upload(
            str(samples / name), public_id=public_id, asset_folder=folder, tags=tags,
            context=context, **sdk.options,
        )  # fmt: skip
    cloudinary.uploader.upload(
        str(samples / "SOURCES.md"), public_id="sources.md", resource_type="raw", **sdk.options
    )
    return sdk


@pytest.fixture
def find(library: Any) -> Find:
    def ids(expression: str) -> list[str]:
        found = Search().expression(expression).max_results(50).execute(**library.options)
        assert found["total_count"] == len(found["resources"])
        return sorted(one["public_id"] for one in found["resources"])

    return ids


PICTURES = ["cat_one", "horse", "hubble", "rocket"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("", [*PICTURES, "sources.md"]),
        ("resource_type:image", PICTURES),
        ("resource_type=image AND format=png", ["cat_one", "horse"]),
        ("tags=night", ["hubble", "rocket"]),
        ("tags:night AND NOT tags:launch", ["hubble"]),
        ("tags:launch OR tags:cat", ["cat_one", "rocket"]),
        ("(tags:launch OR tags:cat) AND format:jpg", ["rocket"]),
        ("public_id:h*", ["horse", "hubble"]),
        ('public_id="cat_one"', ["cat_one"]),
        ("asset_folder=space", ["hubble"]),
        ("asset_folder:space/*", ["hubble", "rocket"]),
        ("asset_folder:animals", ["cat_one", "horse"]),
        ("width>900", ["hubble"]),
        ("width:[600 TO 700]", ["rocket"]),
        ("width:{400 TO 451]", ["cat_one"]),
        ("bytes>200kb AND bytes<1mb", ["cat_one", "hubble"]),
        ("uploaded_at>1d", [*PICTURES, "sources.md"]),
        ("uploaded_at<1d", []),
        ("created_at:[2020-01-01 TO 2021-01-01]", []),
        ("context.alt:galaxies", ["hubble"]),
        ("aspect_ratio>1.4 AND resource_type:image", ["cat_one", "rocket"]),
        ("no_such_field:x", []),
    ],
)
def test_expressions_find_what_they_describe(
    find: Find, expression: str, expected: list[str]
) -> None:
    assert find(expression) == expected


@pytest.mark.parametrize(
    "expression", ["tags=", "(tags:cat", "width:[1 TO", "AND tags:cat", "tags:cat OR", '"open']
)
def test_a_malformed_expression_is_refused(find: Find, expression: str) -> None:
    with pytest.raises(BadRequest):
        find(expression)


def test_sorting_pages_aggregations_and_fields(library: Any) -> None:
    search = Search().expression("resource_type:image").sort_by("bytes", "desc").max_results(3)
    first = search.execute(**library.options)
    rest = search.next_cursor(first["next_cursor"]).execute(**library.options)
    order = [one["public_id"] for one in (*first["resources"], *rest["resources"])]
    assert order == ["hubble", "cat_one", "rocket", "horse"]
    assert "next_cursor" not in rest

    counted = Search().aggregate("format").max_results(1).execute(**library.options)
    assert counted["aggregations"]["format"] | {"md": 1} == {"jpg": 2, "png": 2, "md": 1}

    (one,) = (
        Search().expression("public_id=rocket").with_field("tags").with_field("context")
        .execute(**library.options)["resources"]
    )  # fmt: skip
    assert sorted(one["tags"]) == ["launch", "night"]
    assert one["context"] == {"alt": "Lift-off at dawn"}
    (slim,) = (Search().expression("public_id=rocket").fields("width").execute(**library.options))[
        "resources"
    ]
    assert slim["width"] == 640
    assert "bytes" not in slim


def test_folders_are_found_and_a_search_url_answers(library: Any) -> None:
    found = SearchFolders().expression("path=space/*").execute(**library.options)
    assert [one["path"] for one in found["folders"]] == [
        "space/launch",
        "space",
    ]

    url = Search().expression("tags=cat").to_url(300, **library.options)
    answer = requests.get(url, timeout=60)
    assert [one["public_id"] for one in answer.json()["resources"]] == ["cat_one"]
