"""Row-level security on a real Postgres: what our code forgets, the database refuses."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

import media_toolkit as mt
from media_toolkit.identity import Identity
from media_toolkit.store.database import Database

ANA, BOB, ROOT = Identity("ana"), Identity("bob"), Identity("root", "admin")


@pytest.fixture
def database(kit: mt.MediaToolkit) -> Database:
    return kit._database


def response(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "asset_id": f"{number:032x}",
        "public_id": f"photo{number}",
        "version": 1000 + number,
        "resource_type": "image",
        "tags": [f"tag{number % 7}"],
        "secure_url": f"https://res.cloudinary.com/demo/image/upload/v1/photo{number}.jpg",
        **changes,
    }


def test_a_transaction_acts_as_a_role_that_owns_nothing_and_says_who_it_is(
    database: Database,
) -> None:
    with database.begin(ANA) as connection:
        row = connection.execute(
            sa.text("SELECT CURRENT_USER, auth.user_id(), media_toolkit_rules.is_admin()")
        ).one()
        assert tuple(row) == ("media_toolkit_app", "ana", False)
        with pytest.raises(sa.exc.ProgrammingError, match="must be owner"):
            connection.exec_driver_sql("ALTER TABLE cloudinary_files DISABLE ROW LEVEL SECURITY")


def test_a_connection_that_returns_to_the_pool_carries_nothing_over(database: Database) -> None:
    with database.begin(ROOT) as connection:
        backend = connection.scalar(sa.text("SELECT pg_backend_pid()"))
    with database.engine.connect() as connection:
        row = connection.execute(
            sa.text("SELECT pg_backend_pid(), CURRENT_USER = SESSION_USER, auth.user_id()")
        ).one()
        assert tuple(row) == (backend, True, None)
    with database.begin(BOB) as connection:
        row = connection.execute(
            sa.text("SELECT pg_backend_pid(), auth.user_id(), media_toolkit_rules.is_admin()")
        ).one()
        assert tuple(row) == (backend, "bob", False)


def test_an_arrow_read_is_read_only_and_under_the_same_rules(database: Database) -> None:
    who = "SELECT CURRENT_USER::text AS role, auth.user_id() AS who"
    with database.arrow(ANA) as connection, connection.cursor() as cursor:
        cursor.execute(who)
        assert cursor.fetch_arrow_table().to_pylist() == [
            {"role": "media_toolkit_app", "who": "ana"}
        ]
    with (
        pytest.raises(mt.StoreError, match="read-only transaction"),
        database.arrow(ANA) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("DELETE FROM cloudinary_files")


def test_the_team_policy_folds_away_so_that_indexes_for_tags_are_used(
    kit: mt.MediaToolkit, database: Database
) -> None:
    kit.save_many(response(n) for n in range(2000))
    with database.direct() as connection:
        connection.exec_driver_sql("ANALYZE cloudinary_files")
    with database.begin(ANA) as connection:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        plan = "\n".join(
            connection.scalars(
                sa.text("EXPLAIN SELECT id FROM cloudinary_files WHERE tags @> ARRAY['tag3']")
            )
        )
    assert "cloudinary_files_tags" in plan
    assert "is_signed_in" not in plan
