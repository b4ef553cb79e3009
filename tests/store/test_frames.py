"""`kit.assets()`: every filter word, and columns and types as promised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa

import media_toolkit as mt
from media_toolkit.identity import Identity
from media_toolkit.store import frames
from media_toolkit.store.database import Database

COLUMNS = [
    *("id", "asset_id", "public_id", "media_url", "resource_type", "delivery_type", "user_id"),
    *("upload_timestamp", "version", "format", "width", "height", "duration", "bytes", "tags"),
    *("context", "folder", "original_filename", "etag", "phash", "created_at"),
]


@pytest.fixture
def library(kit: mt.MediaToolkit) -> mt.MediaToolkit:
    def response(number: int, **changes: Any) -> dict[str, Any]:
        return {
            "asset_id": f"{number:032x}",
            "public_id": f"spring/tulip_{number}",
            "version": number,
            "resource_type": "image",
            "type": "upload",
            "format": "jpg",
            "width": 100 * number,
            "height": 50 * number,
            "bytes": 1000 * number,
            "tags": ["spring"],
            "created_at": "2026-03-01T12:00:00Z",
            "secure_url": "https://res.cloudinary.com/demo/image/upload/x.jpg",
            "folder": "spring",
            **changes,
        }

    kit.save_many([response(1), response(2, tags=["spring", "red"], format="png")])
    kit.acting_as("bob").save_many(
        [
            response(3, resource_type="video", duration=1.5, folder="spring/film", tags=["red"]),
            response(
                4,
                public_id="100%_wool",
                resource_type="raw",
                width=None,
                height=None,
                folder="other",
                tags=[],
                context={"custom": {"alt": "A 'sheep'", "shot": "x=y|z"}},
                format="",
            ),
        ]
    )
    return kit


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ({}, {1, 2, 3, 4}),
        ({"user_id": "ana"}, {1, 2}),
        ({"user_id": ["ana", "bob"]}, {1, 2, 3, 4}),
        ({"user_id": []}, set()),
        ({"resource_type": "video"}, {3}),
        ({"resource_type": ["raw", "video"]}, {3, 4}),
        ({"delivery_type": "private"}, set()),
        ({"format": "png"}, {2}),
        ({"tags": ["spring"]}, {1, 2}),
        ({"tags": ["spring", "red"]}, {2}),
        ({"tags": "red"}, {2, 3}),
        ({"any_tags": ["red", "none"]}, {2, 3}),
        ({"folder": "spring"}, {1, 2, 3}),
        ({"folder": "spring/film/"}, {3}),
        ({"folder": "spr"}, set()),
        ({"text": "tulip"}, {1, 2, 3}),
        ({"text": "TULIP red"}, {2, 3}),
        ({"text": "100%_"}, {4}),
        ({"text": "_____"}, set()),
        ({"text": "'sheep'"}, {4}),
        ({"text": "'; DROP TABLE cloudinary_files; --"}, set()),
        ({"uploaded_after": "2026-01-01"}, {1, 2, 3, 4}),
        ({"uploaded_before": "2026-01-01"}, set()),
        ({"min_width": 200}, {2, 3}),
        ({"min_height": 150}, {3}),
        ({"min_bytes": 2000, "max_bytes": 3000}, {2, 3}),
        ({"context": {"alt": "A 'sheep'"}}, {4}),
        ({"context": {"alt": "A 'sheep'", "shot": "x=y|z"}}, {4}),
        ({"context": {"alt": "?"}}, set()),
    ],
)
def test_a_filter_finds_the_same_in_frame_count_and_page(
    library: mt.MediaToolkit, filters: dict[str, Any], numbers: set[int]
) -> None:
    assert set(library.assets(**filters)["version"]) == numbers
    assert library.count(**filters) == len(numbers)
    assert {a.version for a in library.page(**filters).items} == numbers


def test_columns_and_types_are_as_promised(library: mt.MediaToolkit) -> None:
    frame = library.assets(order_by="version")
    assert list(frame.columns) == COLUMNS
    for name in ("version", "width", "height", "bytes", "id"):
        assert pd.api.types.is_integer_dtype(frame[name].dtype), name
    assert frame["width"].isna().tolist() == [False, False, False, True]
    assert frame["upload_timestamp"].dt.tz is not None
    assert str(frame["created_at"].iloc[0]) == "2026-03-01 12:00:00+00:00"
    assert frame["tags"].tolist() == [["spring"], ["spring", "red"], ["red"], []]
    assert frame["context"].tolist()[3] == {"alt": "A 'sheep'", "shot": "x=y|z"}
    assert frame["duration"].tolist()[2] == 1.5


def test_an_empty_library_gives_the_same_columns_and_types(library: mt.MediaToolkit) -> None:
    empty = library.assets(user_id="nobody")
    assert len(empty) == 0
    assert empty.dtypes.to_dict() == library.assets().dtypes.to_dict()


def test_an_answer_of_many_batches_comes_whole_and_in_order(
    library: mt.MediaToolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("media_toolkit.store.frames._BATCH_BYTES", 1000)
    library.save_many(
        [
            {
                "public_id": f"many/{n}",
                "resource_type": "image",
                "secure_url": "https://res.cloudinary.com/demo/image/upload/x.jpg",
                "version": n,
                "tags": [f"t{n}", "many"],
                "context": {"custom": {"alt": str(n)}},
            }
            for n in range(100, 700)
        ]
    )
    frame = library.assets(any_tags=["many"], order_by="-version")
    assert frame["version"].tolist() == list(range(699, 99, -1))
    assert frame["tags"].tolist() == [[f"t{n}", "many"] for n in frame["version"]]
    assert frame["context"].tolist() == [{"alt": str(n)} for n in frame["version"]]


def test_pandas_reads_its_own_parquet_file_of_a_frame(
    library: mt.MediaToolkit, tmp_path: Path
) -> None:
    frame = library.assets()
    frame.to_parquet(tmp_path / "assets.parquet")
    back = pd.read_parquet(tmp_path / "assets.parquet")
    assert [list(tags) for tags in back["tags"]] == frame["tags"].tolist()
    pd.testing.assert_frame_equal(
        back.drop(columns=["tags", "context"]), frame.drop(columns=["tags", "context"])
    )


def test_order_and_limit_hold(library: mt.MediaToolkit) -> None:
    assert library.assets(order_by="-bytes", limit=2)["version"].tolist() == [4, 3]
    assert library.assets(order_by="width")["version"].tolist() == [1, 2, 3, 4]
    assert len(library.assets(limit=0)) == 0


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"user": "ana"}, "unknown filter user"),
        ({"uploaded_after": "spring"}, "uploaded_after is not a date"),
        ({"min_width": "wide"}, "min_width is not a whole number"),
        ({"tags": 5}, "tags must be text"),
        ({"order_by": "tags; --"}, "cannot order by"),
        ({"limit": -1}, "limit"),
    ],
)
def test_what_cannot_be_read_is_named(
    library: mt.MediaToolkit, filters: dict[str, Any], said: str
) -> None:
    with pytest.raises(mt.FilterError, match=said):
        library.assets(**filters)


def test_what_a_read_tells_the_planner_ends_with_it(database: Database) -> None:
    asked = "SELECT current_setting('parallel_tuple_cost')"

    def read(connection: Any) -> Any:
        with frames._executed(connection, asked, {}) as cursor:
            return cursor.fetchone()

    assert database.run_arrow(Identity("ana"), read) == ("0.2",)
    with database.begin(Identity("ana")) as again:
        assert again.scalar(sa.text(asked)) == "0.1"
