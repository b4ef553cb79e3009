"""Deleting assets, or only what was derived from them.

https://cloudinary.com/documentation/admin_api#delete_resources
"""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..cloud import Cloud
from ..errors import ApiError
from ..notifications import Origin
from ..protocol.form import Form
from ..records.assets import Asset, Listing
from ..upload.parameters import boolean, eager
from .request import MAX_IDS, body
from .resources import after_seq, seq_cursor

_PARAMETERS = frozenset(
    {"public_ids", "asset_ids", "prefix", "all", "invalidate", "next_cursor", "type"}
    | {"resource_type", "keep_original", "transformations"}
)
_BATCH = 1000


class AdminRemoval:
    """The endpoints that delete."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def resources(self, request: Request) -> Response:
        """Delete by public_ids, asset_ids, prefix, tag, or all of a type; 1000 at a time.

        With `keep_original` or `transformations` the assets stay and derived images go.
        """
        form = await body(self._cloud, request, _PARAMETERS)
        wanted, named = self._selection(request, form)
        transformations = _transformations(form)
        keep = boolean(form, "keep_original", False) or bool(transformations)

        def work() -> dict[str, Any]:
            found = self._cloud.records.listing(wanted)
            by_asset_id = bool(wanted.asset_ids)
            deleted = dict.fromkeys(named, "not_found")
            counts: dict[str, dict[str, int]] = {}
            gone: list[Asset] = []
            for asset in found[:_BATCH]:
                name = asset.asset_id if by_asset_id else asset.public_id
                derived = self._derived(asset, transformations)
                if keep:
                    for one in derived:
                        self._cloud.drop_derived(one)
                elif self._cloud.destroy(asset):
                    gone.append(asset)
                else:
                    continue
                deleted[name] = "deleted"
                counts[name] = {"original": 0 if keep else 1, "derived": len(derived)}
            self._cloud.notifier.deleted(gone, Origin(request.state.request_id))
            partial = len(found) > _BATCH
            answer: dict[str, Any] = {
                "deleted": deleted,
                "deleted_counts": counts,
                "partial": partial,
            }
            if partial:
                answer["next_cursor"] = seq_cursor(found[_BATCH - 1])
            return answer

        return JSONResponse(await run_in_threadpool(work))

    async def derived_resources(self, request: Request) -> Response:
        """Delete derived images by their ids."""
        form = await body(self._cloud, request, ("derived_resource_ids", "invalidate"))
        ids = form.many("derived_resource_ids")
        if not ids:
            raise ApiError(400, "Missing required parameter - derived_resource_ids")
        if len(ids) > MAX_IDS:
            raise ApiError(400, f"Too many ids: at most {MAX_IDS} in one call")

        def work() -> dict[str, str]:
            deleted = {}
            for one in ids:
                found = self._cloud.records.derived_by_id(one)
                gone = found is not None and self._cloud.drop_derived(found)
                deleted[one] = "deleted" if gone else "not_found"
            return deleted

        return JSONResponse({"deleted": await run_in_threadpool(work)})

    def _selection(self, request: Request, form: Form) -> tuple[Listing, list[str]]:
        tag = request.path_params.get("tag")
        ids, asset_ids = form.many("public_ids"), form.many("asset_ids")
        prefix, everything = form.text("prefix"), boolean(form, "all", False)
        if not (tag or ids or asset_ids or prefix or everything):
            raise ApiError(400, "Missing required parameter - public_ids")
        if len(ids) > MAX_IDS or len(asset_ids) > MAX_IDS:
            raise ApiError(400, f"Too many ids: at most {MAX_IDS} in one call")
        wanted = Listing(
            resource_type=request.path_params.get("resource_type"),
            type=request.path_params.get("type"),
            prefix=prefix,
            public_ids=ids,
            asset_ids=asset_ids,
            tag=tag,
            after=after_seq(form.text("next_cursor")),
            limit=_BATCH + 1,
        )
        return wanted, [*ids, *asset_ids]

    def _derived(self, asset: Asset, transformations: list[tuple[str, str]]) -> list[Any]:
        derived = self._cloud.records.derived(asset.blob)
        if not transformations:
            return derived
        return [
            one
            for one in derived
            if any(
                one.transformation == text and (not extension or one.format == extension)
                for text, extension in transformations
            )
        ]


def _transformations(form: Form) -> list[tuple[str, str]]:
    """The transformations given, as `(text, extension)`; the SDKs join them by `|`."""
    value = form.fields.get("transformations", "")
    texts = value if isinstance(value, list) else eager(Form({"eager": value}))
    parts = (text.strip("/").rpartition("/") for text in texts)
    return [
        (head, tail) if head and "_" not in tail else (f"{head}/{tail}".strip("/"), "")
        for head, _, tail in parts
        if head or tail
    ]
