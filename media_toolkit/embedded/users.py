"""Who uses a home's stack: one locked file a process. The kernel unlocks it when the process dies.

That holds after `kill -9` too, where process ids and exit handlers do not.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_guard = threading.Lock()
_held: dict[Path, tuple[int, Path, int]] = {}


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file at `path`, waiting for it; released with the process at the latest."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def try_lock(path: Path) -> int | None:
    """The descriptor that holds the lock at `path`, or None when somebody else does."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock at `path`."""
    descriptor = try_lock(path)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def register(folder: Path) -> None:
    """Count this process among the users; call it under the stack's lock."""
    with _guard:
        if folder in _held:
            descriptor, path, times = _held[folder]
            _held[folder] = descriptor, path, times + 1
            return
        path = folder / f"{os.getpid()}-{secrets.token_hex(4)}"
        fresh = try_lock(path)
        assert fresh is not None, "a fresh name cannot be locked"
        _held[folder] = fresh, path, 1


def unregister(folder: Path) -> None:
    """Take one `register` back; the process is a user until its last one."""
    with _guard:
        if folder not in _held:
            return
        descriptor, path, times = _held[folder]
        if times > 1:
            _held[folder] = descriptor, path, times - 1
            return
        del _held[folder]
        path.unlink(missing_ok=True)
        os.close(descriptor)


def alive(folder: Path) -> int:
    """How many user processes live; files of dead ones are removed."""
    living = 0
    for path in folder.iterdir():
        descriptor = try_lock(path)
        if descriptor is None:
            living += 1
        else:
            path.unlink(missing_ok=True)
            os.close(descriptor)
    return living
