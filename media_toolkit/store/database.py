"""Connections to Postgres: pooled for work, as an identity; direct for migrations."""

from __future__ import annotations

import json
import math
import os
import time
import weakref
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

import sqlalchemy as sa

from media_toolkit import forks
from media_toolkit.connection_string import with_defaults
from media_toolkit.errors import StoreError
from media_toolkit.identity import Identity
from media_toolkit.store.arrow import ArrowPool, connect_arrow, execute
from media_toolkit.store.idle import IdlePool, IdleWatch
from media_toolkit.store.outage import (
    READ_ONLY,
    is_away,
    is_crowded,
    is_passing,
    our_errors,
    retrying,
)

if TYPE_CHECKING:
    from adbc_driver_postgresql.dbapi import Connection as ArrowConnection

T = TypeVar("T")
Script = Sequence[tuple[Identity, Sequence[tuple[str, Mapping[str, Any]]]]]

# Neon closes idle connections when it sleeps after five minutes; ours go first.
# https://neon.com/docs/introduction/compute-lifecycle
MAX_IDLE_S = 240
# Longer no page waits for its answer.
POOL_TIMEOUT_S = 10
# A restart or a wake-up of Neon takes less; whoever waits longer wants to know why.
PATIENCE_S = 12.0
# So long it is believed that Postgres takes changes: a failover may end at one that only reads.
_TOLD_S = 1.0
APP_ROLE = "media_toolkit_app"
# Of a parent's, in a forked process: closed here, they would be closed there.
_ABANDONED: list[ExitStack] = []

# Both last for the transaction, so a pooler may give its connection to anybody afterwards. A
# login outside the role stays itself, and only where the policies hold for it: the owner's opens
# everything to the owner and to its members.
_ACT = f"""
SELECT set_config('role', CASE
           WHEN pg_has_role('{APP_ROLE}', 'MEMBER') THEN '{APP_ROLE}'
           WHEN row_security_active('cloudinary_files')
               AND has_table_privilege('cloudinary_files', 'SELECT')
               AND NOT pg_has_role((SELECT relowner FROM pg_class
                                    WHERE oid = to_regclass('cloudinary_files')), 'USAGE')
               THEN CURRENT_USER::text
           ELSE '{APP_ROLE}' END, true),
       set_config('request.jwt.claims', {{claims}}, true),
       current_setting('transaction_read_only') = 'on' AS is_read_only
"""
_ACT_AS = sa.text(_ACT.format(claims=":claims"))
_ACT_AT_ONCE = _ACT.format(claims="%(claims)s")
# What triggers keep knows nothing of a policy of the team's own that hides rows.
_READS_KEPT = sa.text("""
SELECT bool_and(coalesce(has_table_privilege(to_regclass(name), 'SELECT'), false))
    AND NOT EXISTS (SELECT FROM pg_policy
        WHERE polrelid = 'cloudinary_files'::regclass AND NOT polpermissive
            AND polcmd IN ('r', '*'))
FROM unnest(ARRAY['cloudinary_files_counts', 'cloudinary_files_totals', 'cloudinary_files_tagged',
                  'media_toolkit_policy']) AS name
""")
# Not of a login that is none of the app's, nor where a policy of the team's own lets more be seen.
_READS_OWN_ALONE = sa.text(f"""
SELECT current_user = '{APP_ROLE}'
    AND EXISTS (SELECT FROM media_toolkit_policy WHERE name = 'private')
    AND NOT EXISTS (SELECT FROM pg_policy
        WHERE polrelid = 'cloudinary_files'::regclass AND polpermissive AND polcmd IN ('r', '*')
            AND polname NOT IN ('reading', 'owner_of_the_table'))
""")
# Whoever chooses another policy waits for no longer until it is seen here.
_ASKED_AGAIN_S = 30
_FROZEN = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
_READ_AS = _ACT.format(claims="$1") + ", set_config('transaction_read_only', 'on', true)"


class Database:
    """One Postgres, reached by a pooled and a direct connection string.

    Args:
        pooled_url: for work: `postgresql://…`, Neon's pooled or direct string.
        direct_url: for migrations; Neon's pooler keeps no session state.
        patience_s: how long a Postgres that is away is waited for before `Unavailable`.
        server: what runs Postgres for as long as somebody has it, the embedded stack.
    """

    def __init__(
        self,
        pooled_url: str,
        direct_url: str | None = None,
        patience_s: float = PATIENCE_S,
        *,
        server: object = None,
    ) -> None:
        # An iterator of a kit that was dropped has the database alone.
        self._server = server
        self._pooled_url = pooled_url
        self._patience_s = patience_s
        self._direct_url = direct_url or pooled_url
        self._is_read_only = False
        self._told_at = -math.inf
        self._lately: dict[str, tuple[bool, float]] = {}
        forks.watch(self)

    @cached_property
    def engine(self) -> sa.Engine:
        """The pool that all statements run on. Of a connection that ended while it lay there its
        user hears at the first statement: each is one round trip less than with a ping before it,
        and all that this class runs begins with one that may run again."""
        engine = sa.create_engine(
            _with_driver(with_defaults(self._pooled_url)),
            poolclass=IdlePool,
            pool_recycle=MAX_IDLE_S,
            pool_size=5,
            max_overflow=15,
            pool_timeout=POOL_TIMEOUT_S,
            # Otherwise values of a failed statement stand in the error's text.
            hide_parameters=True,
            connect_args={"application_name": "media_toolkit"},
        )
        self._idle = idle = IdleWatch(lambda: engine.pool, engine.dispose, engine, MAX_IDLE_S)

        def dispose() -> None:
            idle.let_go()
            engine.dispose()

        # The idle watch's thread keeps the pool of a kit that was dropped unclosed.
        _at_the_end_of(self, dispose)
        return engine

    @property
    def pooled_url(self) -> str:
        """The connection string for work, with its password: never for a log."""
        return self._pooled_url

    @contextmanager
    def begin(self, identity: Identity) -> Iterator[sa.Connection]:
        """One transaction as `identity`: committed at the end, rolled back on an error.

        It acts as the role `media_toolkit_app` with the identity's claims; row-level security
        decides. Getting so far is tried again for `patience_s`; what runs inside is not: `run`.

        Raises:
            Unavailable: when Postgres cannot be reached. Forbidden, StoreError: it refuses.
        """
        with our_errors():
            opening = partial(self._open, identity)
            with self._retrying(opening, is_away) as connection:
                yield connection
                connection.commit()

    def run(self, identity: Identity, work: Callable[[sa.Connection], T]) -> T:
        """`work(connection)` in one transaction as `identity`; run again, for `patience_s`, when
        Postgres goes away under it: for work that may happen twice.

        Raises:
            Unavailable, Forbidden, StoreError: as `begin`.
        """

        def once() -> T:
            with self._open(identity) as connection:
                result = work(connection)
                connection.commit()
                return result

        with our_errors():
            return self._retrying(once, is_passing)

    def script(self, script: Script) -> list[tuple[Any, ...]]:
        """Run a script in one transaction and one round trip; the rows of its last statement.

        For the calls that come often: a transaction of its own costs four round trips. A script
        names for each identity psycopg2's own SQL, `%(name)s`, with its values. It is run again
        as `run` is: for work that may happen twice.

        Raises:
            Unavailable, Forbidden, StoreError: as `begin`; the script changed nothing.
        """

        def once() -> list[tuple[Any, ...]]:
            with self.engine.connect() as connection:
                return _run_script(connection, script)

        with our_errors():
            return self._retrying(once, is_passing)

    def run_arrow(
        self,
        identity: Identity,
        work: Callable[[ArrowConnection], T],
        *,
        is_reused: bool = False,
        is_frozen: bool = False,
    ) -> T:
        """`work(connection)` on an ADBC connection in a read-only transaction as `identity`.

        For bulk reads into Arrow. Run again, for `patience_s`, when Postgres goes away under it.

        Args:
            is_reused: whether the connection may be one that was used before, and is again: for
                statements of our own, which leave nothing behind in it.
            is_frozen: whether all its statements see the same snapshot, of the first one.

        Raises:
            Unavailable, Forbidden, StoreError: as `begin`.
        """

        def once() -> T:
            with (self._arrow.lend if is_reused else self._arrow.fresh)() as connection:
                if is_frozen:
                    execute(connection, _FROZEN)
                execute(connection, _READ_AS, _claims(identity))
                return work(connection)

        with our_errors():
            return self._retrying(once, is_passing)

    @contextmanager
    def arrow_beside(self, identity: Identity, snapshot: str) -> Iterator[ArrowConnection | None]:
        """A second ADBC connection for who has one that is frozen; None while it is lent.

        It sees the snapshot that the first has exported. Nothing here is tried again.
        """
        with self._arrow.lend_beside() as connection:
            if connection is not None:
                execute(connection, _FROZEN)
                execute(connection, f"SET TRANSACTION SNAPSHOT '{snapshot}'")
                execute(connection, _READ_AS, _claims(identity))
            yield connection

    def iterate_arrow(
        self, identity: Identity, read: Callable[[ArrowConnection], Generator[T]]
    ) -> Iterator[T]:
        """What `read(connection)` gives as in `run_arrow`, one after another.

        When Postgres goes away `read` is called again, for what it has not given yet: it keeps
        its place itself. Each time Postgres is waited for anew.

        Raises:
            Unavailable, Forbidden, StoreError: as `begin`.
        """
        process = os.getpid()
        with ExitStack() as held:
            coming: Generator[T] | None = None

            def step() -> T | None:
                nonlocal coming
                if os.getpid() != process:
                    # Two that read one connection lose rows to each other.
                    _ABANDONED.append(held.pop_all())
                    raise StoreError(
                        "this iterator was begun in the process that this one was forked from",
                        hint="begin it anew here",
                    )
                try:
                    if coming is None:
                        connection = held.enter_context(connect_arrow(self._pooled_url))
                        execute(connection, _READ_AS, _claims(identity))
                        coming = held.enter_context(closing(read(connection)))
                    return next(coming, None)
                except BaseException:
                    coming = None
                    held.close()
                    raise

            while True:
                with our_errors():
                    found = self._retrying(step, is_passing)
                if found is None:
                    return
                yield found

    @contextmanager
    def direct(self) -> Iterator[sa.Connection]:
        """One transaction on the direct connection string, as its owner: for migrations.

        Raises:
            Unavailable, Forbidden, StoreError: as `begin`.
        """
        engine = sa.create_engine(
            _with_driver(with_defaults(self._direct_url)), poolclass=sa.NullPool
        )
        is_another = self._direct_url != self._pooled_url
        with our_errors("DATABASE_DIRECT_URL" if is_another else "DATABASE_URL"):
            try:
                with (
                    self._retrying(engine.connect, is_away) as connection,
                    connection.begin(),
                ):
                    yield connection
            finally:
                engine.dispose()

    def ping(self) -> str:
        """The server's version, e.g. "18.4": shows that Postgres answers. Acts as nobody."""

        def once() -> str:
            with self.engine.connect() as connection:
                return str(connection.scalar(sa.text("SHOW server_version"))).split(" ")[0]

        with our_errors():
            return self._retrying(once, is_away)

    def reads_kept(self, connection: sa.Connection) -> bool:
        """Whether what triggers keep (counts, totals, rows by tag) may be read; asked now and then.

        A login outside the app's role may have been given the assets alone, and a database that
        waits for its migrations has not got all of it.
        """
        return self.lately("reads_kept", lambda: bool(connection.scalar(_READS_KEPT)))

    def reads_own_alone(self, identity: Identity, connection: sa.Connection | None = None) -> bool:
        """Whether who is no admin sees no assets but their own; asked again now and then."""

        def ask(connection: sa.Connection) -> bool:
            return self.reads_kept(connection) and bool(connection.scalar(_READS_OWN_ALONE))

        asked = (
            partial(ask, connection) if connection is not None else partial(self.run, identity, ask)
        )
        return self.lately("reads_own_alone", asked)

    def lately(self, name: str, ask: Callable[[], bool]) -> bool:
        """What `ask()` said of the database in the last half minute, by its name."""
        known = self._lately.get(name)
        if known is None or time.monotonic() - known[1] >= _ASKED_AGAIN_S:
            self._lately[name] = known = (ask(), time.monotonic())
        return known[0]

    def refuse_read_only(self, identity: Identity) -> None:
        """Say before Cloudinary is asked for a change that no row could follow.

        Costs nothing where a transaction has told a moment ago that it may write.

        Raises:
            StoreError: the login or endpoint may only read. Unavailable: as `begin`.
        """
        if self._is_read_only or time.monotonic() - self._told_at > _TOLD_S:
            self.run(identity, lambda _: None)
        if self._is_read_only:
            raise StoreError(
                "Postgres takes no changes here", hint=f"nothing was done: {READ_ONLY}"
            )

    def close(self) -> None:
        """Give the connections back; the object can be used again."""
        if "engine" in self.__dict__:
            self._idle.stop()
            self.engine.dispose()
        if "_arrow" in self.__dict__:
            self._arrow.close()

    def forget(self) -> None:
        """Leave all connections to the process that this one was forked from."""
        if "engine" in self.__dict__:
            self.engine.dispose(close=False)
            self._idle.forget()
        if "_arrow" in self.__dict__:
            self._arrow.forget()

    def _retrying(self, call: Callable[[], T], is_worth_it: Callable[[BaseException], bool]) -> T:
        def once() -> T:
            try:
                return call()
            except Exception as error:
                if is_crowded(error):
                    self._close_idle()
                raise

        return retrying(once, is_worth_it, self._patience_s)

    def _close_idle(self) -> None:
        """Of either pool: who waits for a connection keeps none that another waits for."""
        if "engine" in self.__dict__:
            cast("IdlePool", self.engine.pool).close_idle()
        if "_arrow" in self.__dict__:
            self._arrow.close_idle()

    def _open(self, identity: Identity) -> sa.Connection:
        """A connection in a transaction as `identity`; who closes it rolls back."""
        connection = self.engine.connect()
        try:
            row = connection.execute(_ACT_AS, {"claims": _claims(identity)}).one()
            self._is_read_only, self._told_at = bool(row.is_read_only), time.monotonic()
        except BaseException:
            connection.close()
            raise
        return connection

    @cached_property
    def _arrow(self) -> ArrowPool:
        pool = ArrowPool(self._pooled_url, MAX_IDLE_S)
        _at_the_end_of(self, pool.dispose)
        return pool


def _at_the_end_of(database: Database, dispose: Callable[[], None]) -> None:
    """Have what lies idle closed once nobody has the database any more; not when Python exits."""
    weakref.finalize(database, dispose).atexit = False


def _run_script(connection: sa.Connection, script: Script) -> list[tuple[Any, ...]]:
    driver: Any = connection.connection.driver_connection
    # As SQLAlchemy has it done, this and the execution take a tenth of a millisecond.
    driver.autocommit = True
    try:
        with driver.cursor() as cursor:
            parts = []
            for identity, statements in script:
                parts.append(cursor.mogrify(_ACT_AT_ONCE, {"claims": _claims(identity)}))
                parts += [cursor.mogrify(sql, values) for sql, values in statements]
            # Sent as one text they are one transaction: the simple query protocol.
            # https://www.postgresql.org/docs/current/protocol-flow.html
            cursor.execute(b";".join(parts))
            return cursor.fetchall() if cursor.description else []
    finally:
        if driver.closed:
            # By this SQLAlchemy learns to give out none of what ended with this one.
            with suppress(sa.exc.DBAPIError):
                connection.exec_driver_sql("SELECT 1")
        else:
            driver.autocommit = False


def _claims(identity: Identity) -> str:
    return json.dumps({"sub": identity.user_id, "role": identity.role})


def _with_driver(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg2://", 1)
