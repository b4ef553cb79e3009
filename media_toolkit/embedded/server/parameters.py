"""The form of an upload as typed parameters; what is not implemented is refused by name."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .errors import ApiError
from .form import Form
from .formats import normal_format
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
        "tags",
        "type",
        "unique_filename",
        "use_asset_folder_as_public_id_prefix",
        "use_filename",
        "use_filename_as_display_name",
    }
)
_NEUTRAL = {"access_mode": frozenset({"public"})}
_FALSE = frozenset({"0", "false", "no"})
_TRUE = frozenset({"1", "true", "yes"})


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
    discard_original_filename: bool = False


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
        discard_original_filename=boolean(form, "discard_original_filename", False),
    )


def check_known(form: Form, honoured: frozenset[str]) -> None:
    """ApiError 400 for the first parameter that this call neither honours nor may ignore.

    A switch that is off asks for nothing and passes, known or not.
    """
    for name in form.fields:
        value = form.text(name)
        if name in honoured or name in _TRANSPORT or not value or value.lower() in _FALSE:
            continue
        if value in _NEUTRAL.get(name, ()):
            continue
        if name == "upload_preset":
            raise ApiError(400, f"Upload preset not found: {value}")
        raise ApiError(400, f"Unsupported parameter on this server - {name}")


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
