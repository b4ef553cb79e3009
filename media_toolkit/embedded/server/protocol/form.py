"""Reading a request's body: multipart, urlencoded or JSON, with the file streamed to disk."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from ..disk.blobs import IncomingFile
from ..errors import ApiError

MAX_FIELDS = 1000
MAX_FORM_BYTES = 16 * 1024 * 1024
MAX_FILE_BYTES = 4 * 1024**3
_MAX_BODY_BYTES = 96 * 1024 * 1024
_PART_COST = 1024
_DATA_URI = re.compile(rb"data:([\w.+-]+/[\w.+-]+)?(;[\w.+-]+=[^;,]*)*(;base64)?,", re.IGNORECASE)


@dataclass
class Form:
    """The fields of a request; a name sent as `name[]` holds a list and loses its brackets.

    `file` is what was sent as a file part, or the text of a `file` field that is no URL.
    `filename` is the one that the client named, or None.
    """

    fields: dict[str, str | list[str]] = field(default_factory=dict)
    file: IncomingFile | None = None
    filename: str | None = None

    def add(self, name: str, value: str) -> None:
        """Take one field; a repeated plain name keeps its last value."""
        if match := re.fullmatch(r"([^\[\]]+)\[\d*\]", name):
            many = self.fields.setdefault(match.group(1), [])
            if isinstance(many, list):
                many.append(value)
            else:
                self.fields[match.group(1)] = [many, value]
        else:
            self.fields[name] = value
        if len(self.fields) > MAX_FIELDS:
            raise ApiError(400, "Too many parameters")

    def text(self, name: str) -> str:
        """The field as one string, a list joined by commas; empty when absent."""
        value = self.fields.get(name, "")
        return ",".join(value) if isinstance(value, list) else value

    def many(self, name: str) -> list[str]:
        """The field as a list; a plain string is split at commas."""
        value = self.fields.get(name, [])
        return value if isinstance(value, list) else [part for part in value.split(",") if part]


@asynccontextmanager
async def received(request: Request, incoming: Callable[[], IncomingFile]) -> AsyncIterator[Form]:
    """The request's form; what it put on disk is removed at the end unless it was adopted.

    Raises ApiError 400 for a body that cannot be read.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    form = Form()
    try:
        if kind == b"multipart/form-data":
            boundary = options.get(b"boundary")
            if not boundary:
                raise ApiError(400, "Missing multipart boundary")
            await _Multipart(form, incoming, boundary).read(request)
        else:
            body = await _small_body(request)
            if kind == b"application/json" and body.strip():
                add_json(form, body)
            elif body:
                _add_urlencoded(form, body)
        yield form
    finally:
        if form.file is not None:
            await run_in_threadpool(form.file.discard)


class _Multipart:
    """Feeds a multipart body to the parser and its parts into a Form."""

    def __init__(self, form: Form, incoming: Callable[[], IncomingFile], boundary: bytes) -> None:
        self._form = form
        self._incoming = incoming
        self._header_name = b""
        self._header_value = b""
        self._headers: dict[bytes, bytes] = {}
        self._name = ""
        self._value: bytearray | None = None
        self._ended = False
        self._in_memory = 0
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begin,
                "on_header_field": self._on_header_name,
                "on_header_value": self._on_header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._part_data,
                "on_part_end": self._part_end,
                "on_end": self._end,
            },
        )

    async def read(self, request: Request) -> None:
        async for chunk in request.stream():
            try:
                self._parser.write(chunk)
            except ValueError as error:
                raise ApiError(400, "Malformed multipart body") from error
            file = self._form.file
            if file is not None and file.is_full:
                await run_in_threadpool(file.flush)
        if not self._ended:
            raise ApiError(400, "Malformed multipart body: it ends too early")

    def _part_begin(self) -> None:
        self._bound(_PART_COST)
        self._headers = {}
        self._name = ""
        self._value = None

    def _on_header_name(self, data: bytes, start: int, end: int) -> None:
        self._bound(end - start)
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._bound(end - start)
        self._header_value += data[start:end]

    def _bound(self, growth: int) -> None:
        """Count what stays in memory, that is everything but the file; ApiError past a limit."""
        self._in_memory += growth
        if self._in_memory > MAX_FORM_BYTES:
            raise ApiError(400, "The request's parameters are too long")

    def _header_end(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._name = _decoded(options.get(b"name", b""))
        filename = options.get(b"filename")
        if self._name == "file":
            if self._form.file is not None:
                raise ApiError(400, "More than one file parameter")
            self._form.file = self._incoming()
            self._form.filename = None if filename is None else _part_filename(filename)
        else:
            self._value = bytearray()

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._value is None:
            assert self._form.file is not None
            self._form.file.write(data[start:end])
            if self._form.file.size > MAX_FILE_BYTES:
                raise ApiError(
                    400,
                    f"File size too large. Got more than {MAX_FILE_BYTES}. "
                    f"Maximum is {MAX_FILE_BYTES}.",
                )
            return
        self._bound(end - start)
        self._value += data[start:end]

    def _part_end(self) -> None:
        if self._value is not None:
            self._form.add(self._name, _decoded(bytes(self._value)))

    def _end(self) -> None:
        self._ended = True


def _part_filename(raw: bytes) -> str:
    """A file part's name: browsers write quotes and line ends as `%22`, `%0D` and `%0A`.

    https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data
    """
    name = _decoded(raw)
    for written, meant in (("%22", '"'), ("%0D", "\r"), ("%0A", "\n")):
        name = name.replace(written, meant)
    return name


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


async def _small_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY_BYTES:
            raise ApiError(413, "Request body is too large; send the file as multipart/form-data")
    return bytes(body)


def _add_urlencoded(form: Form, body: bytes) -> None:
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except (UnicodeDecodeError, ValueError) as error:
        raise ApiError(400, "Malformed request body") from error
    for name, value in pairs:
        form.add(name, value)


def add_json(form: Form, body: bytes) -> None:
    """Take the fields of a JSON object; ApiError 400 when it is none."""
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "Malformed JSON body") from error
    if not isinstance(values, dict):
        raise ApiError(400, "Malformed JSON body: an object is needed")
    for name, value in values.items():
        if isinstance(value, list):
            form.fields[name] = [_json_text(item) for item in value]
        elif value is not None:
            form.fields[name] = _json_text(value)


def _json_text(value: Any) -> str:
    """One value as a form would send it; a lone surrogate, which no UTF-8 form can hold, is
    refused."""
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        text = value if isinstance(value, str) else json.dumps(value)
        text.encode()
    except UnicodeEncodeError as error:
        raise ApiError(400, "Malformed JSON body: not valid Unicode") from error
    except RecursionError as error:
        raise ApiError(400, "Malformed JSON body: nested too deeply") from error
    return text


def is_data_uri(head: bytes) -> bool:
    """Whether a `file` text starts as a data URI does."""
    return _DATA_URI.match(head) is not None


def decode_data_uri(source: IncomingFile, target: IncomingFile) -> str:
    """Decode the data URI in one file into another, a piece at a time; blocks.

    Line breaks and spaces inside the base64 are allowed. Returns the URI's media type.
    Raises ApiError 400 when it is not valid base64.
    """
    with source.path.open("rb") as file:
        match = _DATA_URI.match(file.read(512))
        if match is None or not match.group(3):
            raise ApiError(400, "Invalid data URI: base64 is needed")
        file.seek(match.end())
        rest = b""
        while piece := file.read(256 * 1024):
            text = rest + re.sub(rb"\s", b"", piece)
            cut = len(text) - len(text) % 4
            rest = text[cut:]
            _decode_base64(text[:cut], target)
        if rest:
            _decode_base64(rest + b"=" * (-len(rest) % 4), target)
    target.finish()
    return (match.group(1) or b"").decode("ascii")


def _decode_base64(text: bytes, target: IncomingFile) -> None:
    try:
        target.write(base64.b64decode(text, validate=True))
    except binascii.Error as error:
        raise ApiError(400, "Invalid data URI: not valid base64") from error
    target.flush()
