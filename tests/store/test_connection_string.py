"""Connection strings against a real Postgres: odd passwords open it, or are refused unseen."""

from __future__ import annotations

import secrets
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa

import media_toolkit as mt
from media_toolkit.store.database import Database

ODD = {
    "spaces": "my S3cr3t pw",
    "tab": "my\tS3cr3t",
    "newline": "my\nS3cr3t",
    "at": "p@S3cr3t",
    "two ats": "p@x@S3cr3t",
    "colon": "p:S3cr3t",
    "slash": "p/S3cr3t",
    "slash behind a number": "1/S3cr3t",
    "number sign": "p#S3cr3t",
    "question mark": "p?S3cr3t",
    "question mark behind a number": "1?S3cr3t",
    "percent": "100%S3cr3t",
    "ampersand and equals": "p&S3cr3t=x",
    "plus": "p+S3cr3t",
    "quotes": "p'S3cr3t\"x",
    "backslash": "p\\S3cr3t\\",
    "brackets": "[S3cr3t]<x>{y}",
    "dollar and backtick": "$S3cr3t`x`",
    "letters of others": "pässwörd-S3cr3t-日本-🔑",
    "a letter that stands for several": "S3cr3t℀x",
    "a blank of another kind": "S3cr3t\xa0x",
    "long": "S3cr3t" * 100,
    "all at once": "p@ss:S3cr3t/o rd%?#&'é",
}
READ = ["Page", "DataFrame"]


@pytest.fixture
def login(stack: Any) -> Iterator[Callable[[str], str]]:
    """Give a login of the app's a password; its name."""
    name = f"odd_{secrets.token_hex(4)}"
    owner = Database(stack.database_url)

    def make(password: str) -> str:
        with owner.direct() as connection:
            connection.exec_driver_sql(f"CREATE ROLE {name} LOGIN IN ROLE media_toolkit_app")
            set_it = sa.text("SELECT format('ALTER ROLE %I PASSWORD %L', CAST(:n AS text), :p)")
            statement = connection.scalar(set_it, {"n": name, "p": password})
            connection.exec_driver_sql(statement.replace("%", "%%"))
        return name

    yield make
    with owner.direct() as connection:
        connection.exec_driver_sql(f"DROP ROLE IF EXISTS {name}")


def place_of(stack: Any) -> str:
    return str(stack.database_url.rpartition("@")[2])


def ways(url: str, home: Path) -> Iterator[Callable[[], object]]:
    """By SQLAlchemy and by ADBC; what a connection string meets before either counts for both."""

    def by(read: Callable[[mt.MediaToolkit], object]) -> Callable[[], object]:
        def ask() -> object:
            with mt.connect(mt.Settings(home=home, database_url=url)) as kit:
                return read(kit)

        return ask

    yield by(lambda kit: type(kit.page(limit=1)).__name__)
    yield by(lambda kit: type(kit.assets(columns=["public_id"])).__name__)


def outcome(ask: Callable[[], object], shown: list[str]) -> object:
    """What came of it; what a log would show of its error goes to `shown`."""
    try:
        return ask()
    except mt.MediaToolkitError as error:
        shown.append("".join(traceback.format_exception(error)))
        return type(error)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("password", ODD.values(), ids=ODD)
def test_an_odd_password_opens_postgres_by_every_way(
    login: Any, stack: Any, home: Path, password: str
) -> None:
    name = login(password)
    url = f"postgresql://{name}:{quote(password, safe='')}@{place_of(stack)}"
    assert [ask() for ask in ways(url, home)] == READ


@pytest.mark.parametrize("password", [*ODD.values(), "S3cr3t%00x"], ids=[*ODD, "nothing at all"])
def test_an_odd_password_as_it_is_works_by_every_way_or_is_refused_by_every_way_unseen(
    login: Any, stack: Any, home: Path, password: str
) -> None:
    name = login(password)
    shown: list[str] = []
    url = f"postgresql://{name}:{password}@{place_of(stack)}"
    # The lines of code that a traceback quotes hold names alone.
    found = {outcome(ask, shown) for ask in ways(url, home)}
    assert found in (set(READ), {mt.SettingsError})
    assert "S3cr3t" not in "".join(shown)


@pytest.mark.parametrize("password", ODD.values(), ids=ODD)
def test_no_error_shows_a_password_that_postgres_refuses(
    login: Any, stack: Any, home: Path, password: str
) -> None:
    name = login("another")
    shown: list[str] = []
    for written in (password, quote(password, safe="")):
        url = f"postgresql://{name}:{written}@{place_of(stack)}"
        kit_way, arrow_way = (outcome(ask, shown) for ask in ways(url, home))
        assert {kit_way, arrow_way} <= {mt.SettingsError, mt.Unavailable}
        # `connect` asks Postgres first: beyond it, ADBC alone.
        if kit_way is mt.Unavailable:
            arrow = mt.connect(mt.Settings(home=home, database_url=url), is_checked=False)
            assert outcome(lambda kit=arrow: kit.assets(), shown) is mt.Unavailable  # type: ignore[misc]
            arrow.close()
    assert shown
    assert "S3cr3t" not in "".join(shown)


def test_several_hosts_are_tried_one_after_another_where_they_stand_in_the_options(
    stack: Any, home: Path, choose_port: Callable[[], int]
) -> None:
    who, _, place = stack.database_url.rpartition("@")
    host, _, port = place.partition("/")[0].partition(":")
    query = f"host={host},{host}&port={choose_port()},{port}"
    url = f"{who}@/{place.partition('/')[2]}?{query}"
    assert [ask() for ask in ways(url, home)] == READ


def test_the_folder_of_a_socket_in_the_place_of_the_host_is_where_every_way_looks(
    tmp_path: Path,
) -> None:
    place = quote(str(tmp_path), safe="")
    url = mt.Settings(database_url=f"postgresql://ana:S3cr3t@{place}:5433/db").pooled_url
    database = Database(str(url), patience_s=0)
    for ask in (database.ping, lambda: database.run_arrow(mt.Identity("ana"), lambda _: None)):
        with pytest.raises(mt.Unavailable) as caught:
            ask()
        assert f'on socket "{tmp_path}/.s.PGSQL.5433" failed' in str(caught.value)
