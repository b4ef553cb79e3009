"""The HTTP API beside a Flask program after Neon's guide, on one database in one run.

    pip install -r benchmarks/requirements.txt
    python benchmarks/web.py [--rounds 5] [--requests 400]

Both answer over kept connections to the same client. The Flask program is `flask_guide.py`: it
signs the timestamp and inserts four columns, with a connection a request and nothing checked.
Ours asks who calls, writes an intent, verifies the answer's signature, holds it against what was
signed, upserts every column and settles the intent. Writes its part of `benchmarks/results.md`.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from report import write_part

import media_toolkit as mt
from media_toolkit.cloud.signing import response_signature
from media_toolkit.embedded.stack import EmbeddedStack

HERE = Path(__file__).resolve().parent
CONNECTIONS = (1, 16)
_numbers = itertools.count()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def running(command: Sequence[str], port: int, environment: dict[str, str]) -> Iterator[int]:
    """A program that answers on `port`, ended by its id."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            list(command), cwd=HERE.parent, env=os.environ | environment, stdout=log, stderr=log
        )
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/generate-signature")
                    break
                except OSError:
                    if time.monotonic() > deadline or process.poll() is not None:
                        log.seek(0)
                        raise RuntimeError(log.read().decode()) from None
                    time.sleep(0.1)
            yield port
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


async def exchange(port: int, requests: Iterator[bytes]) -> None:
    """Send prepared requests one after the other, on one connection where the server keeps it."""
    reader = writer = None
    for request in requests:
        if writer is None or reader is None:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        if not head.startswith((b"http/1.1 200", b"http/1.1 201")):
            raise RuntimeError((head + body).decode("latin-1"))
        if b"connection: close" in head:
            writer.close()
            reader = writer = None
    if writer is not None:
        writer.close()


def rate(port: int, requests: Sequence[bytes], connections: int) -> float:
    """Requests per second, all connections together."""
    shared = iter(requests)

    async def run() -> None:
        await asyncio.gather(*(exchange(port, shared) for _ in range(connections)))

    start = time.perf_counter()
    asyncio.run(run())
    return len(requests) / (time.perf_counter() - start)


def saves(kit: mt.MediaToolkit, count: int) -> list[bytes]:
    """Requests that save answers as Cloudinary gives them, each of another upload."""
    account, version = kit.account, int(time.time())
    secret = account.api_secret.get_secret_value()
    made = []
    for _ in range(count):
        public_id = f"bench{next(_numbers):08}{os.urandom(4).hex()}"
        url = (
            f"{account.upload_prefix}/{account.cloud_name}/image/upload/v{version}/{public_id}.jpg"
        )
        body: dict[str, Any] = {
            "asset_id": os.urandom(16).hex(),
            "public_id": public_id,
            "version": version,
            "signature": response_signature(public_id, version, secret, 40),
            "width": 1600,
            "height": 1200,
            "format": "jpg",
            "resource_type": "image",
            "type": "upload",
            "created_at": "2026-11-24T10:00:00Z",
            "tags": [],
            "bytes": 345_678,
            "etag": os.urandom(16).hex(),
            "url": url,
            "secure_url": url,
            "folder": "",
            "original_filename": "photo",
        }
        made.append(request("POST", "/save-metadata", json.dumps(body).encode()))
    return made


def request(method: str, path: str, body: bytes = b"") -> bytes:
    return (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def measure(
    kit: mt.MediaToolkit, ports: dict[str, int], rounds: int, count: int
) -> dict[tuple[str, str, int], float]:
    """(what, whose, connections) → median rate; the two take turns round by round."""
    rates: dict[tuple[str, str, int], list[float]] = {}
    for _ in range(rounds):
        for connections in CONNECTIONS:
            for whose, port in ports.items():
                # Ours finds an open intent for each save, as after as many signatures.
                signatures = [request("GET", "/generate-signature")] * count
                key = ("signatures", whose, connections)
                rates.setdefault(key, []).append(rate(port, signatures, connections))
                key = ("saves", whose, connections)
                rates.setdefault(key, []).append(rate(port, saves(kit, count), connections))
    return {key: statistics.median(values) for key, values in rates.items()}


def table(rates: dict[tuple[str, str, int], float]) -> str:
    lines = ["| what, per second | connections | ours | Flask | ratio |", "|---|---|---|---|---|"]
    for what in ("signatures", "saves"):
        for connections in CONNECTIONS:
            ours, theirs = (rates[what, whose, connections] for whose in ("ours", "Flask"))
            lines.append(
                f"| {what} | {connections} | {ours:,.0f} | {theirs:,.0f} | {ours / theirs:.2f} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=400)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="media-toolkit-benchmark-") as home:
        settings = mt.Settings(home=Path(home), user_id="benchmark")
        stack = EmbeddedStack.join(settings)
        services = {
            "CLOUDINARY_URL": stack.cloudinary_url,
            "DATABASE_URL": stack.database_url,
            "MEDIA_TOOLKIT_USER": "benchmark",
            "MEDIA_TOOLKIT_AUTH": "none",
            "MEDIA_TOOLKIT_RATE_LIMIT": "100000000",
        }
        ours, theirs = free_port(), free_port()
        app = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(ours)]
        flask = [sys.executable, str(HERE / "flask_guide.py"), str(theirs)]
        with (
            mt.connect(settings) as kit,
            running([*app, "--server.address", "127.0.0.1"], ours, services),
            running(flask, theirs, services),
        ):
            ports = {"ours": ours, "Flask": theirs}
            measure(kit, ports, 1, 50)
            text = table(measure(kit, ports, given.rounds, given.requests))
        assert stack.end_if_unused()
    write_part("The HTTP API", "python benchmarks/web.py", text)
    print(text)


if __name__ == "__main__":
    main()
