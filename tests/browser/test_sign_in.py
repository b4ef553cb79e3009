"""With `[auth]` no address of a fresh dashboard shows anything before the sign-in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from itsdangerous import URLSafeTimedSerializer
from playwright.sync_api import Browser, expect

import media_toolkit as mt

COOKIE_SECRET = "a-test-secret-of-at-least-32-characters"
APP = """
from pathlib import Path
import streamlit as st
from media_toolkit.web.api import lifespan, routes
app = st.App(Path({main!r}), routes=routes, lifespan=lifespan, secrets={{"auth": {{
    "redirect_uri": "http://localhost:{{port}}/oauth2callback", "cookie_secret": {secret!r},
    "client_id": "mt", "client_secret": "x",
    "server_metadata_url": "http://127.0.0.1:9/.well-known/openid-configuration"}}}})
"""


@pytest.fixture
def guarded(
    settings: mt.Settings, tmp_path: Path, dashboard_with: Callable[..., Any]
) -> Iterator[Any]:
    """A fresh dashboard with `[auth]`: no session has run `main.py` in it yet."""
    main = Path(mt.__file__).parent / "dashboard/main.py"
    app = tmp_path / "app.py"
    app.write_text(APP.format(main=str(main), secret=COOKIE_SECRET))
    with dashboard_with({"MEDIA_TOOLKIT_HOME": str(settings.home)}, app=app) as running:
        yield running


def test_no_deep_link_gets_past_the_gate(guarded: Any, browser: Browser) -> None:
    page = browser.new_page()
    for path in ("/health", "/upload", "/library", "/?asset=a", "/"):
        page.goto(guarded.url + path)
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        shown = page.get_by_test_id("stMain").inner_text()
        assert "Health" not in shown
        assert "Drop pictures" not in shown
        assert "Library" not in shown
    page.close()


def test_who_has_signed_in_uploads_as_themselves(
    guarded: Any, browser: Browser, kit: mt.MediaToolkit, sample_media: Path
) -> None:
    claims = {"origin": guarded.url, "is_logged_in": True, "email": "bo@example.org"}
    signer = URLSafeTimedSerializer(COOKIE_SECRET, salt="_streamlit_user")
    context = browser.new_context()
    context.add_cookies(
        [{"name": "_streamlit_user", "value": signer.dumps(json.dumps(claims)), "url": guarded.url}]
    )
    page = context.new_page()
    page.goto(f"{guarded.url}/upload")
    expect(page.get_by_text("bo@example.org")).to_be_visible()
    page.locator("input[type=file]").set_input_files(sample_media / "coffee.png")
    expect(page.locator(".summary")).to_have_text("1 uploaded")
    assert kit.assets()["user_id"].tolist() == ["bo@example.org"]
    context.close()
