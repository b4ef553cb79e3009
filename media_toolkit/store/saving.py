"""Assets → rows: one statement for a few, COPY and one upsert for many.

COPY may not write into a table under row-level security, so it fills a temporary one that ends
with the transaction; this also works through a pooler. Rows that are there already, unchanged,
are dropped by a join before the upsert, which would lock each of them otherwise.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, TypeVar

import sqlalchemy as sa

from media_toolkit.asset import Asset
from media_toolkit.errors import Conflict, Forbidden, StoreError, listed
from media_toolkit.identity import Identity
from media_toolkit.store.database import Database
from media_toolkit.store.outage import diagnosis, is_of_data
from media_toolkit.store.rows import COLUMNS, CopyText, as_row, refusal
from media_toolkit.store.upsert import GIVE_BACK, Upsert

T = TypeVar("T")

BATCH_ROWS = 100_000
# Below this, one JSON parameter is cheaper than making a temporary table.
COPY_FROM_ROWS = 500
_ROUNDS = 10
# Longer than it takes from asking Cloudinary to the row, also when Postgres is away.
_SETTLED_S = 60
_LOOKS = 5
# Any number, the same for every save.
_NUMBER = 0x6D74_6B73
_ONE_AT_A_TIME = sa.text(f"SELECT pg_advisory_xact_lock({_NUMBER})")
_CLOCK = sa.text("SELECT clock_timestamp()")
_BESIDE_OTHERS = sa.text(f"SELECT pg_advisory_xact_lock_shared({_NUMBER})")
# Whether the table is so large that looking each staged row up in its indexes is cheaper than
# reading all of it, which Postgres would do: of a temporary table it knows nothing.
_IS_LARGE = sa.text(
    "SELECT reltuples > 2 * :rows FROM pg_class WHERE oid = 'cloudinary_files'::regclass"
)
_LOOK_UP = "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"
# The triggers have joins of their own.
_AS_PLANNED = "SET LOCAL enable_hashjoin TO DEFAULT; SET LOCAL enable_mergejoin TO DEFAULT"

_COLUMNS = ", ".join(COLUMNS)
_STAGE = f"""
CREATE TEMPORARY TABLE media_toolkit_incoming ON COMMIT DROP AS
SELECT {_COLUMNS} FROM cloudinary_files WITH NO DATA
"""
_COPY = f"COPY pg_temp.media_toolkit_incoming ({_COLUMNS}) FROM STDIN"
# What Postgres tells of where it was: "COPY media_toolkit_incoming, line 7, column width: …".
_LINE = re.compile(r"^COPY \w+, line (\d+)")
# What only indexes refuse.
_TOO_LARGE = re.compile("index row")
_SHORTEN = (
    "nothing of its batch is stored: leave it out, or shorten it; a public_id, tag or other "
    "indexed text may have some 2,700 bytes"
)
_STAGED = "pg_temp.media_toolkit_incoming"
_GIVEN = "jsonb_populate_recordset(NULL::cloudinary_files, CAST(:rows AS jsonb)) WITH ORDINALITY"
_FROM_GIVEN = Upsert(_GIVEN, is_staged=False)
_FROM_STAGED = Upsert(_STAGED, is_staged=True)
_TAKEN = sa.text("""
SELECT * FROM media_toolkit_rules.taken(
    CAST(:resource_types AS text[]), CAST(:delivery_types AS text[]),
    CAST(:public_ids AS text[]), CAST(:asset_ids AS text[]))
""")


class Overtaken(StoreError):
    """A row was changed after Cloudinary was asked, and may be ahead of what it told."""


@dataclass(frozen=True, slots=True)
class SaveReport:
    """How many rows a save inserted, updated, and found as they were."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0

    def __add__(self, other: SaveReport) -> SaveReport:
        return SaveReport(
            self.inserted + other.inserted,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
        )


def asked_again(ask: Callable[[float], T]) -> T:
    """What `ask` returns; it is called with the time, then asks Cloudinary and saves the answer.

    Where a row was changed in between it is called again.

    Raises:
        Overtaken: five times in a row.
    """
    for _ in range(_LOOKS - 1):
        with suppress(Overtaken):
            return ask(time.monotonic())
    return ask(time.monotonic())


def save_batch(
    database: Database,
    assets: Sequence[Asset],
    identity: Identity,
    work: Callable[[sa.Connection], T],
    revive: bool = False,
    asked_at: float | None = None,
) -> T:
    """`work`, which writes all of `assets` or none; repeated when Postgres restarts under it.

    Args:
        revive, asked_at: as `work` calls `write`.

    Raises:
        Conflict: a row belongs to another user, or a unique index of yours has it already.
        Overtaken: a row was changed after `asked_at`.
        Forbidden: an asset is not of `identity`.
        StoreError: an asset that Postgres cannot hold. All three name it.
        Unavailable: no Postgres; nothing of the batch is stored.
    """
    tries = 0

    def once(connection: sa.Connection) -> T:
        nonlocal tries
        if tries > 0:
            # Two that wait for each other's names and assets would do so again.
            connection.execute(_ONE_AT_A_TIME)
        elif len(assets) >= COPY_FROM_ROWS:
            # One that tries again waits for these, and new ones for it.
            connection.execute(_BESIDE_OTHERS)
        tries += 1
        return work(connection)

    try:
        try:
            return database.run(identity, once)
        except Conflict:
            # Another save may have been the first with the same asset: it stands there now.
            return database.run(identity, once)
    except StoreError as error:
        if isinstance(error, Conflict | Forbidden):
            names, asset_ids = [a.identity for a in assets], [a.asset_id for a in assets]
            refuse_foreign(database, names, identity, asset_ids)
        if not error.ids and is_of_data(error.__cause__):
            _refuse_unfit(database, assets, identity, revive, asked_at, error)
        raise


def save_batches(
    database: Database,
    assets: Iterable[Asset],
    identity: Identity,
    revive: bool,
    asked_at: float | None,
) -> SaveReport:
    """Save any number, batch after batch; while Postgres works on one, the next is read.

    `assets` is read in the caller's thread, two batches of it at most are held. When that is
    interrupted, the batch that is being saved is still finished.

    Raises:
        Conflict, Forbidden, StoreError, Unavailable: as `save_batch`; the batches before hold.
    """
    source, report = iter(assets), SaveReport()
    saving: Future[SaveReport] | None = None

    def read() -> Iterator[Asset]:
        for asset in islice(source, BATCH_ROWS):
            if saving is not None and saving.done() and saving.exception():
                return  # a slow source is not read to the end of a batch that will not be saved
            yield asset

    def save(batch: Sequence[Asset]) -> SaveReport:
        def work(connection: sa.Connection) -> SaveReport:
            return write(connection, batch, identity, revive, asked_at)

        return save_batch(database, batch, identity, work, revive, asked_at)

    with ThreadPoolExecutor(1, "media_toolkit_save") as one:
        while taken := list(read()):
            batch = distinct(taken)
            if saving is None and len(taken) < BATCH_ROWS:
                return save(batch)
            if saving is not None:
                report += saving.result()
            saving = one.submit(save, batch)
        return report + saving.result() if saving is not None else report


def write(
    connection: sa.Connection,
    assets: Sequence[Asset],
    identity: Identity,
    revive: bool = False,
    asked_at: float | None = None,
) -> SaveReport:
    """Save assets, which are `distinct`, within a transaction; errors are the driver's.

    Args:
        revive: bring a soft-deleted row back also when no newer version comes.
        asked_at: `time.monotonic()` before Cloudinary was asked, whose word this is; None where it
            may be what it said at the upload.
    """
    is_admin = identity.role == "admin"
    values: dict[str, Any] = {"is_admin": is_admin, "revive": revive}
    values |= {"is_current": asked_at is not None, "asked": None}
    values |= {"held": [], "settled": int(time.time()) - _SETTLED_S}
    if len(assets) < COPY_FROM_ROWS:
        statements = _FROM_GIVEN
        values["rows"] = given(assets)
    else:
        statements = _FROM_STAGED
        connection.exec_driver_sql(_STAGE)
        _copy(connection, assets)
    is_staged = statements is _FROM_STAGED
    is_large = is_staged and bool(connection.scalar(_IS_LARGE, {"rows": len(assets)}))
    followed = 0
    if asked_at is not None:
        # By Postgres' clock, and rather early than late by the way of this answer.
        now: datetime = connection.execute(_CLOCK).scalar_one()
        values["asked"] = now - timedelta(seconds=time.monotonic() - asked_at)
        # What others have begun to change is seen by the statements after this one.
        with _looking_up(connection, is_large):
            connection.execute(statements.lock, values)
        if overtaken := tuple(connection.scalars(statements.overtaken, values)):
            raise Overtaken(
                f"{listed(overtaken)} was changed here while Cloudinary was asked about it",
                hint="nothing of this was saved: try again",
                ids=overtaken,
            )
    with _looking_up(connection, is_large):
        is_moved = connection.execute(statements.moved, values).first() is not None
    if is_moved:
        with _looking_up(connection, is_large):
            connection.execute(statements.lock, values)
        connection.execute(statements.give_way, values)
        try:
            followed = _follow(connection, statements, values)
        except sa.exc.IntegrityError:
            # One that should have given its name up keeps it, as what is told of it is late.
            moved = set(connection.scalars(statements.moved, values))
            some = [asset for asset in assets if asset.asset_id in moved]
            held = [asset.asset_id for asset in assets]
            followed, left = _follow_one_by_one(connection, some, {**values, "held": held})
            if left and not is_admin:
                # Not to be dropped as late: another user's row has the name.
                names, ids = [one.identity for one in left], [one.asset_id for one in left]
                if _foreign(connection, names, ids):
                    raise Conflict(f"another user's row has the name of {listed(left)}") from None
        if is_staged:
            connection.execute(statements.drop_late, values)
    if is_staged:
        with _looking_up(connection, is_large):
            connection.execute(statements.drop_known, values)
            if asked_at is None:
                connection.execute(statements.drop_purged, values)
    told = connection.execute(statements.upsert, values).one()
    if told.given:
        connection.execute(GIVE_BACK, {"ids": told.given})
    updated = told.written - told.inserted + followed
    return SaveReport(told.inserted, updated, len(assets) - told.inserted - updated)


@contextmanager
def _looking_up(connection: sa.Connection, is_so: bool) -> Iterator[None]:
    if is_so:
        connection.exec_driver_sql(_LOOK_UP)
    yield
    if is_so:
        connection.exec_driver_sql(_AS_PLANNED)


def _follow(connection: sa.Connection, statements: Upsert, values: dict[str, Any]) -> int:
    """Move rows to the names that their assets have now; how many."""
    with connection.begin_nested():
        connection.execute(statements.clear_the_way, values)
        connection.execute(statements.step_aside, values)
        return connection.execute(statements.follow, values).rowcount


def _follow_one_by_one(
    connection: sa.Connection, assets: Sequence[Asset], values: dict[str, Any]
) -> tuple[int, list[Asset]]:
    """Move those whose name is free, which may free another's; how many, and who is left."""
    followed, left = 0, sorted(assets, key=lambda asset: asset.version or 0)
    for _ in range(_ROUNDS):
        stuck = []
        for asset in left:
            alone = {**values, "rows": given([asset])}
            try:
                followed += _follow(connection, _FROM_GIVEN, alone)
            except sa.exc.IntegrityError:
                stuck.append(asset)
        is_over, left = len(stuck) in (0, len(left)), stuck
        if is_over:
            break
    return followed, left


def _copy(connection: sa.Connection, assets: Sequence[Asset]) -> None:
    cursor, text = connection.connection.cursor(), CopyText(assets)
    try:
        cursor.copy_expert(_COPY, text)
    except Exception as error:
        if text.error is not None:
            raise text.error from None
        said = diagnosis(error)
        if (place := _LINE.search(said.get("context", ""))) is None or not is_of_data(error):
            raise
        raise refusal(assets[int(place[1]) - 1], said["primary"]) from error
    finally:
        cursor.close()


def _refuse_unfit(
    database: Database,
    assets: Sequence[Asset],
    identity: Identity,
    revive: bool,
    asked_at: float | None,
    error: StoreError,
) -> None:
    """Raise `error` again with the asset that is to blame, as Postgres does not say which.

    The batch is halved until one asset is left; nothing of that is kept. Silent where the half
    that must hold it is saved alone, since two of the batch do not go together.
    """

    def said_of(connection: sa.Connection, some: Sequence[Asset]) -> str | None:
        with connection.begin_nested() as trial:
            try:
                write(connection, some, identity, revive, asked_at)
            except Exception as refused:
                if not is_of_data(refused):
                    raise
                return diagnosis(refused).get("primary", error.message)
            finally:
                trial.rollback()
        return None

    def look(connection: sa.Connection) -> tuple[Asset, str | None]:
        suspects = assets
        while len(suspects) > 1:
            half = len(suspects) // 2
            is_first = said_of(connection, suspects[:half]) is not None
            suspects = suspects[:half] if is_first else suspects[half:]
        return suspects[0], said_of(connection, suspects)

    asset, said = database.run(identity, look)
    if said is not None:
        hint = _SHORTEN if _TOO_LARGE.search(said) else ""
        raise refusal(asset, said, hint, type(error)) from error


def given(assets: Iterable[Asset]) -> str:
    """Assets as the parameter `rows` of the statements that take a few."""
    return json.dumps([as_row(asset) for asset in assets])


def distinct(assets: Iterable[Asset]) -> list[Asset]:
    """One asset each, the newest: a listing may tell of one twice, also by its former name."""
    by_name: dict[Any, Asset] = {}
    by_asset_id: dict[Any, Asset] = {}
    for asset in assets:
        _keep_newer(by_name, asset.identity, asset)
    for asset in by_name.values():
        _keep_newer(by_asset_id, asset.asset_id or asset.identity, asset)
    return list(by_asset_id.values())


def _keep_newer(kept: dict[Any, Asset], key: Any, asset: Asset) -> None:
    known = kept.get(key)
    if known is None or (asset.version or 0) >= (known.version or 0):
        kept[key] = asset


def refuse_foreign(
    database: Database,
    names: Sequence[tuple[str, str, str]],
    identity: Identity,
    asset_ids: Sequence[str | None] = (),
) -> None:
    """Raise Conflict when one of these stands in the table as another user's, seen or not.

    Args:
        names: (resource_type, delivery_type, public_id) each.
    """
    if identity.role == "admin":
        return
    foreign = database.run(identity, lambda connection: _foreign(connection, names, asset_ids))
    if not foreign:
        return
    taken = tuple(f"{row.resource_type}/{row.public_id}" for row in foreign)
    owners = ", ".join(sorted({row.user_id or "another user" for row in foreign}))
    raise Conflict(
        f"{', '.join(taken)} belongs to {owners}",
        hint="choose another public_id, or ask the owner or an admin",
        ids=taken,
    )


def _foreign(
    connection: sa.Connection,
    names: Sequence[tuple[str, str, str]],
    asset_ids: Sequence[str | None],
) -> Sequence[sa.Row[Any]]:
    kinds, types, public_ids = zip(*names, strict=True) if names else ((), (), ())
    values = {
        "resource_types": list(kinds),
        "delivery_types": list(types),
        "public_ids": list(public_ids),
        "asset_ids": list(asset_ids),
    }
    return connection.execute(_TAKEN, values).all()
