"""Assets and folders as the Search API shows them.

https://cloudinary.com/documentation/search_method#sample_response
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ..records.assets import Asset
from ..records.folders import Folder
from ..responses import Responses, access_mode

_ALWAYS = frozenset(
    {"public_id", "asset_id", "asset_folder", "created_at", "status", "type", "resource_type"}
)


def moment(seconds: int) -> str:
    """Unix seconds as `2025-01-01T00:00:00+00:00`, which is how searches write them."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def shown_asset(
    asset: Asset, responses: Responses, api_key: str, extra: frozenset[str], only: frozenset[str]
) -> dict[str, Any]:
    """One asset: what is always shown and `extra`, or the fields `only` and the identity."""
    url = responses.url(asset)
    answer: dict[str, Any] = {
        "asset_id": asset.asset_id,
        "public_id": asset.public_id,
        "folder": asset.folder,
        "asset_folder": asset.asset_folder,
        "filename": asset.public_id.rpartition("/")[2],
        "display_name": asset.display_name,
        "format": asset.format or "",
        "version": asset.version,
        "resource_type": asset.resource_type,
        "type": asset.type,
        "created_at": moment(asset.created_at),
        "uploaded_at": moment(asset.uploaded_at),
        "bytes": asset.bytes,
        "backup_bytes": 0,
        "width": asset.width,
        "height": asset.height,
        "aspect_ratio": None,
        "pixels": None,
        "pages": asset.pages,
        "url": url,
        "secure_url": url,
        "status": "active",
        "moderation_status": asset.extras.moderation[0]["status"]
        if asset.extras.moderation
        else None,
        "access_mode": access_mode(asset),
        "access_control": asset.extras.access_control,
        "etag": asset.etag,
        "created_by": {"access_key": api_key},
        "uploaded_by": {"access_key": api_key},
        "tags": asset.tags,
        "context": asset.context,
        "metadata": {},
        "image_metadata": asset.extras.image_metadata or {},
        "image_analysis": _analysis(asset),
    }
    if asset.width is not None and asset.height:
        answer["aspect_ratio"] = round(asset.width / asset.height, 5)
        answer["pixels"] = asset.width * asset.height
    media = asset.extras.media or {}
    answer |= {name: media[name] for name in _OF_MEDIA if name in media}
    wanted = only | _ALWAYS if only else answer.keys() - (_ON_REQUEST - extra)
    optional = ("width", "height", "aspect_ratio", "pixels", "pages", "moderation_status")
    return {
        name: value
        for name, value in answer.items()
        if name in wanted and not (value is None and name in optional)
    }


_OF_MEDIA = ("duration", "bit_rate", "frame_rate")
_ON_REQUEST = frozenset({"tags", "context", "metadata", "image_metadata", "image_analysis"})


def _analysis(asset: Asset) -> dict[str, Any]:
    if asset.resource_type != "image":
        return {}
    faces = asset.extras.faces or []
    analysis: dict[str, Any] = {"face_count": len(faces), "faces": faces}
    if asset.extras.grayscale is not None:
        analysis["grayscale"] = asset.extras.grayscale
    if asset.extras.colors is not None:
        analysis["colors"] = dict(asset.extras.colors)
    return analysis


def shown_folder(folder: Folder) -> dict[str, Any]:
    """One folder."""
    return {
        "name": folder.name,
        "path": folder.path,
        "created_at": moment(folder.created_at),
        "external_id": folder.external_id,
    }
