"""Conformance: sequences of calls with the official, unmodified `cld` command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudinary.api
import cloudinary.uploader
import pytest
import requests

Cld = Callable[..., str]


@pytest.fixture
def cld(sdk: Any, tmp_path: Path) -> Cld:
    """Runs `cld` with these arguments against the server; returns what it prints."""
    program = Path(sys.executable).with_name("cld")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path / "home"),
        "CLOUDINARY_URL": sdk.url,
    }

    def run(*arguments: object) -> str:
        done = subprocess.run(
            [str(program), *map(str, arguments)],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


@pytest.fixture
def folder(tmp_path: Path, samples: Path) -> Path:
    """A folder with a picture, a raw file, and a name that public_ids cannot have, in a folder."""
    root = tmp_path / "local"
    (root / "inner folder").mkdir(parents=True)
    shutil.copy(samples / "rocket.jpg", root / "rocket.jpg")
    shutil.copy(samples / "brick.png", root / "inner folder" / "brick & #1.png")
    (root / "notes.txt").write_text("first")
    return root


def printed(text: str) -> Any:
    """The JSON in what `cld` prints, which may have lines before it."""
    return json.loads(text[text.index("{") : text.rindex("}") + 1])


def files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.name != ".cld-sync"
    }


def test_a_folder_is_pushed_pulled_and_kept_in_step(
    sdk: Any, cld: Cld, folder: Path, tmp_path: Path
) -> None:
    assert "Synced | 3" in cld("sync", "--push", "-F", folder, "spring")
    assert "Skipping 3 items" in cld("sync", "--push", "-F", folder, "spring")
    there = tmp_path / "pulled"
    assert "Synced | 3" in cld("sync", "--pull", "-F", there, "spring")
    assert sorted(files(there).values()) == sorted(files(folder).values())
    (folder / "rocket.jpg").unlink()
    (folder / "more.txt").write_text("second")
    changed = cld("sync", "--push", "-F", folder, "spring")
    assert "Deleted 1 resources" in changed
    assert "Synced | 1" in changed
    cld("sync", "--pull", "-F", there, "spring")
    assert sorted(files(there).values()) == sorted(files(folder).values())


def test_a_folder_goes_up_and_is_found(sdk: Any, cld: Cld, folder: Path) -> None:
    assert "3 resources uploaded" in cld("upload_dir", "-f", "box", folder)
    found = printed(cld("search", "resource_type:image", "-s", "public_id", "asc", "-f", "tags"))
    assert found["total_count"] == 2
    assert {one["format"] for one in found["resources"]} == {"jpg", "png"}
    listed = printed(cld("admin", "resources", "type=upload", "resource_type=raw"))
    assert [one["bytes"] for one in listed["resources"]] == [5]


def test_uploads_urls_and_derived_images_made_anew(sdk: Any, cld: Cld, samples: Path) -> None:
    path = samples / "rocket.jpg"
    answer = printed(cld("uploader", "upload", path, "public_id=rocket", "-o", "tags", "a,b"))
    assert (answer["public_id"], answer["tags"]) == ("rocket", ["a", "b"])
    url = cld("url", "rocket", "c_fill,h_50,w_80").split()[-1]
    assert url.endswith("/image/upload/c_fill,h_50,w_80/rocket")
    cloudinary.api.create_transformation("small", {"width": 60, "crop": "scale"}, **sdk.options)
    small = f"{sdk.options['upload_prefix']}/sdk-cloud/image/upload/t_small/rocket.jpg"
    before = requests.get(small, timeout=60)
    assert before.status_code == 200
    cloudinary.api.update_transformation(
        "small", unsafe_update={"width": 30, "crop": "scale"}, **sdk.options
    )
    assert "Regeneration complete" in cld("regen_derived", "small", "-F")
    after = requests.get(small, timeout=60)
    assert after.status_code == 200
    assert after.content != before.content
