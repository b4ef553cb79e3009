"""NotificationStore: what Cloudinary's notifications tell, put into the table once each.

Notifications come late, twice and in any order. So an upload changes nothing when the row's
version is newer or the asset is gone; a name, a tag or a piece of context holds against what
was told earlier only; what arrives before its asset does is kept until then (the marks); and what
the toolkit changed itself since that was so, stays (the history).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from media_toolkit.asset import Asset
from media_toolkit.errors import Conflict
from media_toolkit.identity import CLOUDINARY, Identity
from media_toolkit.store import marks, saving, since
from media_toolkit.store.database import Database
from media_toolkit.store.marks import Subject
from media_toolkit.store.rows import as_row

# Longer than any notification is accepted after it was signed.
RECEIPTS_KEPT_DAYS = 2
_FORGOTTEN_AT_ONCE = 50
# Who applies what Cloudinary tells: no user's own rights.
_CLOUDINARY = Identity(CLOUDINARY, "admin")

_RECEIPT = sa.text("""
INSERT INTO notification_receipts (digest) VALUES (:digest) ON CONFLICT DO NOTHING
RETURNING digest
""")
_FORGET = sa.text(f"""
DELETE FROM notification_receipts WHERE digest IN (
    SELECT digest FROM notification_receipts
    WHERE received_at < NOW() - INTERVAL '{RECEIPTS_KEPT_DAYS} days' LIMIT {_FORGOTTEN_AT_ONCE})
""")
# In the order of their keys, so that two notifications about the same assets never wait for
# each other.
_LOCK = sa.text("""
SELECT pg_advisory_xact_lock(hashtextextended(key, 21))
FROM (SELECT unnest(CAST(:keys AS text[])) AS key ORDER BY 1) AS keys
""")
_ROW = sa.text("""
SELECT * FROM cloudinary_files
WHERE asset_id = :asset_id
   OR ((resource_type, delivery_type, public_id) = (:kind, :delivery, :public_id)
       AND (asset_id IS NULL OR CAST(:asset_id AS text) IS NULL OR :any_asset))
ORDER BY (asset_id IS NOT DISTINCT FROM :asset_id) DESC LIMIT 1
FOR UPDATE
""")
_HIDE = sa.text("""
UPDATE cloudinary_files SET deleted_at = COALESCE(deleted_at, NOW())
WHERE id = :id AND (version IS NULL OR version <= :version)
""")
# Another asset under a name.
_STANDING = sa.text("""
SELECT id, asset_id, version, public_id, user_id FROM cloudinary_files
WHERE (resource_type, delivery_type, public_id) = (:kind, :delivery, :public_id) AND id <> :id
""")
_REMOVE = sa.text("DELETE FROM cloudinary_files WHERE id = :id")
_RENAME = sa.text("""
UPDATE cloudinary_files SET public_id = :public_id, delivery_type = :delivery,
    folder = :folder, media_url = :media_url WHERE id = :id
""")
_LABEL = sa.text("""
UPDATE cloudinary_files SET tags = :tags, context = CAST(:context AS jsonb) WHERE id = :id
""")
_EAGER = sa.text("""
UPDATE cloudinary_files SET raw = jsonb_set(raw, '{eager}', CAST(:eager AS jsonb)) WHERE id = :id
""")


@dataclass(frozen=True, slots=True)
class Change:
    """One thing told of one asset.

    Attributes:
        upload: the whole asset, for an upload; its `user_id` owns the row if it makes one.
        claimants: who may take that row over, where several could have asked for it.
        renamed: the new (delivery_type, public_id, asset folder or None).
        is_gone: it was deleted.
        tags: tag → whether it is on the asset now. context: key → value, None when removed.
        eager: the derived files, as Cloudinary lists them.
    """

    subject: Subject
    upload: Asset | None = None
    claimants: Sequence[str] = ()
    renamed: tuple[str, str, str | None] | None = None
    is_gone: bool = False
    tags: Mapping[str, bool] = field(default_factory=dict)
    context: Mapping[str, str | None] = field(default_factory=dict)
    eager: Sequence[Mapping[str, Any]] = ()

    @property
    def keys(self) -> list[str]:
        """What others may not be told of meanwhile: the asset, its name and the new one."""
        if self.renamed is None:
            return self.subject.keys
        delivery_type, public_id, _ = self.renamed
        target = replace(self.subject, delivery_type=delivery_type, public_id=public_id)
        return [*self.subject.keys, *target.keys]


class NotificationStore:
    """Applies notifications. Threads may share it.

    Args:
        url_of: the delivery URL of an asset, for one that goes by another name now.
    """

    def __init__(self, database: Database, url_of: Callable[[Asset], str]) -> None:
        self._database = database
        self._url_of = url_of

    def apply(self, digest: str, told_at: datetime, changes: Sequence[Change]) -> int:
        """Take one notification, entirely or not at all; returns how many changes were news.

        Args:
            digest: of the message with its signature; a second one of the same is a replay.
            told_at: when it happened, by Cloudinary's clock.

        Raises:
            Conflict: it was received before. Unavailable, StoreError: nothing was changed.
        """
        keys = sorted({key for change in changes for key in change.keys})

        def work(connection: sa.Connection) -> int:
            if connection.execute(_RECEIPT, {"digest": digest}).first() is None:
                raise Conflict(
                    "this notification was received before", hint="nothing needs to be done"
                )
            connection.execute(_FORGET)
            marks.forget(connection)
            connection.execute(_LOCK, {"keys": keys})
            return sum(self._apply(connection, told_at, change) for change in changes)

        try:
            return self._database.run(_CLOUDINARY, work)
        except Conflict as error:
            if error.__cause__ is None:
                raise
            # A save was the first with the same name or asset: it stands there now.
            return self._database.run(_CLOUDINARY, work)

    def _apply(self, connection: sa.Connection, told_at: datetime, change: Change) -> bool:
        row = self._row(connection, change.subject, any_asset=change.upload is not None)
        if change.upload is not None:
            return self._upload(connection, told_at, change, change.upload, row)
        if change.is_gone:
            return self._gone(connection, told_at, change.subject, row)
        if change.renamed is not None:
            return self._renamed(connection, told_at, change.subject, change.renamed, row)
        if row is not None and _came_after(row, told_at):
            return False
        if change.eager:
            if row is not None:
                eager = json.dumps(list(change.eager))
                connection.execute(_EAGER, {"id": row["id"], "eager": eager})
            return row is not None
        return self._labelled(connection, told_at, change, row)

    def _upload(
        self,
        connection: sa.Connection,
        told_at: datetime,
        change: Change,
        asset: Asset,
        row: Mapping[str, Any] | None,
    ) -> bool:
        kept = marks.of(connection, change.subject.keys)
        if any(mark["field"] == "gone" and marks.ends(mark["value"], asset) for mark in kept):
            return False
        if since.was_purged(connection, asset):
            return False
        first, moment = asset, asset.version or int(told_at.timestamp())
        if row is not None and row["asset_id"] in (None, asset.asset_id):
            if row["public_id"] != asset.public_id and since.left(connection, row["id"], asset):
                asset = self._named(asset, row["delivery_type"], row["public_id"], row["folder"])
            known, told = row["version"] or 0, asset.version or 0
            if told < known or (row["deleted_at"] is not None and told <= known):
                return False
            if told == known:
                # Its labels may have been changed since, by ourselves too: the row knows better.
                asset = replace(asset, tags=tuple(row["tags"]), context=row["context"])
        for mark in kept:
            if mark["told_at"] > told_at:
                asset = self._marked(asset, mark["field"], mark["value"])
                if mark["field"] == "name":
                    moment = max(moment, int(mark["told_at"].timestamp()))
        other = self._standing(connection, asset, None)
        if other is not None and other.asset_id in (None, asset.asset_id):
            other = None
        later = other is not None and since.named(connection, other) >= moment + 1
        if later or marks.is_taken(connection, asset, moment):
            # Another has had the name since. When this one left it may be told later.
            marks.keep(connection, told_at, change.subject, {"upload": as_row(first)})
            return False
        # Uploaded later, and overwritten by the rename all the same; or another user's, to whom
        # this upload would belong otherwise.
        if other is not None and (
            (other.version or 0) > (asset.version or 0)
            or (asset.asset_id is not None and (other.user_id != asset.user_id or change.claimants))
        ):
            connection.execute(_REMOVE, {"id": other.id})
            row = None if row is not None and row["id"] == other.id else row
        news = saving.write(connection, [asset], _CLOUDINARY, revive=True)
        if change.claimants and row is None:
            marks.keep(connection, told_at, change.subject, {"unclaimed": list(change.claimants)})
        return bool(news.inserted or news.updated)

    def _marked(self, asset: Asset, name: str, value: Any) -> Asset:
        """The asset with what was told of it later."""
        if name == "name":
            return self._named(asset, *value)
        kind, _, label = name.partition(":")
        if kind == "tag":
            if bool(value) == (label in asset.tags):
                return asset
            rest = tuple(tag for tag in asset.tags if tag != label)
            return replace(asset, tags=(*rest, label) if value else rest)
        if kind == "context":
            context = {k: v for k, v in asset.context.items() if k != label}
            if value is not False:
                context[label] = value
            return replace(asset, context=context)
        return asset

    def _named(self, asset: Asset, delivery_type: str, public_id: str, folder: str | None) -> Asset:
        folder = (folder or "").strip("/") or public_id.rpartition("/")[0].strip("/")
        named = replace(asset, delivery_type=delivery_type, public_id=public_id, folder=folder)
        return replace(named, media_url=self._url_of(named))

    def _gone(
        self,
        connection: sa.Connection,
        told_at: datetime,
        subject: Subject,
        row: Mapping[str, Any] | None,
    ) -> bool:
        version = subject.version if subject.version is not None else int(told_at.timestamp())
        end = {"version": version, "asset_id": subject.asset_id}
        marks.keep(connection, told_at, subject, {"gone": end}, every_key=True)
        if row is None:
            return False
        hidden = connection.execute(_HIDE, {"id": row["id"], "version": version}).rowcount
        return bool(hidden) and row["deleted_at"] is None

    def _renamed(
        self,
        connection: sa.Connection,
        told_at: datetime,
        subject: Subject,
        new: tuple[str, str, str | None],
        row: Mapping[str, Any] | None,
    ) -> bool:
        target = replace(subject, delivery_type=new[0], public_id=new[1])
        if subject.asset_id is not None:
            name = replace(target, asset_id=None)
            marks.keep(connection, told_at, name, {"taken": subject.asset_id})
        is_news = row is None or not (
            _came_after(row, told_at) or since.changed(connection, row["id"], told_at).renamed
        )
        is_news = is_news and bool(marks.keep(connection, told_at, subject, {"name": list(new)}))
        other = self._standing(connection, target, row)
        is_older = other is not None and since.named(connection, other) <= told_at.timestamp()
        if row is None or not is_news:
            # Without both ids the other may be this asset, which has moved already.
            is_older = is_older and None not in (subject.asset_id, other and other.asset_id)
        if marks.is_taken(connection, target, int(told_at.timestamp())):
            # Overwritten by a later rename, or gone on from there: that is told by what comes.
            if row is not None and is_news:
                connection.execute(_REMOVE, {"id": row["id"]})
            return row is not None and is_news
        if other is not None and is_older:
            # Whatever went by that name was overwritten in Cloudinary.
            connection.execute(_REMOVE, {"id": other.id})
        if not is_news or (other is not None and not is_older):
            return is_older
        known = self._former(connection, told_at, subject) if row is None else row
        if known is None:
            return is_older
        before = Asset.from_row(known)
        asset = self._named(before, *new)
        if row is None:
            saving.write(connection, [asset], _CLOUDINARY)
            row = self._row(connection, subject, any_asset=False)
            if row is not None and known["deleted_at"] is not None:
                connection.execute(_HIDE, {"id": row["id"], "version": row["version"] or 0})
            return True
        if asset.identity == before.identity:
            return is_older
        values = {
            "id": row["id"],
            "delivery": asset.delivery_type,
            "public_id": asset.public_id,
            "folder": asset.folder,
            "media_url": asset.media_url,
        }
        connection.execute(_RENAME, values)
        return True

    def _former(
        self, connection: sa.Connection, told_at: datetime, subject: Subject
    ) -> Mapping[str, Any] | None:
        """The row that an asset without one had, with what was told of it since.

        None where none is known, or it is gone.
        """
        if subject.asset_id is None:
            return None
        row = marks.former_row(connection, subject.asset_id)
        if row is None or _came_after(row, told_at):
            return None
        asset = Asset.from_row(row)
        if since.was_purged(connection, asset):
            return None
        for mark in marks.of(connection, [subject.asset_id]):
            if mark["field"] == "gone" and marks.ends(mark["value"], asset):
                return None
            if mark["field"] != "name":
                asset = self._marked(asset, mark["field"], mark["value"])
        return {**row, "tags": list(asset.tags), "context": asset.context}

    @staticmethod
    def _standing(
        connection: sa.Connection, named: Asset | Subject, row: Mapping[str, Any] | None
    ) -> sa.Row[Any] | None:
        """Another row than this one, under that name."""
        values = {
            "id": 0 if row is None else row["id"],
            "kind": named.resource_type,
            "delivery": named.delivery_type,
            "public_id": named.public_id,
        }
        return connection.execute(_STANDING, values).first()

    def _labelled(
        self,
        connection: sa.Connection,
        told_at: datetime,
        change: Change,
        row: Mapping[str, Any] | None,
    ) -> bool:
        told: dict[str, Any] = {f"tag:{tag}": on for tag, on in change.tags.items()}
        # JSON's null would be SQL's: what was removed is false.
        told |= {f"context:{k}": False if v is None else v for k, v in change.context.items()}
        news = marks.keep(connection, told_at, change.subject, told)
        if row is None or not news:
            return False
        before = asset = Asset.from_row(row)
        later = since.changed(connection, row["id"], told_at)
        for name in told:
            if name in news and not later.touched(name):
                asset = self._marked(asset, name, told[name])
        if (asset.tags, asset.context) == (before.tags, before.context):
            return False
        values = {
            "id": row["id"],
            "tags": list(asset.tags),
            "context": json.dumps(dict(asset.context)),
        }
        connection.execute(_LABEL, values)
        return True

    @staticmethod
    def _row(
        connection: sa.Connection, subject: Subject, any_asset: bool
    ) -> Mapping[str, Any] | None:
        values = {
            "asset_id": subject.asset_id,
            "kind": subject.resource_type,
            "delivery": subject.delivery_type,
            "public_id": subject.public_id,
            "any_asset": any_asset,
        }
        row = connection.execute(_ROW, values).mappings().first()
        return dict(row) if row is not None else None


def _came_after(row: Mapping[str, Any], told_at: datetime) -> bool:
    """Whether the row's bytes were uploaded after that was told: it was told of older ones."""
    return row["version"] is not None and int(told_at.timestamp()) < row["version"]
