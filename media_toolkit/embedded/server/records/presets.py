"""Upload presets: settings kept by name for uploads to refer to.

https://cloudinary.com/documentation/admin_api#upload_presets
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from dataclasses import dataclass, field

from .connections import Connections

PRESET_SCHEMA = """
create table if not exists upload_presets (
    name text primary key,
    external_id text not null,
    unsigned integer not null,
    settings text not null,
    created_at integer not null
);
"""


@dataclass(frozen=True)
class UploadPreset:
    """One preset. `settings` are upload parameters as a form would send them, each one text."""

    name: str
    unsigned: bool = False
    settings: dict[str, str] = field(default_factory=dict)
    external_id: str = ""
    created_at: int = 0


class PresetRecords(Connections):
    """The part of the records that keeps upload presets."""

    def upload_preset(self, name: str) -> UploadPreset | None:
        """The preset of that name."""
        with self._reading() as connection:
            row = connection.execute(
                "select * from upload_presets where name = ?", (name,)
            ).fetchone()
        return None if row is None else _to_preset(row)

    def upload_presets(self, after: str = "", limit: int = 500) -> list[UploadPreset]:
        """The presets by name, from the one that follows `after`."""
        query = "select * from upload_presets where name > ? order by name limit ?"
        with self._reading() as connection:
            return [_to_preset(row) for row in connection.execute(query, (after, limit))]

    def add_upload_preset(self, preset: UploadPreset) -> bool:
        """Keep a new preset; False when its name is taken."""
        values = (
            preset.name,
            secrets.token_hex(16),
            preset.unsigned,
            json.dumps(preset.settings, ensure_ascii=False),
            int(time.time()),
        )
        with self._writing() as connection:
            cursor = connection.execute(
                "insert or ignore into upload_presets values (?, ?, ?, ?, ?)", values
            )
            return cursor.rowcount > 0

    def change_upload_preset(
        self, name: str, unsigned: bool | None, settings: dict[str, str]
    ) -> bool:
        """Lay settings over a preset's own, an empty one removes; False when there is none.

        `unsigned` stays as it is when None.
        """
        with self._writing() as connection:
            row = connection.execute(
                "select * from upload_presets where name = ?", (name,)
            ).fetchone()
            if row is None:
                return False
            merged = {**json.loads(row["settings"]), **settings}
            kept = {key: value for key, value in merged.items() if value}
            connection.execute(
                "update upload_presets set unsigned = ?, settings = ? where name = ?",
                (
                    row["unsigned"] if unsigned is None else unsigned,
                    json.dumps(kept, ensure_ascii=False),
                    name,
                ),
            )
            return True

    def delete_upload_preset(self, name: str) -> bool:
        """Forget a preset; False when there is none."""
        with self._writing() as connection:
            cursor = connection.execute("delete from upload_presets where name = ?", (name,))
            return cursor.rowcount > 0


def _to_preset(row: sqlite3.Row) -> UploadPreset:
    return UploadPreset(
        name=row["name"],
        unsigned=bool(row["unsigned"]),
        settings=json.loads(row["settings"]),
        external_id=row["external_id"],
        created_at=row["created_at"],
    )
