"""Assets → rows: one statement for a few, COPY and one upsert for many.

COPY may not write into a table under row-level security, so it fills a temporary one that ends
with the transaction; this also works through a pooler. Rows that are there already, unchanged,
are dropped by a join before the upsert, which would lock each of them otherwise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import sqlalchemy as sa

from media_toolkit.asset import Asset
from media_toolkit.errors import Conflict, Forbidden, StoreError
from media_toolkit.identity import Identity
from media_toolkit.store.database import Database
from media_toolkit.store.outage import diagnosis, is_of_data
from media_toolkit.store.rows import COLUMNS, CopyText, as_row, refusal

T = TypeVar("T")

BATCH_ROWS = 100_000
# Below this, one JSON parameter is cheaper than making a temporary table.
COPY_FROM_ROWS = 500

# A row's user_id never changes.
_WRITTEN = [name for name in COLUMNS if name != "user_id"]
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


def _names(row: str) -> str:
    return f"({row}.resource_type, {row}.delivery_type, {row}.public_id)"


# `old` is the row that stands, `new` the one that comes. A message that comes late or twice
# changes nothing, and brings a deleted row back only if it tells of a later upload.
_NOT_OLDER = "(old.version IS NULL OR new.version >= old.version)"
_IS_SAME_UPLOAD = (
    "(old.version = new.version AND coalesce(old.asset_id = new.asset_id, true)"
    " AND coalesce(old.etag = new.etag, true))"
)
# Edits and renames leave `raw` as it is, and the version as well: the answer that a row was made
# from, coming again, would undo them.
_IS_NEWS = (
    "(:is_current OR old.version IS DISTINCT FROM new.version"
    " OR old.raw <> new.raw OR new.raw = '{}')"
)
# Of the same upload, what an answer does not speak of is as it was: listings know no phash, and
# tags and context only where they are asked for.
_OF_LABELS = ("tags", "context")
_OF_NAMES = ("public_id", "resource_type", "delivery_type", "media_url", "version")


def _taken(name: str) -> str:
    if name in _OF_NAMES:
        return f"new.{name}"
    if name in _OF_LABELS:
        is_silent = f"(new.raw <> '{{}}' AND NOT new.raw ? '{name}' OR NOT {_IS_NEWS})"
        kept = f"{_IS_SAME_UPLOAD} AND NOT :is_current AND {is_silent}"
    elif name == "raw":
        kept = f"{_IS_SAME_UPLOAD} AND new.raw = '{{}}'"
    else:
        kept = f"{_IS_SAME_UPLOAD} AND new.{name} IS NULL"
    return f"CASE WHEN {kept} THEN old.{name} ELSE new.{name} END"


_DIFFERS = (
    f"({_IS_NEWS} AND ROW({', '.join(f'old.{n}' for n in _WRITTEN)})"
    f" IS DISTINCT FROM ROW({', '.join(map(_taken, _WRITTEN))})"
    " AND (old.deleted_at IS NULL OR :revive OR new.version > old.version)"
    " OR (old.deleted_at IS NOT NULL AND :revive))"
)
_SET = ", ".join(f"{name} = {_taken(name)}" for name in _WRITTEN)
_MINE = "(old.user_id = new.user_id OR :is_admin)"

# A rename in Cloudinary keeps asset_id: the row moves with it instead of colliding.
_MOVED = """
SELECT EXISTS (
    SELECT FROM {source} AS new JOIN cloudinary_files AS old ON old.asset_id = new.asset_id
    WHERE {old} <> {new})
"""
# It gives its name free in the same batch.
_MOVES_AWAY = """
EXISTS (
    SELECT FROM {source} AS other
    WHERE other.asset_id = there.asset_id AND {other} <> {there} AND {leaves})
"""
# A newer upload under that name: the message is a late one of the time before it.
_IS_TAKEN = """
NOT :is_current AND EXISTS (
    SELECT FROM cloudinary_files AS there WHERE {there} = {new} AND there.id <> old.id
    AND there.deleted_at IS NULL AND there.version > new.version AND NOT {moves_away})
"""
_FOLLOWS = """
old.asset_id = new.asset_id AND {mine} AND {old} <> {new}
AND {not_older} AND {is_news} AND NOT ({is_taken})
"""
# Who else stands under the new name was overwritten by the rename: Cloudinary has it no more.
_CLEAR_THE_WAY = """
DELETE FROM cloudinary_files AS there
USING {source} AS new JOIN cloudinary_files AS old ON old.asset_id = new.asset_id
WHERE {there} = {new} AND there.id <> old.id AND {follows} AND NOT {moves_away}
"""
# Names may change hands in a ring, and no order of moves suits: who gives one up leaves first.
# sql/migrations/0039_names_that_change_hands.sql keeps this step out of the history.
_STEP_ASIDE = """
UPDATE cloudinary_files AS old SET public_id = E'\\x01' || old.id || E'\\x01' || old.public_id
FROM {source} AS new
WHERE {follows} AND EXISTS (SELECT FROM {source} AS other WHERE {other} = {old})
"""
_FOLLOW = "UPDATE cloudinary_files AS old SET {taken} FROM {source} AS new WHERE {follows}"
# What stands there as it comes, or stands already under the name that it has moved on to.
_KNOWN = "{old} = {new} AND {mine} AND NOT coalesce({not_older} AND {differs}, false)"
_LATE = "old.asset_id = new.asset_id AND {old} <> {new} AND {mine}"
_NOT_THERE = "NOT EXISTS (SELECT FROM cloudinary_files AS old WHERE {condition})"
_DROP = "DELETE FROM {source} AS new USING cloudinary_files AS old WHERE {condition}"
_UPSERT = f"""
WITH written AS (
    INSERT INTO cloudinary_files AS stood ({_COLUMNS})
    SELECT {_COLUMNS} FROM {{source}} AS new {{which}}
    ON CONFLICT (resource_type, delivery_type, public_id) DO UPDATE
    SET {{taken_now}}, deleted_at = NULL
    -- Another user's row is let through, for row-level security to refuse aloud.
    WHERE NOT {{mine_now}} OR ({{not_older_now}} AND {{differs_now}})
    RETURNING xmax = 0 AS inserted)
SELECT count(*) FILTER (WHERE inserted) AS inserted, count(*) AS written FROM written
"""
_TAKEN = sa.text("""
SELECT * FROM media_toolkit_rules.taken(
    CAST(:resource_types AS text[]), CAST(:delivery_types AS text[]),
    CAST(:public_ids AS text[]), CAST(:asset_ids AS text[]))
""")


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


class _Statements:
    """The statements of one save, reading what comes from `source`.

    Rows are written in the order in which they come: the last is the newest. A join gives its
    rows in any order, so staged rows that need no writing are deleted beforehand, and given
    ones are sorted.
    """

    def __init__(self, source: str, is_staged: bool) -> None:
        words = {
            "source": source,
            "old": _names("old"),
            "new": _names("new"),
            "there": _names("there"),
            "other": _names("other"),
            "not_older": _NOT_OLDER,
            "differs": _DIFFERS,
            "is_news": _IS_NEWS,
            "leaves": _renamed(f"{_NOT_OLDER} AND {_IS_NEWS}", "there", "other"),
            "taken": _SET,
            "mine": _MINE,
            "mine_now": _at_conflict(_MINE),
            "not_older_now": _at_conflict(_NOT_OLDER),
            "differs_now": _at_conflict(_DIFFERS),
            "taken_now": _at_conflict(_SET),
        }
        words["moves_away"] = _MOVES_AWAY.format(**words)
        words["is_taken"] = _IS_TAKEN.format(**words)
        words["follows"] = _FOLLOWS.format(**words)
        known, late = _KNOWN.format(**words), _LATE.format(**words)
        which = ""
        if not is_staged:
            there = " AND ".join(_NOT_THERE.format(condition=c) for c in (known, late))
            which = f"WHERE {there} ORDER BY ordinality"
        self.moved = sa.text(_MOVED.format(**words))
        self.clear_the_way = sa.text(_CLEAR_THE_WAY.format(**words))
        self.step_aside = sa.text(_STEP_ASIDE.format(**words))
        self.follow = sa.text(_FOLLOW.format(**words))
        self.drop_late = sa.text(_DROP.format(source=source, condition=late))
        self.drop_known = sa.text(_DROP.format(source=source, condition=known))
        self.upsert = sa.text(_UPSERT.format(which=which, **words))


def _at_conflict(condition: str) -> str:
    return _renamed(condition, "stood", "excluded")


def _renamed(condition: str, old: str, new: str) -> str:
    return condition.replace("old.", f"{old}.").replace("new.", f"{new}.")


_FROM_GIVEN = _Statements(_GIVEN, is_staged=False)
_FROM_STAGED = _Statements(_STAGED, is_staged=True)


def save_batch(
    database: Database,
    assets: Sequence[Asset],
    identity: Identity,
    work: Callable[[sa.Connection], T],
    revive: bool = False,
    is_current: bool = False,
) -> T:
    """`work`, which writes all of `assets` or none; repeated when Postgres restarts under it.

    Args:
        revive, is_current: as `work` calls `write`.

    Raises:
        Conflict: a row belongs to another user, or a unique index of yours has it already.
        Forbidden: an asset is not of `identity`.
        StoreError: an asset that Postgres cannot hold. All three name it.
        Unavailable: no Postgres; nothing of the batch is stored.
    """
    try:
        try:
            return database.run(identity, work)
        except Conflict:
            # Another save may have been the first with the same asset: it stands there now.
            return database.run(identity, work)
    except StoreError as error:
        if isinstance(error, Conflict | Forbidden):
            names, asset_ids = [a.identity for a in assets], [a.asset_id for a in assets]
            refuse_foreign(database, names, identity, asset_ids)
        if not error.ids and is_of_data(error.__cause__):
            _refuse_unfit(database, assets, identity, revive, is_current, error)
        raise


def save_batches(
    database: Database,
    assets: Iterable[Asset],
    identity: Identity,
    revive: bool,
    is_current: bool,
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
            return write(connection, batch, identity, revive, is_current)

        return save_batch(database, batch, identity, work, revive, is_current)

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
    is_current: bool = False,
) -> SaveReport:
    """Save assets, which are `distinct`, within a transaction; errors are the driver's.

    Args:
        revive: bring a soft-deleted row back also when no newer version comes.
        is_current: Cloudinary says so now; otherwise it may be what it said at the upload.
    """
    is_admin = identity.role == "admin"
    values: dict[str, Any] = {"is_admin": is_admin, "revive": revive, "is_current": is_current}
    if len(assets) < COPY_FROM_ROWS:
        statements = _FROM_GIVEN
        values["rows"] = given(assets)
    else:
        statements = _FROM_STAGED
        connection.exec_driver_sql(_STAGE)
        _copy(connection, assets)
    is_staged = statements is _FROM_STAGED
    followed = 0
    if connection.scalar(statements.moved, values):
        connection.execute(statements.clear_the_way, values)
        connection.execute(statements.step_aside, values)
        followed = connection.execute(statements.follow, values).rowcount
        if is_staged:
            connection.execute(statements.drop_late, values)
    if is_staged:
        connection.execute(statements.drop_known, values)
    told = connection.execute(statements.upsert, values).one()
    updated = told.written - told.inserted + followed
    return SaveReport(told.inserted, updated, len(assets) - told.inserted - updated)


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
    is_current: bool,
    error: StoreError,
) -> None:
    """Raise `error` again with the asset that is to blame, as Postgres does not say which.

    The batch is halved until one asset is left; nothing of that is kept. Silent where the half
    that must hold it is saved alone, since two of the batch do not go together.
    """

    def said_of(connection: sa.Connection, some: Sequence[Asset]) -> str | None:
        with connection.begin_nested() as trial:
            try:
                write(connection, some, identity, revive, is_current)
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
    kinds, types, public_ids = zip(*names, strict=True) if names else ((), (), ())
    values = {
        "resource_types": list(kinds),
        "delivery_types": list(types),
        "public_ids": list(public_ids),
        "asset_ids": list(asset_ids),
    }
    foreign = database.run(identity, lambda connection: connection.execute(_TAKEN, values).all())
    if not foreign:
        return
    taken = tuple(f"{row.resource_type}/{row.public_id}" for row in foreign)
    owners = ", ".join(sorted({row.user_id or "another user" for row in foreign}))
    raise Conflict(
        f"{', '.join(taken)} belongs to {owners}",
        hint="choose another public_id, or ask the owner or an admin",
        ids=taken,
    )
