"""Conformance of the Upload API: sequences of calls with the official, unmodified SDK."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import cloudinary.uploader
import requests


def fetch(url: str) -> requests.Response:
    return requests.get(url, timeout=60)


def test_large_files_and_streams_go_up_in_chunks(sdk: Any, tmp_path: Path) -> None:
    data = os.urandom(21_000_000)
    path = tmp_path / "measurements.bin"
    path.write_bytes(data)
    default = cloudinary.uploader.upload_large(str(path), **dict(sdk.options))
    assert default["resource_type"] == "raw"
    assert default["etag"] == hashlib.md5(data).hexdigest()
    assert fetch(default["secure_url"]).content == data
    stream = cloudinary.uploader.upload_large(
        io.BytesIO(data), chunk_size=5_500_000, filename="s.bin", folder="a",
        public_id="stream.bin", **dict(sdk.options),
    )  # fmt: skip
    assert stream["public_id"] == "a/stream.bin"
    assert stream["etag"] == default["etag"]
