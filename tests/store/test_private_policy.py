"""Under `private`, what is kept beside the rows, and SQL that claims to be somebody else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

import media_toolkit as mt
from media_toolkit.embedded.stack import EmbeddedStack
from media_toolkit.identity import Identity
from media_toolkit.store import migrations
from media_toolkit.store.assets import AssetStore
from media_toolkit.store.database import Database
from media_toolkit.store.filters import AssetFilter

ANA, BOB, ROOT = Identity("ana"), Identity("bob"), Identity("root", "admin")
COUNTS = "SELECT user_id, sum(assets) FROM cloudinary_files_counts WHERE tag IS NULL GROUP BY 1"


def response(number: int) -> dict[str, Any]:
    return {
        "asset_id": f"{number:032x}",
        "public_id": f"photo{number}",
        "version": 1000,
        "resource_type": "image",
        "format": "jpg",
        "tags": ["secret"],
        "secure_url": f"https://res.cloudinary.com/demo/image/upload/v1/photo{number}.jpg",
    }


@pytest.fixture
def bob(kit: mt.MediaToolkit, stack: EmbeddedStack) -> Iterator[mt.MediaToolkit]:
    """Bob has one asset, Ana has two; each sees their own."""
    owner = Database(stack.database_url)
    migrations.migrate(owner, "private")
    kit.save_many([response(1), response(2)])
    bob = kit.acting_as("bob")
    bob.save_many([response(3)])
    yield bob
    migrations.migrate(owner, "team")
    owner.close()


def rows(database: Database, identity: Identity, statement: str) -> list[tuple[Any, ...]]:
    with database.begin(identity) as connection:
        return sorted(tuple(row) for row in connection.execute(sa.text(statement)))


def test_kept_counts_are_of_what_the_caller_may_see(
    kit: mt.MediaToolkit, bob: mt.MediaToolkit, database: Database
) -> None:
    assert rows(database, BOB, COUNTS) == [("bob", 1)]
    assert rows(database, ANA, COUNTS) == [("ana", 2)]
    assert rows(database, ROOT, COUNTS) == [("ana", 2), ("bob", 1)]
    assert bob.sql(COUNTS)["user_id"].tolist() == ["bob"]
    assert dict(bob.facets("user_id", "tags", "format")) == {
        "user_id": [("bob", 1)],
        "tags": [("secret", 1)],
        "format": [("jpg", 1)],
    }
    assert (bob.count(), kit.count()) == (1, 2)
    with database.engine.connect() as connection, connection.begin():
        connection.exec_driver_sql("SELECT set_config('role', 'media_toolkit_app', true)")
        assert connection.execute(sa.text(COUNTS)).all() == []


@pytest.mark.parametrize("identity", [BOB, ROOT], ids=["user", "admin"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE cloudinary_files_counts SET assets = 0",
        "DELETE FROM cloudinary_files_counts",
        "INSERT INTO cloudinary_files_counts VALUES ('bob', 'image', 'upload', 'jpg', NULL, 1)",
        "SELECT media_toolkit_rules.fold_counts(ARRAY['ana'])",
    ],
)
def test_nobody_but_the_triggers_writes_counts(
    bob: mt.MediaToolkit, database: Database, identity: Identity, statement: str
) -> None:
    with pytest.raises(mt.StoreError):
        rows(database, identity, statement)
    assert rows(database, ROOT, COUNTS) == [("ana", 2), ("bob", 1)]


def test_an_admin_reads_changes_and_sees_the_history_of_everybodys(
    kit: mt.MediaToolkit, bob: mt.MediaToolkit, database: Database
) -> None:
    all_of = "SELECT user_id, count(*) FROM {} GROUP BY 1"
    for table in ("cloudinary_files", "cloudinary_files_history"):
        assert rows(database, ROOT, all_of.format(table)) == [("ana", 2), ("bob", 1)]
        assert rows(database, BOB, all_of.format(table)) == [("bob", 1)]
    with database.begin(ROOT) as connection:
        connection.exec_driver_sql("UPDATE cloudinary_files SET format = 'png'")
    assert kit.history("photo1")["changed_by"].tolist() == ["ana", "root"]
    assert rows(database, BOB, all_of.format("cloudinary_files_history")) == [("bob", 2)]


def test_nobody_learns_what_another_had(
    kit: mt.MediaToolkit, bob: mt.MediaToolkit, database: Database
) -> None:
    with database.begin(ROOT) as connection:
        connection.exec_driver_sql("UPDATE cloudinary_files SET public_id = public_id || 'x'")
        connection.exec_driver_sql("DELETE FROM cloudinary_files WHERE public_id = 'photo1x'")
    asked = (
        "SELECT media_toolkit_rules.history_of(n) FROM unnest(ARRAY['photo1', 'photo1x']) AS n"
        f" UNION ALL SELECT media_toolkit_rules.last_told(ARRAY['{1:032x}'])"
    )
    assert rows(database, BOB, asked) == []
    assert len(rows(database, ANA, asked)) == len(rows(database, ROOT, asked)) == 3
    for name in ("photo1", "photo1x", f"{1:032x}"):
        assert kit.history(name)["operation"].tolist() == ["insert", "rename", "purge"]
        with pytest.raises(mt.NotFound):
            bob.history(name)


FORGED = '{"sub": "ana", "role": "admin"}'
ALL = "SELECT string_agg(user_id, ' ') FROM cloudinary_files"
# Each is the caller's own SQL, which wants to be Ana, or the login, before it reads.
FORGERIES = {
    "in the target list": f"SELECT set_config('request.jwt.claims', '{FORGED}', true), ({ALL})",
    "first": f"WITH a AS MATERIALIZED (SELECT set_config('request.jwt.claims', '{FORGED}', true))"
    f" SELECT ({ALL}) FROM a",
    "lateral": f"SELECT u.* FROM (SELECT set_config('request.jwt.claims', '{FORGED}', true)) AS s,"
    " LATERAL (SELECT user_id FROM cloudinary_files WHERE s IS NOT NULL) AS u",
    "by its full name": f"SELECT pg_catalog.set_config('request.jwt.claims', '{FORGED}', true)",
    "in quotes": f"SELECT \"set_config\"('request.jwt.claims', '{FORGED}', true), ({ALL})",
    "in capitals": f"SELECT SET_CONFIG('request.jwt.claims', '{FORGED}', true), ({ALL})",
    "by numbers": f"SELECT U&\"\\0073et_config\"('request.jwt.claims', '{FORGED}', true), ({ALL})",
    "behind a comment": f"SELECT /**/set_config/**/ ('request.jwt.claims', '{FORGED}', true)",
    "behind a dollar quote": f"SELECT $e$ $e$||set_config('request.jwt.claims', '{FORGED}', true)",
    "put back afterwards": f"SELECT set_config('request.jwt.claims', '{FORGED}', true), ({ALL}),"
    " set_config('request.jwt.claims', '{\"sub\": \"bob\"}', true)",
    "the role": f"SELECT set_config('role', 'none', true), ({ALL})",
    "as a statement": f"SET LOCAL request.jwt.claims = '{FORGED}'",
    "as a second one": f"SELECT 1; SET LOCAL request.jwt.claims = '{FORGED}'; {ALL}",
    "by text that is run": "SELECT query_to_xml('SELECT set_config(''role'', ''none'', true)',"
    " true, true, '')",
    "by a name put together": "SELECT table_to_xml(('pg_stat_'||'statements')::regclass,"
    " true, true, '')",
    "by a cursor": "SELECT cursor_to_xml('c', 1, true, true, '')",
    "by the settings": f"UPDATE pg_settings SET setting = '{FORGED}' WHERE name = 'role'",
    "by a session": "SET SESSION AUTHORIZATION DEFAULT",
    "by leaving": f"COMMIT; {ALL}",
    "by a block": "DO $$ BEGIN PERFORM set_config('role', 'none', true); END $$",
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_nobody_becomes_another_inside_kit_sql(bob: mt.MediaToolkit, forgery: str) -> None:
    with pytest.raises(mt.StoreError):
        bob.sql(FORGERIES[forgery])
    assert bob.sql(ALL).iloc[0, 0] == "bob"


def test_the_name_of_a_forging_function_as_a_bound_value_is_a_value(bob: mt.MediaToolkit) -> None:
    asked = bob.sql(f"SELECT :name AS name, ({ALL}) AS seen", {"name": f"set_config('{FORGED}')"})
    assert asked["seen"].tolist() == ["bob"]


def test_functions_that_change_nothing_by_postgres_word_change_no_settings(
    bob: mt.MediaToolkit, database: Database
) -> None:
    """The wall of kit.sql stands on this: what sets a parameter is called volatile."""
    setters = rows(
        database, BOB, "SELECT proname, provolatile::text FROM pg_proc WHERE prosrc ="
        " 'set_config_by_name'"
    )  # fmt: skip
    assert setters == [("set_config", "v")]
    hidden = """
        SELECT o.oprname FROM pg_operator AS o JOIN pg_proc AS f ON f.oid = o.oprcode
        WHERE provolatile = 'v'
        UNION ALL SELECT f.proname FROM pg_cast AS c JOIN pg_proc AS f ON f.oid = c.castfunc
        WHERE provolatile = 'v'
        UNION ALL SELECT t.typname FROM pg_type AS t JOIN pg_proc AS f ON f.oid IN
        (typinput, typoutput, typmodin) WHERE provolatile = 'v'
    """
    assert rows(database, BOB, hidden) == [], "none is called without its name"


def test_words_find_what_the_caller_may_see(kit: mt.MediaToolkit, bob: mt.MediaToolkit) -> None:
    for who, count in ((bob, 1), (kit, 2)):
        for typed in ("photo", "secret pho", "SECRET"):
            assert len(who.page(text=typed).items) == who.count(text=typed) == count
    assert bob.count(text="photo1") == len(bob.page(text="photo", user_id="ana").items) == 0


def test_who_sees_their_own_alone_asks_for_them_by_an_index(
    bob: mt.MediaToolkit, database: Database
) -> None:
    assert database.reads_own_alone(BOB)
    assert [asset.user_id for asset in bob.page().items] == ["bob"]
    assert bob.page(user_id="ana").items == ()
    assert bob.count(text="photo") == 1
    assert bob.assets(any_tags=["secret", "other"], limit=48)["user_id"].tolist() == ["bob"]
    assert sum(map(len, bob.iter_assets(columns=["id"]))) == 1
    assert len(AssetStore(database).page(AssetFilter(), ROOT).items) == 3


def test_a_policy_of_the_teams_own_shows_what_it_lets_be_seen(
    bob: mt.MediaToolkit, stack: EmbeddedStack
) -> None:
    owner = Database(stack.database_url)
    with owner.direct() as connection:
        connection.exec_driver_sql(
            "CREATE POLICY shared ON cloudinary_files FOR SELECT USING (public_id = 'photo1')"
        )
    try:
        assert [asset.user_id for asset in bob.page().items] == ["bob", "ana"]
    finally:
        with owner.direct() as connection:
            connection.exec_driver_sql("DROP POLICY shared ON cloudinary_files")
        owner.close()
