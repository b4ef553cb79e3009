"""The filter words that `assets`, `count`, `page` and the library page share → WHERE."""

from __future__ import annotations

import base64
import binascii
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TSQUERY

from media_toolkit.errors import FilterError
from media_toolkit.response import context_text, shown
from media_toolkit.store.schema import ASSET_COLUMNS, files, tagged

_SORTABLE = {c.name: c for c in ASSET_COLUMNS if c.name not in ("tags", "context")}
# No column of `files`, all of which are read.
WORDS: sa.ColumnElement[Any] = sa.literal_column("cloudinary_files.words")
# As the index `cloudinary_files_beginnings` has them, letter by letter.
_BEGINNINGS: sa.ColumnElement[Any] = sa.literal_column(
    "array_append(tsvector_to_array(cloudinary_files.words)::varchar(4)[]::text[],"
    " '@' || cloudinary_files.user_id) COLLATE \"C\""
)
BEGINNING = 4
_LONG = 1_000
_LETTERS = {0x03C2: 0x03C3}
_MOST_ROWS = 2**62
# Postgres works a search through as a tree, and its stack ends at some ten thousand.
MOST_WORDS = 5_000
_WORD = re.compile(r"[^\W_]+")
_OF_CONTEXT = 3
# What Python and pandas have for no value, as text.
_MISSING = ("None", "nan", "<NA>", "NaT")
# The words of a filter that take several values.
SEVERAL = ("user_id", "resource_type", "delivery_type", "format", "tags", "any_tags")


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetFilter:
    """Which assets: every word that is given must hold; no word means every asset.

    Attributes:
        user_id, resource_type, delivery_type, format: a value, or several of which one holds.
        tags: all of them. any_tags: at least one.
        folder: this folder and those below it.
        text: each word of it begins a word of public_id, filename, tags or context's values;
            case does not matter; names are split at separators, capitals and digits. Signs
            that are no letter or digit are no words: alone they find nothing.
        uploaded_after (included), uploaded_before (excluded): datetime, date, ISO 8601 text,
            or numpy's and pandas' own; without a time zone it is UTC. A day, or another period,
            stands for its beginning.
        min_width, min_height: pixels. min_bytes, max_bytes: both included.
        context: key → value, all of them.
    """

    user_id: str | Iterable[str] | None = None
    resource_type: str | Iterable[str] | None = None
    delivery_type: str | Iterable[str] | None = None
    format: str | Iterable[str] | None = None
    tags: str | Iterable[str] | None = None
    any_tags: str | Iterable[str] | None = None
    folder: str | None = None
    text: str | None = None
    uploaded_after: datetime | date | str | None = None
    uploaded_before: datetime | date | str | None = None
    min_width: int | None = None
    min_height: int | None = None
    min_bytes: int | None = None
    max_bytes: int | None = None
    context: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        # Each is read more than once, which a generator is not, nor an array as a truth value.
        for name in SEVERAL:
            value = getattr(self, name)
            if _is_list(value):
                object.__setattr__(self, name, tuple(value))

    @classmethod
    def of(cls, **words: Any) -> Self:
        """Make a filter of keywords.

        Raises:
            FilterError: naming the unknown words and the known ones.
        """
        known = [f.name for f in fields(cls)]
        unknown = sorted(set(words) - set(known))
        if unknown:
            raise FilterError(
                f"unknown filter {', '.join(unknown)}",
                hint=f"known: {', '.join(known)}",
                ids=tuple(unknown),
            )
        return cls(**words)

    @property
    def tag(self) -> str | None:
        """The tag, where exactly one is asked for. Raises FilterError as `conditions`."""
        wanted = _several("tags", self.tags)
        return wanted[0] if wanted is not None and len(set(wanted)) == 1 else None

    @property
    def users(self) -> list[str]:
        """Whose assets are asked for, each once. Raises FilterError as `conditions`."""
        return list(dict.fromkeys(_several("user_id", self.user_id) or ()))

    @property
    def asked_folder(self) -> str:
        """The folder without slashes around it, or "". Raises FilterError as `conditions`."""
        return "" if self.folder is None else read_name("folder", self.folder).strip("/")

    @property
    def typed(self) -> str:
        """The text, its letters as the words of assets have them: composed, which macOS writes
        apart, and one small sigma.

        Raises:
            FilterError: as `conditions`.
        """
        text = "" if self.text is None else read_name("text", self.text)
        text = unicodedata.normalize("NFC", text).translate(_LETTERS)
        # Each word once: Postgres would compare each of them with the words of each asset.
        return " ".join(dict.fromkeys(text.split()))

    @property
    def context_pairs(self) -> list[tuple[str, str]]:
        """Keys and values that an asset's context must have. Raises FilterError as `conditions`."""
        context = {} if self.context is None else self.context
        if not isinstance(context, Mapping):
            raise FilterError(f"context is no mapping: {context!r}", ids=("context",))
        return [(_text("context", k), _context_value(v)) for k, v in context.items()]

    @property
    def words_of_context(self) -> str:
        """The longest words of the values in `context`, which an index of words has as well.

        Only such as stand between spaces: by no reading are those anything but words.
        """
        values = self.context.values() if isinstance(self.context, Mapping) else ()
        words = {w for value in values for w in context_text(value).split(" ") if w.isalnum()}
        longest = sorted((word for word in words if word.isascii()), key=len, reverse=True)
        return " ".join(longest[:_OF_CONTEXT])

    def conditions(
        self, first: sa.Table = files, is_any_deleted: bool = True
    ) -> list[sa.ColumnElement[bool]]:
        """The WHERE, as conditions to be joined by AND; every value is bound.

        Args:
            first: the table that rows come from; `tagged`, which has only those that are not
                deleted, for a filter with one tag, joined to the assets.
            is_any_deleted: whether there are rows that were deleted, which are left out.

        Raises:
            FilterError: for a value that cannot be read.
        """
        c = files.c
        found: list[sa.ColumnElement[bool]] = []
        if first is files and is_any_deleted:
            found.append(c.deleted_at.is_(None))
        for name in ("user_id", "resource_type", "delivery_type", "format"):
            column = first.c[name] if name in first.c else c[name]
            if (condition := is_one_of(column, getattr(self, name))) is not None:
                found.append(condition)
        if first is tagged:
            found.append(tagged.c.tag == self.tag)
        elif (all_of := _several("tags", self.tags)) is not None:
            found.append(c.tags.contains(all_of))
        if (any_of := _several("any_tags", self.any_tags)) is not None:
            found.append(c.tags.overlap(any_of))
        if folder := self.asked_folder:
            found.append(sa.or_(*in_folder(folder)))
        if text := self.typed:
            if len(_WORD.findall(text)) > MOST_WORDS:
                raise FilterError(
                    f"text has more than {MOST_WORDS:,} words",
                    hint="search for fewer",
                    ids=("text",),
                )
            found.append(has_words(text))
        moment = first.c.upload_timestamp
        if self.uploaded_after is not None:
            found.append(moment >= read_moment("uploaded_after", self.uploaded_after))
        if self.uploaded_before is not None:
            found.append(moment < read_moment("uploaded_before", self.uploaded_before))
        for name, column in (("min_width", c.width), ("min_height", c.height)):
            if getattr(self, name) is not None:
                # More than the column holds may be asked for.
                number = sa.literal(_number(name, getattr(self, name)), sa.BigInteger)
                found.append(column >= number)
        if self.min_bytes is not None:
            found.append(c.bytes >= _number("min_bytes", self.min_bytes))
        if self.max_bytes is not None:
            found.append(c.bytes <= _number("max_bytes", self.max_bytes))
        found += [c.context[key].astext == value for key, value in self.context_pairs]
        return found


def in_folder(folder: str) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    """An asset stands in the folder; in one below it.

    The second as two comparisons by byte, which the index has even where the value is not known
    when Postgres plans: all that begins with `folder/` comes before `folder0`, the next letter.
    """
    column = files.c.folder
    at_least = column.op("~>=~", is_comparison=True)(folder + "/")
    below = column.op("~<~", is_comparison=True)(folder + "0")
    return column == folder, sa.and_(at_least, below)


def is_one_of(column: sa.ColumnElement[Any], value: Any) -> sa.ColumnElement[bool] | None:
    """`column` is the value, or one of several; None where nothing is asked for.

    Raises:
        FilterError: for a value that is no text.
    """
    wanted = _several(str(column.key), value)
    if wanted is None:
        return None
    return column == (wanted[0] if len(wanted) == 1 else sa.any_(_texts(wanted)))


def read_name(word: str, value: Any) -> str:
    """What names one thing: a public_id, an asset_id, a user.

    Raises:
        FilterError: when it is no text, or holds what no text in Postgres does.
    """
    if not isinstance(value, str):
        raise FilterError(f"{word} is no text: {value!r}", ids=(word,))
    return _text(word, value)


def ordering(order_by: str, is_known: bool = False) -> list[sa.ColumnElement[Any]]:
    """`"-upload_timestamp"` → ORDER BY, with the row's id as the last word.

    Args:
        is_known: nothing that is sorted is null.

    Raises:
        FilterError: for a column that cannot be sorted by.
    """
    name = read_name("order_by", order_by).removeprefix("-")
    if name not in _SORTABLE:
        raise FilterError(
            f"cannot order by {name!r}", hint=f"known: {', '.join(_SORTABLE)}", ids=(name,)
        )
    column = _SORTABLE[name]
    is_descending = order_by.startswith("-")
    first = column.desc() if is_descending else column.asc()
    # Where nothing is null the index on the column serves, which orders nulls its own way.
    first = first.nulls_last() if column.nullable and not is_known else first
    return [first, files.c.id.desc() if is_descending else files.c.id.asc()]


def known(order_by: str) -> sa.ColumnElement[bool] | None:
    """What keeps from the end of an index those without a value, which come last; None where the
    order has that end last anyway. Raises FilterError as `ordering`."""
    ordering(order_by)
    column = _SORTABLE[order_by.removeprefix("-")]
    return column.is_not(None) if order_by.startswith("-") and column.nullable else None


def read_limit(limit: Any) -> int:
    """How many rows at most.

    Raises:
        FilterError: when it is no whole number, or below zero.
    """
    # One more is read, to see whether there is more.
    return min(read_count("limit", limit), _MOST_ROWS)


def read_count(name: str, value: Any) -> int:
    """A whole number from zero on. Raises FilterError for anything else."""
    number = _number(name, value)
    if number < 0:
        raise FilterError(f"{name} is below zero: {number}", ids=(name,))
    return number


def read_size(name: str, value: Any) -> int:
    """A whole number from one on. Raises FilterError for anything else."""
    number = _number(name, value)
    if number < 1:
        raise FilterError(f"{name} is below one: {number}", ids=(name,))
    return number


def write_cursor(upload_timestamp: datetime, row_id: int) -> str:
    """A keyset cursor: opaque to callers, safe in a URL."""
    pair = json.dumps([upload_timestamp.isoformat(), row_id])
    return base64.urlsafe_b64encode(pair.encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> tuple[datetime, int]:
    """What `write_cursor` wrote.

    Raises:
        FilterError: when it did not.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        moment, row_id = json.loads(base64.urlsafe_b64decode(padded))
        return datetime.fromisoformat(moment).astimezone(UTC), int(row_id)
    except (binascii.Error, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise FilterError(
            "not a page cursor", hint="pass page.next_cursor or page.previous_cursor unchanged"
        ) from error


def _several(name: str, value: Any) -> list[str] | None:
    if value is None:
        return None
    if isinstance(value, str):
        return [_text(name, value)]
    if not _is_list(value):
        said = f"{name} must be text or a list of texts, not {shown(value)}"
        raise FilterError(said, ids=(name,))
    return [_text_item(name, item) for item in value]


def _is_list(value: Any) -> bool:
    """Several values: no text, nor what is several of something else when it is gone through."""
    if isinstance(value, str | bytes | Mapping) or hasattr(value, "columns"):
        return False
    return isinstance(value, Iterable)


def _text_item(name: str, item: Any) -> str:
    if not isinstance(item, str) and str(item) not in _MISSING:
        said = f"{name} must be text or a list of texts, and holds {shown(item)}"
        raise FilterError(said, ids=(name,))
    return _text(name, item)


def _texts(values: list[str]) -> sa.ColumnElement[Any]:
    return sa.cast(values, files.c.tags.type)


def _text(name: str, value: Any) -> str:
    """Text that Postgres can hold.

    Raises:
        FilterError: for a NUL, half of a surrogate pair, or what is missing (None, NaN).
    """
    text = str(value)
    if not isinstance(value, str) and text in _MISSING:
        raise FilterError(f"{name} holds no value: {text}", ids=(name,))
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise FilterError(
            f"{name} holds a character that no text in Postgres can: {text!r}",
            hint="leave out NUL and lone surrogates",
            ids=(name,),
        )
    return text


def _context_value(value: Any) -> str:
    """A value as contexts keep it. Raises FilterError as `_text`, for what is missing too."""
    _text("context", value)
    return _text("context", context_text(value))


def has_words(
    typed: str, *, is_indexed: bool = True, words: sa.ColumnElement[Any] = WORDS
) -> sa.ColumnElement[bool]:
    """Each word of `typed` begins a word of the asset.

    Args:
        is_indexed: whether Postgres may look it up in the index of words, or only compare.
    """
    query: sa.ColumnElement[Any] = sa.func.media_toolkit_rules.search(typed, type_=TSQUERY)
    if len(typed) > _LONG:
        # Made once, not for each row that it is compared with.
        query = sa.select(query).scalar_subquery()
    if is_indexed:
        return words.op("@@", is_comparison=True)(query)
    # The operator's own function, of which the planner knows no index.
    return sa.func.ts_match_vq(words, query, type_=sa.Boolean)


def has_beginnings(words: Iterable[str], user_id: str | None = None) -> sa.ColumnElement[bool]:
    """Each of `words` is the first `BEGINNING` letters of a word of the asset; whose it is.

    It is looked up in an index of its own; the user, for whom nothing else need be asked, too.
    """
    keys = [*words, *(["@" + user_id] if user_id is not None else [])]
    return _BEGINNINGS.op("@>", is_comparison=True)(_texts(keys))


def read_moment(name: str, value: datetime | date | str) -> datetime:
    """A moment with its time zone, UTC unless given.

    Raises:
        FilterError: naming the word, when the value is no date.
    """
    try:
        moment = _moment(value)
        if moment != moment:
            raise ValueError("NaT, pandas' missing moment, equals nothing")
    except (ValueError, TypeError, AttributeError) as error:
        raise FilterError(
            f"{name} is not a date: {value!r}",
            hint="write it like 2026-01-31 or 2026-01-31T12:00:00+00:00",
            ids=(name,),
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _moment(value: Any) -> datetime:
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    if type(value).__name__ == "datetime64":
        value = value.astype("datetime64[us]").item()
    # A pandas Period has the day, too: its last.
    value = getattr(value, "start_time", value)
    if isinstance(value, datetime):
        return value
    return datetime(value.year, value.month, value.day)


def _number(name: str, value: Any) -> int:
    try:
        number = int(value)
        # 1.0 of a frame's column is whole, 1.9 is not; Postgres ends at 64 bits.
        is_whole = isinstance(value, str) or number == value
    except (TypeError, ValueError, OverflowError):
        is_whole = False
    if not is_whole:
        raise FilterError(f"{name} is not a whole number: {value!r}", ids=(name,))
    if not -(2**63) <= number < 2**63:
        raise FilterError(f"{name} is beyond 64 bits, where numbers of Postgres end", ids=(name,))
    return number
