"""Applies `sql/migrations/NNNN_name.sql`: in order, each in one transaction, each once.

Then the one of `sql/policies` that was chosen, and what a restore has lost: `wholeness` tells it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import sqlalchemy as sa

from media_toolkit.errors import Forbidden, StoreError
from media_toolkit.store import wholeness
from media_toolkit.store.adoption import check_adoptable
from media_toolkit.store.database import Database
from media_toolkit.store.outage import diagnosis, our_errors
from media_toolkit.store.wholeness import SQL

# Any number, the same for everybody who migrates this table.
_LOCK_KEY = 0x6D74_6B69

# Whoever asks for a row waits behind a migration that waits: for no longer than this.
_LOCK_TIMEOUT_S = 10
_BLOCKERS = sa.text("""
SELECT DISTINCT a.pid, a.usename, a.application_name, a.state, a.xact_start
FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
WHERE l.granted AND a.pid <> pg_backend_pid() AND l.relation IN (
    SELECT oid FROM pg_class WHERE relname
        ~ '^(cloudinary_files|media_toolkit|upload_intents|notification_|reconcile_)')
ORDER BY a.xact_start LIMIT 5
""")
_LOCKED_OUT = "55P03"
# duplicate_table (an index too), duplicate_function, duplicate_object (policy, trigger, type).
_TAKEN = ("42P07", "42723", "42710")
_GRANTED = sa.text("""
SELECT coalesce(bool_or(has_table_privilege(r.oid, to_regclass('cloudinary_files'), 'SELECT')),
                false) AS reads,
    coalesce(bool_or(has_schema_privilege(r.oid, relnamespace, 'CREATE')), false) AS creates
FROM pg_class AS c LEFT JOIN pg_roles AS r ON r.rolname = 'media_toolkit_app'
WHERE c.oid = to_regclass('cloudinary_files')
""")
# Since Postgres 16 a member may not act as the role unless told so.
_OUTSIDE = sa.text("""
SELECT NOT coalesce(pg_has_role(to_regrole('media_toolkit_app'), CASE
    WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END), false)
""")
# What stands in the way of a migration's own look at the rows, or of its changes; and row security
# that was on once. Each of these tables came with it.
_UNSETTLED = sa.text("""
WITH guarded AS (
    SELECT oid, relowner, relrowsecurity AND relforcerowsecurity AS is_forced,
        relname !~ '^notification_' AS is_open_to_owner
    FROM pg_class WHERE oid IN (
        to_regclass('cloudinary_files'), to_regclass('cloudinary_files_history'),
        to_regclass('upload_intents'), to_regclass('reconcile_runs'),
        to_regclass('reconcile_listed'), to_regclass('notification_receipts'),
        to_regclass('notification_marks'))
), opened AS (
    SELECT polrelid, relowner = ANY(polroles) AS is_sound FROM pg_policy
    JOIN guarded ON guarded.oid = polrelid WHERE polname = 'owner_of_the_table'
)
SELECT EXISTS (SELECT FROM guarded WHERE NOT is_forced OR is_open_to_owner AND NOT EXISTS (
        SELECT FROM opened WHERE polrelid = oid AND is_sound)) AS owner,
    EXISTS (SELECT FROM opened WHERE NOT is_sound) AS names_another,
    (SELECT relname FROM pg_class WHERE oid = to_regclass('cloudinary_files')
     AND NOT relrowsecurity) IS NOT NULL AS is_open,
    NOT EXISTS (SELECT FROM pg_proc WHERE proname = 'user_id'
                AND pronamespace = to_regnamespace('auth')) AS auth,
    EXISTS (SELECT FROM pg_class WHERE relreplident = 'd' AND oid IN (
        to_regclass('cloudinary_files_counts'), to_regclass('cloudinary_files_tagged'),
        to_regclass('cloudinary_files_totals'))) AS replication
""")
# From here on the tables are guarded.
_FIRST_GUARDED = "0002_row_security"
_HIDING = sa.text("""
SELECT polname FROM pg_policy
WHERE polrelid = to_regclass('cloudinary_files') AND NOT polpermissive AND polcmd IN ('*', 'r', 'w')
    AND NOT (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = CURRENT_USER)
""")
_OF_OTHERS = sa.text("""
SELECT polname FROM pg_policy
WHERE polrelid IN (to_regclass('cloudinary_files'), to_regclass('cloudinary_files_history'))
    AND polpermissive
    AND polname NOT IN ('owner_of_the_table', 'reading', 'saving', 'changing', 'removing')
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


def newest() -> str:
    """The name of the last file: whoever knows it has all that this version has."""
    return max((SQL / "migrations").glob("[0-9]*.sql")).stem


def applied(database: Database) -> dict[str, str]:
    """Name → checksum of what has been applied. Only reads."""
    with database.direct() as connection:
        return _applied(connection)


def pending(database: Database) -> list[Migration]:
    """What `migrate` would apply. Only reads."""
    done = applied(database)
    return [m for m in migrations() if m.name not in done]


def lacking(
    database: Database, policy: Policy | None, *, is_counted: bool = False
) -> list[tuple[str, str]]:
    """What is not as `migrate` would leave it, and what to do: files that wait, another policy
    than `policy`, policies of others, rights that a restore has lost, files that were edited.

    Nothing where the login may not look: it could not migrate either.

    Args:
        is_counted: whether the rows are counted too, which reads the whole table, and held against
            what is kept to count by, and against the sequences.

    Raises:
        StoreError: naming what is missing or disabled of what all migrations made; of a database
            with other migrations, whether row security is off.
    """
    try:
        with database.direct() as connection:
            done, held = _applied(connection), _policy(connection)
            rights = connection.execute(_GRANTED).first() if done else None
            unsettled = connection.execute(_UNSETTLED).one()
            is_of_now = _is_of_now(done)
            lacks = wholeness.flaws(connection) if is_of_now else []
            wholeness.check(lacks)
            # Else its owner sees no rows to count.
            if is_counted and is_of_now and not unsettled.owner:
                wholeness.check_counted(connection)
            others = ", ".join(connection.scalars(_OF_OTHERS)) if done else ""
    except Forbidden:
        return []
    run = "run: python -m media_toolkit migrate"
    if _FIRST_GUARDED in done and unsettled.is_open:
        raise StoreError(
            "row security of cloudinary_files is off: users read and change each other's rows",
            hint=run,
        )
    found = [(str(flaw), run) for flaw in lacks]
    if edited := _edited(done):
        found.append((f"edited after it had been applied: {', '.join(edited)}", "restore the file"))
    if waiting := [m.name for m in migrations() if m.name not in done]:
        found.append((f"the database lacks {', '.join(waiting)}", run))
    if policy is not None and held is not None and held != policy:
        said = f"the database holds to the policy {held}, and the settings say {policy}"
        found.append((said, run))
    if others:
        said = f"policies that are none of ours let more be seen: {others}"
        found.append((said, "as the owner: DROP POLICY … ON cloudinary_files"))
    if rights is not None and not rights.reads:
        said = "media_toolkit_app has no rights on cloudinary_files, as after a restore without it"
        found.append((said, run))
    if done and unsettled.names_another:
        said = "the policies of cloudinary_files name another owner than it has, as after a restore"
        found.append((said, run))
    if rights is not None and rights.creates:
        said = "media_toolkit_app may create functions beside cloudinary_files, and ours call them"
        found.append((said, "as the owner: REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
    return found


def migrate(
    database: Database,
    policy: Policy | None = None,
    on_applied: Callable[[str], object] = lambda _: None,
    *,
    is_counted: bool = False,
) -> list[str]:
    """Apply what is pending, and mend what is missing or disabled; the names of all that.

    Args:
        policy: who may read; the one that holds already unless given, at first `team`.
        on_applied: told each name once it stands, since a large table takes a minute.
        is_counted: whether the rows are counted too, as in `lacking`, and wrong numbers mended.

    Two at once apply each file once: the second waits at an advisory lock.

    Raises:
        StoreError: when a file that was applied has been edited since, or SQL fails;
            the failed file leaves nothing behind. When a table or column is gone.
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
            if not done:
                check_adoptable(connection)
            elif connection.scalar(_OUTSIDE):
                _run(connection, "role", _text("role"))
            applied_now = _put_right(connection, _FIRST_GUARDED in done)
            is_settled = todo is None and not applied_now
            if is_settled:
                applied_now = _settle(connection, policy, is_counted)
            elif todo is not None:
                _check_unhidden(connection)
                _run(connection, f"migration {todo.name}", todo.sql)
                connection.execute(
                    sa.text(
                        "INSERT INTO media_toolkit_migrations (name, checksum) VALUES (:n, :c)"
                    ),
                    {"n": todo.name, "c": todo.checksum},
                )
                applied_now.append(todo.name)
        for name in applied_now:
            on_applied(name)
        names += applied_now
        if is_settled:
            return names


def _put_right(connection: sa.Connection, is_guarded: bool) -> list[str]:
    """What a migration would stumble over, and row security, which stays whatever fails after it:
    `auth` and `owner`, where they were run."""
    found = connection.execute(_UNSETTLED).one()
    if found.replication:
        _run(connection, "replication", _text("replication"))
    names = [name for name in ("auth", "owner") if is_guarded and found._mapping[name]]
    for name in names:
        _run(connection, name, _text(name))
    return names


def _check_unhidden(connection: sa.Connection) -> None:
    """A migration that counts and reads must see every row.

    Raises:
        StoreError: naming the policies of the team's own that may hide some.
    """
    if hiding := ", ".join(connection.scalars(_HIDING)):
        raise StoreError(
            f"the restrictive policy {hiding} may hide rows of cloudinary_files from a migration",
            hint="migrate as a login with BYPASSRLS, or DROP POLICY, migrate, and make it anew",
        )


def policy_of(database: Database) -> str | None:
    """Who may read, by the name of the applied file of `sql/policies`. Only reads."""
    with database.direct() as connection:
        return _policy(connection)


def _policy(connection: sa.Connection) -> str | None:
    if connection.scalar(sa.text("SELECT to_regclass('media_toolkit_policy')")) is None:
        return None
    return connection.scalar(sa.text("SELECT name FROM media_toolkit_policy"))


def _settle(connection: sa.Connection, wanted: Policy | None, is_counted: bool) -> list[str]:
    """Under the lock: what is not whole, the app's rights where they are lost, the policy unless
    it holds as it is."""
    lacks = wholeness.flaws(connection) if _is_of_now(_applied(connection)) else []
    names = _mend(connection, lacks, is_counted)
    held = connection.execute(sa.text("SELECT name, checksum FROM media_toolkit_policy")).first()
    # At first there is none of sql/policies yet.
    is_bare = held is not None and any(flaw.is_of_rights for flaw in lacks)
    if is_bare or not connection.execute(_GRANTED).one().reads:
        _run(connection, "rights", _text("rights"))
        _run(connection, "owner", _text("owner"))
        names.append("rights")
    name = f"policies/{wanted or (held.name if held else 'team')}"
    text = _text(name)
    row = {"n": name.partition("/")[2], "c": hashlib.sha256(text.encode()).hexdigest()}
    if "rights" in names or held is None or (held.name, held.checksum) != (row["n"], row["c"]):
        _run(connection, name, text)
        connection.execute(sa.text("DELETE FROM media_toolkit_policy"))
        connection.execute(
            sa.text("INSERT INTO media_toolkit_policy (name, checksum) VALUES (:n, :c)"), row
        )
        names.append(name)
    return names


def _mend(connection: sa.Connection, lacks: list[wholeness.Flaw], is_counted: bool) -> list[str]:
    """Make again what can be, and put right what is; its names."""
    if any(flaw.is_lost for flaw in lacks):
        wholeness.check(lacks)
    names = []

    def run(name: str, text: str) -> None:
        _run(connection, name, text)
        names.append(name)

    made = wholeness.mendings(lacks)
    for flaw in made:
        if flaw.kind == "function":
            run(f"function {flaw.name}", flaw.mending)
    if any(flaw.kind in ("table", "function") for flaw in lacks):
        run("functions", _text("functions"))
    # Before a trigger counts on: it was not there for what came meanwhile. And an index that tells
    # rows apart is not made of what was kept twice.
    is_blind = any(flaw.kind in ("trigger", "unique index") for flaw in made)
    if is_blind or (is_counted and wholeness.is_miscounted(connection)):
        _check_unhidden(connection)
        run("kept", _text("kept"))
    for flaw in made:
        if flaw.kind != "function":
            run(f"{flaw.kind} {flaw.name}", flaw.mending)
    if is_counted or any(flaw.kind == "sequence" for flaw in made):
        names += [f"sequence of {table}" for table in wholeness.advance(connection)]
    return names


def _text(name: str) -> str:
    return (SQL / f"{name}.sql").read_text(encoding="utf-8")


@contextmanager
def _naming_who_is_in_the_way(database: Database) -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        if _sqlstate(error) != _LOCKED_OUT:
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
        if _sqlstate(error) in _TAKEN:
            error.hint = (
                "the toolkit needs that name: give what has it another one (ALTER … RENAME TO …), "
                "then migrate again"
            )
        raise


def _sqlstate(error: StoreError) -> str | None:
    return getattr(getattr(error.__cause__, "orig", None), "pgcode", None)


def _applied(connection: sa.Connection) -> dict[str, str]:
    if connection.scalar(sa.text("SELECT to_regclass('media_toolkit_migrations')")) is None:
        return {}
    rows = connection.execute(sa.text("SELECT name, checksum FROM media_toolkit_migrations"))
    return {row.name: row.checksum for row in rows}


def _is_of_now(done: dict[str, str]) -> bool:
    """Whether the list of `wholeness` is of this database: a newer one may have dropped things."""
    return newest() in done and done.keys() == {m.name for m in migrations()}


def _edited(done: dict[str, str]) -> list[str]:
    return [m.name for m in migrations() if done.get(m.name, m.checksum) != m.checksum]


def _check_unedited(done: dict[str, str]) -> None:
    if edited := _edited(done):
        raise StoreError(
            f"migration {', '.join(edited)} was edited after it had been applied",
            hint="restore the file and put the change into a new migration",
            ids=tuple(edited),
        )
