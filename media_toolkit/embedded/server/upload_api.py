"""Uploading: `POST /v1_1/<cloud>/<resource_type>/upload`.

https://cloudinary.com/documentation/image_upload_api_reference
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from anyio import to_thread
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .blobs import IncomingFile
from .change_api import RESOURCE_TYPES, authenticate
from .cloud import Cloud
from .eager import Eager, parse_eager, render_eager
from .errors import ApiError
from .form import Form, decode_data_uri, is_data_uri, received
from .formats import FileFacts, examine, examine_image, normal_format
from .naming import check_folder, choose_public_id, split_filename
from .parameters import UploadParameters, upload_parameters
from .records import Asset, Put
from .remote import fetch
from .render import Rendered, render
from .transform.parse import Transformation, TransformationError
from .transform.values import ENCODABLE


@dataclass(frozen=True)
class Prepared:
    """A checked upload: its record to be, or the `existing` asset that it must not replace,
    and its eager images, painted."""

    new: Asset
    existing: Asset | None = None
    eager: list[Rendered] = field(default_factory=list)


class UploadApi:
    """The endpoint that uploads."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def upload(self, request: Request) -> Response:
        """Store a file and answer what was stored."""
        wanted = request.path_params["resource_type"]
        if wanted not in (*RESOURCE_TYPES, "auto"):
            raise ApiError(400, f"Invalid resource type {wanted}")
        _refuse_chunks(request)
        async with received(request, self._cloud.blobs.incoming) as form:
            authenticate(self._cloud, request, form)
            parameters = upload_parameters(form)
            eager = parse_eager(parameters.eager, self._cloud.transformation)
            source, filename = await self._file(form)
            filename = parameters.filename_override or filename
            try:
                prepared = await to_thread.run_sync(
                    self._prepare,
                    wanted,
                    source,
                    filename,
                    parameters,
                    eager,
                    limiter=self._cloud.painters,
                )
                answer = await run_in_threadpool(
                    self._store, source, prepared, eager, parameters.overwrite
                )
            finally:
                await run_in_threadpool(source.discard)
        return JSONResponse(answer)

    async def _file(self, form: Form) -> tuple[IncomingFile, str]:
        """The file to store, finished on disk, and the name that it came with."""
        if form.file is not None and form.filename is not None:
            await run_in_threadpool(form.file.finish)
            return form.file, form.filename
        text = form.file
        if text is None:
            text = self._cloud.blobs.incoming()
            text.write(form.text("file").encode())
        await run_in_threadpool(text.finish)
        if text.size == 0:
            await run_in_threadpool(text.discard)
            raise ApiError(400, "Missing required parameter - file")
        return await run_in_threadpool(self._follow, text)

    def _follow(self, text: IncomingFile) -> tuple[IncomingFile, str]:
        """What a `file` text stands for: a data URI, a URL, or the bytes themselves."""
        with text.path.open("rb") as file:
            head = file.read(4096)
        target = self._cloud.blobs.incoming()
        try:
            if is_data_uri(head):
                decode_data_uri(text, target)
                text.discard()
                return target, "file"
            if head.lower().startswith((b"http://", b"https://", b"ftp://", b"s3://", b"gs://")):
                if text.size > 4096:
                    raise ApiError(400, "Invalid URL for upload: it is too long")
                text.discard()
                url = head.decode("utf-8", "replace").strip()
                fetch(url, target, allow_private=self._cloud.config.allow_private_urls)
                return target, url
        except BaseException:
            target.discard()
            text.discard()
            raise
        return text, "file"

    def _prepare(
        self,
        wanted: str,
        source: IncomingFile,
        filename: str,
        parameters: UploadParameters,
        eager: list[Eager],
    ) -> Prepared:
        """Check, convert and name a received file and paint its eager images; blocks."""
        facts = examine(source.path, wanted)
        if parameters.format and facts.resource_type != "raw":
            facts = self._converted(source, facts, parameters.format)
        _check_allowed(facts, filename, parameters.allowed_formats)
        new = describe(source, facts, filename, parameters)
        if not parameters.overwrite:
            stored = self._cloud.records.get(new.resource_type, new.type, new.public_id)
            if stored is not None:
                return Prepared(new, stored)
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
                for one in eager
            ],
        )

    def _store(
        self, source: IncomingFile, prepared: Prepared, eager: list[Eager], overwrite: bool
    ) -> dict[str, Any]:
        """Keep a checked file and its eager images for good; blocks."""
        if prepared.existing is not None:
            put = Put(prepared.existing, existing=True)
        else:
            put = self._keep(source, prepared.new, overwrite=overwrite)
        answer = self._cloud.responses.uploaded(put.asset)
        if put.existing:
            return answer | {"existing": True}
        if put.replaced is not None:
            answer["overwritten"] = True
        if eager:
            answer["eager"] = self._cloud.keep_eager(put.asset, eager, prepared.eager)
        return answer

    def _converted(self, source: IncomingFile, facts: FileFacts, name: str) -> FileFacts:
        """Turn the received file into the format that the upload's `format` names."""
        if facts.format == name:
            return facts
        if facts.resource_type != "image" or name not in ENCODABLE:
            raise ApiError(400, f"Unsupported value for parameter format: {name}")
        try:
            rendered = render(source.path, facts.format or "", Transformation(), name, "")
        except TransformationError as error:
            raise ApiError(400, str(error)) from error
        source.rewrite(rendered.data)
        return examine_image(source.path)

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
            self._cloud.blobs.drop(put.replaced.blob)
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
    )


def _check_allowed(facts: FileFacts, filename: str, allowed: list[str]) -> None:
    name = facts.format or normal_format(split_filename(filename)[1])
    if allowed and name not in allowed:
        raise ApiError(400, f"{facts.resource_type.capitalize()} file format {name} not allowed")


def _refuse_chunks(request: Request) -> None:
    """Only a Content-Range that covers the whole file may pass: such a chunk is an upload."""
    given = request.headers.get("content-range")
    if given is None:
        return
    start, _, rest = given.removeprefix("bytes ").partition("-")
    end, _, total = rest.partition("/")
    if start != "0" or not (end.isdigit() and total.isdigit()) or int(end) + 1 != int(total):
        raise ApiError(400, "Unsupported header on this server - Content-Range (chunked upload)")
