"""Asset: the one record that travels everywhere (Cloudinary response ⇄ table row)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from media_toolkit.errors import SignatureError
from media_toolkit.response import (
    UNREADABLE,
    extension,
    flat_context,
    read_moment,
    read_seconds,
    read_tags,
    read_text,
    read_whole,
    refusal,
    refuse_no_list,
    shown,
)

RESOURCE_TYPES = ("image", "video", "raw")
# What the SDKs, and this package, call bytes that come without a name.
_UNNAMED = "file"
DELIVERY_TYPE = re.compile(r"[a-z_]{1,40}")


@dataclass(frozen=True, slots=True)
class Asset:
    """One asset in Cloudinary, with the facts that Postgres keeps about it.

    The fields are the columns of `cloudinary_files` in their order, less the row's `id`.

    Attributes:
        asset_id: Cloudinary's immutable id, 32 hexadecimal digits; None for rows of the guide.
        public_id: unique within (resource_type, delivery_type) only.
        media_url: the delivery URL of the original.
        version: Cloudinary's, Unix seconds of the last upload.
        width, height: pixels. duration: seconds. bytes: of the original.
        context: custom metadata as a flat mapping. tags: in Cloudinary's order.
        raw: the whole response, as received, without its signature.
    """

    public_id: str
    media_url: str
    resource_type: str
    user_id: str
    id: int | None = None
    asset_id: str | None = None
    delivery_type: str = "upload"
    upload_timestamp: datetime | None = None
    version: int | None = None
    format: str | None = None
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    bytes: int | None = None
    tags: tuple[str, ...] = ()
    context: Mapping[str, str] = field(default_factory=dict)
    folder: str | None = None
    original_filename: str | None = None
    etag: str | None = None
    phash: str | None = None
    created_at: datetime | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_response(cls, response: Mapping[str, Any], user_id: str) -> Self:
        """Read an upload response, an `explicit` answer or an Admin listing's item.

        Unknown fields are kept in `raw` and otherwise passed over, as Cloudinary asks of
        parsers (https://cloudinary.com/documentation/admin_api).

        Raises:
            SignatureError: when public_id, a URL or resource_type is absent, or a field is
                not what Cloudinary would send: not a response. It names the field.
        """
        try:
            return cls._read(response, user_id)
        except UNREADABLE as error:
            raise refusal(response, error) from error

    @classmethod
    def from_responses(cls, responses: Iterable[Mapping[str, Any]], user_id: str) -> Iterator[Self]:
        """Read any number, one after the other.

        Raises:
            SignatureError: as `from_response`, with which of them it is; or when `responses` is
                no list of any: at once.
        """
        refuse_no_list(responses)
        return cls._each(responses, user_id)

    @classmethod
    def _each(cls, responses: Iterable[Mapping[str, Any]], user_id: str) -> Iterator[Self]:
        for number, response in enumerate(responses, 1):
            try:
                asset = cls.from_response(response, user_id)
            except SignatureError as error:
                error.message = f"response {number:,}: {error.message}"
                raise
            yield asset

    @classmethod
    def _read(cls, response: Mapping[str, Any], user_id: str) -> Self:
        if not isinstance(response, Mapping):
            raise TypeError(f"{type(response).__name__} is not a mapping")
        url = response.get("secure_url") or response.get("url")
        public_id, resource_type = response.get("public_id"), response.get("resource_type")
        if not (public_id and resource_type and url):
            needed = {"public_id": public_id, "resource_type": resource_type, "secure_url": url}
            missing = ", ".join(name for name, value in needed.items() if not value)
            named = f" in {shown(public_id)}" if public_id else ""
            raise SignatureError(
                f"not a Cloudinary response: {missing} missing{named}",
                hint="pass the whole JSON that the upload answered",
                ids=(str(public_id),) if public_id else (),
            )
        if resource_type not in RESOURCE_TYPES:
            raise ValueError(f"unknown resource_type {resource_type!r}")
        delivery_type = str(response.get("type") or "upload")
        if delivery_type != "upload" and not DELIVERY_TYPE.fullmatch(delivery_type):
            raise ValueError(f"unknown type {delivery_type!r}")
        public_id, url = read_text(public_id), read_text(url)
        raw = dict(response)
        raw.pop("signature", None)
        raw.pop("api_key", None)
        # Accounts with dynamic folders answer asset_folder, with fixed folders the id's path is it.
        folder = read_text(response.get("asset_folder") or response.get("folder") or "")
        return cls(
            public_id=public_id,
            media_url=url,
            resource_type=str(resource_type),
            user_id=user_id,
            asset_id=response.get("asset_id") or None,
            delivery_type=delivery_type,
            version=read_whole(response.get("version")),
            format=response.get("format") or extension(url),
            width=read_whole(response.get("width")),
            height=read_whole(response.get("height")),
            duration=read_seconds(response.get("duration")),
            bytes=read_whole(response.get("bytes")),
            tags=read_tags(response.get("tags")),
            context=flat_context(response.get("context")),
            folder=folder.strip("/") or public_id.rpartition("/")[0].strip("/"),
            original_filename=response.get("original_filename"),
            etag=response.get("etag"),
            phash=response.get("phash"),
            created_at=read_moment(response.get("created_at")),
            raw=raw,
        )

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Read a row of `cloudinary_files`; columns that an Asset does not have are ignored."""
        values = {name: row[name] for name in cls.__dataclass_fields__ if name in row}
        values["tags"] = tuple(values.get("tags") or ())
        values["context"] = dict(values.get("context") or {})
        values["raw"] = values.get("raw") or {}
        return cls(**values)

    @property
    def name(self) -> str:
        """What a person calls it: the original file's name, or the last part of the public_id."""
        if self.original_filename and self.original_filename != _UNNAMED:
            return self.original_filename
        return self.public_id.rpartition("/")[2]

    @property
    def identity(self) -> tuple[str, str, str]:
        """What makes it this asset: (resource_type, delivery_type, public_id)."""
        return self.resource_type, self.delivery_type, self.public_id

    def __str__(self) -> str:
        return f"{self.resource_type}/{self.delivery_type}/{self.public_id}"
