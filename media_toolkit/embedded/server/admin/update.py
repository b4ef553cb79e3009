"""Changing what is known of a stored asset.

https://cloudinary.com/documentation/admin_api#update_details_of_an_existing_resource
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..cloud import Cloud
from ..errors import ApiError
from ..notifications import Origin, check_url
from ..protocol.form import Form
from ..records.assets import Asset
from ..records.extras import Extras
from ..responses import add_extras, timestamp
from ..upload.naming import check_display_name, check_folder
from ..upload.parameters import ADD_ONS, access_control, boolean, context, coordinates, tags
from .request import body, check_parameters, resource_type

_PARAMETERS = frozenset(
    {"tags", "context", "face_coordinates", "custom_coordinates", "display_name", "asset_folder"}
    | {"moderation_status", "access_mode", "unique_display_name", "public_id", "type"}
    | {"access_control", "notification_url", "resource_type", "clear_invalid", "invalidate"}
)
_MODERATION = ("approved", "rejected", "pending")
_ACCESS = ("public", "authenticated")

Change = Callable[[Asset], Asset]


class AdminUpdate:
    """The endpoints that change assets."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def update(self, request: Request) -> Response:
        """Change one asset's tags, context, coordinates, names, moderation or access."""
        form = await self._form(request)
        path = request.path_params
        name = (resource_type(request), path["type"], path["public_id"])
        return await self._changed(request, form, lambda: name, name[2])

    async def update_by_asset_id(self, request: Request) -> Response:
        """The same for the asset of an asset_id."""
        form = await self._form(request)
        asset_id = request.path_params["name"]

        def find() -> tuple[str, str, str] | None:
            asset = self._cloud.records.get_by_asset_id(asset_id)
            return None if asset is None else (asset.resource_type, asset.type, asset.public_id)

        return await self._changed(request, form, find, asset_id)

    async def _form(self, request: Request) -> Form:
        form = await body(self._cloud, request)
        for name in ADD_ONS:
            if value := form.text(name):
                message = f"Unsupported parameter on this server - {name}: Illegal value {value}"
                raise ApiError(400, message)
        check_parameters(form, _PARAMETERS)
        return form

    async def _changed(
        self,
        request: Request,
        form: Form,
        find: Callable[[], tuple[str, str, str] | None],
        name: str,
    ) -> Response:
        origin = Origin(request.state.request_id, check_url(form.text("notification_url")))
        change, unique = update_change(form), boolean(form, "unique_display_name", False)

        def work() -> dict[str, Any] | None:
            found = find()
            before: list[Asset] = []

            def noted(asset: Asset) -> Asset:
                before.append(asset)
                return change(asset)

            if unique and found and (asset := self._cloud.records.get(*found)) is not None:
                check_display_name(self._cloud.records, change(asset))
            changed = found and self._cloud.records.change(*found, noted)
            if not changed:
                return None
            self._cloud.notifier.relabelled(before[0], changed, origin)
            if form.text("moderation_status"):
                self._cloud.notifier.moderated(
                    self._cloud.responses.listed(changed), changed, origin
                )
            answer = self._cloud.responses.detailed(changed, [])
            add_extras(answer, changed)
            return answer

        answer = await run_in_threadpool(work)
        if answer is None:
            raise ApiError(404, f"Resource not found - {name}")
        del answer["derived"]
        return JSONResponse(answer)


def update_change(form: Form) -> Change:
    """What a form asks to change. ApiError 400 for a value that cannot be."""
    values: dict[str, Any] = {}
    if "tags" in form.fields:
        values["tags"] = tags(form.text("tags"))
    if "context" in form.fields:
        values["context"] = context(form.text("context"))
    if "asset_folder" in form.fields:
        values["asset_folder"] = check_folder(form.text("asset_folder"), "asset_folder")
    if form.text("display_name"):
        values["display_name"] = form.text("display_name")
    given = _extras(form)
    status = form.text("moderation_status")
    if status and status not in _MODERATION:
        raise ApiError(400, f"Invalid value for parameter moderation_status: {status}")

    def change(asset: Asset) -> Asset:
        extras = replace(asset.extras, **given)
        if status:
            extras = _moderated(extras, status)
        return replace(asset, **values, extras=extras)

    return change


def _extras(form: Form) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for parameter, name in (("face_coordinates", "faces"), ("custom_coordinates",) * 2):
        if parameter in form.fields:
            given[name] = coordinates(form, parameter)
    if "access_control" in form.fields:
        given["access_control"] = access_control(form) or None
    if mode := form.text("access_mode"):
        if mode not in _ACCESS:
            raise ApiError(400, f"Invalid value for parameter access_mode: {mode}")
        given["access_mode"] = None if mode == "public" else mode
    return given


def _moderated(extras: Extras, status: str) -> Extras:
    if not extras.moderation:
        raise ApiError(400, "Resource is not marked for moderation")
    first, *rest = extras.moderation
    now = {**first, "status": status, "updated_at": timestamp(int(time.time()))}
    return replace(extras, moderation=[now, *rest])
