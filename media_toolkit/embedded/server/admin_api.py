"""The Admin API: `/v1_1/<cloud>/...` with HTTP Basic.

https://cloudinary.com/documentation/admin_api
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .authentication import check_basic
from .cloud import Cloud
from .errors import ApiError
from .form import Form, received
from .formats import MAX_PIXELS, MAX_TOTAL_PIXELS
from .parameters import UPLOAD_TYPES, boolean
from .records import Asset, Listing
from .responses import timestamp

HOURLY_LIMIT = 500_000
RESOURCE_TYPES = ("image", "raw", "video")
MAX_RESULTS = 500
_LIST_PARAMETERS = frozenset(
    {"max_results", "next_cursor", "direction", "start_at", "prefix", "public_ids", "asset_ids"}
    | {"tags", "context", "key", "value", "asset_folder", "type", "resource_type"}
)
_DETAIL_PARAMETERS = frozenset({"max_results", "tags", "context"})
_DELETE_PARAMETERS = frozenset(
    {"public_ids", "asset_ids", "prefix", "all", "invalidate", "next_cursor", "type"}
    | {"resource_type"}
)
_DELETE_BATCH = 1000


class AdminApi:
    """The endpoints that list, show and delete assets."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._calls = 0
        self._hour = 0

    async def ping(self, request: Request) -> Response:
        """Whether the server is there and the credentials are right."""
        return self._json({"status": "ok"})

    async def usage(self, request: Request) -> Response:
        """How much is stored, and the limits that uploads meet."""
        assets, derived, size = await run_in_threadpool(self._cloud.records.totals)
        return self._json(
            {
                "plan": "Embedded",
                "last_updated": datetime.now(UTC).strftime("%Y-%m-%d"),
                "date_requested": timestamp(int(time.time())),
                "storage": {"usage": size},
                "resources": assets,
                "derived_resources": derived,
                "objects": {"usage": assets + derived},
                "media_limits": {
                    "image_max_px": MAX_PIXELS,
                    "asset_max_total_px": MAX_TOTAL_PIXELS,
                },
            }
        )

    async def resource_types(self, request: Request) -> Response:
        """The kinds of assets that there are."""
        return self._json({"resource_types": list(RESOURCE_TYPES)})

    async def listing_or_details(self, request: Request) -> Response:
        """Assets of a resource type, or one asset by its asset_id: the paths look alike."""
        name = request.path_params["name"]
        if name in RESOURCE_TYPES:
            request.path_params["resource_type"] = name
            return await self.listing(request)
        return await self._detailed(
            _query(request, _DETAIL_PARAMETERS),
            name,
            lambda: self._cloud.records.get_by_asset_id(name),
        )

    async def listing(self, request: Request) -> Response:
        """Assets of a resource type, and of a delivery type or a tag where the path has one."""
        form = _query(request, _LIST_PARAMETERS)
        resource_type = request.path_params["resource_type"]
        if resource_type not in RESOURCE_TYPES:
            raise ApiError(400, f"Invalid resource type {resource_type}")
        kind = request.path_params.get("type")
        if kind is not None and kind not in UPLOAD_TYPES:
            raise ApiError(400, f"Invalid value for parameter type: {kind}")
        return await self._listed(
            form,
            Listing(
                resource_type=resource_type,
                type=kind,
                prefix=form.text("prefix"),
                public_ids=form.many("public_ids"),
                tag=request.path_params.get("tag"),
            ),
        )

    async def by_context(self, request: Request) -> Response:
        """Assets with a context key, and its value if one is given."""
        form = _query(request, _LIST_PARAMETERS)
        if not form.text("key"):
            raise ApiError(400, "Missing required parameter - key")
        return await self._listed(
            form,
            Listing(
                resource_type=request.path_params["resource_type"],
                context_key=form.text("key"),
                context_value=form.text("value") or None,
            ),
        )

    async def by_asset_ids(self, request: Request) -> Response:
        """Assets by their asset_ids."""
        form = _query(request, _LIST_PARAMETERS)
        if not form.many("asset_ids"):
            raise ApiError(400, "Missing required parameter - asset_ids")
        return await self._listed(form, Listing(asset_ids=form.many("asset_ids")))

    async def by_asset_folder(self, request: Request) -> Response:
        """Assets in one asset folder."""
        form = _query(request, _LIST_PARAMETERS)
        return await self._listed(form, Listing(asset_folder=form.text("asset_folder")))

    async def details(self, request: Request) -> Response:
        """One asset by its name."""
        form = _query(request, _DETAIL_PARAMETERS)
        resource_type, kind = request.path_params["resource_type"], request.path_params["type"]
        public_id = request.path_params["public_id"]
        return await self._detailed(
            form, public_id, lambda: self._cloud.records.get(resource_type, kind, public_id)
        )

    async def delete(self, request: Request) -> Response:
        """Delete by public_ids, asset_ids, prefix, tag, or all of a type; 1000 at a time."""
        async with received(request, self._cloud.blobs.incoming) as form:
            for name, value in request.query_params.multi_items():
                form.add(name, value)
            _check_parameters(form, _DELETE_PARAMETERS)
        tag = request.path_params.get("tag")
        ids, asset_ids = form.many("public_ids"), form.many("asset_ids")
        prefix, everything = form.text("prefix"), boolean(form, "all", False)
        if not (tag or ids or asset_ids or prefix or everything):
            raise ApiError(400, "Missing required parameter - public_ids")
        if len(ids) > 100 or len(asset_ids) > 100:
            raise ApiError(400, "Too many ids: at most 100 in one call")
        wanted = Listing(
            resource_type=request.path_params.get("resource_type"),
            type=request.path_params.get("type"),
            prefix=prefix,
            public_ids=ids,
            asset_ids=asset_ids,
            tag=tag,
            limit=_DELETE_BATCH + 1,
        )

        def work() -> dict[str, Any]:
            found = self._cloud.records.listing(wanted)
            deleted = dict.fromkeys((*ids, *asset_ids), "not_found")
            for asset in found[:_DELETE_BATCH]:
                if self._cloud.destroy(asset):
                    deleted[asset.asset_id if asset_ids else asset.public_id] = "deleted"
            answer: dict[str, Any] = {"deleted": deleted, "partial": len(found) > _DELETE_BATCH}
            if len(found) > _DELETE_BATCH:
                answer["next_cursor"] = _cursor(found[_DELETE_BATCH - 1])
            return answer

        return self._json(await run_in_threadpool(work))

    def check(self, request: Request) -> None:
        """Refuse a call without the right credentials, and count it."""
        check_basic(request.headers.get("authorization"), self._cloud.config)
        hour = int(time.time()) // 3600
        self._calls = self._calls + 1 if hour == self._hour else 1
        self._hour = hour

    async def _listed(self, form: Form, wanted: Listing) -> Response:
        limit = _max_results(form)
        wanted = _paged(form, wanted, limit)
        found = await run_in_threadpool(self._cloud.records.listing, wanted)
        tags, context = boolean(form, "tags", False), boolean(form, "context", False)
        answer: dict[str, Any] = {
            "resources": [
                self._cloud.responses.listed(asset, tags=tags, context=context)
                for asset in found[:limit]
            ]
        }
        if len(found) > limit:
            answer["next_cursor"] = _cursor(found[limit - 1])
        return self._json(answer)

    async def _detailed(self, form: Form, name: str, find: Callable[[], Asset | None]) -> Response:
        def work() -> dict[str, Any] | None:
            asset = find()
            if asset is None:
                return None
            derived = self._cloud.records.derived(asset.blob)
            return self._cloud.responses.detailed(asset, derived[: _max_results(form)])

        answer = await run_in_threadpool(work)
        if answer is None:
            raise ApiError(404, f"Resource not found - {name}")
        return self._json(answer)

    def _json(self, answer: dict[str, Any]) -> Response:
        return JSONResponse(answer, headers=self.limit_headers())

    def limit_headers(self) -> dict[str, str]:
        """Cloudinary's rate limit headers; the limit here is high and not enforced."""
        return {
            "X-FeatureRateLimit-Limit": str(HOURLY_LIMIT),
            "X-FeatureRateLimit-Remaining": str(max(0, HOURLY_LIMIT - self._calls)),
            "X-FeatureRateLimit-Reset": formatdate((self._hour + 1) * 3600, usegmt=True),
        }


def _query(request: Request, known: frozenset[str]) -> Form:
    form = Form()
    for name, value in request.query_params.multi_items():
        form.add(name, value)
    _check_parameters(form, known)
    return form


def _check_parameters(form: Form, known: frozenset[str]) -> None:
    for name in form.fields:
        value = form.text(name)
        if name not in known and value and value.lower() not in ("0", "false"):
            raise ApiError(400, f"Unsupported parameter on this server - {name}")


def _max_results(form: Form) -> int:
    text = form.text("max_results") or "10"
    if not text.isascii() or not text.isdigit() or int(text[:9]) < 1:
        raise ApiError(400, f"Invalid value for parameter max_results: {text}")
    return min(int(text[:9]), MAX_RESULTS)


def _paged(form: Form, wanted: Listing, limit: int) -> Listing:
    direction = form.text("direction").lower() or "desc"
    if direction not in ("asc", "desc", "1", "-1"):
        raise ApiError(400, f"Invalid value for parameter direction: {direction}")
    return Listing(
        **{
            **vars(wanted),
            "ascending": direction in ("asc", "1"),
            "start_at": _start_at(form.text("start_at")),
            "after": _after(form.text("next_cursor")),
            "limit": limit + 1,
        }
    )


def _start_at(text: str) -> int | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text.removesuffix(" UTC"))
    except ValueError as error:
        raise ApiError(400, f"Invalid value for parameter start_at: {text}") from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _cursor(last: Asset) -> str:
    return f"{last.seq:016x}{last.asset_id[:16]}"


def _after(cursor: str) -> int | None:
    if not cursor:
        return None
    try:
        return int(cursor[:16], 16)
    except ValueError as error:
        raise ApiError(400, f"Invalid value for parameter next_cursor: {cursor}") from error
