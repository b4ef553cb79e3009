"""Which cloud a delivery URL is of, where that can be told at all."""

from __future__ import annotations

import pytest

from media_toolkit.cloud.origin import cloud_of, other_cloud
from media_toolkit.settings import CloudAccount


@pytest.mark.parametrize(
    ("url", "cloud"),
    [
        ("https://res.cloudinary.com/demo/image/upload/v1/tulip.jpg", "demo"),
        ("http://res.cloudinary.com/my_team/raw/upload/v1/a/b.txt", "my_team"),
        ("https://res-3.cloudinary.com/demo/image/upload/tulip.jpg", "demo"),
        ("https://demo-res.cloudinary.com/image/upload/v1/tulip.jpg", "demo"),
        ("https://my-team-res-2.cloudinary.com/image/upload/tulip.jpg", "my-team"),
        ("https://res.cloudinary.com/", None),
        ("https://res.cloudinary.com/tulip.jpg", None),
        ("https://api.cloudinary.com/v1_1/demo/image/upload", None),
        ("https://res.cloudinary.com.example.org/demo/image/upload/tulip.jpg", None),
        ("https://media.example.org/image/upload/v1/tulip.jpg", None),
        ("https://media.example.org/demo/image/upload/v1/tulip.jpg", None),
        ("http://127.0.0.1:23456/embedded/image/upload/v1/tulip.jpg", None),
        ("http://[broken/tulip.jpg", None),
        ("tulip.jpg", None),
        ("", None),
    ],
)
def test_only_cloudinarys_own_hosts_tell_the_cloud(url: str, cloud: str | None) -> None:
    assert cloud_of(url) == cloud


def test_a_cloud_is_no_other_by_its_spelling() -> None:
    account = CloudAccount("My_Team", "1", "s")
    for url in (
        "https://my-team-res.cloudinary.com/image/upload/tulip.jpg",
        "https://res.cloudinary.com/my_team/image/upload/tulip.jpg",
        "https://media.example.org/demo/image/upload/tulip.jpg",
    ):
        assert other_cloud(url, account) is None
    assert other_cloud("https://res.cloudinary.com/team/image/upload/x.jpg", account) == "team"
