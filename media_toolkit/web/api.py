"""`GET /generate-signature` and `POST /save-metadata`, as in Neon's Cloudinary guide.

https://neon.com/docs/guides/cloudinary
"""

from __future__ import annotations

import gc
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from media_toolkit.errors import MediaToolkitError, SettingsError, SignatureError
from media_toolkit.toolkit import MediaToolkit
from media_toolkit.web.auth import user_of
from media_toolkit.web.service import close_shared_kit, shared_kit

MAX_BODY_BYTES = 1_000_000
_log = logging.getLogger("media_toolkit.web")
# Streamlit answers every unknown GET with its page, so each route takes all methods.
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]

Handler = Callable[[Request, MediaToolkit], Awaitable[Response]]


async def generate_signature(request: Request, kit: MediaToolkit) -> Response:
    """Sign one upload: `{"success": true, "signature", "timestamp", "api_key", …}`."""
    signed = kit.sign_upload()
    return JSONResponse(
        {
            "success": True,
            "signature": signed.fields["signature"],
            "timestamp": int(signed.fields["timestamp"]),
            "api_key": signed.fields["api_key"],
            "cloud_name": kit.account.cloud_name,
            "upload_url": signed.url,
        },
        headers={"Cache-Control": "no-store"},
    )


async def save_metadata(request: Request, kit: MediaToolkit) -> Response:
    """Save what the browser uploaded: 201 `{"success": true}`, also at the second time."""
    response = await _json_object(request)
    missing = [
        name
        for name in ("public_id", "secure_url", "resource_type")
        if not isinstance(response.get(name), str) or not response[name]
    ]
    if missing:
        return _refusal(
            400,
            f"{', '.join(missing)} missing or not text",
            "send public_id, secure_url and resource_type, or Cloudinary's whole response",
        )
    try:
        await run_in_threadpool(kit.save, response)
    except SignatureError as error:
        return _refusal(400, error.message, error.hint)
    return JSONResponse({"success": True}, 201)


def _endpoint(handler: Handler, method: str) -> Callable[[Request], Awaitable[Response]]:
    """Method, caller and error shape, the same for every route."""

    async def answer(request: Request) -> Response:
        if request.method != method:
            refusal = _refusal(405, f"{request.method} is not allowed here", f"use {method}")
            refusal.headers["Allow"] = method
            return refusal
        try:
            kit = await run_in_threadpool(shared_kit)
            user_id = user_of(request, kit.settings)
            if user_id is None:
                return _refusal(401, "not signed in", "sign in to the dashboard in this browser")
            return await handler(request, kit.acting_as(user_id))
        except MediaToolkitError as error:
            if isinstance(error, SettingsError):
                _log.error("%s", error)
            return _refusal(error.http_status, error.message, error.hint)

    return answer


async def _json_object(request: Request) -> dict[str, Any]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise _BadRequest(f"the body is over {MAX_BODY_BYTES:,} bytes")
    try:
        parsed = json.loads(body)
    except ValueError as error:
        raise _BadRequest(f"the body is not JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise _BadRequest("the body is not a JSON object")
    return parsed


class _BadRequest(MediaToolkitError):
    http_status = 400


def _refusal(status: int, error: str, hint: str = "") -> JSONResponse:
    return JSONResponse({"success": False, "error": error, "hint": hint}, status)


routes = [
    Route("/generate-signature", _endpoint(generate_signature, "GET"), methods=_METHODS),
    Route("/save-metadata", _endpoint(save_metadata, "POST"), methods=_METHODS),
]


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    """Connect before the first request, so that a wrong setting is told at the start."""
    try:
        await run_in_threadpool(shared_kit)
    except MediaToolkitError as error:
        print(f"Media Toolkit cannot start: {error}", file=sys.stderr, flush=True)
        # Not sys.exit: the server would bury the one sentence that helps under a traceback.
        os._exit(1)
    import pandas  # noqa: F401  what the pages need, loaded before somebody waits for it

    # Streamlit collects fully after every rerun: what is loaded by now need not be looked at.
    gc.collect()
    gc.freeze()
    yield
    await run_in_threadpool(close_shared_kit)
