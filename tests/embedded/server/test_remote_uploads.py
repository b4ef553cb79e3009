"""Uploads by URL, and the addresses that they may not reach."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from media_toolkit.embedded.server.upload.remote import is_public

Draw = Callable[..., bytes]


@pytest.fixture
def website(draw: Draw) -> Iterator[str]:
    """A web server on loopback with a picture, redirects and failures."""
    picture = draw(50, 40)

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/loop":
                self.answer(302, b"", Location="/loop")
            elif path == "/moved":
                self.answer(301, b"", Location="/tulip%20red.png")
            elif path == "/tulip%20red.png":
                self.answer(200, picture)
            elif path == "/short":
                self.answer(200, picture, **{"Content-Length": str(len(picture) + 10)})
            elif path == "/denied":
                self.answer(403, b"no")
            else:
                self.answer(404, b"no")

        def answer(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as pages:
        thread = threading.Thread(target=pages.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{pages.server_port}"
        pages.shutdown()
        thread.join()


def post(server: Any, url: str, **fields: str) -> Any:
    return server.session.post(
        f"{server.api}/image/upload", data=server.signed(**fields) | {"file": url}
    )


def test_a_picture_is_fetched_through_redirects(
    start_server: Callable[..., Any], website: str, draw: Draw
) -> None:
    server = start_server(allow_private_urls=True)
    answer = post(server, f"{website}/moved", use_filename="1").json()
    assert (answer["width"], answer["original_filename"]) == (50, "moved")
    named = post(server, f"{website}/tulip%20red.png?size=1").json()
    assert named["original_filename"] == "tulip red"
    assert server.session.get(named["url"]).content == draw(50, 40)


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/none.png", 404, "Resource not found - "),
        ("/denied", 400, "403"),
        ("/loop", 400, "too many redirects"),
        ("/short", 400, "Error in loading "),
    ],
)
def test_a_failure_is_told_and_leaves_nothing(
    start_server: Callable[..., Any], website: str, path: str, status: int, message: str
) -> None:
    server = start_server(allow_private_urls=True)
    answer = post(server, website + path)
    assert answer.status_code == status
    assert message in answer.json()["error"]["message"]
    assert server.files() == []


def test_loopback_and_private_addresses_are_refused(server: Any, website: str) -> None:
    port = website.rpartition(":")[2]
    for url in (
        f"{website}/tulip%20red.png",
        f"http://localhost:{port}/tulip%20red.png",
        f"http://[::1]:{port}/",
        f"http://[::ffff:127.0.0.1]:{port}/",
        f"http://2130706433:{port}/",
        "http://10.0.0.1/",
        "http://192.168.1.1/",
        "http://169.254.169.254/latest/meta-data",
    ):
        answer = post(server, url)
        assert answer.status_code == 400, url
        assert "private or loopback" in answer.json()["error"]["message"], url
    assert server.files() == []


@pytest.mark.parametrize(
    "url",
    ["ftp://example.com/a.png", "s3://bucket/a.png", "http://", "http://user:pw@10.0.0.1/a",
     "http://127.0.0.1:99999/"],
)  # fmt: skip
def test_a_url_that_cannot_be_fetched_is_refused(server: Any, url: str) -> None:
    assert post(server, url).status_code == 400


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:10.0.0.1", False),
        ("2002:7f00:1::", False),
        ("64:ff9b::7f00:1", False),
    ],
)
def test_only_addresses_of_the_open_internet_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public
