"""A row of one's own that leads to another's asset: by an odd name, or by its asset_id."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa

import media_toolkit as mt
from media_toolkit.embedded.stack import EmbeddedStack
from media_toolkit.identity import Identity
from media_toolkit.store import migrations
from media_toolkit.store.database import Database

ANA, CLOUDINARY = Identity("ana"), Identity("cloudinary", "admin")
_INSERT = """
INSERT INTO cloudinary_files (public_id, media_url, resource_type, delivery_type, user_id, asset_id)
VALUES (:public_id, 'u', :kind, :way, :user_id, :asset_id) RETURNING id
"""


@pytest.fixture(params=["team", "private"], autouse=True)
def policy(request: pytest.FixtureRequest, stack: EmbeddedStack) -> Iterator[None]:
    """Each policy in turn."""
    owner = Database(stack.database_url)
    migrations.migrate(owner, request.param)
    yield
    migrations.migrate(owner, "team")
    owner.close()


@pytest.fixture
def ben(kit: mt.MediaToolkit) -> mt.MediaToolkit:
    return kit.acting_as("ben")


def insert(kit: mt.MediaToolkit, public_id: str, as_owner: bool = False, **given: Any) -> int:
    """A row by SQL of one's own, under one's own claims or as the table's owner."""
    values = {"kind": "image", "way": "upload", "user_id": "ana", "asset_id": None, **given}
    act = kit._database.direct() if as_owner else kit._database.begin(ANA)
    with act as connection:
        return int(
            connection.execute(sa.text(_INSERT), {**values, "public_id": public_id}).scalar_one()
        )


def guide_row(kit: mt.MediaToolkit, file: Path, public_id: str) -> dict[str, Any]:
    """Ben's asset, whose row the guide's statement made: it has no asset_id."""
    told = kit._client.upload(file.read_bytes(), file.name, "image", public_id=public_id)
    insert(kit, public_id, as_owner=True, user_id="ben")
    return told


def send(kit: mt.MediaToolkit, file: Path, **wanted: Any) -> dict[str, Any]:
    """What Cloudinary answers a page that sends a file with a signature of the kit's."""
    signed = kit.sign_for_browser(wanted or None)
    answer = requests.post(
        re.sub(r"/\w+/upload$", "/image/upload", signed.url),
        data=signed.fields,
        files={"file": (file.name, file.read_bytes())},
        timeout=30,
    )
    return dict(answer.json())


def rows(kit: mt.MediaToolkit) -> dict[str, tuple[str, str | None]]:
    """public_id → whose it is and its asset_id, of all rows."""
    with kit._database.direct() as connection:
        found = connection.execute(
            sa.text("SELECT public_id, user_id, asset_id FROM cloudinary_files")
        )
        return {row.public_id: (row.user_id, row.asset_id) for row in found}


def is_there(kit: mt.MediaToolkit, told: dict[str, Any]) -> bool:
    return bool(kit._client.explicit(told["public_id"])["asset_id"] == told["asset_id"])


@pytest.mark.parametrize(
    ("kind", "way"),
    [
        ("image", ""),
        ("image/../image", "upload"),
        ("image/upload/../../image", "upload"),
        ("IMAGE", "upload"),
        ("auto", "upload"),
        ("image?", "upload"),
        ("image", "upload "),
        ("image", "upload\n"),
        ("image", "Upload"),
        ("image", "a" * 41),
    ],
)
def test_no_claims_write_a_row_whose_kind_cloudinary_reads_as_another(
    kit: mt.MediaToolkit, ben: mt.MediaToolkit, sample_media: Path, kind: str, way: str
) -> None:
    ben.upload(sample_media / "horse.png", public_id="bens", tags=["bens"])
    with pytest.raises(mt.StoreError, match="is the name of no asset"):
        insert(kit, "bens", kind=kind, way=way)
    mine = insert(kit, "mine")
    change = (
        "UPDATE cloudinary_files SET resource_type = :kind, delivery_type = :way WHERE id = :id"
    )
    with (
        pytest.raises(mt.StoreError, match="is the name of no asset"),
        kit._database.begin(ANA) as connection,
    ):
        connection.execute(sa.text(change), {"kind": kind, "way": way, "id": mine})
    assert set(rows(kit)) == {"bens", "mine"}


@pytest.mark.parametrize("way", ["private", "authenticated", "fetch", "twitter_name"])
def test_the_kinds_that_there_are_are_written(kit: mt.MediaToolkit, way: str) -> None:
    for kind in ("image", "video", "raw"):
        insert(kit, "mine", kind=kind, way=way)


def test_a_row_of_an_odd_kind_that_was_adopted_stays_and_reaches_nobodys_asset(
    kit: mt.MediaToolkit, ben: mt.MediaToolkit, sample_media: Path
) -> None:
    bens = ben.upload(sample_media / "horse.png", public_id="bens", tags=["bens"])
    mine = kit.upload(sample_media / "coffee.png", public_id="mine")
    odd = [("image", ""), ("image/../image", "upload"), ("auto", "upload")]
    for kind, way in odd:
        insert(kit, "bens", as_owner=True, kind=kind, way=way)
    anas = [one for one in kit.page().items if one.public_id == "bens" and one.user_id == "ana"]
    assert len(anas) == len(odd)
    for one in anas:
        for change in (
            lambda one=one: kit.edit(one, tags=["evil"]),
            lambda one=one: kit.edit(one, context={"alt": "evil"}),
            lambda one=one: kit.rename(one, "stolen"),
        ):
            with pytest.raises(mt.InvalidName, match="names no asset"):
                change()
    kit.delete([*anas, mine])
    with pytest.raises(mt.Conflict, match="1 others purged") as told:
        kit.purge("0h")
    assert "names no asset in Cloudinary" in told.value.hint
    assert kit._client.explicit("bens")["tags"] == ["bens"]
    assert is_there(kit, dict(bens.raw))
    assert len(kit.restore(anas)) == len(odd)


@pytest.mark.parametrize(
    "name",
    ["/bens", "bens/", "a//bens", "a/../bens", "./bens", "bens%2F", "be%6es", "bens?x", "bens#x",
     " bens", "bens ", "bens\n", "be\x01ns"],
)  # fmt: skip
def test_a_public_id_that_may_be_read_as_anothers_is_sent_to_nobody(
    kit: mt.MediaToolkit, ben: mt.MediaToolkit, sample_media: Path, name: str
) -> None:
    ben.upload(sample_media / "horse.png", public_id="bens", tags=["bens"])
    insert(kit, name)
    (mine,) = [one for one in kit.page().items if one.user_id == "ana"]
    client = kit._client
    for change in (
        lambda: kit.edit(mine, tags=["evil"]),
        lambda: kit.rename(mine, "stolen"),
        lambda: client.explicit(name),
        lambda: client.resource(name),
        lambda: client.destroy(name),
        lambda: client.add_context({"a": "b"}, [name]),
        lambda: client.remove_context([name]),
    ):
        with pytest.raises(mt.InvalidName, match="names no asset"):
            change()
    assert client.admin_calls == 0
    kit.delete(mine)
    with pytest.raises(mt.Conflict):
        kit.purge("0h")
    assert client.explicit("bens")["tags"] == ["bens"]


def test_what_is_no_asset_id_is_asked_of_no_other_call(kit: mt.MediaToolkit) -> None:
    for word in ("..", "image", "search", "by_asset_folder", "A" * 32, ""):
        with pytest.raises(mt.NotFound):
            kit._client.resource_by_asset_id(word)
        with pytest.raises(mt.NotFound):
            kit._client.relabel(word, tags=["evil"])
    assert kit._client.admin_calls == 0


def test_nothing_is_uploaded_as_a_kind_that_there_is_not(
    kit: mt.MediaToolkit, sample_media: Path
) -> None:
    for wrong in ({"type": "upload "}, {"type": "Upload"}, {"resource_type": "image/../image"}):
        with pytest.raises(mt.InvalidName, match="unknown"):
            kit.upload(sample_media / "horse.png", public_id="bens", **wrong)
        with pytest.raises(mt.InvalidName, match="unknown"):
            kit.sign_upload(public_id="bens", **wrong)
    assert kit.count() == 0


def test_an_asset_id_of_another_gains_nothing(
    kit: mt.MediaToolkit, ben: mt.MediaToolkit, sample_media: Path
) -> None:
    guides = guide_row(kit, sample_media / "rocket.jpg", "guide")
    on_its_way = send(ben, sample_media / "horse.png")
    for theirs in (guides, on_its_way):
        told = send(kit, sample_media / "coffee.png")
        kit.save_from_browser({**told, "asset_id": theirs["asset_id"]})
    kit.delete(kit.assets(user_id="ana"))
    with pytest.raises(mt.Conflict, match="0 others purged"):
        kit.purge("0h")
    assert ben.save_from_browser(on_its_way).asset_id == on_its_way["asset_id"]
    assert ben.save(guides).asset_id == guides["asset_id"]
    assert kit.purge("0h") == 2
    assert is_there(kit, guides)
    assert is_there(kit, on_its_way)


Forge = Callable[[mt.MediaToolkit, str], object]
FORGERIES: dict[str, Forge] = {
    "by save_many": lambda kit, theirs: kit.save_many(
        [
            {
                "asset_id": theirs,
                "public_id": "forged",
                "resource_type": "image",
                "version": 1000,
                "secure_url": "https://media.example.org/image/upload/v1/forged.jpg",
            }
        ]
    ),
    "by SQL": lambda kit, theirs: insert(kit, "forged", asset_id=theirs),
}


@pytest.fixture(params=FORGERIES)
def forge(request: pytest.FixtureRequest) -> Forge:
    return FORGERIES[request.param]


@pytest.fixture(params=["of an asset of hers", "of no asset"])
def forged_row(
    request: pytest.FixtureRequest, kit: mt.MediaToolkit, forge: Forge, sample_media: Path
) -> Callable[[str], None]:
    """Ana's row `forged` with the asset_id of another's asset."""

    def make(theirs: str) -> None:
        kit._client.destroy("forged")
        if request.param == "of an asset of hers":
            file = sample_media / "coffee.png"
            kit._client.upload(file.read_bytes(), file.name, "image", public_id="forged")
        forge(kit, theirs)

    return make


def test_a_purge_destroys_nothing_under_a_name_that_the_row_never_had(
    kit: mt.MediaToolkit, sample_media: Path, forged_row: Callable[[str], None]
) -> None:
    theirs = guide_row(kit, sample_media / "rocket.jpg", "guide")
    forged_row(theirs["asset_id"])
    mine = kit.upload(sample_media / "horse.png", public_id="mine")
    kit.delete(["forged", mine])
    with pytest.raises(mt.Conflict, match="image/upload/forged; 1 others purged") as told:
        kit.purge("0h")
    assert "has a name that the row never had" in told.value.hint
    assert is_there(kit, theirs)
    assert rows(kit)["guide"] == ("ben", None)


def test_who_has_an_asset_saves_it_though_another_row_has_its_id(
    kit: mt.MediaToolkit,
    ben: mt.MediaToolkit,
    sample_media: Path,
    forged_row: Callable[[str], None],
) -> None:
    guides = guide_row(kit, sample_media / "rocket.jpg", "guide")
    forged_row(guides["asset_id"])
    assert ben.save(guides).asset_id == guides["asset_id"]
    assert rows(kit) == {"forged": ("ana", None), "guide": ("ben", guides["asset_id"])}
    assert ben.save_from_browser(guides).public_id == "guide"
    assert ben.edit("guide", tags=["bens"])[0].tags == ("bens",)


@pytest.mark.parametrize("is_removed", [False, True])
def test_who_sent_an_upload_saves_it_though_another_row_has_or_had_its_id(
    kit: mt.MediaToolkit,
    ben: mt.MediaToolkit,
    sample_media: Path,
    forged_row: Callable[[str], None],
    is_removed: bool,
) -> None:
    sent = send(ben, sample_media / "horse.png")
    forged_row(sent["asset_id"])
    if is_removed:
        with kit._database.begin(ANA) as connection:
            connection.exec_driver_sql("DELETE FROM cloudinary_files")
    assert ben.save_from_browser(sent).asset_id == sent["asset_id"]
    assert rows(kit)[sent["public_id"]] == ("ben", sent["asset_id"])
    if not is_removed:
        assert rows(kit)["forged"] == ("ana", None)


def test_an_upload_over_ones_own_row_of_the_guide_is_ones_own(
    kit: mt.MediaToolkit,
    ben: mt.MediaToolkit,
    sample_media: Path,
    forged_row: Callable[[str], None],
) -> None:
    guides = guide_row(kit, sample_media / "rocket.jpg", "guide")
    forged_row(guides["asset_id"])
    saved = ben.upload(sample_media / "horse.png", public_id="guide")
    assert (saved.user_id, saved.asset_id) == ("ben", guides["asset_id"])
    assert rows(kit)["forged"] == ("ana", None)


def test_who_has_nothing_to_do_with_an_asset_takes_its_id_from_nobody(
    kit: mt.MediaToolkit, ben: mt.MediaToolkit, sample_media: Path
) -> None:
    kit._client.destroy("unlent since")
    mine = kit.upload(sample_media / "horse.png", public_id="unlent")
    moved = kit._client.rename("unlent", "unlent since")
    for save in (ben.save, ben.save_from_browser):
        with pytest.raises(mt.Conflict):
            save(moved)
    with pytest.raises(mt.Conflict):
        ben.upload(sample_media / "horse.png", public_id="unlent since", overwrite=False)
    assert rows(kit) == {"unlent": ("ana", mine.asset_id)}


@pytest.mark.parametrize("who", [ANA, CLOUDINARY])
def test_a_row_follows_its_id_to_no_name_that_anothers_row_has(
    kit: mt.MediaToolkit,
    sample_media: Path,
    forged_row: Callable[[str], None],
    who: Identity,
) -> None:
    guides = guide_row(kit, sample_media / "rocket.jpg", "guide")
    forged_row(guides["asset_id"])
    told = mt.Asset.from_response(kit._client.explicit("guide"), "cloudinary")
    if who is ANA:
        with pytest.raises(mt.Conflict):
            kit._store.save(told, who, asked_at=time.monotonic())
        assert rows(kit) == {"forged": ("ana", guides["asset_id"]), "guide": ("ben", None)}
    else:
        kit._store.save(told, who, asked_at=time.monotonic())
        assert rows(kit) == {"forged": ("ana", None), "guide": ("ben", guides["asset_id"])}


def test_reconcile_gives_nobodys_asset_to_a_row_with_its_id(
    kit: mt.MediaToolkit, sample_media: Path, forged_row: Callable[[str], None]
) -> None:
    guides = guide_row(kit, sample_media / "rocket.jpg", "guide")
    forged_row(guides["asset_id"])
    kit.reconcile(progress=False).apply(dry_run=False, progress=False)
    assert rows(kit)["guide"] == ("ben", None)
    assert is_there(kit, guides)
