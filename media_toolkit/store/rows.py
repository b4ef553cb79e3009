"""An asset → its row, as JSON or as a line of COPY: the same row by either way, or the same error.

Lines are written by what knows plain values only, since there may be 100,000 of them. What it
stumbles over goes by `as_row`, which says what of Python a row can hold.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime, time
from enum import Enum
from itertools import islice
from numbers import Integral, Real
from operator import attrgetter, index
from typing import Any
from uuid import UUID

from media_toolkit.asset import Asset
from media_toolkit.errors import StoreError

_LINES_A_CHUNK = 500
# orjson ends at 254; Postgres and Python's own json go on for as long as their stack lasts.
_MOST_DEEP = 300
# Python reads no number of more than 4,300 digits back.
_MOST_BITS = 10_000
_SHOWN = 100


class _Unfit(ValueError):
    """What no row can hold; `keys` lead to it within its column."""

    def __init__(self, said: str, *keys: Any) -> None:
        super().__init__(said)
        self.keys = keys


def as_row(asset: Asset) -> dict[str, Any]:
    """An asset as the JSON of a row, of nothing but what `json` writes as it is.

    Raises:
        StoreError: a value that neither JSON nor Postgres holds, naming the asset and the key.
    """
    row = {}
    for name, (fit, _) in _COLUMNS.items():
        try:
            row[name] = fit(getattr(asset, name))
        except _Unfit as error:
            place = ".".join(map(str, (name, *error.keys)))
            raise refusal(asset, f"{_short(place)} {error}") from error
    return row


def refusal(
    asset: Asset, said: str, hint: str = "", kind: type[StoreError] = StoreError
) -> StoreError:
    """The error that one asset of a batch is to blame for."""
    return kind(
        f"{_short(str(asset))}: {said}",
        hint=hint or "nothing of its batch is stored: leave it out, or mend the value",
        ids=(str(asset),),
    )


class CopyText:
    """Assets as the text that COPY reads, made while Postgres takes in what came before.

    Attributes:
        error: why it broke off; psycopg2 tells of it in words only.
    """

    def __init__(self, assets: Iterable[Asset]) -> None:
        self._lines: Iterator[str] = map(line, assets)
        self.error: StoreError | None = None

    def read(self, _size: int = -1) -> str:
        """The next lines; "" at the end."""
        try:
            return "".join(islice(self._lines, _LINES_A_CHUNK))
        except StoreError as error:
            self.error = error
            raise


def line(asset: Asset) -> str:
    """An asset as a line of COPY, its columns as in `WRITTEN`.

    Raises:
        StoreError: as `as_row`.
    """
    try:
        values = zip(_WRITERS, _values(asset), strict=True)
        return "\t".join([write(value) for write, value in values]) + "\n"
    except (TypeError, ValueError, AttributeError, ArithmeticError, RecursionError):
        values = zip(_PLAIN_WRITERS, as_row(asset).values(), strict=True)
        return "\t".join([write(value) for write, value in values]) + "\n"


# What a row can hold.


def _text(value: Any) -> str | None:
    return None if value is None else _some_text(value)


def _some_text(value: Any) -> str:
    """Postgres has no NUL in text or jsonb; EXIF of old cameras does."""
    if not isinstance(value, str):
        raise _Unfit(f"is {_shown(value)}, not text")
    return _encodable(value).replace("\0", "")


def _name(value: Any) -> str:
    if value is None:
        raise _Unfit("is missing")
    return _optional_name(value) or ""


def _public_id(value: Any) -> str:
    if (name := _name(value)).startswith("\x01"):
        raise _Unfit("begins with chr(1), as only a row does that makes way for another")
    return name


def _optional_name(value: Any) -> str | None:
    """Text that tells assets apart: without its NUL it would be another's."""
    if isinstance(value, str) and "\0" in value:
        raise _Unfit("holds a NUL, which Postgres does not have")
    return _text(value)


def _encodable(value: str) -> str:
    try:
        value.isascii() or value.encode()
    except UnicodeEncodeError as error:
        half = f"{value[error.start]!r} in {_shown(value)}"
        raise _Unfit(f"holds half a character, {half}, which UTF-8 does not have") from None
    return value


def _texts(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Collection):
        raise _Unfit(f"is {_shown(value)}, not a list of text")
    return [_some_text(item) for item in value]


def _whole(value: Any) -> int | None:
    if value is None:
        return None
    try:
        number = int(index(value))
    except TypeError:
        raise _Unfit(f"is {_shown(value)}, not a whole number") from None
    if number.bit_length() > _MOST_BITS:
        raise _Unfit("is a whole number of thousands of digits")
    return number


def _fraction(value: Any) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise _Unfit(f"is {_shown(value)}, not a number") from None
    # jsonb has no negative zero.
    return _finite(number) + 0.0


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise _Unfit(f"is {value}, no finite number; None says that it is unknown")
    return value


def _moment(value: Any) -> str | None:
    if value is None:
        return None
    # NaT, pandas' missing moment, is a datetime that equals nothing.
    if not isinstance(value, datetime) or value != value:
        raise _Unfit(f"is {_shown(value)}, not a datetime")
    # In another zone it may be in a year that Python does not have, and could not be read back.
    if value.year in (MINYEAR, MAXYEAR):
        raise _Unfit(f"is {_shown(value)}, not within the years 2 to 9998")
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()


def _object(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _Unfit(f"is {_shown(value)}, not a mapping")
    plain: dict[str, Any] = _json(value, ())
    return plain


def _json(value: Any, keys: tuple[Any, ...]) -> Any:
    """As orjson takes it, and numbers of numpy, any mapping, and keys that `json` takes.

    A loop a level, not a comprehension, which would be a second frame.
    """
    if len(keys) > _MOST_DEEP:
        raise _Unfit(f"is nested more than {_MOST_DEEP} deep")
    try:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, Enum):
            return _json(value.value, keys)
        if isinstance(value, str):
            return _text(value)
        if isinstance(value, Integral):
            return _whole(value)
        if isinstance(value, Real):
            return _finite(float(value))
        if isinstance(value, datetime | date | time) and value == value:
            return value.isoformat()
        if isinstance(value, UUID):
            return str(value)
    except _Unfit as error:
        error.keys = error.keys or keys
        raise
    if isinstance(value, Mapping):
        plain = {}
        for key, inner in value.items():
            plain[_key(key, keys)] = _json(inner, (*keys, key))
        return plain
    if isinstance(value, list | tuple):
        items = []
        for n, inner in enumerate(value):
            items.append(_json(inner, (*keys, n)))
        return items
    raise _Unfit(f"is {_shown(value)}, which JSON does not have", *keys)


def _key(key: Any, keys: tuple[Any, ...]) -> str:
    try:
        if isinstance(key, str):
            return _some_text(str.__str__(key))
        if key is None or isinstance(key, bool | int | float):
            return json.dumps(_json(key, ()))
    except _Unfit as error:
        raise _Unfit(f"has a key that {error}", *keys) from None
    raise _Unfit(f"has the key {_shown(key)}, which is no text", *keys)


def _shown(value: Any) -> str:
    return f"{_short(repr(value))} ({type(value).__name__})"


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


# How COPY is told of it: https://www.postgresql.org/docs/current/sql-copy.html, "Text Format".

_NULL = r"\N"
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
_QUOTES = str.maketrans({"\\": r"\\", '"': r"\""})
_to_json = json.JSONEncoder(separators=(",", ":")).encode
_refuse_nan = json.JSONEncoder(allow_nan=False).encode


def _write_text(value: str | None) -> str:
    if value is None:
        return _NULL
    # All that COPY wants escaped, backslashes apart, is not printable; asked so, it is cheap.
    if value.isprintable() and "\\" not in value:
        return value
    if "\0" in value:
        raise _Unfit("is to be rid of its NUL")
    return _encodable(value).translate(_ESCAPES)


def _write_name(value: str) -> str:
    if value is None:
        raise _Unfit("is missing")
    return _write_text(value)


def _write_public_id(value: str) -> str:
    if value[:1] == "\x01":
        raise _Unfit("is to be looked at")
    return _write_name(value)


def _write_texts(value: Sequence[str]) -> str:
    if not isinstance(value, tuple | list):
        raise _Unfit("is to be looked at")
    if not value:
        return "{}"
    plain = '","'.join(value)
    if plain.isprintable() and "\\" not in plain and plain.count('"') == 2 * len(value) - 2:
        return f'{{"{plain}"}}'
    return _write_text("{" + ",".join([f'"{item.translate(_QUOTES)}"' for item in value]) + "}")


def _write_whole(value: int | None) -> str:
    return _NULL if value is None else int.__repr__(index(value))


def _write_fraction(value: float | None) -> str:
    return _NULL if value is None else float.__repr__(_finite(float(value)) + 0.0)


def _write_moment(value: datetime | None) -> str:
    return _moment(value) or _NULL


def _write_object(value: Mapping[str, Any]) -> str:
    if not isinstance(value, dict):
        raise _Unfit("is to be looked at")
    if not value:
        return "{}"
    # 60 ms to import, so only where many are saved; a tenth of the time of json.
    import orjson

    told = orjson.dumps(
        value, option=orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
    ).decode()
    if r"\u0000" in told:
        return _write_plain(_object(value))
    if "null" in told:
        # It writes NaN as null; json raises ValueError.
        _refuse_nan(value)
    return told if "\\" not in told else told.translate(_ESCAPES)


def _write_plain(value: Mapping[str, Any]) -> str:
    return _to_json(value).translate(_ESCAPES)


# What a save may write, in the order of COPY: what it may hold, and how a line has it. The row's
# id and upload_timestamp are its own.
_COLUMNS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], str]]] = {
    "user_id": (_name, _write_name),
    "public_id": (_public_id, _write_public_id),
    "media_url": (_name, _write_name),
    "resource_type": (_name, _write_name),
    "asset_id": (_optional_name, _write_text),
    "delivery_type": (_name, _write_name),
    "version": (_whole, _write_whole),
    "format": (_text, _write_text),
    "width": (_whole, _write_whole),
    "height": (_whole, _write_whole),
    "duration": (_fraction, _write_fraction),
    "bytes": (_whole, _write_whole),
    "tags": (_texts, _write_texts),
    "context": (_object, _write_object),
    "folder": (_text, _write_text),
    "original_filename": (_text, _write_text),
    "etag": (_text, _write_text),
    "phash": (_text, _write_text),
    "created_at": (_moment, _write_moment),
    "raw": (_object, _write_object),
}
COLUMNS = tuple(_COLUMNS)
_WRITERS = [write for _, write in _COLUMNS.values()]
_ALREADY_PLAIN: dict[Any, Callable[[Any], str]] = {
    _write_object: _write_plain,
    _write_moment: _write_text,
}
_PLAIN_WRITERS = [_ALREADY_PLAIN.get(write, write) for write in _WRITERS]
_values = attrgetter(*_COLUMNS)
