"""Saving few and many: the same rules by JSON and by COPY, whatever the rows hold."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

import media_toolkit as mt
from media_toolkit.identity import Identity
from media_toolkit.store import saving
from media_toolkit.store.assets import AssetStore
from media_toolkit.store.changes import AssetChanges
from media_toolkit.store.database import Database
from media_toolkit.store.filters import AssetFilter
from media_toolkit.store.saving import BATCH_ROWS, COPY_FROM_ROWS, SaveReport

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


def test_a_rename_onto_a_name_that_was_overwritten_takes_it(
    store: AssetStore, padding: list[mt.Asset]
) -> None:
    first = store.save(asset(1), ANA)
    store.save(asset(2), ANA)
    store.save_many([asset(1, public_id="photo2", version=2000), *padding], ANA)
    assert store.get("photo2", ANA).id == first.id
    assert store.count(AssetFilter(), ANA) == 1 + len(padding)


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
    assert store.save_many([asset(1, version=1001), *padding], ANA, revive=True).updated == 1


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
