"""A real Chromium. A page that asks another host or logs an error fails its test."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Another site's name that leads to this machine.
    "--host-resolver-rules=MAP rebound.example localhost",
]
# CI is slower than a desk; an assertion that holds returns at once.
_LIMIT_MS = 90_000
expect.set_options(timeout=_LIMIT_MS)
# Streamlit asks for these below a page's path first, and finds them at the root.
_HARMLESS = re.compile(r"/(upload|health)/_stcore/(health|host-config)$")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    names = (os.environ.get("CHROMIUM", ""), *_NAMES)
    path = next((found for name in names if name and (found := shutil.which(name))), None)
    assert path, "no Chromium or Chrome: `make test` installs one, CHROMIUM= names one"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def complaints() -> list[str]:
    """What a page complained of; a test that provokes an error empties it."""
    return []


@pytest.fixture
def page(browser: Browser, dashboard: Any, complaints: list[str]) -> Iterator[Page]:
    """A page of 1440 × 900 at the dashboard, not yet opened: `page.goto("/")`."""
    context = browser.new_context(
        base_url=dashboard.url,
        viewport={"width": 1440, "height": 900},
        permissions=["clipboard-read", "clipboard-write"],
    )
    context.set_default_timeout(_LIMIT_MS)
    page = context.new_page()
    page.on("console", lambda message: _note(complaints, message))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: _note_foreign(complaints, request.url))
    yield page
    context.close()
    assert complaints == []


def _note(complaints: list[str], message: Any) -> None:
    if message.type == "error" and not _HARMLESS.search(message.location.get("url", "")):
        complaints.append(f"{message.text} {message.location.get('url')}")


def _note_foreign(complaints: list[str], url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("data", "blob") and parts.hostname not in ("localhost", "127.0.0.1"):
        complaints.append(f"asked another host: {url}")
