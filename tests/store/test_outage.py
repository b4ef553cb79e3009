"""Postgres restarts, sleeps and stays away: under saves and reads that are going on."""

from __future__ import annotations

import itertools
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg2
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

import media_toolkit as mt
from media_toolkit.embedded.configuration import StackConfiguration
from media_toolkit.embedded.postgres import EmbeddedPostgres
from media_toolkit.identity import Identity
from media_toolkit.store import database as database_module
from media_toolkit.store import frames, migrations, saving
from media_toolkit.store.assets import AssetStore, SaveReport
from media_toolkit.store.database import Database
from media_toolkit.store.filters import AssetFilter

ANA = Identity("ana")


class Server:
    """A Postgres of this module's own, which its tests stop and start."""

    def __init__(self, home: Path, until: Callable[..., None]) -> None:
        self._until = until
        configuration = StackConfiguration.of(mt.Settings(home=home))
        self.postgres = EmbeddedPostgres(configuration)
        self.postgres.start()
        self.direct_url = configuration.database_url

    def restart(self) -> None:
        self.postgres.stop()
        self.postgres.start()

    def rows(self, statement: str) -> Any:
        with closing_database(self.direct_url) as database, database.direct() as connection:
            return connection.scalar(sa.text(statement))

    @contextmanager
    def locked(self) -> Iterator[Callable[[], None]]:
        """Nobody may write; gives a call that returns once somebody stands and waits for it."""
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        blocker = psycopg2.connect(self.direct_url)
        with closing(blocker), blocker.cursor() as cursor:
            cursor.execute("LOCK TABLE cloudinary_files IN SHARE MODE")
            yield lambda: self._until(lambda: self.rows(waiting))


def closing_database(url: str) -> Any:
    return closing(Database(url))


@pytest.fixture(scope="module")
def _server(prepared_home: Any, until: Callable[..., None]) -> Iterator[Server]:
    with prepared_home() as home:
        server = Server(home, until)
        yield server
        server.postgres.stop()


@pytest.fixture(scope="module")
def _pooler(_server: Server, pooler_before: Any) -> Iterator[Any]:
    with pooler_before(_server.direct_url, patience_s=1) as pooler:
        yield pooler


@pytest.fixture
def server(_server: Server) -> Server:
    """Running, with empty tables."""
    _server.postgres.start()
    with closing_database(_server.direct_url) as database, database.direct() as connection:
        connection.exec_driver_sql("TRUNCATE cloudinary_files, cloudinary_files_history")
    return _server


@pytest.fixture
def url(server: Server, route: str, request: pytest.FixtureRequest) -> str:
    """Of `server`, by the route under test."""
    url = server.direct_url
    return url if route == "direct" else str(request.getfixturevalue("_pooler").url(url))


@pytest.fixture
def in_background() -> Iterator[Callable[..., Future[Any]]]:
    """Run a call in a thread; its result is awaited at the end, its errors are the test's."""
    with ThreadPoolExecutor(4) as pool:
        yield pool.submit


def assets(numbers: range) -> list[mt.Asset]:
    return [
        mt.Asset(
            public_id=f"photo{n}",
            media_url=f"https://res.cloudinary.com/demo/image/upload/photo{n}.jpg",
            resource_type="image",
            user_id="ana",
            asset_id=f"{n:032x}",
            version=1000,
        )
        for n in numbers
    ]


@pytest.mark.parametrize(
    ("number", "in_vain"), [(3, 1), (2000, 1), (2000, 4)], ids=["few", "many", "many, for longer"]
)
def test_a_save_that_a_restart_interrupts_is_done_once_and_whole(
    server: Server,
    url: str,
    number: int,
    in_vain: int,
    until: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    in_background: Callable[..., Future[SaveReport]],
) -> None:
    """Postgres stays away until so many tries were in vain; as long as 8 s by default."""
    assert database_module.PATIENCE_S > 10
    tried: list[BaseException] = []
    is_passing = database_module.is_passing
    monkeypatch.setattr(
        database_module, "is_passing", lambda error: tried.append(error) or is_passing(error)
    )
    with (
        closing(Database(url, server.direct_url, patience_s=600)) as database,
        server.locked() as when_it_waits,
    ):
        store = AssetStore(database)
        saving = in_background(store.save_many, assets(range(number)), ANA)
        when_it_waits()
        server.postgres.stop()
        until(lambda: len(tried) >= in_vain)
        server.postgres.start()
        assert saving.result() == SaveReport(inserted=number)
        assert server.rows("SELECT count(*) FROM cloudinary_files") == number
        assert server.rows("SELECT count(*) FROM cloudinary_files_history") == number


def test_a_copy_that_is_cut_off_is_done_again_and_whole(
    server: Server, url: str, until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_progress_copy WHERE relid <> 0"
    cuts = []

    class CutOff(saving.CopyText):
        """Its first COPY loses the connection once half of the lines are asked for."""

        def read(self, _size: int = -1) -> str:
            if next(reads) == 10:
                until(lambda: server.rows(cut))
                cuts.append(cut)
            return super().read(_size)

    reads = itertools.count()
    monkeypatch.setattr(saving, "CopyText", CutOff)
    with closing_database(url) as database:
        report = AssetStore(database).save_many(assets(range(10_000)), ANA)
    assert len(cuts) == 1
    assert report == SaveReport(inserted=10_000)
    assert server.rows("SELECT count(*) FROM cloudinary_files") == 10_000


@pytest.fixture
def cut_while_read(server: Server, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The first read into a frame loses its connection; tells how many were cut.

    Larger than what sockets hold, its answer is still being sent then.
    """
    cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'COPY (%'"
    cuts: list[int] = []
    frame_of = frames.frame_of

    def cut_off(batches: Any, schema: Any) -> Any:
        if not cuts:
            cuts.append(server.rows(cut))
        return frame_of(batches, schema)

    monkeypatch.setattr(frames, "frame_of", cut_off)
    return cuts


def test_a_read_that_is_cut_off_is_done_again_and_whole(
    server: Server, url: str, stack: Any, home: Path, cut_while_read: list[int]
) -> None:
    settings = mt.Settings(home=home, database_url=url, database_direct_url=server.direct_url)
    with mt.connect(settings, user_id="ana") as kit:
        store = AssetStore(kit._database)
        store.save_many(
            [replace(a, context={"alt": "x" * 10_000}) for a in assets(range(3000))], ANA
        )
        assert len(kit.assets()) == 3000
        assert cut_while_read == [1]


@pytest.fixture(scope="module")
def _long_url(_server: Server) -> str:
    """A database beside the others', with 3,000 assets of 20 kB, some of one moment.

    More than sockets hold; its tests only read it, so that it is filled once.
    """
    _server.postgres.start()
    with closing(psycopg2.connect(_server.direct_url)) as connection:
        connection.autocommit = True
        connection.cursor().execute("CREATE DATABASE long")
    url = f"{_server.direct_url.rpartition('/')[0]}/long"
    with closing_database(url) as database:
        migrations.migrate(database)
        store = AssetStore(database)
        for first in range(0, 3000, 500):
            some = assets(range(first, first + 500))
            long = [replace(a, context={"alt": f"{a.public_id}{'x' * 20_000}"}) for a in some]
            store.save_many(long, ANA)
    return url


@pytest.fixture
def long_library(
    server: Server,
    _long_url: str,
    route: str,
    stack: Any,
    home: Path,
    request: pytest.FixtureRequest,
) -> Iterator[tuple[mt.MediaToolkit, dict[int, str]]]:
    """A kit on that database by the route under test; id → public_id."""
    url = _long_url
    if route == "pooled":
        url = request.getfixturevalue("_pooler").url(url)
    settings = mt.Settings(home=home, database_url=url, database_direct_url=_long_url)
    with mt.connect(settings, user_id="ana") as kit:
        frame = kit.assets(columns=["id", "public_id"])
        yield kit, dict(zip(frame["id"], frame["public_id"], strict=True))


@pytest.mark.parametrize("order_by", ["-upload_timestamp", "upload_timestamp", "-id", "id"])
@pytest.mark.parametrize("limit", [None, 2500])
def test_batches_go_on_after_the_last_row_when_postgres_restarts_between_them(
    server: Server,
    long_library: tuple[mt.MediaToolkit, dict[int, str]],
    order_by: str,
    limit: int | None,
) -> None:
    kit, _ = long_library
    columns = ["public_id", "context"]
    whole = kit.assets(columns=columns, order_by=order_by, limit=limit)
    parts = kit.iter_assets(batch_size=100, columns=columns, order_by=order_by, limit=limit)
    read = [next(parts)]
    for _ in range(2):
        server.restart()
        read += itertools.islice(parts, 5)
    read += parts
    assert {len(part) for part in read} == {100}
    pd.testing.assert_frame_equal(pd.concat(read, ignore_index=True), whole)


def test_batches_in_an_order_that_may_change_say_so_when_postgres_restarts(
    server: Server, long_library: tuple[mt.MediaToolkit, dict[int, str]], tmp_path: Path
) -> None:
    kit, _ = long_library
    parts = kit.iter_assets(batch_size=100, order_by="public_id")
    assert len(next(parts)) == 100
    server.restart()
    with pytest.raises(mt.Unavailable, match="in the middle of a read by public_id") as away:
        list(parts)
    assert "by upload_timestamp or id goes on" in away.value.hint
    assert len(kit.assets(order_by="public_id", columns=["id"])) == 3000


@pytest.mark.parametrize("order_by", ["-upload_timestamp", "public_id"])
def test_a_parquet_file_is_whole_or_as_it_was_when_postgres_restarts(
    server: Server,
    long_library: tuple[mt.MediaToolkit, dict[int, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    order_by: str,
) -> None:
    kit, ids = long_library
    path, restarts, plain = tmp_path / "assets.parquet", [], frames._plain
    path.write_bytes(b"of yesterday")

    def restart_once(table: Any) -> Any:
        if not restarts:
            restarts.append(server.restart())
            assert path.read_bytes() == b"of yesterday"
        return plain(table)

    monkeypatch.setattr(frames, "_plain", restart_once)
    monkeypatch.setattr(frames, "_PARQUET_ROWS", 100)
    if order_by == "public_id":
        with pytest.raises(mt.Unavailable, match="in the middle"):
            kit.to_parquet(path, order_by=order_by)
        assert path.read_bytes() == b"of yesterday"
    else:
        assert kit.to_parquet(path, order_by=order_by) == 3000
        table = pq.read_table(path)
        rows = zip(table["id"].to_pylist(), table["public_id"].to_pylist(), strict=True)
        assert sorted(rows) == sorted(ids.items())
    assert len(restarts) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["assets.parquet"]


def test_batches_of_a_postgres_that_stays_away_say_what_to_do(
    server: Server, long_library: tuple[mt.MediaToolkit, dict[int, str]]
) -> None:
    kit, _ = long_library
    kit._database._patience_s = 0.5
    parts = kit.iter_assets(batch_size=100)
    assert len(next(parts)) == 100
    server.postgres.stop()
    with pytest.raises(mt.Unavailable, match="try again once Postgres is back"):
        list(parts)


def test_who_looks_at_pages_meanwhile_sees_no_error(
    server: Server, url: str, stack: Any, home: Path,
    in_background: Callable[..., Future[int]],
) -> None:  # fmt: skip
    settings = mt.Settings(home=home, database_url=url, database_direct_url=server.direct_url)
    is_over, have_looked = threading.Event(), threading.Barrier(4, timeout=120)
    with mt.connect(settings, user_id="ana") as kit:
        kit.save_many(asset.raw | {"secure_url": asset.media_url, **named(asset)} for asset in
                      assets(range(60)))  # fmt: skip

        kit._database._patience_s = 120

        def look() -> int:
            looks = 0
            while not is_over.is_set():
                page = kit.page(limit=48)
                assert len(page.items) == 48
                assert len(kit.page(limit=48, after=page.next_cursor).items) == 12
                assert kit.count(user_id="ana") == 60
                assert len(kit.assets(limit=10)) == 10
                assert kit.asset("photo7").public_id == "photo7"
                looks += 1
                if looks == 1:
                    have_looked.wait()
            return looks

        looking = [in_background(look) for _ in range(3)]
        try:
            have_looked.wait()
            for _ in range(3):
                server.restart()
        finally:
            is_over.set()
        assert all(done.result() > 0 for done in looking)


def named(asset: mt.Asset) -> dict[str, Any]:
    return {"public_id": asset.public_id, "resource_type": "image", "asset_id": asset.asset_id}


def test_a_longer_outage_says_what_to_do_and_loses_and_doubles_nothing(
    server: Server, url: str
) -> None:
    with closing(Database(url, server.direct_url, patience_s=0.5)) as database:
        store = AssetStore(database)
        store.save_many(assets(range(1000)), ANA)
        server.postgres.stop()
        for call in (
            lambda: store.save_many(assets(range(2000)), ANA),
            lambda: store.save(assets(range(1))[0], ANA),
            lambda: store.get("photo1", ANA),
        ):
            with pytest.raises(mt.Unavailable, match="try again once Postgres is back") as away:
                call()
            assert away.value.is_retryable
            assert "check DATABASE_URL" in away.value.hint
        server.postgres.start()
        assert server.rows("SELECT count(*) FROM cloudinary_files") == 1000
        again = AssetStore(Database(url, server.direct_url))
        assert again.save_many(assets(range(2000)), ANA) == SaveReport(1000, 0, 1000)
        again._database.close()


@pytest.mark.parametrize("way", ["plain", "TLS"])
def test_a_pooler_that_refuses_logins_for_a_while_is_waited_for(
    server: Server,
    pooler_before: Any,
    certificates: Path,
    in_background: Callable[..., Future[Any]],
    way: str,
) -> None:
    certificate = certificates / "ours" if way == "TLS" else None
    with (
        pooler_before(server.direct_url, login_retry_s=15, certificate=certificate) as pooler,
        closing(Database(pooler.url(server.direct_url), server.direct_url)) as database,
    ):
        store = AssetStore(database)
        store.save_many(assets(range(10)), ANA)
        server.postgres.stop()
        looking = []
        for _ in range(4):
            looking.append(in_background(lambda: store.count(AssetFilter(), ANA)))
            time.sleep(1)
        server.postgres.start()
        assert [one.result() for one in looking] == [10] * 4


def test_who_finds_all_connections_busy_is_told_to_try_again(server: Server, url: str) -> None:
    database = Database(url, server.direct_url)
    pool: Any = database.engine.pool
    pool._timeout = 0.1
    try:
        with ExitStack() as held:
            for _ in range(20):
                held.enter_context(database.begin(ANA))
            for call in (lambda: database.run(ANA, lambda _: None), database.ping):
                with pytest.raises(mt.Unavailable, match="busy") as told:
                    call()
                assert told.value.is_retryable
                assert told.value.http_status == 503
                assert told.value.retry_after_s
        assert database.ping()
    finally:
        database.close()


def take_all(url: str, held: ExitStack) -> None:
    """All connections that are left, until `held` ends."""
    while True:
        try:
            held.callback(psycopg2.connect(url).close)
        except psycopg2.OperationalError as error:
            if not re.search("too many clients|no more connections allowed", str(error)):
                raise
            return


def test_who_waits_for_a_connection_keeps_none_idle(server: Server, url: str) -> None:
    """Else kits that read in both ways wait for what the others keep."""
    with (
        closing(Database(url, patience_s=2)) as database,
        ExitStack() as held,
        database.begin(ANA) as lent,
    ):
        with ExitStack() as some:
            for _ in range(3):
                some.enter_context(database.begin(ANA))
        take_all(url, held)
        assert database.run_arrow(ANA, lambda _: True, is_reused=True)
        assert lent.scalar(sa.text("SELECT 7")) == 7
        pool: Any = database.engine.pool
        assert pool.checkedout() == 1, "what is lent is counted still"


def test_who_finds_no_connection_left_is_told_who_may_have_them(server: Server, url: str) -> None:
    with closing(Database(url, patience_s=0.2)) as database, ExitStack() as held:
        take_all(url, held)
        for call in (database.ping, lambda: database.run_arrow(ANA, lambda _: None)):
            with pytest.raises(
                mt.Unavailable, match="all connections to Postgres are busy"
            ) as told:
                call()
            assert "kit.close()" in told.value.hint
            assert told.value.retry_after_s


def test_a_wrong_password_is_told_at_once_and_not_tried_again(server: Server, url: str) -> None:
    wrong = url.replace(url.rpartition("@")[0].rpartition(":")[2], "wrong")
    with closing(Database(wrong, patience_s=600)) as database:
        with pytest.raises(mt.Unavailable, match="authentication failed") as refused:
            database.ping()
        assert "wrong" not in str(refused.value)
        with pytest.raises(mt.Unavailable, match="authentication failed"):
            database.run_arrow(ANA, lambda _: None)
    with (
        pytest.raises(mt.Unavailable, match=r"authentication failed.*of DATABASE_DIRECT_URL"),
        closing(Database(url, wrong)) as database,
        database.direct(),
    ):
        pass


def test_idle_connections_go_before_neon_would_drop_them(
    server: Server, url: str, until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No query asks for it, and one in use is left alone."""
    assert database_module.MAX_IDLE_S < 300, "when Neon falls asleep"
    monkeypatch.setattr(database_module, "MAX_IDLE_S", 0.5)
    pid = sa.text("SELECT pg_backend_pid()")
    with closing_database(url) as database:
        with database.begin(ANA) as held:
            pids = [held.scalar(pid), database.run(ANA, lambda connection: connection.scalar(pid))]
            time.sleep(1)
            assert held.scalar(sa.text("SELECT 1")) == 1
        until(lambda: database.engine.pool.checkedin() == 0)
        if url == server.direct_url:
            left = f"SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(ARRAY{pids})"
            until(lambda: server.rows(left) == 0)
        server.restart()
        assert database.ping(), "the first query after the sleep"


def test_a_connection_that_ended_in_its_sleep_is_no_error(server: Server, url: str) -> None:
    with closing_database(url) as database:
        database.ping()
        database.run_arrow(ANA, lambda _: True, is_reused=True)
        server.restart()
        assert database.ping()
        assert database.run_arrow(ANA, lambda _: True)
        assert database.run_arrow(ANA, lambda _: True, is_reused=True)


def test_of_a_pool_whose_connections_all_ended_one_is_met(server: Server, url: str) -> None:
    def beginning() -> None:
        with database.begin(ANA) as connection:
            connection.execute(sa.text("SELECT 1"))

    errors: list[sa.engine.ExceptionContext] = []
    with closing_database(url) as database:
        sa.event.listen(database.engine, "handle_error", errors.append)
        for call in (
            beginning,
            database.ping,
            lambda: database.run(ANA, lambda connection: connection.scalar(sa.text("SELECT 1"))),
            lambda: database.script([(ANA, [("SELECT 1", {})])]),
        ):
            with ExitStack() as held:
                for _ in range(5):
                    held.enter_context(database.begin(ANA))
            server.restart()
            errors.clear()
            for _ in range(5):
                call()
            # PgBouncer keeps its clients' connections, and may hand on an error of its own.
            assert len(errors) == 1 if url == server.direct_url else len(errors) <= 1
            assert all(error.is_disconnect for error in errors)


def test_after_a_script_a_connection_has_its_transactions_again(server: Server, url: str) -> None:
    with closing_database(url) as database:
        with pytest.raises(mt.StoreError, match="division by zero"):
            database.script([(ANA, [("SELECT 1 / 0", {})])])
        assert database.script([(ANA, [("SELECT %(n)s, '100 %%'", {"n": 7})])]) == [(7, "100 %")]
        with database.begin(ANA) as connection:
            assert database.engine.pool.checkedin() == 0, "the one that the script had"
            connection.exec_driver_sql(
                "INSERT INTO cloudinary_files (public_id, media_url, resource_type, user_id)"
                " VALUES ('a', 'https://a', 'image', 'ana')"
            )
            connection.rollback()
        assert server.rows("SELECT count(*) FROM cloudinary_files") == 0


class SilentServer:
    """Listens as Postgres would, keeps the first bytes that libpq sends, and has no TLS."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.first_words: list[bytes] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self.first_words.append(connection.recv(8))
                connection.sendall(b"N")

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


SSL_REQUEST = struct.pack("!ii", 8, 80877103)  # the protocol's "SSLRequest"


def ways(database: Database) -> dict[str, Callable[[], Any]]:
    def direct() -> None:
        with database.direct():
            pass

    def anything(connection: Any) -> Generator[bool]:
        yield True

    return {
        "ping": database.ping,
        "run": lambda: database.run(ANA, lambda connection: None),
        "run_arrow": lambda: database.run_arrow(ANA, lambda connection: None),
        "iterate_arrow": lambda: next(database.iterate_arrow(ANA, anything)),
        "direct": direct,
    }


def test_sslmode_reaches_libpq_on_every_way(settings: mt.Settings) -> None:
    with closing(SilentServer()) as server:
        url = f"postgresql://u:p@127.0.0.1:{server.port}/db?sslmode=require&channel_binding=require"
        kept = mt.Settings(database_url=url)
        database = Database(str(kept.pooled_url), kept.direct_url, patience_s=0)
        for way, call in ways(database).items():
            server.first_words.clear()
            with pytest.raises(mt.Unavailable, match="SSL"):
                call()
            assert server.first_words == [SSL_REQUEST], way


def test_channel_binding_reaches_libpq_on_every_way(server: Server) -> None:
    url = f"{server.direct_url}?sslmode=disable&channel_binding=require"
    database = Database(url, url, patience_s=600)
    for call in ways(database).values():
        with pytest.raises(mt.Unavailable, match="channel binding"):
            call()


def test_the_time_that_work_took_before_it_failed_is_none_of_what_is_waited(url: str) -> None:
    failed = []

    def work(connection: sa.Connection) -> None:
        if not failed:
            time.sleep(0.9)
        if not failed or time.monotonic() - failed[0] < 0.5:
            failed.append(time.monotonic())
            connection.exec_driver_sql("RESET ROLE")
            connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")

    with closing(Database(url, patience_s=1.0)) as database:
        database.run(ANA, work)
    assert len(failed) > 1
