"""`POST /webhooks/cloudinary`: what Cloudinary tells, late, twice and in any order."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

import media_toolkit as mt
from media_toolkit.notifications import EVENTS

NOW = 0


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this test: when the module was read may lie longer ago than an intent's leeway."""
    monkeypatch.setitem(globals(), "NOW", int(time.time()))


def event(kind: str, at: float = 0, **facts: Any) -> dict[str, Any]:
    """A notification of something that happened `at` seconds after NOW."""
    moment = datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=at)
    return {
        "notification_type": kind,
        "timestamp": moment.isoformat(timespec="seconds"),
        "notification_context": {"triggered_at": moment.isoformat(timespec="microseconds")},
        "request_id": "r",
        "signature_key": "k",
        **facts,
    }


def named(public_id: str = "a", asset_id: str = "a" * 32, **facts: Any) -> dict[str, Any]:
    known = {"asset_id": asset_id, "public_id": public_id, "resource_type": "image"}
    return {**known, "type": "upload", **facts}


def upload(version: int | None = None, at: float = 0, **facts: Any) -> dict[str, Any]:
    version = NOW if version is None else version
    told = named(**facts)
    url = f"https://res.example/image/upload/v{version}/{told['public_id']}.png"
    said = {"version": version, "format": "png", "bytes": 5, "secure_url": url, **told}
    return event("upload", at, **said)


def deletion(version: int | None = None, at: float = 10, **facts: Any) -> dict[str, Any]:
    version = NOW if version is None else version
    return event("delete", at, resources=[named(version=str(version), **facts)])


def tags(at: float, added: str = "", removed: str = "") -> dict[str, Any]:
    one = named(added=added.split(), removed=removed.split())
    return event("resource_tags_changed", at, source="api", resources=[one])


def context(at: float, **changes: Any) -> dict[str, Any]:
    return event("resource_context_changed", at, source="api", resources=[named(**changes)])


def renaming(old: str, new: str, at: float) -> dict[str, Any]:
    told = named(from_public_id=old, to_public_id=new, from_type="upload", to_type="upload")
    del told["public_id"]
    return event("rename", at, **told)


def test_a_late_rename_leaves_who_has_taken_the_name_since(
    kit: mt.MediaToolkit, tell: Callable[[dict[str, Any]], int]
) -> None:
    tell(upload(public_id="x", at=-90, version=NOW - 90))
    tell(upload(public_id="y", asset_id="b" * 32, at=-10, version=NOW - 10))
    assert tell(renaming("x", "y", at=-50)) == 0
    assert kit.asset("y").asset_id == "b" * 32
    assert kit.asset("x").asset_id == "a" * 32, "where it went since is told by what comes"
    tell(renaming("y", "z", at=-30))
    assert kit.asset("z").asset_id == "a" * 32
    assert kit.asset("y").asset_id == "b" * 32


@pytest.fixture
def tell(
    kit: mt.MediaToolkit,
) -> Callable[[dict[str, Any]], int]:
    """Hand a signed notification to the kit."""
    import hashlib

    stamps = itertools.count(int(time.time()) - 600)
    secret = kit.account.api_secret.get_secret_value()

    def tell(facts: dict[str, Any], algorithm: str = "sha1") -> int:
        body, stamp = json.dumps(facts).encode(), str(next(stamps))
        digest = hashlib.new(algorithm, body + stamp.encode() + secret.encode()).hexdigest()
        return kit.receive_notification(body, stamp, digest)

    return tell


def test_an_upload_told_makes_a_row_once(kit: mt.MediaToolkit, tell: Callable[..., int]) -> None:
    assert tell(upload()) == 1
    assert tell(upload()) == 0
    assert tell(upload(), algorithm="sha256") == 0
    asset = kit.asset("a")
    assert (asset.user_id, asset.version, asset.bytes) == ("ana", NOW, 5)
    assert not {"notification_type", "request_id", "signature_key"} & set(asset.raw)


def test_an_older_version_never_overwrites_a_newer_one(
    kit: mt.MediaToolkit, tell: Callable[..., int]
) -> None:
    tell(upload(NOW, at=0, bytes=7))
    assert tell(upload(NOW - 50, at=5, bytes=6)) == 0
    assert kit.asset("a").bytes == 7
    assert tell(upload(NOW + 50, at=50, bytes=8)) == 1
    assert kit.asset("a").bytes == 8


@pytest.mark.parametrize("late_by", [0, 60])
def test_a_deletion_is_not_undone_by_a_late_upload(
    kit: mt.MediaToolkit, tell: Callable[..., int], late_by: int
) -> None:
    tell(upload())
    assert tell(deletion()) == 1
    assert tell(upload(at=late_by)) == 0
    assert tell(upload(NOW - 20, at=late_by)) == 0
    assert kit.count() == 0
    # A new asset under the old name is none that was deleted, nor is a newer version.
    assert tell(upload(NOW + 20, at=20, asset_id="b" * 32)) == 1
    assert tell(deletion()) == 0
    assert kit.count() == 1


def test_a_deletion_that_comes_before_its_upload_holds(
    kit: mt.MediaToolkit, tell: Callable[..., int]
) -> None:
    assert tell(deletion()) == 0
    assert tell(upload()) == 0
    assert kit.count() == 0
    assert tell(upload(NOW + 1, at=30)) == 1


ORDERS = list(itertools.permutations(range(6)))


@pytest.mark.parametrize("order", [*ORDERS[:: len(ORDERS) // 12], ORDERS[-1]])
def test_in_any_order_the_end_is_the_same(
    kit: mt.MediaToolkit, tell: Callable[..., int], order: tuple[int, ...]
) -> None:
    told = [
        upload(tags=["first"], context={"custom": {"alt": "old", "gone": "x"}}),
        tags(10, added="b c"),
        tags(20, added="d", removed="b first"),
        context(
            15,
            added=[{"name": "new", "value": "1"}],
            removed=[{"name": "gone", "value": "x"}],
            updated=[{"name": "alt", "previous_value": "old", "new_value": "ä"}],
        ),
        renaming("a", "folder/b", 12),
        renaming("folder/b", "folder/c", 18),
    ]
    for index in order:
        tell(told[index])
    for one in told:
        assert tell(one) == 0
    (asset,) = kit.page().items
    assert asset.public_id == "folder/c"
    assert asset.folder == "folder"
    assert asset.media_url.endswith(f"/v{NOW}/folder/c.png")
    assert set(asset.tags) == {"c", "d"}
    assert asset.context == {"alt": "ä", "new": "1"}


def test_labels_of_an_older_upload_do_not_come_back(
    kit: mt.MediaToolkit, tell: Callable[..., int]
) -> None:
    tell(upload(NOW + 100, at=100, tags=["new"]))
    assert tell(tags(50, added="old")) == 0
    assert kit.asset("a").tags == ("new",)


def test_a_row_edited_here_keeps_its_labels_when_its_upload_is_told_late(
    kit: mt.MediaToolkit, tell: Callable[..., int], sample_media: Path
) -> None:
    asset = kit.upload(sample_media / "horse.png", public_id="a", tags=["mine"])
    told = {**asset.raw, "tags": ["first"], "bytes": asset.bytes}
    tell(event("upload", **told))
    assert kit.asset("a").tags == ("mine",)


def test_a_rename_onto_another_asset_replaces_it(
    kit: mt.MediaToolkit, tell: Callable[..., int]
) -> None:
    tell(upload())
    tell(upload(public_id="b", asset_id="b" * 32, bytes=9))
    assert tell(renaming("a", "b", 10)) == 1
    (asset,) = kit.page().items
    assert (asset.public_id, asset.bytes) == ("b", 5)


def test_a_folder_is_told_with_slashes_around_it_and_found_without(
    kit: mt.MediaToolkit, tell: Callable[..., int]
) -> None:
    tell(upload(asset_folder="/new"))
    assert kit.asset("a").folder == "new"
    tell({**renaming("a", "b", 10), "asset_folder": "/shop/"})
    assert kit.asset("b").folder == "shop"


def test_eager_files_are_kept_with_the_asset_and_the_rest_is_acknowledged(
    kit: mt.MediaToolkit, tell: Callable[..., int]
) -> None:
    tell(upload())
    made = [{"transformation": "w_10", "secure_url": "https://res.example/w_10/a.png"}]
    assert tell(event("eager", 5, **named(eager=made))) == 1
    assert kit.asset("a").raw["eager"] == made
    for kind in ("moderation", "error", "move", "something_new"):
        assert tell(event(kind, 6, public_id="a")) == 0
    assert kit.count() == 1


def test_its_owner_is_who_asked_for_the_signature(
    kit: mt.MediaToolkit, tell: Callable[..., int]
) -> None:
    bo = kit.acting_as("bo")
    signed = bo.sign_for_browser({"folder": "spring"}).fields
    kit.acting_as("cy").sign_for_browser({"folder": "spring"})
    public_id = f"spring/{signed['public_id']}"
    tell(upload(int(time.time()), public_id=public_id))
    assert kit.asset(public_id).user_id == "bo"
    assert bo.intents().empty
    (settled,) = bo.intents(settled=True).to_dict("records")
    assert (settled["settled_by"], settled["asset_public_id"]) == ("notification", public_id)


def test_a_plain_signature_of_one_user_alone_tells_the_owner(
    kit: mt.MediaToolkit, tell: Callable[..., int]
) -> None:
    kit.acting_as("bo").sign_for_browser()
    tell(upload(int(time.time())))
    assert kit.asset("a").user_id == "bo"
    assert kit.acting_as("bo").intents().empty


def test_of_several_who_may_have_asked_the_one_who_saves_is_the_owner(
    dashboard: Any, kit: mt.MediaToolkit, tell: Callable[..., int], send: Callable[..., Any]
) -> None:
    bo, cy = kit.acting_as("bo"), kit.acting_as("cy")
    signed = bo.sign_for_browser()
    cy.sign_for_browser()
    told = send({"upload_url": signed.url, "fields": dict(signed.fields)}).json()
    tell({**event("upload"), **told})
    asset = kit.asset(told["public_id"])
    assert asset.user_id == "ana"
    assert len(bo.intents()) == len(cy.intents()) == 1
    # Who did not ask in that hour cannot take it; who did can, once.
    with pytest.raises(mt.Conflict):
        kit.acting_as("dan").save_from_browser(told)
    assert bo.save_from_browser(told).user_id == "bo"
    with pytest.raises(mt.Conflict):
        cy.save_from_browser(told)
    assert bo.intents().empty


def test_an_upload_that_nobody_asked_for_is_the_unclaimed_owners(
    settings: mt.Settings, kit: mt.MediaToolkit, tell: Callable[..., int]
) -> None:
    tell(upload())
    assert kit.asset("a").user_id == settings.unclaimed_owner == "ana"
    assert mt.Settings(unclaimed_owner_id="team").unclaimed_owner == "team"


def test_two_at_once_are_as_one_after_the_other(
    kit: mt.MediaToolkit, tell: Callable[..., int]
) -> None:
    told = [upload(), deletion(), *(tags(10 + n, added=f"t{n}") for n in range(6))] * 2
    with ThreadPoolExecutor(8) as pool:
        changed = list(pool.map(tell, told))
    assert kit.count() == 0
    assert sum(changed) <= 8


def test_the_embedded_server_tells_the_dashboard_of_everything(
    dashboard: Any,
    kit: mt.MediaToolkit,
    sample_media: Path,
    told_of: str,
    until: Callable[..., None],
) -> None:
    # The browser dies after its upload: nobody saves.
    signed = kit.acting_as("bo").sign_for_browser({"tags": ["web"]})
    uploaded = requests.post(
        signed.url,
        data=dict(signed.fields),
        files={"file": ("horse.png", (sample_media / "horse.png").read_bytes())},
        timeout=30,
    ).json()
    until(lambda: kit.count(user_id="bo") == 1)
    (asset,) = kit.page().items
    assert (asset.asset_id, asset.bytes) == (uploaded["asset_id"], uploaded["bytes"])
    # Settled after the row is there, in a transaction of its own.
    until(lambda: kit.acting_as("bo").intents().empty)

    def call(action: str, **fields: str) -> None:
        answer = requests.post(
            f"{kit.account.upload_prefix}/v1_1/{kit.account.cloud_name}/image/{action}",
            auth=(kit.account.api_key, kit.account.api_secret.get_secret_value()),
            data={"type": "upload", **fields},
            timeout=30,
        )
        assert answer.status_code == 200, answer.text

    call("tags", command="add", tag="new", public_ids=asset.public_id)
    until(lambda: kit.count(tags=["new", "web"]) == 1)
    call("context", command="add", context="alt=ä", public_ids=asset.public_id)
    until(lambda: kit.count(context={"alt": "ä"}) == 1)
    call("rename", from_public_id=asset.public_id, to_public_id="renamed/b")
    until(lambda: kit.count(folder="renamed") == 1)
    renamed = kit.asset("renamed/b")
    assert requests.get(renamed.media_url, timeout=30).status_code == 200
    call("destroy", public_id="renamed/b")
    until(lambda: kit.count() == 0)


@pytest.fixture
def told_of(dashboard: Any, kit: mt.MediaToolkit) -> Iterator[str]:
    """The run's embedded server tells the dashboard, for one test."""
    url = f"{dashboard.url}/webhooks/cloudinary"
    assert kit.connect_notifications(url) == list(EVENTS)
    assert kit.connect_notifications(url) == []
    yield url
    account = kit.account
    triggers = f"{account.upload_prefix}/v1_1/{account.cloud_name}/triggers"
    auth = (account.api_key, account.api_secret.get_secret_value())
    for one in requests.get(triggers, auth=auth, timeout=30).json()["triggers"]:
        requests.delete(f"{triggers}/{one['id']}", auth=auth, timeout=30)


def test_a_rename_without_an_asset_id_told_twice_leaves_the_row(
    kit: mt.MediaToolkit, tell: Callable[..., int]
) -> None:
    told = upload(NOW - 90, at=-90)
    renamed = renaming("a", "new", -50)
    for message in (told, renamed):
        del message["asset_id"]
    assert (tell(told), tell(renamed)) == (1, 1)
    assert tell({**renamed, "request_id": "again"}) == 0
    assert kit.asset("new").bytes == 5
    tell(upload(NOW - 10, at=-10, bytes=9))
    assert tell({**renamed, "request_id": "late"}) == 0
    assert {a.public_id: a.bytes for a in kit.page().items} == {"new": 5, "a": 9}


B = "b" * 32


def test_an_asset_whose_row_another_took_is_back_with_the_rename_told_late(
    kit: mt.MediaToolkit, tell: Callable[..., int]
) -> None:
    tell(upload(NOW - 90, at=-90, tags=["first"]))
    tell(tags(-80, added="kept"))
    tell(context(-70, added=[{"name": "alt", "value": "x"}]))
    before = kit.asset("a")
    tell(upload(NOW, asset_id=B, bytes=9))
    assert tell(renaming("a", "new", -50)) == 1
    assert {(a.public_id, a.bytes) for a in kit.page().items} == {("a", 9), ("new", 5)}
    back = kit.asset("new")
    assert (back.asset_id, back.user_id) == (before.asset_id, before.user_id)
    assert (back.tags, back.context) == (("first", "kept"), {"alt": "x"})
    assert tell(renaming("new", "newer", -40)) == 1
    assert kit.asset("newer").asset_id == before.asset_id


def test_a_deleted_asset_whose_row_another_took_stays_deleted(
    kit: mt.MediaToolkit, tell: Callable[..., int]
) -> None:
    tell(upload(NOW - 90, at=-90))
    kit.delete("a")
    tell(upload(NOW, asset_id=B, bytes=9))
    tell(renaming("a", "new", -50))
    assert [a.public_id for a in kit.page().items] == ["a"]
    assert kit.restore("new").pop().bytes == 5


def test_an_asset_that_is_gone_does_not_come_back_with_a_rename_told_late(
    kit: mt.MediaToolkit, tell: Callable[..., int]
) -> None:
    tell(upload(NOW - 90, at=-90))
    tell(upload(NOW, asset_id=B, bytes=9))
    tell(deletion(NOW - 90, at=-20, public_id="new"))
    assert tell(renaming("a", "new", -50)) == 0
    assert [a.bytes for a in kit.page().items] == [9]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_an_asset_that_a_rename_overwrote_does_not_take_the_row(
    kit: mt.MediaToolkit, tell: Callable[..., int], order: tuple[int, ...]
) -> None:
    told = [
        upload(NOW - 90, at=-90, asset_id=B, public_id="b", bytes=9),
        upload(NOW - 50, at=-50),
        event("rename", -20, **{
            **{k: v for k, v in named(asset_id=B).items() if k != "public_id"},
            "from_public_id": "b", "to_public_id": "a", "from_type": "upload", "to_type": "upload",
        }),
    ]  # fmt: skip
    for index in order:
        tell(told[index])
    (asset,) = kit.page().items
    assert (asset.asset_id, asset.public_id, asset.bytes) == (B, "a", 9)


ENDS = list(itertools.permutations(range(4)))


@pytest.mark.parametrize("order", ENDS)
def test_a_name_that_is_used_again_ends_the_same_in_any_order(
    kit: mt.MediaToolkit, tell: Callable[..., int], order: tuple[int, ...]
) -> None:
    told = [
        upload(NOW - 90, at=-90, tags=["one"]),
        renaming("a", "moved", -60),
        upload(NOW - 30, at=-30, asset_id=B, bytes=9),
        tags(-10, added="late"),
    ]
    for index in order:
        tell(told[index])
    found = {a.asset_id: (a.public_id, a.bytes, set(a.tags)) for a in kit.page().items}
    assert found == {"a" * 32: ("moved", 5, {"one", "late"}), B: ("a", 9, set())}
