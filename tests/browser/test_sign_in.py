"""With `[auth]` no address of a fresh dashboard shows anything before the sign-in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from playwright.sync_api import Browser, Page, expect

import media_toolkit as mt

VIEWS = sorted(
    path.stem
    for path in Path(mt.__file__).parent.glob("dashboard/views/*.py")
    if path.stem[0] != "_"
)


class Heard:
    """All that a page was sent and shows: the frames of its web socket, and its document."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.told: list[bytes] = []
        page.on("websocket", lambda socket: socket.on("framereceived", self._frame))

    def _frame(self, payload: str | bytes) -> None:
        self.told.append(payload if isinstance(payload, bytes) else payload.encode())

    def look(self) -> None:
        """Take the document as it stands now."""
        self.told.append(self._page.content().encode())

    def everything(self) -> bytes:
        """Frames and documents so far."""
        return b" ".join(self.told)


def test_no_deep_link_gets_past_the_gate(
    guarded: Any, browser: Browser, kit: mt.MediaToolkit, sample_media: Path
) -> None:
    asset = kit.upload(sample_media / "coffee.png", public_id="unseen-coffee", tags=["unseen-tag"])
    page = browser.new_page()
    heard = Heard(page)
    assert {"library", "upload", "health"} <= set(VIEWS)
    for path in (*(f"/{view}" for view in VIEWS), f"/?asset={asset.asset_id}", "/"):
        page.goto(guarded.url + path)
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        if path in ("/health", "/upload"):
            page.get_by_role("button", name="Sign in").click(trial=True)
        shown = page.get_by_test_id("stMain").inner_text()
        assert shown.split("\n")[0] == "Media Toolkit"
        assert not [view for view in VIEWS if view.capitalize() in shown]
        heard.look()
    told = heard.everything()
    assert b"Sign in to see" in told, "the frames are readable"
    account = kit.account
    for unseen in (
        *(account.api_key, account.api_secret.get_secret_value(), account.cloud_name + "/image"),
        *("unseen-coffee", "unseen-tag", asset.asset_id or "", "Drop pictures"),
    ):
        assert unseen.encode() not in told, unseen
    page.close()


def test_no_page_holds_the_secret(
    dashboard: Any, browser: Browser, kit: mt.MediaToolkit, stack: Any, sample_media: Path
) -> None:
    asset = kit.upload(sample_media / "coffee.png", public_id="seen-coffee")
    password = str(sa.engine.make_url(stack.database_url).password)
    page = browser.new_page()
    heard = Heard(page)
    for path in (*(f"/{view}" for view in VIEWS if view != "library"), "/"):
        page.goto(dashboard.url + path)
        expect(page.get_by_test_id("stMain")).to_be_visible()
        expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)
        if path == "/upload":
            page.locator("input[type=file]").set_input_files(sample_media / "horse.png")
            expect(page.locator(".summary")).to_have_text("1 uploaded")
        heard.look()
    page.goto(f"{dashboard.url}/?asset={asset.asset_id}")
    expect(page.get_by_text("seen-coffee").first).to_be_visible()
    told = heard.everything()
    assert b"seen-coffee" in told, "the frames are readable"
    for secret in (kit.account.api_secret.get_secret_value(), password):
        assert secret.encode() not in told
        assert secret not in dashboard.log.read_text()
    page.close()


def test_another_sites_name_for_this_machine_shows_nothing(
    dashboard: Any, browser: Browser, kit: mt.MediaToolkit, sample_media: Path
) -> None:
    kit.upload(sample_media / "coffee.png", public_id="unseen-coffee")
    page = browser.new_page()
    heard = Heard(page)
    rebound = dashboard.url.replace("localhost", "rebound.example")
    for path in (*(f"/{view}" for view in VIEWS if view != "library"), "/"):
        page.goto(rebound + path)
        expect(page.get_by_text("MEDIA_TOOLKIT_HOSTS")).to_be_visible()
        heard.look()
    read = page.evaluate("fetch('/generate-signature').then(answer => answer.text())")
    assert "MEDIA_TOOLKIT_HOSTS" in read
    assert kit.account.api_key not in read
    assert b"unseen-coffee" not in heard.everything()
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


def test_an_upload_after_the_sign_in_has_expired_says_so_and_goes_on_after_another(
    guarded: Any,
    login_cookie: Callable[..., str],
    browser: Browser,
    kit: mt.MediaToolkit,
    sample_media: Path,
) -> None:
    value = login_cookie(email="bo@example.org")
    cookie: Any = {"name": "_streamlit_user", "value": value, "url": guarded.url}
    context = browser.new_context()
    context.add_cookies([cookie])
    page = context.new_page()
    page.goto(f"{guarded.url}/upload")
    expect(page.get_by_text("Drop pictures")).to_be_visible()
    context.clear_cookies()
    page.locator("input[type=file]").set_input_files(sample_media / "coffee.png")
    expect(page.locator(".word")).to_have_text(
        "It could not be signed: you are no longer signed in. "
        "Sign in again in another tab of this browser, then try again here"
    )
    context.add_cookies([cookie])
    page.get_by_role("button", name="Try again: coffee.png").click()
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


def test_who_had_to_sign_in_gets_to_the_page_that_was_asked_for(
    guarded: Any, browser: Browser, kit: mt.MediaToolkit, sample_media: Path
) -> None:
    asset = kit.upload(sample_media / "coffee.png", public_id="shared-coffee")
    kit.upload(sample_media / "horse.png", public_id="another-horse")
    for path, seen in (
        (f"/?asset={asset.asset_id}", "Preview: within 1200 × 1200"),
        ("/?text=horse", "1–1 of 1"),
        ("/upload", "Drop pictures, videos or sounds here"),
    ):
        context = browser.new_context()
        page = context.new_page()
        page.goto(guarded.url + path)
        page.get_by_role("button", name="Sign in").click()
        page.locator("input[name=sub]").fill("cy@example.org")
        page.locator("button").first.click()
        page.wait_for_url(guarded.url + path)
        expect(page.get_by_text(seen)).to_be_visible()
        # Once: whoever goes home then stays there.
        page.goto(guarded.url)
        expect(page.get_by_text("1–2 of 2")).to_be_visible()
        expect(page).to_have_url(f"{guarded.url}/")
        context.close()
