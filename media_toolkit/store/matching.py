"""Matching: where the assets of a filter are read from, and in which order they stand there."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import sqlalchemy as sa

from media_toolkit.store import filters
from media_toolkit.store.filters import SEVERAL, AssetFilter
from media_toolkit.store.schema import files, tagged
from media_toolkit.store.searching import READS_ALL, Search, searched

# As many are read one by one in the time that a walk of some 200,000 takes.
_FEW = 20_000
# By an index of one in 64: so many there are no more than some thousands in all, and what one in a
# hundred has is looked up and read in a fifth of the time that reading everything takes.
_FEW_IN_SAMPLE, _SAMPLE, _SHARE = 30, 64, 100
_TOTAL = sa.text("(SELECT reltuples FROM pg_class WHERE oid = 'cloudinary_files'::regclass)")
# What `cloudinary_files_tagged` knows of an asset.
_KEPT_BY_TAG = {"tags", "user_id", "resource_type", "uploaded_after", "uploaded_before"}


@dataclass(frozen=True)
class Matching:
    """FROM and WHERE of a filter's assets, newest first.

    Attributes:
        source: with every column of an asset. thin_source: enough to count them, and to order
            them by `key`; its rows are the same.
        key: upload_timestamp and id.
        search: how its text may be looked up, if there is any.
    """

    source: sa.FromClause
    thin_source: sa.FromClause
    conditions: list[sa.ColumnElement[bool]]
    key: tuple[sa.ColumnElement[Any], sa.ColumnElement[Any]]
    search: Search | None = None

    def order(self, is_newest_first: bool = True) -> list[sa.ColumnElement[Any]]:
        """ORDER BY."""
        return [part.desc() if is_newest_first else part.asc() for part in self.key]

    def thin(self, *more: sa.ColumnElement[bool]) -> sa.Select[Any]:
        """One 1 for each matching asset."""
        one = sa.select(sa.literal(1)).select_from(self.thin_source)
        return one.where(*self.conditions, *more)


def matching(connection: sa.Connection, wanted: AssetFilter, reads_kept: bool = True) -> Matching:
    """How to read what `wanted` asks for.

    Args:
        reads_kept: whether what triggers keep may be read. Where one tag is asked for,
            `cloudinary_files_tagged` has the newest first, which no index on arrays does.

    Raises:
        FilterError: for a value that cannot be read.
    """
    if (setting := walk_setting(wanted)) is not None:
        connection.execute(sa.select(setting))
    wanted = with_rare_words(connection, wanted, reads_kept)
    search = searched(connection, wanted, reads_kept)
    best = search.best() if search else None
    if not reads_kept or wanted.tag is None:
        key = (files.c.upload_timestamp, files.c.id)
        conditions = best.conditions if best else wanted.conditions()
        return Matching(files, files, conditions, key, search)
    # Joined by the id alone: every further equality would make the planner expect fewer rows.
    both = tagged.join(files, files.c.id == tagged.c.file_id)
    texts = best.texts if best else []
    conditions = [*replace(wanted, text=None).conditions(tagged), *texts]
    is_thin = words_of(wanted) <= _KEPT_BY_TAG
    if not is_thin:
        conditions.append(files.c.deleted_at.is_(None))
    key = (tagged.c.upload_timestamp, tagged.c.file_id)
    return Matching(both, tagged if is_thin else both, conditions, key, search)


def with_rare_words(
    connection: sa.Connection, wanted: AssetFilter, reads_kept: bool
) -> AssetFilter:
    """The same, and where few assets have the words of its context, those as a text to look up:
    no index has the context itself."""
    words = wanted.words_of_context
    if not words or not reads_kept:
        return wanted
    some = sa.select(sa.literal(1).label("one")).where(
        filters.has_words(words), files.c.id % _SAMPLE == 0
    )
    few = sa.func.greatest(_FEW_IN_SAMPLE, sa.literal_column(str(_TOTAL)) / (_SAMPLE * _SHARE))
    some = some.select_from(files).limit(sa.cast(few, sa.BigInteger) + 1)
    size = sa.select(sa.func.count()).select_from(some.subquery()).scalar_subquery()
    if not connection.scalar(sa.select(sa.case((READS_ALL, size <= few), else_=False))):
        return wanted
    return replace(wanted, text=f"{wanted.typed} {words}")


def walk_setting(wanted: AssetFilter) -> sa.ColumnElement[str] | None:
    """A setting that forbids to walk the newest for assets of a folder that has few.

    Postgres takes each folder that it does not know for one of average size. None without a
    folder.
    """
    folder = wanted.asked_folder
    if not folder:
        return None
    one = sa.select(sa.literal(1).label("one")).select_from(files)
    parts = [one.where(part).limit(_FEW + 1).subquery() for part in filters.in_folder(folder)]
    known = sa.union_all(*(sa.select(part.c.one) for part in parts)).subquery()
    size = sa.select(sa.func.count()).select_from(known).scalar_subquery()
    return sa.func.set_config(
        "enable_indexscan", sa.case((size > _FEW, "on"), else_="off"), True, type_=sa.Text
    )


def words_of(wanted: AssetFilter) -> set[str]:
    """The words that are given; no folder, text or context asks for nothing, no value for none."""
    given = {f.name for f in fields(wanted) if getattr(wanted, f.name) is not None}
    return {name for name in given if name in SEVERAL or getattr(wanted, name) not in ("", {})}
