"""Assets that are open to all only for a time, or only to holders of a token."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any


def rules(**window: timedelta) -> str:
    moments = {
        name: (datetime.now(UTC) + away).isoformat(timespec="seconds").replace("+00:00", "Z")
        for name, away in window.items()
    }
    return json.dumps([{"access_type": "token"}, {"access_type": "anonymous", **moments}])


def status(server: Any, path: str) -> int:
    answer: int = server.get(path).status_code
    return answer


def test_an_asset_is_open_in_its_window_only(server: Any, draw: Any) -> None:
    day = timedelta(days=1)
    for name, given, expected in (
        ("open", rules(), 200),
        ("now", rules(start=-day, end=day), 200),
        ("past", rules(end=-day), 401),
        ("future", rules(start=day), 401),
        ("token", '{"access_type": "token"}', 401),
    ):
        stored = server.upload(draw(), public_id=name, access_control=given)
        told = json.loads(given)
        assert stored["access_control"] == (told if isinstance(told, list) else [told])
        for path in (f"image/upload/{name}.png", f"image/upload/w_10/{name}.png"):
            assert status(server, path) == expected, path
    assert "token" in server.get("image/upload/token.png").headers["x-cld-error"]


def test_moments_are_written_as_the_sdks_write_them(server: Any, draw: Any) -> None:
    for start, expected in (
        ("2019-02-22T16:20:57.000Z", 200),
        ("2019-03-22 00:00 +0200", 200),
        ("2999-03-22 00:00 +0200", 401),
        ("2019-03-22", 200),
    ):
        given = json.dumps([{"access_type": "anonymous", "start": start}])
        server.upload(draw(), public_id="a", access_control=given)
        assert status(server, "image/upload/a.png") == expected, start


def test_the_admin_api_sets_and_clears_who_may_fetch(server: Any, draw: Any) -> None:
    url = f"{server.api}/resources/image/upload/a"
    server.upload(draw(), public_id="a")
    closed = [{"access_type": "token"}]
    answer = server.session.post(url, data={"access_control": json.dumps(closed)}, auth=server.auth)
    assert answer.json()["access_control"] == closed
    assert server.admin("resources/image/upload/a").json()["access_control"] == closed
    assert status(server, "image/upload/a.png") == 401
    server.session.post(url, data={"access_control": "[]"}, auth=server.auth)
    assert "access_control" not in server.admin("resources/image/upload/a").json()
    assert status(server, "image/upload/a.png") == 200
