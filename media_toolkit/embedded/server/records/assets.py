"""What the server knows about its assets: one SQLite file, durable at every answer."""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .backups import BACKUP_SCHEMA, BackupRecords, keep_backup
from .derived import DERIVED_SCHEMA, DerivedRecords
from .extras import Extras
from .folders import FOLDER_SCHEMA, FolderRecords
from .notifications import NOTIFICATION_SCHEMA, NotificationRecords
from .presets import PRESET_SCHEMA, PresetRecords
from .search import SearchRecords
from .transformations import TRANSFORMATION_SCHEMA, TransformationRecords

_SCHEMA = """
create table if not exists assets (
    seq integer primary key autoincrement,
    asset_id text not null unique,
    resource_type text not null,
    type text not null,
    public_id text not null,
    version integer not null,
    version_id text not null,
    format text,
    width integer,
    height integer,
    pages integer,
    bytes integer not null,
    etag text not null,
    blob text not null unique,
    created_at integer not null,
    uploaded_at integer not null,
    original_filename text not null,
    asset_folder text not null,
    display_name text not null,
    tags text not null,
    context text not null,
    extras text not null default '{}',
    unique (resource_type, type, public_id)
);
"""

_BY_NAME = "resource_type = ? and type = ? and public_id = ?"


@dataclass(frozen=True)
class Asset:
    """One stored asset; times are unix seconds, `bytes` the size of the original."""

    resource_type: str
    type: str
    public_id: str
    format: str | None
    width: int | None
    height: int | None
    pages: int | None
    bytes: int
    etag: str
    blob: str
    original_filename: str
    asset_folder: str
    display_name: str
    tags: list[str] = field(default_factory=list)
    context: dict[str, str] = field(default_factory=dict)
    extras: Extras = field(default_factory=Extras)
    asset_id: str = ""
    version: int = 0
    version_id: str = ""
    created_at: int = 0
    uploaded_at: int = 0
    seq: int = 0

    @property
    def folder(self) -> str:
        """The part of the public_id before its last slash, or an empty string."""
        return self.public_id.rpartition("/")[0]


@dataclass(frozen=True)
class Put:
    """What `Records.put` did: stored `asset`, or found it (`existing`); `replaced` is the old."""

    asset: Asset
    existing: bool = False
    replaced: Asset | None = None


@dataclass(frozen=True)
class Listing:
    """Which assets to list; `after` is the `seq` of the last one already seen."""

    resource_type: str | None = None
    type: str | None = None
    prefix: str = ""
    public_ids: Sequence[str] = ()
    asset_ids: Sequence[str] = ()
    tag: str | None = None
    context_key: str | None = None
    context_value: str | None = None
    asset_folder: str | None = None
    moderation: tuple[str, str] | None = None
    start_at: int | None = None
    ascending: bool = False
    after: int | None = None
    limit: int = 10


class NameTakenError(Exception):
    """Another asset has the name already."""


class Records(
    SearchRecords,
    BackupRecords,
    DerivedRecords,
    FolderRecords,
    NotificationRecords,
    PresetRecords,
    TransformationRecords,
):
    """Everything that is kept in `path`; `close` ends every connection that was opened."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        for schema in (
            _SCHEMA,
            DERIVED_SCHEMA,
            BACKUP_SCHEMA,
            FOLDER_SCHEMA,
            NOTIFICATION_SCHEMA,
            PRESET_SCHEMA,
            TRANSFORMATION_SCHEMA,
        ):
            self._writer.executescript(schema)
        self._add_columns()

    def _add_columns(self) -> None:
        """Bring a file that an older version made to today's schema."""
        with self._writing() as connection:
            known = {row["name"] for row in connection.execute("pragma table_info(assets)")}
            if "extras" not in known:
                connection.execute(
                    "alter table assets add column extras text not null default '{}'"
                )

    def put(self, new: Asset, *, overwrite: bool) -> Put:
        """Store an asset, or replace the one of the same name when `overwrite`.

        A replaced asset keeps its `asset_id` and `created_at`; its version grows in any case.
        """
        now = int(time.time())
        with self._writing() as connection:
            old = _one(connection, _BY_NAME, _name(new))
            if old is not None and not overwrite:
                return Put(old, existing=True)
            asset = replace(
                new,
                asset_id=old.asset_id if old else secrets.token_hex(16),
                version=max(now, old.version + 1) if old else now,
                version_id=secrets.token_hex(16),
                created_at=old.created_at if old else now,
                uploaded_at=now,
            )
            if old is None:
                names = [name for name in _COLUMNS if name != "seq"]
                marks = ", ".join("?" for _ in names)
                cursor = connection.execute(
                    f"insert into assets ({', '.join(names)}) values ({marks})",
                    [_to_column(asset, name) for name in names],
                )
                asset = replace(asset, seq=cursor.lastrowid or 0)
            else:
                _keep_if_wanted(connection, old)
                connection.execute("delete from derived where blob = ?", (old.blob,))
                asset = replace(asset, seq=old.seq)
                _update(connection, asset)
        return Put(asset, replaced=old)

    def change(
        self,
        resource_type: str,
        type: str,
        public_id: str,
        change: Callable[[Asset], Asset],
    ) -> Asset | None:
        """Replace one asset's record by what `change` makes of it; None when there is none."""
        name = (resource_type, type, public_id)
        with self._writing() as connection:
            asset = _one(connection, _BY_NAME, name)
            if asset is None:
                return None
            changed = change(asset)
            _update(connection, changed)
            return changed

    def rename(
        self, name: tuple[str, str, str], to_type: str, to: str, *, overwrite: bool
    ) -> tuple[Asset, Put] | None:
        """Give the asset of a (resource_type, type, public_id) another name.

        Returns the asset as it was, and what became of it, where `replaced` is the one that had
        the name; None when there is none.

        Raises NameTakenError when another has it and `overwrite` is off.
        """
        with self._writing() as connection:
            asset = _one(connection, _BY_NAME, name)
            if asset is None:
                return None
            taken = _one(connection, _BY_NAME, (asset.resource_type, to_type, to))
            if taken is not None and taken.asset_id != asset.asset_id:
                if not overwrite:
                    raise NameTakenError(to)
                _keep_if_wanted(connection, taken)
                connection.execute("delete from assets where asset_id = ?", (taken.asset_id,))
            else:
                taken = None
            renamed = replace(asset, public_id=to, type=to_type)
            _update(connection, renamed)
            return asset, Put(renamed, replaced=taken)

    def delete(self, asset: Asset) -> bool:
        """Forget the asset; False when someone else did so first."""
        with self._writing() as connection:
            cursor = connection.execute(
                "delete from assets where asset_id = ? and blob = ?", (asset.asset_id, asset.blob)
            )
            if cursor.rowcount:
                _keep_if_wanted(connection, asset)
            return cursor.rowcount > 0

    def restore(self, version_id: str) -> Put | None:
        """Make a kept version the current one again; None when it is gone.

        `replaced` is the one that was current; it is kept in its turn if it was to be.
        """
        with self._writing() as connection:
            row = connection.execute(
                "delete from backups where version_id = ? returning record", (version_id,)
            ).fetchone()
            if row is None:
                return None
            asset = restored(json.loads(row["record"]))
            old = _one(connection, _BY_NAME, _name(asset))
            if old is not None:
                _keep_if_wanted(connection, old)
                connection.execute("delete from assets where asset_id = ?", (old.asset_id,))
            renamed = _one(connection, "asset_id = ?", (asset.asset_id,))
            asset = replace(
                asset,
                asset_id=secrets.token_hex(16) if renamed else asset.asset_id,
                version=max(int(time.time()), old.version + 1 if old else 0, asset.version),
            )
            names = [name for name in _COLUMNS if name != "seq"]
            cursor = connection.execute(
                f"insert into assets ({', '.join(names)}) values ({', '.join('?' for _ in names)})",
                [_to_column(asset, name) for name in names],
            )
            return Put(replace(asset, seq=cursor.lastrowid or 0), replaced=old)

    def get(self, resource_type: str, type: str, public_id: str) -> Asset | None:
        """The asset of that name."""
        with self._reading() as connection:
            return _one(connection, _BY_NAME, (resource_type, type, public_id))

    def get_by_asset_id(self, asset_id: str) -> Asset | None:
        """The asset with that `asset_id`."""
        with self._reading() as connection:
            return _one(connection, "asset_id = ?", (asset_id,))

    def listing(self, wanted: Listing) -> list[Asset]:
        """The assets that match every given condition, in order of creation, newest first."""
        where, values = _conditions(wanted)
        order = "asc" if wanted.ascending else "desc"
        with self._reading() as connection:
            rows = connection.execute(
                f"select * from assets where {where} order by seq {order} limit ?",
                [*values, wanted.limit],
            )
            return [to_asset(row) for row in rows]

    def blobs(self) -> set[str]:
        """The blobs that records refer to."""
        with self._reading() as connection:
            query = "select blob from assets union all select blob from backups"
            return {row["blob"] for row in connection.execute(query)}

    def totals(self, until: int | None = None) -> tuple[int, int, int]:
        """Number of assets, number of derived images, bytes of both together.

        With `until` only of the assets that were created before, as they are now.
        """
        kept = "where :until is null or created_at < :until"
        derived = f"from derived where blob in (select blob from assets {kept})"
        with self._reading() as connection:
            row = connection.execute(
                f"select (select count(*) from assets {kept}) as assets,"
                f" (select count(*) {derived}) as derived,"
                f" (select coalesce(sum(bytes), 0) from assets {kept})"
                f" + (select coalesce(sum(bytes), 0) {derived}) as bytes",
                {"until": until},
            ).fetchone()
        return row["assets"], row["derived"], row["bytes"]

    def created_at(self) -> int | None:
        """When the oldest asset was created."""
        with self._reading() as connection:
            row = connection.execute("select min(created_at) as first from assets").fetchone()
        oldest: int | None = row["first"]
        return oldest

    def tags(self, resource_type: str, prefix: str, after: str, limit: int) -> list[str]:
        """The tags of a resource type's assets by name, past `after`."""
        query = (
            "select distinct tag.value as tag from assets, json_each(assets.tags) as tag"
            " where resource_type = ? and substr(tag.value, 1, ?) = ? and tag.value > ?"
            " order by 1 limit ?"
        )
        with self._reading() as connection:
            values = (resource_type, len(prefix), prefix, after, limit)
            return [row["tag"] for row in connection.execute(query, values)]

    def shares_display_name(self, asset: Asset) -> bool:
        """Whether another asset in the same asset folder has the same display name."""
        query = (
            "select 1 from assets where asset_folder = ? and display_name = ? and not"
            " (resource_type = ? and type = ? and public_id = ?)"
        )
        values = (asset.asset_folder, asset.display_name, *_name(asset))
        with self._reading() as connection:
            return connection.execute(query, values).fetchone() is not None

    def get_by_blob(self, blob: str) -> Asset | None:
        """The asset that has the blob."""
        with self._reading() as connection:
            return _one(connection, "blob = ?", (blob,))


_COLUMNS = list(Asset.__dataclass_fields__)
_JSON_COLUMNS = frozenset({"tags", "context"})


def _keep_if_wanted(connection: sqlite3.Connection, asset: Asset) -> None:
    """Keep a version that goes, if it was uploaded with `backup`."""
    if asset.extras.backup:
        keep_backup(connection, {name: _to_column(asset, name) for name in _COLUMNS})


def restored(record: Mapping[str, Any]) -> Asset:
    """The asset whose columns a backup kept."""
    return to_asset(record)


def _name(asset: Asset) -> tuple[str, str, str]:
    return asset.resource_type, asset.type, asset.public_id


def _to_column(asset: Asset, name: str) -> Any:
    value = getattr(asset, name)
    if name == "extras":
        return asset.extras.to_json()
    return json.dumps(value, ensure_ascii=False) if name in _JSON_COLUMNS else value


def to_asset(row: Mapping[str, Any] | sqlite3.Row) -> Asset:
    """The asset of a row of `assets`, whatever else the row has."""
    values = {name: row[name] for name in _COLUMNS}
    for name in _JSON_COLUMNS:
        values[name] = json.loads(values[name])
    values["extras"] = Extras.from_json(values["extras"])
    return Asset(**values)


def _one(connection: sqlite3.Connection, where: str, values: Sequence[Any]) -> Asset | None:
    row = connection.execute(f"select * from assets where {where}", values).fetchone()
    return None if row is None else to_asset(row)


def _update(connection: sqlite3.Connection, asset: Asset) -> None:
    names = [name for name in _COLUMNS if name not in ("seq", "asset_id")]
    connection.execute(
        f"update assets set {', '.join(f'{name} = ?' for name in names)} where asset_id = ?",
        [*(_to_column(asset, name) for name in names), asset.asset_id],
    )


def _conditions(wanted: Listing) -> tuple[str, list[Any]]:
    parts: list[str] = ["1"]
    values: list[Any] = []

    def add(condition: str, *bound: Any) -> None:
        parts.append(condition)
        values.extend(bound)

    for column in ("resource_type", "type", "asset_folder"):
        value = getattr(wanted, column)
        if value is not None:
            add(f"{column} = ?", value)
    if wanted.prefix:
        add("substr(public_id, 1, ?) = ?", len(wanted.prefix), wanted.prefix)
    for column, many in (("public_id", wanted.public_ids), ("asset_id", wanted.asset_ids)):
        if many:
            add(f"{column} in (select value from json_each(?))", json.dumps(list(many)))
    if wanted.tag is not None:
        add("exists (select 1 from json_each(tags) where value = ?)", wanted.tag)
    if wanted.context_key is not None:
        add("exists (select 1 from json_each(context) where key = ?)", wanted.context_key)
    if wanted.context_value is not None:
        add(
            "exists (select 1 from json_each(context) where key = ? and value = ?)",
            wanted.context_key,
            wanted.context_value,
        )
    if wanted.moderation is not None:
        newest = "json_extract(extras, '$.moderation[0].{}')".format
        add(f"{newest('kind')} = ? and {newest('status')} = ?", *wanted.moderation)
    if wanted.start_at is not None:
        add("created_at <= ?" if not wanted.ascending else "created_at >= ?", wanted.start_at)
    if wanted.after is not None:
        add("seq > ?" if wanted.ascending else "seq < ?", wanted.after)
    return " and ".join(parts), values
