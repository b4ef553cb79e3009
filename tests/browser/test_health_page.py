"""The health page tells what is configured, reachable, and how to mend it."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Browser, Page, expect

import media_toolkit as mt


def test_a_working_stack_is_said_to_work(page: Page, kit: mt.MediaToolkit) -> None:
    page.goto("/health")
    expect(page.get_by_text("Everything that was checked works.")).to_be_visible()
    expect(page.get_by_text("OK", exact=True)).to_have_count(6)
    expect(
        page.get_by_text(f"the embedded server at {kit.account.upload_prefix} answers")
    ).to_be_visible()
    expect(page.get_by_text(str(kit.settings.home), exact=True)).to_be_visible()
    assert kit.account.api_secret.get_secret_value() not in page.content()


def test_no_title_jumps_from_page_to_page(page: Page, kit: mt.MediaToolkit) -> None:
    kit.upload(b"a", filename="a.txt", resource_type="raw")
    tops = {}
    # Measured once the whole page is there: what is above a title may come after it.
    for path, title, last in (
        ("/", "Library", "1–1 of 1"),
        ("/upload", "Upload", "They go from this browser"),
        ("/health", "Health", "Where the data is"),
    ):
        page.goto(path)
        expect(page.get_by_text(last)).to_be_visible()
        expect(page.get_by_role("link", name="Library")).to_be_visible()
        page.wait_for_timeout(300)
        box = page.get_by_role("heading", name=title, exact=True).bounding_box()
        assert box is not None
        tops[path] = box["y"]
    assert len(set(tops.values())) == 1, tops


def test_signed_uploads_are_told_in_the_browsers_time(
    browser: Browser, dashboard: Any, kit: mt.MediaToolkit
) -> None:
    kit.sign_upload(public_id="awaited")
    (signed,) = kit.intents()["signed_at"]
    context = browser.new_context(base_url=dashboard.url, timezone_id="Asia/Kathmandu")
    page = context.new_page()
    page.goto("/health")
    # The table is drawn on a canvas; what screen readers are told of it stands inside.
    told = page.get_by_test_id("stDataFrame").locator("td")
    there = f"{signed.tz_convert('Asia/Kathmandu'):%H:%M:%S}"
    expect(told.filter(has_text=there).first).to_be_attached()
    context.close()
