"""Adoption: what stands in the way of making a table that is there already ours."""

from __future__ import annotations

import sqlalchemy as sa

from media_toolkit.errors import StoreError
from media_toolkit.store.schema import files

_OF_THE_GUIDE = ("id", "public_id", "media_url", "resource_type", "user_id", "upload_timestamp")
# What functions of the migrations call something else by.
_TAKEN = frozenset({"words", "tag", "file_id", "f", "was", "now"})
# NULLS NOT DISTINCT, and views that act as who asks.
_OLDEST = 150_000
_VERSION = sa.text("""
SELECT current_setting('server_version_num')::int AS number,
    current_setting('server_version') AS said
""")
_COLUMNS = sa.text("""
SELECT attname, format_type(atttypid, NULL) AS kind FROM pg_attribute
WHERE attrelid = to_regclass('cloudinary_files') AND attnum > 0 AND NOT attisdropped
""")
_NOT_ADOPTABLE = sa.text("""
SELECT 'the schema of cloudinary_files needs quotes: ' || quote_ident(nspname) AS said,
    'ALTER SCHEMA … RENAME TO a name of small letters, then migrate again' AS hint
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass('cloudinary_files') AND quote_ident(nspname) <> nspname
UNION ALL
SELECT format('cloudinary_files is no plain table (relkind %s)', relkind),
    'rename it, migrate, and INSERT its rows into the new one'
FROM pg_class WHERE oid = to_regclass('cloudinary_files') AND relkind <> 'r'
UNION ALL
SELECT format('cloudinary_files has a policy of its own, %s, which would let more be seen',
              polname),
    format('DROP POLICY %I ON cloudinary_files, then migrate again', polname)
FROM pg_policy WHERE polrelid = to_regclass('cloudinary_files') AND polpermissive
UNION ALL
SELECT format('the column %s of cloudinary_files is %s and not as the guide has it', attname,
              format_type(atttypid, NULL)),
    format('ALTER TABLE cloudinary_files ALTER COLUMN %I TYPE %s, then migrate again', attname,
           CASE WHEN attname = 'id' THEN 'INTEGER' WHEN attname <> 'upload_timestamp' THEN 'TEXT'
                WHEN atttypid = 'timestamp'::regtype
                THEN 'TIMESTAMPTZ USING upload_timestamp AT TIME ZONE ''UTC'''
                ELSE 'TIMESTAMPTZ' END)
FROM pg_attribute WHERE attrelid = to_regclass('cloudinary_files') AND NOT attisdropped AND CASE
    WHEN attname = 'id' THEN atttypid NOT IN ('int4'::regtype, 'int8'::regtype)
    WHEN attname = 'upload_timestamp' THEN atttypid <> 'timestamptz'::regtype
    WHEN attname IN ('public_id', 'media_url', 'resource_type', 'user_id')
        THEN atttypid NOT IN ('text'::regtype, 'varchar'::regtype)
    ELSE false END
UNION ALL
SELECT format('cloudinary_files has no column %s, as the guide has it', wanted),
    format('ALTER TABLE cloudinary_files ADD COLUMN %s …, then migrate again', wanted)
FROM unnest(CAST(:of_the_guide AS text[])) AS wanted
WHERE to_regclass('cloudinary_files') IS NOT NULL AND NOT EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = to_regclass('cloudinary_files')
        AND attname = wanted AND NOT attisdropped)
UNION ALL
SELECT format('%s of %s refers to the public_id of cloudinary_files, which is not unique alone',
              conname, conrelid::regclass),
    'let it refer to the id instead, then migrate again'
FROM pg_constraint WHERE confrelid = to_regclass('cloudinary_files') AND contype = 'f'
    AND confkey && (SELECT array_agg(attnum) FROM pg_attribute
                    WHERE attrelid = confrelid AND attname = 'public_id')
""")
_UNFIT = sa.text("""
SELECT id, CASE WHEN id > 2147483647 THEN 'a fitting id' WHEN user_id IS NULL THEN 'user_id'
    WHEN public_id IS NULL THEN 'public_id' WHEN media_url IS NULL THEN 'media_url'
    ELSE 'resource_type' END AS lacks
FROM cloudinary_files
WHERE id > 2147483647 OR user_id IS NULL OR public_id IS NULL OR media_url IS NULL
    OR resource_type IS NULL
ORDER BY id LIMIT 10
""")
_TWICE = sa.text("""
SELECT resource_type, public_id, count(*) AS times FROM cloudinary_files AS f
GROUP BY 1, 2, to_jsonb(f) ->> 'delivery_type' HAVING count(*) > 1 ORDER BY 2, 1 LIMIT 10
""")


def check_adoptable(connection: sa.Connection) -> None:
    """Of a database that is migrated for the first time: what no migration can put right.

    Raises:
        StoreError: saying what stands in the way; nothing was changed.
    """
    version = connection.execute(_VERSION).one()
    if version.number < _OLDEST:
        raise StoreError(
            f"Postgres {version.said} is too old", hint="15 or newer is needed: upgrade it first"
        )
    if connection.scalar(sa.text("SELECT to_regclass('cloudinary_files')")) is None:
        return
    for found in connection.execute(_NOT_ADOPTABLE, {"of_the_guide": list(_OF_THE_GUIDE)}):
        raise StoreError(found.said, hint=found.hint)
    if rows := connection.execute(_UNFIT).all():
        named = ", ".join(f"id {row.id} without {row.lacks}" for row in rows)
        raise StoreError(
            f"cloudinary_files has rows that are none of the guide's: {named}",
            hint="give each an owner, a name, a URL and a type, and an id below 2147483648; then "
            "migrate again",
            ids=tuple(str(row.id) for row in rows),
        )
    if twice := connection.execute(_TWICE).all():
        named = ", ".join(f"{row.resource_type}/{row.public_id} ({row.times})" for row in twice)
        raise StoreError(
            f"cloudinary_files has the same asset in several rows: {named}",
            hint="keep one row of each: DELETE FROM cloudinary_files AS a USING cloudinary_files "
            "AS b WHERE (a.resource_type, a.public_id) = (b.resource_type, b.public_id) AND "
            "a.id < b.id keeps the newest; then migrate again",
            ids=tuple(row.public_id for row in twice),
        )
    _check_columns(connection)


def _check_columns(connection: sa.Connection) -> None:
    """Of a table that is to be adopted: no column of the team's own where ours will stand.

    Raises:
        StoreError: naming each with its type.
    """
    dialect = connection.dialect
    ours = {c.name: c.type.compile(dialect).lower() for c in files.c if c.name not in _OF_THE_GUIDE}
    clashes = []
    for name, kind in connection.execute(_COLUMNS):
        wanted = ours.get(name, kind)
        is_text = wanted == "text" and kind.startswith("character varying")
        if name in _TAKEN or (kind != wanted and not is_text):
            clashes.append(f"{name} {kind}" + (f" (ours is {wanted})" if name in ours else ""))
    if clashes:
        raise StoreError(
            f"cloudinary_files has columns that the toolkit needs itself: {', '.join(clashes)}",
            hint="ALTER TABLE cloudinary_files RENAME COLUMN … TO …, then migrate again",
            ids=tuple(clashes),
        )
