"""The official Python SDK against a real embedded server, without touching global state."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from media_toolkit.embedded.server import ServerConfig, create_app


@dataclass(frozen=True)
class SdkTarget:
    """Where the SDK is pointed at; `options` goes into every call."""

    options: dict[str, Any]
    data_dir: Path

    @property
    def url(self) -> str:
        """The same as a CLOUDINARY_URL, for programs of their own."""
        one = self.options
        return (
            f"cloudinary://{one['api_key']}:{one['api_secret']}@{one['cloud_name']}"
            f"?upload_prefix={one['upload_prefix']}&cname={one['cname']}"
        )


@pytest.fixture
def sdk(tmp_path: Path) -> Iterator[SdkTarget]:
    """A running server, as options for the SDK's calls."""
    # With the protocol named, asyncio sets TCP_NODELAY; without it each answer waits 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    config = ServerConfig(
        data_dir=tmp_path / "cloud",
        cloud_name="sdk-cloud",
        api_key="111222333444555",
        api_secret="sdk-secret",
        public_url=f"http://{address}",
        allow_private_urls=True,
    )
    server = uvicorn.Server(uvicorn.Config(create_app(config), log_level="error", http="h11"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.005)
    yield SdkTarget(
        options={
            "cloud_name": config.cloud_name,
            "api_key": config.api_key,
            "api_secret": config.api_secret,
            "upload_prefix": config.public_url,
            "cname": address,
            "secure": False,
        },
        data_dir=config.data_dir,
    )
    server.should_exit = True
    thread.join(timeout=120)


@pytest.fixture
def samples() -> Path:
    """The folder of sample pictures."""
    return Path(__file__).parents[2] / "sample_media"


@pytest.fixture(scope="session")
def node_sdk() -> Path:
    """The folder of the official Node SDK, installed at its first use."""
    folder = Path(__file__).parent / "node"
    if not (folder / "node_modules" / "cloudinary").exists():
        npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(npm, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def node(sdk: SdkTarget, node_sdk: Path) -> Callable[..., Any]:
    """Runs a program with the Node SDK against the server; returns what it returns.

    Words in capitals, such as SAMPLES, stand for the JSON of the keyword of that name.
    """

    def run(program: str, **values: Any) -> Any:
        for name, value in values.items():
            program = program.replace(name.upper(), json.dumps(value))
        done = subprocess.run(
            ["node", "run.js"],
            cwd=node_sdk,
            input=program,
            env={**os.environ, "CLOUDINARY_URL": sdk.url},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run
