"""Origin: which cloud an asset is of, as far as its delivery URL tells."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from media_toolkit.settings import CloudAccount

# Shared and private CDN, each perhaps sharded (`res-3`), as the SDKs build them.
_CDN = re.compile(r"(?:(?P<cloud>[a-z0-9_-]+)-)?res(?:-\d)?\.cloudinary\.com")


def cloud_of(media_url: str) -> str | None:
    """The name of the cloud that a delivery URL is of; None where it cannot be told.

    Only Cloudinary's own hosts tell: not a CNAME, the embedded server, nor another URL.
    """
    try:
        parts = urlsplit(media_url)
        found = _CDN.fullmatch(parts.hostname or "")
    except ValueError:
        return None
    if found is None:
        return None
    cloud, _, rest = parts.path.removeprefix("/").partition("/")
    return found["cloud"] or (cloud if rest else "") or None


def other_cloud(media_url: str, account: CloudAccount) -> str | None:
    """The cloud that the URL is of, where it is told and is not the account's; else None."""
    cloud = cloud_of(media_url)
    return None if cloud is None or _plain(cloud) == _plain(account.cloud_name) else cloud


def _plain(cloud: str) -> str:
    # Names of hosts have neither capitals nor underscores.
    return cloud.lower().replace("_", "-")
