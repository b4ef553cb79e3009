"""The Admin API over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import pytest

Draw = Callable[..., bytes]


def test_ping_needs_the_right_credentials(server: Any) -> None:
    url = f"{server.api}/ping"
    assert server.admin("ping").json() == {"status": "ok"}
    for auth, message in (
        (None, "Must supply credentials"),
        (("999", server.config.api_secret), "unknown api_key"),
        ((server.config.api_key, "wrong"), "api_secret mismatch"),
    ):
        answer = server.session.get(url, auth=auth)
        assert answer.status_code == 401
        assert message in answer.json()["error"]["message"]
    elsewhere = f"{server.url}/v1_1/elsewhere/ping"
    for auth, message in ((("999", "x"), "unknown api_key"), (server.auth, "cloud_name mismatch")):
        answer = server.session.get(elsewhere, auth=auth)
        assert answer.status_code == 401
        assert answer.json() == {"error": {"message": message}}


def test_every_answer_tells_the_rate_limit_and_its_request_id(server: Any) -> None:
    first, second = server.admin("ping"), server.admin("resources/image/upload/none")
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    for answer in (first, second):
        assert int(answer.headers["x-featureratelimit-limit"]) > 0
        assert parsedate_to_datetime(answer.headers["x-featureratelimit-reset"])
    remaining = [int(a.headers["x-featureratelimit-remaining"]) for a in (first, second)]
    assert remaining[1] == remaining[0] - 1


@pytest.mark.parametrize(
    "public_id", ["plain", "a/b c/d", "tulip 🌷'\"", "a.b", "tags/x", "context"]
)
def test_details_are_found_by_name_and_by_asset_id(server: Any, draw: Draw, public_id: str) -> None:
    stored = server.upload(draw(40, 30), public_id=public_id, tags="t", context="k=v")
    by_name = server.admin(f"resources/image/upload/{quote(public_id, safe='')}")
    assert by_name.status_code == 200
    assert by_name.json()["asset_id"] == stored["asset_id"]
    assert by_name.json() == server.admin(f"resources/{stored['asset_id']}").json()
    details = by_name.json()
    for name in ("width", "height", "bytes", "etag", "format", "url", "version", "created_at"):
        assert details[name] == stored[name]
    assert details["tags"] == ["t"]
    assert details["context"] == {"custom": {"k": "v"}}
    assert details["derived"] == []


def test_details_list_what_was_derived(server: Any, draw: Draw) -> None:
    server.upload(draw(40, 30), public_id="p", eager="w_10")
    server.get("image/upload/c_fill,h_5,w_5/p.jpg")
    derived = server.admin("resources/image/upload/p").json()["derived"]
    assert [(one["transformation"], one["format"]) for one in derived] == [
        ("w_10", "png"),
        ("c_fill,h_5,w_5", "jpg"),
    ]
    for one in derived:
        assert len(server.session.get(one["url"]).content) == one["bytes"]


def test_a_missing_asset_is_not_found(server: Any) -> None:
    for path in (
        "resources/image/upload/a/b",
        "resources/image/private/a",
        "resources/" + "0" * 32,
    ):
        answer = server.admin(path)
        assert answer.status_code == 404
        name = path.split("/", 3)[-1] if path.count("/") > 1 else path.split("/")[1]
        assert answer.json() == {"error": {"message": f"Resource not found - {name}"}}


def test_a_listing_pages_newest_first_through_everything_once(server: Any, draw: Draw) -> None:
    names = [f"p{number:02}" for number in range(7)]
    for name in names:
        server.upload(draw(8, 8), public_id=name)
    seen: list[str] = []
    query: dict[str, Any] = {"max_results": 3}
    for _ in range(3):
        page = server.admin("resources/image/upload", **query).json()
        seen += [one["public_id"] for one in page["resources"]]
        query["next_cursor"] = page.get("next_cursor")
    assert seen == names[::-1]
    assert query["next_cursor"] is None
    rising = server.admin("resources/image", direction="asc", max_results=500).json()
    assert [one["public_id"] for one in rising["resources"]] == names
    assert "next_cursor" not in rising


def test_a_listing_has_ten_results_unless_told_otherwise(server: Any, draw: Draw) -> None:
    for number in range(11):
        server.upload(draw(8, 8), public_id=f"p{number}")
    assert len(server.admin("resources/image").json()["resources"]) == 10


@pytest.mark.parametrize(
    "written",
    [
        "%Y-%m-%dT%H:%M:%S.000Z",
        "%Y-%m-%d %H:%M:%S UTC",
        "%a %b %d %Y %H:%M:%S GMT+0000 (Coordinated Universal Time)",
    ],
)
def test_a_listing_starts_at_a_moment(server: Any, draw: Draw, written: str) -> None:
    server.upload(draw(8, 8), public_id="p")
    now = datetime.now(UTC)
    for away, direction, count in ((-1, "asc", 1), (1, "asc", 0), (-1, "desc", 0), (1, "desc", 1)):
        moment = (now + timedelta(hours=away)).strftime(written)
        page = server.admin("resources/image/upload", start_at=moment, direction=direction).json()
        assert len(page["resources"]) == count, (moment, direction)


def test_tags_and_context_are_listed_only_on_request(server: Any, draw: Draw) -> None:
    server.upload(draw(), tags="a,b", context="k=v")
    (plain,) = server.admin("resources/image").json()["resources"]
    assert "tags" not in plain
    assert "context" not in plain
    (full,) = server.admin("resources/image", tags="true", context="true").json()["resources"]
    assert full["tags"] == ["a", "b"]
    assert full["context"] == {"custom": {"k": "v"}}


def test_a_listing_filters_by_prefix_ids_type_and_resource_type(server: Any, draw: Draw) -> None:
    server.upload(draw(), public_id="spring/a")
    server.upload(draw(), public_id="spring_b")
    server.upload(draw(), public_id="Spring/c")
    server.upload(draw(), public_id="hidden", type="private")
    server.upload(b"w", "w.txt", "raw", public_id="words.txt")

    def ids(path: str, **query: Any) -> set[str]:
        return {one["public_id"] for one in server.admin(path, **query).json()["resources"]}

    assert ids("resources/image/upload", prefix="spring/") == {"spring/a"}
    assert ids("resources/image/upload", **{"public_ids[]": ["spring_b", "none"]}) == {"spring_b"}
    assert ids("resources/image/private") == {"hidden"}
    assert ids("resources/raw") == {"words.txt"}
    assert ids("resources/video") == set()
    assert ids("resources/image/fetch") == set()
    assert server.admin("resources/image/nonsense").status_code == 400
    assert ids("resources/image") == {"spring/a", "spring_b", "Spring/c", "hidden"}


def test_a_listing_by_tag_context_folder_and_asset_ids(server: Any, draw: Draw) -> None:
    one = server.upload(draw(), public_id="one", tags="red,big", context="mood=calm")
    two = server.upload(draw(), public_id="two", tags="reddish", asset_folder="shop")

    def ids(path: str, **query: Any) -> list[str]:
        return [item["public_id"] for item in server.admin(path, **query).json()["resources"]]

    assert ids("resources/image/tags/red") == ["one"]
    assert ids("resources/image/context", key="mood") == ["one"]
    assert ids("resources/image/context", key="mood", value="wild") == []
    assert ids("resources/by_asset_folder", asset_folder="shop") == ["two"]
    both = {"asset_ids[]": [one["asset_id"], two["asset_id"]]}
    assert ids("resources/by_asset_ids", **both) == ["two", "one"]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"max_results": "x"}, "max_results"),
        ({"max_results": "0"}, "max_results"),
        ({"next_cursor": "nonsense"}, "next_cursor"),
        ({"direction": "sideways"}, "direction"),
        ({"start_at": "yesterday"}, "start_at"),
        ({"visual_similarity": "true"}, "visual_similarity"),
    ],
)
def test_a_wrong_listing_parameter_is_named(server: Any, query: dict[str, str], named: str) -> None:
    answer = server.admin("resources/image", **query)
    assert answer.status_code == 400
    assert named in answer.json()["error"]["message"]


def test_assets_are_deleted_by_ids_prefix_tag_and_all(server: Any, draw: Draw) -> None:
    def delete(path: str, **query: Any) -> dict[str, str]:
        answer = server.session.delete(f"{server.api}/{path}", params=query, auth=server.auth)
        assert answer.status_code == 200, answer.text
        deleted: dict[str, str] = answer.json()["deleted"]
        return deleted

    for name in ("a", "b", "x/1", "x/2", "t", "rest"):
        server.upload(draw(), public_id=name, tags="tagged" if name == "t" else "")
    assert delete("resources/image/upload", **{"public_ids[]": ["a", "nix"]}) == {
        "a": "deleted",
        "nix": "not_found",
    }
    assert delete("resources/image/upload", prefix="x/").keys() == {"x/1", "x/2"}
    assert delete("resources/image/tags/tagged") == {"t": "deleted"}
    assert delete("resources/image/upload", all="true").keys() == {"b", "rest"}
    assert server.files() == []
    nothing = server.session.delete(f"{server.api}/resources/image/upload", auth=server.auth)
    assert nothing.status_code == 400


def test_usage_counts_what_is_stored(server: Any, draw: Draw) -> None:
    stored = server.upload(draw(40, 30), public_id="p", eager="w_10")
    usage = server.admin("usage").json()
    assert (usage["resources"], usage["derived_resources"]) == (1, 1)
    assert usage["storage"]["usage"] == stored["bytes"] + stored["eager"][0]["bytes"]


def test_a_display_name_is_kept_unique_on_request(server: Any, draw: Draw) -> None:
    def update(name: str, **fields: str) -> Any:
        url = f"{server.api}/resources/image/upload/{name}"
        return server.session.post(url, data=fields, auth=server.auth)

    server.upload(draw(), public_id="one", display_name="Tulip", asset_folder="spring")
    server.upload(draw(), public_id="two", display_name="Tulip", unique_display_name="1")
    server.upload(draw(), public_id="two", display_name="Tulip", unique_display_name="1")
    refused = server.post_upload(
        draw(), display_name="Tulip", asset_folder="spring", unique_display_name="1"
    )
    moved = update("two", asset_folder="spring", display_name="Tulip", unique_display_name="true")
    for answer in (refused, moved):
        assert answer.status_code == 400
        assert "already exists in asset folder 'spring'" in answer.json()["error"]["message"]
    assert update("two", display_name="Rose", unique_display_name="true").status_code == 200
    assert update("two", asset_folder="spring", display_name="Tulip").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1_1/{}/image/sprite",
        "/v2/{}/analysis/analyze/captioning",
        "/v1_1/{}/resources/related_assets/image/upload/a",
    ],
)
def test_a_route_that_is_not_there_is_404(server: Any, path: str) -> None:
    url = server.url + path.format(server.config.cloud_name)
    answer = server.session.post(url, auth=server.auth)
    assert answer.status_code == 404
    assert path.rpartition("/")[2] in answer.json()["error"]["message"]
