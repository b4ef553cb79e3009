"""With `[auth]` configured a route knows the browser by Streamlit's cookie, and nobody else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from itsdangerous import URLSafeTimedSerializer

COOKIE_SECRET = "a-test-secret-of-at-least-32-characters"
APP = """
from pathlib import Path
import streamlit as st
from media_toolkit.web.api import lifespan, routes
app = st.App(Path({main!r}), routes=routes, lifespan=lifespan, secrets={{"auth": {{
    "redirect_uri": "http://localhost:8501/oauth2callback", "cookie_secret": {secret!r},
    "client_id": "mt", "client_secret": "x",
    "server_metadata_url": "http://127.0.0.1:9/.well-known/openid-configuration"}}}})
"""


def cookie(secret: str = COOKIE_SECRET, **claims: Any) -> dict[str, str]:
    signer = URLSafeTimedSerializer(secret, salt="_streamlit_user")
    claims = {"origin": "http://localhost:8501", "is_logged_in": True, **claims}
    return {"_streamlit_user": signer.dumps(json.dumps(claims))}


def test_only_the_browser_that_signed_in_gets_a_signature(
    home: Path, stack: Any, tmp_path: Path, dashboard_with: Callable[..., Any]
) -> None:
    main = Path(__file__).resolve().parents[2] / "media_toolkit/dashboard/main.py"
    (tmp_path / "app.py").write_text(APP.format(main=str(main), secret=COOKIE_SECRET))
    with dashboard_with({"MEDIA_TOOLKIT_HOME": str(home)}, app=tmp_path / "app.py") as running:

        def status(cookies: dict[str, str]) -> int:
            url = f"{running.url}/generate-signature"
            return requests.get(url, cookies=cookies, timeout=30).status_code

        assert status(cookie(email="ana@example.org")) == 200
        assert status({}) == 401
        assert status(cookie("another-secret-of-at-least-32-chars", email="a@b.c")) == 401
        assert status(cookie(email="ana@example.org", origin="http://evil.example")) == 401
        assert status({"_streamlit_user": "rubbish"}) == 401
