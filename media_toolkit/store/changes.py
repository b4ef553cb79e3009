"""Rows that are changed on purpose: labels, names, soft deletion and its undoing."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import sqlalchemy as sa

from media_toolkit.asset import Asset
from media_toolkit.errors import (
    Conflict,
    FilterError,
    Forbidden,
    NotFound,
    StoreError,
    listed,
)
from media_toolkit.identity import Identity
from media_toolkit.store.database import Database
from media_toolkit.store.filters import read_name, read_size
from media_toolkit.store.outage import is_of_data
from media_toolkit.store.place import refuse_copy
from media_toolkit.store.schema import files

if TYPE_CHECKING:
    import pandas as pd

    _Key: TypeAlias = int | str | tuple[str, str, str]

_OLDEST = timedelta(days=1_000_000)
_DELETED = {False: files.c.deleted_at.is_(None), True: files.c.deleted_at.is_not(None)}
_INTEGERS = sa.ARRAY(sa.Integer)
# As text: parsed all as one, it takes less time, and equal keys are one text in memory.
_JSON = ("context", "raw")
_STANDING = {c.name: sa.cast(c, sa.Text).label(c.name) if c.name in _JSON else c for c in files.c}
# What is asked of assets before they are changed: what they are called, and whose they are.
_ASKED = [
    _STANDING[name]
    for name in (
        *("id", "asset_id", "public_id", "media_url", "resource_type", "delivery_type"),
        *("user_id", "context"),
    )
]
# Of more, what Postgres sends would take as much memory again as the assets.
_AT_ONCE = 5_000
_IDENTITY = ("resource_type", "delivery_type", "public_id")

_LABEL = """
UPDATE cloudinary_files SET tags = {tags},
    context = (context || CAST(:context AS jsonb)) - CAST(:remove_context AS text[])
WHERE id = ANY(:ids) AND deleted_at IS NULL
RETURNING id
"""
# Cloudinary sorts the tags when it adds some.
_ADDED = "ARRAY(SELECT DISTINCT t FROM unnest({tags} || CAST(:add_tags AS text[])) AS t ORDER BY t)"
_REMOVED = """ARRAY(SELECT t FROM unnest({tags}) WITH ORDINALITY AS u (t, n)
                    WHERE t <> ALL (CAST(:remove_tags AS text[])) ORDER BY n)"""
_DELETE = "UPDATE cloudinary_files SET deleted_at = NOW() WHERE id = ANY(:ids) RETURNING id"
_RESTORE = "UPDATE cloudinary_files SET deleted_at = NULL WHERE id = ANY(:ids) RETURNING id"
_RENAME = """
UPDATE cloudinary_files SET public_id = :public_id, delivery_type = :delivery_type,
    media_url = :media_url, folder = :folder,
    -- Of a later upload more is to be known than its number: it is told of by itself.
    version = CASE WHEN version IS NULL THEN :version ELSE version END
WHERE id = :id AND asset_id IS NOT DISTINCT FROM :asset_id RETURNING id
"""
# Locked until the asset is gone in Cloudinary: nobody restores it in between.
_PURGEABLE = """
SELECT * FROM cloudinary_files
WHERE deleted_at <= NOW() - CAST(:age AS interval) AND (user_id = :user_id OR :is_admin)
    AND id <> ALL(CAST(:kept AS bigint[]))
ORDER BY deleted_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
"""
# Since the row was this asset's.
_HAD = sa.text("""
SELECT EXISTS (SELECT FROM cloudinary_files_history
               WHERE file_id = :id AND old ->> 'asset_id' = :asset_id
                 AND (old ->> 'resource_type', old ->> 'delivery_type', old ->> 'public_id')
                     = (:resource_type, :delivery_type, :public_id))
""")
_REMOVE = sa.text("DELETE FROM cloudinary_files WHERE id = :id")


class AssetChanges:
    """Finds the rows that a caller names, and changes them. Threads may share it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, wanted: Any, identity: Identity, *, is_deleted: bool = False) -> list[Asset]:
        """The rows behind an Asset, a public_id or asset_id, several, or a DataFrame.

        Of each it reads whose it is, its names, URL and context; the rest is not asked for.

        Raises:
            NotFound: naming what is not in the table, or not for this caller to see; and what
                is deleted, or where deleted ones are wanted is not.
            Conflict: several assets share a public_id. FilterError: it is none of these.
        """
        keys = _keys(wanted)
        assets = self._found(keys, identity, is_deleted)
        found = _named(assets, keys)
        if missing := {key: name for key, name in keys.items() if key not in found}:
            others = self._found(missing, identity, not is_deleted)
            raise _not_found(missing, others, is_deleted)
        _refuse_several(keys, found)
        return assets

    def _found(self, keys: Iterable[_Key], identity: Identity, is_deleted: bool) -> list[Asset]:
        keys = list(keys)
        ids = [key for key in keys if isinstance(key, int)]
        texts = [key for key in keys if isinstance(key, str)]
        names = [key for key in keys if isinstance(key, tuple)]
        c = files.c
        named = sa.tuple_(c.resource_type, c.delivery_type, c.public_id)
        found = sa.or_(
            c.id == sa.any_(sa.cast(ids, _INTEGERS)),
            c.public_id == sa.any_(sa.cast(texts, sa.ARRAY(sa.Text))),
            c.asset_id == sa.any_(sa.cast(texts, sa.ARRAY(sa.Text))),
            *([named.in_(_rows(names))] if names else []),
        )
        query = sa.select(*_ASKED).where(found, _DELETED[is_deleted]).order_by(c.id)
        return self._database.run(identity, lambda k: _read(k.execute(query)))

    def require_writable(self, assets: Iterable[Asset], identity: Identity) -> None:
        """Say before Cloudinary is asked what row-level security would say after.

        Raises:
            Forbidden: naming the assets of others. StoreError: Postgres only reads here.
        """
        self._database.refuse_read_only(identity)
        others = [asset for asset in assets if not identity.may_write(asset.user_id)]
        if others:
            raise _forbidden(others)

    def label(
        self,
        assets: Sequence[Asset],
        identity: Identity,
        *,
        tags: Iterable[str] | None = None,
        add_tags: Iterable[str] = (),
        remove_tags: Iterable[str] = (),
        context: Mapping[str, str] | None = None,
        remove_context: Iterable[str] = (),
    ) -> list[Asset]:
        """Replace, add and remove tags, in this order; set keys of the context, remove others.

        Raises:
            Forbidden: a row is not the caller's; none is changed.
        """
        values: dict[str, Any] = {
            "context": json.dumps(dict(context or {})),
            "remove_context": list(remove_context),
        }
        made = "tags"
        if tags is not None:
            made, values["tags"] = "CAST(:tags AS text[])", list(tags)
        for template, name, given in (
            (_ADDED, "add_tags", list(add_tags)),
            (_REMOVED, "remove_tags", list(remove_tags)),
        ):
            if given:
                made, values[name] = template.format(tags=made), given
        return self._change(_LABEL.format(tags=made), assets, identity, **values)

    def rename(self, asset: Asset, renamed: Asset, identity: Identity) -> Asset:
        """Let the row follow what Cloudinary answered to a rename.

        Raises:
            Forbidden: the row is not the caller's. Conflict: another row has the name.
        """
        values = {
            name: getattr(renamed, name)
            for name in ("public_id", "delivery_type", "media_url", "version", "folder")
        }
        values |= {"id": asset.id, "asset_id": asset.asset_id}
        return self._change(_RENAME, [asset], identity, **values)[0]

    def delete(self, assets: Sequence[Asset], identity: Identity) -> list[Asset]:
        """Hide rows; who and when is in the history. Raises Forbidden as `label` does."""
        return self._change(_DELETE, assets, identity)

    def restore(self, assets: Sequence[Asset], identity: Identity) -> list[Asset]:
        """Show hidden rows again. Raises Forbidden as `label` does."""
        return self._change(_RESTORE, assets, identity)

    def had(self, asset: Asset, named: Asset, identity: Identity) -> bool:
        """Whether the row once had the name of `named`, and its asset_id with it."""
        values = {"id": asset.id, "asset_id": asset.asset_id}
        values |= dict(zip(_IDENTITY, named.identity, strict=True))
        return bool(self._database.run(identity, lambda k: k.scalar(_HAD, values)))

    def purge(
        self,
        older_than: timedelta,
        identity: Identity,
        destroy: Callable[[Asset], bool],
        kept: dict[int, Asset],
    ) -> bool:
        """Destroy, by the given call, the asset that was deleted longest ago; its row goes with it.

        Args:
            destroy: whether it did; else the row stays. Called again if Postgres goes away.
            kept: by their ids, rows to leave; added is the one that stays, because a table of the
                team's own refers to it, a trigger or policy holds it, or `destroy` did not.

        Returns:
            Whether there was one to look at.

        Raises:
            Conflict: this database is a copy, or was reset.
        """
        values = {
            "age": older_than,
            "user_id": identity.user_id,
            "is_admin": identity.role == "admin",
            "kept": list(kept),
        }

        def work(connection: sa.Connection) -> bool:
            refuse_copy(connection)
            connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")
            row = connection.execute(sa.text(_PURGEABLE), values).mappings().first()
            if row is None:
                return False
            asset = Asset.from_row(dict(row))
            try:
                # The row first: what may not go must not be destroyed.
                with connection.begin_nested() as step:
                    is_gone = connection.execute(_REMOVE, {"id": asset.id}).rowcount == 1
                    if not (is_gone and destroy(asset)):
                        kept[row["id"]] = asset
                        step.rollback()
            except sa.exc.DBAPIError as error:
                if not is_of_data(error):
                    raise
                kept[row["id"]] = asset
            return True

        return self._database.run(identity, work)

    def _change(
        self, statement: str, assets: Sequence[Asset], identity: Identity, **values: Any
    ) -> list[Asset]:
        ids = [asset.id for asset in assets]

        def work(connection: sa.Connection) -> list[Asset]:
            changed = set(connection.scalars(sa.text(statement), {"ids": ids, **values}))
            refused = [asset for asset in assets if asset.id not in changed]
            if refused:
                raise _refusal(connection, refused, "deleted_at IS NULL" in statement)
            return _standing(connection, ids)

        return self._database.run(identity, work)


def read_age(age: str | timedelta) -> timedelta:
    """`"30d"`, `"12h"`, `"2w"` or a timedelta.

    Raises:
        FilterError: for anything else, also below zero.
    """
    units = {"h": "hours", "d": "days", "w": "weeks"}
    number, unit = str(age)[:-1], str(age)[-1:]
    try:
        if isinstance(age, timedelta):
            if not age >= timedelta(0):
                raise ValueError(age)
            return min(age, _OLDEST)
        if unit not in units or not (number.isascii() and number.isdigit()):
            raise ValueError(age)
        # Postgres counts years from 4713 BC.
        return min(timedelta(**{units[unit]: int(number)}), _OLDEST)
    except (ValueError, OverflowError) as error:
        raise FilterError(
            f"not an age: {age!r}", hint="write it like 30d, 12h or 2w", ids=("older_than",)
        ) from error


def _keys(wanted: Any) -> dict[_Key, str]:
    """What names each row, and how a message calls it.

    A key is the row's id, its (resource_type, delivery_type, public_id), or a text.
    """
    if isinstance(wanted, str):
        return {read_name("asset", wanted): wanted}
    if isinstance(wanted, Asset):
        return {wanted.identity if wanted.id is None else wanted.id: str(wanted)}
    if hasattr(wanted, "columns"):
        return _keys_of_frame(wanted)
    if isinstance(wanted, Iterable) and not isinstance(wanted, bytes):
        return {key: name for one in wanted for key, name in _keys(one).items()}
    raise FilterError(
        f"not an asset: {wanted!r}",
        hint="pass an Asset, a public_id, a list of them, or rows of kit.assets()",
    )


def _keys_of_frame(frame: pd.DataFrame) -> dict[_Key, str]:
    names: list[Any] = []
    if set(_IDENTITY) <= set(frame.columns):
        names = list(zip(*(frame[name].astype(str) for name in _IDENTITY), strict=True))
    called = ["/".join(name) for name in names]
    if "id" in frame.columns:
        ids = [read_size("id", value) for value in frame["id"]]
        return dict(zip(ids, called or [f"id {row_id}" for row_id in ids], strict=True))
    if not names:
        raise FilterError(
            "a DataFrame of assets needs its column id", hint="pass rows of kit.assets()"
        )
    return dict(zip(names, called, strict=True))


def _standing(connection: sa.Connection, ids: Sequence[int | None]) -> list[Asset]:
    """Whole assets, in the order of their ids."""
    assets: list[Asset] = []
    for start in range(0, len(ids), _AT_ONCE):
        some = sa.cast(ids[start : start + _AT_ONCE], _INTEGERS)
        query = sa.select(*_STANDING.values()).where(files.c.id == sa.any_(some))
        assets += _read(connection.execute(query.order_by(files.c.id)))
    return assets


def _read(result: sa.CursorResult[Any]) -> list[Asset]:
    """The assets of rows of `_STANDING`, or of some of its columns."""
    names, rows = list(result.keys()), result.all()
    if not rows:
        return []
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    for name in columns.keys() & _JSON:
        columns[name] = json.loads(f"[{','.join(columns[name])}]")
    made = zip(*columns.values(), strict=True)
    return [Asset.from_row(dict(zip(names, values, strict=True))) for values in made]


def _named(assets: Iterable[Asset], keys: Container[_Key]) -> dict[Any, set[tuple[str, str, str]]]:
    """Each of the keys that names some of these → which it names."""
    found: dict[Any, set[tuple[str, str, str]]] = {}
    for asset in assets:
        identity = asset.identity
        for key in (asset.id, identity, asset.public_id, asset.asset_id):
            if key in keys:
                found.setdefault(key, set()).add(identity)
    return found


def _not_found(missing: Mapping[_Key, str], others: list[Asset], is_deleted: bool) -> NotFound:
    """Why they were not found, of which `others` stand where they were not looked for."""
    elsewhere, said, hints = _named(others, missing), [], []
    absent = [name for key, name in missing.items() if key not in elsewhere]
    if absent:
        where = "among the deleted ones" if is_deleted else "in cloudinary_files"
        said.append(f"no asset {listed(absent)} {where}")
        hints.append("check the public_id; what is not yours to see is not found either")
    if others and is_deleted:
        said.append(f"not among the deleted ones: {listed(others)}")
        hints.append("only what was deleted can be restored")
    elif others:
        said.append(f"deleted already: {listed(others)}")
        hints.append("the owner or an admin can bring it back with kit.restore")
    return NotFound("; ".join(said), hint="; ".join(hints), ids=tuple(missing.values()))


def _refuse_several(keys: Iterable[_Key], found: Mapping[Any, set[tuple[str, str, str]]]) -> None:
    for key in keys:
        if isinstance(key, str) and len(found[key]) > 1:
            kinds = ", ".join(sorted(f"{kind}/{way}" for kind, way, _ in found[key]))
            raise Conflict(
                f"{key!r} is the public_id of several assets: {kinds}",
                hint="pass the Asset or its asset_id",
                ids=(key,),
            )


def _rows(names: Sequence[tuple[str, str, str]]) -> sa.Select[Any]:
    """Names as rows of three columns: thousands of them as one expression go beyond a stack."""
    parts = (sa.cast(list(part), sa.ARRAY(sa.Text)) for part in zip(*names, strict=True))
    wanted = sa.func.unnest(*parts).table_valued("kind", "way", "public_id").render_derived()
    return sa.select(wanted.c.kind, wanted.c.way, wanted.c.public_id)


def _refusal(connection: sa.Connection, refused: list[Asset], is_of_shown: bool) -> StoreError:
    """Why rows were not changed: another's, or not there any more as they were."""
    ids = [asset.id for asset in refused]
    query = sa.select(files.c.id, files.c.asset_id).where(
        files.c.id == sa.any_(sa.cast(ids, _INTEGERS))
    )
    if is_of_shown:
        query = query.where(files.c.deleted_at.is_(None))
    there = {(row.id, row.asset_id) for row in connection.execute(query)}
    changed = [asset for asset in refused if (asset.id, asset.asset_id) not in there]
    if not changed:
        return _forbidden(refused)
    return NotFound(
        f"the row of {listed(changed)} was deleted meanwhile, or has become another asset's",
        hint="kit.restore or kit.reconcile brings it here as it is in Cloudinary",
        ids=tuple(asset.public_id for asset in changed),
    )


def _forbidden(assets: list[Asset]) -> Forbidden:
    owners = ", ".join(sorted({asset.user_id for asset in assets}))
    named = listed(assets)
    return Forbidden(
        f"{named} belongs to {owners}",
        hint="ask the owner or an admin",
        ids=tuple(asset.public_id for asset in assets),
    )
