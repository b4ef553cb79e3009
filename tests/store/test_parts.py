"""Large reads in parts: two connections give what one would, whatever becomes of the second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pandas as pd
import pytest

import media_toolkit as mt
from media_toolkit.embedded.stack import EmbeddedStack
from media_toolkit.store import frames, migrations, parts
from media_toolkit.store.database import Database
from media_toolkit.store.filters import AssetFilter

PLAIN = ["id", "public_id", "user_id", "upload_timestamp", "version", "bytes", "width", "duration"]
ROWS = 1200
TAKE = parts._Desk._take


def response(number: int) -> dict[str, Any]:
    return {
        "public_id": f"many/{number}",
        "resource_type": "image",
        "type": "upload",
        "secure_url": "https://res.cloudinary.com/demo/image/upload/x.jpg",
        "version": number,
        "bytes": number * 10,
        "duration": number / 2 if number % 2 else None,
    }


class Patient(parts._Desk[Any]):
    """Who leads waits until somebody helps, so that a test sees both."""

    made: list[Patient]

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.made.append(self)

    def _take(self, is_helping: bool) -> int | None:
        deadline = time.monotonic() + 60
        while not is_helping and not self.is_helped and time.monotonic() < deadline:
            time.sleep(0.001)
        return super()._take(is_helping)


@pytest.fixture
def desks(monkeypatch: pytest.MonkeyPatch) -> type[Patient]:
    """Those of the reads of a test, all of which are large."""
    monkeypatch.setattr(parts, "_LEAST_ROWS", 100)
    monkeypatch.setattr(parts, "_LEAST_BYTES", 0)
    monkeypatch.setattr(parts, "_BYTES", 10_000)
    for name in ("enable_sort", "enable_seqscan", "enable_bitmapscan"):
        monkeypatch.setitem(frames._PLANNING, name, "off")
    monkeypatch.setattr(parts, "_Desk", Patient)
    monkeypatch.setattr(Patient, "made", [], raising=False)
    return Patient


@pytest.fixture
def library(kit: mt.MediaToolkit, desks: type[Patient]) -> mt.MediaToolkit:
    for first in range(0, ROWS, 300):
        user = kit.acting_as("ana" if first % 200 else "bob")
        user.save_many(response(n) for n in range(first, first + 300))
    return kit


def one_connection(kit: mt.MediaToolkit, **asked: Any) -> pd.DataFrame:
    return pd.concat(kit.iter_assets(columns=PLAIN, **asked), ignore_index=True)


@pytest.mark.parametrize("order_by", ["-upload_timestamp", "upload_timestamp"])
@pytest.mark.parametrize(
    "asked",
    [{}, {"user_id": "ana"}, {"min_bytes": 3000}, {"text": "many"}, {"resource_type": "image"}],
)
@pytest.mark.parametrize("deleted", [[], [f"many/{n}" for n in range(300, 600, 7)]])
def test_two_connections_read_what_one_does(
    library: mt.MediaToolkit,
    desks: type[Patient],
    order_by: str,
    asked: dict[str, Any],
    deleted: list[str],
) -> None:
    if deleted:
        library.delete(deleted)
    frame = library.assets(columns=PLAIN, order_by=order_by, **asked)
    expected = one_connection(library, order_by=order_by, **asked)
    assert len(frame) > 500
    pd.testing.assert_frame_equal(frame, expected)
    (desk,) = desks.made
    assert desk._count >= 4
    assert desk.is_helped


def test_both_see_the_moment_at_which_the_read_began(
    library: mt.MediaToolkit, desks: type[Patient], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = one_connection(library)
    beside = Database.arrow_beside

    def after_a_change(*given: Any) -> Any:
        library.delete(["many/310", "many/900"])
        library.save_many([response(ROWS)])
        changed = [{**response(n), "version": ROWS + n} for n in range(300)]
        library.acting_as("bob").save_many(changed)
        return beside(*given)

    with monkeypatch.context() as while_reading:
        while_reading.setattr(Database, "arrow_beside", after_a_change)
        pd.testing.assert_frame_equal(library.assets(columns=PLAIN), expected)
    assert desks.made[-1].is_helped
    assert len(library.assets(columns=PLAIN)) == ROWS - 1


@pytest.mark.parametrize(("is_second", "at"), [(True, 0), (True, 1), (False, 0)])
def test_what_one_leaves_undone_is_read_all_the_same(
    library: mt.MediaToolkit,
    desks: type[Patient],
    monkeypatch: pytest.MonkeyPatch,
    is_second: bool,
    at: int,
) -> None:
    """Of the second the first reads it; where the first fails, both begin anew."""
    begun, failed = iter(range(ROWS)), threading.Event()
    original = frames._executed

    def executed(connection: Any, statement: str, *rest: Any) -> Any:
        is_of_second = threading.current_thread().name == "media-toolkit-parts"
        if is_of_second is is_second and next(begun) == at:
            failed.set()
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return original(connection, statement, *rest)

    with monkeypatch.context() as while_reading:
        while_reading.setattr(frames, "_executed", executed)
        frame = library.assets(columns=PLAIN)
    assert failed.is_set()
    assert len(desks.made) == (1 if is_second else 2)
    pd.testing.assert_frame_equal(frame, one_connection(library))
    assert len(library.assets(columns=PLAIN)) == ROWS


def test_an_interrupt_ends_both(
    library: mt.MediaToolkit, monkeypatch: pytest.MonkeyPatch, until: Callable[..., None]
) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as while_reading:
        while_reading.setattr(frames, "frame_of", interrupted)
        with pytest.raises(KeyboardInterrupt):
            library.assets(columns=PLAIN)
    until(lambda: "media-toolkit-parts" not in {t.name for t in threading.enumerate()})
    pool = library._database._arrow._pool
    until(lambda: pool.checkedout() == 0)
    assert len(library.assets(columns=PLAIN)) == ROWS


def test_of_many_reads_one_is_helped(
    library: mt.MediaToolkit, monkeypatch: pytest.MonkeyPatch, until: Callable[..., None]
) -> None:
    monkeypatch.setattr(Patient, "_take", TAKE)
    database = library._database
    with ExitStack() as held:
        assert held.enter_context(database._arrow.lend_beside()) is not None
        assert held.enter_context(database._arrow.lend_beside()) is None
        assert len(library.assets(columns=PLAIN)) == ROWS
        assert not Patient.made[-1].is_helped
    with ThreadPoolExecutor(12) as pool:
        frames_read = list(pool.map(lambda _: library.assets(columns=PLAIN), range(24)))
    assert {len(frame) for frame in frames_read} == {ROWS}
    until(lambda: database._arrow._pool.checkedout() == 0)


def test_behind_a_pooler_with_one_connection_nobody_waits_for_a_second(
    library: mt.MediaToolkit,
    stack: EmbeddedStack,
    pooler_before: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Patient, "_take", TAKE)
    ana, everything = mt.Identity("ana"), AssetFilter()
    with pooler_before(stack.database_url, pool_size=1) as narrow:
        database = Database(narrow.url(stack.database_url), stack.database_url)
        frame = frames.assets_frame(database, ana, everything, columns=PLAIN)
        again = frames.assets_frame(database, ana, everything, columns=PLAIN)
        database.close()
    pd.testing.assert_frame_equal(frame, again)
    pd.testing.assert_frame_equal(frame, one_connection(library))
    assert [desk.is_helped for desk in Patient.made] == [False, False]


@pytest.mark.parametrize(
    "asked",
    [{"limit": ROWS}, {"order_by": "bytes"}, {"columns": ["tags"]}, {"as_of": "2099-01-01"}],
)
def test_some_reads_are_one(library: mt.MediaToolkit, asked: dict[str, Any]) -> None:
    assert len(library.assets(**{"columns": PLAIN, **asked})) == ROWS
    assert not Patient.made


def test_where_postgres_would_sort_nothing_is_divided(
    library: mt.MediaToolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(frames._PLANNING, "enable_sort", "on")
    monkeypatch.setitem(frames._PLANNING, "enable_indexscan", "off")
    assert library.assets(columns=PLAIN)["version"].tolist() == list(range(ROWS - 1, -1, -1))
    assert not Patient.made


def test_under_private_users_read_their_own(
    library: mt.MediaToolkit, desks: type[Patient], stack: EmbeddedStack
) -> None:
    owner = Database(stack.database_url)
    migrations.migrate(owner, "private")
    try:
        with mt.connect(library.settings) as anew:
            frame = anew.assets(columns=PLAIN)
    finally:
        migrations.migrate(owner, "team")
        owner.close()
    assert set(frame["user_id"]) == {"ana"}
    assert len(frame) == ROWS // 2
    assert desks.made[-1].is_helped
