"""The process behind a home's stack: runs Postgres and the server until nobody uses them.

Started by `stack`, never by hand: `python -m media_toolkit.embedded.supervisor HOME OPTIONS`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path

import uvicorn

from media_toolkit.embedded import users
from media_toolkit.embedded.configuration import CLOUD_NAME, HOST, StackConfiguration
from media_toolkit.embedded.options import ServerOptions
from media_toolkit.embedded.postgres import EmbeddedPostgres, check_port
from media_toolkit.embedded.server import ServerConfig, create_app
from media_toolkit.embedded.stack import StackFiles
from media_toolkit.errors import MediaToolkitError
from media_toolkit.store import migrations
from media_toolkit.store.database import Database

LINGER_S = 20.0
_CHECK_INTERVAL_S = 1.0
_log = logging.getLogger("media_toolkit.embedded")


class Supervisor:
    """Owns the two services of one home for as long as somebody uses them."""

    def __init__(
        self, files: StackFiles, configuration: StackConfiguration, options: ServerOptions
    ) -> None:
        self._files = files
        self._options = options
        self._configuration = configuration
        self._postgres = EmbeddedPostgres(configuration)
        self._last_used = time.monotonic()
        self._is_asked_to_end = False
        self._kept_lock: int | None = None

    def run(self) -> None:
        """Start everything, say that it is ready, serve, and stop everything.

        Raises:
            EmbeddedStackError: when a port is taken or Postgres does not start.
        """
        check_port(self._configuration.cloud_port, "MEDIA_TOOLKIT_CLOUD_PORT", "Cloudinary server")
        listener = _listener(self._configuration.cloud_port)
        try:
            self._postgres.start()
            self._postgres.create_database()
            migrations.migrate(Database(self._configuration.database_url))
            asyncio.run(self._serve(listener))
        finally:
            # From here on nobody may join: a newcomer waits for the lock and starts its own.
            self._files.state.unlink(missing_ok=True)
            listener.close()
            self._postgres.stop()

    async def _serve(self, listener: socket.socket) -> None:
        configuration = self._configuration
        app = create_app(
            ServerConfig(
                data_dir=configuration.home / "cloudinary",
                cloud_name=CLOUD_NAME,
                api_key=configuration.api_key,
                api_secret=configuration.api_secret,
                public_url=configuration.public_url,
                search_lag=self._options.search_lag,
                faults=self._options.faults,
                notification_urls=self._options.notification_urls,
                allow_private_urls=self._options.allow_private_urls,
            )
        )
        server = uvicorn.Server(
            uvicorn.Config(
                app, log_level="warning", access_log=False, lifespan="on", http="h11",
                timeout_graceful_shutdown=5,
            )
        )  # fmt: skip
        loop = asyncio.get_running_loop()
        serving = loop.create_task(server.serve(sockets=[listener]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        loop.add_signal_handler(signal.SIGUSR1, self._ask_to_end)
        self._files.write_state(
            status="ready",
            pid=str(os.getpid()),
            options=self._options.to_json(),
            migrated_to=migrations.newest(),
        )
        watching = loop.create_task(self._watch(server))
        await asyncio.wait({serving, watching}, return_when=asyncio.FIRST_COMPLETED)
        # A watch that failed must not leave a server behind that nobody ends.
        server.should_exit = True
        await serving
        await watching

    def _ask_to_end(self) -> None:
        self._is_asked_to_end = True

    async def _watch(self, server: uvicorn.Server) -> None:
        """End the server when nobody has used the stack for a while; revive a killed Postgres."""
        next_check = time.monotonic()
        while not server.should_exit:
            await asyncio.sleep(0.05)
            if time.monotonic() < next_check and not self._is_asked_to_end:
                continue
            next_check = time.monotonic() + _CHECK_INTERVAL_S
            at_once, self._is_asked_to_end = self._is_asked_to_end, False
            if not await asyncio.to_thread(self._is_used, at_once):
                server.should_exit = True
            elif not await asyncio.to_thread(self._postgres.is_running):
                _log.warning("Postgres is gone: starting it again")
                await asyncio.to_thread(self._postgres.start)

    def _is_used(self, at_once: bool) -> bool:
        if not self._files.users.exists():
            # The home was deleted under the stack.
            return False
        lock = users.try_lock(self._files.lock)
        if lock is None:
            # Somebody is joining at this moment.
            self._last_used = time.monotonic()
            return True
        try:
            if users.alive(self._files.users):
                self._last_used = time.monotonic()
            elif at_once or time.monotonic() - self._last_used > LINGER_S:
                # Kept until this process is gone: a newcomer must not meet a dying stack.
                lock, self._kept_lock = None, lock
                return False
            return True
        finally:
            if lock is not None:
                os.close(lock)


def _listener(port: int) -> socket.socket:
    # asyncio sets TCP_NODELAY only where the protocol is named, which `create_server` does not
    # do; without it every answer on a kept connection waits 40 ms for the client's ACK.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError:
        listener.close()
        raise
    listener.listen(512)
    return listener


def _end(*_: object) -> None:
    raise SystemExit(0)


def main(home: Path, options: ServerOptions) -> int:
    """Run until unused; 0 also when another supervisor of this home was faster."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    # As root the home lets Postgres' user pass; what lies beside its data is not for it.
    os.umask(0o077)
    files = StackFiles(home)
    if users.try_lock(files.supervisor_lock) is None:
        return 0
    # Uvicorn raises the signal again after its own shutdown: Postgres is still to be stopped then.
    signal.signal(signal.SIGTERM, _end)
    try:
        files.write_state(status="starting", pid=str(os.getpid()))
        Supervisor(files, StackConfiguration.kept(home), options).run()
    except MediaToolkitError as error:
        setting = error.ids[0] if error.ids else ""
        files.write_state(status="failed", error=error.message, hint=error.hint, setting=setting)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), ServerOptions.from_json(sys.argv[2])))
