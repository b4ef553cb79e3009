"""What README and docs show runs as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import media_toolkit as mt

ROOT = Path(__file__).resolve().parents[1]


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_six_lines_of_the_readme_work_as_they_stand(kit: mt.MediaToolkit) -> None:
    (code,) = blocks("README.md", "python")
    assert len([line for line in code.splitlines() if line]) == 6
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stderr
    assert "10 uploaded" in shown.stdout
    assert kit.count(tags=["launch"]) == 1
    assert kit.count(folder="samples") == 10


def test_the_official_sdk_runs_as_docs_embedded_shows(kit: mt.MediaToolkit) -> None:
    (code,) = blocks("docs/embedded.md", "python")
    fetch = "\nimport urllib.request; print(urllib.request.urlopen(url).headers['content-type'])"
    command = [sys.executable, "-m", "media_toolkit", "embedded", "run", "--", sys.executable]
    shown = subprocess.run(
        [*command, "-c", code + fetch],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (shown.returncode, shown.stdout.strip()) == (0, "image/jpeg"), shown.stderr


def test_the_page_on_reconcile_runs_as_it_stands(kit: mt.MediaToolkit) -> None:
    kit._client.upload(b"lost", "t.txt", "raw", public_id="reconcile-page/t.txt")
    flow, intents = blocks("docs/reconcile.md", "python")
    for code, said in ((flow, "1 mended with 1 Admin call\n"), (intents, "reconcile-page")):
        shown = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert shown.returncode == 0, shown.stderr
        assert said in shown.stdout
    assert kit.asset("reconcile-page/t.txt").user_id == "ana"


def test_the_page_on_signatures_runs_and_shows_what_is_printed(kit: mt.MediaToolkit) -> None:
    (code,) = blocks("docs/signatures.md", "python")
    shown = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    (said,) = blocks("docs/signatures.md", "text")
    moment = re.compile(r"timestamp=\d+")
    assert moment.sub("", shown.stdout) == moment.sub("", said)


def test_the_page_on_asking_the_table_runs_as_it_stands(kit: mt.MediaToolkit) -> None:
    (code,) = blocks("docs/reading.md", "python")
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines()[-3:] == ["4", "4", "2"]


def test_the_page_on_the_store_runs_from_top_to_bottom(kit: mt.MediaToolkit) -> None:
    code = "".join(blocks("docs/store.md", "python")) + "kit.close()\n"
    shown = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr


def test_the_login_that_docs_store_proposes_can_do_the_apps_work_and_no_more(
    kit: mt.MediaToolkit,
) -> None:
    text = (ROOT / "docs/store.md").read_text(encoding="utf-8")
    (statement,) = re.findall(r"CREATE ROLE dashboard.*;", text)
    url = kit._database.pooled_url
    with kit._database.direct() as connection:
        connection.exec_driver_sql(statement.replace("…", "pw"))
    try:
        settings = mt.Settings(
            database_url=f"postgresql://dashboard:pw@{url.partition('@')[2]}",
            database_direct_url=url,
        )
        with mt.connect(settings) as app:
            app.upload(ROOT / "sample_media/horse.png", public_id="horse")
            assert app.count() == 1
            powers = "RESET ROLE; ALTER TABLE cloudinary_files DISABLE ROW LEVEL SECURITY"
            with pytest.raises(mt.Forbidden), app._database.begin(app.identity) as connection:
                connection.exec_driver_sql(powers)
    finally:
        with kit._database.direct() as connection:
            connection.exec_driver_sql("DROP ROLE dashboard")


def test_the_upload_policy_works_as_docs_security_shows(settings: mt.Settings) -> None:
    (code,) = blocks("docs/security.md", "python")
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stderr


@pytest.mark.parametrize(
    "page",
    [
        *("README.md", "docs/guide.md", "docs/embedded.md", "docs/store.md", "sql/README.md"),
        *("docs/reconcile.md", "docs/reading.md", "docs/security.md", "docs/signatures.md"),
        "docs/branches.md",
    ],
)
def test_every_link_to_a_file_leads_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert ((ROOT / page).parent / target).exists(), target
