"""The SQL of a save: which rows that come are news, and what becomes of those that stand.

`old` is the row that stands, `new` the one that comes. A message that comes late or twice changes
nothing, and brings what was deleted or purged back only if it tells of a later upload.
"""

from __future__ import annotations

import sqlalchemy as sa

from media_toolkit.store.rows import COLUMNS

# A row's user_id never changes.
WRITTEN = [name for name in COLUMNS if name != "user_id"]
_COLUMNS = ", ".join(COLUMNS)


def _names(row: str) -> str:
    return f"({row}.resource_type, {row}.delivery_type, {row}.public_id)"


# What Cloudinary was asked for a moment ago may have been overtaken by an upload since.
_NOT_OLDER = (
    "(:is_current AND (old.asset_id IS DISTINCT FROM new.asset_id OR old.version < :settled)"
    " OR old.version IS NULL OR new.version >= old.version)"
)
_IS_SAME_UPLOAD = (
    "(old.version = new.version AND coalesce(old.asset_id = new.asset_id, true)"
    " AND coalesce(old.etag = new.etag, true))"
)
# Edits and renames leave `raw` as it is, and the version as well: the answer that a row was made
# from, coming again, would undo them.
_IS_NEWS = (
    "(:is_current OR old.version IS DISTINCT FROM new.version"
    # Two answers about the same differ in this.
    " OR old.raw <> new.raw AND old.raw - 'request_id' <> new.raw - 'request_id'"
    " OR new.raw = '{}')"
)
# What is told of the same upload was so before, and has been changed since: it is late.
_HISTORY = "EXISTS (SELECT FROM cloudinary_files_history AS h WHERE h.file_id = old.id AND {said})"
_SAID_BEFORE = {
    "tags": _HISTORY.format(
        said="h.old ->> 'version' = old.version::text AND h.old -> 'tags' = to_jsonb(new.tags)"
    ),
    "context": _HISTORY.format(
        said="h.old ->> 'version' = old.version::text AND h.old -> 'context' = new.context"
    ),
}
# It left that name then or later; of the same upload whenever that was.
_HAD_NAME = _HISTORY.format(
    said="h.operation = 'rename' AND (h.old ->> 'resource_type', h.old ->> 'delivery_type',"
    " h.old ->> 'public_id') = {new} AND (old.version IS NOT DISTINCT FROM new.version"
    " OR h.changed_at >= to_timestamp(new.version))"
)
# Of the same upload, what an answer does not speak of is as it was: listings know no phash, and
# tags and context only where they are asked for.
_OF_NAMES = ("public_id", "resource_type", "delivery_type", "media_url", "version")


def _taken(name: str) -> str:
    if name in _OF_NAMES:
        return f"new.{name}"
    if name in _SAID_BEFORE:
        is_silent = f"new.raw <> '{{}}' AND NOT new.raw ? '{name}' OR NOT {_IS_NEWS}"
        is_late = f"old.{name} <> new.{name} AND {_SAID_BEFORE[name]}"
        kept = f"{_IS_SAME_UPLOAD} AND NOT :is_current AND ({is_silent} OR {is_late})"
    elif name == "folder":
        # Without one told, it is where the name says.
        is_silent = "new.raw <> '{}' AND NOT new.raw ?| ARRAY['asset_folder', 'folder']"
        kept = f"{_IS_SAME_UPLOAD} AND {is_silent} AND old.public_id = new.public_id"
    elif name == "raw":
        kept = f"{_IS_SAME_UPLOAD} AND new.raw = '{{}}'"
    else:
        kept = f"{_IS_SAME_UPLOAD} AND new.{name} IS NULL"
    return f"CASE WHEN {kept} THEN old.{name} ELSE new.{name} END"


# A row of the guide has no version: what was uploaded after it was deleted is later.
_DELETED = "floor(extract(epoch FROM old.deleted_at))::bigint"
_IS_LATER = f"new.version > coalesce(old.version, {_DELETED})"
# A version is a second: of the same one may be another upload, after the deletion.
_REVIVES = (
    f"coalesce({_IS_LATER} OR :revive AND (:is_current"
    f" OR new.version >= {_DELETED} AND NOT {_IS_SAME_UPLOAD}), false)"
)
_DIFFERS = (
    f"(old.deleted_at IS NULL AND {_IS_NEWS} AND ROW({', '.join(f'old.{n}' for n in WRITTEN)})"
    f" IS DISTINCT FROM ROW({', '.join(map(_taken, WRITTEN))})"
    f" OR old.deleted_at IS NOT NULL AND {_REVIVES})"
)
_SET = ", ".join(f"{name} = {_taken(name)}" for name in WRITTEN)
_MINE = "(old.user_id = new.user_id OR :is_admin)"

# A name that it had at this version, and has left, is told late.
_IS_TO_MOVE = (
    f"{_NOT_OLDER} AND {_IS_NEWS.replace('{}', '{{}}')} AND (:is_current OR NOT {_HAD_NAME})"
)
# A rename in Cloudinary keeps asset_id: the row moves with it instead of colliding.
_MOVED = """
SELECT new.asset_id
FROM {source} AS new JOIN cloudinary_files AS old ON old.asset_id = new.asset_id
WHERE {old} <> {new}
"""
# It gives its name free in the same batch.
_MOVES_AWAY = """
EXISTS (
    SELECT FROM {source} AS other
    WHERE other.asset_id = there.asset_id AND {other} <> {there} AND {leaves})
"""
# A newer upload under that name, or one that the batch tells of late as well: the message is of
# the time before it.
_IS_TAKEN = """
NOT :is_current AND EXISTS (
    SELECT FROM cloudinary_files AS there WHERE {there} = {new} AND there.id <> old.id
    AND NOT {moves_away}
    AND (there.version > new.version
         OR EXISTS (SELECT FROM {source} AS other WHERE other.asset_id = there.asset_id)))
"""
_FOLLOWS = """
old.asset_id = new.asset_id AND {mine} AND {old} <> {new}
AND {is_to_move} AND NOT ({is_taken})
"""
# Another's row without an id that has this name already is rather what is told of: that the other
# row has the id is its saver's word.
_YIELD = """
UPDATE cloudinary_files AS old SET asset_id = NULL
FROM {source} AS new JOIN cloudinary_files AS there ON {there} = {new}
WHERE old.asset_id = new.asset_id AND {old} <> {new}
  AND there.asset_id IS NULL AND there.user_id <> old.user_id
"""
# Who else stands under the new name was overwritten by the rename: Cloudinary has it no more.
_CLEAR_THE_WAY = """
DELETE FROM cloudinary_files AS there
USING {source} AS new JOIN cloudinary_files AS old ON old.asset_id = new.asset_id
WHERE {there} = {new} AND there.id <> old.id AND {follows} AND NOT {moves_away}
  AND NOT coalesce(there.asset_id = ANY(CAST(:held AS text[])), false)
"""
# Names may change hands in a ring, and no order of moves suits: who gives one up leaves first.
# `history` shows the two steps as one.
_STEP_ASIDE = """
UPDATE cloudinary_files AS old SET public_id = E'\\x01' || old.id || E'\\x01' || old.public_id
FROM {source} AS new
WHERE {follows} AND EXISTS (SELECT FROM {source} AS other WHERE {other} = {old})
"""
_FOLLOW = """
UPDATE cloudinary_files AS old SET {taken},
    deleted_at = CASE WHEN {revives} THEN NULL ELSE old.deleted_at END
FROM {source} AS new WHERE {follows}
"""
# In the order of ids, so that two saves of the same wait for each other in the same order.
_LOCK = """
SELECT there.id FROM cloudinary_files AS there WHERE there.id IN (
    SELECT old.id FROM {source} AS new JOIN cloudinary_files AS old USING (asset_id)
    UNION
    SELECT old.id FROM {source} AS new JOIN cloudinary_files AS old ON {old} = {new})
ORDER BY there.id FOR UPDATE
"""
# Since Cloudinary was asked, somebody has changed the row or purged the asset: the answer may be
# of before that. A transaction does not overtake itself, and a column of the team's own is not
# what Cloudinary was asked about.
_SINCE = f"""
since.operation <> 'insert' AND since.changed_at <> now() AND since.changed_at > :asked
AND (since.operation <> 'update' OR EXISTS (
    SELECT FROM jsonb_populate_record(NULL::cloudinary_files, since.old) AS was
    WHERE ROW({", ".join(f"was.{name}" for name in WRITTEN)})
        IS DISTINCT FROM ROW({", ".join(f"old.{name}" for name in WRITTEN)})))
"""
_OVERTAKEN = f"""
SELECT new.public_id FROM {{source}} AS new
WHERE EXISTS (
    SELECT FROM cloudinary_files_history AS since
    LEFT JOIN cloudinary_files AS old ON old.id = since.file_id
    WHERE since.old IS NOT NULL AND since.old ->> 'asset_id' = new.asset_id AND {_SINCE})
   OR EXISTS (
    SELECT FROM cloudinary_files AS old
    JOIN cloudinary_files_history AS since ON since.file_id = old.id
    WHERE {{old}} = {{new}} AND {_SINCE})
"""
# What stands there as it comes, or stands already under the name that it has moved on to.
_KNOWN = "{old} = {new} AND {mine} AND NOT coalesce({not_older} AND {differs}, false)"
_LATE = "old.asset_id = new.asset_id AND {old} <> {new} AND {mine}"
_NOT_THERE = "NOT EXISTS (SELECT FROM cloudinary_files AS old WHERE {condition})"
_DROP = "DELETE FROM {source} AS new USING cloudinary_files AS old WHERE {condition}"
# What was destroyed here is told late. An asset that stands has been brought back since.
_STANDS = "EXISTS (SELECT FROM cloudinary_files AS same WHERE same.asset_id = new.asset_id)"
_NOT_PURGED = f"""
(:is_current OR new.asset_id IS NULL OR {_STANDS} OR NOT EXISTS (
    SELECT FROM media_toolkit_rules.purged(ARRAY[new.asset_id], ARRAY[new.version])))
"""
# Of many, all at once; a list that is looked up for each, never a join of the two.
_DROP_PURGED = f"""
DELETE FROM {{source}} AS late WHERE NOT :is_current AND (late.asset_id IN (
    SELECT media_toolkit_rules.purged(array_agg(new.asset_id), array_agg(new.version))
    FROM {{source}} AS new WHERE new.asset_id IS NOT NULL AND NOT {_STANDS})) IS TRUE
"""
_UPSERT = f"""
WITH written AS (
    INSERT INTO cloudinary_files AS stood ({_COLUMNS})
    SELECT {_COLUMNS} FROM {{source}} AS new {{which}}
    ON CONFLICT (resource_type, delivery_type, public_id) DO UPDATE
    SET {{taken_now}}, deleted_at = NULL
    -- Another user's row is let through, for row-level security to refuse aloud.
    WHERE NOT {{mine_now}} OR ({{not_older_now}} AND {{differs_now}})
    RETURNING id, xmax = 0 AS inserted)
SELECT count(*) FILTER (WHERE inserted) AS inserted, count(*) AS written,
    array_agg(id) FILTER (WHERE inserted AND :is_admin) AS given
FROM written
"""
# An admin's save makes no asset the admin's that had an owner before another took its name, and
# with it the row or its place.
GIVE_BACK = sa.text("""
UPDATE cloudinary_files AS f SET user_id = h.user_id FROM cloudinary_files_history AS h
WHERE f.id = ANY(:ids) AND f.user_id <> h.user_id AND f.asset_id = h.old ->> 'asset_id'
  AND h.id IN (SELECT media_toolkit_rules.last_told(ARRAY(
      SELECT asset_id FROM cloudinary_files WHERE id = ANY(:ids) AND asset_id IS NOT NULL)))
""")


class Upsert:
    """The statements of one save, in the order in which they run; what comes is read from `source`.

    Rows are written in the order in which they come: the last is the newest. A join gives its
    rows in any order, so staged rows that need no writing are deleted beforehand, and given
    ones are sorted.
    """

    def __init__(self, source: str, is_staged: bool) -> None:
        words = {
            "source": source,
            "old": _names("old"),
            "new": _names("new"),
            "there": _names("there"),
            "other": _names("other"),
            "not_older": _NOT_OLDER,
            "differs": _DIFFERS,
            "is_news": _IS_NEWS,
            "leaves": _renamed(_IS_TO_MOVE.format(new=_names("other")), "there", "other"),
            "is_to_move": _IS_TO_MOVE.format(new=_names("new")),
            "revives": _REVIVES,
            "taken": _SET,
            "mine": _MINE,
            "mine_now": _at_conflict(_MINE),
            "not_older_now": _at_conflict(_NOT_OLDER),
            "differs_now": _at_conflict(_DIFFERS),
            "taken_now": _at_conflict(_SET),
        }
        words["moves_away"] = _MOVES_AWAY.format(**words)
        words["is_taken"] = _IS_TAKEN.format(**words)
        words["follows"] = _FOLLOWS.format(**words)
        known, late = _KNOWN.format(**words), _LATE.format(**words)
        which = ""
        if not is_staged:
            there = " AND ".join(_NOT_THERE.format(condition=c) for c in (known, late))
            which = f"WHERE {there} AND {_NOT_PURGED} ORDER BY ordinality"
        self.moved = sa.text(_MOVED.format(**words))
        self.lock = sa.text(_LOCK.format(**words))
        self.overtaken = sa.text(_OVERTAKEN.format(**words))
        self.give_way = sa.text(_YIELD.format(**words))
        self.clear_the_way = sa.text(_CLEAR_THE_WAY.format(**words))
        self.step_aside = sa.text(_STEP_ASIDE.format(**words))
        self.follow = sa.text(_FOLLOW.format(**words))
        self.drop_late = sa.text(_DROP.format(source=source, condition=late))
        self.drop_known = sa.text(_DROP.format(source=source, condition=known))
        self.drop_purged = sa.text(_DROP_PURGED.format(source=source))
        self.upsert = sa.text(_UPSERT.format(which=which, **words))


def _at_conflict(condition: str) -> str:
    return _renamed(condition, "stood", "excluded")


def _renamed(condition: str, old: str, new: str) -> str:
    return condition.replace("old.", f"{old}.").replace("new.", f"{new}.")
