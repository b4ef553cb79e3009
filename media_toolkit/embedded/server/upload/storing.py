"""Storing a received file: checked, converted, named, kept, and told of.

https://cloudinary.com/documentation/image_upload_api_reference
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from typing import Any

from anyio import to_thread
from starlette.concurrency import run_in_threadpool

from ..cloud import Cloud
from ..disk.blobs import IncomingFile
from ..errors import ApiError
from ..facts.analysis import analysed
from ..facts.formats import FileFacts, examine, examine_image, normal_format
from ..notifications import Origin
from ..records.assets import Asset, Put
from ..records.extras import Extras
from ..responses import add_extras
from ..transform.eager import Eager, render_eager
from ..transform.parse import Transformation, TransformationError
from ..transform.render import Rendered, Surroundings, render
from ..transform.values import ENCODABLE
from .naming import check_display_name, check_folder, choose_public_id, split_filename
from .parameters import UploadParameters, WantedFacts


@dataclass(frozen=True)
class Upload:
    """A received file and what its sender wants of it. `wanted` is the resource type or auto."""

    wanted: str
    source: IncomingFile
    filename: str
    parameters: UploadParameters
    eager: list[Eager]
    transformation: Transformation
    origin: Origin


@dataclass(frozen=True)
class Prepared:
    """A checked upload: its record to be, or the `existing` asset that it must not replace,
    and its eager images, painted."""

    new: Asset
    existing: Asset | None = None
    eager: list[Rendered] = field(default_factory=list)


class Storing:
    """Turns uploads into assets."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def store(self, upload: Upload) -> dict[str, Any]:
        """Store a file and answer what was stored; its source is used up in any case."""
        try:
            prepared = await to_thread.run_sync(self._prepare, upload, limiter=self._cloud.painters)
            put, answer = await run_in_threadpool(self._keep_all, upload, prepared)
        finally:
            await run_in_threadpool(upload.source.discard)
        if upload.eager and upload.parameters.eager_async and not put.existing:
            # Told only now, for the event carries what the answer says of its eager images.
            answer["eager"] = self.derive_later(
                put.asset,
                upload.eager,
                replace(
                    upload.origin,
                    notification_url=upload.parameters.eager_notification_url
                    or upload.origin.notification_url,
                ),
            )
            await run_in_threadpool(self._cloud.notifier.uploaded, answer, upload.origin)
        if prepared.eager:
            told = upload.parameters.eager_notification_url
            await self.tell_derived(put.asset, answer["eager"], upload.origin, told)
        return answer

    async def tell_derived(
        self, asset: Asset, eager: list[dict[str, Any]], origin: Origin, told: str | None
    ) -> None:
        """Tell of eager images that the answer itself has: their own URL and the triggers."""
        if told is not None or origin.notification_url is None:
            about = replace(origin, notification_url=told)
            await run_in_threadpool(self._cloud.notifier.derived, asset, eager, about)

    async def store_later(self, upload: Upload) -> None:
        """Store a file whose sender was answered already; a failure is told as an event."""
        try:
            await self.store(upload)
        except ApiError as error:
            await self.tell_failure(upload, error)

    async def tell_failure(self, upload: Upload, error: ApiError) -> None:
        """Tell of an upload that failed after its sender was answered."""
        answer: dict[str, Any] = {
            "error": {"message": error.message},
            "resource_type": upload.wanted,
        }
        if upload.parameters.naming.public_id:
            answer["public_id"] = upload.parameters.naming.public_id
        await run_in_threadpool(self._cloud.notifier.uploaded, answer, upload.origin)

    def derive_later(
        self, asset: Asset, wanted: list[Eager], origin: Origin
    ) -> list[dict[str, Any]]:
        """Make eager images in the background; returns what the answer says of them now."""
        batch_id = origin.batch_id or secrets.token_hex(32)
        origin = replace(origin, batch_id=batch_id)
        self._cloud.background.start(self._derive(asset, wanted, origin))
        return [self._cloud.responses.processing(asset, one, batch_id) for one in wanted]

    async def _derive(self, asset: Asset, wanted: list[Eager], origin: Origin) -> None:
        answers: list[dict[str, Any]] = []
        for one in wanted:

            def work(one: Eager = one) -> dict[str, Any]:
                path = self._cloud.blobs.path(asset.blob)
                around = self._cloud.surroundings(asset)
                rendered = render_eager(path, asset.resource_type, asset.format, one, around)
                return self._cloud.keep_eager(asset, [one], [rendered])[0]

            try:
                answers.append(await to_thread.run_sync(work, limiter=self._cloud.painters))
            except ApiError as error:
                failed = {"status": "failed", "reason": error.message}
                answers.append({"transformation": one.transformation.text, **failed})
            except FileNotFoundError:
                # Replaced or destroyed meanwhile: there is nothing to tell of any more.
                return
        await run_in_threadpool(self._cloud.notifier.derived, asset, answers, origin)

    def _prepare(self, upload: Upload) -> Prepared:
        """Check, convert and name a received file and paint its eager images; blocks."""
        parameters, source = upload.parameters, upload.source
        facts = examine(source.path, upload.wanted)
        if upload.transformation.text or (parameters.format and facts.resource_type != "raw"):
            facts = self._converted(upload, facts)
        _check_allowed(facts, upload.filename, parameters.allowed_formats)
        new = describe(source, facts, upload.filename, parameters)
        if not parameters.overwrite:
            stored = self._cloud.records.get(new.resource_type, new.type, new.public_id)
            if stored is not None:
                return Prepared(new, stored)
        if parameters.unique_display_name:
            check_display_name(self._cloud.records, new)
        if facts.media is not None:
            new = replace(new, extras=replace(new.extras, media=facts.media))
        if facts.resource_type == "image":
            new = replace(new, extras=_read_facts(source, new, parameters.facts))
        if parameters.eager_async:
            return Prepared(new)
        return Prepared(
            new,
            eager=[
                render_eager(
                    source.path,
                    facts.resource_type,
                    facts.format,
                    one,
                    self._cloud.surroundings(new),
                )
                for one in upload.eager
            ],
        )

    def _keep_all(self, upload: Upload, prepared: Prepared) -> tuple[Put, dict[str, Any]]:
        """Keep a checked file and its eager images for good; blocks."""
        parameters = upload.parameters
        if prepared.existing is not None:
            put = Put(prepared.existing, existing=True)
        else:
            put = self._keep(upload.source, prepared.new, overwrite=parameters.overwrite)
        answer = self._cloud.responses.uploaded(put.asset)
        if put.existing:
            return put, answer | {"existing": True}
        facts = parameters.facts
        add_extras(
            answer,
            put.asset,
            phash=facts.phash,
            colors=facts.colors,
            faces=facts.faces,
            coordinates=True,
            metadata=facts.metadata,
        )
        if put.replaced is not None:
            answer["overwritten"] = True
        if prepared.eager:
            answer["eager"] = self._cloud.keep_eager(put.asset, upload.eager, prepared.eager)
        if not (upload.eager and parameters.eager_async):
            self._cloud.notifier.uploaded(answer, upload.origin)
        return put, answer

    def _converted(self, upload: Upload, facts: FileFacts) -> FileFacts:
        """Apply the incoming transformation and the format that the upload's `format` names."""
        name = upload.parameters.format
        if not upload.transformation.text and facts.format == name:
            return facts
        if facts.resource_type != "image":
            parameter = "transformation" if upload.transformation.text else "format"
            raise ApiError(
                400, f"Unsupported parameter on this server - {parameter} ({facts.resource_type})"
            )
        if name and name not in ENCODABLE:
            raise ApiError(400, f"Unsupported value for parameter format: {name}")
        try:
            rendered = render(
                upload.source.path,
                facts.format or "",
                upload.transformation,
                name,
                "",
                Surroundings(open_layer=self._cloud.open_layer),
            )
        except TransformationError as error:
            raise ApiError(400, str(error)) from error
        upload.source.rewrite(rendered.data)
        return examine_image(upload.source.path)

    def _keep(self, source: IncomingFile, new: Asset, *, overwrite: bool) -> Put:
        """Make the file a blob and write its record; the blob that it replaces is freed."""
        blob = self._cloud.blobs.adopt(source.path)
        try:
            put = self._cloud.records.put(replace(new, blob=blob), overwrite=overwrite)
        except BaseException:
            self._cloud.blobs.drop(blob)
            raise
        if put.existing:
            self._cloud.blobs.drop(blob)
        elif put.replaced is not None:
            self._cloud.release(put.replaced)
        return put


def describe(
    source: IncomingFile, facts: FileFacts, filename: str, parameters: UploadParameters
) -> Asset:
    """The record of an upload, all but what storing it decides. ApiError 400 for a bad name."""
    stem, extension = split_filename(filename)
    raw = facts.resource_type == "raw"
    public_id = choose_public_id(parameters.naming, filename, extension if raw else None)
    asset_folder = parameters.asset_folder or parameters.naming.folder or ""
    display_name = parameters.display_name
    if display_name is None and parameters.use_filename_as_display_name:
        display_name = stem
    return Asset(
        resource_type=facts.resource_type,
        type=parameters.type,
        public_id=public_id,
        format=facts.format,
        width=facts.width,
        height=facts.height,
        pages=facts.pages,
        bytes=source.size,
        etag=source.etag,
        blob="",
        original_filename="" if parameters.discard_original_filename else stem,
        asset_folder=check_folder(asset_folder, "asset_folder"),
        display_name=display_name or public_id.rpartition("/")[2],
        tags=parameters.tags,
        context=parameters.context,
        extras=parameters.extras,
    )


def _check_allowed(facts: FileFacts, filename: str, allowed: list[str]) -> None:
    name = facts.format or normal_format(split_filename(filename)[1])
    if allowed and name not in allowed:
        raise ApiError(400, f"{facts.resource_type.capitalize()} file format {name} not allowed")


def _read_facts(source: IncomingFile, new: Asset, wanted: WantedFacts) -> Extras:
    extras = new.extras
    if extras.faces and new.width and new.height:
        width, height = new.width, new.height
        extras = replace(
            extras, faces=[[x, y, min(w, width), min(h, height)] for x, y, w, h in extras.faces]
        )
    return analysed(
        source.path,
        extras,
        phash=wanted.phash,
        colors=wanted.colors,
        metadata=bool(wanted.metadata),
    )
