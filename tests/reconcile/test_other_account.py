"""CLOUDINARY_URL leads to another account than the rows are of: nothing is lost by it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

import media_toolkit as mt
from media_toolkit.reconcile.plan import ReconcilePlan

Kits = Callable[..., mt.MediaToolkit]
_FORMER = "https://res.cloudinary.com/former/image/upload/v1/"
_ROWS = (
    "SELECT public_id, asset_id, media_url, user_id, deleted_at IS NULL"
    " FROM cloudinary_files ORDER BY id"
)


def as_owner(kit: mt.MediaToolkit, statement: str, **values: Any) -> Any:
    with kit._database.direct() as connection:
        result = connection.execute(sa.text(statement), values)
        return result.all() if result.returns_rows else result.rowcount


def put(kit: mt.MediaToolkit, data: bytes, public_id: str, **options: Any) -> dict[str, Any]:
    return kit._client.upload(data, "x.png", "image", public_id=public_id, **options)


def plan(kit: mt.MediaToolkit) -> ReconcilePlan:
    return kit.reconcile(progress=False, resume=False)


@pytest.fixture
def rows(kit: mt.MediaToolkit, pixel: bytes) -> list[Any]:
    """ana's rows of the cloud `former`: known by asset_id, of the guide, and deleted."""
    for name in ("known", "named", "deleted", "named deleted"):
        kit.upload(pixel, public_id=name, tags=["here"])
    kit.delete(["deleted", "named deleted"])
    as_owner(kit, "UPDATE cloudinary_files SET media_url = :url || public_id", url=_FORMER)
    as_owner(
        kit,
        "UPDATE cloudinary_files SET asset_id = NULL, version = NULL WHERE public_id LIKE 'named%'",
    )
    return as_owner(kit, _ROWS)


@pytest.mark.parametrize("has_the_names", [False, True], ids=["empty", "the same names"])
def test_reconcile_concludes_nothing_from_another_cloud(
    fresh_kit: Kits, rows: list[Any], pixel: bytes, has_the_names: bool
) -> None:
    other = fresh_kit("root", admins="root")
    if has_the_names:
        for name in ("known", "named", "deleted", "named deleted"):
            put(other, pixel, name, tags=["there"])
    for direction in ("to_table", "to_cloudinary"):
        report = plan(other).apply(direction, dry_run=False, progress=False)
        done = {r.outcome for r in report.results}
        assert done <= {"refused", "left"}, report.frame.to_string()
        assert as_owner(other, _ROWS) == rows
        if direction == "to_table":
            assert "the cloud former, and fresh is in use" in str(report)
    if has_the_names:
        assert other._client.resource("named")["tags"] == ["there"]


def test_a_purge_neither_destroys_the_other_clouds_assets_nor_drops_rows(
    fresh_kit: Kits, rows: list[Any], pixel: bytes
) -> None:
    other = fresh_kit()
    theirs = put(other, pixel, "named deleted")
    ours = other.upload(pixel, public_id="ours")
    other.delete(ours)
    with pytest.raises(mt.Conflict, match="1 others purged") as told:
        other.purge("0h")
    assert set(told.value.ids) == {"deleted", "named deleted"}
    assert "another cloud than the one in use" in told.value.hint
    assert "refer to these" not in told.value.hint
    assert as_owner(other, _ROWS) == rows
    assert other._client.resource("named deleted")["asset_id"] == theirs["asset_id"]


@pytest.mark.parametrize("name", ["known", "named"])
def test_edits_and_renames_name_both_clouds_and_change_nothing(
    fresh_kit: Kits, rows: list[Any], pixel: bytes, name: str
) -> None:
    other = fresh_kit()
    put(other, pixel, name, tags=["there"])
    for change in (
        lambda: other.edit(name, add_tags=["x"]),
        lambda: other.rename(name, "elsewhere"),
    ):
        with pytest.raises(mt.Conflict, match="of the cloud former, and fresh is in use") as told:
            change()
        assert "CLOUDINARY_URL" in told.value.hint
    assert other._client.resource(name)["tags"] == ["there"]
    assert as_owner(other, _ROWS) == rows


def test_a_cloud_that_was_given_another_name_is_the_same(fresh_kit: Kits, pixel: bytes) -> None:
    kit = fresh_kit()
    for name in ("a", "b"):
        kit.upload(pixel, public_id=name)
    as_owner(kit, "UPDATE cloudinary_files SET media_url = :url || public_id", url=_FORMER)
    assert plan(kit).differences == []
    kit.edit("a", add_tags=["x"])
    kit.rename("a", "c")
    put(kit, pixel, "b", tags=["new"])
    assert [r.outcome for r in plan(kit).apply(dry_run=False, progress=False).results] == ["mended"]
    kit.delete(["b", "c"])
    assert kit.purge("0h") == 2


def test_the_rows_follow_files_that_were_copied_to_another_account(
    fresh_kit: Kits, rows: list[Any], pixel: bytes
) -> None:
    kit = fresh_kit("root", admins="root")
    for name in ("known", "named", "deleted", "named deleted"):
        put(kit, pixel, name, tags=["here"])
    moved = as_owner(
        kit,
        "UPDATE cloudinary_files SET asset_id = NULL, version = NULL,"
        " media_url = replace(media_url, 'res.cloudinary.com/former/', 'res.cloudinary.com/fresh/')"
        " WHERE media_url LIKE 'https://res.cloudinary.com/former/%'",
    )
    assert moved == 4
    report = plan(kit).apply(dry_run=False, progress=False)
    assert report.is_complete, report
    assert plan(kit).differences == []
    after = as_owner(kit, _ROWS)
    assert [(r.public_id, r.user_id) for r in after] == [(r.public_id, r.user_id) for r in rows]
    assert kit.asset("known").asset_id == kit._client.resource("known")["asset_id"]
    kit.edit("known", add_tags=["x"])
    assert kit.purge("0h") == 2


def test_the_doctor_tells_that_the_newest_rows_are_of_another_cloud(
    fresh_kit: Kits, rows: list[Any], pixel: bytes
) -> None:
    other = fresh_kit()
    (table,) = (f for f in other.doctor().findings if f.check == "table")
    assert table.state == "warning"
    assert "newest rows are of the cloud former, and fresh is in use" in table.detail
    as_owner(other, "UPDATE cloudinary_files SET media_url = 'https://media.example.org/x.png'")
    (table,) = (f for f in other.doctor().findings if f.check == "table")
    assert table.state == "ok"


@pytest.mark.parametrize("has_the_names", [False, True], ids=["empty", "the same names"])
def test_most_of_the_rows_are_not_hidden_without_a_word(
    kit: mt.MediaToolkit, fresh_kit: Kits, pixel: bytes, has_the_names: bool
) -> None:
    def put_all(cloud: mt.MediaToolkit) -> list[dict[str, Any]]:
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(lambda n: put(cloud, pixel, f"n{n}"), range(20)))

    # A row of the last minute makes no way for another.
    kit.save_many({**told, "version": told["version"] - 100} for told in put_all(kit))
    other = fresh_kit("root", admins="root")
    if has_the_names:
        put_all(other)
    before, found = as_owner(kit, _ROWS), plan(other)
    assert [r.outcome for r in found.apply(progress=False).results] == ["planned"] * 20
    with pytest.raises(mt.Conflict, match="assets of 20 of the 20 rows") as told:
        found.apply(dry_run=False, progress=False)
    assert "all_gone=True" in told.value.hint
    assert as_owner(kit, _ROWS) == before
    assert found.apply("to_cloudinary", dry_run=False, progress=False).is_complete
    assert as_owner(kit, _ROWS) == before
    report = found.apply(dry_run=False, progress=False, all_gone=True)
    assert [r.outcome for r in report.results] == ["mended"] * 20


def test_few_rows_or_the_lesser_half_are_hidden_as_before(fresh_kit: Kits, pixel: bytes) -> None:
    kit = fresh_kit()
    with ThreadPoolExecutor(8) as pool:
        kit.save_many(pool.map(lambda n: put(kit, pixel, f"n{n}"), range(42)))
        list(pool.map(lambda n: kit._client.destroy(f"n{n}"), range(21)))
    put(kit, pixel, "new")
    assert plan(kit).apply(dry_run=False, progress=False).is_complete
    assert kit.count() == 22
    for n in range(21, 40):
        kit._client.destroy(f"n{n}")
    assert plan(kit).apply(dry_run=False, progress=False).is_complete
    assert kit.count() == 3
