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


def test_the_upload_policy_works_as_docs_security_shows(settings: mt.Settings) -> None:
    (code,) = blocks("docs/security.md", "python")
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stderr


@pytest.mark.parametrize(
    "page", ["README.md", "docs/guide.md", "docs/embedded.md", "docs/security.md"]
)
def test_every_link_to_a_file_leads_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert ((ROOT / page).parent / target).exists(), target
