"""Asset folders: made by name or by the first asset that is put into one; they stay when empty.

https://cloudinary.com/documentation/admin_api#folders
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from .connections import Connections

_PARENT = "rtrim(rtrim(new.path, replace(new.path, '/', '')), '/')"

# Triggers, so that no way of storing or moving an asset can forget its folder.
FOLDER_SCHEMA = f"""
create table if not exists folders (
    path text primary key,
    external_id text not null default (lower(hex(randomblob(16)))),
    created_at integer not null default (unixepoch())
);
create trigger if not exists folder_has_parent after insert on folders
when instr(new.path, '/') > 0 begin
    insert or ignore into folders (path) values ({_PARENT});
end;
create trigger if not exists stored_asset_has_folder after insert on assets
when new.asset_folder <> '' begin
    insert or ignore into folders (path) values (new.asset_folder);
end;
create trigger if not exists moved_asset_has_folder after update of asset_folder on assets
when new.asset_folder <> '' begin
    insert or ignore into folders (path) values (new.asset_folder);
end;
create index if not exists assets_by_folder on assets (asset_folder);
insert or ignore into folders (path)
    select distinct asset_folder from assets where asset_folder <> '';
"""

_BELOW = "substr({0}, 1, length(:path) + 1) = :path || '/'"


@dataclass(frozen=True)
class Folder:
    """One asset folder by its whole path, without outer slashes."""

    path: str
    external_id: str
    created_at: int

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


class FolderMissingError(Exception):
    """There is no folder of that path."""


class FolderTakenError(Exception):
    """A folder of that path is there already."""


class FolderNotEmptyError(Exception):
    """Assets are in the folder, or below it."""


class FolderRecords(Connections):
    """The part of the records that keeps folders."""

    def folder(self, path: str) -> Folder | None:
        """The folder of that path."""
        with self._reading() as connection:
            row = connection.execute("select * from folders where path = ?", (path,)).fetchone()
        return None if row is None else Folder(**dict(row))

    def folders(self) -> list[Folder]:
        """All folders, by path."""
        with self._reading() as connection:
            rows = connection.execute("select * from folders order by path")
            return [Folder(**dict(row)) for row in rows]

    def subfolders(self, parent: str, after: str, limit: int) -> tuple[list[Folder], int]:
        """Folders directly in `parent` (empty: the root) by path, past `after`; and how many."""
        start = f"{parent}/" if parent else ""
        where = (
            "substr(path, 1, :length) = :start and path <> ''"
            " and instr(substr(path, :length + 1), '/') = 0"
        )
        values = {"start": start, "length": len(start), "after": after, "limit": limit}
        with self._reading() as connection:
            count = connection.execute(f"select count(*) from folders where {where}", values)
            total: int = count.fetchone()[0]
            rows = connection.execute(
                f"select * from folders where {where} and path > :after order by path limit :limit",
                values,
            )
            return [Folder(**dict(row)) for row in rows], total

    def create_folder(self, path: str) -> bool:
        """Make a folder and its parents; False when it was there."""
        with self._writing() as connection:
            cursor = connection.execute("insert or ignore into folders (path) values (?)", (path,))
            return cursor.rowcount > 0

    def move_folder(self, path: str, to: str) -> None:
        """Give a folder another path, with everything in and below it; public_ids stay.

        Raises FolderMissingError, and FolderTakenError when the target is there or lies in it.
        """
        values = {"path": path, "to": to}
        with self._writing() as connection:
            _must_exist(connection, path)
            if to == path or to.startswith(f"{path}/") or _exists(connection, to):
                raise FolderTakenError(to)
            moved = ":to || substr({0}, length(:path) + 1)"
            for table, column in (("folders", "path"), ("assets", "asset_folder")):
                below = _BELOW.format(column)
                connection.execute(
                    f"update {table} set {column} = {moved.format(column)}"
                    f" where {column} = :path or {below}",
                    values,
                )
            if "/" in to:
                parent = to.rpartition("/")[0]
                connection.execute("insert or ignore into folders (path) values (?)", (parent,))

    def delete_folder(self, path: str) -> list[str]:
        """Remove a folder and the empty ones below it; the paths that went.

        Raises FolderMissingError and FolderNotEmptyError.
        """
        values = {"path": path}
        with self._writing() as connection:
            _must_exist(connection, path)
            inside = connection.execute(
                "select 1 from assets where asset_folder = :path"
                f" or {_BELOW.format('asset_folder')} limit 1",
                values,
            )
            if inside.fetchone():
                raise FolderNotEmptyError(path)
            where = f"path = :path or {_BELOW.format('path')}"
            rows = connection.execute(f"select path from folders where {where}", values)
            gone = [row["path"] for row in rows]
            connection.execute(f"delete from folders where {where}", values)
            return gone


def _exists(connection: sqlite3.Connection, path: str) -> bool:
    found = connection.execute("select 1 from folders where path = ?", (path,))
    return found.fetchone() is not None


def _must_exist(connection: sqlite3.Connection, path: str) -> None:
    if not _exists(connection, path):
        raise FolderMissingError(path)
