"""Former versions of assets: restore them, or forget them.

https://cloudinary.com/documentation/admin_api#restore_resources
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..cloud import Cloud
from ..errors import ApiError
from ..protocol.form import Form
from ..records.assets import Asset, restored
from ..records.backups import Backup
from ..upload.parameters import UPLOAD_TYPES
from .request import MAX_IDS, body, resource_type


class AdminBackups:
    """The endpoints about former versions."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def restore(self, request: Request) -> Response:
        """Bring back deleted assets by public_id, each as it was last or in a given version."""
        form = await body(self._cloud, request, ("public_ids", "versions", "notification_url"))
        kind, type = resource_type(request), request.path_params["type"]
        if type not in UPLOAD_TYPES:
            raise ApiError(400, f"Invalid value for parameter type: {type}")
        return await self._restored(
            form, "public_ids", lambda name: self._cloud.records.backups_by_name(kind, type, name)
        )

    async def restore_by_asset_ids(self, request: Request) -> Response:
        """Bring back deleted assets by asset_id."""
        form = await body(self._cloud, request, ("asset_ids", "versions", "notification_url"))
        return await self._restored(form, "asset_ids", self._cloud.records.backups)

    async def delete(self, request: Request) -> Response:
        """Forget kept versions of an asset for good; the current one stays, without a copy."""
        form = await body(self._cloud, request, ("version_ids",))
        asset_id = request.path_params["asset_id"]
        wanted = _ids(form, "version_ids")

        def work() -> dict[str, Any]:
            records = self._cloud.records
            kept = {one.version_id for one in records.backups(asset_id)}
            current = records.get_by_asset_id(asset_id)
            if not kept and current is None:
                raise ApiError(404, f"Resource not found - {asset_id}")
            deleted, failed = [], []
            for one in wanted:
                backup = records.delete_backup(one) if one in kept else None
                if backup is not None:
                    self._cloud.blobs.drop(backup.blob)
                if backup is not None or self._is_no_longer_kept(current, one):
                    deleted.append(one)
                else:
                    failed.append({"version_id": one, "error": "not_found"})
            return {"deleted_version_ids": deleted} | ({"failed": failed} if failed else {})

        return JSONResponse(await run_in_threadpool(work))

    def _is_no_longer_kept(self, asset: Asset | None, version_id: str) -> bool:
        """Have the current version go for good when it goes; False when it is another one."""
        if asset is None:
            return False
        done = []

        def change(stored: Asset) -> Asset:
            if stored.version_id != version_id or not stored.extras.backup:
                return stored
            done.append(stored)
            return replace(stored, extras=replace(stored.extras, backup=None))

        self._cloud.records.change(asset.resource_type, asset.type, asset.public_id, change)
        return bool(done)

    async def _restored(
        self, form: Form, parameter: str, find: Callable[[str], list[Backup]]
    ) -> Response:
        names, versions = _ids(form, parameter), set(form.many("versions"))

        def work() -> dict[str, Any]:
            return {name: self._restore(find(name), versions) for name in names}

        return JSONResponse(await run_in_threadpool(work))

    def _restore(self, backups: list[Backup], versions: set[str]) -> dict[str, Any]:
        """The asset, or what is wrong; blocks."""
        if not backups:
            return {"error": "no_backup"}
        if versions:
            backups = [one for one in backups if one.version_id in versions]
            if not backups:
                return {"error": "version_not_found"}
        put = self._cloud.records.restore(backups[0].version_id)
        if put is None:
            return {"error": "no_backup"}
        if put.replaced is not None:
            self._cloud.release(put.replaced)
        return self._cloud.responses.listed(put.asset, tags=True, context=True)


def versions_of(asset: Asset | None, backups: list[Backup]) -> list[dict[str, Any]]:
    """What can be restored, oldest first, with the version that is there now."""
    shown = [_version(one.version_id, restored(one.record)) for one in backups[::-1]]
    if asset is not None and asset.extras.backup:
        shown.append(_version(asset.version_id, asset))
    return shown


def _version(version_id: str, asset: Asset) -> dict[str, Any]:
    return {
        "version_id": version_id,
        "version": str(asset.version),
        "format": asset.format,
        "size": asset.bytes,
        "time": datetime.fromtimestamp(asset.uploaded_at, UTC).isoformat(),
        "restorable": True,
    }


def _ids(form: Form, parameter: str) -> list[str]:
    ids = form.many(parameter)
    if not ids:
        raise ApiError(400, f"Missing required parameter - {parameter}")
    if len(ids) > MAX_IDS:
        raise ApiError(400, f"Too many {parameter}: at most {MAX_IDS} in one call")
    return ids
