"""Transformation presets, and transformation → delivery URL. No network, no pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudinary import utils as sdk

from media_toolkit.asset import Asset
from media_toolkit.errors import TransformationError
from media_toolkit.settings import CloudAccount

# Each is what `cloudinary_url` of the official SDK takes; a list is a chain.
PRESETS: dict[str, dict[str, Any]] = {
    "thumbnail": {
        "width": 320, "height": 240, "crop": "fill", "gravity": "auto",
        "quality": "auto", "fetch_format": "auto",
    },
    "preview": {
        "width": 1200, "height": 1200, "crop": "limit", "quality": "auto", "fetch_format": "auto",
    },
    "square": {
        "width": 600, "height": 600, "crop": "fill", "gravity": "auto",
        "quality": "auto", "fetch_format": "auto",
    },
    "banner": {
        "width": 1200, "height": 400, "crop": "fill", "gravity": "auto",
        "quality": "auto", "fetch_format": "auto",
    },
    "avatar": {
        "width": 400, "height": 400, "crop": "thumb", "gravity": "auto", "radius": "max",
        "fetch_format": "png",
    },
    "grayscale": {
        "width": 800, "height": 800, "crop": "limit", "effect": "grayscale",
        "quality": "auto", "fetch_format": "auto",
    },
}  # fmt: skip


def delivery_url(
    account: CloudAccount, asset: Asset, preset: str | None = None, **transformation: Any
) -> str:
    """The URL under which Cloudinary delivers an asset, transformed if asked.

    Args:
        preset: one of `PRESETS`; keywords on top of it win.
        transformation: the SDK's parameters (width, height, crop, gravity, effect …), or
            `transformation=[{…}, {…}]` for a chain. None at all means the original.

    A video under an image preset becomes its poster frame (a .jpg), raw files have no
    transformations and always get the original's URL.

    Raises:
        TransformationError: for an unknown preset or parameter.
    """
    if preset is not None and preset not in PRESETS:
        raise TransformationError(
            f"unknown preset {preset!r}", hint=f"known: {', '.join(PRESETS)}", ids=(preset,)
        )
    wanted = dict(PRESETS[preset]) if preset else {}
    wanted.update(transformation)
    if asset.resource_type == "raw":
        wanted = {}
    file_format = wanted.pop("format", None)
    if file_format is None and asset.resource_type != "raw":
        poster = asset.resource_type == "video" and bool(wanted)
        file_format = "jpg" if poster else asset.format
    options = {
        **wanted,
        "cloud_name": account.cloud_name,
        "secure": account.cname is None,
        "cname": account.cname,
        "private_cdn": False,
        "resource_type": asset.resource_type,
        "type": asset.delivery_type,
        "version": asset.version,
        "format": file_format,
        "sign_url": asset.delivery_type in ("private", "authenticated"),
        "api_secret": account.api_secret.get_secret_value(),
    }
    url, left_over = sdk.cloudinary_url(asset.public_id, **options)
    unknown = _unknown_parameters(wanted, left_over)
    if unknown:
        raise TransformationError(
            f"unknown transformation parameter {', '.join(unknown)}",
            hint="see https://cloudinary.com/documentation/transformation_reference",
            ids=tuple(unknown),
        )
    return str(url)


def _unknown_parameters(wanted: Mapping[str, Any], left_over: Mapping[str, Any]) -> list[str]:
    """The SDK hands back what it did not understand; width and height it hands back always."""
    return sorted(name for name in wanted if name in left_over and name not in ("width", "height"))
