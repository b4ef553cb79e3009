"""ADBC connections that are used again: by whom, and what they carry over."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
import sqlalchemy as sa

import media_toolkit as mt
from media_toolkit.identity import Identity
from media_toolkit.store import arrow, frames
from media_toolkit.store import database as database_module
from media_toolkit.store.database import Database
from media_toolkit.store.queries import sql_frame

ANA, BOB = Identity("ana"), Identity("bob")
PID = "SELECT pg_backend_pid()"
CLAIMS = (
    "SELECT current_user::text, current_setting('request.jwt.claims', true),"
    " current_setting('transaction_read_only'), current_setting('parallel_tuple_cost')"
)


def one(connection: Any, statement: str) -> tuple[Any, ...]:
    with frames._executed(connection, statement, {}) as cursor:
        return tuple(cursor.fetchone())


def test_a_read_uses_the_connection_of_the_one_before(database: Database, route: str) -> None:
    pids = [
        database.run_arrow(who, lambda connection: one(connection, PID), is_reused=True)
        for who in (ANA, BOB, ANA)
    ]
    if route == "direct":
        assert len(set(pids)) == 1
    assert database._arrow._pool.checkedin() == 1  # type: ignore[attr-defined]


def test_nothing_of_one_read_is_left_for_the_next(database: Database) -> None:
    def asked(connection: Any) -> tuple[Any, ...]:
        return one(connection, CLAIMS)

    for who in (ANA, BOB):
        role, claims, is_read_only, planning = database.run_arrow(who, asked, is_reused=True)
        assert (role, is_read_only, planning) == ("media_toolkit_app", "on", "0.2")
        assert f'"{who.user_id}"' in claims
    with database._arrow._pool.connect() as idle, idle.driver_connection.cursor() as cursor:
        cursor.execute(CLAIMS)
        role, claims, is_read_only, planning = cursor.fetchone()
    assert role != "media_toolkit_app"
    assert (claims or "", is_read_only, planning) == ("", "off", "0.1")


def test_a_connection_that_lies_idle_is_in_no_transaction(
    database: Database, stack: Any, route: str
) -> None:
    """In one, a pooler would keep a connection of the server for it."""
    (pid,) = database.run_arrow(ANA, lambda connection: one(connection, PID), is_reused=True)
    state = sa.text("SELECT state FROM pg_stat_activity WHERE pid = :pid")
    engine = sa.create_engine(stack.database_url.replace("postgresql:", "postgresql+psycopg2:", 1))
    try:
        with engine.connect() as connection:
            assert connection.scalar(state, {"pid": pid}) == "idle"
    finally:
        engine.dispose()


def test_many_at_once_get_one_each_and_two_are_kept(database: Database) -> None:
    with ExitStack() as held:
        lent = [held.enter_context(database._arrow.lend()) for _ in range(5)]
        pids = {one(connection, "SELECT txid_current(), pg_backend_pid()") for connection in lent}
        assert len(pids) == 5
    assert database._arrow._pool.checkedin() == 2  # type: ignore[attr-defined]


def test_who_reads_with_too_many_at_once_waits_and_is_told(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrow, "_WAIT_S", 0.1)

    def read(is_reused: bool) -> Any:
        return database.run_arrow(ANA, lambda connection: one(connection, PID), is_reused=is_reused)

    with ExitStack() as held:
        for _ in range(arrow._AT_ONCE):
            held.enter_context(database._arrow.lend())
        for is_reused in (True, False):
            with pytest.raises(mt.Unavailable, match=r"this kit's connections.* are busy") as told:
                read(is_reused)
            assert told.value.retry_after_s
    assert all(read(is_reused) for is_reused in (True, False))
    monkeypatch.setattr(arrow, "_WAIT_S", 60)
    with ThreadPoolExecutor(30) as pool:
        assert all(pool.map(read, [True, False] * 30))


@pytest.mark.parametrize("error", [ValueError("of the work"), KeyboardInterrupt()])
def test_after_an_error_no_connection_is_used_again(
    database: Database, error: BaseException
) -> None:
    def failing(connection: Any) -> None:
        one(connection, PID)
        raise error

    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(database._arrow.lend())
    with pytest.raises(type(error)):
        database.run_arrow(ANA, failing, is_reused=True)
    kept = database._arrow._pool
    assert kept.checkedin() == 0  # type: ignore[attr-defined]
    assert database.run_arrow(ANA, lambda connection: one(connection, PID), is_reused=True)


def test_what_others_wrote_runs_on_a_connection_that_is_thrown_away(database: Database) -> None:
    database.run_arrow(ANA, lambda connection: one(connection, PID))
    assert sql_frame(database, ANA, "SELECT 1 AS one")["one"].tolist() == [1]
    assert database._arrow._pool.checkedin() == 0  # type: ignore[attr-defined]


def test_what_nobody_uses_is_closed(
    database: Database,
    until: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(database_module, "MAX_IDLE_S", 1)
    database.run_arrow(ANA, lambda connection: one(connection, PID), is_reused=True)
    pool = database._arrow._pool
    with database._arrow.lend() as held:
        # What is in use is left alone.
        until(lambda: pool.checkedin() == 0)  # type: ignore[attr-defined]
        assert one(held, "SELECT 1") == (1,)
    until(lambda: pool.checkedin() == 0)  # type: ignore[attr-defined]
    assert database.run_arrow(ANA, lambda connection: one(connection, PID), is_reused=True)
