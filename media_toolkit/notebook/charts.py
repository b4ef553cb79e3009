"""Altair charts of what `kit.assets()` gives: summed up in pandas, so a million rows stay small."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from media_toolkit.errors import FilterError

# Each has a contrast of at least 3 on white and on the dark grey of Jupyter's dark theme.
_PALETTE = ["#4c8fcb", "#cc7a29", "#3f9e58", "#d4606b", "#9c77c9", "#a8804d", "#2f9aa0", "#c2659f"]
_GREY = "#8c8c8c"
_MOST_BARS, _MOST_COLOURS, _MOST_PERIODS = 20, 8, 400
_PERIODS = {"h": "hour", "D": "day", "W": "week", "M": "month", "Q": "quarter", "Y": "year"}
# Themes colour titles and axes, not text marks: those look at the background themselves.
_INK = alt.ExprRef("luminance(background) < 0.4 ? 'white' : 'black'")
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def counts(frame: pd.DataFrame, by: str = "resource_type") -> alt.Chart | alt.LayerChart:
    """Bars: how many assets have each value of a column, most first.

    Args:
        frame: `kit.assets()`, shape (n, 21); of it only the column `by` is read, of any dtype.
        by: user_id, resource_type, format …; of tags and context (its keys) an asset counts at
            each. Beyond 20 bars the rarest share the last one, which says how many they are.

    Raises:
        FilterError: when there is no such column.
    """
    title = f"Assets by {_words(by)}"
    groups, others = _groups(_pick(frame, by)[by], _MOST_BARS)
    if groups.empty:
        return _nothing(title, "0 in all")
    found = groups.value_counts(sort=False)
    table = pd.DataFrame({"value": found.index.astype(str), "assets": found.to_numpy()})
    table["is_others"] = table["value"] == others
    bars = alt.Chart(table).encode(
        x=alt.X("assets:Q", axis=_whole_numbers(int(found.max()), grid=False)),
        y=alt.Y("value:N", sort=list(table["value"]), title=None, axis=alt.Axis(labelLimit=240)),
        tooltip=[alt.Tooltip("value:N", title=_words(by)), alt.Tooltip("assets:Q", format=",d")],
    )
    colour = alt.condition(alt.datum.is_others, alt.value(_GREY), alt.value(_PALETTE[0]))
    numbers = bars.mark_text(align="left", dx=4, fill=_INK).encode(
        text=alt.Text("assets:Q", format=",d")
    )
    return alt.LayerChart(
        layer=[bars.mark_bar().encode(color=colour), numbers],
        title=_title(title, f"{len(frame):,} in all"),
        width=480,
        height=alt.Step(22),
        view=alt.ViewBackground(stroke=None),
    )


def sizes(frame: pd.DataFrame, by: str = "resource_type") -> alt.Chart:
    """Histogram of `bytes` on a logarithmic axis: each bar ends at twice its beginning.

    Args:
        frame: `kit.assets()`, shape (n, 21); of it `bytes` (numbers) and `by` are read.
        by: what the colours stand for: resource_type, format, user_id …; 8 at most, the
            rarest values share one.

    Raises:
        FilterError: when there is no such column.
    """
    title = f"Size of the originals by {_words(by)}"
    picked = _pick(frame, by, "bytes")
    size = pd.to_numeric(picked["bytes"])
    known = picked[size.gt(0).fillna(False).astype(bool)]
    unknown = int(size.isna().sum())
    empty = len(picked) - len(known) - unknown
    # A logarithmic axis has no place for nought.
    told = _told(len(known), (unknown, "without a size"), (empty, "of 0 bytes"))
    if known.empty:
        return _nothing(title, told)
    powers = np.log2(known["bytes"].astype("float64")).astype("int64")
    table, colour = _stacked(powers, known[by], _words(by))
    first, last = int(powers.min()), int(powers.max()) + 1
    names = {2**p: f"{2 ** (p % 10)} {_UNITS[p // 10]}" for p in range(first, last + 1)}
    # As floats: the largest end beyond 64 bits.
    table["from"], table["to"] = 2.0 ** table["bin"], 2.0 ** (table["bin"] + 1)
    table["bin"] = table["from"].map(names) + " to " + table["to"].map(names)
    scale = alt.Scale(type="log", base=2, nice=False, domain=[2**first, 2**last])
    x = alt.X("from:Q", axis=_axis("size", names), scale=scale)
    return _histogram(table, x, colour, len(names)).properties(title=_title(title, told))


def uploads_over_time(frame: pd.DataFrame, by: str | None = None, every: str = "D") -> alt.Chart:
    """Bars: how many assets were uploaded in each hour, day, week, month, quarter or year (UTC).

    Args:
        frame: `kit.assets()`, shape (n, 21); of it `created_at`, where it is not known
            `upload_timestamp` (datetime64, UTC where they have no zone), and `by` are read.
        by: what the colours stand for; 8 at most, the rarest values share one.
        every: h, D, W, M, Q or Y. Where that makes more than 400 bars, the next longer one
            is taken, and the chart says so.

    Raises:
        FilterError: for an unknown `every`, or when there is no such column.
    """
    if every not in _PERIODS:
        raise FilterError(f"unknown period {every!r}", hint=f"known: {', '.join(_PERIODS)}")
    picked = _pick(frame, by or "upload_timestamp", "upload_timestamp")
    uploaded = pd.to_datetime(picked["upload_timestamp"], utc=True)
    if "created_at" in frame.columns:
        # A library that was imported was not uploaded on that day.
        created = frame["created_at"].reset_index(drop=True)
        uploaded = pd.to_datetime(created, utc=True).fillna(uploaded)
    known = picked.assign(upload_timestamp=uploaded)[uploaded.notna()]
    told = _told(len(known), (len(picked) - len(known), "without a time"))
    if known.empty:
        return _nothing(f"Uploads per {_PERIODS[every]}", told)
    times = known["upload_timestamp"].dt.tz_localize(None)
    first, last = times.min(), times.max()
    for taken in list(_PERIODS)[list(_PERIODS).index(every) :]:
        count = last.to_period(taken).ordinal - first.to_period(taken).ordinal + 1
        if count <= _MOST_PERIODS:
            break
    groups = known[by] if by else pd.Series("", known.index)
    table, colour = _stacked(times.dt.to_period(taken), groups, _words(by) if by else "")
    # A bar or two alone would each be as wide as the chart.
    around = max(0, (8 - count) // 2)
    edges = pd.period_range(
        first.to_period(taken) - around, last.to_period(taken) + around + 1, freq=taken
    )
    names = {(_ms(a) + _ms(b)) // 2: str(a).partition("/")[0] for a, b in pairwise(edges)}
    table["from"], table["to"] = table["bin"].map(_ms), table["bin"].map(lambda p: _ms(p + 1))
    table["bin"] = table["bin"].astype(str)
    scale = alt.Scale(type="utc", nice=False, domain=[_ms(edges[0]), _ms(edges[-1])])
    x = alt.X("from:T", axis=_axis(f"{_PERIODS[taken]} (UTC)", names, around), scale=scale)
    if taken != every:
        told += f"; every {_PERIODS[every]} would be too many bars"
    title = _title(f"Uploads per {_PERIODS[taken]}", told)
    return _histogram(table, x, colour, len(names)).properties(title=title)


def draw_offline() -> None:
    """Have JupyterLab or VS Code draw Altair's charts; by itself Altair loads scripts from a CDN.

    Holds for all Altair charts of the session; `alt.renderers.enable("default")` ends it, as an
    export to HTML needs it: there only Altair's own scripts draw.
    """

    def bundle(spec: dict[str, Any], **_: Any) -> dict[str, Any]:
        # JupyterLab 4.6 knows Vega-Lite up to 5; Altair 6 names its charts 6, and these fit both.
        schema = "https://vega.github.io/schema/vega-lite/v5.json"
        named = {**spec, "$schema": schema}
        return {"application/vnd.vegalite.v5+json": named, "text/plain": "<chart>"}

    alt.renderers.register("media_toolkit", bundle)
    alt.renderers.enable("media_toolkit")


def _pick(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise FilterError(
            f"the frame has no column {', '.join(missing)}",
            hint=f"it has: {', '.join(map(str, frame.columns))}",
            ids=tuple(missing),
        )
    return frame[list(dict.fromkeys(columns))].reset_index(drop=True)


def _groups(values: pd.Series, most: int) -> tuple[pd.Series, str]:
    """Values as categories of text, most frequent first; the rarest as one, and its name.

    Of lists and mappings each tag or key is a value, under the index of its row.
    """
    values = values.explode() if values.dtype == object else values
    text = values.astype("string").replace("", pd.NA).fillna("(none)")
    names = list(text.value_counts().sort_index().sort_values(ascending=False, kind="stable").index)
    others = ""
    if len(names) > most:
        others = f"{len(names) - most + 1:,} others"
        names = [*names[: most - 1], others]
        text = text.where(text.isin(names[:-1]), others)
    return pd.Series(pd.Categorical(text, names), text.index), others


def _stacked(bins: pd.Series, by: pd.Series, legend: str) -> tuple[pd.DataFrame, alt.Color]:
    """Counts of (bin, group) with where each segment begins and ends, and the groups' colours."""
    groups, others = _groups(by, _MOST_COLOURS)
    pairs = groups.to_frame("group").join(bins.rename("bin"))
    table = pairs.groupby(["bin", "group"], observed=True).size().rename("assets").reset_index()
    table["high"] = table.groupby("bin")["assets"].cumsum()
    table["low"] = table["high"] - table["assets"]
    names = list(groups.cat.categories)
    colours = [*_PALETTE[: len(names) - 1], _GREY] if others else _PALETTE[: len(names)]
    table["group"] = table["group"].astype(str)
    shown = alt.Legend(title=legend, labelLimit=200) if legend else None
    return table, alt.Color(
        "group:N", scale=alt.Scale(domain=names, range=colours), legend=shown, title=legend
    )


def _histogram(table: pd.DataFrame, x: alt.X, colour: alt.Color, bins: int) -> alt.Chart:
    # A gap between bars, unless they are so many that it would eat them up.
    y = alt.Y("low:Q", axis=_whole_numbers(int(table["high"].max())))
    tooltip = [alt.Tooltip("bin:N", title="bar"), alt.Tooltip("assets:Q", format=",d")]
    if colour.legend is not None:
        tooltip.insert(1, alt.Tooltip("group:N"))
    return (
        alt.Chart(table, width=480, height=220)
        .mark_rect(x2Offset=-1 if bins <= 100 else 0)
        .encode(x=x, x2="to", y=y, y2="high", color=colour, tooltip=tooltip)
    )


def _axis(title: str, names: dict[int, str], first: int = 0) -> alt.Axis:
    """An axis with at most 7 of the named ticks, the one at the index `first` among them."""
    step = 1 + (len(names) - 1) // 7
    ticks = list(names)[first % step :: step]
    chosen = "".join(f"time(datum.value) == {tick} ? '{names[tick]}' : " for tick in ticks)
    return alt.Axis(
        title=title, values=ticks, labelExpr=f"{chosen}''", labelFlush=False, grid=False
    )


def _whole_numbers(most: int, grid: bool = True) -> alt.Axis:
    ticks = list(range(most + 1)) if most < 6 else alt.Undefined
    return alt.Axis(title="assets", format=",d", tickMinStep=1, values=ticks, grid=grid)


def _nothing(title: str, told: str) -> alt.Chart:
    """A chart that says that there is nothing to show."""
    empty = alt.Chart(pd.DataFrame({"text": ["nothing to show"]}), width=480, height=60)
    return empty.mark_text(fill=_INK).encode(text="text:N").properties(title=_title(title, told))


def _title(text: str, subtitle: str) -> alt.TitleParams:
    return alt.TitleParams(text, subtitle=subtitle, anchor="start")


def _told(shown: int, *left_out: tuple[int, str]) -> str:
    others = " and ".join(f"{count:,} {which}" for count, which in left_out if count)
    told = f"; {others} left out" if others else ""
    return f"{shown:,} asset{'' if shown == 1 else 's'}{told}"


def _words(column: str) -> str:
    return {"user_id": "user", "tags": "tag"}.get(column, column.replace("_", " "))


def _ms(period: pd.Period) -> int:
    return int(period.start_time.tz_localize("UTC").timestamp() * 1000)
