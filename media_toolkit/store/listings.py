"""ListingStore: what was listed of Cloudinary, kept beside the table and compared with it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal, Self

import sqlalchemy as sa

from media_toolkit.asset import Asset
from media_toolkit.errors import Conflict
from media_toolkit.identity import Identity
from media_toolkit.store.database import Database
from media_toolkit.store.rows import as_row

Kind = Literal["only_in_cloudinary", "only_in_table", "differing", "unsettled_intent"]

# A cursor of yesterday may have expired, and what was listed then is no news. Whoever is at work on
# a run has moved its `updated_at`, and by that value knows that nobody else has since. One that is
# released is as if moved ten minutes ago.
_TAKE_UP = sa.text("""
UPDATE reconcile_runs SET updated_at = NOW() WHERE id = (
    SELECT one.id FROM reconcile_runs AS one
    WHERE one.scope = CAST(:scope AS jsonb) AND one.finished_at IS NULL AND one.cursor IS NOT NULL
      AND one.updated_at BETWEEN NOW() - INTERVAL '24 hours 10 minutes'
                             AND NOW() - INTERVAL '1 minute'
      AND NOT EXISTS (SELECT FROM reconcile_runs AS later
                      WHERE later.scope = one.scope AND later.id > one.id
                        AND later.finished_at IS NOT NULL)
    ORDER BY one.id DESC LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING *
""")
# A comparison of a large table takes minutes, in which nothing moves the run.
_FORGET = sa.text("""
DELETE FROM reconcile_runs WHERE id IN (
    SELECT id FROM reconcile_runs
    WHERE (finished_at IS NULL AND scope = CAST(:scope AS jsonb)
           AND updated_at <= NOW() - INTERVAL '10 minutes')
       OR updated_at < NOW() - INTERVAL '30 days'
    FOR UPDATE SKIP LOCKED)
""")
_BEGIN = sa.text("""
INSERT INTO reconcile_runs (user_id, scope) VALUES (:user_id, CAST(:scope AS jsonb)) RETURNING *
""")
_LISTED = "asset_id, resource_type, delivery_type, public_id, version, etag, tags, context, folder"
_ADD = sa.text(f"""
INSERT INTO reconcile_listed (run_id, {_LISTED}, created_at)
SELECT :run_id, {_LISTED}, created_at
FROM jsonb_populate_recordset(NULL::reconcile_listed, CAST(:rows AS jsonb))
ON CONFLICT DO NOTHING
""")
_OURS = "id = :run_id AND updated_at = :updated_at AND finished_at IS NULL"
_PLACE = sa.text(f"""
UPDATE reconcile_runs SET cursor = :cursor, listed = listed + :listed, total = :total,
    calls = calls + 1, updated_at = NOW()
WHERE {_OURS} RETURNING *
""")
_HOLD = sa.text(f"SELECT * FROM reconcile_runs WHERE {_OURS} FOR UPDATE")
_RELEASE = sa.text(f"""
UPDATE reconcile_runs SET updated_at = NOW() - INTERVAL '10 minutes' WHERE {_OURS}
""")
_FINISH = sa.text(f"UPDATE reconcile_runs SET finished_at = NOW() WHERE {_OURS} RETURNING *")
_CLEAR = sa.text("DELETE FROM reconcile_listed WHERE run_id = :run_id")

# By asset_id, which a rename does not change, then by name: rows of the guide have no asset_id.
# A row that was deleted here hides its asset; a later upload, or asset of the name, it does not.
_COMPARE = sa.text("""
WITH paired AS (
    SELECT l.*, f.id AS row_id, f.user_id,
        f.media_url, f.asset_id AS row_asset_id, f.resource_type AS row_resource_type,
        f.delivery_type AS row_delivery_type, f.public_id AS row_public_id,
        f.version AS row_version, f.etag AS row_etag, f.tags AS row_tags,
        f.context AS row_context, f.folder AS row_folder, f.deleted_at,
        array_remove(ARRAY[
            CASE WHEN f.asset_id IS DISTINCT FROM l.asset_id THEN 'asset_id' END,
            CASE WHEN (f.resource_type, f.delivery_type, f.public_id)
                      <> (l.resource_type, l.delivery_type, l.public_id) THEN 'public_id' END,
            CASE WHEN f.version IS DISTINCT FROM l.version THEN 'version' END,
            CASE WHEN f.etag <> l.etag THEN 'etag' END,
            CASE WHEN NOT (f.tags @> l.tags AND f.tags <@ l.tags) THEN 'tags' END,
            CASE WHEN f.context <> l.context THEN 'context' END,
            CASE WHEN COALESCE(f.folder, '') <> COALESCE(l.folder, '') THEN 'folder' END
        ], NULL) AS fields
    FROM reconcile_listed AS l
    LEFT JOIN LATERAL (
        SELECT * FROM cloudinary_files AS one
        WHERE one.asset_id = l.asset_id
           OR (one.resource_type, one.delivery_type, one.public_id)
              = (l.resource_type, l.delivery_type, l.public_id)
        ORDER BY (one.asset_id = l.asset_id) DESC NULLS LAST LIMIT 1
    ) AS f ON true
    WHERE l.run_id = :run_id)
SELECT *, CASE WHEN row_id IS NULL OR deleted_at IS NOT NULL THEN 'only_in_cloudinary'
               ELSE 'differing' END AS kind
FROM paired
WHERE row_id IS NULL
   OR (deleted_at IS NULL AND cardinality(fields) > 0)
   OR (deleted_at IS NOT NULL AND (row_asset_id <> asset_id OR version > row_version))
ORDER BY resource_type, delivery_type, public_id
""")
# A row that came after the listing began may have been uploaded behind its back.
_ONLY_IN_TABLE = sa.text("""
SELECT f.*, f.id AS row_id FROM cloudinary_files AS f
WHERE f.deleted_at IS NULL AND f.upload_timestamp < :started_at
  AND f.resource_type = ANY(CAST(:resource_types AS text[]))
  AND f.delivery_type = ANY(CAST(:delivery_types AS text[]))
  AND (CAST(:folder AS text) IS NULL OR f.folder = :folder OR starts_with(f.folder, :folder || '/'))
  AND (CAST(:since AS timestamptz) IS NULL OR COALESCE(f.created_at, f.upload_timestamp) >= :since)
  AND NOT EXISTS (SELECT FROM reconcile_listed AS l
                  WHERE l.run_id = :run_id AND l.asset_id = f.asset_id)
  AND NOT EXISTS (SELECT FROM reconcile_listed AS l WHERE l.run_id = :run_id
      AND (l.resource_type, l.delivery_type, l.public_id)
          = (f.resource_type, f.delivery_type, f.public_id))
ORDER BY f.resource_type, f.delivery_type, f.public_id
""")
_BETWEEN = sa.text("""
SELECT l.* FROM reconcile_listed AS l
WHERE l.run_id = :run_id AND l.version BETWEEN :first AND :last
ORDER BY l.version DESC, l.public_id
LIMIT :limit
""")
_HIDE = sa.text("""
UPDATE cloudinary_files SET deleted_at = NOW()
WHERE id = :row_id AND deleted_at IS NULL
  AND asset_id IS NOT DISTINCT FROM :asset_id AND version IS NOT DISTINCT FROM :version
""")


@dataclass(frozen=True, slots=True)
class Run:
    """One walk through a listing, as far as it has got.

    Attributes:
        cursor: of the page that comes next; None before the first and after the last.
        listed, total: how many assets have been seen, and how many there are.
        calls: how many pages were read, by former runs that this one goes on from as well.
        updated_at: when it was last moved; another value in the table is another's.
    """

    id: int
    cursor: str | None
    listed: int
    total: int | None
    calls: int
    started_at: datetime
    updated_at: datetime

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Read a row of `reconcile_runs`."""
        return cls(**{f.name: row[f.name] for f in fields(cls)})

    @property
    def is_complete(self) -> bool:
        """Whether the whole listing has been read."""
        return self.calls > 0 and self.cursor is None


@dataclass(frozen=True, slots=True)
class Difference:
    """One asset or row about which Cloudinary and the table do not agree.

    Attributes:
        kind: where it is, or `differing`.
        fields: of a differing one: asset_id, public_id, version, etag, tags, context, folder.
        user_id: the row's owner; None without a row.
        row_id, row_version, row_asset_id, media_url: the row as it was compared.
        listed, row: field → value as listed and as in the table, for `fields`.
        asset: what the listing told; None for a row without an asset.
    """

    kind: Kind
    resource_type: str
    delivery_type: str
    public_id: str
    asset_id: str | None = None
    user_id: str | None = None
    fields: tuple[str, ...] = ()
    listed: Mapping[str, Any] | None = None
    row: Mapping[str, Any] | None = None
    row_id: int | None = None
    row_version: int | None = None
    row_asset_id: str | None = None
    media_url: str = ""
    asset: Asset | None = None


class ListingStore:
    """Keeps the place of listings and compares them with the table. Threads may share it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, identity: Identity, scope: Mapping[str, Any], resume: bool = True) -> Run:
        """The caller's unfinished run over the same scope of the last 24 hours, or a new one.

        One that was moved within the last minute is another's at work, unless it was released.
        """
        values = {"user_id": identity.user_id, "scope": json.dumps(scope)}

        def work(connection: sa.Connection) -> Run:
            row = connection.execute(_TAKE_UP, values).mappings().first() if resume else None
            if row is None:
                connection.execute(_FORGET, values)
                row = connection.execute(_BEGIN, values).mappings().one()
            return Run.from_row(dict(row))

        return self._database.run(identity, work)

    def add(
        self, run: Run, identity: Identity, assets: Iterable[Asset], cursor: str | None, total: int
    ) -> Run:
        """Keep one page and the place after it, in one transaction.

        Raises:
            Conflict: another reconcile has taken the run up, or forgotten it.
        """
        rows = [_row(asset) for asset in assets]

        def work(connection: sa.Connection) -> Run:
            moved = _own(connection, _PLACE, run, cursor=cursor, listed=len(rows), total=total)
            connection.execute(_ADD, {"run_id": run.id, "rows": json.dumps(rows)})
            return moved

        return self._database.run(identity, work)

    def differences(
        self,
        run: Run,
        identity: Identity,
        *,
        resource_types: Sequence[str],
        delivery_types: Sequence[str],
        folder: str | None = None,
        since: datetime | None = None,
    ) -> list[Difference]:
        """How the table differs from what was listed, by asset_id and then by name.

        Rows whose asset is missing are told of a complete run only.

        Raises:
            Conflict: as `add`.
        """
        values = {
            "run_id": run.id,
            "started_at": run.started_at,
            "resource_types": list(resource_types),
            "delivery_types": list(delivery_types),
            "folder": folder,
            "since": since,
        }

        def work(connection: sa.Connection) -> list[Difference]:
            _own(connection, _HOLD, run)
            # Temporary statistics would cost more than they save: the joins are by key.
            rows = connection.execute(_COMPARE, {"run_id": run.id}).mappings().all()
            found = [_difference(dict(row)) for row in rows]
            if run.is_complete:
                rows = connection.execute(_ONLY_IN_TABLE, values).mappings().all()
                found += [_missing(dict(row)) for row in rows]
            return found

        return self._database.run(identity, work)

    def uploaded_between(
        self, run: Run, identity: Identity, first: datetime, last: datetime, limit: int = 10_000
    ) -> list[Asset]:
        """Listed assets whose version lies in these moments, the newest first."""
        values = {
            "run_id": run.id,
            "first": int(first.timestamp()),
            "last": int(last.timestamp()),
            "limit": limit,
        }
        rows = self._database.run(identity, lambda k: k.execute(_BETWEEN, values).mappings().all())
        return [_listed(dict(row)) for row in rows]

    def hide(self, difference: Difference, identity: Identity) -> bool:
        """Delete a row softly, unless it has changed since it was compared."""
        values = {
            "row_id": difference.row_id,
            "asset_id": difference.row_asset_id,
            "version": difference.row_version,
        }
        return self._database.run(identity, lambda k: bool(k.execute(_HIDE, values).rowcount))

    def release(self, run: Run, identity: Identity) -> None:
        """Leave an unfinished run to whoever comes next, at once; not if it is another's now."""
        values = {"run_id": run.id, "updated_at": run.updated_at}
        self._database.run(identity, lambda k: k.execute(_RELEASE, values))

    def finish(self, run: Run, identity: Identity) -> None:
        """Mark a run as done; what it listed is dropped.

        Raises:
            Conflict: as `add`.
        """

        def work(connection: sa.Connection) -> None:
            _own(connection, _FINISH, run)
            connection.execute(_CLEAR, {"run_id": run.id})

        self._database.run(identity, work)


def _own(connection: sa.Connection, statement: sa.TextClause, run: Run, **values: Any) -> Run:
    """The run after a statement that finds it only while it is the caller's."""
    values |= {"run_id": run.id, "updated_at": run.updated_at}
    row = connection.execute(statement, values).mappings().first()
    if row is None:
        raise Conflict(
            "another reconcile of the same was begun meanwhile, and this one's listing is gone",
            hint="run it again",
        )
    return Run.from_row(dict(row))


def _row(asset: Asset) -> dict[str, Any]:
    row = as_row(asset)
    return {name: row[name] for name in (*_LISTED.split(", "), "created_at")}


def _listed(row: Mapping[str, Any]) -> Asset:
    """An asset as far as a listing tells; it has no URL and no owner."""
    values = {name: row[name] for name in (*_LISTED.split(", "), "created_at")}
    return Asset.from_row({**values, "media_url": "", "user_id": ""})


def _difference(row: Mapping[str, Any]) -> Difference:
    changed = tuple(row["fields"]) if row["kind"] == "differing" else ()
    return Difference(
        kind=row["kind"],
        resource_type=row["resource_type"],
        delivery_type=row["delivery_type"],
        public_id=row["public_id"],
        asset_id=row["asset_id"],
        user_id=row["user_id"] if row["kind"] == "differing" else None,
        fields=changed,
        listed={name: row[name] for name in changed},
        row={name: row[f"row_{name}"] for name in changed},
        row_id=row["row_id"],
        row_version=row["row_version"],
        row_asset_id=row["row_asset_id"],
        media_url=row["media_url"] or "",
        asset=_listed(row),
    )


def _missing(row: Mapping[str, Any]) -> Difference:
    return Difference(
        kind="only_in_table",
        resource_type=row["resource_type"],
        delivery_type=row["delivery_type"],
        public_id=row["public_id"],
        asset_id=row["asset_id"],
        user_id=row["user_id"],
        row_id=row["row_id"],
        row_version=row["version"],
        row_asset_id=row["asset_id"],
        media_url=row["media_url"],
    )
