"""Versions that are kept after they were replaced or deleted: those uploaded with `backup`.

https://cloudinary.com/documentation/backups_and_version_management
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .connections import Connections

BACKUP_SCHEMA = """
create table if not exists backups (
    version_id text primary key,
    asset_id text not null,
    resource_type text not null,
    type text not null,
    public_id text not null,
    version integer not null,
    bytes integer not null,
    blob text not null unique,
    record text not null,
    kept_at integer not null
);
create index if not exists backups_by_asset on backups (asset_id, version);
create index if not exists backups_by_name on backups (resource_type, type, public_id, version);
"""


@dataclass(frozen=True)
class Backup:
    """One kept version. `record` has the columns of the asset as it was, for `restored`."""

    version_id: str
    asset_id: str
    resource_type: str
    type: str
    public_id: str
    version: int
    bytes: int
    blob: str
    record: dict[str, Any]
    kept_at: int


class BackupRecords(Connections):
    """The part of the records that keeps former versions."""

    def backups(self, asset_id: str) -> list[Backup]:
        """The kept versions of an asset, newest first."""
        query = "select * from backups where asset_id = ? order by version desc"
        with self._reading() as connection:
            return [_to_backup(row) for row in connection.execute(query, (asset_id,))]

    def backups_by_name(self, resource_type: str, type: str, public_id: str) -> list[Backup]:
        """The kept versions of what had that name, newest first."""
        query = (
            "select * from backups where resource_type = ? and type = ? and public_id = ?"
            " order by version desc"
        )
        with self._reading() as connection:
            rows = connection.execute(query, (resource_type, type, public_id))
            return [_to_backup(row) for row in rows]

    def delete_backup(self, version_id: str) -> Backup | None:
        """Forget one kept version, whose blob is the caller's to drop; None when there is none."""
        with self._writing() as connection:
            row = connection.execute(
                "delete from backups where version_id = ? returning *", (version_id,)
            ).fetchone()
        return None if row is None else _to_backup(row)


def keep_backup(connection: sqlite3.Connection, record: Mapping[str, Any]) -> None:
    """Within a transaction: keep a version whose record is about to go; its blob stays."""
    names = ("version_id", "asset_id", "resource_type", "type", "public_id", "version", "bytes")
    connection.execute(
        "insert or replace into backups values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(record[name] for name in names),
            record["blob"],
            json.dumps(dict(record), ensure_ascii=False),
            int(time.time()),
        ),
    )


def _to_backup(row: sqlite3.Row) -> Backup:
    values = dict(row)
    return Backup(**{**values, "record": json.loads(values["record"])})
