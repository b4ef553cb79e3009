"""The form of an upload as typed parameters; what is not implemented is refused by name."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ..errors import ApiError
from ..facts.formats import normal_format
from ..notifications import check_url
from ..protocol.access_control import Rules, read_rules
from ..protocol.form import Form
from ..records.extras import Box, Extras
from .naming import Naming

UPLOAD_TYPES = ("upload", "private", "authenticated")

_TRANSPORT = frozenset(
    {
        "api_key",
        "callback",
        "cloud_name",
        "file",
        "resource_type",
        "signature",
        "source",
        "timestamp",
        "unsigned",
    }
)
_HONOURED = frozenset(
    {
        "access_control",
        "access_mode",
        "async",
        "backup",
        "batch_id",
        "colors",
        "custom_coordinates",
        "eager_async",
        "eager_notification_url",
        "exif",
        "face_coordinates",
        "faces",
        "headers",
        "image_metadata",
        "media_metadata",
        "moderation",
        "notification_url",
        "phash",
        "transformation",
        "allowed_formats",
        "asset_folder",
        "context",
        "discard_original_filename",
        "display_name",
        "eager",
        "filename_override",
        "folder",
        "format",
        "invalidate",
        "overwrite",
        "public_id",
        "public_id_prefix",
        "return_delete_token",
        "tags",
        "type",
        "unique_display_name",
        "unique_filename",
        "use_asset_folder_as_public_id_prefix",
        "use_filename",
        "use_filename_as_display_name",
    }
)
# Add-ons, none of which is here, and how Cloudinary refuses a value that they do not know.
ADD_ONS = {
    "background_removal": "Background removal is invalid",
    "categorization": "Categorization item {} is not valid",
    "detection": "Detection invalid model '{}'",
    "ocr": "Ocr is invalid",
    "raw_convert": "Raw convert is invalid",
}
_NUMBER = re.compile(r"\d{1,6}(\.\d{1,6})?")
_FALSE = frozenset({"0", "false", "no"})
_TRUE = frozenset({"1", "true", "yes"})


@dataclass(frozen=True)
class WantedFacts:
    """Which facts about the picture the answer is to tell; `metadata` under these names."""

    phash: bool = False
    colors: bool = False
    faces: bool = False
    metadata: tuple[str, ...] = ()


@dataclass(frozen=True)
class UploadParameters:
    """What an upload asks for. `filename` is the name that the file goes by, if any."""

    type: str = "upload"
    naming: Naming = field(default_factory=Naming)
    overwrite: bool = True
    tags: list[str] = field(default_factory=list)
    context: dict[str, str] = field(default_factory=dict)
    format: str | None = None
    allowed_formats: list[str] = field(default_factory=list)
    eager: list[str] = field(default_factory=list)
    asset_folder: str | None = None
    display_name: str | None = None
    filename_override: str | None = None
    use_filename_as_display_name: bool = False
    unique_display_name: bool = False
    discard_original_filename: bool = False
    transformation: str = ""
    eager_async: bool = False
    eager_notification_url: str | None = None
    notification_url: str | None = None
    batch_id: str | None = None
    is_async: bool = False
    return_delete_token: bool = False
    facts: WantedFacts = field(default_factory=WantedFacts)
    extras: Extras = field(default_factory=Extras)


def upload_parameters(form: Form) -> UploadParameters:
    """Read the form; ApiError 400 names a parameter or a value that is not understood."""
    check_known(form, _HONOURED)
    kind = form.text("type") or "upload"
    if kind not in UPLOAD_TYPES:
        raise ApiError(400, f"Invalid value for parameter type: {kind}")
    return UploadParameters(
        type=kind,
        naming=Naming(
            public_id=form.text("public_id") or None,
            public_id_prefix=form.text("public_id_prefix") or None,
            folder=form.text("folder") or None,
            use_filename=boolean(form, "use_filename", False),
            unique_filename=boolean(form, "unique_filename", True),
            asset_folder=form.text("asset_folder") or None,
            use_asset_folder_as_prefix=boolean(form, "use_asset_folder_as_public_id_prefix", False),
        ),
        overwrite=boolean(form, "overwrite", True),
        tags=tags(form.text("tags")),
        context=context(form.text("context")),
        format=normal_format(form.text("format")) or None,
        allowed_formats=[normal_format(name) for name in form.many("allowed_formats")],
        eager=eager(form),
        asset_folder=form.text("asset_folder") or None,
        display_name=form.text("display_name") or None,
        filename_override=form.text("filename_override") or None,
        use_filename_as_display_name=boolean(form, "use_filename_as_display_name", False),
        unique_display_name=boolean(form, "unique_display_name", False),
        discard_original_filename=boolean(form, "discard_original_filename", False),
        transformation=form.text("transformation").strip("/ "),
        eager_async=boolean(form, "eager_async", False),
        eager_notification_url=check_url(
            form.text("eager_notification_url"), "eager_notification_url"
        ),
        notification_url=check_url(form.text("notification_url")),
        batch_id=form.text("batch_id") or None,
        is_async=boolean(form, "async", False),
        return_delete_token=boolean(form, "return_delete_token", False),
        facts=wanted_facts(form),
        extras=given_extras(form),
    )


def wanted_facts(form: Form) -> WantedFacts:
    """Which facts about the picture are asked for."""
    names = ("image_metadata", "media_metadata", "exif")
    return WantedFacts(
        phash=boolean(form, "phash", False),
        colors=boolean(form, "colors", False),
        faces=boolean(form, "faces", False),
        metadata=tuple(name for name in names if boolean(form, name, False)),
    )


def given_extras(form: Form) -> Extras:
    """What the call itself says beyond the record's columns."""
    access_mode = form.text("access_mode") or None
    if access_mode not in (None, "public", "authenticated"):
        raise ApiError(400, f"Invalid value for parameter access_mode: {access_mode}")
    kind = form.text("moderation")
    if kind and kind != "manual":
        raise ApiError(400, f"Unsupported value on this server - moderation: {kind}")
    moderation = [{"kind": "manual", "status": "pending"}] if kind else None
    return Extras(
        faces=coordinates(form, "face_coordinates"),
        custom_coordinates=coordinates(form, "custom_coordinates"),
        moderation=moderation,
        access_mode=access_mode,
        access_control=access_control(form) or None,
        headers=_headers(form.text("headers")) or None,
        backup=boolean(form, "backup", False) or None,
    )


def coordinates(form: Form, name: str) -> list[Box] | None:
    """Boxes written as `x,y,w,h|x,y,w,h`; None when there are none."""
    text = form.text(name)
    if not text:
        return None
    boxes = []
    for part in text.split("|"):
        numbers = part.split(",")
        if len(numbers) != 4 or not all(_NUMBER.fullmatch(number.strip()) for number in numbers):
            raise ApiError(400, f"Invalid value for parameter {name}: {text[:200]}")
        boxes.append([round(float(number)) for number in numbers])
    return boxes


def access_control(form: Form) -> Rules:
    """Who may fetch the asset; lists come as one JSON text or, from forms, as several."""
    value = form.fields.get("access_control", "")
    texts = value if isinstance(value, list) else [value]
    return [rule for text in texts if text.strip() for rule in read_rules(text)]


def _headers(text: str) -> list[str]:
    """Header lines that deliveries of the asset carry; only those that Cloudinary allows."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]
    for line in lines:
        name, colon, value = line.partition(":")
        allowed = name.strip().lower() in ("link", "authorization", "x-robots-tag")
        if not colon or not allowed or not value.isprintable() or not value.isascii():
            raise ApiError(400, f"Invalid value for parameter headers: {line[:200]}")
    return lines


def check_known(form: Form, honoured: frozenset[str]) -> None:
    """ApiError 400 for the first parameter that this call neither honours nor may ignore.

    A switch that is off asks for nothing and passes, known or not.
    """
    for name in form.fields:
        value = form.text(name)
        if name in honoured or name in _TRANSPORT or not value or value.lower() in _FALSE:
            continue
        refusal = f"Unsupported parameter on this server - {name}"
        if name in ADD_ONS:
            refusal += f": {ADD_ONS[name].format(value[:100])}"
        raise ApiError(400, refusal)


def boolean(form: Form, name: str, default: bool) -> bool:
    """A switch written as 1/0 or true/false; `default` when absent or empty."""
    value = form.text(name).lower()
    if not value:
        return default
    if value in _TRUE or value in _FALSE:
        return value in _TRUE
    raise ApiError(400, f"Invalid value for parameter {name}: {form.text(name)}")


def tags(text: str) -> list[str]:
    """Comma-separated tags, trimmed, each once, in their order."""
    return list(dict.fromkeys(tag.strip() for tag in text.split(",") if tag.strip()))


def context(text: str) -> dict[str, str]:
    r"""`key=value|key=value` as a dict; `\=` and `\|` stand for themselves."""
    pairs: dict[str, str] = {}
    for pair in re.split(r"(?<!\\)\|", text):
        if not pair:
            continue
        key, *rest = re.split(r"(?<!\\)=", pair, maxsplit=1)
        if not rest or not key.strip():
            raise ApiError(400, f"Invalid context: {pair}")
        pairs[_unescaped(key.strip())] = _unescaped(rest[0])
    return pairs


def eager(form: Form) -> list[str]:
    """The eager transformations, each with an optional `/ext` at its end."""
    return [part for part in form.text("eager").split("|") if part.strip("/ ")]


def _unescaped(text: str) -> str:
    return text.replace("\\=", "=").replace("\\|", "|")
