"""With `[auth]` no address of a fresh dashboard shows anything before the sign-in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect

import media_toolkit as mt


def test_no_deep_link_gets_past_the_gate(guarded: Any, browser: Browser) -> None:
    page = browser.new_page()
    for path in ("/health", "/upload", "/library", "/?asset=a", "/"):
        page.goto(guarded.url + path)
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        if path in ("/health", "/upload"):
            page.get_by_role("button", name="Sign in").click(trial=True)
        shown = page.get_by_test_id("stMain").inner_text()
        assert "Health" not in shown
        assert "Drop pictures" not in shown
        assert "Library" not in shown
    page.close()


def test_who_has_signed_in_uploads_as_themselves(
    guarded: Any,
    login_cookie: Callable[..., str],
    browser: Browser,
    kit: mt.MediaToolkit,
    sample_media: Path,
) -> None:
    cookie = login_cookie(email="bo@example.org")
    context = browser.new_context()
    context.add_cookies([{"name": "_streamlit_user", "value": cookie, "url": guarded.url}])
    page = context.new_page()
    page.goto(f"{guarded.url}/upload")
    expect(page.get_by_text("bo@example.org")).to_be_visible()
    page.locator("input[type=file]").set_input_files(sample_media / "coffee.png")
    expect(page.locator(".summary")).to_have_text("1 uploaded")
    assert kit.assets()["user_id"].tolist() == ["bo@example.org"]
    context.close()


def test_who_signs_in_with_the_issuer_is_let_in_and_out_again(
    guarded: Any, issuer: Any, browser: Browser, kit: mt.MediaToolkit, sample_media: Path
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(guarded.url)
    page.get_by_role("button", name="Sign in").click()
    page.locator("input[name=sub]").fill("cy@example.org")
    page.locator("button").first.click()
    expect(page.get_by_role("link", name="Upload")).to_be_visible()
    page.get_by_role("link", name="Upload").click()
    expect(page.get_by_text("cy@example.org")).to_be_visible()
    page.locator("input[type=file]").set_input_files(sample_media / "coffee.png")
    expect(page.locator(".summary")).to_have_text("1 uploaded")
    assert kit.assets()["user_id"].tolist() == ["cy@example.org"]
    page.get_by_role("link", name="Sign out").click()
    page.wait_for_url(lambda url: url.startswith(issuer.url))
    page.goto(guarded.url)
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    context.close()
