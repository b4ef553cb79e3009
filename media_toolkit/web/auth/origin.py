"""Pages of other sites: which may call, and which make a browser post against its user's will.

Streamlit's own CORS and XSRF settings do not reach custom routes (checked with 1.67).
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from media_toolkit.settings import Settings
from media_toolkit.web.auth import Caller
from media_toolkit.web.refusals import ForeignOrigin

_PREFLIGHT_S = 600
_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_DEFAULT_PORTS = {"http": 80, "https": 443}


def check_origin(request: Request, caller: Caller, settings: Settings) -> None:
    """Refuse what another site's page makes a browser send with its user's cookie.

    A token is not sent by a browser by itself, so its bearer may come from anywhere.

    Raises:
        ForeignOrigin: for an Origin that is neither ours nor in MEDIA_TOOLKIT_ORIGINS.
    """
    if request.method not in _CHANGING or caller.by == "bearer":
        return
    origin = request.headers.get("Origin")
    if origin is None:
        # Browsers without Origin tell the same by this; programs send neither.
        if request.headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin"):
            return
    elif origin in settings.origins or _is_own(origin, request):
        return
    raise ForeignOrigin(
        f"a page of {origin or 'another site'} may not post here",
        hint="name its origin in MEDIA_TOOLKIT_ORIGINS, or send a bearer token",
    )


def preflight(allow: str) -> Response:
    """The answer to OPTIONS; `allow_origin` adds what a named origin may do."""
    return Response(status_code=204, headers={"Allow": allow})


def allow_origin(request: Request, response: Response, allow: str, settings: Settings) -> None:
    """Let pages of a named origin read the answer; others get no CORS header at all."""
    if not settings.origins:
        return
    response.headers.append("Vary", "Origin")
    origin = request.headers.get("Origin")
    if origin not in settings.origins:
        return
    response.headers["Access-Control-Allow-Origin"] = origin
    response.headers["Access-Control-Expose-Headers"] = "Retry-After"
    if request.method == "OPTIONS":
        response.headers["Access-Control-Allow-Methods"] = allow
        response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type"
        response.headers["Access-Control-Max-Age"] = str(_PREFLIGHT_S)


def _is_own(origin: str, request: Request) -> bool:
    # Not the scheme: behind a proxy that ends TLS ours is http, and the browser's is https.
    try:
        parts = urlsplit(origin)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
        asked = urlsplit(f"//{request.headers.get('Host', '')}")
        own = (asked.hostname, asked.port or _DEFAULT_PORTS.get(parts.scheme))
    except ValueError:
        return False
    return parts.scheme in _DEFAULT_PORTS and (parts.hostname, port) == own
