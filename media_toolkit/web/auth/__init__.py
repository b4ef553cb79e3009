"""Who calls: the browser that signed in to the dashboard, the bearer of a token, or anybody.

`authenticate` gives every request its Identity; `origin` keeps other sites' pages out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from starlette.requests import Request

from media_toolkit.identity import Identity
from media_toolkit.settings import Settings
from media_toolkit.web.auth import bearer, cookie
from media_toolkit.web.auth.claims import user_id_of
from media_toolkit.web.refusals import NotSignedIn
from media_toolkit.web.service import auth_section, sign_in_required

_HINT = "sign in to the dashboard in this browser, or send Authorization: Bearer <ID token>"

__all__ = ["Caller", "authenticate", "user_id_of"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and how that is known.

    Attributes:
        by: `bearer` for a token, `cookie` for Streamlit's login, `none` where the settings
            ask nobody who they are. A browser sends the last two by itself, also for the
            page of another site.
    """

    identity: Identity
    by: Literal["bearer", "cookie", "none"]


def authenticate(request: Request, settings: Settings) -> Caller:
    """The caller of a request; blocks, as an issuer's keys may have to be fetched.

    A token that is not accepted is never passed over for a cookie.

    Raises:
        NotSignedIn: neither a login cookie nor a token that the issuer signed.
        Forbidden: the name is Cloudinary's. IssuerUnavailable: the issuer's keys cannot be had.
    """
    if not sign_in_required(settings):
        return Caller(Identity.of(settings.user_id, settings.admins), "none")
    scheme, _, token = request.headers.get("Authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return _known(bearer.claims_of(token.strip(), auth_section(), settings), settings, "bearer")
    return _known(cookie.claims_of(request), settings, "cookie")


def _known(
    claims: Mapping[str, Any], settings: Settings, by: Literal["bearer", "cookie"]
) -> Caller:
    user_id = user_id_of(claims)
    if not user_id:
        raise NotSignedIn("not signed in", hint=_HINT)
    return Caller(Identity.of(user_id, settings.admins), by)
