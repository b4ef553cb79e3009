"""Searching: what looking words up would cost, and so whether and which of them to look up.

The index of words gathers every asset of every word that begins as was typed, and Postgres takes
that for cheaper than it is: a rare user's tulips are found sooner by reading that user's assets,
and of two words the common one is often better compared than looked up. The index of beginnings
has one list of assets for each four letters; what was typed of less is not in it, and of more it
finds too many, which are compared.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any

import sqlalchemy as sa

from media_toolkit.store import filters
from media_toolkit.store.filters import AssetFilter
from media_toolkit.store.schema import files

# In microseconds, at 10 million rows on one core, the table in the system's cache: to gather an
# asset from the index of words, or of a beginning from theirs, to note one from another index, to
# read one somewhere in the table, to read one beside the last, to compare one of a user's, some of
# which stand together.
GATHER, SKIP, NOTE, READ, READ_ON, COMPARE = 0.5, 0.2, 0.1, 8.0, 0.7, 2.0
# Of a pasted page no more words are asked about: the longest are the rarest.
_MOST_LOOKED_UP = 32
READS_ALL = sa.func.media_toolkit_rules.reads_all(type_=sa.Boolean)


class Index(Enum):
    """Which indexes are asked; some assets of the first two are in samples as well."""

    WORDS = auto()
    BEGINNINGS = auto()
    BOTH = auto()


@dataclass(frozen=True)
class Lookup:
    """One way of asking an index for words.

    Attributes:
        texts: what was typed, as conditions; some of it is looked up, the rest compared.
        others: those of the other filters that are still to be asked beside them.
        gathering: what the index is expected to take, in microseconds.
        found: how many assets it is expected to leave. among: of how many.
        index: which index it is.
    """

    texts: list[sa.ColumnElement[bool]]
    others: list[sa.ColumnElement[bool]]
    gathering: float
    found: int
    among: int
    index: Index = Index.WORDS

    @property
    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """Of the whole filter."""
        return [*self.others, *self.texts]


@dataclass(frozen=True)
class Search:
    """A text beside other filters, and how many assets the planner expects.

    Attributes:
        typed: the text.
        lookups: the ways of asking an index for it.
        dates: the conditions that are no more than dates.
        matching: expected of the whole filter. others: of all but the text.
        dated: of nothing but the dates. total: of all assets.
        is_indexed: whether all assets may be read: no index of words serves otherwise.
    """

    typed: str
    lookups: list[Lookup]
    dates: list[sa.ColumnElement[bool]]
    matching: int
    others: int
    dated: int
    total: int
    is_indexed: bool

    def lookup(self, indexes: Collection[Index] = tuple(Index)) -> Lookup:
        """The one that finds all matching assets soonest; the first asks the index of words."""
        return min((one for one in self.lookups if one.index in indexes), key=self.cost)

    def best(self) -> Lookup:
        """The text looked up, unless the other filters are narrower: then it is compared."""
        best = self.lookup()
        if self.others < self.total and COMPARE * self.others < self.cost(best):
            compared = [filters.has_words(self.typed, is_indexed=False)]
            return replace(best, texts=compared, others=self.lookups[0].others)
        return best

    def cost(self, lookup: Lookup) -> float:
        """In microseconds, all matching assets read."""
        read = READ * lookup.found
        if self.others < lookup.among:
            both = lookup.found * self.others / lookup.among
            read = min(read, NOTE * self.others + READ * both)
        return lookup.gathering + read


def searched(connection: sa.Connection, wanted: AssetFilter, reads_kept: bool) -> Search | None:
    """How to find what `wanted.text` asks for; None where it asks for nothing.

    Args:
        reads_kept: whether the database is as the newest migration leaves it, to this login.

    Raises:
        FilterError: for a value that cannot be read.
    """
    every, others = wanted.conditions(), replace(wanted, text=None).conditions()
    # A text without a word in it is still a condition; one of spaces is none.
    if len(every) == len(others):
        return None
    typed = wanted.typed
    words, is_indexed = _prepare(connection, typed, reads_kept)
    beginnings = sorted({w[: filters.BEGINNING] for w in words if len(w) >= filters.BEGINNING})
    of_beginnings = " ".join(beginnings)
    dates = AssetFilter(
        uploaded_after=wanted.uploaded_after, uploaded_before=wanted.uploaded_before
    ).conditions()
    user = wanted.user_id if isinstance(wanted.user_id, str) else None
    texts = [text for text in {typed, *words, of_beginnings, *beginnings} if text]
    all_of = [AssetFilter(), AssetFilter(user_id=user)]
    kinds = [every, others, dates, *(one.conditions() for one in all_of)]
    asked = [*kinds, *([filters.has_words(text)] for text in texts)]
    expected = estimates(connection, [sa.select(files.c.id).where(*kind) for kind in asked])
    matching, narrowed, dated, total, of_user = expected[:5]
    size = dict(zip(texts, expected[5:], strict=True))

    whole, compared = filters.has_words(typed), filters.has_words(typed, is_indexed=False)
    gathered = GATHER * sum(size[word] for word in words)
    lookups = [Lookup([whole], others, gathered, size[typed], total)]
    rarest = min(words, key=size.__getitem__, default=typed)
    if len(words) > 1:
        some = [filters.has_words(rarest), compared]
        lookups.append(Lookup(some, others, GATHER * size[rarest], size[rarest], total))
    if beginnings and is_indexed:
        least, found = min(size[word] for word in beginnings), size[of_beginnings]
        rest, key = others, filters.has_beginnings(beginnings, user)
        if user is not None:
            rest = replace(wanted, text=None, user_id=None).conditions()
            least, found = min(least, of_user), found * of_user // max(1, total)
        some = [key, compared]
        lookups.append(Lookup(some, rest, SKIP * least, found, of_user, Index.BEGINNINGS))
        some = [key, filters.has_words(rarest), compared]
        found = min(found, size[typed] * of_user // max(1, total))
        both = SKIP * least + GATHER * size[rarest]
        lookups.append(Lookup(some, rest, both, found, of_user, Index.BOTH))
    return Search(typed, lookups, dates, matching, narrowed, dated, total, is_indexed)


def estimates(connection: sa.Connection, queries: Sequence[sa.Select[Any]]) -> list[int]:
    """How many rows the planner expects of each query, which have one column; asked at once."""
    query = sa.select(*(sa.func.array(query.scalar_subquery()) for query in queries))
    compiled = query.compile(connection.engine, compile_kwargs={"render_postcompile": True})
    plan = connection.exec_driver_sql(
        f"EXPLAIN (FORMAT JSON) {compiled}", compiled.construct_params()
    ).scalar_one()
    parts = [p for p in plan[0]["Plan"]["Plans"] if p["Parent Relationship"] == "InitPlan"]
    return [int(part["Plan Rows"]) for part in parts]


def _prepare(connection: sa.Connection, typed: str, reads_kept: bool) -> tuple[list[str], bool]:
    """The longest words of a text as `media_toolkit_rules.search` sees them; whether all assets
    may be read."""
    words = sa.func.regexp_split_to_array(sa.func.lower(typed), "[^[:alnum:]]+")
    # Beyond its memory Postgres notes whole pages, then reads and compares every row of them.
    memory = sa.func.set_config("work_mem", "32MB", True)
    # What is found lies scattered: a fifth sooner read with more asked for ahead. 0 may be all that
    # the system can do.
    reads_ahead = sa.func.set_config(
        "effective_io_concurrency",
        sa.case((sa.func.current_setting("effective_io_concurrency") == "0", "0"), else_="64"),
        True,
    )
    reads_all = READS_ALL if reads_kept else sa.false()
    row = connection.execute(sa.select(words, reads_all, memory, reads_ahead)).one()
    each = dict.fromkeys(word[:200] for word in row[0] if word)
    return sorted(each, key=len, reverse=True)[:_MOST_LOOKED_UP], bool(row[1])
