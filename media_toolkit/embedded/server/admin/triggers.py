"""Triggers: URLs that are told of every event of a type.

https://cloudinary.com/documentation/admin_api_triggers
"""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..cloud import Cloud
from ..errors import ApiError
from ..notifications import check_url
from ..protocol.form import Form, received
from ..records.notifications import Trigger
from ..responses import timestamp
from ..upload.parameters import boolean, check_known

MAX_URLS_PER_EVENT = 30
EVENTS = (
    "all upload eager delete rename move error moderation resource_tags_changed"
    " resource_context_changed resource_metadata_changed resource_display_name_changed"
    " access_control_changed create_folder delete_folder move_or_rename_asset_folder"
    " generate_archive"
)
_PARAMETERS = frozenset({"uri", "uri_type", "event_type", "additive"})


class TriggersApi:
    """The endpoints that list, make, change and remove triggers."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def listing(self, request: Request) -> Response:
        """All triggers, or those of one event type."""
        wanted = request.query_params.get("event_type")
        found = await run_in_threadpool(self._cloud.records.triggers)
        return JSONResponse(
            {"triggers": [self._told(one) for one in found if wanted in (None, one.event_type)]}
        )

    async def details(self, request: Request) -> Response:
        """One trigger."""
        return JSONResponse(self._told(await self._found(request)))

    async def create(self, request: Request) -> Response:
        """Make a trigger of one event type and one URL."""
        form = await self._form(request)
        new = _changed(Trigger("", ""), form)

        def work() -> Trigger:
            same = [
                one for one in self._cloud.records.triggers() if one.event_type == new.event_type
            ]
            if any(one.uri == new.uri for one in same):
                raise ApiError(409, f"Trigger for {new.event_type} and {new.uri} already exists")
            if len(same) >= MAX_URLS_PER_EVENT:
                raise ApiError(400, f"Too many triggers: at most {MAX_URLS_PER_EVENT} for an event")
            return self._cloud.records.put_trigger(new)

        return JSONResponse(self._told(await run_in_threadpool(work)), status_code=201)

    async def update(self, request: Request) -> Response:
        """Give a trigger another URL or event type."""
        old = await self._found(request)
        new = _changed(old, await self._form(request))
        kept = await run_in_threadpool(self._cloud.records.put_trigger, new)
        return JSONResponse(self._told(kept))

    async def delete(self, request: Request) -> Response:
        """Remove a trigger."""
        found = await self._found(request)
        await run_in_threadpool(self._cloud.records.delete_trigger, found.id)
        return JSONResponse({"message": "ok"})

    async def _found(self, request: Request) -> Trigger:
        name = request.path_params["id"]
        trigger = await run_in_threadpool(self._cloud.records.trigger, name)
        if trigger is None:
            raise ApiError(404, f"Trigger not found - {name}")
        return trigger

    async def _form(self, request: Request) -> Form:
        async with received(request, self._cloud.blobs.incoming) as form:
            check_known(form, _PARAMETERS)
            return form

    def _told(self, trigger: Trigger) -> dict[str, Any]:
        return {
            "id": trigger.id,
            "product_environment_id": self._cloud.config.cloud_name,
            "uri": trigger.uri,
            "uri_type": "webhook",
            "event_type": trigger.event_type,
            "additive": trigger.additive,
            "created_at": timestamp(trigger.created_at),
            "updated_at": timestamp(trigger.updated_at),
        }


def _changed(old: Trigger, form: Form) -> Trigger:
    uri = check_url(form.text("uri"), "uri") or old.uri
    event = form.text("event_type") or old.event_type
    if not uri or not event:
        missing = "event_type" if uri else "uri"
        raise ApiError(400, f"Missing required parameter - {missing}")
    if event not in EVENTS.split():
        raise ApiError(400, f"Invalid value for parameter event_type: {event}")
    uri_type = form.text("uri_type")
    if uri_type not in ("", "webhook"):
        raise ApiError(400, f"Unsupported value on this server - uri_type: {uri_type}")
    additive = boolean(form, "additive", old.additive)
    return Trigger(uri, event, additive, old.id, old.created_at)
