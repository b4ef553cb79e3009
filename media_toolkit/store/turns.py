"""Turns: who changes an asset, in Cloudinary and then its row, holds others off until the end."""

from __future__ import annotations

import threading
import time
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
# assets share some. A program of another number would hold nobody off.
_MARKS = 1_024
_SPACE = 0x6D74_6B74
# Each holds a connection of the pool, and needs another for what is done in it.
_AT_ONCE = 6
_WAIT_S = 30.0
_RETRY_AFTER_S = 5.0
# Else the thread that gives one of the few up takes it again before who waits for it wakes.
_GIVING_WAY_S = 0.02
# Of the transaction, since a pooler gives its session to anybody; not waited for in Postgres,
# where Ctrl-C is not heard and a connection would be held.
_TRY = sa.text("""
SELECT array_agg(mark) FILTER (WHERE NOT pg_try_advisory_xact_lock(:space, mark))
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
            Unavailable: others have had theirs for 30 s, with these rows or with some that share
                a lock with them; or there is no Postgres.
        """
        marks = sorted(set(map(_mark, assets)))
        if not self._free.acquire(timeout=_WAIT_S):
            raise Unavailable(
                f"{_AT_ONCE} other changes of this kit are under way",
                hint="nothing was changed: try again when one of them is done",
                ids=tuple(asset.public_id for asset in assets),
                retry_after_s=_RETRY_AFTER_S,
            )
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

    @staticmethod
    def parts(assets: Sequence[Asset], size: int) -> Iterator[Sequence[Asset]]:
        """The assets in parts of `size`, for a turn each, so that none is held for long.

        In the order of their marks: no part has one of a part before, so that who waited for it
        is never overtaken by the next, and of two who have many to change one follows the other.
        """
        ordered = sorted(assets, key=lambda asset: (_mark(asset), asset.id))
        for start in range(0, len(ordered), size):
            if start:
                time.sleep(_GIVING_WAY_S)
            yield ordered[start : start + size]

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
                retry=retry_if_result(lambda turn: not isinstance(turn, ExitStack)),
                wait=wait_random(0.02, 0.2),
                stop=stop_after_delay(_WAIT_S),
            )(self._try, marks, identity)
        except RetryError as error:
            taken = error.last_attempt.result()
            raise _busy([asset for asset in assets if _mark(asset) in taken]) from error
        assert isinstance(turn, ExitStack)
        return turn

    def _try(self, marks: Sequence[int], identity: Identity) -> ExitStack | list[int]:
        """All of the locks, or none, as half of them would keep others from theirs: then the marks
        that others have."""
        with ExitStack() as opening:
            connection = opening.enter_context(self._database.begin(identity))
            taken = connection.scalar(_TRY, {"space": _SPACE, "marks": list(marks)})
            return list(taken) if taken else opening.pop_all()


def _mark(asset: Asset) -> int:
    return (asset.id or 0) % _MARKS


def _busy(assets: Sequence[Asset]) -> Unavailable:
    return Unavailable(
        f"somebody else is changing {listed(assets)}, or an asset that shares a lock with it",
        hint="nothing was changed: try again when they are done",
        ids=tuple(asset.public_id for asset in assets),
        retry_after_s=_RETRY_AFTER_S,
    )
