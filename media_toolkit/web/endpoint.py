"""Endpoint: method, caller, origin, rate, body and error shape, the same for every route."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from media_toolkit.errors import MediaToolkitError, SettingsError
from media_toolkit.toolkit import MediaToolkit
from media_toolkit.web.auth import Caller, authenticate
from media_toolkit.web.auth.host import check_host
from media_toolkit.web.auth.origin import allow_origin, check_origin, preflight
from media_toolkit.web.rates import RateLimit
from media_toolkit.web.refusals import (
    BadRequest,
    BodyTooLarge,
    BodyTooSlow,
    MethodNotAllowed,
    NotJson,
    refusal,
)
from media_toolkit.web.service import shared_kit

MAX_BODY_BYTES = 1_000_000
# What is still read, to be thrown away, so that its sender hears why it was refused.
_DRAINED_BYTES = 16_000_000
MAX_BODY_S = 60
_logger = logging.getLogger("media_toolkit.web")


@dataclass(frozen=True, slots=True)
class Call:
    """One request, read whole, with the kit that acts as its caller.

    Attributes:
        caller: None for an open endpoint, whose callers nobody asks who they are.
    """

    request: Request
    body: bytes
    kit: MediaToolkit
    caller: Caller | None


Handler = Callable[[Call], Response]


class Endpoint:
    """An ASGI application for one path. Handlers run in worker threads, as all is blocking.

    Args:
        handlers: method → what answers it.
        is_open: anybody may call, whoever they are; the handlers see to it themselves.
        is_limited: count its calls against the caller's MEDIA_TOOLKIT_RATE_LIMIT.
    """

    def __init__(
        self, handlers: Mapping[str, Handler], *, is_open: bool = False, is_limited: bool = False
    ) -> None:
        self._handlers = dict(handlers)
        self._is_open = is_open
        self._is_limited = is_limited
        self._rate: RateLimit | None = None
        self.allow = ", ".join(handlers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; every refusal is JSON of one shape."""
        request = Request(scope, receive)
        try:
            body = await _read(request)
        except ClientDisconnect:
            return
        except MediaToolkitError as error:
            # Closed, or the server would read on what is never to be answered.
            await refusal(error, {"Connection": "close"})(scope, receive, send)
            return
        response = await run_in_threadpool(self._answer, request, body)
        await response(scope, receive, send)

    def _answer(self, request: Request, body: bytes) -> Response:
        try:
            kit = shared_kit()
            try:
                response = self._handled(request, body, kit)
            except MediaToolkitError as error:
                if isinstance(error, SettingsError):
                    _logger.error("%s", error)
                allow = {"Allow": self.allow} if isinstance(error, MethodNotAllowed) else {}
                response = refusal(error, allow)
            allow_origin(request, response, self.allow, kit.settings)
        except MediaToolkitError as error:
            return refusal(error)
        except Exception:
            # The last wall: what went wrong is for the log, not for the caller.
            _logger.exception("%s %s failed", request.method, request.url.path)
            return refusal(
                MediaToolkitError("something went wrong here", hint="the server's log tells what")
            )
        return response

    def _handled(self, request: Request, body: bytes, kit: MediaToolkit) -> Response:
        handler = self._handlers.get(request.method)
        if handler is None and request.method == "OPTIONS":
            return preflight(self.allow)
        if handler is None:
            raise MethodNotAllowed(
                f"{request.method} is not allowed here", hint=f"use {self.allow}"
            )
        if self._is_open:
            return handler(Call(request, body, kit, None))
        caller = authenticate(request, kit.settings)
        if caller.by == "none":
            check_host(request.headers.get("Host"), kit.settings)
        check_origin(request, caller, kit.settings)
        if self._is_limited:
            self._count(request, caller, kit.settings.rate_limit)
        if body:
            _check_type(request)
        acting = kit.acting_as(caller.identity.user_id)
        return handler(Call(request, body, acting, caller))

    def _count(self, request: Request, caller: Caller, limit: int) -> None:
        if self._rate is None:
            self._rate = RateLimit(limit)
        # Where nobody is asked who they are, all are one user: at least not one machine's.
        host = request.client.host if caller.by == "none" and request.client else ""
        self._rate.take(f"{caller.identity.user_id} {host}")


def read_object(body: bytes) -> dict[str, Any]:
    """The body as a JSON object; BadRequest tells what it is instead."""
    try:
        parsed = json.loads(body, parse_float=_finite, parse_constant=_not_a_number)
    except RecursionError as error:
        raise BadRequest("the body is nested too deeply", hint="send an object") from error
    except ValueError as error:
        # What follows a semicolon is Python's advice to programmers.
        said = str(error).partition(";")[0]
        raise BadRequest(f"the body is not JSON: {said}", hint="send an object") from error
    if not isinstance(parsed, dict):
        raise BadRequest("the body is not a JSON object", hint='send {"name": value}')
    if b"\\u" in body:
        parsed = _storable(parsed)
    return dict(parsed)


def _storable(value: Any) -> Any:
    """Without what JSON can say and Postgres cannot keep: NUL, and halves of a character."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    return [_storable(item) for item in value] if isinstance(value, list) else value


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _not_a_number(text)


def _not_a_number(text: str) -> float:
    raise ValueError(f"{text[:20]} is no number")


def _check_type(request: Request) -> None:
    told = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if told and told != "application/json" and not told.endswith("+json"):
        raise NotJson(
            f"the body is {told[:80]}, not JSON", hint="send it as Content-Type: application/json"
        )


async def _read(request: Request) -> bytes:
    told = request.headers.get("Content-Length", "")
    chunks, size = [], 0
    try:
        async with asyncio.timeout(MAX_BODY_S):
            async for chunk in request.stream():
                size += len(chunk)
                if size <= MAX_BODY_BYTES:
                    chunks.append(chunk)
                elif size > _DRAINED_BYTES or (told.isdigit() and int(told) > _DRAINED_BYTES):
                    break
    except TimeoutError as error:
        raise BodyTooSlow(
            f"the body did not arrive in {MAX_BODY_S} s", hint="send it again"
        ) from error
    if size > MAX_BODY_BYTES:
        raise BodyTooLarge(
            f"the body is over {MAX_BODY_BYTES:,} bytes", hint="send what the upload answered"
        )
    return b"".join(chunks)
