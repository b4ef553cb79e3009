"""Place: whether this database is the one that the library was made in, or a copy of it.

What is destroyed in Cloudinary is gone for the library too, which may have restored it since. A
copy of the files on the disk outside Neon cannot be told from a restart.
"""

from __future__ import annotations

import sqlalchemy as sa

from media_toolkit.errors import Conflict
from media_toolkit.store.database import Database

WORD = "python -m media_toolkit migrate --is-the-library"
COPIED = "this database is a copy of the library's, or was reset or moved"

_IS_COPY = sa.text("""
SELECT NOT EXISTS (SELECT FROM media_toolkit_place) OR EXISTS (
    SELECT FROM media_toolkit_place AS noted
    WHERE table_oid <> noted.tableoid
       OR database_oid <> (SELECT oid FROM pg_database WHERE datname = current_database())
       OR (timeline <> '' AND timeline <> nullif(current_setting('neon.timeline_id', true), '')))
""")
_FORGET = sa.text("DELETE FROM media_toolkit_place")
_NOTE = sa.text("""
INSERT INTO media_toolkit_place (database_oid, table_oid, timeline)
SELECT oid, 'media_toolkit_place'::regclass, coalesce(current_setting('neon.timeline_id', true), '')
FROM pg_database WHERE datname = current_database()
""")


def is_copy(connection: sa.Connection) -> bool:
    """Whether this is another database than was noted, or one in which nothing is noted."""
    return bool(connection.scalar(_IS_COPY))


def refuse_copy(connection: sa.Connection) -> None:
    """Before anything is destroyed.

    Raises:
        Conflict: this is another database than was noted.
    """
    if is_copy(connection):
        raise Conflict(
            f"{COPIED}: nothing is purged here",
            hint=f"a copy is to have a Cloudinary account of its own; {WORD} says that this one is"
            " the library now; docs/branches.md",
        )


def note(database: Database) -> None:
    """From now on this is the library's database. By the direct string, as the owner."""
    with database.direct() as connection:
        connection.execute(_FORGET)
        connection.execute(_NOTE)
