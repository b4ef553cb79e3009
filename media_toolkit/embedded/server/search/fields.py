"""The fields that an expression may name, as SQL over the columns of `assets`.

https://cloudinary.com/documentation/search_expressions#expression_fields
"""

from __future__ import annotations

from dataclasses import dataclass

from .values import BYTES, PLAIN

FILENAME = "substr(public_id, length(rtrim(public_id, replace(public_id, '/', ''))) + 1)"
FOLDER = "rtrim(rtrim(public_id, replace(public_id, '/', '')), '/')"


@dataclass(frozen=True)
class Field:
    """`kind` is text, choice, path, boolean, number, date, ratio, tags or context.

    `sql` is its value.
    """

    kind: str
    sql: str
    units: dict[str, float] | None = None


def _numbers(**columns: str) -> dict[str, Field]:
    return {name: Field("number", sql, PLAIN) for name, sql in columns.items()}


FIELDS: dict[str, Field] = {
    "public_id": Field("text", "public_id"),
    "asset_id": Field("choice", "asset_id"),
    "filename": Field("text", FILENAME),
    "display_name": Field("text", "display_name"),
    "asset_folder": Field("path", "asset_folder"),
    "folder": Field("path", FOLDER),
    "tags": Field("tags", "tags"),
    "context": Field("context", "context"),
    "format": Field("choice", "format"),
    "resource_type": Field("choice", "resource_type"),
    "type": Field("choice", "type"),
    "status": Field("choice", "'active'"),
    "access_mode": Field(
        "choice",
        "coalesce(json_extract(extras, '$.access_mode'),"
        " case type when 'authenticated' then 'authenticated' else 'public' end)",
    ),
    "moderation_status": Field("choice", "json_extract(extras, '$.moderation[0].status')"),
    "moderation_kind": Field("choice", "json_extract(extras, '$.moderation[0].kind')"),
    "grayscale": Field("boolean", "json_extract(extras, '$.grayscale')"),
    "face_count": Field("number", "coalesce(json_array_length(extras, '$.faces'), 0)", PLAIN),
    "etag": Field("choice", "etag"),
    "bytes": Field("number", "bytes", BYTES),
    "aspect_ratio": Field("ratio", "(1.0 * width / height)"),
    "created_at": Field("date", "created_at"),
    "uploaded_at": Field("date", "uploaded_at"),
    "updated_at": Field("date", "uploaded_at"),
    "last_updated.updated_at": Field("date", "uploaded_at"),
} | _numbers(
    duration="json_extract(extras, '$.media.duration')",
    width="width",
    height="height",
    pixels="(width * height)",
    pages="pages",
    version="version",
)

# Known to Cloudinary: to match nothing, as an unknown field does, would be a wrong answer.
UNSUPPORTED = frozenset(
    {"accessibility_analysis", "auto_tagging", "background_removal", "colors", "created_by"}
    | {"faces", "illustration_score", "image_analysis", "image_metadata", "initial_dpi"}
    | {"metadata", "moderation", "pages_count", "quality_analysis", "quality_score"}
    | {"taken_at", "transformations", "uploaded_by", "video_pixels", "image_pixels"}
    | {"backup_bytes", "has_audio", "last_updated", "bit_rate", "frame_rate", "group_id"}
)

# What a term without a field is looked for in.
ANYWHERE = ("public_id", "display_name", "asset_folder", "tags", "context", "format")
ANYWHERE_IN_FOLDERS = ("name", "path")

SORTABLE: dict[str, str] = {
    name: one.sql
    for name, one in FIELDS.items()
    if one.kind not in ("tags", "context") and name not in ("status", "moderation_kind")
}


FOLDER_FIELDS: dict[str, Field] = {
    "path": Field("path", "path"),
    "name": Field("text", FILENAME.replace("public_id", "path")),
    "created_at": Field("date", "created_at"),
    "external_id": Field("choice", "external_id"),
}
FOLDER_SORTABLE: dict[str, str] = {name: one.sql for name, one in FOLDER_FIELDS.items()}
