"""`/generate-signature`: the guide's plain call, and wishes within the policy."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import requests

import media_toolkit as mt


def test_the_plain_call_signs_the_timestamp_alone(dashboard: Any, kit: mt.MediaToolkit) -> None:
    body = requests.get(f"{dashboard.url}/generate-signature", timeout=30).json()
    assert set(body["fields"]) == {"timestamp", "signature", "api_key"}
    assert body["fields"]["signature"] == body["signature"]
    (intent,) = kit.intents()["parameters"]
    assert intent == {"timestamp": str(body["timestamp"])}


def test_wishes_are_signed_and_sent_as_they_stand(
    dashboard: Any, kit: mt.MediaToolkit, send: Callable[..., Any]
) -> None:
    wanted = {"folder": "spring", "tags": ["a", "b"], "context": {"alt": "a=b|c"}}
    answer = requests.post(f"{dashboard.url}/generate-signature", json=wanted, timeout=30)
    fields = answer.json()["fields"]
    assert fields["folder"] == "spring"
    assert fields["tags"] == "a,b"
    assert fields["context"] == r"alt=a\=b\|c"
    assert fields["overwrite"] == "0"
    uploaded = send(answer.json())
    assert uploaded.status_code == 200, uploaded.text
    told = uploaded.json()
    assert told["public_id"] == f"spring/{fields['public_id']}"
    assert told["context"] == {"custom": {"alt": "a=b|c"}}
    saved = requests.post(f"{dashboard.url}/save-metadata", json=told, timeout=30)
    assert (saved.status_code, saved.json()) == (201, {"success": True})
    assert kit.intents().empty
    assert kit.asset(told["public_id"]).tags == ("a", "b")


def test_strings_with_a_timestamp_are_signed_exactly(dashboard: Any, kit: mt.MediaToolkit) -> None:
    # As Cloudinary's upload widget asks: it sends these strings and nothing more.
    said = {"timestamp": int(time.time()) - 5, "source": "uw", "tags": "b,a", "folder": "x"}
    body = requests.post(f"{dashboard.url}/generate-signature", json=said, timeout=30).json()
    sent = {k: v for k, v in body["fields"].items() if k not in ("signature", "api_key")}
    assert sent == {**said, "timestamp": str(said["timestamp"])}


def test_an_empty_body_wishes_nothing_and_gets_a_name(dashboard: Any) -> None:
    for request in ({"data": b""}, {"json": {}}, {"json": {"folder": None}}):
        body = requests.post(f"{dashboard.url}/generate-signature", timeout=30, **request).json()
        assert len(body["fields"]["public_id"]) == 20


def test_under_a_policy_the_plain_call_signs_what_it_asks_for(
    team: Any, send: Callable[..., Any], kit: mt.MediaToolkit
) -> None:
    body = team.ask("ana@example.org", "GET", "generate-signature").json()
    assert body["fields"]["folder"] == "team/ana@example.org"
    assert body["fields"]["allowed_formats"] == "png,jpg"
    assert body["fields"]["tags"] == "web"
    assert body["fields"]["context"] == "uploader=ana@example.org"
    assert body["upload_url"].endswith("/image/upload")
    told = send(body).json()
    assert team.ask("ana@example.org", "POST", "save-metadata", json=told).status_code == 201
    row = kit.assets().iloc[0]
    assert (row["user_id"], row["tags"]) == ("ana@example.org", ["web"])
    assert row["context"] == {"uploader": "ana@example.org"}


def test_an_overwrite_that_is_allowed_is_not_one_of_a_colleagues_asset(
    settings: mt.Settings, sample_media: Any
) -> None:
    import pytest

    policy = mt.UploadPolicy(may_choose_public_id=True, may_overwrite=True)
    asked = mt.Settings(home=settings.home, upload_policy=policy)
    with mt.connect(asked, user_id="ana") as kit:
        kit.upload(sample_media / "horse.png", public_id="horse")
        wanted = {"public_id": "horse", "overwrite": True}
        assert kit.sign_for_browser(wanted).fields["overwrite"] == "1"
        with pytest.raises(mt.Conflict):
            kit.acting_as("bo").sign_for_browser(wanted)
        assert kit.acting_as("bo").sign_for_browser({"public_id": "horse"}).fields[
            "overwrite"
        ] == "0"  # fmt: skip
