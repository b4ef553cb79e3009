"""What the methods of a toolkit delegate to."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from media_toolkit import forks
from media_toolkit.identity import Identity
from media_toolkit.settings import CloudAccount, Settings

if TYPE_CHECKING:
    from media_toolkit.browser import BrowserUploads
    from media_toolkit.cloud.client import CloudClient
    from media_toolkit.embedded.stack import EmbeddedStack
    from media_toolkit.library.changes import Changes
    from media_toolkit.library.uploads import Uploads
    from media_toolkit.notifications import Notifications
    from media_toolkit.store.assets import AssetStore
    from media_toolkit.store.database import Database
    from media_toolkit.store.intents import IntentStore


@dataclass(frozen=True, slots=True)
class CloudParts:
    """All that has to do with Cloudinary."""

    client: CloudClient
    intents: IntentStore
    uploads: Uploads
    changes: Changes
    notifications: Notifications
    browser: BrowserUploads


class CloudSide:
    """Makes `CloudParts` once, when they are first asked for: who only reads imports no SDK."""

    def __init__(
        self, settings: Settings, account: CloudAccount, database: Database, store: AssetStore
    ) -> None:
        self._settings = settings
        self._account = account
        self._database = database
        self._store = store
        self._guard = threading.Lock()
        forks.watch(self)
        self._made: CloudParts | None = None

    @property
    def parts(self) -> CloudParts:
        """The parts; the same ones for every thread."""
        with self._guard:
            if self._made is None:
                self._made = self._make()
            return self._made

    def forget(self) -> None:
        """In a forked process: whoever holds the lock is in the parent."""
        self._guard = threading.Lock()

    def close(self) -> None:
        """Give connections back, if there are any."""
        if self._made is not None:
            self._made.client.close()

    def _make(self) -> CloudParts:
        from media_toolkit.browser import BrowserUploads
        from media_toolkit.cloud.client import CloudClient
        from media_toolkit.cloud.transformation import delivery_url
        from media_toolkit.library.changes import Changes
        from media_toolkit.library.uploads import Uploads
        from media_toolkit.notifications import Notifications
        from media_toolkit.store.arrivals import ArrivalStore
        from media_toolkit.store.asset_ids import AssetIds
        from media_toolkit.store.changes import AssetChanges
        from media_toolkit.store.claims import Claims
        from media_toolkit.store.intents import IntentStore
        from media_toolkit.store.notifications import NotificationStore
        from media_toolkit.store.turns import Turns

        account, database, store = self._account, self._database, self._store
        client, intents = CloudClient(account), IntentStore(database)
        heard = NotificationStore(database, lambda asset: delivery_url(account, asset))
        asset_ids, claims = AssetIds(database), Claims(database)
        uploads = Uploads(client, store, intents, claims, asset_ids)
        return CloudParts(
            client,
            intents,
            uploads,
            Changes(client, store, AssetChanges(database), Turns(database)),
            Notifications(client, intents, heard, self._settings.unclaimed_owner),
            BrowserUploads(
                account,
                self._settings.upload_policy,
                uploads,
                store,
                intents,
                claims,
                ArrivalStore(database),
                asset_ids,
            ),
        )


class Parts:
    """The account, the database and who acts: made once, shared by `acting_as`."""

    settings: Settings
    account: CloudAccount
    identity: Identity
    _stack: EmbeddedStack | None
    _database: Database
    _store: AssetStore
    _cloud: CloudSide

    @property
    def _client(self) -> CloudClient:
        return self._cloud.parts.client

    @property
    def _intents(self) -> IntentStore:
        return self._cloud.parts.intents

    @property
    def _uploads(self) -> Uploads:
        return self._cloud.parts.uploads

    @property
    def _changes(self) -> Changes:
        return self._cloud.parts.changes

    @property
    def _notifications(self) -> Notifications:
        return self._cloud.parts.notifications

    @property
    def _browser(self) -> BrowserUploads:
        return self._cloud.parts.browser
