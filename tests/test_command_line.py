"""`python -m media_toolkit`: what a shell sees, and the exit statuses."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import media_toolkit as mt
from media_toolkit.embedded.stack import EmbeddedStack


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "media_toolkit", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("given", [("a=1", "a[]=2"), ("a[]=2", "a=1")])
def test_a_parameter_that_is_one_value_and_a_list_is_no_parameter(given: tuple[str, str]) -> None:
    first, second = given
    told = "Invalid Signature x. String to sign - 'a=1'."
    shown = run("doctor", "--param", first, "--param", second, "--signature", told)
    assert shown.returncode == 2
    assert "one value and as a list" in " ".join(shown.stderr.replace("│", "").split())
    assert "Traceback" not in shown.stderr


def test_half_an_account_is_one_line_that_names_what_is_missing() -> None:
    shown = run("doctor", CLOUDINARY_CLOUD_NAME="demo", CLOUDINARY_API_KEY="1234")
    assert shown.returncode == 2
    assert shown.stdout == ""
    assert shown.stderr.startswith("Error: CLOUDINARY_API_SECRET missing")
    assert len(shown.stderr.splitlines()) == 1


def test_a_malformed_cloudinary_url_does_not_end_in_the_sdks_traceback() -> None:
    shown = run("doctor", CLOUDINARY_URL="https://example.org")
    assert shown.returncode == 2
    assert "does not start with cloudinary://" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_the_dashboard_says_what_is_wrong_with_a_url_that_the_sdk_cannot_read() -> None:
    # What the console copies, pasted after the name once more.
    url = "CLOUDINARY_URL=cloudinary://1234:s3cret@demo"
    shown = subprocess.run(
        [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", "0"],
        cwd=Path(__file__).parents[1],
        env=os.environ | {"CLOUDINARY_URL": url},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert shown.returncode == 1
    assert "without the name CLOUDINARY_URL=" in shown.stderr
    assert "Traceback" not in shown.stderr
    assert "s3cret" not in shown.stdout + shown.stderr


def test_an_unreachable_database_is_one_line(settings: mt.Settings) -> None:
    # The command as it is, except that it waits for half a second and not for twelve.
    code = (
        "from media_toolkit.store.database import Database;"
        " Database.__init__.__defaults__ = (None, 0.5);"
        " from media_toolkit.__main__ import main; main()"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code, "migrate"],
        env=os.environ | {"DATABASE_URL": "postgresql://ana:s3cret@127.0.0.1:9/db"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 2
    assert "Postgres cannot be reached" in shown.stderr
    assert "s3cret" not in shown.stderr
    assert "Traceback" not in shown.stderr


def test_the_doctor_finds_the_embedded_stack_well(settings: mt.Settings) -> None:
    shown = run("doctor")
    assert shown.returncode == 0, shown.stderr
    assert "✓ Cloudinary" in shown.stdout
    assert "✓ Postgres" in shown.stdout


def test_a_wrong_key_makes_the_doctor_fail(settings: mt.Settings, stack: Any) -> None:
    wrong = stack.cloudinary_url.replace("cloudinary://", "cloudinary://9")
    shown = run("doctor", CLOUDINARY_URL=wrong)
    assert shown.returncode == 1
    assert "✗ Cloudinary" in shown.stdout


def test_migrate_applies_nothing_twice(settings: mt.Settings, stack: Any) -> None:
    shown = run("migrate", DATABASE_URL=stack.database_url)
    assert (shown.returncode, shown.stdout) == (0, "nothing to apply\n")


def test_ingest_reports_and_fails_when_a_file_was_refused(
    kit: mt.MediaToolkit, sample_media: Path, tmp_path: Path
) -> None:
    good = run("ingest", str(sample_media), "--tags", "a, b", "--folder", "shell")
    assert good.returncode == 0, good.stderr
    assert "10 uploaded" in good.stdout
    assert kit.count(tags=["a", "b"], folder="shell") == 10
    (tmp_path / "x.jpg").write_text("no")
    bad = run("ingest", str(tmp_path))
    assert bad.returncode == 1
    assert "x.jpg is not an image" in bad.stdout
    raw = run("ingest", str(tmp_path), "--resource-type", "raw")
    assert raw.returncode == 0, raw.stdout
    assert kit.asset("x.jpg").resource_type == "raw"
    assert run("ingest", str(tmp_path), "--resource-type", "jpg").returncode == 2
    assert run("ingest", "nowhere").returncode == 2


def test_the_server_fails_on_purpose_where_the_command_line_asks(prepared_home: Any) -> None:
    code = (
        "import cloudinary.api, cloudinary.exceptions as e\n"
        "try: cloudinary.api.ping()\n"
        "except e.Error as error: print(type(error).__name__)\n"
        "print(cloudinary.api.usage()['plan'])"
    )
    options = ["--fault", "status=500,path=/ping", "--notify", "http://127.0.0.1:9/"]
    with prepared_home() as home:
        shown = run(
            "embedded", *options, "run", "--", sys.executable, "-c", code,
            MEDIA_TOOLKIT_HOME=str(home),
        )  # fmt: skip
        assert EmbeddedStack.join(mt.Settings(home=home)).end_if_unused(120)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.split() == ["GeneralError", "Embedded"]


@pytest.mark.parametrize(
    "option", [["--fault", "status=banana"], ["--fault", "colour=red"], ["--notify", "ftp://a"]]
)
def test_a_wrong_option_is_named_before_anything_starts(option: list[str], tmp_path: Path) -> None:
    home = tmp_path / "home"
    shown = run("embedded", *option, MEDIA_TOOLKIT_HOME=str(home))
    assert shown.returncode == 2
    assert "Traceback" not in shown.stderr
    assert not home.exists()


def test_a_parameter_without_a_refused_signature_is_said(tmp_path: Path) -> None:
    shown = run("doctor", "--param", "folder=spring", MEDIA_TOOLKIT_HOME=str(tmp_path / "never"))
    assert shown.returncode == 2
    assert "--signature" in shown.stderr
    assert not (tmp_path / "never").exists()


def test_reconcile_tells_what_differs_and_mends_it_when_asked(kit: mt.MediaToolkit) -> None:
    kit._client.upload(b"lost", "t.txt", "raw", public_id="shell-reconcile/t.txt")
    scope = ("reconcile", "--folder", "shell-reconcile")
    told = run(*scope)
    assert told.returncode == 1, told.stderr
    assert "1 only in cloudinary; 1 of 1 assets listed with 1 Admin call;" in told.stdout
    assert "shell-reconcile/t.txt" in told.stdout
    assert kit.count() == 0
    spent = run(*scope, "--budget", "1", "--apply", "to-table")
    assert spent.returncode == 3
    assert "1 unfinished" in spent.stdout
    mended = run(*scope, "--apply", "to-table")
    assert (mended.returncode, "1 mended" in mended.stdout) == (0, True), mended.stdout
    assert kit.count() == 1
    assert run(*scope).returncode == 0
    assert run(*scope, "--budget", "0").returncode == 3
    assert run(*scope, "--apply", "sideways").returncode == 2
    assert "since is not a date" in run(*scope, "--since", "soon").stderr


def test_the_doctor_explains_a_refused_signature(kit: mt.MediaToolkit) -> None:
    secret = kit.account.api_secret.get_secret_value()
    digest = hashlib.sha1(f"timestamp=1{secret}".encode(), usedforsecurity=False).hexdigest()
    message = f"Invalid Signature {digest}. String to sign - 'tags=a,b&timestamp=1'."
    given = ("--param", "tags[]=a", "--param", "tags[]=b", "--param", "timestamp=1")
    shown = run("doctor", "--signature", message, *given)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("cause       unsigned_parameter\n")
    assert "signed      timestamp=1\n" in shown.stdout
    assert secret not in shown.stdout
    unknown = run("doctor", "--signature", message.replace(digest, "0" * 40))
    assert (unknown.returncode, "(not proven)" in unknown.stdout) == (1, True)
    assert run("doctor", "--signature", "x", "--param", "tags").returncode == 2
