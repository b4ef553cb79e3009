"""Laying an upload preset under an upload's own parameters.

https://cloudinary.com/documentation/upload_presets
"""

from __future__ import annotations

from ..errors import ApiError
from ..protocol.form import Form
from ..records.presets import PresetRecords, UploadPreset
from .parameters import boolean

# What an unsigned upload may say itself; everything else is the preset's.
_UNSIGNED = (
    "upload_preset",
    "callback",
    "public_id",
    "folder",
    "asset_folder",
    "tags",
    "context",
    "metadata",
    "face_coordinates",
    "custom_coordinates",
    "source",
    "filename_override",
    "manifest_transformation",
    "manifest_json",
    "template",
    "template_vars",
    "regions",
    "public_id_prefix",
)
# Settings that are no upload parameters; `live` is for streams that are recorded.
_ABOUT_PRESET = frozenset({"disallow_public_id", "live"})
_TRANSPORT = frozenset({"file", "timestamp", "unsigned", "cloud_name", "resource_type", "api_key"})


def check_unsigned(form: Form) -> None:
    """ApiError 400 for what an unsigned upload may not ask for, in Cloudinary's words."""
    problems = [
        f"{name.replace('_', ' ').capitalize()} parameter is not allowed when using unsigned"
        f" upload. Only {', '.join(_UNSIGNED)} upload parameters are allowed."
        for name in form.fields
        if name not in _UNSIGNED and name not in _TRANSPORT
    ]
    if not form.text("upload_preset"):
        problems.append("Upload preset must be specified when using unsigned upload")
    if problems:
        raise ApiError(400, ", ".join(problems))


def apply_preset(form: Form, records: PresetRecords, *, signed: bool) -> None:
    """Take the settings of the form's `upload_preset` into the form; blocks.

    The call's own parameters win when it is signed, the preset's when it is not; tags and
    context of both are joined. An unsigned upload replaces nothing.
    Raises ApiError 400 for a preset that is unknown or not for unsigned uploads.
    """
    name = form.text("upload_preset")
    if name:
        preset = records.upload_preset(name)
        if preset is None:
            raise ApiError(400, "Upload preset not found")
        if not signed and not preset.unsigned:
            raise ApiError(400, "Upload preset must be whitelisted for unsigned uploads")
        _merge(form, preset, signed)
        del form.fields["upload_preset"]
    if not signed:
        form.fields["overwrite"] = "false"


def _merge(form: Form, preset: UploadPreset, signed: bool) -> None:
    disallows = Form({"disallow_public_id": preset.settings.get("disallow_public_id", "")})
    if boolean(disallows, "disallow_public_id", False) and form.text("public_id"):
        raise ApiError(400, f"public_id is not allowed by the upload preset {preset.name}")
    for key, value in preset.settings.items():
        if key in _ABOUT_PRESET:
            continue
        given = form.text(key)
        if key == "tags" and given:
            form.fields[key] = f"{given},{value}"
        elif key == "context" and given:
            # The last of two equal keys counts.
            form.fields[key] = f"{value}|{given}" if signed else f"{given}|{value}"
        elif key == "transformation" and given:
            form.fields[key] = f"{value}/{given}"
        elif not given or not signed:
            form.fields[key] = value
