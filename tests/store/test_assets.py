"""Rows saved, read, counted and paged on a real Postgres."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

import media_toolkit as mt
from media_toolkit.asset import Asset
from media_toolkit.identity import Identity
from media_toolkit.store.assets import AssetStore, SaveReport
from media_toolkit.store.database import Database
from media_toolkit.store.filters import AssetFilter

ANA, BOB = Identity("ana"), Identity("bob")


@pytest.fixture
def store(database: Database) -> AssetStore:
    return AssetStore(database)


def asset(number: int = 1, user_id: str = "ana", **changes: Any) -> Asset:
    response = {
        "asset_id": f"{number:032x}",
        "public_id": f"spring/photo{number}",
        "version": 1000 + number,
        "resource_type": "image",
        "type": "upload",
        "format": "jpg",
        "width": 640,
        "height": 427,
        "bytes": 112525,
        "etag": "511130d2072cc744a1fa5015bc23557a",
        "tags": ["spring", "tulip"],
        "context": {"custom": {"alt": 'a "tulip" | = ü'}},
        "created_at": "2026-03-01T12:00:00Z",
        "secure_url": f"https://res.cloudinary.com/demo/image/upload/v1/spring/photo{number}.jpg",
        "original_filename": "photo",
    }
    return replace(Asset.from_response(response, user_id), **changes)


def test_what_was_saved_is_read_back_whole(store: AssetStore) -> None:
    saved = store.save(asset(), ANA)
    assert saved.id is not None
    assert saved.upload_timestamp is not None
    assert replace(saved, id=None, upload_timestamp=None) == asset()
    assert store.get("spring/photo1", ANA) == store.get(f"{1:032x}", ANA) == saved


def test_saving_twice_makes_one_row_and_rewrites_nothing(
    store: AssetStore, database: Database
) -> None:
    assert store.save_many([asset(1), asset(2)], ANA) == SaveReport(inserted=2)
    with database.begin(ANA) as connection:
        before = connection.execute(sa.text("SELECT xmin, id FROM cloudinary_files")).all()
    assert store.save_many([asset(1), asset(2)], ANA) == SaveReport(unchanged=2)
    with database.begin(ANA) as connection:
        assert connection.execute(sa.text("SELECT xmin, id FROM cloudinary_files")).all() == before


def test_a_newer_version_wins_whatever_the_order_of_arrival(store: AssetStore) -> None:
    new, old = asset(1, version=2000, width=10), asset(1, version=1500, width=99)
    store.save(new, ANA)
    assert store.save(old, ANA).width == 10
    assert store.save_many([new, old], ANA) == SaveReport(unchanged=1)


def test_a_rename_in_cloudinary_moves_the_row(store: AssetStore) -> None:
    first = store.save(asset(1), ANA)
    renamed = store.save(asset(1, public_id="autumn/leaf", version=5000), ANA)
    assert renamed.id == first.id
    late = store.save(asset(1), ANA)
    assert late.public_id == "autumn/leaf"
    assert store.count(AssetFilter(), ANA) == 1


def test_another_users_row_is_a_conflict_and_stays_theirs(store: AssetStore) -> None:
    store.save(asset(1), ANA)
    with pytest.raises(mt.Conflict, match="belongs to ana"):
        store.save(asset(1, user_id="bob", version=9999), BOB)
    with pytest.raises(mt.Conflict):
        store.save_many([asset(2, user_id="bob"), asset(1, user_id="bob")], BOB)
    assert store.count(AssetFilter(), ANA) == 1
    changed = store.save(asset(1, user_id="root", version=9999, width=7), Identity("root", "admin"))
    assert (changed.user_id, changed.width) == ("ana", 7)


def test_an_image_and_a_video_may_share_a_public_id(store: AssetStore) -> None:
    store.save(asset(1), ANA)
    store.save(asset(2, public_id="spring/photo1", resource_type="video"), ANA)
    with pytest.raises(mt.Conflict, match="several assets"):
        store.get("spring/photo1", ANA)
    assert store.get("spring/photo1", ANA, "video").resource_type == "video"


def test_a_missing_asset_is_not_found(store: AssetStore) -> None:
    with pytest.raises(mt.NotFound, match="nowhere"):
        store.get("nowhere", ANA)


def test_the_guides_insert_and_select_run_as_written(database: Database) -> None:
    with database.direct() as connection:
        connection.exec_driver_sql(
            """
            INSERT INTO cloudinary_files (public_id, media_url, resource_type, user_id)
            VALUES (%s, %s, %s, %s)
            """,
            (
                "guide",
                "https://res.cloudinary.com/demo/image/upload/guide.jpg",
                "image",
                "user_123",
            ),
        )
        row = connection.execute(
            sa.text(
                "SELECT id, public_id, media_url, resource_type, user_id, upload_timestamp "
                "FROM cloudinary_files WHERE user_id = 'user_123'"
            )
        ).one()
    assert row.public_id == "guide"
    assert row.upload_timestamp is not None


def test_nul_in_exif_does_not_stop_a_save(store: AssetStore) -> None:
    saved = store.save(asset(1, raw={"image_metadata": {"Make": "Canon\0\0"}}), ANA)
    assert saved.raw == {"image_metadata": {"Make": "Canon"}}


def test_pages_walk_forwards_and_back_without_a_gap_or_a_double(store: AssetStore) -> None:
    store.save_many([asset(n) for n in range(1, 108)], ANA)
    page, seen, pages = store.page(AssetFilter(), ANA, limit=25), [], []
    while True:
        pages.append(page)
        seen += [a.public_id for a in page.items]
        if page.next_cursor is None:
            break
        page = store.page(AssetFilter(), ANA, limit=25, after=page.next_cursor)
    assert len(seen) == len(set(seen)) == 107
    for expected in reversed(pages[:-1]):
        page = store.page(AssetFilter(), ANA, limit=25, before=page.previous_cursor)
        assert page.items == expected.items
    assert page.previous_cursor is None


def test_rows_that_arrive_meanwhile_do_not_shift_the_next_page(store: AssetStore) -> None:
    store.save_many([asset(n) for n in range(1, 11)], ANA)
    first = store.page(AssetFilter(), ANA, limit=5)
    store.save_many([asset(n) for n in range(11, 14)], ANA)
    second = store.page(AssetFilter(), ANA, limit=5, after=first.next_cursor)
    assert not {a.id for a in first.items} & {a.id for a in second.items}
    assert len(second.items) == 5


def test_a_cursor_that_is_none_is_refused(store: AssetStore) -> None:
    for cursor in ("x", "e30", "%%%", ""):
        with pytest.raises(mt.FilterError, match="not a page cursor"):
            store.page(AssetFilter(), ANA, after=cursor)


def test_values_count_users_and_types(store: AssetStore) -> None:
    store.save_many([asset(1), asset(2)], ANA)
    store.save(asset(3, user_id="bob", resource_type="video"), BOB)
    assert store.values("user_id", ANA) == [("ana", 2), ("bob", 1)]
    assert store.values("resource_type", ANA) == [("image", 2), ("video", 1)]
