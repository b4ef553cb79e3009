"""The Admin API's budget: stated, counted, and stopped before the account's own limit."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import requests

import media_toolkit as mt
from media_toolkit.cloud.pacing import AdminBudget, reset_time, seconds_until


def headers(limit: int, remaining: int, resets_at: datetime) -> dict[str, str]:
    return {
        "X-FeatureRateLimit-Limit": str(limit),
        "X-FeatureRateLimit-Remaining": str(remaining),
        "X-FeatureRateLimit-Reset": format_datetime(resets_at, usegmt=True),
    }


def test_a_budget_stops_instead_of_one_call_too_many() -> None:
    budget = AdminBudget(2)
    budget.take()
    budget.take()
    with pytest.raises(mt.BudgetSpent, match="the budget of 2 Admin calls is spent") as caught:
        budget.take()
    assert (budget.spent, budget.left, caught.value.is_retryable) == (2, 0, False)
    assert isinstance(caught.value, mt.RateLimited)


def test_it_leaves_a_part_of_the_accounts_calls_to_others_until_the_reset() -> None:
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    budget = AdminBudget(1000)
    budget.note(headers(500, 26, soon))
    assert (budget.left, str(budget)) == (
        1,
        "0 of 1,000 Admin calls; the account has 26 of 500 left this hour",
    )
    budget.note(headers(500, 25, soon))
    with pytest.raises(mt.BudgetSpent, match="25 of the account's 500") as caught:
        budget.take()
    assert 3500 < (caught.value.retry_after_s or 0) <= 3600
    budget.note(headers(500, 25, soon - timedelta(hours=2)))
    budget.take()
    assert budget.left == 999


def test_the_reset_is_read_from_the_header_and_else_from_the_message() -> None:
    moment = datetime(2026, 5, 4, 3, 0, tzinfo=UTC)
    said = "Rate Limit Exceeded. Limit of 500 api operations reached. Try again on "
    assert reset_time(headers(500, 0, moment)) == moment
    assert reset_time({}, said + "2026-05-04 03:00:00 UTC") == moment
    assert reset_time({"X-FeatureRateLimit-Reset": "soon"}, "no") is None
    assert seconds_until(moment - timedelta(days=400)) == 1
    assert seconds_until(None) is None


def test_it_waits_for_a_reset_only_as_long_as_it_was_told() -> None:
    patient = AdminBudget(1, wait_s=1)
    started = time.monotonic()
    patient.wait(mt.RateLimited("x", retry_after_s=0.01))
    assert time.monotonic() - started >= 0.01
    for too_long in (None, 1.5):
        with pytest.raises(mt.RateLimited):
            patient.wait(mt.RateLimited("x", retry_after_s=too_long))


def test_a_call_that_is_limited_till_the_next_hour_is_not_tried_again(
    kit: mt.MediaToolkit,
) -> None:
    faults = f"{kit.account.upload_prefix}/v1_1/{kit.account.cloud_name}/_faults"
    key = (kit.account.api_key, kit.account.api_secret.get_secret_value())
    requests.post(faults, json={"status": 420, "path": "/resources"}, auth=key, timeout=30)
    left_s = 3600 - time.time() % 3600
    try:
        budget = AdminBudget(10)
        with pytest.raises(mt.RateLimited, match="the limit is reset at") as caught:
            kit._client.resource("x", budget=budget)
    finally:
        requests.delete(faults, auth=key, timeout=30)
    wait_s = caught.value.retry_after_s or 0
    assert 0 < wait_s <= 3600
    assert budget.remaining == 0
    # In the last seconds of an hour it is worth other tries, into the next hour even.
    assert budget.spent == 1 or left_s < 60
