"""Asset folders: create, list, rename or move, delete.

https://cloudinary.com/documentation/admin_api#folders
"""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..cloud import Cloud
from ..errors import ApiError
from ..records.folders import Folder, FolderMissingError, FolderNotEmptyError, FolderTakenError
from ..upload.naming import check_folder
from .request import after_text, body, max_results, query, required, text_cursor


class AdminFolders:
    """The endpoints under `folders`."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def root(self, request: Request) -> Response:
        """The folders that are in no other."""
        return await self._listed(request, "")

    async def inside(self, request: Request) -> Response:
        """The folders directly in one."""
        return await self._listed(request, _path(request))

    async def create(self, request: Request) -> Response:
        """Make a folder and the ones above it; one that is there already stays as it is."""
        await body(self._cloud, request, ())
        path = check_folder(request.path_params["path"], "folder")

        def work() -> Folder | None:
            self._cloud.records.create_folder(path)
            return self._cloud.records.folder(path)

        if not path:
            raise ApiError(400, "Missing required parameter - path")
        made = await run_in_threadpool(work)
        return JSONResponse({"success": True} | ({} if made is None else _shown(made)))

    async def rename(self, request: Request) -> Response:
        """Give a folder another path, with what is in and below it."""
        form = await body(self._cloud, request, ("to_folder",))
        source, target = _path(request), check_folder(required(form, "to_folder"), "to_folder")
        if not target:
            raise ApiError(400, "Missing required parameter - to_folder")
        try:
            await run_in_threadpool(self._cloud.records.move_folder, source, target)
        except FolderMissingError as error:
            raise _missing(source) from error
        except FolderTakenError as error:
            raise ApiError(409, f"Folder {target} already exists") from error
        return JSONResponse({"from": _named(source), "to": _named(target)})

    async def delete(self, request: Request) -> Response:
        """Remove a folder that has no assets in or below it."""
        await body(self._cloud, request, ("skip_backup",))
        path = _path(request)
        try:
            deleted = await run_in_threadpool(self._cloud.records.delete_folder, path)
        except FolderMissingError as error:
            raise _missing(path) from error
        except FolderNotEmptyError as error:
            raise ApiError(400, "Folder is not empty") from error
        return JSONResponse({"deleted": deleted})

    async def _listed(self, request: Request, parent: str) -> Response:
        form = query(request, ("max_results", "next_cursor"))
        limit, after = max_results(form, 500), after_text(form)

        def work() -> dict[str, Any]:
            records = self._cloud.records
            if parent and records.folder(parent) is None:
                raise _missing(parent)
            found, total = records.subfolders(parent, after, limit + 1)
            more = len(found) > limit
            return {
                "folders": [_shown(folder) for folder in found[:limit]],
                "next_cursor": text_cursor(found[limit - 1].path) if more else None,
                "total_count": total,
            }

        return JSONResponse(await run_in_threadpool(work))


def _path(request: Request) -> str:
    path: str = request.path_params["path"]
    return path.strip("/")


def _shown(folder: Folder) -> dict[str, str]:
    return {"name": folder.name, "path": folder.path, "external_id": folder.external_id}


def _named(path: str) -> dict[str, str]:
    return {"name": path.rpartition("/")[2], "path": path}


def _missing(path: str) -> ApiError:
    return ApiError(404, f"Can't find folder with path {path}")
