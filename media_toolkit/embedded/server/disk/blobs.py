"""Files on disk: what arrives, what is kept, what was derived from it.

    incoming/<id>            an upload that is still arriving; emptied at start
    blobs/<2 hex>/<32 hex>   one stored original; never changed, a new version is a new blob
    derived/<blob>/<key>     images made from that blob; go when the blob goes

A file becomes a blob by fsync and rename, before its record is written. So a record always has
its file, and a file without a record is left over from a crash and removed at the next start.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from .derived_cache import DEFAULT_LIMIT_BYTES, DerivedCache

BUFFER_BYTES = 512 * 1024


class FolderInUseError(RuntimeError):
    """Another server is already running on the same data folder."""


class IncomingFile:
    """A file that is being received: counted and hashed on its way to disk.

    Up to `BUFFER_BYTES` are held in memory; `is_full` says when `flush` (which blocks) is due.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._buffer = bytearray()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._file: IO[bytes] | None = None

    @classmethod
    def of(cls, path: Path) -> IncomingFile:
        """A file that is on disk already, read through once for its hash; blocks."""
        file = cls(path)
        file.size = path.stat().st_size
        with path.open("rb") as whole:
            file._md5 = hashlib.file_digest(whole, _md5)
        return file

    def move(self, path: Path) -> None:
        """Put the finished file elsewhere on the same disk; blocks."""
        self.path.replace(path)
        self.path = path

    @property
    def is_full(self) -> bool:
        """Whether enough bytes wait in memory for a `flush`."""
        return len(self._buffer) >= BUFFER_BYTES

    def write(self, data: bytes) -> None:
        """Take bytes into memory; never blocks."""
        self._buffer += data
        self.size += len(data)

    def flush(self) -> None:
        """Hash what is in memory and write it to disk; blocks."""
        if self._file is None:
            self._file = self.path.open("xb")
        self._md5.update(self._buffer)
        self._file.write(self._buffer)
        self._buffer.clear()

    def finish(self) -> None:
        """Write the rest and close the file; blocks."""
        self.flush()
        if self._file is not None:
            self._file.close()

    def rewrite(self, data: bytes) -> None:
        """Put other bytes in the finished file's place; blocks."""
        self.path.write_bytes(data)
        self.size = len(data)
        self._md5 = hashlib.md5(data, usedforsecurity=False)

    @property
    def etag(self) -> str:
        """MD5 of everything flushed so far, 32 hex digits."""
        return self._md5.hexdigest()

    def discard(self) -> None:
        """Close and remove the file; harmless when it was adopted or is gone already."""
        self._buffer.clear()
        if self._file is not None:
            self._file.close()
        self.path.unlink(missing_ok=True)


class Blobs:
    """The folders below `data_dir`; one running server may hold them at a time."""

    def __init__(self, data_dir: Path, derived_limit: int = DEFAULT_LIMIT_BYTES) -> None:
        self._incoming = data_dir / "incoming"
        self._blobs = data_dir / "blobs"
        self._derived = data_dir / "derived"
        for folder in (self._incoming, self._blobs, self._derived):
            folder.mkdir(parents=True, exist_ok=True)
        self._lock = (data_dir / "server.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise FolderInUseError(f"another server is running on {data_dir}") from error
        self._cache = DerivedCache(self._derived, derived_limit)

    def close(self) -> None:
        """Release the folder for another server."""
        self._lock.close()

    def incoming(self) -> IncomingFile:
        """A new place to receive a file into."""
        return IncomingFile(self._incoming / secrets.token_hex(16))

    def scratch(self) -> Path:
        """A path for a temporary file on the same disk; removed at the next start if left."""
        return self._incoming / secrets.token_hex(16)

    def path(self, blob: str) -> Path:
        """Where the blob's bytes are."""
        return self._blobs / blob[:2] / blob

    def adopt(self, file: Path) -> str:
        """Turn a finished file into a blob that survives a crash; return the blob's name."""
        blob = secrets.token_hex(16)
        target = self.path(blob)
        made_folder = not target.parent.exists()
        target.parent.mkdir(exist_ok=True)
        _sync(file)
        file.replace(target)
        _sync(target.parent)
        if made_folder:
            _sync(self._blobs)
        return blob

    def drop(self, blob: str) -> None:
        """Free the blob's disk space and that of everything derived from it."""
        self.path(blob).unlink(missing_ok=True)
        self.drop_derived(blob)

    def drop_derived(self, blob: str) -> None:
        """Free the disk space of everything derived from the blob."""
        shutil.rmtree(self._derived / blob, ignore_errors=True)
        self._cache.forget_blob(blob)

    def find_derived(self, blob: str, key: str) -> Path | None:
        """The cached file derived from the blob with that key, whatever its format, or None."""
        return self._cache.find(blob, key)

    def remove_derived(self, blob: str, name: str) -> None:
        """Free the disk space of one derived file."""
        self._cache.remove(blob, name)

    def keep_derived(self, blob: str, name: str, data: bytes) -> Path:
        """Cache derived bytes, whole or not at all; a blob dropped meanwhile leaves nothing.

        `name` is the key and the format. Files that were not used for longest may go for it.
        """
        target = self._derived / blob / name
        scratch = self.scratch()
        scratch.write_bytes(data)
        target.parent.mkdir(exist_ok=True)
        try:
            scratch.replace(target)
        except FileNotFoundError:
            # Dropped between the two lines above, folder and all.
            scratch.unlink(missing_ok=True)
        else:
            self._cache.add(blob, name, len(data))
        if not self.path(blob).exists():
            self.drop_derived(blob)
        return target

    def clean(self, known: set[str]) -> None:
        """Remove what a crash left: arriving files, blobs without a record, their derivations."""
        for leftover in self._incoming.iterdir():
            leftover.unlink()
        for path in self._stored():
            if path.name not in known:
                self.drop(path.name)
        for folder in self._derived.iterdir():
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)
        self._cache.load()

    def _stored(self) -> Iterator[Path]:
        for shelf in self._blobs.iterdir():
            yield from shelf.iterdir()


def _md5() -> hashlib._Hash:
    return hashlib.md5(usedforsecurity=False)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
