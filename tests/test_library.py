"""Edit, rename, delete, restore, purge: Cloudinary first, then the row; nothing of others."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import hypothesis
import pandas as pd
import pytest
import requests
import sqlalchemy as sa
from hypothesis import strategies as st

import media_toolkit as mt
from media_toolkit.cloud.listing import ListingScope
from media_toolkit.embedded.stack import EmbeddedStack
from media_toolkit.store.changes import AssetChanges


@pytest.fixture
def horse(kit: mt.MediaToolkit, sample_media: Path) -> mt.Asset:
    return kit.upload(
        sample_media / "horse.png", public_id="horse", tags=["b", "a"], context={"alt": "A horse"}
    )


def in_cloudinary(kit: mt.MediaToolkit, asset: mt.Asset) -> dict[str, Any]:
    return kit._client.resource(asset.public_id, asset.resource_type)


def is_delivered(url: str) -> bool:
    try:
        with urllib.request.urlopen(url):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return False


def test_labels_are_changed_on_both_sides(kit: mt.MediaToolkit, horse: mt.Asset) -> None:
    (edited,) = kit.edit("horse", add_tags=["c", "a"], context={"title": "x | y = z"})
    assert set(edited.tags) == {"a", "b", "c"}
    assert edited.context == {"alt": "A horse", "title": "x | y = z"}
    (edited,) = kit.edit(horse, remove_tags=["a"])
    known = in_cloudinary(kit, horse)
    assert list(edited.tags) == known["tags"] == ["b", "c"]
    assert known["context"] == {"custom": {"alt": "A horse", "title": "x | y = z"}}
    (edited,) = kit.edit(kit.assets(), tags="new")
    assert edited.tags == ("new",)
    (edited,) = kit.edit([horse.asset_id], tags=[])
    assert edited.tags == kit.asset("horse").tags == ()
    assert in_cloudinary(kit, horse).get("tags", []) == []


def test_a_context_is_kept_as_json_however_it_came_and_found_by_its_value(
    kit: mt.MediaToolkit,
) -> None:
    new = {"is_new": True, "sizes": [1, 2], "nothing": None}
    asset = kit.upload(b"text", resource_type="raw", public_id="t.txt", context=new)
    assert asset.context == {"is_new": "true", "sizes": "[1, 2]"}
    assert kit.count(context={"is_new": True, "sizes": [1, 2]}) == 1
    (edited,) = kit.edit(asset, context={"is_new": False})
    assert edited.context == {"is_new": "false", "sizes": "[1, 2]"}
    assert in_cloudinary(kit, edited)["context"] == {"custom": edited.context}


def test_a_key_of_the_context_that_is_none_is_removed_on_both_sides(
    kit: mt.MediaToolkit, horse: mt.Asset, sample_media: Path
) -> None:
    rocket = kit.upload(sample_media / "rocket.jpg", public_id="rocket", context={"alt": "Up"})
    kit._client.add_context({"console": "typed there"}, ["horse"])
    edited = kit.edit([horse, rocket], context={"alt": None, "year": 2026, "never": None})
    assert [asset.context for asset in edited] == [{"year": "2026"}, {"year": "2026"}]
    kept = {"custom": {"console": "typed there", "year": "2026"}}
    assert in_cloudinary(kit, horse)["context"] == kept, "what the row does not know stays"
    assert in_cloudinary(kit, rocket)["context"] == {"custom": {"year": "2026"}}
    (edited_horse,) = kit.edit("horse", context={"year": None, "console": None})
    assert edited_horse.context == {}
    assert not in_cloudinary(kit, horse).get("context")
    assert kit.history("horse")["changes"].iloc[-1] == {"context": ({"year": "2026"}, {})}


def test_a_removal_that_stopped_half_way_is_mended_by_the_same_call(
    kit: mt.MediaToolkit, horse: mt.Asset
) -> None:
    kit.edit("horse", context={"title": "Grey"})
    kit._client.remove_context(["horse"])
    kit.edit("horse", context={"alt": None})
    assert in_cloudinary(kit, horse)["context"] == {"custom": {"title": "Grey"}}
    assert kit.asset("horse").context == {"title": "Grey"}


def test_a_comma_ends_a_tag_on_both_sides(kit: mt.MediaToolkit, horse: mt.Asset) -> None:
    (edited,) = kit.edit("horse", tags=["x, y", "z"])
    assert list(edited.tags) == in_cloudinary(kit, horse)["tags"] == ["x", "y", "z"]


ODD_LABELS: list[dict[str, Any]] = [
    {"context": {"path": "C:\\shots\\"}},
    {"context": {"formula": "a\\=b"}},
    {"context": {"a=b": "x"}},
    {"context": {"a|b": None}},
    {"context": {"": "x"}},
    {"context": {" alt": "x"}},
    {"context": {"alt": "a\0b"}},
    {"context": {"alt": "\ud83c"}},
    {"context": "alt=x"},
    {"add_tags": ["a\0b"]},
    {"tags": ["t" * 3000]},
    {"tags": 5},
    {"remove_tags": b"x"},
]


@pytest.mark.parametrize("labels", ODD_LABELS, ids=repr)
def test_labels_that_the_two_sides_would_read_differently_are_refused_beforehand(
    kit: mt.MediaToolkit, horse: mt.Asset, labels: dict[str, Any]
) -> None:
    with pytest.raises(mt.InvalidName, match=r"context|tag"):
        kit.edit("horse", **labels)
    assert kit.asset("horse") == horse
    known = in_cloudinary(kit, horse)
    assert sorted(known["tags"]) == ["a", "b"]
    assert known["context"] == {"custom": {"alt": "A horse"}}


@hypothesis.settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(st.data())
def test_whatever_an_edit_takes_is_the_same_on_both_sides(
    kit: mt.MediaToolkit, horse: mt.Asset, data: st.DataObject
) -> None:
    odd = st.sampled_from("=|\\, \0\n")
    text = st.text(st.characters(exclude_categories=["Cs"]) | odd, max_size=8)
    asset = kit.asset("horse")
    labels = {
        "tags": data.draw(st.lists(text, max_size=3)),
        "context": data.draw(st.dictionaries(text, text, max_size=3)),
    }
    try:
        (edited,) = kit.edit(asset, **labels)
    except mt.InvalidName:
        assert kit.asset("horse") == asset
        return
    known = in_cloudinary(kit, asset)
    assert list(edited.tags) == known.get("tags", [])
    assert edited.context == known.get("context", {}).get("custom", {})


def test_many_are_edited_at_once_images_and_raw_files_alike(
    kit: mt.MediaToolkit, sample_media: Path
) -> None:
    image = kit.upload(sample_media / "horse.png")
    table = kit.upload(b"a,b\n", resource_type="raw", public_id="t.csv", filename="t.csv")
    kit.edit([image, "t.csv"], add_tags=["both"])
    assert kit.count(tags=["both"]) == 2
    assert in_cloudinary(kit, table)["tags"] == ["both"]


def test_what_cloudinary_lacks_is_named_and_the_rest_is_changed(
    kit: mt.MediaToolkit, horse: mt.Asset, sample_media: Path
) -> None:
    other = kit.upload(sample_media / "rocket.jpg", public_id="rocket")
    kit._client.destroy("rocket")
    with pytest.raises(mt.NotFound, match=r"does not have image/upload/rocket"):
        kit.edit([horse, other], add_tags=["spring"])
    assert kit.asset("horse").tags == ("a", "b", "spring")
    assert kit.asset("rocket").tags == ()


def test_a_rename_moves_asset_and_row(kit: mt.MediaToolkit, horse: mt.Asset) -> None:
    renamed = kit.rename("horse", "stable/grey horse")
    assert (renamed.id, renamed.asset_id) == (horse.id, horse.asset_id)
    assert renamed.public_id == "stable/grey horse"
    assert kit.asset("stable/grey horse") == renamed
    assert is_delivered(kit.url(renamed))
    assert is_delivered(renamed.media_url)
    assert not is_delivered(kit.url(horse))
    with pytest.raises(mt.NotFound):
        kit.rename("horse", "x")
    with pytest.raises(mt.InvalidName):
        kit.rename(renamed, "a?b")


def test_a_rename_takes_nobodys_name(
    kit: mt.MediaToolkit, horse: mt.Asset, sample_media: Path
) -> None:
    kit.acting_as("bob").upload(sample_media / "rocket.jpg", public_id="rocket")
    kit.upload(sample_media / "coffee.png", public_id="coffee")
    with pytest.raises(mt.Conflict, match="belongs to bob"):
        kit.rename(horse, "rocket")
    with pytest.raises(mt.UploadError, match="already exists"):
        kit.rename(horse, "coffee")
    assert kit.asset("horse") == horse


def test_a_rename_onto_a_name_of_the_table_alone_is_refused_before_cloudinary_is_asked(
    kit: mt.MediaToolkit, horse: mt.Asset, sample_media: Path
) -> None:
    kit.upload(sample_media / "rocket.jpg", public_id="rocket")
    kit._client.destroy("rocket")
    with pytest.raises(mt.Conflict, match="Cloudinary no such asset") as told:
        kit.rename(horse, "rocket")
    assert kit.asset("horse") == horse
    assert in_cloudinary(kit, horse)
    assert "a later purge" in told.value.hint
    kit.delete("rocket")
    kit.purge("0h")
    assert kit.rename(horse, "rocket").public_id == "rocket"


def test_a_purge_destroys_the_asset_and_not_who_has_its_name_by_now(
    kit: mt.MediaToolkit, horse: mt.Asset, sample_media: Path
) -> None:
    rocket = kit.acting_as("bob").upload(sample_media / "rocket.jpg", public_id="rocket")
    gone = kit.upload(sample_media / "coffee.png", public_id="gone")
    kit.delete([horse, gone])
    kit._client.rename("horse", "old horse")
    kit._client.rename("rocket", "horse")
    kit._client.destroy("gone")
    with pytest.raises(mt.Conflict, match="image/upload/horse; 1 others purged") as told:
        kit.purge("0h")
    assert "kit.restore and kit.reconcile" in told.value.hint
    assert kit._client.resource("horse")["asset_id"] == rocket.asset_id
    assert kit._client.resource("old horse")["asset_id"] == horse.asset_id
    kit.restore("horse")
    kit.reconcile(progress=False).apply(dry_run=False, progress=False)
    kit.delete("old horse")
    assert kit.purge("0h") == 1
    with pytest.raises(mt.NotFound):
        kit._client.resource("old horse")


def test_a_purge_destroys_the_asset_under_a_name_that_its_row_had(
    kit: mt.MediaToolkit, horse: mt.Asset
) -> None:
    renamed = kit.rename(horse, "mare")
    kit._client.rename("mare", "horse")
    kit.delete(renamed)
    assert kit.purge("0h") == 1
    with pytest.raises(mt.NotFound):
        kit._client.resource("horse")


def test_a_rename_whose_row_did_not_follow_is_mended_by_the_same_call(
    kit: mt.MediaToolkit, horse: mt.Asset
) -> None:
    kit._client.rename("horse", "mare")
    assert kit.asset("horse") == horse
    assert kit.rename("horse", "mare").asset_id == horse.asset_id
    assert kit.asset("mare").id == horse.id
    with pytest.raises(mt.NotFound):
        kit.rename("horse", "mare")


def test_deleted_is_hidden_restored_is_back_purged_is_gone(
    kit: mt.MediaToolkit, horse: mt.Asset
) -> None:
    kit.delete(horse)
    assert kit.count() == len(kit.assets()) == 0
    assert is_delivered(horse.media_url)
    with pytest.raises(mt.NotFound):
        kit.delete("horse")
    assert kit.purge("30d") == 0
    assert kit.restore("horse") == [horse]
    with pytest.raises(mt.NotFound, match="among the deleted ones"):
        kit.restore("horse")
    kit.delete(kit.assets())
    assert kit.acting_as("bob").purge(timedelta(0)) == 0
    assert kit.purge(timedelta(0)) == 1
    assert not is_delivered(horse.media_url)
    with pytest.raises(mt.NotFound):
        kit.restore("horse")
    operations = kit.history(horse.asset_id)["operation"].tolist()
    assert operations == ["insert", "delete", "restore", "delete", "purge"]


def test_a_late_message_brings_no_deleted_row_back_an_upload_does(
    kit: mt.MediaToolkit, horse: mt.Asset, sample_media: Path
) -> None:
    kit.delete(horse)
    assert kit.save_many([horse.raw]).unchanged == 1
    assert kit.count() == 0
    again = kit.upload(sample_media / "horse.png", public_id="horse")
    assert (again.id, kit.count()) == (horse.id, 1)


def test_a_purge_that_cloudinary_stops_goes_on_where_it_stopped(
    kit: mt.MediaToolkit, sample_media: Path
) -> None:
    for name in ("horse", "rocket", "coffee"):
        kit.upload(next(sample_media.glob(f"{name}.*")), public_id=name)
    kit.delete(["horse", "rocket", "coffee"])
    asked: list[str] = []

    def away_at_the_second(asset: mt.Asset) -> bool:
        asked.append(asset.public_id)
        if len(asked) == 2:
            raise mt.CloudUnavailable("away")
        return True

    changes = AssetChanges(kit._database)
    assert changes.purge(timedelta(0), kit.identity, away_at_the_second, {})
    with pytest.raises(mt.CloudUnavailable):
        changes.purge(timedelta(0), kit.identity, away_at_the_second, {})
    while changes.purge(timedelta(0), kit.identity, away_at_the_second, {}):
        pass
    assert asked[1] == asked[2], "what failed is tried again"
    assert set(asked) == {"horse", "rocket", "coffee"}


def test_a_row_that_fails_after_cloudinary_says_so_and_the_same_call_mends_it(
    kit: mt.MediaToolkit, horse: mt.Asset
) -> None:
    with kit._database.direct() as owner:
        owner.exec_driver_sql(
            "ALTER TABLE cloudinary_files ADD CONSTRAINT few CHECK (id < 0) NOT VALID"
        )
    try:
        with pytest.raises(mt.StoreError, match="Cloudinary has the change already"):
            kit.edit(horse, add_tags=["z"])
    finally:
        with kit._database.direct() as owner:
            owner.execute(sa.text("ALTER TABLE cloudinary_files DROP CONSTRAINT few"))
    assert in_cloudinary(kit, horse)["tags"] == ["a", "b", "z"]
    assert kit.asset("horse").tags == horse.tags
    kit.edit(horse, add_tags=["z"])
    assert kit.asset("horse").tags == ("a", "b", "z")


def test_a_purge_goes_on_by_itself_when_postgres_restarts(
    kit: mt.MediaToolkit,
    horse: mt.Asset,
    sample_media: Path,
    end_connections: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = kit.upload(sample_media / "rocket.jpg", public_id="rocket")
    kit.delete([horse, other])
    destroy = kit._client.destroy

    def cut_off(*arguments: str) -> bool:
        is_destroyed = destroy(*arguments)
        if arguments[0] == "horse" and is_destroyed:
            end_connections()
        return is_destroyed

    monkeypatch.setattr(kit._client, "destroy", cut_off)
    assert kit.purge("0h") == 2
    assert not is_delivered(horse.media_url)
    assert not is_delivered(other.media_url)
    assert kit.sql("SELECT count(*) AS n FROM cloudinary_files")["n"].item() == 0


@pytest.mark.parametrize(
    "age", ["30", "d", "-1d", "3 days", "", None, "6m", timedelta(days=-1), timedelta.min]
)
def test_what_is_no_age_purges_nothing(kit: mt.MediaToolkit, age: str) -> None:
    with pytest.raises(mt.FilterError, match="not an age"):
        kit.purge(age)


def test_a_name_that_two_assets_share_is_asked_back(kit: mt.MediaToolkit, horse: mt.Asset) -> None:
    kit.upload(b"text", resource_type="raw", public_id="horse", filename="horse")
    with pytest.raises(mt.Conflict, match="several assets"):
        kit.delete("horse")
    kit.delete(horse)
    assert kit.asset("horse").resource_type == "raw"


MISTAKES: dict[str, Callable[[mt.MediaToolkit], object]] = {
    "asset of a number": lambda kit: kit.asset(5),  # type: ignore[arg-type]
    "asset with NUL": lambda kit: kit.asset("a\0b"),
    "asset with half a character": lambda kit: kit.asset("\ud800"),
    "type of a number": lambda kit: kit.asset("horse", resource_type=5),  # type: ignore[arg-type]
    "history of a number": lambda kit: kit.history(5),  # type: ignore[arg-type]
    "history with NUL": lambda kit: kit.history("a\0b"),
    "edit with NUL": lambda kit: kit.edit("a\0b", tags=[]),
    "edit of bytes": lambda kit: kit.edit(b"horse", tags=[]),  # type: ignore[arg-type]
    "edit of a number": lambda kit: kit.edit(5, tags=[]),  # type: ignore[arg-type]
    "delete with half a character": lambda kit: kit.delete(["horse", "\ud800"]),
    "restore with NUL": lambda kit: kit.restore("a\0b"),
    "rename with NUL": lambda kit: kit.rename("a\0b", "b"),
    "rename to a number": lambda kit: kit.rename("horse", 5),  # type: ignore[arg-type]
    "rename to nothing": lambda kit: kit.rename("horse", None),  # type: ignore[arg-type]
    "rename to NUL": lambda kit: kit.rename("horse", "a\0b"),
    "user of a number": lambda kit: kit.acting_as(5),  # type: ignore[arg-type]
    "user with NUL": lambda kit: kit.acting_as("a\0b"),
    "facets of a number": lambda kit: kit.facets(5),  # type: ignore[arg-type]
    "order of None": lambda kit: kit.assets(order_by=None),  # type: ignore[arg-type]
    "order of a number": lambda kit: list(kit.iter_assets(order_by=5)),  # type: ignore[arg-type]
    "columns of a number": lambda kit: kit.assets(columns=5),  # type: ignore[arg-type]
    "columns of lists": lambda kit: kit.assets(columns=[["id"]]),  # type: ignore[list-item]
    "batches of a word": lambda kit: list(kit.iter_assets(batch_size="five")),  # type: ignore[arg-type]
    "batches of none": lambda kit: list(kit.iter_assets(batch_size=0)),
    "page of a word": lambda kit: kit.page(limit="x"),  # type: ignore[arg-type]
    "page after a number": lambda kit: kit.page(after=5),  # type: ignore[arg-type]
    "purge of an odd digit": lambda kit: kit.purge("²d"),
    "purge of all time": lambda kit: kit.purge("9" * 40 + "d"),
    "query of a list": lambda kit: kit.query([]),  # type: ignore[arg-type]
    "query of too many": lambda kit: kit.query("largest", limit=2**70),
    "intents of half a row": lambda kit: kit.intents(limit=1.5),  # type: ignore[arg-type]
    "intents of less than none": lambda kit: kit.intents(limit=-1),
    "intents settled by a word": lambda kit: kit.intents(settled="x"),  # type: ignore[arg-type]
    "intents of a number": lambda kit: kit.intents(user_id=5),  # type: ignore[arg-type]
    "import by no thread": lambda kit: kit.ingest("sample_media", threads=0),
    "import by a word": lambda kit: kit.ingest("sample_media", threads="x"),  # type: ignore[arg-type]
    "query of half a row": lambda kit: kit.query("largest", limit=1.5),
    "query of half a day": lambda kit: kit.query("recently_deleted", days=0.5),
    "query of a word": lambda kit: kit.query("never_tagged", limit="x"),
    "query of less than none": lambda kit: kit.query("never_tagged", limit=-1),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_told_as_one(
    kit: mt.MediaToolkit, horse: mt.Asset, mistake: Callable[[mt.MediaToolkit], object]
) -> None:
    with pytest.raises((mt.FilterError, mt.InvalidName)) as told:
        mistake(kit)
    assert told.value.message
    assert kit.asset("horse") == horse


def test_what_only_looks_like_a_mistake_is_none(kit: mt.MediaToolkit, horse: mt.Asset) -> None:
    assert len(kit.page(limit=2**63 - 1).items) == len(kit.assets(limit=2**63 - 1)) == 1
    assert sum(map(len, kit.iter_assets(batch_size=2**40))) == 1
    assert len(kit.query("largest", limit="1")) == len(kit.query("largest", limit=1.0)) == 1
    assert kit.query("recently_deleted", days=2**62).empty
    assert kit.purge("9999999d") == kit.purge(timedelta.max) == 0
    assert kit.assets(columns="public_id")["public_id"].tolist() == ["horse"]
    answer = {**horse.raw, "version": 2**31, "context": {"custom": {"alt": None, "title": "x"}}}
    kit.save_many([answer])
    assert kit.asset("horse").context == {"title": "x"}


def test_an_asset_that_another_table_refers_to_is_not_destroyed(
    kit: mt.MediaToolkit, sample_media: Path
) -> None:
    for name in ("horse", "rocket"):
        kit.upload(next(sample_media.glob(f"{name}.*")), public_id=name)
    kept, other = kit.asset("horse"), kit.asset("rocket")
    with kit._database.direct() as connection:
        connection.exec_driver_sql("CREATE TABLE likes (file INT REFERENCES cloudinary_files)")
        connection.exec_driver_sql(f"INSERT INTO likes VALUES ({kept.id})")
    try:
        kit.delete([kept, other])
        with pytest.raises(mt.Conflict, match=r"left .*: image/upload/horse; 1 others purged"):
            kit.purge("0h")
        assert not is_delivered(other.media_url)
        kit.restore("horse")
        assert is_delivered(kept.media_url)
    finally:
        with kit._database.direct() as connection:
            connection.exec_driver_sql("DROP TABLE likes")


def test_of_many_that_fail_is_told_how_many(kit: mt.MediaToolkit) -> None:
    names = [f"nothing{n}" for n in range(3000)]
    with pytest.raises(mt.NotFound, match="nothing9 and 2,990 more"):
        kit.delete(names)
    kit.save_many(
        {"public_id": f"row{n}", "asset_id": f"{n:032x}", "resource_type": "image", "version": 1,
         "secure_url": f"https://res.example/row{n}.png"}
        for n in range(10_000)
    )  # fmt: skip
    with pytest.raises(mt.NotFound, match=r"and 2 more .nothing was changed"):
        kit.edit([f"row{n}" for n in range(12)], add_tags=["x"])
    frame = kit.assets(columns=["resource_type", "delivery_type", "public_id"])
    deleted = kit.delete(frame)
    assert len(deleted) == 10_000, "by their names alone"
    assert [asset.id for asset in deleted] == sorted(asset.id or 0 for asset in deleted)
    assert all(asset.raw["public_id"] == asset.public_id for asset in deleted)


def test_what_is_deleted_and_restored_is_answered_whole(kit: mt.MediaToolkit) -> None:
    long_number, odd = 10**30, 'an ö, "], [" and a \\ in it'
    kit.save_many(
        {"public_id": f"row{n}", "resource_type": "image", "version": 1, "tags": [f"tag{n}"],
         "secure_url": "https://res.example/a", "context": {"custom": {"alt": f"{n}: {odd}"}},
         "created_at": "2026-03-01T12:00:00Z", "etag": "e", "exif": {"n": [n, long_number, odd]}}
        for n in range(3)
    )  # fmt: skip
    stood = [kit.asset(f"row{n}") for n in range(3)]
    assert stood[2].raw["exif"] == {"n": [2, long_number, odd]}
    assert kit.delete(kit.assets()) == stood
    assert kit.restore(["row2", stood[0], "row1"]) == stood
    assert kit.delete([]) == kit.restore(kit.assets().head(0)) == []


def rows(kit: mt.MediaToolkit, count: int) -> pd.DataFrame:
    """Rows alone, of which Cloudinary knows nothing."""
    kit.save_many(
        {"public_id": f"row{n}", "resource_type": "image", "secure_url": "https://res.example/a"}
        for n in range(count)
    )
    return kit.assets(order_by="id")


def test_what_was_deleted_already_is_told_by_its_name(kit: mt.MediaToolkit) -> None:
    frame = rows(kit, 12)
    kit.delete(frame)
    named = ", ".join(f"image/upload/row{n}" for n in range(10))
    for given in (frame, [f"row{n}" for n in range(12)], frame[["id"]]):
        with pytest.raises(mt.NotFound) as refused:
            kit.delete(given)
        assert refused.value.message == f"deleted already: {named} and 2 more"
        assert "kit.restore" in refused.value.hint
    with pytest.raises(
        mt.NotFound, match=r"^no asset nowhere in .*; deleted already: image/.*row1 "
    ):
        kit.edit(["nowhere", "row1"], add_tags=["x"])
    kit.restore(frame.head(1))
    with pytest.raises(mt.NotFound, match=r"^not among the deleted ones: image/upload/row0 "):
        kit.restore(frame)


def test_what_was_purged_is_told_by_its_name_where_it_is_known(kit: mt.MediaToolkit) -> None:
    frame = rows(kit, 1)
    assets = [kit.asset("row0")]
    kit.delete(frame)
    with kit._database.direct() as connection:
        connection.exec_driver_sql("DELETE FROM cloudinary_files")
    for given in (frame, assets):
        with pytest.raises(mt.NotFound, match=r"^no asset image/upload/row0 in cloudinary_files"):
            kit.delete(given)
    with pytest.raises(mt.NotFound, match=r"^no asset id \d+ in cloudinary_files"):
        kit.delete(frame[["id"]])


def test_rows_of_a_parquet_file_are_assets_too(
    kit: mt.MediaToolkit, horse: mt.Asset, tmp_path: Path
) -> None:
    kit.to_parquet(tmp_path / "all.parquet")
    frame = pd.read_parquet(tmp_path / "all.parquet")
    (edited,) = kit.edit(frame, add_tags=["c"])
    assert edited.tags == ("a", "b", "c")
    assert kit.delete(frame) == [edited]
    assert kit.restore(frame.astype({"id": float})) == [edited]
    # As after a join that found no asset for a row.
    for unfit in (float("nan"), 1.5):
        with pytest.raises(mt.FilterError, match="id is not a whole number"):
            kit.delete(frame.assign(id=unfit))


def put(kit: mt.MediaToolkit, name: str, file: Path, **options: Any) -> dict[str, Any]:
    """Uploaded past the table, as in Cloudinary's console."""
    return kit._client.upload(file.read_bytes(), file.name, "image", public_id=name, **options)


def test_a_purge_leaves_what_was_uploaded_again_and_reconcile_brings_it_back(
    kit: mt.MediaToolkit, sample_media: Path
) -> None:
    first = kit.upload(sample_media / "horse.png", public_id="again/horse")
    kit.delete(first)
    time.sleep(1.1)  # a version is a second
    again = put(kit, "again/horse", sample_media / "rocket.jpg")
    with pytest.raises(mt.Conflict, match="left as they are: image/upload/again/horse; 0 others"):
        kit.purge("0h")
    assert is_delivered(again["secure_url"])
    kit.reconcile(folder="again", progress=False).apply(dry_run=False, progress=False)
    assert kit.asset(first.asset_id).version == again["version"]


def test_what_a_policy_holds_is_not_destroyed(
    kit: mt.MediaToolkit, horse: mt.Asset, sample_media: Path
) -> None:
    other = kit.upload(sample_media / "rocket.jpg", public_id="rocket")
    with kit._database.direct() as connection:
        connection.exec_driver_sql(
            "CREATE POLICY hold ON cloudinary_files AS RESTRICTIVE FOR DELETE"
            " USING (public_id <> 'horse')"
        )
    try:
        kit.delete([horse, other])
        with pytest.raises(mt.Conflict, match="image/upload/horse; 1 others"):
            kit.purge("0h")
        assert is_delivered(horse.media_url)
    finally:
        with kit._database.direct() as connection:
            connection.exec_driver_sql("DROP POLICY hold ON cloudinary_files")


def test_a_name_that_another_asset_has_by_now_is_not_changed(
    kit: mt.MediaToolkit, horse: mt.Asset, sample_media: Path
) -> None:
    kit._client.rename("horse", "stable")
    put(kit, "horse", sample_media / "rocket.jpg", tags="theirs")
    for change in (
        lambda: kit.edit("horse", tags=["mine"]),
        lambda: kit.rename("horse", "pony"),
    ):
        with pytest.raises(mt.Conflict, match="another asset has the name of image/upload/horse"):
            change()
    assert kit._client.resource("horse")["tags"] == ["theirs"]


def test_a_rename_takes_no_later_uploads_number_without_its_facts(
    kit: mt.MediaToolkit, sample_media: Path
) -> None:
    first = kit.upload(sample_media / "horse.png", public_id="half/horse", tags=["one"])
    time.sleep(1.1)
    put(kit, "half/horse", sample_media / "rocket.jpg", tags="two")
    renamed = kit.rename("half/horse", "half/pony")
    assert (renamed.version, renamed.tags, renamed.format) == (first.version, ("one",), "png")
    kit.reconcile(folder="half", progress=False).apply(dry_run=False, progress=False)
    row = kit.asset(first.asset_id)
    assert (row.public_id, row.tags, row.format) == ("half/pony", ("two",), "jpg")


def test_an_answer_that_was_overtaken_meanwhile_takes_nothing_back(
    kit: mt.MediaToolkit, horse: mt.Asset, sample_media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    confirm = kit._uploads.confirm
    time.sleep(1.1)

    def overtaken(claimed: mt.Asset) -> mt.Asset:
        asked = confirm(claimed)
        kit.upload(sample_media / "rocket.jpg", public_id="horse")
        return asked

    monkeypatch.setattr(kit._uploads, "confirm", overtaken)
    kit.save(horse.raw)
    assert kit.asset("horse").format == "jpg"


def test_a_name_that_another_users_row_has_is_said(
    kit: mt.MediaToolkit, sample_media: Path
) -> None:
    bob = kit.acting_as("bob")
    kit.upload(sample_media / "coffee.png", public_id="hers")
    theirs = bob.upload(sample_media / "rocket.jpg", public_id="theirs")
    kit._client.destroy("hers")
    kit._client.rename("theirs", "hers")
    moved = kit._client.resource("hers")
    for save in (bob.save, lambda told: bob.save_many([told])):
        with pytest.raises(mt.Conflict, match="image/hers belongs to ana"):
            save(moved)
    assert bob.asset(theirs.asset_id).public_id == "theirs"


def test_an_asset_that_lost_its_row_is_its_former_owners(
    kit: mt.MediaToolkit, sample_media: Path
) -> None:
    first = kit.upload(sample_media / "coffee.png", public_id="name")
    moved = kit._client.rename("name", "moved")
    # Another asset takes the name, and with it the row.
    second = kit.upload(sample_media / "rocket.jpg", public_id="name", overwrite=True)
    assert second.id == first.id
    bob = kit.acting_as("bob")
    for save in (bob.save, bob.save_from_browser, lambda told: bob.save_many([told])):
        with pytest.raises(mt.Conflict, match="image/moved belongs to ana"):
            save(moved)
    assert kit.save(moved).user_id == "ana"


def test_a_row_that_comes_back_under_another_name_is_known_by_both(
    kit: mt.MediaToolkit, sample_media: Path
) -> None:
    told = kit._client.upload(
        (sample_media / "coffee.png").read_bytes(), None, "image", public_id="before"
    )
    kit.delete(kit.save(told))
    kit.save(kit._client.rename("before", "since"))
    assert kit.history("before")["operation"].tolist() == ["insert", "delete", "rename"]
    assert kit.save_many([told]).unchanged == 1
    assert kit.asset("since")


def test_what_postgres_itself_refuses_is_told_as_what_it_is(
    kit: mt.MediaToolkit, horse: mt.Asset
) -> None:
    changes, bob = AssetChanges(kit._database), kit.acting_as("bob").identity
    with pytest.raises(mt.Forbidden, match="belongs to ana"):
        changes.label([horse], bob, add_tags=["x"])
    kit.delete(horse)
    with pytest.raises(mt.NotFound, match="was deleted meanwhile"):
        changes.label([horse], kit.identity, add_tags=["x"])
    with pytest.raises(mt.Forbidden, match="belongs to ana"):
        changes.restore([horse], bob)


def test_of_two_who_upload_the_same_new_name_at_once_one_is_refused_and_nothing_is_replaced(
    kit: mt.MediaToolkit, sample_media: Path
) -> None:
    kits = [kit.acting_as("ana"), kit.acting_as("bob")]
    pictures = [sample_media / "coffee.png", sample_media / "chelsea.png"]

    def upload(n: int, name: str, start: threading.Barrier) -> mt.Asset | None:
        start.wait()
        try:
            return kits[n].upload(pictures[n], public_id=name)
        except mt.Conflict:
            return None

    with ThreadPoolExecutor(2) as pool:
        for turn in range(6):
            start = threading.Barrier(2)
            told = pool.map(upload, (0, 1), [f"at once {turn}"] * 2, [start] * 2)
            (saved,) = [asset for asset in told if asset is not None]
            assert in_cloudinary(kit, saved)["etag"] == saved.etag


def test_an_old_answer_takes_no_other_asset_that_has_its_name_by_now(
    kit: mt.MediaToolkit, sample_media: Path
) -> None:
    horse = kit.upload(sample_media / "horse.png", public_id="old answer")
    kit.rename(horse, "old answer, moved")
    bob = kit.acting_as("bob")
    signed = bob.sign_upload(public_id="old answer", resource_type="image")
    with (sample_media / "rocket.jpg").open("rb") as file:
        theirs = requests.post(signed.url, signed.fields, files={"file": file}, timeout=30).json()
    unsigned = {name: value for name, value in horse.raw.items() if name != "signature"}
    for save in (kit.save, kit.save_from_browser):
        with pytest.raises(mt.Conflict, match="has the name of image/upload/old answer"):
            save(unsigned)
    assert bob.save(theirs).user_id == "bob"
    assert kit.asset("old answer, moved").asset_id == horse.asset_id


def test_where_postgres_only_reads_nothing_is_done_in_cloudinary(
    kit: mt.MediaToolkit, horse: mt.Asset, stack: EmbeddedStack, sample_media: Path, tmp_path: Path
) -> None:
    kit.delete(kit.upload(sample_media / "coffee.png", public_id="deleted"))
    (tmp_path / "files").mkdir()
    (tmp_path / "files/read-only.png").write_bytes((sample_media / "coffee.png").read_bytes())
    before = kit._client.listing(ListingScope()).items
    only_reading = mt.Settings(
        cloudinary_url=stack.cloudinary_url,
        database_url=f"{stack.database_url}?options=-cdefault_transaction_read_only%3Don",
        admins_list="root",
    )
    with mt.connect(only_reading, user_id="ana") as reader:
        for acting in (reader, reader.acting_as("root")):
            for change in (
                lambda acting=acting: acting.upload(sample_media / "coffee.png"),
                lambda acting=acting: acting.upload(sample_media / "coffee.png", public_id="new"),
                lambda acting=acting: acting.ingest(tmp_path / "files", progress=False),
                lambda acting=acting: acting.edit("horse", tags=["x"]),
                lambda acting=acting: acting.rename("horse", "pony"),
                lambda acting=acting: acting.delete("horse"),
                lambda acting=acting: acting.purge("0h"),
                lambda acting=acting: acting.sign_upload(public_id="signed"),
                lambda acting=acting: acting.reconcile(progress=False),
            ):
                with pytest.raises(mt.StoreError, match=r"may only read .*another DATABASE_URL"):
                    change()
        assert reader.asset("horse").tags == horse.tags
        with pytest.raises(mt.StoreError, match=r"kit\.sql only reads"):
            reader.sql("SELECT id FROM cloudinary_files FOR UPDATE")
    assert kit._client.listing(ListingScope()).items == before


def test_a_postgres_that_turns_read_only_is_noticed_before_cloudinary_is_asked(
    kit: mt.MediaToolkit, horse: mt.Asset, sample_media: Path
) -> None:
    name = "SELECT format('ALTER DATABASE %I ', current_database())"
    with kit._database.direct() as connection:
        alter = connection.scalar(sa.text(name))
        connection.exec_driver_sql(f"{alter} SET default_transaction_read_only = on")
    try:
        kit._database.engine.dispose()
        time.sleep(1.1)
        for change in (
            lambda: kit.upload(sample_media / "rocket.jpg", public_id="failover/rocket"),
            lambda: kit.ingest(sample_media, folder="failover", progress=False),
            lambda: kit.edit("horse", tags=["x"]),
        ):
            with pytest.raises(mt.StoreError, match="takes no changes here"):
                change()
    finally:
        with kit._database.direct() as connection:
            connection.exec_driver_sql("SET transaction_read_only = off")
            connection.exec_driver_sql(f"{alter} RESET default_transaction_read_only")
    with pytest.raises(mt.NotFound):
        kit._client.explicit("failover/rocket")
    assert sorted(in_cloudinary(kit, horse)["tags"]) == ["a", "b"]


def test_what_stood_there_already_needs_no_second_look_where_its_row_was_changed_meanwhile(
    kit: mt.MediaToolkit, horse: mt.Asset, sample_media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = kit._uploads.send

    def send_then_edit(*args: Any, **options: Any) -> mt.Asset:
        sent = send(*args, **options)
        kit.edit("horse", tags=["edited"])
        return sent

    monkeypatch.setattr(kit._uploads, "send", send_then_edit)
    calls: list[Any] = []
    monkeypatch.setattr(kit._uploads, "_as_it_is", calls.append)
    again = kit.upload(sample_media / "horse.png", public_id="horse", overwrite=False)
    assert not calls
    assert again.tags == kit.asset("horse").tags == ("edited",)
