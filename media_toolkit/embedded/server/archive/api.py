"""Archives and signed downloads: `generate_archive` and `download`.

https://cloudinary.com/documentation/image_upload_api_reference#generate_archive
"""

from __future__ import annotations

import mimetypes
import re
import secrets
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from anyio import to_thread
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from ..cloud import Cloud
from ..disk.blobs import IncomingFile
from ..errors import ApiError
from ..facts.formats import MEDIA_TYPES
from ..protocol.authentication import check_upload
from ..protocol.form import Form, received
from ..records.assets import Asset, Listing
from ..transform.eager import parse_eager
from ..transform.parse import Transformation, TransformationError
from ..upload.calls import RESOURCE_TYPES, add_query, delivery_type, origin, required
from ..upload.naming import Naming
from ..upload.parameters import UPLOAD_TYPES, UploadParameters, boolean, check_known, tags
from ..upload.storing import Storing, Upload
from .zipping import ArchiveOptions, write_archive

MAX_ASSETS = 1000
_ARCHIVE = frozenset(
    {"mode", "public_ids", "fully_qualified_public_ids", "tags", "prefixes", "type", "expires_at"}
    | {"target_format", "target_public_id", "target_tags", "target_asset_folder", "invalidate"}
    | {"allow_missing", "flatten_folders", "flatten_transformations", "skip_transformation_name"}
    | {"use_original_filename", "transformations", "notification_url", "batch_id"}
)
_DOWNLOAD = frozenset({"public_id", "format", "type", "attachment", "expires_at"})


class ArchiveApi:
    """The endpoints that hand out files to holders of a signed URL."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._storing = Storing(cloud)

    async def generate(self, request: Request) -> Response:
        """Make a ZIP file of assets: kept as a raw asset, or only downloaded."""
        form = await self._form(request, _ARCHIVE)
        mode = form.text("mode") or "create"
        if mode not in ("create", "download"):
            raise ApiError(400, f"Unsupported value for parameter mode: {mode}")
        if (form.text("target_format") or "zip") != "zip":
            raise ApiError(400, f"Unsupported target_format: {form.text('target_format')}")
        options = _options(form)
        kind = request.path_params["resource_type"]
        file = self._cloud.blobs.scratch()

        def work() -> tuple[int, int]:
            assets = self._selected(kind, form)
            try:
                return len(assets), write_archive(file, assets, self._cloud.blobs, options)
            except FileNotFoundError as error:
                raise ApiError(409, "An asset changed while the archive was made") from error

        try:
            resources, files = await to_thread.run_sync(work, limiter=self._cloud.painters)
            if mode == "create":
                answer = await self._kept(request, form, file)
                return JSONResponse({**answer, "resource_count": resources, "file_count": files})
        except BaseException:
            file.unlink(missing_ok=True)
            raise
        name = form.text("target_public_id").rpartition("/")[2] or "archive"
        return FileResponse(
            file,
            media_type="application/zip",
            headers={"Content-Disposition": _attachment(f"{name.removesuffix('.zip')}.zip")},
            background=BackgroundTask(file.unlink, missing_ok=True),
        )

    async def download(self, request: Request) -> Response:
        """The original of an asset, whatever its delivery type, to the holder of a signed URL."""
        form = await self._form(request, _DOWNLOAD)
        public_id, wanted = required(form, "public_id"), form.text("format").lower()
        resource = request.path_params["resource_type"]
        if resource not in RESOURCE_TYPES:
            raise ApiError(400, f"Invalid resource type {resource}")
        # The SDKs' private_download_url names no type, whatever the asset's is.
        kinds = (delivery_type(form),) if form.text("type") else UPLOAD_TYPES

        def find() -> Asset | None:
            found = (self._cloud.records.get(resource, kind, public_id) for kind in kinds)
            return next((asset for asset in found if asset is not None), None)

        asset = await run_in_threadpool(find)
        if asset is None:
            raise ApiError(404, f"Resource not found - {public_id}")
        extension = asset.format
        path = self._cloud.blobs.path(asset.blob)
        if wanted and asset.resource_type == "image" and wanted != asset.format:
            [eager] = parse_eager([f"f_{wanted}"])
            try:
                made = await self._cloud.derive(asset, eager.transformation, None)
            except TransformationError as error:
                raise ApiError(400, str(error)) from error
            path, extension = made.path, made.format
        elif wanted and asset.resource_type == "video" and wanted != asset.format:
            raise ApiError(400, f"Unsupported value on this server - format: {wanted}")
        headers = {}
        if boolean(form, "attachment", False):
            last = public_id.rpartition("/")[2]
            named = f"{last}.{extension}" if extension else last
            headers["Content-Disposition"] = _attachment(named)
        guessed = MEDIA_TYPES.get(extension or "") or mimetypes.guess_type(public_id)[0]
        return FileResponse(path, headers=headers, media_type=guessed or "application/octet-stream")

    async def download_backup(self, request: Request) -> Response:
        """One kept version of an asset, or the one that is current."""
        form = await self._form(request, frozenset({"asset_id", "version_id", "attachment"}))
        asset_id, version_id = required(form, "asset_id"), required(form, "version_id")

        def find() -> str | None:
            current = self._cloud.records.get_by_asset_id(asset_id)
            if current is not None and current.version_id == version_id:
                return current.blob
            kept = self._cloud.records.backups(asset_id)
            return next((one.blob for one in kept if one.version_id == version_id), None)

        blob = await run_in_threadpool(find)
        if blob is None:
            raise ApiError(404, f"Resource not found - {asset_id} {version_id}")
        return FileResponse(self._cloud.blobs.path(blob))

    async def _form(self, request: Request, honoured: frozenset[str]) -> Form:
        async with received(request, self._cloud.blobs.incoming) as form:
            add_query(request, form)
            now = time.time()
            expires = form.text("expires_at")
            if expires:
                # The Node SDK is given milliseconds / 1000, and passes on the fraction.
                if not re.fullmatch(r"[0-9]{1,11}(\.[0-9]+)?", expires):
                    raise ApiError(400, f"Invalid value for parameter expires_at: {expires}")
                if float(expires) < now:
                    raise ApiError(401, "The URL has expired")
                # It takes the place of the hour that a signature is good for.
                stamp = form.text("timestamp")
                now = min(now, int(stamp)) if stamp.isascii() and stamp.isdigit() else now
            authorization = request.headers.get("authorization")
            if not check_upload(form.fields, authorization, self._cloud.config, now):
                raise ApiError(401, "Missing credentials: sign the call or use HTTP Basic")
            check_known(form, honoured)
            return form

    def _selected(self, kind: str, form: Form) -> list[Asset]:
        """The assets that an archive is to have, each once, in the order they were asked for."""
        if kind == "auto":
            # These alone say of what type each asset is.
            required(form, "fully_qualified_public_ids")
        elif kind not in (*RESOURCE_TYPES, "all"):
            raise ApiError(400, f"Invalid resource type {kind}")
        delivery = None if form.text("type") == "all" else delivery_type(form)
        resource = None if kind in ("all", "auto") else kind
        found: dict[str, Asset] = {}
        missing: list[str] = []

        def take(wanted: Listing) -> None:
            for asset in reversed(self._cloud.records.listing(wanted)):
                found[asset.asset_id] = asset
            if len(found) > MAX_ASSETS:
                raise ApiError(400, f"Too many assets: at most {MAX_ASSETS} in one archive")

        scope = Listing(resource_type=resource, type=delivery, limit=MAX_ASSETS + 1)
        selections = 0
        for public_id in form.many("public_ids"):
            selections += 1
            before = len(found)
            take(replace(scope, public_ids=[public_id]))
            if len(found) == before:
                missing.append(public_id)
        for name in form.many("fully_qualified_public_ids"):
            selections += 1
            parts = name.split("/", 2)
            asset = self._cloud.records.get(*parts) if len(parts) == 3 else None
            if asset is None:
                missing.append(name)
            else:
                found[asset.asset_id] = asset
        for tag in form.many("tags"):
            selections += 1
            take(replace(scope, tag=tag))
        for prefix in form.many("prefixes"):
            selections += 1
            take(replace(scope, prefix=prefix))
        if not selections:
            raise ApiError(
                400,
                "Missing required parameter - public_ids, fully_qualified_public_ids, tags or"
                " prefixes",
            )
        if missing and not boolean(form, "allow_missing", False):
            raise ApiError(404, f"Resource not found - {', '.join(missing[:10])}")
        if not found:
            raise ApiError(404, "No resources were found for the archive")
        return list(found.values())

    async def _kept(self, request: Request, form: Form, file: Path) -> dict[str, Any]:
        """Store an archive as a raw asset."""
        name = form.text("target_public_id") or secrets.token_hex(10)
        parameters = UploadParameters(
            naming=Naming(public_id=f"{name.removesuffix('.zip')}.zip"),
            tags=tags(form.text("target_tags")),
            asset_folder=form.text("target_asset_folder") or None,
            discard_original_filename=True,
        )
        source = await run_in_threadpool(IncomingFile.of, file)
        upload = Upload("raw", source, "", parameters, [], Transformation(), origin(request, form))
        return await self._storing.store(upload)


def _options(form: Form) -> ArchiveOptions:
    names = ("flatten_folders", "flatten_transformations", "skip_transformation_name")
    texts = [part for part in form.text("transformations").split("|") if part.strip("/ ")]
    return ArchiveOptions(
        **{name: boolean(form, name, False) for name in names},
        use_original_filename=boolean(form, "use_original_filename", False),
        transformations=parse_eager(texts),
    )


def _attachment(name: str) -> str:
    return f"attachment; filename*=UTF-8''{quote(name)}"
