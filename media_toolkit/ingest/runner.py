"""The import engine on this machine: threads upload, rows are saved in batches."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from tqdm.auto import tqdm

from media_toolkit import media
from media_toolkit.asset import Asset
from media_toolkit.cloud.names import check_name
from media_toolkit.errors import Conflict, MediaToolkitError, StoreError, Unavailable
from media_toolkit.identity import Identity
from media_toolkit.ingest.report import IngestReport, Result
from media_toolkit.ingest.sources import Item, folder_items
from media_toolkit.library.uploads import UNTIL_IMPORTED_S, Uploads
from media_toolkit.store.assets import AssetStore
from media_toolkit.store.filters import read_size

ROWS_A_BATCH = 200
# Until its row is there, nobody knows whose a file in Cloudinary is.
_SAVED_WITHIN_S = 1.0


class _NotMedia(MediaToolkitError):
    """A file that a folder of pictures may well hold, and that nobody meant to import."""


class Runner:
    """Imports one folder. Cloudinary's staff name 40 to 50 parallel uploads as the ceiling."""

    def __init__(
        self, uploads: Uploads, store: AssetStore, identity: Identity, threads: int = 8
    ) -> None:
        self._uploads = uploads
        self._store = store
        self._identity = identity
        self._threads = read_size("threads", threads)
        self._saved_at = 0.0

    def run(
        self,
        folder: Path,
        prefix: str = "",
        recursive: bool = True,
        progress: bool = True,
        **options: Any,
    ) -> IngestReport:
        """Upload what is new or changed, save the rows, and report on every file.

        A file that is refused does not stop the rest; Ctrl-C does, after saving what is done.

        Raises:
            IngestError: when the folder cannot be read. InvalidName: when no asset may have a
                name that begins with `prefix`. Unavailable, StoreError: when Postgres cannot be
                reached or takes no changes, before anything was sent.
        """
        self._began = self._saved_at = time.monotonic()
        if prefix.strip("/"):
            check_name(None, prefix.strip("/"))
        self._store.refuse_read_only(self._identity)
        items = folder_items(folder, prefix, recursive, options.get("resource_type") == "raw")
        shared = Counter(item.public_id for item in items)
        stored = {
            kind: self._store.by_identity(kind, shared, self._identity)
            for kind in ("image", "video", "raw")
        }
        report = IngestReport()
        results: dict[str, Result] = {}
        unsaved: list[tuple[Item, Asset]] = []
        taken: set[Future[tuple[Asset, bool]]] = set()
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="ingest")
        futures: dict[Future[tuple[Asset, bool]], Item] = {}
        try:
            for item in items:
                if item.problem:
                    results[item.label] = Result(
                        item.label, "failed", item.public_id, item.problem, "check its permissions"
                    )
                elif shared[item.public_id] > 1:
                    results[item.label] = _same_name(item)
                else:
                    futures[pool.submit(self._one, item, stored, options)] = item
            finished: SimpleQueue[Future[tuple[Asset, bool]]] = SimpleQueue()
            for future in futures:
                future.add_done_callback(finished.put)
            for _ in tqdm(range(len(futures)), unit="file", disable=not progress):
                future = self._next(finished, results, unsaved)
                taken.add(future)
                self._take(future, futures[future], results, unsaved)
        except KeyboardInterrupt:
            report.interrupted = True
            for future in futures:
                future.cancel()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        for future, item in futures.items():
            if future not in taken:
                self._take(future, item, results, unsaved)
        self._save(unsaved, results)
        report.results = [results[item.label] for item in items if item.label in results]
        report.seconds = time.monotonic() - self._began
        return report

    def _one(
        self, item: Item, stored: dict[str, dict[str, Asset]], options: dict[str, Any]
    ) -> tuple[Asset, bool]:
        """Upload one file unless its bytes are stored already: (asset, whether it was sent)."""
        thing = media.read_source(item.path)
        assert isinstance(thing.data, bytes)
        if thing.data and "resource_type" not in options:
            kind = media.kind_of(thing.data, thing.filename)
            if kind == "other":
                raise _NotMedia(
                    "neither a picture nor a video",
                    hint="pass resource_type='raw' to import it as a raw file",
                )
        digest = hashlib.md5(thing.data, usedforsecurity=False).hexdigest()
        for known in stored.values():
            asset = known.get(item.public_id)
            # Cloudinary's etag is the MD5 of an original that was stored unchanged.
            if asset is not None and asset.etag == digest:
                return asset, False
        named = {**options, "public_id": item.public_id}
        asset = self._uploads.send_named(
            thing,
            self._identity,
            until_saved_s=UNTIL_IMPORTED_S,
            is_known=any(item.public_id in known for known in stored.values()),
            **named,
        )
        return asset, True

    def _next(
        self,
        finished: SimpleQueue[Future[tuple[Asset, bool]]],
        results: dict[str, Result],
        unsaved: list[tuple[Item, Asset]],
    ) -> Future[tuple[Asset, bool]]:
        """The next that is done; who waits for it has the rows of the others saved in time."""
        while True:
            try:
                return finished.get(timeout=_SAVED_WITHIN_S)
            except Empty:
                if unsaved:
                    self._save(unsaved, results)

    def _take(
        self,
        future: Future[tuple[Asset, bool]],
        item: Item,
        results: dict[str, Result],
        unsaved: list[tuple[Item, Asset]],
    ) -> None:
        try:
            asset, was_sent = future.result()
        except CancelledError:
            results[item.label] = Result(item.label, "cancelled", item.public_id)
        except _NotMedia as error:
            results[item.label] = Result(
                item.label, "skipped", item.public_id, error.message, error.hint
            )
        except MediaToolkitError as error:
            results[item.label] = _failed(item, error)
        else:
            if was_sent:
                unsaved.append((item, asset))
                is_time = time.monotonic() - self._saved_at > _SAVED_WITHIN_S
                if len(unsaved) >= ROWS_A_BATCH or is_time:
                    self._save(unsaved, results)
            else:
                results[item.label] = Result(item.label, "unchanged", item.public_id, asset=asset)

    def _save(self, unsaved: list[tuple[Item, Asset]], results: dict[str, Result]) -> None:
        """Save a batch; when it is refused, row by row, so that one conflict costs one row."""
        # In the folder's order: rows of one batch have one time, and uploads end in any order.
        batch, unsaved[:] = sorted(unsaved, key=lambda pair: pair[0].path), []
        self._saved_at = time.monotonic()
        try:
            for was_there in (False, True):
                some = [a for _, a in batch if bool(a.raw.get("existing")) is was_there]
                asked_at = self._began if was_there else None
                self._store.save_many(some, self._identity, revive=True, asked_at=asked_at)
        except Unavailable as error:
            # Row by row would wait for Postgres as often as there are rows.
            error.hint = f"it is in Cloudinary, its row is missing: import again. {error.hint}"
            for item, asset in batch:
                self._uploads.note_unsaved(asset, self._identity)
                results[item.label] = _failed(item, error)
        except StoreError:
            for item, asset in batch:
                self._save_one(item, asset, results)
        else:
            for item, asset in batch:
                results[item.label] = Result(item.label, "uploaded", item.public_id, asset=asset)

    def _save_one(self, item: Item, asset: Asset, results: dict[str, Result]) -> None:
        try:
            asset = self._uploads.keep(asset, self._identity, self._began)
        except Conflict as error:
            results[item.label] = _failed(item, error)
        except MediaToolkitError as error:
            self._uploads.note_unsaved(asset, self._identity)
            error.hint = f"it is in Cloudinary, its row is missing: import again. {error.hint}"
            error.hint = error.hint.strip()
            results[item.label] = _failed(item, error)
        else:
            results[item.label] = Result(item.label, "uploaded", item.public_id, asset=asset)


def _failed(item: Item, error: MediaToolkitError) -> Result:
    return Result(item.label, "failed", item.public_id, error.message, error.hint)


def _same_name(item: Item) -> Result:
    return Result(
        item.label,
        "failed",
        item.public_id,
        f"another file of this folder would have the public_id {item.public_id!r} too",
        "rename one of them",
    )
