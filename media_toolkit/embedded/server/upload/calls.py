"""What the calls of the Upload API have in common: who asks, for which asset, with what."""

from __future__ import annotations

import time
from collections.abc import Collection

from starlette.requests import Request

from ..cloud import Cloud
from ..errors import ApiError
from ..notifications import Origin, check_url
from ..protocol.authentication import check_upload
from ..protocol.form import Form, received
from .parameters import UPLOAD_TYPES, check_known

RESOURCE_TYPES = ("image", "video", "raw")
_ALWAYS = frozenset({"type", "notification_url", "batch_id"})


async def received_form(
    cloud: Cloud, request: Request, honoured: Collection[str], unsigned: Collection[str] = ()
) -> Form:
    """The parameters of a call that carries no file; ApiError when it is not to be trusted.

    `unsigned` names parameters that this endpoint leaves out of the signature.
    """
    async with received(request, cloud.blobs.incoming) as form:
        authenticate(cloud, request, form, unsigned)
        check_known(form, _ALWAYS | frozenset(honoured))
        return form


def authenticate(
    cloud: Cloud, request: Request, form: Form, unsigned: Collection[str] = ()
) -> None:
    """Take the query's parameters into the form and check its signature; ApiError if wrong."""
    add_query(request, form)
    authorization = request.headers.get("authorization")
    if not check_upload(form.fields, authorization, cloud.config, time.time(), unsigned):
        raise ApiError(401, "Missing credentials: sign the call or use HTTP Basic")


def add_query(request: Request, form: Form) -> None:
    """Take the parameters of the URL into the form, except those that the body has too."""
    in_body = set(form.fields)
    for name, value in request.query_params.multi_items():
        if name.partition("[")[0] not in in_body:
            form.add(name, value)


def origin(request: Request, form: Form) -> Origin:
    """The call, as notifications about what it did name it."""
    url = check_url(form.text("notification_url"))
    return Origin(request.state.request_id, url, form.text("batch_id") or None)


def required(form: Form, name: str) -> str:
    """A parameter that must be there."""
    value = form.text(name)
    if not value:
        raise ApiError(400, f"Missing required parameter - {name}")
    return value


def resource_type(request: Request) -> str:
    """The resource type in the path."""
    name: str = request.path_params["resource_type"]
    if name not in RESOURCE_TYPES:
        raise ApiError(400, f"Invalid resource type {name}")
    return name


def delivery_type(form: Form, parameter: str = "type", default: str = "upload") -> str:
    """The delivery type that a parameter names."""
    kind = form.text(parameter) or default
    if kind not in UPLOAD_TYPES:
        raise ApiError(400, f"Invalid value for parameter {parameter}: {kind}")
    return kind
