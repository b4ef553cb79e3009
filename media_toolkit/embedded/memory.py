"""Memory: how much of it the embedded Postgres keeps tables in, and how many processes read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")
_MOST_MB, _LEAST_MB = 2048, 16
# Of tables so large most is read from the system's cache whatever Postgres keeps.
_LARGE_MB, _MOST_OF_LARGE_MB = 8192, 256
_IO_WORKERS = 3
_SETTING = re.compile(r"shared_buffers=(\d+)MB")


def shared_buffers_mb(tables_mb: int) -> int:
    """A quarter of the memory that this process may have, as Postgres advises; 2 GB at most.

    Postgres takes it as pages are used. A million assets and their indexes fit in 2 GB. Of much
    larger tables hardly a page is met again, and to have the system give memory and to map it, in
    each process, takes longer than to copy a page from the system's cache: there it is 256 MB. All
    embedded ones that run, of other homes too, may have a half together.
    https://www.postgresql.org/docs/current/runtime-config-resource.html

    Args:
        tables_mb: what the tables and indexes take on the disk.
    """
    memory_mb = min(psutil.virtual_memory().total, *limits()) >> 20
    return share_mb(memory_mb, _of_others(), tables_mb)


def share_mb(memory_mb: int, others_mb: Iterable[int], tables_mb: int = 0) -> int:
    """What one may take of `memory_mb`, where others took as much; no less than 16 MB."""
    left = memory_mb // 2 - sum(others_mb)
    most = _MOST_OF_LARGE_MB if tables_mb > _LARGE_MB else _MOST_MB
    return max(min(memory_mb // 4, left, most), _LEAST_MB)


def io_workers(tables_mb: int) -> int:
    """How many processes read tables for the others: three wait for the disk side by side.

    Of large tables that fit in the system's cache they only copy, and more of them than cores are
    left get in each other's way: one instead of three reads 10,000 scattered rows in three quarters
    of the time, on 2 cores.
    """
    is_cached = tables_mb < min(psutil.virtual_memory().available, *limits()) >> 20
    if tables_mb <= _LARGE_MB or not is_cached:
        return _IO_WORKERS
    return max(1, min(_IO_WORKERS, (os.cpu_count() or 1) - 1))


def limits(own: Path = _OWN_CGROUPS, mount: Path = _CGROUPS) -> Iterator[int]:
    """The limits of this process's container in bytes: of its cgroup and of those around it.

    Args:
        own: where the kernel tells which cgroups the process is in, `id:controllers:path` a line.
        mount: where their files are: `memory.max` of v2, `memory.limit_in_bytes` of v1. Within a
            container the path may be that of the host, where `mount` has its own at the top.

    https://docs.kernel.org/admin-guide/cgroup-v2.html, cgroup-v1/memory.html
    """
    yield psutil.virtual_memory().total
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return  # no Linux
    for controllers, path in (line.split(":", 2)[1:] for line in lines if line.count(":") >= 2):
        if controllers == "":
            top, name = mount, "memory.max"
        elif "memory" in controllers.split(","):
            top, name = mount / "memory", "memory.limit_in_bytes"
        else:
            continue
        inner = Path(path.lstrip("/"))
        for folder in (inner, *inner.parents):
            try:
                yield int((top / folder / name).read_text())
            except (OSError, ValueError):
                continue  # none here, or "max"


def _of_others() -> Iterator[int]:
    """The shared buffers, in MB, that each other embedded Postgres was started with."""
    for process in psutil.process_iter():
        try:
            parent = process.parent()
            if not process.name().startswith("postgres") or (
                parent is not None and parent.name().startswith("postgres")
            ):
                continue
            if found := _SETTING.search(" ".join(process.cmdline())):
                yield int(found[1])
        except psutil.Error:
            continue
