"""Reading, writing and starting on the embedded Postgres, beside what others would do there.

    python benchmarks/store.py [--only read|write|cold] [--rows 1000000] [--runs 5]
        [--home FOLDER]

Ways are run in turn, round after round, and each read in a process of its own, so that its peak of
memory is its own. Writes its parts of `benchmarks/results.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
from report import write_part

import media_toolkit as mt
from media_toolkit.asset import Asset
from media_toolkit.embedded.stack import EmbeddedStack
from media_toolkit.identity import Identity
from media_toolkit.store import rows as copying
from media_toolkit.store.database import Database
from media_toolkit.store.schema import ASSET_COLUMNS, files
from media_toolkit.store.upsert import WRITTEN

USER = "benchmark"
SAVED = 100_000
# These take a minute or more for 100,000 rows; their rates do not change on the way there.
BY_EXECUTEMANY, BY_GUIDE = 5_000, 200
PLAIN = (
    *("id", "public_id", "media_url", "resource_type", "user_id", "upload_timestamp", "version"),
    *("format", "width", "height", "bytes"),
)
COLUMNS = {"11": PLAIN, "all": tuple(c.name for c in ASSET_COLUMNS)}
READS = ("kit.assets()", "pandas.read_sql", "COPY to nowhere")


def responses(first: int, count: int) -> Iterator[dict[str, Any]]:
    """What Cloudinary answers to uploads, about 800 bytes each; the same for the same number."""
    names = ("tulip", "harbour", "portrait", "SpringSale", "IMG_2041", "interview")
    for number in range(first, first + count):
        chance = random.Random(number)
        name, folder = chance.choice(names), f"shoot_{chance.randrange(500)}"
        kind, suffix = chance.choice((*[("image", "jpg")] * 8, ("image", "png"), ("video", "mp4")))
        public_id, version = f"{folder}/{name}_{number}", 1_700_000_000 + number
        url = f"//res.cloudinary.com/demo/{kind}/upload/v{version}/{public_id}.{suffix}"
        context = {"alt": f"A picture of {name}", "photographer": f"Person {number % 50}"}
        etag = f"{chance.getrandbits(128):032x}"
        yield {
            "asset_id": f"{number:032x}",
            "public_id": public_id,
            "version": version,
            "version_id": etag,
            "width": chance.randrange(640, 6000),
            "height": chance.randrange(480, 4000),
            "format": suffix,
            "resource_type": kind,
            "created_at": "2026-03-01T12:00:00Z",
            "tags": chance.sample([f"tag {n}" for n in range(40)], chance.randrange(4)),
            "bytes": chance.randrange(10_000, 5_000_000),
            "type": "upload",
            "etag": etag,
            "placeholder": False,
            "url": f"http:{url}",
            "secure_url": f"https:{url}",
            "asset_folder": folder,
            "display_name": f"{name}_{number}",
            "original_filename": name,
            **({"context": {"custom": context}} if number % 3 else {}),
            **({"phash": etag[:16]} if kind == "image" else {"duration": number % 900 / 10}),
        }


def database_of(settings: mt.Settings) -> str:
    """The connection string of the embedded stack's owner."""
    stack = EmbeddedStack.join(settings)
    try:
        return stack.database_url
    finally:
        stack.leave()


def fill(settings: mt.Settings, rows: int) -> None:
    """Save rows by batches of 10,000, as an import does, where they are not there yet."""
    with mt.connect(settings) as kit:
        for first in range(kit.count(), rows, 10_000):
            count = min(10_000, rows - first)
            kit.acting_as(f"user_{first // 10_000 % 30}").save_many(responses(first, count))
    with closing(psycopg2.connect(database_of(settings))) as connection:
        connection.autocommit = True
        connection.cursor().execute("VACUUM ANALYZE")
        # What the fill left to be written would be written while others are measured.
        connection.cursor().execute("CHECKPOINT")


def read_once(settings: mt.Settings, way: str, columns: Sequence[str]) -> dict[str, float]:
    """One way of reading all rows, twice on one connection.

    Seconds of the first time and of the second, when Postgres' process knows the table's memory;
    megabytes of the first time's peak above where it began.
    """
    import pandas as pd
    import sqlalchemy as sa

    url = database_of(settings)
    statement = f"SELECT {', '.join(columns)} FROM cloudinary_files WHERE deleted_at IS NULL"
    if way == "kit.assets()":
        kit = mt.connect(settings)
        kit.assets(columns=columns, limit=1)
        read: Callable[[], Any] = lambda: kit.assets(columns=columns)  # noqa: E731
    elif way == "pandas.read_sql":
        engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))
        connection = engine.connect()
        pd.read_sql(sa.text(f"{statement} LIMIT 1"), connection)
        read = lambda: pd.read_sql(sa.text(statement), connection)  # noqa: E731
    else:
        cursor = psycopg2.connect(url).cursor()
        copy = f"COPY ({statement}) TO STDOUT (FORMAT binary)"
        nowhere = Path(os.devnull).open("wb")  # noqa: SIM115
        read = lambda: cursor.copy_expert(copy, nowhere)  # noqa: E731
    before, start = _peak_mb(), time.perf_counter()
    kept = read()
    first = time.perf_counter() - start
    found = {"first": first, "mb": _peak_mb() - before, "rows": 0 if kept is None else len(kept)}
    del kept
    start = time.perf_counter()
    read()
    return found | {"seconds": time.perf_counter() - start}


def _peak_mb() -> float:
    # Linux hands the parent's peak down to a child; the parent here stays smaller than any of them.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def in_a_process(settings: mt.Settings, *arguments: str) -> dict[str, float]:
    """Run this file once more for one measurement."""
    done = subprocess.run(
        [sys.executable, __file__, "--home", str(settings.home), "--measure", *arguments],
        check=True,
        stdout=subprocess.PIPE,
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def reading(settings: mt.Settings, rows: int, runs: int) -> str:
    """Ratios of reading all rows."""
    in_a_process(settings, "fill", str(rows))
    lines = []
    for width in COLUMNS:
        found: dict[str, list[dict[str, float]]] = {way: [] for way in READS}
        for _ in range(runs):
            for way in READS:
                found[way].append(in_a_process(settings, "read", way, width))
        assert {r["rows"] for way in READS[:2] for r in found[way]} == {rows}
        s = {way: statistics.median(r["seconds"] for r in found[way]) for way in READS}
        first_s = {way: statistics.median(r["first"] for r in found[way]) for way in READS}
        mb = {way: statistics.median(r["mb"] for r in found[way]) for way in READS}
        kit, peer, limit = READS
        for what, figures, unit, first, other, target in (
            ("second read", s, "s", peer, kit, "≥ 5"),
            ("first read", first_s, "s", peer, kit, "≥ 5"),
            ("peak memory", mb, "MB", kit, peer, "≤ 0.3"),
            ("second read", s, "s", kit, limit, "≤ 1.8"),
        ):
            digits = 2 if unit == "s" else 0
            lines.append(
                f"| {len(COLUMNS[width])} columns: {what} of {first} / {other} "
                f"| {figures[first]:.{digits}f} {unit} / {figures[other]:.{digits}f} {unit} "
                f"| {figures[first] / figures[other]:.2f} | {target} |"
            )
    return _table(lines)


def writing(settings: mt.Settings, runs: int) -> str:
    """Ratios of saving `SAVED` rows into the emptied table, with its indexes and triggers."""
    url = database_of(settings)
    given = list(responses(0, SAVED))
    assets = [Asset.from_response(one, USER) for one in given]
    text = "".join(map(copying.line, assets))
    rows = [
        {c.name: getattr(a, c.name) for c in files.c if c.name in copying.COLUMNS}
        | {"tags": list(a.tags)}
        for a in assets[:BY_EXECUTEMANY]
    ]
    seconds: dict[str, list[float]] = {}
    megabytes: dict[str, list[float]] = {}
    with (
        mt.connect(settings, user_id=USER) as kit,
        closing(psycopg2.connect(url)) as connection,
        closing(Database(url)) as database,
    ):
        connection.autocommit = True
        cursor = connection.cursor()

        def timed(way: str, scale: float, work: Callable[[], Any], is_empty: bool = True) -> Any:
            if is_empty:
                cursor.execute("TRUNCATE cloudinary_files, cloudinary_files_history")
                cursor.execute("VACUUM cloudinary_files_counts")
            else:
                # Marks of which rows are visible are written once, by whoever looks first.
                cursor.execute("VACUUM cloudinary_files")
            cursor.execute("CHECKPOINT")
            wal, start = _wal(cursor), time.perf_counter()
            result = work()
            seconds.setdefault(way, []).append(scale * (time.perf_counter() - start))
            megabytes.setdefault(way, []).append(scale * (_wal(cursor) - wal) / 1e6)
            return result

        for _ in range(runs):
            timed("COPY", 1, lambda: cursor.copy_expert(_copy(), _Text(text)))
            told = timed("save_many", 1, lambda: kit.save_many(given))
            assert told.inserted == SAVED, told
            told = timed("again", 1, lambda: kit.save_many(given), is_empty=False)
            assert told.unchanged == SAVED, told
            timed("executemany", SAVED / BY_EXECUTEMANY, lambda: _executemany(database, rows))
            timed("guide", SAVED / BY_GUIDE, lambda: _guide(url, assets[:BY_GUIDE]))
    s = {way: statistics.median(found) for way, found in seconds.items()}
    wal = {way: statistics.median(found) for way, found in megabytes.items()}

    def line(told: str, way: str, other: str, target: str) -> str:
        return (
            f"| {told} | {s[way]:.1f} s / {s[other]:.1f} s | {s[way] / s[other]:.1f} | {target} |"
        )

    table = _table(
        [
            line("executemany upsert / save_many", "executemany", "save_many", "≥ 6"),
            line("the guide, a connection a row / save_many", "guide", "save_many", "≥ 100"),
            line("save_many / COPY", "save_many", "COPY", "≤ 2"),
            line("save_many again, unchanged / COPY", "again", "COPY", "≤ 3.5"),
        ]
    )
    return (
        f"{table}\n\nexecutemany was measured on {BY_EXECUTEMANY:,} rows and the guide on "
        f"{BY_GUIDE}, and scaled to {SAVED:,}. MB of WAL: "
        + ", ".join(f"{way} {found:,.1f}" for way, found in wal.items())
        + "."
    )


class _Text:
    """A text that COPY reads; psycopg2 wants pieces."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def read(self, size: int) -> str:
        self._at += size
        return self._text[self._at - size : self._at]


def _copy() -> str:
    return f"COPY cloudinary_files ({', '.join(copying.COLUMNS)}) FROM STDIN"


def _executemany(database: Database, rows: Sequence[dict[str, Any]]) -> None:
    from sqlalchemy.dialects.postgresql import insert

    upsert = insert(files)
    upsert = upsert.on_conflict_do_update(
        index_elements=["resource_type", "delivery_type", "public_id"],
        set_={name: upsert.excluded[name] for name in WRITTEN},
        where=files.c.version <= upsert.excluded.version,
    )
    with database.begin(Identity(USER)) as connection:
        connection.execute(upsert, rows)


def _guide(url: str, assets: Sequence[Asset]) -> None:
    # https://neon.com/docs/guides/cloudinary
    for asset in assets:
        with closing(psycopg2.connect(url)) as connection:
            with connection.cursor() as cursor:
                cursor.execute(
                    "INSERT INTO cloudinary_files (public_id, media_url, resource_type, user_id)"
                    " VALUES (%s, %s, %s, %s)",
                    (asset.public_id, asset.media_url, asset.resource_type, asset.user_id),
                )
            connection.commit()


def _wal(cursor: Any) -> int:
    cursor.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
    return int(cursor.fetchone()[0])


def cold(settings: mt.Settings, runs: int) -> str:
    """Seconds until the package is imported, and until a running stack gives the first row."""
    with mt.connect(settings, user_id=USER) as kit:
        kit.save_many(responses(0, 1000))
        found = [in_a_process(settings, "cold", way) for _ in range(runs) for way in _FIRST_ROW]
    lines = []
    imported = statistics.median(one["import"] for one in found)
    lines.append(f"| import media_toolkit | {imported:.2f} s | | < 0.3 s |")
    for number, way in enumerate(_FIRST_ROW):
        took = statistics.median(one["first_row"] for one in found[number :: len(_FIRST_ROW)])
        lines.append(f"| mt.connect() to the row of kit.{way} | {took:.2f} s | | < 1 s |")
    return _table(lines)


_FIRST_ROW = ("page(limit=1).items", "assets(limit=1)")


def first_row(settings: mt.Settings, way: str) -> dict[str, float]:
    """In a new Python: seconds of the import, and from there to the first row."""
    script = f"""
import json, time
start = time.perf_counter()
import media_toolkit as mt
imported = time.perf_counter()
rows = mt.connect().{way}
found = time.perf_counter()
assert len(rows) == 1
print(json.dumps({{"import": imported - start, "first_row": found - imported}}))
"""
    environment = {**os.environ, "MEDIA_TOOLKIT_HOME": str(settings.home)}
    told = subprocess.run(
        [sys.executable, "-c", script], env=environment, check=True, stdout=subprocess.PIPE
    )
    result: dict[str, float] = json.loads(told.stdout)
    return result


def _table(lines: Sequence[str]) -> str:
    return "\n".join(("| what | medians | ratio | target |", "|---|---|---|---|", *lines))


def main() -> None:
    """Measure in a temporary home, or, with `--measure`, one way in the home that is given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("read", "write", "cold"))
    parser.add_argument("--rows", type=int, default=1_000_000, help="to read")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--home", help="an absolute folder that keeps the rows for the next run")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        settings = mt.Settings(home=Path(given.home), user_id=USER)
        match given.measure:
            case ["fill", rows]:
                fill(settings, int(rows))
                result = {}
            case ["read", way, width]:
                result = read_once(settings, way, COLUMNS[width])
            case ["cold", way]:
                result = first_row(settings, way)
        print(json.dumps(result))
        return
    parts: dict[str, Callable[[mt.Settings], str]] = {
        "read": lambda settings: reading(settings, given.rows, given.runs),
        "write": lambda settings: writing(settings, given.runs),
        "cold": lambda settings: cold(settings, given.runs),
    }
    titles = {
        "read": f"Reading {given.rows:,} rows",
        "write": f"Writing {SAVED:,} rows",
        "cold": "From nothing to the first row",
    }
    for name, measure in parts.items():
        if given.only not in (None, name):
            continue
        with tempfile.TemporaryDirectory(prefix="media-toolkit-benchmark-") as temporary:
            home = Path(given.home) / name if given.home else Path(temporary)
            settings = mt.Settings(home=home, user_id=USER)
            with mt.connect(settings):
                text = measure(settings)
            assert EmbeddedStack.join(settings).end_if_unused()
        print(f"{titles[name]}\n{text}\n")
        write_part(titles[name], f"python benchmarks/store.py --only {name}", text)


if __name__ == "__main__":
    main()
