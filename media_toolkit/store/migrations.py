"""Applies `sql/migrations/NNNN_name.sql`: in order, each in one transaction, each once.

Then the one of `sql/policies` that was chosen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import sqlalchemy as sa

from media_toolkit.errors import Forbidden, StoreError
from media_toolkit.store.database import Database
from media_toolkit.store.outage import diagnosis, our_errors
from media_toolkit.store.schema import files

_HERE = Path(__file__).resolve()
# A checkout keeps sql/ beside the package; a wheel carries it inside.
SQL = next(p for p in (_HERE.parents[2] / "sql", _HERE.parents[1] / "sql") if p.is_dir())

# Any number, the same for everybody who migrates this table.
_LOCK_KEY = 0x6D74_6B69

_OF_THE_GUIDE = ("id", "public_id", "media_url", "resource_type", "user_id", "upload_timestamp")
# Whoever asks for a row waits behind a migration that waits: for no longer than this.
_LOCK_TIMEOUT_S = 10
_BLOCKERS = sa.text("""
SELECT DISTINCT a.pid, a.usename, a.application_name, a.state, a.xact_start
FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
WHERE l.relation = to_regclass('cloudinary_files') AND l.granted AND a.pid <> pg_backend_pid()
ORDER BY a.xact_start LIMIT 5
""")
_NOT_ADOPTABLE = sa.text("""
SELECT 'the schema of cloudinary_files needs quotes: ' || quote_ident(nspname) AS said,
    'ALTER SCHEMA … RENAME TO a name of small letters, then migrate again' AS hint
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass('cloudinary_files') AND quote_ident(nspname) <> nspname
UNION ALL
SELECT format('%s of %s refers to the public_id of cloudinary_files, which is not unique alone',
              conname, conrelid::regclass),
    'let it refer to the id instead, then migrate again'
FROM pg_constraint WHERE confrelid = to_regclass('cloudinary_files') AND contype = 'f'
    AND confkey && (SELECT array_agg(attnum) FROM pg_attribute
                    WHERE attrelid = confrelid AND attname = 'public_id')
""")
_LOCKED_OUT = "55P03"
_TWICE = sa.text("""
SELECT resource_type, public_id, count(*) AS times FROM cloudinary_files AS f
GROUP BY 1, 2, to_jsonb(f) ->> 'delivery_type' HAVING count(*) > 1 ORDER BY 2, 1 LIMIT 10
""")
# What functions of the migrations call something else by.
_TAKEN = frozenset({"words", "tag", "file_id", "f", "was", "now"})
_COLUMNS = sa.text("""
SELECT attname, format_type(atttypid, NULL) AS kind FROM pg_attribute
WHERE attrelid = to_regclass('cloudinary_files') AND attnum > 0 AND NOT attisdropped
""")

Policy = Literal["team", "private"]

_LEDGER = """
CREATE TABLE IF NOT EXISTS media_toolkit_migrations (
    name TEXT PRIMARY KEY,
    checksum TEXT NOT NULL,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: `name` without `.sql`, its text, and the SHA-256 of that text."""

    name: str
    sql: str
    checksum: str


def migrations(folder: Path = SQL / "migrations") -> list[Migration]:
    """All migration files, in the order of their numbers."""
    found = []
    for path in sorted(folder.glob("[0-9]*.sql")):
        text = path.read_text(encoding="utf-8")
        found.append(Migration(path.stem, text, hashlib.sha256(text.encode()).hexdigest()))
    return found


def applied(database: Database) -> dict[str, str]:
    """Name → checksum of what has been applied. Only reads."""
    with database.direct() as connection:
        return _applied(connection)


def pending(database: Database) -> list[Migration]:
    """What `migrate` would apply. Only reads."""
    done = applied(database)
    return [m for m in migrations() if m.name not in done]


def lacking(database: Database, policy: Policy | None) -> list[str]:
    """What `migrate` would mend, in words: files that wait, another policy than `policy`.

    Nothing where the login may not look: it could not migrate either.
    """
    try:
        with database.direct() as connection:
            done, held = _applied(connection), _policy(connection)
    except Forbidden:
        return []
    waiting = [m.name for m in migrations() if m.name not in done]
    found = [f"the database lacks {', '.join(waiting)}"] if waiting else []
    if policy is not None and held is not None and held != policy:
        found.append(f"the database holds to the policy {held}, and the settings say {policy}")
    return found


def migrate(database: Database, policy: Policy | None = None) -> list[str]:
    """Apply what is pending; returns the names applied by this call.

    Args:
        policy: who may read; the one that holds already unless given, at first `team`.

    Two at once apply each file once: the second waits at an advisory lock.

    Raises:
        StoreError: when a file that was applied has been edited since, or SQL fails;
            the failed file leaves nothing behind.
    """
    names: list[str] = []
    while True:
        with _naming_who_is_in_the_way(database), database.direct() as connection:
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:k)"), {"k": _LOCK_KEY})
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT_S}s'")
            connection.exec_driver_sql(_LEDGER)
            done = _applied(connection)
            _check_unedited(done)
            todo = next((m for m in migrations() if m.name not in done), None)
            if todo is None:
                if applied_now := _apply_policy(connection, policy):
                    names.append(applied_now)
                return names
            if not done:
                _check_table(connection)
                _check_columns(connection)
            _run(connection, f"migration {todo.name}", todo.sql)
            connection.execute(
                sa.text("INSERT INTO media_toolkit_migrations (name, checksum) VALUES (:n, :c)"),
                {"n": todo.name, "c": todo.checksum},
            )
        names.append(todo.name)


def policy_of(database: Database) -> str | None:
    """Who may read, by the name of the applied file of `sql/policies`. Only reads."""
    with database.direct() as connection:
        return _policy(connection)


def _policy(connection: sa.Connection) -> str | None:
    if connection.scalar(sa.text("SELECT to_regclass('media_toolkit_policy')")) is None:
        return None
    return connection.scalar(sa.text("SELECT name FROM media_toolkit_policy"))


def _apply_policy(connection: sa.Connection, wanted: Policy | None) -> str | None:
    """Under the lock: apply the file unless it holds as it is; returns `policies/name`."""
    held = connection.execute(sa.text("SELECT name, checksum FROM media_toolkit_policy")).first()
    name = wanted or (held.name if held else "team")
    text = (SQL / "policies" / f"{name}.sql").read_text(encoding="utf-8")
    checksum = hashlib.sha256(text.encode()).hexdigest()
    if held is not None and (held.name, held.checksum) == (name, checksum):
        return None
    _run(connection, f"policies/{name}", text)
    connection.execute(sa.text("DELETE FROM media_toolkit_policy"))
    connection.execute(
        sa.text("INSERT INTO media_toolkit_policy (name, checksum) VALUES (:n, :c)"),
        {"n": name, "c": checksum},
    )
    return f"policies/{name}"


@contextmanager
def _naming_who_is_in_the_way(database: Database) -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        if getattr(getattr(error.__cause__, "orig", None), "pgcode", None) != _LOCKED_OUT:
            raise
        with database.direct() as connection:
            found = connection.execute(_BLOCKERS).all()
        named = "; ".join(
            f"process {row.pid} of {row.usename} ({row.application_name or 'unnamed'}), {row.state}"
            for row in found
        )
        error.message += f"; the table is in use by {named or 'a transaction that has ended since'}"
        error.hint = (
            "nothing of it was changed: end that transaction, or SELECT pg_terminate_backend(pid) "
            "of it, then migrate again"
        )
        raise


def _run(connection: sa.Connection, what: str, text: str) -> None:
    """The SQL of one file; what fails says which, and leaves nothing behind."""
    try:
        with our_errors():
            connection.exec_driver_sql(text.replace("%", "%%"))
    except StoreError as error:
        error.message = f"{what}: {error.message}"
        error.hint = error.hint or diagnosis(error.__cause__ or error).get("detail", "")
        raise


def _check_table(connection: sa.Connection) -> None:
    """Of a table that is to be adopted: what no migration can put right.

    Raises:
        StoreError: saying what stands in the way; nothing was changed.
    """
    if connection.scalar(sa.text("SELECT to_regclass('cloudinary_files')")) is None:
        return
    for found in connection.execute(_NOT_ADOPTABLE):
        raise StoreError(found.said, hint=found.hint)
    if twice := connection.execute(_TWICE).all():
        named = ", ".join(f"{row.resource_type}/{row.public_id} ({row.times})" for row in twice)
        raise StoreError(
            f"cloudinary_files has the same asset in several rows: {named}",
            hint="keep one row of each: DELETE FROM cloudinary_files AS a USING cloudinary_files "
            "AS b WHERE (a.resource_type, a.public_id) = (b.resource_type, b.public_id) AND "
            "a.id < b.id keeps the newest; then migrate again",
            ids=tuple(row.public_id for row in twice),
        )


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


def _applied(connection: sa.Connection) -> dict[str, str]:
    if connection.scalar(sa.text("SELECT to_regclass('media_toolkit_migrations')")) is None:
        return {}
    rows = connection.execute(sa.text("SELECT name, checksum FROM media_toolkit_migrations"))
    return {row.name: row.checksum for row in rows}


def _check_unedited(done: dict[str, str]) -> None:
    edited = [m.name for m in migrations() if done.get(m.name, m.checksum) != m.checksum]
    if edited:
        raise StoreError(
            f"migration {', '.join(edited)} was edited after it had been applied",
            hint="restore the file and put the change into a new migration",
            ids=tuple(edited),
        )
