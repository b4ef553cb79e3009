"""The health page tells what is configured, reachable, and how to mend it."""

from __future__ import annotations

from playwright.sync_api import Page, expect

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
