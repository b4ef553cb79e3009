"""explicit, rename, tags and context."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

Draw = Callable[..., bytes]


def call(server: Any, action: str, **fields: Any) -> Any:
    return server.session.post(f"{server.api}/image/{action}", data=server.signed(**fields))


def test_explicit_changes_tags_and_context_and_derives(server: Any, draw: Draw) -> None:
    stored = server.upload(draw(40, 30), public_id="p", tags="old", context="k=v")
    answer = call(server, "explicit", public_id="p", type="upload", tags="new", eager="w_10").json()
    assert answer["tags"] == ["new"]
    assert answer["context"] == {"custom": {"k": "v"}}
    assert (answer["asset_id"], answer["version"]) == (stored["asset_id"], stored["version"])
    assert server.session.get(answer["eager"][0]["url"]).status_code == 200
    assert server.admin("resources/image/upload/p").json()["tags"] == ["new"]
    missing = call(server, "explicit", public_id="none", type="upload")
    assert missing.status_code == 404
    assert missing.json()["error"]["message"] == "Resource not found - none"


def test_rename_moves_the_asset_and_keeps_its_id(server: Any, draw: Draw) -> None:
    stored = server.upload(draw(), public_id="old")
    answer = call(server, "rename", from_public_id="old", to_public_id="new/name").json()
    assert answer["public_id"] == "new/name"
    assert answer["asset_id"] == stored["asset_id"]
    assert server.session.get(answer["url"]).content == draw()
    assert server.session.get(stored["url"]).status_code == 404
    assert call(server, "rename", from_public_id="old", to_public_id="x").status_code == 404


def test_rename_onto_another_asset_needs_overwrite(server: Any, draw: Draw) -> None:
    server.upload(draw(40, 30), public_id="a")
    server.upload(draw(50, 20), public_id="b")
    taken = call(server, "rename", from_public_id="a", to_public_id="b")
    assert taken.status_code == 400
    assert taken.json()["error"]["message"] == "to_public_id (b) already exists"
    fields = {"from_public_id": "a", "to_public_id": "b", "overwrite": "1"}
    assert call(server, "rename", **fields).json()["width"] == 40
    assert len(server.files()) == 1
    assert call(server, "rename", from_public_id="b", to_public_id="b").status_code == 200


def test_a_rename_loses_no_tag_that_is_added_meanwhile(server: Any, draw: Draw) -> None:
    server.upload(draw(), public_id="n0")
    added: list[str] = []

    def tag(turn: int) -> None:
        for n in range(25):
            fields = {"command": "add", "tag": f"t{turn}x{n}"}
            for name in ("n0", "n1"):
                answer = call(server, "tags", **fields, public_ids=name).json()
                if answer["public_ids"]:
                    added.append(fields["tag"])

    def rename() -> None:
        for n in range(25):
            old, new = f"n{n % 2}", f"n{(n + 1) % 2}"
            assert call(server, "rename", from_public_id=old, to_public_id=new).ok

    with ThreadPoolExecutor(3) as pool:
        for done in [*(pool.submit(tag, turn) for turn in (0, 1)), pool.submit(rename)]:
            done.result()
    kept = server.admin("resources/image/upload/n1").json()["tags"]
    assert sorted(kept) == sorted(set(added))


def test_rename_may_change_the_type(server: Any, draw: Draw) -> None:
    server.upload(draw(), public_id="p")
    fields = {"from_public_id": "p", "to_public_id": "p", "to_type": "private"}
    answer = call(server, "rename", **fields).json()
    assert answer["type"] == "private"
    assert server.get("image/upload/p.png").status_code == 404
    assert server.session.get(answer["url"]).status_code == 200


@pytest.mark.parametrize(
    ("command", "tag", "expected"),
    [
        ("add", "c,a", ["a", "b", "c"]),
        ("remove", "a", ["b"]),
        ("replace", "x", ["x"]),
        ("remove_all", "", []),
    ],
)
def test_tags_are_changed_on_many_assets(
    server: Any, draw: Draw, command: str, tag: str, expected: list[str]
) -> None:
    for name in ("p", "q"):
        server.upload(draw(), public_id=name, tags="a,b")
    fields = server.signed(command=command, tag=tag, public_ids=["p", "none", "q"])
    ids = fields.pop("public_ids")
    answer = server.session.post(f"{server.api}/image/tags", data={**fields, "public_ids[]": ids})
    assert answer.json() == {"public_ids": ["p", "q"]}
    assert sorted(server.admin("resources/image/upload/q").json().get("tags", [])) == expected


def test_context_is_added_to_and_removed(server: Any, draw: Draw) -> None:
    server.upload(draw(), public_id="p", context="a=1")
    assert call(server, "context", command="add", context="b=2", public_ids="p").json() == {
        "public_ids": ["p"]
    }
    details = server.admin("resources/image/upload/p").json()
    assert details["context"]["custom"] == {"a": "1", "b": "2"}
    call(server, "context", command="remove_all", public_ids="p")
    assert "context" not in server.admin("resources/image/upload/p").json()


@pytest.mark.parametrize(
    ("action", "fields", "message"),
    [
        ("tags", {"command": "shuffle", "tag": "x", "public_ids": "p"}, "command: shuffle"),
        ("tags", {"command": "add", "public_ids": "p"}, "parameter - tag"),
        ("tags", {"command": "add", "tag": "x"}, "parameter - public_ids"),
        ("context", {"command": "add", "public_ids": "p"}, "parameter - context"),
        ("rename", {"from_public_id": "p"}, "parameter - to_public_id"),
        ("rename", {"from_public_id": "p", "to_public_id": "a//b"}, "is invalid"),
        ("destroy", {}, "parameter - public_id"),
        ("explicit", {"public_id": "p", "detection": "1"}, "detection"),
    ],
)
def test_a_wrong_call_is_refused_by_name(
    server: Any, draw: Draw, action: str, fields: dict[str, str], message: str
) -> None:
    server.upload(draw(), public_id="p")
    answer = call(server, action, **fields)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


def test_changes_need_a_signature(server: Any, draw: Draw) -> None:
    server.upload(draw(), public_id="p")
    for action in ("destroy", "explicit", "rename", "tags", "context"):
        fields = server.signed(public_id="p") | {"signature": "0" * 40}
        answer = server.session.post(f"{server.api}/image/{action}", data=fields)
        assert answer.status_code == 401, action


def test_explicit_may_go_on_in_the_background(
    server: Any, draw: Draw, until: Callable[..., None]
) -> None:
    server.upload(draw(40, 30), public_id="p")
    fields = {"public_id": "p", "type": "upload", "eager": "w_10", "tags": "new", "async": "1"}
    answer = call(server, "explicit", **fields).json()
    assert len(answer.pop("batch_id")) == 64
    assert answer == {
        "status": "pending", "resource_type": "image", "type": "upload", "public_id": "p",
    }  # fmt: skip
    until(lambda: server.admin("resources/image/upload/p").json().get("tags") == ["new"])
