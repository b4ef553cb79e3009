"""A real server on a free port of 127.0.0.1, and pictures drawn by Pillow."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import av
import numpy as np
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
    server = uvicorn.Server(
        uvicorn.Config(create_app(config), log_level="error", lifespan="on", http="h11")
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.005)

    def end() -> None:
        server.should_exit = True
        thread.join(timeout=120)

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
        server.session.close()
        server.end()


@pytest.fixture(scope="session")
def _shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    running = _run(tmp_path_factory.mktemp("shared") / "cloud")
    yield running
    running.session.close()
    running.end()


@pytest.fixture
def server(_shared_server: RunningServer, until: Callable[..., None]) -> Iterator[RunningServer]:
    """A server with an empty folder: one for all tests, emptied after each."""
    # What was only for an answer is removed a moment after it.
    until(lambda: _shared_server.files() == [])
    yield _shared_server
    for resource_type, kind in product(
        ("image", "video", "raw"), ("upload", "private", "authenticated")
    ):
        if not _shared_server.files():
            return
        _shared_server.session.delete(
            f"{_shared_server.api}/resources/{resource_type}/{kind}",
            params={"all": "true"},
            auth=_shared_server.auth,
        )


@pytest.fixture(scope="session")
def film() -> Callable[..., bytes]:
    """Films two seconds of red, then green, at 10 frames a second, with a tone."""

    def filmed(
        kind: str = "mp4", size: tuple[int, int] = (160, 90), *, sound: bool = True,
        seconds: float = 2.0, rotation: int = 0,
    ) -> bytes:  # fmt: skip
        muxer, codec, sounds = {
            "mp4": ("mp4", "libx264", "aac"),
            "mov": ("mov", "libx264", "aac"),
            "webm": ("webm", "libvpx", "libopus"),
        }[kind]
        out = io.BytesIO()
        with av.open(out, "w", format=muxer) as container:
            video: Any = container.add_stream(codec, rate=10)
            video.width, video.height, video.pix_fmt = *size, "yuv420p"
            if rotation:
                video.set_display_rotation(rotation)
            audio: Any = None
            if sound:
                audio = container.add_stream(sounds, rate=48_000, layout="mono")
            count = round(seconds * 10)
            for number in range(count):
                colour = (220, 20, 20) if number < count / 2 else (20, 200, 20)
                picture = Image.new("RGB", size, colour)
                picture.paste((20, 20, 220), (0, 0, size[0] // 4, size[1] // 4))
                container.mux(video.encode(av.VideoFrame.from_image(picture)))
            container.mux(video.encode())
            if sound:
                container.mux(_tone(audio, seconds))
        return out.getvalue()

    return filmed


def _tone(stream: Any, seconds: float) -> list[Any]:
    kind = "flt" if stream.codec_context.name == "libopus" else "fltp"
    packets: list[Any] = []
    for start in range(0, round(seconds * 48_000), 960):
        wave = np.sin(np.arange(start, start + 960) / 20, dtype=np.float32) / 4
        frame = av.AudioFrame.from_ndarray(wave[None, :], format=kind, layout="mono")
        frame.sample_rate, frame.pts = 48_000, start
        packets += stream.encode(frame)
    return [*packets, *stream.encode()]


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
