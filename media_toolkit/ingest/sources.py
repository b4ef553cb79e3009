"""A folder → the items to import, each with the public_id it will have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from media_toolkit.cloud.names import FORBIDDEN_IN_PUBLIC_ID
from media_toolkit.errors import IngestError

_SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini"})


@dataclass(frozen=True, slots=True)
class Item:
    """One file to import: where it is, what to call it in the report, and its public_id.

    `problem` says why it cannot even be looked at: a subfolder that cannot be listed.
    """

    path: Path
    label: str
    public_id: str
    problem: str = ""


def folder_items(
    folder: Path, prefix: str = "", recursive: bool = True, is_raw: bool = False
) -> list[Item]:
    """The files of a folder in the order of their names; hidden and system files are left out.

    The public_id is the path below `folder` without its extension, so that a second import
    of the same folder meets the same assets. Files that differ by extension only (`a.jpg`,
    `a.png`) keep it, as `a_jpg` and `a_png`. Raw files keep theirs as it is, since Cloudinary
    delivers them under their public_id alone:
    https://cloudinary.com/documentation/upload_parameters

    Raises:
        IngestError: when the folder does not exist or cannot be listed. A subfolder that
            cannot becomes an item with a `problem`.
    """
    if not folder.exists():
        raise IngestError(f"no such folder: {folder}", hint="check the path", ids=(str(folder),))
    if not folder.is_dir():
        raise IngestError(
            f"{folder} is not a folder", hint="use kit.upload for one file", ids=(str(folder),)
        )
    closed: dict[Path, str] = {}
    found = sorted(_files(folder, recursive, closed))
    if folder in closed:
        raise IngestError(
            f"cannot list {folder}: {closed[folder]}",
            hint="check the permissions of the folder",
            ids=(str(folder),),
        )
    paths = [p for p in found if _is_wanted(p.relative_to(folder))]
    below = {path: path.relative_to(folder) for path in paths}
    plain = {p: _public_id(name if is_raw else name.with_suffix("")) for p, name in below.items()}
    shared = Counter(plain.values())
    items = []
    for path in paths:
        public_id = plain[path]
        if shared[public_id] > 1 and not is_raw:
            public_id = f"{public_id}_{path.suffix.lstrip('.').lower()}"
        label = str(below[path])
        public_id = "/".join(filter(None, (prefix.strip("/"), public_id)))
        problem = f"cannot list the folder: {closed[path]}" if path in closed else ""
        items.append(Item(path, label, public_id, problem))
    return items


def _files(folder: Path, recursive: bool, closed: dict[Path, str]) -> Iterator[Path]:
    """The files below; a folder that cannot be listed comes itself, its reason in `closed`."""
    try:
        found = list(folder.iterdir())
    except OSError as error:
        closed[folder] = error.strerror or type(error).__name__
        yield folder
        return
    for path in found:
        if path.is_dir() and not path.is_symlink():
            if recursive and not path.name.startswith("."):
                yield from _files(path, recursive, closed)
        else:
            yield path


def _is_wanted(below: Path) -> bool:
    return not below.name.startswith(".") and below.name.lower() not in _SYSTEM_FILES


def _public_id(below: Path) -> str:
    """Cloudinary forbids a few characters; `_` stands for each, and spaces at ends go."""
    parts = []
    for part in below.parts:
        clean = "".join(
            "_" if c in FORBIDDEN_IN_PUBLIC_ID or not c.isprintable() else c for c in part
        )
        parts.append(clean.strip() or "_")
    return "/".join(parts)
