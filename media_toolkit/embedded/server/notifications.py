"""Telling other programs what happened: signed POSTs, delivered in the background.

https://cloudinary.com/documentation/notifications
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import anyio
import urllib3
from anyio import to_thread

from .config import ServerConfig
from .errors import ApiError
from .records.assets import Asset
from .records.notifications import NotificationRecords, Waiting

MAX_WAITING = 10_000
_AT_A_TIME = 8
_TIMEOUT_S = 10.0
_LAST_WORDS_S = 3.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Origin:
    """The call that an event comes from, and whom it wants to be told."""

    request_id: str
    notification_url: str | None = None
    batch_id: str | None = None


def check_url(url: str, parameter: str = "notification_url") -> str | None:
    """The URL, or None for an empty one; ApiError 400 when nothing can be posted to it."""
    if not url:
        return None
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or len(url) > 2048:
        raise ApiError(400, f"Invalid {parameter}: {url[:200]}")
    return url


class Notifier:
    """Keeps what is to be told in the records and delivers it while `run` runs.

    A delivery that is not answered 2xx is tried again after each of the configured pauses, then
    given up. What waits survives the end of the server and is delivered after its next start.
    """

    def __init__(self, config: ServerConfig, records: NotificationRecords) -> None:
        self._config = config
        self._records = records
        self._pool = urllib3.PoolManager(maxsize=_AT_A_TIME, retries=False)
        self._under_way: dict[int, asyncio.Task[None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()

    def uploaded(self, answer: dict[str, Any], origin: Origin) -> None:
        """Tell of an upload, or of its failure; blocks, like all that follow."""
        self.tell("error" if "error" in answer else "upload", answer, origin)

    def derived(self, asset: Asset, eager: list[dict[str, Any]], origin: Origin) -> None:
        """Tell that eager images are there."""
        self.tell("eager", {**_named(asset), "eager": eager}, origin)

    def deleted(self, assets: Sequence[Asset], origin: Origin) -> None:
        """Tell of assets that were deleted in one call."""
        if assets:
            resources = [{**_named(one), "version": str(one.version)} for one in assets]
            self.tell("delete", {"resources": resources}, origin)

    def renamed(self, old: Asset, new: Asset, origin: Origin) -> None:
        """Tell of another name or type."""
        names = {"from_public_id": old.public_id, "to_public_id": new.public_id}
        facts = _named(new)
        del facts["public_id"]
        self.tell("rename", {**facts, "from_type": old.type, "to_type": new.type, **names}, origin)

    def moderated(self, facts: dict[str, Any], asset: Asset, origin: Origin) -> None:
        """Tell of the decision about an asset that was marked for moderation."""
        if asset.extras.moderation:
            newest = asset.extras.moderation[0]
            told = {f"moderation_{name}": value for name, value in newest.items()}
            self.tell("moderation", {**facts, **told}, origin)

    def relabelled(self, old: Asset, new: Asset, origin: Origin) -> None:
        """Tell of other tags and other context of one asset, if they are others."""
        if old.tags != new.tags:
            self.tags_changed([(old, new)], origin)
        if old.context != new.context:
            self.context_changed([(old, new)], origin)

    def tags_changed(self, changes: Sequence[tuple[Asset, Asset]], origin: Origin) -> None:
        """Tell which tags were added to and removed from which assets."""
        resources = [
            {
                **_named(new),
                "added": [tag for tag in new.tags if tag not in old.tags],
                "removed": [tag for tag in old.tags if tag not in new.tags],
            }
            for old, new in changes
        ]
        if resources:
            told = {"source": "api", "resources": resources}
            self.tell("resource_tags_changed", told, origin)

    def context_changed(self, changes: Sequence[tuple[Asset, Asset]], origin: Origin) -> None:
        """Tell which context was added, removed and updated."""
        resources = [{**_named(new), **_difference(old, new)} for old, new in changes]
        if resources:
            told = {"source": "api", "resources": resources}
            self.tell("resource_context_changed", told, origin)

    def tell(self, kind: str, facts: dict[str, Any], origin: Origin) -> None:
        """Queue one event for the call's own URL and for the triggers of its type."""
        urls = [
            trigger.uri
            for trigger in self._records.triggers(kind)
            if trigger.additive or origin.notification_url is None
        ]
        if origin.notification_url is None:
            urls.extend(self._config.notification_urls)
        else:
            urls.append(origin.notification_url)
        if not urls:
            return
        now = datetime.now(UTC)
        body = {
            "notification_type": kind,
            "timestamp": now.isoformat(timespec="seconds"),
            "request_id": origin.request_id,
            **facts,
            "notification_context": {
                "triggered_at": now.isoformat(timespec="microseconds"),
                "triggered_by": {"source": "api", "id": self._config.api_key},
            },
            "signature_key": self._config.api_key,
        }
        if origin.batch_id is not None:
            body["batch_id"] = origin.batch_id
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        if not self._records.add_notifications(list(dict.fromkeys(urls)), text, MAX_WAITING):
            _log.warning("too many notifications wait: one about %s is not sent", kind)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._news.set)

    async def run(self) -> None:
        """Deliver what waits, until cancelled."""
        self._loop = asyncio.get_running_loop()
        limiter = anyio.CapacityLimiter(_AT_A_TIME)
        while True:
            self._news.clear()
            # One of these can end while the records are read: what they say of it is not new.
            under_way = set(self._under_way)
            waiting = await to_thread.run_sync(self._records.waiting_notifications, 200)
            now = time.time()
            for one in waiting:
                if one.due_at <= now and one.id not in under_way:
                    task = asyncio.create_task(self._deliver(one, limiter))
                    self._under_way[one.id] = task
            later = [one.due_at - now for one in waiting if one.due_at > now]
            try:
                await asyncio.wait_for(self._news.wait(), min([60.0, *later]))
            except TimeoutError:
                continue

    async def finish(self) -> None:
        """Wait a moment for what is under way; the rest is kept for the next start."""
        tasks = list(self._under_way.values())
        if tasks:
            await asyncio.wait(tasks, timeout=_LAST_WORDS_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._pool.clear()

    async def _deliver(self, one: Waiting, limiter: anyio.CapacityLimiter) -> None:
        try:
            await to_thread.run_sync(self._attempt, one, limiter=limiter, abandon_on_cancel=True)
        finally:
            del self._under_way[one.id]
            self._news.set()

    def _attempt(self, one: Waiting) -> None:
        stamp = str(int(time.time()))
        signed = f"{one.body}{stamp}{self._config.api_secret}".encode()
        try:
            answer = self._pool.request(
                "POST",
                one.url,
                body=one.body.encode(),
                headers={
                    "Content-Type": "application/json",
                    "User-Agent": "Cloudinary",
                    "X-Cld-Timestamp": stamp,
                    "X-Cld-Signature": hashlib.sha1(signed, usedforsecurity=False).hexdigest(),
                },
                timeout=_TIMEOUT_S,
                redirect=False,
            )
            delivered = 200 <= answer.status < 300
        except (urllib3.exceptions.HTTPError, OSError, ValueError):
            delivered = False
        pauses = self._config.notification_pauses_s
        if delivered or one.attempts >= len(pauses):
            self._records.delete_notification(one.id)
        else:
            self._records.delay_notification(one.id, time.time() + pauses[one.attempts])


def _named(asset: Asset) -> dict[str, Any]:
    return {
        "asset_id": asset.asset_id,
        "resource_type": asset.resource_type,
        "type": asset.type,
        "public_id": asset.public_id,
        "asset_folder": asset.asset_folder,
        "display_name": asset.display_name,
    }


def _difference(old: Asset, new: Asset) -> dict[str, list[dict[str, str]]]:
    def pairs(names: Sequence[str], values: dict[str, str]) -> list[dict[str, str]]:
        return [{"name": name, "value": values[name]} for name in names]

    return {
        "added": pairs([name for name in new.context if name not in old.context], new.context),
        "removed": pairs([name for name in old.context if name not in new.context], old.context),
        "updated": [
            {"name": name, "previous_value": old.context[name], "new_value": value}
            for name, value in new.context.items()
            if name in old.context and old.context[name] != value
        ],
    }
