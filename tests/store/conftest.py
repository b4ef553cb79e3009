"""Every test of the store runs twice: straight to Postgres, and through PgBouncer as on Neon."""

from __future__ import annotations

import ipaddress
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import media_toolkit as mt
from media_toolkit.embedded.stack import EmbeddedStack
from media_toolkit.store.database import Database

_SETTINGS = """
[databases]
* = host={host} port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users.txt
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 200
logfile = {folder}/log
server_login_retry = {login_retry_s}
query_wait_timeout = {patience_s}
"""
_TLS = """
client_tls_sslmode = require
client_tls_cert_file = {folder}/server.crt
client_tls_key_file = {folder}/server.key
"""


def write_certificate(folder: Path) -> Path:
    """A self-signed one for 127.0.0.1, with its key; its own root."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "media-toolkit-test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir()
    (folder / "server.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "server.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder


@dataclass(frozen=True)
class Pooler:
    """A running PgBouncer: the port it listens on and its process."""

    port: int
    process: subprocess.Popen[bytes]

    def url(self, direct: str) -> str:
        """The pooled string for a direct one, for any database of the same Postgres."""
        parts = urlsplit(direct)
        netloc = f"{parts.username}:{parts.password}@127.0.0.1:{self.port}"
        return parts._replace(netloc=netloc).geturl()


@contextmanager
def pooler_of(
    port: int,
    database_url: str,
    patience_s: int = 120,
    certificate: Path | None = None,
    login_retry_s: int = 1,
    pool_size: int = 20,
) -> Iterator[Pooler]:
    """PgBouncer in transaction mode before the Postgres of `database_url`.

    Args:
        port: a free one.
        patience_s: how long a client may wait for a Postgres that is away; its default.
        login_retry_s: how long it refuses everybody after a login that failed; its default is 15.
        pool_size: how many connections it has to Postgres.
        certificate: a folder with server.crt and server.key; then TLS is required.
    """
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    parts = urlsplit(database_url)
    folder = Path(tempfile.mkdtemp(prefix="media-toolkit-pgbouncer-"))
    settings = folder / "pgbouncer.ini"
    (folder / "users.txt").write_text(f'"{parts.username}" "{parts.password}"\n')
    settings.write_text(
        _SETTINGS.format(
            host=parts.hostname,
            server_port=parts.port,
            port=port,
            folder=folder,
            patience_s=patience_s,
            login_retry_s=login_retry_s,
            pool_size=pool_size,
        )
    )
    if certificate is not None:
        settings.write_text(settings.read_text() + _TLS.format(folder=folder))
        for name in ("server.crt", "server.key"):
            shutil.copy(certificate / name, folder)
            (folder / name).chmod(0o600)
    # It refuses to run as root; the embedded Postgres has made this user for the same reason.
    user = "pgserver" if os.geteuid() == 0 else None
    if user is not None:
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, user)
    process = subprocess.Popen(
        [program, "-q", str(settings)],
        user=user,
        extra_groups=None if user is None else [],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_it_listens(port, process)
        yield Pooler(port, process)
    finally:
        process.terminate()
        process.wait(120)
        shutil.rmtree(folder)


def _wait_until_it_listens(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"PgBouncer did not start: status {process.poll()}")


@pytest.fixture(scope="session")
def pooler_before(choose_port: Callable[[], int]) -> Any:
    """PgBouncer before another Postgres: `with pooler_before(database_url) as pooler`."""
    return lambda *given, **options: pooler_of(choose_port(), *given, **options)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ours`, which a pooler shows, and `other`, which none does."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("ours", "other"):
        write_certificate(folder / name)
    return folder


@pytest.fixture(scope="session")
def pooler(stack: EmbeddedStack, pooler_before: Any) -> Iterator[Pooler]:
    """PgBouncer before the run's Postgres."""
    with pooler_before(stack.database_url) as pooler:
        yield pooler


@pytest.fixture(params=["direct", "pooled"])
def route(request: pytest.FixtureRequest) -> str:
    """The way to Postgres."""
    return str(request.param)


@pytest.fixture
def settings(
    settings: mt.Settings, route: str, stack: EmbeddedStack, request: pytest.FixtureRequest
) -> mt.Settings:
    """The run's settings; on the pooled route DATABASE_URL is PgBouncer's, as Neon's would be."""
    if route == "direct":
        return settings
    pooler: Pooler = request.getfixturevalue("pooler")
    return mt.Settings(
        database_url=pooler.url(stack.database_url), database_direct_url=stack.database_url
    )


@pytest.fixture
def database(settings: mt.Settings, stack: EmbeddedStack) -> Iterator[Database]:
    """The run's database by the route under test."""
    database = Database(settings.pooled_url or stack.database_url, stack.database_url)
    yield database
    database.close()


@pytest.fixture
def database_at(route: str, request: pytest.FixtureRequest) -> Any:
    """Another database of the run's Postgres, by its direct string, by the route under test."""

    def make(url: str) -> Database:
        if route == "direct":
            return Database(url)
        return Database(request.getfixturevalue("pooler").url(url), url)

    return make


@pytest.fixture
def empty_database(stack: Any, database_at: Any) -> Iterator[Database]:
    """A database of its own in the run's Postgres, dropped afterwards."""
    name = f"test_{secrets.token_hex(6)}"
    server = sa.create_engine(
        stack.database_url.replace("postgresql:", "postgresql+psycopg2:"),
        poolclass=sa.NullPool,
        isolation_level="AUTOCOMMIT",
    )
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    database = database_at(f"{stack.database_url.rpartition('/')[0]}/{name}")
    yield database
    database.close()
    with server.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def owned_by(stack: Any, empty_database: Database) -> Iterator[Callable[[str], Database]]:
    """`owned_by("name")` makes a login that is no superuser the database's owner."""
    place = stack.database_url.rpartition("@")[2].rpartition("/")[0]
    name, made = empty_database.pooled_url.rpartition("/")[2], list[str]()
    server, databases = Database(stack.database_url), list[Database]()

    def owned(login: str) -> Database:
        login = f"{login}_{name}"
        made.append(login)
        with server.direct() as connection:
            connection.exec_driver_sql(f"CREATE ROLE {login} LOGIN PASSWORD 'pw'")
            connection.exec_driver_sql(f"GRANT media_toolkit_app TO {login} WITH ADMIN TRUE")
            connection.exec_driver_sql(f"ALTER DATABASE {name} OWNER TO {login}")
        databases.append(Database(f"postgresql://{login}:pw@{place}/{name}"))
        return databases[-1]

    yield owned
    with server.direct() as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {name} OWNER TO CURRENT_USER")
    for one in databases:
        one.close()
    for login in made:
        for database in (empty_database, server):
            with database.direct() as connection:
                connection.exec_driver_sql(f"DROP OWNED BY {login} CASCADE")
        with server.direct() as connection:
            connection.exec_driver_sql(f"DROP ROLE {login}")
    server.close()
