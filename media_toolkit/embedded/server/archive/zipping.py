"""Putting assets into one ZIP file."""

from __future__ import annotations

import shutil
import time
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..disk.blobs import Blobs
from ..errors import ApiError
from ..protocol.form import MAX_FILE_BYTES
from ..records.assets import Asset
from ..transform.eager import Eager, render_eager

_COPY_BYTES = 1024 * 1024


@dataclass(frozen=True)
class ArchiveOptions:
    """How the files in an archive are named, and which derived images stand for the originals."""

    flatten_folders: bool = False
    flatten_transformations: bool = False
    skip_transformation_name: bool = False
    use_original_filename: bool = False
    transformations: Sequence[Eager] = ()


def write_archive(
    target: Path, assets: Iterable[Asset], blobs: Blobs, options: ArchiveOptions
) -> int:
    """Write a ZIP file of the assets; blocks. Returns how many files are in it.

    Raises ApiError 400 when it grows too large or an asset cannot be transformed.
    """
    taken: set[str] = set()
    with zipfile.ZipFile(target, "x", zipfile.ZIP_STORED) as archive:
        for asset in assets:
            for name, source in _files(asset, blobs, options):
                _add(archive, _free(name, taken), asset.uploaded_at, source)
                if target.stat().st_size > MAX_FILE_BYTES:
                    raise ApiError(400, f"The archive is too large. Maximum is {MAX_FILE_BYTES}.")
    return len(taken)


def _files(
    asset: Asset, blobs: Blobs, options: ArchiveOptions
) -> Iterator[tuple[str, Path | bytes]]:
    path = blobs.path(asset.blob)
    if not options.transformations:
        yield _name(asset, asset.format, options), path
        return
    for one in options.transformations:
        rendered = render_eager(path, asset.resource_type, asset.format, one)
        name = _name(asset, rendered.format, options)
        text = one.transformation.text.replace("/", "_")
        if options.skip_transformation_name:
            yield name, rendered.data
        elif options.flatten_transformations:
            folder, slash, last = name.rpartition("/")
            yield f"{folder}{slash}{text}_{last}", rendered.data
        else:
            yield f"{text}/{name}", rendered.data


def _name(asset: Asset, extension: str | None, options: ArchiveOptions) -> str:
    folder, slash, last = asset.public_id.rpartition("/")
    if options.use_original_filename and asset.original_filename:
        stem, dot, own = last.rpartition(".")
        last = asset.original_filename.replace("/", "_")
        if asset.resource_type == "raw" and dot and stem:
            last = f"{last}.{own}"
    if asset.resource_type != "raw" and extension:
        last = f"{last}.{extension}"
    return last if options.flatten_folders else f"{folder}{slash}{last}"


def _free(name: str, taken: set[str]) -> str:
    """The name, with a number before its extension if another file has it."""
    stem, dot, extension = name.rpartition(".")
    if not dot or "/" in extension:
        stem, extension = name, ""
    number, free = 0, name
    while free in taken:
        number += 1
        free = f"{stem}_{number}" + (f".{extension}" if extension else "")
    taken.add(free)
    return free


def _add(archive: zipfile.ZipFile, name: str, seconds: int, source: Path | bytes) -> None:
    # ZIP knows no year before 1980.
    moment = max(time.gmtime(seconds)[:6], (1980, 1, 1, 0, 0, 0))
    info = zipfile.ZipInfo(name, moment)
    if isinstance(source, bytes):
        archive.writestr(info, source)
        return
    info.file_size = source.stat().st_size
    with source.open("rb") as file, archive.open(info, "w") as entry:
        shutil.copyfileobj(file, entry, _COPY_BYTES)
