"""What was tried against the HTTP API, and what each attempt got: the table of docs/security.md."""

from __future__ import annotations

import gzip
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa

import media_toolkit as mt

ROOT = Path(mt.__file__).resolve().parents[1]
ANA, BO = "ana@example.org", "bo@example.org"


def refused(answer: requests.Response, status: int, *words: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    body = dict(answer.json())
    assert set(body) == {"success", "error", "hint"}
    assert body["success"] is False
    for word in words:
        assert word in f"{body['error']} {body['hint']}"
    return body


def signature(team: Any, user: str, **wanted: Any) -> dict[str, Any]:
    answer = team.ask(user, "POST", "generate-signature", json=wanted)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def save(team: Any, user: str, body: dict[str, Any]) -> requests.Response:
    return team.ask(user, "POST", "save-metadata", json=body)


def three_fields(response: dict[str, Any]) -> dict[str, Any]:
    return {k: response[k] for k in ("public_id", "secure_url", "resource_type")}


def test_nobody_gets_in_without_a_name(team: Any) -> None:
    refused(team.ask(None, "GET", "generate-signature"), 401)
    refused(team.ask(None, "POST", "generate-signature", json={}), 401)
    refused(team.ask(None, "POST", "save-metadata", json={}), 401)
    # Basic credentials, those of Cloudinary too, are none here.
    refused(requests.get(f"{team.url}/generate-signature", auth=("a", "b"), timeout=30), 401)


def test_a_page_of_another_site_posts_nothing_with_its_visitors_cookie(team: Any) -> None:
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": f"{team.url}.evil.example"},
        {"Origin": "http://localhost:1"},
        {"Origin": "rubbish:[["},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        for path in ("save-metadata", "generate-signature"):
            answer = requests.post(
                f"{team.url}/{path}",
                json={},
                headers=headers,
                cookies=team.cookie(email=ANA),
                timeout=30,
            )
            refused(answer, 403, "MEDIA_TOOLKIT_ORIGINS")
    for headers in ({}, {"Origin": team.url}, {"Origin": "https://app.example.org"}):
        answer = requests.post(
            f"{team.url}/generate-signature",
            json={},
            headers=headers,
            cookies=team.cookie(email=ANA),
            timeout=30,
        )
        assert answer.status_code == 200
    # A bearer token is sent by a program on purpose, from wherever.
    answer = team.ask(
        ANA, "POST", "generate-signature", json={}, headers={"Origin": "https://evil.example"}
    )
    assert answer.status_code == 200


def test_where_nobody_is_asked_a_page_of_another_site_posts_nothing_either(dashboard: Any) -> None:
    headers = {"Origin": "https://evil.example"}
    for path in ("save-metadata", "generate-signature"):
        refused(requests.post(f"{dashboard.url}/{path}", json={}, headers=headers, timeout=30), 403)


def test_another_name_for_this_machine_is_not_answered_where_nobody_is_asked(
    dashboard: Any, team: Any, home: Path, dashboard_with: Callable[..., Any]
) -> None:
    def ask(url: str, host: str, method: str = "GET") -> requests.Response:
        headers = {"Host": host, "Origin": f"http://{host}"}
        body = {} if method == "POST" else None
        return requests.request(
            method, f"{url}/generate-signature", headers=headers, json=body, timeout=30
        )

    for host in ("evil.example", "evil.example:8501", "localhost.evil.example", "127.0.0.1.x", "["):
        for method in ("GET", "POST"):
            refused(ask(dashboard.url, host, method), 421, "MEDIA_TOOLKIT_HOSTS")
        # The sender of a token, or who signed in, is known by it under any name.
        refused(ask(team.url, host), 401)
    port = dashboard.url.rpartition(":")[2]
    for host in ("localhost", f"LOCALHOST:{port}", "app.localhost", "127.0.0.1", "[::1]:1",
                 "192.168.1.20:8501", socket.gethostname()):  # fmt: skip
        assert ask(dashboard.url, host).status_code == 200, host
    named = {
        "MEDIA_TOOLKIT_HOME": str(home),
        "MEDIA_TOOLKIT_HOSTS": "media.lan, nas",
        "MEDIA_TOOLKIT_ORIGINS": "https://app.example.org",
    }
    with dashboard_with(named) as running:
        for host in ("media.lan", "MEDIA.lan:8501", "nas.", "app.example.org"):
            assert ask(running.url, host).status_code == 200, host
        refused(ask(running.url, "evil.example"), 421)
    with dashboard_with({**named, "MEDIA_TOOLKIT_HOSTS": "*"}) as running:
        assert ask(running.url, "any.example").status_code == 200


def test_a_page_of_another_site_reads_nothing(team: Any) -> None:
    for origin, allowed in (("https://evil.example", None), ("https://app.example.org",) * 2):
        headers = {"Origin": origin}
        answers = (
            team.ask(ANA, "GET", "generate-signature", headers=headers),
            team.ask(None, "GET", "generate-signature", headers=headers),
            requests.options(f"{team.url}/save-metadata", headers=headers, timeout=30),
        )
        assert [a.status_code for a in answers] == [200, 401, 204]
        for answer in answers:
            assert answer.headers.get("Access-Control-Allow-Origin") == allowed
            assert "Access-Control-Allow-Credentials" not in answer.headers
            assert "Origin" in answer.headers["Vary"]
    assert answers[2].headers["Access-Control-Allow-Methods"] == "POST"
    assert "Authorization" in answers[2].headers["Access-Control-Allow-Headers"]


@pytest.mark.parametrize(
    "wanted",
    [
        {"folder": "team/bo@example.org"},
        {"folder": "team/ana@example.org/../bo@example.org"},
        {"folder": "team/ana@example.orgx"},
        {"folder": "/"},
        {"public_id": "chosen"},
        {"public_id_prefix": "../bo@example.org"},
        {"overwrite": True},
        {"use_filename": True, "unique_filename": False},
        {"allowed_formats": ["svg"]},
        {"resource_type": "raw"},
        {"eager": "w_10"},
        {"eager_notification_url": "https://evil.example"},
        {"notification_url": "https://evil.example"},
        {"upload_preset": "loose"},
        {"type": "authenticated"},
        {"context": {"uploader": "bo@example.org"}},
        {"timestamp": int(time.time()) + 7200},
        {"timestamp": 1},
        {"api_secret": "x"},
        {"file": "https://evil.example/x.png"},
    ],
)
def test_nothing_beyond_the_policy_is_signed(
    team: Any, kit: mt.MediaToolkit, wanted: dict[str, Any]
) -> None:
    if wanted == {"folder": "/"}:
        # Nothing but a slash is no wish: it is signed as the policy's own folder.
        assert signature(team, ANA, **wanted)["fields"]["folder"] == "team/ana@example.org"
        return
    refused(team.ask(ANA, "POST", "generate-signature", json=wanted), 403)
    assert kit.acting_as("root").intents(user_id=ANA).empty


def test_what_was_not_signed_cannot_be_sent(team: Any, send: Callable[..., Any]) -> None:
    signed = signature(team, ANA)
    for added in (
        {"public_id": "mine"},
        {"overwrite": "1"},
        {"folder": "team/bo@example.org"},
        {"allowed_formats": "svg"},
        {"tags": "web,more"},
        {"eager": "w_10"},
        {"timestamp": str(int(time.time()) + 60)},
    ):
        assert send(signed, **added).status_code == 401, added
    assert send(signed).status_code == 200


def test_an_ampersand_smuggles_no_parameter_in(
    team: Any, dashboard: Any, send: Callable[..., Any]
) -> None:
    refused(
        team.ask(ANA, "POST", "generate-signature", json={"folder": f"team/{ANA}/a&overwrite=1"}),
        400,
    )
    wanted = {"tags": ["a&type=private"], "context": {"alt": "x&invalidate=1"}}
    signed = requests.post(f"{dashboard.url}/generate-signature", json=wanted, timeout=30).json()
    split = {**signed["fields"], "tags": "a", "type": "private"}
    assert send({**signed, "fields": split}).status_code == 401
    assert send(signed).json()["tags"] == ["a&type=private"]


def test_a_signature_is_good_for_one_asset(team: Any, send: Callable[..., Any]) -> None:
    signed = signature(team, ANA)
    first = send(signed).json()
    assert first["public_id"].startswith(f"team/{ANA}/")
    second = send(signed, file="coffee.png").json()
    assert second["existing"] is True
    assert second["etag"] == first["etag"]


def test_a_stale_signature_uploads_nothing(kit: mt.MediaToolkit, send: Callable[..., Any]) -> None:
    from media_toolkit.cloud.signing import sign_upload

    signed = sign_upload(kit.account, timestamp=int(time.time()) - 3700)
    answer = send({"upload_url": signed.url, "fields": dict(signed.fields)})
    assert answer.status_code == 400
    assert "Stale request" in answer.text


def test_a_forged_answer_is_not_saved(
    team: Any, send: Callable[..., Any], kit: mt.MediaToolkit
) -> None:
    told = send(signature(team, ANA)).json()
    for changed in (
        {"signature": "0" * 40},
        {"signature": "0" * 64},
        {"version": told["version"] + 1},
        {"public_id": f"team/{ANA}/another"},
    ):
        refused(save(team, ANA, {**told, **changed}), 400)
    refused(save(team, ANA, {**told, "signature": "short"}), 400)
    refused(save(team, ANA, three_fields({**told, "public_id": f"team/{ANA}/none"})), 404)
    assert kit.count() == 0


def test_the_url_of_another_host_or_asset_is_not_saved(
    dashboard: Any, send: Callable[..., Any], kit: mt.MediaToolkit
) -> None:
    def post(body: dict[str, Any]) -> requests.Response:
        return requests.post(f"{dashboard.url}/save-metadata", json=body, timeout=30)

    signed = requests.get(f"{dashboard.url}/generate-signature", timeout=30).json()
    told = send(signed).json()
    another = told["secure_url"].replace(told["public_id"], "another")
    for url in ("https://evil.example/x.png", "javascript:alert(1)", another):
        refused(post({**told, "secure_url": url}), 400, "secure_url")
        refused(post(three_fields({**told, "secure_url": url})), 400, "secure_url")
    # The right path at the wrong host: what is stored is Cloudinary's own.
    elsewhere = told["secure_url"].replace("127.0.0.1", "evil.example")
    assert post({**told, "secure_url": elsewhere}).status_code == 201
    assert kit.assets()["media_url"].tolist() == [told["secure_url"]]


def test_lies_about_size_and_kind_are_found_out(
    team: Any, send: Callable[..., Any], kit: mt.MediaToolkit
) -> None:
    large = send(signature(team, ANA), file="hubble_deep_field.jpg").json()
    assert large["bytes"] > 500_000
    refused(save(team, ANA, large), 403, f"{large['bytes']} bytes")
    refused(save(team, ANA, {**large, "bytes": 10}), 403, f"{large['bytes']} bytes")
    # The kind of upload lies outside Cloudinary's signature.
    raw = send(signature(team, ANA), kind="raw").json()
    assert raw["resource_type"] == "raw"
    refused(save(team, ANA, raw), 403, "kind raw")
    refused(save(team, ANA, {**raw, "resource_type": "image"}), 404)
    assert kit.count() == 0
    assert f"{large['public_id']} of {ANA} was uploaded and is not saved" in team.log.read_text()


def test_lies_that_no_signature_covers_are_mended_by_the_notification(
    dashboard: Any, send: Callable[..., Any], notify: Callable[..., Any], kit: mt.MediaToolkit
) -> None:
    signed = requests.get(f"{dashboard.url}/generate-signature", timeout=30).json()
    told = send(signed).json()
    lies = {**told, "bytes": 1, "width": 1, "tags": ["cover"], "etag": "0" * 32}
    answer = requests.post(f"{dashboard.url}/save-metadata", json=lies, timeout=30)
    assert answer.status_code == 201
    # Nothing is limited here: size and labels are the page's word, name and version are not.
    assert kit.assets()["bytes"].tolist() == [1]
    heard = {
        **{k: v for k, v in told.items() if k != "signature"},
        "notification_type": "upload",
        "timestamp": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime())}+00:00",
    }
    assert notify(dashboard.url, heard).json() == {"success": True, "changed": 1}
    (row,) = kit.assets()[["bytes", "width", "etag"]].to_dict("records")
    assert row == {name: told[name] for name in ("bytes", "width", "etag")}
    # Labels may have been edited here since: they are compared by reconcile.
    plan = kit.reconcile(progress=False)
    (found,) = [d for d in plan.differences if d.public_id == told["public_id"]]
    assert (found.kind, found.fields) == ("differing", ("tags",))


def test_a_lie_about_the_format_is_found_out_where_formats_are_limited(
    home: Path, dashboard_with: Callable[..., Any], send: Callable[..., Any], kit: mt.MediaToolkit
) -> None:
    policy = {
        "MEDIA_TOOLKIT_HOME": str(home),
        "MEDIA_TOOLKIT_UPLOAD_POLICY": '{"allowed_formats": ["jpg"]}',
    }
    # Signed by a program, which the policy does not bind.
    signed = kit.sign_upload(resource_type="image", public_id="drawn")
    told = send({"upload_url": signed.url, "fields": dict(signed.fields)}).json()
    assert told["format"] == "png"
    lie = {**told, "format": "jpg", "secure_url": told["secure_url"].replace(".png", ".jpg")}
    with dashboard_with({**policy, "MEDIA_TOOLKIT_USER": "ana"}) as running:
        answer = requests.post(f"{running.url}/save-metadata", json=lie, timeout=30)
        assert answer.status_code in (400, 403), answer.text
        answer = requests.post(f"{running.url}/save-metadata", json=told, timeout=30)
        refused(answer, 403, "its format is png, not one of jpg")
    assert kit.count() == 0


def test_what_was_signed_for_elsewhere_is_not_saved(
    team: Any, kit: mt.MediaToolkit, sample_media: Path
) -> None:
    signature(team, ANA, folder=f"team/{ANA}/spring")
    answer = requests.post(
        f"{kit.account.upload_prefix}/v1_1/{kit.account.cloud_name}/image/upload",
        auth=(kit.account.api_key, kit.account.api_secret.get_secret_value()),
        data={"folder": f"team/{ANA}/autumn", "tags": "web", "context": f"uploader={ANA}"},
        files={"file": ("a.png", (sample_media / "horse.png").read_bytes())},
        timeout=30,
    ).json()
    refused(save(team, ANA, answer), 403, "spring")
    refused(save(team, ANA, three_fields(answer)), 403, "spring")
    assert kit.count() == 0


def test_another_users_asset_is_not_ones_own(
    team: Any, send: Callable[..., Any], kit: mt.MediaToolkit
) -> None:
    saved = send(signature(team, ANA)).json()
    assert save(team, ANA, saved).status_code == 201
    unsaved = send(signature(team, ANA)).json()
    for told in (saved, three_fields(saved), unsaved, three_fields(unsaved)):
        signature(team, BO)
        refused(save(team, BO, told), 409)
    assert kit.assets()["user_id"].tolist() == [ANA]
    assert save(team, ANA, three_fields(unsaved)).status_code == 201


def test_an_old_answer_brings_nothing_back(
    dashboard: Any, send: Callable[..., Any], kit: mt.MediaToolkit, settings: mt.Settings
) -> None:
    from media_toolkit.cloud.signing import response_signature

    signed = requests.get(f"{dashboard.url}/generate-signature", timeout=30).json()
    told = send(signed).json()
    old = told["version"] - 3 * 3600
    secret = kit.account.api_secret.get_secret_value()
    replayed = {
        **told,
        "public_id": "purged",
        "version": old,
        "signature": response_signature("purged", old, secret, 40),
        "secure_url": told["secure_url"]
        .replace(told["public_id"], "purged")
        .replace(str(told["version"]), str(old)),
    }
    answer = requests.post(f"{dashboard.url}/save-metadata", json=replayed, timeout=30)
    refused(answer, 404)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" * 900_000, 400),
        (b'{"public_id": ' * 50_000, 400),
        (b"x" * 1_000_001, 413),
        (b"x" * 20_000_000, 413),
        (b'{"public_id": "a", "public_id": 1, "secure_url": "b", "resource_type": "image"}', 400),
        (b'{"public_id": "a", "secure_url": "b", "resource_type": "image", "bytes": 1e999}', 400),
        (b'{"public_id": "a", "secure_url": "b", "resource_type": "image", "bytes": NaN}', 400),
        (b'{"public_id": "a", "secure_url": "b", "resource_type": "image", "bytes": -1}', 400),
        (b'{"public_id": "../../ping", "secure_url": "b", "resource_type": "image"}', 400),
        (b'{"public_id": "a?b#c", "secure_url": "b", "resource_type": "image"}', 400),
        (b'{"public_id": "\\u0000", "secure_url": "b", "resource_type": "image"}', 400),
        (b'{"public_id": "\\ud800", "secure_url": "b", "resource_type": "image"}', 404),
        (gzip.compress(b'{"public_id": "a"}', mtime=0), 400),
    ],
)
def test_bodies_that_are_meant_to_hurt_are_refused(
    dashboard: Any, kit: mt.MediaToolkit, body: bytes, status: int
) -> None:
    headers = {"Content-Type": "application/json"}
    url = f"{dashboard.url}/save-metadata"
    refused(requests.post(url, data=body, headers=headers, timeout=60), status)
    assert kit.count() == 0


def test_what_json_can_say_and_postgres_cannot_keep_is_left_out(
    dashboard: Any, send: Callable[..., Any], kit: mt.MediaToolkit
) -> None:
    signed = requests.get(f"{dashboard.url}/generate-signature", timeout=30).json()
    told = {**send(signed).json(), "original_filename": "a\0b", "exif": {"\0": ["\ud800"]}}
    answer = requests.post(f"{dashboard.url}/save-metadata", json=told, timeout=30)
    assert answer.status_code == 201, answer.text
    assert kit.assets()["original_filename"].tolist() == ["ab"]


def test_who_asks_too_often_waits(team: Any) -> None:
    flood = requests.Session()
    flood.headers["Authorization"] = f"Bearer {team.issuer.token('flood@example.org')}"
    asked, answer = 0, requests.Response()
    answer.status_code = 200
    # On a slow machine some of the 120 are given back meanwhile.
    while answer.status_code == 200 and asked < 2000:
        asked, answer = asked + 1, flood.get(f"{team.url}/generate-signature", timeout=30)
    assert asked > 120
    refused(answer, 429, "MEDIA_TOOLKIT_RATE_LIMIT")
    assert int(answer.headers["Retry-After"]) == 1
    # Others, and saves, are not held up by it.
    assert team.ask(BO, "GET", "generate-signature").status_code == 200
    refused(flood.post(f"{team.url}/save-metadata", json={}, timeout=30), 400)


def test_a_notification_that_cloudinary_did_not_send_changes_nothing(
    dashboard: Any, notify: Callable[..., Any], kit: mt.MediaToolkit
) -> None:
    url = dashboard.url
    told = {
        "notification_type": "upload",
        "timestamp": "2026-01-01T00:00:00+00:00",
        "public_id": "forged",
        "resource_type": "image",
        "type": "upload",
        "version": int(time.time()),
        "secure_url": "https://evil.example/x.png",
    }
    refused(notify(url, told, secret="guessed"), 401)
    refused(notify(url, told, **{"X-Cld-Signature": ""}), 401)
    refused(notify(url, told, **{"X-Cld-Signature": "ü" * 40}), 401)
    refused(notify(url, told, **{"X-Cld-Timestamp": str(int(time.time()) - 1)}), 401)
    refused(notify(url, told, **{"X-Cld-Timestamp": "now"}), 401)
    refused(notify(url, told, age_s=3 * 3600), 401, "ago")
    refused(notify(url, told, age_s=-3600), 401, "from now")
    assert kit.count() == 0
    # Signed by Cloudinary, and yet nothing that can be read: no 500.
    for body in (b"[]", b"{", b"null", b'{"notification_type": "upload"}', b"[" * 100_000):
        refused(notify(url, body), 400)
    assert kit.count() == 0


def test_a_notification_is_taken_once(
    dashboard: Any, notify: Callable[..., Any], kit: mt.MediaToolkit, sample_media: Path
) -> None:
    asset = kit.upload(sample_media / "horse.png", public_id="a", tags=["old"])
    told = {
        "notification_type": "resource_tags_changed",
        "timestamp": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(time.time() + 1))}+00:00",
        "resources": [
            {
                "asset_id": asset.asset_id,
                "public_id": "a",
                "resource_type": "image",
                "type": "upload",
                "added": ["new"],
                "removed": ["old"],
            }
        ],
    }
    first = notify(dashboard.url, told)
    assert (first.status_code, first.json()) == (200, {"success": True, "changed": 1})
    again = requests.post(
        f"{dashboard.url}/webhooks/cloudinary",
        data=first.request.body,
        headers={k: v for k, v in first.request.headers.items() if k.startswith("X-Cld")},
        timeout=30,
    )
    refused(again, 409, "received before")
    assert kit.asset("a").tags == ("new",)


def test_no_answer_page_or_log_line_holds_a_secret(
    dashboard: Any,
    team: Any,
    send: Callable[..., Any],
    notify: Callable[..., Any],
    kit: mt.MediaToolkit,
    stack: Any,
) -> None:
    password = sa.engine.make_url(stack.database_url).password
    secrets = [
        kit.account.api_secret.get_secret_value().encode(),
        str(password).encode(),
        b"a-test-secret-of-at-least-32-characters",
    ]
    signed = signature(team, ANA)
    answers = [
        team.ask(ANA, "GET", "generate-signature"),
        team.ask(ANA, "POST", "generate-signature", json={"folder": "x"}),
        team.ask(ANA, "POST", "generate-signature", json={"api_secret": "x"}),
        save(team, ANA, send(signed).json()),
        save(team, ANA, {**three_fields(send(signed).json()), "public_id": "none"}),
        save(team, BO, send(signed).json()),
        team.ask(None, "GET", "generate-signature"),
        notify(dashboard.url, {"notification_type": "upload"}),
        notify(dashboard.url, {}, secret="guessed"),
        requests.get(f"{dashboard.url}/openapi.json", timeout=30),
        *(
            requests.get(f"{url}/{path}", timeout=30)
            for url in (dashboard.url, team.url)
            for path in ("", "health", "upload", "nope", "api/x", "_stcore/host-config")
        ),
    ]
    for answer in answers:
        written = f"{answer.status_code} {dict(answer.headers)}".encode() + answer.content
        assert not [secret for secret in secrets if secret in written]
    for log in (dashboard.log, team.log):
        written = log.read_bytes()
        assert not [secret for secret in secrets if secret in written]


def test_the_table_of_the_documentation_names_tests_that_there_are() -> None:
    page = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_[a-z0-9_]+)`", page))
    known: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        known |= set(re.findall(r"^def (test_[a-z0-9_]+)", path.read_text("utf-8"), re.MULTILINE))
    assert len(named) > 20
    assert named <= known
