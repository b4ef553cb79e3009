"""Routes: whether the pooled and the direct connection string lead to one database.

A branch of Neon's is a copy: name, tables, oids and the server's identifier are those of its
parent. So a lock is taken by one way and looked for by the other; it writes nothing.
"""

from __future__ import annotations

import secrets

import sqlalchemy as sa

from media_toolkit.errors import StoreError
from media_toolkit.store.database import Database
from media_toolkit.store.outage import is_away, our_errors, retrying

_LOCK = sa.text("SELECT pg_advisory_xact_lock(:high, :low)")
# A replica has the same database, and locks of its own.
_SEES_IT = sa.text("""
SELECT pg_is_in_recovery() OR EXISTS (
    SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2
        AND classid::bigint = :high AND objid::bigint = :low
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
""")


def are_apart(database: Database) -> bool:
    """Whether the two strings lead to two databases; False where the pooled one does not answer.

    Costs a connection by each way, and two statements.

    Raises:
        Unavailable, Forbidden, StoreError: of the direct one, as `Database.direct`.
    """
    key = {"high": secrets.randbelow(2**31), "low": secrets.randbelow(2**31)}

    def is_seen() -> bool:
        with database.engine.connect() as connection:
            return bool(connection.scalar(_SEES_IT, key))

    with database.direct() as connection:
        connection.execute(_LOCK, key)
        try:
            with our_errors():
                # A second try at once, for a connection that ended while it lay in the pool.
                return not retrying(is_seen, is_away, patience_s=0)
        except StoreError:
            return False


def check_together(database: Database) -> None:
    """Before anything is changed by the direct string.

    Raises:
        StoreError: when it leads to another database than the pooled one.
    """
    if are_apart(database):
        raise StoreError(
            "DATABASE_DIRECT_URL leads to another database than DATABASE_URL",
            hint="give both of one branch and one database; of a string of Neon's the direct one "
            "follows, so that DATABASE_DIRECT_URL may stay unset",
        )
