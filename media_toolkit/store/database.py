"""Connections to Postgres: pooled for work, direct for migrations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

import sqlalchemy as sa
from sqlalchemy import exc
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from media_toolkit.errors import StoreError, Unavailable

# Neon closes idle connections when it sleeps after five minutes; ours go first.
# https://neon.com/docs/introduction/compute-lifecycle
MAX_IDLE_S = 240
CONNECT_TIMEOUT_S = 10
WAKE_UP_S = 10
UNDEFINED_TABLE = "42P01"
MIGRATE = "run: python -m media_toolkit migrate"


class Database:
    """One Postgres, reached by a pooled and a direct connection string.

    Args:
        pooled_url: for work: `postgresql://…`, Neon's pooled or direct string.
        direct_url: for migrations; Neon's pooler keeps no session state.
    """

    def __init__(self, pooled_url: str, direct_url: str | None = None) -> None:
        self._pooled_url = pooled_url
        self._direct_url = direct_url or pooled_url

    @cached_property
    def engine(self) -> sa.Engine:
        """The pool that all statements run on. Connections are checked on checkout."""
        return sa.create_engine(
            _with_driver(self._pooled_url),
            pool_pre_ping=True,
            pool_recycle=MAX_IDLE_S,
            pool_size=5,
            max_overflow=15,
            # Otherwise values of a failed statement stand in the error's text.
            hide_parameters=True,
            connect_args={
                "connect_timeout": CONNECT_TIMEOUT_S,
                "application_name": "media_toolkit",
            },
        )

    @property
    def pooled_url(self) -> str:
        """The connection string for work, with its password: for ADBC, never for a log."""
        return self._pooled_url

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """One transaction: committed at the end, rolled back on an error.

        Raises:
            Unavailable: when Postgres cannot be reached. StoreError: when it refuses.
        """
        with _our_errors():
            connection = _connect(self.engine)
            with connection, connection.begin():
                yield connection

    @contextmanager
    def direct(self) -> Iterator[sa.Connection]:
        """One transaction on the direct connection string, closed afterwards: migrations.

        Raises:
            Unavailable, StoreError: as `begin`.
        """
        engine = sa.create_engine(
            _with_driver(self._direct_url),
            poolclass=sa.NullPool,
            connect_args={"connect_timeout": CONNECT_TIMEOUT_S},
        )
        with _our_errors():
            try:
                with _connect(engine) as connection, connection.begin():
                    yield connection
            finally:
                engine.dispose()

    def ping(self) -> str:
        """The server's version, e.g. "18.4": shows that Postgres answers."""
        with self.begin() as connection:
            return str(connection.scalar(sa.text("SHOW server_version"))).split(" ")[0]

    def close(self) -> None:
        """Give the connections back; the object can be used again."""
        if "engine" in self.__dict__:
            self.engine.dispose()


def _connect(engine: sa.Engine) -> sa.Connection:
    # Only the connect is retried: a statement may have run although its answer was lost.
    for attempt in Retrying(
        retry=retry_if_exception_type(exc.OperationalError),
        wait=wait_random_exponential(multiplier=0.2, max=2),
        stop=stop_after_delay(WAKE_UP_S),
        reraise=True,
    ):
        with attempt:
            return engine.connect()
    raise AssertionError("tenacity always returns or raises")


def _with_driver(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg2://", 1)


@contextmanager
def _our_errors() -> Iterator[None]:
    try:
        yield
    except exc.OperationalError as error:
        raise Unavailable(
            f"Postgres cannot be reached: {_cause(error)}",
            hint="check DATABASE_URL and the network; a sleeping Neon project wakes in seconds",
        ) from error
    except exc.ProgrammingError as error:
        missing = getattr(error.orig, "pgcode", None) == UNDEFINED_TABLE
        raise StoreError(_cause(error), hint=MIGRATE if missing else "") from error
    except exc.DBAPIError as error:
        raise StoreError(_cause(error)) from error


def _cause(error: exc.DBAPIError) -> str:
    lines = str(error.orig).strip().splitlines()
    return lines[0] if lines else type(error.orig).__name__
