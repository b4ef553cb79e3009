"""Uploads that arrive in parts: `X-Unique-Upload-Id` and `Content-Range: bytes a-b/total`.

https://cloudinary.com/documentation/upload_images#chunked_asset_upload
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers

from ..disk.blobs import Blobs, IncomingFile
from ..errors import ApiError
from .form import MAX_FILE_BYTES

MIN_PART_BYTES = 5 * 1024 * 1024
MAX_PARTS = 10_000
MAX_UPLOADS = 64
MAX_REMEMBERED = 256
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(-1|\*|\d{1,18})")
_COPY_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Part:
    """One part: bytes `start` to `end` (exclusive) of `total`, which may not be known yet."""

    upload_id: str
    start: int
    end: int
    total: int | None

    @property
    def is_last(self) -> bool:
        """Whether the file ends with this part."""
        return self.end == self.total

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole file."""
        return self.start == 0 and self.is_last


def part_of(headers: Headers) -> Part | None:
    """The part that a request carries, or None where it carries a whole file.

    Raises ApiError 400 for headers that contradict themselves.
    """
    given = headers.get("content-range")
    if given is None:
        return None
    match = _RANGE.fullmatch(given.strip())
    if match is None:
        raise ApiError(400, f"Invalid Content-Range - {given[:80]}")
    start, end = int(match.group(1)), int(match.group(2)) + 1
    total = int(match.group(3)) if match.group(3).isdigit() else None
    if end <= start or (total is not None and end > total):
        raise ApiError(400, f"Invalid Content-Range - {given[:80]}")
    if max(end, total or 0) > MAX_FILE_BYTES:
        raise too_large(max(end, total or 0))
    upload_id = headers.get("x-unique-upload-id", "").strip()
    part = Part(upload_id, start, end, total)
    if not upload_id and not part.is_whole:
        raise ApiError(400, "Missing X-Unique-Upload-Id header for a chunked upload")
    if len(upload_id) > 255:
        raise ApiError(400, "Invalid X-Unique-Upload-Id: 255 characters at most")
    return part


def too_large(size: int) -> ApiError:
    """The refusal of a file beyond the limit."""
    return ApiError(400, f"File size too large. Got {size}. Maximum is {MAX_FILE_BYTES}.")


@dataclass
class _Assembly:
    """A file under way: `held` are its bytes so far, as sorted ranges that do not touch."""

    path: Path
    total: int | None = None
    parts: int = 0
    held: list[tuple[int, int]] = field(default_factory=list)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    expiry: asyncio.TimerHandle | None = None
    is_gone: bool = False

    @property
    def size(self) -> int:
        return sum(end - start for start, end in self.held)

    def holds(self, start: int, end: int) -> bool:
        return any(first <= start and end <= last for first, last in self.held)

    def add(self, start: int, end: int) -> None:
        merged = [(start, end)]
        for first, last in self.held:
            if last < merged[0][0] or first > merged[0][1]:
                merged.append((first, last))
            else:
                merged[0] = (min(first, merged[0][0]), max(last, merged[0][1]))
        self.held = sorted(merged)


class ChunkedUploads:
    """The uploads in parts that are under way. For the event loop; nothing survives a restart.

    Parts come in any order, but the last one after all others. One that comes twice is taken
    once. An upload is given up when no part has come for `expiry_s` seconds, or when it is the
    oldest of too many or too large ones.
    """

    def __init__(self, blobs: Blobs, expiry_s: float) -> None:
        self._blobs = blobs
        self._expiry_s = expiry_s
        self._uploads: OrderedDict[str, _Assembly] = OrderedDict()
        self._answers: OrderedDict[Part, asyncio.Future[dict[str, Any]]] = OrderedDict()

    async def answered(self, part: Part) -> dict[str, Any] | None:
        """What was, or soon is, answered to this last part when its sender sends it again.

        None when it is new. Raises the ApiError that the upload ended with.
        """
        answer = self._answers.get(part)
        return None if answer is None else await asyncio.shield(answer)

    def remember(self, part: Part, answer: dict[str, Any] | ApiError | None) -> None:
        """Keep how an upload ended for a sender that may not have heard of it; None forgets."""
        future = self._answers.get(part)
        if future is None:
            return
        if isinstance(answer, dict):
            future.set_result(answer)
        else:
            future.set_exception(answer or ApiError(500, "Internal server error"))
            # Nobody may ever ask, and that is no mistake.
            future.exception()
        if answer is None:
            del self._answers[part]
        while len(self._answers) > MAX_REMEMBERED:
            self._answers.popitem(last=False)

    async def add(self, part: Part, file: IncomingFile) -> int | IncomingFile | None:
        """Take a part: how many bytes are there by now, or the whole file after the last part.

        None when the same last part came meanwhile: `answered` tells how that went.
        Raises ApiError 400 for a part that is too small, too much, or does not fit.
        """
        if file.size != part.end - part.start:
            raise ApiError(
                400, f"Content-Range does not match the part: {file.size} bytes were received"
            )
        if file.size < MIN_PART_BYTES and not part.is_last:
            raise ApiError(400, "All parts except EOF-chunk must be larger than 5mb")
        if part in self._answers:
            return None
        upload = self._upload(part.upload_id)
        async with upload.lock:
            if upload.is_gone and part in self._answers:
                return None
            if upload.is_gone:
                raise ApiError(400, f"Upload {part.upload_id} was given up: start it again")
            _check_fits(upload, part)
            if part.is_last and not _completes(upload, part):
                raise ApiError(
                    400, "The last part must be sent after all other parts of the upload"
                )
            if not upload.holds(part.start, part.end):
                await run_in_threadpool(_write, file.path, upload.path, part.start)
                upload.add(part.start, part.end)
                upload.parts += 1
            upload.total = part.total or upload.total
            if upload.size == upload.total and part.is_last:
                self._forget(part.upload_id, upload)
                self._answers[part] = asyncio.get_running_loop().create_future()
                return await run_in_threadpool(IncomingFile.of, upload.path)
            self._touch(part.upload_id, upload)
        self._make_room()
        return upload.size

    def close(self) -> None:
        """Give up everything that is under way."""
        for upload_id in list(self._uploads):
            self._give_up(upload_id)

    def _upload(self, upload_id: str) -> _Assembly:
        upload = self._uploads.get(upload_id)
        if upload is None:
            upload = self._uploads[upload_id] = _Assembly(self._blobs.scratch())
            self._touch(upload_id, upload)
        return upload

    def _touch(self, upload_id: str, upload: _Assembly) -> None:
        if upload.expiry is not None:
            upload.expiry.cancel()
        loop = asyncio.get_running_loop()
        upload.expiry = loop.call_later(self._expiry_s, self._give_up, upload_id)
        if upload_id in self._uploads:
            self._uploads.move_to_end(upload_id)

    def _make_room(self) -> None:
        """Give up the oldest uploads beyond the limits, but none that is at work."""
        for upload_id, upload in list(self._uploads.items())[:-1]:
            held = sum(one.size for one in self._uploads.values())
            if len(self._uploads) <= MAX_UPLOADS and held <= 2 * MAX_FILE_BYTES:
                return
            if not upload.lock.locked():
                self._give_up(upload_id)

    def _give_up(self, upload_id: str) -> None:
        upload = self._uploads.get(upload_id)
        if upload is None:
            return
        if upload.lock.locked():
            self._touch(upload_id, upload)
            return
        self._forget(upload_id, upload)
        upload.path.unlink(missing_ok=True)

    def _forget(self, upload_id: str, upload: _Assembly) -> None:
        upload.is_gone = True
        if upload.expiry is not None:
            upload.expiry.cancel()
        if self._uploads.get(upload_id) is upload:
            del self._uploads[upload_id]


def _check_fits(upload: _Assembly, part: Part) -> None:
    if upload.total is not None and part.total not in (None, upload.total):
        raise ApiError(400, f"Content-Range changes the total: it was {upload.total}")
    total = part.total or upload.total
    if total is not None and (part.end > total or (upload.held and upload.held[-1][1] > total)):
        raise ApiError(400, "Content-Range ends after the upload's total")
    if upload.parts >= MAX_PARTS:
        raise ApiError(400, f"Too many parts: at most {MAX_PARTS}")


def _completes(upload: _Assembly, part: Part) -> bool:
    others = _Assembly(upload.path, held=list(upload.held))
    others.add(part.start, part.end)
    return others.held == [(0, part.end)]


def _write(source: Path, target: Path, start: int) -> None:
    """Move a part to its place in the file; the first one becomes the file."""
    if start == 0 and not target.exists():
        source.replace(target)
        return
    with source.open("rb") as part:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            while piece := part.read(_COPY_BYTES):
                start += os.pwrite(descriptor, piece, start)
        finally:
            os.close(descriptor)
