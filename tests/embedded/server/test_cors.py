"""What a browser on another origin may do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

ORIGIN = {"Origin": "http://localhost:8501"}


def test_a_preflight_allows_uploads_from_any_origin(server: Any) -> None:
    answer = server.session.options(
        f"{server.api}/auto/upload",
        headers={
            **ORIGIN,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-range,x-requested-with,x-unique-upload-id",
            "Access-Control-Request-Private-Network": "true",
        },
    )
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "x-unique-upload-id" in answer.headers["access-control-allow-headers"]
    assert answer.headers["access-control-allow-private-network"] == "true"


def test_uploads_and_their_refusals_can_be_read_by_a_page(
    server: Any, draw: Callable[..., bytes]
) -> None:
    url = f"{server.api}/image/upload"
    stored = server.session.post(
        url, data=server.signed(), files={"file": ("a.png", draw())}, headers=ORIGIN
    )
    refused = server.session.post(url, data={"api_key": "1"}, headers=ORIGIN)
    assert (stored.status_code, refused.status_code) == (200, 400)
    for answer in (stored, refused, server.session.get(stored.json()["url"], headers=ORIGIN)):
        assert answer.headers["access-control-allow-origin"] == "*"
    assert "X-Cld-Error" in refused.headers["access-control-expose-headers"]


def test_the_admin_api_is_closed_to_pages(server: Any) -> None:
    answer = server.session.get(f"{server.api}/ping", auth=server.auth, headers=ORIGIN)
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers
    preflight = server.session.options(
        f"{server.api}/resources/image",
        headers={**ORIGIN, "Access-Control-Request-Method": "GET"},
    )
    assert "access-control-allow-origin" not in preflight.headers
