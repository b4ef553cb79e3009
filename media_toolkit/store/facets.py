"""How many: counts that say whether they are exact, and facets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from media_toolkit.errors import FilterError
from media_toolkit.identity import Identity
from media_toolkit.store.database import Database
from media_toolkit.store.filters import AssetFilter, is_one_of
from media_toolkit.store.matching import Matching, matching, words_of
from media_toolkit.store.ownership import narrowed
from media_toolkit.store.schema import counts, files
from media_toolkit.store.searching import Index, Search, estimates

CAP = 10_000
FACETS = ("user_id", "resource_type", "delivery_type", "format", "tags")
_SAMPLED_ROWS = 50_000
# What `cloudinary_files_counts` knows of an asset.
_KINDS = {"user_id", "resource_type", "delivery_type", "format"}
# One asset in so many is in the indexes `cloudinary_files_words_small_sample`, or `_words_sample`
# and `_beginnings_sample`: for the more common words the smaller one.
_SAMPLES = ((64, {Index.WORDS}), (8, {Index.WORDS, Index.BEGINNINGS}))
# The totals where all may be read, else one's own share. Ids end at 2^31, and so does each number;
# sums of bigint would be numeric, and a sixth slower.
_TAGS = """
SELECT sum(assets::integer) AS n, tag FROM (
    SELECT tag, assets FROM cloudinary_files_totals
    UNION ALL
    SELECT tag, assets FROM cloudinary_files_counts
    WHERE tag IS NOT NULL AND user_id = (SELECT auth.user_id())
      AND NOT (SELECT media_toolkit_rules.reads_all())
) AS kept {which} GROUP BY tag HAVING sum(assets::integer) > 0 ORDER BY n DESC, tag
"""


class Count(int):
    """A number of assets, an `int` in all respects.

    Attributes:
        is_exact: False where it is Postgres' estimate, which only numbers over 10,000 are.
    """

    is_exact: bool

    def __new__(cls, number: int, is_exact: bool = True) -> Count:
        count = super().__new__(cls, number)
        count.is_exact = is_exact
        return count

    @property
    def label(self) -> str:
        """ "1,234", or "about 56,000" for an estimate."""
        return f"{int(self):,}" if self.is_exact else f"about {_rounded(self):,}"


class Facets(dict[str, list[tuple[str, int]]]):
    """Name → its values with the number of assets of each, most first.

    Attributes:
        is_exact: whether every matching asset was counted.
        counted: how many were: where not all, it is the newest 10,000.
    """

    def __init__(self, counted: int, is_exact: bool) -> None:
        super().__init__()
        self.counted, self.is_exact = counted, is_exact


def count(
    database: Database, identity: Identity, wanted: AssetFilter, is_exact: bool = False
) -> Count:
    """How many assets match: exact to 10,000, estimated by the planner beyond.

    Exact at any size where the kept counts know it: by nothing but user_id, resource_type,
    delivery_type and format, or by one tag and user_id. `is_exact` counts all there are.

    Raises:
        FilterError: for a value that cannot be read.
    """
    wanted.conditions()  # what cannot be read is said before Postgres is asked

    def read(connection: sa.Connection) -> Count:
        reads_kept = database.reads_kept(connection)
        asked = narrowed(database, identity, wanted, connection)
        if not is_exact and reads_kept and (kept := _kept_count(asked)) is not None:
            return Count(int(connection.scalar(kept) or 0))
        found = matching(connection, asked, reads_kept)
        if is_exact:
            return Count(_size(connection, found.thin()))
        if found.search is not None and _is_large(connection, found.search):
            return Count(max(CAP + 1, found.search.matching), is_exact=False)
        size = _size(connection, found.thin().limit(CAP + 1))
        if size <= CAP:
            return Count(size)
        about = found.search.matching if found.search else estimates(connection, [found.thin()])[0]
        if about <= CAP or wanted.context:
            # Of rows just saved, and of what stands in a context, the planner knows nothing.
            about = _sampled(connection, found)
        return Count(max(size, about), is_exact=False)

    return database.run(identity, read)


def facets(
    database: Database, identity: Identity, names: tuple[str, ...], wanted: AssetFilter
) -> Facets:
    """Each name's values with their counts; of the newest 10,000 where a filter matches more.

    Raises:
        FilterError: for a name that has no facet, or a value that cannot be read.
    """
    unknown = [name for name in names if not isinstance(name, str) or name not in FACETS]
    if unknown or not names:
        raise FilterError(
            f"no facets of {', '.join(map(str, unknown)) or 'nothing'}",
            hint=f"known: {', '.join(FACETS)}",
            ids=tuple(map(str, unknown)),
        )
    wanted.conditions()

    def read(connection: sa.Connection) -> Facets:
        reads_kept = database.reads_kept(connection)
        if reads_kept and not words_of(wanted):
            return _kept_facets(connection, names)
        asked = narrowed(database, identity, wanted, connection)
        found = matching(connection, asked, reads_kept)
        query = sa.select(*(files.c[name] for name in names)).select_from(found.source)
        query = query.where(*found.conditions).order_by(*found.order()).limit(CAP + 1)
        return _counted(connection.execute(query).all(), names)

    return database.run(identity, read)


def _counted(rows: Sequence[sa.Row[Any]], names: tuple[str, ...]) -> Facets:
    found = Facets(min(len(rows), CAP), len(rows) <= CAP)
    for position, name in enumerate(names):
        counter: Counter[str] = Counter()
        for row in rows[:CAP]:
            value = row[position]
            if name == "tags":
                counter.update(set(value) - {None})
            elif value is not None:
                counter[value] += 1
        found[name] = sorted(counter.items(), key=lambda pair: (-pair[1], pair[0]))
    return found


def _kept_count(wanted: AssetFilter) -> sa.Executable | None:
    """The query on what triggers keep, where it knows the answer."""
    words, c = words_of(wanted), counts.c
    if words == {"tags"} and wanted.tag is not None:
        return sa.text(_TAGS.format(which="WHERE tag = :tag")).bindparams(tag=wanted.tag)
    total = sa.select(sa.func.sum(c.assets))
    if words <= _KINDS:
        total = total.where(c.tag.is_(None))
    elif words == {"tags", "user_id"} and wanted.tag is not None:
        total = total.where(c.tag == wanted.tag)
    else:
        return None
    for name in words & _KINDS:
        if (condition := is_one_of(c[name], getattr(wanted, name))) is not None:
            total = total.where(condition)
    return total


def _kept_facets(connection: sa.Connection, names: tuple[str, ...]) -> Facets:
    kinds = sorted(_KINDS.intersection(names))
    listed = ", ".join(kinds)
    sets = ", ".join(["()", *(f"({name})" for name in kinds)])
    # A bit each, the last name's the lowest: whether the row is of all values of that name.
    which = f"GROUPING({listed})" if kinds else "0"
    rows = connection.execute(
        sa.text(f"""
            SELECT {which}, sum(assets::integer) AS n, coalesce({listed or "NULL::text"}) AS value
            FROM cloudinary_files_counts WHERE tag IS NULL
            GROUP BY GROUPING SETS ({sets}) HAVING sum(assets::integer) > 0
            ORDER BY n DESC, value
        """)
    ).all()
    of_all = 2 ** len(kinds) - 1
    found = Facets(sum(n for grouping, n, _ in rows if grouping == of_all), True)
    for name in names:
        # A row of each value of this name lacks its bit.
        mine = of_all - 2 ** (len(kinds) - 1 - kinds.index(name)) if name in kinds else None
        found[name] = [
            (value, n) for grouping, n, value in rows if grouping == mine and value is not None
        ]
    if "tags" in names:
        # Two arrays, not a row each: there may be thousands.
        query = f"SELECT array_agg(tag), array_agg(n) FROM ({_TAGS.format(which='')}) AS t"
        tags, sizes = connection.execute(sa.text(query)).one()
        found["tags"] = list(zip(tags or (), sizes or (), strict=True))
    return found


def _is_large(connection: sa.Connection, search: Search) -> bool:
    """Whether statistics and a sample of the assets agree that clearly more than CAP match."""
    for share, indexes in _SAMPLES:
        # A sample of exactly CAP has so many with a chance of one in 18,000.
        enough = int(CAP / share + 4 * (CAP / share) ** 0.5) + 1
        if search.matching < enough * share:
            continue
        some = sa.select(sa.literal(1)).select_from(files)
        some = some.where(*search.lookup(indexes).conditions, files.c.id % share == 0)
        size = _size(connection, some.limit(enough))
        if size == enough or size * share < CAP:
            return size == enough
    return False


def _sampled(connection: sa.Connection, found: Matching) -> int:
    """About how many match, by those on some of the table's pages."""
    total = max(1, estimates(connection, [sa.select(files.c.id)])[0])
    share = min(1.0, _SAMPLED_ROWS / total)
    pages = sa.tablesample(files, sa.func.system(100 * share))
    # Named as the table is: inside the query the name means the rows on those pages.
    columns: list[Any] = [sa.literal_column(name) for name in (*files.c.keys(), "words")]
    rows: sa.Select[Any] = sa.select(*columns).select_from(pages)
    some = found.thin().add_cte(rows.cte(files.name))
    return round(_size(connection, some) / share)


def _size(connection: sa.Connection, some: sa.Select[Any]) -> int:
    return int(connection.scalar(sa.select(sa.func.count()).select_from(some.subquery())) or 0)


def _rounded(number: int) -> int:
    """To two digits: an estimate is no better."""
    unit = 10 ** max(0, len(str(int(number))) - 2)
    return round(int(number) / unit) * unit
