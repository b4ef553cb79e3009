"""Each filter word, and several together, against the same filter in pandas on random data."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import media_toolkit as mt
from media_toolkit.store.filters import (
    SEVERAL,
    AssetFilter,
    read_cursor,
    read_limit,
    read_moment,
)

# What a spliced value would stumble over, and what LIKE, arrays and JSON give a meaning.
_NASTY = ["'", '"', "%", "_", "\\", ";--", "{}", "a", "A", "é", "🌷", " ", "/", ",", ":x", "$1"]
_texts = st.lists(st.sampled_from(_NASTY), min_size=1, max_size=3).map("".join)
_tags = st.lists(_texts, max_size=3, unique=True)
_folders = st.lists(_texts.filter(lambda part: part.strip("/ ")), max_size=2).map(
    lambda parts: "/".join(part.strip("/ ") for part in parts)
)
_rows = st.lists(
    st.fixed_dictionaries(
        {
            "resource_type": st.sampled_from(["image", "video", "raw"]),
            "format": st.sampled_from(["jpg", "png", "mp4"]),
            "width": st.none() | st.integers(1, 9),
            "height": st.none() | st.integers(1, 9),
            "bytes": st.integers(0, 9),
            "tags": _tags,
            "context": st.dictionaries(_texts, _texts, max_size=2),
            "folder": _folders,
        }
    ),
    min_size=60,
    max_size=60,
)
_number = st.integers(-1, 10)
_filters = st.fixed_dictionaries(
    {},
    optional={
        "resource_type": st.sampled_from(["image", "raw"]) | st.just(["image", "video"]),
        "format": st.sampled_from(["jpg", "none"]) | st.lists(st.sampled_from(["png", "mp4"])),
        "tags": _texts | _tags,
        "any_tags": _tags.filter(bool),
        "folder": _folders,
        "min_width": _number,
        "min_height": _number,
        "min_bytes": _number,
        "max_bytes": _number,
        "context": st.dictionaries(_texts, _texts, max_size=1),
    },
)
_PANDAS: dict[str, Callable[[pd.DataFrame, Any], pd.Series]] = {
    "resource_type": lambda df, value: df["resource_type"].isin(_several(value)),
    "format": lambda df, value: df["format"].isin(_several(value)),
    "tags": lambda df, value: df["tags"].map(lambda tags: set(_several(value)) <= set(tags)),
    "any_tags": lambda df, value: df["tags"].map(lambda tags: bool(set(value) & set(tags))),
    "folder": lambda df, value: (
        (df["folder"] == value) | df["folder"].str.startswith(f"{value}/") | (value == "")
    ),
    "min_width": lambda df, value: (df["width"] >= value).fillna(False),
    "min_height": lambda df, value: (df["height"] >= value).fillna(False),
    "min_bytes": lambda df, value: df["bytes"] >= value,
    "max_bytes": lambda df, value: df["bytes"] <= value,
    "context": lambda df, value: df["context"].map(lambda c: value.items() <= c.items()),
}


_PLAIN = {"resource_type": "image", "context": {}, "folder": ""}


def _several(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _response(number: int, row: dict[str, Any]) -> dict[str, Any]:
    return {
        **row,
        "public_id": f"photo{number}",
        "version": 1,
        "secure_url": "https://res.cloudinary.com/demo/image/upload/x.jpg",
        "context": {"custom": row["context"]},
        "asset_folder": row["folder"],
    }


def test_every_filter_finds_what_pandas_finds(kit: mt.MediaToolkit) -> None:
    saved: list[pd.DataFrame] = []

    @settings(max_examples=4, derandomize=True, database=None, deadline=None)
    @given(rows=_rows)
    def save(rows: list[dict[str, Any]]) -> None:
        first = 60 * len(saved)
        kit.save_many(_response(number, row) for number, row in enumerate(rows, first))
        saved.append(pd.DataFrame(rows, index=[f"photo{first + n}" for n in range(60)]))

    save()
    rows = pd.concat(saved).astype({"width": "Int64", "height": "Int64"})

    @settings(
        max_examples=80, derandomize=True, database=None, deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )  # fmt: skip
    @given(filters=_filters)
    def compare(filters: dict[str, Any]) -> None:
        wanted = rows
        for word, value in filters.items():
            wanted = wanted[_PANDAS[word](wanted, value).astype(bool)]
        found = kit.assets(**filters)
        assert set(found["public_id"]) == set(wanted.index)
        assert kit.count(**filters) == len(wanted)

    compare()


@pytest.mark.parametrize(
    "filters",
    [
        {"min_bytes": float("inf")},
        {"min_bytes": 2**70},
        {"min_width": 1.9},
        {"min_width": "wide"},
        {"min_width": Decimal("7000.7")},
        {"min_height": np.float32(1.5)},
        {"max_bytes": b"7"},
        {"context": "alt=x"},
        {"uploaded_after": pd.NaT},
        {"uploaded_after": np.datetime64("NaT")},
        {"uploaded_after": pd.date_range("2026-01-01", periods=2)},
        {"uploaded_before": "someday"},
        {"text": "a\0b"},
    ],
)
def test_a_value_that_cannot_be_read_names_its_word(filters: dict[str, Any]) -> None:
    with pytest.raises(mt.FilterError, match=next(iter(filters))):
        AssetFilter.of(**filters).conditions()


@pytest.mark.parametrize("word", SEVERAL)
@pytest.mark.parametrize(
    "value",
    [
        b"tag-3",
        [b"tag-3"],
        [["tag-3"]],
        {"tag-3": 1},
        pd.DataFrame({"tag-3": ["a"]}),
        5,
        [5],
        [None],
    ],
    ids=repr,
)
def test_what_is_no_text_and_no_list_of_texts_names_its_word(word: str, value: Any) -> None:
    with pytest.raises(mt.FilterError, match=f"^{word} "):
        AssetFilter.of(**{word: value}).conditions()


def test_lists_of_every_kind_are_several_values(kit: mt.MediaToolkit) -> None:
    kit.save_many([_response(n, {**_PLAIN, "tags": [f"tag-{n}"]}) for n in range(3)])
    wanted = ["tag-1", "tag-2"]
    for several in (
        wanted, tuple(wanted), set(wanted), iter(wanted), np.array(wanted), pd.Series(wanted),
    ):  # fmt: skip
        assert kit.count(any_tags=several) == 2


@pytest.mark.parametrize(
    ("moment", "read"),
    [
        (pd.Period("2026-11", "M"), datetime(2026, 11, 1, tzinfo=UTC)),
        (pd.Period("2026", "Y"), datetime(2026, 1, 1, tzinfo=UTC)),
        (pd.Period("2026-11-05 10:00", "h"), datetime(2026, 11, 5, 10, tzinfo=UTC)),
        (np.datetime64("2026-11-05T10:00:00.5"), datetime(2026, 11, 5, 10, 0, 0, 500_000, UTC)),
        (np.datetime64("2026-11-05"), datetime(2026, 11, 5, tzinfo=UTC)),
        (np.datetime64("2026-11-05T10:00", "ns"), datetime(2026, 11, 5, 10, tzinfo=UTC)),
        (pd.Timestamp("2026-11-05"), datetime(2026, 11, 5, tzinfo=UTC)),
        (date(2026, 11, 5), datetime(2026, 11, 5, tzinfo=UTC)),
    ],
)
def test_moments_of_numpy_and_pandas_are_read_as_they_begin(moment: Any, read: datetime) -> None:
    assert read_moment("uploaded_after", moment) == read


def test_a_number_beyond_those_of_postgres_is_told_as_such() -> None:
    with pytest.raises(mt.FilterError, match="min_bytes is beyond 64 bits"):
        AssetFilter.of(min_bytes=2**63).conditions()


def test_limits_and_cursors_that_are_none() -> None:
    for limit in (float("inf"), -1, "many"):
        with pytest.raises(mt.FilterError, match="limit"):
            read_limit(limit)
    nested = base64.b64encode(b"[" * 100_000).decode()
    beyond = base64.b64encode(b'["0001-01-01T00:00:00+23:59",5]').decode()
    for cursor in ("", "rubbish", "WyIyMDI2LTAxLTAxIixJbmZpbml0eV0", nested, beyond):
        with pytest.raises(mt.FilterError, match="cursor"):
            read_cursor(cursor)
