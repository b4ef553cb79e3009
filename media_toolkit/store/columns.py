"""Arrow batches → the columns of a DataFrame, batch by batch."""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any

# orjson makes a float of what 64 bits do not hold.
_LONG_NUMBER = re.compile(rb"\d{20}|-\d{19}")
# Numbers and times are copied at last, while no other core has anything to do.
_THREADS = 2

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def to_pandas(table: pa.Table, is_exact: bool = False) -> pd.DataFrame:
    """Arrow → pandas by the rules of `assets_frame`, whatever the columns.

    Args:
        is_exact: read whole numbers of JSON as they are, of any length.
    """
    return frame_of(table.to_batches(), table.schema, is_exact)


def frame_of(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, is_exact: bool = False
) -> pd.DataFrame:
    """Batches → one DataFrame by the rules of `assets_frame`, converted as they come."""
    import pandas as pd

    columns = [_column_of(field, is_exact) for field in schema]
    # ADBC frees a batch when its last column goes, also the text that objects were made of.
    is_copied = any(isinstance(column, _Objects) for column in columns)
    for batch in batches:
        with _no_collection():
            for column, values in zip(columns, batch.columns, strict=True):
                column.add(values, is_copied)
    # Duplicate names, which SQL allows, only a position tells apart.
    with ThreadPoolExecutor(_THREADS) as pool:
        made = list(pool.map(lambda column: column.series(), columns))
    frame = pd.DataFrame(dict(enumerate(made)), copy=False)
    frame.columns = pd.Index(schema.names)
    return frame


def ahead(batches: Iterable[pa.RecordBatch]) -> Generator[pa.RecordBatch]:
    """The batches, the next of which is read while the caller converts this one.

    Closed early, it waits for the batch that is being read.
    """
    coming = iter(batches)
    with ThreadPoolExecutor(1) as reader:
        following = reader.submit(next, coming, None)
        while (batch := following.result()) is not None:
            following = reader.submit(next, coming, None)
            yield batch


class _Column:
    """A column that Arrow and pandas both have: text, numbers, times."""

    def __init__(self, kind: pa.DataType) -> None:
        self._kind = kind
        self._pieces: list[pa.Array] = []

    def add(self, values: pa.Array, is_copied: bool) -> None:
        import pyarrow as pa

        if pa.types.is_string(values.type):
            # As pandas keeps text; made now, the shorter offsets are not kept beside it.
            values = values.cast(pa.large_string())
        if is_copied:
            # By malloc, which gives back what is freed; Arrow's own pool keeps a tenth more.
            values = pa.concat_arrays([values, values[:0]], pa.system_memory_pool())
        self._pieces.append(values)

    def series(self) -> pd.Series:
        import pyarrow as pa

        kind = pa.large_string() if pa.types.is_string(self._kind) else self._kind
        array = pa.chunked_array(self._pieces, kind)
        self._pieces.clear()
        return array.to_pandas(types_mapper=_nullable().get)


class _Text(_Column):
    """`numeric` of Postgres and types that Arrow does not have come as their text."""

    def __init__(self, kind: pa.BaseExtensionType) -> None:
        super().__init__(kind.storage_type)
        self._is_number = "numeric" in str(kind)

    def add(self, values: pa.Array, is_copied: bool) -> None:
        super().add(values.cast(self._kind), is_copied)

    def series(self) -> pd.Series:
        import pyarrow as pa

        if not self._is_number:
            return super().series()
        numbers = pa.chunked_array(self._pieces, pa.large_string()).cast(pa.float64())
        self._pieces.clear()
        return numbers.to_pandas(types_mapper=_nullable().get)


class _Objects(_Column):
    """Values that only Python has: a list or dict of its own for each row.

    Not Arrow's own list columns: pandas cannot read such a one back from its own Parquet file.
    """

    def __init__(self, kind: pa.DataType, is_exact: bool) -> None:
        super().__init__(kind)
        self._values: list[Any] = []
        self._is_exact = is_exact

    def add(self, values: pa.Array, is_copied: bool) -> None:
        import pyarrow as pa

        if getattr(values.type, "extension_name", "") == "arrow.json":
            self._values += _parsed(values.cast(pa.string()), self._is_exact)
        elif pa.types.is_string(values.type.value_type):
            self._values += _lists_of_words(values)
        else:
            self._values += values.to_pylist()

    def series(self) -> pd.Series:
        import numpy as np
        import pandas as pd

        # Given as an array, since pandas looks into each value of a list.
        array = np.empty(len(self._values), dtype=object)
        array[:] = self._values
        self._values.clear()
        return pd.Series(array, dtype=object)


def _column_of(field: pa.Field, is_exact: bool) -> _Column:
    import pyarrow as pa

    kind = field.type
    if pa.types.is_list(kind) or getattr(kind, "extension_name", "") == "arrow.json":
        return _Objects(kind, is_exact)
    return _Text(kind) if isinstance(kind, pa.BaseExtensionType) else _Column(kind)


def _lists_of_words(values: pa.Array) -> list[list[str | None] | None]:
    """A list of str each; rows share equal words, not lists."""
    import numpy as np

    edges = values.offsets.to_numpy()
    words = values.values.slice(edges[0], edges[-1] - edges[0]).dictionary_encode()
    known = np.array([*words.dictionary.to_pylist(), None], dtype=object)
    flat = known[words.indices.fill_null(len(known) - 1).to_numpy()].tolist()
    ends = (edges - edges[0]).tolist()
    lists = [flat[start:end] for start, end in pairwise(ends)]
    if values.null_count:
        for number in np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False)):
            lists[number] = None
    return lists


def _parsed(values: pa.Array, is_exact: bool) -> list[Any]:
    """JSON text → objects, parsed at once as one JSON array of all of them."""
    import orjson
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = pa.ListArray.from_arrays([0, len(values)], values.fill_null("null"))
    joined: pa.StringScalar = pc.binary_join(whole, ",")[0]
    text = b"[" + joined.as_buffer().to_pybytes() + b"]"
    parsed: list[Any]
    if not (is_exact and _LONG_NUMBER.search(text)):
        with suppress(orjson.JSONDecodeError):
            parsed = orjson.loads(text)
            return parsed
    # Postgres keeps numbers that no float can hold.
    parsed = json.loads(text)
    return parsed


def _nullable() -> dict[pa.DataType, Any]:
    import pandas as pd
    import pyarrow as pa

    return {
        pa.int16(): pd.Int16Dtype(),
        pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.float32(): pd.Float32Dtype(),
        pa.float64(): pd.Float64Dtype(),
        pa.bool_(): pd.BooleanDtype(),
        pa.large_string(): pd.StringDtype(na_value=pd.NA),
    }


@contextmanager
def _no_collection() -> Iterator[None]:
    """A million new lists would have Python look through all of them again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
