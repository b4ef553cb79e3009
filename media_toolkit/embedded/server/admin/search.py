"""The endpoints that search: assets, folders, and signed search URLs for pages.

https://cloudinary.com/documentation/search_method
https://cloudinary.com/documentation/cacheable_search_urls
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..cloud import Cloud
from ..errors import ApiError
from ..protocol.form import Form, add_json, received
from ..records.assets import to_asset
from ..records.folders import Folder
from ..records.search import Found
from ..search.compile import Condition, compiled
from ..search.fields import FIELDS, FOLDER_FIELDS, FOLDER_SORTABLE, Field
from ..search.parse import ExpressionError, parse
from ..search.query import Query, cursor, order_of, read_query
from ..search.wanted import Wanted
from .search_answers import shown_asset, shown_folder

_MAX_TTL = 10**9


class SearchApi:
    """Searches one cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def assets(self, request: Request) -> Response:
        """Assets that match an expression, a page at a time, with counts over all of them."""
        query = read_query(await self._form(request))
        return JSONResponse(await run_in_threadpool(self._assets, query))

    async def folders(self, request: Request) -> Response:
        """Folders that match an expression."""
        form = await self._form(request)
        query = read_query(form, FOLDER_SORTABLE)
        for name in ("aggregate", "with_field", "fields"):
            if form.text(name):
                raise ApiError(400, f"Unsupported parameter on this server - {name}")
        return JSONResponse(await run_in_threadpool(self._folders, query))

    async def visual(self, request: Request) -> Response:
        """Visual search needs an index of what pictures show, which is not here."""
        raise ApiError(400, "Visual search is not supported on this server")

    async def signed(self, request: Request) -> Response:
        """What a signed search URL stands for; it needs no credentials."""
        parts = request.path_params
        ttl, query = parts["ttl"], parts["query"]
        signed = f"{ttl}{query}{self._cloud.config.api_secret}"
        expected = hashlib.sha256(signed.encode()).hexdigest()
        if not hmac.compare_digest(expected.encode(), parts["signature"].encode()):
            raise ApiError(401, "Invalid signature")
        if not (ttl.isascii() and ttl.isdigit()) or int(ttl[:11]) > _MAX_TTL:
            raise ApiError(400, f"Invalid value for parameter ttl: {ttl}")
        form = _decoded(query)
        if parts.get("cursor"):
            form.add("next_cursor", parts["cursor"])
        answer = await run_in_threadpool(self._assets, read_query(form))
        return JSONResponse(answer, headers={"Cache-Control": f"public, max-age={int(ttl)}"})

    async def _form(self, request: Request) -> Form:
        async with received(request, self._cloud.blobs.incoming) as form:
            for name, value in request.query_params.multi_items():
                form.add(name, value)
            return form

    def _assets(self, query: Query) -> dict[str, Any]:
        started = time.monotonic()
        records, config = self._cloud.records, self._cloud.config
        grouped = [one for one in query.aggregations if not one.buckets]
        ranged = [one for one in query.aggregations if one.buckets]
        found = records.search(
            Wanted(
                table=records.searched_assets,
                condition=_condition(query, FIELDS),
                order=order_of(query),
                limit=query.max_results + 1,
                after=query.after,
                groups=[one.name for one in grouped],
                buckets=[bucket for one in ranged for bucket in one.buckets],
            )
        )
        answer = _page(query, found, started)
        answer["resources"] = [
            shown_asset(
                to_asset(row), self._cloud.responses, config.api_key, query.with_field, query.fields
            )
            for row in found.rows[: query.max_results]
        ]
        if query.aggregations:
            counts = iter(found.buckets)
            answer["aggregations"] = dict(
                zip((one.name for one in grouped), found.groups, strict=True)
            ) | {one.name: {b.label: next(counts) for b in one.buckets} for one in ranged}
        return answer

    def _folders(self, query: Query) -> dict[str, Any]:
        started = time.monotonic()
        found = self._cloud.records.search(
            Wanted(
                table="folders",
                condition=_condition(query, FOLDER_FIELDS),
                order=order_of(query, FOLDER_SORTABLE, unique="path"),
                limit=query.max_results + 1,
                after=query.after,
            )
        )
        answer = _page(query, found, started)
        answer["folders"] = [
            shown_folder(Folder(row["path"], row["external_id"], row["created_at"]))
            for row in found.rows[: query.max_results]
        ]
        return answer


def _condition(query: Query, fields: dict[str, Field]) -> Condition:
    try:
        return compiled(parse(query.expression), time.time(), fields)
    except ExpressionError as error:
        raise ApiError(
            400, f"Error parsing search expression '{query.expression[:200]}': {error}"
        ) from error


def _page(query: Query, found: Found, started: float) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "total_count": found.total,
        "time": round((time.monotonic() - started) * 1000),
    }
    if len(found.rows) > query.max_results:
        answer["next_cursor"] = cursor(query, found.keys[query.max_results - 1])
    return answer


def _decoded(query: str) -> Form:
    form = Form()
    try:
        add_json(form, base64.urlsafe_b64decode(query + "=" * (-len(query) % 4)))
    except (ValueError, binascii.Error) as error:
        raise ApiError(400, "Invalid search query") from error
    return form
