"""Under `team` everybody reads everything; what is another's, no public method changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import media_toolkit as mt


@pytest.fixture
def anas(kit: mt.MediaToolkit, sample_media: Path) -> mt.MediaToolkit:
    """Ana's kit with an asset `mine` and a deleted one, `gone`."""
    horse = sample_media / "horse.png"
    kit.upload(horse, public_id="mine", tags=["t"], context={"alt": "A horse", "by": "Ana"})
    kit.delete(kit.upload(horse, public_id="gone"))
    return kit


@pytest.fixture
def coffee(sample_media: Path, tmp_path: Path) -> Path:
    """Another picture, in a file that would be named `mine`."""
    (tmp_path / "photos").mkdir()
    path = tmp_path / "photos" / "mine.png"
    path.write_bytes((sample_media / "coffee.png").read_bytes())
    return path


Act = Callable[[mt.MediaToolkit, mt.MediaToolkit, Path], object]
FORBIDDEN: dict[str, Act] = {
    "edit": lambda bob, ana, _: bob.edit("mine", tags=["x"]),
    "edit context": lambda bob, ana, _: bob.edit(ana.asset("mine"), context={"alt": None}),
    "edit a frame": lambda bob, ana, _: bob.edit(ana.assets(), add_tags=["x"]),
    "rename": lambda bob, ana, _: bob.rename("mine", "his"),
    "delete": lambda bob, ana, _: bob.delete("mine"),
    "restore": lambda bob, ana, _: bob.restore("gone"),
}
CONFLICT: dict[str, Act] = {
    "save": lambda bob, ana, _: bob.save(ana.asset("mine").raw),
    "save unsigned": lambda bob, ana, _: bob.save(unsigned(ana)),
    "save from browser": lambda bob, ana, _: bob.save_from_browser(ana.asset("mine").raw),
    "save many": lambda bob, ana, _: bob.save_many([newer(ana)]),
    "save many, moved": lambda bob, ana, _: bob.save_many([newer(ana) | {"public_id": "his"}]),
    "upload": lambda bob, ana, file: bob.upload(file, public_id="mine"),
    "upload over a deleted one": lambda bob, ana, file: bob.upload(file, public_id="gone"),
    "upload by file name": lambda bob, ana, file: bob.upload(
        file, use_filename=True, unique_filename=False
    ),
    "sign": lambda bob, ana, _: bob.sign_upload(public_id="mine"),
}


def newer(ana: mt.MediaToolkit) -> dict[str, Any]:
    row = ana.asset("mine")
    return {**row.raw, "version": (row.version or 0) + 1}


def unsigned(ana: mt.MediaToolkit) -> dict[str, Any]:
    raw = ana.asset("mine").raw
    return {name: raw[name] for name in ("public_id", "secure_url", "resource_type")}


def state(kit: mt.MediaToolkit) -> list[pd.DataFrame]:
    """Rows, history and counts, and the asset as Cloudinary has it."""
    known = kit._client.explicit("mine")
    asset = {name: known.get(name) for name in ("etag", "tags", "context", "asset_id")}
    return [
        *(
            kit.sql(f"SELECT * FROM {table} ORDER BY 1, 2")
            for table in ("cloudinary_files", "cloudinary_files_history", "upload_intents")
        ),
        pd.DataFrame([asset]),
    ]


@pytest.mark.parametrize(
    ("act", "error"),
    [
        *((pytest.param(act, mt.Forbidden, id=name)) for name, act in FORBIDDEN.items()),
        *((pytest.param(act, mt.Conflict, id=name)) for name, act in CONFLICT.items()),
    ],
)
def test_what_is_anothers_is_refused_by_name_and_nothing_is_changed(
    anas: mt.MediaToolkit, coffee: Path, act: Act, error: type[mt.StoreError]
) -> None:
    bob, before = anas.acting_as("bob"), state(anas)
    with pytest.raises(error, match=r"(mine|gone|his) belongs to ana") as refused:
        act(bob, anas, coffee)
    assert "ask the owner or an admin" in refused.value.hint
    assert set(refused.value.ids) & {"mine", "gone", "image/mine", "image/gone", "image/his"}
    for was, now in zip(before, state(anas), strict=True):
        pd.testing.assert_frame_equal(was, now)


def test_an_import_names_what_is_anothers_and_sends_it_not(
    anas: mt.MediaToolkit, coffee: Path
) -> None:
    before = state(anas)
    report = anas.acting_as("bob").ingest(coffee.parent, progress=False)
    assert [(r.outcome, r.error) for r in report.failed] == [
        ("failed", "image/mine belongs to ana")
    ]
    for was, now in zip(before, state(anas), strict=True):
        pd.testing.assert_frame_equal(was, now)


def test_purge_passes_by_what_is_anothers(anas: mt.MediaToolkit) -> None:
    before = state(anas)
    assert anas.acting_as("bob").purge("0h") == 0
    for was, now in zip(before, state(anas), strict=True):
        pd.testing.assert_frame_equal(was, now)
    assert anas.purge("0h") == 1


def test_reconcile_tells_of_what_is_anothers_and_does_not_mend_it(anas: mt.MediaToolkit) -> None:
    anas._client.change_tags("replace", ["drift"], ["mine"])
    plan = anas.acting_as("bob").reconcile(progress=False)
    frame = plan.frame
    assert frame["user_id"][frame["public_id"] == "mine"].tolist() == ["ana"]
    report = plan.apply(dry_run=False)
    assert "mine: belongs to ana" in str(report)
    assert anas.asset("mine").tags == ("t",)
    assert anas._client.explicit("mine")["tags"] == ["drift"]


def test_history_of_anothers_row_is_read_by_the_team(anas: mt.MediaToolkit) -> None:
    assert anas.acting_as("bob").history("mine")["changed_by"].tolist() == ["ana"]


def test_a_policy_of_the_teams_own_hides_rows_from_counts_and_facets_too(
    anas: mt.MediaToolkit,
) -> None:
    with anas._database.direct() as owner:
        owner.exec_driver_sql(
            "CREATE POLICY secret ON cloudinary_files AS RESTRICTIVE FOR SELECT"
            " USING (auth.user_id() = 'ana')"
        )
    try:
        for kit, seen in ((anas, 1), (anas.acting_as("bob"), 0)):
            with mt.connect(kit.settings, user_id=kit.identity.user_id) as own:
                assert (own.count(), own.count(tags=["t"]), own.count(user_id="ana")) == (seen,) * 3
                assert len(own.facets("tags", "user_id")["tags"]) == seen
                assert len(own.page(tags=["t"]).items) == len(own.assets(tags=["t"])) == seen
    finally:
        with anas._database.direct() as owner:
            owner.exec_driver_sql("DROP POLICY secret ON cloudinary_files")
