"""Charts hold the right numbers, stay small, and say what they leave out."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import pytest

import media_toolkit as mt
from media_toolkit.notebook import charts


def frame(**columns: Any) -> pd.DataFrame:
    """A frame of the dtypes that `kit.assets()` gives."""
    dtypes = {"bytes": "Int64", "width": "Int32", "user_id": "string", "format": "string"}
    made = {name: pd.Series(values, dtype=dtypes.get(name)) for name, values in columns.items()}
    if "upload_timestamp" in made:
        times = pd.to_datetime(made["upload_timestamp"], utc=True, format="ISO8601")
        made["upload_timestamp"] = times.astype("datetime64[us, UTC]")
    return pd.DataFrame(made)


def bars(chart: alt.Chart | alt.LayerChart) -> pd.DataFrame:
    """The rows that the chart draws; `to_dict` also checks the chart against its schema."""
    spec = chart.to_dict()
    (rows,) = spec["datasets"].values()
    return pd.DataFrame(rows)


def title(chart: alt.Chart | alt.LayerChart) -> tuple[str, str]:
    told = chart.to_dict()["title"]
    return told["text"], told["subtitle"]


def x_axis(chart: alt.Chart) -> dict[str, Any]:
    return dict(chart.to_dict()["encoding"]["x"]["axis"])


@pytest.fixture
def library(kit: mt.MediaToolkit) -> pd.DataFrame:
    def response(public_id: str, kind: str, size: int, **more: Any) -> dict[str, Any]:
        url = f"https://res.cloudinary.com/demo/{kind}/upload/{public_id}"
        return {
            "public_id": public_id, "resource_type": kind, "bytes": size, "secure_url": url, **more
        }  # fmt: skip

    kit.save_many(
        [
            response("a", "image", 1000, format="jpg", width=10, height=10, tags=["x", "y"]),
            response("b", "image", 1500, format="png", width=10, height=10, tags=["x"]),
            response("c", "video", 900_000, format="mp4", context={"custom": {"alt": "C"}}),
        ]
    )
    kit.acting_as("bob").save_many([response("d", "image", 1023, format="jpg")])
    return kit.assets()


def test_what_the_library_holds_is_counted_by_each_column(library: pd.DataFrame) -> None:
    by_type = bars(charts.counts(library))
    assert by_type["value"].tolist() == ["image", "video"]
    assert by_type["assets"].tolist() == [3, 1]
    by_user = bars(charts.counts(library, "user_id"))
    assert dict(zip(by_user["value"], by_user["assets"], strict=True)) == {"ana": 3, "bob": 1}
    by_tag = bars(charts.counts(library, "tags"))
    assert by_tag.values.tolist() == [["(none)", 2, False], ["x", 2, False], ["y", 1, False]]
    by_key = bars(charts.counts(library, "context"))
    assert by_key["value"].tolist() == ["(none)", "alt"]
    by_width = bars(charts.counts(library, "width"))
    assert by_width["value"].tolist() == ["(none)", "10"]
    assert title(charts.counts(library, "user_id")) == ("Assets by user", "4 in all")


def test_sizes_and_uploads_of_the_library_add_up(library: pd.DataFrame) -> None:
    sizes = bars(charts.sizes(library, "format"))
    found = {(row.bin, row.group): row.assets for row in sizes.itertuples()}
    assert found == {
        ("512 B to 1 KiB", "jpg"): 2,
        ("1 KiB to 2 KiB", "png"): 1,
        ("512 KiB to 1 MiB", "mp4"): 1,
    }
    uploads = bars(charts.uploads_over_time(library, by="user_id"))
    today = str(library["upload_timestamp"].iloc[0].date())
    assert uploads.groupby("group")["assets"].sum().to_dict() == {"ana": 3, "bob": 1}
    assert today in uploads["bin"].tolist()


@pytest.mark.parametrize("values", [20, 21, 500])
def test_more_than_twenty_values_share_a_last_bar_that_says_so(values: int) -> None:
    users = [f"user{number:03}" for number in range(values) for _ in range(1 + (number < 3))]
    drawn = bars(charts.counts(frame(user_id=users), "user_id"))
    assert len(drawn) == 20
    assert drawn["assets"].sum() == values + 3
    assert drawn["value"].tolist()[:4] == ["user000", "user001", "user002", "user003"]
    if values == 20:
        assert not drawn["is_others"].any()
    else:
        assert drawn["value"].iloc[-1] == f"{values - 19} others"
        assert drawn["is_others"].tolist() == [False] * 19 + [True]
        assert drawn["assets"].iloc[-1] == values - 19


def test_bars_are_drawn_in_their_order_not_the_alphabet() -> None:
    chart = charts.counts(frame(format=["b", "a", "b", None, ""]), "format")
    assert bars(chart)["value"].tolist() == ["(none)", "b", "a"]
    assert chart.to_dict()["layer"][0]["encoding"]["y"]["sort"] == ["(none)", "b", "a"]


def test_sizes_fall_between_powers_of_two_and_stack_without_a_gap() -> None:
    drawn = bars(
        charts.sizes(frame(bytes=[1023, 1024, 2047, 2048], format=["a", "a", "b", "b"]), "format")
    )
    assert drawn[["from", "to", "group", "low", "high"]].values.tolist() == [
        [512, 1024, "a", 0, 1],
        [1024, 2048, "a", 0, 1],
        [1024, 2048, "b", 1, 2],
        [2048, 4096, "b", 0, 1],
    ]


def test_sizes_go_as_far_as_numbers_of_postgres() -> None:
    largest = charts.sizes(frame(bytes=[2**50, 2**60, 2**63 - 1], resource_type=["raw"] * 3))
    rows = bars(largest)
    assert rows["from"].tolist() == [2**50, 2**60, 2**63]
    assert rows["bin"].tolist()[:2] == ["1 PiB to 2 PiB", "1 EiB to 2 EiB"]


def test_what_has_no_size_or_time_is_left_out_and_told() -> None:
    assets = frame(
        bytes=[5, None, 0],
        resource_type=["image"] * 3,
        upload_timestamp=["2026-03-01T23:59:59Z", None, "2026-03-02T00:00:00Z"],
    )
    assert title(charts.sizes(assets))[1] == ("1 asset; 1 without a size and 1 of 0 bytes left out")
    assert title(charts.uploads_over_time(assets))[1] == "2 assets; 1 without a time left out"
    assert title(charts.sizes(assets[1:]))[1] == (
        "0 assets; 1 without a size and 1 of 0 bytes left out"
    )


@pytest.mark.parametrize(
    ("every", "shown"),
    [
        ("h", {"2026-03-01 22:00": 1, "2026-03-01 23:00": 1, "2026-03-02 00:00": 1}),
        ("D", {"2026-03-01": 2, "2026-03-02": 1}),
        ("W", {"2026-02-23/2026-03-01": 2, "2026-03-02/2026-03-08": 1}),
        ("M", {"2026-03": 3}),
        ("Q", {"2026Q1": 3}),
        ("Y", {"2026": 3}),
    ],
)
def test_uploads_fall_into_periods_of_utc(every: str, shown: dict[str, int]) -> None:
    # The first is written with an offset: 00:30 in Zurich is still the day before in UTC.
    times = ["2026-03-02T00:30:00+01:00", "2026-03-01T22:00:00Z", "2026-03-02T00:00:00Z"]
    drawn = bars(charts.uploads_over_time(frame(upload_timestamp=times), every=every))
    assert dict(zip(drawn["bin"], drawn["assets"], strict=True)) == shown
    assert (drawn["from"] < drawn["to"]).all()
    hour = 3_600_000
    lengths = {"h": hour, "D": 24 * hour, "W": 168 * hour, "M": 31 * 24 * hour}
    if every in lengths:
        assert set(drawn["to"] - drawn["from"]) == {lengths[every]}


def test_an_imported_library_was_uploaded_when_cloudinary_says(kit: mt.MediaToolkit) -> None:
    told = {"resource_type": "image", "secure_url": "https://res.example/x.png"}
    kit.save_many(
        {**told, "public_id": f"old{n}", "created_at": f"2025-0{n}-10T12:00:00Z"} for n in (1, 3)
    )
    kit.save_many([{**told, "public_id": "new"}])
    drawn = bars(charts.uploads_over_time(kit.assets(text="old").iloc[1:], every="M"))
    assert drawn["bin"].tolist() == ["2025-01"]
    drawn = bars(charts.uploads_over_time(kit.assets().iloc[::2], every="Y"))
    assert sorted(drawn["bin"]) == [
        "2025",
        f"{kit.assets()['upload_timestamp'][0].year}",
    ]
    weeks = kit.query("growth_by_week")
    assert weeks["week"].dt.strftime("%Y-%m-%d").tolist()[:2] == ["2025-01-06", "2025-03-10"]
    assert str(kit.query("usage_by_user")["first_upload"][0].date()) == "2025-01-10"


def test_the_axis_names_the_periods_that_have_bars() -> None:
    chart = charts.uploads_over_time(frame(upload_timestamp=["2026-03-01T12:00:00Z"]))
    noon = int(pd.Timestamp("2026-03-01T12:00Z").timestamp() * 1000)
    assert noon in x_axis(chart)["values"]
    assert f"{noon} ? '2026-03-01'" in x_axis(chart)["labelExpr"]
    assert x_axis(chart)["title"] == "day (UTC)"


def test_too_many_bars_become_longer_periods_and_the_chart_says_so() -> None:
    days = pd.date_range("2020-01-01", periods=401, freq="D", tz="UTC")
    assert len(bars(charts.uploads_over_time(frame(upload_timestamp=days[:400])))) == 400
    chart = charts.uploads_over_time(frame(upload_timestamp=days))
    assert title(chart) == ("Uploads per week", "401 assets; every day would be too many bars")
    assert bars(chart)["assets"].sum() == 401


def test_times_without_a_zone_are_utc() -> None:
    naive = pd.DataFrame({"upload_timestamp": pd.to_datetime(["2026-03-01T23:30:00"])})
    assert bars(charts.uploads_over_time(naive))["bin"].tolist() == ["2026-03-01"]


def test_an_empty_library_gives_charts_with_a_title(kit: mt.MediaToolkit) -> None:
    nothing = kit.assets()
    for chart, told in (
        (charts.counts(nothing, "user_id"), ("Assets by user", "0 in all")),
        (charts.counts(nothing, "tags"), ("Assets by tag", "0 in all")),
        (charts.sizes(nothing), ("Size of the originals by resource type", "0 assets")),
        (charts.uploads_over_time(nothing, "format", "M"), ("Uploads per month", "0 assets")),
    ):
        assert title(chart) == told
        assert bars(chart)["text"].tolist() == ["nothing to show"]


def test_a_column_that_is_absent_is_named_with_those_there_are(library: pd.DataFrame) -> None:
    for draw in (charts.counts, charts.sizes, charts.uploads_over_time):
        with pytest.raises(mt.FilterError, match=r"no column owner .*user_id, upload_timestamp"):
            draw(library, "owner")
    with pytest.raises(mt.FilterError, match="no column bytes"):
        charts.sizes(library.drop(columns="bytes"))
    with pytest.raises(mt.FilterError, match=r"unknown period 'minute' .*h, D, W"):
        charts.uploads_over_time(library, every="minute")


def test_a_million_rows_give_a_small_chart() -> None:
    number, dice = 1_000_000, np.random.default_rng(7)
    assets = frame(
        user_id=dice.choice([f"user{n}" for n in range(60)], number),
        bytes=dice.lognormal(12, 2, number).astype("int64") + 1,
        upload_timestamp=np.datetime64("2024-01-01", "us")
        + dice.integers(0, 86_400 * 700, number).astype("timedelta64[s]"),
    )
    for chart in (
        charts.counts(assets, "user_id"),
        charts.sizes(assets, "user_id"),
        charts.uploads_over_time(assets, "user_id"),
    ):
        assert bars(chart)["assets"].sum() == number
        assert len(chart.to_json()) < 250_000


def test_rows_may_come_in_any_order_and_twice() -> None:
    assets = frame(bytes=[10, 3000], format=["a", "b"])
    twice = pd.concat([assets[::-1], assets])
    drawn = bars(charts.sizes(twice, "format"))
    assert drawn[["group", "assets"]].values.tolist() == [["a", 2], ["b", 2]]


def test_charts_can_stand_side_by_side_and_in_any_theme(library: pd.DataFrame) -> None:
    both = charts.counts(library) | charts.sizes(library) | charts.uploads_over_time(library)
    spec = both.to_dict()
    assert len(spec["hconcat"]) == 3
    # Nothing of it fixes a background or the colour of titles and axes: themes do that.
    assert "background" not in str(spec["hconcat"][1:])
    assert "labelColor" not in str(spec)


def test_offline_charts_are_what_jupyterlab_can_draw_without_a_network(
    library: pd.DataFrame,
) -> None:
    before = alt.renderers.active
    try:
        charts.draw_offline()
        bundle = charts.counts(library)._repr_mimebundle_()
    finally:
        alt.renderers.enable(before)
    assert set(bundle) == {"application/vnd.vegalite.v5+json", "text/plain"}
    spec = bundle["application/vnd.vegalite.v5+json"]
    assert spec["$schema"].endswith("/v5.json")
    assert "layer" in spec


def test_importing_the_package_loads_no_chart_library() -> None:
    code = (
        "import sys, media_toolkit, media_toolkit.notebook;"
        "print([m for m in ('altair', 'pandas') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
