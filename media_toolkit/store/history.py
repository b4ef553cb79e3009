"""What happened to an asset's row, and the rows as they stood at a moment."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from media_toolkit.asset import Asset
from media_toolkit.errors import Conflict, NotFound
from media_toolkit.identity import Identity
from media_toolkit.store.database import Database
from media_toolkit.store.filters import read_moment, read_name
from media_toolkit.store.schema import files

if TYPE_CHECKING:
    import pandas as pd

_KEPT = [c.name for c in files.c]
# History keeps no words; made only where a filter asks for them.
_WORDS: sa.ColumnElement[Any] = sa.literal_column(
    "coalesce(words, media_toolkit_rules.words(public_id, original_filename, tags, context))"
).label("words")
# Several rows may have had the name: first comes the row whose id is known, then who has it now,
# who had it when it went, who had it before a rename, and whose row another asset has taken.
_FILE = sa.text("""
SELECT id, kind, rank, is_deleted FROM (
    SELECT id, resource_type || '/' || delivery_type AS kind, 0 AS rank,
        false AS is_deleted, id AS newest
    FROM cloudinary_files WHERE id = :id
    UNION ALL
    SELECT id, resource_type || '/' || delivery_type, 1, deleted_at IS NOT NULL, id
    FROM cloudinary_files WHERE asset_id = :name OR public_id = :name
    UNION ALL
    SELECT file_id, old ->> 'resource_type' || '/' || (old ->> 'delivery_type'),
        CASE WHEN operation = 'purge' THEN 2
             WHEN operation = 'rename' AND old ->> 'public_id' = :name THEN 3
             ELSE 4 END, true, id
    FROM cloudinary_files_history
    WHERE id IN (SELECT media_toolkit_rules.history_of(:name))
    UNION ALL
    SELECT file_id, old ->> 'resource_type' || '/' || (old ->> 'delivery_type'), 0, true, id
    FROM cloudinary_files_history WHERE file_id = :id AND operation = 'purge'
) AS known ORDER BY rank, is_deleted, newest DESC
""")
_FORMER = sa.text("""
SELECT old ->> 'asset_id' AS asset_id, user_id, old ->> 'deleted_at' IS NOT NULL AS is_deleted
FROM cloudinary_files_history
WHERE id IN (SELECT media_toolkit_rules.last_told(CAST(:asset_ids AS text[])))
""")
# TRUNCATE can begin the ids anew: what was before another asset's last purge is not of this one.
# Rows that were put back from a backup are what they were.
_IS = "coalesce({0} ->> 'asset_id', {0} ->> 'public_id')"
_EVENTS = sa.text(f"""
WITH events AS (
    SELECT * FROM cloudinary_files_history WHERE file_id = :file
), known AS (
    SELECT coalesce(
        (SELECT to_jsonb(f) FROM cloudinary_files AS f WHERE f.id = :file),
        (SELECT old FROM events WHERE old IS NOT NULL ORDER BY id DESC LIMIT 1)) AS row
)
SELECT changed_at, changed_by, operation, old,
    CASE WHEN operation = 'purge' THEN NULL ELSE coalesce(
        lead(old) OVER (ORDER BY id),
        (SELECT to_jsonb(f) FROM cloudinary_files AS f WHERE f.id = :file)) END AS new
FROM events
WHERE id > coalesce((
    SELECT max(id) FROM events
    WHERE operation = 'purge' AND {_IS.format("old")} <> (SELECT {_IS.format("row")} FROM known)
), 0)
ORDER BY id
""")


def history_frame(database: Database, identity: Identity, asset: Asset | str) -> pd.DataFrame:
    """What happened to one asset, oldest first.

    Args:
        asset: an Asset, or its asset_id, or a public_id that it has or had; also of one that is
            deleted or purged.

    Returns:
        Columns changed_at (datetime64[us, UTC]), changed_by, operation (insert, update, rename,
        delete, restore or purge), changes (column → (before, after)), old and new (the whole
        row before and after as a dict, or None).

    Raises:
        NotFound: no such asset, or not for this caller to see. Conflict: several have the name.
        FilterError: it is no asset and no name.
    """
    import pandas as pd

    values: dict[str, Any] = {"id": None, "name": asset}
    if isinstance(asset, Asset):
        values = {"id": asset.id, "name": asset.asset_id or asset.public_id}
    name = read_name("asset", values["name"])

    def read(connection: sa.Connection) -> list[dict[str, Any]]:
        found = connection.execute(_FILE, values).all()
        if not found:
            raise NotFound(
                f"no asset {name!r}, now or ever",
                hint="check the public_id; what is not yours to see is not found either",
                ids=(name,),
            )
        first = found[0]
        # Of one kind the last that had the name is meant: it has been used again.
        alike = {f.kind for f in found if (f.rank, f.is_deleted) == (first.rank, first.is_deleted)}
        if len(alike) > 1:
            raise Conflict(
                f"{name!r} is the public_id of several assets: {', '.join(sorted(alike))}",
                hint="pass the Asset or its asset_id",
                ids=(name,),
            )
        rows = connection.execute(_EVENTS, {"file": first.id}).mappings()
        return [dict(row) for row in rows]

    events = _without_steps_aside(database.run(identity, read))
    for event in events:
        old, new = (_kept(event.pop(side)) for side in ("old", "new"))
        event["changes"] = {
            column: (before, after)
            for column in (_KEPT if old and new else ())
            if (before := (old or {}).get(column)) != (after := (new or {}).get(column))
        }
        event |= {"old": old, "new": new}
    columns = ["changed_at", "changed_by", "operation", "changes", "old", "new"]
    frame = pd.DataFrame(events, columns=columns)
    return frame.astype(
        {"changed_at": "datetime64[us, UTC]", "changed_by": "string", "operation": "string"}
    )


def former_owners(
    database: Database, identity: Identity, asset_ids: Iterable[str]
) -> dict[str, tuple[str, bool]]:
    """asset_id → whose its last row was, and whether it was deleted; of those that had one.

    For assets that have none: another has taken their name, and with it their row or its place.
    """
    values = {"asset_ids": list(asset_ids)}
    rows = database.run(identity, lambda k: k.execute(_FORMER, values).all())
    return {row.asset_id: (row.user_id, row.is_deleted) for row in rows}


def as_of(query: sa.Select[Any], moment: datetime | date | str) -> sa.Select[Any]:
    """The query over the rows as they stood at a moment, under the caller's own rights.

    Raises:
        FilterError: the moment is no date.
    """
    stood = sa.func.media_toolkit_rules.files_as_of(read_moment("as_of", moment))
    # Named as the table is: inside this query the name means the rows of that moment.
    return query.add_cte(
        sa.select(*(sa.literal_column(c.name, c.type) for c in files.c), _WORDS)
        .select_from(stood.alias("stood"))
        .cte(files.name)
    )


def _without_steps_aside(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Where names change hands within a batch, a row steps aside first (store/upsert.py): that
    and what comes next are one event."""
    kept: list[dict[str, Any]] = []
    aside = None
    for event in events:
        if aside is not None and aside["changed_by"] == event["changed_by"]:
            kept.pop()
            event = {**event, "old": aside["old"]}
        aside = None
        kept.append(event)
        name = (event["new"] or {}).get("public_id", "")
        if event["operation"] == "rename" and name == _aside(event["old"]):
            aside = event
    return kept


def _aside(row: dict[str, Any]) -> str:
    return f"\x01{row['id']}\x01{row['public_id']}"


def _kept(row: dict[str, Any] | None) -> dict[str, Any] | None:
    return row and {name: row.get(name) for name in _KEPT}
