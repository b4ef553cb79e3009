"""What goes wrong inside: JSON of the one shape, the reason in the log, no secret in either."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import sqlalchemy as sa

import media_toolkit as mt
from media_toolkit.store import migrations
from media_toolkit.store.database import Database
from media_toolkit.web import endpoint


@pytest.fixture
def own_database(stack: Any, settings: mt.Settings) -> Iterator[tuple[str, sa.Engine]]:
    """A migrated database of its own in the run's Postgres: its string, and its owner's engine."""
    name = f"test_{secrets.token_hex(6)}"
    url = stack.database_url.replace("postgresql:", "postgresql+psycopg2:")
    server = sa.create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    own = f"{stack.database_url.rpartition('/')[0]}/{name}"
    database = Database(own)
    migrations.migrate(database)
    database.close()
    yield own, sa.create_engine(f"{url.rpartition('/')[0]}/{name}", poolclass=sa.NullPool)
    with server.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_failure_inside_is_500_in_the_one_shape_and_told_in_the_log_only(
    own_database: tuple[str, sa.Engine],
    stack: Any,
    home: Path,
    dashboard_with: Callable[..., Any],
    send: Callable[..., Any],
    kit: mt.MediaToolkit,
) -> None:
    url, owner = own_database
    environment = {
        "MEDIA_TOOLKIT_HOME": str(home),
        "MEDIA_TOOLKIT_AUTH": "none",
        "CLOUDINARY_URL": stack.cloudinary_url,
        "DATABASE_URL": url,
    }

    def run(sql: str) -> None:
        with owner.begin() as connection:
            connection.exec_driver_sql(sql)

    with dashboard_with(environment) as running:
        page = requests.Session()
        signed = page.get(f"{running.url}/generate-signature", timeout=30).json()
        told = send(signed).json()

        # Nobody foresaw this one: a function that answers with nothing.
        run(
            "CREATE OR REPLACE FUNCTION media_toolkit_rules.open_intents("
            "opened JSONB, forgotten TIMESTAMPTZ, few INT) RETURNS SETOF upload_intents"
            " LANGUAGE plpgsql AS 'BEGIN RETURN; END'"
        )
        unforeseen = page.get(f"{running.url}/generate-signature", timeout=30)
        run("DROP TABLE cloudinary_files CASCADE")
        dropped = page.post(f"{running.url}/save-metadata", json=told, timeout=30)
        still_there = page.get(f"{running.url}/openapi.json", timeout=30)
        log = running.log.read_text()

    assert "the server's log tells what" in unforeseen.json()["hint"]
    assert "migrate" in dropped.json()["hint"]
    for answer in (unforeseen, dropped):
        assert answer.status_code == 500
        assert answer.headers["Content-Type"] == "application/json"
        assert set(answer.json()) == {"success", "error", "hint"}
        assert answer.json()["success"] is False
        assert not re.search(r"Traceback|File \"|\.py|zip\(\)|psycopg|INSERT", answer.text)
    assert still_there.status_code == 200
    # Once the traceback, of what nobody foresaw; what is foreseen is a sentence to the caller.
    assert log.count("Traceback") == 1
    assert "GET /generate-signature failed" in log
    password = str(sa.engine.make_url(stack.database_url).password)
    for secret in (password, kit.account.api_secret.get_secret_value()):
        for text in (unforeseen.text, dropped.text, log):
            assert secret not in text


def test_a_body_without_end_is_cut_off(dashboard: Any) -> None:
    address = urlsplit(dashboard.url)
    with socket.create_connection((str(address.hostname), int(address.port or 80)), 30) as page:
        page.sendall(
            b"POST /save-metadata HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        sent, is_cut_off = 0, False
        while not is_cut_off and sent < 1_000_000_000:
            try:
                sent += page.send(chunk)
            except ConnectionError:
                is_cut_off = True
    assert is_cut_off
    assert sent < 200_000_000


def test_a_body_that_does_not_arrive_is_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "MAX_BODY_S", 0.05)
    sent: list[Any] = []

    async def call() -> None:
        parts = iter([{"type": "http.request", "body": b"{", "more_body": True}])

        async def receive() -> Any:
            for part in parts:
                return part
            await asyncio.sleep(30)

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/save-metadata", "headers": []}
        await endpoint.Endpoint({})(scope, receive, send)

    # In a thread of its own: a browser of other tests has a loop running in this one.
    with ThreadPoolExecutor() as pool:
        pool.submit(lambda: asyncio.run(call())).result()
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]
    assert json.loads(sent[1]["body"])["success"] is False


def test_what_is_said_not_to_be_json_is_415(dashboard: Any) -> None:
    for path in ("save-metadata", "generate-signature"):
        for said in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            answer = requests.post(
                f"{dashboard.url}/{path}", data=b"{}", headers={"Content-Type": said}, timeout=30
            )
            assert (answer.status_code, answer.json()["success"]) == (415, False)
            assert "application/json" in answer.json()["hint"]
    for said in ("application/json; charset=utf-8", "application/vnd.api+json", None):
        headers = {"Content-Type": said} if said else {}
        answer = requests.post(
            f"{dashboard.url}/generate-signature", data=b"{}", headers=headers, timeout=30
        )
        assert answer.status_code == 200, answer.text
