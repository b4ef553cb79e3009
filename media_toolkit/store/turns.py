"""Turns: who changes an asset, in Cloudinary and then its row, holds others off until the end."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

import sqlalchemy as sa
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_random

from media_toolkit import forks
from media_toolkit.asset import Asset
from media_toolkit.errors import Unavailable, listed
from media_toolkit.identity import Identity
from media_toolkit.store.database import Database

# Postgres has room for 6,400 locks of all sessions together unless told otherwise, so that
# assets share some.
_MARKS = 1_024
_SPACE = 0x6D74_6B74
# Each holds a connection of the pool, and needs another for what is done in it.
_AT_ONCE = 6
_WAIT_S = 30.0
_RETRY_AFTER_S = 5.0
# Of the transaction, since a pooler gives its session to anybody; not waited for in Postgres,
# where Ctrl-C is not heard and a connection would be held.
_TRY = sa.text("""
SELECT bool_and(pg_try_advisory_xact_lock(:space, mark))
FROM unnest(CAST(:marks AS int[])) AS mark
""")


class Turns:
    """One caller at a time for each asset. Threads may share it.

    Only those who ask for a turn are held off: saves and notifications know by versions and by
    the history what came first.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        forks.watch(self)
        self.forget()

    @contextmanager
    def of(self, assets: Sequence[Asset], identity: Identity) -> Iterator[None]:
        """Until the end nobody else has a turn with any of these rows.

        Raises:
            Unavailable: others have had theirs for 30 s, or there is no Postgres.
        """
        marks = sorted({asset.id % _MARKS for asset in assets if asset.id is not None})
        if not self._free.acquire(timeout=_WAIT_S):
            raise _busy(assets)
        try:
            turn = self._taken(marks, assets, identity)
            try:
                yield
            finally:
                # Nothing is to be committed: what ended with its connection has no lock either.
                with suppress(Unavailable):
                    turn.close()
        finally:
            self._free.release()

    def close(self) -> None:
        """The connections are the database's."""

    def forget(self) -> None:
        """In a forked process: those who hold turns are in the parent."""
        self._free = threading.BoundedSemaphore(_AT_ONCE)

    def _taken(
        self, marks: Sequence[int], assets: Sequence[Asset], identity: Identity
    ) -> ExitStack:
        try:
            turn = Retrying(
                retry=retry_if_result(lambda turn: turn is None),
                wait=wait_random(0.02, 0.2),
                stop=stop_after_delay(_WAIT_S),
            )(self._try, marks, identity)
        except RetryError as error:
            raise _busy(assets) from error
        assert turn is not None
        return turn

    def _try(self, marks: Sequence[int], identity: Identity) -> ExitStack | None:
        """All of the locks, or none: half of them would keep others from theirs."""
        with ExitStack() as opening:
            connection = opening.enter_context(self._database.begin(identity))
            if connection.scalar(_TRY, {"space": _SPACE, "marks": list(marks)}) is not False:
                return opening.pop_all()
        return None


def _busy(assets: Sequence[Asset]) -> Unavailable:
    return Unavailable(
        f"somebody else is changing {listed(assets)}",
        hint="nothing was changed: try again when they are done",
        ids=tuple(asset.public_id for asset in assets),
        retry_after_s=_RETRY_AFTER_S,
    )
