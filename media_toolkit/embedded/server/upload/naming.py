"""public_ids: which are allowed, and which one an upload gets.

Rules: https://cloudinary.com/documentation/ts_permitted_naming_conventions
"""

from __future__ import annotations

import re
import secrets
import string
import unicodedata
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from ..errors import ApiError
from ..records.assets import Asset, Records

MAX_LENGTH = 255
FORBIDDEN = frozenset("?&#\\%<>+")
_ALPHABET = string.ascii_lowercase + string.digits
_CONTROLS = frozenset({"Cc", "Cs"})
_VERSION = re.compile(r"v\d+")


@dataclass(frozen=True)
class Naming:
    """What an upload says about the name it wants."""

    public_id: str | None = None
    public_id_prefix: str | None = None
    folder: str | None = None
    use_filename: bool = False
    unique_filename: bool = True
    use_asset_folder_as_prefix: bool = False
    asset_folder: str | None = None


def random_id(length: int = 20) -> str:
    """Random lower-case letters and digits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def check_public_id(public_id: str) -> str:
    """The public_id without outer spaces and slashes; ApiError 400 when it is not allowed."""
    trimmed = _trim(public_id)
    if len(trimmed) > MAX_LENGTH:
        raise ApiError(400, f"public_id ({trimmed[:40]}...) is too long: 255 characters at most")
    segments = trimmed.split("/")
    if (
        not trimmed
        or FORBIDDEN.intersection(trimmed)
        or any(not segment.strip() or segment in (".", "..") for segment in segments)
        or any(unicodedata.category(character) in _CONTROLS for character in trimmed)
    ):
        raise ApiError(400, f"public_id ({public_id}) is invalid")
    return trimmed


def check_folder(folder: str, parameter: str = "folder") -> str:
    """The folder without outer spaces and slashes; ApiError 400 when it is not allowed."""
    trimmed = _trim(folder)
    if not trimmed:
        return ""
    try:
        check_public_id(trimmed)
    except ApiError as error:
        raise ApiError(400, f"{parameter} ({folder}) is invalid") from error
    if any(_VERSION.fullmatch(segment) for segment in trimmed.split("/")):
        raise ApiError(400, f"{parameter} ({folder}) is invalid: v and digits mean a version")
    return trimmed


def choose_public_id(wanted: Naming, filename: str, extension: str | None) -> str:
    """The public_id of an upload; `extension` is appended, for raw files, to a chosen name.

    A given public_id is taken as it is. Without a wish it is 20 random characters;
    `use_filename` takes the file's own name, with 6 random characters unless
    `unique_filename` is off.
    """
    if wanted.public_id:
        name = _trim(wanted.public_id)
    else:
        if wanted.use_filename:
            name = clean_filename(filename)
            if wanted.unique_filename:
                name = f"{name}_{random_id(6)}"
        else:
            name = random_id()
        if extension:
            name = f"{name}.{extension}"
    if wanted.public_id_prefix:
        name = f"{_trim(wanted.public_id_prefix)}/{name}"
    if wanted.folder:
        name = f"{check_folder(wanted.folder)}/{name}"
    elif wanted.use_asset_folder_as_prefix and wanted.asset_folder:
        name = f"{check_folder(wanted.asset_folder, 'asset_folder')}/{name}"
    return check_public_id(name)


def check_display_name(records: Records, asset: Asset) -> None:
    """ApiError 400 when another asset in the asset folder has this one's display name; blocks."""
    if records.shares_display_name(asset):
        folder = asset.asset_folder or "/"
        raise ApiError(
            400, f"Display name '{asset.display_name}' already exists in asset folder '{folder}'"
        )


def clean_filename(filename: str) -> str:
    """A file's name without its extension, with `_` for what a public_id cannot hold."""
    stem = split_filename(filename)[0]
    cleaned = re.sub(r"[\s/?&#\\%<>+]", "_", stem)
    cleaned = "".join("_" if unicodedata.category(c) in _CONTROLS else c for c in cleaned)
    return cleaned.strip("_.") or "file"


def split_filename(filename: str) -> tuple[str, str]:
    """A path, URL or name as (base name without extension, extension without its dot)."""
    if re.match(r"https?://", filename, re.IGNORECASE):
        filename = unquote(urlsplit(filename).path)
    base = re.split(r"[/\\]", filename)[-1]
    stem, dot, extension = base.rpartition(".")
    if not dot or not stem:
        return base or "file", ""
    return stem, extension


def _trim(name: str) -> str:
    return name.strip().strip("/").strip()
