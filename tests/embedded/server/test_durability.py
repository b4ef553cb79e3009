"""What survives kill -9, and what does not survive a half-received upload."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from media_toolkit.embedded.server.disk.blobs import Blobs, FolderInUseError

Draw = Callable[..., bytes]

PROGRAM = """
import json, socket, sys
from pathlib import Path
import uvicorn
from media_toolkit.embedded.server import ServerConfig, create_app

listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
url = f"http://127.0.0.1:{listener.getsockname()[1]}"
config = ServerConfig(Path(sys.argv[1]), "test-cloud", "key", "secret", url)
print(json.dumps(url), flush=True)
settings = uvicorn.Config(create_app(config), log_level="error", http="h11")
uvicorn.Server(settings).run(sockets=[listener])
"""


def test_every_answered_upload_survives_kill_9_byte_for_byte(
    tmp_path: Path, start_server: Callable[..., Any], draw: Draw, until: Callable[..., None]
) -> None:
    folder = tmp_path / "cloud"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    answered: dict[str, str] = {}
    try:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())
        pictures = [draw(64 + n, 48) for n in range(20)]

        def upload_for_ever(worker: int) -> None:
            for number in range(100_000):
                data = pictures[number % len(pictures)]
                name = f"{worker}-{number % 7}"
                try:
                    answer = requests.post(
                        f"{url}/v1_1/test-cloud/image/upload",
                        auth=("key", "secret"),
                        data={"public_id": name, "eager": "w_10"},
                        files={"file": ("a.png", data)},
                    )
                except requests.RequestException:
                    # Killed under way: nothing was answered, so either state is right.
                    answered.pop(name, None)
                    return
                assert answer.status_code == 200, answer.text
                answered[name] = hashlib.md5(data).hexdigest()

        threads = [threading.Thread(target=upload_for_ever, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        until(lambda: len(answered) >= 20 or not any(map(threading.Thread.is_alive, threads)))
        process.send_signal(signal.SIGKILL)
        for thread in threads:
            thread.join()
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    assert answered
    server = start_server(folder)
    for name, etag in answered.items():
        served = server.get(f"image/upload/{name}.png")
        assert hashlib.md5(served.content).hexdigest() == etag
    listed = server.admin("resources/image", max_results=500).json()["resources"]
    for one in listed:
        served = server.get(f"image/upload/{one['public_id']}.png")
        assert len(served.content) == one["bytes"]
    kept = [path for path in server.files() if "blobs" in path.parts]
    assert len(kept) == len(listed)
    assert [path for path in server.files() if "incoming" in path.parts] == []


def test_a_disk_that_is_full_is_said_and_what_was_stored_stays(tmp_path: Path, draw: Draw) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, 700_000))"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{limit}\n{PROGRAM}", str(tmp_path / "cloud")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[3],
    )

    def upload(data: bytes) -> requests.Response:
        return requests.post(
            f"{url}/v1_1/test-cloud/raw/upload",
            auth=("key", "secret"),
            data={"public_id": "one"},
            files={"file": ("a.bin", data)},
        )

    try:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())
        stored = upload(b"x" * 1_000).json()
        refused = upload(b"x" * 2_000_000)
        assert refused.status_code == 500
        assert "no room on the disk" in refused.json()["error"]["message"]
        assert requests.get(stored["secure_url"]).content == b"x" * 1_000
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_a_half_received_upload_leaves_nothing(server: Any, until: Callable[..., None]) -> None:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
        + os.urandom(2_000_000)
    )
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /v1_1/test-cloud/image/upload HTTP/1.1\r\nHost: x\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 9000000\r\n\r\n"
            + body
        )
        until(server.files)
    until(lambda: not server.files())
    assert server.admin("resources/image").json()["resources"] == []


def test_leftovers_of_a_crash_are_removed_at_start(
    tmp_path: Path, start_server: Callable[..., Any], draw: Draw
) -> None:
    folder = tmp_path / "cloud"
    server = start_server(folder)
    stored = server.upload(draw(), public_id="p", eager="w_10")
    kept = sorted(server.files())
    server.end()
    (folder / "incoming" / "half").write_bytes(b"half")
    (folder / "blobs" / "ab").mkdir(exist_ok=True)
    (folder / "blobs" / "ab" / ("ab" + "0" * 30)).write_bytes(b"no record")
    (folder / "derived" / ("cd" + "0" * 30)).mkdir()
    (folder / "derived" / ("cd" + "0" * 30) / "x.png").write_bytes(b"no blob")
    again = start_server(folder)
    assert sorted(again.files()) == kept
    assert again.admin("resources/image/upload/p").json()["asset_id"] == stored["asset_id"]


def test_a_folder_belongs_to_one_server_at_a_time(server: Any) -> None:
    with pytest.raises(FolderInUseError):
        Blobs(server.config.data_dir)
