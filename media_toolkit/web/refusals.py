"""What is wrong with a request itself: the errors that only the HTTP API knows."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import JSONResponse

from media_toolkit.errors import MediaToolkitError


class BadRequest(MediaToolkitError):
    """Raised for a body that is not what the endpoint takes."""

    http_status = 400


class BodyTooLarge(MediaToolkitError):
    """Raised for a body over the endpoint's bound."""

    http_status = 413


class BodyTooSlow(MediaToolkitError):
    """Raised for a body that does not arrive in time."""

    http_status = 408
    is_retryable = True


class NotJson(MediaToolkitError):
    """Raised for a body that is said to be something else."""

    http_status = 415


class NotSignedIn(MediaToolkitError):
    """Raised for a caller who is not known, or whose token is not accepted."""

    http_status = 401


class ForeignOrigin(MediaToolkitError):
    """Raised when another site's page makes a browser post here."""

    http_status = 403


class ForeignHost(MediaToolkitError):
    """Raised where nobody is asked who they are, for a name that is not known to be ours."""

    http_status = 421


class IssuerUnavailable(MediaToolkitError):
    """Raised when the OIDC issuer's keys cannot be had."""

    http_status = 503
    is_retryable = True


class MethodNotAllowed(MediaToolkitError):
    """Raised for a method that the path does not have."""

    http_status = 405


class NoSuchPath(MediaToolkitError):
    """Raised for a path under ours that is none."""

    http_status = 404


def refusal(error: MediaToolkitError, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The one shape of every error: `{"success": false, "error": "…", "hint": "…"}`."""
    said = dict(headers or {})
    if error.retry_after_s is not None:
        said["Retry-After"] = str(max(1, round(error.retry_after_s)))
    if error.http_status == 401:
        said["WWW-Authenticate"] = 'Bearer realm="media_toolkit"'
    body = {"success": False, "error": error.message, "hint": error.hint}
    return JSONResponse(body, error.http_status, headers=said | {"Cache-Control": "no-store"})
