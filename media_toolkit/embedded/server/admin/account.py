"""The account: whether it is reachable, its settings, what it uses, and its tags.

https://cloudinary.com/documentation/admin_api#usage
"""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..cloud import Cloud
from ..errors import ApiError
from ..facts.formats import MAX_PIXELS, MAX_TOTAL_PIXELS
from ..protocol.form import MAX_FILE_BYTES
from ..responses import timestamp
from .request import after_text, max_results, page_end, query, resource_type

_KEPT_DAYS = 365


class AdminAccount:
    """The endpoints that tell about the whole cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._started = int(time.time())

    async def ping(self, request: Request) -> Response:
        """Whether the server is there and the credentials are right."""
        return JSONResponse({"status": "ok"})

    async def config(self, request: Request) -> Response:
        """The cloud's name, and with `settings` how its folders work."""
        form = query(request, ("settings",))
        created = await run_in_threadpool(self._cloud.records.created_at)
        answer: dict[str, object] = {
            "cloud_name": self._cloud.config.cloud_name,
            "created_at": timestamp(created or self._started),
        }
        if form.text("settings").lower() in ("1", "true"):
            answer["settings"] = {"folder_mode": "dynamic"}
        return JSONResponse(answer)

    async def usage(self, request: Request) -> Response:
        """How much is stored, and the limits that uploads meet; of today or of another day."""
        query(request, ())
        day = _day(request.path_params.get("date", ""))
        assets, derived, size = await run_in_threadpool(self._cloud.records.totals, _end_of(day))
        nothing = {"usage": 0, "credits_usage": 0.0}
        answer: dict[str, object] = {
            "plan": "Embedded",
            "last_updated": (day or datetime.now(UTC).date()).isoformat(),
            "date_requested": timestamp(int(time.time()) if day is None else _start_of(day)),
            "transformations": {"usage": derived, "credits_usage": 0.0},
            "objects": {"usage": assets + derived},
            "bandwidth": nothing,
            "storage": {"usage": size, "credits_usage": 0.0},
            "requests": 0,
            "resources": assets,
            "derived_resources": derived,
        }
        answer["media_limits"] = {
            "image_max_size_bytes": MAX_FILE_BYTES,
            "video_max_size_bytes": MAX_FILE_BYTES,
            "raw_max_size_bytes": MAX_FILE_BYTES,
            "image_max_px": MAX_PIXELS,
            "asset_max_total_px": MAX_TOTAL_PIXELS,
        }
        return JSONResponse(answer)

    async def tags(self, request: Request) -> Response:
        """The tags of a resource type's assets, by name."""
        form = query(request, ("max_results", "next_cursor", "prefix"))
        limit, kind = max_results(form), resource_type(request)
        found = await run_in_threadpool(
            self._cloud.records.tags, kind, form.text("prefix"), after_text(form), limit + 1
        )
        return JSONResponse({"tags": found[:limit], **page_end(found, limit, str)})


def _day(text: str) -> date | None:
    """A date as the SDKs write it, `25-12-2024`, or as ISO 8601 does."""
    if not text:
        return None
    for written in ("%d-%m-%Y", "%Y-%m-%d"):
        try:
            day = datetime.strptime(text, written).replace(tzinfo=UTC).date()
        except ValueError:
            continue
        today = datetime.now(UTC).date()
        if today - timedelta(days=_KEPT_DAYS) <= day <= today:
            return day
        raise ApiError(400, f"Invalid date {text}: usage is kept for a year")
    raise ApiError(400, f"Invalid date {text}")


def _start_of(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def _end_of(day: date | None) -> int | None:
    return None if day is None else _start_of(day) + 86_400
