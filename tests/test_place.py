"""A copy of the library's database, or one that was reset, destroys nothing in Cloudinary."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import media_toolkit as mt
from media_toolkit.embedded.configuration import StackConfiguration
from media_toolkit.embedded.postgres import EmbeddedPostgres
from media_toolkit.store import migrations, place
from media_toolkit.store.database import Database

ROOT = Path(__file__).resolve().parents[1]
_COPIED = "a copy of the library's, or was reset or moved"
# As `pg_restore --clean` leaves it: what is in the table is the same.
_MADE_ANEW = """
CREATE TABLE made_anew (LIKE media_toolkit_place INCLUDING ALL);
INSERT INTO made_anew SELECT * FROM media_toolkit_place;
DROP TABLE media_toolkit_place;
ALTER TABLE made_anew RENAME TO media_toolkit_place;
GRANT SELECT ON media_toolkit_place TO PUBLIC;
"""


class Server:
    """The run's Postgres, with databases of this test alone."""

    def __init__(self, stack: Any) -> None:
        self.names: list[str] = []
        self._stack = stack
        self._engine = sa.create_engine(
            stack.database_url.replace("postgresql:", "postgresql+psycopg2:"),
            poolclass=sa.NullPool,
            isolation_level="AUTOCOMMIT",
        )

    def run(self, statement: str) -> None:
        with self._engine.connect() as connection:
            connection.exec_driver_sql(statement)

    def make(self, template: str = "template1") -> str:
        self.names.append(f"place_{secrets.token_hex(6)}")
        self.run(f"CREATE DATABASE {self.names[-1]} TEMPLATE {template}")
        return self.names[-1]

    def url(self, name: str) -> str:
        return f"{self._stack.database_url.rpartition('/')[0]}/{name}"

    def kit(self, name: str) -> mt.MediaToolkit:
        return mt.connect(
            mt.Settings(cloudinary_url=self._stack.cloudinary_url, database_url=self.url(name))
        )

    def owner(self, name: str, statement: str) -> None:
        with closing(Database(self.url(name))) as database, database.direct() as connection:
            connection.exec_driver_sql(statement)


@pytest.fixture
def server(settings: mt.Settings, stack: Any) -> Iterator[Server]:
    server = Server(stack)
    yield server
    for name in server.names:
        server.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def library(server: Server, sample_media: Path) -> Iterator[str]:
    """The name of a database in which `place/horse` is deleted."""
    name = server.make()
    server.run(f"ALTER DATABASE {name} SET neon.timeline_id = 'a1'")
    with closing(Database(server.url(name))) as database:
        migrations.migrate(database)
    with server.kit(name) as kit:
        kit.upload(sample_media / "horse.png", public_id="place/horse")
        kit.delete("place/horse")
        yield name
        kit._client.destroy("place/horse")


def is_there(kit: mt.MediaToolkit) -> bool:
    try:
        return bool(kit._client.resource("place/horse"))
    except mt.NotFound:
        return False


def refuses(server: Server, name: str) -> bool:
    with server.kit(name) as kit:
        try:
            kit.purge("1d")
        except mt.Conflict as error:
            return _COPIED in error.message and place.WORD in error.hint
    return False


def end_connections(server: Server, name: str) -> None:
    server.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")


def test_a_copy_destroys_nothing_until_it_is_said_to_be_the_library(
    server: Server, library: str, stack: Any
) -> None:
    end_connections(server, library)
    copy = server.make(library)
    with server.kit(library) as kit:
        kit.restore("place/horse")
    with server.kit(copy) as kit:
        assert kit.migrate() == []
        with pytest.raises(mt.Conflict, match=_COPIED):
            kit.purge("0h")
        assert is_there(kit)
        (table,) = (f for f in kit.doctor().findings if f.check == "table")
        assert (table.state, _COPIED in table.detail) == ("warning", True)
        assert place.WORD in table.hint
    shown = subprocess.run(
        [sys.executable, *place.WORD.split()[1:]],
        env=os.environ | {"DATABASE_URL": server.url(copy)},
        capture_output=True,
        text=True,
        check=False,
    )
    said = "nothing to apply\nthis database is the library now\n"
    assert (shown.returncode, shown.stdout) == (0, said), shown.stderr
    with server.kit(copy) as kit:
        (table,) = (f for f in kit.doctor().findings if f.check == "table")
        assert table.state == "ok"
        assert kit.purge("0h") == 1
        assert not is_there(kit)
    assert not refuses(server, library)


def test_a_restore_over_the_library_and_another_timeline_are_known(
    server: Server, library: str
) -> None:
    assert not refuses(server, library)
    server.run(f"ALTER DATABASE {library} SET neon.timeline_id = 'b2'")
    assert refuses(server, library)
    with server.kit(library) as kit:
        kit.migrate(is_the_library=True)
    assert not refuses(server, library)
    server.owner(library, _MADE_ANEW)
    assert refuses(server, library)
    with server.kit(library) as kit:
        kit.migrate(is_the_library=True)
        assert kit.purge("0h") == 1


def test_a_running_purge_stops_when_the_database_is_reset_under_it(
    server: Server, library: str, sample_media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server.kit(library) as kit:
        kit.upload(sample_media / "coffee.png", public_id="place/coffee")
        kit.delete("place/coffee")
        destroy = kit._client.destroy

        def reset_after(*name: str) -> None:
            destroy(*name)
            server.run(f"ALTER DATABASE {library} SET neon.timeline_id = 'b2'")
            end_connections(server, library)

        with monkeypatch.context() as patch:
            patch.setattr(kit._client, "destroy", reset_after)
            with pytest.raises(mt.Conflict, match=_COPIED):
                kit.purge("0h")
        assert kit._client.resource("place/coffee")
        kit.migrate(is_the_library=True)
        assert kit.purge("0h") == 2


@pytest.mark.parametrize(
    "happens",
    [
        lambda server, name: server.owner(name, "CLUSTER media_toolkit_place USING "
                                          "media_toolkit_place_pkey"),
        lambda server, name: server.owner(name, "UPDATE media_toolkit_place SET noted_at = now()"),
        lambda server, name: server.run(f"ALTER DATABASE {name} RESET neon.timeline_id"),
        lambda server, name: server.run(f"ALTER DATABASE {name} SET neon.timeline_id = ''"),
    ],
    ids=["rewritten", "updated", "no timeline", "empty timeline"],
)  # fmt: skip
def test_what_is_no_copy_is_purged_as_before(
    server: Server, library: str, happens: Callable[[Server, str], None]
) -> None:
    happens(server, library)
    assert not refuses(server, library)


def test_where_nothing_is_noted_nothing_is_destroyed(server: Server, library: str) -> None:
    server.owner(library, "TRUNCATE media_toolkit_place")
    assert refuses(server, library)
    with server.kit(library) as kit:
        kit.migrate(is_the_library=True)
    assert not refuses(server, library)


def test_another_name_is_no_copy(server: Server, library: str) -> None:
    end_connections(server, library)
    server.names.append(f"{library}_2")
    server.run(f"ALTER DATABASE {library} RENAME TO {library}_2")
    assert not refuses(server, f"{library}_2")


def test_neither_a_restart_nor_the_same_files_elsewhere_are_told(prepared_home: Any) -> None:
    with prepared_home() as home:
        configuration = StackConfiguration.of(mt.Settings(home=home))
        postgres = EmbeddedPostgres(configuration)
        for _ in range(2):
            postgres.start()
            try:
                with closing(Database(configuration.database_url)) as database:
                    assert migrations.pending(database) == []
                    with database.direct() as connection:
                        assert not place.is_copy(connection)
            finally:
                postgres.stop()


def test_what_the_branch_of_before_knows_is_brought_back_as_docs_branches_shows(
    server: Server, library: str, sample_media: Path
) -> None:
    with server.kit(library) as kit:
        for name in ("kept", "deleted", "renamed", "restored"):
            kit.upload(sample_media / "horse.png", public_id=f"place/{name}")
        kit.delete("place/restored")
    end_connections(server, library)
    reset = server.make(library)
    with server.kit(library) as kit:
        kit.acting_as("ben").upload(sample_media / "coffee.png", public_id="place/bens")
        kit.upload(sample_media / "coffee.png", public_id="place/came and went")
        kit.delete(["place/deleted", "place/came and went"])
        kit.restore("place/restored")
        kit.rename("place/renamed", "place/named anew")
        kit.edit("place/kept", add_tags=["new"])
        was = kit.assets(folder="place", columns=["public_id", "user_id", "tags"], order_by="id")
    page = (ROOT / "docs/branches.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^   ```python\n(.*?)^   ```", page, re.MULTILINE | re.DOTALL)
    code = textwrap.dedent(code).replace("kit.reconcile()", "kit.reconcile(folder='place')")
    environment = {
        "DATABASE_URL": server.url(reset),
        "BEFORE_RESET": server.url(library),
        "MEDIA_TOOLKIT_ADMINS": "ana",
    }
    for _ in range(2):
        shown = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert shown.returncode == 0, shown.stderr
    with server.kit(reset) as kit:
        is_now = kit.assets(folder="place", columns=["public_id", "user_id", "tags"])
        assert sorted(is_now["public_id"]) == sorted(was["public_id"])
        assert kit.asset("place/bens").user_id == "ben"
        assert kit.asset("place/kept").tags == ("new",)
        for asset in ("bens", "kept", "deleted", "named anew", "restored", "came and went"):
            kit._client.destroy(f"place/{asset}")
