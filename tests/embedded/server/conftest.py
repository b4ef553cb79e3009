"""A real server on a free port of 127.0.0.1, and pictures drawn by Pillow."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
import uvicorn
from cloudinary.utils import api_sign_request
from PIL import Image, ImageDraw

from media_toolkit.embedded.server import ServerConfig, create_app

CLOUD, KEY, SECRET = "test-cloud", "123456789012345", "a-secret-of-the-tests"


@dataclass
class RunningServer:
    """A server in a thread, with the few calls that most tests need."""

    url: str
    config: ServerConfig
    end: Callable[[], None]
    session: requests.Session = field(default_factory=requests.Session)

    @property
    def api(self) -> str:
        return f"{self.url}/v1_1/{self.config.cloud_name}"

    @property
    def auth(self) -> tuple[str, str]:
        return (self.config.api_key, self.config.api_secret)

    def signed(self, **fields: Any) -> dict[str, Any]:
        """The fields with timestamp, api_key and signature."""
        fields = {"timestamp": str(int(time.time())), **fields}
        signature = api_sign_request(dict(fields), self.config.api_secret)
        return {**fields, "api_key": self.config.api_key, "signature": signature}

    def post_upload(
        self, data: bytes, name: str = "picture.png", kind: str = "image", **fields: Any
    ) -> requests.Response:
        return self.session.post(
            f"{self.api}/{kind}/upload", data=self.signed(**fields), files={"file": (name, data)}
        )

    def upload(
        self, data: bytes, name: str = "picture.png", kind: str = "image", **fields: Any
    ) -> dict[str, Any]:
        answer = self.post_upload(data, name, kind, **fields)
        assert answer.status_code == 200, answer.text
        result: dict[str, Any] = answer.json()
        return result

    def admin(self, path: str, **query: Any) -> requests.Response:
        return self.session.get(f"{self.api}/{path}", params=query, auth=self.auth)

    def get(self, path: str, **headers: str) -> requests.Response:
        """GET below `/<cloud>/`, for example `image/upload/w_10/name.png`."""
        url = f"{self.url}/{self.config.cloud_name}/{path}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.session.get(url, headers=named)

    def picture(self, path: str, **headers: str) -> Image.Image:
        answer = self.get(path, **headers)
        assert answer.status_code == 200, (answer.headers.get("X-Cld-Error"), answer.text[:200])
        return Image.open(io.BytesIO(answer.content))

    def files(self) -> list[Path]:
        """Every blob, arriving and derived file on disk."""
        folders = ("incoming", "blobs", "derived")
        return [
            path
            for folder in folders
            for path in (self.config.data_dir / folder).rglob("*")
            if path.is_file()
        ]


def _free_socket() -> socket.socket:
    # With the protocol named, asyncio sets TCP_NODELAY; without it each answer waits 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    return listener


def _run(data_dir: Path, **settings: Any) -> RunningServer:
    """Start a server in a thread and wait until it serves."""
    listener = _free_socket()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config = ServerConfig(
        data_dir=data_dir,
        cloud_name=CLOUD,
        api_key=KEY,
        api_secret=SECRET,
        public_url=url,
        **settings,
    )
    server = uvicorn.Server(uvicorn.Config(create_app(config), log_level="error", lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.005)

    def end() -> None:
        server.should_exit = True
        thread.join(timeout=20)

    return RunningServer(url, config, end)


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., RunningServer]]:
    """Starts servers that end with the test; in one folder unless another is given."""
    running: list[RunningServer] = []

    def start(data_dir: Path | None = None, **settings: Any) -> RunningServer:
        running.append(_run(data_dir or tmp_path / "cloud", **settings))
        return running[-1]

    yield start
    for server in running:
        server.end()
        server.session.close()


@pytest.fixture(scope="session")
def _shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    running = _run(tmp_path_factory.mktemp("shared") / "cloud")
    yield running
    running.end()
    running.session.close()


@pytest.fixture
def server(_shared_server: RunningServer) -> Iterator[RunningServer]:
    """A server with an empty folder: one for all tests, emptied after each."""
    assert _shared_server.files() == []
    yield _shared_server
    for resource_type in ("image", "video", "raw"):
        for kind in ("upload", "private", "authenticated"):
            _shared_server.session.delete(
                f"{_shared_server.api}/resources/{resource_type}/{kind}",
                params={"all": "true"},
                auth=_shared_server.auth,
            )


@pytest.fixture
def draw() -> Callable[..., bytes]:
    """Draws a picture whose four quarters have different colours, as an encoded file."""

    def drawn(
        width: int = 400, height: int = 300, kind: str = "PNG", mode: str = "RGB", **options: Any
    ) -> bytes:
        image = Image.new("RGB", (width, height), (200, 30, 30))
        pen = ImageDraw.Draw(image)
        pen.rectangle((width // 2, 0, width, height // 2 - 1), fill=(30, 160, 30))
        pen.rectangle((0, height // 2, width // 2 - 1, height), fill=(30, 30, 200))
        pen.rectangle((width // 2, height // 2, width, height), fill=(220, 200, 30))
        out = io.BytesIO()
        image.convert(mode).save(out, kind, **options)
        return out.getvalue()

    return drawn
