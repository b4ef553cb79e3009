"""Neon's guide, step by step over HTTP, against the running dashboard and the embedded stack."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

import media_toolkit as mt


@pytest.fixture
def uploaded(dashboard: Any, kit: mt.MediaToolkit, sample_media: Path) -> dict[str, Any]:
    """Steps 1 and 2 of the guide: a signature, then the file straight to Cloudinary."""
    signed = requests.get(f"{dashboard.url}/generate-signature", timeout=30).json()
    with (sample_media / "coffee.png").open("rb") as file:
        answer = requests.post(
            f"{kit.account.upload_prefix}/v1_1/{kit.account.cloud_name}/image/upload",
            data={k: signed[k] for k in ("api_key", "timestamp", "signature")},
            files={"file": file},
            timeout=30,
        )
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def save(dashboard: Any, body: Any) -> requests.Response:
    return requests.post(
        f"{dashboard.url}/save-metadata",
        data=body if isinstance(body, str | bytes) else json.dumps(body),
        headers={"Content-Type": "application/json"},
        timeout=30,
    )


def three_fields(response: dict[str, Any]) -> dict[str, Any]:
    return {k: response[k] for k in ("public_id", "secure_url", "resource_type")}


def test_a_signature_is_answered_as_in_the_guide(dashboard: Any, kit: mt.MediaToolkit) -> None:
    answer = requests.get(f"{dashboard.url}/generate-signature", timeout=30)
    body = answer.json()
    assert answer.status_code == 200
    assert body["success"] is True
    assert isinstance(body["timestamp"], int)
    assert len(body["signature"]) == 40
    assert body["api_key"] == kit.account.api_key
    assert kit.account.api_secret.get_secret_value() not in answer.text


def test_the_three_steps_end_in_a_row_that_the_guides_select_finds(
    dashboard: Any, kit: mt.MediaToolkit, uploaded: dict[str, Any]
) -> None:
    answer = save(dashboard, three_fields(uploaded))
    assert (answer.status_code, answer.json()) == (201, {"success": True})
    frame = kit.assets(user_id="ana")
    assert frame["public_id"].tolist() == [uploaded["public_id"]]
    assert frame["media_url"].tolist() == [uploaded["secure_url"]]
    assert frame["bytes"].tolist() == [466706]


def test_a_second_save_is_no_error_and_makes_no_second_row(
    dashboard: Any, kit: mt.MediaToolkit, uploaded: dict[str, Any]
) -> None:
    for body in (three_fields(uploaded), uploaded, uploaded):
        assert save(dashboard, body).status_code == 201
    assert kit.count() == 1


def test_what_cloudinary_never_saw_is_refused(
    dashboard: Any, kit: mt.MediaToolkit, uploaded: dict[str, Any]
) -> None:
    told = three_fields(uploaded)
    refused = {
        404: {**told, "public_id": "never/seen"},
        400: {**told, "secure_url": "https://evil.example/x.png"},
    }
    for status, body in refused.items():
        answer = save(dashboard, body)
        assert answer.status_code == status
        assert answer.json()["success"] is False
        assert answer.json()["error"]
    forged = save(dashboard, {**uploaded, "signature": "0" * 40})
    assert (forged.status_code, forged.json()["success"]) == (400, False)
    assert kit.count() == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b"\xff\xfe",
        {},
        {"public_id": "a"},
        {"public_id": "a", "secure_url": "b"},
        {"public_id": "", "secure_url": "b", "resource_type": "image"},
        {"public_id": 5, "secure_url": "b", "resource_type": "image"},
        {"public_id": ["a"], "secure_url": {}, "resource_type": None},
        {"public_id": "a", "secure_url": "b", "resource_type": "../../ping"},
        {"public_id": "a", "secure_url": "b", "resource_type": "image", "version": "x"},
    ],
)
def test_missing_fields_and_broken_json_are_400_with_a_reason(
    dashboard: Any, kit: mt.MediaToolkit, body: Any
) -> None:
    answer = save(dashboard, body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["success"] is False
    assert answer.json()["error"]
    assert kit.count() == 0


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"tags": 5}, "tags is not a list of tags"),
        ({"tags": [""]}, "tags is not a list of tags"),
        ({"context": [1]}, "context is not a mapping"),
        ({"overwrite": 5}, "overwrite is not true or false"),
        ({"folder": 5}, "folder: Input should be a valid string"),
    ],
)
def test_what_is_wrong_with_a_wish_is_one_sentence(
    dashboard: Any, wanted: dict[str, Any], said: str
) -> None:
    answer = requests.post(f"{dashboard.url}/generate-signature", json=wanted, timeout=30)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(said)
    assert ";" not in answer.json()["error"]


def test_a_body_without_end_is_refused(dashboard: Any, kit: mt.MediaToolkit) -> None:
    answer = save(dashboard, b"[" * 2_000_000)
    assert (answer.status_code, answer.json()["success"]) == (413, False)
    assert save(dashboard, b"[" * 200_000).status_code == 400


def test_wrong_methods_get_405_and_json_not_the_dashboards_page(
    dashboard: Any, kit: mt.MediaToolkit
) -> None:
    for method, path, allowed in (
        ("GET", "save-metadata", "POST"),
        ("DELETE", "save-metadata", "POST"),
        ("DELETE", "generate-signature", "GET, POST"),
        ("HEAD", "save-metadata", "POST"),
        ("GET", "webhooks/cloudinary", "POST"),
        ("TRACE", "openapi.json", "GET, HEAD"),
    ):
        answer = requests.request(method, f"{dashboard.url}/{path}", timeout=30)
        assert answer.status_code == 405
        assert answer.headers["Allow"] == allowed
        assert answer.headers["Content-Type"] == "application/json"
        assert method == "HEAD" or answer.json()["success"] is False


def test_what_is_not_below_our_routes_is_404_and_json(dashboard: Any) -> None:
    for path in (
        "save-metadata/",
        "generate-signature/x",
        "webhooks",
        "webhooks/x",
        "webhooks/cloudinary/x",
        "openapi.json/x",
        "api",
        "api/v1/assets",
    ):
        for method in ("GET", "POST", "OPTIONS"):
            answer = requests.request(method, f"{dashboard.url}/{path}", timeout=30)
            assert (answer.status_code, answer.json()["success"]) == (404, False), path
            assert answer.json()["hint"]


def test_options_tell_what_is_allowed_and_no_other_site_may_read(dashboard: Any) -> None:
    answer = requests.options(
        f"{dashboard.url}/save-metadata",
        headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"},
        timeout=30,
    )
    assert (answer.status_code, answer.headers["Allow"]) == (204, "POST")
    assert not [name for name in answer.headers if name.startswith("Access-Control")]


def test_half_an_account_stops_the_start_with_a_sentence_that_names_what_is_missing(
    home: Path, dashboard_with: Callable[..., Any]
) -> None:
    half = {"MEDIA_TOOLKIT_HOME": str(home), "CLOUDINARY_API_KEY": "1234"}
    with (
        pytest.raises(AssertionError) as told,
        dashboard_with(half),
    ):
        pass
    assert "CLOUDINARY_CLOUD_NAME and CLOUDINARY_API_SECRET missing" in str(told.value)
    assert "Traceback" not in str(told.value)


def test_real_services_without_sign_in_are_refused_unless_none_is_said(
    dashboard_with: Callable[..., Any],
) -> None:
    real = {
        "CLOUDINARY_URL": "cloudinary://1234:s3cret@demo",
        "DATABASE_URL": "postgresql://ana:s3cret@ep-x-pooler.eu-central-1.aws.neon.tech/db",
    }
    with pytest.raises(AssertionError) as told, dashboard_with(real):
        pass
    assert "MEDIA_TOOLKIT_AUTH=none" in str(told.value)
    assert "s3cret" not in str(told.value)


def test_ctrl_c_ends_the_dashboard(
    home: Path, stack: Any, dashboard_with: Callable[..., Any]
) -> None:
    with dashboard_with({"MEDIA_TOOLKIT_HOME": str(home)}) as running:
        running.process.send_signal(signal.SIGINT)
        running.process.wait(120)
        with pytest.raises(requests.ConnectionError):
            requests.get(running.url, timeout=5)


def test_streamlits_secrets_are_read_too(
    home: Path, tmp_path: Path, dashboard_with: Callable[..., Any]
) -> None:
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit/secrets.toml").write_text('CLOUDINARY_API_KEY = "1234"\n')
    configured = {"MEDIA_TOOLKIT_HOME": str(home), "HOME": str(tmp_path)}
    with pytest.raises(AssertionError) as told, dashboard_with(configured):
        pass
    assert "CLOUDINARY_CLOUD_NAME and CLOUDINARY_API_SECRET missing" in str(told.value)
