"""One embedded stack for the whole run, a clean table for each test, nothing left behind."""

from __future__ import annotations

import json
import os
import random
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
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import sqlalchemy as sa
from itsdangerous import URLSafeTimedSerializer
from joserfc import jwt
from joserfc.jwk import RSAKey

import media_toolkit as mt
from media_toolkit.embedded.configuration import StackConfiguration
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
    "server_metadata_url": "{issuer}/.well-known/openid-configuration"}}}})
"""
_ISSUER = """
import json, sys
import oidc_provider_mock
from oidc_provider_mock._storage import storage
from werkzeug.serving import make_server
app = oidc_provider_mock.app()
with app.test_request_context():
    app.preprocess_request()
    print(json.dumps(storage.jwk.as_dict(is_private=True)), flush=True)
make_server("localhost", int(sys.argv[1]), app, threaded=True).serve_forever()
"""
# What the team's dashboard allows; each user has their own folder.
_TEAM_POLICY = {
    "folder": "team/{user_id}",
    "allowed_formats": ["png", "jpg"],
    "resource_types": ["image"],
    "max_bytes": 500_000,
    "tags": ["web"],
    "context": {"uploader": "{user_id}"},
}


@dataclass(frozen=True)
class Dashboard:
    """A running dashboard: its address, its process and what it wrote."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path


class Issuer:
    """A real OIDC provider on a free port; its key, for tokens that it would never issue."""

    def __init__(self, url: str, key: RSAKey) -> None:
        self.url = url
        self.key = key

    def token(self, user: str, audience: str = "mt") -> str:
        """An ID token as it is issued to who signs in, by the code flow over HTTP."""
        asked = {"client_id": audience, "redirect_uri": "http://localhost/cb"}
        answer = requests.post(
            f"{self.url}/oauth2/authorize",
            params={**asked, "response_type": "code", "scope": "openid email"},
            data={"sub": user},
            allow_redirects=False,
            timeout=30,
        )
        code = parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]
        issued = requests.post(
            f"{self.url}/oauth2/token",
            data={"grant_type": "authorization_code", "code": code, **asked},
            auth=(audience, "x"),
            timeout=30,
        )
        return str(issued.json()["id_token"])

    def signed(self, key: Any = None, alg: str = "RS256", **claims: Any) -> str:
        """A token of our own making, with the issuer's key unless another is given."""
        key = key or self.key
        known = {"iss": self.url, "aud": "mt", "sub": "mallory", "exp": int(time.time()) + 600}
        header = {"alg": alg, "kid": self.key.kid}
        return str(jwt.encode(header, {**known, **claims}, key, algorithms=[alg]))


@dataclass(frozen=True)
class Team:
    """A dashboard that asks its callers who they are, and limits what they may upload."""

    url: str
    issuer: Issuer
    log: Path

    def ask(self, user: str | None, method: str, path: str, **request: Any) -> requests.Response:
        """Ask as a user who signed in with the issuer, by bearer token."""
        headers = dict(request.pop("headers", {}))
        if user is not None:
            headers["Authorization"] = f"Bearer {self.issuer.token(user)}"
        return requests.request(
            method, f"{self.url}/{path}", headers=headers, timeout=30, **request
        )

    def cookie(self, secret: str = _COOKIE_SECRET, **claims: Any) -> dict[str, str]:
        """`_streamlit_user` as a sign-in here would set it, or a forged one."""
        return {"_streamlit_user": login_value(self.url, secret, **claims)}

    def signed_cookie(self, text: str) -> str:
        """Any text, signed as a login is."""
        return signed_value(text)


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


@pytest.fixture(scope="session", autouse=True)
def _nobodys_home() -> Iterator[None]:
    """Where a test that names no home of its own stumbles, before it meets the developer's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDIA_TOOLKIT_HOME", "/dev/null/home")
        yield


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    """Wait for a state that stays: `until(lambda: kit.count() == 1)`."""
    return wait_until


@pytest.fixture(scope="session")
def choose_port() -> Callable[[], int]:
    """A free port, for a program that must be told one."""
    return free_port


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
    assert stack.end_if_unused(120), "somebody still uses the tests' stack"


@pytest.fixture(scope="session")
def _owner(stack: EmbeddedStack) -> Iterator[sa.Engine]:
    """The run's Postgres as its owner, by one connection that is kept."""
    url = stack.database_url.replace("postgresql:", "postgresql+psycopg2:")
    engine = sa.create_engine(url, pool_pre_ping=True)
    yield engine
    engine.dispose()


@pytest.fixture
def settings(_owner: sa.Engine, home: Path, monkeypatch: pytest.MonkeyPatch) -> mt.Settings:
    """Settings of the run's stack, in the environment too, with an empty table."""
    monkeypatch.setenv("MEDIA_TOOLKIT_HOME", str(home))
    monkeypatch.setenv("MEDIA_TOOLKIT_USER", "ana")
    with _owner.begin() as connection:
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


@pytest.fixture
def end_connections(kit: mt.MediaToolkit) -> Callable[[], None]:
    """Ends whatever connections there are, as a restart of Postgres does."""

    def end() -> None:
        with kit._database.direct() as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )

    return end


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


@pytest.fixture(scope="session")
def issuer() -> Iterator[Issuer]:
    """The run's OIDC provider."""
    with start_issuer() as running:
        yield running


@pytest.fixture(scope="session")
def another_issuer() -> Iterator[Issuer]:
    """One that nobody here trusts."""
    with start_issuer() as running:
        yield running


@pytest.fixture
def guarded(settings: mt.Settings, issuer: Issuer, tmp_path: Path) -> Iterator[Dashboard]:
    """A fresh dashboard with `[auth]`: no session has run `main.py` in it yet."""
    app = guarded_app(tmp_path, issuer)
    with start_dashboard({"MEDIA_TOOLKIT_HOME": str(settings.home)}, app=app) as running:
        yield running


@pytest.fixture(scope="session")
def _running_team(
    stack: EmbeddedStack, home: Path, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dashboard]:
    app = guarded_app(tmp_path_factory.mktemp("team"), issuer)
    environment = {
        "MEDIA_TOOLKIT_HOME": str(home),
        "MEDIA_TOOLKIT_ADMINS": "root@example.org",
        "MEDIA_TOOLKIT_ORIGINS": "https://app.example.org",
        # More than all tests together ask in one name, however fast they run.
        "MEDIA_TOOLKIT_RATE_LIMIT": "120",
        "MEDIA_TOOLKIT_UPLOAD_POLICY": json.dumps(_TEAM_POLICY),
    }
    with start_dashboard(environment, app=app) as running:
        yield running


@pytest.fixture
def team(_running_team: Dashboard, issuer: Issuer, settings: mt.Settings) -> Team:
    """A dashboard with sign-in and an upload policy, with an empty table."""
    return Team(_running_team.url, issuer, _running_team.log)


@pytest.fixture
def login_cookie(guarded: Dashboard) -> Callable[..., str]:
    """The value of `_streamlit_user` as a sign-in at `guarded` would set it, or a forged one."""

    def make(secret: str = _COOKIE_SECRET, **claims: Any) -> str:
        return login_value(guarded.url, secret, **claims)

    return make


@pytest.fixture(scope="session")
def temporary_home() -> Callable[[], object]:
    """A second home: `with temporary_home() as path`."""
    return new_home


@pytest.fixture(scope="session")
def _home_to_copy() -> Iterator[Path]:
    """A home whose stack was started once, and ended."""
    with new_home() as path:
        assert EmbeddedStack.join(mt.Settings(home=path)).end_if_unused(120)
        yield path


@pytest.fixture(scope="session")
def prepared_home(_home_to_copy: Path) -> Callable[[], object]:
    """A second home that has its Postgres and its tables: `with prepared_home() as path`."""

    @contextmanager
    def copied() -> Iterator[Path]:
        with new_home() as path:
            free = StackConfiguration.of(mt.Settings(home=path))
            # With its owners: as root, Postgres runs as a user of its own.
            subprocess.run(["cp", "-a", f"{_home_to_copy}/.", path], check=True)
            own_ports = {"cloud_port": free.cloud_port, "postgres_port": free.postgres_port}
            StackConfiguration.of(mt.Settings(home=path, **own_ports))
            yield path

    return copied


@contextmanager
def start_issuer() -> Iterator[Issuer]:
    """A provider in a process of its own, as it warns of what Authlib is to lose."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _ISSUER, str(port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        key = RSAKey.import_key(json.loads(process.stdout.readline()))
        url = f"http://localhost:{port}"
        wait_until(lambda: requests.get(f"{url}/jwks", timeout=30).ok)
        yield Issuer(url, key)
    finally:
        process.terminate()
        process.communicate()


def guarded_app(folder: Path, issuer: Issuer) -> Path:
    main = ROOT / "media_toolkit/dashboard/main.py"
    app = folder / "app.py"
    app.write_text(_GUARDED_APP.format(main=str(main), secret=_COOKIE_SECRET, issuer=issuer.url))
    return app


def login_value(url: str, secret: str = _COOKIE_SECRET, **claims: Any) -> str:
    return signed_value(json.dumps({"origin": url, "is_logged_in": True, **claims}), secret)


def signed_value(text: str, secret: str = _COOKIE_SECRET) -> str:
    return str(URLSafeTimedSerializer(secret, salt="_streamlit_user").dumps(text))


@contextmanager
def new_home() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="media-toolkit-test-"))
    try:
        yield path
    finally:
        # A Postgres that ends meanwhile still writes and removes files.
        wait_until(lambda: shutil.rmtree(path, ignore_errors=True) or not path.exists())


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
            process.wait(120)


def wait_until(is_so: Callable[[], object], limit_s: float = 120) -> None:
    """Return as soon as it is so; whoever cannot be reached yet is asked again."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        try:
            if is_so():
                return
        except OSError:
            pass
        time.sleep(0.02)
    raise AssertionError("it did not come to be in time")


def free_port() -> int:
    """One below those that Linux and macOS give to whoever asks for none: nobody gets it
    between this look at it and the start of the program that it is for."""
    for port in random.sample(range(12_000, 20_000), 100):
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
    raise AssertionError("no free port")


def _wait_until_it_answers(running: Dashboard) -> None:
    def is_decided() -> bool:
        if running.process.poll() is None:
            with urllib.request.urlopen(f"{running.url}/_stcore/health", timeout=30):
                return True
        return True

    wait_until(is_decided)
    if running.process.poll() is not None:
        raise AssertionError(f"the dashboard did not start: {running.log.read_text()}")
