"""One account's Upload and Admin API over HTTP, with our errors. No global SDK state.

The SDK signs and serializes; the sending is ours because the SDK's sends the full local path
as the file's name, has no retry, and keeps one connection a host.
"""

from __future__ import annotations

import json
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any
from urllib.parse import quote

import certifi
import urllib3
from cloudinary import utils as sdk
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from media_toolkit import forks, naming
from media_toolkit.cloud import signing
from media_toolkit.cloud.labels import TagCommand
from media_toolkit.cloud.listing import ListingPage, ListingScope
from media_toolkit.cloud.names import check_asset_id, check_identity, check_kind, check_name
from media_toolkit.cloud.pacing import AdminBudget
from media_toolkit.cloud.refusals import refusal
from media_toolkit.errors import (
    BudgetSpent,
    CloudUnavailable,
    MediaToolkitError,
    RateLimited,
)
from media_toolkit.settings import CloudAccount

CONNECTIONS = 32
# A limit that is reset later than this is the caller's to wait for.
MAX_PAUSE_S = 8
# Somebody looks on.
PING_S = 10
# An answer's date is of whole seconds, which a server may renew only once a second.
_DATED_WITHIN_S = 2


class CloudClient:
    """Speaks to one account. Threads may share it.

    Args:
        account: where and as whom.
        timeout_s: seconds to connect, and to wait between two bytes.
        attempts: how often a call that may succeed later is tried in all.

    Attributes:
        admin_calls: how many calls of the rate-limited Admin API it has made.
    """

    def __init__(self, account: CloudAccount, timeout_s: float = 60, attempts: int = 4) -> None:
        self.account = account
        self.admin_calls = 0
        self._ahead_s = 0.0
        self._attempts = attempts
        self._guard = threading.Lock()
        self._timeout_s = timeout_s
        self._pool = self._new_pool()
        forks.watch(self)

    def upload(
        self,
        data: bytes | str,
        filename: str | None = None,
        resource_type: str = "auto",
        **options: Any,
    ) -> dict[str, Any]:
        """Upload bytes, or a remote URL that Cloudinary fetches; returns its whole answer.

        Without a public_id (or `use_filename`) one of 20 random characters is chosen here and
        not by Cloudinary, so that a retry after a lost answer makes no second asset.

        Raises:
            UnsupportedMedia, InvalidName, TooLarge, RateLimited, CloudUnavailable, UploadError
        """
        check_name(options.get("public_id"), options.get("folder"))
        check_kind(resource_type, options.get("type"))
        if naming.is_random(options):
            options["public_id"] = secrets.token_hex(10)
        file: Any = data if isinstance(data, str) else (filename or "file", data)
        label = filename or (data if isinstance(data, str) else str(options.get("public_id")))
        url = signing.upload_url(self.account, resource_type)
        return self._retrying(lambda: self._post_signed(url, options, {"file": file}, label))

    def destroy(
        self, public_id: str, resource_type: str = "image", delivery_type: str = "upload"
    ) -> bool:
        """Delete an asset for good; False when Cloudinary does not have it.

        Raises:
            InvalidName: as by every call that names an asset: Cloudinary may take the name for
                another's.
        """
        check_identity(public_id, resource_type, delivery_type)
        fields = {"public_id": public_id, "type": delivery_type, "invalidate": "true"}
        return self._act("destroy", resource_type, fields, public_id).get("result") == "ok"

    def rename(
        self, public_id: str, to: str, resource_type: str = "image", delivery_type: str = "upload"
    ) -> dict[str, Any]:
        """Give an asset another public_id; returns it as Cloudinary now has it.

        Raises:
            InvalidName, NotFound. UploadError: the new name is taken.
        """
        check_identity(public_id, resource_type, delivery_type)
        check_name(to)
        fields = {
            "from_public_id": public_id,
            "to_public_id": to,
            "type": delivery_type,
            "overwrite": "false",
            "invalidate": "true",
        }
        return self._act("rename", resource_type, fields, public_id)

    def change_tags(
        self,
        command: TagCommand,
        tags: Sequence[str],
        public_ids: Sequence[str],
        resource_type: str = "image",
        delivery_type: str = "upload",
    ) -> set[str]:
        """Change the tags of at most 1,000 assets; returns the public_ids that exist."""
        for public_id in public_ids:
            check_identity(public_id, resource_type, delivery_type)
        fields = {"command": command, "type": delivery_type, "public_ids": list(public_ids)}
        fields |= {"tag": ",".join(tags)} if tags else {}
        answer = self._act("tags", resource_type, fields, public_ids[0])
        return set(answer.get("public_ids", ()))

    def add_context(
        self,
        context: Mapping[str, str],
        public_ids: Sequence[str],
        resource_type: str = "image",
        delivery_type: str = "upload",
    ) -> set[str]:
        """Set keys of the context of at most 1,000 assets; returns the public_ids that exist."""
        for public_id in public_ids:
            check_identity(public_id, resource_type, delivery_type)
        fields: dict[str, Any] = {
            "command": "add",
            "context": signing.serialize_options({"context": dict(context)})["context"],
            "type": delivery_type,
            "public_ids": list(public_ids),
        }
        answer = self._act("context", resource_type, fields, public_ids[0])
        return set(answer.get("public_ids", ()))

    def remove_context(
        self,
        public_ids: Sequence[str],
        resource_type: str = "image",
        delivery_type: str = "upload",
    ) -> set[str]:
        """Remove the whole context of at most 1,000 assets; returns the public_ids that exist.

        One key alone Cloudinary does not remove.
        https://cloudinary.com/documentation/contextual_metadata#the_context_method
        """
        for public_id in public_ids:
            check_identity(public_id, resource_type, delivery_type)
        fields: dict[str, Any] = {
            "command": "remove_all",
            "type": delivery_type,
            "public_ids": list(public_ids),
        }
        answer = self._act("context", resource_type, fields, public_ids[0])
        return set(answer.get("public_ids", ()))

    def resource(
        self,
        public_id: str,
        resource_type: str = "image",
        delivery_type: str = "upload",
        budget: AdminBudget | None = None,
    ) -> dict[str, Any]:
        """What Cloudinary itself says of an asset; one Admin API call.

        Raises:
            NotFound: when Cloudinary never saw it. InvalidName: as `destroy`.
        """
        check_identity(public_id, resource_type, delivery_type)
        path = f"resources/{resource_type}/{delivery_type}/{quote(public_id, safe='/')}"
        return self._administer("GET", path, public_id, budget)

    def resource_by_asset_id(
        self, asset_id: str, budget: AdminBudget | None = None
    ) -> dict[str, Any]:
        """As `resource`, by what a rename does not change. Raises NotFound."""
        path = f"resources/{check_asset_id(asset_id)}"
        return self._administer("GET", path, asset_id, budget)

    def listing(
        self,
        scope: ListingScope,
        cursor: str | None = None,
        budget: AdminBudget | None = None,
    ) -> ListingPage:
        """At most 500 assets with tags, context and etag; one Admin API call.

        Args:
            cursor: the former page's `next_cursor`.

        Raises:
            UploadError: a cursor that is none, or has expired. RateLimited, BudgetSpent.
        """
        answer = self._administer(
            "POST", "resources/search", "the listing", budget, json=scope.query(cursor)
        )
        items = tuple(answer.get("resources") or ())
        return ListingPage(items, answer.get("next_cursor"), int(answer.get("total_count") or 0))

    def relabel(
        self,
        asset_id: str,
        *,
        tags: Sequence[str] | None = None,
        context: Mapping[str, str] | None = None,
        folder: str | None = None,
        budget: AdminBudget | None = None,
    ) -> dict[str, Any]:
        """Replace an asset's tags, context or asset folder; one Admin API call.

        Args:
            tags, context, folder: None leaves what is there.

        Raises:
            NotFound: when Cloudinary does not have it.
        """
        fields: dict[str, str] = {}
        if tags is not None:
            fields["tags"] = ",".join(tags)
        if context is not None:
            fields["context"] = sdk.encode_context(dict(context)) or ""
        if folder is not None:
            fields["asset_folder"] = folder
        path = f"resources/{check_asset_id(asset_id)}"
        return self._administer("POST", path, asset_id, budget, fields=fields)

    def explicit(
        self, public_id: str, resource_type: str = "image", delivery_type: str = "upload"
    ) -> dict[str, Any]:
        """What `resource` answers, by the Upload API: without its limit of calls an hour.

        Raises:
            NotFound: when Cloudinary never saw it. InvalidName: as `destroy`.
        """
        check_identity(public_id, resource_type, delivery_type)
        url = signing.upload_url(self.account, resource_type, "explicit")
        fields = {"public_id": public_id, "type": delivery_type}
        return self._retrying(lambda: self._post_signed(url, fields, {}, public_id))

    def now(self) -> float:
        """Cloudinary's clock in Unix seconds, as far as its last answer tells: ours where the two
        agree."""
        return time.time() + self._ahead_s

    def triggers(self) -> list[dict[str, Any]]:
        """All notification triggers, `uri` and `event_type` each; one Admin API call.

        https://cloudinary.com/documentation/admin_api_triggers
        """
        answer = self._administer("GET", "triggers", "triggers")
        return list(answer.get("triggers", ()))

    def add_trigger(self, uri: str, event_type: str) -> dict[str, Any]:
        """Have a URL told of every event of a type; one Admin API call."""
        fields = {"uri": uri, "event_type": event_type}
        return self._administer("POST", "triggers", event_type, fields=fields)

    def ping(self) -> None:
        """Check address, key and secret with one Admin API call, within `PING_S` seconds.

        Raises:
            SettingsError: when Cloudinary refuses the key. CloudUnavailable: when unreachable.
        """
        try:
            self._administer("GET", "ping", "ping", attempts=1, timeout=PING_S)
        except CloudUnavailable as error:
            if isinstance(error.__cause__, urllib3.exceptions.TimeoutError):
                error.message = f"Cloudinary did not answer within {PING_S} seconds"
            raise

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def forget(self) -> None:
        """Leave all connections to the process that this one was forked from."""
        self._guard = threading.Lock()
        self._pool = self._new_pool()

    def _new_pool(self) -> urllib3.PoolManager:
        is_https = self.account.upload_prefix.startswith("https:")
        return urllib3.PoolManager(
            maxsize=CONNECTIONS,
            timeout=urllib3.Timeout(connect=10, read=self._timeout_s),
            retries=False,
            ssl_context=_trusted() if is_https else None,
        )

    def _retrying(self, call: Any, attempts: int | None = None) -> dict[str, Any]:
        for attempt in Retrying(
            retry=retry_if_exception(_may_succeed_soon),
            wait=wait_random_exponential(multiplier=0.3, max=MAX_PAUSE_S),
            stop=stop_after_attempt(attempts or self._attempts),
            reraise=True,
        ):
            with attempt:
                return call()
        raise AssertionError("tenacity always returns or raises")

    def _post_signed(
        self, url: str, options: Mapping[str, Any], file: Mapping[str, Any], label: str
    ) -> dict[str, Any]:
        fields = self._signed(signing.serialize_options(options))
        return self._answer(label, "POST", url, fields=fields | dict(file))

    def _act(
        self, action: str, resource_type: str, fields: Mapping[str, Any], label: str
    ) -> dict[str, Any]:
        """Another call of the Upload API than an upload; each may happen twice."""
        url = signing.upload_url(self.account, resource_type, action)

        def post() -> dict[str, Any]:
            # Lists are signed as one text and sent item by item, as the SDKs do.
            sent = [
                pair
                for name, value in self._signed(fields).items()
                for pair in (
                    [(f"{name}[]", item) for item in value]
                    if isinstance(value, list)
                    else [(name, value)]
                )
            ]
            return self._answer(label, "POST", url, fields=sent)

        return self._retrying(post)

    def _signed(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        # Signed anew at each attempt: a signature lives for an hour only.
        signed = {**fields, "timestamp": str(signing.now())}
        signed["signature"] = signing.sign_parameters(
            signed, self.account.api_secret.get_secret_value()
        )
        return {**signed, "api_key": self.account.api_key}

    def _administer(
        self,
        method: str,
        path: str,
        label: str,
        budget: AdminBudget | None = None,
        attempts: int | None = None,
        **request: Any,
    ) -> dict[str, Any]:
        secret = self.account.api_secret.get_secret_value()
        headers = urllib3.make_headers(basic_auth=f"{self.account.api_key}:{secret}")
        url = f"{self.account.upload_prefix}/v1_1/{self.account.cloud_name}/{path}"

        def call() -> dict[str, Any]:
            if budget is not None:
                budget.take()
            with self._guard:
                self.admin_calls += 1
            seen = None if budget is None else budget.note
            return self._answer(label, method, url, seen, headers=headers, **request)

        while True:
            try:
                return self._retrying(call, attempts)
            except RateLimited as error:
                if budget is None or isinstance(error, BudgetSpent):
                    raise
                budget.wait(error)

    def _answer(
        self,
        label: str,
        method: str,
        url: str,
        seen: Callable[[Mapping[str, str]], None] | None = None,
        **request: Any,
    ) -> dict[str, Any]:
        try:
            response = self._pool.request(method, url, **request)
        except urllib3.exceptions.HTTPError as error:
            raise CloudUnavailable(
                f"Cloudinary did not answer for {label}: {type(error).__name__}",
                hint=f"check the network and that {self.account.upload_prefix} is reachable",
                ids=(label,),
            ) from error
        self._note_clock(response.headers)
        if seen is not None:
            seen(response.headers)
        try:
            body = json.loads(response.data)
        except ValueError:
            body = {}
        if response.status < 300 and isinstance(body, dict):
            return body
        raise refusal(response.status, body, response.headers, label)

    def _note_clock(self, headers: Mapping[str, str]) -> None:
        with suppress(KeyError, ValueError):
            ahead_s = parsedate_to_datetime(headers["Date"]).timestamp() - time.time()
            self._ahead_s = min(max(0.0, ahead_s), ahead_s + _DATED_WITHIN_S)


@cache
def _trusted() -> ssl.SSLContext:
    """Read once: it takes a tenth of a second, which nobody who speaks HTTP needs to wait."""
    trusted = ssl.create_default_context()
    # Beside the system's certificates, as a company's proxy has its own.
    trusted.load_verify_locations(certifi.where())
    return trusted


def _may_succeed_soon(error: BaseException) -> bool:
    return (
        isinstance(error, MediaToolkitError)
        and error.is_retryable
        and (error.retry_after_s or 0) <= MAX_PAUSE_S
    )
