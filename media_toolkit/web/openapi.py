"""The OpenAPI 3.1 description of the routes, as served at `/openapi.json`."""

from __future__ import annotations

from functools import cache
from typing import Any

from media_toolkit.web.schemas import UploadedAsset, WantedUpload

_REFUSED = {
    "type": "object",
    "required": ["success", "error", "hint"],
    "properties": {
        "success": {"const": False},
        "error": {"type": "string", "description": "what is wrong"},
        "hint": {"type": "string", "description": "what to do next, or empty"},
    },
}
_SIGNED = {
    "type": "object",
    "required": [
        *("success", "signature", "timestamp", "api_key", "cloud_name", "upload_url", "fields")
    ],
    "properties": {
        "success": {"const": True},
        "signature": {"type": "string"},
        "timestamp": {"type": "integer"},
        "api_key": {"type": "string"},
        "cloud_name": {"type": "string"},
        "upload_url": {"type": "string", "description": "where to POST, multipart/form-data"},
        "fields": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "all that is to be sent beside `file`, exactly as it stands",
        },
    },
}
_WHY = {
    400: "the body is not what is taken, or its signature is wrong",
    401: "the caller is not signed in, or what was sent is not signed",
    403: "the upload policy does not allow it, or another site's page posted it",
    404: "Cloudinary never saw the asset, or it was purged since",
    405: "another method; `Allow` names the right ones",
    409: "it belongs or may belong to another user, another asset has the name by now, or it was"
    " received before",
    408: "the body did not arrive in time",
    413: "the body is too large",
    415: "the body is said to be something else than JSON",
    421: "nobody is asked who they are, and Host is a name that the settings do not know",
    429: "too often; `Retry-After` says when again",
    500: "something went wrong here; the server's log tells what",
    502: "Cloudinary cannot be reached",
    503: "Postgres, or the issuer of tokens, cannot be reached",
}
# A body is read whatever the route and the method.
_ALWAYS = (405, 408, 413, 500)
_CALLER: list[dict[str, list[str]]] = [{"login": []}, {"token": []}]


@cache
def document() -> dict[str, Any]:
    """The description, as JSON values."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Media Toolkit",
            "version": "1",
            "description": "Signed uploads to Cloudinary, and what is saved of them. Where no"
            " sign-in is configured, nobody is asked who they are.",
        },
        "paths": {
            "/generate-signature": {
                "get": {
                    "operationId": "generateSignature",
                    "summary": "Sign one upload",
                    "security": _CALLER,
                    "responses": _answers(200, _SIGNED, 401, 403, 415, 421, 429, 503),
                },
                "post": {
                    "operationId": "generateSignatureFor",
                    "summary": "Sign one upload with the wanted parameters",
                    "security": _CALLER,
                    "requestBody": _body("WantedUpload", required=False),
                    "responses": _answers(*(200, _SIGNED, 400, 401, 403, 409, 415, 421, 429, 503)),
                },
            },
            "/save-metadata": {
                "post": {
                    "operationId": "saveMetadata",
                    "summary": "Save what was uploaded",
                    "security": _CALLER,
                    "requestBody": _body("UploadedAsset"),
                    "responses": _answers(
                        *(201, _success(), 400, 401, 403, 404, 409, 415, 421, 429, 502, 503)
                    ),
                }
            },
            "/webhooks/cloudinary": {
                "post": {
                    "operationId": "receiveNotification",
                    "summary": "Cloudinary tells what happened to an asset",
                    "security": [],
                    "parameters": [
                        _header("X-Cld-Timestamp", "Unix seconds"),
                        _header("X-Cld-Signature", "hex digest of body, timestamp and secret"),
                    ],
                    "requestBody": {
                        "required": True,
                        "content": {"application/json": {"schema": {"type": "object"}}},
                    },
                    "responses": _answers(
                        200,
                        _success(changed={"type": "integer", "description": "rows changed"}),
                        *(400, 401, 409, 503),
                    ),
                }
            },
            "/openapi.json": {
                "get": {
                    "operationId": "openapi",
                    "summary": "This document",
                    "security": [],
                    "responses": _answers(200, {"type": "object"}),
                }
            },
        },
        "components": {
            "schemas": {
                "Refused": _REFUSED,
                "WantedUpload": WantedUpload.model_json_schema(),
                "UploadedAsset": UploadedAsset.model_json_schema(),
            },
            "securitySchemes": {
                "login": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "_streamlit_user",
                    "description": "set by the dashboard's sign-in",
                },
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            },
        },
    }


def _answers(status: int, schema: dict[str, Any], *refused: int) -> dict[str, Any]:
    reference = {"$ref": "#/components/schemas/Refused"}
    return {
        str(status): _answer("done", schema),
        **{str(code): _answer(_WHY[code], reference) for code in sorted({*refused, *_ALWAYS})},
    }


def _answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _success(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["success", *properties],
        "properties": {"success": {"const": True}, **properties},
    }


def _body(name: str, required: bool = True) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {"required": required, "content": {"application/json": {"schema": schema}}}


def _header(name: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": True,
        "description": description,
        "schema": {"type": "string"},
    }
