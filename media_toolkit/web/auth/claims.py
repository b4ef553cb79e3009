"""What an issuer says of somebody → the user id that stands in the table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def user_id_of(claims: Mapping[str, Any]) -> str | None:
    """The e-mail address, else `sub`; None where neither is told.

    An address that the issuer says it has not verified is anybody's to enter: not an identity.
    """
    email = claims.get("email")
    if email and isinstance(email, str) and claims.get("email_verified", True) in (True, "true"):
        return email
    subject = claims.get("sub")
    return subject if subject and isinstance(subject, str) else None
