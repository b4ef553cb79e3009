"""What the toolkit did itself is told by Cloudinary afterwards, late and in any order: no news."""

from __future__ import annotations

import io
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

import media_toolkit as mt

Notification = tuple[bytes, str, str]
STORIES = 5
_ROWS = """
SELECT id, public_id, asset_id, user_id, version, tags, context::text, upload_timestamp, deleted_at
FROM cloudinary_files ORDER BY id
"""


@pytest.fixture
def inbox(kit: mt.MediaToolkit) -> Iterator[list[Notification]]:
    """What Cloudinary posts about everything, as it comes."""
    posted: list[Notification] = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            posted.append((body, self.headers["X-Cld-Timestamp"], self.headers["X-Cld-Signature"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    kit.connect_notifications(f"http://127.0.0.1:{server.server_port}/")
    try:
        yield posted
    finally:
        account = kit.account
        auth = (account.api_key, account.api_secret.get_secret_value())
        triggers = f"{account.upload_prefix}/v1_1/{account.cloud_name}/triggers"
        for one in requests.get(triggers, auth=auth, timeout=30).json()["triggers"]:
            requests.delete(f"{triggers}/{one['id']}", auth=auth, timeout=30)
        server.shutdown()
        server.server_close()


def settled(inbox: list[Notification]) -> list[Notification]:
    """All that has come once nothing has come for a while."""
    known = -1
    while known != len(inbox):
        known = len(inbox)
        time.sleep(0.5)
    return list(inbox)


def picture(chance: random.Random) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), tuple(chance.randrange(256) for _ in "rgb")).save(file, "PNG")
    return file.getvalue()


def act(kits: list[mt.MediaToolkit], chance: random.Random, folder: str) -> None:
    kit, names = chance.choice(kits), [f"{folder}/{letter}" for letter in "abcdef"]
    kind = chance.choice(["upload", "upload", "rename", "rename", "rename", "edit", "edit", "gone"])
    mine = [row.public_id for row in kit.page(user_id=kit.identity.user_id, folder=folder).items]
    name = chance.choice(names if kind == "upload" or not mine else sorted(mine))
    try:
        if kind == "upload":
            kit.upload(picture(chance), public_id=name, tags=[chance.choice("xyz")])
        elif kind == "rename":
            kit.rename(name, chance.choice(names))
        elif kind == "edit":
            context = {chance.choice("kl"): chance.choice(["1", "2", None])}
            tags = {chance.choice(["add_tags", "remove_tags", "tags"]): [chance.choice("xyz")]}
            kit.edit(name, context=context, **tags)
        else:
            kit.delete(name)
            if chance.random() < 0.7:
                kit.purge("0h")
    except (mt.NotFound, mt.Conflict, mt.Forbidden, mt.UploadError):
        # A name that nobody has, that is taken, or another's.
        return


def test_whatever_the_toolkit_did_changes_nothing_when_it_is_told(
    kit: mt.MediaToolkit, inbox: list[Notification]
) -> None:
    for number in range(STORIES):
        chance = random.Random(number)
        for _ in range(20):
            act([kit.acting_as("ana"), kit.acting_as("bob")], chance, f"told {number}")
        told, as_left = settled(inbox), kit.sql(_ROWS).to_dict("records")
        inbox.clear()
        assert told
        for one in chance.sample(told, len(told)):
            kit.receive_notification(*one)
            stands = kit.sql(_ROWS).to_dict("records")
            assert stands == as_left, (number, json.loads(one[0]))


@pytest.mark.parametrize("way", ["upload", "ingest"])
def test_who_sent_an_upload_owns_it_though_a_notification_told_of_it_first(
    kit: mt.MediaToolkit,
    inbox: list[Notification],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    upload = kit._client.upload

    def told_first(*arguments: Any, **options: Any) -> Mapping[str, Any]:
        answer = upload(*arguments, **options)
        settled(inbox)
        kit.receive_notification(*inbox.pop())
        assert kit.asset(answer["public_id"]).user_id == "ana"
        return answer

    monkeypatch.setattr(kit._client, "upload", told_first)
    file, bob = tmp_path / "one.png", kit.acting_as("bob")
    file.write_bytes(picture(random.Random(0)))
    if way == "upload":
        assert bob.upload(file, public_id=f"{way}/one").user_id == "bob"
    else:
        assert len(bob.ingest(tmp_path, folder=way, progress=False).uploaded) == 1
    assert bob.edit(f"{way}/one", add_tags=["mine"])[0].user_id == "bob"
    monkeypatch.undo()
    # A row that somebody has had a part in is nobody else's.
    with pytest.raises(mt.Conflict):
        kit.upload(file, public_id=f"{way}/one")


def test_an_upload_that_was_purged_takes_nobodys_row_when_it_is_saved_late(
    kit: mt.MediaToolkit,
) -> None:
    chance = random.Random(1)
    stays = kit.upload(picture(chance), public_id="late/a", tags=["keep"])
    time.sleep(1.1)
    gone = kit.upload(picture(chance), public_id="late/n")
    kit.delete(gone)
    assert kit.purge("0h") == 1
    kit.rename(stays, "late/n")
    assert kit.save_many([gone.raw]).unchanged == 1
    (row,) = kit.edit("late/n", add_tags=["more"])
    assert (row.asset_id, row.tags) == (stays.asset_id, ("keep", "more"))
    # The name is free again for whoever uploads it.
    again = kit.upload(picture(chance), public_id="late/n")
    assert kit.save_many([again.raw]).unchanged == 1


def test_notifications_and_changes_at_the_same_moment_fail_nobody(
    kit: mt.MediaToolkit, inbox: list[Notification]
) -> None:
    chance, errors = random.Random(2), list[mt.MediaToolkitError]()
    assets = [kit.upload(picture(chance), public_id=f"busy/{n}") for n in range(8)]
    ends = threading.Event()

    def listen() -> None:
        while not ends.is_set() or inbox:
            if not inbox:
                time.sleep(0.01)
                continue
            try:
                kit.receive_notification(*inbox.pop(chance.randrange(len(inbox))))
            except mt.MediaToolkitError as error:
                errors.append(error)

    listeners: list[Callable[[], None]] = [listen] * 3
    threads = [threading.Thread(target=one) for one in listeners]
    for thread in threads:
        thread.start()
    try:
        for turn in range(3):
            for n, asset in enumerate(assets):
                kit.rename(asset.asset_id or "", f"busy/{n} of {turn}")
    finally:
        ends.set()
        for thread in threads:
            thread.join()
    assert errors == []
    rows = {row.id: row.public_id for row in kit.page(folder="busy").items}
    assert rows == {asset.id: f"busy/{n} of 2" for n, asset in enumerate(assets)}
