"""Memory: how much of it the embedded Postgres may keep tables in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")
_MOST_MB, _LEAST_MB = 2048, 16
_SETTING = re.compile(r"shared_buffers=(\d+)MB")


def shared_buffers_mb() -> int:
    """A quarter of the memory that this process may have, as Postgres advises; 2 GB at most.

    Postgres takes it as pages are used. A million assets and their indexes fit in 2 GB. All
    embedded ones that run, of other homes too, may have a half together.
    https://www.postgresql.org/docs/current/runtime-config-resource.html
    """
    memory_mb = min(psutil.virtual_memory().total, *limits()) >> 20
    return share_mb(memory_mb, _of_others())


def share_mb(memory_mb: int, others_mb: Iterable[int]) -> int:
    """What one may take of `memory_mb`, where others took as much; no less than 16 MB."""
    left = memory_mb // 2 - sum(others_mb)
    return max(min(memory_mb // 4, left, _MOST_MB), _LEAST_MB)


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
