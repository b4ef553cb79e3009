"""Whether a database still has all that its migrations made, which the ledger does not tell.

A restore of one table, a load of data alone, a trigger that was disabled and forgotten: each leaves
a database that answers, to whom it should not or with wrong numbers. What must be there is listed
in `sql/whole.json`, as a fresh database has it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from media_toolkit.errors import StoreError, listed
from media_toolkit.store.database import Database

_HERE = Path(__file__).resolve()
# A checkout keeps sql/ beside the package; a wheel carries it inside.
SQL = next(p for p in (_HERE.parents[2] / "sql", _HERE.parents[1] / "sql") if p.is_dir())

_HAS = sa.text((SQL / "wholeness.sql").read_text(encoding="utf-8"))
# Nothing of this can be made from what is left.
_LOST = ("table", "column")
# In the order in which one needs the other.
_MADE = (
    "function", "sequence", "primary key", "unique index", "index", "constraint", "trigger"
)  # fmt: skip
# Found by what they are where the owner gave them another name.
_RENAMED = ("unique index", "index", "constraint", "trigger")
_OWN_NAME = re.compile(r"""
    ^(CREATE\ (?:UNIQUE\ )?INDEX|CREATE\ TRIGGER|ALTER\ TABLE\ \w+\ ADD\ CONSTRAINT)
    \ (?:"(?:[^"]|"")+"|\w+)
""", re.VERBOSE)  # fmt: skip
# What lets users see or lose most is told first.
_TOLD = ("row security", *_LOST, "function", "policy", *reversed(_MADE[1:]))
_OF_ROW_SECURITY = ("off", "on", "forced")
_RUN = "run: python -m media_toolkit migrate"
RESTORE_WHOLE = (
    "restore the whole dump into an empty database (no -t, -n or --data-only), then run: "
    "python -m media_toolkit migrate"
)
# One statement, so that what writers change meanwhile is in all of it or in none.
_KEPT = sa.text("""
SELECT f.assets, f.tags, c.assets AS counted, c.tags AS counted_tags,
    (SELECT coalesce(sum(assets), 0) FROM cloudinary_files_totals)::bigint AS totalled,
    (SELECT count(*) FROM cloudinary_files_tagged) AS tagged
FROM (SELECT count(*) AS assets, coalesce(sum(CASE cardinality(tags) WHEN 0 THEN 0
          ELSE (SELECT count(DISTINCT tag) FROM unnest(tags) AS tag) END), 0)::bigint AS tags
      FROM cloudinary_files WHERE deleted_at IS NULL) AS f
CROSS JOIN (SELECT coalesce(sum(assets) FILTER (WHERE tag IS NULL), 0)::bigint AS assets,
                coalesce(sum(assets) FILTER (WHERE tag IS NOT NULL), 0)::bigint AS tags
            FROM cloudinary_files_counts) AS c
""")
# The history is kept by id: what was purged gives its own to nobody.
_REACHED = sa.text("""
SELECT named, serial, reached
FROM (
    SELECT 'cloudinary_files' AS named, greatest((SELECT max(id) FROM cloudinary_files),
        (SELECT max(file_id) FROM cloudinary_files_history)) AS reached
    UNION ALL
    SELECT 'cloudinary_files_history', (SELECT max(id) FROM cloudinary_files_history)
    UNION ALL
    SELECT 'upload_intents', (SELECT max(id) FROM upload_intents)
    UNION ALL
    SELECT 'reconcile_runs', (SELECT max(id) FROM reconcile_runs)) AS told
CROSS JOIN LATERAL (SELECT pg_get_serial_sequence(named, 'id') AS serial) AS of_it
WHERE reached IS NOT NULL AND serial IS NOT NULL
""")
# Read from the sequence itself: after RESTART WITH, pg_sequence_last_value tells nothing.
_STANDS = "SELECT last_value - (NOT is_called)::int AS stands FROM "
_SEES_ALL = sa.text("""
SELECT pg_has_role(relowner, 'USAGE') AND (
    NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid AND NOT polpermissive)
    OR (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = CURRENT_USER))
FROM pg_class AS c WHERE oid = to_regclass('cloudinary_files')
""")


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is missing or does not work: its kind and name, and how `sql/whole.json` makes it."""

    kind: str
    name: str
    wrong: str = ""
    made_by: str = ""

    def __str__(self) -> str:
        table, _, own = self.name.partition(".")
        if self.kind in ("table", "function"):
            named = f"{self.kind} {self.name}"
        else:
            named = f"{self.kind} {own} of {table}" if own else f"{self.kind} of {table}"
        return f"{named} {self.wrong or 'is missing'}"

    @property
    def is_grave(self) -> bool:
        """Whether more than speed is lost by it."""
        return self.kind != "index"

    @property
    def is_lost(self) -> bool:
        """Whether nothing but a dump has it."""
        return self.kind in _LOST and not self.wrong

    @property
    def is_of_rights(self) -> bool:
        """Whether who may do what must be said anew once it is mended."""
        return self.kind in ("policy", "row security", "function", "sequence")

    @property
    def mending(self) -> str:
        """SQL that makes it again, or right; of what is in `_MADE`, a function there apart."""
        table, _, own = self.name.partition(".")
        if self.wrong and self.kind == "trigger":
            return f"ALTER TABLE {table} ENABLE TRIGGER {_quoted(own)}"
        if self.kind == "function" and not self.wrong:
            # What a body names may be made after it.
            return (
                "CREATE SCHEMA IF NOT EXISTS media_toolkit_rules;"
                f"SET LOCAL check_function_bodies = off; {self.made_by}"
            )
        if self.wrong and self.kind in ("index", "unique index"):
            return f"DROP INDEX {_quoted(own)}; {self.made_by}"
        return self.made_by


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def inventory(connection: sa.Connection) -> dict[str, dict[str, str]]:
    """What `sql/whole.json` is of a database that was just migrated: kind → name → how to make it.

    Printed by `python -m media_toolkit.store.wholeness DATABASE_URL`.
    """
    tables = connection.scalars(
        sa.text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    )
    found: dict[str, dict[str, str]] = {}
    for row in connection.execute(_HAS, {"tables": list(tables), "is_listed": True}):
        found.setdefault(row.kind, {})[row.name] = row.made_by
    return {kind: dict(sorted(names.items())) for kind, names in sorted(found.items())}


@cache
def _expected() -> dict[str, dict[str, str]]:
    kinds: dict[str, dict[str, str]] = json.loads((SQL / "whole.json").read_text("utf-8"))
    return kinds


def flaws(connection: sa.Connection) -> list[Flaw]:
    """What this database, in which every migration was applied, lacks of it.

    One query, and a second one where an index, constraint or trigger is not found by its name.
    """
    expected = _expected()
    rows = connection.execute(_HAS, {"tables": list(expected["table"]), "is_listed": False})
    found = {(row.kind, row.name): row for row in rows}
    missing = {(kind, name) for kind in _RENAMED for name in expected[kind]} - found.keys()
    if any(("table", name.rpartition(".")[0]) in found for _, name in missing):
        found |= _renamed(connection, missing)
    lacks = []
    for kind, names in expected.items():
        for name, made_by in names.items():
            row = found.get((kind, name))
            # Of a table that is gone, nothing else is said.
            if row is None and ("table", name.rpartition(".")[0] or name) not in found:
                if kind in ("table", "function"):
                    lacks.append(Flaw(kind, name, made_by=made_by))
            elif row is None or row.wrong:
                there, wrong = (row.name, row.wrong) if row else (name, "")
                lacks.append(Flaw(kind, there, wrong, made_by))
            if kind == "table" and row is not None:
                states = _OF_ROW_SECURITY.index
                if states(row.made_by) < states(made_by):
                    wrong = "is off" if row.made_by == "off" else "is not forced"
                    lacks.append(Flaw("row security", name, wrong))
    return lacks


def _renamed(
    connection: sa.Connection, missing: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], sa.Row[Any]]:
    """Of what is missing by its kind and name, what is there under another name."""
    expected = _expected()
    rows = connection.execute(_HAS, {"tables": list(expected["table"]), "is_listed": True})
    others = [row for row in rows if row.kind in _RENAMED and row.name not in expected[row.kind]]
    # Of several, one that works.
    others.sort(key=lambda row: row.wrong is None)
    by_what = {_what(row.kind, row.name, row.made_by): row for row in others}
    named = {(kind, name): _what(kind, name, expected[kind][name]) for kind, name in missing}
    return {key: by_what[what] for key, what in named.items() if what in by_what}


def _what(kind: str, name: str, made_by: str) -> tuple[str, str, str]:
    # The schema is told where it is not on the search path. Not validated is there all the same.
    made_by = made_by.replace("media_toolkit_rules.", "").removesuffix(" NOT VALID")
    return kind, name.partition(".")[0], _OWN_NAME.sub(r"\1", made_by)


def check(lacks: Sequence[Flaw]) -> None:
    """Refuse a database by which users may see and change more or less than they should.

    Raises:
        StoreError: naming what is missing or disabled, and what to do.
    """
    if not any(flaw.is_grave for flaw in lacks):
        return
    ordered = sorted(lacks, key=lambda flaw: _TOLD.index(flaw.kind))
    # `mt.connect` refuses by this: the way in that is left is the command.
    raise StoreError(
        f"the database is not whole: {listed(ordered, 8, '; ')}",
        hint=RESTORE_WHOLE if any(flaw.is_lost for flaw in lacks) else _RUN,
    )


def mendings(lacks: Iterable[Flaw]) -> list[Flaw]:
    """Those that one statement of their own mends, in an order in which that works."""
    own = [f for f in lacks if f.kind in _MADE and not (f.kind == "function" and f.wrong)]
    return sorted(own, key=lambda flaw: _MADE.index(flaw.kind))


def check_counted(connection: sa.Connection) -> None:
    """Hold the rows against what is kept to count by, and against the sequences.

    Reads all of `cloudinary_files`; nothing where the login does not see every row of it.

    Raises:
        StoreError: naming the numbers that differ.
    """
    if not connection.scalar(_SEES_ALL):
        return
    said = [
        f"the sequence of {named} stands at {stands:,} and the ids at {reached:,}, "
        "so new rows are refused"
        for named, _, reached, stands in _behind(connection)
    ]
    kept = connection.execute(_KEPT).one()
    if not _agrees(kept):
        said.append(
            f"counts are wrong: {kept.counted:,} assets with {kept.counted_tags:,}, "
            f"{kept.totalled:,} and {kept.tagged:,} tags are kept of {kept.assets:,} with "
            f"{kept.tags:,}"
        )
    if said:
        raise StoreError("; ".join(said), hint=_RUN)


def is_miscounted(connection: sa.Connection) -> bool:
    """Whether the kept numbers are not the rows' own, as far as the login sees all rows."""
    return bool(connection.scalar(_SEES_ALL)) and not _agrees(connection.execute(_KEPT).one())


def advance(connection: sa.Connection) -> list[str]:
    """Set each sequence that is behind its rows to them; the names of their tables."""
    behind = _behind(connection) if connection.scalar(_SEES_ALL) else []
    for _, serial, reached, _ in behind:
        # Others may have come further meanwhile.
        ahead = f"SELECT setval(:serial, :reached) FROM ({_stands(serial)}) AS at"
        connection.execute(
            sa.text(f"{ahead} WHERE stands < :reached"), {"serial": serial, "reached": reached}
        )
    return [named for named, *_ in behind]


def _stands(serial: str) -> str:
    return _STANDS + serial.replace(":", r"\:")


def _behind(connection: sa.Connection) -> list[tuple[str, str, int, int]]:
    """Table, sequence, what its ids have reached and where the sequence stands, if before that."""
    behind = []
    # The ids are read first: a sequence only moves on.
    for named, serial, reached in connection.execute(_REACHED).all():
        stands = connection.execute(sa.text(_stands(serial))).scalar_one()
        if stands < reached:
            behind.append((named, serial, reached, stands))
    return behind


def _agrees(kept: sa.Row[tuple[int, ...]]) -> bool:
    return kept.assets == kept.counted and (
        kept.tags == kept.counted_tags == kept.totalled == kept.tagged
    )


if __name__ == "__main__":
    with Database(sys.argv[1]).direct() as fresh:
        print(json.dumps(inventory(fresh), indent=1, ensure_ascii=False))
