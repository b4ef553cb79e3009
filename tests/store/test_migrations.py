"""Migrations: once each, also for two at once; a table of the guide is adopted."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

import media_toolkit as mt
from media_toolkit.store import migrations
from media_toolkit.store.database import Database

GUIDE_TABLE = """
CREATE TABLE IF NOT EXISTS cloudinary_files (
    id SERIAL PRIMARY KEY,
    public_id TEXT NOT NULL UNIQUE,
    media_url TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    user_id TEXT NOT NULL,
    upload_timestamp TIMESTAMPTZ DEFAULT NOW()
);
INSERT INTO cloudinary_files (public_id, media_url, resource_type, user_id) VALUES
    ('old', 'https://res.cloudinary.com/demo/image/upload/old.jpg', 'image', 'user_123')
"""


@pytest.fixture
def empty_database(stack: Any, database_at: Any) -> Iterator[Database]:
    """A database of its own in the run's Postgres, dropped afterwards."""
    name = f"test_{secrets.token_hex(6)}"
    server = sa.create_engine(
        stack.database_url.replace("postgresql:", "postgresql+psycopg2:"),
        poolclass=sa.NullPool,
        isolation_level="AUTOCOMMIT",
    )
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    database = database_at(f"{stack.database_url.rpartition('/')[0]}/{name}")
    yield database
    database.close()
    with server.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


def test_pending_only_reads_and_migrate_applies_once(empty_database: Database) -> None:
    names = [m.name for m in migrations.pending(empty_database)]
    assert names[0] == "0001_cloudinary_files"
    assert migrations.applied(empty_database) == {}
    assert migrations.migrate(empty_database) == [*names, "policies/team"]
    assert migrations.migrate(empty_database) == []
    assert list(migrations.applied(empty_database)) == names


def test_two_starts_at_once_apply_each_file_once(empty_database: Database) -> None:
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: migrations.migrate(empty_database), range(4)))
    names = [m.name for m in migrations.migrations()]
    assert sorted(itertools.chain.from_iterable(done)) == [*names, "policies/team"]


def test_a_table_of_the_guide_is_adopted_with_its_rows(empty_database: Database) -> None:
    with empty_database.direct() as connection:
        connection.exec_driver_sql(GUIDE_TABLE)
    migrations.migrate(empty_database)
    with empty_database.direct() as connection:
        row = connection.execute(sa.text("SELECT * FROM cloudinary_files")).one()
    assert (row.public_id, row.user_id, row.delivery_type) == ("old", "user_123", "upload")


def test_an_edited_migration_that_was_applied_is_an_error(empty_database: Database) -> None:
    migrations.migrate(empty_database)
    with empty_database.direct() as connection:
        connection.exec_driver_sql("UPDATE media_toolkit_migrations SET checksum = 'other'")
    with pytest.raises(mt.StoreError, match="was edited after it had been applied"):
        migrations.migrate(empty_database)


def test_a_database_without_the_table_says_what_to_run(empty_database: Database) -> None:
    from media_toolkit.identity import Identity
    from media_toolkit.store.assets import AssetStore
    from media_toolkit.store.filters import AssetFilter

    with pytest.raises(mt.StoreError, match="python -m media_toolkit migrate"):
        AssetStore(empty_database).count(AssetFilter(), Identity("ana"))
