"""Counts, facets, pages, streams, Parquet, SQL and named queries on a real Postgres."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

import media_toolkit as mt
from media_toolkit.identity import Identity
from media_toolkit.store import facets, matching, searching
from media_toolkit.store.changes import AssetChanges
from media_toolkit.store.filters import SEVERAL, AssetFilter


def response(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "asset_id": f"{number:032x}",
        "public_id": f"spring/tulip_{number}",
        "version": number,
        "resource_type": "image",
        "format": "jpg",
        "bytes": 1000 * number,
        "tags": ["spring"],
        "secure_url": "https://res.cloudinary.com/demo/image/upload/x.jpg",
        **changes,
    }


@pytest.fixture
def library(kit: mt.MediaToolkit) -> mt.MediaToolkit:
    kit.save_many([response(n, context={"alt": f"no {n}"}) for n in range(1, 31)])
    kit.acting_as("bob").save_many(
        [response(n, tags=["red", "spring"], format="png", etag="same") for n in range(31, 41)]
    )
    return kit


def test_a_count_says_whether_it_is_exact(
    library: mt.MediaToolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything, anas = library.count(), library.count(user_id="ana")
    assert (everything, everything.is_exact, anas, anas.is_exact) == (40, True, 30, True)
    monkeypatch.setattr(facets, "CAP", 20)
    about = library.count(min_bytes=0)
    assert about > 20
    assert not about.is_exact
    assert about.label.startswith("about ")
    exactly = library.count(min_bytes=0, exact=True)
    assert (exactly, exactly.is_exact, exactly.label) == (40, True, "40")


@pytest.mark.parametrize(
    "filters",
    [
        {"user_id": "ana"},
        {"user_id": ["ana", "bob"], "format": "png"},
        {"resource_type": "image", "delivery_type": "upload"},
        {"format": []},
        {"tags": "spring"},
        {"tags": ["red"], "user_id": "bob"},
        {"tags": "spring", "user_id": ["ana", "eva"]},
        {"tags": "nobody's"},
    ],
)
def test_kept_counts_are_exact_at_any_size(
    library: mt.MediaToolkit, filters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facets, "CAP", 0)
    kept = library.count(**filters)
    assert kept.is_exact
    assert kept == library.count(**filters, exact=True) == len(library.assets(**filters))


@pytest.mark.parametrize("make", [iter, list, set, np.array, pd.Series])
@pytest.mark.parametrize(
    ("word", "values", "expected"),
    [("user_id", ["ana", "eve"], 30), ("tags", ["spring", "red"], 10), ("format", [""], 0)],
)
def test_several_values_may_come_in_any_shape(
    library: mt.MediaToolkit,
    make: Callable[[Any], Any],
    word: str,
    values: list[str],
    expected: int,
) -> None:
    assert len(library.assets(**{word: make(values)})) == expected
    assert library.count(**{word: make(values)}) == expected
    assert len(library.page(limit=100, **{word: make(values)}).items) == expected
    assert library.facets("user_id", **{word: make(values)}).counted == expected


@pytest.mark.parametrize("params", [None, {"n": 1}])
@pytest.mark.parametrize("row", ["f", "(id, public_id)"])
def test_sql_says_that_a_row_is_no_value(
    library: mt.MediaToolkit, row: str, params: dict[str, int] | None
) -> None:
    rest = "FROM cloudinary_files AS f" + (" WHERE :n = 1" if params else "")
    with pytest.raises(mt.StoreError, match="holds whole rows") as refused:
        library.sql(f"SELECT {row} AS asset {rest}", params)
    assert not isinstance(refused.value, mt.Unavailable)
    assert len(library.sql(f"SELECT to_jsonb({row}) AS asset {rest}", params)) == 40


def test_a_count_of_what_the_planner_cannot_know_is_of_the_right_size(
    library: mt.MediaToolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.save_many(
        response(n, context={"custom": {"alt": "new" if n % 4 else "old"}}, tags=["fresh"])
        for n in range(1_000, 9_000)
    )
    monkeypatch.setattr(facets, "CAP", 100)
    monkeypatch.setattr(facets, "_SAMPLED_ROWS", 4_000)
    for filters in (
        {"context": {"alt": "new"}},
        {"context": {"alt": "new"}, "tags": "fresh"},
        {"context": {"alt": "new"}, "user_id": "ana", "text": "new"},
    ):
        count = library.count(**filters)
        assert not count.is_exact
        assert 4_000 < count < 9_000, filters
    monkeypatch.setattr(facets, "_SAMPLED_ROWS", 10**9)
    assert library.count(context={"alt": "new"}) == 6_000


def test_a_pasted_page_of_text_is_searched_for_too(library: mt.MediaToolkit) -> None:
    text = " ".join(f"w{n:x}z" for n in range(4_999))
    library.save_many([response(900, context={"custom": {"alt": text}})])
    for pasted in (text, text + " W0Z", " ".join(reversed(text.split()))):
        assert library.count(text=pasted) == 1
        assert len(library.page(text=pasted).items) == 1
        assert library.facets("format", text=pasted).counted == 1
        assert library.count(text=pasted.replace("w7z", "none")) == 0
    with pytest.raises(mt.FilterError, match="text has more than 5,000 words"):
        library.count(text=text + " two more")


def test_sql_reads_every_number_that_a_save_keeps(library: mt.MediaToolkit) -> None:
    library.save_many([response(77, facts={"huge": 10**400})])
    raw = library.sql("SELECT raw FROM cloudinary_files WHERE version IN (77, 1)")["raw"]
    assert 10**400 in [one.get("facts", {}).get("huge") for one in raw]


UUID_TEXT = "6f2b2f0e-1111-4222-8333-444455556666"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("12.34::numeric::money", 12.34), ("ARRAY['1.50'::money]", [1.5]),
        ("ARRAY[[1, 2], [3, 4], [5, 6]]", [[1, 2], [3, 4], [5, 6]]),
        ("ARRAY[[['a', NULL]], [['b', 'c']]]", [[["a", None]], [["b", "c"]]]),
        ("ARRAY[1, 2]", [1, 2]), ("'[0:1]={1,2}'::int[]", [1, 2]), ("'{}'::text[]", []),
        ("ARRAY[1.5, 2]", [1.5, 2.0]),
        ("""ARRAY['{"a": [1]}'::jsonb]""", [{"a": [1]}]),
        ("""'{"n": 12345678901234567890123}'::jsonb""", {"n": 12345678901234567890123}),
        (f"'{UUID_TEXT}'::uuid", UUID_TEXT), (f"ARRAY['{UUID_TEXT}'::uuid]", [UUID_TEXT]),
        ("'10.0.0.1/8'::inet", "10.0.0.1/8"), ("int4range(1, 5)", "[1,5)"),
        ("to_tsvector('simple', 'tulip')", "'tulip':1"), ("'(1,2)'::point", "(1,2)"),
        ("4294967295::oid", 4294967295), ("'-Infinity'::numeric", float("-inf")),
        ("'NaN'::numeric", None),
        ("'-9999999999999999999'::jsonb", -9999999999999999999),
    ],
)  # fmt: skip
def test_sql_reads_values_of_every_type(library: mt.MediaToolkit, written: str, read: Any) -> None:
    frame = library.sql(f"SELECT {written} AS a, n AS b FROM generate_series(1, 2) AS n(n)")
    assert frame.columns.tolist() == ["a", "b"]
    found = frame["a"].tolist()
    assert [None if value is pd.NA else value for value in found] == [read, read]
    none = library.sql(f"SELECT CASE WHEN n > 1 THEN {written} END AS a FROM (VALUES (1)) AS v(n)")
    assert pd.isna(none["a"].iloc[0])


@pytest.mark.parametrize(
    "moment",
    ["'infinity'::timestamptz", "'-infinity'::date", "'0044-03-15 BC'::date",
     "'20000-01-01'::timestamp", "ARRAY[now(), 'infinity']", "time '24:00'",
     "ARRAY[time '24:00']"],
)  # fmt: skip
def test_sql_names_the_column_of_a_moment_that_python_lacks(
    library: mt.MediaToolkit, moment: str
) -> None:
    with pytest.raises(mt.StoreError, match="column m holds infinity, or a moment") as error:
        library.sql(f"SELECT {moment} AS m UNION ALL SELECT NULL")
    assert "m::text" in error.value.hint
    assert len(library.sql(f"SELECT ({moment})::text AS m")) == 1


@pytest.mark.parametrize(
    ("query", "params", "answer"),
    [
        ("SELECT 1 WHERE (:w IS NULL OR 5 = :w)", {"w": 5}, 1),
        ("SELECT string_agg(u, ',') FROM unnest(:t) AS u", {"t": ["x", "y"]}, "x,y"),
        ("SELECT concat($1, 'x')", ["y"], "yx"), ("SELECT :a + :a", {"a": 2}, 4),
        ("SELECT to_jsonb(:a)", {"a": 1}, 1), ("SELECT $1", pd.Series([5]), 5),
        ("SELECT :u", {"u": UUID(UUID_TEXT)}, UUID_TEXT),
        ("SELECT ARRAY[:u]", {"u": UUID(UUID_TEXT)}, [UUID_TEXT]),
        ("SELECT extract(year FROM :d)::int", {"d": date(2026, 3, 1)}, 2026),
        ("SELECT ARRAY[ARRAY[:a, 2]]", {"a": 1}, [[1, 2]]),
    ],
)  # fmt: skip
def test_sql_knows_parameters_by_their_types(
    library: mt.MediaToolkit, query: str, params: Any, answer: Any
) -> None:
    assert library.sql(query, params).iloc[0, 0] == answer


@pytest.mark.parametrize(
    ("written", "read"),
    [("interval '3000000 hours'", pd.Timedelta(days=125_000)), ("NULL::interval", pd.NaT),
     ("now() - (now() - interval '1 day 0.000001 s')", pd.Timedelta("1 days 00:00:00.000001")),
     ("interval '-1 mon 2 s'", pd.Timedelta(days=-30, seconds=2))],
)  # fmt: skip
def test_sql_reads_intervals_as_timedeltas(
    library: mt.MediaToolkit, written: str, read: pd.Timedelta
) -> None:
    frame = library.sql(f"SELECT {written} AS a, 1 AS b")
    wanted = pd.Series([read], name="a", dtype="timedelta64[us]")
    pd.testing.assert_series_equal(frame["a"], wanted)
    none = library.sql(f"SELECT {written} AS a LIMIT 0")
    pd.testing.assert_series_equal(none["a"], wanted[:0])
    with pytest.raises(mt.StoreError, match="infinity"):
        library.sql("SELECT interval 'infinity'")


def test_sql_says_at_once_that_a_value_cannot_be_read(library: mt.MediaToolkit) -> None:
    with pytest.raises(mt.StoreError, match="a value that a DataFrame has no type for") as error:
        library.sql("SELECT '[2:3]={1,2}'::int[]")
    assert not isinstance(error.value, mt.Unavailable)


def test_json_of_text_alone_is_read_as_json(library: mt.MediaToolkit) -> None:
    rows = """(VALUES ('"a"'::jsonb), ('null'), (NULL)) AS v(x)"""
    column = library.sql(f"SELECT x FROM {rows}")["x"]
    assert column.dtype == object
    assert column.tolist() == ["a", None, None]


def test_long_filters_are_read_once_and_not_for_each_row(library: mt.MediaToolkit) -> None:
    names = [f"zz{n}" for n in range(3_000)]
    long = "x" * 100_000
    filters: list[dict[str, Any]] = [
        {"any_tags": [*names, "spring"]}, {"user_id": [*names, "ana"]}, {"tags": long},
        {"text": " ".join(names)}, {"folder": long}, {"context": {"alt": long}},
    ]  # fmt: skip
    for one in filters:
        found = library.assets(limit=100, **one)["id"].tolist()
        assert found == [asset.id for asset in library.page(limit=100, **one).items]
    assert len(library.assets(any_tags=[*names, "spring"])) == library.count(any_tags=["spring"])
    assert library.count(any_tags=["spring"]) > 0


@pytest.mark.parametrize(
    "wrong",
    [{"text": 0}, {"text": pd.NA}, {"folder": 0}, {"folder": []}, {"folder": ["a"]},
     {"folder": pd.Series(["a"])}, {"context": []}, {"context": pd.NA},
     {"context": {"alt": None}}, {"format": [None, "jpg"]}, {"tags": [float("nan")]}],
    ids=repr,
)  # fmt: skip
def test_what_is_no_text_is_no_filter(library: mt.MediaToolkit, wrong: dict[str, Any]) -> None:
    (word,) = wrong
    for ask in (library.assets, library.count, library.page, partial(library.facets, "format")):
        with pytest.raises(mt.FilterError, match=word):
            ask(**wrong)
    with pytest.raises(mt.FilterError, match="facets"):
        library.facets(pd.NA)  # type: ignore[arg-type]


@pytest.mark.parametrize("end", [";", "; -- done", " /* x; */ ;;\n-- ;\n", "-- ; done"])
def test_sql_may_end_in_semicolons_and_comments(library: mt.MediaToolkit, end: str) -> None:
    assert library.sql("SELECT ';--' AS a" + end)["a"].tolist() == [";--"]
    assert library.sql("SELECT :x AS a" + end, {"x": 7})["a"].tolist() == [7]


@pytest.mark.parametrize(
    ("query", "params"),
    [(None, None), (5, None), ("SELECT 1", 5), ("SELECT 1", "x"), ("SELECT 1", {1: 2}),
     ("SELECT CAST(:n AS numeric)", {"n": 2**70}), ("SELECT CAST(:n AS text)", {"n": {"a": 1}}),
     ("SELECT :n", {"n": Decimal("NaN")}), ("SELECT :n", {"n": "\ud800"}),
     ("SELECT :n", {"n": [UUID(int=5)]}), ("SELECT 1", pd.DataFrame({"a": [1]})),
     ("SELECT '\ud800'", None)],
)  # fmt: skip
def test_sql_says_what_it_cannot_take(library: mt.MediaToolkit, query: Any, params: Any) -> None:
    with pytest.raises(mt.FilterError, match=r"params|query"):
        library.sql(query, params)
    assert library.sql("SELECT 1 AS one")["one"].tolist() == [1]


@pytest.mark.parametrize("timeout_s", [0, -1, float("inf"), float("nan"), 1e12, None, "5"])
def test_sql_takes_a_number_of_seconds(library: mt.MediaToolkit, timeout_s: Any) -> None:
    with pytest.raises(mt.FilterError, match="timeout_s"):
        library.sql("SELECT 1", timeout_s=timeout_s)
    assert len(library.sql("SELECT 1", timeout_s=np.int64(2))) == 1


def test_sql_keeps_texts_names_and_comments_as_they_are(library: mt.MediaToolkit) -> None:
    kept = (
        "' :x'", "'it''s :x'", r"E'\' :x'", "$$ :x $$", "$a$ :x $$ :x $a$", "'12:x'", "/* :x */ 7",
    )  # fmt: skip
    plain = library.sql(f"SELECT {', '.join(kept)}")
    bound = library.sql(f'SELECT {", ".join(kept)}, :x::text AS " :x" -- :x', {"x": "v"})
    assert bound.iloc[0].tolist() == [*plain.iloc[0], "v"]
    assert bound.columns[-1] == " :x"
    with pytest.raises(mt.FilterError, match="no :x"):
        library.sql("SELECT ' :x'", {"x": "v"})


@pytest.mark.parametrize(
    "filters",
    [*({word: ""} for word in SEVERAL), {"min_width": 2**31}, {"min_height": 2**40}],
    ids=str,
)
def test_what_nothing_has_is_found_nowhere(
    library: mt.MediaToolkit, filters: dict[str, Any]
) -> None:
    assert library.assets(**filters).empty
    assert library.count(**filters) == library.count(**filters, exact=True) == 0
    assert library.page(**filters).items == ()
    assert library.facets("user_id", **filters).counted == 0


def test_facets_are_the_same_kept_and_counted(library: mt.MediaToolkit) -> None:
    names = ("user_id", "resource_type", "delivery_type", "format", "tags")
    kept = library.facets(*names)
    assert dict(kept) == dict(library.facets(*names, uploaded_after="2000-01-01"))
    assert kept["user_id"] == [("ana", 30), ("bob", 10)]
    assert kept["tags"] == [("spring", 40), ("red", 10)]
    assert (kept.counted, kept.is_exact) == (40, True)
    with pytest.raises(mt.FilterError, match="no facets of width"):
        library.facets("width")


def test_beyond_the_cap_facets_are_of_the_newest_and_say_so(
    library: mt.MediaToolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facets, "CAP", 10)
    found = library.facets("format", resource_type="image")
    assert (found["format"], found.counted, found.is_exact) == ([("png", 10)], 10, False)


def test_kept_counts_follow_every_change_and_writers_at_once(library: mt.MediaToolkit) -> None:
    def write(start: int) -> None:
        for number in range(start, start + 15):
            library.save_many([response(number, tags=["many"])])

    threads = [threading.Thread(target=write, args=(start,)) for start in (100, 200, 300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    library.save_many([response(1, version=9999, tags=["other"], format="webp")])
    _remove_and_fail(library)
    with library._database.begin(library.identity) as connection:
        connection.execute(
            sa.text("UPDATE cloudinary_files SET deleted_at = now() WHERE version = 2")
        )
        connection.execute(sa.text("DELETE FROM cloudinary_files WHERE version = 3"))
    names = ("user_id", "resource_type", "format", "tags")
    kept = library.facets(*names)
    assert dict(kept) == dict(library.facets(*names, uploaded_after="2000-01-01"))
    assert dict(kept["tags"])["many"] == 45


_WAYS = {
    "as it comes": {},
    "compared": {"GATHER": 1e9},
    "looked up": {"COMPARE": 1e9, "READ_ON": 1e9, "NOTE": 1e9, "GATHER": 1e-9},
    "walked": {"READ_ON": 0.0, "GATHER": 1e9},
    "looked up among the newest": {"READ_ON": 1e9, "COMPARE": 1e9, "NOTE": 0.0},
    "the rarest looked up": {"READ": 0.0, "READ_ON": 1e9, "COMPARE": 1e9, "SKIP": 1e9},
    "by their beginnings": {"SKIP": 0.0, "GATHER": 1e9, "COMPARE": 1e9, "READ_ON": 1e9},
}


@pytest.fixture(params=list(_WAYS))
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way of finding words, the cheapest by costs that are not true."""
    for name, cost in _WAYS[request.param].items():
        monkeypatch.setattr(searching, name, cost)
    return str(request.param)


@pytest.mark.usefixtures("way")
def test_words_are_found_every_way(library: mt.MediaToolkit) -> None:
    for typed, user, number in (("tul no", "ana", 30), ("tul no", "bob", 0), ("RED", "bob", 10)):
        found = library.page(text=typed, user_id=user)
        assert len(found.items) == library.count(text=typed, user_id=user) == number
    assert library.count(text="  ", user_id="ana") == 30
    assert library.count(text="--", user_id="ana") == 0
    assert not library.page(text="--").items
    assert len(library.page(text="Tulip-\u00e9").items) == 0


@pytest.mark.usefixtures("way")
def test_pages_of_words_are_the_same_every_way(library: mt.MediaToolkit) -> None:
    _save_often_and_once(library)
    for filters in (
        {"text": "often"},
        {"text": "once"},
        {"text": "oft TUL 1"},
        {"text": "ofte tulip"},
        {"text": "tuli-often", "user_id": "ana"},
        {"text": "once", "user_id": "ana", "format": "png"},
        {"text": "often", "user_id": ["ana", "bob"], "uploaded_after": "2026-01-01T03:00"},
        {"text": "oft once", "uploaded_before": "2026-01-01T03:00"},
        {"text": "often", "tags": "red"},
    ):
        _compare_pages(library, filters)


def _compare_pages(library: mt.MediaToolkit, filters: dict[str, Any]) -> None:
    """Forwards and back in pages of 37, which part what was saved at one moment."""
    everything = library.assets(**filters).sort_values(["upload_timestamp", "id"], ascending=False)
    wanted, pages = everything["public_id"].tolist(), [library.page(limit=37, **filters)]
    while pages[-1].next_cursor:
        pages.append(library.page(limit=37, after=pages[-1].next_cursor, **filters))
    assert [asset.public_id for page in pages for asset in page.items] == wanted, filters
    assert [page.position for page in pages] == [37 * n + 1 for n in range(len(pages))]
    back, cursor = [], pages[-1].previous_cursor
    while cursor:
        page = library.page(limit=37, before=cursor, **filters)
        back[:0], cursor = [asset.public_id for asset in page.items], page.previous_cursor
    assert back == wanted[: 37 * (len(pages) - 1)], filters
    assert library.count(**filters) == len(wanted) > 0


def _save_often_and_once(library: mt.MediaToolkit) -> None:
    """600 assets: every third has `often`, the older half `once`; Postgres has looked at them."""
    library.save_many(
        response(
            n,
            context={"alt": f"{'often' if n % 3 == 0 else ''} {'once' if n < 1300 else ''}"},
            tags=["red"] if n % 2 else [],
            format="png" if n % 5 else "jpg",
        )
        for n in range(1000, 1600)
    )
    with library._database.begin(library.identity) as connection:
        # Five at one moment each, as a bulk upload has them.
        connection.execute(
            sa.text(
                "UPDATE cloudinary_files SET upload_timestamp = timestamptz '2026-01-01 00:00+00'"
                " + (version / 5 - 200) * interval '3 minutes' WHERE version >= 1000"
            )
        )
    with library._database.direct() as connection:
        connection.execute(sa.text("ANALYZE cloudinary_files"))


def test_a_sample_of_the_words_shows_that_there_are_many(
    library: mt.MediaToolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    _save_often_and_once(library)
    monkeypatch.setattr(facets, "CAP", 10)
    sizes: list[int] = []
    size = facets._size
    monkeypatch.setattr(facets, "_size", lambda *given: sizes.append(size(*given)) or sizes[-1])
    many = library.count(text="once")
    assert (many.is_exact, len(sizes)) == (False, 1)
    assert 200 < many < 400
    # Three of 300 are left, of which the statistics know nothing yet.
    with library._database.begin(library.identity) as connection:
        connection.execute(
            sa.text("UPDATE cloudinary_files SET deleted_at = now() WHERE version > 1002")
        )
    few = library.count(text="once")
    assert (few, few.is_exact, len(sizes)) == (3, True, 3)


def test_pages_of_a_tag_follow_every_change(library: mt.MediaToolkit) -> None:
    library.save_many([response(n, tags=["many", "many", "red"]) for n in range(1000, 1600)])
    library.save_many([response(1, version=9999, tags=["other", "spring"])])
    library.save_many([response(n, version=9999, tags=["spring"]) for n in (1003, 1004)])
    library.save_many([response(1005, version=9999, public_id="moved")])
    bob = library.acting_as("bob")
    with library._database.begin(library.identity) as connection:
        for change in (
            "UPDATE cloudinary_files SET deleted_at = now() WHERE version IN (2, 1006, 1007)",
            "UPDATE cloudinary_files SET deleted_at = NULL WHERE version = 1006",
            "UPDATE cloudinary_files SET upload_timestamp = '2020-01-01' WHERE version = 1008",
            "UPDATE cloudinary_files SET tags = ARRAY['red', NULL] WHERE version = 1009",
            "UPDATE cloudinary_files SET tags = '{many,many}' WHERE version = 1011",
            "DELETE FROM cloudinary_files WHERE version IN (3, 1010)",
        ):
            connection.execute(sa.text(change))
    for tag in ("spring", "red", "many", "other"):
        for filters in (
            {},
            {"user_id": "bob"},
            {"resource_type": "image", "uploaded_after": "2021-01-01"},
            {"format": "jpg", "min_bytes": 20_000, "text": "tulip"},
        ):
            paged, cursor = [], None
            while page := bob.page(limit=100, after=cursor, tags=tag, **filters):
                assert page.position == len(paged) + 1
                paged += [asset.id for asset in page.items]
                if (cursor := page.next_cursor) is None:
                    break
            wanted = bob.assets(any_tags=[tag], **filters, columns=["id"])["id"].tolist()
            assert paged == wanted
            assert bob.count(tags=tag, **filters) == len(wanted)


def _remove_and_fail(library: mt.MediaToolkit) -> None:
    def work(connection: sa.Connection) -> None:
        connection.execute(sa.text("DELETE FROM cloudinary_files WHERE user_id = 'ana'"))
        connection.execute(sa.text("SELECT 1 / 0"))

    with pytest.raises(mt.StoreError):
        library._database.run(library.identity, work)


def test_a_page_says_where_it_stands(library: mt.MediaToolkit) -> None:
    first = library.page(limit=15)
    second = library.page(limit=15, after=first.next_cursor)
    assert (first.position, second.position) == (1, 16)
    library.save_many([response(n) for n in (50, 51)])
    assert library.page(limit=15, after=first.next_cursor).position == 18
    assert library.page(limit=15, before=second.previous_cursor).position == 3


@pytest.mark.parametrize("few", [0, 3, 1000])
def test_folders_are_read_the_same_way_or_the_other(
    library: mt.MediaToolkit, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = ["a", "a/b", "a/b/c", "a0", "a.", "b_", "bx", "ä/ö", "ä"]
    library.save_many(
        response(n, asset_folder=places[n % len(places)], version=5000 + n)
        for n in range(500, 500 + 4 * len(places))
    )
    monkeypatch.setattr(matching, "_FEW", few)
    for folder, inside in (
        ("a", ["a", "a/b", "a/b/c"]), ("a/b", ["a/b", "a/b/c"]), ("/a0/", ["a0"]), ("b_", ["b_"]),
        ("ä", ["ä", "ä/ö"]), ("none", []), ("A", []),
    ):  # fmt: skip
        wanted = library.assets(folder=folder, limit=100)
        assert sorted(set(wanted["folder"])) == inside
        assert len(wanted) == 4 * len(inside) == library.count(folder=folder)
        for more in ({}, {"tags": "spring"}, {"text": "tulip"}, {"user_id": "ana"}):
            found = library.assets(folder=folder, **more)["id"].tolist()
            items = library.page(limit=100, folder=folder, **more).items
            assert [asset.id for asset in items] == found
            assert library.assets(folder=folder, limit=2, **more)["id"].tolist() == found[:2]
            assert library.facets("format", folder=folder, **more).counted == len(found)
            parts = library.iter_assets(folder=folder, limit=3, batch_size=1, **more)
            assert [part["id"].iloc[0] for part in parts] == found[:3]


def test_a_page_whose_assets_are_deleted_by_now_leads_back_to_those_that_are_not(
    library: mt.MediaToolkit,
) -> None:
    everything = [asset.public_id for asset in library.page(limit=100).items]
    changes, root = AssetChanges(library._database), Identity("root", "admin")

    def delete(start: int, end: int | None = None) -> None:
        rows = changes.find(everything[start:end], root)
        changes.delete(rows, root)

    first = library.page(limit=5)
    second = library.page(limit=5, after=first.next_cursor)
    delete(10)
    empty = library.page(limit=5, after=second.next_cursor)
    assert (empty.items, empty.next_cursor, empty.position) == ((), None, 11)
    back = library.page(limit=10, before=empty.previous_cursor)
    assert [asset.public_id for asset in back.items] == everything[:10]
    assert (back.previous_cursor, back.position) == (None, 1)

    delete(0, 5)
    empty = library.page(limit=5, before=second.previous_cursor)
    assert (empty.items, empty.previous_cursor, empty.position) == ((), None, 1)
    on = library.page(limit=5, after=empty.next_cursor)
    assert [asset.public_id for asset in on.items] == everything[5:10]
    assert (on.previous_cursor, on.position) == (None, 1), "nothing is newer any more"


def test_batches_and_columns_are_the_frame_in_parts(library: mt.MediaToolkit) -> None:
    parts = list(library.iter_assets(batch_size=15, user_id="ana", columns=["version", "tags"]))
    assert [len(part) for part in parts] == [15, 15]
    whole = library.assets(user_id="ana", columns=["version", "tags"])
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), whole)
    assert list(library.iter_assets(user_id="nobody")) == []
    with pytest.raises(mt.FilterError, match="unknown column"):
        library.assets(columns=["raw"])
    with pytest.raises(mt.FilterError, match="batch_size"):
        next(library.iter_assets(batch_size=0))


def test_assets_of_a_context_are_the_same_by_its_words_and_without(
    library: mt.MediaToolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(7)
    letters = ["Spring", "tulip", "2024", "HTMLParser", "a", "x9", "é", "e\u0301", "\u0301", "世"]
    marks = ["Ω", "ς", "\U0001d7d7", *"-_.'@&!\n\t\u00a0\u200b", *" " * 20]
    parts = [*letters, *letters, *marks]
    values = ["".join(chance.choices(parts, k=chance.randrange(1, 9))) for _ in range(400)]
    library.save_many(
        response(1000 + n, context={"custom": {"said": value}}) for n, value in enumerate(values)
    )
    assert sum(bool(AssetFilter(context={"said": v}).words_of_context) for v in values) > 50
    for few in (matching._FEW_IN_SAMPLE, -1):
        monkeypatch.setattr(matching, "_FEW_IN_SAMPLE", few)
        for value in values[::4]:
            wanted = {"context": {"said": value}}
            assert library.count(**wanted) == values.count(value)
        for wanted in (
            {"context": {"said": values[0]}, "user_id": "ana"},
            {"context": {"alt": "no 7"}, "tags": ["spring"], "text": "tulip"},
            {"context": {"alt": "no 7", "said": "x"}},
        ):
            found = library.assets(**wanted)["id"].tolist()
            assert found == [asset.id for asset in library.page(**wanted).items]
            assert library.facets("format", **wanted).counted == len(found)
            batches = list(library.iter_assets(**wanted))
            assert sum(map(len, batches)) == len(found)


def test_parquet_is_whole_or_absent(library: mt.MediaToolkit, tmp_path: Path) -> None:
    path = tmp_path / "assets.parquet"
    assert library.to_parquet(path, user_id="ana") == 30
    table = pq.read_table(path)
    assert table.column_names == list(library.assets().columns)
    assert sorted(table["version"].to_pylist()) == list(range(1, 31))
    assert library.to_parquet(path, user_id="nobody") == 0
    assert pq.read_table(path).num_rows == 0
    with pytest.raises(mt.FilterError):
        library.to_parquet(tmp_path / "other.parquet", order_by="nothing")
    assert [p.name for p in tmp_path.iterdir()] == ["assets.parquet"]


def test_parquet_follows_a_link(library: mt.MediaToolkit, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link, file = tmp_path / "assets.parquet", tmp_path / "disk" / "assets.parquet"
    link.symlink_to(file)
    for _ in range(2):
        assert library.to_parquet(link) == pq.read_table(file).num_rows == 40
        assert link.is_symlink()
    assert [p.name for p in file.parent.iterdir()] == ["assets.parquet"]


def test_parquet_replaces_nothing_but_a_file(library: mt.MediaToolkit, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for place in (pipe, tmp_path, Path()):
        with pytest.raises(OSError, match=r"is a folder|is no file"):
            library.to_parquet(place)
    assert [p.name for p in tmp_path.iterdir()] == ["pipe"]
    assert library.to_parquet(tmp_path / ("a" * 250)) == 40


def test_a_word_that_is_typed_often_is_looked_for_once(library: mt.MediaToolkit) -> None:
    once = AssetFilter(text="tulip jpg")
    assert AssetFilter(text=" tulip  jpg" * 2000).typed == once.typed
    assert library.count(text="a " * 5000) == library.count(text="a")


def test_sql_runs_nothing_that_runs_a_text(library: mt.MediaToolkit) -> None:
    body = "BEGIN RETURN QUERY EXECUTE statement; END"
    with library._database.direct() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION rows_of(statement TEXT) RETURNS SETOF TEXT STABLE LANGUAGE plpgsql"
            f" AS $${body}$$;"
            "CREATE FUNCTION as_whom(who TEXT) RETURNS TEXT STABLE LANGUAGE sql"
            " AS $$SELECT set_config('request.jwt.claims', who, true)$$;"
            "CREATE FUNCTION doubled(n INT) RETURNS INT STABLE LANGUAGE plpgsql"
            " AS $$BEGIN RETURN 2 * n; END$$"
        )
    try:
        for name in ("rows_of", "as_whom"):
            with pytest.raises(mt.StoreError, match=f"does not run {name}"):
                library.sql(f"SELECT * FROM {name}('SELECT user_id FROM cloudinary_files')")
        assert library.sql("SELECT doubled(2) AS n")["n"].tolist() == [4]
    finally:
        with library._database.direct() as connection:
            connection.exec_driver_sql("DROP FUNCTION rows_of, as_whom, doubled")


def test_ctrl_c_in_a_query_is_ctrl_c(library: mt.MediaToolkit) -> None:
    slow = "SELECT count(*) FROM generate_series(1, 100000000) AS n WHERE n % 7 = 1"
    timer = threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt, match="cancelled"):
        library.sql(slow)
    timer.join()
    assert library.sql("SELECT 1 AS n")["n"].tolist() == [1]


def test_sql_binds_names_and_numbers_and_keeps_the_dtypes(library: mt.MediaToolkit) -> None:
    query = (
        "SELECT version, tags, context FROM cloudinary_files WHERE user_id = {} ORDER BY id -- all"
    )
    by_name = library.sql(query.format(":who"), {"who": "ana"})
    by_number = library.sql(query.format("$1") + "\n;", ["ana"])
    pd.testing.assert_frame_equal(by_name, by_number)
    assert len(by_name) == 30
    assert by_name["tags"].iloc[0] == ["spring"]
    first = by_name.iloc[by_name["version"].argmin()]
    assert first["context"] == {"alt": "no 1"}
    total = library.sql("select sum(bytes) as n, '12:30' as t, 1::text as u from cloudinary_files")
    assert total["n"].iloc[0] == 820_000
    assert library.sql("VALUES (1), (2)")["column1"].tolist() == [1, 2]


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM cloudinary_files",
        "WITH gone AS (DELETE FROM cloudinary_files RETURNING 1) SELECT * FROM gone",
        "SELECT 1) AS a; DELETE FROM cloudinary_files; SELECT * FROM (SELECT 1",
        "COMMIT; DELETE FROM cloudinary_files",
        "SET ROLE NONE",
        "RESET ROLE",
        "DO $$ BEGIN DELETE FROM cloudinary_files; END $$",
        "SELECT set_config('role', 'none', true)",
        "SELECT \"set_config\"('request.jwt.claims', '{}', true)",
        "SELECT U&\"set\\005fconfig\"('role', 'none', true)",
        "SELECT query_to_xml('SELECT 1', true, true, '')",
        "SELECT pg_sleep(1)",
        "SELECT nextval('cloudinary_files_id_seq')",
        "SELECT * FROM ts_stat('SELECT words FROM cloudinary_files')",
        "SELECT * FROM cloudinary_files FOR UPDATE",
        "SELECT nothing FROM cloudinary_files",
    ],
)
def test_sql_only_reads(library: mt.MediaToolkit, query: str) -> None:
    with pytest.raises(mt.StoreError):
        library.sql(query)
    assert library.count() == 40


@pytest.mark.parametrize(
    ("query", "params", "said", "hint"),
    [
        ("SELECT publicid FROM cloudinary_files", None,
         'column "publicid" does not exist', 'reference the column "cloudinary_files.public_id"'),
        ("SELECT * FROM assets", None, 'relation "assets" does not exist', "cloudinary_files"),
        ("SELECT 1 / 0", None, "division by zero", "nothing was changed"),
        ("SELECT 1 +", None, "syntax error at the end of the query", "one SELECT"),
        ("-- nothing", None, "the query is empty", "one SELECT"),
        (" ; ", None, "the query is empty", "one SELECT"),
        ("DELETE FROM cloudinary_files", None, 'syntax error at or near "FROM"', "one SELECT"),
        ("SELECT * FROM cloudinary_files FOR UPDATE", None, "read-only transaction", "kit.edit"),
        ("SELECT $1::int", ["x"], 'invalid input syntax for type integer: "x"', ""),
        ("SELECT set_config('a.b', 'c', true)", None, "does not run set_config", "params"),
    ],
)  # fmt: skip
def test_an_error_is_the_words_of_postgres_and_what_to_do(
    library: mt.MediaToolkit, query: str, params: Any, said: str, hint: str
) -> None:
    with pytest.raises(mt.StoreError) as error:
        library.sql(query, params)
    assert said in error.value.message
    assert hint in error.value.hint
    assert not any(word in str(error.value) for word in ("INVALID", "prepare", "libpq", "ERROR"))


def test_parameters_that_do_not_fit_are_said_at_once(library: mt.MediaToolkit) -> None:
    with pytest.raises(mt.FilterError, match="has 2 parameters, params holds 1"):
        library.sql("SELECT $1::int + $2::int", [1])
    with pytest.raises(mt.FilterError, match="cannot take"):
        library.sql("SELECT $1::text", [object()])
    for params in (None, {}):
        with pytest.raises(mt.FilterError, match=":user, and params has no value"):
            library.sql("SELECT ':x', id FROM cloudinary_files WHERE user_id = :user", params)
    assert len(library.sql("SELECT id FROM cloudinary_files TABLESAMPLE system (100)")) == 40


def test_moments_and_missing_values_of_numpy_and_pandas_are_bound(library: mt.MediaToolkit) -> None:
    query = "SELECT CAST(:x AS timestamptz) AS x, CAST(:x AS timestamptz) = '2026-01-31' AS is_it"
    assert library.sql(query, {"x": np.datetime64("2026-01-31")})["is_it"].tolist() == [True]
    for nothing in (pd.NA, pd.NaT, np.datetime64("NaT"), None):
        assert library.sql(query, {"x": nothing})["x"].isna().all()
        assert library.sql(query.replace(":x", "$1"), [nothing])["x"].isna().all()


def test_nobody_is_told_to_open_the_tables_of_postgres(library: mt.MediaToolkit) -> None:
    with pytest.raises(mt.Forbidden) as refused:
        library.sql("SELECT * FROM pg_authid")
    assert "GRANT" not in refused.value.hint


def test_a_table_of_the_analysts_own_says_how_to_let_the_app_read_it(
    library: mt.MediaToolkit,
) -> None:
    with library._database.direct() as connection:
        connection.exec_driver_sql("CREATE TABLE campaigns AS SELECT 'spring' AS name")
    try:
        with pytest.raises(mt.Forbidden) as refused:
            library.sql("SELECT * FROM campaigns")
        grant = refused.value.hint.partition(": ")[2]
        with library._database.direct() as connection:
            connection.exec_driver_sql(grant)
        assert library.sql("SELECT * FROM campaigns")["name"].tolist() == ["spring"]
    finally:
        with library._database.direct() as connection:
            connection.exec_driver_sql("DROP TABLE campaigns")


def test_a_slow_query_is_ended_and_says_so(library: mt.MediaToolkit) -> None:
    with pytest.raises(mt.StoreError, match=r"more than 0\.2 s"):
        library.sql("SELECT count(*) FROM generate_series(1, 1000000000) AS n", timeout_s=0.2)


def test_named_queries_answer_what_they_say(library: mt.MediaToolkit) -> None:
    assert library.query("usage_by_user")["user_id"].tolist() == ["ana", "bob"]
    assert library.query("duplicates")["copies"].tolist() == [10]
    assert library.query("largest", limit=3)["bytes"].tolist() == [40_000, 39_000, 38_000]
    assert len(library.query("missing_alt_text")) == 10
    assert "usage_by_user" in set(library.queries()["name"])
    with pytest.raises(mt.FilterError, match="no query 'nothing'") as error:
        library.query("nothing")
    assert "usage_by_user" in error.value.hint
    with pytest.raises(mt.FilterError, match="has no parameter size"):
        library.query("largest", size=3)


def test_words_are_found_as_of_a_moment_too(library: mt.MediaToolkit) -> None:
    assert len(library.assets(text="tulip", as_of="2999-01-01")) == 40
    assert len(library.assets(text="tulip", as_of="2000-01-01")) == 0


@pytest.mark.parametrize(
    "words", [{}, {"format": "png"}, {"min_bytes": 20_000}, {"folder": "spring"}, {"tags": "red"}]
)
def test_pages_of_several_users_are_one_list(
    library: mt.MediaToolkit, words: dict[str, Any]
) -> None:
    words = {**words, "user_id": ["bob", "eva", "ana", "bob"]}
    expected = library.assets(columns=["id"], **words)["id"].tolist()
    assert expected
    there, after, before = [], None, None
    while True:
        page = library.page(limit=7, after=after, **words)
        assert page.position == len(there) + 1
        there += [asset.id for asset in page.items]
        if page.next_cursor is None:
            break
        after = page.next_cursor
    assert there == expected
    back, before = [asset.id for asset in page.items], page.previous_cursor
    while before is not None:
        page = library.page(limit=7, before=before, **words)
        back = [asset.id for asset in page.items] + back
        before = page.previous_cursor
    assert back == expected


@pytest.mark.parametrize("column", ["bytes", "width", "created_at", "format"])
def test_the_last_by_a_column_come_first_and_those_without_a_value_last(
    library: mt.MediaToolkit, column: str
) -> None:
    days = [f"2026-01-{n % 28 + 1:02}T00:00:00Z" for n in range(41, 51)]
    library.save_many(
        response(n, width=n % 3, created_at=days[n - 41], bytes=None, format=None)
        for n in range(41, 51)
    )
    everything = library.assets(columns=["id", column])
    for way in ("", "-"):
        wanted = everything.sort_values([column, "id"], ascending=way == "")["id"].tolist()
        for limit in (0, 3, 10, 41, 50, 60):
            found = library.assets(order_by=way + column, limit=limit, columns=["id"])
            assert found["id"].tolist() == wanted[:limit]


def test_values_for_which_the_query_has_no_parameter_are_said(library: mt.MediaToolkit) -> None:
    for query, params, said in (
        ("SELECT $1::int AS a", [1, 2], "has 1 parameters, params holds 2"),
        ("SELECT 1 AS a", [1], "has 0 parameters, params holds 1"),
    ):
        with pytest.raises(mt.FilterError, match=said):
            library.sql(query, params)


def test_a_page_stands_after_a_cursor_or_before_one(library: mt.MediaToolkit) -> None:
    cursor = library.page(limit=5).next_cursor
    with pytest.raises(mt.FilterError, match="after a cursor or before one"):
        library.page(after=cursor, before=cursor)


def test_a_file_in_no_folder_names_the_folder(library: mt.MediaToolkit, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"/none is no folder: make it first"):
        library.to_parquet(tmp_path / "none" / "x.parquet")
