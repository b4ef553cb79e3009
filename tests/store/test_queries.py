"""The named queries: the same columns whatever the library holds, and whoever asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

import media_toolkit as mt
from media_toolkit.embedded.stack import EmbeddedStack
from media_toolkit.identity import Identity
from media_toolkit.store import migrations
from media_toolkit.store.changes import AssetChanges
from media_toolkit.store.database import Database
from media_toolkit.store.queries import listing, named_frame


def response(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "asset_id": f"{number:032x}",
        "public_id": f"spring/tulip_{number}",
        "version": number,
        "resource_type": "image",
        "format": "jpg",
        "bytes": 1000 * number,
        "tags": ["spring"],
        "secure_url": "https://res.cloudinary.com/demo/image/upload/x.jpg",
        **changes,
    }


# Name → kind of each column.
_ANSWERS = {
    "duplicates": "etag text, copies int, bytes int, wasted_bytes int, public_ids list",
    "formats_by_bytes": "resource_type text, format text, assets int, bytes int, average_bytes int",
    "growth_by_week": "week time, assets int, bytes int, assets_so_far int",
    "largest": "public_id text, resource_type text, format text, user_id text, bytes int, "
    "upload_timestamp time",
    "largest_folders": "folder text, assets int, bytes int",
    "missing_alt_text": "public_id text, user_id text, folder text, media_url text, "
    "upload_timestamp time",
    "never_tagged": "public_id text, resource_type text, user_id text, folder text, "
    "upload_timestamp time",
    "recently_deleted": "public_id text, resource_type text, user_id text, bytes int, "
    "deleted_at time",
    "tags_by_use": "tag text, assets int, users int",
    "usage_by_user": "user_id text, assets int, bytes int, first_upload time, last_upload time",
}
_KINDS = {"string": "text", "Int64": "int", "datetime64[us, UTC]": "time", "object": "list"}


def _is_answered(kit: mt.MediaToolkit, who: Identity, is_some: bool | None) -> None:
    assert set(listing()["name"]) == set(_ANSWERS)
    for name, columns in _ANSWERS.items():
        answer = named_frame(kit._database, who, name)
        kinds = [f"{column} {_KINDS[str(kind)]}" for column, kind in answer.dtypes.items()]
        assert ", ".join(kinds) == columns, name
        assert is_some is None or bool(len(answer)) == is_some, name


@pytest.fixture(params=["team", "private"])
def policy(
    request: pytest.FixtureRequest, kit: mt.MediaToolkit, stack: EmbeddedStack
) -> Iterator[str]:
    """The run's database under each policy."""
    owner = Database(stack.database_url)
    migrations.migrate(owner, request.param)
    yield str(request.param)
    migrations.migrate(owner, "team")
    owner.close()


def test_every_named_query_has_its_columns_whatever_the_library_holds(
    kit: mt.MediaToolkit, policy: str
) -> None:
    admin = Identity("root", "admin")
    for who in (kit.identity, admin):
        _is_answered(kit, who, is_some=False)
    odd = {"secure_url": "https://res.cloudinary.com/demo/raw/upload/x", "asset_folder": None}
    kit.save_many(
        [response(1, bytes=None, format=None, tags=[], **odd)]
        + [response(n, bytes=None, tags=[], etag="same", format=None) for n in (2, 3)]
    )
    for who in (kit.identity, admin):
        _is_answered(kit, who, is_some=None)
    kit.save_many(
        [
            response(4, context={"alt": " "}, etag="same"),
            response(5),
            response(6, tags=["", "ü", "ü"]),
            *(response(n, resource_type="raw", bytes=2**62, etag="huge") for n in (7, 8, 9, 10)),
        ]
    )
    tags = named_frame(kit._database, admin, "tags_by_use").set_index("tag")["assets"]
    assert tags["ü"] == 1, "an asset has a tag once"
    changes = AssetChanges(kit._database)
    changes.delete(changes.find("spring/tulip_5", kit.identity), kit.identity)
    with kit._database.direct() as connection:
        connection.exec_driver_sql(
            "INSERT INTO cloudinary_files (public_id, media_url, resource_type, user_id, tags)"
            " VALUES ('guide', 'x', 'image', 'ana', ARRAY[NULL, 'a', 'a'])"
        )
    counted = named_frame(kit._database, admin, "tags_by_use").set_index("tag")["assets"]
    assert counted["a"] == 1, "also where the tag stands twice"
    for who in (kit.identity, admin):
        _is_answered(kit, who, is_some=True)
    _is_answered(kit, Identity("bob"), is_some=policy == "team")


def test_what_has_no_bytes_stands_last_and_is_not_the_largest(kit: mt.MediaToolkit) -> None:
    """As rows of the guide's own INSERT, which knows no bytes."""
    unknown = {"bytes": None, "format": "gif", "etag": "b"}
    old = {"created_at": "2020-01-01T00:00:00Z", "asset_folder": "old"}
    kit.acting_as("bob").save_many([response(n, **unknown, **old) for n in (1, 2)])
    kit.save_many([response(n, etag="a") for n in (3, 4)])
    columns = {
        "duplicates": "wasted_bytes",
        "formats_by_bytes": "bytes",
        "largest_folders": "bytes",
        "usage_by_user": "bytes",
    }
    for name, column in columns.items():
        known, nothing = named_frame(kit._database, kit.identity, name)[column]
        assert (known, nothing is pd.NA) == (3_000 if name == "duplicates" else 7_000, True), name
    weeks = named_frame(kit._database, kit.identity, "growth_by_week")["bytes"]
    assert (weeks[0] is pd.NA, weeks[1]) == (True, 7_000)


def test_an_empty_etag_is_no_file(kit: mt.MediaToolkit) -> None:
    kit.save_many([response(n, etag="") for n in (1, 2)])
    assert named_frame(kit._database, kit.identity, "duplicates").empty


def test_an_alt_of_nothing_that_can_be_seen_is_missing(kit: mt.MediaToolkit) -> None:
    unseen = [" ", "\t\n\r", "\u00a0", "\u2007\u202f\u3000", "\u200b\ufeff"]
    alts = [*unseen, "\u00a0a tulip\n", ".", "\\", "u"]
    kit.save_many([response(n, context={"alt": alt}) for n, alt in enumerate(alts, 1)])
    missing = named_frame(kit._database, kit.identity, "missing_alt_text")["public_id"]
    assert set(missing) == {f"spring/tulip_{n}" for n in range(1, len(unseen) + 1)}
