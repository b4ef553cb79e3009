"""Signatures: of uploads that a browser will send, and of what Cloudinary answers.

The official SDK computes every digest; this module decides what is signed, and sends exactly
the strings that were signed. Rules and test vectors:
https://cloudinary.com/documentation/authentication_signatures
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cloudinary import utils as sdk

from media_toolkit.errors import SignatureError, UploadError
from media_toolkit.response import context_text
from media_toolkit.settings import CloudAccount

# Version 2 escapes `&` in values, so that a public_id cannot smuggle in another parameter.
REQUEST_SIGNATURE_VERSION = 2
# Responses are signed in the version-1 form whatever the request used:
# https://cloudinary.com/documentation/response_signatures
RESPONSE_SIGNATURE_VERSION = 1
SIGNATURE_LIFETIME_S = 3600


@dataclass(frozen=True, slots=True)
class SignedUpload:
    """What a browser needs to upload one file straight to Cloudinary.

    Attributes:
        url: where to POST, multipart/form-data.
        fields: form fields to send with `file`, exactly as they stand: all are strings.
        expires_at: Unix seconds after which Cloudinary answers `Stale request`.
    """

    url: str
    fields: Mapping[str, str]
    expires_at: int


def now() -> int:
    """Unix seconds, as `timestamp` wants them."""
    return int(time.time())


def sign_parameters(parameters: Mapping[str, Any], api_secret: str, algorithm: str = "sha1") -> str:
    """The hex digest with which Cloudinary checks an upload's parameters.

    Args:
        parameters: as they will be sent; None and "" are left out, lists join with commas.
        algorithm: `sha1` (40 digits) or `sha256` (64 digits).
    """
    return str(
        sdk.api_sign_request(dict(parameters), api_secret, algorithm, REQUEST_SIGNATURE_VERSION)
    )


def sign_upload(
    account: CloudAccount,
    resource_type: str = "auto",
    timestamp: int | None = None,
    **options: Any,
) -> SignedUpload:
    """Sign an upload with the given options (folder, tags, context, public_id, eager …).

    Args:
        resource_type: image, video, raw or auto: chooses the URL, lies outside the signature.
        timestamp: Unix seconds, now unless given; Cloudinary accepts it for an hour.
        options: the SDK's upload options, e.g. `tags=["a", "b"]`, `context={"alt": "…"}`.

    Raises:
        UploadError: for an option that Cloudinary's upload does not have.
    """
    timestamp = now() if timestamp is None else timestamp
    fields = serialize_options(options) | {"timestamp": str(timestamp)}
    signature = sign_parameters(fields, account.api_secret.get_secret_value())
    return SignedUpload(
        url=upload_url(account, resource_type),
        fields=fields | {"signature": signature, "api_key": account.api_key},
        expires_at=timestamp + SIGNATURE_LIFETIME_S,
    )


def serialize_options(options: Mapping[str, Any]) -> dict[str, str]:
    """Upload options → the strings that are both signed and sent; a context as it is read back.

    Raises:
        UploadError: naming the options that Cloudinary's upload does not have.
    """
    unknown = sorted(set(options) - set(sdk.upload_params) - {"timestamp", "source"})
    if unknown:
        raise UploadError(
            f"unknown upload option {', '.join(unknown)}",
            hint="see https://cloudinary.com/documentation/image_upload_api_reference",
            ids=tuple(unknown),
        )
    if isinstance(context := options.get("context"), Mapping):
        known = {key: context_text(value) for key, value in context.items() if value is not None}
        options = {**options, "context": known}
    built = sdk.cleanup_params(sdk.build_upload_params(**{"upload_preset": None, **options}))
    built.pop("timestamp", None)
    if options.get("source"):
        # Cloudinary's upload widget sends and signs it; the SDK does not know it.
        built["source"] = options["source"]
    return {
        name: ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        for name, value in built.items()
    }


def upload_url(account: CloudAccount, resource_type: str = "auto", action: str = "upload") -> str:
    """`<prefix>/v1_1/<cloud>/<resource_type>/<action>`."""
    return f"{account.upload_prefix}/v1_1/{account.cloud_name}/{resource_type}/{action}"


def response_signature(public_id: str, version: int | str, api_secret: str, digits: int) -> str:
    """The signature that Cloudinary puts into its answer; `digits` 64 means SHA-256."""
    algorithm = "sha256" if digits == 64 else "sha1"
    pair = {"public_id": public_id, "version": str(version)}
    return str(sdk.api_sign_request(pair, api_secret, algorithm, RESPONSE_SIGNATURE_VERSION))


def verify_response(response: Mapping[str, Any], api_secret: str) -> None:
    """Check, in constant time, that Cloudinary wrote this answer.

    Only public_id and version are covered: what else it says is the sender's word.

    Raises:
        SignatureError: when the signature is absent or does not match.
    """
    public_id, version = str(response.get("public_id", "")), str(response.get("version", ""))
    signature = str(response.get("signature", ""))
    expected = response_signature(public_id, version, api_secret, len(signature))
    if not public_id or not hmac.compare_digest(expected.encode(), signature.encode()):
        raise SignatureError(
            f"the response for {public_id or 'an unnamed asset'} was not signed by this account",
            hint="save the answer of the upload unchanged, from the account in the settings",
            ids=(public_id,),
        )
