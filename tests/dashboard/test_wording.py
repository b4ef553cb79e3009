"""Sizes, times and text on the pages."""

from __future__ import annotations

import pytest

from media_toolkit.asset import Asset
from media_toolkit.dashboard import wording


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 KB"),
        (112_525, "112.5 KB"),
        (999_949, "999.9 KB"),
        (999_950, "1.0 MB"),
        (5_000_000_000, "5.0 GB"),
        (2_500_000_000_000, "2.5 TB"),
    ],
)
def test_sizes_are_decimal_and_never_a_thousand_of_a_unit(number: int, words: str) -> None:
    assert wording.file_size(number) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0:00"), (9, "0:09"), (75.4, "1:15"), (3661, "1:01:01")]
)
def test_play_times_are_read_as_on_a_player(seconds: float, words: str) -> None:
    assert wording.play_time(seconds) == words


def test_the_line_below_a_name_says_what_matters_for_its_type() -> None:
    def line(resource_type: str, **known: object) -> str:
        response = {"public_id": "a", "resource_type": resource_type, **known}
        response.setdefault("secure_url", "https://res.cloudinary.com/demo/image/upload/a")
        return wording.facts(Asset.from_response(response, "ana"))

    assert line("image", format="jpg", width=640, height=427) == "JPG · 640 × 427"
    video = line("video", format="mp4", width=640, height=480, duration=75.4)
    assert video == "MP4 · 1:15"
    assert line("raw", bytes=2100) == "RAW · 2.1 KB"


def test_an_asset_is_known_by_its_file_and_by_its_public_id() -> None:
    def asset(public_id: str, filename: str | None) -> Asset:
        url = "https://res.cloudinary.com/demo/image/upload/a"
        response = {"public_id": public_id, "resource_type": "image", "secure_url": url}
        return Asset.from_response(response | {"original_filename": filename}, "ana")

    assert wording.names(asset("vec", "v")) == "v\npublic_id: vec"
    assert wording.names(asset("sights/eye", "eye")) == "eye\npublic_id: sights/eye"
    assert wording.names(asset("eye", "eye")) == "eye"
    # Bytes that come without a name are sent as "file".
    for unnamed in ("file", "", None):
        assert wording.names(asset("made/by-bytes", unnamed)).startswith("by-bytes\n")


def test_text_for_markdown_is_escaped_and_of_one_line() -> None:
    assert wording.literal("a*b_:red[c]\n$x$") == r"a\*b\_\:red\[c\] \$x\$"
