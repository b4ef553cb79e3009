"""The Upload API's calls that change what is stored: destroy, explicit, rename, tags, context.

https://cloudinary.com/documentation/image_upload_api_reference
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from anyio import to_thread
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .authentication import check_upload
from .cloud import Cloud
from .eager import parse_eager, render_eager
from .errors import ApiError
from .form import Form, received
from .naming import check_folder, check_public_id
from .parameters import UPLOAD_TYPES, boolean, check_known, context, eager, tags
from .records import Asset, NameTakenError

RESOURCE_TYPES = ("image", "video", "raw")
MAX_IDS = 1000
# Sent by the SDKs outside the signature, for these two calls only.
_UNSIGNED = ("notification_url", "batch_id")

Change = Callable[[Asset], Asset]


def authenticate(
    cloud: Cloud, request: Request, form: Form, unsigned: Collection[str] = ()
) -> None:
    """Take the query's parameters into the form and check its signature; ApiError if wrong."""
    add_query(request, form)
    authorization = request.headers.get("authorization")
    if not check_upload(form.fields, authorization, cloud.config, time.time(), unsigned):
        raise ApiError(401, "Missing credentials: sign the call or use HTTP Basic")


def add_query(request: Request, form: Form) -> None:
    """Take the parameters of the URL into the form, except those that the body has too."""
    in_body = set(form.fields)
    for name, value in request.query_params.multi_items():
        if name.partition("[")[0] not in in_body:
            form.add(name, value)


class ChangeApi:
    """The endpoints that change or remove assets."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def destroy(self, request: Request) -> Response:
        """Remove an asset and everything derived from it."""
        form = await self._form(request, {"public_id", "type", "invalidate"})
        public_id = _required(form, "public_id")
        name = (_resource_type(request), _type(form), public_id)

        def work() -> bool:
            asset = self._cloud.records.get(*name)
            return asset is not None and self._cloud.destroy(asset)

        found = await run_in_threadpool(work)
        return JSONResponse({"result": "ok" if found else "not found"})

    async def explicit(self, request: Request) -> Response:
        """Change a stored asset's tags, context or folder, and derive eagerly from it."""
        form = await self._form(
            request,
            {"public_id", "type", "invalidate", "overwrite", "eager", "tags", "context"}
            | {"asset_folder", "display_name"},
        )
        public_id = _required(form, "public_id")
        name = (_resource_type(request), _type(form), public_id)
        wanted = parse_eager(eager(form))
        change = _explicit_change(form)

        def work() -> dict[str, Any]:
            asset = self._cloud.records.get(*name)
            if asset is None:
                raise ApiError(404, f"Resource not found - {public_id}")
            path = self._cloud.blobs.path(asset.blob)
            rendered = [
                render_eager(path, asset.resource_type, asset.format, one) for one in wanted
            ]
            changed = self._cloud.records.change(*name, change)
            if changed is None:
                raise ApiError(404, f"Resource not found - {public_id}")
            answer = self._cloud.responses.uploaded(changed)
            if wanted:
                answer["eager"] = self._cloud.keep_eager(changed, wanted, rendered)
            return answer

        return JSONResponse(await to_thread.run_sync(work, limiter=self._cloud.painters))

    async def rename(self, request: Request) -> Response:
        """Give an asset another public_id or type; derived images stay."""
        form = await self._form(
            request,
            {"from_public_id", "to_public_id", "type", "to_type", "overwrite", "invalidate"},
        )
        source = _required(form, "from_public_id")
        target = check_public_id(_required(form, "to_public_id"))
        resource_type, kind = _resource_type(request), _type(form)
        to_type = _type(form, "to_type", kind)
        overwrite = boolean(form, "overwrite", False)

        def work() -> dict[str, Any]:
            asset = self._cloud.records.get(resource_type, kind, source)
            if asset is None:
                raise ApiError(404, f"Resource not found - {source}")
            try:
                put = self._cloud.records.rename(asset, to_type, target, overwrite=overwrite)
            except NameTakenError as error:
                raise ApiError(400, f"to_public_id ({target}) already exists") from error
            if put.replaced is not None:
                self._cloud.release(put.replaced)
            return self._cloud.responses.uploaded(put.asset)

        return JSONResponse(await run_in_threadpool(work))

    async def tags(self, request: Request) -> Response:
        """Add, remove or replace tags on many assets."""
        form = await self._form(
            request, {"command", "tag", "public_ids", "type"}, unsigned=_UNSIGNED
        )
        command = form.text("command")
        given = tags(form.text("tag"))
        if not given and command != "remove_all":
            raise ApiError(400, "Missing required parameter - tag")
        changes: dict[str, Change] = {
            "add": lambda asset: replace(asset, tags=tags(",".join([*asset.tags, *given]))),
            "remove": lambda asset: replace(
                asset, tags=[tag for tag in asset.tags if tag not in given]
            ),
            "replace": lambda asset: replace(asset, tags=given),
            "remove_all": lambda asset: replace(asset, tags=[]),
        }
        return await self._change_many(request, form, changes, command)

    async def context(self, request: Request) -> Response:
        """Add context to many assets, or remove all of it."""
        form = await self._form(
            request, {"command", "context", "public_ids", "type"}, unsigned=_UNSIGNED
        )
        command = form.text("command")
        given = context(form.text("context"))
        if not given and command != "remove_all":
            raise ApiError(400, "Missing required parameter - context")
        changes: dict[str, Change] = {
            "add": lambda asset: replace(asset, context={**asset.context, **given}),
            "remove_all": lambda asset: replace(asset, context={}),
        }
        return await self._change_many(request, form, changes, command)

    async def _form(
        self, request: Request, honoured: set[str], unsigned: Collection[str] = ()
    ) -> Form:
        async with received(request, self._cloud.blobs.incoming) as form:
            authenticate(self._cloud, request, form, unsigned)
            check_known(form, frozenset(honoured))
            return form

    async def _change_many(
        self, request: Request, form: Form, changes: dict[str, Change], command: str
    ) -> Response:
        """Apply one command to each of `public_ids`; answers the ones that exist."""
        change = changes.get(command)
        if change is None:
            raise ApiError(400, f"Unsupported value for parameter command: {command}")
        public_ids = form.many("public_ids")
        if not public_ids:
            raise ApiError(400, "Missing required parameter - public_ids")
        if len(public_ids) > MAX_IDS:
            raise ApiError(400, f"Too many public_ids: at most {MAX_IDS} in one call")
        resource_type, kind = _resource_type(request), _type(form)

        def work() -> list[str]:
            records = self._cloud.records
            return [
                public_id
                for public_id in public_ids
                if records.change(resource_type, kind, public_id, change) is not None
            ]

        return JSONResponse({"public_ids": await run_in_threadpool(work)})


def _explicit_change(form: Form) -> Change:
    values: dict[str, Any] = {}
    if form.text("tags"):
        values["tags"] = tags(form.text("tags"))
    if form.text("context"):
        values["context"] = context(form.text("context"))
    if form.text("asset_folder"):
        values["asset_folder"] = check_folder(form.text("asset_folder"), "asset_folder")
    if form.text("display_name"):
        values["display_name"] = form.text("display_name")
    return lambda asset: replace(asset, **values)


def _required(form: Form, name: str) -> str:
    value = form.text(name)
    if not value:
        raise ApiError(400, f"Missing required parameter - {name}")
    return value


def _resource_type(request: Request) -> str:
    name: str = request.path_params["resource_type"]
    if name not in RESOURCE_TYPES:
        raise ApiError(400, f"Invalid resource type {name}")
    return name


def _type(form: Form, parameter: str = "type", default: str = "upload") -> str:
    kind = form.text(parameter) or default
    if kind not in UPLOAD_TYPES:
        raise ApiError(400, f"Invalid value for parameter {parameter}: {kind}")
    return kind
