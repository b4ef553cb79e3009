"""Records in Cloudinary's words: answers, URLs, delivery signatures, and the one error shape."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.responses import JSONResponse

from .config import ServerConfig
from .records.assets import Asset
from .records.derived import Derived
from .transform.eager import Eager
from .transform.render import Rendered

_UNSAFE = re.compile(rb"([^a-zA-Z0-9_.\-/:]+)")
SIGNED_TYPES = frozenset({"private", "authenticated"})


def error_response(
    status: int, message: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """`{"error": {"message": ...}}` with the status."""
    return JSONResponse({"error": {"message": message}}, status_code=status, headers=headers)


def escape(source: str) -> str:
    """Percent-encode a public_id as Cloudinary's SDKs do (all but `a-zA-Z0-9_.-/:`)."""

    def percent(match: re.Match[bytes]) -> bytes:
        return b"".join(b"%%%02X" % byte for byte in match.group(1))

    return _UNSAFE.sub(percent, source.encode()).decode("ascii")


def delivery_signature(
    to_sign: str,
    secret: str,
    length: int = 8,
    algorithm: Callable[[bytes], Any] = hashlib.sha1,
) -> str:
    """The part between `s--` and `--` in a signed delivery URL.

    `to_sign` is `transformation/public_id.ext` as it stands in the URL, without the version.
    Short signatures have 8 characters, long ones 32 and are always SHA-256.
    https://cloudinary.com/documentation/delivery_url_signatures
    """
    digest = algorithm((to_sign + secret).encode()).digest()
    return base64.urlsafe_b64encode(digest).decode("ascii")[:length]


def timestamp(seconds: int) -> str:
    """Unix seconds as `2025-01-01T00:00:00Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def response_signature(public_id: str, version: int, secret: str) -> str:
    """The `signature` of an answer: always SHA-1 over the version-1 form of these two.

    https://cloudinary.com/documentation/response_signatures
    """
    signed = f"public_id={public_id}&version={version}{secret}"
    return hashlib.sha1(signed.encode(), usedforsecurity=False).hexdigest()


class Responses:
    """Builds the answers about the assets of one cloud."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._base = f"{config.public_url.rstrip('/')}/{config.cloud_name}"

    def url(self, asset: Asset, transformation: str = "", extension: str | None = None) -> str:
        """The delivery URL, byte for byte as the SDK builds it; signed where the type needs it.

        `extension` defaults to the asset's own format; an empty one leaves it out.
        """
        wanted = asset.format if extension is None else extension
        if asset.resource_type == "raw":
            wanted = None
        source = escape(asset.public_id) + (f".{wanted}" if wanted else "")
        signature = ""
        if asset.type in SIGNED_TYPES or asset.extras.access_mode == "authenticated":
            to_sign = "/".join(part for part in (transformation, source) if part)
            signature = f"s--{delivery_signature(to_sign, self._config.api_secret)}--"
        parts = (
            asset.resource_type,
            asset.type,
            signature,
            transformation,
            f"v{asset.version}",
            source,
        )
        return "/".join([self._base, *(part for part in parts if part)])

    def uploaded(self, asset: Asset) -> dict[str, Any]:
        """What an upload answers.

        https://cloudinary.com/documentation/image_upload_api_reference#upload_response
        """
        answer = self._identity(asset)
        answer["signature"] = response_signature(
            asset.public_id, asset.version, self._config.api_secret
        )
        answer |= self._dimensions(asset)
        answer |= {
            "resource_type": asset.resource_type,
            "created_at": timestamp(asset.created_at),
            "tags": asset.tags,
        }
        if asset.pages is not None:
            answer["pages"] = asset.pages
        answer |= {
            "bytes": asset.bytes,
            "type": asset.type,
            "etag": asset.etag,
            "placeholder": False,
        }
        answer |= asset.extras.media or {}
        answer |= self._urls(asset)
        answer |= {
            "folder": asset.folder,
            "asset_folder": asset.asset_folder,
            "display_name": asset.display_name,
            "access_mode": access_mode(asset),
        }
        if asset.extras.access_control:
            answer["access_control"] = asset.extras.access_control
        if asset.context:
            answer["context"] = {"custom": asset.context}
        answer |= {
            "original_filename": asset.original_filename,
            "api_key": self._config.api_key,
        }
        return answer

    def listed(self, asset: Asset, *, tags: bool = False, context: bool = False) -> dict[str, Any]:
        """One item of an Admin API listing."""
        answer = self._identity(asset)
        answer |= self._dimensions(asset)
        answer |= {
            "resource_type": asset.resource_type,
            "type": asset.type,
            "created_at": timestamp(asset.created_at),
            "bytes": asset.bytes,
            "folder": asset.folder,
            "asset_folder": asset.asset_folder,
            "display_name": asset.display_name,
            "access_mode": access_mode(asset),
        }
        if asset.extras.access_control:
            answer["access_control"] = asset.extras.access_control
        answer |= self._urls(asset)
        if tags:
            answer["tags"] = asset.tags
        if context and asset.context:
            answer["context"] = {"custom": asset.context}
        return answer

    def detailed(self, asset: Asset, derived: list[Derived]) -> dict[str, Any]:
        """Everything about one asset, with what was derived from it; no tags, no `tags`."""
        answer = self.listed(asset, tags=bool(asset.tags), context=True)
        answer |= {
            "etag": asset.etag,
            "version_id": asset.version_id,
            "placeholder": False,
            "original_filename": asset.original_filename,
            "uploaded_at": timestamp(asset.uploaded_at),
            "last_updated": {"updated_at": timestamp(asset.uploaded_at)},
            "derived": [self._derived(asset, one) for one in derived],
        }
        answer |= asset.extras.media or {}
        if asset.pages is not None:
            answer["pages"] = asset.pages
        return answer

    def eager(
        self, asset: Asset, transformation: str, extension: str | None, rendered: Rendered
    ) -> dict[str, Any]:
        """One item of an upload's `eager`."""
        url = self.url(asset, transformation, extension or asset.format)
        return {
            "transformation": transformation,
            "width": rendered.width,
            "height": rendered.height,
            "bytes": len(rendered.data),
            "format": rendered.format,
            "url": url,
            "secure_url": url,
        }

    def processing(self, asset: Asset, one: Eager, batch_id: str) -> dict[str, Any]:
        """One item of an upload's `eager` that is still to be made."""
        url = self.url(asset, one.transformation.text, one.extension or asset.format)
        return {
            "transformation": one.transformation.text,
            "status": "processing",
            "batch_id": batch_id,
            "url": url,
            "secure_url": url,
        }

    def derived_of(self, asset: Asset, one: Derived) -> dict[str, Any]:
        """One derived image where the answer is not about its asset."""
        return {
            "public_id": asset.public_id,
            "resource_type": asset.resource_type,
            "type": asset.type,
            **self._derived(asset, one),
        }

    def _derived(self, asset: Asset, one: Derived) -> dict[str, Any]:
        url = self.url(asset, one.transformation, one.format)
        return {
            "transformation": one.transformation,
            "format": one.format or asset.format,
            "bytes": one.bytes,
            "id": one.id,
            "url": url,
            "secure_url": url,
        }

    def _identity(self, asset: Asset) -> dict[str, Any]:
        return {
            "asset_id": asset.asset_id,
            "public_id": asset.public_id,
            "version": asset.version,
            "version_id": asset.version_id,
        }

    def _dimensions(self, asset: Asset) -> dict[str, Any]:
        facts = {"width": asset.width, "height": asset.height, "format": asset.format}
        return {name: value for name, value in facts.items() if value is not None}

    def _urls(self, asset: Asset) -> dict[str, str]:
        url = self.url(asset)
        return {"url": url, "secure_url": url}


def add_extras(
    answer: dict[str, Any],
    asset: Asset,
    *,
    phash: bool = False,
    colors: bool = False,
    faces: bool = False,
    coordinates: bool = False,
    metadata: Sequence[str] = (),
) -> None:
    """Put the facts that were asked for into an answer; `metadata` goes under these names.

    Moderation is told whenever there is one.
    """
    extras = asset.extras
    if phash and extras.phash is not None:
        answer["phash"] = extras.phash
    if colors and extras.colors is not None:
        answer |= {"colors": extras.colors, "predominant": extras.predominant}
    if faces and asset.resource_type == "image":
        answer["faces"] = extras.faces or []
    stored = {"faces": extras.faces, "custom": extras.custom_coordinates}
    if coordinates and (boxes := {name: value for name, value in stored.items() if value}):
        answer["coordinates"] = boxes
    for name in metadata:
        if extras.image_metadata is not None:
            answer[name] = extras.image_metadata
            answer["grayscale"] = extras.grayscale
            answer["semi_transparent"] = extras.semi_transparent
    if extras.moderation:
        answer["moderation"] = extras.moderation


def access_mode(asset: Asset) -> str:
    """Whether the asset is for everybody or for those who have a signed URL."""
    if asset.type == "authenticated":
        return "authenticated"
    return asset.extras.access_mode or "public"
