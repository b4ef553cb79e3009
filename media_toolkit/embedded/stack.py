"""One shared stack per MEDIA_TOOLKIT_HOME: find it, start it, keep it, leave it.

A supervisor process (see `supervisor`) runs Postgres and the server. Whoever needs the stack
joins it; the first one starts the supervisor, and it ends by itself when the last has left.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Self

from media_toolkit.embedded import users
from media_toolkit.embedded.configuration import StackConfiguration, write_private
from media_toolkit.embedded.options import ServerOptions
from media_toolkit.errors import EmbeddedStackError
from media_toolkit.settings import CloudAccount, Settings

# Recovery of a killed Postgres takes its time; a supervisor that died is noticed at once.
_START_LIMIT_S = 660
_KEEPER_INTERVAL_S = 1.0


class StackFiles:
    """The files of a home through which its processes meet."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.run = home / "run"
        self.users = self.run / "users"
        self.lock = self.run / "stack.lock"
        self.supervisor_lock = self.run / "supervisor.lock"
        self.state = self.run / "state.json"
        self.log = self.run / "supervisor.log"

    def create(self) -> None:
        """Make the folders, for the owner alone.

        Raises:
            EmbeddedStackError: when the home cannot be written.
        """
        try:
            self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.run.mkdir(exist_ok=True, mode=0o700)
            self.users.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise EmbeddedStackError(
                f"cannot write to the home of the embedded stack, {self.home}: {error.strerror}",
                hint="set MEDIA_TOOLKIT_HOME to a folder of yours",
                ids=("MEDIA_TOOLKIT_HOME",),
            ) from error

    def read_state(self) -> dict[str, str]:
        """What the supervisor last said of itself; empty when nothing."""
        try:
            return dict(json.loads(self.state.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError):
            return {}

    def options(self) -> ServerOptions | None:
        """How whoever began the stack asked it to behave; known also after it was killed."""
        options = self.read_state().get("options")
        return None if options is None else ServerOptions.from_json(options)

    def write_state(self, **state: str) -> None:
        """Tell the others; replaced in one step."""
        write_private(self.state, json.dumps(state))


class EmbeddedStack:
    """This process's share in the stack of one home, until `leave` or until nobody has it any more.

    Made by `join`.
    """

    def __init__(
        self, settings: Settings, configuration: StackConfiguration, options: ServerOptions
    ) -> None:
        self._settings = settings
        self._configuration = configuration
        self._files = StackFiles(settings.home)
        self._left = threading.Event()
        self._keeper = threading.Thread(
            target=_keep,
            args=(weakref.ref(self), self._left, self._files, options),
            name="media-toolkit-stack-keeper",
            daemon=True,
        )
        self._keeper.start()

    @classmethod
    def join(cls, settings: Settings, options: ServerOptions | None = None) -> Self:
        """Find the stack of `settings.home`, or start it; returns when it answers.

        Without `options` one that runs is taken as it is.

        Raises:
            EmbeddedStackError: when it cannot be started, with the reason and what to do; also
                when it runs with other options than those asked for.
        """
        files = StackFiles(settings.home)
        files.create()
        with users.exclusive(files.lock):
            configuration = StackConfiguration.of(settings)
            begun = files.options() if users.alive(files.users) else None
            users.register(files.users)
            try:
                _ensure_supervisor(files, options or begun or ServerOptions())
                if options is not None:
                    _check_options(files, options)
            except BaseException:
                users.unregister(files.users)
                raise
        return cls(settings, configuration, options or begun or ServerOptions())

    @property
    def account(self) -> CloudAccount:
        """The embedded Cloudinary server's account."""
        return self._configuration.account

    @property
    def cloudinary_url(self) -> str:
        """What CLOUDINARY_URL must be for another program to use this stack."""
        return self._configuration.cloudinary_url

    @property
    def database_url(self) -> str:
        """What DATABASE_URL must be for another program to use this stack."""
        return self._configuration.database_url

    @property
    def migrated_to(self) -> str | None:
        """The last migration that whoever started the stack knew."""
        return self._files.read_state().get("migrated_to")

    def leave(self) -> None:
        """End this share; the stack ends within a minute when it was the last."""
        if not self._left.is_set():
            self._left.set()
            users.unregister(self._files.users)

    def end_if_unused(self, limit_s: float = 15) -> bool:
        """Leave, and end the stack at once unless others use it; whether it has ended."""
        self.leave()
        pid = self._files.read_state().get("pid")
        if pid is None or not users.is_locked(self._files.supervisor_lock):
            return True
        os.kill(int(pid), signal.SIGUSR1)
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if not users.is_locked(self._files.supervisor_lock):
                return True
            if users.alive(self._files.users):
                return False
            time.sleep(0.05)
        return False


def _keep(
    stack: weakref.ref[EmbeddedStack],
    left: threading.Event,
    files: StackFiles,
    options: ServerOptions,
) -> None:
    """Start the supervisor again should it be killed under a running dashboard.

    It ends the share of a stack that nobody has any more: a finalizer, which runs wherever memory
    is freed, could meet a lock that its own thread holds.
    """
    pause = due = 0.0
    while not left.wait(_KEEPER_INTERVAL_S):
        if stack() is None:
            users.unregister(files.users)
            return
        if time.monotonic() < due:
            continue
        try:
            if not files.run.exists():
                return
            if not users.is_locked(files.supervisor_lock):
                with users.exclusive(files.lock):
                    if not left.is_set():
                        _ensure_supervisor(files, files.options() or options)
            pause = 0.0
        except (EmbeddedStackError, OSError):
            # The caller's next request says that the server does not answer; try less often.
            pause = min(pause * 2 or 2 * _KEEPER_INTERVAL_S, 30)
            due = time.monotonic() + pause


def _ensure_supervisor(files: StackFiles, options: ServerOptions) -> None:
    """Under the stack's lock: start the supervisor unless it runs, wait until it is ready.

    One that is about to end still holds its lock, and one that lost the lock to another's brief
    look at it ends with 0: so the lock is asked again for as long as nobody is ready.
    """
    process: subprocess.Popen[bytes] | None = None
    deadline = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline:
        if process is None and not users.is_locked(files.supervisor_lock):
            files.state.unlink(missing_ok=True)
            process = _spawn(files, options)
        state = files.read_state()
        if state.get("status") == "ready":
            if process is not None:
                # It outlives this process on purpose: no warning of a running child.
                process.returncode = 0
            return
        if state.get("status") == "failed":
            if process is not None:
                process.wait()
            raise EmbeddedStackError(
                state.get("error", "the embedded stack did not start"),
                hint=state.get("hint", ""),
                ids=tuple(filter(None, [state.get("setting")])),
            )
        if process is not None and process.poll() is not None:
            if process.returncode != 0:
                break
            process = None
        time.sleep(0.02)
    raise EmbeddedStackError(
        "the embedded stack did not start",
        hint=f"its last words: {_last_line(files.log)}; see {files.log}",
    )


def _check_options(files: StackFiles, options: ServerOptions) -> None:
    if files.read_state().get("options") != options.to_json():
        raise EmbeddedStackError(
            "the embedded stack is running already, with other options",
            hint="end everything that uses it, or set MEDIA_TOOLKIT_HOME to another folder",
            ids=("MEDIA_TOOLKIT_HOME",),
        )


def _spawn(files: StackFiles, options: ServerOptions) -> subprocess.Popen[bytes]:
    package_parent = str(Path(__file__).resolve().parents[2])
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, (package_parent, os.environ.get("PYTHONPATH"))))
    }
    with files.log.open("ab") as log:
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "media_toolkit.embedded.supervisor",
                str(files.home),
                options.to_json(),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=files.home,
            env=environment,
            # Its own session: Ctrl-C in the terminal of its first user must not reach it.
            start_new_session=True,
        )


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").split("\n") if path.exists() else []
    return next((line for line in reversed(lines) if line.strip()), "none")
