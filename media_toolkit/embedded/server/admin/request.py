"""Reading Admin API requests: parameters from query and body, page sizes and cursors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from starlette.requests import Request

from ..cloud import Cloud
from ..errors import ApiError
from ..protocol.form import Form, received
from ..upload.parameters import UPLOAD_TYPES

T = TypeVar("T")

# Types that Cloudinary lists and this server never stores: a listing of them is empty.
_OTHER_TYPES = frozenset(
    {"asset", "facebook", "fetch", "gravatar", "list", "multi", "sprite", "text", "twitter"}
    | {"twitter_name", "instagram_name", "youtube", "vimeo", "dailymotion", "hulu", "animoto"}
    | {"worldstarhiphop", "url2png", "facebook_name"}
)
RESOURCE_TYPES = ("image", "raw", "video")
MAX_RESULTS = 500
MAX_IDS = 100


def query(request: Request, known: Iterable[str]) -> Form:
    """The parameters of the query string. ApiError 400 for one that is not `known`."""
    form = Form()
    for name, value in request.query_params.multi_items():
        form.add(name, value)
    check_parameters(form, known)
    return form


async def body(cloud: Cloud, request: Request, known: Iterable[str] | None = None) -> Form:
    """The parameters of body and query. ApiError 400 for one that is not `known`."""
    async with received(request, cloud.blobs.incoming) as form:
        for name, value in request.query_params.multi_items():
            form.add(name, value)
        if known is not None:
            check_parameters(form, known)
        return form


def check_parameters(form: Form, known: Iterable[str]) -> None:
    """ApiError 400 for the first parameter that is set and not `known`."""
    for name in form.fields:
        value = form.text(name)
        if name not in known and value and value.lower() not in ("0", "false"):
            raise ApiError(400, f"Unsupported parameter on this server - {name}")


def required(form: Form, name: str) -> str:
    """A parameter's text. ApiError 400 when it is missing."""
    value = form.text(name)
    if not value:
        raise ApiError(400, f"Missing required parameter - {name}")
    return value


def max_results(form: Form, default: int = 10) -> int:
    """The page size, at most 500. ApiError 400 when it is no positive number."""
    text = form.text("max_results") or str(default)
    if not text.isascii() or not text.isdigit() or int(text[:9]) < 1:
        raise ApiError(400, f"Invalid value for parameter max_results: {text}")
    return min(int(text[:9]), MAX_RESULTS)


def resource_type(request: Request) -> str:
    """The path's resource type. ApiError 400 when there is none such."""
    name: str = request.path_params["resource_type"]
    if name not in RESOURCE_TYPES:
        raise ApiError(400, f"Invalid resource type {name}")
    return name


def delivery_type(request: Request) -> str | None:
    """The path's delivery type, if it has one. ApiError 400 when there is none such."""
    kind: str | None = request.path_params.get("type")
    if kind is not None and kind not in UPLOAD_TYPES and kind not in _OTHER_TYPES:
        raise ApiError(400, f"Invalid value for parameter type: {kind}")
    return kind


def text_cursor(last: str) -> str:
    """The cursor after a row that is known by a text."""
    return last.encode().hex()


def after_text(form: Form) -> str:
    """The text that `text_cursor` made the form's cursor of. ApiError 400 when it did not."""
    given = form.text("next_cursor")
    try:
        return bytes.fromhex(given).decode()
    except ValueError as error:
        raise ApiError(400, f"Invalid value for parameter next_cursor: {given}") from error


def page_end(found: Sequence[T], limit: int, name: Callable[[T], str]) -> dict[str, str]:
    """The `next_cursor` when more was found than fits on the page."""
    if len(found) <= limit:
        return {}
    return {"next_cursor": text_cursor(name(found[limit - 1]))}
