"""Responses that are none: the field, its value and the asset are named, and which it was."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

import media_toolkit as mt


def told(**fields: Any) -> dict[str, Any]:
    url = "https://res.cloudinary.com/demo/image/upload/tulip.jpg"
    return {"public_id": "tulip", "resource_type": "image", "secure_url": url, **fields}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("width", value) for value in ("wide", math.nan, math.inf, 1.5, Decimal("1.5"), True)),
        *(("width", value) for value in (pd.NA, [640], b"640")),
        *(("version", value) for value in ("v1", "1.5", math.nan)),
        *(("duration", value) for value in ("long", math.nan, math.inf, [1])),
        *(("created_at", value) for value in ("someday", 5, pd.NaT, date(2026, 3, 1))),
        *(("context", value) for value in ("alt=x", ["alt=x"], math.nan)),
        *(("tags", value) for value in ("a", b"a", {"a": 1}, 5, [["a"]])),
        *(("public_id", value) for value in (math.nan, pd.NA)),
        ("asset_folder", math.nan),
        ("folder", pd.NA),
        ("secure_url", math.nan),
        ("secure_url", "https://[half"),
        ("resource_type", math.nan),
    ],
)
def test_what_cannot_be_read_is_told_with_its_field_its_value_and_the_asset(
    field: str, value: Any
) -> None:
    response = told(**{field: value})
    with pytest.raises(mt.SignatureError) as refused:
        mt.Asset.from_response(response, "ana")
    public_id = repr(response["public_id"])
    begin = f"not a Cloudinary response: {public_id}: {field} is {value!r}, not "
    assert refused.value.message.startswith(begin)
    assert refused.value.ids == (str(response["public_id"]),)


def test_a_long_value_is_told_shortened() -> None:
    with pytest.raises(mt.SignatureError) as refused:
        mt.Asset.from_response(told(width="w" * 10_000), "ana")
    assert len(refused.value.message) < 250
    assert "…" in refused.value.message


def test_numbers_that_are_whole_are_read_whatever_has_them() -> None:
    read = mt.Asset.from_response(
        told(width=640.0, height="427", bytes=np.int64(5), version=Decimal(7), duration="1.5"),
        "ana",
    )
    assert (read.width, read.height, read.bytes, read.version, read.duration) == (
        640, 427, 5, 7, 1.5,
    )  # fmt: skip


@pytest.mark.parametrize(
    "moment",
    [
        "2026-03-01T12:00:00Z",
        "2026-03-01T12:00:00",
        datetime(2026, 3, 1, 12),
        datetime(2026, 3, 1, 12, tzinfo=UTC),
        pd.Timestamp("2026-03-01T13:00:00+01:00"),
    ],
)
def test_a_moment_may_be_text_or_a_datetime_and_is_utc_unless_it_says_so(moment: Any) -> None:
    read = mt.Asset.from_response(told(created_at=moment), "ana")
    assert read.created_at == datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("context", "read"),
    [
        ({"custom": {"alt": "x", "n": None}}, {"alt": "x"}),
        ({"custom": "yes", "alt": "x"}, {"custom": "yes", "alt": "x"}),
        ({"b": True, "n": 1, "f": 1.5}, {"b": "true", "n": "1", "f": "1.5"}),
        (
            {"d": {"a": [1, "ü", None]}, "l": [False]},
            {"d": '{"a": [1, "ü", null]}', "l": "[false]"},
        ),
    ],
)
def test_a_context_is_text_and_what_is_none_as_json(context: Any, read: dict[str, str]) -> None:
    assert mt.Asset.from_response(told(context=context), "ana").context == read


def test_a_context_is_found_by_the_values_that_were_saved(kit: mt.MediaToolkit) -> None:
    kit.save_many([told(context={"custom": "yes", "is_new": True, "sizes": [1, 2]})])
    for found in ({"is_new": True}, {"is_new": "true"}, {"sizes": [1, 2]}, {"custom": "yes"}):
        assert kit.count(context=found) == 1, found


def test_a_folder_is_found_however_many_slashes_stand_around_it(kit: mt.MediaToolkit) -> None:
    kit.save_many(
        [
            told(public_id="one", asset_folder="/shop/"),
            told(public_id="two", folder="shop/new/"),
            told(public_id="/shop/three"),
            told(public_id="shop/four", asset_folder="/"),
        ]
    )
    assert kit.count(folder="/shop") == kit.count(folder="shop") == 4


def test_datetimes_are_saved_and_read_back(kit: mt.MediaToolkit) -> None:
    moment = pd.Timestamp("2026-03-01T12:00:00Z")
    kit.save_many(told(public_id=f"t{n}", created_at=moment) for n in range(600))
    kit.save_many([told(public_id="few", created_at=moment)])
    assert set(kit.assets(columns=["created_at"])["created_at"]) == {moment}


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (told(width="wide"), "'tulip': width is 'wide', not a whole number"),
        ({**told(), "public_id": None}, "public_id missing"),
        (told(secure_url=""), "secure_url missing in 'tulip'"),
        (None, "None is not a mapping"),
    ],
)
def test_save_many_says_which_response_it_is(kit: mt.MediaToolkit, bad: Any, said: str) -> None:
    responses = [told(public_id=f"t{n}") for n in range(2_000)]
    responses[1_233] = bad
    with pytest.raises(mt.SignatureError) as refused:
        kit.save_many(responses)
    assert refused.value.message == f"response 1,234: not a Cloudinary response: {said}"
    assert kit.count() == 0


@pytest.mark.parametrize(
    ("responses", "hint"),
    [
        (told(), "[response]"),
        ("tulip", "a list"),
        (b"tulip", "a list"),
        (None, "a list"),
        (pd.DataFrame([told()]), "to_dict"),
    ],
)
def test_what_is_no_list_of_responses_is_told_what_to_pass(
    kit: mt.MediaToolkit, responses: Any, hint: str
) -> None:
    with pytest.raises(mt.SignatureError, match="not a list of Cloudinary responses") as refused:
        kit.save_many(responses)
    assert hint in refused.value.hint
