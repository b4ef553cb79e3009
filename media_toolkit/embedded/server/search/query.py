"""What a search asks for besides its expression: order, page, counts and which fields to show."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from ..errors import ApiError
from ..protocol.form import Form
from .compile import Bound
from .fields import FIELDS, SORTABLE
from .wanted import Bucket, Order

DEFAULT_RESULTS, MAX_RESULTS = 50, 500
KNOWN = frozenset(
    {"expression", "sort_by", "max_results", "next_cursor", "aggregate", "with_field", "fields"}
)
# What is shown on request, and what is shown anyhow and may be asked for all the same.
WITH_FIELDS = frozenset(
    {"context", "tags", "metadata", "image_metadata", "image_analysis"}
    | {"asset_id", "public_id", "folder", "asset_folder", "filename", "display_name", "format"}
    | {"version", "resource_type", "type", "created_at", "uploaded_at", "bytes", "backup_bytes"}
    | {"width", "height", "aspect_ratio", "pixels", "pages", "url", "secure_url", "status"}
    | {"duration", "bit_rate", "frame_rate"}
    | {"moderation_status", "access_mode", "access_control", "etag", "created_by", "uploaded_by"}
)
_GROUPED = ("format", "resource_type", "type")
_RANGED = ("bytes", "duration", "image_pixels", "pixels", "video_pixels")
# Cloudinary does not document where its categories begin; these are ours.
_MEGA = 1_000_000
_CATEGORIES: dict[str, tuple[int, ...]] = {
    "bytes": (100_000, _MEGA, 10 * _MEGA, 100 * _MEGA),
    "duration": (10, 60, 600, 3600),
    "pixels": (100_000, _MEGA, 4 * _MEGA, 12 * _MEGA),
}
_MAX_SORTS = 10
_MAX_RANGES = 50


@dataclass(frozen=True)
class Aggregation:
    """Counts by the values of `column`, or by ranges."""

    name: str
    buckets: tuple[Bucket, ...] = ()


@dataclass(frozen=True)
class Query:
    """A search as it was asked for; `after` holds the sort values of the last row seen."""

    expression: str = ""
    sort_by: tuple[tuple[str, str], ...] = ()
    max_results: int = DEFAULT_RESULTS
    after: tuple[Bound, ...] = ()
    aggregations: tuple[Aggregation, ...] = ()
    with_field: frozenset[str] = field(default_factory=frozenset)
    fields: frozenset[str] = field(default_factory=frozenset)


def read_query(form: Form, sortable: dict[str, str] = SORTABLE) -> Query:
    """Read a search request's parameters. ApiError 400 names the wrong one."""
    for name in form.fields:
        if name not in KNOWN and form.text(name):
            raise ApiError(400, f"Unsupported parameter on this server - {name}")
    expression = form.text("expression")
    sort_by = _sort_by(form)
    after: tuple[Bound, ...] = ()
    if cursor := form.text("next_cursor"):
        kept_expression, kept_sort, after = _read_cursor(cursor)
        expression = expression or kept_expression
        sort_by = sort_by or kept_sort
        if (expression, sort_by) != (kept_expression, kept_sort):
            raise ApiError(400, f"Invalid value for parameter next_cursor: {cursor}")
    for name, _ in sort_by:
        if name not in sortable:
            raise ApiError(400, f"Invalid value for parameter sort_by: {name}")
    if after and len(after) != len(sort_by or ("created_at",)) + 1:
        raise ApiError(400, f"Invalid value for parameter next_cursor: {form.text('next_cursor')}")
    return Query(
        expression=expression,
        sort_by=sort_by,
        max_results=_max_results(form),
        after=after,
        aggregations=tuple(_aggregation(item) for item in _items(form, "aggregate")),
        with_field=_names(form, "with_field", WITH_FIELDS),
        fields=_names(form, "fields", None),
    )


def order_of(query: Query, sortable: dict[str, str] = SORTABLE, unique: str = "seq") -> list[Order]:
    """What to sort by: as asked, or the newest first; then by what no two rows share."""
    asked = query.sort_by or (("created_at", "desc"),)
    # Null compares with nothing, so a page could not begin after it.
    order = [Order(f"coalesce({sortable[name]}, '')", way == "desc") for name, way in asked]
    return [*order, Order(unique, asked[0][1] == "desc")]


def cursor(query: Query, keys: list[Bound]) -> str:
    """The next_cursor for the page that follows the row with these sort values."""
    text = json.dumps([query.expression, query.sort_by, keys], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode("ascii").rstrip("=")


def _read_cursor(text: str) -> tuple[str, tuple[tuple[str, str], ...], tuple[Bound, ...]]:
    try:
        padded = text + "=" * (-len(text) % 4)
        expression, sort_by, keys = json.loads(base64.urlsafe_b64decode(padded.encode("ascii")))
        sorts = tuple((str(name), str(way)) for name, way in sort_by)
        if isinstance(expression, str) and all(isinstance(key, str | int | float) for key in keys):
            return expression, sorts, tuple(keys)
    except (ValueError, TypeError, binascii.Error, RecursionError):
        pass
    raise ApiError(400, f"Invalid value for parameter next_cursor: {text}")


def _sort_by(form: Form) -> tuple[tuple[str, str], ...]:
    sorts: dict[str, str] = {}
    for item in _items(form, "sort_by"):
        pairs = item.items() if isinstance(item, dict) else [(str(item), "desc")]
        for name, way in pairs:
            if str(way).lower() not in ("asc", "desc"):
                raise ApiError(400, f"Invalid value for parameter sort_by: {way}")
            sorts[str(name)] = str(way).lower()
    if len(sorts) > _MAX_SORTS:
        raise ApiError(400, f"Invalid value for parameter sort_by: more than {_MAX_SORTS} fields")
    return tuple(sorts.items())


def _items(form: Form, name: str) -> list[Any]:
    """The parameter's items, those that are JSON objects read, names as they are."""
    value = form.fields.get(name, [])
    text = value if isinstance(value, list) else [value]
    items: list[Any] = []
    for one in text:
        if one.lstrip().startswith(("{", "[")):
            try:
                read = json.loads(one)
            except (ValueError, RecursionError) as error:
                raise ApiError(400, f"Invalid value for parameter {name}: {one}") from error
            items.extend(read if isinstance(read, list) else [read])
        else:
            items.extend(part.strip() for part in one.split(",") if part.strip())
    return items


def _max_results(form: Form) -> int:
    text = form.text("max_results")
    if not text:
        return DEFAULT_RESULTS
    if text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= MAX_RESULTS:
        return int(text)
    raise ApiError(
        400,
        f"Invalid value {text} for parameter max_results: must be between 1 and {MAX_RESULTS}",
    )


def _names(form: Form, name: str, allowed: frozenset[str] | None) -> frozenset[str]:
    names = frozenset(str(item) for item in _items(form, name))
    if allowed is not None and (unknown := names - allowed):
        raise ApiError(400, f"Invalid value for parameter {name}: {min(unknown)}")
    return names


def _aggregation(item: Any) -> Aggregation:
    if isinstance(item, str) and item in _GROUPED:
        return Aggregation(item)
    if isinstance(item, str) and item in _RANGED:
        item = {"type": item, "ranges": _categories(item)}
    if isinstance(item, dict) and item.get("type") in _RANGED:
        ranges = item.get("ranges")
        if isinstance(ranges, list) and 1 <= len(ranges) <= _MAX_RANGES:
            # Only images are counted by their pixels, unless those of videos are asked for.
            name = "image_pixels" if item["type"] == "pixels" else item["type"]
            column = FIELDS[name].sql
            buckets = tuple(_bucket(column, one, at) for at, one in enumerate(ranges))
            return Aggregation(item["type"], buckets)
    name = item.get("type") if isinstance(item, dict) else item
    raise ApiError(400, f"Invalid value for parameter aggregate: {name}")


def _categories(name: str) -> list[dict[str, int]]:
    limits = _CATEGORIES[name.removeprefix("image_").removeprefix("video_")]
    return (
        [{"to": limits[0]}]
        + [{"from": low, "to": high} for low, high in pairwise(limits)]
        + [{"from": limits[-1]}]
    )


def _bucket(column: str, item: Any, at: int) -> Bucket:
    """Counts from `from` up to but without `to`."""
    bounds = [item.get("from"), item.get("to")] if isinstance(item, dict) else []
    numbers = [bound for bound in bounds if bound is not None]
    if not numbers or not all(
        isinstance(bound, int | float) and not isinstance(bound, bool) and abs(bound) < 2**62
        for bound in numbers
    ):
        raise ApiError(400, "Invalid value for parameter aggregate: ranges")
    parts = [
        f"{column} {operator} ?"
        for bound, operator in zip(bounds, (">=", "<"), strict=True)
        if bound is not None
    ]
    label = str(item.get("key", f"{bounds[0] or '*'}-{bounds[1] or '*'}"))
    return Bucket(label, "(" + " and ".join(parts) + ")", numbers)
