"""Uploads as a browser makes them: a signature, the file straight to Cloudinary, the save."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa

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


@pytest.fixture
def ben(kit: mt.MediaToolkit) -> mt.MediaToolkit:
    """Who uploads."""
    return kit.acting_as("ben")


@pytest.fixture
def post(send: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """Send a picture with a signature."""

    def post(signed: Any) -> dict[str, Any]:
        answer = send({"upload_url": signed.url, "fields": dict(signed.fields)})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    return post


@pytest.fixture
def tell(kit: mt.MediaToolkit) -> Callable[[dict[str, Any]], int]:
    """The notification of an upload."""
    secret = kit.account.api_secret.get_secret_value()
    stamps = itertools.count(int(time.time()) - 600)

    def tell(told: dict[str, Any]) -> int:
        message = {"notification_type": "upload", "timestamp": datetime.now(UTC).isoformat()}
        body, stamp = json.dumps({**told, **message}).encode(), str(next(stamps))
        digest = hashlib.sha1(body + stamp.encode() + secret.encode()).hexdigest()
        return kit.receive_notification(body, stamp, digest)

    return tell


@pytest.fixture
def owner_of(kit: mt.MediaToolkit) -> Callable[[dict[str, Any]], str | None]:
    """Whose the row of an upload is, seen or not."""
    statement = sa.text("SELECT user_id FROM cloudinary_files WHERE asset_id = :asset_id")

    def owner_of(told: dict[str, Any]) -> str | None:
        with kit._database.direct() as connection:
            return connection.scalar(statement, {"asset_id": told["asset_id"]})

    return owner_of
