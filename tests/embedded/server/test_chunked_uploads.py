"""Uploads in parts: what is put together, what is refused, and what is cleaned up."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

MB = 1024 * 1024
DATA = os.urandom(16 * MB + 12345)
PARTS = ((0, 6 * MB), (6 * MB, 12 * MB), (12 * MB, len(DATA)))


@pytest.fixture
def server(start_server: Callable[..., Any]) -> Any:
    """A server of the test's own: what is unfinished ends with it."""
    return start_server()


def send(
    server: Any,
    start: int,
    end: int,
    total: int = len(DATA),
    *,
    upload_id: str = "one",
    body: bytes | None = None,
    **fields: str,
) -> requests.Response:
    answer: requests.Response = server.session.post(
        f"{server.api}/raw/upload",
        data=server.signed(**fields),
        files={"file": ("data.bin", DATA[start:end] if body is None else body)},
        headers={
            "Content-Range": f"bytes {start}-{end - 1}/{total}",
            "X-Unique-Upload-Id": upload_id,
        },
    )
    return answer


def message(answer: requests.Response) -> str:
    assert answer.status_code == 400, answer.text
    text: str = answer.json()["error"]["message"]
    return text


def test_parts_become_one_asset_and_only_the_last_answer_has_it(server: Any) -> None:
    first, second, last = (send(server, *part, public_id="big.bin").json() for part in PARTS)
    assert first == {
        "done": False,
        "bytes": 6 * MB,
        "kind": "upload",
        "resource_type": "raw",
        "public_id": "big.bin",
    }
    assert (second["done"], second["bytes"]) == (False, 12 * MB)
    assert last["bytes"] == len(DATA)
    assert last["etag"] == hashlib.md5(DATA).hexdigest()
    assert server.get("raw/upload/big.bin").content == DATA
    assert [path for path in server.files() if "incoming" in path.parts] == []


def test_a_part_that_is_sent_again_counts_once(server: Any) -> None:
    assert send(server, *PARTS[0]).json()["bytes"] == 6 * MB
    assert send(server, *PARTS[0]).json()["bytes"] == 6 * MB
    send(server, *PARTS[1])
    stored = send(server, *PARTS[2]).json()
    assert stored["etag"] == hashlib.md5(DATA).hexdigest()
    assert send(server, *PARTS[2]).json() == stored
    assert len(server.admin("resources/raw").json()["resources"]) == 1


def test_the_total_may_be_unknown_until_the_last_part(server: Any) -> None:
    for start, end in PARTS[:2]:
        assert send(server, start, end, -1).json()["done"] is False
    assert send(server, *PARTS[2]).json()["bytes"] == len(DATA)


def test_parts_come_in_any_order_but_the_last_one_last(server: Any) -> None:
    send(server, *PARTS[1])
    assert "last part" in message(send(server, *PARTS[2]))
    send(server, *PARTS[0])
    assert send(server, *PARTS[2]).json()["etag"] == hashlib.md5(DATA).hexdigest()


@pytest.mark.parametrize(
    ("start", "end", "total", "reason"),
    [
        (0, MB, len(DATA), "All parts except EOF-chunk must be larger than 5mb"),
        (0, MB, -1, "All parts except EOF-chunk must be larger than 5mb"),
        (0, 6 * MB, 5 * MB, "Invalid Content-Range"),
        (0, 6 * MB, 10**12, "File size too large"),
        (10**12, 10**12 + 6 * MB, -1, "File size too large"),
    ],
)
def test_a_part_that_cannot_be_is_refused(
    server: Any, start: int, end: int, total: int, reason: str
) -> None:
    assert reason in message(send(server, start, end, total, body=DATA[: end - start]))
    assert server.files() == []


def test_a_part_must_be_as_long_as_it_says_and_keep_to_the_total(server: Any) -> None:
    assert "does not match" in message(send(server, *PARTS[0], body=DATA[:100]))
    send(server, *PARTS[0])
    assert "changes the total" in message(send(server, *PARTS[1], len(DATA) + 1))


@pytest.mark.parametrize("header", ["bytes", "bytes 5-2/10", "bytes a-b/c", "0-9/100", "bytes 0-9"])
def test_a_content_range_that_is_none_is_refused(server: Any, header: str) -> None:
    answer = server.session.post(
        f"{server.api}/raw/upload",
        data=server.signed(),
        files={"file": ("data.bin", b"x")},
        headers={"Content-Range": header, "X-Unique-Upload-Id": "x"},
    )
    assert "Invalid Content-Range" in message(answer)


def test_a_part_without_its_uploads_id_is_refused(server: Any) -> None:
    assert "X-Unique-Upload-Id" in message(send(server, *PARTS[0], upload_id=""))


def test_uploads_with_different_ids_do_not_meet(server: Any) -> None:
    for start, end in PARTS:
        for name in ("one", "two"):
            last = send(server, start, end, upload_id=name, public_id=name).json()
            assert last["public_id"] == name
    assert len(server.admin("resources/raw").json()["resources"]) == 2


def test_an_abandoned_upload_is_cleaned_up(
    start_server: Callable[..., Any], until: Callable[..., None]
) -> None:
    server = start_server(chunk_expiry_s=0.2)
    send(server, *PARTS[0])
    until(lambda: not server.files())
    assert "last part" in message(send(server, *PARTS[2]))


def test_a_restart_leaves_nothing_of_an_unfinished_upload(
    start_server: Callable[..., Any],
) -> None:
    server = start_server()
    send(server, *PARTS[0])
    server.end()
    assert server.files() == []


def test_a_broken_image_in_parts_is_refused_and_leaves_nothing(server: Any) -> None:
    for start, end in PARTS:
        answer = server.session.post(
            f"{server.api}/image/upload",
            data=server.signed(),
            files={"file": ("data.jpg", DATA[start:end])},
            headers={
                "Content-Range": f"bytes {start}-{end - 1}/{len(DATA)}",
                "X-Unique-Upload-Id": "broken",
            },
        )
    assert message(answer) == "Invalid image file"
    assert server.files() == []


def test_a_last_part_that_is_sent_twice_at_once_makes_one_asset(server: Any) -> None:
    for part in PARTS[:2]:
        send(server, *part)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: send(server, *PARTS[2]).json(), range(6)))
    assert answers == [answers[0]] * 6
    assert answers[0]["etag"] == hashlib.md5(DATA).hexdigest()
    assert len(server.admin("resources/raw").json()["resources"]) == 1


def test_a_refusal_of_the_whole_is_repeated_to_who_asks_again(server: Any) -> None:
    def last() -> str:
        answer = server.session.post(
            f"{server.api}/image/upload",
            data=server.signed(),
            files={"file": ("data.jpg", DATA[6 * MB :])},
            headers={
                "Content-Range": f"bytes {6 * MB}-{len(DATA) - 1}/{len(DATA)}",
                "X-Unique-Upload-Id": "one",
            },
        )
        return message(answer)

    send(server, *PARTS[0])
    assert [last(), last()] == ["Invalid image file"] * 2
    assert server.files() == []
