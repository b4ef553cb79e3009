"""Delivery: `/<cloud>/<resource_type>/<type>/[s--...--/][transformations/][v<n>/]<id>[.<ext>]`.

https://cloudinary.com/documentation/advanced_url_delivery_options
"""

from __future__ import annotations

import hashlib
import hmac
import mimetypes
import time
from collections.abc import Mapping
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from ..cloud import Cloud
from ..errors import ApiError, DeliveryError
from ..facts.formats import MEDIA_TYPES, normal_format
from ..protocol.access_control import is_open
from ..records.assets import Asset
from ..responses import SIGNED_TYPES, delivery_signature, escape
from ..transform.parse import Transformation, TransformationError
from ..transform.values import ENCODABLE, VIDEO_ENCODABLE
from .addresses import Address, parse_address
from .files import file_response

_ATTEMPTS = 3
_EXTENSIONS = {"image": ENCODABLE, "video": ENCODABLE | VIDEO_ENCODABLE}
_CACHE_PUBLIC = "public, no-transform, immutable, max-age=2592000"
_CACHE_PRIVATE = "private, no-transform, max-age=2592000"


class Delivery:
    """Serves stored files and images derived from them."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def deliver(self, request: Request) -> Response:
        """Answer GET and HEAD for one delivery URL."""
        address = parse_address(_raw_rest(request))
        self._check_signature(address)
        try:
            transformation = await run_in_threadpool(
                self._cloud.transformation, address.transformation
            )
        except TransformationError as error:
            raise DeliveryError(400, str(error)) from error
        if address.signature is None and any(
            layer.type in SIGNED_TYPES for layer in transformation.pictures
        ):
            raise DeliveryError(401, "Unauthorized: a signed URL is required")
        for _ in range(_ATTEMPTS):
            asset, extension = await run_in_threadpool(self._find, address)
            if address.signature is None and asset.extras.access_mode == "authenticated":
                raise DeliveryError(401, "Unauthorized: a signed URL is required")
            rules = asset.extras.access_control
            if rules and not is_open(rules, time.time()):
                raise DeliveryError(401, "Unauthorized: access is restricted to holders of a token")
            try:
                return await self._served(request, asset, transformation, extension)
            except FileNotFoundError:
                # Replaced or destroyed after it was found: look again.
                continue
        raise DeliveryError(404, f"Resource not found - {asset.public_id}")

    async def _served(
        self,
        request: Request,
        asset: Asset,
        transformation: Transformation,
        extension: str | None,
    ) -> Response:
        converts = extension is not None and extension != asset.format
        if transformation.paints or (converts and asset.resource_type != "raw"):
            return await self._derived(request, asset, transformation, extension)
        if converts:
            raise DeliveryError(400, f"Invalid extension in transformation: {extension}")
        return await file_response(
            request,
            self._cloud.blobs.path(asset.blob),
            etag=asset.etag,
            modified=asset.uploaded_at,
            media_type=media_type(asset),
            headers=_headers(asset, transformation),
        )

    def _check_signature(self, address: Address) -> None:
        """A wrong signature is refused anywhere; a missing one where the type needs it."""
        if address.signature is None:
            if address.type in SIGNED_TYPES:
                raise DeliveryError(401, "Unauthorized: a signed URL is required")
            return
        spelled = set(address.signed)
        for source in (address.source, address.unsuffixed):
            if source is not None:
                parts = (address.transformation, escape(source))
                spelled.add("/".join(part for part in parts if part))
        secret = self._cloud.config.api_secret
        length = len(address.signature)
        algorithms = (hashlib.sha256,) if length == 32 else (hashlib.sha1, hashlib.sha256)
        matches = (
            hmac.compare_digest(
                delivery_signature(text, secret, length, algorithm), address.signature
            )
            for text in spelled
            for algorithm in algorithms
        )
        if not any(matches):
            raise DeliveryError(401, "Invalid signature in URL")

    def _find(self, address: Address) -> tuple[Asset, str | None]:
        """The asset, and the extension if the URL has one that is not part of its name."""
        for source in (address.unsuffixed, address.source):
            found = None if source is None else self._named(address, source)
            if found is not None:
                return found
        if address.doubtful is not None:
            raise DeliveryError(400, f"Invalid transformation component - {address.doubtful}")
        stem = address.source.rpartition(".")[0]
        raise DeliveryError(404, f"Resource not found - {stem or address.source}")

    def _named(self, address: Address, source: str) -> tuple[Asset, str | None] | None:
        records, kind = self._cloud.records, (address.resource_type, address.type)
        stem, dot, extension = source.rpartition(".")
        if address.resource_type != "raw" and dot and stem and "/" not in extension:
            asset = records.get(*kind, stem)
            if asset is not None:
                return asset, normal_format(extension)
        asset = records.get(*kind, source)
        return None if asset is None else (asset, None)

    async def _derived(
        self,
        request: Request,
        asset: Asset,
        transformation: Transformation,
        extension: str | None,
    ) -> Response:
        if asset.resource_type == "raw":
            raise DeliveryError(
                400,
                "Unsupported transformation on this server - "
                f"{transformation.text or extension} (raw)",
            )
        decides = extension is not None and transformation.last("f") is None
        if decides and extension not in _EXTENSIONS[asset.resource_type]:
            raise DeliveryError(400, f"Invalid extension in transformation: {extension}")
        accept = request.headers.get("accept", "")
        try:
            made = await self._cloud.derive(asset, transformation, extension, accept)
        except TransformationError as error:
            raise DeliveryError(400, str(error)) from error
        except ApiError as error:
            raise DeliveryError(error.status, error.message) from error
        return await file_response(
            request,
            made.path,
            etag=made.key,
            modified=asset.uploaded_at,
            media_type=MEDIA_TYPES[made.format],
            headers=_headers(asset, transformation, made.format),
        )


def media_type(asset: Asset) -> str:
    """The Content-Type of an original."""
    if asset.format is not None:
        return MEDIA_TYPES.get(asset.format, "application/octet-stream")
    return mimetypes.guess_type(asset.public_id)[0] or "application/octet-stream"


def _headers(
    asset: Asset, transformation: Transformation, made: str | None = None
) -> Mapping[str, str]:
    for_all = asset.type not in SIGNED_TYPES and not asset.extras.access_control
    headers = {"Cache-Control": _CACHE_PUBLIC if for_all else _CACHE_PRIVATE}
    if transformation.last("f") == "auto":
        headers["Vary"] = "Accept"
    for line in asset.extras.headers or ():
        name, _, value = line.partition(":")
        headers[name.strip()] = value.strip()
    for flag in transformation.flags:
        name, _, filename = flag.partition(":")
        if name == "attachment":
            last = asset.public_id.rpartition("/")[2]
            extension = made or asset.format or ""
            if asset.resource_type == "raw":
                extension = last.rpartition(".")[2] if "." in last else ""
            filename = filename or asset.original_filename or last.removesuffix(f".{extension}")
            full = f"{filename}.{extension}" if extension else filename
            headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(full)}"
    return headers


def _raw_rest(request: Request) -> str:
    """The path after `/<cloud>/`, not decoded."""
    raw: bytes = request.scope.get("raw_path") or quote(request.scope["path"]).encode()
    return raw.decode("ascii", "replace").split("/", 2)[2]
