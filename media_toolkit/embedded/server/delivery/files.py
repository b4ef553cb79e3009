"""Answering with a file from disk: whole, one range of it, or that it has not changed."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Mapping
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from typing import IO

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

_PIECE = 512 * 1024
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


async def file_response(
    request: Request,
    path: Path,
    *,
    etag: str,
    modified: int,
    media_type: str,
    headers: Mapping[str, str],
) -> Response:
    """The file, with ETag, conditional requests (304) and single ranges (206, 416).

    `modified` is in unix seconds. Raises FileNotFoundError when the file is gone.
    """
    known = {
        "ETag": f'"{etag}"',
        "Last-Modified": formatdate(modified, usegmt=True),
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
        **headers,
    }
    if _is_unchanged(request, f'"{etag}"', modified):
        return Response(status_code=304, headers=known)
    file, size, first = await run_in_threadpool(_open, path)
    wanted = _wanted_range(request, size, known["ETag"], known["Last-Modified"])
    if wanted == ():
        await run_in_threadpool(file.close)
        known["Content-Range"] = f"bytes */{size}"
        return Response(status_code=416, headers=known)
    start, end = wanted or (0, size)
    status = 206 if wanted else 200
    if wanted:
        known["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    known["Content-Length"] = str(end - start)
    if request.method == "HEAD" or size <= len(first):
        await run_in_threadpool(file.close)
        body = b"" if request.method == "HEAD" else first[start:end]
        return Response(body, status, headers=known, media_type=media_type)
    return StreamingResponse(
        _pieces(file, start, end), status, headers=known, media_type=media_type
    )


def _open(path: Path) -> tuple[IO[bytes], int, bytes]:
    """The open file, its size, and its first piece, which for most files is all of it."""
    file = path.open("rb")
    try:
        return file, os.fstat(file.fileno()).st_size, file.read(_PIECE)
    except BaseException:
        file.close()
        raise


async def _pieces(file: IO[bytes], start: int, end: int) -> AsyncIterator[bytes]:
    try:
        await run_in_threadpool(file.seek, start)
        while start < end:
            piece = await run_in_threadpool(file.read, min(_PIECE, end - start))
            if not piece:
                return
            start += len(piece)
            yield piece
    finally:
        file.close()


def _is_unchanged(request: Request, etag: str, modified: int) -> bool:
    given = request.headers.get("if-none-match")
    if given is not None:
        tags = {tag.strip().removeprefix("W/") for tag in given.split(",")}
        return etag in tags or "*" in tags
    since = request.headers.get("if-modified-since")
    if since is None:
        return False
    try:
        return parsedate_to_datetime(since).timestamp() >= modified
    except (ValueError, OverflowError):
        return False


def _wanted_range(
    request: Request, size: int, etag: str, date: str
) -> tuple[int, int] | tuple[()] | None:
    """(start, end) of the one range asked for, None for the whole file, () for none possible."""
    header = request.headers.get("range")
    if header is None or request.method == "HEAD":
        return None
    # A date counts only when it is the very one that was sent (RFC 9110, 13.1.5).
    if request.headers.get("if-range", etag) not in (etag, date):
        return None
    match = _RANGE.fullmatch(header.strip().replace(" ", ""))
    if match is None or match.group(1) == match.group(2) == "":
        return None
    first, last = (_number(digits) for digits in match.groups())
    if first is None:
        return (max(0, size - (last or 0)), size) if last and size else ()
    if last is not None and last < first:
        return None
    end = size if last is None else min(size, last + 1)
    return (first, end) if first < end else ()


def _number(digits: str) -> int | None:
    """None for no digits. Python refuses to read thousands of them, and no file is that large."""
    return int(digits.lstrip("0")[:19] or "0") if digits else None
