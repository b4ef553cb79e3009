"""Signatures of upload calls: the string that is signed, and who is let in."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

import pytest
from cloudinary.utils import api_sign_request

from media_toolkit.embedded.server.protocol.authentication import string_to_sign

Draw = Callable[..., bytes]

VECTOR = {
    "eager": "w_400,h_300,c_pad|w_260,h_200,c_crop",
    "public_id": "sample_image",
    "timestamp": "1315060510",
}


@pytest.mark.parametrize(
    ("algorithm", "digest"),
    [
        ("sha1", "bfd09f95f331f558cbd1320e67aa8d488770583e"),
        ("sha256", "cc927e1290f9e3ae4c1a741eda21a4630b4ce80f9ce0bc0296337d25cf40f91e"),
    ],
)
def test_the_string_to_sign_gives_cloudinarys_published_signatures(
    algorithm: str, digest: str
) -> None:
    signed = string_to_sign(VECTOR) + "abcd"
    assert hashlib.new(algorithm, signed.encode()).hexdigest() == digest


def test_unsigned_names_and_blanks_are_left_out_and_lists_joined_by_commas() -> None:
    fields: dict[str, str | list[str]] = {
        "file": "x",
        "api_key": "1",
        "cloud_name": "c",
        "resource_type": "image",
        "signature": "s",
        "empty": "",
        "public_ids": ["b", "a"],
        "timestamp": "1",
    }
    assert string_to_sign(fields) == "public_ids=b,a&timestamp=1"


def test_an_ampersand_is_escaped_in_version_2_only() -> None:
    fields = {"public_id": "a&tags=x", "timestamp": "1"}
    assert string_to_sign(fields, 1) == "public_id=a&tags=x&timestamp=1"
    assert string_to_sign(fields, 2) == "public_id=a%26tags=x&timestamp=1"


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_both_versions_and_both_algorithms_are_accepted(
    server: Any, draw: Draw, version: int, algorithm: str
) -> None:
    fields = {"timestamp": str(int(time.time())), "context": "caption=salt & pepper"}
    signature = api_sign_request(fields, server.config.api_secret, algorithm, version)
    answer = server.session.post(
        f"{server.api}/image/upload",
        data={**fields, "api_key": server.config.api_key, "signature": signature},
        files={"file": ("a.png", draw())},
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["context"] == {"custom": {"caption": "salt & pepper"}}


def test_a_wrong_signature_is_refused_with_cloudinarys_message(server: Any, draw: Draw) -> None:
    fields = server.signed(public_id="a", tags="x,y")
    fields["signature"] = "0" * 40
    answer = server.session.post(
        f"{server.api}/image/upload", data=fields, files={"file": ("a.png", draw())}
    )
    assert answer.status_code == 401
    signed = f"public_id=a&tags=x,y&timestamp={fields['timestamp']}"
    assert answer.json() == {
        "error": {"message": f"Invalid Signature {'0' * 40}. String to sign - '{signed}'."}
    }
    assert server.files() == []


def test_a_parameter_added_after_signing_is_refused(server: Any, draw: Draw) -> None:
    fields = server.signed() | {"public_id": "smuggled"}
    answer = server.session.post(
        f"{server.api}/image/upload", data=fields, files={"file": ("a.png", draw())}
    )
    assert answer.status_code == 401
    assert "public_id=smuggled&timestamp=" in answer.json()["error"]["message"]


def test_a_signature_older_than_an_hour_is_stale(server: Any, draw: Draw) -> None:
    answer = server.post_upload(draw(), timestamp="1439470576")
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == (
        "Stale request - reported time is 2015-08-13 12:56:16 +0000 which is more than 1 hour ago"
    )


def test_a_signature_for_the_far_future_is_refused(server: Any, draw: Draw) -> None:
    assert server.post_upload(draw(), timestamp=str(int(time.time()) + 7200)).status_code == 400
    assert server.post_upload(draw(), timestamp="soon").status_code == 400


@pytest.mark.parametrize("missing", ["api_key", "timestamp", "signature"])
def test_a_missing_parameter_is_named(server: Any, draw: Draw, missing: str) -> None:
    fields = server.signed()
    del fields[missing]
    answer = server.session.post(
        f"{server.api}/image/upload", data=fields, files={"file": ("a.png", draw())}
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == f"Missing required parameter - {missing}"


def test_an_unsigned_upload_needs_a_preset_and_none_exists(server: Any, draw: Draw) -> None:
    def post(**fields: str) -> str:
        answer = server.session.post(
            f"{server.api}/image/upload", data=fields, files={"file": ("a.png", draw())}
        )
        assert answer.status_code == 400
        message: str = answer.json()["error"]["message"]
        return message

    assert post() == "Upload preset must be specified when using unsigned upload"
    assert post(upload_preset="mine") == "Upload preset not found"


def test_an_unknown_key_and_an_unknown_cloud_are_refused(server: Any, draw: Draw) -> None:
    fields = server.signed() | {"api_key": "999"}
    answer = server.session.post(
        f"{server.api}/image/upload", data=fields, files={"file": ("a.png", draw())}
    )
    assert (answer.status_code, answer.json()["error"]["message"]) == (401, "Unknown API key 999")
    answer = server.session.post(
        f"{server.url}/v1_1/elsewhere/image/upload",
        data=server.signed(),
        files={"file": ("a.png", draw())},
    )
    assert answer.status_code == 401
    assert answer.json()["error"]["message"] == "Invalid cloud_name elsewhere"


def test_http_basic_is_accepted_for_uploads(server: Any, draw: Draw) -> None:
    url = f"{server.api}/image/upload"
    good = server.session.post(url, auth=server.auth, files={"file": ("a.png", draw())})
    assert good.status_code == 200
    bad = server.session.post(url, auth=("123", "x"), files={"file": ("a.png", draw())})
    assert bad.status_code == 401


def test_the_secret_is_in_no_answer_and_no_repr(server: Any, draw: Draw) -> None:
    answers = [
        server.post_upload(draw()),
        server.session.post(f"{server.api}/image/upload", data=server.signed() | {"tags": "x"}),
        server.admin("ping"),
        server.admin("resources/image"),
        server.session.get(server.url),
    ]
    for answer in answers:
        assert server.config.api_secret not in answer.text + str(answer.headers)
    assert server.config.api_secret not in repr(server.config)
