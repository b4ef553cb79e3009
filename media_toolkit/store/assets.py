"""AssetStore: rows of `cloudinary_files`, saved, read and counted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import sqlalchemy as sa

from media_toolkit.asset import Asset
from media_toolkit.errors import Conflict, NotFound
from media_toolkit.identity import Identity
from media_toolkit.store import filters
from media_toolkit.store.database import Database
from media_toolkit.store.filters import AssetFilter
from media_toolkit.store.schema import files

BATCH_ROWS = 5_000

# What a save may write; id and upload_timestamp are the row's own, user_id never changes.
_WRITTEN = [f.name for f in fields(Asset) if f.name not in ("id", "upload_timestamp", "user_id")]
_CHANGED = " OR ".join(
    f"cloudinary_files.{name} IS DISTINCT FROM excluded.{name}" for name in _WRITTEN
)
# One statement for one row and for thousands. A newer version wins whatever the order of
# arrival, an unchanged row is not rewritten, and a soft-deleted one comes back.
_UPSERT = sa.text(f"""
INSERT INTO cloudinary_files (user_id, {", ".join(_WRITTEN)})
SELECT user_id, {", ".join(_WRITTEN)}
FROM jsonb_populate_recordset(NULL::cloudinary_files, CAST(:rows AS jsonb)) AS new
WHERE NOT EXISTS (  -- a late message under an old name: the row has moved on
    SELECT FROM cloudinary_files AS moved
    WHERE moved.asset_id = new.asset_id
      AND (moved.resource_type, moved.delivery_type, moved.public_id)
          <> (new.resource_type, new.delivery_type, new.public_id))
ON CONFLICT (resource_type, delivery_type, public_id) DO UPDATE
SET {", ".join(f"{name} = excluded.{name}" for name in _WRITTEN)}, deleted_at = NULL
WHERE (cloudinary_files.user_id = excluded.user_id OR :is_admin)
  AND (cloudinary_files.version IS NULL OR excluded.version >= cloudinary_files.version)
  AND (cloudinary_files.deleted_at IS NOT NULL OR {_CHANGED})
RETURNING resource_type, delivery_type, public_id, (xmax = 0) AS inserted
""")
# A rename in Cloudinary keeps asset_id: the row moves with it instead of colliding.
_FOLLOW_RENAMES = sa.text("""
UPDATE cloudinary_files AS old
SET public_id = new.public_id, resource_type = new.resource_type,
    delivery_type = new.delivery_type
FROM jsonb_populate_recordset(NULL::cloudinary_files, CAST(:rows AS jsonb)) AS new
WHERE old.asset_id = new.asset_id AND (old.user_id = new.user_id OR :is_admin)
  AND (old.public_id, old.resource_type, old.delivery_type)
      IS DISTINCT FROM (new.public_id, new.resource_type, new.delivery_type)
  AND (old.version IS NULL OR new.version >= old.version)
""")
_FOREIGN = sa.text("""
SELECT old.resource_type, old.public_id, old.user_id
FROM cloudinary_files AS old
JOIN jsonb_populate_recordset(NULL::cloudinary_files, CAST(:rows AS jsonb)) AS new
  ON (old.resource_type, old.delivery_type, old.public_id)
     = (new.resource_type, new.delivery_type, new.public_id)
  OR old.asset_id = new.asset_id
WHERE old.user_id <> new.user_id
LIMIT 10
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


@dataclass(frozen=True, slots=True)
class Page:
    """One page of assets, newest first.

    Attributes:
        items: at most `limit` assets.
        next_cursor: pass as `after` for older assets; None at the end.
        previous_cursor: pass as `before` for newer ones; None at the beginning.
    """

    items: tuple[Asset, ...]
    next_cursor: str | None
    previous_cursor: str | None


class AssetStore:
    """Saves and reads assets of one database. Threads may share it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, asset: Asset, identity: Identity) -> Asset:
        """Insert or update one asset; returns it as it now stands in the table.

        An older version than the stored one changes nothing.

        Raises:
            Conflict: when the row belongs to another user.
        """
        self.save_many([asset], identity)
        if asset.asset_id is not None:
            # Renamed since: the row goes by another public_id, yet it is this asset's.
            return self.get(asset.asset_id, identity, asset.resource_type, asset.delivery_type)
        return self.get(asset.public_id, identity, asset.resource_type, asset.delivery_type)

    def save_many(self, assets: Iterable[Asset], identity: Identity) -> SaveReport:
        """Insert or update many, in batches that hold entirely or not at all.

        Raises:
            Conflict: when a row belongs to another user; its whole batch is left out.
        """
        newest: dict[tuple[str, str, str], Asset] = {}
        for asset in assets:
            kept = newest.get(asset.identity)
            if kept is None or (asset.version or 0) >= (kept.version or 0):
                newest[asset.identity] = asset
        rows = [_row(asset) for asset in newest.values()]
        report = SaveReport()
        for start in range(0, len(rows), BATCH_ROWS):
            report += self._save_batch(rows[start : start + BATCH_ROWS], identity)
        return report

    def get(
        self,
        public_id: str,
        identity: Identity,
        resource_type: str | None = None,
        delivery_type: str | None = None,
    ) -> Asset:
        """One asset by public_id or asset_id.

        Raises:
            NotFound: when there is none. Conflict: when several share the public_id.
        """
        c = files.c
        wanted = sa.select(files).where(
            sa.or_(c.public_id == public_id, c.asset_id == public_id), c.deleted_at.is_(None)
        )
        if resource_type is not None:
            wanted = wanted.where(c.resource_type == resource_type)
        if delivery_type is not None:
            wanted = wanted.where(c.delivery_type == delivery_type)
        with self._database.begin(identity) as connection:
            rows = connection.execute(wanted.limit(3)).mappings().all()
        if not rows:
            raise NotFound(
                f"no asset {public_id!r} in cloudinary_files",
                hint="check the public_id, or save it first",
                ids=(public_id,),
            )
        if len(rows) > 1:
            kinds = ", ".join(f"{r['resource_type']}/{r['delivery_type']}" for r in rows)
            raise Conflict(
                f"{public_id!r} is the public_id of several assets: {kinds}",
                hint="pass resource_type or the asset_id",
                ids=(public_id,),
            )
        return Asset.from_row(dict(rows[0]))

    def by_identity(
        self,
        resource_type: str,
        public_ids: Iterable[str],
        identity: Identity,
        delivery_type: str = "upload",
    ) -> dict[str, Asset]:
        """public_id → asset, for those that are in the table and not deleted."""
        c = files.c
        wanted = sa.select(files).where(
            c.resource_type == resource_type,
            c.delivery_type == delivery_type,
            c.public_id == sa.any_(sa.cast(list(public_ids), c.tags.type)),
            c.deleted_at.is_(None),
        )
        with self._database.begin(identity) as connection:
            rows = connection.execute(wanted).mappings().all()
        return {row["public_id"]: Asset.from_row(dict(row)) for row in rows}

    def count(self, wanted: AssetFilter, identity: Identity) -> int:
        """How many assets match, exactly."""
        with self._database.begin(identity) as connection:
            return int(
                connection.scalar(
                    sa.select(sa.func.count()).select_from(files).where(*wanted.conditions())
                )
                or 0
            )

    def page(
        self,
        wanted: AssetFilter,
        identity: Identity,
        limit: int = 48,
        after: str | None = None,
        before: str | None = None,
    ) -> Page:
        """One page, newest first, by keyset: as fast at the end as at the beginning.

        Raises:
            FilterError: for a cursor that is none.
        """
        c, limit = files.c, filters.read_limit(limit)
        key = sa.tuple_(c.upload_timestamp, c.id)
        query = sa.select(files).where(*wanted.conditions())
        if after is not None:
            query = query.where(key < sa.tuple_(*filters.read_cursor(after)))
        if before is not None:
            query = query.where(key > sa.tuple_(*filters.read_cursor(before)))
        backwards = before is not None and after is None
        order = [key_part.asc() if backwards else key_part.desc() for key_part in key.clauses]
        with self._database.begin(identity) as connection:
            rows = connection.execute(query.order_by(*order).limit(limit + 1)).mappings().all()
        more, items = len(rows) > limit, [Asset.from_row(dict(row)) for row in rows[:limit]]
        if backwards:
            items.reverse()
        has_next, has_previous = (True, more) if backwards else (more, after is not None)
        return Page(
            tuple(items),
            _cursor(items[-1]) if items and has_next else None,
            _cursor(items[0]) if items and has_previous else None,
        )

    def values(self, column: str, identity: Identity) -> list[tuple[str, int]]:
        """The values of user_id, resource_type or format with their counts, most first."""
        c = files.c[column]
        query = (
            sa.select(c, sa.func.count().label("n"))
            .where(files.c.deleted_at.is_(None), c.is_not(None))
            .group_by(c)
            .order_by(sa.desc("n"), c)
        )
        with self._database.begin(identity) as connection:
            return [(str(value), int(n)) for value, n in connection.execute(query)]

    def write(
        self, connection: sa.Connection, assets: Iterable[Asset], identity: Identity
    ) -> SaveReport:
        """`save_many` of a few inside a transaction that is the caller's.

        Raises:
            Conflict: when a row belongs to another user.
        """
        return self._write(connection, [_row(asset) for asset in assets], identity)

    def _save_batch(self, rows: list[dict[str, Any]], identity: Identity) -> SaveReport:
        with self._database.begin(identity) as connection:
            return self._write(connection, rows, identity)

    def _write(
        self, connection: sa.Connection, rows: list[dict[str, Any]], identity: Identity
    ) -> SaveReport:
        values = {"rows": json.dumps(rows), "is_admin": identity.role == "admin"}
        if identity.role != "admin":
            self._refuse_foreign(connection, values["rows"])
        connection.execute(_FOLLOW_RENAMES, values)
        written = connection.execute(_UPSERT, values).all()
        inserted = sum(row.inserted for row in written)
        return SaveReport(inserted, len(written) - inserted, len(rows) - len(written))

    @staticmethod
    def _refuse_foreign(connection: sa.Connection, rows: Any) -> None:
        foreign = connection.execute(_FOREIGN, {"rows": rows}).all()
        if foreign:
            names = tuple(f"{r.resource_type}/{r.public_id}" for r in foreign)
            owners = ", ".join(sorted({r.user_id for r in foreign}))
            raise Conflict(
                f"{', '.join(names)} belongs to {owners}",
                hint="ask the owner or an admin, or upload under another public_id",
                ids=names,
            )


def _row(asset: Asset) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(asset, name) for name in ("user_id", *_WRITTEN)}
    values["tags"], values["context"] = list(asset.tags), dict(asset.context)
    values["raw"] = _without_nul(asset.raw)
    values["created_at"] = asset.created_at.isoformat() if asset.created_at else None
    return values


def _without_nul(value: Any) -> Any:
    """Postgres has no NUL in text or jsonb; EXIF of old cameras does."""
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, Mapping):
        return {str(k): _without_nul(v) for k, v in value.items()}
    return [_without_nul(v) for v in value] if isinstance(value, list | tuple) else value


def _cursor(asset: Asset) -> str:
    if asset.upload_timestamp is None or asset.id is None:
        raise NotFound(f"{asset} has not been saved", ids=(asset.public_id,))
    return filters.write_cursor(asset.upload_timestamp, asset.id)
