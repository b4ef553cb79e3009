"""What an upload widget sends and uses: its `source`, and the token to take an upload back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from media_toolkit.embedded.server.upload.deletion_tokens import deletion_token

Draw = Callable[..., bytes]


def test_the_token_of_an_upload_removes_it_without_a_signature(server: Any, draw: Draw) -> None:
    def removed(token: str) -> tuple[int, dict[str, Any]]:
        answer = server.session.post(f"{server.api}/delete_by_token", data={"token": token})
        return answer.status_code, answer.json()

    answer = server.upload(draw(), public_id="a", source="uw", return_delete_token="true")
    assert "source" not in answer
    token = answer["delete_token"]
    found = server.upload(draw(), public_id="a", overwrite="false", return_delete_token="1")
    assert found["existing"] is True
    assert "delete_token" not in found
    assert "delete_token" not in server.upload(draw(), public_id="b")
    secret = server.auth[1]
    late = deletion_token(answer["asset_id"], secret, 1_000_000_000)
    for wrong in (token[:-1] + "g", "é" * 72, token[:40], late, token + "0"):
        assert removed(wrong) == (400, {"error": {"message": "Invalid token"}})
    assert removed(token) == (200, {"result": "ok"})
    assert removed(token) == (200, {"result": "not found"})
    listed = server.admin("resources/image").json()["resources"]
    assert [one["public_id"] for one in listed] == ["b"]
