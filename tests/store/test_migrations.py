"""Migrations: once each, also for two at once; a table of the guide is adopted."""

from __future__ import annotations

import itertools
import json
import re
import secrets
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import media_toolkit as mt
from media_toolkit.embedded.configuration import StackConfiguration
from media_toolkit.embedded.postgres import EmbeddedPostgres
from media_toolkit.identity import Identity
from media_toolkit.store import migrations
from media_toolkit.store.assets import AssetStore
from media_toolkit.store.changes import AssetChanges
from media_toolkit.store.database import Database
from media_toolkit.store.filters import AssetFilter
from media_toolkit.store.history import history_frame

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

GUIDE_INSERT = """
INSERT INTO cloudinary_files (public_id, media_url, resource_type, user_id)
VALUES (%s, %s, %s, %s)
"""
GUIDE_SELECT = """
SELECT id, public_id, media_url, resource_type, user_id, upload_timestamp
FROM cloudinary_files ORDER BY id
"""
ANA = Identity("ana")


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


def test_moments_that_no_frame_holds_are_adopted_as_the_nearest_that_one_does(
    empty_database: Database,
) -> None:
    with empty_database.direct() as connection:
        connection.exec_driver_sql(GUIDE_TABLE)
        connection.exec_driver_sql(
            "INSERT INTO cloudinary_files (public_id, media_url, resource_type, user_id,"
            " upload_timestamp) VALUES ('late', 'u', 'image', 'ana', 'infinity'),"
            " ('early', 'u', 'image', 'ana', '0044-03-15 BC')"
        )
    migrations.migrate(empty_database)
    page = AssetStore(empty_database).page(AssetFilter(user_id="ana"), Identity("ana"))
    years = {a.public_id: a.upload_timestamp and a.upload_timestamp.year for a in page.items}
    assert years == {"late": 9998, "early": 2}
    assert all(a.created_at is None for a in page.items)
    with (
        pytest.raises(mt.StoreError, match="cloudinary_files_moments"),
        empty_database.direct() as connection,
    ):
        connection.exec_driver_sql("UPDATE cloudinary_files SET created_at = '-infinity'")


def test_a_table_of_the_guide_with_more_to_it_is_adopted(empty_database: Database) -> None:
    """In a schema of its own, with a column that has no equality and triggers of the team's."""
    with empty_database.direct() as connection:
        connection.exec_driver_sql("CREATE SCHEMA media")
        name = connection.scalar(sa.text("SELECT current_database()"))
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET search_path = media, public")
    with empty_database.direct() as connection:
        connection.exec_driver_sql(GUIDE_TABLE)
        for statement in (
            "ALTER TABLE cloudinary_files ADD extra JSON DEFAULT '{\"a\": 1}'",
            "UPDATE cloudinary_files SET public_id = 'HTMLParser'",
            "CREATE FUNCTION nothing() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN RETURN NULL;"
            " END $$",
            "CREATE TRIGGER mine_off AFTER UPDATE ON cloudinary_files EXECUTE FUNCTION nothing()",
            "CREATE TRIGGER mine_on AFTER UPDATE ON cloudinary_files EXECUTE FUNCTION nothing()",
            "ALTER TABLE cloudinary_files DISABLE TRIGGER mine_off",
        ):
            connection.exec_driver_sql(statement)
    migrations.migrate(empty_database)
    owner, store = Identity("user_123"), AssetStore(empty_database)
    changes = AssetChanges(empty_database)
    (row,) = store.page(AssetFilter(text="parser"), owner).items
    changes.label([row], owner, add_tags=["x"])
    changes.delete([row], owner)
    events = history_frame(empty_database, owner, row)
    assert events["operation"].tolist()[-2:] == ["update", "delete"]
    states = "SELECT tgname, tgenabled::text FROM pg_trigger WHERE tgname LIKE 'mine%'"
    with empty_database.direct() as connection:
        rows = {row.tgname: row.tgenabled for row in connection.execute(sa.text(states))}
        off = "SELECT count(*) FROM pg_trigger WHERE tgenabled <> 'O' AND NOT tgisinternal"
        assert connection.scalar(sa.text(off)) == 1
    assert rows == {"mine_off": "D", "mine_on": "O"}


@pytest.mark.parametrize(
    ("column", "said"),
    [("tag TEXT", "tag text"), ("words TEXT", "words text"), ("was INT", "was integer"),
     ("file_id TEXT", "file_id text"), ("f INT", "f integer"),
     ("tags JSONB", r"tags jsonb \(ours is text\[\]\)"),
     ("created_at DATE", r"created_at date \(ours is timestamp with time zone\)")],
)  # fmt: skip
def test_a_column_where_ours_would_stand_is_named_before_anything_is_changed(
    empty_database: Database, column: str, said: str
) -> None:
    with empty_database.direct() as connection:
        connection.exec_driver_sql(GUIDE_TABLE)
        connection.exec_driver_sql(f"ALTER TABLE cloudinary_files ADD {column}")
    with pytest.raises(mt.StoreError, match=f"needs itself: {said}") as error:
        migrations.migrate(empty_database)
    assert "RENAME COLUMN" in error.value.hint
    assert migrations.applied(empty_database) == {}
    name = column.split()[0]
    with empty_database.direct() as connection:
        connection.exec_driver_sql(f"ALTER TABLE cloudinary_files RENAME COLUMN {name} TO mine")
        connection.exec_driver_sql("ALTER TABLE cloudinary_files ADD format VARCHAR(20)")
    assert migrations.migrate(empty_database)
    with empty_database.direct() as connection:
        row = connection.execute(sa.text("SELECT public_id, mine FROM cloudinary_files")).one()
    assert tuple(row) == ("old", None)


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (
            "ALTER TABLE cloudinary_files DROP CONSTRAINT cloudinary_files_public_id_key;"
            "INSERT INTO cloudinary_files (public_id, media_url, resource_type, user_id)"
            " SELECT public_id, media_url, resource_type, 'bob' FROM cloudinary_files",
            r"same asset in several rows: image/old \(2\).*keep one row of each",
        ),
        (
            "CREATE TABLE likes (of_file TEXT REFERENCES cloudinary_files (public_id))",
            "likes_of_file_fkey of likes refers to the public_id.*refer to the id",
        ),
        (
            'CREATE SCHEMA "media-lib"; ALTER TABLE cloudinary_files SET SCHEMA "media-lib";'
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %%I SET search_path = \"media-lib\"',"
            " current_database()); END $$",
            'needs quotes: "media-lib".*ALTER SCHEMA',
        ),
        (
            "CREATE POLICY p ON cloudinary_files FOR SELECT USING (true)",
            "policy of its own, p, .*DROP POLICY p ON cloudinary_files",
        ),
        (
            "ALTER TABLE cloudinary_files ALTER user_id TYPE INTEGER USING 1",
            "column user_id .* is integer .*ALTER COLUMN user_id TYPE TEXT",
        ),
        (
            "ALTER TABLE cloudinary_files ALTER upload_timestamp TYPE TIMESTAMP",
            "is timestamp without time zone .*USING upload_timestamp AT TIME ZONE 'UTC'",
        ),
        (
            "ALTER TABLE cloudinary_files DROP user_id",
            "has no column user_id, .*ADD COLUMN user_id",
        ),
        (
            "ALTER TABLE cloudinary_files ALTER user_id DROP NOT NULL;"
            "UPDATE cloudinary_files SET user_id = NULL",
            "id 1 without user_id .*give each an owner",
        ),
        (
            "ALTER TABLE cloudinary_files ALTER id TYPE BIGINT;"
            "UPDATE cloudinary_files SET id = 3000000000",
            "id 3000000000 without a fitting id",
        ),
    ],
    ids=["twice", "referred to", "quoted", "policy", "type", "moment", "lacks", "null", "large"],
)
def test_what_stands_in_the_way_of_adopting_is_said_before_anything_is_changed(
    empty_database: Database, before: str, said: str
) -> None:
    with empty_database.direct() as connection:
        connection.exec_driver_sql(GUIDE_TABLE)
        connection.exec_driver_sql(before)
    with pytest.raises(mt.StoreError, match=said):
        migrations.migrate(empty_database)
    assert migrations.applied(empty_database) == {}


def test_a_table_in_use_is_not_waited_for_and_the_user_is_named(
    empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "_LOCK_TIMEOUT_S", 1)
    with empty_database.direct() as connection:
        connection.exec_driver_sql(GUIDE_TABLE)
    with empty_database.direct() as reader:
        pid = reader.scalar(sa.text("SELECT pg_backend_pid() FROM cloudinary_files"))
        with pytest.raises(mt.StoreError, match=rf"0001.*in use by process {pid} of .*terminate"):
            migrations.migrate(empty_database)
    assert migrations.migrate(empty_database)


def test_what_a_migration_would_mend_is_told_and_a_login_of_the_app_alone_may_ask(
    stack: Any, home: Path, empty_database: Database
) -> None:
    assert "the database lacks 0001" in migrations.lacking(empty_database, None)[0][0]
    migrations.migrate(empty_database, "team")
    assert migrations.lacking(empty_database, None) == []
    [(lack, _)] = migrations.lacking(empty_database, "private")
    assert lack == "the database holds to the policy team, and the settings say private"
    login = f"dashboard_{secrets.token_hex(4)}"
    with empty_database.direct() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {login} LOGIN PASSWORD 'x'")
        connection.exec_driver_sql(f"GRANT media_toolkit_app TO {login}")
    try:
        # The pooler knows the owner alone.
        place = stack.database_url.partition("@")[2].rpartition("/")[0]
        url = f"{place}/{empty_database.pooled_url.rpartition('/')[2]}"
        url = f"postgresql://{login}:x@{url}"
        settings = mt.Settings(home=home, database_url=url, policy="private")
        with pytest.warns(UserWarning, match="policy team"):
            kit = mt.connect(settings)
        with kit:
            assert kit.count() == 0
            assert "policy team" in str(kit.doctor())
    finally:
        with empty_database.direct() as connection:
            connection.exec_driver_sql(f"DROP ROLE {login}")


def test_what_lets_more_be_seen_or_done_than_ours_is_told(empty_database: Database) -> None:
    migrations.migrate(empty_database, "private")
    with empty_database.direct() as connection:
        connection.exec_driver_sql("CREATE POLICY p ON cloudinary_files USING (true)")
        connection.exec_driver_sql("GRANT CREATE ON SCHEMA public TO PUBLIC")
    said = [said for said, _ in migrations.lacking(empty_database, "private")]
    assert [one.split(" ")[0] for one in said] == ["policies", "media_toolkit_app"]
    with empty_database.direct() as connection:
        connection.exec_driver_sql("DROP POLICY p ON cloudinary_files")
        connection.exec_driver_sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        connection.exec_driver_sql("REVOKE ALL ON cloudinary_files FROM media_toolkit_app")
    [(said, _)] = migrations.lacking(empty_database, None)
    assert "no rights" in said


def test_a_restore_on_a_server_without_the_role_is_mended_by_an_owner_who_is_no_superuser(
    prepared_home: Callable[[], Any],
) -> None:
    with prepared_home() as home:
        configuration = StackConfiguration.of(mt.Settings(home=home))
        postgres = EmbeddedPostgres(configuration)
        postgres.start()
        server, place = Database(configuration.database_url), configuration.database_url
        place = place.partition("@")[2].rpartition("/")[0]
        owner = Database(f"postgresql://neon_owner:pw@{place}/library")
        try:
            engine = sa.create_engine(
                configuration.database_url.replace("postgresql:", "postgresql+psycopg2:", 1),
                isolation_level="AUTOCOMMIT",
            )
            with engine.connect() as connection:
                connection.exec_driver_sql("CREATE ROLE neon_owner LOGIN CREATEROLE PASSWORD 'pw'")
                connection.exec_driver_sql("CREATE DATABASE library OWNER neon_owner")
                connection.exec_driver_sql("GRANT media_toolkit_app TO neon_owner WITH ADMIN TRUE")
            migrations.migrate(owner)
            own = f"{configuration.database_url.rpartition('/')[0]}/library"
            with Database(own).direct() as connection:
                connection.exec_driver_sql("DROP OWNED BY media_toolkit_app")
            with engine.connect() as connection:
                connection.exec_driver_sql("DROP OWNED BY media_toolkit_app")
                connection.exec_driver_sql("DROP ROLE media_toolkit_app")
            assert migrations.migrate(owner) == ["rights", "policies/team"]
            assert AssetStore(owner).count(AssetFilter(), ANA) == 0
            # The role was there already, made by another: its owner is none of it.
            with engine.connect() as connection:
                connection.exec_driver_sql(
                    "REVOKE media_toolkit_app FROM neon_owner GRANTED BY neon_owner"
                )
            with pytest.raises(mt.Forbidden, match="GRANT media_toolkit_app TO"):
                AssetStore(owner).count(AssetFilter(), ANA)
            assert migrations.migrate(owner) == []
            assert AssetStore(owner).count(AssetFilter(), ANA) == 0
            with engine.connect() as connection:
                one = connection.scalar(sa.text("SELECT CURRENT_USER"))
                connection.exec_driver_sql(
                    f"REVOKE media_toolkit_app FROM neon_owner GRANTED BY {one} CASCADE"
                )
            with pytest.raises(mt.StoreError, match=r'that one run.*GRANT.*"neon_owner"'):
                migrations.migrate(owner)
            engine.dispose()
        finally:
            owner.close()
            server.close()
            postgres.stop()


def test_rights_that_a_restore_lost_are_put_back(empty_database: Database) -> None:
    migrations.migrate(empty_database, "private")
    before = _rights(empty_database)
    with empty_database.direct() as connection:
        connection.exec_driver_sql("DROP OWNED BY media_toolkit_app")
        connection.exec_driver_sql("""
DO $$ DECLARE p RECORD; BEGIN
    FOR p IN SELECT polname, polrelid::regclass AS held FROM pg_policy LOOP
        EXECUTE format('DROP POLICY %%I ON %%s', p.polname, p.held);
    END LOOP;
    FOR p IN SELECT oid::regprocedure AS name FROM pg_proc
             WHERE pronamespace = 'media_toolkit_rules'::regnamespace AND proacl IS NOT NULL LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %%s TO PUBLIC', p.name);
    END LOOP;
END $$""")
    with pytest.raises(mt.StoreError, match=r"policy reading .* is missing.*migrate"):
        migrations.lacking(empty_database, "private")
    assert migrations.migrate(empty_database) == ["owner", "rights", "policies/private"]
    assert _rights(empty_database) == before
    assert migrations.migrate(empty_database) == []


def _rights(database: Database) -> dict[str, set[tuple[str, ...]]]:
    """Who may do what to what of this database, and every policy."""
    asked = {
        "tables": "SELECT relname, unnest(relacl)::text, relrowsecurity, relforcerowsecurity"
        " FROM pg_class WHERE relnamespace = 'public'::regnamespace",
        "columns": "SELECT attrelid::regclass::text, attname, attacl::text FROM pg_attribute"
        " WHERE attacl IS NOT NULL",
        "functions": "SELECT proname, unnest(proacl)::text FROM pg_proc"
        " WHERE pronamespace = 'media_toolkit_rules'::regnamespace",
        "schemas": "SELECT nspname, unnest(nspacl)::text FROM pg_namespace",
        "policies": "SELECT tablename, policyname, roles::text, cmd, permissive, qual, with_check"
        " FROM pg_policies",
    }
    with database.direct() as connection:
        return {
            name: {tuple(map(str, row)) for row in connection.exec_driver_sql(sql)}
            for name, sql in asked.items()
        }


def test_nobody_chooses_the_id_of_a_new_row(empty_database: Database) -> None:
    migrations.migrate(empty_database)
    plain = """
INSERT INTO cloudinary_files (public_id, media_url, resource_type, user_id, upload_timestamp)
VALUES ('a', 'https://x', 'image', 'mallory', '2026-01-01')"""
    chosen = plain.replace("(public_id", "(id, public_id").replace("('a'", "(9, 'b'")
    mallory = Identity("mallory")
    with empty_database.begin(mallory) as connection:
        connection.exec_driver_sql(plain)
    with (
        pytest.raises(mt.StoreError, match="permission denied"),
        empty_database.begin(mallory) as connection,
    ):
        connection.exec_driver_sql(chosen)
    # Its owner may: tables are copied with their ids.
    with empty_database.direct() as connection:
        connection.exec_driver_sql(chosen)


def test_the_id_of_a_row_never_changes(empty_database: Database) -> None:
    with empty_database.direct() as connection:
        connection.exec_driver_sql(GUIDE_TABLE)
    migrations.migrate(empty_database)
    with (
        pytest.raises(mt.StoreError, match="never changes: 1 to 9"),
        empty_database.direct() as connection,
    ):
        connection.exec_driver_sql("UPDATE cloudinary_files SET id = 9")


def test_words_are_made_anew_only_of_what_they_are_made_of(empty_database: Database) -> None:
    with empty_database.direct() as connection:
        connection.exec_driver_sql(GUIDE_TABLE)
    migrations.migrate(empty_database)
    kept = "SELECT words::text FROM cloudinary_files"
    with empty_database.direct() as connection:
        connection.exec_driver_sql("""
            CREATE OR REPLACE FUNCTION media_toolkit_rules.words(
                public_id TEXT, original_filename TEXT, tags TEXT[], context JSONB
            ) RETURNS TSVECTOR LANGUAGE SQL IMMUTABLE AS $$ SELECT $w$anew$w$::tsvector $$
        """)
        connection.exec_driver_sql("UPDATE cloudinary_files SET deleted_at = NOW(), bytes = 1")
        assert connection.exec_driver_sql(kept).scalar_one() == "'old'"
        connection.exec_driver_sql("UPDATE cloudinary_files SET tags = '{spring}'")
        assert connection.exec_driver_sql(kept).scalar_one() == "'anew'"


def test_an_edited_migration_that_was_applied_is_an_error(empty_database: Database) -> None:
    migrations.migrate(empty_database)
    with empty_database.direct() as connection:
        connection.exec_driver_sql("UPDATE media_toolkit_migrations SET checksum = 'other'")
    with pytest.raises(mt.StoreError, match="was edited after it had been applied"):
        migrations.migrate(empty_database)
    [(said, _)] = migrations.lacking(empty_database, None)
    assert "edited after it had been applied: 0001" in said


def test_a_database_without_the_table_says_what_to_run(empty_database: Database) -> None:
    with pytest.raises(mt.StoreError, match="python -m media_toolkit migrate"):
        AssetStore(empty_database).count(AssetFilter(), ANA)


@pytest.mark.parametrize("level", ["0010", "0041", "9999"])
def test_a_database_that_has_another_owner_now_is_migrated_with_its_rows_in_sight(
    empty_database: Database,
    owned_by: Callable[[str], Database],
    monkeypatch: pytest.MonkeyPatch,
    level: str,
) -> None:
    known, first = migrations.migrations(), owned_by("first")
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "migrations", lambda: [m for m in known if m.name < level])
        migrations.migrate(first)
    with first.direct() as connection:
        for n in range(20):
            values = (f"HTMLParser/Σ{n}ς", "https://x/y.jpg", "image", "ana")
            connection.exec_driver_sql(GUIDE_INSERT, values)
    first.close()
    second = owned_by("second")
    with empty_database.direct() as connection:
        connection.exec_driver_sql(
            "REASSIGN OWNED BY first_{0} TO second_{0}".format(
                empty_database.pooled_url.rpartition("/")[2]
            )
        )
    told = [said for said, _ in migrations.lacking(second, None)]
    assert "the policies of cloudinary_files name another owner than it has" in told[-1]
    assert "owner" in migrations.migrate(second)
    assert migrations.migrate(second) == migrations.lacking(second, None) == []
    store = AssetStore(second)
    assert store.count(AssetFilter(), ANA) == 20
    assert len(store.page(AssetFilter(text="parser"), ANA).items) == 20
    with second.direct() as connection:
        connection.exec_driver_sql(GUIDE_INSERT, ("new", "https://x/y.jpg", "image", "ana"))
        assert len(connection.exec_driver_sql(GUIDE_SELECT).all()) == 21


def test_a_policy_that_may_hide_rows_from_a_migration_is_named_before_anything_is_changed(
    empty_database: Database, owned_by: Callable[[str], Database]
) -> None:
    owner = owned_by("team")
    with owner.direct() as connection:
        connection.exec_driver_sql(GUIDE_TABLE)
        connection.exec_driver_sql(
            "ALTER TABLE cloudinary_files ENABLE ROW LEVEL SECURITY;"
            "CREATE POLICY tenants ON cloudinary_files AS RESTRICTIVE USING (user_id <> 'user_123')"
        )
    with pytest.raises(mt.StoreError, match="restrictive policy tenants may hide rows"):
        migrations.migrate(owner)
    assert migrations.applied(owner) == {}
    # A superuser sees them all.
    migrations.migrate(empty_database)
    with empty_database.direct() as connection:
        counted = "SELECT sum(assets) FROM cloudinary_files_counts WHERE tag IS NULL"
        assert connection.exec_driver_sql(counted).scalar() == 1


@pytest.mark.parametrize("is_first", [True, False])
def test_everything_may_be_published(
    prepared_home: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, is_first: bool
) -> None:
    publish = "CREATE PUBLICATION everything FOR ALL TABLES"
    with prepared_home() as home:
        configuration = StackConfiguration.of(mt.Settings(home=home))
        postgres = EmbeddedPostgres(configuration)
        postgres.start()
        server = Database(configuration.database_url)
        database = Database(f"{configuration.database_url.rpartition('/')[0]}/library")
        engine = sa.create_engine(
            configuration.database_url.replace("postgresql:", "postgresql+psycopg2:", 1),
            isolation_level="AUTOCOMMIT",
        )
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql("CREATE DATABASE library")
                connection.exec_driver_sql("ALTER SYSTEM SET wal_level = 'logical'")
            postgres.stop()
            postgres.start()
            with database.direct() as connection:
                connection.exec_driver_sql(GUIDE_TABLE)
                if is_first:
                    connection.exec_driver_sql(publish)
            migrations.migrate(database)
            if not is_first:
                with database.direct() as connection:
                    connection.exec_driver_sql(publish)
            changes, owner = AssetChanges(database), Identity("user_123")
            (old,) = changes.label(changes.find("old", owner), owner, tags=["a", "b"])
            changes.label([old], owner, tags=["c"])
            changes.restore(changes.delete([old], owner), owner)
            store = AssetStore(database)
            for n in range(300):
                store.save(mt.Asset(f"n{n}", "https://x/y.jpg", "image", "ana", tags=("c",)), ANA)
            assert store.count(AssetFilter.of(tags=["c"]), ANA) == 301
        finally:
            database.close()
            server.close()
            engine.dispose()
            postgres.stop()


def test_the_guides_owner_without_any_privilege_migrates_and_goes_on_as_before(
    stack: Any, empty_database: Database
) -> None:
    """As on Neon: the owner is no superuser, and forced policies hold for owners too."""
    server = Database(stack.database_url)
    name = empty_database.pooled_url.rpartition("/")[2]
    place = stack.database_url.partition("@")[2].rpartition("/")[0]
    with server.direct() as connection:
        connection.exec_driver_sql("CREATE ROLE guide_owner LOGIN PASSWORD 'pw'")
        # What who creates a role gets of it since Postgres 16.
        connection.exec_driver_sql(
            "GRANT media_toolkit_app TO guide_owner WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"
        )
        connection.exec_driver_sql(f"ALTER DATABASE {name} OWNER TO guide_owner")
    owner = Database(f"postgresql://guide_owner:pw@{place}/{name}")
    try:
        with owner.direct() as connection:
            connection.exec_driver_sql(GUIDE_TABLE)
        migrations.migrate(owner)
        with owner.direct() as connection:
            connection.exec_driver_sql(GUIDE_INSERT, ("new", "https://x/new.jpg", "image", "u"))
        with owner.direct() as connection:
            rows = connection.exec_driver_sql(GUIDE_SELECT).all()
        assert [(row.public_id, row.user_id) for row in rows] == [("old", "user_123"), ("new", "u")]
        store = AssetStore(owner)
        assert [row.id for row in store.page(AssetFilter(), ANA).items] == [2, 1]
        with pytest.raises(mt.Conflict, match="belongs to user_123"):
            store.save(mt.Asset("old", "https://x/old.jpg", "image", "ana"), ANA)
        old = mt.Asset("old", "https://x/old.jpg", "image", "user_123", asset_id="a" * 32)
        assert store.save(old, Identity("user_123")).asset_id == "a" * 32
    finally:
        owner.close()
        with empty_database.direct() as connection:
            connection.exec_driver_sql("DROP OWNED BY guide_owner CASCADE")
        with server.direct() as connection:
            me = connection.scalar(sa.text("SELECT CURRENT_USER"))
            connection.exec_driver_sql(f"ALTER DATABASE {name} OWNER TO {me}")
            connection.exec_driver_sql("DROP OWNED BY guide_owner")
            connection.exec_driver_sql("DROP ROLE guide_owner")
        server.close()


def test_a_policy_that_is_chosen_holds_until_another_is(empty_database: Database) -> None:
    assert migrations.policy_of(empty_database) is None
    assert "policies/private" in migrations.migrate(empty_database, "private")
    assert migrations.migrate(empty_database) == []
    assert migrations.policy_of(empty_database) == "private"
    with empty_database.direct() as connection:
        connection.exec_driver_sql("UPDATE media_toolkit_policy SET checksum = 'edited since'")
    assert migrations.migrate(empty_database) == ["policies/private"]
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: migrations.migrate(empty_database, "team"), range(4)))
    assert sorted(itertools.chain.from_iterable(done)) == ["policies/team"]


def test_pending_and_applied_write_nothing(empty_database: Database) -> None:
    migrations.pending(empty_database)
    migrations.applied(empty_database)
    migrations.policy_of(empty_database)
    with empty_database.direct() as connection:
        tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        assert connection.scalar(sa.text(tables)) == 0


def test_a_file_that_fails_is_named_and_leaves_nothing(
    empty_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrations.migrate(empty_database)
    bad = tmp_path / "9000_bad.sql"
    bad.write_text("CREATE TABLE half (x int);\nSELECT 1 / 0;\n")
    known = migrations.migrations
    monkeypatch.setattr(migrations, "migrations", lambda: [*known(), *known(tmp_path)])
    with pytest.raises(mt.StoreError, match="migration 9000_bad: division by zero"):
        migrations.migrate(empty_database)
    assert [m.name for m in migrations.pending(empty_database)] == ["9000_bad"]
    with empty_database.direct() as connection:
        assert connection.scalar(sa.text("SELECT to_regclass('half')")) is None


def test_a_name_that_the_team_has_given_already_is_told_with_the_way_on(
    empty_database: Database,
) -> None:
    with empty_database.direct() as connection:
        connection.exec_driver_sql(GUIDE_TABLE)
        connection.exec_driver_sql("CREATE INDEX cloudinary_files_words ON cloudinary_files (id)")
    told: list[str] = []
    with pytest.raises(mt.StoreError, match=r"cloudinary_files_words.*exists.*RENAME TO"):
        migrations.migrate(empty_database, on_applied=told.append)
    assert told == [*migrations.applied(empty_database)] != []
    with empty_database.direct() as connection:
        connection.exec_driver_sql("ALTER INDEX cloudinary_files_words RENAME TO ours_by_id")
    assert migrations.migrate(empty_database)[-1] == "policies/team"


def test_words_that_were_saved_before_0041_are_made_anew(empty_database: Database) -> None:
    known = migrations.migrations()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "migrations", lambda: [m for m in known if m.name < "0041"])
        migrations.migrate(empty_database)
    store, ana = AssetStore(empty_database), Identity("ana")
    names = ["U\u0308bung", "HTMLParser", "Σίσυφος", "tulip"]
    with empty_database.begin(ana) as connection:
        connection.execute(
            sa.text(
                "INSERT INTO cloudinary_files (public_id, media_url, resource_type, user_id)"
                " VALUES (:name, 'https://x/y.jpg', 'image', 'ana')"
            ),
            [{"name": name} for name in names],
        )
    assert migrations.migrate(empty_database)
    for typed, name in (
        ("Übung", names[0]),
        ("u\u0308bung", names[0]),
        ("parse", names[1]),
        ("ΣΊΣΥΦΟΣ", names[2]),
        ("σίσυφος", names[2]),
    ):
        (asset,) = store.page(AssetFilter(text=typed), ana).items
        assert asset.public_id == name
        assert len(history_frame(empty_database, ana, asset)) == 1


_OF_WORDS = st.text(st.sampled_from("aBcÉßǅ中Ⅻ17٣\u0308 _-/.,'\"\\{}\t\n\u2028🌷"), max_size=30)
_LONG = _OF_WORDS | st.builds(lambda text, times: text * times, _OF_WORDS, st.integers(1, 60))


@pytest.fixture
def words_of_before(database: Database) -> Iterator[sa.Connection]:
    """As the owner, with the function that made the words of rows saved before 0032, except for
    the capitals of 0041."""
    (first,) = (m.sql for m in migrations.migrations() if m.name == "0010_search")
    made = re.search(r"CREATE FUNCTION media_toolkit_rules\.words\(.*?END \$\$;", first, re.S)
    assert made is not None
    with database.direct() as connection:
        before = made[0].replace("media_toolkit_rules.words", "pg_temp.words")
        capitals = "|(?<=[[:upper:]])(?=[[:upper:]][[:lower:]])"
        before = before.replace("|(?<=[[:alpha:]])", capitals + "|(?<=[[:alpha:]])", 1)
        connection.exec_driver_sql(before.replace("%", "%%"))
        yield connection


@pytest.mark.parametrize("route", ["direct"])
@settings(
    max_examples=300, derandomize=True, database=None, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(
    public_id=_LONG,
    name=st.none() | _LONG,
    tags=st.lists(st.none() | _LONG, max_size=4),
    context=st.dictionaries(_OF_WORDS, _LONG, max_size=3),
)
def test_words_made_sooner_are_the_words_of_before(
    words_of_before: sa.Connection,
    public_id: str,
    name: str | None,
    tags: list[str | None],
    context: dict[str, str],
) -> None:
    """Otherwise rows would be found by one set of words or the other, by when they were saved."""
    composed = partial(unicodedata.normalize, "NFC")
    given_row = "(:public_id, :name, CAST(:tags AS text[]), CAST(:context AS jsonb))"
    values = {"public_id": public_id, "name": name, "tags": tags, "context": json.dumps(context)}
    now = words_of_before.scalar(sa.text(f"SELECT media_toolkit_rules.words{given_row}"), values)
    values = {
        "public_id": composed(public_id),
        "name": name and composed(name),
        "tags": [tag and composed(tag) for tag in tags],
        "context": json.dumps({key: composed(value) for key, value in context.items()}),
    }
    before = words_of_before.scalar(sa.text(f"SELECT pg_temp.words{given_row}"), values)
    assert before == now
