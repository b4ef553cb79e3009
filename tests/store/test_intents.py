"""Upload intents: each signature is written down, each upload settles at most one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa

import media_toolkit as mt
from media_toolkit.cloud.signing import SignedUpload, now
from media_toolkit.store.intents import RETENTION, IntentStore


@pytest.fixture
def post(sample_media: Path) -> Callable[[SignedUpload], dict[str, Any]]:
    """Send a picture as a browser would."""

    def send(signed: SignedUpload) -> dict[str, Any]:
        data = (sample_media / "horse.png").read_bytes()
        answer = requests.post(
            signed.url, data=signed.fields, files={"file": ("horse.png", data)}, timeout=30
        )
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    return send


@pytest.fixture
def intents(kit: mt.MediaToolkit) -> IntentStore:
    return kit._intents


def asset(**changes: Any) -> mt.Asset:
    plain = mt.Asset("a", "https://x/a.png", "image", "", asset_id="0" * 32, version=now())
    return dataclasses.replace(plain, **changes)


def test_a_signature_writes_an_intent_and_the_save_settles_it(
    kit: mt.MediaToolkit, post: Callable[[SignedUpload], dict[str, Any]]
) -> None:
    signed = kit.sign_upload(folder="spring", tags=["a", "b"])
    (row,) = kit.intents().to_dict("records")
    assert (row["user_id"], row["parameters"]) == (
        "ana",
        {"folder": "spring", "tags": "a,b", "timestamp": signed.fields["timestamp"]},
    )
    assert row["expires_at"] - row["signed_at"] == timedelta(hours=1)
    saved = kit.save(post(signed))
    assert kit.intents().empty
    (row,) = kit.intents(settled=True).to_dict("records")
    assert (row["settled_by"], row["asset_id"], row["asset_public_id"]) == (
        "save",
        saved.asset_id,
        saved.public_id,
    )
    kit.acting_as("bo").upload(b"x", resource_type="raw")
    assert kit.intents().empty


def test_the_frame_has_its_types_with_rows_and_without(kit: mt.MediaToolkit) -> None:
    empty = kit.intents(settled=None)
    kit.sign_upload(public_id="x")
    kit.sign_upload()
    full = kit.intents(settled=None)
    assert full["public_id"].fillna("-").tolist() == ["-", "x"]
    assert empty.dtypes.astype(str).to_dict() == full.dtypes.astype(str).to_dict()
    kinds = full.dtypes.astype(str)
    assert (kinds["id"], kinds["settled_at"]) == ("Int64", "datetime64[us, UTC]")
    assert kinds["asset_version"] == "Int64"
    assert (kinds["settled_by"], kinds["parameters"]) == ("string", "object")


def test_saving_the_same_upload_again_settles_nothing_more(
    kit: mt.MediaToolkit, post: Callable[[SignedUpload], dict[str, Any]]
) -> None:
    first, _ = kit.sign_upload(), kit.sign_upload()
    response = post(first)
    for _ in range(3):
        kit.save(response)
    assert len(kit.intents()) == len(kit.intents(settled=True)) == 1


def test_the_intent_that_signed_the_most_is_settled_and_then_the_newest(
    kit: mt.MediaToolkit, intents: IntentStore
) -> None:
    t = now()
    rules: list[dict[str, str]] = [
        {"public_id": "a", "folder": "f"},
        {"public_id": "f/b"},
        {"folder": "f", "tags": "x,y"},
        {"folder": "f"},
        {"tags": "x"},
        {},
        {},
        {"type": "private"},
    ]
    opened = [
        intents.open(kit.identity, {**rule, "timestamp": t + n - 20}, t + 3600)
        for n, rule in enumerate(rules)
    ]
    order = [
        (asset(public_id="f/a", folder="f", version=t + 1), 0),
        (asset(public_id="f/b", folder="f", version=t + 1), 1),
        (asset(public_id="f/c", folder="f", tags=("x", "y", "z"), version=t + 1), 2),
        (asset(public_id="f/d", folder="f", tags=("x",), version=t + 1), 3),
        (asset(public_id="e", tags=("x",), version=t + 1), 4),
        (asset(public_id="f", version=t + 1), 6),
        (asset(public_id="g", version=t + 1), 5),
        (asset(public_id="h", delivery_type="private", version=t + 1), 7),
    ]
    for one, expected in order:
        named = expected < 5
        found = intents.find(one, "save", kit.identity, named_only=named)
        assert found is not None, one
        assert found.id == opened[expected].id, one
        assert not found.is_settled
        settled = intents.settle(one, "notification", kit.identity, named_only=named)
        assert settled == intents.find(one, "save", kit.identity)
        assert settled is not None
        assert (settled.id, settled.settled_by) == (found.id, "notification")
    assert intents.unsettled(kit.identity) == []


def test_of_folders_and_tags_that_hold_one_another_the_closest_is_settled(
    kit: mt.MediaToolkit, intents: IntentStore
) -> None:
    t = now()
    rules: list[dict[str, str]] = [
        {"folder": "f/g", "tags": "x,y"},
        {"folder": "f/g", "tags": "x"},
        {"folder": "f", "tags": "x,y"},
        {"folder": "f"},
    ]
    opened = [intents.open(kit.identity, {**r, "timestamp": t}, t + 3600) for r in rules]
    order = [
        asset(public_id="f/g/a", tags=("x", "y"), version=t + 1),
        asset(public_id="f/g/b", tags=("x",), version=t + 1),
        asset(public_id="f/c", tags=("x", "y"), version=t + 1),
        asset(public_id="f/d", version=t + 1),
    ]
    for one, expected in zip(order, opened, strict=True):
        settled = intents.settle(one, "save", kit.identity)
        assert settled is not None
        assert settled.id == expected.id


def test_only_a_save_settles_what_was_signed_after_the_upload(
    kit: mt.MediaToolkit, intents: IntentStore
) -> None:
    kit.sign_upload(folder="f")
    kit.sign_upload()
    for public_id in ("f/a", "a"):
        one = asset(public_id=public_id, version=now() - 5)
        assert intents.find(one, "reconcile", kit.identity) is None
        assert intents.settle(one, "notification", kit.identity) is None
        # Two clocks may differ, and a save is the caller's word.
        assert intents.settle(one, "save", kit.identity) is not None


def test_an_upload_of_another_time_user_or_timestamp_settles_nothing(
    kit: mt.MediaToolkit, intents: IntentStore
) -> None:
    t = now()
    intents.open(kit.identity, {"timestamp": t}, t + 3600)
    bo = kit.acting_as("bo").identity
    assert intents.settle(asset(), "save", bo) is None
    assert intents.settle(asset(version=t - 3600), "save", kit.identity) is None
    assert intents.settle(asset(version=t + 7200), "save", kit.identity) is None
    assert intents.settle(asset(), "save", kit.identity, timestamp=t + 1) is None
    assert intents.settle(asset(), "reconcile", kit.identity, named_only=True) is None
    assert intents.settle(asset(), "save", kit.identity, timestamp=t) is not None


def test_a_save_and_a_notification_at_once_settle_one_intent(
    kit: mt.MediaToolkit, intents: IntentStore
) -> None:
    for _ in range(4):
        kit.sign_upload()
    one = asset()
    with ThreadPoolExecutor(4) as pool:
        settled = list(
            pool.map(
                lambda by: intents.settle(one, by, kit.identity),
                ("save", "notification", "reconcile", "save"),
            )
        )
    assert len({intent and intent.id for intent in settled}) == 1
    assert len(kit.intents()) == 3


def test_old_intents_are_forgotten_a_few_at_each_signature(
    kit: mt.MediaToolkit, intents: IntentStore
) -> None:
    old = int((datetime.now(UTC) - RETENTION - timedelta(days=1)).timestamp())
    for _ in range(3):
        intents.open(kit.identity, {"timestamp": old}, datetime.fromtimestamp(old + 3600, UTC))
    kit.sign_upload()
    assert len(kit.intents(settled=None)) == 1
    assert intents.forget(kit.identity) == 0


def test_no_secret_and_no_signature_is_written_down(kit: mt.MediaToolkit) -> None:
    signed = kit.sign_upload()
    with kit._database.direct() as connection:
        row = str(connection.execute(sa.text("SELECT * FROM upload_intents")).one())
    for hidden in (
        kit.account.api_secret.get_secret_value(), kit.account.api_key, signed.fields["signature"]
    ):  # fmt: skip
        assert hidden not in row


def test_intents_are_seen_and_settled_by_their_owner_and_an_admin_only(
    kit: mt.MediaToolkit, intents: IntentStore
) -> None:
    bo, boss = mt.Identity("bo"), mt.Identity("boss", "admin")
    kit.sign_upload()
    assert intents.unsettled(bo) == []
    assert intents.settle(asset(), "notification", bo) is None
    assert [i.user_id for i in intents.unsettled(boss)] == ["ana"]
    settled = intents.settle(asset(), "notification", boss)
    assert settled is not None
    assert settled.user_id == "ana"
    assert intents.frame(bo, settled=None).empty
