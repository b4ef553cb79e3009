"""Who may call: request signatures of the Upload API and HTTP Basic.

Rules: https://cloudinary.com/documentation/authentication_signatures
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from ..config import ServerConfig
from ..errors import ApiError

Fields = Mapping[str, str | list[str]]

VALID_SECONDS = 3600
_UNSIGNED = frozenset({"file", "cloud_name", "resource_type", "api_key", "signature"})
_ALGORITHMS = {40: hashlib.sha1, 64: hashlib.sha256}


def string_to_sign(fields: Fields, version: int = 2, unsigned: Collection[str] = ()) -> str:
    """Sorted `k=v` pairs joined by `&`: blanks dropped, lists joined by commas.

    Version 2 writes `&` inside a pair as `%26`, version 1 as it is.
    """
    pairs = []
    for key, value in fields.items():
        text = ",".join(value) if isinstance(value, list) else value
        if text and key not in _UNSIGNED and key not in unsigned:
            pair = f"{key}={text}"
            pairs.append(pair.replace("&", "%26") if version >= 2 else pair)
    return "&".join(sorted(pairs))


def check_upload(
    fields: Fields,
    authorization: str | None,
    config: ServerConfig,
    now: float,
    unsigned: Collection[str] = (),
) -> bool:
    """Accept an Upload API call by HTTP Basic or by signature, or raise ApiError.

    False for an upload that is meant to be unsigned: only a preset can let it in.
    `unsigned` names parameters that this endpoint leaves out of the signature.
    """
    if authorization is not None:
        check_basic(authorization, config)
        return True
    if not fields.get("signature") and (fields.get("upload_preset") or not fields.get("api_key")):
        return False
    for name in ("api_key", "timestamp", "signature"):
        if not fields.get(name):
            raise ApiError(400, f"Missing required parameter - {name}")
    api_key, stamp, signature = (
        str(fields[name]) for name in ("api_key", "timestamp", "signature")
    )
    if not _same(api_key, config.api_key):
        raise ApiError(401, f"Unknown API key {api_key}")
    if not _signature_matches(fields, signature, config.api_secret, unsigned):
        signed = string_to_sign(fields, 2, unsigned)
        raise ApiError(401, f"Invalid Signature {signature}. String to sign - '{signed}'.")
    _check_time(stamp, now)
    return True


def check_basic(authorization: str | None, config: ServerConfig) -> None:
    """Accept `Authorization: Basic <key:secret>`, or raise ApiError."""
    scheme, _, encoded = (authorization or "").strip().partition(" ")
    if scheme.lower() == "bearer":
        raise ApiError(401, "Invalid OAuth token: use a signature or HTTP Basic")
    if scheme.lower() != "basic":
        raise ApiError(401, "Must supply credentials: HTTP Basic with the API key and secret")
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ApiError(401, "Invalid credentials") from error
    key, _, secret = decoded.partition(":")
    if not _same(key, config.api_key):
        raise ApiError(401, "unknown api_key")
    if not _same(secret, config.api_secret):
        raise ApiError(401, "api_secret mismatch")


def _signature_matches(
    fields: Fields, signature: str, secret: str, unsigned: Collection[str]
) -> bool:
    algorithm = _ALGORITHMS.get(len(signature))
    if algorithm is None:
        return False
    expected = (
        algorithm((string_to_sign(fields, version, unsigned) + secret).encode()).hexdigest()
        for version in (1, 2)
    )
    return any(_same(signature, digest) for digest in expected)


def _check_time(stamp: str, now: float) -> None:
    if not stamp.isascii() or not stamp.isdigit() or len(stamp) > 11:
        raise ApiError(400, f"Invalid timestamp {stamp}")
    age = now - int(stamp)
    if abs(age) > VALID_SECONDS:
        reported = datetime.fromtimestamp(int(stamp), UTC).strftime("%Y-%m-%d %H:%M:%S +0000")
        side = "ago" if age > 0 else "in the future"
        raise ApiError(
            400,
            f"Stale request - reported time is {reported} which is more than 1 hour {side}",
        )


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())
