"""Arrow → pandas: whatever a column holds, wherever batches and slices of it begin."""

from __future__ import annotations

import gc
import threading
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from media_toolkit.store.columns import ahead, frame_of, to_pandas

WORDS: list[list[str | None] | None] = [
    ["a", "b"], [], None, ["a"], [None, "ü"], ["", '"', "a"], None, ["b", "b"],
]  # fmt: skip
TEXTS = ['{"a": "b"}', "{}", None, "null", '["\\u0041", 1.5]', '"{}, []"', '{"n": {"m": []}}', "1"]
OBJECTS = [{"a": "b"}, {}, None, None, ["A", 1.5], "{}, []", {"n": {"m": []}}, 1]


def table() -> pa.Table:
    return pa.table(
        {
            "words": pa.array(WORDS, pa.list_(pa.string())),
            "json": pa.ExtensionArray.from_storage(pa.json_(pa.string()), pa.array(TEXTS)),
            "numbers": pa.array([None if w is None else [len(w)] for w in WORDS]),
            "text": pa.array(["x", None, "", "ü", "x", "x", "x", "x"]),
            "whole": pa.array([1, None, 3, 4, 5, 6, 7, 8], pa.int32()),
            "part": pa.array([0.5, None, 3, 4, 5, 6, 7, 8]),
        }
    )


@pytest.mark.parametrize("size", [1, 2, 3, 8])
@pytest.mark.parametrize("start", [0, 1, 4])
def test_values_come_as_they_are_from_any_slice_in_any_batches(size: int, start: int) -> None:
    frame = to_pandas(pa.Table.from_batches(table().slice(start).to_batches(max_chunksize=size)))
    assert frame["words"].tolist() == WORDS[start:]
    assert frame["json"].tolist() == OBJECTS[start:]
    assert frame["numbers"].tolist() == table()["numbers"].to_pylist()[start:]
    for name in ("text", "whole", "part"):
        values = [None if value is pd.NA else value for value in frame[name]]
        assert values == table()[name].to_pylist()[start:]
    kinds = frame.dtypes.astype(str).to_dict()
    assert [kinds[n] for n in ("text", "whole", "part")] == ["string", "Int32", "Float64"]


def test_no_rows_keep_columns_and_types() -> None:
    assert to_pandas(table().slice(0, 0)).dtypes.to_dict() == to_pandas(table()).dtypes.to_dict()
    assert to_pandas(pa.table({})).shape == (0, 0)


def test_each_row_has_a_list_and_a_dict_of_its_own() -> None:
    twice: dict[str, Any] = {
        "words": pa.array([["a"], ["a"], [], []]),
        "json": pa.ExtensionArray.from_storage(
            pa.json_(pa.string()), pa.array(['{"a": 1}', '{"a": 1}', "{}", "{}"])
        ),
    }
    frame = to_pandas(pa.table(twice))
    frame["words"][0].append("b")
    frame["words"][2].append("c")
    frame["json"][0]["a"] = 2
    frame["json"][2]["a"] = 3
    assert frame["words"].tolist() == [["a", "b"], ["a"], ["c"], []]
    assert frame["json"].tolist() == [{"a": 2}, {"a": 1}, {"a": 3}, {}]


def test_columns_of_one_name_stay_two() -> None:
    frame = to_pandas(pa.table([[1], ["x"]], names=["a", "a"]))
    assert frame.to_numpy().tolist() == [[1, "x"]]
    assert list(frame.columns) == ["a", "a"]


@pytest.mark.parametrize("is_on", [True, False])
def test_pythons_collection_of_garbage_is_as_it_was(is_on: bool) -> None:
    was_on = gc.isenabled()
    (gc.enable if is_on else gc.disable)()
    try:
        to_pandas(table())
        assert gc.isenabled() == is_on
        broken = pa.ExtensionArray.from_storage(pa.json_(pa.string()), pa.array(["{"]))
        with pytest.raises(ValueError, match="property name"):
            to_pandas(pa.table({"json": broken}))
        assert gc.isenabled() == is_on
    finally:
        (gc.enable if was_on else gc.disable)()


def test_batches_read_ahead_come_in_order_and_end_with_their_error() -> None:
    def batches() -> Any:
        yield from table().to_batches(max_chunksize=3)
        raise ConnectionError("Postgres went away")

    whole = to_pandas(table())
    got = ahead(table().to_batches(max_chunksize=3))
    pd.testing.assert_frame_equal(frame_of(got, table().schema), whole)
    with pytest.raises(ConnectionError, match="went away"):
        frame_of(ahead(batches()), table().schema)


def test_who_stops_in_the_middle_has_waited_for_what_is_being_read() -> None:
    """ADBC ends the whole Python where its cursor goes while a thread still reads from it."""
    asked, let_go, read = threading.Event(), threading.Event(), []

    def batches() -> Any:
        for batch in table().to_batches(max_chunksize=1):
            if read:
                asked.set()
                assert let_go.wait(60)
            read.append(batch)
            yield batch

    coming = ahead(batches())
    next(coming)
    assert asked.wait(60)
    threading.Timer(0.2, let_go.set).start()
    coming.close()
    assert len(read) == 2
