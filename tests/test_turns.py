"""Two who change the same asset at the same moment: one after the other, on both sides."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import media_toolkit as mt
from media_toolkit.library import changes
from media_toolkit.store import turns


@pytest.fixture
def horse(kit: mt.MediaToolkit, sample_media: Path) -> mt.Asset:
    return kit.upload(sample_media / "horse.png", public_id="horse", context={"alt": "A horse"})


def test_of_edits_at_the_same_moment_both_sides_keep_the_same(
    kit: mt.MediaToolkit, horse: mt.Asset
) -> None:
    def edit(n: int) -> None:
        kit.acting_as("ana").edit(
            horse, tags=[f"tag{n}"], context={"n": str(n), "alt": None if n % 2 else str(n)}
        )

    for first in range(0, 24, 4):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(edit, range(first, first + 4)))
        row, known = kit.asset("horse"), kit._client.resource("horse")
        assert list(row.tags) == known["tags"]
        assert dict(row.context) == known["context"]["custom"]


def test_an_edit_waits_for_a_rename_and_finds_the_asset_by_its_new_name(
    kit: mt.MediaToolkit, horse: mt.Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()
    rename = kit._client.rename

    def slowly(*arguments: str) -> Mapping[str, Any]:
        answer = rename(*arguments)
        begun.set()
        time.sleep(0.3)
        return answer

    monkeypatch.setattr(kit._client, "rename", slowly)
    with ThreadPoolExecutor(1) as pool:
        renaming = pool.submit(kit.rename, "horse", "renamed while waited for")
        begun.wait()
        (edited,) = kit.edit("horse", add_tags=["fast"])
        assert renaming.result().public_id == edited.public_id == "renamed while waited for"
    assert kit._client.resource("renamed while waited for")["tags"] == list(edited.tags)


def test_who_never_gets_a_turn_is_told_so_and_nothing_is_changed(
    kit: mt.MediaToolkit, horse: mt.Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_WAIT_S", 0.2)
    with (
        turns.Turns(kit._database).of([horse], kit.identity),
        pytest.raises(mt.Unavailable, match="somebody else is changing image/upload/horse"),
    ):
        kit.edit("horse", tags=["never"])
    assert "never" not in kit.asset("horse").tags
    assert kit.edit("horse", tags=["then"])[0].tags == ("then",)


@pytest.fixture
def many(kit: mt.MediaToolkit) -> list[mt.Asset]:
    """Twelve assets: ids 1 to 12, as the table was emptied."""
    for n in range(12):
        kit.upload(f"{n}".encode(), resource_type="raw", public_id=f"m{n}", context={"alt": "x"})
    return [kit.asset(f"m{n}") for n in range(12)]


@pytest.mark.parametrize("labels", [{"context": {"alt": None}}, {"add_tags": ["all"]}], ids=str)
def test_who_edits_many_gives_way_part_by_part(
    kit: mt.MediaToolkit,
    many: list[mt.Asset],
    labels: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "_MARKS", 4)
    monkeypatch.setattr(turns, "_WAIT_S", 1)
    monkeypatch.setattr(changes, "_A_TURN", 3)
    monkeypatch.setattr(changes, "_ASKED_A_TURN", 3)
    others, alone = many[:11], many[11]
    at_the_last, is_edited = threading.Event(), threading.Event()
    for name in ("change_tags", "remove_context"):
        call = getattr(kit._client, name)

        def held(*arguments: Any, call: Any = call) -> Any:
            # Of marks that the first part, with which `alone` shares one, has none of.
            if {"m2", "m6", "m10"} & set(arguments[-3]):
                at_the_last.set()
                assert is_edited.wait(60)
            return call(*arguments)

        monkeypatch.setattr(kit._client, name, held)
    with ThreadPoolExecutor(1) as pool:
        editing = pool.submit(kit.edit, others, **labels)
        assert at_the_last.wait(60)
        try:
            (edited,) = kit.edit(alone, context={"alt": "not held off"})
        finally:
            is_edited.set()
        assert edited.context == {"alt": "not held off"}
        assert [asset.public_id for asset in editing.result()] == [a.public_id for a in others]


def test_of_many_who_stops_half_way_is_told_what_is_done(
    kit: mt.MediaToolkit, many: list[mt.Asset], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_WAIT_S", 0.2)
    monkeypatch.setattr(changes, "_A_TURN", 5)
    with (
        turns.Turns(kit._database).of(many[8:9], kit.identity),
        pytest.raises(mt.Unavailable) as told,
    ):
        kit.edit(many, add_tags=["new"])
    assert told.value.ids == ("m8",), "of those that others have"
    assert told.value.message.startswith("somebody else is changing raw/upload/m8, or an asset")
    assert told.value.hint.startswith("5 of 12 assets are changed on both sides; of the next ones")
    assert [bool(kit.asset(f"m{n}").tags) for n in range(12)] == [True] * 5 + [False] * 7
    assert len(kit.edit(many, add_tags=["new"])) == kit.count(tags=["new"]) == 12


def test_a_turn_whose_connection_ends_fails_nobody(
    kit: mt.MediaToolkit,
    horse: mt.Asset,
    end_connections: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change = kit._client.change_tags

    def cut_off(*arguments: Any) -> set[str]:
        end_connections()
        return change(*arguments)

    monkeypatch.setattr(kit._client, "change_tags", cut_off)
    (edited,) = kit.edit("horse", tags=["all the same"])
    assert list(edited.tags) == kit._client.resource("horse")["tags"] == ["all the same"]


def test_a_rename_that_an_upload_of_the_old_name_meets_keeps_both(
    kit: mt.MediaToolkit, sample_media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    horse = kit.upload(sample_media / "horse.png", public_id="met/horse")
    rename = kit._client.rename

    def met(*arguments: str) -> Mapping[str, Any]:
        answer = rename(*arguments)
        kit.upload(sample_media / "rocket.jpg", public_id="met/horse")
        return answer

    monkeypatch.setattr(kit._client, "rename", met)
    renamed = kit.rename("met/horse", "met/pony")
    assert (renamed.public_id, renamed.asset_id) == ("met/pony", horse.asset_id)
    assert renamed.user_id == "ana"
    assert kit.asset("met/horse").format == "jpg"
    assert kit.reconcile(folder="met", progress=False).frame.empty
