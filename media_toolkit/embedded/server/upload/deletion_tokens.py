"""Tokens with which whoever uploaded an asset may take it back for ten minutes.

https://cloudinary.com/documentation/upload_images#deleting_client_side_uploaded_assets
"""

from __future__ import annotations

import hashlib
import hmac

from ..errors import ApiError

LIFETIME_SECONDS = 600
_LENGTH = 8 + 32 + 32


def deletion_token(asset_id: str, secret: str, now: float) -> str:
    """A token for the asset: when it ends, the asset_id, and a code over both, all in hex."""
    told = f"{int(now) + LIFETIME_SECONDS:08x}{asset_id}"
    return told + _code(told, secret)


def asset_id_of(token: str, secret: str, now: float) -> str:
    """The asset that a token is for; ApiError 400 when it is not genuine or has ended."""
    end, asset_id = token[:8], token[8:40]
    genuine = hmac.compare_digest(_code(end + asset_id, secret).encode(), token[40:].encode())
    if len(token) != _LENGTH or not genuine or int(end, 16) < now:
        raise ApiError(400, "Invalid token")
    return asset_id


def _code(told: str, secret: str) -> str:
    return hmac.new(f"delete {secret}".encode(), told.encode(), hashlib.sha256).hexdigest()[:32]
