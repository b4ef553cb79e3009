"""History: what happened to a row, who did it, and the table as it stood at a moment."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa

import media_toolkit as mt
from media_toolkit.identity import Identity
from media_toolkit.store.changes import AssetChanges
from media_toolkit.store.database import Database


def response(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "asset_id": f"{number:032x}",
        "public_id": f"photo{number}",
        "version": 1000,
        "resource_type": "image",
        "tags": ["a"],
        "context": {"custom": {"alt": "A photo"}},
        "secure_url": f"https://res.cloudinary.com/demo/image/upload/v1/photo{number}.jpg",
        **changes,
    }


def now(kit: mt.MediaToolkit) -> datetime:
    """The database's own clock."""
    with kit._database.direct() as connection:
        return connection.scalar(sa.text("SELECT clock_timestamp()"))


@pytest.fixture
def changes(kit: mt.MediaToolkit) -> AssetChanges:
    """The rows' side alone: Cloudinary knows nothing of these assets."""
    return AssetChanges(kit._database)


def test_each_change_is_there_with_who_when_and_what(
    kit: mt.MediaToolkit, changes: AssetChanges
) -> None:
    before = now(kit)
    kit.save_many([response(1), response(2)])
    kit.save_many([response(1, version=1001, width=640)])
    kit.save_many([response(1, version=1002, width=640, public_id="other")])
    kit.save_many([response(1, version=1), response(2)])
    changes.delete(changes.find("other", kit.identity), kit.identity)
    history = kit.history("other")
    assert history.columns.tolist() == [
        *("changed_at", "changed_by", "operation", "changes", "old", "new")
    ]
    assert history["operation"].tolist() == ["insert", "update", "rename", "delete"]
    assert history["changed_by"].tolist() == ["ana"] * 4
    assert isinstance(history["changed_at"].dtype, pd.DatetimeTZDtype)
    assert history["changed_at"].is_monotonic_increasing
    assert history["changed_at"].between(before, now(kit)).all()
    inserted, updated, renamed, deleted = history.to_dict("records")
    assert inserted["old"] is None
    assert inserted["new"] == updated["old"]
    assert updated["changes"]["width"] == (None, 640)
    assert renamed["changes"]["public_id"] == ("photo1", "other")
    assert list(deleted["changes"]) == ["deleted_at"]
    assert len(kit.history("photo2")) == 1, "what is saved again, unchanged, leaves no trace"
    with pytest.raises(mt.NotFound, match="now or ever"):
        kit.history("nowhere")


def test_the_history_of_a_row_is_its_own_where_another_has_its_name(kit: mt.MediaToolkit) -> None:
    kit.save_many([response(1, asset_id=None)])
    picture = kit.asset("photo1")
    kit.save_many([response(2, asset_id=None, public_id="photo1", resource_type="video")])
    [event] = kit.history(picture).to_dict("records")
    assert (event["operation"], event["new"]["resource_type"]) == ("insert", "image")


def test_a_name_of_several_assets_is_refused_and_a_former_name_is_found(
    kit: mt.MediaToolkit, changes: AssetChanges
) -> None:
    kit.save_many([response(1, public_id="tulip"), response(3)])
    kit.save_many([response(2, public_id="tulip", resource_type="video")])
    with pytest.raises(mt.Conflict, match="several assets: image/upload, video/upload"):
        kit.history("tulip")
    assert len(kit.history(f"{1:032x}")) == len(kit.history(kit.asset(f"{2:032x}"))) == 1
    changes.delete(changes.find(f"{2:032x}", kit.identity), kit.identity)
    assert kit.history("tulip")["new"][0]["resource_type"] == "image", "the other is deleted"

    kit.save_many([response(3, public_id="rose", version=1001)])
    assert kit.history("photo3")["operation"].tolist() == ["insert", "rename"]
    kit.save_many([response(4, public_id="photo3", version=1002)])
    assert kit.history("photo3")["new"][0]["asset_id"] == f"{4:032x}"


def test_a_name_that_several_had_once_is_refused_too(
    kit: mt.MediaToolkit, changes: AssetChanges
) -> None:
    kinds = ("image", "video")
    kit.save_many([response(n, public_id="rose", resource_type=k) for n, k in enumerate(kinds)])
    kit.save_many(
        response(n, public_id=f"moved{n}", resource_type=k, version=1001)
        for n, k in enumerate(kinds)
    )
    with pytest.raises(mt.Conflict, match="several assets: image/upload, video/upload"):
        kit.history("rose")
    changes.delete(changes.find(["moved0", "moved1"], kit.identity), kit.identity)
    while changes.purge(timedelta(0), kit.identity, lambda asset: True, {}):
        pass
    assert kit.history("moved0")["operation"].tolist()[-1] == "purge"
    assert len(kit.history(f"{1:032x}")) == 4


def test_a_truncated_table_can_be_read_as_it_stood(kit: mt.MediaToolkit) -> None:
    kit.save_many([response(1), response(2)])
    before, moment = kit.assets(), now(kit)
    with kit._database.direct() as connection:
        connection.exec_driver_sql("TRUNCATE cloudinary_files")
    assert kit.assets().empty
    pd.testing.assert_frame_equal(kit.assets(as_of=moment), before)
    assert kit.history("photo1")["operation"].tolist() == ["insert", "purge"]


def test_where_ids_begin_anew_a_history_is_of_the_row_that_is_there(kit: mt.MediaToolkit) -> None:
    kit.save_many([response(1), response(2)])
    with kit._database.direct() as connection:
        connection.exec_driver_sql("TRUNCATE cloudinary_files RESTART IDENTITY")
    kit.save_many([response(3)])
    assert kit.history("photo3")["operation"].tolist() == ["insert"]
    assert kit.history("photo2")["operation"].tolist() == ["insert", "purge"]


def test_rows_that_are_put_back_after_a_truncation_have_their_history(
    kit: mt.MediaToolkit, changes: AssetChanges
) -> None:
    kit.save_many([response(1, asset_id="a" * 32), response(2)])
    changes.label(changes.find("photo1", kit.identity), kit.identity, tags=["edited"])
    with kit._database.direct() as connection:
        connection.exec_driver_sql("CREATE TEMP TABLE kept AS SELECT * FROM cloudinary_files")
        connection.exec_driver_sql("TRUNCATE cloudinary_files")
        columns = connection.scalar(sa.text(
            "SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute"
            " WHERE attrelid = 'cloudinary_files'::regclass"
            " AND attnum > 0 AND NOT attisdropped AND attgenerated = ''"
        ))  # fmt: skip
        connection.exec_driver_sql(
            f"INSERT INTO cloudinary_files ({columns}) SELECT {columns} FROM kept"
        )
        connection.exec_driver_sql("DROP TABLE kept")
    for name in ("photo1", "a" * 32):
        operations = kit.history(name)["operation"].tolist()
        assert operations == ["insert", "update", "purge", "insert"]


def test_an_asset_whose_row_another_took_is_found_by_its_asset_id(kit: mt.MediaToolkit) -> None:
    kit.save_many([response(1, asset_id="a" * 32)])
    kit.save_many([response(1, asset_id="b" * 32, version=2000)])
    events = kit.history("a" * 32)
    assert events["changes"][1]["asset_id"] == ("a" * 32, "b" * 32)


def test_the_table_is_read_as_it_stood(kit: mt.MediaToolkit, changes: AssetChanges) -> None:
    me, moments, seen = kit.identity, [now(kit)], [kit.assets()]

    def is_seen() -> None:
        moments.append(now(kit))
        seen.append(kit.assets(order_by="public_id"))

    kit.save_many(response(n) for n in range(4))
    is_seen()
    changes.label(changes.find("photo0", me), me, tags=["b", "ü"], context={"alt": "Ä"})
    kit.save_many([response(1, version=2000, public_id="moved", bytes=7, duration=1.5)])
    is_seen()
    changes.delete(changes.find(["photo0", "photo2"], me), me)
    is_seen()
    changes.restore(changes.find("photo0", me, is_deleted=True), me)
    kit.save_many([response(9, created_at="2026-03-01T12:00:00Z")])
    is_seen()
    while changes.purge(timedelta(0), me, lambda asset: True, {}):
        pass
    is_seen()
    assert [len(frame) for frame in seen] == [0, 4, 4, 2, 4, 4]
    for moment, frame in zip(moments, seen, strict=True):
        stood = kit.assets(as_of=moment, order_by="public_id")
        pd.testing.assert_frame_equal(stood, frame)
    assert kit.assets(as_of=moments[2], tags=["ü"])["context"].tolist() == [{"alt": "Ä"}]
    assert len(kit.assets(as_of=moments[2].isoformat(), limit=1)) == 1
    assert kit.assets(as_of="2026-01-01", user_id="ana").empty
    with pytest.raises(mt.FilterError, match="as_of is not a date"):
        kit.assets(as_of="yesterday")
    assert kit.history("photo2")["operation"].tolist() == ["insert", "delete", "purge"]


def test_a_row_without_a_history_is_as_old_as_it_says(kit: mt.MediaToolkit) -> None:
    with kit._database.direct() as connection:
        connection.exec_driver_sql(
            "INSERT INTO cloudinary_files (public_id, media_url, resource_type, user_id,"
            " upload_timestamp) VALUES ('old', 'x', 'image', 'ana', '2025-06-01')"
        )
        connection.exec_driver_sql("DELETE FROM cloudinary_files_history")
    assert kit.assets(as_of="2025-07-01")["public_id"].tolist() == ["old"]
    assert kit.assets(as_of="2025-05-01").empty
    assert kit.history("old").empty


def test_a_statement_of_the_owner_without_claims_is_recorded_under_its_login(
    kit: mt.MediaToolkit,
) -> None:
    kit.save_many([response(1)])
    with kit._database.direct() as connection:
        connection.exec_driver_sql("UPDATE cloudinary_files SET format = 'png'")
        connection.exec_driver_sql("UPDATE cloudinary_files SET format = 'png'")
        login = connection.scalar(sa.text("SELECT SESSION_USER"))
    assert kit.history("photo1")["changed_by"].tolist() == ["ana", login]


def test_a_large_change_after_a_small_one_of_the_same_session_is_recorded(
    kit: mt.MediaToolkit,
) -> None:
    """A plan kept from the small one would compare each row with each: hours for 100,000."""
    kit.save_many(response(n) for n in range(20_000))
    with kit._database.begin(kit.identity) as connection:
        connection.exec_driver_sql("SET LOCAL statement_timeout = '60s'")
        connection.exec_driver_sql("UPDATE cloudinary_files SET format = 'gif' WHERE id < 0")
        connection.exec_driver_sql("UPDATE cloudinary_files SET format = 'gif'")
        recorded = "SELECT count(*) FROM cloudinary_files_history WHERE operation = 'update'"
        assert connection.scalar(sa.text(recorded)) == 20_000


def test_history_keeps_no_words_and_they_are_found_all_the_same(
    kit: mt.MediaToolkit, changes: AssetChanges
) -> None:
    kit.save_many([response(1), response(2, public_id="SpringTulip")])
    then = now(kit)
    changes.label(changes.find(["photo1", "SpringTulip"], kit.identity), kit.identity, tags=["z"])
    changes.delete(changes.find("SpringTulip", kit.identity), kit.identity)
    while changes.purge(timedelta(0), kit.identity, lambda asset: True, {}):
        pass
    kept = kit.sql("SELECT count(*) AS n FROM cloudinary_files_history WHERE old ? 'words'")
    assert kept["n"].tolist() == [0]
    assert kit.assets(as_of=then, text="tul")["public_id"].tolist() == ["SpringTulip"]
    assert len(kit.assets(as_of=then, text="photo a")) == 2


def test_words_that_history_kept_once_are_used_and_never_shown(
    kit: mt.MediaToolkit, changes: AssetChanges
) -> None:
    """Triggers before migration 0030 wrote the generated column down with the rest."""
    kit.save_many([response(1), response(2, public_id="SpringTulip")])
    then = now(kit)
    changes.label(changes.find(["photo1", "SpringTulip"], kit.identity), kit.identity, tags=["z"])
    changes.delete(changes.find("SpringTulip", kit.identity), kit.identity)
    while changes.purge(timedelta(0), kit.identity, lambda asset: True, {}):
        pass
    with kit._database.direct() as connection:
        connection.exec_driver_sql(
            "UPDATE cloudinary_files_history SET old = old || jsonb_build_object('words',"
            " media_toolkit_rules.words(old ->> 'public_id', old ->> 'original_filename',"
            " ARRAY(SELECT jsonb_array_elements_text(old -> 'tags')), old -> 'context'))"
            " WHERE old IS NOT NULL"
        )
        kept = "SELECT count(*) FROM cloudinary_files_history WHERE old ? 'words'"
        assert connection.scalar(sa.text(kept)) == 4
    for name in ("photo1", "SpringTulip"):
        for event in kit.history(name).to_dict("records"):
            assert "words" not in {*event["changes"], *(event["old"] or ()), *(event["new"] or ())}
    (updated,) = kit.history("photo1").query("operation == 'update'").to_dict("records")
    assert updated["changes"] == {"tags": (["a"], ["z"])}
    stood = kit.assets(as_of=then, order_by="public_id")
    assert stood["public_id"].tolist() == ["SpringTulip", "photo1"]
    assert "words" not in stood.columns
    assert kit.assets(as_of=then, text="tul")["public_id"].tolist() == ["SpringTulip"]
    assert kit.assets(as_of=then, text="photo1")["public_id"].tolist() == ["photo1"]


def test_filters_of_a_moment_choose_indexes(database: Database) -> None:
    """Postgres takes the function's body into the query: it is no wall before which all is made."""
    with database.begin(Identity("ana")) as connection:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        plan = connection.exec_driver_sql(
            "EXPLAIN SELECT id FROM media_toolkit_rules.files_as_of(now()) WHERE user_id = 'ana'"
        )
        told = "\n".join(line for (line,) in plan)
    assert "Function Scan on files_as_of" not in told
    assert "user_id = 'ana'" in told.partition("Append")[2]
