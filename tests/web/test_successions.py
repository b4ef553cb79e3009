"""A name whose asset has gone from Cloudinary is anybody's: what comes there is its sender's."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from PIL import Image

import media_toolkit as mt
from media_toolkit.cloud.signing import SignedUpload

Tell = Callable[[Mapping[str, Any]], int]


@pytest.fixture
def root(kit: mt.MediaToolkit, settings: mt.Settings) -> Iterator[mt.MediaToolkit]:
    """An admin, where what nobody sent is nobody's."""
    named = mt.Settings(home=settings.home, admins_list="root", unclaimed_owner_id="nobody")
    with mt.connect(named, user_id="root") as root:
        yield root


@pytest.fixture
def tell(root: mt.MediaToolkit) -> Tell:
    """Tell of an upload as Cloudinary does, from its answer."""
    secret, stamps = root.account.api_secret.get_secret_value(), itertools.count(-60)

    def tell(answer: Mapping[str, Any]) -> int:
        moment = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        told = {**answer, "notification_type": "upload", "timestamp": moment}
        body, stamp = json.dumps(told).encode(), str(int(time.time()) + next(stamps))
        digest = hashlib.sha1(body + stamp.encode() + secret.encode()).hexdigest()
        return root.receive_notification(body, stamp, digest)

    return tell


@pytest.fixture
def folder() -> str:
    """Of a test's own: Cloudinary keeps what the tests before have left."""
    return f"succession-{random.randbytes(5).hex()}"


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), tuple(random.randbytes(3))).save(file, "PNG")
    return file.getvalue()


def post(signed: SignedUpload) -> dict[str, Any]:
    files = {"file": ("one.png", picture())}
    answer: dict[str, Any] = requests.post(
        signed.url, data=signed.fields, files=files, timeout=30
    ).json()
    return answer


def gone(kit: mt.MediaToolkit, name: str, *, is_deleted: bool = True) -> mt.Asset:
    """A row whose asset somebody has destroyed behind its back."""
    asset = kit.upload(picture(), public_id=name)
    if is_deleted:
        kit.delete(name)
    kit._client.destroy(name)
    time.sleep(1.1)  # a version is a second
    return asset


def owned(root: mt.MediaToolkit, name: str, answer: Mapping[str, Any], user_id: str) -> None:
    """The upload is this user's, and ana can neither delete nor destroy it."""
    row, ana = root.asset(name), root.acting_as("ana")
    assert (row.asset_id, row.user_id) == (answer["asset_id"], user_id)
    with pytest.raises(mt.Forbidden):
        ana.delete(name)
    assert ana.purge("0h") == 0
    assert root._client.explicit(name)["asset_id"] == answer["asset_id"]


def purged_rows(root: mt.MediaToolkit, asset: mt.Asset) -> list[tuple[str, str]]:
    query = """
    SELECT changed_by, user_id FROM cloudinary_files_history
    WHERE operation = 'purge' AND old ->> 'asset_id' = :asset_id"""
    return list(root.sql(query, {"asset_id": asset.asset_id}).itertuples(index=False, name=None))


@pytest.mark.parametrize("is_deleted", [True, False])
@pytest.mark.parametrize("way", ["told", "page", "save", "told, page", "page, told"])
def test_an_upload_under_a_name_that_is_free_is_its_senders(
    root: mt.MediaToolkit, folder: str, tell: Tell, way: str, is_deleted: bool
) -> None:
    ana, ben = root.acting_as("ana"), root.acting_as("ben")
    before = gone(ana, f"{folder}/name", is_deleted=is_deleted)
    answer = post(ben.sign_upload(public_id=f"{folder}/name", overwrite=False))
    for one in way.split(", "):
        if one == "told":
            tell(answer)
        else:
            save = ben.save if one == "save" else ben.save_from_browser
            assert save(answer).user_id == "ben"
    owned(root, f"{folder}/name", answer, "ben")
    assert purged_rows(root, before) == [("cloudinary", "ana")]
    assert root.asset(f"{folder}/name").id != before.id, "another asset, another row"


def test_what_nobody_is_known_to_have_sent_is_the_unclaimed_owners(
    root: mt.MediaToolkit, folder: str, tell: Tell
) -> None:
    gone(root.acting_as("ana"), f"{folder}/name")
    answer = root._client.upload(picture(), "one.png", "image", public_id=f"{folder}/name")
    tell(answer)
    owned(root, f"{folder}/name", answer, "nobody")


def test_of_several_who_may_have_sent_it_the_one_who_saves_is_the_owner_here_too(
    root: mt.MediaToolkit, folder: str, tell: Tell
) -> None:
    ana, ben = root.acting_as("ana"), root.acting_as("ben")
    gone(ana, f"{folder}/name")
    ana.sign_for_browser(), ben.sign_for_browser()
    answer = root._client.upload(picture(), "one.png", "image", public_id=f"{folder}/name")
    tell(answer)
    assert root.asset(f"{folder}/name").user_id == "nobody"
    assert ben.save_from_browser(answer).user_id == "ben"
    owned(root, f"{folder}/name", answer, "ben")


def test_who_sends_a_file_by_its_own_name_has_it(root: mt.MediaToolkit, folder: str) -> None:
    gone(root.acting_as("ana"), f"{folder}/one")
    options = {
        "folder": folder,
        "filename": "one.png",
        "use_filename": True,
        "unique_filename": False,
    }
    mine = root.acting_as("ben").upload(picture(), **options)
    owned(root, f"{folder}/one", mine.raw, "ben")


def test_the_owner_uploads_anew_into_the_same_row(
    root: mt.MediaToolkit, folder: str, tell: Tell
) -> None:
    ana = root.acting_as("ana")
    before = gone(ana, f"{folder}/name")
    answer = post(ana.sign_upload(public_id=f"{folder}/name"))
    assert tell(answer) == 1
    row = ana.asset(f"{folder}/name")
    assert (row.id, row.user_id, row.asset_id) == (before.id, "ana", answer["asset_id"])


@pytest.mark.parametrize("is_deleted", [True, False])
@pytest.mark.parametrize("signed", [True, False])
def test_reconcile_gives_what_came_under_a_free_name_to_who_sent_it(
    root: mt.MediaToolkit, folder: str, signed: bool, is_deleted: bool
) -> None:
    ana, ben = root.acting_as("ana"), root.acting_as("ben")
    gone(ana, f"{folder}/name", is_deleted=is_deleted)
    if signed:
        answer = post(ben.sign_upload(public_id=f"{folder}/name", overwrite=False))
    else:
        answer = root._client.upload(picture(), "one.png", "image", public_id=f"{folder}/name")
    left = ana.reconcile(folder=folder, progress=False).apply(dry_run=False, progress=False)
    assert {r.outcome for r in left.results} == {"refused"}, left.frame
    done = root.reconcile(folder=folder, progress=False).apply(dry_run=False, progress=False)
    assert done.is_complete, done
    owned(root, f"{folder}/name", answer, "ben" if signed else "root")
    assert not root.reconcile(folder=folder, progress=False).differences


def test_nobodys_row_makes_way_for_what_cloudinary_has_not(
    root: mt.MediaToolkit, folder: str
) -> None:
    """An asset_id of one's own making, of an asset elsewhere, of one that was purged."""
    ana, ben = root.acting_as("ana"), root.acting_as("ben")
    answer = post(ana.sign_upload(public_id=f"{folder}/name"))
    stands = ana.save(answer)
    forged = {**answer, "asset_id": "f" * 32}
    mine = ben.upload(picture(), public_id=f"{folder}/mine")
    signed = {name: answer[name] for name in ("public_id", "version", "signature")}
    for claim in (forged, {**forged, "signature": None}, {**mine.raw, **signed}):
        for save in (ben.save, ben.save_from_browser):
            with pytest.raises(mt.MediaToolkitError):
                save(claim)
    assert root.asset(f"{folder}/name") == stands
    # It had the name before, and has not by now.
    answer = post(ben.sign_upload(public_id=f"{folder}/other"))
    root._client.rename(f"{folder}/other", f"{folder}/moved")
    ana.upload(picture(), public_id=f"{folder}/other")
    with pytest.raises(mt.Conflict):
        ben.save_from_browser(answer)
    assert root.asset(f"{folder}/other").user_id == "ana"


def test_a_page_that_saves_twice_brings_back_nothing_that_was_deleted_or_purged(
    root: mt.MediaToolkit, tell: Tell
) -> None:
    ana, ben = root.acting_as("ana"), root.acting_as("ben")
    answer = post(ana.sign_for_browser({}))
    name = answer["public_id"]
    ana.save_from_browser(answer)
    ana.delete(name)
    ana.save_from_browser(answer)
    with pytest.raises(mt.NotFound, match="deleted"):
        ana.asset(name)
    assert ana.purge("0h") == 1
    with pytest.raises(mt.NotFound, match="purged"):
        ana.save_from_browser(answer)
    assert ana.save_many([answer]).unchanged == 1
    assert root.count() == 0
    # The name is free, and what comes is its sender's.
    time.sleep(1.1)
    again = post(ben.sign_upload(public_id=name, overwrite=False))
    tell(again)
    owned(root, name, again, "ben")


@pytest.mark.parametrize("way", ["saved", "told", "told first"])
def test_an_overwriting_upload_saved_after_a_rename_leaves_the_row_its_new_name(
    root: mt.MediaToolkit, folder: str, tell: Tell, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    ana = root.acting_as("ana")
    ana.upload(picture(), public_id=f"{folder}/old")
    time.sleep(1.1)
    if way == "told":
        answer = root._client.upload(picture(), "one.png", "image", public_id=f"{folder}/old")
        ana.rename(f"{folder}/old", f"{folder}/new")
        tell(answer)
    else:
        upload = root._client.upload

        def renamed_meanwhile(*arguments: Any, **options: Any) -> Mapping[str, Any]:
            answer: Mapping[str, Any] = upload(*arguments, **options)
            ana.rename(f"{folder}/old", f"{folder}/new")
            if way == "told first":
                tell(answer)
            return answer

        monkeypatch.setattr(ana._client, "upload", renamed_meanwhile)
        answer = ana.upload(picture(), public_id=f"{folder}/old").raw
        tell(answer)
    row = ana.asset(f"{folder}/new")
    assert (row.version, row.etag) == (answer["version"], answer["etag"])
    assert row.media_url == root._client.explicit(f"{folder}/new")["secure_url"]
    assert root.count() == 1
    assert not root.reconcile(folder=folder, progress=False).differences
