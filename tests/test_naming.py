"""What an upload's options make of its name is known, and nothing of another user's goes by it."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

import media_toolkit as mt
from media_toolkit import naming
from media_toolkit.cloud.signing import SignedUpload
from media_toolkit.embedded.stack import EmbeddedStack
from media_toolkit.store import migrations
from media_toolkit.store.database import Database

AS_PREFIX = {"use_asset_folder_as_public_id_prefix": True}
BY_FILE = {"use_filename": True, "unique_filename": False}
CHOOSING = mt.UploadPolicy(
    may_choose_public_id=True,
    may_overwrite=True,
    options=frozenset({"asset_folder", "upload_preset", *AS_PREFIX}),
)


class Names:
    """Names of one test alone, as Cloudinary keeps what the table forgets."""

    def __init__(self) -> None:
        self.bare = secrets.token_hex(4)
        self.folder = f"bo-{self.bare}"
        self.full = f"{self.folder}/{self.bare}"

    def of(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options with these names for BO and X."""
        return {
            name: value.replace("BO", self.folder).replace("X", self.bare)
            if isinstance(value, str)
            else value
            for name, value in options.items()
        }


@pytest.fixture
def names() -> Names:
    """A name, a folder of Bo's, and the name below it."""
    return Names()


@pytest.fixture(params=["team", "private"])
def ana(
    kit: mt.MediaToolkit, stack: EmbeddedStack, request: pytest.FixtureRequest
) -> Iterator[mt.MediaToolkit]:
    """Ana's kit under either policy of the table."""
    owner = Database(stack.database_url)
    migrations.migrate(owner, request.param)
    yield kit
    migrations.migrate(owner, "team")
    owner.close()


@pytest.fixture
def horse(sample_media: Path) -> bytes:
    """Bo's picture."""
    return (sample_media / "horse.png").read_bytes()


@pytest.fixture
def coffee(sample_media: Path) -> bytes:
    """Ana's picture, which is to replace nothing of Bo's."""
    return (sample_media / "coffee.png").read_bytes()


def rows(kit: mt.MediaToolkit, public_id: str) -> list[Any]:
    with kit._database.direct() as connection:
        asked = "SELECT to_jsonb(f) FROM cloudinary_files f WHERE public_id = %s"
        return list(connection.exec_driver_sql(asked, (public_id,)).scalars())


def tell(kit: mt.MediaToolkit, public_id: str) -> None:
    """Notify of the asset as it now is in Cloudinary."""
    at = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    told = {"notification_type": "upload", "notification_context": {"triggered_at": at}}
    facts = {**kit._client.explicit(public_id), **told, "timestamp": at}
    body, stamp = json.dumps(facts).encode(), str(int(time.time()))
    secret = kit.account.api_secret.get_secret_value()
    digest = hashlib.sha1(body + stamp.encode() + secret.encode()).hexdigest()
    kit.receive_notification(body, stamp, digest)


def send(signed: SignedUpload, data: bytes, name: str) -> dict[str, Any]:
    url = re.sub(r"/\w+/upload$", "/image/upload", signed.url)
    sent = {"data": dict(signed.fields), "files": {"file": (name, data)}}
    return dict(requests.post(url, timeout=30, **sent).json())  # type: ignore[arg-type]


def preset(kit: mt.MediaToolkit, name: str, **settings: Any) -> None:
    account = kit.account
    requests.post(
        f"{account.upload_prefix}/v1_1/{account.cloud_name}/upload_presets",
        data={"name": name, **settings},
        auth=(account.api_key, account.api_secret.get_secret_value()),
        timeout=30,
    ).raise_for_status()


@pytest.mark.parametrize(
    "way",
    [
        {"public_id": "X", "public_id_prefix": "BO"},
        {"public_id": "X", "public_id_prefix": " /BO/ "},
        {"public_id": "X", "asset_folder": "BO", **AS_PREFIX},
        {"public_id": "X", "folder": "BO"},
        {"public_id": "BO/X", "overwrite": True},
        {"public_id": "X", "upload_preset": "in-BO"},
        {"folder": "BO", **BY_FILE},
        {"folder": "BO", "use_filename": "1", "unique_filename": "false"},
        {"folder": "BO", "use_filename": 1, "unique_filename": "0"},
        {"public_id_prefix": "BO", "use_filename": True, "unique_filename": "no"},
        {"folder": "BO", "use_filename": True, "upload_preset": "not-unique-BO"},
        {"folder": "BO", "overwrite": "false", **BY_FILE},
    ],
    ids=str,
)
def test_an_upload_replaces_nothing_of_anothers_by_whatever_way_to_the_name(
    ana: mt.MediaToolkit, horse: bytes, coffee: bytes, names: Names, way: dict[str, Any]
) -> None:
    preset(ana, f"in-{names.folder}", folder=names.folder, overwrite="true")
    preset(ana, f"not-unique-{names.folder}", unique_filename="false")
    theirs = ana.acting_as("bo").upload(horse, public_id=names.full, tags=["bo's"])
    ana.upload(coffee, public_id=names.bare)
    before = rows(ana, names.full)
    with pytest.raises(mt.Conflict):
        ana.upload(coffee, filename=f"{names.bare}.png", tags=["ana's"], **names.of(way))
    assert ana._client.explicit(names.full)["etag"] == theirs.etag
    tell(ana, names.full)
    assert rows(ana, names.full) == before


@pytest.mark.parametrize(
    "way",
    [
        {"public_id": "X", "public_id_prefix": "BO"},
        {"public_id": "X", "public_id_prefix": "BO", "overwrite": True},
        {"public_id": "X", "asset_folder": "BO", **AS_PREFIX},
        {"public_id": "X", "folder": "BO", "overwrite": "true"},
        {"public_id": "BO/X"},
        {"public_id": "X", "upload_preset": "in-BO"},
        {"upload_preset": "by-file-BO"},
        {"folder": "BO", **BY_FILE},
        {"folder": "BO", "overwrite": True, **BY_FILE},
        {"folder": "BO", "use_filename": "true", "unique_filename": "0"},
    ],
    ids=str,
)
@pytest.mark.parametrize("comes", ["before", "after"])
def test_what_is_signed_replaces_nothing_of_anothers_that_came_before_or_after(
    ana: mt.MediaToolkit,
    horse: bytes,
    coffee: bytes,
    names: Names,
    way: dict[str, Any],
    comes: str,
) -> None:
    preset(ana, f"in-{names.folder}", folder=names.folder)
    preset(ana, f"by-file-{names.folder}", folder=names.folder, use_filename=1, unique_filename=0)
    ana.upload(coffee, public_id=names.bare)
    with mt.connect(mt.Settings(upload_policy=CHOOSING), user_id="ana") as page:
        signed: list[SignedUpload] = []

        def sign() -> None:
            signed.append(ana.sign_upload(**names.of(way)))
            if way.get("public_id") or way.get("use_filename"):
                signed.append(page.sign_for_browser(names.of(way)))

        if comes == "after":
            sign()
        ana.acting_as("bo").upload(horse, public_id=names.full, tags=["bo's"])
        before = rows(ana, names.full)
        if comes == "before":
            try:
                sign()
            except mt.Conflict:
                assert not signed
    for one in signed:
        assert send(one, coffee, f"{names.bare}.png")["existing"] is True
    assert ana._client.explicit(names.full)["etag"] == before[0]["etag"]
    tell(ana, names.full)
    assert rows(ana, names.full) == before


@pytest.mark.parametrize(
    "way",
    [
        {"public_id_prefix": "BO"},
        {"asset_folder": "BO", **AS_PREFIX},
        {"upload_preset": "in-BO"},
    ],
    ids=str,
)
def test_an_import_replaces_nothing_of_anothers_by_whatever_way_to_the_name(
    ana: mt.MediaToolkit,
    horse: bytes,
    coffee: bytes,
    names: Names,
    tmp_path: Path,
    way: dict[str, Any],
) -> None:
    preset(ana, f"in-{names.folder}", folder=names.folder)
    theirs = ana.acting_as("bo").upload(horse, public_id=names.full)
    ana.upload(horse, public_id=names.bare)
    (tmp_path / f"{names.bare}.png").write_bytes(coffee)
    before = rows(ana, names.full)
    report = ana.ingest(tmp_path, progress=False, **names.of(way))
    assert [r.outcome for r in report.results] == ["failed"]
    assert ana._client.explicit(names.full)["etag"] == theirs.etag
    tell(ana, names.full)
    assert rows(ana, names.full) == before


def test_an_import_of_another_delivery_type_is_held_against_names_of_that_type(
    ana: mt.MediaToolkit, horse: bytes, coffee: bytes, names: Names, tmp_path: Path
) -> None:
    ana.acting_as("bo").upload(horse, public_id=names.bare, type="private")
    ana.upload(horse, public_id=names.bare)
    (tmp_path / f"{names.bare}.png").write_bytes(coffee)
    report = ana.ingest(tmp_path, progress=False, type="private")
    assert [r.outcome for r in report.results] == ["failed"]
    known = ana._client.explicit(names.bare, delivery_type="private")
    assert known["bytes"] == len(horse)


@pytest.mark.parametrize(
    "way",
    [
        {"public_id": "BO/X"},
        {"public_id": "X", "folder": "BO"},
        {"public_id": "X", "public_id_prefix": "BO"},
        {"public_id": "X", "asset_folder": "BO", **AS_PREFIX},
        {"public_id": "X", "upload_preset": "in-BO"},
        {"folder": "BO", **BY_FILE},
    ],
    ids=str,
)
def test_ones_own_is_replaced_by_each_way_to_its_name(
    kit: mt.MediaToolkit, horse: bytes, coffee: bytes, names: Names, way: dict[str, Any]
) -> None:
    preset(kit, f"in-{names.folder}", folder=names.folder)
    named = {"filename": f"{names.bare}.png", **names.of(way)}
    first, second = kit.upload(horse, **named), kit.upload(coffee, **named)
    assert (second.public_id, second.asset_id) == (names.full, first.asset_id)
    assert second.folder == first.folder
    assert (kit.asset(names.full).bytes, kit.count()) == (len(coffee), 1)
    kept = kit.upload(horse, **named, overwrite="0")
    assert (kept.raw["existing"], kept.bytes) == (True, len(coffee))


def test_an_overwrite_is_signed_for_ones_own_alone_while_it_is_there(
    ana: mt.MediaToolkit, horse: bytes, names: Names
) -> None:
    assert ana.sign_upload(public_id=names.full, overwrite=True).fields["overwrite"] == "0"
    ana.upload(horse, public_id=names.full)
    for way in ({"public_id": names.full}, {"public_id": names.bare, "folder": names.folder}):
        assert "overwrite" not in ana.sign_upload(**way).fields
        assert ana.sign_upload(**way, overwrite="true").fields["overwrite"] == "true"
        assert ana.sign_upload(**way, overwrite="no").fields["overwrite"] == "0"
    ana.delete(names.full)
    assert ana.sign_upload(public_id=names.full).fields["overwrite"] == "0"


def test_strings_that_stand_already_are_signed_with_overwrite_false_or_for_ones_own(
    settings: mt.Settings, horse: bytes, names: Names
) -> None:
    with mt.connect(mt.Settings(upload_policy=CHOOSING), user_id="ana") as kit:
        said = {"public_id": names.full, "timestamp": int(time.time())}
        with pytest.raises(mt.PolicyError, match="overwrite=false beside it"):
            kit.sign_for_browser(said)
        assert kit.sign_for_browser({**said, "overwrite": "false"}).fields["overwrite"] == "false"
        kit.upload(horse, public_id=names.full)
        assert "overwrite" not in kit.sign_for_browser(said).fields
        with pytest.raises(mt.Conflict, match="belongs to ana"):
            kit.acting_as("bo").sign_for_browser(said)
        by_preset = {"timestamp": said["timestamp"], "upload_preset": "of the account"}
        assert "overwrite" not in kit.sign_for_browser(by_preset).fields


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_overwrite_is_none_and_false_is_signed(empty: str | None) -> None:
    named = mt.UploadPolicy(may_choose_public_id=True)
    assert named.permit({"public_id": "a", "overwrite": empty}, "ana")["overwrite"] is False
    with pytest.raises(mt.PolicyError, match="overwrite=false"):
        named.permit({"public_id": "a", "overwrite": empty}, "ana", exact=True)


@pytest.mark.parametrize("way", [{"public_id": "X", "folder": "BO"}, {"folder": "BO", **BY_FILE}])
def test_what_another_sent_by_a_signature_and_has_not_saved_yet_is_not_replaced(
    ana: mt.MediaToolkit, horse: bytes, coffee: bytes, names: Names, way: dict[str, Any]
) -> None:
    bo = ana.acting_as("bo")
    answer = send(bo.sign_upload(public_id=names.full), horse, "a.png")
    with pytest.raises(mt.Conflict, match="signed for another user"):
        ana.upload(coffee, filename=f"{names.bare}.png", **names.of(way))
    assert ana._client.explicit(names.full)["etag"] == answer["etag"]
    assert bo.save_from_browser(answer).user_id == "bo"


def test_an_upload_that_was_signed_with_a_prefix_is_known_by_its_whole_name(
    kit: mt.MediaToolkit, horse: bytes, names: Names
) -> None:
    signed = kit.acting_as("bo").sign_upload(public_id=names.bare, public_id_prefix=names.folder)
    send(signed, horse, "a.png")
    tell(kit, names.full)
    assert kit.asset(names.full).user_id == "bo"
    assert kit.acting_as("bo").intents(settled=True)["public_id"].tolist() == [names.full]


@pytest.mark.parametrize(
    "options",
    [
        {"public_id": "X"},
        {"public_id": "a/X", "folder": "BO"},
        {"public_id": "X", "folder": "BO/a", "public_id_prefix": "p/q"},
        {"public_id": "X", "public_id_prefix": " /BO/ "},
        {"public_id": "X", "public_id_prefix": "p", "asset_folder": " BO/b/ ", **AS_PREFIX},
        {"public_id": "X", "folder": "BO", "asset_folder": "other", **AS_PREFIX},
        {"public_id": "X", "asset_folder": "BO"},
        {
            "public_id": "X",
            "asset_folder": "BO",
            "use_asset_folder_as_public_id_prefix": "false",
        },
        {"public_id": "X", **BY_FILE},
    ],
    ids=str,
)
def test_a_name_that_is_known_before_is_the_one_that_the_upload_gets(
    kit: mt.MediaToolkit, horse: bytes, names: Names, options: dict[str, Any]
) -> None:
    wanted = names.of(options)
    assert kit._client.upload(horse, **wanted)["public_id"] == naming.full_name(wanted)


@pytest.mark.parametrize(
    ("value", "is_on"),
    [
        *((value, True) for value in (True, 1, "1", "true", "True", "yes")),
        *((value, False) for value in (False, 0, "0", "false", "False", "NO")),
    ],
)
def test_a_switch_is_read_as_cloudinary_reads_it(
    kit: mt.MediaToolkit, horse: bytes, names: Names, value: object, is_on: bool
) -> None:
    assert naming.is_on(value, not is_on) is is_on
    named: dict[str, Any] = {"filename": f"{names.bare}.png", "use_filename": True}
    named["unique_filename"] = value
    assert (kit.upload(horse, **named).public_id != names.bare) is is_on
    named = {"filename": f"{names.bare}.png", "use_filename": value}
    told = kit.upload(horse, **named).public_id
    assert told.startswith(names.bare) is is_on
    assert naming.is_on(None, is_on) is naming.is_on("", is_on) is is_on
