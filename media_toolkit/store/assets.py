"""AssetStore: rows of `cloudinary_files`, saved, read and counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from media_toolkit.asset import Asset
from media_toolkit.errors import Conflict, FilterError, NotFound
from media_toolkit.identity import Identity
from media_toolkit.store import facets, filters, history, saving, succession
from media_toolkit.store.database import Database
from media_toolkit.store.facets import CAP, Count, Facets
from media_toolkit.store.filters import AssetFilter
from media_toolkit.store.matching import matching
from media_toolkit.store.newest import newest, of_each_user, walked
from media_toolkit.store.ownership import narrowed
from media_toolkit.store.saving import SaveReport
from media_toolkit.store.schema import files


@dataclass(frozen=True, slots=True)
class Page:
    """One page of assets, newest first.

    Attributes:
        items: at most `limit` assets.
        next_cursor: pass as `after` for older assets; None at the end.
        previous_cursor: pass as `before` for newer ones; None at the beginning.
        position: how many matching assets are newer than the first of this page, plus one; None
            beyond 10,000.
    """

    items: tuple[Asset, ...]
    next_cursor: str | None
    previous_cursor: str | None
    position: int | None = 1


class AssetStore:
    """Saves and reads assets of one database. Threads may share it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(
        self,
        asset: Asset,
        identity: Identity,
        *,
        revive: bool = False,
        asked_at: float | None = None,
    ) -> Asset:
        """Insert or update one asset; returns it as it now stands in the table.

        An older version than the stored one changes nothing.

        Args:
            revive: bring it back if it was deleted; otherwise only a newer version does. An upload
                of before the deletion brings it back only where Cloudinary was asked since.
            asked_at: `time.monotonic()` of just before Cloudinary was asked, whose word this is.
                None where it may be what the upload answered, which of the same version takes
                nothing back that was changed here since.

        Raises:
            Conflict: when the row belongs to another user.
            Overtaken: the row was changed after `asked_at`; see `saving.asked_again`.
            NotFound: this upload was purged here, and Cloudinary was not asked since.
        """
        c = files.c
        named = sa.tuple_(c.resource_type, c.delivery_type, c.public_id) == sa.tuple_(
            *asset.identity
        )
        # By asset_id too: renamed since, the row goes by another public_id, yet it is this one.
        wanted = sa.or_(named, c.asset_id == asset.asset_id) if asset.asset_id else named
        order = sa.case((c.asset_id == asset.asset_id, 0), else_=1)

        def write(connection: sa.Connection) -> Asset:
            saving.write(connection, [asset], identity, revive, asked_at)
            row = connection.execute(sa.select(files).where(wanted).order_by(order)).mappings()
            if (found := row.first()) is None:
                raise NotFound(
                    f"{asset} was purged after this upload",
                    hint="upload it again; kit.save asks Cloudinary whether it is there",
                    ids=(asset.public_id,),
                )
            return Asset.from_row(dict(found))

        return saving.save_batch(self._database, [asset], identity, write, revive, asked_at)

    def save_many(
        self,
        assets: Iterable[Asset],
        identity: Identity,
        *,
        revive: bool = False,
        asked_at: float | None = None,
    ) -> SaveReport:
        """Insert or update many, in batches of 100,000 that hold entirely or not at all.

        What was purged after its upload is counted as unchanged, unless Cloudinary was asked.

        Args:
            revive: as in `save`.
            asked_at: as in `save`, for all of them.

        Raises:
            Conflict: when a row belongs to another user; its whole batch is left out.
            StoreError: naming the asset that Postgres cannot hold; likewise.
            Unavailable: Postgres stayed away; batches before this one are stored, and saving
                all again is safe.
        """
        return saving.save_batches(self._database, assets, identity, revive, asked_at)

    def refuse_foreign(self, names: Sequence[tuple[str, str, str]], identity: Identity) -> None:
        """Say before an upload that it would overwrite somebody else's, seen or not.

        Args:
            names: (resource_type, delivery_type, public_id) each.

        Raises:
            Conflict: naming what is another user's.
        """
        saving.refuse_foreign(self._database, names, identity)

    def make_way(self, asset: Asset, user_id: str) -> bool:
        """Free the name of what Cloudinary has just told of, to be saved as this user's.

        Another user's row stands there, of another asset that Cloudinary has under that name no
        more: it is removed, the history keeps it. Returns whether that was so.

        Raises:
            Conflict: it cannot be told yet, or a table of the team's own refers to the row.
        """
        return succession.make_way(self._database, asset, user_id)

    def refuse_read_only(self, identity: Identity) -> None:
        """As `Database.refuse_read_only`."""
        self._database.refuse_read_only(identity)

    def stands(self, names: Sequence[tuple[str, str, str]], identity: Identity) -> bool:
        """Whether a row, deleted or not, has one of the names (resource_type, delivery_type,
        public_id)."""
        c = files.c
        named = sa.tuple_(c.resource_type, c.delivery_type, c.public_id).in_(names)
        return bool(self._rows(sa.select(c.id).where(named), identity))

    def owns(self, names: Sequence[tuple[str, str, str]], identity: Identity) -> bool:
        """Whether one of the names is that of an asset of the caller's; an admin's are all."""
        c = files.c
        named = sa.tuple_(c.resource_type, c.delivery_type, c.public_id).in_(names)
        wanted = sa.select(c.id).where(named, c.deleted_at.is_(None))
        if identity.role != "admin":
            wanted = wanted.where(c.user_id == identity.user_id)
        return bool(self._rows(wanted, identity))

    def former_owners(
        self, asset_ids: Iterable[str], identity: Identity
    ) -> dict[str, tuple[str, bool]]:
        """asset_id → whose its row was and whether it was deleted, of those that had one."""
        return history.former_owners(self._database, identity, asset_ids)

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
            FilterError: when it is no name.
        """
        public_id = filters.read_name("public_id", public_id)
        c = files.c
        wanted = sa.select(files).where(sa.or_(c.public_id == public_id, c.asset_id == public_id))
        for column, value in ((c.resource_type, resource_type), (c.delivery_type, delivery_type)):
            if value is not None:
                wanted = wanted.where(column == filters.read_name(str(column.key), value))
        wanted = wanted.order_by(c.deleted_at.desc().nulls_first())
        found = self._rows(wanted.limit(3), identity)
        rows = [row for row in found if row["deleted_at"] is None]
        if found and not rows:
            raise NotFound(
                f"the asset {public_id!r} was deleted",
                hint="its owner or an admin can bring it back with kit.restore",
                ids=(public_id,),
            )
        if not rows:
            raise NotFound(
                f"no asset {public_id!r} in cloudinary_files",
                hint="check the name; what is in Cloudinary alone, kit.reconcile brings here",
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
        rows = self._rows(wanted, identity)
        return {row["public_id"]: Asset.from_row(dict(row)) for row in rows}

    def count(self, wanted: AssetFilter, identity: Identity, is_exact: bool = False) -> Count:
        """How many assets match: exact to 10,000 and estimated beyond, unless `is_exact`."""
        return facets.count(self._database, identity, wanted, is_exact)

    def facets(self, names: tuple[str, ...], wanted: AssetFilter, identity: Identity) -> Facets:
        """Each name's values with their counts. Raises FilterError for one without facets."""
        return facets.facets(self._database, identity, names, wanted)

    def values(self, column: str, identity: Identity) -> list[tuple[str, int]]:
        """The values of one facet with their counts, most first."""
        return self.facets((column,), AssetFilter(), identity)[column]

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
            FilterError: for a cursor that is none, or two.
        """
        limit = filters.read_limit(limit)
        if after is not None and before is not None:
            raise FilterError("a page is after a cursor or before one", ids=("after", "before"))
        wanted.conditions()  # what cannot be read is said before Postgres is asked
        backwards = before is not None
        edge = None
        if (cursor := before if backwards else after) is not None:
            edge = filters.read_cursor(cursor)

        def read(connection: sa.Connection) -> tuple[Sequence[sa.RowMapping], int | None]:
            reads_kept = self._database.reads_kept(connection)
            asked = narrowed(self._database, identity, wanted, connection)
            if edge is None and (rows := walked(connection, asked, [], limit + 1)) is not None:
                return rows, 1
            found = matching(connection, asked, reads_kept)
            key, beyond = sa.tuple_(*found.key), list[sa.ColumnElement[bool]]()
            if edge is not None:
                beyond.append(key > sa.tuple_(*edge) if backwards else key < sa.tuple_(*edge))
            rows = None
            if edge is not None:
                rows = walked(connection, asked, beyond, limit + 1, not backwards)
            if rows is None and found.search is not None and reads_kept and found.source is files:
                rows = newest(connection, asked, found.search, beyond, limit + 1, not backwards)
            if rows is None:
                rows = of_each_user(connection, asked, beyond, limit + 1, not backwards)
            if rows is None:
                query = sa.select(files).select_from(found.source).where(*found.conditions, *beyond)
                query = query.order_by(*found.order(not backwards)).limit(limit + 1)
                rows = connection.execute(query).mappings().all()
            if edge is None or (backwards and not rows):
                return rows, 1
            # Behind the last row there is a place too: all that was there may be deleted by now.
            place = (edge[0], edge[1] - 1)
            if rows:
                first = rows[min(limit, len(rows)) - 1] if backwards else rows[0]
                place = (first["upload_timestamp"], first["id"])
            newer = found.thin(key > sa.tuple_(*place)).limit(CAP)
            ahead = connection.scalar(sa.select(sa.func.count()).select_from(newer.subquery()))
            return rows, ahead + 1 if ahead is not None and ahead < CAP else None

        rows, position = self._database.run(identity, read)
        more, items = len(rows) > limit, [Asset.from_row(dict(row)) for row in rows[:limit]]
        if backwards:
            items.reverse()
        next_cursor = previous_cursor = None
        if items:
            has_next, has_previous = (True, more) if backwards else (more, position != 1)
            next_cursor = _cursor(items[-1]) if has_next else None
            previous_cursor = _cursor(items[0]) if has_previous else None
        elif edge is not None and not rows:
            # The cursor's own row, if it is there, is on the way back.
            moment, row_id = edge
            if backwards:
                next_cursor = filters.write_cursor(moment, row_id + 1)
            elif position != 1:
                previous_cursor = filters.write_cursor(moment, row_id - 1)
        return Page(tuple(items), next_cursor, previous_cursor, position)

    def _rows(self, query: sa.Select[Any], identity: Identity) -> Sequence[sa.RowMapping]:
        return self._database.run(identity, lambda k: k.execute(query).mappings().all())


def _cursor(asset: Asset) -> str:
    if asset.upload_timestamp is None or asset.id is None:
        raise NotFound(f"{asset} has not been saved", ids=(asset.public_id,))
    return filters.write_cursor(asset.upload_timestamp, asset.id)
