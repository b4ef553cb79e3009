"""The answers of queries whose columns may be of any type: what Arrow has no type for as text.

ADBC gives such values as the bytes of Postgres' own protocol, money as whole cents, and the inner
lists of an array one after the other. So Postgres is asked for something else instead.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from media_toolkit.errors import StoreError
from media_toolkit.store.columns import to_pandas

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from adbc_driver_postgresql.dbapi import Cursor as ArrowCursor

# `[1:2][0:3]`: each dimension's first and last place.
_BOUNDS = re.compile(r"\[(-?\d+):(-?\d+)\]")


def columns_of(cursor: ArrowCursor) -> pa.Schema:
    """What was executed will answer."""
    assert cursor._results is not None, "nothing was executed"
    return cursor._results.reader.schema


def readable(query: str, schema: pa.Schema) -> str:
    """The query, asked so that Arrow has a type for each of its columns.

    Behind them stand the dimensions of each array, or null where it has only one.
    """
    names = [f"c{n}" for n in range(len(schema))]
    columns = [_readable(name, field) for name, field in zip(names, schema, strict=True)]
    columns += [
        f"CASE WHEN array_ndims(c{n}) > 1 THEN array_dims(c{n}) END" for n in _lists(schema)
    ]
    if columns == names:
        return query
    return f"SELECT {', '.join(columns)} FROM ({query}) AS answer({', '.join(names)})"


def answer(table: pa.Table, schema: pa.Schema) -> pd.DataFrame:
    """What `readable` answered, with the names of the schema that it was made for.

    Raises:
        StoreError: a moment before the year 1 or after 9999, or infinity, naming the column.
    """
    import pandas as pd
    import pyarrow as pa

    for name, column in zip(schema.names, table.columns, strict=False):
        _check_moments(name, column)
    told = table.select(list(range(len(schema))))
    for n, field in enumerate(schema):
        if pa.types.is_interval(field.type):
            told = told.set_column(n, field.name, told.column(n).cast(pa.duration("us")))
    frame = to_pandas(told, is_exact=True)
    for n, bounds in zip(_lists(schema), table.columns[len(schema) :], strict=True):
        if bounds.null_count < len(bounds):
            values = frame.iloc[:, n].to_numpy(copy=True)
            for row, told in enumerate(bounds.to_pylist()):
                if told is not None:
                    values[row] = _nested(values[row], told)
            frame.isetitem(n, pd.Series(values, dtype=object))
    frame.columns = pd.Index(schema.names)
    return frame


def _check_moments(name: str, column: pa.ChunkedArray) -> None:
    """ADBC has no infinity, and makes other moments of it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type.value_type if pa.types.is_list(column.type) else column.type
    if pa.types.is_timestamp(kind):
        first, last = datetime.min, datetime.max
        known = pa.scalar(first, pa.timestamp("us")), pa.scalar(last, pa.timestamp("us"))
        whole = pa.int64()
    elif pa.types.is_time64(kind):
        # Postgres has 24:00 too.
        known, whole = (pa.scalar(time.min), pa.scalar(time.max)), pa.int64()
    elif pa.types.is_date32(kind):
        known, whole = (pa.scalar(date.min), pa.scalar(date.max)), pa.int32()
    else:
        return
    values = pc.list_flatten(column) if pa.types.is_list(column.type) else column
    least, most = (value.as_py() for value in pc.min_max(values.cast(whole)).values())
    if least is not None and (least < known[0].value or most > known[1].value):
        raise StoreError(
            f"column {name} holds infinity, or a moment that Python does not have",
            hint=f"ask for it as text: {name}::text",
            ids=(name,),
        )


def _lists(schema: pa.Schema) -> list[int]:
    """Where arrays come as lists; those of JSON come as JSON."""
    import pyarrow as pa

    kinds = [field.type for field in schema]
    return [n for n, kind in enumerate(kinds) if pa.types.is_list(kind) and not _is_json(kind)]


def _is_json(kind: pa.DataType) -> bool:
    return getattr(kind.value_type, "extension_name", "") == "arrow.json"


def _readable(column: str, field: pa.Field) -> str:
    """A column as something that Arrow has a type for."""
    import pyarrow as pa

    kind, is_list = field.type, pa.types.is_list(field.type)
    array = "[]" if is_list else ""
    if is_list and _is_json(kind):
        return f"to_jsonb({column})"
    told = (field.metadata or {}).get(b"POSTGRESQL:type", b"").decode().removeprefix("_")
    if told == "money":
        return f"{column}::numeric{array}::float8{array}"
    if told == "oid":
        # Without a sign, of 32 bits.
        return f"{column}::int8{array}"
    if is_list and told == "numeric":
        return f"{column}::float8[]"
    one = kind.value_type if is_list else kind
    if pa.types.is_interval(one):
        # As psycopg2 reads them: a month is 30 days.
        return f"{column}::text[]" if is_list else f"(extract(epoch FROM {column}) * 1e6)::int8"
    is_bytes = isinstance(one, pa.OpaqueType) and pa.types.is_binary(one.storage_type)
    return f"{column}::text{array}" if is_bytes or isinstance(one, pa.UuidType) else column


def _nested(flat: list[Any], bounds: str) -> list[Any]:
    sizes = [int(last) - int(first) + 1 for first, last in _BOUNDS.findall(bounds)]
    for size in reversed(sizes[1:]):
        values = iter(flat)
        flat = [list(chain([one], islice(values, size - 1))) for one in values]
    return flat
