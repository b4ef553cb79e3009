"""Transformations: the named ones, and those that something was derived with.

https://cloudinary.com/documentation/admin_api#transformations
"""

from __future__ import annotations

import re
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..cloud import Cloud
from ..errors import ApiError
from ..protocol.form import Form
from ..records.transformations import KnownTransformation, NamedTransformation
from ..upload.parameters import boolean
from .components import components
from .request import after_text, body, max_results, page_end, query, required

_NAME = re.compile(r"[^\s,/?&#\\%<>+]{1,255}")
_LONGEST = 8000


class AdminTransformations:
    """The endpoints under `transformations`; the old ones have the name in their path."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def listing_or_details(self, request: Request) -> Response:
        """All transformations, or one with what was derived by it."""
        known = ("named", "max_results", "next_cursor", "transformation")
        form = query(request, known)
        text = request.path_params.get("name") or form.text("transformation")
        return await (self._details(form, text) if text else self._listing(form))

    async def create(self, request: Request) -> Response:
        """Give a transformation a name."""
        form = await body(self._cloud, request, ("name", "transformation", "allowed_for_strict"))
        name = _bare(request.path_params.get("name") or required(form, "name"))
        if not _NAME.fullmatch(name):
            raise ApiError(400, f"Invalid transformation name {name}")
        new = NamedTransformation(
            name,
            _definition(required(form, "transformation"), name),
            boolean(form, "allowed_for_strict", True),
        )
        if not await run_in_threadpool(self._cloud.records.add_named_transformation, new):
            raise ApiError(409, f"Transformation {name} already exists")
        return JSONResponse({"message": "created"})

    async def update(self, request: Request) -> Response:
        """Allow or forbid a transformation in strict mode, or let a name stand for another."""
        known = ("transformation", "allowed_for_strict", "unsafe_update")
        form = await body(self._cloud, request, known)
        text = request.path_params.get("name") or required(form, "transformation")
        unsafe = form.text("unsafe_update")

        def work() -> None:
            records = self._cloud.records
            found = records.known_transformation(text)
            if found is None:
                raise _missing(text)
            allowed = boolean(form, "allowed_for_strict", found.allowed_for_strict)
            if found.name is None:
                if unsafe:
                    raise ApiError(400, "unsafe_update is for named transformations only")
                records.allow_transformation(found.transformation, allowed)
                return
            changed = _definition(unsafe, found.name) if unsafe else found.transformation
            records.change_named_transformation(NamedTransformation(found.name, changed, allowed))

        await run_in_threadpool(work)
        return JSONResponse({"message": "updated"})

    async def delete(self, request: Request) -> Response:
        """Forget a name, and delete what was derived by the transformation."""
        form = await body(self._cloud, request, ("transformation", "invalidate", "next_cursor"))
        text = request.path_params.get("name") or required(form, "transformation")

        def work() -> None:
            records = self._cloud.records
            found = records.known_transformation(text)
            if found is None:
                raise _missing(text)
            if found.name is not None:
                records.delete_named_transformation(found.name)
            while derived := records.derived_by(found.used_as, 0, 500):
                for one, _ in derived:
                    self._cloud.drop_derived(one)

        await run_in_threadpool(work)
        return JSONResponse({"message": "deleted"})

    async def _listing(self, form: Form) -> Response:
        limit, after = max_results(form), after_text(form)
        named = boolean(form, "named", False) if form.text("named") else None
        found = await run_in_threadpool(
            self._cloud.records.known_transformations, named, after, limit + 1
        )
        return JSONResponse(
            {
                "transformations": [_shown(one) for one in found[:limit]],
                **page_end(found, limit, lambda one: one.used_as),
            }
        )

    async def _details(self, form: Form, text: str) -> Response:
        limit = max_results(form)
        after = after_text(form)
        if after and not after.isdigit():
            raise ApiError(400, f"Invalid value for parameter next_cursor: {after}")

        def work() -> dict[str, Any]:
            records, responses = self._cloud.records, self._cloud.responses
            found = records.known_transformation(text)
            if found is None:
                raise _missing(text)
            derived = records.derived_by(found.used_as, int(after or 0), limit + 1)
            answer = {
                **_shown(found),
                "info": components(found.transformation),
                "derived": [
                    responses.derived_of(asset, one)
                    for one, _ in derived[:limit]
                    if (asset := records.get_by_blob(one.blob)) is not None
                ],
            }
            return answer | page_end(derived, limit, lambda pair: str(pair[1]))

        return JSONResponse(await run_in_threadpool(work))


def _shown(known: KnownTransformation) -> dict[str, Any]:
    return {
        "name": known.used_as,
        "allowed_for_strict": known.allowed_for_strict,
        "used": known.used,
        "named": known.name is not None,
    }


def _bare(name: str) -> str:
    return name.removeprefix("t_")


def _definition(text: str, name: str) -> str:
    text = text.strip("/")
    if not text or len(text) > _LONGEST:
        raise ApiError(400, "Invalid value for parameter transformation")
    if any(part == f"t_{name}" for step in text.split("/") for part in step.split(",")):
        raise ApiError(400, f"Transformation {name} cannot stand for itself")
    return text


def _missing(text: str) -> ApiError:
    return ApiError(404, f"Transformation not found - {text}")
