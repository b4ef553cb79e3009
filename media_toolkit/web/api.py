"""The routes beside the dashboard: the endpoints of Neon's guide, and Cloudinary's webhook.

https://neon.com/docs/guides/cloudinary
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from media_toolkit.cloud.signing import SignedUpload
from media_toolkit.errors import MediaToolkitError, SignatureError
from media_toolkit.web import openapi, schemas
from media_toolkit.web.endpoint import Call, Endpoint, read_object
from media_toolkit.web.refusals import BadRequest, NoSuchPath
from media_toolkit.web.service import close_shared_kit, shared_kit
from media_toolkit.web.sockets import send_at_once


def plain_signature(call: Call) -> Response:
    """The guide's: sign one upload without wishes."""
    return _signed(call, call.kit.sign_for_browser())


def wanted_signature(call: Call) -> Response:
    """Sign one upload with the wanted parameters, where the policy allows them."""
    wanted = read_object(call.body) if call.body.strip() else {}
    return _signed(call, call.kit.sign_for_browser(schemas.read(schemas.WantedUpload, wanted)))


def save_metadata(call: Call) -> Response:
    """Save what the browser uploaded: 201 `{"success": true}`, also at the second time."""
    response = schemas.read(schemas.UploadedAsset, read_object(call.body))
    try:
        call.kit.save_from_browser(response)
    except SignatureError as error:
        raise BadRequest(error.message, hint=error.hint) from error
    return JSONResponse({"success": True}, 201)


def notification(call: Call) -> Response:
    """Take what Cloudinary tells; `changed` is how many rows it changed."""
    headers = call.request.headers
    changed = call.kit.receive_notification(
        call.body, headers.get("X-Cld-Timestamp", ""), headers.get("X-Cld-Signature", "")
    )
    return JSONResponse({"success": True, "changed": changed})


def description(call: Call) -> Response:
    """The OpenAPI document."""
    return JSONResponse(openapi.document())


def no_such_path(call: Call) -> Response:
    """Under ours Streamlit's page would answer what does not exist."""
    path = call.request.url.path
    raise NoSuchPath(f"there is no {path[:200]}", hint="see /openapi.json for what there is")


def _signed(call: Call, signed: SignedUpload) -> Response:
    return JSONResponse(
        {
            "success": True,
            "signature": signed.fields["signature"],
            "timestamp": int(signed.fields["timestamp"]),
            "api_key": signed.fields["api_key"],
            "cloud_name": call.kit.account.cloud_name,
            "upload_url": signed.url,
            # All that is to be sent beside `file`, as the very strings that were signed.
            "fields": dict(signed.fields),
        },
        headers={"Cache-Control": "no-store"},
    )


class _Nothing(Endpoint):
    """Answers 404 whatever the method."""

    def __init__(self) -> None:
        methods = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
        super().__init__(dict.fromkeys(methods, no_such_path), is_open=True)


_nothing = _Nothing()
_endpoints = {
    "/generate-signature": Endpoint(
        {"GET": plain_signature, "POST": wanted_signature}, is_limited=True
    ),
    "/save-metadata": Endpoint({"POST": save_metadata}, is_limited=True),
    "/webhooks/cloudinary": Endpoint({"POST": notification}, is_open=True),
    "/openapi.json": Endpoint({"GET": description, "HEAD": description}, is_open=True),
}
# Streamlit answers every other GET with its page: so what is below ours is ours too.
_BELOW = (*_endpoints, "/webhooks", "/api")
routes = [
    *(Route(path, endpoint) for path, endpoint in _endpoints.items()),
    *(Route(f"{path}/{{rest:path}}", _nothing) for path in _BELOW),
    *(Route(path, _nothing) for path in ("/webhooks", "/api")),
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
    send_at_once()
    import pandas  # noqa: F401  what the pages need, loaded before somebody waits for it

    # Streamlit collects fully after every rerun: what is loaded by now need not be looked at.
    gc.collect()
    gc.freeze()
    yield
    await run_in_threadpool(close_shared_kit)
