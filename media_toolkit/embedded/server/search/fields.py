"""The fields that an expression may name, as SQL over the columns of `assets`.

https://cloudinary.com/documentation/search_expressions#expression_fields
"""

from __future__ import annotations

from dataclasses import dataclass

from .values import BYTES, PLAIN, SECONDS

FILENAME = "substr(public_id, length(rtrim(public_id, replace(public_id, '/', ''))) + 1)"
FOLDER = "rtrim(rtrim(public_id, replace(public_id, '/', '')), '/')"


@dataclass(frozen=True)
class Field:
    """`kind` is text, choice, choices, path, boolean, number, date, ratio, tags or context.

    `sql` is its value, a JSON list of the values for choices; the searched table goes by `sought`.
    """

    kind: str
    sql: str
    units: dict[str, float] | None = None


# EXIF writes the day with colons, XMP with dashes.
_EXIF_TIME = (
    "coalesce(json_extract(extras, '$.image_metadata.DateTimeOriginal'),"
    " json_extract(extras, '$.image_metadata.DateTime'))"
)
_TAKEN = f"unixepoch(replace(substr({_EXIF_TIME}, 1, 10), ':', '-') || substr({_EXIF_TIME}, 11))"
_OF_IMAGES = "case resource_type when 'image' then {} end"
_OF_VIDEOS = "case resource_type when 'video' then {} end"


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
    "transparent": Field("boolean", "json_extract(extras, '$.semi_transparent')"),
    "has_audio": Field(
        "boolean", _OF_VIDEOS.format("json_type(extras, '$.media.audio') is 'object'")
    ),
    "colors": Field(
        "choices",
        "(select json_group_array(json_extract(value, '$[0]'))"
        " from json_each(extras, '$.predominant.google'))",
    ),
    "face_count": Field("number", "coalesce(json_array_length(extras, '$.faces'), 0)", PLAIN),
    "etag": Field("choice", "etag"),
    "bytes": Field("number", "bytes", BYTES),
    "duration": Field("number", "json_extract(extras, '$.media.duration')", SECONDS),
    "aspect_ratio": Field("ratio", "(1.0 * width / height)"),
    "taken_at": Field("date", _TAKEN),
    "created_at": Field("date", "created_at"),
    "uploaded_at": Field("date", "uploaded_at"),
    "updated_at": Field("date", "uploaded_at"),
    "last_updated.updated_at": Field("date", "uploaded_at"),
} | _numbers(
    bit_rate="json_extract(extras, '$.media.bit_rate')",
    frame_rate="json_extract(extras, '$.media.frame_rate')",
    transformations="(select count(*) from derived where derived.blob = sought.blob)",
    image_pixels=_OF_IMAGES.format("width * height"),
    video_pixels=_OF_VIDEOS.format("width * height"),
    width="width",
    height="height",
    pixels="(width * height)",
    pages="pages",
    version="version",
)

# Known to Cloudinary: to match nothing, as an unknown field does, would be a wrong answer.
UNSUPPORTED = frozenset(
    {"accessibility_analysis", "auto_tagging", "background_removal", "created_by"}
    | {"faces", "illustration_score", "image_analysis", "initial_dpi"}
    | {"metadata", "moderation", "pages_count", "quality_analysis", "quality_score"}
    | {"uploaded_by", "backup_bytes", "last_updated", "group_id"}
)

# Fields with keys of their own, written as field.key, and the JSON objects these are looked up in.
KEYED = {
    "context": "context",
    "image_metadata": "coalesce(json_extract(extras, '$.image_metadata'), '{}')",
}

# What a term without a field is looked for in.
ANYWHERE = ("public_id", "display_name", "asset_folder", "tags", "context", "format")
ANYWHERE_IN_FOLDERS = ("name", "path")

SORTABLE: dict[str, str] = {
    name: one.sql
    for name, one in FIELDS.items()
    if one.kind not in ("tags", "context", "choices") and name not in ("status", "moderation_kind")
}


FOLDER_FIELDS: dict[str, Field] = {
    "path": Field("path", "path"),
    "name": Field("text", FILENAME.replace("public_id", "path")),
    "created_at": Field("date", "created_at"),
    "external_id": Field("choice", "external_id"),
}
FOLDER_SORTABLE: dict[str, str] = {name: one.sql for name, one in FOLDER_FIELDS.items()}
