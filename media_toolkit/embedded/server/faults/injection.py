"""Faults on purpose: a bad day with Cloudinary, to test other programs against.

latency=0.5                        every call waits half a second
status=503,share=0.2               a fifth of the calls, at random, are answered 503
status=420,path=/resources,times=3 the next three calls to such a path are rate limited
drop=before                        connections are closed before anything is done
drop=after,path=/upload            ... after the asset was stored, without an answer
truncate=0.5                       half of the answer arrives, then the connection closes
limit=10                           more than ten Admin calls in an hour are answered 420
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import ApiError

_STATUSES = range(400, 600)
_DROPS = ("before", "after")
# Admin calls an hour on Cloudinary's free plan.
_USUAL_LIMIT = 500
FAULTS_PATH = "/_faults"
MAX_FAULTS = 100
MAX_LATENCY_S = 600.0


@dataclass
class Fault:
    """One fault and the calls that it meets.

    `path` is a part of the path, `method` a method; `share` is the probability of meeting it,
    `times` how often it still happens, for ever when None.
    """

    latency: float | None = None
    status: int | None = None
    drop: str | None = None
    truncate: float | None = None
    limit: int | None = None
    path: str = ""
    method: str = ""
    share: float = 1.0
    times: int | None = None

    def meets(self, scope: Scope) -> bool:
        """Whether a call is to suffer; counts it if so."""
        if self.path not in scope["path"] or self.method not in ("", scope["method"]):
            return False
        if self.times == 0 or random.random() >= self.share:
            return False
        if self.times is not None:
            self.times -= 1
        return True


def parse_fault(text: str) -> Fault:
    """Read `name=value,name=value`; ApiError 400 names what is not understood."""
    values: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        if not equals or name in values:
            raise ApiError(400, f"Invalid fault: {text}")
        values[name.strip()] = value.strip()
    return fault_of(values)


def fault_of(values: dict[str, Any]) -> Fault:
    """A fault from its fields; ApiError 400 names what is not understood."""
    readers = {"latency": float, "status": int, "truncate": float, "limit": int}
    readers |= {"share": float, "times": int}
    known = {one.name for one in fields(Fault)}
    made: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            raise ApiError(400, f"Unknown part of a fault - {name}")
        if value is None:
            continue
        try:
            made[name] = readers.get(name, str)(value)
        except (TypeError, ValueError) as error:
            raise ApiError(400, f"Invalid value in a fault - {name}: {value}") from error
    fault = Fault(**made)
    checks = {
        "latency": fault.latency is None or 0 <= fault.latency <= MAX_LATENCY_S,
        "status": fault.status is None or fault.status in _STATUSES,
        "drop": fault.drop in (None, *_DROPS),
        "truncate": fault.truncate is None or 0 <= fault.truncate < 1,
        "limit": fault.limit is None or fault.limit >= 0,
        "share": 0 <= fault.share <= 1,
        "times": fault.times is None or fault.times >= 0,
    }
    for name, is_good in checks.items():
        if not is_good:
            raise ApiError(400, f"Invalid value in a fault - {name}: {getattr(fault, name)}")
    kinds = (fault.latency, fault.status, fault.drop, fault.truncate, fault.limit)
    if all(kind is None for kind in kinds):
        raise ApiError(400, "A fault needs latency, status, drop, truncate or limit")
    return fault


class Faults:
    """The faults that are in force; from the event loop, for middleware and the admin route."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._faults = [parse_fault(text) for text in texts]
        self._calls: dict[int, int] = {}
        self._hour = 0

    def add(self, fault: Fault) -> None:
        """Put one more fault in force."""
        if len(self._faults) >= MAX_FAULTS:
            raise ApiError(400, f"Too many faults: at most {MAX_FAULTS}")
        self._faults.append(fault)

    def clear(self) -> None:
        """End all faults."""
        self._faults.clear()
        self._calls.clear()

    def told(self) -> list[dict[str, Any]]:
        """What is in force, as JSON."""
        return [
            {name: value for name, value in asdict(fault).items() if value not in (None, "")}
            for fault in self._faults
        ]

    def met_by(self, scope: Scope) -> list[Fault]:
        """The faults that a call is to suffer."""
        return [fault for fault in self._faults if fault.meets(scope)]

    def remaining(self, fault: Fault) -> int:
        """Count a call against an hourly limit; how many are left, negative for one too many."""
        hour = int(time.time()) // 3600
        if hour != self._hour:
            self._hour, self._calls = hour, {}
        self._calls[id(fault)] = self._calls.get(id(fault), 0) + 1
        return (fault.limit or 0) - self._calls[id(fault)]


class FaultyDay:
    """Middleware that makes calls suffer; the route that governs it is spared."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self._app = app
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].endswith(FAULTS_PATH):
            await self._app(scope, receive, send)
            return
        faults = self._faults.met_by(scope)
        for fault in faults:
            if fault.latency is not None:
                await asyncio.sleep(fault.latency)
        for fault in faults:
            if fault.limit is not None and _is_limited(scope):
                remaining = self._faults.remaining(fault)
                if remaining < 0:
                    await _refuse(420, send, fault.limit)
                    return
                send = _telling(send, fault.limit, remaining)
            if fault.status is not None:
                await _refuse(fault.status, send)
                return
            if fault.drop == "before":
                await _hang_up(receive)
                return
        shares = [fault.truncate for fault in faults if fault.truncate is not None]
        if any(fault.drop == "after" for fault in faults):
            await self._answer_of(scope, receive)
            await _hang_up(receive)
        elif shares:
            start, body = await self._answer_of(scope, receive)
            headers = [pair for pair in start["headers"] if pair[0] != b"content-length"]
            length = str(len(body)).encode()
            await send({**start, "headers": [*headers, (b"content-length", length)]})
            part = body[: int(len(body) * min(shares))]
            await send({"type": "http.response.body", "body": part, "more_body": True})
            await _hang_up(receive)
        else:
            await self._app(scope, receive, send)

    async def _answer_of(self, scope: Scope, receive: Receive) -> tuple[Message, bytes]:
        """Do the call and keep its answer back."""
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await self._app(scope, receive, keep)
        return messages[0], b"".join(message.get("body", b"") for message in messages)


async def _hang_up(receive: Receive) -> None:
    """Close the connection under the ASGI server, which has no word for it."""
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is None:
        raise RuntimeError("this ASGI server does not let a connection be dropped")
    transport.close()
    # The server must have noticed, or it takes a call without an answer for a mistake.
    while (await receive())["type"] != "http.disconnect":
        pass


def _telling(send: Send, limit: int, remaining: int) -> Send:
    """A `send` whose answers tell of the hourly limit."""

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message["headers"])
            headers["X-FeatureRateLimit-Limit"] = str(limit)
            headers["X-FeatureRateLimit-Remaining"] = str(remaining)
        await send(message)

    return told


def _is_limited(scope: Scope) -> bool:
    """Cloudinary limits the Admin API, not uploads and not delivery."""
    parts = scope["path"].split("/")
    return parts[1] == "v1_1" and (
        len(parts) < 4 or parts[3] not in ("image", "video", "raw", "auto")
    )


async def _refuse(status: int, send: Send, limit: int = _USUAL_LIMIT) -> None:
    """Answer as Cloudinary does when it refuses or fails; 420 with its headers."""
    message = f"Error on purpose: status {status}"
    headers = {"Content-Type": "application/json; charset=utf-8", "X-Cld-Error": message}
    if status in (420, 429):
        reset = (int(time.time()) // 3600 + 1) * 3600
        moment = datetime.fromtimestamp(reset, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        message = f"Rate Limit Exceeded. Limit of {limit} api operations reached."
        message += f" Try again on {moment}"
        headers |= {
            "X-Cld-Error": message,
            "X-FeatureRateLimit-Limit": str(limit),
            "X-FeatureRateLimit-Remaining": "0",
            "X-FeatureRateLimit-Reset": formatdate(reset, usegmt=True),
        }
    body = json.dumps({"error": {"message": message}}).encode()
    headers["Content-Length"] = str(len(body))
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})
