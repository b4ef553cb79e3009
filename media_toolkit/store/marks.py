"""What was told of assets, kept for what comes late: the marks.

A name, a tag or a piece of context holds against what was told earlier only; and what arrives
before its asset does is kept until then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from media_toolkit.asset import Asset

KEPT_DAYS = 90
_FORGOTTEN_AT_ONCE = 50

_FORGET = sa.text(f"""
DELETE FROM notification_marks WHERE (asset, field) IN (
    SELECT asset, field FROM notification_marks
    WHERE told_at < NOW() - INTERVAL '{KEPT_DAYS} days' LIMIT {_FORGOTTEN_AT_ONCE})
""")
_MARK = sa.text("""
INSERT INTO notification_marks (asset, field, told_at, value)
SELECT asset, field, :told_at, value
FROM jsonb_to_recordset(CAST(:marks AS jsonb)) AS m (asset text, field text, value jsonb)
ON CONFLICT (asset, field) DO UPDATE SET told_at = excluded.told_at, value = excluded.value
WHERE notification_marks.told_at <= excluded.told_at
RETURNING asset, field
""")
_MARKS = sa.text("""
SELECT field, told_at, value FROM notification_marks
WHERE asset = ANY(CAST(:keys AS text[])) ORDER BY told_at
""")
# The last of the renames to a name, where it was another asset's.
_TAKEN = sa.text("""
SELECT floor(extract(epoch FROM told_at))::bigint FROM notification_marks
WHERE asset = :name AND field = 'taken' AND value <> to_jsonb(CAST(:asset_id AS text))
""")
# An asset without a row had one before another took its place, or was told of when another was
# there already.
_FORMER = sa.text("""
SELECT f.* FROM (
    SELECT old AS said, 1 AS rank FROM cloudinary_files_history WHERE id IN (
        SELECT media_toolkit_rules.last_told(ARRAY[CAST(:asset_id AS text)]))
    UNION ALL
    SELECT value, 2 FROM notification_marks WHERE asset = :asset_id AND field = 'upload'
) AS former CROSS JOIN LATERAL jsonb_populate_record(NULL::cloudinary_files, said) AS f
ORDER BY rank LIMIT 1
""")


@dataclass(frozen=True, slots=True)
class Subject:
    """The asset that a notification is about, as far as it names it."""

    resource_type: str
    delivery_type: str
    public_id: str
    asset_id: str | None = None
    version: int | None = None

    @property
    def keys(self) -> list[str]:
        """What its marks are kept under: the immutable id where it is told, and its name."""
        name = f"{self.resource_type}/{self.delivery_type}/{self.public_id}"
        return [self.asset_id, name] if self.asset_id else [name]


def forget(connection: sa.Connection) -> None:
    """Some of those that are too old to matter."""
    connection.execute(_FORGET)


def of(connection: sa.Connection, keys: Sequence[str]) -> list[dict[str, Any]]:
    """field, told_at and value of each mark under any of the keys, the earliest first."""
    return [dict(mark) for mark in connection.execute(_MARKS, {"keys": list(keys)}).mappings()]


def keep(
    connection: sa.Connection,
    told_at: datetime,
    subject: Subject,
    told: Mapping[str, Any],
    every_key: bool = False,
) -> set[str]:
    """Keep what was told; returns the fields of which nothing later was told before."""
    keys = subject.keys if every_key else subject.keys[:1]
    marks = [{"asset": k, "field": f, "value": v} for k in keys for f, v in told.items()]
    values = {"marks": json.dumps(marks), "told_at": told_at}
    return {row.field for row in connection.execute(_MARK, values)}


def is_taken(connection: sa.Connection, named: Asset | Subject, since: int) -> bool:
    """Whether another asset was renamed to that name later than `since`, in seconds."""
    name = f"{named.resource_type}/{named.delivery_type}/{named.public_id}"
    taken = connection.scalar(_TAKEN, {"name": name, "asset_id": named.asset_id})
    return taken is not None and taken > since


def former_row(connection: sa.Connection, asset_id: str) -> dict[str, Any] | None:
    """The row that an asset without one had last, or would have had."""
    row = connection.execute(_FORMER, {"asset_id": asset_id}).mappings().first()
    return None if row is None else dict(row)


def ends(end: Mapping[str, Any], asset: Asset) -> bool:
    """Whether a deletion was this upload's end: not of another asset, nor of an older version."""
    if end["asset_id"] and asset.asset_id and end["asset_id"] != asset.asset_id:
        return False
    version = asset.version or int((asset.created_at or datetime.now(UTC)).timestamp())
    return version <= int(end["version"])
