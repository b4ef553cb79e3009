"""Refusals: what Cloudinary answers when it does not do what was asked → one of our errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from media_toolkit.cloud.pacing import reset_time, seconds_until
from media_toolkit.errors import (
    CloudUnavailable,
    MediaToolkitError,
    NotFound,
    RateLimited,
    SettingsError,
    TooLarge,
    UnsupportedMedia,
    UploadError,
)


def refusal(status: int, body: Any, headers: Mapping[str, str], label: str) -> MediaToolkitError:
    """The error to raise, with Cloudinary's own words and what to do next.

    Args:
        body: the answer's JSON, or whatever stands in its place.
        label: the asset, or what else was asked about.
    """
    message = _words(status, body, headers)
    said = f"Cloudinary refused {label}: {message}"
    if status in (420, 429):
        reset = reset_time(headers, message)
        return RateLimited(
            said,
            hint=f"the limit is reset at {reset:%Y-%m-%d %H:%M:%S} UTC" if reset else "try later",
            ids=(label,),
            retry_after_s=seconds_until(reset),
        )
    if status >= 500 or status == 423:
        return CloudUnavailable(said, hint="try again in a minute", ids=(label,))
    if status in (401, 403):
        return SettingsError(
            said,
            hint="check CLOUDINARY_URL: cloud name, key and secret; and this machine's clock",
            ids=(label,),
        )
    if status == 404:
        return NotFound(said, hint="check public_id, resource_type and delivery_type", ids=(label,))
    if status == 413 or "too large" in message.lower():
        return TooLarge(said, hint="see the account's limits in the console", ids=(label,))
    media = ("invalid image", "invalid video", "empty file", "unsupported", "not allowed")
    if any(words in message.lower() for words in media):
        return UnsupportedMedia(
            said, hint="open the file to see whether it is whole, or pass resource_type='raw'",
            ids=(label,),
        )  # fmt: skip
    is_taken = "already exists" in message.lower()
    return UploadError(said, hint="choose another name" if is_taken else "", ids=(label,))


def _words(status: int, body: Any, headers: Mapping[str, str]) -> str:
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, dict) and error.get("message"):
        return str(error["message"])
    return headers.get("X-Cld-Error") or f"HTTP {status}"
