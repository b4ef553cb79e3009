"""Row-level security on a real Postgres: what our code forgets, the database refuses."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

import media_toolkit as mt
from media_toolkit.embedded.stack import EmbeddedStack
from media_toolkit.identity import Identity
from media_toolkit.store import migrations
from media_toolkit.store.assets import AssetStore
from media_toolkit.store.changes import AssetChanges
from media_toolkit.store.database import Database
from media_toolkit.store.filters import AssetFilter
from media_toolkit.store.frames import assets_frame
from media_toolkit.store.history import history_frame

ANA, BOB, ROOT = Identity("ana"), Identity("bob"), Identity("root", "admin")
NOBODY = "SELECT set_config('role', 'media_toolkit_app', true)"


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


def asset(number: int, user_id: str = "ana", **changes: Any) -> mt.Asset:
    return mt.Asset.from_response(response(number, **changes), user_id)


@pytest.fixture
def theirs(database: Database, settings: mt.Settings) -> mt.Asset:
    """A row of ana's with a history, and a deleted one; the caller of the tests is bob."""
    store, changes = AssetStore(database), AssetChanges(database)
    changes.delete([store.save(asset(2), ANA)], ANA)
    return changes.label([store.save(asset(1), ANA)], ANA, add_tags=["x"])[0]


@pytest.fixture
def private(stack: EmbeddedStack, theirs: mt.Asset) -> Iterator[None]:
    """The policy `private` for one test."""
    owner = Database(stack.database_url)
    assert migrations.migrate(owner, "private") == ["policies/private"]
    assert migrations.migrate(owner) == [], "unset, the policy stays"
    yield
    migrations.migrate(owner, "team")
    owner.close()


def test_a_transaction_acts_as_a_role_that_owns_nothing_and_says_who_it_is(
    database: Database, settings: mt.Settings
) -> None:
    with database.begin(ANA) as connection:
        row = connection.execute(
            sa.text("SELECT CURRENT_USER, auth.user_id(), media_toolkit_rules.is_admin()")
        ).one()
    assert tuple(row) == ("media_toolkit_app", "ana", False)
    for forbidden in (
        "ALTER TABLE cloudinary_files DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE cloudinary_files DISABLE TRIGGER ALL",
        "DROP POLICY reading ON cloudinary_files",
        "TRUNCATE cloudinary_files",
        "INSERT INTO cloudinary_files_history (file_id, operation, changed_at, changed_by, user_id)"
        " VALUES (1, 'insert', NOW(), 'bob', 'ana')",
        "UPDATE cloudinary_files_history SET changed_by = 'bob'",
        "DELETE FROM cloudinary_files_history",
        "DELETE FROM cloudinary_files_tagged",
        "INSERT INTO cloudinary_files_totals VALUES ('x', 1)",
        "UPDATE media_toolkit_policy SET name = 'team'",
        "CREATE TABLE media_toolkit_rules.t (x int)",
    ):
        with pytest.raises(mt.Forbidden), database.begin(ROOT) as connection:
            connection.execute(sa.text(forbidden))


@pytest.mark.parametrize(
    "function",
    ["record_inserts", "record_updates", "record_deletes", "record_truncation", "count_changes",
     "keep_tags"],
)  # fmt: skip
def test_the_triggers_functions_serve_no_table_of_a_users_own(
    database: Database, settings: mt.Settings, function: str
) -> None:
    forge = f"""
        CREATE TEMPORARY TABLE z (id int);
        CREATE TRIGGER forge AFTER UPDATE ON z FOR EACH STATEMENT
            EXECUTE FUNCTION media_toolkit_rules.{function}()
    """
    with pytest.raises(mt.Forbidden), database.begin(BOB) as connection:
        connection.exec_driver_sql(forge)


def test_a_step_aside_that_is_none_is_in_the_history(
    database: Database, settings: mt.Settings
) -> None:
    store = AssetStore(database)
    row = store.save(mt.Asset("sunset", "https://x/y.jpg", "image", "ana"), ANA)
    with database.begin(ROOT) as connection:
        connection.exec_driver_sql(
            "UPDATE cloudinary_files SET public_id = chr(1) || id || chr(1) || public_id"
        )
    with database.begin(ANA) as connection:
        connection.exec_driver_sql("UPDATE cloudinary_files SET tags = '{t}'")
    events = history_frame(database, ANA, row)
    assert events["operation"].tolist() == ["insert", "rename", "update"]
    assert events["changed_by"].tolist() == ["ana", "root", "ana"]


def test_a_connection_that_returns_to_the_pool_carries_nothing_over(
    database: Database, settings: mt.Settings
) -> None:
    with database.begin(ROOT) as connection:
        backend = connection.scalar(sa.text("SELECT pg_backend_pid()"))
    with pytest.raises(ZeroDivisionError), database.begin(ROOT) as connection:
        raise ZeroDivisionError
    for sql in ("SELECT 1", "SELECT 1 / 0"):
        with suppress(mt.StoreError):
            database.script([(ROOT, [(sql, {})]), (ANA, [(sql, {})])])
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


def test_an_arrow_read_is_read_only_and_under_the_same_rules(
    database: Database, settings: mt.Settings
) -> None:
    who = "SELECT CURRENT_USER::text AS role, auth.user_id() AS who"
    told = arrow(database, ANA, who)
    assert told.to_pylist() == [{"role": "media_toolkit_app", "who": "ana"}]
    with pytest.raises(mt.StoreError, match="read-only transaction"):
        arrow(database, ANA, "DELETE FROM cloudinary_files")


def arrow(database: Database, identity: Identity, query: str) -> pa.Table:
    """The rows of a query by both ways of reading through ADBC."""

    def batches(connection: Any) -> Generator[pa.Table]:
        with connection.cursor() as cursor:
            cursor.execute(query)
            yield cursor.fetch_arrow_table()

    once = database.run_arrow(identity, lambda connection: next(batches(connection)))
    (again,) = database.iterate_arrow(identity, batches)
    assert again == once
    return once


def test_without_claims_nothing_is_read_or_written(database: Database, theirs: mt.Asset) -> None:
    for claims in (None, "", '{"role": "admin"}'):
        with database.engine.connect() as connection, connection.begin():
            connection.execute(sa.text(NOBODY))
            if claims is not None:
                connection.execute(
                    sa.text("SELECT set_config('request.jwt.claims', :c, true)"), {"c": claims}
                )
            for table in ("files", "files_history", "files_counts", "files_totals", "files_tagged"):
                assert connection.scalar(sa.text(f"SELECT count(*) FROM cloudinary_{table}")) == 0
            for change in (
                "UPDATE cloudinary_files SET format = 'x'",
                "DELETE FROM cloudinary_files",
            ):
                assert connection.execute(sa.text(change)).rowcount == 0
            with pytest.raises(sa.exc.ProgrammingError, match="row-level security"):
                connection.execute(
                    sa.text(
                        "INSERT INTO cloudinary_files (public_id, media_url, resource_type,"
                        " user_id) VALUES ('x', 'y', 'image', '')"
                    )
                )


CHANGES: dict[str, Callable[[AssetChanges, mt.Asset], object]] = {
    "edit": lambda changes, row: changes.label([row], BOB, tags=["mine"]),
    "delete": lambda changes, row: changes.delete([row], BOB),
    "rename": lambda changes, row: changes.rename(row, replace(row, public_id="mine"), BOB),
    "restore": lambda changes, row: changes.restore([row], BOB),
}


@pytest.mark.parametrize("act", CHANGES)
def test_the_store_changes_nothing_of_others_even_where_our_checks_are_passed_by(
    database: Database, theirs: mt.Asset, act: str
) -> None:
    with pytest.raises(mt.Forbidden, match="belongs to ana"):
        CHANGES[act](AssetChanges(database), theirs)
    assert AssetStore(database).get("photo1", BOB) == theirs


RAW = {
    "edit": "UPDATE cloudinary_files SET tags = '{mine}'",
    "take over": "UPDATE cloudinary_files SET user_id = 'bob'",
    "delete": "UPDATE cloudinary_files SET deleted_at = NOW() WHERE deleted_at IS NULL",
    "restore": "UPDATE cloudinary_files SET deleted_at = NULL WHERE deleted_at IS NOT NULL",
    "remove": "DELETE FROM cloudinary_files",
    "save over": "INSERT INTO cloudinary_files (public_id, media_url, resource_type, user_id)"
    " VALUES ('photo1', 'mine', 'image', 'bob') ON CONFLICT (resource_type, delivery_type,"
    " public_id) DO UPDATE SET media_url = 'mine'",
    "save as": "INSERT INTO cloudinary_files (public_id, media_url, resource_type, user_id)"
    " VALUES ('new', 'x', 'image', 'ana')",
    "merge": "MERGE INTO cloudinary_files USING (SELECT 1) AS one ON public_id = 'photo1'"
    " WHEN MATCHED THEN UPDATE SET media_url = 'mine'",
}


def rows_changed(database: Database, statement: str) -> int:
    """By bob; a refusal is none."""
    try:
        with database.begin(BOB) as connection:
            return int(connection.execute(sa.text(statement)).rowcount)
    except mt.Forbidden:
        return 0


@pytest.mark.parametrize("policy", ["team", "private"])
def test_raw_sql_as_another_user_changes_nothing(
    database: Database, theirs: mt.Asset, policy: str, request: pytest.FixtureRequest
) -> None:
    if policy == "private":
        request.getfixturevalue("private")
    assert {act: rows_changed(database, statement) for act, statement in RAW.items()} == (
        dict.fromkeys(RAW, 0)
    )
    with database.direct() as connection:
        rows = connection.execute(
            sa.text("SELECT public_id, user_id, media_url, tags, deleted_at IS NULL FROM"
                    " cloudinary_files ORDER BY 1")
        ).all()  # fmt: skip
    assert [tuple(row) for row in rows] == [
        ("photo1", "ana", theirs.media_url, ["tag1", "x"], True),
        ("photo2", "ana", asset(2).media_url, ["tag2"], False),
    ]


def test_an_owner_cannot_give_a_row_away(database: Database, theirs: mt.Asset) -> None:
    with pytest.raises(mt.Forbidden, match="row-level security"), database.begin(ANA) as mine:
        mine.execute(sa.text("UPDATE cloudinary_files SET user_id = 'bob'"))


@pytest.mark.usefixtures("private")
def test_under_private_another_user_sees_nothing_by_any_public_method(
    kit: mt.MediaToolkit, database: Database, theirs: mt.Asset
) -> None:
    bob = kit.acting_as("bob")
    assert len(bob.assets()) == len(bob.page().items) == bob.count() == 0
    assert bob.values("user_id") == []
    assert len(bob.gallery()) == 0
    for read in (
        lambda: bob.asset("photo1"),
        lambda: bob.asset(theirs.asset_id or ""),
        lambda: bob.url("photo1"),
        lambda: bob.history("photo1"),
        lambda: bob.history(theirs),
        lambda: bob.edit("photo1", add_tags=["x"]),
        lambda: bob.edit(theirs, add_tags=["x"]),
        lambda: bob.rename("photo1", "mine"),
        lambda: bob.delete(theirs),
        lambda: bob.restore("photo2"),
    ):
        with pytest.raises(mt.NotFound):
            read()
    assert bob.purge(timedelta(0)) == 0
    for table in ("cloudinary_files", "cloudinary_files_history"):
        assert arrow(database, BOB, f"SELECT * FROM {table}").num_rows == 0
    with database.begin(BOB) as connection:
        past = "SELECT count(*) FROM media_toolkit_rules.files_as_of(NOW())"
        assert connection.scalar(sa.text(past)) == 0
    assert (kit.count(), len(kit.assets()), len(kit.history(theirs))) == (1, 1, 2)
    with database.begin(ROOT) as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM cloudinary_files")) == 2


@pytest.mark.usefixtures("private")
def test_under_private_what_triggers_keep_is_of_ones_own_rows(
    kit: mt.MediaToolkit, database: Database
) -> None:
    bob = kit.acting_as("bob")
    bob.save_many([response(8, tags=["x", "y"]), response(9, tags=["y"])])
    assert dict(bob.facets("user_id", "tags")) == {
        "user_id": [("bob", 2)],
        "tags": [("y", 2), ("x", 1)],
    }
    assert [bob.count(tags=tag) for tag in ("x", "y", "tag1")] == [1, 2, 0]
    assert [bob.count(tags="x", user_id=user) for user in ("ana", "bob")] == [0, 1]
    assert [a.public_id for a in bob.page(tags="x").items] == ["photo8"]
    assert bob.page(tags="tag1").items == ()
    whose = sa.text("SELECT array_agg(DISTINCT user_id) FROM cloudinary_files_tagged")
    with database.begin(BOB) as connection:
        assert connection.scalar(whose) == ["bob"]
        totals = connection.execute(sa.text("SELECT * FROM cloudinary_files_totals")).all()
    with database.begin(ROOT) as connection:
        assert connection.scalar(whose) == ["ana", "bob"]
    assert totals == [], "which tags others use is theirs"
    assert AssetStore(database).count(AssetFilter(tags="x"), ROOT) == 2


@pytest.mark.usefixtures("private")
def test_under_private_a_save_or_upload_over_an_unseen_row_is_a_conflict_that_tells_no_owner(
    kit: mt.MediaToolkit, sample_media: Any, theirs: mt.Asset
) -> None:
    bob = kit.acting_as("bob")
    for same in (response(1), response(1, version=1), response(1, public_id="moved")):
        with pytest.raises(mt.Conflict, match="belongs to another user") as refused:
            bob.save_many([response(7), same])
        assert "ana" not in str(refused.value)
    with pytest.raises(mt.Conflict, match="image/photo1"):
        bob.upload(sample_media / "horse.png", public_id="photo1")
    assert bob.count() == 0


def test_an_admin_may_and_the_history_says_who(database: Database, theirs: mt.Asset) -> None:
    changes = AssetChanges(database)
    changes.delete(changes.label([theirs], ROOT, context={"alt": "seen"}), ROOT)
    changes.restore([theirs], ROOT)
    history = history_frame(database, BOB, "photo1")
    assert list(zip(history["operation"], history["changed_by"], strict=True)) == [
        ("insert", "ana"),
        ("update", "ana"),
        ("update", "root"),
        ("delete", "root"),
        ("restore", "root"),
    ]


def test_a_trigger_cannot_be_led_to_a_table_of_the_callers(
    database: Database, theirs: mt.Asset
) -> None:
    with database.begin(ANA) as connection:
        connection.execute(
            sa.text("CREATE TEMPORARY TABLE cloudinary_files_history ON COMMIT DROP AS"
                    " SELECT * FROM public.cloudinary_files_history WITH NO DATA")
        )  # fmt: skip
        connection.execute(sa.text("UPDATE public.cloudinary_files SET format = 'gif'"))
    assert len(history_frame(database, ANA, theirs)) == 3


@pytest.mark.parametrize(
    ("condition", "index"),
    [("tags @> ARRAY['tag3']", "cloudinary_files_tags")],
)
def test_the_team_policy_folds_away_so_that_every_index_is_used(
    database: Database, settings: mt.Settings, condition: str, index: str
) -> None:
    AssetStore(database).save_many([asset(n) for n in range(2000)], ANA)
    with database.direct() as connection:
        connection.exec_driver_sql("ANALYZE cloudinary_files")
    with database.begin(BOB) as connection:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        explain = sa.text(f"EXPLAIN SELECT id FROM cloudinary_files WHERE {condition}")
        plan = "\n".join(connection.scalars(explain))
    assert index in plan
    assert "is_signed_in" not in plan


@pytest.fixture
def login(stack: EmbeddedStack, settings: mt.Settings) -> Iterator[str]:
    """A login of the server that is no member of anything; dropped afterwards."""
    owner = Database(stack.database_url)
    with owner.direct() as connection:
        connection.exec_driver_sql("CREATE ROLE media_toolkit_test LOGIN PASSWORD 'pw'")
    yield "media_toolkit_test"
    with owner.direct() as connection:
        connection.exec_driver_sql("DROP OWNED BY media_toolkit_test")
        connection.exec_driver_sql("DROP ROLE media_toolkit_test")
    owner.close()


def test_a_login_without_any_power_works_once_it_is_let_in(
    stack: EmbeddedStack, login: str, theirs: mt.Asset
) -> None:
    """Logins differ from the tests' pooler's: by the direct route alone."""
    place = stack.database_url.partition("@")[2]
    url = f"postgresql://{login}:pw@{place}"
    owner, guest = Database(stack.database_url), Database(url)
    store = AssetStore(guest)
    with pytest.raises(mt.Forbidden, match="permission denied"):
        store.save(asset(1), ANA)
    with owner.direct() as connection:
        connection.exec_driver_sql(f"GRANT SELECT ON cloudinary_files TO {login}")
    assert store.count(AssetFilter(), BOB) == 1, "as itself, under the same policies"
    assert len(store.page(AssetFilter(tags="x"), BOB).items) == 1, "without what triggers keep"
    with pytest.raises(mt.Forbidden, match="permission denied"):
        AssetChanges(guest).delete([theirs], ANA)
    with owner.direct() as connection:
        connection.exec_driver_sql(f"ALTER ROLE {login} BYPASSRLS")
    with pytest.raises(mt.Forbidden, match="GRANT media_toolkit_app TO"):
        store.count(AssetFilter(), ANA)
    with owner.direct() as connection:
        connection.exec_driver_sql(f"GRANT media_toolkit_app TO {login}")
    assert store.save(asset(3), ANA).user_id == "ana"
    with pytest.raises(mt.Conflict):
        store.save(asset(1, "bob"), BOB)
    guest.close()
    owner.close()


def test_a_login_to_which_the_owners_policy_is_open_reads_nothing_unless_it_is_let_in(
    stack: EmbeddedStack, login: str, theirs: mt.Asset
) -> None:
    place = stack.database_url.partition("@")[2]
    owner, member = Database(stack.database_url), Database(f"postgresql://{login}:pw@{place}")
    with owner.direct() as connection:
        of_the_table = connection.scalar(sa.text("SELECT CURRENT_USER"))
        connection.exec_driver_sql(f"GRANT {of_the_table} TO {login}")
    with member.direct() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM cloudinary_files"))
    with pytest.raises(mt.Forbidden, match="GRANT media_toolkit_app TO"):
        AssetStore(member).count(AssetFilter(), BOB)
    with pytest.raises(mt.Forbidden, match="GRANT media_toolkit_app TO"):
        assets_frame(member, BOB, AssetFilter())
    member.close()
    owner.close()


@pytest.mark.parametrize("route", ["direct"])
def test_on_the_embedded_stack_the_setting_alone_chooses_the_policy(
    settings: mt.Settings, theirs: mt.Asset
) -> None:
    with mt.connect(settings.model_copy(update={"policy": "private"}), user_id="bob") as kit:
        assert kit.count() == 0
    with mt.connect(settings, user_id="bob") as kit:
        assert kit.count() == 0, "unset, what was chosen last stays"
    with mt.connect(settings.model_copy(update={"policy": "team"}), user_id="bob") as kit:
        assert kit.count() == 1
