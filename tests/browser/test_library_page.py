"""The library page: filter, browse, select, open."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect

import media_toolkit as mt
from media_toolkit.dashboard.views import library
from media_toolkit.store.filters import AssetFilter


@pytest.fixture
def pictures(kit: mt.MediaToolkit, sample_media: Path) -> mt.MediaToolkit:
    """Two pictures of Ana's and two of Bo's, one of these with a raw file beside it."""
    bo = kit.acting_as("bo")
    kit.upload(sample_media / "rocket.jpg", public_id="rocket", tags=["launch"])
    kit.upload(sample_media / "coffee.png", public_id="coffee")
    bo.upload(sample_media / "chelsea.png", public_id="chelsea", context={"alt": "A cat"})
    bo.upload(b"a,b\n1,2\n", filename="table.csv", resource_type="raw", public_id="table.csv")
    return kit


def shows(page: Page, *expected: str) -> None:
    expect(page.get_by_role("option").locator(".name")).to_have_text(list(expected))


def test_an_empty_library_loads_the_sample_media(page: Page, kit: mt.MediaToolkit) -> None:
    page.goto("/")
    page.get_by_role("button", name="Load sample media").click()
    expect(page.get_by_role("option").locator("img.loaded")).to_have_count(10)
    expect(page.get_by_text("1–10 of 10")).to_be_visible()
    assert kit.count(user_id="ana") == 10


def test_filters_are_in_the_url_and_the_url_shows_the_same_to_another(
    page: Page, pictures: mt.MediaToolkit, browser: Browser
) -> None:
    page.goto("/")
    shows(page, "table", "chelsea", "coffee", "rocket")
    page.get_by_role("combobox", name="User").click()
    page.get_by_role("option", name="bo", exact=True).click()
    expect(page.get_by_text("1–2 of 2")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="image").click()
    shows(page, "chelsea")
    expect(page).to_have_url(re.compile(r"\?(?=.*user_id=bo)(?=.*resource_type=image)"))

    other = browser.new_page()
    other.goto(page.url)
    shows(other, "chelsea")
    other.close()


def test_words_search_names_tags_and_context_and_no_hits_can_be_left(
    page: Page, pictures: mt.MediaToolkit
) -> None:
    page.goto("/")
    search = page.get_by_label("Search")
    for words, found in (("launch", "rocket"), ("cat", "chelsea"), ("cof", "coffee")):
        search.fill(words)
        search.press("Enter")
        shows(page, found)
    search.fill("nothing like it")
    search.press("Enter")
    expect(page.get_by_text("Nothing matches these filters")).to_be_visible()
    page.get_by_role("button", name="Clear filters").click()
    expect(page.get_by_role("option")).to_have_count(4)
    expect(page).not_to_have_url(re.compile("text="))


# Streamlit imports a component's module from a blob; here it comes when the test lets it come.
_HELD_MODULES = """
    window.blobs = [];
    const made = URL.createObjectURL;
    URL.createObjectURL = (blob) => {
        if (blob.type !== "text/javascript") return made(blob);
        return `${location.origin}/held/${blobs.push(blob) - 1}`;
    };
"""


def test_the_gallery_shows_the_last_of_the_searches_made_while_its_script_was_on_its_way(
    page: Page, pictures: mt.MediaToolkit
) -> None:
    held: list[Route] = []
    page.add_init_script(_HELD_MODULES)
    page.route("**/held/*", lambda route: held.append(route))
    page.goto("/")
    search = page.get_by_label("Search")
    for words in ("launch", "cat", "cof", "chel", "rock", "coffee", "table", "launch"):
        search.fill(words)
        search.press("Enter")
        expect(page).to_have_url(re.compile(f"text={words}"))
        expect(page.get_by_text("1–1 of 1")).to_be_visible()
        page.wait_for_timeout(200)
    for route in held:
        module = route.request.url.rpartition("/")[2]
        body = page.evaluate(f"blobs[{module}].text()")
        route.fulfill(body=body, content_type="text/javascript")
    shows(page, "rocket")
    page.wait_for_timeout(300)
    shows(page, "rocket")


def test_enter_takes_the_tag_that_was_found_and_only_assets_with_all_tags_are_shown(
    page: Page, pictures: mt.MediaToolkit
) -> None:
    pictures.edit(pictures.asset("coffee"), add_tags=["launch", "cup"])
    page.goto("/")
    expect(page.get_by_role("option")).to_have_count(4)
    box = page.get_by_role("combobox", name="Tags")
    box.fill("aunc")
    box.press("Enter")
    # An open list hides the page below it from screen readers, and from this test.
    box.press("Escape")
    shows(page, "coffee", "rocket")
    box.fill("cup")
    box.press("Enter")
    box.press("Escape")
    shows(page, "coffee")
    expect(page).to_have_url(re.compile(r"tags=launch.*tags=cup"))
    # Not among the library's tags: it can be asked for all the same, and nothing has it.
    box.fill("nobody-has-it")
    box.press("Enter")
    box.press("Escape")
    page.get_by_role("button", name="Clear filters").click()
    expect(page.get_by_role("option")).to_have_count(4)
    expect(page).not_to_have_url(re.compile("tags="))


def test_a_link_may_hold_every_word_of_the_filters(page: Page, pictures: mt.MediaToolkit) -> None:
    wide = sorted(pictures.assets(min_width=600, format=["png", "jpg"])["public_id"])
    assert 0 < len(wide) < pictures.count()
    page.goto("/?min_width=600&format=png&format=jpg&uploaded_after=2020-01-01")
    expect(page.get_by_text("And by this link: format png or jpg, ")).to_be_visible()
    expect(page.get_by_role("option").locator(".name")).to_have_count(len(wide))
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_role("option")).to_have_count(4)
    expect(page).not_to_have_url(re.compile(r"\?"))
    page.goto("/?tag=odd&min_width=600")
    expect(page.get_by_text("And by this link: min_width 600. Not a filter: tag")).to_be_visible()
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_text("Not a filter")).to_have_count(0)
    expect(page).not_to_have_url(re.compile(r"\?"))
    page.goto("/?uploaded_after=yesterday")
    expect(page.get_by_text("write it like 2026-01-31")).to_be_visible()
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_role("option")).to_have_count(4)


def test_a_type_that_is_none_is_said_and_nothing_is_of_it(
    page: Page, pictures: mt.MediaToolkit
) -> None:
    page.goto("/?resource_type=imgae&resource_type=imgae")
    expect(page.get_by_text("Not a type: imgae")).to_be_visible()
    expect(page.get_by_text("Nothing matches these filters")).to_be_visible()
    wrong = page.get_by_role("button", name="imgae")
    page.get_by_role("button", name="raw").click()
    shows(page, "table")
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_text("Not a type")).to_have_count(0)
    expect(wrong).to_have_count(0)
    shows(page, "table")
    expect(page).to_have_url(re.compile(r"/\?resource_type=raw$"))
    page.goto("/?resource_type=imgae")
    page.get_by_role("button", name="Clear filters").click()
    expect(page.get_by_role("option")).to_have_count(4)
    expect(wrong).to_have_count(0)


def test_every_chosen_tag_is_seen(page: Page, pictures: mt.MediaToolkit) -> None:
    tags = [f"a rather long tag {number}" for number in range(4)]
    pictures.edit(pictures.asset("rocket"), add_tags=tags)
    page.goto("/?" + "&".join(f"tags={tag}" for tag in tags))
    shows(page, "rocket")
    box = page.get_by_test_id("stMultiSelect").first.bounding_box()
    assert box is not None
    for tag in tags:
        chip = page.get_by_label(tag, exact=True).bounding_box()
        assert chip is not None
        assert box["x"] <= chip["x"] <= chip["x"] + chip["width"] <= box["x"] + box["width"]
        assert chip["y"] + chip["height"] <= box["y"] + box["height"]


@pytest.mark.parametrize("place", ["after:garbage", "before:", "garbage"])
def test_a_link_with_a_damaged_place_leads_to_the_first_page(
    page: Page, pictures: mt.MediaToolkit, place: str
) -> None:
    page.goto(f"/?user_id=ana&at={place}")
    expect(page.get_by_text("This link leads to no page of the library")).to_be_visible()
    expect(page.get_by_text("cursor")).to_have_count(0)
    page.get_by_role("button", name="Go to the first page").click()
    shows(page, "coffee", "rocket")
    expect(page).to_have_url(re.compile(r"/\?user_id=ana$"))


def test_filters_are_there_again_after_another_page(page: Page, pictures: mt.MediaToolkit) -> None:
    page.goto("/?user_id=bo&user_id=gone&tags=nobodys&resource_type=image")
    expect(page.get_by_text("Nothing matches these filters")).to_be_visible()
    page.get_by_role("link", name="Upload").click()
    expect(page).to_have_url(re.compile(r"/upload$"))
    page.get_by_role("link", name="Library").click()
    expect(page.get_by_text("Nothing matches these filters")).to_be_visible()
    expect(page).to_have_url(re.compile(r"\?(?=.*user_id=bo)(?=.*user_id=gone)(?=.*tags=nobodys)"))
    # And once cleared they stay away.
    page.get_by_role("button", name="Clear filters").click()
    expect(page.get_by_role("option")).to_have_count(4)
    page.get_by_role("button", name="image").click()
    expect(page.get_by_role("option")).to_have_count(3)
    page.get_by_role("link", name="Health").click()
    expect(page.get_by_role("heading", name="Health")).to_be_visible()
    page.get_by_role("link", name="Library").click()
    expect(page.get_by_role("option")).to_have_count(3)
    expect(page).to_have_url(re.compile(r"/\?resource_type=image$"))


def test_every_filter_word_but_context_is_one_of_the_page() -> None:
    words = {field.name for field in dataclasses.fields(AssetFilter)}
    assert {*library._UNFILTERED, *library._LINKED} == words - {"context"}


def test_a_user_whose_assets_have_gone_is_no_hits_and_not_everybodys(
    page: Page, pictures: mt.MediaToolkit
) -> None:
    page.goto("/?user_id=nobody")
    expect(page.get_by_text("Nothing matches these filters")).to_be_visible()


def import_fifty(kit: mt.MediaToolkit, folder: Path) -> None:
    """Pictures 00 to 49, the last the newest: more than one page."""
    for number in range(50):
        Image.new("RGB", (40, 30), (number * 5, 90, 90)).save(folder / f"{number:02}.png")
    kit.ingest(folder, progress=False, threads=1)


def test_forty_eight_to_a_page_newest_first(
    page: Page, kit: mt.MediaToolkit, tmp_path: Path
) -> None:
    import_fifty(kit, tmp_path)
    page.goto("/")
    shows(page, *(f"{number:02}" for number in range(49, 1, -1)))
    page.get_by_role("option").nth(5).click()
    expect(page.get_by_text("1 selected")).to_be_visible()
    page.get_by_role("button", name="Older →").last.click()
    shows(page, "01", "00")
    expect(page.get_by_text("49–50 of 50").first).to_be_visible()
    expect(page.get_by_text("1 selected")).to_have_count(0)
    page.reload()
    shows(page, "01", "00")
    page.get_by_role("button", name="← Newer").first.click()
    expect(page.get_by_role("option")).to_have_count(48)
    expect(page).to_have_url(re.compile(r"/$"))
    page.go_back()
    shows(page, "01", "00")
    page.get_by_label("Search", exact=True).fill("4")
    page.get_by_label("Search", exact=True).press("Enter")
    expect(page.get_by_role("option")).to_have_count(10)
    expect(page).to_have_url(re.compile(r"/\?text=4$"))
    page.get_by_label("Search", exact=True).fill("")
    page.get_by_label("Search", exact=True).press("Enter")
    expect(page.get_by_role("option")).to_have_count(48)
    kit.delete(list(kit.page(limit=5).items))
    page.get_by_role("button", name="Older →").last.click()
    expect(page.get_by_text("44–45 of 45").first).to_be_visible()


def test_who_comes_back_to_a_view_finds_nothing_selected(
    page: Page, kit: mt.MediaToolkit, tmp_path: Path
) -> None:
    import_fifty(kit, tmp_path)
    page.goto("/")
    tiles = page.get_by_role("option")
    marked = page.locator("[aria-selected=true]")
    image = page.get_by_role("button", name="image")

    def select_two() -> None:
        expect(tiles).to_have_count(48)
        tiles.nth(0).click()
        tiles.nth(2).click()
        expect(page.get_by_text("2 selected")).to_be_visible()

    def nothing_is_selected() -> None:
        expect(tiles).to_have_count(48)
        expect(page.get_by_text("Click to select")).to_be_visible()
        expect(marked).to_have_count(0)
        # A click on a page that is still being drawn may be meant for what is no longer there.
        app = page.get_by_test_id("stApp")
        expect(app).to_have_attribute("data-test-script-state", "notRunning")

    for come_back in (page.go_back, page.get_by_role("button", name="← Newer").first.click):
        select_two()
        page.get_by_role("button", name="Older →").first.click()
        shows(page, "01", "00")
        come_back()
        nothing_is_selected()
    select_two()
    for url in (r"/\?resource_type=image$", r"/$"):
        image.click()
        expect(page).to_have_url(re.compile(url))
        nothing_is_selected()
    # And what is selected then is so for both.
    tiles.nth(7).click()
    expect(page.get_by_text("1 selected")).to_be_visible()
    expect(marked).to_have_count(1)


def test_what_has_gone_is_no_longer_selected_when_it_comes_back(
    page: Page, pictures: mt.MediaToolkit
) -> None:
    page.goto("/")
    page.get_by_role("option").filter(has_text="rocket").click()
    page.get_by_role("option").filter(has_text="coffee").click()
    expect(page.get_by_text("2 selected")).to_be_visible()
    rocket = pictures.asset("rocket")
    for change, shown in ((pictures.delete, 3), (pictures.restore, 4)):
        change(rocket)
        # The page is drawn anew once a dialog closes.
        page.get_by_role("option").filter(has_text="chelsea").locator(".open").click()
        expect(page.get_by_role("dialog")).to_contain_text("A cat")
        page.keyboard.press("Escape")
        expect(page.get_by_role("option")).to_have_count(shown)
        expect(page.get_by_text("1 selected")).to_be_visible()
        expect(page.locator("[aria-selected=true]")).to_have_count(1)


def test_a_page_further_begins_below_the_header(
    page: Page, kit: mt.MediaToolkit, tmp_path: Path
) -> None:
    for number in range(96):
        Image.new("RGB", (40, 30), (number * 2, 90, 90)).save(tmp_path / f"{number:02}.png")
    kit.ingest(tmp_path, progress=False, threads=1)
    page.goto("/")
    expect(page.get_by_role("option")).to_have_count(48)
    page.get_by_role("button", name="Older →").last.click()
    first = page.get_by_role("option").first
    expect(first).to_contain_text("47")
    page.wait_for_timeout(300)
    tile, header = first.bounding_box(), page.get_by_test_id("stHeader").bounding_box()
    assert tile is not None
    assert header is not None
    assert 0 < tile["y"] - header["y"] - header["height"] < 40


def test_of_hundreds_of_values_in_a_link_some_are_told(
    page: Page, pictures: mt.MediaToolkit
) -> None:
    tags = "&".join(f"any_tags=tag{number}" for number in range(499))
    odd = "&".join(f"odd{number}=1" for number in range(12))
    page.goto(f"/?{tags}&any_tags=launch&{odd}")
    shows(page, "rocket")
    told = page.get_by_text("And by this link")
    expect(told).to_contain_text("any_tags tag0 or tag1 or")
    expect(told).to_contain_text("or tag9 and 490 more. Not a filter: odd0, odd1")
    expect(told).to_contain_text("odd9 and 2 more")
    expect(told).not_to_contain_text("tag10")


def test_a_click_selects_and_the_keyboard_too(page: Page, pictures: mt.MediaToolkit) -> None:
    page.goto("/")
    tiles = page.get_by_role("option")
    tiles.nth(1).click()
    expect(page.get_by_text("1 selected")).to_be_visible()
    expect(tiles.nth(1)).to_have_attribute("aria-selected", "true")
    tiles.nth(3).click(modifiers=["Shift"])
    expect(page.get_by_text("3 selected")).to_be_visible()
    expect(page.get_by_test_id("stButton").get_by_role("button", name="Open")).to_be_disabled()
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(page.locator("[aria-selected=true]")).to_have_count(0)
    tiles.nth(0).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    expect(tiles.nth(1)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("chelsea")


def test_by_touch_one_is_told_to_tap(
    browser: Browser, dashboard: Any, pictures: mt.MediaToolkit
) -> None:
    context = browser.new_context(
        base_url=dashboard.url,
        viewport={"width": 390, "height": 844},
        has_touch=True,
        is_mobile=True,
    )
    page = context.new_page()
    page.goto("/")
    expect(page.get_by_text("Tap to select")).to_be_visible()
    expect(page.get_by_text("Click to select")).to_be_hidden()
    page.get_by_role("option").filter(has_text="rocket").tap()
    expect(page.get_by_text("1 selected")).to_be_visible()
    page.get_by_role("option").filter(has_text="coffee").locator(".open").tap()
    expect(page.get_by_role("dialog")).to_contain_text("coffee")
    context.close()


def test_a_double_click_opens_three_previews_metadata_and_urls_to_copy(
    page: Page, pictures: mt.MediaToolkit, browser: Browser
) -> None:
    page.goto("/")
    page.get_by_role("option").filter(has_text="rocket").dblclick()
    dialog = page.get_by_role("dialog")
    previews = dialog.locator("figure img")
    expect(previews).to_have_count(3)
    for preview, (width, height) in zip(
        previews.all(), ((640, 427), (600, 600), (640, 427)), strict=True
    ):
        expect(preview).to_have_js_property("naturalWidth", width)
        expect(preview).to_have_js_property("naturalHeight", height)
    for fact in ("640 × 427 pixels", "112.5 KB (112,525 bytes)", "launch", "ana"):
        expect(dialog).to_contain_text(fact)
    dialog.get_by_role("button", name="Copy the URL of the original").click()
    page.wait_for_function(
        "async url => await navigator.clipboard.readText() === url", arg=pictures.url("rocket")
    )
    expect(page).to_have_url(re.compile("asset="))
    shared = page.url

    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page).not_to_have_url(re.compile("asset="))
    other = browser.new_page()
    other.goto(shared)
    expect(other.get_by_role("dialog")).to_contain_text("rocket")
    other.close()


def test_the_keyboard_goes_through_the_dialog_and_back_to_the_tile(
    page: Page, pictures: mt.MediaToolkit
) -> None:
    page.goto("/")
    tiles = page.get_by_role("option")
    dialog = page.get_by_role("dialog")
    tiles.nth(0).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(dialog.locator("figure img")).to_have_count(3)
    reached = [dialog.get_by_role("button", name="Close")]
    for label in ("Preview", "Square", "Grayscale", "the original"):
        reached.append(dialog.get_by_role("button", name=f"Copy the URL of {label}"))
        reached.append(dialog.get_by_role("link", name=f"Visit the URL of {label}"))
    for control in reached:
        page.keyboard.press("Tab")
        expect(control).to_be_focused()
    page.keyboard.press("Escape")
    expect(tiles.nth(1)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(tiles.nth(2)).to_be_focused()
    tiles.nth(3).locator(".open").click()
    expect(dialog).to_contain_text("rocket")
    page.keyboard.press("Escape")
    expect(tiles.nth(3)).to_be_focused()


def test_a_preview_that_is_still_being_made_looks_so(page: Page, pictures: mt.MediaToolkit) -> None:
    asset = pictures.asset("rocket")
    held: list[Route] = []
    page.route(re.compile(r"e_grayscale"), lambda route: held.append(route))
    page.goto(f"/?asset={asset.asset_id}")
    waiting = page.get_by_role("dialog").locator(".frame[aria-busy=true]")
    expect(waiting.locator("img[alt^=Grayscale]")).to_have_count(1)
    expect(waiting).to_have_count(1)
    expect(waiting).to_have_css("animation-name", "media-toolkit-waiting")
    for route in held:
        route.continue_()
    expect(waiting).to_have_count(0)


def test_a_raw_file_has_no_previews_and_says_so(page: Page, pictures: mt.MediaToolkit) -> None:
    page.goto("/")
    tile = page.get_by_role("option").filter(has_text="table")
    expect(tile).to_contain_text("CSV")
    tile.click()
    page.get_by_test_id("stButton").get_by_role("button", name="Open").click()
    expect(page.get_by_role("dialog")).to_contain_text("Cloudinary makes no pictures of it")
    expect(page.get_by_role("dialog")).to_contain_text(pictures.url("table.csv"))


def test_an_asset_that_is_not_there_is_said(page: Page, pictures: mt.MediaToolkit) -> None:
    page.goto("/?asset=0123456789abcdef0123456789abcdef")
    expect(page.get_by_role("dialog")).to_contain_text("0123456789abcdef0123456789abcdef")
    page.keyboard.press("Escape")
    expect(page.get_by_role("option")).to_have_count(4)


def test_a_link_to_a_deleted_asset_says_that_it_was_deleted(
    page: Page, pictures: mt.MediaToolkit
) -> None:
    rocket = pictures.asset("rocket")
    pictures.delete(rocket)
    page.goto(f"/?asset={rocket.asset_id}")
    expect(page.get_by_role("dialog")).to_contain_text("was deleted")
    expect(page.get_by_role("dialog")).to_contain_text("kit.restore")


def test_names_are_shown_as_they_are(page: Page, kit: mt.MediaToolkit, sample_media: Path) -> None:
    nasty = "<img src=x onerror=alert(1)> **b** $x$ :red[y] 'q' \" ..".replace("/", "")
    kit.upload(
        (sample_media / "rocket.jpg").read_bytes(), filename=f"{nasty}.jpg", tags=["<i>tag</i>"]
    )
    page.goto("/")
    shows(page, nasty)
    page.get_by_role("option").dblclick()
    expect(page.get_by_role("dialog").get_by_role("heading")).to_have_text(nasty)
    expect(page.get_by_role("dialog")).to_contain_text("<i>tag</i>")


def test_what_came_without_a_name_is_called_by_its_public_id(
    page: Page, kit: mt.MediaToolkit, sample_media: Path
) -> None:
    data = (sample_media / "horse.png").read_bytes()
    kit.upload(data, public_id="drawn/horse-1")
    kit.upload(data, public_id="vec", filename="v.png")
    page.goto("/")
    shows(page, "v", "horse-1")
    tiles = page.get_by_role("option")
    expect(tiles.nth(0)).to_have_attribute("title", "v\npublic_id: vec")
    expect(tiles.nth(1)).to_have_attribute("title", "horse-1\npublic_id: drawn/horse-1")


def test_the_theme_follows_the_system(browser: Browser, dashboard: Any) -> None:
    shades = {}
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto(dashboard.url)
        expect(page.get_by_text("Nothing here yet")).to_be_visible()
        shades[scheme] = page.get_by_test_id("stApp").evaluate(
            "app => getComputedStyle(app).backgroundColor"
        )
        page.close()
    assert shades == {"light": "rgb(255, 255, 255)", "dark": "rgb(15, 21, 22)"}
