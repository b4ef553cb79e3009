"""Fetching a file by URL for an upload, without becoming a door into the private network."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
from urllib.parse import quote, urljoin, urlsplit

from ..disk.blobs import IncomingFile
from ..errors import ApiError

MAX_REDIRECTS = 5
MAX_BYTES = 2 * 1024**3
TIMEOUT_S = 30.0
MAX_SECONDS = 600.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PIECE = 256 * 1024


def fetch(url: str, target: IncomingFile, *, allow_private: bool) -> None:
    """Download `url` into `target` and finish it; blocks.

    Every address is checked after its name was resolved, and that same address is connected to,
    so a name cannot point elsewhere in between; redirects are checked in the same way.
    Raises ApiError: 404 for a remote 404, 400 for any other failure or a refused address.
    """
    current = url
    try:
        for _ in range(MAX_REDIRECTS + 1):
            location = _fetch_once(current, target, allow_private)
            if location is None:
                target.finish()
                return
            current = urljoin(current, location)
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise ApiError(400, f"Error in loading {url} - {_reason(error)}") from error
    raise ApiError(400, f"Error in loading {url} - too many redirects")


def _fetch_once(url: str, target: IncomingFile, allow_private: bool) -> str | None:
    """Read one answer into `target`, or return where it redirects to."""
    connection, path = _connect(url, allow_private)
    try:
        connection.request(
            "GET", path, headers={"User-Agent": "media-toolkit", "Accept-Encoding": "identity"}
        )
        response = connection.getresponse()
        location = response.getheader("location")
        if response.status in _REDIRECTS and location:
            return location
        if response.status == 404:
            raise ApiError(404, f"Resource not found - {url}")
        if response.status != 200:
            raise ApiError(
                400, f"Error in loading {url} - {response.status} {response.reason}".rstrip()
            )
        deadline = time.monotonic() + MAX_SECONDS
        while piece := response.read1(_PIECE):
            target.write(piece)
            target.flush()
            if target.size > MAX_BYTES:
                raise ApiError(400, f"File size too large. Got more than {MAX_BYTES} bytes")
            if time.monotonic() > deadline:
                raise ApiError(400, f"Error in loading {url} - it takes too long")
        length = response.getheader("content-length")
        if length is not None and length.isdigit() and int(length) != target.size:
            raise ApiError(400, f"Error in loading {url} - the answer was cut short")
        return None
    finally:
        connection.close()


def _connect(url: str, allow_private: bool) -> tuple[http.client.HTTPConnection, str]:
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise ApiError(400, f"Invalid URL for upload: {url}") from error
    host = parts.hostname
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        raise ApiError(400, f"Invalid URL for upload: {url}")
    addresses = _checked_addresses(url, host, port, allow_private)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = _PinnedHTTPSConnection(host, port, addresses)
    else:
        connection = _PinnedHTTPConnection(host, port, addresses)
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    if parts.query:
        path += "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
    return connection, path


def _checked_addresses(url: str, host: str, port: int, allow_private: bool) -> list[str]:
    addresses = [
        str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    ]
    if not allow_private and any(not is_public(address) for address in addresses):
        raise ApiError(400, f"Refused to load {url} - its address is private or loopback")
    return addresses


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open internet."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        embedded = parsed.ipv4_mapped or parsed.sixtofour
        if embedded is not None:
            parsed = embedded
        elif parsed in ipaddress.ip_network("64:ff9b::/96"):
            parsed = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
    return parsed.is_global and not parsed.is_multicast


def _reason(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "the host name is unknown"
    if isinstance(error, TimeoutError):
        return "the server did not answer in time"
    return str(error) or type(error).__name__


class _PinnedHTTPConnection(http.client.HTTPConnection):
    """Connects to the addresses that were checked; the name is still what the server is told."""

    def __init__(self, host: str, port: int, addresses: list[str]) -> None:
        super().__init__(host, port, timeout=TIMEOUT_S)
        self._addresses = addresses

    def connect(self) -> None:
        failure: OSError = ConnectionError("the host has no address")
        for address in self._addresses:
            try:
                self.sock = socket.create_connection((address, self.port), TIMEOUT_S)
                return
            except OSError as error:
                failure = error
        raise failure


class _PinnedHTTPSConnection(_PinnedHTTPConnection):
    def connect(self) -> None:
        super().connect()
        context = ssl.create_default_context()
        self.sock = context.wrap_socket(self.sock, server_hostname=self.host)
