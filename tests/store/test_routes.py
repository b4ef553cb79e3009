"""Whether two connection strings lead to one database, straight and through PgBouncer."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from media_toolkit.errors import StoreError, Unavailable
from media_toolkit.store import routes
from media_toolkit.store.database import Database


def test_two_ways_to_one_database_are_together_however_often_one_looks(database: Database) -> None:
    assert [routes.are_apart(database) for _ in range(5)] == [False] * 5
    database.engine.dispose()
    assert not routes.are_apart(database)


def test_another_database_of_the_same_server_is_another(database: Database, stack: Any) -> None:
    other = f"{stack.database_url.rpartition('/')[0]}/postgres"
    with closing(Database(database.pooled_url, other)) as apart:
        assert routes.are_apart(apart)
        with pytest.raises(StoreError, match="leads to another database than DATABASE_URL"):
            routes.check_together(apart)


def test_a_look_finds_the_way_again_after_its_connection_ended(
    database: Database, end_connections: Any
) -> None:
    assert not routes.are_apart(database)
    end_connections()
    assert not routes.are_apart(database)


def test_a_direct_string_that_leads_nowhere_is_told_as_such(database: Database, stack: Any) -> None:
    nowhere = f"{stack.database_url.rpartition('/')[0]}/none"
    with (
        closing(Database(database.pooled_url, nowhere)) as without,
        pytest.raises(Unavailable, match="does not exist"),
    ):
        routes.are_apart(without)
