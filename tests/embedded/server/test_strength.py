"""Large and hostile uploads: bounded memory, nothing left behind, and the server lives."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from PIL import Image

Draw = Callable[..., bytes]
MB = 1024 * 1024

PROGRAM = """
import json, socket, sys
from pathlib import Path
import uvicorn
from media_toolkit.embedded.server import ServerConfig, create_app

listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
listener.bind(("127.0.0.1", 0))
listener.listen()
url = f"http://127.0.0.1:{listener.getsockname()[1]}"
config = ServerConfig(Path(sys.argv[1]), "test-cloud", "key", "secret", url)
print(json.dumps(url), flush=True)
settings = uvicorn.Config(create_app(config), log_level="error", http="h11")
uvicorn.Server(settings).run(sockets=[listener])
"""


class Process:
    """A server in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
        )
        assert self.process.stdout is not None
        self.api = json.loads(self.process.stdout.readline()) + "/v1_1/test-cloud"

    def post(self, kind: str, **options: Any) -> requests.Response:
        return requests.post(f"{self.api}/{kind}/upload", auth=("key", "secret"), **options)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    process = Process(tmp_path / "cloud")
    yield process
    if process.process.poll() is None:
        process.kill()


def multipart(size: int, piece: bytes) -> Iterator[bytes]:
    """A form with a file of that size, made while it is sent."""
    yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="big.bin"\r\n\r\n'
    for _ in range(size // len(piece)):
        yield piece
    yield b"\r\n--x--\r\n"


def test_a_large_upload_is_streamed_to_disk(process: Process) -> None:
    size, piece = 256 * MB, random.Random(1).randbytes(MB)
    assert process.post("raw", files={"file": ("a.bin", b"warm")}).status_code == 200
    server = psutil.Process(process.process.pid)
    before = peak = server.memory_info().rss
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, server.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    answer = process.post(
        "raw",
        data=multipart(size, piece),
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )
    done.set()
    watcher.join()
    assert answer.json()["bytes"] == size
    expected = hashlib.md5()
    for _ in range(size // MB):
        expected.update(piece)
    assert answer.json()["etag"] == expected.hexdigest()
    assert peak - before < 64 * MB


def test_kill_9_in_the_middle_of_everything_leaves_what_was_answered(
    process: Process,
    tmp_path: Path,
    start_server: Callable[..., Any],
    draw: Draw,
    until: Callable[..., None],
) -> None:
    answered: dict[str, str] = {}
    data = os.urandom(11 * MB)

    def chunked(worker: int) -> None:
        for number in range(1000):
            name = f"c{worker}-{number}"
            for start, end in ((0, 6 * MB), (6 * MB, len(data))):
                try:
                    answer = process.post(
                        "raw",
                        data={"public_id": name},
                        files={"file": ("a.bin", data[start:end])},
                        headers={
                            "X-Unique-Upload-Id": name,
                            "Content-Range": f"bytes {start}-{end - 1}/{len(data)}",
                        },
                    )
                except requests.RequestException:
                    return
            answered[name] = answer.json()["etag"]

    def renamed(worker: int) -> None:
        for number in range(1000):
            name = f"r{worker}-{number}"
            try:
                process.post(
                    "image",
                    data={"public_id": name, "backup": "1", "phash": "1", "async": "0"},
                    files={"file": ("a.png", draw(40 + number % 9, 40))},
                )
                requests.post(
                    f"{process.api}/image/rename",
                    auth=("key", "secret"),
                    data={"from_public_id": name, "to_public_id": "same", "overwrite": "1"},
                )
            except requests.RequestException:
                return

    threads = [
        threading.Thread(target=work, args=(n,)) for n in (1, 2) for work in (chunked, renamed)
    ]
    for thread in threads:
        thread.start()
    until(lambda: len(answered) >= 6)
    process.kill()
    for thread in threads:
        thread.join()
    server = start_server(tmp_path / "cloud")
    for name, etag in answered.items():
        assert hashlib.md5(server.get(f"raw/upload/{name}").content).hexdigest() == etag
    assert [path for path in server.files() if "incoming" in path.parts] == []


@pytest.mark.parametrize(
    "kind", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF", "ICO", "JPEG2000"]
)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_broken_files_of_every_format_never_break_the_server(
    server: Any, draw: Draw, kind: str
) -> None:
    good = draw(48, 48, kind)
    dice = random.Random(kind)
    for _ in range(25):
        data = bytearray(good[: dice.randrange(8, len(good))] if dice.random() < 0.3 else good)
        for _ in range(dice.randrange(1, 12)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        answer = server.post_upload(
            bytes(data), "a.jpg", "image", phash="1", colors="1", image_metadata="1", eager="w_20"
        )
        assert answer.status_code in (200, 400), answer.text
        assert answer.json()
    assert server.admin("ping").status_code == 200


def test_hostile_exif_is_told_as_text_or_left_out(server: Any) -> None:
    image, exif, out = Image.new("RGB", (20, 20)), Image.Exif(), io.BytesIO()
    exif[0x010E] = "x" * 50_000
    exif[0x9286] = b"\xff\xfe\x00binary"
    exif[0x013B] = "<script>\x00\x01"
    image.save(out, "JPEG", exif=exif)
    facts = server.upload(out.getvalue(), "a.jpg", image_metadata="1")["image_metadata"]
    assert all(isinstance(value, str) and len(value) <= 1000 for value in facts.values())


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "..", "a/../../b", "/etc/passwd", "a/./b", "\x00", "a\nb", "%2e%2e"],
)
def test_no_name_leads_out_of_the_folder(server: Any, draw: Draw, name: str) -> None:
    for field in ("public_id", "folder", "asset_folder", "public_id_prefix"):
        answer = server.post_upload(draw(), **{field: name})
        assert answer.status_code in (200, 400)
        if answer.status_code == 200:
            assert ".." not in answer.json()["public_id"]
    stored = server.upload(draw(), "../../evil.png", use_filename="1", unique_filename="0")
    assert "/" not in stored["public_id"]
    folder = server.config.data_dir
    assert {path.parent.parent.name for path in server.files()} <= {"blobs", folder.name}


def test_huge_headers_and_endless_fields_are_refused(server: Any) -> None:
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=120) as connection:
        connection.sendall(b"POST /v1_1/test-cloud/image/upload HTTP/1.1\r\nX: " + b"a" * 200_000)
        assert b"400" in connection.recv(100)
    many = {f"field{number}": "x" for number in range(2000)}
    assert server.session.post(f"{server.api}/image/upload", data=many).status_code == 400
    long = {"context": "a=" + "x" * (17 * MB), "file": "x"}
    answer = server.session.post(f"{server.api}/image/upload", files={**long})
    assert answer.status_code == 400
    assert server.admin("ping").status_code == 200


@pytest.mark.parametrize("depth", [900, 990, 2000, 100_000])
def test_json_nested_without_end_is_refused(server: Any, depth: int) -> None:
    body = b'{"a":' * depth + b"1" + b"}" * depth
    answer = server.session.post(
        f"{server.api}/image/upload",
        data=body,
        auth=server.auth,
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 400
    assert server.admin("ping").status_code == 200


def test_an_upload_without_end_is_broken_off(
    start_server: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from media_toolkit.embedded.server.protocol import form

    monkeypatch.setattr(form, "MAX_FILE_BYTES", 20 * MB)
    server = start_server()
    answer = server.session.post(
        f"{server.api}/raw/upload",
        data=multipart(64 * MB, bytes(MB)),
        headers={"Content-Type": "multipart/form-data; boundary=x"},
        auth=server.auth,
    )
    assert answer.status_code == 400
    assert "File size too large" in answer.json()["error"]["message"]
    assert server.files() == []


def test_chunked_uploads_without_end_push_each_other_out(
    start_server: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from media_toolkit.embedded.server.protocol import chunks

    monkeypatch.setattr(chunks, "MAX_UPLOADS", 3)
    server = start_server()
    part = bytes(5 * MB)
    for number in range(8):
        answer = server.session.post(
            f"{server.api}/raw/upload",
            data=server.signed(),
            files={"file": ("a.bin", part)},
            headers={
                "X-Unique-Upload-Id": str(number), "Content-Range": f"bytes 0-{5 * MB - 1}/-1",
            },
        )  # fmt: skip
        assert answer.json()["done"] is False
    assert len(server.files()) == 3
