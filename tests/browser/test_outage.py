"""Postgres stops and starts under a dashboard that somebody looks at."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

import media_toolkit as mt
from media_toolkit.embedded.configuration import StackConfiguration
from media_toolkit.embedded.postgres import EmbeddedPostgres
from media_toolkit.store.database import PATIENCE_S

_NOTE_ALERTS = """() => {
    window.alerts = [];
    new MutationObserver(() => {
        const found = "[data-testid=stAlert], [data-testid=stException]";
        for (const alert of document.querySelectorAll(found))
            window.alerts.push(alert.innerText);
    }).observe(document.body, {childList: true, subtree: true});
}"""


@pytest.fixture(scope="module")
def postgres(prepared_home: Any) -> Iterator[tuple[EmbeddedPostgres, str]]:
    """A Postgres of this module's own, with the tables, and its connection string."""
    with prepared_home() as home:
        configuration = StackConfiguration.of(mt.Settings(home=home))
        server = EmbeddedPostgres(configuration)
        server.start()
        yield server, configuration.database_url
        server.stop()


@pytest.fixture(scope="module")
def dashboard(
    postgres: tuple[EmbeddedPostgres, str],
    stack: Any,
    home: Any,
    sample_media: Path,
    dashboard_with: Callable[..., Any],
) -> Iterator[Any]:
    """A dashboard over that Postgres, with three pictures and two tables of Ana's."""
    url = postgres[1]
    with mt.connect(mt.Settings(home=home, database_url=url), user_id="ana") as kit:
        for name in ("rocket.jpg", "coffee.png", "chelsea.png"):
            kit.upload(sample_media / name)
        for name in ("a.csv", "b.csv"):
            kit.upload(b"a,b\n1,2\n", filename=name, resource_type="raw")
    environment = {
        "MEDIA_TOOLKIT_HOME": str(home),
        "MEDIA_TOOLKIT_USER": "ana",
        "DATABASE_URL": url,
    }
    with dashboard_with(environment) as running:
        yield running


@pytest.fixture
def library(page: Page, postgres: tuple[EmbeddedPostgres, str]) -> Page:
    """The library with all five, before Postgres goes."""
    postgres[0].start()
    page.goto("/")
    expect(page.get_by_text("1–5 of 5")).to_be_visible()
    page.evaluate(_NOTE_ALERTS)
    return page


def test_a_short_outage_is_a_wait_and_no_error(
    library: Page, postgres: tuple[EmbeddedPostgres, str]
) -> None:
    server, _ = postgres
    server.stop()
    waiting = library.get_by_text("Still loading")
    expect(waiting).to_have_count(0)
    library.get_by_role("button", name="raw").click()
    expect(waiting).to_be_visible()
    # A third of what is waited for: on a loaded machine Postgres takes seconds to start.
    library.wait_for_timeout(1000 * PATIENCE_S / 3)
    server.start()
    expect(library.get_by_text("1–2 of 2")).to_be_visible()
    expect(waiting).to_have_count(0)
    assert library.evaluate("window.alerts") == []


def test_a_longer_outage_is_told_with_what_to_do_and_a_click_goes_on(
    library: Page, postgres: tuple[EmbeddedPostgres, str]
) -> None:
    server, _ = postgres
    library.get_by_role("button", name="raw").click()
    expect(library.get_by_text("1–2 of 2")).to_be_visible()
    server.stop()
    library.get_by_role("button", name="raw").click()
    library.get_by_role("button", name="image").click()
    alert = library.get_by_test_id("stAlert")
    expect(alert).to_contain_text("Postgres cannot be reached")
    expect(alert).to_contain_text("try again once Postgres is back")
    expect(library).to_have_url(re.compile("resource_type=image"))
    server.start()
    library.get_by_role("button", name="Try again").click()
    expect(library.get_by_text("1–3 of 3")).to_be_visible()
    expect(library).to_have_url(re.compile("resource_type=image"))
    expect(alert).to_have_count(0)
