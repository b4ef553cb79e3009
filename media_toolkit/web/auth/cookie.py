"""Streamlit's login cookie, read outside a script run."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request

_COOKIE = "_streamlit_user"


def claims_of(request: Request) -> dict[str, Any]:
    """The claims in the cookie; empty when absent, forged, expired or of another origin.

    Streamlit has no public way to ask this outside a script run (checked with 1.67).
    """
    if not any(name.startswith(_COOKIE) for name in request.cookies):
        return {}
    from streamlit.auth_util import get_cookie_with_chunks, get_origin_from_redirect_uri
    from streamlit.web.server.server_util import get_cookie_secret
    from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value

    def read(name: str) -> bytes | None:
        value = request.cookies.get(name)
        return decode_signed_value(get_cookie_secret(), name, value) if value else None

    raw = get_cookie_with_chunks(read, _COOKIE)
    try:
        claims = json.loads(raw) if raw else {}
    except ValueError:
        return {}
    if not isinstance(claims, dict) or claims.pop("origin", None) != get_origin_from_redirect_uri():
        return {}
    return claims if claims.get("is_logged_in") else {}
