"""The one object: upload from anything, save what is true, URLs that deliver."""

from __future__ import annotations

import gc
import io
import shutil
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from PIL import Image

import media_toolkit as mt
from media_toolkit.embedded.stack import EmbeddedStack, StackFiles
from media_toolkit.store import migrations


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:
        return bytes(answer.read())


def test_the_public_face_is_its_list() -> None:
    # A process of its own: other tests import submodules, which then show up as names.
    code = (
        "import media_toolkit as mt, types; print(*sorted(n for n, v in vars(mt).items()"
        " if not n.startswith('_') and not isinstance(v, types.ModuleType)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == sorted(mt.__all__) == mt.__all__


def test_importing_starts_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, media_toolkit;"
        "print([m for m in ('pandas','streamlit','sqlalchemy','cloudinary','pyarrow','PIL')"
        " if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_who_only_reads_loads_no_sdk(settings: mt.Settings) -> None:
    code = (
        "import sys, media_toolkit as mt\n"
        "with mt.connect() as kit: print(kit.count(), len(kit.page().items))\n"
        "print([m for m in ('pandas', 'cloudinary', 'urllib3', 'PIL') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.split("\n")[:2] == ["0 0", "[]"]


def test_threads_that_are_the_first_at_once_share_one_client(settings: mt.Settings) -> None:
    at_once = threading.Barrier(8, timeout=60)

    def client(kit: mt.MediaToolkit, user: str) -> Any:
        at_once.wait()
        return kit.acting_as(user)._client

    with mt.connect(settings) as kit, ThreadPoolExecutor(8) as pool:
        clients = list(pool.map(client, [kit] * 8, "abcdefgh"))
        assert all(one is kit._client for one in clients)


def test_a_kit_that_was_dropped_unclosed_gives_its_connections_back(
    kit: mt.MediaToolkit, stack: EmbeddedStack, until: Callable[..., None]
) -> None:
    def living() -> set[int]:
        with kit._database.direct() as connection:
            return set(connection.scalars(sa.text("SELECT pid FROM pg_stat_activity")))

    services = {"cloudinary_url": stack.cloudinary_url, "database_url": stack.database_url}
    dropped = mt.connect(mt.Settings(**services))
    with dropped._database.begin(dropped.identity) as connection:
        used = {connection.scalar(sa.text("SELECT pg_backend_pid()"))}
    used |= set(dropped._database.run_arrow(dropped.identity, backend, is_reused=True))
    other = dropped.acting_as("ben")
    assert dropped._cloud.parts
    del dropped
    gc.collect()
    assert used <= living(), "they are the other's too"
    assert other.count() == 0
    del other
    gc.collect()
    until(lambda: not used & living())


def backend(connection: Any) -> tuple[int, ...]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return tuple(cursor.fetchone())


def test_a_file_is_uploaded_with_tags_and_context_and_its_row_saved(
    kit: mt.MediaToolkit, sample_media: Path
) -> None:
    asset = kit.upload(
        sample_media / "rocket.jpg", tags=["launch"], context={"alt": 'a "rocket" | = 🚀'}
    )
    assert (asset.width, asset.height, asset.format, asset.bytes) == (640, 427, "jpg", 112525)
    assert (asset.tags, asset.context) == (("launch",), {"alt": 'a "rocket" | = 🚀'})
    assert (asset.user_id, asset.original_filename) == ("ana", "rocket")
    assert len(asset.asset_id or "") == 32
    assert kit.asset(asset.public_id) == asset
    assert fetch(kit.url(asset)) == (sample_media / "rocket.jpg").read_bytes()


def test_every_kind_of_source_can_be_uploaded(kit: mt.MediaToolkit, sample_media: Path) -> None:
    path = sample_media / "horse.png"
    uploaded = [
        kit.upload(str(path)),
        kit.upload(path),
        kit.upload(path.read_bytes(), filename="horse.png"),
        kit.upload(io.BytesIO(path.read_bytes())),
        kit.upload(Image.open(path)),
        kit.upload(Image.new("L", (400, 328))),
    ]
    with path.open("rb") as opened:
        uploaded.append(kit.upload(opened))
    assert {(a.width, a.height, a.format) for a in uploaded} == {(400, 328, "png")}
    assert kit.count() == len(uploaded) == len({a.public_id for a in uploaded})


def test_a_raw_file_is_uploaded_when_asked_for(kit: mt.MediaToolkit) -> None:
    asset = kit.upload(b"a,b\n1,2\n", resource_type="raw", public_id="table.csv", filename="t.csv")
    assert (asset.resource_type, asset.public_id, asset.width) == ("raw", "table.csv", None)
    assert fetch(kit.url(asset)) == fetch(kit.url(asset, "thumbnail")) == b"a,b\n1,2\n"


@pytest.mark.parametrize(
    ("source", "options", "error", "said"),
    [
        (b"", {"filename": "x.jpg"}, mt.UnsupportedMedia, "x.jpg is empty: 0 bytes"),
        (b"hello", {"filename": "x.jpg"}, mt.UnsupportedMedia, "x.jpg is not an image"),
        (b"hello", {"filename": "x.txt"}, mt.UnsupportedMedia, "neither an image nor a video"),
        ("nowhere.jpg", {}, mt.UploadError, "cannot read nowhere.jpg"),
        (5, {}, mt.UploadError, "cannot upload a int"),
        (io.StringIO("x"), {}, mt.UploadError, "binary"),
        ("horse.png", {"public_id": "../x"}, mt.InvalidName, "segment"),
        ("horse.png", {"public_id": "x" * 300}, mt.InvalidName, "300 characters"),
        ("horse.png", {"public_id": "a?b"}, mt.InvalidName, "contains ?"),
        ("horse.png", {"public_id": ""}, mt.InvalidName, "0 characters"),
        ("horse.png", {"tag": "x"}, mt.UploadError, "unknown upload option tag"),
    ],
)
def test_bad_input_gets_a_clear_error_and_leaves_nothing(
    kit: mt.MediaToolkit,
    sample_media: Path,
    source: object,
    options: dict[str, str],
    error: type[Exception],
    said: str,
) -> None:
    if source == "horse.png":
        source = sample_media / source
    with pytest.raises(error, match=said):
        kit.upload(source, **options)  # type: ignore[arg-type]
    assert kit.count() == 0


@pytest.mark.parametrize("name", ["a b", 'it\'s "q"', "tulpe 🌷", "a..b", "deep/er/ü", "x" * 255])
def test_odd_names_are_kept_and_delivered(
    kit: mt.MediaToolkit, sample_media: Path, name: str
) -> None:
    asset = kit.upload(sample_media / "horse.png", public_id=name)
    assert asset.public_id == name
    assert fetch(kit.url(asset)) == (sample_media / "horse.png").read_bytes()
    assert fetch(asset.media_url) == fetch(kit.url(name))


def test_a_url_is_a_preset_or_the_sdks_words_and_delivers_what_it_says(
    kit: mt.MediaToolkit, sample_media: Path
) -> None:
    asset = kit.upload(sample_media / "coffee.png")
    sizes = {
        kit.url(asset, "thumbnail"): (320, 240),
        kit.url(asset, "square"): (600, 600),
        kit.url(asset, width=300, crop="fill", height=100, quality="auto", fetch_format="auto"): (
            300,
            100,
        ),
        kit.url(asset, transformation=[{"width": 100, "crop": "scale"}, {"angle": 90}]): (67, 100),
        kit.url(asset.public_id, width=0.5): (300, 200),
    }
    for url, size in sizes.items():
        assert Image.open(io.BytesIO(fetch(url))).size == size, url


def test_unknown_presets_and_parameters_are_named(kit: mt.MediaToolkit, sample_media: Path) -> None:
    asset = kit.upload(sample_media / "horse.png")
    with pytest.raises(mt.TransformationError, match="thumbnial"):
        kit.url(asset, "thumbnial")
    with pytest.raises(mt.TransformationError, match="widht"):
        kit.url(asset, widht=300)
    with pytest.raises(mt.NotFound):
        kit.url("nowhere", "thumbnail")


def test_a_browser_upload_signed_by_the_kit_is_saved_once_it_is_shown_to_be_true(
    kit: mt.MediaToolkit, sample_media: Path
) -> None:
    import requests

    signed = kit.sign_upload(resource_type="image", folder="spring", tags=["a", "b"])
    with (sample_media / "chelsea.png").open("rb") as opened:
        answer = requests.post(signed.url, data=signed.fields, files={"file": opened}, timeout=30)
    assert answer.status_code == 200, answer.text
    response = answer.json()
    assert response["public_id"].startswith("spring/")
    first = kit.save(response)
    assert first.tags == ("a", "b")
    again = kit.save({k: response[k] for k in ("public_id", "secure_url", "resource_type")})
    assert again == first
    assert kit.count() == 1
    with pytest.raises(mt.Conflict, match="belongs to ana"):
        kit.acting_as("bob").save(response)


def test_what_cloudinary_never_saw_is_refused(kit: mt.MediaToolkit, sample_media: Path) -> None:
    asset = kit.upload(sample_media / "horse.png")
    told = {"public_id": "x", "resource_type": "image", "secure_url": asset.media_url}
    with pytest.raises(mt.NotFound):
        kit.save(told)
    with pytest.raises(mt.SignatureError, match="not the URL"):
        kit.save({**told, "public_id": asset.public_id, "secure_url": "https://evil.example/x.jpg"})
    with pytest.raises(mt.SignatureError, match="not signed by this account"):
        kit.save({**told, "public_id": asset.public_id, "version": 1, "signature": "0" * 40})
    with pytest.raises(mt.SignatureError, match="resource_type missing"):
        kit.save({"public_id": "x", "secure_url": "y"})
    assert kit.count() == 1


@pytest.mark.parametrize(
    "told", [None, "public_id", 5, {"tags": "spring"}, {"tags": {"a": 1}}, {"width": "wide"}]
)
def test_what_is_no_response_is_refused_as_that(kit: mt.MediaToolkit, told: Any) -> None:
    if isinstance(told, dict):
        told = {"public_id": "x", "resource_type": "image", "secure_url": "https://y/x.jpg", **told}
    with pytest.raises(mt.SignatureError, match="not a Cloudinary response"):
        kit.save_many([told])
    assert kit.count() == 0


def test_an_empty_asset_id_is_none(kit: mt.MediaToolkit) -> None:
    told = {"resource_type": "image", "secure_url": "https://y/x.jpg", "asset_id": ""}
    kit.save_many([{**told, "public_id": "a"}])
    kit.save_many([{**told, "public_id": name} for name in ("b", "c")])
    assert sorted(kit.assets()["public_id"]) == ["a", "b", "c"]
    assert kit.asset("a").asset_id is None


def test_a_remote_url_is_fetched_by_cloudinary_unless_it_is_private(kit: mt.MediaToolkit) -> None:
    with pytest.raises(mt.UploadError):
        kit.upload(f"{kit.account.upload_prefix}/secret.jpg")


def test_the_gallery_shows_thumbnails_and_escapes_names(
    kit: mt.MediaToolkit, sample_media: Path
) -> None:
    assert "No assets" in kit.gallery()._repr_html_()
    kit.upload((sample_media / "horse.png").read_bytes(), filename="<script>.png")
    kit.upload(b"text", resource_type="raw", filename="t.txt")
    for gallery in (kit.gallery(), kit.gallery(kit.assets()), kit.gallery(kit.page().items)):
        html = gallery._repr_html_()
        assert len(gallery) == 2
        assert "<script>" not in html
        assert "w_320" in html
    assert "1 more" in kit.gallery(kit.assets(), limit=1)._repr_html_()


def test_the_doctor_finds_everything_well_and_tells_no_secret(kit: mt.MediaToolkit) -> None:
    diagnosis = kit.doctor()
    assert diagnosis.is_well, diagnosis
    assert [f.check for f in diagnosis.findings] == [
        "settings",
        "disk",
        "signing",
        "Cloudinary",
        "Postgres",
        "table",
    ]
    assert kit.account.api_secret.get_secret_value() not in str(diagnosis)
    assert "acting as bob" in str(kit.acting_as("bob").doctor())


def test_the_doctor_says_what_is_wrong(kit: mt.MediaToolkit) -> None:
    dead = mt.Settings(
        cloudinary_url=f"cloudinary://wrong:key@embedded?upload_prefix={kit.account.upload_prefix}",
        database_url=kit.settings.pooled_url or kit._database.pooled_url,
    )
    with mt.connect(dead) as other:
        diagnosis = other.doctor()
    assert not diagnosis.is_well
    assert [f.check for f in diagnosis.findings if f.state == "error"] == ["Cloudinary"]
    assert "CLOUDINARY_URL" in str(diagnosis)


def test_the_doctor_gives_up_on_a_cloudinary_that_hangs(
    kit: mt.MediaToolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("media_toolkit.cloud.client.PING_S", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"cloudinary://1:x@demo?upload_prefix=http://127.0.0.1:{silent.getsockname()[1]}"
        settings = mt.Settings(cloudinary_url=url, database_url=kit._database.pooled_url)
        with mt.connect(settings, user_id="ana") as other:
            (finding,) = (f for f in other.doctor().findings if f.check == "Cloudinary")
    assert finding.state == "error"
    assert finding.detail == "Cloudinary did not answer within 2 seconds"


@pytest.mark.parametrize(
    ("free", "state", "said"),
    [
        (2_500_000_000, "ok", "2.5 GB free"),
        (999_000_000, "warning", "999 MB free"),
        (3_000_000, "error", "3 MB free"),
    ],
)
def test_the_doctor_says_when_the_embedded_stack_runs_out_of_space(
    kit: mt.MediaToolkit, monkeypatch: pytest.MonkeyPatch, free: int, state: str, said: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    (disk,) = (f for f in kit.doctor().findings if f.check == "disk")
    assert (disk.state, disk.detail.split(" in ")[0]) == (state, said)
    assert ("MEDIA_TOOLKIT_HOME" in disk.hint) == (state != "ok")


def test_the_same_code_runs_on_services_named_in_the_settings(
    kit: mt.MediaToolkit, stack: object, sample_media: Path
) -> None:
    configured = mt.Settings(
        cloudinary_url=stack.cloudinary_url,  # type: ignore[attr-defined]
        database_url=stack.database_url,  # type: ignore[attr-defined]
        user_id="eve",
    )
    assert not configured.is_embedded
    with mt.connect(configured) as other:
        asset = other.upload(sample_media / "horse.png")
        assert other.assets()["user_id"].tolist() == ["eve"]
    assert kit.asset(asset.public_id).user_id == "eve"


def test_two_kits_differ_and_an_admin_is_named_in_the_settings(
    kit: mt.MediaToolkit, settings: mt.Settings
) -> None:
    with mt.connect(mt.Settings(home=settings.home, admins_list="boss, ana"), user_id="boss") as b:
        assert b.identity.role == "admin"
        assert b.acting_as("carl").identity.role == "user"
    assert kit.identity.role == "user"


def test_a_name_made_of_the_files_name_never_overwrites_a_colleagues_asset(
    kit: mt.MediaToolkit, sample_media: Path
) -> None:
    named = {"folder": "shared", "use_filename": True, "unique_filename": False}
    theirs = kit.acting_as("bo").upload(sample_media / "rocket.jpg", **named)
    assert theirs.public_id == "shared/rocket"
    coffee = (sample_media / "coffee.png").read_bytes()
    with pytest.raises(mt.Conflict, match="belongs to bo"):
        kit.upload(coffee, filename="rocket.jpg", **named)
    assert kit.asset("shared/rocket").etag == theirs.etag
    assert fetch(kit.url("shared/rocket")) == (sample_media / "rocket.jpg").read_bytes()
    mine = kit.acting_as("bo").upload(coffee, filename="rocket.jpg", **named)
    assert (mine.public_id, mine.bytes) == ("shared/rocket", len(coffee))
    assert kit.count() == 1


def test_a_stack_that_an_older_program_runs_is_migrated_when_it_is_joined(
    stack: EmbeddedStack, kit: mt.MediaToolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = migrations.migrations()
    assert stack.migrated_to == migrations.newest() == known[-1].name
    newer = migrations.Migration("9999_newer", "CREATE TABLE of_a_newer_version ()", "0")
    broken = migrations.Migration("9999_newer", "CREATE TABLE of_a_newer_version (", "0")
    monkeypatch.setattr(migrations, "newest", lambda: newer.name)
    monkeypatch.setattr(migrations, "migrations", lambda: [*known, broken])
    users = StackFiles(kit.settings.home).users
    shares = len(list(users.iterdir()))
    with pytest.raises(mt.StoreError, match="migration 9999_newer: syntax error"):
        mt.connect()
    assert len(list(users.iterdir())) == shares
    monkeypatch.setattr(migrations, "migrations", lambda: [*known, newer])
    try:
        with mt.connect() as joined:
            assert newer.name in migrations.applied(joined._database)
    finally:
        with kit._database.direct() as connection:
            connection.exec_driver_sql(
                "DROP TABLE IF EXISTS of_a_newer_version;"
                f"DELETE FROM media_toolkit_migrations WHERE name = '{newer.name}'"
            )
