"""Notifications: who is told what, signed, and told again when nobody listened."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cloudinary
import pytest
from cloudinary.utils import verify_notification_signature

from media_toolkit.embedded.server.records.notifications import NotificationRecords, Waiting

Draw = Callable[..., bytes]


class Listener:
    """Takes notifications on a free port; the first `failures` of them are answered 500.

    It answers only while `answers` is set.
    """

    def __init__(self) -> None:
        self.failures = 0
        self.answers = threading.Event()
        self.answers.set()
        self.received: queue.Queue[tuple[str, dict[str, str], str]] = queue.Queue()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                # Before the test is told: it may then ask for other failures.
                failed = outer.failures > 0
                outer.failures -= failed
                outer.received.put((self.path, dict(self.headers), body))
                outer.answers.wait(60)
                self.send_response(500 if failed else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def next(self) -> dict[str, Any]:
        """The next notification's facts."""
        return dict(json.loads(self.received.get(timeout=60)[2]))

    def close(self) -> None:
        self.answers.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture
def secret_of_the_sdk(server: Any) -> Iterator[None]:
    cloudinary.config(api_secret=server.config.api_secret)
    yield
    cloudinary.reset_config()


@pytest.mark.usefixtures("secret_of_the_sdk")
def test_an_upload_is_told_with_a_signature_that_the_sdk_verifies(
    server: Any, draw: Draw, listener: Listener
) -> None:
    stored = server.upload(
        draw(), public_id="größe", context="a=ü", notification_url=f"{listener.url}/hook?x=1"
    )
    path, headers, body = listener.received.get(timeout=60)
    assert path == "/hook?x=1"
    assert headers["Content-Type"] == "application/json"
    stamp, signature = headers["X-Cld-Timestamp"], headers["X-Cld-Signature"]
    assert verify_notification_signature(body, int(stamp), signature)
    assert not verify_notification_signature(body + " ", int(stamp), signature)
    facts = json.loads(body)
    assert facts["notification_type"] == "upload"
    assert facts["notification_context"]["triggered_by"]["source"] == "api"
    assert facts["request_id"]
    assert stored.items() <= facts.items()


def test_a_decision_about_a_moderated_asset_is_told(
    server: Any, draw: Draw, listener: Listener
) -> None:
    server.upload(draw(), public_id="a", moderation="manual")
    fields = {"moderation_status": "rejected", "notification_url": listener.url}
    url = f"{server.api}/resources/image/upload/a"
    answer = server.session.post(url, data=fields, auth=server.auth)
    assert answer.status_code == 200, answer.text
    told = listener.next()
    assert told["notification_type"] == "moderation"
    assert (told["public_id"], told["moderation_kind"], told["moderation_status"]) == (
        "a", "manual", "rejected",
    )  # fmt: skip


def test_changes_are_told(server: Any, draw: Draw, listener: Listener) -> None:
    def call(action: str, **fields: Any) -> None:
        unsigned = {"notification_url": listener.url}
        signed = server.signed(**fields, **({} if action in ("tags", "context") else unsigned))
        answer = server.session.post(f"{server.api}/image/{action}", data=signed | unsigned)
        assert answer.status_code == 200, answer.text

    server.upload(draw(), public_id="a", tags="old", context="k=1|gone=x")
    call("tags", command="replace", tag="new", public_ids="a")
    told = listener.next()
    assert told["notification_type"] == "resource_tags_changed"
    [resource] = told["resources"]
    assert (resource["public_id"], resource["added"], resource["removed"]) == (
        "a", ["new"], ["old"],
    )  # fmt: skip
    call("context", command="add", context="k=2|more=y", public_ids="a")
    told = listener.next()
    assert told["notification_type"] == "resource_context_changed"
    assert told["resources"][0]["added"] == [{"name": "more", "value": "y"}]
    assert told["resources"][0]["updated"] == [
        {"name": "k", "previous_value": "1", "new_value": "2"}
    ]
    call("rename", from_public_id="a", to_public_id="b")
    told = listener.next()
    assert (told["notification_type"], told["from_public_id"], told["to_public_id"]) == (
        "rename", "a", "b",
    )  # fmt: skip
    call("explicit", public_id="b", eager="w_10", eager_async="1", type="upload")
    told = listener.next()
    assert told["notification_type"] == "eager"
    assert told["batch_id"]
    assert told["eager"][0]["width"] == 10
    call("explicit", public_id="b", eager="w_11", type="upload")
    told = listener.next()
    assert (told["notification_type"], told["eager"][0]["width"]) == ("eager", 11)
    call("destroy", public_id="b")
    told = listener.next()
    assert told["notification_type"] == "delete"
    assert told["resources"][0]["public_id"] == "b"


def test_an_asynchronous_upload_tells_its_end_and_its_failure(
    server: Any, draw: Draw, listener: Listener
) -> None:
    asked = {"async": "1", "notification_url": listener.url}
    pending = server.upload(draw(), public_id="later", **asked)
    told = listener.next()
    assert (told["notification_type"], told["public_id"]) == ("upload", "later")
    assert told["batch_id"] == pending["batch_id"]
    pending = server.upload(b"no image", **asked)
    told = listener.next()
    assert told["error"] == {"message": "Invalid image file"}
    assert told["batch_id"] == pending["batch_id"]


def test_triggers_are_told_unless_the_call_names_its_own_url(
    start_server: Callable[..., Any], draw: Draw, listener: Listener
) -> None:
    server = start_server()

    def trigger(**fields: str) -> dict[str, Any]:
        answer = server.session.post(f"{server.api}/triggers", json=fields, auth=server.auth)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    made = trigger(uri=f"{listener.url}/all", event_type="all", uri_type="webhook")
    other = {"uri": f"{listener.url}/sms", "event_type": "all", "uri_type": "sms"}
    answer = server.session.post(f"{server.api}/triggers", json=other, auth=server.auth)
    assert (answer.status_code, "uri_type: sms" in answer.text) == (400, True)
    trigger(uri=f"{listener.url}/delete", event_type="delete")
    assert made["uri_type"] == "webhook"
    assert len(server.admin("triggers").json()["triggers"]) == 2
    server.upload(draw(), public_id="a")
    assert listener.received.get(timeout=60)[0] == "/all"
    server.upload(draw(), public_id="b", notification_url=f"{listener.url}/own")
    assert listener.received.get(timeout=60)[0] == "/own"
    server.session.post(
        f"{server.api}/resources/image/upload/a", data={"tags": "new"}, auth=server.auth
    )
    told = json.loads(listener.received.get(timeout=60)[2])
    assert told["resources"][0]["added"] == ["new"]
    server.session.delete(f"{server.api}/triggers/{made['id']}", auth=server.auth)
    server.session.delete(
        f"{server.api}/resources/image/upload", params={"all": "true"}, auth=server.auth
    )
    path, _, body = listener.received.get(timeout=60)
    assert path == "/delete"
    assert {one["public_id"] for one in json.loads(body)["resources"]} == {"a", "b"}
    assert listener.received.empty()


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"event_type": "upload"}, 400),
        ({"uri": "http://a.example"}, 400),
        ({"uri": "gopher://a", "event_type": "upload"}, 400),
        ({"uri": "http://a.example", "event_type": "sunrise"}, 400),
        ({"uri": "http://a.example", "event_type": "upload", "filter": "x"}, 400),
    ],
)
def test_a_trigger_that_cannot_be_is_refused(
    server: Any, fields: dict[str, str], status: int
) -> None:
    answer = server.session.post(f"{server.api}/triggers", json=fields, auth=server.auth)
    assert answer.status_code == status
    assert server.session.post(f"{server.api}/triggers", json=fields).status_code == 401


def test_a_failed_delivery_is_tried_again_and_then_given_up(
    start_server: Callable[..., Any], draw: Draw, listener: Listener
) -> None:
    server = start_server(notification_pauses_s=(0.02, 0.02), notification_urls=(listener.url,))
    listener.failures = 2
    server.upload(draw(), public_id="heard")
    assert [listener.next()["public_id"] for _ in range(3)] == ["heard"] * 3
    listener.failures = 3
    server.upload(draw(), public_id="unheard")
    assert [listener.next()["public_id"] for _ in range(3)] == ["unheard"] * 3
    server.upload(draw(), public_id="last")
    assert listener.next()["public_id"] == "last"


def test_what_waits_is_delivered_after_a_restart(
    start_server: Callable[..., Any], draw: Draw, listener: Listener
) -> None:
    server = start_server(notification_pauses_s=(0.5,), notification_urls=(listener.url,))
    listener.failures = 1
    server.upload(draw(), public_id="a")
    assert listener.next()["public_id"] == "a"
    server.end()
    start_server()
    assert listener.next()["public_id"] == "a"


def test_a_listener_that_does_not_answer_delays_nothing(
    server: Any, draw: Draw, listener: Listener
) -> None:
    listener.answers.clear()
    server.upload(draw(), public_id="a", notification_url=listener.url)
    assert listener.next()["public_id"] == "a"
    server.upload(draw(), public_id="b", notification_url=listener.url)
    assert listener.next()["public_id"] == "b"
    server.upload(draw(), notification_url="http://127.0.0.1:9/nobody")


def test_what_is_delivered_while_the_records_are_read_is_not_told_again(
    server: Any, draw: Draw, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = NotificationRecords.waiting_notifications

    def slow_read(records: NotificationRecords, limit: int) -> list[Waiting]:
        found = read(records, limit)
        listener.answers.set()
        time.sleep(0.2)
        return found

    listener.answers.clear()
    server.upload(draw(), public_id="a", notification_url=listener.url)
    assert listener.next()["public_id"] == "a"
    monkeypatch.setattr(NotificationRecords, "waiting_notifications", slow_read)
    for name in ("b", "c"):
        server.upload(draw(), public_id=name, notification_url=listener.url)
        assert listener.next()["public_id"] == name
