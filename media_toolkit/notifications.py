"""Cloudinary's notifications: verified, read, given an owner, and put into the table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from media_toolkit.asset import Asset
from media_toolkit.cloud.client import CloudClient
from media_toolkit.cloud.notification import verify_notification
from media_toolkit.errors import MediaToolkitError
from media_toolkit.identity import CLOUDINARY, Identity
from media_toolkit.store.intent import Intent
from media_toolkit.store.intents import IntentStore
from media_toolkit.store.marks import Subject
from media_toolkit.store.notifications import Change, NotificationStore

# What is listened to, by Cloudinary's names for it.
EVENTS = (
    *("upload", "delete", "rename", "eager"),
    *("resource_tags_changed", "resource_context_changed"),
)
# Of the message, not of the asset.
_ENVELOPE = frozenset(
    {"notification_type", "timestamp", "request_id", "notification_context", "signature_key"}
)
_EVERYBODY = Identity(CLOUDINARY, "admin")


class UnreadableNotification(MediaToolkitError):
    """Raised for a signed message that is not a notification as documented."""

    http_status = 400


class Notifications:
    """Takes what Cloudinary posts, and asks it to post.

    Args:
        unclaimed_owner: whose the rows are of uploads that no signature of ours explains.
    """

    def __init__(
        self,
        client: CloudClient,
        intents: IntentStore,
        store: NotificationStore,
        unclaimed_owner: str,
    ) -> None:
        self._client = client
        self._intents = intents
        self._store = store
        self._unclaimed_owner = unclaimed_owner

    def connect(self, url: str) -> list[str]:
        """Have Cloudinary tell a URL of every event in `EVENTS`; returns those that were new."""
        known = {(one.get("uri"), one.get("event_type")) for one in self._client.triggers()}
        new = [event for event in EVENTS if (url, event) not in known]
        for event in new:
            self._client.add_trigger(url, event)
        return new

    def receive(self, body: bytes, timestamp: str, signature: str) -> int:
        """Apply one notification; returns how many rows it changed. A second time changes none.

        Raises:
            SignatureError: it is not Cloudinary's, or too old or early.
            Conflict: it was received before. UnreadableNotification: it cannot be read.
            Unavailable, StoreError: nothing was changed; Cloudinary sends it again.
        """
        secret = self._client.account.api_secret.get_secret_value()
        verify_notification(body, timestamp, signature, secret)
        try:
            told = json.loads(body)
            told_at = _moment(told)
            decided: list[tuple[Intent, Asset]] = []
            changes = list(self._changes(told, decided))
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise UnreadableNotification(
                f"the notification cannot be read: {type(error).__name__}",
                hint="https://cloudinary.com/documentation/notifications tells its form",
            ) from error
        digest = hashlib.sha256(timestamp.encode() + b"." + body).hexdigest()
        changed = self._store.apply(digest, told_at, changes)
        for intent, asset in decided:
            self._intents.settle_given(intent, asset)
        return changed

    def _changes(
        self, told: Mapping[str, Any], decided: list[tuple[Intent, Asset]]
    ) -> Iterator[Change]:
        """`decided` gets the intent that an upload's owner was found by."""
        kind = told.get("notification_type")
        if kind == "upload":
            yield self._upload(told, decided)
        elif kind == "delete":
            for one in _listed(told):
                yield Change(_subject(one), is_gone=True)
        elif kind == "rename":
            old_type = str(told.get("from_type") or told.get("type") or "upload")
            new_type = str(told.get("to_type") or told.get("type") or "upload")
            old = {**told, "public_id": told["from_public_id"], "type": old_type}
            new = (new_type, str(told["to_public_id"]), told.get("asset_folder"))
            yield Change(_subject(old), renamed=new)
        elif kind == "eager":
            yield Change(_subject(told), eager=list(told.get("eager") or ()))
        elif kind == "resource_tags_changed":
            for one in _listed(told):
                on = dict.fromkeys(map(str, one.get("added") or ()), True)
                off = dict.fromkeys(map(str, one.get("removed") or ()), False)
                yield Change(_subject(one), tags=off | on)
        elif kind == "resource_context_changed":
            for one in _listed(told):
                context: dict[str, str | None] = {}
                for pair in one.get("removed") or ():
                    context[str(pair["name"])] = None
                for pair in one.get("added") or ():
                    context[str(pair["name"])] = str(pair["value"])
                for pair in one.get("updated") or ():
                    context[str(pair["name"])] = str(pair["new_value"])
                yield Change(_subject(one), context=context)

    def _upload(self, told: Mapping[str, Any], decided: list[tuple[Intent, Asset]]) -> Change:
        facts = {name: value for name, value in told.items() if name not in _ENVELOPE}
        asset = Asset.from_response(facts, self._unclaimed_owner)
        found = self._intents.signers(asset, _EVERYBODY)
        if len(found) == 1 and (found[0].is_settled or found[0].is_before(asset)):
            asset = Asset.from_response(facts, found[0].user_id)
            decided.append((found[0], asset))
            return Change(_subject(facts), asset)
        return Change(_subject(facts), asset, claimants=[intent.user_id for intent in found])


def _listed(told: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    resources = told.get("resources") or ()
    return list(resources.values() if isinstance(resources, Mapping) else resources)


def _subject(facts: Mapping[str, Any]) -> Subject:
    version = facts.get("version")
    return Subject(
        resource_type=str(facts.get("resource_type") or "image"),
        delivery_type=str(facts.get("type") or "upload"),
        public_id=str(facts["public_id"]),
        asset_id=facts.get("asset_id") or None,
        version=int(version) if version not in (None, "") else None,
    )


def _moment(told: Mapping[str, Any]) -> datetime:
    """When it happened, by Cloudinary's clock; `triggered_at` is the finer of two."""
    context = told.get("notification_context") or {}
    text = context.get("triggered_at") or told["timestamp"]
    moment = datetime.fromisoformat(str(text))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
