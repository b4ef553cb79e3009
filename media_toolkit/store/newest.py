"""Newest: the first few of what a search finds, without reading all of it.

Postgres itself would walk the newest assets until enough of them have the words, which is long for
rare words and longest for those that were common once, or read every asset that has them. Between
the two lies a lookup among the newest alone. What is tried here is bounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from media_toolkit.store import searching
from media_toolkit.store.filters import WORDS, AssetFilter, has_words
from media_toolkit.store.matching import words_of
from media_toolkit.store.schema import files
from media_toolkit.store.searching import Lookup, Search

# So many times as many assets as should hold enough are looked through, first and then.
_MARGINS = (3, 60)
# So many are read where a context is looked for that has no index.
_WALKED = 10_000
# Of more users' newest, most are read in vain.
_USERS = 100
# By these, alone or together, an index has the newest first.
_ORDERED = ({"user_id"}, {"format"}, {"resource_type", "format"}, set[str]())
_DATES = {"uploaded_after", "uploaded_before"}
_KEY = (files.c.upload_timestamp, files.c.id)

Rows = Sequence[sa.RowMapping]


def newest(
    connection: sa.Connection,
    wanted: AssetFilter,
    search: Search,
    beyond: Sequence[sa.ColumnElement[bool]],
    limit: int,
    is_newest_first: bool = True,
) -> Rows | None:
    """The first `limit` assets; None where not all may be read: no index of words serves then.

    Args:
        beyond: the place of a cursor.
        is_newest_first: False for the oldest first.

    Raises:
        FilterError: for a value that cannot be read.
    """
    if not search.is_indexed:
        return None
    order = _order(files, is_newest_first)
    rest = [*replace(wanted, text=None).conditions(), *beyond]
    matching = max(1, search.matching)

    def first(some: sa.Subquery, *conditions: sa.ColumnElement[bool]) -> Rows:
        query = sa.select(*(some.c[column.name] for column in files.c)).where(*conditions)
        query = query.order_by(*_order(some, is_newest_first)).limit(limit)
        return connection.execute(query).mappings().all()

    def looked_up(lookup: Lookup, *more: sa.ColumnElement[bool]) -> Rows:
        # Behind an offset Postgres does not weigh walking the newest instead.
        some = sa.select(files).where(*lookup.conditions, *beyond, *more).offset(0)
        return first(some.subquery())

    whole = search.lookup()
    all_cost = search.cost(whole)
    walked = limit * (search.others if _is_ordered(wanted) else search.dated) // matching
    for margin in _MARGINS:
        among = margin * limit * search.dated // matching
        near, near_cost = _near(search, among)
        if margin == _MARGINS[0] and searching.READ_ON * walked < min(near_cost, all_cost):
            some = sa.select(files, WORDS.label("words")).where(*rest).order_by(*order)
            walk = some.limit(limit + margin * walked).subquery()
            found = first(walk, has_words(search.typed, is_indexed=False, words=walk.c.words))
        elif near_cost < all_cost:
            end = sa.select(_KEY[0]).where(*search.dates, *beyond).order_by(*order)
            moment = connection.scalar(end.offset(among).limit(1))
            if moment is None:
                break
            since = _KEY[0] >= moment if is_newest_first else _KEY[0] <= moment
            found = looked_up(near, since)
        else:
            break
        if len(found) == limit:
            return found
    return looked_up(whole)


def walked(
    connection: sa.Connection,
    wanted: AssetFilter,
    beyond: Sequence[sa.ColumnElement[bool]],
    limit: int,
    is_newest_first: bool = True,
) -> Rows | None:
    """The first `limit` assets of a context that many have, read among the first alone; None where
    it is not so, or the other filters have no order of their own.

    Args: as `newest`.
    """
    others = replace(wanted, context=None)
    if not wanted.context or others.typed or not _is_ordered(others):
        return None
    order = _order(files, is_newest_first)
    rest = [*others.conditions(), *beyond]
    some = sa.select(files).where(*rest).order_by(*order).limit(_WALKED).subquery()
    has = [some.c.context[k].astext == v for k, v in wanted.context_pairs]
    query = sa.select(*some.c).where(*has).order_by(*_order(some, is_newest_first)).limit(limit)
    rows = connection.execute(query).mappings().all()
    return rows if len(rows) == limit else None


def of_each_user(
    connection: sa.Connection,
    wanted: AssetFilter,
    beyond: Sequence[sa.ColumnElement[bool]],
    limit: int,
    is_newest_first: bool = True,
) -> Rows | None:
    """The first `limit` assets of several users, from the first ones of each; None where it is not
    by an index that each has the newest first. All the newest would be walked through otherwise,
    for long if these users' are not among them.

    Args: as `newest`.
    """
    users = wanted.users
    if not 1 < len(users) <= _USERS or words_of(wanted) & {"tags", "any_tags", "text", "context"}:
        return None
    rest = replace(wanted, user_id=None).conditions()
    order = _order(files, is_newest_first)
    names = sa.func.unnest(sa.cast(users, files.c.tags.type)).table_valued("user_id")
    names = names.render_derived(name="users")
    its = sa.select(files).where(files.c.user_id == names.c.user_id, *rest, *beyond)
    some = its.order_by(*order).limit(limit).lateral("some")
    query = sa.select(*some.c).select_from(names.join(some, sa.true()))
    query = query.order_by(*_order(some, is_newest_first)).limit(limit)
    return connection.execute(query).mappings().all()


def _order(some: sa.FromClause, is_newest_first: bool) -> list[sa.ColumnElement[Any]]:
    key = [some.c[part.name] for part in _KEY]
    return [part.desc() if is_newest_first else part.asc() for part in key]


def _near(search: Search, among: int) -> tuple[Lookup, float]:
    """The lookup that takes least where only so many of the newest are read, and what it takes."""

    def cost(lookup: Lookup) -> float:
        some = lookup.found * among / max(1, search.dated)
        # The end of those is walked to first.
        return lookup.gathering + 2 * searching.NOTE * among + searching.READ * some

    return min(((lookup, cost(lookup)) for lookup in search.lookups), key=lambda pair: pair[1])


def _is_ordered(wanted: AssetFilter) -> bool:
    others = words_of(wanted) - {"text"} - _DATES
    return others in _ORDERED and all(isinstance(getattr(wanted, name), str) for name in others)
