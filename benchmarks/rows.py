"""Tables of many made-up assets, made in the database once and kept for the next run.

    python benchmarks/rows.py --cache FOLDER --rows 100000 1000000 10000000

A home of the embedded stack for each size. Users, tags, formats and words are skewed as people's
are: 300 users of whom the first has a seventh of the assets, 5,000 tags of which the first is on a
fifth, uploads that come in batches, more of them each month. Every row, its record in the history
and the kept counts stand as a save would have made them; `check` compares.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import psycopg2.extensions

import media_toolkit as mt
from media_toolkit.embedded.stack import EmbeddedStack

USERS = 300
TAGS = 5_000
WORDS = 2_000
_CHUNK = 100_000

_HEADS = "al,be,co,da,el,fi,go,ha,in,ju,ka,lo,mo,na,or,pe,qu,ro,su,ti"
_TAILS = (
    "bric,dan,fern,gold,hill,jay,kite,lamp,mist,nest,oak,pond,rose,sun,tulip,vale,wind,yew,zest,elm"
)
_ENDS = ",er,ing,ly,s"

_FUNCTIONS = f"""
CREATE FUNCTION pg_temp.u(n BIGINT, salt INTEGER) RETURNS FLOAT8 LANGUAGE SQL IMMUTABLE AS
    $$ SELECT (hashint8extended(n, salt) & 1073741823)::float8 / 1073741824 $$;
CREATE FUNCTION pg_temp.word(k INTEGER) RETURNS TEXT LANGUAGE SQL IMMUTABLE AS
    $$ SELECT (string_to_array('{_HEADS}', ','))[k % 20 + 1]
           || (string_to_array('{_TAILS}', ','))[k / 20 % 20 + 1]
           || (string_to_array('{_ENDS}', ','))[k / 400 + 1] $$;
CREATE FUNCTION pg_temp.tag(k INTEGER) RETURNS TEXT LANGUAGE SQL IMMUTABLE AS
    $$ SELECT pg_temp.word(k % {WORDS}) || CASE WHEN k < {WORDS} THEN '' ELSE '-' || k END $$;
"""
# The share of the n-th value of m falls as n grows: u ^ 3 draws small numbers often.
_INSERT = f"""
WITH drawn AS (
    SELECT n,
        floor({USERS} * pg_temp.u(n / 50, 1) ^ 3)::int AS who,
        pg_temp.u(n, 2) AS kind, pg_temp.u(n, 3) AS shape,
        floor(4 * pg_temp.u(n, 4))::int AS how_many_tags,
        floor({TAGS} * pg_temp.u(n, 5) ^ 4)::int AS tag_1,
        floor({TAGS} * pg_temp.u(n, 6) ^ 4)::int AS tag_3,
        floor(10 * pg_temp.u(n, 7))::int AS project,
        floor({WORDS} * pg_temp.u(n, 8) ^ 2)::int AS word_1,
        floor({WORDS} * pg_temp.u(n, 9) ^ 2)::int AS word_2,
        floor({WORDS} * pg_temp.u(n, 10) ^ 2)::int AS word_3,
        pg_temp.u(n, 11) AS size, pg_temp.u(n, 12) AS habit,
        floor(200 * pg_temp.u(n / 50, 13))::int AS place,
        -- A bulk import saves many at one moment.
        timestamptz '2023-11-01' + interval '1096 days' * power(
            (CASE WHEN pg_temp.u(n / 1000, 14) < 0.3 THEN n / 1000 * 1000 ELSE n END)::float8
            / %(rows)s, 0.8) AS moment
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
), named AS (
    SELECT *, 'user_' || who AS user_id, md5(n::text) AS asset_id,
        CASE WHEN kind < 0.85 THEN 'image' WHEN kind < 0.97 THEN 'video' ELSE 'raw' END
            AS resource_type,
        CASE WHEN habit < 0.97 THEN 'upload' ELSE 'authenticated' END AS delivery_type,
        CASE WHEN kind < 0.85 THEN (ARRAY['jpg', 'jpg', 'jpg', 'jpg', 'jpg', 'png', 'png', 'webp',
                                          'gif', 'heic'])[floor(10 * shape)::int + 1]
             WHEN kind < 0.97 THEN (ARRAY['mp4', 'mp4', 'mp4', 'mov', 'webm'])
                                   [floor(5 * shape)::int + 1]
             ELSE (ARRAY['pdf', 'csv', 'zip', NULL])[floor(4 * shape)::int + 1] END AS format,
        'team/' || pg_temp.word(place * 9) AS folder,
        pg_temp.word(word_1) || initcap(pg_temp.word(word_2)) || '_' || n AS name,
        array_remove(ARRAY[
            CASE WHEN how_many_tags > 0 THEN pg_temp.tag(tag_1) END,
            CASE WHEN how_many_tags > 1 AND (who * 37 + project) %% {TAGS} <> tag_1
                 THEN pg_temp.tag((who * 37 + project) %% {TAGS}) END,
            CASE WHEN how_many_tags > 2 AND tag_3 NOT IN (tag_1, (who * 37 + project) %% {TAGS})
                 THEN pg_temp.tag(tag_3) END], NULL) AS tags,
        CASE WHEN habit < 0.4 THEN jsonb_build_object(
                 'alt', pg_temp.word(word_3) || ' ' || pg_temp.word(word_1),
                 'caption', 'a ' || pg_temp.word(word_2) || ' and ' || pg_temp.word(place))
             ELSE '{{}}' END AS context,
        CASE WHEN shape < 0.5 THEN 'IMG_' || n %% 10000 ELSE pg_temp.word(word_1) END
            AS original_filename,
        floor(extract(epoch FROM moment))::bigint AS version,
        CASE WHEN kind < 0.97 THEN 640 + floor(size * 5000)::int END AS width,
        CASE WHEN kind < 0.97 THEN 480 + floor(size * 3000)::int END AS height,
        floor(20000 / (1.002 - size))::bigint AS bytes
    FROM drawn
), made AS (
    INSERT INTO cloudinary_files (id, asset_id, public_id, media_url, resource_type, delivery_type,
        user_id, upload_timestamp, version, format, width, height, duration, bytes, tags, context,
        folder, original_filename, etag, phash, created_at, raw)
    SELECT n, asset_id, folder || '/' || name, url, resource_type, delivery_type,
        user_id, moment, version, format, width, height,
        CASE WHEN resource_type = 'video' THEN 1 + 100 * size END, bytes, tags, context,
        folder, original_filename, md5(asset_id),
        CASE WHEN resource_type = 'image' THEN left(md5(asset_id || 'p'), 16) END,
        date_trunc('second', moment),
        jsonb_build_object('asset_id', asset_id, 'public_id', folder || '/' || name,
            'version', version, 'resource_type', resource_type, 'type', delivery_type,
            'format', format, 'width', width, 'height', height, 'bytes', bytes,
            'secure_url', url, 'tags', tags, 'created_at', date_trunc('second', moment))
    FROM named CROSS JOIN LATERAL (
        SELECT 'https://res.cloudinary.com/demo/' || resource_type || '/' || delivery_type || '/v'
            || version || '/' || folder || '/' || name || coalesce('.' || format, '')) AS at (url)
    RETURNING id, user_id, upload_timestamp
)
INSERT INTO cloudinary_files_history (file_id, operation, changed_at, changed_by, user_id)
SELECT id, 'insert', upload_timestamp, user_id, user_id FROM made
"""
# As people do: a few are deleted, with triggers on.
_DELETE = "UPDATE cloudinary_files SET deleted_at = now() WHERE id % 500 = 7"

# What the triggers would have kept.
_KEEP = """
TRUNCATE cloudinary_files_counts;
INSERT INTO cloudinary_files_counts
SELECT user_id, resource_type, delivery_type, format, NULL, count(*) FROM cloudinary_files
WHERE deleted_at IS NULL GROUP BY 1, 2, 3, 4
UNION ALL
SELECT user_id, '', '', NULL, tag, count(*)
FROM cloudinary_files CROSS JOIN LATERAL unnest(tags) AS tag
WHERE deleted_at IS NULL GROUP BY 1, 5;
TRUNCATE cloudinary_files_tagged;
INSERT INTO cloudinary_files_tagged
SELECT DISTINCT tag, upload_timestamp, id, user_id, resource_type
FROM cloudinary_files CROSS JOIN unnest(tags) AS tag WHERE deleted_at IS NULL
ORDER BY tag, upload_timestamp, id;
TRUNCATE cloudinary_files_totals;
INSERT INTO cloudinary_files_totals
SELECT tag, count(*) FROM cloudinary_files_tagged GROUP BY 1;
"""
_INDEXES = """
SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
WHERE indrelid = ANY (
    '{cloudinary_files,cloudinary_files_history,cloudinary_files_tagged}'::regclass[])
  AND NOT indisprimary
"""
# Whatever is lost in a crash of the machine is made again.
_HASTE = {"fsync": "off", "full_page_writes": "off", "max_wal_size": "16GB", "autovacuum": "off"}

# What triggers keep, beside what it is kept of; each must give no row.
_CHECKS = {
    "history": """
        SELECT file_id, user_id FROM cloudinary_files_history WHERE operation = 'insert'
        EXCEPT SELECT id, user_id FROM cloudinary_files
        UNION ALL (SELECT id, user_id FROM cloudinary_files
        EXCEPT SELECT file_id, user_id FROM cloudinary_files_history WHERE operation = 'insert')""",
    "kept counts of kinds": """
        SELECT user_id, resource_type, delivery_type, format, count(*) FROM cloudinary_files
        WHERE deleted_at IS NULL GROUP BY 1, 2, 3, 4
        EXCEPT SELECT user_id, resource_type, delivery_type, format, sum(assets)
        FROM cloudinary_files_counts WHERE tag IS NULL GROUP BY 1, 2, 3, 4""",
    "kept counts of tags": """
        SELECT user_id, tag, sum(assets) FROM cloudinary_files_counts WHERE tag IS NOT NULL
        GROUP BY 1, 2 HAVING sum(assets) <> 0
        EXCEPT SELECT user_id, tag, count(*) FROM cloudinary_files, unnest(tags) AS tag
        WHERE deleted_at IS NULL GROUP BY 1, 2""",
    "totals of tags": """
        SELECT tag, sum(assets) FROM cloudinary_files_totals GROUP BY 1 HAVING sum(assets) <> 0
        EXCEPT SELECT tag, count(*) FROM cloudinary_files, unnest(tags) AS tag
        WHERE deleted_at IS NULL GROUP BY 1""",
    "rows by tag": """
        (SELECT tag, upload_timestamp, file_id, user_id, resource_type
         FROM cloudinary_files_tagged
         EXCEPT SELECT tag, upload_timestamp, id, user_id, resource_type
         FROM cloudinary_files, unnest(tags) AS tag WHERE deleted_at IS NULL)
        UNION ALL (SELECT tag, upload_timestamp, id, user_id, resource_type
         FROM cloudinary_files, unnest(tags) AS tag WHERE deleted_at IS NULL
         EXCEPT SELECT tag, upload_timestamp, file_id, user_id, resource_type
         FROM cloudinary_files_tagged)""",
}


def word(k: int) -> str:
    """The k-th word of `WORDS`; the smaller k, the more often it is used."""
    heads, tails, ends = _HEADS.split(","), _TAILS.split(","), _ENDS.split(",")
    return heads[k % 20] + tails[k // 20 % 20] + ends[k // 400]


def tag(k: int) -> str:
    """The k-th of `TAGS`."""
    return word(k % WORDS) + ("" if k < WORDS else f"-{k}")


def user(k: int) -> str:
    """The k-th of `USERS`."""
    return f"user_{k}"


@contextmanager
def kit_of(rows: int, cache: Path) -> Iterator[mt.MediaToolkit]:
    """A toolkit on a table of so many rows, made now unless `cache` has it."""
    home = cache.expanduser().resolve() / f"rows-{rows}"
    done = home / "rows-are-made"
    if home.exists() and not done.exists():
        shutil.rmtree(home)
    home.mkdir(parents=True, exist_ok=True)
    settings = mt.Settings(home=home)
    try:
        with mt.connect(settings, user_id=user(0)) as kit:
            if not done.exists():
                fill(owner_url(settings), rows)
                done.touch()
            yield kit
    finally:
        EmbeddedStack.join(settings).end_if_unused()


def owner_url(settings: mt.Settings) -> str:
    """The connection string of the embedded stack's owner."""
    stack = EmbeddedStack.join(settings)
    try:
        return stack.database_url
    finally:
        stack.leave()


@contextmanager
def owner(url: str, is_alone: bool = False) -> Iterator[psycopg2.extensions.cursor]:
    """A cursor as the table's owner, in one transaction or, `is_alone`, in none."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = is_alone
        with connection.cursor() as cursor:
            yield cursor
        if not is_alone:
            connection.commit()


def fill(url: str, rows: int) -> None:
    """Make the rows; indexes come after them, and the work of triggers is done for all at once.

    Raises:
        AssertionError: what triggers keep is not of these rows.
    """
    said = Said(rows)
    with owner(url, is_alone=True) as cursor:
        for name, value in _HASTE.items():
            cursor.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        cursor.execute("SELECT pg_reload_conf()")
    with owner(url) as cursor:
        cursor.execute(_INDEXES)
        indexes = cursor.fetchall()
        for name, _ in indexes:
            cursor.execute(f"DROP INDEX {name}")
        cursor.execute("ALTER TABLE cloudinary_files DISABLE TRIGGER USER")
    with ThreadPoolExecutor(2) as pool:
        chunks = range(1, rows + 1, _CHUNK)
        for done in pool.map(lambda first: _insert(url, rows, first), chunks):
            said(f"{done:,} rows")
    with owner(url) as cursor:
        cursor.execute("SET maintenance_work_mem = '1GB'; SET work_mem = '256MB'")
        cursor.execute(
            "SELECT setval(pg_get_serial_sequence('cloudinary_files', 'id'), %s)", (rows,)
        )
        cursor.execute(_KEEP)
        said("what triggers keep")
        for name, definition in indexes:
            cursor.execute(definition)
            said(name)
        cursor.execute("ALTER TABLE cloudinary_files ENABLE TRIGGER USER")
    with owner(url, is_alone=True) as cursor:
        cursor.execute("ANALYZE")
        cursor.execute(_DELETE)
        said("some deleted")
        for name in _HASTE:
            cursor.execute(f"ALTER SYSTEM RESET {name}")
        cursor.execute("SELECT pg_reload_conf()")
        cursor.execute("CHECKPOINT")
        cursor.execute("VACUUM ANALYZE")
        said("vacuum")
    check(url)
    said("checked")


def check(url: str) -> None:
    """Compare what triggers keep with the rows themselves.

    Raises:
        AssertionError: naming what differs.
    """
    with owner(url) as cursor:
        cursor.execute("SET work_mem = '256MB'")
        for name, query in _CHECKS.items():
            cursor.execute(f"SELECT * FROM ({query}) AS differing LIMIT 3")
            assert not (differing := cursor.fetchall()), f"{name}: {differing}"


def _insert(url: str, rows: int, first: int) -> int:
    last = min(first + _CHUNK - 1, rows)
    with owner(url) as cursor:
        cursor.execute(_FUNCTIONS)
        cursor.execute(_INSERT, {"rows": rows, "first": first, "last": last})
    return last


class Said:
    """Tells of the steps of something long, with the seconds since the last one."""

    def __init__(self, rows: int) -> None:
        self._rows, self._at = rows, time.perf_counter()

    def __call__(self, step: str) -> None:
        now = time.perf_counter()
        print(f"{self._rows:,}: {step}, {now - self._at:.1f} s", flush=True)
        self._at = now


def main() -> None:
    """Make the tables that are not there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000])
    given = parser.parse_args()
    for rows in given.rows:
        with kit_of(rows, given.cache) as kit:
            print(f"{kit.count():,} assets of {rows:,} rows")


if __name__ == "__main__":
    main()
