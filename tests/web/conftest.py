"""Uploads as a browser makes them: a signature, the file straight to Cloudinary, the save."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

import media_toolkit as mt


@pytest.fixture
def send(sample_media: Path) -> Callable[..., requests.Response]:
    """Send a file with what was signed: `send(signed, extra_field="x")`."""

    def post(
        signed: dict[str, Any], kind: str = "image", file: str = "horse.png", **fields: str
    ) -> requests.Response:
        return requests.post(
            re.sub(r"/\w+/upload$", f"/{kind}/upload", signed["upload_url"]),
            data={**signed["fields"], **fields},
            files={"file": (file, (sample_media / file).read_bytes())},
            timeout=30,
        )

    return post


@pytest.fixture
def notify(kit: mt.MediaToolkit) -> Callable[..., requests.Response]:
    """Post a notification as Cloudinary would, or as somebody else might."""
    known_secret = kit.account.api_secret.get_secret_value()

    def post(
        url: str,
        facts: dict[str, Any] | bytes,
        *,
        age_s: float = 0,
        secret: str = known_secret,
        algorithm: str = "sha1",
        **headers: str,
    ) -> requests.Response:
        body = facts if isinstance(facts, bytes) else json.dumps(facts).encode()
        stamp = str(int(time.time() - age_s))
        digest = hashlib.new(algorithm, body + stamp.encode() + secret.encode()).hexdigest()
        signed = {"X-Cld-Timestamp": stamp, "X-Cld-Signature": digest, **headers}
        return requests.post(f"{url}/webhooks/cloudinary", data=body, headers=signed, timeout=30)

    return post
