"""Importing a folder: all that is good arrives, all that is not is named, a second run is cheap."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from PIL import Image

import media_toolkit as mt
from media_toolkit.ingest.report import IngestReport, Result


def draw(path: Path, colour: str = "teal", size: tuple[int, int] = (64, 48)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((400, 300), 90).save(buffer, "JPEG")
    return buffer.getvalue()


def test_a_folder_arrives_whole_with_its_paths_as_public_ids(
    kit: mt.MediaToolkit, tmp_path: Path
) -> None:
    draw(tmp_path / "photos/one.jpg")
    draw(tmp_path / "photos/trip/two.png", "red")
    report = kit.ingest(tmp_path / "photos", folder="spring", progress=False, tags=["trip"])
    assert report.count("uploaded") == 2
    assert {a.public_id for a in report.uploaded} == {"spring/one", "spring/trip/two"}
    frame = kit.assets(tags=["trip"], order_by="public_id")
    assert frame["public_id"].tolist() == ["spring/one", "spring/trip/two"]
    assert frame["width"].tolist() == [64, 64]


def test_a_second_run_sends_only_what_changed(kit: mt.MediaToolkit, tmp_path: Path) -> None:
    draw(tmp_path / "a.jpg")
    draw(tmp_path / "b.jpg")
    kit.ingest(tmp_path, progress=False)
    draw(tmp_path / "b.jpg", "red")
    draw(tmp_path / "c.jpg")
    report = kit.ingest(tmp_path, progress=False)
    assert {r.label: r.outcome for r in report.results} == {
        "a.jpg": "unchanged",
        "b.jpg": "uploaded",
        "c.jpg": "uploaded",
    }
    assert kit.count() == 3


def test_bad_files_are_named_and_the_rest_goes_on(kit: mt.MediaToolkit, tmp_path: Path) -> None:
    good = [
        "with space.jpg",
        'it\'s "quoted".jpg',
        "tulpe 🌷 ü.jpg",
        "100% & so?.jpg",
        "a..b.jpg",
    ]
    for name in good:
        draw(tmp_path / name)
    (tmp_path / "text.jpg").write_text("not an image")
    (tmp_path / "half.jpg").write_bytes(jpeg()[:2000])
    (tmp_path / "empty.png").touch()
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / ".hidden.jpg").write_text("left alone")
    deep = tmp_path / ("x" * 200)
    draw(deep / ("y" * 100 + ".jpg"))
    report = kit.ingest(tmp_path, progress=False)
    outcome = {r.label: (r.outcome, r.error) for r in report.results}
    assert {label: outcome[label][0] for label in good} == dict.fromkeys(good, "uploaded")
    assert "not an image" in outcome["text.jpg"][1]
    assert "truncated" in outcome["half.jpg"][1]
    assert "0 bytes" in outcome["empty.png"][1]
    assert "characters; 1 to 255" in outcome[f"{'x' * 200}/{'y' * 100}.jpg"][1]
    assert outcome["notes.txt"][0] == "skipped"
    assert ".hidden.jpg" not in outcome
    assert len(report.failed) == 4
    assert kit.count() == len(good)
    assert all(name in str(report) for name in ("text.jpg", "half.jpg", "empty.png", "notes.txt"))


def test_files_that_differ_by_extension_only_are_both_kept(
    kit: mt.MediaToolkit, tmp_path: Path
) -> None:
    draw(tmp_path / "a.jpg")
    draw(tmp_path / "a.png")
    draw(tmp_path / "b.jpg")
    report = kit.ingest(tmp_path, progress=False)
    assert {a.public_id for a in report.uploaded} == {"a_jpg", "a_png", "b"}


def test_an_unreadable_file_is_named(kit: mt.MediaToolkit, tmp_path: Path) -> None:
    draw(tmp_path / "good.jpg")
    # A link to nowhere: unlike a file without permissions, root cannot read it either.
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    report = kit.ingest(tmp_path, progress=False)
    assert [(r.label, r.outcome) for r in report.results] == [
        ("gone.jpg", "failed"),
        ("good.jpg", "uploaded"),
    ]
    assert "cannot read gone.jpg" in report.failed[0].error


def test_raw_files_keep_their_extension_and_are_delivered_by_it(
    kit: mt.MediaToolkit, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "notes.csv").write_text("a,b")
    report = kit.ingest(tmp_path, progress=False, resource_type="raw")
    assert not report.failed, report
    assets = {a.public_id: a for a in kit.page().items}
    assert {a.resource_type for a in assets.values()} == {"raw"}
    assert requests.get(assets["notes.csv"].media_url, timeout=10).text == "a,b"
    assert assets["notes.txt"].media_url.endswith("/notes.txt")
    again = kit.ingest(tmp_path, progress=False, resource_type="raw")
    assert [r.outcome for r in again.results] == ["unchanged", "unchanged"]


def test_a_folder_that_is_none_is_an_error(kit: mt.MediaToolkit, tmp_path: Path) -> None:
    with pytest.raises(mt.IngestError, match="no such folder"):
        kit.ingest(tmp_path / "nowhere")
    with pytest.raises(mt.IngestError, match="not a folder"):
        kit.ingest(draw(tmp_path / "a.jpg"))
    with pytest.raises(mt.IngestError, match="public_id"):
        kit.ingest(tmp_path, public_id="same")
    # Once, and not at each file.
    with pytest.raises(mt.InvalidName, match="folder 'spring//2026' has an empty"):
        kit.ingest(tmp_path, folder="spring//2026")
    assert "1 uploaded" in str(kit.ingest(str(tmp_path), progress=False))


def test_another_users_asset_is_neither_overwritten_nor_taken(
    kit: mt.MediaToolkit, tmp_path: Path
) -> None:
    draw(tmp_path / "a.jpg")
    kit.ingest(tmp_path, progress=False)
    before = kit.asset("a")
    draw(tmp_path / "a.jpg", "red")
    report = kit.acting_as("bob").ingest(tmp_path, progress=False)
    assert "belongs to ana" in report.failed[0].error
    assert kit.asset("a") == before
    with pytest.raises(mt.Conflict, match="belongs to ana"):
        kit.acting_as("bob").upload(tmp_path / "a.jpg", public_id="a")


def test_of_two_who_import_into_one_folder_at_once_nobody_replaces_the_others_files(
    kit: mt.MediaToolkit, tmp_path: Path
) -> None:
    for user, colour in (("ana", "teal"), ("bob", "red")):
        for n in range(60):
            draw(tmp_path / user / f"{n:02}.png", colour)
    start = threading.Barrier(2)

    def ingest(user: str) -> IngestReport:
        start.wait()
        return kit.acting_as(user).ingest(tmp_path / user, folder="shared", progress=False)

    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(ingest, ("ana", "bob")))
    assert sum(report.count("uploaded") for report in reports) == 60
    assert sum(report.count("failed") for report in reports) == 60
    for asset in kit.assets(columns=["public_id", "etag"]).itertuples():
        assert kit._client.resource(asset.public_id)["etag"] == asset.etag


def test_what_cloudinary_has_without_a_row_is_replaced_by_an_import(
    kit: mt.MediaToolkit, tmp_path: Path
) -> None:
    kit._client.upload(jpeg(), None, "image", public_id="left/behind")
    picture = draw(tmp_path / "behind.png", "red")
    (asset,) = kit.ingest(tmp_path, folder="left", progress=False, tags=["kept"]).uploaded
    assert (asset.format, asset.tags) == ("png", ("kept",))
    digest = hashlib.md5(picture.read_bytes()).hexdigest()
    assert kit._client.resource("left/behind")["etag"] == asset.etag == digest


def test_what_was_sent_and_not_saved_is_imported_again_without_a_wait_for_each(
    kit: mt.MediaToolkit, settings: mt.Settings, tmp_path: Path
) -> None:
    for number in range(6):
        draw(tmp_path / f"{number}.png", "navy", (number + 1, 50))
    with kit._database.direct() as connection:
        connection.exec_driver_sql(
            "ALTER TABLE cloudinary_files ADD CONSTRAINT none CHECK (false) NOT VALID"
        )
    try:
        for folder in ("same", "other"):
            report = kit.ingest(tmp_path, folder=folder, progress=False)
            assert [r.hint.split(". ")[0] for r in report.failed] == [
                "it is in Cloudinary, its row is missing: import again"
            ] * 6
    finally:
        with kit._database.direct() as connection:
            connection.exec_driver_sql("ALTER TABLE cloudinary_files DROP CONSTRAINT none")
    again = kit.ingest(tmp_path, folder="same", threads=1, progress=False)
    assert (again.count("uploaded"), again.seconds < 4) == (6, True), again
    # Who does not know whose they are waits for all of them as for one.
    with mt.connect(settings) as another:
        again = another.ingest(tmp_path, folder="other", threads=1, progress=False)
    assert (again.count("uploaded"), again.seconds < 12) == (6, True), again


def test_ctrl_c_saves_what_was_uploaded_and_a_second_run_goes_on(
    kit: mt.MediaToolkit, tmp_path: Path, until: Callable[..., None]
) -> None:
    folder = tmp_path / "many"
    for number in range(300):
        draw(folder / f"{number:03}.png", "navy", (number + 1, 50))
    process = subprocess.Popen(
        [sys.executable, "-m", "media_toolkit", "ingest", str(folder), "--threads", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        cwd=tmp_path,
    )
    until(lambda: kit.count() > 0)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    saved = kit.count()
    if process.returncode == 130:
        assert "interrupted: run it again to go on" in said
        assert saved < 300
    else:
        assert process.returncode == 0, said
    report = kit.ingest(folder, progress=False)
    assert report.count("unchanged") == saved
    assert kit.count() == 300


def test_a_subfolder_that_cannot_be_listed_is_named_and_the_rest_goes_on(
    kit: mt.MediaToolkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "good.jpg")
    draw(tmp_path / "closed/other.jpg")
    listing = Path.iterdir

    def refused(folder: Path) -> object:
        # Root may list everything, so the refusal of the system is played here.
        if folder.name == "closed":
            raise PermissionError(13, "Permission denied")
        return listing(folder)

    monkeypatch.setattr(Path, "iterdir", refused)
    report = kit.ingest(tmp_path, progress=False)
    assert [(r.label, r.outcome) for r in report.results] == [
        ("closed", "failed"),
        ("good.jpg", "uploaded"),
    ]
    assert "Permission denied" in report.failed[0].error


def test_the_frame_of_a_report_has_its_types_with_files_and_without() -> None:
    full = IngestReport([Result("a.jpg", "uploaded", "a")]).to_frame()
    empty = IngestReport().to_frame()
    assert set(full.dtypes.astype(str)) == {"string"}
    assert empty.dtypes.to_dict() == full.dtypes.to_dict()
