"""Who calls a route: the browser that signed in to the dashboard, or the settings' user."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request

from media_toolkit.settings import Settings
from media_toolkit.web.service import sign_in_required

_COOKIE = "_streamlit_user"


def user_of(request: Request, settings: Settings) -> str | None:
    """The user id of a request, or None for a caller who has to sign in first."""
    if not sign_in_required(settings):
        return settings.user_id
    return user_id_of(_cookie_claims(request))


def user_id_of(claims: dict[str, Any]) -> str | None:
    """What stands in the table for somebody who signed in: the e-mail address, else `sub`."""
    return claims.get("email") or claims.get("sub")


def _cookie_claims(request: Request) -> dict[str, Any]:
    """The claims in Streamlit's login cookie; empty when absent, forged or of another origin.

    Streamlit has no public way to ask this outside a script run (checked with 1.67).
    """
    from streamlit.auth_util import get_cookie_with_chunks, get_origin_from_redirect_uri
    from streamlit.web.server.server_util import get_cookie_secret
    from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value

    def read(name: str) -> bytes | None:
        value = request.cookies.get(name)
        return decode_signed_value(get_cookie_secret(), name, value) if value else None

    raw = get_cookie_with_chunks(read, _COOKIE)
    claims: dict[str, Any] = json.loads(raw) if raw else {}
    return claims if claims.pop("origin", None) == get_origin_from_redirect_uri() else {}
