"""The upload page: files go from the browser straight to Cloudinary and appear in the library."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Locator, Page, Request, Route, expect

import media_toolkit as mt

SAVED = "/save-metadata"


@pytest.fixture
def upload_page(page: Page) -> Page:
    page.goto("/upload")
    expect(page.get_by_text("Drop pictures, videos or sounds here")).to_be_visible()
    return page


def choose(page: Page, *files: Path) -> None:
    page.locator("input[type=file]").set_input_files(list(files))


def hold_upload(page: Page, file: Path) -> list[Route]:
    """Choose a file whose upload gets no further than the browser."""
    held: list[Route] = []
    page.route("**/v1_1/**", lambda route: held.append(route))
    with page.expect_request("**/v1_1/**"):
        choose(page, file)
    return held


def row(page: Page, name: str) -> Locator:
    return page.locator(".row").filter(has_text=name)


def body_size(request: Request) -> int:
    return int(request.all_headers()["content-length"])


def finished(page: Page, summary: str) -> None:
    expect(page.locator(".summary")).to_have_text(summary)


def test_two_real_files_are_uploaded_and_their_thumbnails_seen(
    upload_page: Page, kit: mt.MediaToolkit, sample_media: Path
) -> None:
    requests: list[Request] = []
    upload_page.on("requestfinished", lambda request: requests.append(request))
    files = [sample_media / "rocket.jpg", sample_media / "astronaut.png"]
    choose(upload_page, *files)
    finished(upload_page, "2 uploaded")
    upload_page.get_by_role("button", name="See them in the library").click()
    tiles = upload_page.get_by_role("option")
    expect(tiles).to_have_count(2)
    for tile in tiles.all():
        picture = tile.locator("img.loaded")
        expect(picture).to_be_visible()
        assert picture.evaluate("image => image.naturalWidth") > 200
    assert {tile.locator(".name").inner_text() for tile in tiles.all()} == {"rocket", "astronaut"}

    saved = kit.assets(user_id="ana")
    assert sorted(saved["bytes"]) == sorted(file.stat().st_size for file in files)
    # Pixels pass by Streamlit, and a thumbnail is not the file.
    total = sum(file.stat().st_size for file in files)
    posts = [request for request in requests if request.method == "POST"]
    for_cloudinary = [post for post in posts if post.url.startswith(kit.account.upload_prefix)]
    assert sum(map(body_size, for_cloudinary)) > total
    assert sum(map(body_size, posts)) - sum(map(body_size, for_cloudinary)) < 20_000

    def pictures() -> list[Request]:
        return [request for request in requests if "/image/upload/" in request.url]

    # They are seen a moment before they are told to be finished.
    while len(pictures()) < 2:
        upload_page.wait_for_event("requestfinished")
    assert len(pictures()) == 2
    assert sum(request.sizes()["responseBodySize"] for request in pictures()) < total / 10


def test_each_bad_file_says_why_and_the_rest_goes_on(
    upload_page: Page,
    kit: mt.MediaToolkit,
    sample_media: Path,
    tmp_path: Path,
    complaints: list[str],
) -> None:
    whole = (sample_media / "rocket.jpg").read_bytes()
    bad = {
        "empty.png": (b"", "This file is empty: it has 0 bytes."),
        "letter.txt": (b"Dear Ana", "Only pictures, videos and sounds can be uploaded"),
        "words.jpg": (b"not a picture at all", "Cloudinary refused it: Invalid image file"),
        "half.jpg": (whole[:40_000], "Cloudinary refused it: Invalid image file"),
    }
    for name, (content, _) in bad.items():
        (tmp_path / name).write_bytes(content)
    good = tmp_path / "Łódź 'at' \"night\" 🌃 <b>&amp; .. *.jpg"
    shutil.copy(sample_media / "rocket.jpg", good)
    choose(upload_page, *(tmp_path / name for name in bad), good)
    finished(upload_page, "1 uploaded, 4 failed")
    for name, (_, reason) in bad.items():
        expect(row(upload_page, name)).to_contain_text(reason)
    expect(row(upload_page, good.name)).to_contain_text("Saved")
    # What Cloudinary refused for its content would be refused again.
    expect(upload_page.get_by_role("button", name="Try again")).to_have_count(0)
    assert kit.assets()["original_filename"].tolist() == [good.stem]
    assert complaints
    assert all("status of 400" in complaint for complaint in complaints)
    complaints.clear()


def test_a_save_that_did_not_arrive_is_tried_again_without_a_second_upload(
    upload_page: Page, kit: mt.MediaToolkit, sample_media: Path, complaints: list[str]
) -> None:
    posted: list[str] = []
    upload_page.on(
        "request", lambda request: posted.append(request.url) if request.method == "POST" else None
    )
    upload_page.route(f"**{SAVED}", lambda route: route.abort())
    choose(upload_page, sample_media / "coffee.png")
    expect(row(upload_page, "coffee.png")).to_contain_text("could not be reached to save it")
    assert kit.count() == 0
    upload_page.unroute(f"**{SAVED}")
    upload_page.get_by_role("button", name="Try again: coffee.png").click()
    expect(row(upload_page, "coffee.png")).to_contain_text("Saved")
    assert kit.count() == 1
    assert sum(url.endswith("/upload") for url in posted) == 1
    complaints.clear()


def test_an_upload_under_way_can_be_cancelled_and_begun_again(
    upload_page: Page, kit: mt.MediaToolkit, sample_media: Path
) -> None:
    hold_upload(upload_page, sample_media / "coffee.png")
    upload_page.get_by_role("button", name="Cancel: coffee.png").click()
    expect(row(upload_page, "coffee.png")).to_contain_text("Cancelled")
    finished(upload_page, "0 uploaded, 1 cancelled")
    upload_page.unroute("**/v1_1/**")
    upload_page.get_by_role("button", name="Try again: coffee.png").click()
    finished(upload_page, "1 uploaded")
    assert kit.count() == 1


@pytest.mark.parametrize("is_busy", [False, True])
def test_cancelled_before_it_is_signed_it_is_never_sent(
    upload_page: Page,
    kit: mt.MediaToolkit,
    sample_media: Path,
    complaints: list[str],
    is_busy: bool,
) -> None:
    held: list[Route] = []
    sent: list[str] = []
    upload_page.on("request", lambda request: sent.append(request.url))
    # Held, or told to ask again in a minute.
    upload_page.route(
        "**/generate-signature",
        lambda route: (
            route.fulfill(status=429, headers={"Retry-After": "60"}, body="{}")
            if is_busy
            else held.append(route)
        ),
    )
    with upload_page.expect_event("response" if is_busy else "request"):
        choose(upload_page, sample_media / "coffee.png")
    expect(row(upload_page, "coffee.png")).to_contain_text("Signing")
    upload_page.get_by_role("button", name="Cancel: coffee.png").click()
    finished(upload_page, "0 uploaded, 1 cancelled")
    upload_page.unroute("**/generate-signature")
    choose(upload_page, sample_media / "rocket.jpg")
    finished(upload_page, "1 uploaded, 1 cancelled")
    assert sum("/v1_1/" in url for url in sent) == 1
    assert kit.count() == 1
    upload_page.get_by_role("button", name="Try again: coffee.png").click()
    finished(upload_page, "2 uploaded")
    assert all("429" in complaint for complaint in complaints)
    complaints.clear()


def test_cancelled_once_all_is_sent_says_that_cloudinary_may_keep_it(
    upload_page: Page, kit: mt.MediaToolkit, sample_media: Path
) -> None:
    account = kit.account
    faults = f"{account.upload_prefix}/v1_1/{account.cloud_name}/_faults"
    key = (account.api_key, account.api_secret.get_secret_value())
    slow = {"latency": 600, "path": "/upload", "method": "POST"}
    requests.post(faults, json=slow, auth=key, timeout=30)
    try:
        choose(upload_page, sample_media / "coffee.png")
        expect(row(upload_page, "coffee.png")).to_contain_text("Cloudinary is reading it")
        upload_page.get_by_role("button", name="Cancel: coffee.png").click()
        expect(row(upload_page, "coffee.png")).to_contain_text("Cloudinary may keep it")
    finally:
        requests.delete(faults, auth=key, timeout=30)


def test_what_is_in_cloudinary_already_cannot_be_cancelled(
    upload_page: Page, kit: mt.MediaToolkit, sample_media: Path
) -> None:
    held: list[Route] = []
    upload_page.route(f"**{SAVED}", lambda route: held.append(route))
    choose(upload_page, sample_media / "coffee.png")
    expect(row(upload_page, "coffee.png")).to_contain_text("It is in Cloudinary. Saving …")
    expect(upload_page.get_by_role("button", name="Cancel")).to_have_count(0)
    for route in held:
        route.continue_()
    finished(upload_page, "1 uploaded")
    assert kit.count() == 1


def test_who_leaves_the_page_meanwhile_loses_nothing(
    upload_page: Page, kit: mt.MediaToolkit, sample_media: Path
) -> None:
    held = hold_upload(upload_page, sample_media / "coffee.png")
    upload_page.get_by_role("link", name="Library").click()
    expect(upload_page.get_by_text("Nothing here yet")).to_be_visible()
    with upload_page.expect_response(f"**{SAVED}") as answered:
        for route in held:
            route.continue_()
    assert answered.value.status == 201
    assert kit.count() == 1
    upload_page.get_by_role("link", name="Upload").click()
    expect(row(upload_page, "coffee.png")).to_contain_text("Saved")


def test_fifty_files_go_three_at_a_time(
    upload_page: Page, kit: mt.MediaToolkit, sample_media: Path, tmp_path: Path
) -> None:
    files = [tmp_path / f"{number:02}.png" for number in range(50)]
    for file in files:
        shutil.copy(sample_media / "horse.png", file)
    under_way = upload_page.evaluate_handle(
        """() => {
            const seen = {most: 0, now: 0};
            const send = XMLHttpRequest.prototype.send;
            XMLHttpRequest.prototype.send = function (body) {
                seen.most = Math.max(seen.most, ++seen.now);
                this.addEventListener("loadend", () => seen.now--);
                return send.call(this, body);
            };
            return seen;
        }"""
    )
    choose(upload_page, *files)
    finished(upload_page, "50 uploaded")
    assert kit.count() == 50
    assert under_way.evaluate("seen => seen.most") == 3
