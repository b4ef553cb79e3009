"""Saving few and many: the same rules by JSON and by COPY, whatever the rows hold."""

from __future__ import annotations

import random
import string
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import reduce
from http import HTTPStatus
from types import MappingProxyType
from typing import Any
from uuid import UUID

import hypothesis
import numpy as np
import pandas as pd
import psycopg2
import pytest
import sqlalchemy as sa
from hypothesis import strategies as st

import media_toolkit as mt
from media_toolkit.embedded.stack import EmbeddedStack
from media_toolkit.identity import Identity
from media_toolkit.store import rows, saving
from media_toolkit.store.assets import AssetStore
from media_toolkit.store.changes import AssetChanges
from media_toolkit.store.database import Database
from media_toolkit.store.filters import AssetFilter
from media_toolkit.store.history import history_frame
from media_toolkit.store.saving import BATCH_ROWS, COPY_FROM_ROWS, SaveReport
from media_toolkit.store.schema import files

ANA, BOB, ROOT = Identity("ana"), Identity("bob"), Identity("root", "admin")
ODD = (
    *("", " ", "\\", "\\N", "\\.", "\t", "\n", "\r\n", "a\\tb", '"', "'", '\\"', "{", "}", "{a,b}"),
    *(",", "NULL", "null", "$1", "%s", ":x", "ü", "🌷", "\u2028", "\x01", "\x7f", "a" * 5000),
)


@pytest.fixture
def store(database: Database, settings: mt.Settings) -> AssetStore:
    return AssetStore(database)


@pytest.fixture(params=["few", "many"])
def padding(request: pytest.FixtureRequest) -> list[mt.Asset]:
    """Rows beside those under test, so that a save goes by JSON or by COPY."""
    return [] if request.param == "few" else [asset(10_000 + n) for n in range(COPY_FROM_ROWS)]


def a_moment_later() -> float:
    """When Cloudinary is asked; the way to Postgres' clock takes less than this."""
    time.sleep(0.2)
    return time.monotonic()


def asset(number: int, user_id: str = "ana", **changes: Any) -> mt.Asset:
    made = mt.Asset(
        public_id=f"photo{number}",
        media_url=f"https://res.cloudinary.com/demo/image/upload/photo{number}.jpg",
        resource_type="image",
        user_id=user_id,
        asset_id=f"{number:032x}",
        version=1000,
    )
    return replace(made, **changes)


def test_whatever_a_row_holds_is_read_back_as_it_was(
    store: AssetStore, padding: list[mt.Asset]
) -> None:
    odd = [
        asset(
            n, public_id=f"{n}{text}", media_url=text, format=text, folder=text, etag=text,
            original_filename=text, phash=text, tags=(text, "b"), context={text: text},
            raw={text: [text, 1, 1.5, None, True, {"deep": text}]}, duration=n + 0.1,
            width=n, height=0, bytes=2**40, created_at=datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
        )
        for n, text in enumerate(ODD)
    ]  # fmt: skip
    nul = asset(500, tags=("a\0b",), raw={"Make": "Canon\0\0", "deep": ["\0"]}, format="\0x")
    assert store.save_many([*odd, nul, *padding], ANA).inserted == len(odd) + 1 + len(padding)
    for expected in odd:
        assert (
            replace(store.get(expected.asset_id, ANA), id=None, upload_timestamp=None) == expected
        )
    saved = store.get(nul.public_id, ANA)
    assert (saved.tags, saved.format) == (("ab",), "x")
    assert saved.raw == {"Make": "Canon", "deep": [""]}
    assert store.save_many([*odd, nul, *padding], ANA).unchanged == len(odd) + 1 + len(padding)


def test_each_row_is_counted_as_what_happened_to_it(
    store: AssetStore, padding: list[mt.Asset]
) -> None:
    store.save_many([asset(1), asset(2), asset(3), asset(4), *padding], ANA)
    report = store.save_many(
        [
            asset(1, version=2000),
            asset(2, version=1, width=9),
            asset(3, tags=("new",)),
            asset(4, public_id="moved"),
            asset(5),
            asset(5, version=999),
            *padding,
        ],
        ANA,
    )
    assert report == SaveReport(inserted=1, updated=3, unchanged=1 + len(padding))
    assert store.get("photo2", ANA).width is None
    assert store.get("moved", ANA).asset_id == asset(4).asset_id


def test_the_last_that_comes_is_the_newest(store: AssetStore, padding: list[mt.Asset]) -> None:
    rows = [asset(n * 7919 % 50) for n in range(50)]
    store.save_many([*padding, *rows], ANA)
    newest = store.page(AssetFilter(), ANA, limit=50).items
    assert [row.public_id for row in newest] == [row.public_id for row in rows[::-1]]


def test_an_unchanged_row_is_not_even_locked(
    store: AssetStore, database: Database, padding: list[mt.Asset]
) -> None:
    store.save_many([asset(1), *padding], ANA)
    marks = sa.text("SELECT xmin, xmax FROM cloudinary_files ORDER BY id")
    with database.begin(ANA) as connection:
        before = connection.execute(marks).all()
    store.save_many([asset(1), *padding], ANA)
    with database.begin(ANA) as connection:
        assert connection.execute(marks).all() == before


def test_another_users_row_refuses_the_whole_batch(
    store: AssetStore, padding: list[mt.Asset]
) -> None:
    store.save(asset(1, "bob"), BOB)
    for theirs in (asset(1), asset(1, version=1), asset(1, public_id="moved", version=3000)):
        with pytest.raises(mt.Conflict, match=r"image/\w+ belongs to bob") as refused:
            store.save_many([asset(2), theirs, *padding], ANA)
        assert refused.value.ids == (f"image/{theirs.public_id}",)
    with pytest.raises(mt.Forbidden, match="row-level security"):
        store.save_many([asset(7, "bob"), *padding], ANA)
    assert store.count(AssetFilter(), ANA) == 1
    store.save_many([asset(1, version=5000, width=7), *padding], ROOT)
    assert (store.get("photo1", ANA).user_id, store.get("photo1", ANA).width) == ("bob", 7)


def test_a_batch_into_a_large_table_reads_its_own_rows_only(
    store: AssetStore, database: Database
) -> None:
    many = [asset(n) for n in range(10 * COPY_FROM_ROWS)]
    batch = many[:COPY_FROM_ROWS]
    store.save_many(many, ANA)
    with database.direct() as connection:
        connection.execute(sa.text("ANALYZE cloudinary_files"))

    told = sa.text(
        "SELECT seq_scan FROM pg_stat_user_tables WHERE relid = 'cloudinary_files'::regclass"
    )

    def scans() -> Any:
        with database.begin(ANA) as connection:
            connection.execute(sa.text("SELECT pg_stat_force_next_flush()"))
        with database.direct() as connection:
            return connection.scalar(told)

    before = scans()
    assert store.save_many(batch, ANA).unchanged == len(batch)
    assert scans() == before


def test_batches_go_side_by_side_and_one_that_tries_again_alone(
    store: AssetStore, database: Database
) -> None:
    batch = [asset(n) for n in range(COPY_FROM_ROWS)]
    with ThreadPoolExecutor(2) as pool, database.begin(ANA) as connection:
        connection.execute(saving._BESIDE_OTHERS)
        assert pool.submit(store.save_many, batch, ANA).result(60).inserted == len(batch)
    with ThreadPoolExecutor(2) as pool:
        with database.begin(ANA) as connection:
            connection.execute(saving._ONE_AT_A_TIME)
            waiting = pool.submit(store.save_many, batch, ANA)
            assert store.save(asset(9_999), ANA).id
            time.sleep(0.2)
            assert not waiting.done()
        assert waiting.result(60).unchanged == len(batch)


def test_a_rename_onto_a_name_that_was_overwritten_takes_it(
    store: AssetStore, padding: list[mt.Asset]
) -> None:
    first = store.save(asset(1), ANA)
    store.save(asset(2), ANA)
    store.save_many([asset(1, public_id="photo2", version=2000), *padding], ANA)
    assert store.get("photo2", ANA).id == first.id
    assert store.count(AssetFilter(), ANA) == 1 + len(padding)


def test_a_late_message_of_a_former_name_leaves_who_has_taken_it_since(
    store: AssetStore, padding: list[mt.Asset]
) -> None:
    moved = asset(1, public_id="elsewhere", version=1000)
    store.save(asset(1, version=1000), ANA)
    store.save(moved, ANA)
    store.save(asset(2, public_id="photo1", version=3000), ANA)
    report = store.save_many([asset(1, version=1000), *padding], ANA)
    assert report == SaveReport(inserted=len(padding), unchanged=1)
    assert store.get("photo1", ANA).asset_id == asset(2).asset_id
    assert store.get("elsewhere", ANA).asset_id == asset(1).asset_id


def test_an_answer_that_comes_again_takes_no_edit_and_no_rename_back(
    store: AssetStore, database: Database, padding: list[mt.Asset]
) -> None:
    answer = {"tags": ["shore"], "context": {"custom": {"alt": "a shore"}}, "bytes": 9}
    first, second = (
        asset(n, tags=("shore",), context={"alt": "a shore"}, bytes=9, raw=answer) for n in (1, 2)
    )
    store.save_many([first, second, *padding], ANA)
    changes = AssetChanges(database)
    changes.label(changes.find("photo1", ANA), ANA, tags=["sea"], context={"alt": "the sea"})
    (row,) = changes.find("photo2", ANA)
    changes.rename(row, replace(row, public_id="sea2"), ANA)

    assert store.save_many([first, second, *padding], ANA).unchanged == 2 + len(padding)
    edited = store.get("photo1", ANA)
    assert (edited.tags, edited.context) == (("sea",), {"alt": "the sea"})
    assert store.get(second.asset_id, ANA).public_id == "sea2"

    changes.delete([edited], ANA)
    store.save_many([first, *padding], ANA, revive=True)
    with pytest.raises(mt.NotFound, match="deleted"):
        store.get("photo1", ANA)
    changes.restore([edited], ANA)
    assert store.get("photo1", ANA).tags == ("sea",)

    # Asked now, Cloudinary knows better than the row; so does what it had not said before.
    store.save_many([first, second, *padding], ANA, asked_at=a_moment_later())
    assert store.get("photo1", ANA).context == {"alt": "a shore"}
    assert store.get("photo2", ANA).asset_id == second.asset_id
    told = replace(first, tags=("gull",), raw={**answer, "tags": ["gull"]})
    assert store.save_many([told, *padding], ANA).updated == 1
    assert store.get("photo1", ANA).tags == ("gull",)


@pytest.mark.parametrize("change", ["edit", "rename", "delete", "purge"])
def test_what_was_changed_after_cloudinary_was_asked_is_not_taken_back(
    store: AssetStore, database: Database, padding: list[mt.Asset], change: str
) -> None:
    told = asset(1, tags=("shore",), raw={"tags": ["shore"]})
    assert told.asset_id is not None
    store.save_many([told, asset(2), *padding], ANA)
    changes = AssetChanges(database)
    asked_at = time.monotonic()
    (row,) = changes.find("photo1", ANA)
    if change == "edit":
        changes.label([row], ANA, tags=["sea"])
    elif change == "rename":
        changes.rename(row, replace(row, public_id="sea"), ANA)
    else:
        changes.delete([row], ANA)
    if change == "purge":
        assert changes.purge(timedelta(0), ANA, lambda _: True, {})
    before = history_frame(database, ANA, told.asset_id) if change != "purge" else None
    with pytest.raises(saving.Overtaken, match=r"photo1 was changed here while .* asked") as caught:
        store.save_many([told, asset(2), *padding], ANA, revive=True, asked_at=asked_at)
    assert caught.value.ids == ("photo1",)
    if before is not None:
        pd.testing.assert_frame_equal(history_frame(database, ANA, told.asset_id), before)

    # Whoever asks now is told of what is so now.
    store.save_many([told, asset(2), *padding], ANA, revive=True, asked_at=a_moment_later())
    assert store.get("photo1", ANA).tags == ("shore",)


def test_a_column_of_the_teams_own_may_change_while_cloudinary_is_asked(
    store: AssetStore, database: Database, padding: list[mt.Asset]
) -> None:
    told = asset(1, tags=("shore",), raw={"tags": ["shore"]})
    store.save_many([told, *padding], ANA)
    with database.direct() as connection:
        connection.exec_driver_sql("ALTER TABLE cloudinary_files ADD views INT NOT NULL DEFAULT 0")
    try:
        asked_at = time.monotonic()
        with database.direct() as connection:
            connection.exec_driver_sql("UPDATE cloudinary_files SET views = views + 1")
        now = replace(told, tags=("sea",))
        assert store.save_many([now, *padding], ANA, asked_at=asked_at).updated == 1
        assert store.get("photo1", ANA).tags == ("sea",)
    finally:
        with database.direct() as connection:
            connection.exec_driver_sql("ALTER TABLE cloudinary_files DROP views")


@pytest.mark.parametrize("ends", ["edit", "purge"])
def test_a_save_that_waits_for_an_edit_or_purge_does_not_take_it_back(
    store: AssetStore, database: Database, padding: list[mt.Asset], ends: str
) -> None:
    told = asset(1, tags=("shore",), raw={"tags": ["shore"]})
    store.save_many([told, *padding], ANA)
    changes = AssetChanges(database)
    asked_at = time.monotonic()
    if ends == "purge":
        changes.delete(changes.find("photo1", ANA), ANA)
        statement = "DELETE FROM cloudinary_files WHERE public_id = 'photo1'"
    else:
        statement = "UPDATE cloudinary_files SET tags = ARRAY['sea'] WHERE public_id = 'photo1'"
    with ThreadPoolExecutor(1) as pool:
        with database.begin(ANA) as connection:
            connection.execute(sa.text(statement))
            saving_it = pool.submit(
                store.save_many, [told, *padding], ANA, revive=True, asked_at=asked_at
            )
            while not connection.scalar(sa.text(
                "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
            ):  # fmt: skip
                time.sleep(0.01)
        with pytest.raises(saving.Overtaken):
            saving_it.result()
    if ends == "edit":
        assert store.get("photo1", ANA).tags == ("sea",)
    else:
        with pytest.raises(mt.NotFound):
            store.get("photo1", ANA)


def test_of_one_upload_what_an_answer_does_not_speak_of_stays(
    store: AssetStore, padding: list[mt.Asset]
) -> None:
    upload = asset(
        1, tags=("shore",), context={"alt": "a shore"}, phash="ab", etag="e1", width=9,
        original_filename="DSC1", raw={"tags": ["shore"], "phash": "ab"},
    )  # fmt: skip
    store.save_many([upload, *padding], ANA)
    listed = asset(1, width=9, raw={"width": 9})
    assert store.save_many([listed, *padding], ANA).updated == 1  # its raw
    kept = store.get("photo1", ANA)
    assert replace(kept, id=None, upload_timestamp=None) == replace(upload, raw={"width": 9})
    store.save_many([replace(listed, raw={"tags": []}), *padding], ANA)
    assert (store.get("photo1", ANA).tags, store.get("photo1", ANA).phash) == ((), "ab")

    for another in (replace(listed, version=1001), replace(listed, version=1001, etag="e2")):
        store.save_many([another, *padding], ANA)
        now = store.get("photo1", ANA)
        assert (now.phash, now.context, now.original_filename) == (None, {}, None)


def test_what_was_told_before_and_is_told_again_otherwise_takes_nothing_back(
    store: AssetStore, database: Database, padding: list[mt.Asset]
) -> None:
    """Other answers came in between, so that the row's own is not the one that comes again."""
    answer = {"tags": ["shore"], "context": {"custom": {"alt": "a"}}, "request_id": "1"}
    upload = asset(1, tags=("shore",), context={"alt": "a"}, raw=answer)
    store.save_many([upload, *padding], ANA)
    again = replace(upload, raw={**answer, "request_id": "2"})
    assert store.save_many([again, *padding], ANA).updated == 0, "an answer's own id is no news"
    changes = AssetChanges(database)
    changes.label(changes.find("photo1", ANA), ANA, tags=["sea"], context={"alt": "b"})
    store.save_many([replace(upload, tags=(), context={}, raw={"listed": 1}), *padding], ANA)
    row = store.get("photo1", ANA)
    assert (row.tags, row.context) == (("sea",), {"alt": "b"})
    changes.rename(row, replace(row, public_id="sea"), ANA)
    store.save_many([upload, *padding], ANA)
    row = store.get(upload.asset_id, ANA)
    assert (row.public_id, row.tags, row.context) == ("sea", ("sea",), {"alt": "b"})
    # It had that name before the rename: an upload of that time is told late.
    overwritten = replace(upload, version=1001)
    assert store.save_many([overwritten, *padding], ANA).updated == 0
    assert store.get(upload.asset_id, ANA).public_id == "sea"
    newer = replace(upload, version=int(time.time()) + 60)
    store.save_many([newer, *padding], ANA)
    assert store.get("photo1", ANA).tags == ("shore",), "a newer upload is news of everything"


def test_a_late_message_of_a_former_name_takes_no_other_row(
    store: AssetStore, database: Database, padding: list[mt.Asset]
) -> None:
    """Whose place has been taken in the same second, or by one that is hidden by now."""
    changes = AssetChanges(database)
    for n, version in ((1, 1000), (2, 2000)):
        old, new = asset(n, public_id=f"x{n}"), asset(n + 10, public_id=f"x{n}", version=version)
        store.save_many([old, *padding], ANA)
        (row,) = changes.find(f"x{n}", ANA)
        changes.rename(row, replace(row, public_id=f"y{n}"), ANA)
        store.save_many([new, *padding], ANA)
        if n == 2:
            changes.delete(changes.find("x2", ANA), ANA)
        late = replace(old, raw={"late": n})
        assert store.save_many([late, *padding], ANA).unchanged == 1 + len(padding)
        assert store.get(old.asset_id, ANA).public_id == f"y{n}"
        if n == 2:
            changes.restore(changes.find("x2", ANA, is_deleted=True), ANA)
        assert store.get(f"x{n}", ANA).asset_id == new.asset_id


def test_a_late_message_in_a_chain_of_names_stops_no_other(
    store: AssetStore, padding: list[mt.Asset]
) -> None:
    store.save_many(
        [asset(1, public_id="a", version=10), asset(2, public_id="b", version=20),
         asset(3, public_id="c", version=90), *padding], ANA,
    )  # fmt: skip
    chain = [asset(1, public_id="b", version=11), asset(2, public_id="c", version=21)]
    report = store.save_many([*chain, asset(4), *padding], ANA)
    assert report == SaveReport(inserted=1, unchanged=2 + len(padding))
    assert [store.get(n, ANA).asset_id for n in "abc"] == [asset(n).asset_id for n in (1, 2, 3)]


def test_a_swap_told_to_an_admin_in_two_batches_leaves_both_their_owners(
    store: AssetStore, padding: list[mt.Asset]
) -> None:
    store.save_many([asset(1)], ANA)
    store.save_many([asset(2, "bob")], BOB)
    for number, name in ((1, "photo2"), (2, "photo1")):
        told = asset(number, "root", public_id=name, version=2000)
        store.save_many([told, *(replace(one, user_id="root") for one in padding)], ROOT)
    assert store.get("photo1", ROOT).user_id == "bob"
    assert store.get("photo2", ROOT).user_id == "ana"
    assert {store.get(one.public_id, ROOT).user_id for one in padding} <= {"root"}


def test_what_was_uploaded_after_a_row_without_a_version_was_deleted_brings_it_back(
    store: AssetStore, database: Database, padding: list[mt.Asset]
) -> None:
    changes = AssetChanges(database)
    store.save_many([asset(1, asset_id=None, version=None), *padding], ANA)
    changes.delete(changes.find("photo1", ANA), ANA)
    store.save_many([asset(1, version=int(time.time()) - 3600), *padding], ANA)
    with pytest.raises(mt.NotFound):
        store.get("photo1", ANA)
    store.save_many([asset(1, version=int(time.time()) + 3600), *padding], ANA)
    assert store.get("photo1", ANA).asset_id == f"{1:032x}"


def test_a_later_upload_under_another_name_brings_a_deleted_row_back(
    store: AssetStore, database: Database, padding: list[mt.Asset]
) -> None:
    store.save_many([asset(1), asset(2), *padding], ANA)
    changes = AssetChanges(database)
    changes.delete(changes.find(["photo1", "photo2"], ANA), ANA)
    store.save_many(
        [asset(1, public_id="y1", version=2000), asset(2, public_id="y2", width=1), *padding], ANA
    )
    assert store.get("y1", ANA).asset_id == asset(1).asset_id
    with pytest.raises(mt.NotFound, match="was deleted"):
        store.get("y2", ANA)


def test_a_folder_that_is_not_told_stays(store: AssetStore, padding: list[mt.Asset]) -> None:
    told = {
        "public_id": "tulip", "resource_type": "image", "secure_url": "https://x/tulip.jpg",
        "version": 5, "asset_id": "a" * 32,
    }  # fmt: skip
    for answer in ({**told, "asset_folder": "spring"}, {**told, "bytes": 7}):
        store.save_many([mt.Asset.from_response(answer, "ana"), *padding], ANA)
    row = store.get("tulip", ANA)
    assert (row.folder, row.bytes) == ("spring", 7)


def test_what_cloudinary_says_now_is_true_whatever_the_version(
    store: AssetStore, padding: list[mt.Asset]
) -> None:
    store.save_many([asset(1, version=5000), asset(2, version=9), *padding], ANA)
    now = [asset(2, public_id="photo1", version=9), asset(3, public_id="photo2", version=1)]
    report = store.save_many([*now, *padding], ANA, asked_at=a_moment_later())
    assert (report.inserted, report.updated) == (1, 1)
    assert store.get("photo1", ANA).asset_id == asset(2).asset_id
    assert store.get("photo2", ANA).asset_id == asset(3).asset_id
    with pytest.raises(mt.NotFound):
        store.get(asset(1).asset_id, ANA)


def test_a_name_that_only_steps_aside_is_refused(
    store: AssetStore, padding: list[mt.Asset]
) -> None:
    with pytest.raises(mt.StoreError, match=r"public_id begins with chr\(1\)"):
        store.save_many([asset(1, public_id="\x011\x01never"), *padding], ANA)


def test_saves_of_the_same_under_changing_names_wait_for_each_other(store: AssetStore) -> None:
    def save(round_: int) -> None:
        for turn in range(8):
            names = enumerate(random.Random(round_ * 100 + turn).sample(range(6), 6))
            version = 1000 + turn
            store.save_many([asset(n, public_id=f"n{m}", version=version) for n, m in names], ANA)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(save, range(4)))
    names = sorted(row.public_id for row in store.page(AssetFilter(), ANA).items)
    assert names == [f"n{n}" for n in range(6)]


def test_names_may_change_hands_within_a_batch(
    store: AssetStore, database: Database, padding: list[mt.Asset]
) -> None:
    """A ring, a chain, and a name that goes to a new asset: as the listing after it tells."""
    names = {1: "b", 2: "c", 3: "a", 4: "e", 5: "f"}
    before = {1: "a", 2: "b", 3: "c", 4: "d", 5: "e"}
    store.save_many([*(asset(n, public_id=name) for n, name in before.items()), *padding], ANA)
    ids = {n: store.get(name, ANA).id for n, name in before.items()}
    newer = [asset(n, public_id=name, width=n) for n, name in names.items()]
    report = store.save_many([*newer, asset(6, public_id="d"), *padding], ANA)
    assert report == SaveReport(inserted=1, updated=5, unchanged=len(padding))
    for n, name in {**names, 6: "d"}.items():
        row = store.get(name, ANA)
        assert (row.asset_id, row.id) == (asset(n).asset_id, ids.get(n, row.id))
    for n, name in names.items():
        events = history_frame(database, ANA, store.get(name, ANA))
        assert list(events["operation"]) == ["insert", "rename"]
        assert events["changes"][1]["public_id"] == (before[n], name)
        assert events["old"][1]["width"] is None


def test_two_first_saves_of_one_asset_at_once_are_one_row(store: AssetStore) -> None:
    both = threading.Barrier(2)

    def save(_: int) -> list[SaveReport]:
        reports = []
        for number in range(60):
            both.wait(60)
            reports.append(store.save_many([asset(number)], ANA))
        return reports

    with ThreadPoolExecutor(2) as pool:
        told = zip(*pool.map(save, range(2)), strict=True)
        sums = {one + other for one, other in told}
    assert sums == {SaveReport(inserted=1, unchanged=1)}


def test_a_new_upload_under_an_old_name_keeps_the_row(store: AssetStore) -> None:
    first = store.save(asset(1), ANA)
    again = store.save(asset(1, asset_id="f" * 32, version=2000), ANA)
    assert (again.id, again.asset_id) == (first.id, "f" * 32)


def test_a_deleted_row_comes_back_by_a_later_upload_only(
    store: AssetStore, database: Database, padding: list[mt.Asset]
) -> None:
    changes = AssetChanges(database)

    def delete() -> None:
        changes.delete(changes.find("photo1", ANA), ANA)

    store.save_many([asset(1), *padding], ANA)
    delete()
    for late in (asset(1), asset(1, tags=("late",)), asset(1, version=999)):
        assert store.save_many([late, *padding], ANA).updated == 0
    assert store.save_many([asset(1, version=1001), *padding], ANA).updated == 1
    assert store.get("photo1", ANA).version == 1001
    delete()
    same = asset(1, version=1001)
    assert store.save_many([same, *padding], ANA, revive=True).updated == 0, "before the deletion"
    assert (
        store.save_many([same, *padding], ANA, revive=True, asked_at=a_moment_later()).updated == 1
    )
    now = int(time.time()) + 1
    store.save_many([asset(1, version=now, etag="e1"), *padding], ANA)
    delete()
    another = asset(1, version=now, etag="e2")
    assert store.save_many([another, *padding], ANA, revive=True).updated == 1, "the same second"


def test_what_was_purged_comes_back_by_a_later_upload_or_cloudinarys_word_only(
    store: AssetStore, database: Database, padding: list[mt.Asset]
) -> None:
    changes = AssetChanges(database)
    store.save_many([asset(1), asset(2), *padding], ANA)
    changes.delete([store.get("photo1", ANA)], ANA)
    assert changes.purge(timedelta(0), ANA, lambda _: True, {})
    report = store.save_many([asset(1), asset(2), *padding], ANA, revive=True)
    assert (report.inserted, report.unchanged) == (0, 2 + len(padding))
    with pytest.raises(mt.NotFound, match="purged"):
        store.save(asset(1, version=999), ANA, revive=True)
    # Who is told nothing of it cannot have it either.
    with pytest.raises(mt.Conflict):
        store.save_many([asset(1, "bob"), *(replace(p, user_id="bob") for p in padding)], BOB)
    assert store.save_many([asset(1, version=1001), *padding], ANA).inserted == 1
    changes.delete([store.get("photo1", ANA)], ANA)
    assert changes.purge(timedelta(0), ANA, lambda _: True, {})
    assert store.save_many([asset(1), *padding], ANA, asked_at=a_moment_later()).inserted == 1
    assert store.save_many([asset(1, tags=("known",)), *padding], ANA).updated == 1


def test_saves_that_cross_each_other_both_succeed(store: AssetStore) -> None:
    rows = [asset(n) for n in range(1000)]
    with ThreadPoolExecutor(2) as pool:
        for version in range(2):
            newer = [replace(row, version=2000 + version) for row in rows]
            both = pool.map(lambda wanted: store.save_many(wanted, ANA), (newer, newer[::-1]))
            told = sum(both, SaveReport())
            assert told.inserted + told.updated == told.unchanged == 1000
    assert store.count(AssetFilter(), ANA) == 1000


@pytest.mark.parametrize("route", ["pooled"])
def test_a_hundred_thousand_rows_hold_or_not_at_all(store: AssetStore) -> None:
    """One route is enough: the statements are those of the tests above."""
    store.save(asset(BATCH_ROWS + 1, "bob"), BOB)
    with pytest.raises(mt.Conflict, match=f"image/photo{BATCH_ROWS + 1}"):
        store.save_many((asset(n) for n in range(BATCH_ROWS + COPY_FROM_ROWS + 2)), ANA)
    assert store.count(AssetFilter(user_id="ana"), ANA, is_exact=True) == BATCH_ROWS


@pytest.mark.parametrize("number", [1, 3, 600], ids=["one", "few", "by COPY"])
def test_what_postgres_cannot_hold_is_named_and_nothing_is_stored(
    store: AssetStore, number: int
) -> None:
    rows = [asset(n) for n in range(number)]
    rows[number // 2] = wide = replace(rows[number // 2], width=10**12)
    with pytest.raises(mt.StoreError, match="out of range for type integer") as refused:
        store.save_many(rows, ANA)
    assert refused.value.ids == (str(wide),) == (f"image/upload/photo{number // 2}",)
    assert str(wide) in refused.value.message
    assert "leave it out" in refused.value.hint
    assert store.count(AssetFilter(), ANA) == 0


@pytest.mark.parametrize("told", ["9999-12-31T23:59:59-10:00", "0001-01-01T00:00:00+01:00"])
def test_a_moment_that_could_not_be_read_back_is_refused(
    store: AssetStore, padding: list[mt.Asset], told: str
) -> None:
    far = asset(1, created_at=datetime.fromisoformat(told))
    with pytest.raises(mt.StoreError, match=r"created_at is .*not within the years") as refused:
        store.save_many([far, *padding], ANA)
    assert refused.value.ids == (str(far),)
    assert store.count(AssetFilter(), ANA) == 0


# What saves do not agree on by nature: Postgres counts ids and reads the clock.
_READ = sa.select(*(c for c in files.c if c.name not in ("id", "upload_timestamp")))
_strings = st.text(st.sampled_from("ab\\\"'{},\t\n\r\0\x01\x7f\u2028ü🌷\ud800\udc00"), max_size=5)
_scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | _strings | st.just(2**80)
    | st.just("null") | st.just(b"x") | st.just({1}) | st.just(Decimal("1.50"))
    | st.just(UUID(int=7))
    | st.just(np.int64(7)) | st.just(np.float32(0.5)) | st.just(np.bool_(True)) | st.just(pd.NaT)
    | st.just(date(2026, 3, 1)) | st.just(datetime(2026, 3, 1, 12)) | st.just(HTTPStatus.OK)
)  # fmt: skip
_keys = _strings | st.integers(0, 3) | st.booleans() | st.none() | st.floats() | st.just((1, 2))
_objects = st.dictionaries(
    _keys,
    st.recursive(
        _scalars,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.lists(inner, max_size=2).map(tuple)
            | st.dictionaries(_keys, inner, max_size=3)
            | st.dictionaries(_keys, inner, max_size=2).map(MappingProxyType)
        ),
        max_leaves=6,
    ),
    max_size=3,
)
_odd: dict[str, st.SearchStrategy[Any]] = {
    "public_id": _strings.map(lambda text: f"p{text}") | st.none(),
    "media_url": _strings,
    "format": st.none() | _strings | st.just(5),
    "folder": _strings,
    "version": st.integers(-(2**64), 2**64) | st.sampled_from([np.int64(9), 1.0]),
    "width": st.integers(0, 9) | st.sampled_from([True, "5", 2**40]),
    "duration": st.floats() | st.integers(0, 9) | st.just(np.float64(1.5)),
    "tags": st.lists(_strings, max_size=3).map(tuple)
    | st.sampled_from([None, [], ["a"], ("a", None), "abc", (1,), {"a"}]),
    "context": _objects | st.none(),
    "raw": _objects | st.sampled_from([None, [], "text"]),
    "created_at": st.datetimes(timezones=st.sampled_from([None, UTC]) | st.timezones())
    | st.sampled_from([pd.NaT, pd.Timestamp("2026-03-01"), date(2026, 3, 1), "2026-03-01"]),
}
_odd_assets = (
    st.sets(st.sampled_from(sorted(_odd)), min_size=1, max_size=2)
    .flatmap(lambda names: st.fixed_dictionaries({name: _odd[name] for name in sorted(names)}))
    .map(lambda changes: asset(1, **changes))
)


@pytest.mark.parametrize("route", ["direct"])
def test_few_and_many_are_saved_as_the_same_rows_or_refused_with_the_same_words(
    database: Database, settings: mt.Settings
) -> None:
    class Kept(Exception):
        """Undoes a save once its row is read."""

    def saved(one: mt.Asset, copy_from: int) -> list[Any]:
        read: list[Any] = []

        def save(connection: sa.Connection) -> None:
            saving.write(connection, [one], ANA)
            read.extend(connection.execute(_READ).all())
            raise Kept

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(saving, "COPY_FROM_ROWS", copy_from)
            try:
                saving.save_batch(database, [one], ANA, save)
            except Kept:
                return read
            except mt.StoreError as refused:
                return [type(refused), refused.message, refused.ids]
        raise AssertionError("neither saved nor refused")

    outcomes: list[bool] = []

    @hypothesis.settings(
        max_examples=400, derandomize=True, database=None, deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )  # fmt: skip
    @hypothesis.given(one=_odd_assets)
    def is_the_same(one: mt.Asset) -> None:
        few, many = saved(one, 500), saved(one, 1)
        # NaN, which equals nothing, is refused, so rows compare.
        assert few == many
        outcomes.append(len(few) == 1)

    is_the_same()
    assert outcomes.count(True) > 50
    assert outcomes.count(False) > 50


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"raw": {"exif": {"Gain": [1, float("nan")]}}}, r"raw.exif.Gain.1 is nan, no finite"),
        ({"context": {"a": float("-inf")}}, "context.a is -inf, no finite number"),
        ({"raw": {"a": {1}}}, r"raw.a is \{1\} \(set\), which JSON does not have"),
        ({"raw": {(1, 2): 3}}, r"raw has the key \(1, 2\) \(tuple\), which is no text"),
        ({"raw": {"a": "\ud83c"}}, r"raw.a holds half a character"),
        ({"format": "\ud83c"}, r"format holds half a character"),
        ({"raw": {"a": 10**5000}}, "raw.a is a whole number of thousands of digits"),
        ({"duration": float("nan")}, "duration is nan"),
        ({"tags": ("a", None)}, r"tags is None \(NoneType\), not text"),
        ({"tags": "abc"}, r"tags is 'abc' \(str\), not a list of text"),
        ({"width": 1.0}, r"width is 1.0 \(float\), not a whole number"),
        ({"media_url": None}, "media_url is missing"),
        ({"asset_id": "a\0"}, "asset_id holds a NUL"),
        (
            {"raw": reduce(lambda inner, _: {"a": inner}, range(400), {})},
            "raw is nested more than 300 deep",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_no_row_can_hold_is_named_with_its_key(
    store: AssetStore, padding: list[mt.Asset], changes: dict[str, Any], said: str
) -> None:
    odd = asset(1, **changes)
    with pytest.raises(mt.StoreError, match=f"^image/upload/photo1: {said}") as refused:
        store.save_many([asset(0), odd, *padding], ANA)
    assert refused.value.ids == (str(odd),)
    assert "nothing of its batch is stored" in refused.value.hint
    assert store.count(AssetFilter(), ANA) == 0


def test_values_that_json_lacks_but_has_a_way_to_write(
    store: AssetStore, padding: list[mt.Asset]
) -> None:
    raw = {
        1: datetime(2026, 3, 1, tzinfo=UTC),
        False: UUID(int=7),
        None: HTTPStatus.OK,
        "deep": reduce(lambda inner, _: [inner], range(270), [0]),
        "large": 2**80,
    }
    odd = asset(1, raw=raw, created_at=datetime(2026, 3, 1), tags=['a,"b\\', "\n"])
    store.save_many([odd, *padding], ANA)
    saved = store.get("photo1", ANA)
    assert saved.raw == {
        "1": "2026-03-01T00:00:00+00:00",
        "false": "00000000-0000-0000-0000-000000000007",
        "null": 200,
        "deep": raw["deep"],
        "large": 2**80,
    }
    assert saved.created_at == datetime(2026, 3, 1, tzinfo=UTC), "UTC, unless it says another"
    assert saved.tags == ('a,"b\\', "\n")


def test_rows_have_the_columns_that_an_asset_has() -> None:
    own = {"id", "upload_timestamp"}
    assert {f.name for f in fields(mt.Asset)} - own == set(rows.COLUMNS)


_RANDOM = random.Random(7)


def _incompressible(length: int) -> str:
    return "".join(_RANDOM.choices(string.ascii_letters, k=length))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"public_id": _incompressible(5000)}, "index row size .*cloudinary_files_identity"),
        ({"tags": (_incompressible(9000),)}, "index row"),
        ({"format": _incompressible(9000)}, "index row"),
        ({"asset_id": _incompressible(9000)}, "index row"),
    ],
    ids=["public_id", "tag", "format", "asset_id"],
)
def test_what_an_index_cannot_hold_is_named_with_what_to_do(
    store: AssetStore, padding: list[mt.Asset], changes: dict[str, Any], said: str
) -> None:
    many = [asset(n) for n in range(20)]
    many[13] = long = asset(13, **changes)
    with pytest.raises(mt.StoreError, match=said) as refused:
        store.save_many([*many, *padding], ANA)
    assert refused.value.ids == (str(long),)
    assert refused.value.message.startswith(str(long)[:100])
    assert len(refused.value.message) < 400
    assert "shorten" in refused.value.hint
    assert store.count(AssetFilter(), ANA, is_exact=True) == 0
    with pytest.raises(mt.StoreError, match=said) as refused:
        store.save(long, ANA)
    assert refused.value.ids == (str(long),)


@pytest.mark.parametrize(
    ("rule", "kind", "said"),
    [
        ("ADD CONSTRAINT mine CHECK (width < 9000)", mt.StoreError, "check constraint"),
        ("ADD CONSTRAINT mine UNIQUE (etag)", mt.Conflict, "unique constraint"),
    ],
    ids=["check", "unique"],
)
def test_a_rule_of_ones_own_names_the_asset_that_breaks_it(
    store: AssetStore,
    stack: EmbeddedStack,
    padding: list[mt.Asset],
    rule: str,
    kind: type[mt.StoreError],
    said: str,
) -> None:
    store.save(asset(90, etag="taken"), ANA)
    many = [asset(n) for n in range(20)]
    many[13] = odd = asset(13, width=9000, etag="taken")
    with closing(psycopg2.connect(stack.database_url)) as owner:
        owner.autocommit = True
        with owner.cursor() as cursor:
            cursor.execute(f"ALTER TABLE cloudinary_files {rule}")
            try:
                with pytest.raises(kind, match=f"^image/upload/photo13: .*{said}") as refused:
                    store.save_many([*many, *padding], ANA)
                assert refused.value.ids == (str(odd),)
                twice = [asset(1, etag="e"), asset(2, etag="e"), *padding]
                if kind is mt.Conflict:
                    with pytest.raises(mt.Conflict, match=r"^duplicate key") as refused:
                        store.save_many(twice, ANA)
                    assert refused.value.ids == (), "each of the two could be saved alone"
            finally:
                cursor.execute("ALTER TABLE cloudinary_files DROP CONSTRAINT mine")
    assert store.count(AssetFilter(), ANA) == 1


def test_a_trigger_of_ones_own_that_may_not_write_says_what_it_may_not(
    store: AssetStore, stack: EmbeddedStack, padding: list[mt.Asset]
) -> None:
    with closing(psycopg2.connect(stack.database_url)) as owner:
        owner.autocommit = True
        with owner.cursor() as cursor:
            cursor.execute("""
                CREATE TABLE audit (id SERIAL, name TEXT);
                CREATE FUNCTION audited() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                    INSERT INTO audit (name) VALUES (new.public_id); RETURN new; END $$;
                CREATE TRIGGER audited AFTER INSERT ON cloudinary_files
                    FOR EACH ROW EXECUTE FUNCTION audited()
            """)
            try:
                for right in ("INSERT ON audit", "USAGE ON SEQUENCE audit_id_seq"):
                    grant = f"GRANT {right} TO media_toolkit_app"
                    with pytest.raises(mt.Forbidden, match="permission denied") as refused:
                        store.save_many([asset(1), *padding], ANA)
                    assert (refused.value.hint, refused.value.ids) == (
                        f"as the owner of it: {grant}",
                        (),
                    )
                    cursor.execute(grant)
                store.save_many([asset(1), *padding], ANA)
            finally:
                cursor.execute(
                    "DROP TRIGGER audited ON cloudinary_files; DROP FUNCTION audited();"
                    "DROP TABLE audit"
                )


def test_an_asset_of_another_user_is_named(store: AssetStore, padding: list[mt.Asset]) -> None:
    with pytest.raises(mt.Forbidden, match=r"^image/upload/photo7: .*row-level security"):
        store.save_many([asset(6), asset(7, "bob"), asset(8), *padding], ANA)
    assert store.count(AssetFilter(), ANA) == 0


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> int:
    """As many as COPY is taken for, so that a thousand rows are batches enough."""
    monkeypatch.setattr("media_toolkit.store.saving.BATCH_ROWS", COPY_FROM_ROWS)
    return COPY_FROM_ROWS


def test_batches_are_saved_in_order_and_counted_together(
    store: AssetStore, small_batches: int
) -> None:
    last = 3 * small_batches + 10
    again = [asset(0, version=2000), asset(1)]
    report = store.save_many([*(asset(n) for n in range(last)), *again], ANA)
    assert report == SaveReport(inserted=last, updated=1, unchanged=1)
    newest = store.page(AssetFilter(), ANA, limit=20).items
    assert [row.public_id for row in newest] == [f"photo{last - n}" for n in range(1, 21)]
    full = [asset(n) for n in range(small_batches)]
    assert store.save_many(full, ANA) == SaveReport(unchanged=small_batches)


def test_a_source_is_read_in_the_callers_thread_and_two_batches_ahead_at_most(
    store: AssetStore, small_batches: int
) -> None:
    alive: list[weakref.ref[Pinned]] = []
    most = 0

    def source() -> Iterator[mt.Asset]:
        nonlocal most
        for n in range(6 * small_batches):
            assert threading.current_thread() is caller
            raw = Pinned(number=n)
            alive.append(weakref.ref(raw))
            if n % 50 == 0:
                alive[:] = [one for one in alive if one() is not None]
                most = max(most, len(alive))
            yield asset(n, raw=raw)

    caller = threading.current_thread()
    assert store.save_many(source(), ANA).inserted == 6 * small_batches
    assert most <= 2 * small_batches + 100


class Pinned(dict[str, int]):
    """A response whose end can be seen."""


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_source_that_breaks_off_leaves_whole_batches(
    store: AssetStore, small_batches: int, error: type[BaseException]
) -> None:
    def source() -> Iterator[mt.Asset]:
        yield from (asset(n) for n in range(2 * small_batches + 7))
        raise error

    with pytest.raises(error):
        store.save_many(source(), ANA)
    assert store.count(AssetFilter(), ANA) == 2 * small_batches
    assert not [t for t in threading.enumerate() if t.name.startswith("media_toolkit_save")]


def test_a_refused_batch_ends_the_reading_of_a_slow_source(
    store: AssetStore, small_batches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save(asset(small_batches, "bob"), BOB)
    read, is_refused = 0, threading.Event()
    save_batch = saving.save_batch

    def told(*given: Any) -> SaveReport:
        try:
            return save_batch(*given)
        except mt.Conflict:
            is_refused.set()
            raise

    def source() -> Iterator[mt.Asset]:
        nonlocal read
        for read in range(5 * small_batches):
            if read > 2 * small_batches:
                assert is_refused.wait(120)
                # From here to the end of the thread that saves is a moment; to a batch, 5 s.
                time.sleep(0.01)
            yield asset(read)

    monkeypatch.setattr(saving, "save_batch", told)

    with pytest.raises(mt.Conflict, match=f"image/photo{small_batches}"):
        store.save_many(source(), ANA)
    assert read < 3 * small_batches
    assert store.count(AssetFilter(user_id="ana"), ANA) == small_batches


def test_no_rows_are_no_work(store: AssetStore) -> None:
    assert store.save_many([], ANA) == SaveReport()
