"""What was done here since a moment. The history knows: so what is told late takes none of it back.

Of what Cloudinary tells, the marks know when it happened (store/marks.py); of what the toolkit did
itself, the history: a row follows Cloudinary's answer within moments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from media_toolkit.asset import Asset

# Each event of a row with what the row became, but those that notifications made.
_EVENTS = """
SELECT * FROM (
    SELECT operation, changed_by, extract(epoch FROM changed_at)::float8 AS moment, old,
        coalesce(lead(old) OVER (ORDER BY id),
                 (SELECT to_jsonb(f) FROM cloudinary_files AS f WHERE f.id = file_id)) AS new
    FROM cloudinary_files_history WHERE file_id = :id) AS events
WHERE changed_by <> 'cloudinary'
"""
# An upload is another matter: its version says when it was.
_LATER = sa.text(f"""
SELECT old, new FROM ({_EVENTS}) AS events
WHERE moment > :told_at AND old IS NOT NULL AND old -> 'version' = new -> 'version'
""")
# An answer may be saved long after the upload.
_SAVED_WITHIN_S = 60
_NAMED = sa.text(f"""
SELECT max(moment) FROM (
    SELECT CASE WHEN old IS NULL OR old -> 'version' <> new -> 'version'
        THEN least(moment, (new ->> 'version')::bigint + {_SAVED_WITHIN_S}) ELSE moment END
    FROM ({_EVENTS}) AS events
    WHERE old IS NULL OR old -> 'version' <> new -> 'version'
        OR old -> 'public_id' <> new -> 'public_id'
        OR old -> 'delivery_type' <> new -> 'delivery_type'
    UNION ALL
    SELECT extract(epoch FROM told_at)::float8 FROM notification_marks
    WHERE asset = :asset_id AND field = 'name' AND value ->> 1 = :public_id
) AS known (moment)
""")
_LEFT = sa.text("""
SELECT EXISTS (
    SELECT FROM cloudinary_files AS f JOIN cloudinary_files_history AS h ON h.file_id = f.id
    WHERE f.id = :id AND h.operation = 'rename' AND h.changed_at >= to_timestamp(:version)
      AND (h.old ->> 'resource_type', h.old ->> 'delivery_type', h.old ->> 'public_id')
          = (:kind, :delivery, :public_id)
      AND (f.resource_type, f.delivery_type, f.public_id) <> (:kind, :delivery, :public_id))
""")
# A row that only made way for another was not deleted before: its asset may be elsewhere.
_PURGED = sa.text("""
SELECT EXISTS (
    SELECT FROM cloudinary_files_history
    WHERE id IN (SELECT media_toolkit_rules.last_told(ARRAY[CAST(:asset_id AS text)]))
      AND operation = 'purge' AND changed_by <> 'cloudinary'
      AND old -> 'deleted_at' <> 'null'
      AND (old ->> 'version')::bigint >= :version)
""")


@dataclass(frozen=True, slots=True)
class Later:
    """What the toolkit changed of one row after a moment: the row before and after each change."""

    changes: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]

    @property
    def renamed(self) -> bool:
        """Whether it was given another name."""
        names = ("delivery_type", "public_id")
        return any(old[name] != new[name] for old, new in self.changes for name in names)

    def touched(self, field: str) -> bool:
        """Whether a label, `tag:<tag>` or `context:<key>`, was changed."""
        kind, _, label = field.partition(":")
        if kind == "tag":
            return any(
                (label in old["tags"]) != (label in new["tags"]) for old, new in self.changes
            )
        return any(
            old["context"].get(label) != new["context"].get(label) for old, new in self.changes
        )


def changed(connection: sa.Connection, row_id: int, told_at: datetime) -> Later:
    """What the toolkit changed of a row after that was so."""
    found = connection.execute(_LATER, {"id": row_id, "told_at": told_at.timestamp()})
    return Later([(row.old, row.new) for row in found])


def named(connection: sa.Connection, row: sa.Row[Any]) -> float:
    """Since when a row has had its name, as far as is known, in seconds since 1970."""
    values = {"id": row.id, "asset_id": row.asset_id, "public_id": row.public_id}
    return max(float(row.version or 0), connection.scalar(_NAMED, values) or 0.0)


def left(connection: sa.Connection, row_id: int, asset: Asset) -> bool:
    """Whether a row goes by another name than this upload of it, which it had left later."""
    values = {
        "id": row_id,
        "version": asset.version or 0,
        "kind": asset.resource_type,
        "delivery": asset.delivery_type,
        "public_id": asset.public_id,
    }
    return bool(connection.scalar(_LEFT, values))


def was_purged(connection: sa.Connection, asset: Asset) -> bool:
    """Whether the toolkit itself destroyed this upload, or a later one of the same asset."""
    values = {"asset_id": asset.asset_id, "version": asset.version or 0}
    return asset.asset_id is not None and bool(connection.scalar(_PURGED, values))
