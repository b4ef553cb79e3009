"""Each filter word, and several together, against the same filter in pandas on random data."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import media_toolkit as mt
from media_toolkit.store.filters import AssetFilter, read_cursor, read_limit

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
        {"context": "alt=x"},
        {"uploaded_after": pd.NaT},
        {"uploaded_before": "someday"},
        {"text": "a\0b"},
    ],
)
def test_a_value_that_cannot_be_read_names_its_word(filters: dict[str, Any]) -> None:
    with pytest.raises(mt.FilterError, match=next(iter(filters))):
        AssetFilter.of(**filters).conditions()


def test_limits_and_cursors_that_are_none() -> None:
    for limit in (float("inf"), -1, "many"):
        with pytest.raises(mt.FilterError, match="limit"):
            read_limit(limit)
    nested = base64.b64encode(b"[" * 100_000).decode()
    beyond = base64.b64encode(b'["0001-01-01T00:00:00+23:59",5]').decode()
    for cursor in ("", "rubbish", "WyIyMDI2LTAxLTAxIixJbmZpbml0eV0", nested, beyond):
        with pytest.raises(mt.FilterError, match="cursor"):
            read_cursor(cursor)
