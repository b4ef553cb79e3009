"""The cache of derived files: its limit, what goes first, and what it saves."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from media_toolkit.embedded.server import cloud
from media_toolkit.embedded.server.disk.derived_cache import DerivedCache


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "derived"


def kept(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*/*")}


def write(cache: DerivedCache, folder: Path, blob: str, name: str, size: int = 40) -> None:
    (folder / blob).mkdir(parents=True, exist_ok=True)
    (folder / blob / name).write_bytes(b"x" * size)
    cache.add(blob, name, size)


def test_the_least_recently_used_goes_first(folder: Path) -> None:
    cache = DerivedCache(folder, 100)
    write(cache, folder, "b1", "k1.jpg")
    write(cache, folder, "b2", "k2.png")
    assert cache.find("b1", "k1") == folder / "b1" / "k1.jpg"
    write(cache, folder, "b3", "k3.jpg")
    assert kept(folder) == {"k1.jpg", "k3.jpg"}
    assert cache.find("b2", "k2") is None


def test_one_file_beyond_the_limit_is_kept_until_the_next(folder: Path) -> None:
    cache = DerivedCache(folder, 100)
    write(cache, folder, "b1", "k1.jpg", 500)
    assert kept(folder) == {"k1.jpg"}
    write(cache, folder, "b1", "k2.jpg")
    assert kept(folder) == {"k2.jpg"}


def test_removed_files_and_blobs_no_longer_count(folder: Path) -> None:
    cache = DerivedCache(folder, 100)
    write(cache, folder, "b1", "k1.jpg")
    write(cache, folder, "b2", "k2.jpg")
    cache.remove("b1", "k1.jpg")
    write(cache, folder, "b3", "k3.jpg")
    assert kept(folder) == {"k2.jpg", "k3.jpg"}
    cache.forget_blob("b2")
    write(cache, folder, "b4", "k4.jpg")
    assert {"k3.jpg", "k4.jpg"} <= kept(folder)


def test_a_start_takes_stock_and_keeps_to_the_limit(folder: Path) -> None:
    cache = DerivedCache(folder, 1000)
    for number in range(5):
        write(cache, folder, "b", f"k{number}.jpg")
    again = DerivedCache(folder, 100)
    again.load()
    assert len(kept(folder)) == 2
    assert again.find("b", "k4") is not None


def noise(side: int = 600) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((side, side), 90).convert("RGB").save(out, "JPEG", quality=95)
    return out.getvalue()


def test_what_was_evicted_is_made_again(start_server: Callable[..., Any]) -> None:
    server = start_server(derived_limit_bytes=100_000)
    server.upload(noise(), "n.jpg", public_id="n")
    first = server.get("image/upload/w_200,q_90/n.jpg").content
    for width in range(201, 230):
        assert server.get(f"image/upload/w_{width},q_90/n.jpg").status_code == 200
    folder = server.config.data_dir / "derived"
    assert sum(path.stat().st_size for path in folder.glob("*/*")) <= 100_000
    assert server.get("image/upload/w_200,q_90/n.jpg").content == first


def test_a_cached_image_is_served_without_being_made_again(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    render = cloud.render
    monkeypatch.setattr(cloud, "render", lambda *given: made.append("n") or render(*given))
    server.upload(noise(), "n.jpg", public_id="n")
    seen = [server.get("image/upload/c_fill,w_90,h_90,q_90/n.jpg").content for _ in range(5)]
    assert (len(set(seen)), made) == (1, ["n"])
