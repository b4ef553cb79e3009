"""One embedded stack for the whole run, a clean table for each test, nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from itsdangerous import URLSafeTimedSerializer

import media_toolkit as mt
from media_toolkit.embedded.stack import EmbeddedStack

ROOT = Path(__file__).resolve().parents[1]
_OURS = ("CLOUDINARY_", "DATABASE_", "MEDIA_TOOLKIT_")
_COOKIE_SECRET = "a-test-secret-of-at-least-32-characters"
_GUARDED_APP = """
from pathlib import Path
import streamlit as st
from media_toolkit.web.api import lifespan, routes
app = st.App(Path({main!r}), routes=routes, lifespan=lifespan, secrets={{"auth": {{
    "redirect_uri": "http://localhost:{{port}}/oauth2callback", "cookie_secret": {secret!r},
    "client_id": "mt", "client_secret": "x",
    "server_metadata_url": "http://127.0.0.1:9/.well-known/openid-configuration"}}}})
"""


@dataclass(frozen=True)
class Dashboard:
    """A running dashboard: its address, its process and what it wrote."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path


def pytest_configure(config: pytest.Config) -> None:
    """A folder of this run's own for `tmp_path`: runs at the same time do not meet."""
    if config.option.basetemp is None:
        config.option.basetemp = tempfile.mkdtemp(prefix="media-toolkit-pytest-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Pytest keeps the last three runs' folders; here nothing is left behind."""
    shutil.rmtree(config.option.basetemp, ignore_errors=True)


@pytest.fixture(autouse=True)
def _no_credentials_of_the_developer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test may meet a real account: neither by the environment nor by a `.env` above it."""
    for name in list(os.environ):
        if name.startswith(_OURS):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """A folder for a stack of its own; not pytest's, whose parents are closed to Postgres' user."""
    with new_home() as path:
        yield path


@pytest.fixture(scope="session")
def stack(home: Path) -> Iterator[EmbeddedStack]:
    """The run's embedded stack."""
    stack = EmbeddedStack.join(mt.Settings(home=home))
    yield stack
    assert stack.end_if_unused(), "somebody still uses the tests' stack"


@pytest.fixture
def settings(stack: EmbeddedStack, home: Path, monkeypatch: pytest.MonkeyPatch) -> mt.Settings:
    """Settings of the run's stack, in the environment too, with an empty table."""
    monkeypatch.setenv("MEDIA_TOOLKIT_HOME", str(home))
    monkeypatch.setenv("MEDIA_TOOLKIT_USER", "ana")
    engine = sa.create_engine(
        stack.database_url.replace("postgresql:", "postgresql+psycopg2:"), poolclass=sa.NullPool
    )
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "TRUNCATE cloudinary_files, cloudinary_files_history, upload_intents,"
                " notification_receipts, notification_marks, reconcile_runs"
                " RESTART IDENTITY CASCADE"
            )
        )
    return mt.Settings()


@pytest.fixture
def kit(settings: mt.Settings) -> Iterator[mt.MediaToolkit]:
    """A kit of user `ana` on the run's stack, with an empty table."""
    with mt.connect(settings) as kit:
        yield kit


@pytest.fixture(scope="session")
def sample_media() -> Path:
    """The ten public-domain pictures that ship with the project."""
    return ROOT / "sample_media"


@pytest.fixture(scope="session")
def _running_dashboard(stack: EmbeddedStack, home: Path) -> Iterator[Dashboard]:
    with start_dashboard({"MEDIA_TOOLKIT_HOME": str(home), "MEDIA_TOOLKIT_USER": "ana"}) as running:
        yield running


@pytest.fixture
def dashboard(_running_dashboard: Dashboard, settings: mt.Settings) -> Dashboard:
    """`streamlit run app.py` over the run's stack, with an empty table."""
    return _running_dashboard


@pytest.fixture(scope="session")
def dashboard_with() -> Callable[..., object]:
    """Start a dashboard with an environment of its own: `with dashboard_with({...}) as running`."""
    return start_dashboard


@pytest.fixture
def guarded(settings: mt.Settings, tmp_path: Path) -> Iterator[Dashboard]:
    """A fresh dashboard with `[auth]`: no session has run `main.py` in it yet."""
    main = ROOT / "media_toolkit/dashboard/main.py"
    app = tmp_path / "app.py"
    app.write_text(_GUARDED_APP.format(main=str(main), secret=_COOKIE_SECRET))
    with start_dashboard({"MEDIA_TOOLKIT_HOME": str(settings.home)}, app=app) as running:
        yield running


@pytest.fixture
def login_cookie(guarded: Dashboard) -> Callable[..., str]:
    """The value of `_streamlit_user` as a sign-in at `guarded` would set it, or a forged one."""

    def make(secret: str = _COOKIE_SECRET, **claims: Any) -> str:
        signer = URLSafeTimedSerializer(secret, salt="_streamlit_user")
        return str(
            signer.dumps(json.dumps({"origin": guarded.url, "is_logged_in": True, **claims}))
        )

    return make


@pytest.fixture(scope="session")
def temporary_home() -> Callable[[], object]:
    """A second home: `with temporary_home() as path`."""
    return new_home


@contextmanager
def new_home() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="media-toolkit-test-"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


@contextmanager
def start_dashboard(
    environment: dict[str, str], app: Path = ROOT / "app.py"
) -> Iterator[Dashboard]:
    """A dashboard process on a free port, ended by its id."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(_OURS)}
    with tempfile.TemporaryDirectory(prefix="media-toolkit-dashboard-") as folder:
        log = Path(folder) / "log"
        port = free_port()
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "streamlit", "run", str(app), "--server.port", str(port)],
                cwd=ROOT,
                env=clean | environment,
                stdout=out,
                stderr=out,
            )
        running = Dashboard(f"http://localhost:{port}", process, log)
        try:
            _wait_until_it_answers(running)
            yield running
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _wait_until_it_answers(running: Dashboard) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if running.process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{running.url}/_stcore/health", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"the dashboard did not start: {running.log.read_text()}")
