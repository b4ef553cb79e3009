"""`/openapi.json` describes what the routes do: schemathesis tries to show that it does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import requests

import media_toolkit as mt


def test_the_description_names_every_route_and_anybody_may_read_it(team: Any) -> None:
    answer = requests.get(f"{team.url}/openapi.json", timeout=30)
    assert answer.status_code == 200
    assert answer.json()["openapi"].startswith("3.1")
    assert set(answer.json()["paths"]) == {
        "/generate-signature",
        "/save-metadata",
        "/webhooks/cloudinary",
        "/openapi.json",
    }
    for path in answer.json()["paths"].values():
        for method in path.values():
            assert {"405", "408", "413", "500"} <= set(method["responses"])
    head = requests.head(f"{team.url}/openapi.json", timeout=30)
    assert (head.status_code, head.content) == (200, b"")


def test_schemathesis_finds_no_answer_that_is_not_described(
    dashboard: Any, kit: mt.MediaToolkit, tmp_path: Path
) -> None:
    tried = subprocess.run(
        [
            *(sys.executable, "-W", "ignore", "-m", "schemathesis.cli", "run"),
            f"{dashboard.url}/openapi.json",
            # Nobody is asked who they are here; and a signature may be well-formed and wrong.
            *("--exclude-checks", "ignored_auth,positive_data_acceptance"),
            *("--max-examples", "15", "--seed", "1", "--no-color"),
            *("--suppress-health-check", "all", "--generation-database", "none"),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
        check=False,
    )
    assert tried.returncode == 0, tried.stdout[-6000:] + tried.stderr[-2000:]
    assert "Traceback" not in dashboard.log.read_text()
