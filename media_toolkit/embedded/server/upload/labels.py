"""The Upload API's calls that label many assets at once: tags and context.

https://cloudinary.com/documentation/image_upload_api_reference#tags
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..cloud import Cloud
from ..errors import ApiError
from ..notifications import Origin
from ..protocol.form import Form
from ..records.assets import Asset, Listing
from .calls import delivery_type, origin, received_form, required, resource_type
from .parameters import context, tags

MAX_IDS = 1000
# Sent by the SDKs outside the signature, for these calls only.
_UNSIGNED = ("notification_url", "batch_id")

Change = Callable[[Asset], Asset]
Changes = list[tuple[Asset, Asset]]


class LabelsApi:
    """The endpoints that change tags and context."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def tags(self, request: Request) -> Response:
        """Add, remove or replace tags on many assets."""
        form = await received_form(
            self._cloud, request, {"command", "tag", "public_ids"}, unsigned=_UNSIGNED
        )
        command = form.text("command")
        given = tags(form.text("tag"))
        if not given and command != "remove_all":
            raise ApiError(400, "Missing required parameter - tag")

        def add(asset: Asset) -> Asset:
            return replace(asset, tags=sorted({*asset.tags, *given}))

        def remove(asset: Asset) -> Asset:
            return replace(asset, tags=[tag for tag in asset.tags if tag not in given])

        change = _of_command(
            command,
            {
                "add": add,
                "set_exclusive": add,
                "remove": remove,
                "replace": lambda asset: replace(asset, tags=given),
                "remove_all": lambda asset: replace(asset, tags=[]),
            },
        )
        return await self._change_many(
            request,
            form,
            change,
            self._cloud.notifier.tags_changed,
            exclusive=(given, remove) if command == "set_exclusive" else None,
        )

    async def context(self, request: Request) -> Response:
        """Add context to many assets, or remove all of it."""
        form = await received_form(
            self._cloud, request, {"command", "context", "public_ids"}, unsigned=_UNSIGNED
        )
        command = form.text("command")
        given = context(form.text("context"))
        if not given and command != "remove_all":
            raise ApiError(400, "Missing required parameter - context")
        change = _of_command(
            command,
            {
                "add": lambda asset: replace(asset, context={**asset.context, **given}),
                "remove_all": lambda asset: replace(asset, context={}),
            },
        )
        return await self._change_many(request, form, change, self._cloud.notifier.context_changed)

    async def _change_many(
        self,
        request: Request,
        form: Form,
        change: Change,
        tell: Callable[[Changes, Origin], None],
        exclusive: tuple[list[str], Change] | None = None,
    ) -> Response:
        """Apply one change to each of `public_ids`; answers the ones that exist.

        `exclusive` is what all other assets with one of these tags undergo.
        """
        required(form, "public_ids")
        public_ids = list(dict.fromkeys(form.many("public_ids")))
        if len(public_ids) > MAX_IDS:
            raise ApiError(400, f"Too many public_ids: at most {MAX_IDS} in one call")
        resource, kind = resource_type(request), delivery_type(form)
        source = origin(request, form)

        def work() -> list[str]:
            changes: Changes = []
            if exclusive is not None:
                changes += self._excluded(resource, kind, public_ids, *exclusive)
            found = []
            for public_id in public_ids:
                if one := self._changed((resource, kind, public_id), change):
                    found.append(public_id)
                    changes.append(one)
            tell([(old, new) for old, new in changes if old != new], source)
            return found

        return JSONResponse({"public_ids": await run_in_threadpool(work)})

    def _excluded(
        self, resource: str, kind: str, public_ids: list[str], given: list[str], remove: Change
    ) -> Changes:
        """Take the given tags from every asset but those named."""
        changes: Changes = []
        for tag in given:
            wanted = Listing(resource_type=resource, type=kind, tag=tag, limit=1_000_000)
            for asset in self._cloud.records.listing(wanted):
                if asset.public_id not in public_ids:
                    one = self._changed((resource, kind, asset.public_id), remove)
                    changes += [one] if one else []
        return changes

    def _changed(self, name: tuple[str, str, str], change: Change) -> tuple[Asset, Asset] | None:
        before: list[Asset] = []

        def noted(asset: Asset) -> Asset:
            before.append(asset)
            return change(asset)

        after = self._cloud.records.change(*name, noted)
        return None if after is None else (before[0], after)


def _of_command(command: str, changes: dict[str, Change]) -> Change:
    if command not in changes:
        raise ApiError(400, f"Unsupported value for parameter command: {command}")
    return changes[command]
