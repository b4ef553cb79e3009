"""The gallery: nasty names stay text, what has no picture says so, what is left out is counted."""

from __future__ import annotations

import urllib.request
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

import media_toolkit as mt
from media_toolkit.notebook.gallery import Gallery
from media_toolkit.samples import SAMPLE_MEDIA

NASTY = "\"><img src=x onerror=alert(1)> 'x' & <b> &amp;"


class Page(HTMLParser):
    """What a browser would read: tags, the attributes of each, and the text."""

    def __init__(self, gallery: Gallery) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[dict[str, str | None]] = []
        self.text = ""
        self.feed(gallery._repr_html_())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.append(dict(attrs))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, name: str) -> list[str | None]:
        return [attributes[name] for attributes in self.attributes if name in attributes]


def picture(size: tuple[int, int] = (60, 40)) -> Image.Image:
    return Image.new("RGB", size, "teal")


@pytest.mark.parametrize("way", ["newest", "frame", "assets"])
def test_a_nasty_name_is_shown_and_never_run(kit: mt.MediaToolkit, way: str) -> None:
    asset = kit.upload(picture(), filename=f"{NASTY}.png")
    assert asset.name == NASTY
    shown = {"newest": None, "frame": kit.assets(), "assets": [asset]}[way]
    page = Page(kit.gallery(shown))
    assert page.text == f"{NASTY}60 × 40"
    assert page.tags == ["div", "a", "img", "div", "br", "span"]
    assert page.all("title") == page.all("alt") == [NASTY]
    assert not any(name.startswith("on") for found in page.attributes for name in found)


def test_a_url_that_does_not_lead_to_the_web_is_no_link(kit: mt.MediaToolkit) -> None:
    adopted = kit.upload(picture())
    frame = kit.assets().assign(media_url="javascript:alert(1)")
    assert Page(kit.gallery(frame)).all("href") == []
    assert Page(kit.gallery([adopted])).all("href") == [adopted.media_url]


def test_frame_and_assets_give_the_same_tiles_in_their_order(kit: mt.MediaToolkit) -> None:
    for name in ("one", "two", "three"):
        kit.upload(picture(), public_id=f"g/{name}", filename=f"{name}.png")
    kit.upload(b"a,b\n", resource_type="raw", public_id="g/table.csv", filename="table.csv")
    frame = kit.assets(order_by="public_id")
    assets = [kit.asset(public_id) for public_id in frame["public_id"]]
    assert kit.gallery(frame).tiles == kit.gallery(assets).tiles == kit.gallery(iter(assets)).tiles
    assert Page(kit.gallery(frame)).all("title") == ["one", "table", "three", "two"]
    assert Page(kit.gallery(frame[::-1])).all("title") == ["two", "three", "table", "one"]
    assert Page(kit.gallery()).all("title") == ["table", "three", "two", "one"]


def test_a_frame_of_a_parquet_file_gives_the_same_tiles(
    kit: mt.MediaToolkit, tmp_path: Path
) -> None:
    kit.upload(picture(), public_id="one", tags=["a", "b"], context={"alt": "x"})
    kit.upload(b"a,b\n", resource_type="raw", public_id="table.csv")
    kit.upload(b"c,d\n", resource_type="raw", public_id="unlabelled.csv", tags=["c"])
    kit.to_parquet(tmp_path / "all.parquet")
    frame = pd.read_parquet(tmp_path / "all.parquet")
    assert frame["width"].dtype == float, "of which a picture's whole number comes back"
    assert kit.gallery(frame).tiles == kit.gallery(kit.assets()).tiles


def test_columns_that_a_frame_lacks_are_named(kit: mt.MediaToolkit) -> None:
    kit.upload(picture())
    few = ["public_id", "media_url", "resource_type", "user_id"]
    assert len(kit.gallery(kit.assets(columns=few))) == 1
    with pytest.raises(mt.FilterError, match=r"needs the columns media_url, user_id \("):
        kit.gallery(kit.assets(columns=["public_id", "resource_type"]))


def test_thumbnails_and_originals_are_delivered(kit: mt.MediaToolkit) -> None:
    kit.upload(SAMPLE_MEDIA / "rocket.jpg", public_id="a b/é 100 'x'")
    page = Page(kit.gallery())
    (thumbnail,), (original,) = page.all("src"), page.all("href")
    with urllib.request.urlopen(str(thumbnail)) as answer, Image.open(answer) as small:
        assert small.size == (320, 240)
    with urllib.request.urlopen(str(original)) as answer:
        assert answer.read() == (SAMPLE_MEDIA / "rocket.jpg").read_bytes()


def test_a_raw_asset_has_a_tile_without_a_picture(kit: mt.MediaToolkit) -> None:
    kit.upload(b"a,b\n", resource_type="raw", public_id="table.csv", filename="table.csv")
    page = Page(kit.gallery(kit.assets()))
    assert "img" not in page.tags
    assert "raw" in page.text
    assert "table" in page.text
    assert page.text.endswith("csv")


def test_an_empty_gallery_says_so(kit: mt.MediaToolkit) -> None:
    for nothing in (None, [], kit.assets()):
        gallery = kit.gallery(nothing)
        assert len(gallery) == 0
        assert Page(gallery).text == "No assets to show."


def test_what_goes_beyond_the_limit_is_counted(kit: mt.MediaToolkit) -> None:
    assets = [kit.upload(picture(), public_id=f"p{number}") for number in range(5)]
    for shown in (assets, kit.assets()):
        gallery = kit.gallery(shown, limit=2)
        assert (len(gallery), gallery.left_out) == (2, 3)
        assert "and 3 more" in Page(gallery).text
        assert Page(gallery).tags.count("img") == 2
    whole = kit.gallery(assets, limit=5)
    assert (len(whole), whole.left_out) == (5, 0)
    assert "more" not in Page(whole).text
    assert repr(whole) == "<Gallery of 5 assets>"


def test_the_sample_media_are_where_the_package_says() -> None:
    assert isinstance(SAMPLE_MEDIA, Path)
    assert len([path for path in SAMPLE_MEDIA.iterdir() if path.suffix in (".jpg", ".png")]) == 10
