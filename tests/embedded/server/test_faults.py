"""Faults on purpose: each kind does to a client what it says, and ends when told."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

Draw = Callable[..., bytes]


@pytest.fixture
def faulty(server: Any) -> Iterator[Any]:
    def fault(**fields: Any) -> requests.Response:
        answer: requests.Response = requests.post(
            f"{server.api}/_faults", json=fields, auth=server.auth
        )
        return answer

    server.fault = fault
    yield server
    end_faults(server)


def end_faults(server: Any) -> None:
    answer = requests.delete(f"{server.api}/_faults", auth=server.auth)
    assert answer.json() == {"faults": []}


def test_latency(faulty: Any) -> None:
    faulty.fault(latency=0.3)
    before = time.monotonic()
    assert faulty.admin("ping").status_code == 200
    assert time.monotonic() - before >= 0.3


@pytest.mark.parametrize("status", [500, 502, 503, 504, 423, 429])
def test_a_status_comes_as_cloudinarys_error_and_stores_nothing(
    faulty: Any, draw: Draw, status: int
) -> None:
    faulty.fault(status=status, path="/upload")
    answer = faulty.post_upload(draw())
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    assert answer.headers["X-Request-Id"]
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert faulty.admin("ping").status_code == 200
    assert faulty.files() == []


def test_420_has_the_headers_and_says_when_to_try_again(faulty: Any) -> None:
    faulty.fault(status=420)
    answer = faulty.admin("ping")
    assert answer.status_code == 420
    assert answer.headers["X-FeatureRateLimit-Remaining"] == "0"
    assert answer.headers["X-FeatureRateLimit-Reset"].endswith("GMT")
    assert "Try again on" in answer.json()["error"]["message"]


def test_a_limit_counts_admin_calls_only(faulty: Any, draw: Draw) -> None:
    faulty.fault(limit=2)
    answers = [faulty.admin("ping") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 420, 420]
    left = [answer.headers["X-FeatureRateLimit-Remaining"] for answer in answers]
    assert left == ["1", "0", "0", "0"]
    assert faulty.admin("ping").headers["X-FeatureRateLimit-Limit"] == "2"
    faulty.upload(draw(), public_id="p")
    assert faulty.get("image/upload/p.png").status_code == 200
    end_faults(faulty)
    faulty.fault(limit=0)
    refused = faulty.admin("ping")
    assert (refused.status_code, refused.headers["X-FeatureRateLimit-Limit"]) == (420, "0")


def test_a_connection_dropped_before_leaves_nothing(faulty: Any, draw: Draw) -> None:
    faulty.fault(drop="before", path="/upload")
    with pytest.raises(requests.ConnectionError):
        faulty.post_upload(draw(), public_id="p")
    end_faults(faulty)
    assert faulty.admin("resources/image").json()["resources"] == []


def test_a_connection_dropped_after_leaves_the_asset(faulty: Any, draw: Draw) -> None:
    faulty.fault(drop="after", path="/upload", times=1)
    with pytest.raises(requests.ConnectionError):
        faulty.post_upload(draw(), public_id="p")
    assert faulty.admin("resources/image/upload/p").status_code == 200


def test_a_truncated_answer_breaks_off(faulty: Any, draw: Draw) -> None:
    faulty.fault(truncate=0.5, path="/upload", times=1)
    with pytest.raises(requests.exceptions.RequestException):
        faulty.post_upload(draw(), public_id="p").json()
    assert faulty.admin("resources/image/upload/p").status_code == 200


def test_a_share_of_the_calls_and_a_number_of_times(faulty: Any) -> None:
    faulty.fault(status=500, share=0.5)
    statuses = [faulty.admin("ping").status_code for _ in range(60)]
    assert 5 < statuses.count(500) < 55
    end_faults(faulty)
    faulty.fault(status=500, times=2, method="GET")
    assert [faulty.admin("ping").status_code for _ in range(3)] == [500, 500, 200]


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"status": 200}, {"status": "x"}, {"drop": "often"}, {"truncate": 1},
        {"share": 2, "status": 500}, {"latency": -1}, {"latency": 10**9}, {"colour": "red"},
        {"path": "/x"},
    ],
)  # fmt: skip
def test_a_fault_that_cannot_be_is_refused(faulty: Any, fields: dict[str, Any]) -> None:
    assert faulty.fault(**fields).status_code == 400
    assert faulty.admin("_faults").json() == {"faults": []}


def test_only_who_has_the_secret_governs_faults(faulty: Any) -> None:
    assert requests.post(f"{faulty.api}/_faults", json={"status": 500}).status_code == 401


def test_faults_of_the_configuration_are_in_force_at_once(
    start_server: Callable[..., Any],
) -> None:
    server = start_server(faults=("status=503,times=1", "latency=0.01"))
    assert server.admin("ping").status_code == 503
    assert server.admin("ping").status_code == 200
    told = json.dumps(server.admin("_faults").json())
    assert "latency" in told
