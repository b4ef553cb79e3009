"""The Upload API's calls that change one stored asset: destroy, explicit, rename.

https://cloudinary.com/documentation/image_upload_api_reference
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from anyio import to_thread
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..cloud import Cloud
from ..errors import ApiError
from ..facts.analysis import analysed
from ..notifications import Origin, check_url
from ..protocol.form import Form, received
from ..records.assets import Asset, NameTakenError
from ..records.extras import Extras
from ..responses import add_extras
from ..transform.eager import parse_eager, render_eager
from .calls import add_query, delivery_type, origin, received_form, required, resource_type
from .deletion_tokens import asset_id_of
from .naming import check_display_name, check_folder, check_public_id
from .parameters import boolean, check_known, context, eager, given_extras, tags, wanted_facts
from .storing import Storing

Change = Callable[[Asset], Asset]

_EXPLICIT = frozenset(
    {"public_id", "invalidate", "overwrite", "tags", "context", "asset_folder", "display_name"}
    | {"unique_display_name", "async"}
    | {"eager", "eager_async", "eager_notification_url", "face_coordinates", "custom_coordinates"}
    | {"phash", "colors", "faces", "image_metadata", "media_metadata", "exif", "moderation"}
    | {"access_control", "access_mode", "headers", "backup"}
)


class ChangeApi:
    """The endpoints that change or remove one asset."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._storing = Storing(cloud)

    async def destroy(self, request: Request) -> Response:
        """Remove an asset and everything derived from it."""
        form = await received_form(self._cloud, request, {"public_id", "invalidate"})
        public_id = required(form, "public_id")
        name = (resource_type(request), delivery_type(form), public_id)
        source = origin(request, form)

        def work() -> bool:
            asset = self._cloud.records.get(*name)
            if asset is None or not self._cloud.destroy(asset):
                return False
            self._cloud.notifier.deleted([asset], source)
            return True

        found = await run_in_threadpool(work)
        return JSONResponse({"result": "ok" if found else "not found"})

    async def destroy_by_token(self, request: Request) -> Response:
        """Remove the asset that an upload's `delete_token` is for; no other right is needed."""
        async with received(request, self._cloud.blobs.incoming) as form:
            add_query(request, form)
            check_known(form, frozenset({"token"}))
        secret = self._cloud.config.api_secret
        asset_id = asset_id_of(required(form, "token"), secret, time.time())
        source = origin(request, form)

        def work() -> bool:
            asset = self._cloud.records.get_by_asset_id(asset_id)
            if asset is None or not self._cloud.destroy(asset):
                return False
            self._cloud.notifier.deleted([asset], source)
            return True

        found = await run_in_threadpool(work)
        return JSONResponse({"result": "ok" if found else "not found"})

    async def explicit(self, request: Request) -> Response:
        """Change what is known of a stored asset, read facts from it, and derive from it."""
        form = await received_form(self._cloud, request, _EXPLICIT)
        public_id = required(form, "public_id")
        name = (resource_type(request), delivery_type(form), public_id)
        wanted = parse_eager(eager(form), self._cloud.transformation)
        later = boolean(form, "eager_async", False)
        source = origin(request, form)
        told = check_url(form.text("eager_notification_url"), "eager_notification_url")
        facts, change = wanted_facts(form), _explicit_change(form)
        unique = boolean(form, "unique_display_name", False)

        def work() -> tuple[Asset, dict[str, Any]]:
            asset = self._cloud.records.get(*name)
            if asset is None:
                raise ApiError(404, f"Resource not found - {public_id}")
            if unique:
                check_display_name(self._cloud.records, change(asset))
            path = self._cloud.blobs.path(asset.blob)
            rendered = [
                render_eager(
                    path, asset.resource_type, asset.format, one, self._cloud.surroundings(asset)
                )
                for one in ([] if later else wanted)
            ]
            read = Extras()
            if asset.resource_type == "image":
                read = analysed(
                    path, read,
                    phash=facts.phash, colors=facts.colors, metadata=bool(facts.metadata),
                )  # fmt: skip
            changed = self._cloud.records.change(
                *name, lambda one: change(replace(one, extras=one.extras.overlaid(read)))
            )
            if changed is None:
                raise ApiError(404, f"Resource not found - {public_id}")
            answer = self._cloud.responses.uploaded(changed)
            add_extras(
                answer, changed,
                phash=facts.phash, colors=facts.colors, faces=facts.faces,
                coordinates=True, metadata=facts.metadata,
            )  # fmt: skip
            if rendered:
                answer["eager"] = self._cloud.keep_eager(changed, wanted, rendered)
            self._cloud.notifier.relabelled(asset, changed, source)
            return changed, answer

        async def finish() -> dict[str, Any]:
            try:
                asset, answer = await to_thread.run_sync(work, limiter=self._cloud.painters)
            except FileNotFoundError as error:
                raise ApiError(404, f"Resource not found - {public_id}") from error
            if wanted and later:
                eager_source = replace(source, notification_url=told or source.notification_url)
                answer["eager"] = self._storing.derive_later(asset, wanted, eager_source)
            elif wanted:
                # No other event tells the call's own URL that this call has done its work.
                eager_told = told or source.notification_url
                await self._storing.tell_derived(asset, answer["eager"], source, eager_told)
            return answer

        if not boolean(form, "async", False):
            return JSONResponse(await finish())
        return JSONResponse(self._later(finish(), name, source))

    def _later(
        self,
        finish: Coroutine[Any, Any, dict[str, Any]],
        name: tuple[str, str, str],
        source: Origin,
    ) -> dict[str, Any]:
        """Let a change go on in the background and answer that it does; its end is an event."""
        if self._cloud.background.is_full:
            finish.close()
            raise ApiError(420, "Too many asynchronous changes wait: try again later")
        source = replace(source, batch_id=source.batch_id or secrets.token_hex(32))
        told = dict(zip(("resource_type", "type", "public_id"), name, strict=True))

        async def end() -> None:
            try:
                answer = await finish
            except ApiError as error:
                answer = {**told, "error": {"message": error.message}}
            await run_in_threadpool(self._cloud.notifier.uploaded, answer, source)

        self._cloud.background.start(end())
        return {"status": "pending", **told, "batch_id": source.batch_id}

    async def rename(self, request: Request) -> Response:
        """Give an asset another public_id or type; derived images stay."""
        form = await received_form(
            self._cloud,
            request,
            {"from_public_id", "to_public_id", "to_type", "overwrite", "invalidate"}
            | {"context", "metadata"},
        )
        old_name = required(form, "from_public_id")
        target = check_public_id(required(form, "to_public_id"))
        resource, kind = resource_type(request), delivery_type(form)
        to_type = delivery_type(form, "to_type", kind)
        overwrite = boolean(form, "overwrite", False)
        source = origin(request, form)

        def work() -> dict[str, Any]:
            name = (resource, kind, old_name)
            try:
                done = self._cloud.records.rename(name, to_type, target, overwrite=overwrite)
            except NameTakenError as error:
                raise ApiError(400, f"to_public_id ({target}) already exists") from error
            if done is None:
                raise ApiError(404, f"Resource not found - {old_name}")
            asset, put = done
            if put.replaced is not None:
                self._cloud.release(put.replaced)
            self._cloud.notifier.renamed(asset, put.asset, source)
            return self._cloud.responses.uploaded(put.asset)

        return JSONResponse(await run_in_threadpool(work))


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
    given = given_extras(form)
    return lambda asset: replace(asset, extras=asset.extras.overlaid(given), **values)
