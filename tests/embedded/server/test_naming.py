"""public_ids: what is allowed, what is chosen."""

from __future__ import annotations

import re

import pytest

from media_toolkit.embedded.server.errors import ApiError
from media_toolkit.embedded.server.upload.naming import (
    Naming,
    check_folder,
    check_public_id,
    choose_public_id,
    split_filename,
)


@pytest.mark.parametrize(
    "name",
    ["a", "spring/photo", "with space", "o'neil \"x\"", "tulip 🌷", "日本/花", "a.b.c", "a" * 255,
     "family 👩‍👩‍👧", "9.00\u202fAM", "50€,x=y;(1)!@*~"],
)  # fmt: skip
def test_these_public_ids_are_allowed(name: str) -> None:
    assert check_public_id(name) == name


@pytest.mark.parametrize(
    "name",
    ["", " ", "/", "..", "a/../b", "../a", "a/..", "a//b", "a/ /b", "a/./b", "a" * 256, "a\nb",
     "a\x00b", *(f"a{forbidden}b" for forbidden in "?&#\\%<>+")],
)  # fmt: skip
def test_these_public_ids_are_refused(name: str) -> None:
    with pytest.raises(ApiError) as caught:
        check_public_id(name)
    assert caught.value.status == 400
    assert "public_id" in caught.value.message


def test_outer_spaces_and_slashes_are_trimmed() -> None:
    assert check_public_id(" /spring/photo/ ") == "spring/photo"


def test_a_folder_named_like_a_version_is_refused() -> None:
    assert check_folder("/a/b/") == "a/b"
    for folder in ("v1", "a/v12", "..", "a//b"):
        with pytest.raises(ApiError):
            check_folder(folder)


def test_without_a_wish_the_name_is_twenty_random_characters() -> None:
    assert re.fullmatch("[a-z0-9]{20}", choose_public_id(Naming(), "a.jpg", None))
    assert re.fullmatch(r"[a-z0-9]{20}\.pdf", choose_public_id(Naming(), "a.pdf", "pdf"))


def test_use_filename_keeps_the_name_and_adds_six_characters() -> None:
    wanted = Naming(use_filename=True)
    assert re.fullmatch("my_photo_1_[a-z0-9]{6}", choose_public_id(wanted, "my photo+1.jpg", None))
    exact = Naming(use_filename=True, unique_filename=False)
    assert choose_public_id(exact, "/photos/ana/my photo.jpg", None) == "my_photo"
    assert choose_public_id(exact, "report 1.pdf", "pdf") == "report_1.pdf"


def test_folder_and_prefix_come_before_the_name() -> None:
    assert choose_public_id(Naming(public_id="p", folder="a/b"), "x.jpg", None) == "a/b/p"
    assert choose_public_id(Naming(public_id="p", public_id_prefix="pre"), "x", None) == "pre/p"
    by_asset_folder = Naming(public_id="p", asset_folder="shop", use_asset_folder_as_prefix=True)
    assert choose_public_id(by_asset_folder, "x", None) == "shop/p"
    assert choose_public_id(Naming(public_id="p", asset_folder="shop"), "x", None) == "p"


@pytest.mark.parametrize(
    ("filename", "parts"),
    [
        ("a.jpg", ("a", "jpg")),
        ("/photos/ana/a.b.JPG", ("a.b", "JPG")),
        ("C:\\pictures\\a.png", ("a", "png")),
        ("https://example.com/x/tulip%20red.jpg?size=1", ("tulip red", "jpg")),
        ("noextension", ("noextension", "")),
        (".hidden", (".hidden", "")),
        ("", ("file", "")),
    ],
)
def test_a_file_name_is_split_at_its_last_dot(filename: str, parts: tuple[str, str]) -> None:
    assert split_filename(filename) == parts
