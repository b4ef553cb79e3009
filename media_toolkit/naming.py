"""Naming: which public_id an upload's options make, as far as it is known before it is sent.

As Cloudinary reads them: booleans also as text, outer spaces and slashes of each part left out.
https://cloudinary.com/documentation/image_upload_api_reference
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OFF = frozenset({"0", "false", "no"})
# What a preset or a script on Cloudinary's side sets is not told here.
_UNSEEN = ("eval", "upload_preset")


def is_on(value: Any, default: bool) -> bool:
    """A switch as Cloudinary reads it; `default` where nothing is sent (None, "")."""
    if value is None or value == "":
        return default
    return bool(value) and str(value).lower() not in _OFF


def is_random(options: Mapping[str, Any]) -> bool:
    """Whether the options leave the name's last part to chance."""
    return not options.get("public_id") and not is_on(options.get("use_filename"), False)


def may_meet(options: Mapping[str, Any]) -> bool:
    """Whether the upload may come to a name that another asset has already."""
    if options.get("public_id") or any(options.get(name) for name in _UNSEEN):
        return True
    return not is_random(options) and not is_on(options.get("unique_filename"), True)


def is_certain(options: Mapping[str, Any]) -> bool:
    """Whether `full_name` is the name that the upload gets: one public_id, below a folder or not.

    Prefixes count by the account's folder mode, which no answer tells.
    https://cloudinary.com/documentation/folder_modes
    """
    beside = ("public_id_prefix", *_UNSEEN)
    return (
        bool(options.get("public_id"))
        and not any(options.get(name) for name in beside)
        and not is_on(options.get("use_asset_folder_as_public_id_prefix"), False)
    )


def full_name(options: Mapping[str, Any]) -> str | None:
    """Folder, prefix and public_id as one; None where the file's name or chance decides."""
    if not options.get("public_id"):
        return None
    folder = options.get("folder")
    if not folder and is_on(options.get("use_asset_folder_as_public_id_prefix"), False):
        folder = options.get("asset_folder")
    parts = (folder, options.get("public_id_prefix"), options["public_id"])
    trimmed = (str(part).strip().strip("/").strip() for part in parts if part)
    return "/".join(part for part in trimmed if part)
