"""Listing assets and telling what is known of one.

https://cloudinary.com/documentation/admin_api#resources
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from anyio import to_thread
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..cloud import Cloud
from ..errors import ApiError
from ..protocol.form import Form
from ..records.assets import Asset, Listing, restored
from ..records.backups import Backup
from ..records.derived import Derived
from ..upload.parameters import boolean
from .details import DECODED, DETAIL_PARAMETERS, examined, on_request, placeholder
from .request import (
    RESOURCE_TYPES,
    after_text,
    delivery_type,
    max_results,
    page_end,
    query,
    required,
    resource_type,
)

_LIST_PARAMETERS = frozenset(
    {"max_results", "next_cursor", "direction", "start_at", "prefix", "public_ids", "asset_ids"}
    | {"tags", "context", "metadata", "key", "value", "asset_folder", "type", "resource_type"}
    | {"fields", "moderations"}
)
# What JavaScript's Date writes: Tue Nov 24 2026 19:09:09 GMT+0000 (Coordinated Universal Time).
_JS_DATE = re.compile(r"[A-Z][a-z]{2} ([A-Z][a-z]{2} \d\d \d{4} [\d:]{8} GMT[+-]\d{4})( \(|$)")
_MODERATION = ("pending", "approved", "rejected", "aborted")
_ALWAYS_LISTED = frozenset(
    {"public_id", "asset_id", "resource_type", "type", "asset_folder", "created_at"}
)


class AdminResources:
    """The endpoints that list and show assets."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def types(self, request: Request) -> Response:
        """The kinds of assets that there are."""
        return JSONResponse({"resource_types": list(RESOURCE_TYPES)})

    async def listing_or_details(self, request: Request) -> Response:
        """Assets of a resource type, or one asset by its asset_id: the paths look alike."""
        name = request.path_params["name"]
        if name in RESOURCE_TYPES:
            request.path_params["resource_type"] = name
            return await self.listing(request)
        return await self._detailed(
            query(request, DETAIL_PARAMETERS),
            name,
            lambda: self._cloud.records.get_by_asset_id(name),
            lambda: self._cloud.records.backups(name),
        )

    async def listing(self, request: Request) -> Response:
        """Assets of a resource type, and of a delivery type or a tag where the path has one."""
        form = query(request, _LIST_PARAMETERS)
        return await self._listed(
            form,
            Listing(
                resource_type=resource_type(request),
                type=delivery_type(request),
                prefix=form.text("prefix"),
                public_ids=form.many("public_ids"),
                tag=request.path_params.get("tag"),
            ),
        )

    async def by_context(self, request: Request) -> Response:
        """Assets with a context key, and its value if one is given."""
        form = query(request, _LIST_PARAMETERS)
        return await self._listed(
            form,
            Listing(
                resource_type=resource_type(request),
                context_key=required(form, "key"),
                context_value=form.text("value") or None,
            ),
        )

    async def by_moderation(self, request: Request) -> Response:
        """Assets that a kind of moderation has given a status."""
        form = query(request, _LIST_PARAMETERS)
        kind, status = request.path_params["kind"], request.path_params["status"]
        if status not in _MODERATION:
            raise ApiError(400, f"Invalid moderation status {status}")
        return await self._listed(
            form, Listing(resource_type=resource_type(request), moderation=(kind, status))
        )

    async def by_asset_ids(self, request: Request) -> Response:
        """Assets by their asset_ids."""
        form = query(request, _LIST_PARAMETERS)
        required(form, "asset_ids")
        return await self._listed(form, Listing(asset_ids=form.many("asset_ids")))

    async def by_asset_folder(self, request: Request) -> Response:
        """Assets in one asset folder."""
        form = query(request, _LIST_PARAMETERS)
        if "asset_folder" not in form.fields:
            raise ApiError(400, "Missing required parameter - asset_folder")
        return await self._listed(form, Listing(asset_folder=form.text("asset_folder").strip("/")))

    async def details(self, request: Request) -> Response:
        """One asset by its name."""
        form = query(request, DETAIL_PARAMETERS)
        kind, type = request.path_params["resource_type"], request.path_params["type"]
        public_id = request.path_params["public_id"]
        return await self._detailed(
            form,
            public_id,
            lambda: self._cloud.records.get(kind, type, public_id),
            lambda: self._cloud.records.backups_by_name(kind, type, public_id),
        )

    async def _listed(self, form: Form, wanted: Listing) -> Response:
        limit = max_results(form)
        wanted = _paged(form, wanted, limit)
        found = await run_in_threadpool(self._cloud.records.listing, wanted)
        only = frozenset(name.strip() for name in form.text("fields").split(",") if name.strip())
        tags = boolean(form, "tags", False) or "tags" in only
        context = boolean(form, "context", False) or "context" in only
        metadata = boolean(form, "metadata", False) or "metadata" in only
        moderations = boolean(form, "moderations", False) or "moderation" in only
        resources = []
        for asset in found[:limit]:
            item = self._cloud.responses.listed(asset, tags=tags, context=context)
            if moderations and asset.extras.moderation:
                item["moderation"] = asset.extras.moderation
            if metadata:
                item["metadata"] = []
            if only:
                shown = only | _ALWAYS_LISTED
                item = {name: value for name, value in item.items() if name in shown}
            resources.append(item)
        answer: dict[str, Any] = {"resources": resources}
        if len(found) > limit:
            answer["next_cursor"] = seq_cursor(found[limit - 1])
        return JSONResponse(answer)

    async def _detailed(
        self,
        form: Form,
        name: str,
        find: Callable[[], Asset | None],
        find_former: Callable[[], list[Backup]],
    ) -> Response:
        limit = max_results(form)
        after = after_text(Form({"next_cursor": form.text("derived_next_cursor")}))

        def work() -> dict[str, Any]:
            asset = find()
            if asset is None:
                if former := find_former():
                    return placeholder(self._cloud, restored(former[0].record), form)
                raise ApiError(404, f"Resource not found - {name}")
            asset = examined(self._cloud, asset, form)
            derived = _following(self._cloud.records.derived(asset.blob), after)
            answer = self._cloud.responses.detailed(asset, derived[:limit])
            answer |= on_request(self._cloud, asset, form)
            for key, value in page_end(derived, limit, lambda one: one.id).items():
                answer[f"derived_{key}"] = value
            return answer

        decodes = any(form.text(name) for name in DECODED)
        limiter = self._cloud.painters if decodes else None
        return JSONResponse(await to_thread.run_sync(work, limiter=limiter))


def _following(derived: list[Derived], after: str) -> list[Derived]:
    if not after:
        return derived
    at = next((at for at, one in enumerate(derived) if one.id == after), len(derived))
    return derived[at + 1 :]


def _paged(form: Form, wanted: Listing, limit: int) -> Listing:
    direction = form.text("direction").lower() or "desc"
    if direction not in ("asc", "desc", "1", "-1"):
        raise ApiError(400, f"Invalid value for parameter direction: {direction}")
    return Listing(
        **{
            **vars(wanted),
            "ascending": direction in ("asc", "1"),
            "start_at": _start_at(form.text("start_at")),
            "after": after_seq(form.text("next_cursor")),
            "limit": limit + 1,
        }
    )


def _start_at(text: str) -> int | None:
    if not text:
        return None
    try:
        if match := _JS_DATE.match(text):
            moment = datetime.strptime(match.group(1), "%b %d %Y %H:%M:%S GMT%z")
        else:
            moment = datetime.fromisoformat(text.removesuffix(" UTC"))
    except ValueError as error:
        raise ApiError(400, f"Invalid value for parameter start_at: {text}") from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def seq_cursor(last: Asset) -> str:
    """The cursor after an asset in order of creation."""
    return f"{last.seq:016x}{last.asset_id[:16]}"


def after_seq(cursor: str) -> int | None:
    """The `seq` that a cursor stands for. ApiError 400 when it is none."""
    if not cursor:
        return None
    try:
        seq = int(cursor[:16], 16)
    except ValueError as error:
        raise ApiError(400, f"Invalid value for parameter next_cursor: {cursor}") from error
    if seq >= 2**63:
        raise ApiError(400, f"Invalid value for parameter next_cursor: {cursor}")
    return seq
