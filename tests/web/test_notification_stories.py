"""Names that are used again, told in any order: the table ends as Cloudinary did."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Mapping
from typing import Any

import pytest

import media_toolkit as mt
from tests.web import test_notifications as told

STORIES = 60
Ends = Mapping[str, tuple[str, int, frozenset[str]]]


def story(number: int) -> tuple[list[dict[str, Any]], Ends]:
    """What is told of some assets whose names change hands, and asset_id → how each ends."""
    chance, at, events = random.Random(number), -200, []
    live: dict[str, dict[str, Any]] = {}

    def overwrite(name: str, asset_id: str) -> None:
        for other in [k for k, one in live.items() if one["public_id"] == name]:
            if other != asset_id:
                del live[other]

    for step in range(chance.randrange(3, 9)):
        at += chance.randrange(1, 9)
        kind = chance.choice(["upload", "upload", "rename", "rename", "delete", "tags"])
        name = f"story {number}/{chance.choice('abcd')}"
        if kind == "upload" or not live:
            same = [k for k, one in live.items() if one["public_id"] == name]
            asset_id = same[0] if same else f"{number:028x}{step:04x}"
            facts = {"public_id": name, "bytes": chance.randrange(1, 10**6), "tags": [f"of {step}"]}
            live[asset_id] = {**facts, "version": told.NOW + at}
            events.append(told.upload(told.NOW + at, at, asset_id=asset_id, **facts))
            continue
        asset_id = chance.choice(sorted(live))
        one = live[asset_id]
        named = told.named(one["public_id"], asset_id)
        if kind == "rename" and name != one["public_id"]:
            way = {"from_type": "upload", "to_type": "upload"}
            del named["public_id"]
            ends = {"from_public_id": one["public_id"], "to_public_id": name}
            events.append(told.event("rename", at, **named, **ends, **way))
            overwrite(name, asset_id)
            live[asset_id] = {**one, "public_id": name}
        elif kind == "delete":
            gone = {**named, "version": str(one["version"])}
            events.append(told.event("delete", at, resources=[gone]))
            del live[asset_id]
        elif kind == "tags":
            tagged = {**named, "added": [f"later {step}"], "removed": []}
            facts = {"source": "api", "resources": [tagged]}
            events.append(told.event("resource_tags_changed", at, **facts))
            live[asset_id] = {**one, "tags": [*one["tags"], f"later {step}"]}
    ends = {k: (v["public_id"], v["bytes"], frozenset(v["tags"])) for k, v in live.items()}
    return events, ends


def test_a_story_told_in_any_order_ends_as_it_did(
    kit: mt.MediaToolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(told, "NOW", int(time.time()))
    secret = kit.account.api_secret.get_secret_value()
    for number in range(STORIES):
        events, ends = story(number)
        order = random.Random(-number).sample(range(len(events)), len(events))
        for index in order:
            body, stamp = json.dumps(events[index]).encode(), str(int(time.time()))
            digest = hashlib.sha1(body + stamp.encode() + secret.encode()).hexdigest()
            kit.receive_notification(body, stamp, digest)
        rows = kit.page(folder=f"story {number}").items
        found = {a.asset_id: (a.public_id, a.bytes, frozenset(a.tags)) for a in rows}
        assert found == ends, (number, order, events)
