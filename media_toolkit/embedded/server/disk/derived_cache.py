"""Which derived files are on disk, and which of them go when they take too much space."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

DEFAULT_LIMIT_BYTES = 2 * 1024**3


class DerivedCache:
    """The files `<folder>/<blob>/<key>.<format>`, least recently used first.

    Past `limit` bytes the least recently used go; they are made again when they are asked for.
    Safe for threads. After a restart the files count as used when they were made.
    """

    def __init__(self, folder: Path, limit: int = DEFAULT_LIMIT_BYTES) -> None:
        self._folder = folder
        self._limit = limit
        self._lock = threading.Lock()
        self._files: OrderedDict[tuple[str, str], tuple[str, int]] = OrderedDict()
        self._of_blob: dict[str, set[str]] = {}
        self._bytes = 0

    def load(self) -> None:
        """Take stock of what is on disk; blocks."""
        found = []
        for path in self._folder.glob("*/*"):
            facts = path.stat()
            found.append((facts.st_mtime_ns, path, facts.st_size))
        for _, path, size in sorted(found):
            self.add(path.parent.name, path.name, size)

    def find(self, blob: str, key: str) -> Path | None:
        """The file of that key, which now counts as used; None when there is none."""
        with self._lock:
            entry = self._files.get((blob, key))
            if entry is None:
                return None
            self._files.move_to_end((blob, key))
        path = self._folder / blob / entry[0]
        return path if path.exists() else None

    def add(self, blob: str, name: str, size: int) -> None:
        """Count a file that was written, and remove others for it; blocks."""
        key = name.partition(".")[0]
        with self._lock:
            self._forget(blob, key)
            self._files[blob, key] = (name, size)
            self._of_blob.setdefault(blob, set()).add(key)
            self._bytes += size
            gone = []
            while self._bytes > self._limit and len(self._files) > 1:
                oldest = next(iter(self._files))
                gone.append(self._folder / oldest[0] / self._files[oldest][0])
                self._forget(*oldest)
        for path in gone:
            path.unlink(missing_ok=True)

    def remove(self, blob: str, name: str) -> None:
        """Remove one file; blocks."""
        with self._lock:
            self._forget(blob, name.partition(".")[0])
        (self._folder / blob / name).unlink(missing_ok=True)

    def forget_blob(self, blob: str) -> None:
        """Count the files of a blob no more: they are gone."""
        with self._lock:
            for key in tuple(self._of_blob.get(blob, ())):
                self._forget(blob, key)

    def _forget(self, blob: str, key: str) -> None:
        entry = self._files.pop((blob, key), None)
        if entry is None:
            return
        self._bytes -= entry[1]
        keys = self._of_blob[blob]
        keys.discard(key)
        if not keys:
            del self._of_blob[blob]
