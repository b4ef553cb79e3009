"""Uploading: `POST /v1_1/<cloud>/<resource_type>/upload`.

https://cloudinary.com/documentation/image_upload_api_reference
"""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..cloud import Cloud
from ..disk.blobs import IncomingFile
from ..errors import ApiError
from ..notifications import Origin
from ..protocol.authentication import check_upload
from ..protocol.chunks import Part, part_of
from ..protocol.form import Form, decode_data_uri, is_data_uri, received
from ..transform.eager import parse_eager
from ..transform.parse import Transformation, TransformationError
from .calls import RESOURCE_TYPES, add_query
from .deletion_tokens import deletion_token
from .parameters import UploadParameters, upload_parameters
from .presets import apply_preset, check_unsigned
from .remote import fetch
from .storing import Storing, Upload


class UploadApi:
    """The endpoint that uploads."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._storing = Storing(cloud)

    async def upload(self, request: Request) -> Response:
        """Store a file and answer what was stored."""
        wanted = request.path_params["resource_type"]
        if wanted not in (*RESOURCE_TYPES, "auto"):
            raise ApiError(400, f"Invalid resource type {wanted}")
        part = part_of(request.headers)
        async with received(request, self._cloud.blobs.incoming) as form:
            parameters = await self._parameters(request, form)
            eager = parse_eager(parameters.eager, self._cloud.transformation)
            transformation = self._incoming(parameters.transformation)
            if part is not None and (known := await self._cloud.chunks.answered(part)) is not None:
                return JSONResponse(known)
            source, filename = await self._given(form)
            if filename is None and not parameters.is_async:
                source, filename = await run_in_threadpool(self._follow, source)
            if part is not None and not part.is_whole:
                assembled = await self._assembled(part, source)
                if assembled is None:
                    return JSONResponse(await self._cloud.chunks.answered(part))
                if isinstance(assembled, int):
                    return JSONResponse(_unfinished(assembled, wanted, parameters))
                source = assembled
            upload = Upload(
                wanted,
                source,
                parameters.filename_override or filename or "",
                parameters,
                eager,
                transformation,
                _origin(request, parameters),
            )
            outcome: dict[str, Any] | ApiError | None = None
            try:
                if parameters.is_async:
                    outcome = await self._later(form, upload, follow=filename is None)
                else:
                    outcome = await self._storing.store(upload)
                    # Who found another's asset under the name has no right to delete it.
                    if parameters.return_delete_token and not outcome.get("existing"):
                        secret = self._cloud.config.api_secret
                        token = deletion_token(outcome["asset_id"], secret, time.time())
                        outcome["delete_token"] = token
            except ApiError as error:
                outcome = error
                raise
            finally:
                if part is not None:
                    self._cloud.chunks.remember(part, outcome)
        return JSONResponse(outcome)

    async def _parameters(self, request: Request, form: Form) -> UploadParameters:
        """Who asks, and for what, with the upload preset's settings."""
        add_query(request, form)
        authorization = request.headers.get("authorization")
        signed = check_upload(form.fields, authorization, self._cloud.config, time.time())
        if not signed:
            check_unsigned(form)
        if not signed or form.text("upload_preset"):
            await run_in_threadpool(apply_preset, form, self._cloud.records, signed=signed)
        return upload_parameters(form)

    def _incoming(self, text: str) -> Transformation:
        """The incoming transformation; ApiError 400 names what is wrong in it."""
        try:
            transformation = self._cloud.transformation(text)
        except TransformationError as error:
            raise ApiError(400, str(error)) from error
        if transformation.last("f") == "auto":
            raise ApiError(400, "Invalid transformation component - f_auto (in transformation)")
        return transformation

    async def _assembled(self, part: Part, source: IncomingFile) -> int | IncomingFile | None:
        try:
            return await self._cloud.chunks.add(part, source)
        finally:
            await run_in_threadpool(source.discard)

    async def _later(self, form: Form, upload: Upload, *, follow: bool) -> dict[str, Any]:
        """Let an upload go on in the background and answer that it does."""
        if self._cloud.background.is_full:
            raise ApiError(420, "Too many asynchronous uploads wait: try again later")
        if form.file is upload.source:
            # Otherwise it would be gone with the request.
            form.file = None
        batch_id = upload.origin.batch_id or secrets.token_hex(32)
        upload = replace(upload, origin=replace(upload.origin, batch_id=batch_id))
        self._cloud.background.start(self._finish(upload, follow))
        answer: dict[str, Any] = {"status": "pending"}
        if upload.wanted != "auto":
            answer["resource_type"] = upload.wanted
        answer["type"] = upload.parameters.type
        if upload.parameters.naming.public_id:
            answer["public_id"] = upload.parameters.naming.public_id
        return answer | {"batch_id": batch_id}

    async def _finish(self, upload: Upload, follow: bool) -> None:
        """The part of an asynchronous upload that its sender does not wait for."""
        if follow:
            try:
                source, filename = await run_in_threadpool(self._follow, upload.source)
            except ApiError as error:
                await self._storing.tell_failure(upload, error)
                return
            filename = upload.parameters.filename_override or filename
            upload = replace(upload, source=source, filename=filename)
        await self._storing.store_later(upload)

    async def _given(self, form: Form) -> tuple[IncomingFile, str | None]:
        """What was sent as `file`, finished on disk, and its name; None for a text."""
        file = form.file
        if file is None:
            file = form.file = self._cloud.blobs.incoming()
            file.write(form.text("file").encode())
        await run_in_threadpool(file.finish)
        if form.filename is None and file.size == 0:
            raise ApiError(400, "Missing required parameter - file")
        return file, form.filename

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


def _origin(request: Request, parameters: UploadParameters) -> Origin:
    return Origin(request.state.request_id, parameters.notification_url, parameters.batch_id)


def _unfinished(size: int, wanted: str, parameters: UploadParameters) -> dict[str, Any]:
    """The answer to a part that is not the last; what is not decided yet is left out."""
    answer: dict[str, Any] = {"done": False, "bytes": size, "kind": parameters.type}
    if wanted != "auto":
        answer["resource_type"] = wanted
    if parameters.naming.public_id:
        answer["public_id"] = parameters.naming.public_id
    return answer
