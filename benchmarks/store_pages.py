"""Pages of 48, facets and counts under row-level security, at three sizes of the table.

    python benchmarks/store_pages.py --cache FOLDER [--rows 100000 1000000 10000000]

Through the toolkit's public methods, as the app's role with a user's claims: each call opens a
transaction of its own. 60 different questions of each kind, after 5 that are not timed. The tables
are those of `rows.py`. Writes its part of `benchmarks/results.md`.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import rows as made
from report import write_part

import media_toolkit as mt
from media_toolkit.store import migrations
from media_toolkit.store.database import Database
from media_toolkit.store.filters import write_cursor

CALLS = 60
_UNTIMED = 5
_PAGE = 48
_FIRST, _LAST = datetime(2023, 11, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
_TYPES = [("image", f) for f in ("jpg", "png", "webp", "gif", "heic")] + [
    *(("video", f) for f in ("mp4", "mov", "webm")),
    *(("raw", f) for f in ("pdf", "csv", "zip")),
]


@dataclass(frozen=True)
class Kind:
    """One kind of question: how it is asked, and the p95 it may take, in ms."""

    name: str
    limit_ms: float
    ask: Callable[[], Any]


def kinds(kit: mt.MediaToolkit, seed: int = 12) -> Iterator[Kind]:
    """All kinds; each call of `ask` draws other values, the same in every run."""
    chance = random.Random(seed)

    def often(count: int) -> int:
        """Mostly one of the frequent values, as people ask, and now and then any."""
        return int(count * chance.random() ** chance.choice((1, 3)))

    def user() -> str:
        return made.user(often(made.USERS))

    def tag() -> str:
        return made.tag(often(made.TAGS))

    def words() -> str:
        """A word, the beginning of one, or two of which the second is typed half."""
        first, second = made.word(often(made.WORDS)), made.word(often(made.WORDS))
        return chance.choice((first, first[:5], f"{first} {second[:4]}"))

    def folder() -> str:
        """One that there is, or one with no asset in it."""
        return "team/" + made.word(often(made.WORDS // 9) * chance.choice((9, 1)))

    def size() -> dict[str, int]:
        """From what half of them have to what one in 10,000 has."""
        return {"min_bytes": int(20_000 / (0.5 * 10 ** (-3.7 * chance.random()) + 0.002))}

    def context() -> dict[str, dict[str, str]]:
        """Words that some asset has as its alt text, or none."""
        alt = f"{made.word(often(made.WORDS))} {made.word(often(made.WORDS))}"
        return {"context": {"alt": alt}}

    def type_and_format() -> dict[str, str]:
        kind, extension = chance.choice(_TYPES)
        return {"resource_type": kind, "format": extension}

    def days(count: int) -> dict[str, datetime]:
        start = _FIRST + (_LAST - _FIRST - timedelta(count)) * chance.random()
        return {"uploaded_after": start, "uploaded_before": start + timedelta(count)}

    def resource_type() -> str:
        return chance.choice(("image", "image", "video", "raw"))

    deep = _deep_pages(kit)
    page, count = kit.page, kit.count
    yield Kind("newest", 25, lambda: page(limit=_PAGE))
    yield Kind("user", 25, lambda: page(limit=_PAGE, user_id=user()))
    yield Kind("type and format", 25, lambda: page(limit=_PAGE, **type_and_format()))
    yield Kind("date (30 days)", 25, lambda: page(limit=_PAGE, **days(30)))
    yield Kind("page 1000 and on", 25, lambda: next(deep))
    yield Kind("tag", 50, lambda: page(limit=_PAGE, tags=tag()))
    yield Kind("user and tag", 100, lambda: page(limit=_PAGE, user_id=user(), tags=tag()))
    yield Kind(
        "type, tag and date (90 days)",
        100,
        lambda: page(limit=_PAGE, resource_type=resource_type(), tags=tag(), **days(90)),
    )
    yield Kind("words", 100, lambda: page(limit=_PAGE, text=words()))
    yield Kind(
        "facets of everything",
        25,
        lambda: kit.facets("user_id", "resource_type", "format", "tags"),
    )
    yield Kind("count by user", 100, lambda: count(user_id=user()))
    yield Kind("count by tag", 100, lambda: count(tags=tag()))
    yield Kind("count by user and tag", 100, lambda: count(user_id=user(), tags=tag()))
    yield Kind(
        "count by type, tag and date",
        100,
        lambda: count(resource_type=resource_type(), tags=tag(), **days(90)),
    )
    yield Kind("count by words", 100, lambda: count(text=words()))
    yield Kind("count by user and words", 100, lambda: count(user_id=user(), text=words()))
    yield Kind("folder", 100, lambda: page(limit=_PAGE, folder=folder()))
    yield Kind("user and folder", 100, lambda: page(limit=_PAGE, user_id=user(), folder=folder()))
    yield Kind("count by folder", 100, lambda: count(folder=folder()))
    yield Kind("size", 100, lambda: page(limit=_PAGE, **size()))
    yield Kind("count by size", 100, lambda: count(**size()))
    yield Kind("context", 200, lambda: page(limit=_PAGE, **context()))
    yield Kind("count by context", 200, lambda: count(**context()))


def _deep_pages(kit: mt.MediaToolkit) -> Iterator[Any]:
    """Pages from the 1000th on, each by the cursor of the one before."""
    ahead = 999 * _PAGE - 1
    row = kit.sql(
        "SELECT upload_timestamp, id FROM cloudinary_files WHERE deleted_at IS NULL"
        " ORDER BY upload_timestamp DESC, id DESC OFFSET :ahead LIMIT 1",
        {"ahead": ahead},
    ).iloc[0]
    cursor = write_cursor(row.upload_timestamp.to_pydatetime(), int(row.id))
    while True:
        page = kit.page(limit=_PAGE, after=cursor)
        assert len(page.items) == _PAGE
        cursor = page.next_cursor
        yield page


def read_through(home: Path) -> None:
    """Have the system's cache hold the table, as of a database that is in use."""
    for path in (home / "postgres" / "base").rglob("*"):
        if path.is_file():
            with path.open("rb", buffering=0) as file:
                while file.read(1 << 22):
                    pass


def measure(kind: Kind) -> tuple[float, float]:
    """p50 and p95 in ms."""
    for _ in range(_UNTIMED):
        kind.ask()
    took = []
    for _ in range(CALLS):
        started = time.perf_counter()
        kind.ask()
        took.append((time.perf_counter() - started) * 1000)
    return statistics.median(took), statistics.quantiles(took, n=20)[-1]


def measure_all(kit: mt.MediaToolkit, rows: int, wanted: str) -> dict[str, tuple[float, float]]:
    found = {}
    for kind in kinds(kit):
        if wanted in kind.name:
            found[kind.name] = measure(kind)
            half, most = found[kind.name]
            mark = "" if most <= kind.limit_ms else "  <-- over"
            print(f"{rows:>12,}  {kind.name:32} {half:8.1f} {most:8.1f} ms{mark}", flush=True)
    return found


def table(found: dict[int, dict[str, tuple[float, float]]], limits: dict[str, float]) -> str:
    sizes = sorted(found)
    lines = [
        "| p50 / p95, ms | " + " | ".join(f"{n:,}" for n in sizes) + " | p95 wanted |",
        "|---|" + "---|" * (len(sizes) + 1),
    ]
    for name, limit in limits.items():
        cells = [f"{found[n][name][0]:.1f} / {found[n][name][1]:.1f}" for n in sizes]
        lines.append(f"| {name} | {' | '.join(cells)} | {limit:.0f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, help="where the tables are kept")
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--policy", choices=("team", "private"), default="team")
    parser.add_argument("--kind", default="", help="only those whose name has this in it")
    parser.add_argument("--keep", action="store_true", help="leave results.md as it is")
    given = parser.parse_args()
    found, limits = {}, {}
    for rows in given.rows:
        with made.kit_of(rows, given.cache) as kit:
            migrations.migrate(Database(made.owner_url(kit.settings)), given.policy)
            read_through(kit.settings.home)
            found[rows] = measure_all(kit, rows, given.kind)
            limits = {k.name: k.limit_ms for k in kinds(kit) if k.name in found[rows]}
    text = table(found, limits)
    print(text)
    if not given.keep:
        command = f"python benchmarks/store_pages.py --cache FOLDER --policy {given.policy}"
        write_part(f"Pages under the policy {given.policy}", command, text)


if __name__ == "__main__":
    main()
