"""The embedded Cloudinary server beside thumbor and plain Pillow, in one run.

    python benchmarks/embedded.py [--thumbor PATH] [--rounds 5]

Rates are per second of processor time of the process that does the work (`per core`) and per
second on the clock. Writes its part of `benchmarks/results.md`.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import itertools
import os
import random
import signal
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from cloudinary.utils import api_sign_request
from PIL import Image, ImageOps
from report import write_part

import media_toolkit as mt
from media_toolkit.embedded.stack import EmbeddedStack, StackFiles

SAMPLE = Path(mt.__file__).resolve().parents[1] / "sample_media"
SIDE = 300
UPLOAD_BYTES = 50_000


@dataclass(frozen=True)
class Rate:
    """How often something was done, in seconds of a processor and of the clock."""

    count: int
    processor_s: float
    clock_s: float

    @property
    def per_core(self) -> float:
        return self.count / max(self.processor_s, 1e-9)

    @property
    def per_second(self) -> float:
        return self.count / self.clock_s


@contextmanager
def timed(process: psutil.Process, count: int, results: list[Rate]) -> Iterator[None]:
    """Add the rate of what happens inside to `results`."""
    before, start = sum(process.cpu_times()[:2]), time.perf_counter()
    yield
    spent = sum(process.cpu_times()[:2]) - before
    results.append(Rate(count, spent, time.perf_counter() - start))


def photographs(folder: Path, count: int) -> list[Path]:
    """Different 12-megapixel JPEGs, of the detail of a photograph."""
    chance = random.Random(12)
    with Image.open(SAMPLE / "hubble_deep_field.jpg") as image:
        large = image.convert("RGB").resize((4000, 3000), Image.Resampling.BICUBIC)
    noise = Image.effect_noise(large.size, 24).convert("RGB")
    large = Image.blend(large, noise, 0.12)
    paths = []
    for number in range(count):
        picture = large.copy()
        stain = Image.new("RGB", (200, 200), tuple(chance.randrange(256) for _ in range(3)))
        picture.paste(stain, (chance.randrange(3800), chance.randrange(2800)))
        paths.append(folder / f"photograph_{number:02}.jpg")
        picture.save(paths[-1], quality=88)
    return paths


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return bytes(answer.read())


def plain_pillow(path: Path) -> None:
    with Image.open(path) as image:
        ImageOps.fit(image, (SIDE, SIDE)).save(io.BytesIO(), "JPEG", quality=80)


def bare_decoding(path: Path) -> None:
    with Image.open(path) as image:
        image.draft("RGB", (SIDE * 2, SIDE * 2))
        image.load()


@contextmanager
def thumbor(program: str, folder: Path) -> Iterator[tuple[psutil.Process, str]]:
    """thumbor without its caches, reading from `folder`; ended by its id."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    configuration = folder / "thumbor.conf"
    configuration.write_text(
        "LOADER = 'thumbor.loaders.file_loader'\n"
        f"FILE_LOADER_ROOT_PATH = {str(folder)!r}\n"
        "STORAGE = 'thumbor.storages.no_storage'\n"
        "RESULT_STORAGE = None\nQUALITY = 80\nMAX_PIXELS = 1e9\n"
    )
    command = [program, "-p", str(port), "-i", "127.0.0.1", "-c", str(configuration)]
    with (folder / "thumbor.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 30
        while True:
            try:
                get(f"{url}/healthcheck")
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        yield psutil.Process(process.pid), url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def thumbnails(
    kit: mt.MediaToolkit, server: psutil.Process, peer: str | None, rounds: int
) -> list[tuple[str, list[Rate]]]:
    """First-time 300 × 300 fills of every way, interleaved round by round."""
    own: list[Rate] = []
    theirs: list[Rate] = []
    plain: list[Rate] = []
    bare: list[Rate] = []
    this = psutil.Process()
    with tempfile.TemporaryDirectory() as folder:
        paths = photographs(Path(folder), 8)
        assets = [kit.upload(path, public_id=path.stem) for path in paths]

        def one_round(number: int, url: str | None, process: psutil.Process | None) -> None:
            # Another quality each round: a variant that nobody has asked for yet.
            urls = [
                kit.url(asset, width=SIDE, height=SIDE, crop="fill", quality=80 - number)
                for asset in assets
            ]
            with timed(server, len(urls), own):
                for address in urls:
                    get(address)
            for way, results in ((plain_pillow, plain), (bare_decoding, bare)):
                with timed(this, len(paths), results):
                    for path in paths:
                        way(path)
            if url is not None and process is not None:
                with timed(process, len(paths), theirs):
                    for path in paths:
                        get(f"{url}/unsafe/{SIDE}x{SIDE}/filters:format(jpeg)/{path.name}")

        if peer is None:
            for number in range(rounds):
                one_round(number, None, None)
        else:
            with thumbor(peer, Path(folder)) as (process, url):
                for number in range(rounds):
                    one_round(number, url, process)
    return [
        ("embedded server, first time", own),
        ("plain Pillow: open, fit, save", plain),
        ("bare decoding at reduced size (limit)", bare),
        *([("thumbor over HTTP", theirs)] if theirs else []),
    ]


async def exchange(host: str, port: int, requests: Iterator[bytes]) -> None:
    """Send prepared requests over one kept connection, each after the last one's answer."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        for request in requests:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode("latin-1"))
    finally:
        writer.close()


def together(port: int, requests: Sequence[bytes], connections: int) -> None:
    """Send all requests over that many connections at once."""
    shared = iter(requests)

    async def run() -> None:
        await asyncio.gather(*(exchange("127.0.0.1", port, shared) for _ in range(connections)))

    asyncio.run(run())


def upload_request(kit: mt.MediaToolkit, content: bytes, public_id: str) -> bytes:
    account = kit.account
    fields = {"public_id": public_id, "timestamp": str(int(time.time()))}
    signature = api_sign_request(fields, account.api_secret.get_secret_value())
    boundary = "benchmark-of-the-embedded-server"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in {**fields, "api_key": account.api_key, "signature": signature}.items()
    ]
    head = "".join(parts) + (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return (
        f"POST /v1_1/{account.cloud_name}/image/upload HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: multipart/form-data; boundary={boundary}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def pictures_of(size: int, count: int) -> list[bytes]:
    """Different JPEGs of about `size` bytes."""
    with Image.open(SAMPLE / "rocket.jpg") as image:
        base = image.convert("RGB").resize((480, 320))
    made = []
    for number in range(count):
        picture = base.copy()
        picture.putpixel((number % 480, number // 480), (255, 0, 0))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=85, comment=f"{number}")
        picture_bytes = buffer.getvalue()
        # What follows a JPEG's end is read by nobody, but stored and hashed.
        made.append(picture_bytes + os.urandom(max(0, size - len(picture_bytes))))
    return made


def uploads(
    kit: mt.MediaToolkit, server: psutil.Process, port: int, rounds: int
) -> list[tuple[str, list[Rate]]]:
    contents = pictures_of(UPLOAD_BYTES, 300)
    numbers = itertools.count()
    results: list[tuple[str, list[Rate]]] = []
    for connections in (1, 8, 50):
        rates: list[Rate] = []
        for _ in range(rounds):
            requests = [upload_request(kit, c, f"upload_{next(numbers)}") for c in contents]
            with timed(server, len(requests), rates):
                together(port, requests, connections)
        results.append((f"uploads of 50 KB, {connections} connections", rates))
    return results


def cached(
    kit: mt.MediaToolkit, server: psutil.Process, port: int, rounds: int
) -> list[tuple[str, list[Rate]]]:
    asset = kit.asset("photograph_00")
    path = kit.url(asset, width=SIDE, height=SIDE, crop="fill", quality=80).split(str(port), 1)[1]
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    rates: list[Rate] = []
    for _ in range(rounds):
        with timed(server, 1000, rates):
            together(port, [request] * 1000, 8)
    return [("cached 300 × 300 deliveries, 8 connections", rates)]


def median(rates: Sequence[Rate], of: Callable[[Rate], float]) -> float:
    return statistics.median(of(rate) for rate in rates)


def table(measured: Sequence[tuple[str, list[Rate]]]) -> str:
    lines = ["| what | per second and core | per second on the clock |", "|---|---|---|"]
    for name, rates in measured:
        core, clock = median(rates, lambda r: r.per_core), median(rates, lambda r: r.per_second)
        lines.append(f"| {name} | {core:,.1f} | {clock:,.1f} |")
    return "\n".join(lines)


def ratios(measured: Sequence[tuple[str, list[Rate]]]) -> str:
    rate = {name: median(rates, lambda r: r.per_core) for name, rates in measured}
    own = rate["embedded server, first time"]
    lines = [
        f"- first time against {name}: {own / rate[name]:.2f}"
        for name in rate
        if name.startswith(("plain", "bare", "thumbor"))
    ]
    clock = {name: median(rates, lambda r: r.per_second) for name, rates in measured}
    hit = clock["cached 300 × 300 deliveries, 8 connections"]
    lines.append(f"- cached against first time: {hit / clock['embedded server, first time']:.0f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--thumbor", help="thumbor's program, of a virtual environment of its own")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="media-toolkit-benchmark-") as home:
        settings = mt.Settings(home=Path(home), user_id="benchmark")
        with mt.connect(settings) as kit:
            server = psutil.Process(int(StackFiles(Path(home)).read_state()["pid"]))
            at_rest = server.memory_info().rss
            port = int(kit.account.upload_prefix.rsplit(":", 1)[1])
            measured = thumbnails(kit, server, given.thumbor, given.rounds)
            measured += cached(kit, server, port, given.rounds)
            measured += uploads(kit, server, port, given.rounds)
            memory = (
                f"{at_rest / 1e6:.0f} MB at rest, {server.memory_info().rss / 1e6:.0f} MB after"
            )
        assert EmbeddedStack.join(settings).end_if_unused()
    text = f"{table(measured)}\n\n{ratios(measured)}\n- memory of the server: {memory}"
    write_part("The embedded server", "python benchmarks/embedded.py --thumbor PATH", text)
    print(text)


if __name__ == "__main__":
    main()
