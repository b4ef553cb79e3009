"""What the methods of a toolkit delegate to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from media_toolkit.identity import Identity
from media_toolkit.settings import CloudAccount, Settings

if TYPE_CHECKING:
    from media_toolkit.browser import BrowserUploads
    from media_toolkit.cloud.client import CloudClient
    from media_toolkit.embedded.stack import EmbeddedStack
    from media_toolkit.library import Library
    from media_toolkit.notifications import Notifications
    from media_toolkit.store.assets import AssetStore
    from media_toolkit.store.database import Database
    from media_toolkit.store.intents import IntentStore


class Parts:
    """The account, the database and who acts: made once, shared by `acting_as`."""

    settings: Settings
    account: CloudAccount
    identity: Identity
    _stack: EmbeddedStack | None
    _database: Database
    _client: CloudClient
    _store: AssetStore
    _intents: IntentStore
    _library: Library
    _notifications: Notifications
    _browser: BrowserUploads
