"""What the server is told when it is created."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from .disk.derived_cache import DEFAULT_LIMIT_BYTES


@dataclass(frozen=True)
class ServerConfig:
    """One cloud served from one folder.

    `data_dir` holds everything that is kept: the files, `records.sqlite3` and the cache of
    derived images. `public_url` is the scheme, host and port that clients reach the server by,
    without a path; `url` and `secure_url` in answers both start with it, as there is no TLS.
    `allow_private_urls` lets uploads by URL read from loopback and private addresses.
    `search_lag` hides changes from searches until they are so many seconds old.
    `chunk_expiry_s` is how long an upload in parts is kept without hearing of it.
    `notification_urls` are told of every event; a delivery that fails is tried again after each
    of `notification_pauses_s`, which are Cloudinary's by default.
    `derived_limit_bytes` bounds what the files made from others take up on disk.
    `faults` are failures on purpose, in force from the start (see `faults`).
    """

    data_dir: Path
    cloud_name: str
    api_key: str
    api_secret: str = field(repr=False)
    public_url: str
    allow_private_urls: bool = False
    search_lag: float = 0.0
    chunk_expiry_s: float = 3600.0
    notification_urls: tuple[str, ...] = ()
    notification_pauses_s: tuple[float, ...] = (180.0, 360.0, 540.0)
    derived_limit_bytes: int = DEFAULT_LIMIT_BYTES
    faults: tuple[str, ...] = ()
