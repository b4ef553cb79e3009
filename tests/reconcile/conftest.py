"""A Cloudinary of a test's own, empty, beside the run's Postgres."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from PIL import Image

import media_toolkit as mt
from media_toolkit.embedded.server import ServerConfig, create_app


@pytest.fixture(scope="session")
def pixel() -> bytes:
    """The smallest picture that is one."""
    file = io.BytesIO()
    Image.new("L", (1, 1)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def fresh_kit(
    settings: mt.Settings, stack: Any, tmp_path: Path
) -> Iterator[Callable[..., mt.MediaToolkit]]:
    """Kits on an empty Cloudinary: `fresh_kit("ana", search_lag=60)`; settings by the first."""
    with ExitStack() as ends:
        accounts: list[str] = []

        def connect(user_id: str = "ana", admins: str = "", **options: Any) -> mt.MediaToolkit:
            if not accounts:
                accounts.append(_start(tmp_path / "cloud", ends, **options))
            chosen = mt.Settings(
                cloudinary_url=accounts[0], database_url=stack.database_url, admins_list=admins
            )
            return ends.enter_context(mt.connect(chosen, user_id=user_id))

        yield connect


def _start(data_dir: Path, ends: ExitStack, **options: Any) -> str:
    # With the protocol named, asyncio sets TCP_NODELAY; without it each answer waits 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    config = ServerConfig(
        data_dir=data_dir,
        cloud_name="fresh",
        api_key="123456789012345",
        api_secret="a-secret-of-the-tests",
        public_url=f"http://{address}",
        **options,
    )
    server = uvicorn.Server(
        uvicorn.Config(create_app(config), log_level="error", lifespan="on", http="h11")
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()

    def end() -> None:
        server.should_exit = True
        thread.join(timeout=120)

    ends.callback(end)
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.005)
    return (
        f"cloudinary://{config.api_key}:{config.api_secret}@fresh"
        f"?upload_prefix=http://{address}&cname={address}"
    )
