"""The application: routes, CORS, request ids, and every error in Cloudinary's shape."""

from __future__ import annotations

import errno
import secrets
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .admin.calls import AdminCalls
from .admin.routes import admin_routes
from .admin.search import SearchApi
from .admin.triggers import TriggersApi
from .archive.api import ArchiveApi
from .cloud import Cloud
from .config import ServerConfig
from .delivery.api import Delivery
from .errors import ApiError, DeliveryError
from .faults.api import FaultsApi
from .faults.injection import FAULTS_PATH, Faults, FaultyDay
from .responses import error_response
from .upload.api import UploadApi
from .upload.changes import ChangeApi
from .upload.labels import LabelsApi

Handler = Callable[[Request], Awaitable[Response]]

_MAX_DRAINED_BYTES = 256 * 1024 * 1024
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DISK_FULL = "There is no room on the disk where this server keeps its files"
_EXPOSED = "Content-Length, ETag, X-Cld-Error, X-Request-Id, Content-Range, Accept-Ranges"


def create_app(config: ServerConfig) -> Starlette:
    """The server for one cloud, to be run by an ASGI server such as uvicorn.

    Its lifespan opens the data folder (FolderInUseError when another server has it) and closes
    it again.
    """
    cloud = Cloud(config)
    faults = Faults(config.faults)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await run_in_threadpool(cloud.open)
        cloud.start()
        try:
            yield
        finally:
            await cloud.finish()
            await run_in_threadpool(cloud.close)

    return Starlette(
        routes=_routes(cloud, faults),
        middleware=[Middleware(_Envelope), Middleware(FaultyDay, faults=faults)],
        exception_handlers={
            ApiError: _refused,
            HTTPException: _no_route,
            ClientDisconnect: _gone,
            Exception: _failed,
        },
        lifespan=lifespan,
    )


def _routes(cloud: Cloud, faults: Faults) -> list[Route]:
    archives, triggers = ArchiveApi(cloud), TriggersApi(cloud)
    upload, change, labels = UploadApi(cloud), ChangeApi(cloud), LabelsApi(cloud)
    calls, delivery, search = AdminCalls(cloud.config), Delivery(cloud), SearchApi(cloud)

    async def about(request: Request) -> Response:
        return JSONResponse(
            {
                "service": "media_toolkit embedded Cloudinary-compatible server",
                "cloud_name": cloud.config.cloud_name,
            }
        )

    def in_cloud(handler: Handler, refusal: Callable[[str], ApiError]) -> Handler:
        async def checked(request: Request) -> Response:
            name = request.path_params["cloud"]
            if name != cloud.config.cloud_name:
                raise refusal(name)
            return await handler(request)

        return checked

    def administered(handler: Handler) -> Handler:
        async def checked(request: Request) -> Response:
            request.state.admin = calls
            calls.check(request)
            answer = await own(request)
            answer.headers.update(calls.headers())
            return answer

        own = in_cloud(handler, _mismatched_cloud)
        return checked

    def post(action: str, handler: Handler) -> Route:
        path = f"/v1_1/{{cloud}}/{{resource_type}}/{action}"
        return Route(path, in_cloud(handler, _unknown_cloud), methods=["POST"])

    return [
        Route("/", about, methods=["GET"]),
        post("upload", upload.upload),
        post("destroy", change.destroy),
        Route(
            "/v1_1/{cloud}/delete_by_token",
            in_cloud(change.destroy_by_token, _unknown_cloud),
            methods=["POST"],
        ),
        post("explicit", change.explicit),
        post("rename", change.rename),
        post("tags", labels.tags),
        post("context", labels.context),
        *(
            Route(
                f"/v1_1/{{cloud}}/{{resource_type}}/{action}",
                in_cloud(handler, _unknown_cloud),
                methods=["GET", "POST"],
            )
            for action, handler in (
                ("generate_archive", archives.generate),
                ("download", archives.download),
            )
        ),
        Route(
            "/v1_1/{cloud}/download_backup",
            in_cloud(archives.download_backup, _unknown_cloud),
            methods=["GET"],
        ),
        *(
            Route(f"/v1_1/{{cloud}}/triggers{path}", administered(handler), methods=[method])
            for method, path, handler in (
                ("GET", "", triggers.listing),
                ("POST", "", triggers.create),
                ("GET", "/{id}", triggers.details),
                ("PUT", "/{id}", triggers.update),
                ("DELETE", "/{id}", triggers.delete),
            )
        ),
        Route(
            f"/v1_1/{{cloud}}{FAULTS_PATH}",
            administered(FaultsApi(cloud, faults).govern),
            methods=["GET", "POST", "DELETE"],
        ),
        *admin_routes(cloud, administered),
        *(
            Route(
                "/{cloud}/search/{signature}/{ttl}/{query}" + cursor,
                in_cloud(search.signed, _unknown_customer),
                methods=["GET"],
            )
            for cursor in ("", "/{cursor}")
        ),
        _DeliveryRoute(
            "/{cloud}/{path:path}",
            in_cloud(delivery.deliver, _unknown_customer),
            methods=["GET"],
        ),
    ]


def _unknown_cloud(name: str) -> ApiError:
    return ApiError(401, f"Invalid cloud_name {name}")


def _mismatched_cloud(name: str) -> ApiError:
    return ApiError(401, "cloud_name mismatch")


def _unknown_customer(name: str) -> ApiError:
    return DeliveryError(404, f"Unknown customer {name}")


class _DeliveryRoute(Route):
    """Delivery paths have the shape of API paths too, so those are left to the API's routes."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] == "http" and scope["path"].startswith(("/v1_1/", "/v2/")):
            return Match.NONE, {}
        return super().matches(scope)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    await _drain(request)
    headers = {"X-Cld-Error": _header_text(error.message)}
    if isinstance(error, DeliveryError):
        headers["Cache-Control"] = "no-store"
    admin: AdminCalls | None = getattr(request.state, "admin", None)
    if admin is not None:
        headers.update(admin.headers())
        if error.status == 401:
            headers["WWW-Authenticate"] = 'Basic realm="Cloudinary API"'
    return error_response(error.status, error.message, headers)


async def _drain(request: Request) -> None:
    """Read what a refused upload still sends, up to a bound: many clients only listen after."""
    if request.method != "POST" or not request.headers.get("content-type"):
        return
    size = 0
    try:
        async for piece in request.stream():
            size += len(piece)
            if size > _MAX_DRAINED_BYTES:
                return
    except (RuntimeError, ClientDisconnect):
        # Read to its end already, or the client has gone: nothing is left to read.
        return


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = "Method not allowed" if error.status_code == 405 else "Not found"
    text = f"{message} - {request.method} {request.url.path}"
    return error_response(error.status_code, text, error.headers)


async def _gone(request: Request, error: Exception) -> Response:
    return error_response(400, "The client closed the connection before the request ended")


async def _failed(request: Request, error: Exception) -> Response:
    is_full = isinstance(error, OSError) and error.errno in _NO_ROOM
    is_full |= isinstance(error, sqlite3.OperationalError) and "is full" in str(error)
    return error_response(500, _DISK_FULL if is_full else "Internal server error")


def _header_text(message: str) -> str:
    """A message as a header may carry it: Latin-1 only, one line."""
    latin = message.encode("latin-1", "backslashreplace").decode("latin-1")
    return "".join(character if character.isprintable() else "?" for character in latin)


class _Envelope:
    """Adds a request id and CORS to every answer, also to errors, and answers preflights.

    The Admin API gets no CORS headers: its credentials do not belong in a page.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_open = _is_for_pages(scope["path"])
        headers = Headers(scope=scope)
        request_id = secrets.token_hex(16)
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                answer["X-Request-Id"] = request_id
                if is_open:
                    answer["Access-Control-Allow-Origin"] = "*"
                    answer["Access-Control-Expose-Headers"] = _EXPOSED
                    answer["Timing-Allow-Origin"] = "*"
            await send(message)

        if scope["method"] == "OPTIONS" and is_open and "access-control-request-method" in headers:
            await _preflight(headers)(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)


def _is_for_pages(path: str) -> bool:
    """Whether pages of any origin may use a path: delivery and the Upload API."""
    if not path.startswith("/v1_1/"):
        return True
    parts = path.split("/")
    return len(parts) == 5 and parts[3] in ("image", "video", "raw", "auto")


def _preflight(headers: Headers) -> Response:
    answer = {
        "Access-Control-Allow-Methods": "GET, HEAD, POST, OPTIONS",
        "Access-Control-Allow-Headers": headers.get(
            "access-control-request-headers",
            "Cache-Control, Content-Range, X-Requested-With, X-Unique-Upload-Id",
        ),
        "Access-Control-Max-Age": "1728000",
        "Vary": "Access-Control-Request-Headers",
    }
    if headers.get("access-control-request-private-network") == "true":
        answer["Access-Control-Allow-Private-Network"] = "true"
    return Response(status_code=200, headers=answer)
