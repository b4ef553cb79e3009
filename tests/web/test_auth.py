"""With `[auth]` configured a route knows the browser by Streamlit's cookie, and nobody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import requests


def test_only_the_browser_that_signed_in_gets_a_signature(
    guarded: Any, login_cookie: Callable[..., str]
) -> None:
    def status(cookie: str | None) -> int:
        cookies = {} if cookie is None else {"_streamlit_user": cookie}
        url = f"{guarded.url}/generate-signature"
        return requests.get(url, cookies=cookies, timeout=30).status_code

    assert status(login_cookie(email="ana@example.org")) == 200
    assert status(None) == 401
    assert status(login_cookie("another-secret-of-at-least-32-chars", email="a@b.c")) == 401
    assert status(login_cookie(email="ana@example.org", origin="http://evil.example")) == 401
    assert status("rubbish") == 401
