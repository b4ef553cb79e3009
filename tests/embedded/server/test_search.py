"""The Search API's expressions, counts and refusals over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

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
