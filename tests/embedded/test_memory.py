"""How much memory the embedded Postgres takes: within a container, and beside others."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg2
import pytest

from media_toolkit.embedded import memory
from media_toolkit.embedded.configuration import StackConfiguration
from media_toolkit.embedded.postgres import EmbeddedPostgres
from media_toolkit.embedded.stack import EmbeddedStack

GB = 2**30


@pytest.mark.parametrize(
    ("own", "files", "found"),
    [
        ("0::/", {"memory.max": "1073741824\n"}, GB),
        ("0::/pod/box", {"pod/memory.max": "1073741824\n", "pod/box/memory.max": "max\n"}, GB),
        ("0::/docker/of-the-host", {"memory.max": "1073741824"}, GB),
        ("0::/", {"memory.max": "max\n"}, None),
        (
            "5:cpu,cpuacct:/x\n4:memory:/docker/1f\n0::/",
            {"memory/memory.limit_in_bytes": "1073741824\n"},
            GB,
        ),
        ("4:memory:/", {"memory/memory.limit_in_bytes": "9223372036854771712"}, None),
        ("4:memory:/a", {"memory/a/memory.limit_in_bytes": str(GB)}, GB),
        ("0::/", {}, None),
        ("what is this", {"memory.max": "1073741824"}, None),
    ],
)
def test_the_least_limit_of_a_container_counts(
    tmp_path: Path, own: str, files: dict[str, str], found: int | None
) -> None:
    (tmp_path / "own").write_text(own + "\n")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    total = psutil.virtual_memory().total
    assert min(memory.limits(tmp_path / "own", tmp_path)) == min(total, found or total)


def test_without_cgroups_the_machine_is_the_limit(tmp_path: Path) -> None:
    assert list(memory.limits(tmp_path / "none", tmp_path)) == [psutil.virtual_memory().total]


def test_a_quarter_and_of_several_a_half_together() -> None:
    assert memory.share_mb(1024, []) == 256
    assert memory.share_mb(64 * 1024, []) == 2048
    assert memory.share_mb(256, []) == 64
    assert memory.share_mb(1024, [256]) == 256
    assert memory.share_mb(1024, [256, 200]) == 56
    assert memory.share_mb(1024, [256, 256]) == 16
    assert memory.share_mb(16, []) == 16


def test_of_much_larger_tables_less_is_kept() -> None:
    assert memory.share_mb(64 * 1024, [], tables_mb=8 * 1024) == 2048
    assert memory.share_mb(64 * 1024, [], tables_mb=20 * 1024) == 256
    assert memory.share_mb(512, [], tables_mb=20 * 1024) == 128


@pytest.mark.parametrize(
    ("tables_gb", "available_gb", "cores", "workers"),
    [
        (0, 24, 2, 3),
        (8, 24, 2, 3),
        (20, 24, 1, 1),
        (20, 24, 2, 1),
        (20, 24, 3, 2),
        (20, 24, 16, 3),
        (40, 24, 2, 3),
    ],
)
def test_of_large_tables_in_the_systems_cache_no_more_processes_read_than_cores_are_left(
    tables_gb: int, available_gb: int, cores: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = psutil.virtual_memory()._replace(available=available_gb * GB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: machine)
    monkeypatch.setattr(memory, "limits", lambda: iter([64 * GB]))
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert memory.io_workers(tables_gb * 1024) == workers


def test_tables_are_measured_while_files_of_them_go(
    stack: EmbeddedStack, home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "postgres" / "base" / "5"
    folder.mkdir(parents=True)
    (folder / "1259").write_bytes(b"x" * (3 << 20))
    (folder / "gone").symlink_to(tmp_path / "none")
    configuration = replace(StackConfiguration.kept(home), home=tmp_path)
    assert EmbeddedPostgres(configuration)._tables_mb() == 3


def test_a_running_one_is_counted_by_the_next(
    stack: EmbeddedStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg2.connect(stack.database_url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_size_bytes(current_setting('shared_buffers')) >> 20,"
            " current_setting('io_workers')"
        )
        its_own, workers = cursor.fetchone() or (None, None)
    connection.close()
    assert its_own in list(memory._of_others())
    assert workers == "3"
    (tmp_path / "own").write_text("0::/\n")
    (tmp_path / "memory.max").write_text(str(GB))
    limits = list(memory.limits(tmp_path / "own", tmp_path))
    monkeypatch.setattr(memory, "limits", lambda: iter(limits))
    monkeypatch.setattr(memory, "_of_others", lambda: iter([200]))
    assert memory.shared_buffers_mb(0) == 256
